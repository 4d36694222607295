//! The tree of a Dockerfile → instructions.

use std::sync::Arc;

use plywood_syntax::ast::{self, Body, FlagValue, Named, Text, Transfer};
use plywood_syntax::{dockerfile, duration};

use super::notes::Notes;
use super::{Add, Command, Copy, From, HealthCheck, Instruction, Layers, MountKind, Place, Run, RunMount};

/// The instructions of a Dockerfile, as far as they could be read. `name` is the file's, for messages.
pub(super) fn layers(file: &dockerfile::Dockerfile<'_>, name: &Arc<str>) -> Layers {
    let mut notes = file.notes.iter().peekable();
    let mut layers = Layers::new().of_dockerfile("");
    for (index, instruction) in file.instructions.iter().enumerate() {
        let mut own = Vec::new();
        while let Some((_, note)) = notes.next_if(|(at, _)| *at <= index) {
            own.push(note.as_str());
        }
        let line = file.position(instruction.place, None).line;
        for instruction in instructions(instruction, &mut Notes::of(own)) {
            layers.instructions.push(instruction);
            layers.places.push(Place::Dockerfile { file: Arc::clone(name), line });
        }
    }
    layers
}

/// One instruction as the builder has it; several where one `ARG` has several names.
pub(super) fn instructions(written: &ast::Instruction, notes: &mut Notes) -> Vec<Instruction> {
    let pairs = |notes: &Notes, pairs: &[(Text, Text)]| -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| (notes.text(key), notes.text(value))).collect()
    };
    let named =
        |notes: &Notes, named: &[Named]| -> Vec<String> { named.iter().map(|named| notes.text(&named.text)).collect() };
    let one = match &written.body {
        Body::Arg(args) => {
            let arg = |(name, default): &(Text, Option<Text>)| match default {
                Some(default) => Instruction::arg(&name.value, notes.text(default)),
                None => Instruction::arg_required(&name.value),
            };
            return args.iter().map(arg).collect();
        }
        Body::From(Named { text, name }) => {
            let mut from = From::new(notes.base(text));
            from.platform = written.flag_text("platform").map(|platform| platform.value.clone());
            from.stage = name.as_ref().map(|name| notes.stage(&name.value));
            from.into()
        }
        Body::Env(variables) => Instruction::Env(pairs(notes, variables)),
        Body::Label(labels) => Instruction::Label(pairs(notes, labels)),
        Body::Run(command) => run(written, command, notes).into(),
        Body::Copy(transfer) => copy(written, transfer, notes).into(),
        Body::Add(transfer) => add(written, transfer, notes).into(),
        Body::Workdir(path) => Instruction::workdir(notes.text(path)),
        Body::User(user) => Instruction::user(notes.text(user)),
        Body::Expose(ports) => Instruction::expose(named(notes, ports)),
        Body::Volume(paths) => Instruction::volume(named(notes, paths)),
        Body::Cmd(words) => Instruction::cmd(command(words, notes)),
        Body::Entrypoint(words) => Instruction::entrypoint(command(words, notes)),
        Body::HealthCheck(words) => health_check(written, words.as_ref(), notes).into(),
        Body::StopSignal(signal) => Instruction::stop_signal(&signal.value),
        Body::Shell(words) => Instruction::Shell(words.iter().map(|word| notes.text(word)).collect()),
        Body::OnBuild(inner) => {
            let inner = instructions(inner, notes).into_iter().next();
            return inner.map(|inner| Instruction::OnBuild(Box::new(inner))).into_iter().collect();
        }
    };
    vec![one]
}

fn command(command: &ast::Command, notes: &Notes) -> Command {
    match command {
        ast::Command::Shell(scripts) if notes.command.is_none() => {
            Command::all(scripts.iter().map(|script| notes.text(script)).collect::<Vec<_>>())
        }
        ast::Command::Shell(_) => Command::Shell(notes.command.clone().unwrap_or_default()),
        ast::Command::Exec(args) => Command::Exec(args.iter().map(|arg| notes.text(arg)).collect()),
    }
}

fn run(written: &ast::Instruction, words: &ast::Command, notes: &mut Notes) -> Run {
    let mut run = Run::from(command(words, notes));
    for flag in &written.flags {
        run = match (flag.name.value.as_str(), &flag.value) {
            ("mount", FlagValue::Options(options)) => run.mount(mount(options, notes)),
            ("network", FlagValue::One(network)) => run.network(&network.value),
            ("security", FlagValue::One(security)) => run.security(&security.value),
            _ => run,
        };
    }
    run
}

fn mount(options: &[(Text, Option<Text>)], notes: &mut Notes) -> RunMount {
    let kind = options.iter().find(|(key, _)| key.value == "type").and_then(|(_, kind)| kind.as_ref());
    let mut mount = RunMount::new(match kind.map_or("bind", |kind| kind.value.as_str()) {
        "cache" => MountKind::Cache,
        "tmpfs" => MountKind::Tmpfs,
        "secret" => MountKind::Secret,
        "ssh" => MountKind::Ssh,
        _ => MountKind::Bind,
    });
    for (key, value) in options {
        let text = value.as_ref().map(|value| notes.text(value)).unwrap_or_default();
        let on = text != "false";
        mount = match (plywood_syntax::checks::mount_key(&key.value), value) {
            ("from", Some(base)) => mount.from(notes.base(base)),
            ("target", _) => mount.target(text),
            ("source", _) => mount.source(text),
            ("id", _) => mount.id(text),
            ("sharing", _) => mount.sharing(text),
            ("mode", _) => mount.mode(text),
            ("uid", _) => mount.uid(text),
            ("gid", _) => mount.gid(text),
            ("size", _) => mount.size(text),
            ("env", _) => mount.env(text),
            ("required", _) if on => mount.required(),
            ("ro" | "readonly", _) => {
                if on {
                    mount.read_only()
                } else {
                    mount.writable()
                }
            }
            ("rw" | "readwrite", _) => {
                if on {
                    mount.writable()
                } else {
                    mount.read_only()
                }
            }
            _ => mount,
        };
    }
    mount
}

fn copy(written: &ast::Instruction, transfer: &Transfer, notes: &mut Notes) -> Copy {
    let written_here = || transfer.sources.iter().chain([&transfer.destination]).map(|path| notes.text(path)).collect();
    let mut sources: Vec<String> = notes.paths.clone().unwrap_or_else(written_here);
    let destination = sources.pop().unwrap_or_default();
    let mut copy = Copy::of(sources).to(destination);
    for (index, inline) in transfer.inline.iter().enumerate() {
        if let Some((_, facts)) = notes.contents.iter().find(|(at, _)| *at == index)
            && let Some((text, name)) = facts.split_last()
        {
            copy = copy.and_content(name.first().cloned(), text.clone(), inline.expands);
            continue;
        }
        let mut text = inline.text.value.clone();
        if notes.no_line_end.contains(&index) && text.ends_with('\n') {
            text.pop();
        }
        let name = inline.name.as_ref().map(|name| name.value.clone());
        copy = copy.and_content(name, text, inline.expands);
    }
    if let Some(files) = notes.embedded.take() {
        copy = copy.embedded(files);
    }
    for flag in &written.flags {
        let on = written.is_set(&flag.name.value);
        copy = match (flag.name.value.as_str(), &flag.value) {
            ("from", FlagValue::One(base)) => copy.from(notes.base(base)),
            ("chown", FlagValue::One(owner)) => copy.chown(notes.text(owner)),
            ("chmod", FlagValue::One(mode)) => copy.chmod(notes.text(mode)),
            ("exclude", FlagValue::One(pattern)) => copy.exclude(notes.text(pattern)),
            ("link", _) if on => copy.link(),
            ("parents", _) if on => copy.parents(),
            _ => copy,
        };
    }
    copy
}

fn add(written: &ast::Instruction, transfer: &Transfer, notes: &mut Notes) -> Add {
    let mut add = Add::sharing(copy(written, transfer, notes));
    for flag in &written.flags {
        let on = written.is_set(&flag.name.value);
        add = match (flag.name.value.as_str(), &flag.value) {
            ("checksum", FlagValue::One(checksum)) => add.checksum(&checksum.value),
            ("keep-git-dir", _) if on => add.keep_git_dir(),
            ("unpack", _) => {
                if on {
                    add.unpack()
                } else {
                    add.no_unpack()
                }
            }
            _ => add,
        };
    }
    add
}

fn health_check(written: &ast::Instruction, words: Option<&ast::Command>, notes: &Notes) -> HealthCheck {
    let Some(words) = words else { return HealthCheck::none() };
    let mut check = HealthCheck::cmd(command(words, notes));
    for flag in &written.flags {
        let FlagValue::One(text) = &flag.value else { continue };
        let time = duration::parse(&text.value).unwrap_or_default();
        check = match flag.name.value.as_str() {
            "interval" => check.interval(time),
            "timeout" => check.timeout(time),
            "start-period" => check.start_period(time),
            "start-interval" => check.start_interval(time),
            "retries" => check.retries(text.value.parse().unwrap_or_default()),
            _ => check,
        };
    }
    check
}
