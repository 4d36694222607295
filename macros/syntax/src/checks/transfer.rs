//! `COPY` and `ADD`, and where `--from` points.

use super::command::is_owner;
use super::{Checker, files};
use crate::ast::{Body, Form, Instruction, Origin, Text, Transfer};
use crate::finding::{Finding, Place};
use crate::{glob, path, reference};

impl Checker<'_> {
    pub(super) fn transfer(&mut self, instruction: &Instruction, transfer: &Transfer, on_build: bool) {
        let is_add = matches!(instruction.body, Body::Add(_));
        self.owner_and_mode(instruction);
        if let Some(from) = instruction.flag_text("from") {
            self.copy_from(from, instruction.place);
        }
        if let Some(checksum) = instruction.flag_text("checksum") {
            self.checksum(checksum, transfer);
        }
        self.destination(transfer);
        if instruction.is_set("embed") {
            self.embedding(instruction, transfer, on_build);
        }
        for source in transfer.sources.iter().chain(instruction.flags.iter().filter_map(exclude)) {
            if let Some(Err(problem)) = source.known().map(glob::check) {
                self.problem(problem, source);
            }
        }
        if !instruction.is_from_context() {
            return;
        }
        for source in &transfer.sources {
            let Some(value) = source.plain().filter(|value| glob::check(value).is_ok()) else { continue };
            if path::is_url(value) || path::is_git(value) {
                if !is_add {
                    let destination = transfer.destination.known().unwrap_or("…");
                    self.report(
                        Finding::error("url_in_copy", source.place, "`COPY` does not download")
                            .help(format!("ADD \"{value}\" => \"{destination}\";")),
                    );
                }
                continue;
            }
            match path::clean_source(value) {
                None => self.report(
                    Finding::error("outside_context", source.place, format!("`{value}` is outside the build context"))
                        .help("the context is the package root; `#![context(\"..\")]` widens it"),
                ),
                // What another image finds in its own context cannot be known here.
                Some(_) if on_build => {}
                Some(clean) => {
                    if let Some(finding) = self.around.files.and_then(|files| files::source(files, source, &clean)) {
                        self.report(finding);
                    }
                }
            }
        }
    }

    /// What is embedded is in the package when the program is compiled.
    fn embedding(&mut self, instruction: &Instruction, transfer: &Transfer, on_build: bool) {
        let place = instruction.flag("embed").map_or(instruction.place, |flag| flag.name.place);
        let mut refuse = |place, message: &str, help: &str| {
            self.report(Finding::error("bad_embed", place, message).help(help));
        };
        if instruction.flag("from").is_some() {
            refuse(
                place,
                "`--embed` is for files of the build context, and `--from` names other ones",
                "leave one of them away",
            );
        }
        if on_build {
            refuse(place, "`ONBUILD` cannot embed: another image has another context", "remove `--embed`");
        }
        if !transfer.inline.is_empty() {
            refuse(place, "inline content is part of the program already", "remove `--embed`");
        }
        for source in &transfer.sources {
            match source.plain() {
                None => refuse(
                    source.place,
                    "what is embedded is known when the program is compiled",
                    "write the path itself",
                ),
                Some(value) if path::is_url(value) || path::is_git(value) => {
                    refuse(source.place, "what is downloaded cannot be embedded", "remove `--embed`");
                }
                Some(_) => {}
            }
        }
    }

    fn destination(&mut self, transfer: &Transfer) {
        let destination = &transfer.destination;
        let Some(value) = destination.known() else { return };
        // What a variable at the end stands for may end in a slash.
        let open_end = value.contains('$') && !value.ends_with('/');
        if transfer.sources.len() + transfer.inline.len() > 1 && !path::is_directory(value) && !open_end {
            self.report(
                Finding::error("needs_directory", destination.place, "several sources need a directory to go into")
                    .help(format!("end it with a slash: `\"{value}/\"`")),
            );
        } else if transfer.inline.iter().any(|inline| inline.name.is_none()) && path::is_directory(value) {
            self.report(
                Finding::error("inline_directory", destination.place, "inline content needs a file to go into")
                    .help(format!("\"{}/app.toml\"", value.trim_end_matches('/'))),
            );
        }
        self.tilde(destination);
    }

    fn owner_and_mode(&mut self, instruction: &Instruction) {
        if let Some(owner) = instruction.flag_text("chown")
            && owner.plain().is_some_and(|value| !is_owner(value))
        {
            let message = "`--chown` reads `user`, `user:group` or numbers";
            self.report(Finding::error("bad_owner", owner.place, message).help("--chown=\"app:app\""));
        }
        if let Some(mode) = instruction.flag_text("chmod")
            && let Some(value) = mode.plain().filter(|value| !is_mode(value))
        {
            self.report(
                Finding::error("bad_mode", mode.place, format!("`--chmod={value}` is not a mode"))
                    .help("octal up to 7777, or symbolic like \"u=rwX,go=rX\""),
            );
        }
    }

    fn checksum(&mut self, checksum: &Text, transfer: &Transfer) {
        if checksum.plain().is_some_and(|value| reference::parse_digest(value).is_err()) {
            let message = "a checksum reads `sha256:` and 64 hexadecimal digits";
            self.report(Finding::error("bad_checksum", checksum.place, message));
        }
        let local = |source: &Text| source.plain().is_some_and(|value| !path::is_url(value) && !path::is_git(value));
        if !transfer.sources.is_empty() && transfer.sources.iter().all(local) {
            let message = "`--checksum` is for URLs and git sources";
            self.report(Finding::error("checksum_local", checksum.place, message));
        }
    }

    /// Where `--from` or the `from` of a mount points. `place` is of the instruction it belongs to.
    pub(super) fn copy_from(&mut self, from: &Text, place: Place) {
        match self.origin(from) {
            Origin::Image => {
                if from.value.contains('$') {
                    let finding = Finding::error("from_expands", from.place, "`--from` takes no variables");
                    let help = format!("FROM \"{}\" as name; then --from=name", from.value);
                    return self.report(finding.help(help));
                }
                if let Err(problem) = reference::parse(&from.value) {
                    self.problem(problem, from);
                }
            }
            Origin::Scratch => {
                let message = "`scratch` has nothing to copy";
                self.report(Finding::error("unknown_stage", from.place, message));
            }
            Origin::Stage => self.stage_before(from, place),
            Origin::Unknown => self.unknown_stage(from, place),
            Origin::StageNumber | Origin::Type | Origin::Value => {}
        }
    }
}

fn exclude(flag: &crate::ast::Flag) -> Option<&Text> {
    match &flag.value {
        crate::ast::FlagValue::One(text) if flag.name.value == "exclude" => Some(text),
        _ => None,
    }
}

/// Whether a text is an octal mode up to 7777 or a symbolic one.
fn is_mode(text: &str) -> bool {
    let octal =
        |text: &str| (1..=5).contains(&text.len()) && u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= 0o7777);
    let symbolic = |part: &str| {
        let rest = part.trim_start_matches(['u', 'g', 'o', 'a']);
        rest.starts_with(['+', '-', '=']) && rest[1..].chars().all(|c| "rwxXstugo+-=".contains(c))
    };
    octal(text) || !text.is_empty() && text.split(',').all(symbolic)
}

/// Whether the owner is a name that needs `/etc/passwd` or `/etc/group`.
pub(super) fn needs_lookup(owner: &Text) -> bool {
    owner.form != Form::Expression
        && owner
            .plain()
            .is_some_and(|value| is_owner(value) && value.split(':').any(|part| part.parse::<u32>().is_err()))
}
