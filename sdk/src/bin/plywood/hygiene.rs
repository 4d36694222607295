//! `df`, `prune` and `fsck`: what takes space, the removal of what nothing uses, and what is damaged.

use std::process::ExitCode;

use plywood::fsck;
use plywood::prune::DiskUsage;
use serde_json::json;

use crate::Session;
use crate::args_prune::Prune;
use crate::failure::Outcome;
use crate::human::size;

/// One line of `df`.
struct Line {
    kind: &'static str,
    total: Option<usize>,
    active: Option<usize>,
    size: u64,
    reclaimable: u64,
}

pub fn df(session: &Session) -> Outcome<()> {
    let lines = lines(&session.engine()?.disk_usage()?);
    if session.output.is_json() {
        let lines = lines.iter().map(|line| {
            json!({
                "Type": line.kind,
                "TotalCount": line.total,
                "Active": line.active,
                "Size": line.size,
                "Reclaimable": line.reclaimable,
            })
        });
        return session.output.json(&lines.collect::<Vec<_>>());
    }
    let count = |count: Option<usize>| count.map_or("-".to_owned(), |count| count.to_string());
    let row = |line: &Line| {
        let percent = line.reclaimable.saturating_mul(100).checked_div(line.size);
        let percent = percent.map(|percent| format!(" ({percent}%)")).unwrap_or_default();
        let reclaimable = format!("{}{percent}", size(line.reclaimable));
        [line.kind.to_owned(), count(line.total), count(line.active), size(line.size), reclaimable]
    };
    let rows: Vec<_> = lines.iter().map(row).collect();
    session.output.table(["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"], &rows)
}

fn lines(usage: &DiskUsage) -> [Line; 4] {
    let (images, containers, volumes) = (usage.images(), usage.containers(), usage.volumes());
    [
        Line {
            kind: "Images",
            total: Some(images.len()),
            active: Some(images.iter().filter(|image| image.containers() > 0).count()),
            size: usage.layer_bytes(),
            reclaimable: images.iter().filter(|image| image.containers() == 0).map(|image| image.unique()).sum(),
        },
        Line {
            kind: "Containers",
            total: Some(containers.len()),
            active: Some(containers.iter().filter(|container| container.state().is_running()).count()),
            size: containers.iter().map(|container| container.writable()).sum(),
            reclaimable: containers
                .iter()
                .filter(|container| !container.state().is_running())
                .map(|container| container.writable())
                .sum(),
        },
        Line {
            kind: "Local Volumes",
            total: Some(volumes.len()),
            active: Some(volumes.iter().filter(|volume| volume.containers() > 0).count()),
            size: volumes.iter().map(|volume| volume.bytes()).sum(),
            reclaimable: volumes.iter().filter(|volume| volume.containers() == 0).map(|volume| volume.bytes()).sum(),
        },
        Line {
            kind: "Build Cache",
            total: None,
            active: None,
            size: usage.build_cache(),
            reclaimable: usage.build_cache(),
        },
    ]
}

pub fn prune(session: &Session, args: &Prune) -> Outcome<()> {
    let report = session.engine()?.prune_with(&args.options()?)?;
    let dry_run = args.dry_run;
    if session.output.is_json() {
        let objects = report.objects().iter().map(|object| {
            json!({
                "Type": object.kind().to_string(),
                "ID": object.id(),
                "Name": object.name(),
                "Size": object.bytes(),
            })
        });
        let objects: Vec<_> = objects.collect();
        return session.output.json(&json!({
            "DryRun": dry_run,
            "Objects": objects,
            "SpaceReclaimed": report.bytes(),
        }));
    }
    if !report.objects().is_empty() {
        let row = |object: &plywood::prune::Object| {
            [object.kind().to_string(), object.name().to_owned(), size(object.bytes())]
        };
        let rows: Vec<_> = report.objects().iter().map(row).collect();
        let title = if dry_run { "WOULD GO" } else { "REMOVED" };
        session.output.table([title, "NAME", "SIZE"], &rows)?;
    }
    let space = if dry_run { "Reclaimable space" } else { "Total reclaimed space" };
    session.output.line(format_args!("{space}: {}", size(report.bytes())))
}

pub fn fsck(session: &Session, repair: bool, quick: bool) -> Outcome<ExitCode> {
    let mut options = fsck::Options::new();
    if repair {
        options = options.repair();
    }
    if quick {
        options = options.quick();
    }
    let report = session.engine()?.fsck_with(&options)?;
    if session.output.is_json() {
        let findings = report.findings().iter().map(|finding| {
            json!({
                "Type": finding.object().to_string(),
                "Name": finding.name(),
                "Path": finding.path(),
                "Problem": finding.problem().to_string(),
                "IsDamage": finding.is_damage(),
                "Outcome": finding.outcome().to_string(),
            })
        });
        let findings: Vec<_> = findings.collect();
        session.output.json(&json!({ "IsSound": report.is_sound(), "Findings": findings }))?;
    } else {
        for finding in report.findings() {
            let outcome = if finding.is_damage() { format!(" ({})", finding.outcome()) } else { String::new() };
            let (object, name, problem) = (finding.object(), finding.name(), finding.problem());
            session
                .output
                .line(format_args!("{object} {name}: {problem}{outcome}\n  in {}", finding.path().display()))?;
        }
        session.output.line(if report.is_sound() { "the data root is sound" } else { "the data root is damaged" })?;
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
