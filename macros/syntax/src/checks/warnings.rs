//! Warnings: what builds and probably disappoints.

use super::{Checker, FileKind};
use crate::ast::{Body, Command, Form, Instruction, Named, Origin, Text, Transfer};
use crate::finding::{Finding, Place};
use crate::{path, suggest};

/// Words in the name of a variable that stand for something secret.
const SECRET: [&str; 12] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "passwd",
    "pword",
    "secret",
    "token",
    "secrets",
    "passphrase",
];
/// Words beside them that take it back.
const PUBLIC: [&str; 2] = ["public", "file"];
/// Names of files that hold secrets.
const SECRET_FILES: [&str; 7] = [".env", "id_rsa", "id_ed25519", "id_ecdsa", ".npmrc", ".netrc", "credentials"];

impl<'a> Checker<'a> {
    fn warn(&mut self, name: &'static str, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.report(Finding::warning(name, place, message).help(help));
    }

    /// One instruction by itself.
    pub(super) fn warnings(&mut self, instruction: &'a Instruction) {
        if let Some(from) = instruction.flag_text("from") {
            self.stage_as_image(from);
        }
        match &instruction.body {
            Body::From(Named { text, .. }) => self.base_warnings(instruction, text),
            Body::Env(pairs) => pairs.iter().for_each(|(name, _)| self.secret_name(name, "ENV")),
            Body::Arg(pairs) => pairs.iter().for_each(|(name, _)| self.secret_name(name, "ARG")),
            Body::Label(pairs) => {
                for (key, value) in pairs {
                    let time = key.value == "org.opencontainers.image.created";
                    if let Some(text) = value.plain().filter(|text| time && !is_time(text)) {
                        let message = format!("`{}` is an RFC 3339 time, and `{text}` is none", key.value);
                        self.warn("label_value", value.place, message, "\"2026-01-31T12:00:00Z\"");
                    }
                }
            }
            Body::Copy(transfer) | Body::Add(transfer) => {
                let from_context = instruction.is_from_context();
                for source in transfer.sources.iter().filter(|_| from_context) {
                    let Some(value) = source.plain() else { continue };
                    self.source_warnings(instruction, source, value);
                }
                if from_context && transfer.sources.len() > 1 && !instruction.is_set("parents") {
                    self.directory_contents(instruction, transfer);
                }
            }
            Body::Run(Command::Exec(args)) => self.array_warnings(args),
            Body::Cmd(command) | Body::Entrypoint(command) => match command {
                Command::Exec(args) => self.array_warnings(args),
                Command::Shell(scripts) => {
                    let words = scripts.first().and_then(Text::plain).filter(|_| scripts.len() == 1);
                    let plain =
                        words.filter(|script| script.bytes().all(|b| !b"|&;<>()$`\\\"'*?[#~={%!\n".contains(&b)));
                    let help = plain.map(|script| {
                        let words: Vec<&str> = script.split_whitespace().collect();
                        format!("{} [\"{}\"]", instruction.keyword(), words.join("\", \""))
                    });
                    let message = format!(
                        "`{}` as a string runs under a shell, which does not pass signals on",
                        instruction.keyword()
                    );
                    self.report(Finding::warning("shell_form", instruction.place, message).maybe_help(help));
                }
            },
            _ => {}
        }
    }

    fn base_warnings(&mut self, instruction: &Instruction, text: &Text) {
        if self.origin(text) == Origin::Image
            && let Some(value) = text.plain()
            && let Ok(parts) = crate::reference::parse(value)
            && !self.stage_as_image(text)
            && parts.tag.is_none()
            && parts.digest.is_none()
        {
            let message = format!("`{value}` names no tag, so it means `:latest` and changes under you");
            self.warn("unpinned_base", text.place, message, "write a tag or a digest");
        }
        if let Some(platform) = instruction.flag_text("platform")
            && ["$TARGETPLATFORM", "${TARGETPLATFORM}"].contains(&platform.value.as_str())
        {
            let message = format!("`--platform={}` is what happens anyway", platform.value);
            self.warn("redundant_platform", platform.place, message, "remove it");
        }
    }

    /// A string that names an image, and a stage as well.
    fn stage_as_image(&mut self, text: &Text) -> bool {
        let name = &text.value;
        let is_both = text.form == Form::Quoted && self.stage_names().any(|stage| stage == name);
        if is_both {
            let message = format!("`\"{name}\"` is an image on a registry, and a stage has that name too");
            self.warn("stage_as_image", text.place, message, format!("the stage is written without quotes: {name}"));
        }
        is_both
    }

    fn secret_name(&mut self, name: &Text, keyword: &str) {
        let words: Vec<String> = name.value.split('_').map(str::to_ascii_lowercase).collect();
        let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
        if name.plain().is_some() && has(&SECRET) && !has(&PUBLIC) && !words.iter().any(|word| word == "version") {
            let message = format!(
                "`{}` looks like a secret, and {keyword} stores it in the image for anyone to read",
                name.value
            );
            let id = name.value.to_ascii_lowercase();
            let help = format!("pass it with `RUN --mount=type=secret,id={id}` or when the container starts");
            self.warn("secret_in_env", name.place, message, help);
        }
    }

    fn source_warnings(&mut self, instruction: &Instruction, source: &Text, value: &str) {
        let is_add = matches!(instruction.body, Body::Add(_));
        let (url, git) = (path::is_url(value), path::is_git(value));
        if url && !git && is_add && instruction.flag("checksum").is_none() {
            self.warn(
                "add_without_checksum",
                source.place,
                "the download is not checked",
                "add `--checksum=\"sha256:…\"`",
            );
        }
        if url || git {
            return;
        }
        let name = value.trim_end_matches('/').rsplit('/').next().unwrap_or(value);
        let copied = instruction.flag("unpack").is_none() && instruction.flag("checksum").is_none();
        let archive = [".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst", ".txz", ".tbz2"];
        let pattern = crate::glob::is_pattern(value);
        if is_add && copied && !pattern && !archive.iter().any(|end| name.ends_with(end)) {
            self.warn("add_for_copy", instruction.place, "`COPY` does the same here and says so", "COPY");
        }
        if value.starts_with('/') && value.len() > 1 {
            let message = format!("`{value}` is read from the build context; the leading `/` means nothing");
            self.warn("source_slash", source.place, message, format!("\"{}\"", value.trim_start_matches('/')));
        }
        if SECRET_FILES.contains(&name) || name.ends_with(".pem") || name.ends_with(".key") {
            let message = format!("`{value}` looks like a secret and will be in the image");
            self.warn("secret_file", source.place, message, "RUN --mount=type=secret,…");
        }
        let Some(files) = self.around.files else { return };
        if path::clean_source(value).is_some_and(|clean| clean.is_empty()) && files.ignore().is_empty() {
            let there: Vec<&str> =
                ["target", ".git", "node_modules"].into_iter().filter(|name| files.kind(name).is_some()).collect();
            if !there.is_empty() {
                let message = format!("`{value}` copies `{}` too; there is no `.dockerignore`", there.join("`, `"));
                self.warn("whole_context", source.place, message, "write a `.dockerignore`, or name what is needed");
            }
        }
    }

    /// A directory among several sources: its name is lost.
    fn directory_contents(&mut self, instruction: &Instruction, transfer: &Transfer) {
        let Some(files) = self.around.files else { return };
        for source in &transfer.sources {
            let Some(value) = source.plain().filter(|value| !crate::glob::is_pattern(value)) else { continue };
            let Some(clean) = path::clean_source(value).filter(|clean| !clean.is_empty()) else { continue };
            if files.kind(&clean) != Some(FileKind::Directory) {
                continue;
            }
            let to = &transfer.destination.value;
            let message = format!("`{value}` is a directory, so its contents go to `{to}`, not the directory itself");
            let help = format!("{} \"{value}\" => \"{}/{clean}/\";", instruction.keyword(), to.trim_end_matches('/'));
            self.warn("directory_contents", source.place, message, help);
        }
    }

    fn array_warnings(&mut self, args: &[Text]) {
        let is_shell = args.first().and_then(Text::known).is_some_and(|program| {
            ["sh", "bash", "ash", "dash", "cmd", "powershell", "pwsh"]
                .contains(&program.rsplit('/').next().unwrap_or(program))
        });
        for (index, arg) in args.iter().enumerate() {
            let Some(value) = arg.known() else { continue };
            if index == 0 && value.contains(' ') && !value.starts_with('/') {
                let message = format!("this names one program called `{value}`");
                let words: Vec<&str> = value.split_whitespace().collect();
                self.warn(
                    "spaces_in_program",
                    arg.place,
                    message,
                    format!("one element for each: \"{}\"", words.join("\", \"")),
                );
            } else if is_shell {
                continue;
            } else if ["&&", "||", "|", ";", ">", "<", ">>"].contains(&value) {
                let message = format!("`{value}` in an array is an argument, not an operator; no shell reads it");
                self.warn("operator_in_array", arg.place, message, "write the command as a string");
            } else if value.starts_with('$')
                && value.len() > 1
                && crate::variables::uses(value).is_ok_and(|uses| uses.len() == 1)
            {
                let message = format!("`{value}` in an array is not expanded; no shell reads it");
                self.warn("variable_in_array", arg.place, message, "write the command as a string");
            }
        }
    }

    /// What instructions of a stage say to each other.
    pub(super) fn stage_warnings(&mut self) {
        // A misspelt name, which is an error already, uses the stage that was probably meant.
        let names = |text: &Text, wanted: &str| {
            text.value == wanted
                || self.origin(text) == Origin::Unknown && suggest::nearest(&text.value, [wanted]).is_some()
        };
        let used = |wanted: &str| {
            self.instructions.iter().any(|instruction| {
                let base = matches!(&instruction.body, Body::From(from) if names(&from.text, wanted));
                let from = instruction.flag_text("from").is_some_and(|from| names(from, wanted));
                let mount = instruction.flags.iter().any(|flag| {
                    matches!(&flag.value, crate::ast::FlagValue::Options(options)
                        if options.iter().any(|(key, value)| key.value == "from" && value.as_ref().is_some_and(|value| names(value, wanted))))
                });
                base || from || mount
            })
        };
        let last = self.instructions.iter().rposition(|instruction| matches!(instruction.body, Body::From(_)));
        let by_number = self
            .instructions
            .iter()
            .any(|instruction| instruction.flag_text("from").is_some_and(|from| from.form == Form::StageNumber));
        let mut unused = Vec::new();
        for (index, instruction) in self.instructions.iter().enumerate() {
            if let Body::From(Named { name: Some(name), .. }) = &instruction.body
                && Some(index) != last
                && !by_number
                && !used(&name.value)
            {
                unused.push(name);
            }
        }
        for name in unused {
            let message = format!("stage `{}` is never used", name.value);
            self.report(Finding::warning("unused_stage", name.place, message));
        }
        self.end_warnings();
    }

    /// `CMD` and `ENTRYPOINT` together, and the user at the end.
    fn end_warnings(&mut self) {
        let mut stages: Vec<(Option<&'a str>, Ending<'a>)> = Vec::new();
        for instruction in self.instructions {
            if let Body::From(Named { text, name }) = &instruction.body {
                let base =
                    stages.iter().find(|(name, _)| *name == Some(text.value.as_str()) && text.form != Form::Quoted);
                let ending =
                    Ending { base_cmd: base.and_then(|(name, ending)| ending.cmd.and(*name)), ..Ending::default() };
                stages.push((name.as_ref().map(|name| name.value.as_str()), ending));
            }
            let Some((_, ending)) = stages.last_mut() else { continue };
            match &instruction.body {
                Body::Cmd(_) => ending.cmd = Some(instruction),
                Body::Entrypoint(_) => ending.entrypoint = Some(instruction),
                Body::User(user) => ending.user = Some(user),
                Body::From(_) => ending.from = Some(instruction),
                _ => {}
            }
        }
        for (_, ending) in &stages {
            let Some(entrypoint) = ending.entrypoint else { continue };
            let is_shell = matches!(entrypoint.body, Body::Entrypoint(Command::Shell(_)));
            match (ending.cmd, ending.base_cmd) {
                (Some(cmd), _) if is_shell => {
                    let message = "`ENTRYPOINT` as a string ignores this `CMD`";
                    self.warn("cmd_ignored", cmd.place, message, "write ENTRYPOINT as an array");
                }
                (None, Some(base)) => {
                    let message = format!("`ENTRYPOINT` drops the `CMD` of stage `{base}`");
                    self.warn("cmd_reset", entrypoint.place, message, "set `CMD` again if it is needed");
                }
                _ => {}
            }
        }
        if let Some((_, Ending { user, from: Some(from), .. })) = stages.last()
            && user.is_none_or(|user| matches!(user.plain(), Some("root" | "0")))
        {
            let place = user.map_or(from.place, |user| user.place);
            self.warn("runs_as_root", place, "the container runs as root", "add `USER`");
        }
    }
}

/// What a stage leaves behind.
#[derive(Default)]
struct Ending<'a> {
    from: Option<&'a Instruction>,
    cmd: Option<&'a Instruction>,
    entrypoint: Option<&'a Instruction>,
    user: Option<&'a Text>,
    /// The stage that it stands on, if that has a `CMD`.
    base_cmd: Option<&'a str>,
}

/// Whether a text looks like an RFC 3339 time.
fn is_time(text: &str) -> bool {
    let shape = |c: char| if c.is_ascii_digit() { '0' } else { c };
    let head: String = text.chars().take(19).map(shape).collect();
    let rest = text.get(19..).unwrap_or_default().trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    head.replace("t", "T") == "0000-00-00T00:00:00"
        && (rest.eq_ignore_ascii_case("z") || rest.len() == 6 && rest.starts_with(['+', '-']))
}
