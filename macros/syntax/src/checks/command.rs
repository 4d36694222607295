//! `RUN` and its mounts, `ENTRYPOINT`, `HEALTHCHECK`, `STOPSIGNAL`, `USER`, `EXPOSE`, `VOLUME`.

use std::ops::Range;
use std::time::Duration;

use super::Checker;
use super::shells::Shell;
use crate::ast::{Command, FlagValue, Form, Instruction, Text};
use crate::finding::Finding;
use crate::{duration, grammar, port, shell, suggest};

/// Mount types and the keys each takes besides `type`; the first name of a group is the one to write.
const MOUNTS: [(&str, &[&str]); 5] = [
    ("bind", &["target", "source", "from", "rw", "readwrite", "ro", "readonly"]),
    (
        "cache",
        &["id", "target", "source", "from", "sharing", "mode", "uid", "gid", "ro", "readonly", "rw", "readwrite"],
    ),
    ("tmpfs", &["target", "size"]),
    ("secret", &["id", "target", "source", "required", "mode", "uid", "gid", "env"]),
    ("ssh", &["id", "target", "required", "mode", "uid", "gid"]),
];

/// Short names of mount keys.
pub fn mount_key(key: &str) -> &str {
    match key {
        "dst" | "destination" => "target",
        "src" => "source",
        key => key,
    }
}

impl Checker<'_> {
    pub(super) fn run(&mut self, instruction: &Instruction, command: &Command) {
        match command {
            Command::Exec(args) if args.is_empty() => self.empty_command(instruction),
            Command::Exec(_) => {}
            Command::Shell(scripts) => {
                self.shell = self.shell.reading(scripts);
                for script in scripts {
                    if let (Some(facts), Some(text)) = (self.script(script), script.known()) {
                        self.script_warnings(script, text, &facts, scripts.len() == 1);
                    }
                }
            }
        }
        for flag in &instruction.flags {
            match (flag.name.value.as_str(), &flag.value) {
                ("mount", FlagValue::Options(options)) => self.mount(&flag.name, options),
                ("network", FlagValue::One(text)) => {
                    self.one_of(text, "bad_network", "network", &["default", "none", "host"]);
                }
                ("security", FlagValue::One(text)) => {
                    self.one_of(text, "bad_security", "security mode", &["sandbox", "insecure"]);
                }
                _ => {}
            }
        }
    }

    /// A command, which may be a script.
    pub(super) fn command(&mut self, command: &Command) {
        if let Command::Shell(scripts) = command {
            scripts.iter().for_each(|script| drop(self.script(script)));
        }
    }

    /// What a script does, if it is right and its language is known.
    fn script(&mut self, script: &Text) -> Option<shell::Facts> {
        let text = script.known().filter(|_| self.shell != Shell::Other)?;
        let read = shell::read(text);
        let before = self.findings.len();
        self.characters(script, text, read.as_ref().map_or(&[], |facts| &facts.quoted));
        // A quote that is none explains what the shell would stumble over.
        if self.findings.len() > before {
            return None;
        }
        let problem = match read {
            Ok(facts) => return Some(facts),
            Err(problem) => problem,
        };
        let mut finding = Finding::error("shell_syntax", script.place, format!("shell: {}", problem.message));
        finding.note = problem.note;
        self.report(finding.maybe_help(problem.help).at(problem.range));
        None
    }

    /// Characters that look like others. `quoted` is where they mean themselves.
    fn characters(&mut self, script: &Text, text: &str, quoted: &[Range<usize>]) {
        let slashes = text.len() - text.trim_end_matches('\\').len();
        if slashes % 2 == 1 {
            self.report(
                Finding::error(
                    "trailing_backslash",
                    script.place,
                    "backslash at the end of the script escapes nothing",
                )
                .help("remove it, or continue the command on the next line")
                .at(text.len() - 1..text.len()),
            );
        }
        for (at, c) in text.char_indices() {
            let (name, message, help) = match c {
                '“' | '”' => (
                    "typographic",
                    format!("shell: `{c}` is a typographic quote, which the shell takes as a letter"),
                    "\"",
                ),
                '‘' | '’' => (
                    "typographic",
                    format!("shell: `{c}` is a typographic quote, which the shell takes as a letter"),
                    "'",
                ),
                '\u{a0}' | '\u{202f}' | '\u{2007}' => {
                    ("odd_space", "shell: this is a non-breaking space".to_owned(), "write a plain space")
                }
                _ => continue,
            };
            if quoted.get(quoted.partition_point(|range| range.end <= at)).is_some_and(|range| range.contains(&at)) {
                continue;
            }
            self.report(Finding::error(name, script.place, message).help(help).at(at..at + c.len_utf8()));
        }
    }

    fn one_of(&mut self, text: &Text, name: &'static str, what: &str, known: &[&str]) {
        let Some(value) = text.plain().filter(|value| !known.contains(value)) else { return };
        let all = format!("`{}`", known.join("`, `"));
        let all = match all.rfind(", ") {
            Some(at) => format!("{} or {}", &all[..at], &all[at + 2..]),
            None => all,
        };
        let help = suggest::did_you_mean(value, known.iter().copied()).unwrap_or(all);
        self.report(Finding::error(name, text.place, format!("unknown {what} `{value}`")).help(help));
    }

    fn mount(&mut self, flag: &Text, options: &[(Text, Option<Text>)]) {
        let get = |wanted: &str| options.iter().find(|(key, _)| mount_key(&key.value) == wanted);
        let kind = match get("type") {
            None => "bind",
            Some((_, Some(text))) => match text.plain() {
                // Which keys a mount has depends on it.
                None => {
                    let message = "the type of a mount cannot hold a variable".to_owned();
                    return self.report(Finding::error("bad_mount_type", text.place, message).help("type=cache"));
                }
                Some(kind) => match MOUNTS.iter().find(|(known, _)| *known == kind) {
                    Some((known, _)) => known,
                    None => {
                        let known = MOUNTS.map(|(known, _)| known);
                        return self.one_of(text, "bad_mount_type", "mount type", &known);
                    }
                },
            },
            Some((key, None)) => {
                let finding = Finding::error("bad_mount_type", key.place, "`type` needs a value");
                return self.report(finding.help("type=cache"));
            }
        };
        let known: &[&str] = MOUNTS.iter().find(|(name, _)| *name == kind).map_or(&[], |(_, keys)| keys);
        for (index, (key, value)) in options.iter().enumerate() {
            let name = mount_key(&key.value);
            if options[..index].iter().any(|(before, _)| mount_key(&before.value) == name) {
                let message = format!("`{}` is given twice in this mount", key.value);
                self.report(Finding::error("repeated_flag", key.place, message));
            }
            if name != "type" && !known.contains(&name) {
                self.mount_key_of_others(key, name, kind, known);
            }
            let switch = ["ro", "readonly", "rw", "readwrite", "required"].contains(&name);
            match value {
                None if !switch => {
                    self.report(Finding::error("flag_value", key.place, format!("`{}` needs a value", key.value)));
                }
                Some(text) if switch && text.plain().is_some_and(|value| !["true", "false"].contains(&value)) => {
                    let message = format!("`{}` takes only `true` or `false`", key.value);
                    self.report(Finding::error("flag_value", text.place, message));
                }
                _ => {}
            }
        }
        if let Some((_, Some(sharing))) = get("sharing") {
            self.one_of(sharing, "bad_sharing", "sharing", &["shared", "private", "locked"]);
        }
        let has = |keys: &[&str]| keys.iter().any(|key| get(key).is_some());
        let missing = match kind {
            "bind" | "cache" | "tmpfs" if !has(&["target"]) => Some("`target=`"),
            "secret" if !has(&["id", "source", "target"]) => Some("`id=`, `source=` or `target=`"),
            _ => None,
        };
        if let Some(missing) = missing {
            self.report(Finding::error("mount_needs", flag.place, format!("a `{kind}` mount needs {missing}")));
        }
        if let Some((_, Some(from))) = get("from") {
            self.copy_from(from, flag.place);
        }
    }

    fn mount_key_of_others(&mut self, key: &Text, name: &str, kind: &str, known: &[&str]) {
        let owners: Vec<String> = MOUNTS
            .iter()
            .filter(|(_, keys)| keys.contains(&name))
            .map(|(owner, _)| format!("`type={owner}`"))
            .collect();
        let finding = if owners.is_empty() {
            Finding::error("bad_mount_key", key.place, format!("a `{kind}` mount has no `{}`", key.value))
                .maybe_help(suggest::did_you_mean(&key.value, known.iter().copied()))
        } else {
            let message = format!("`{}` is only for {}", key.value, owners.join(" and "));
            Finding::error("bad_mount_key", key.place, message)
        };
        self.report(finding);
    }

    fn empty_command(&mut self, instruction: &Instruction) {
        let message = format!("`{} []` has no program", instruction.keyword());
        self.report(Finding::error("empty_command", instruction.place, message));
    }

    pub(super) fn entrypoint(&mut self, instruction: &Instruction, command: &Command) {
        match command {
            Command::Exec(args) if args.is_empty() => self.empty_command(instruction),
            command => self.command(command),
        }
    }

    pub(super) fn health_check(&mut self, instruction: &Instruction, command: Option<&Command>) {
        match command {
            None if !instruction.flags.is_empty() => {
                let place = instruction.flags[0].name.place;
                self.report(Finding::error("healthcheck_none", place, "`HEALTHCHECK NONE` takes no flags"));
            }
            Some(Command::Exec(args)) if args.is_empty() => self.empty_command(instruction),
            Some(command) => self.command(command),
            None => {}
        }
        for flag in &instruction.flags {
            let FlagValue::One(text) = &flag.value else { continue };
            let Some(value) = text.known() else { continue };
            match flag.name.value.as_str() {
                "retries" if !value.parse::<u32>().is_ok_and(|retries| retries > 0) => {
                    self.report(Finding::error("bad_retries", text.place, "`--retries` is at least 1"));
                }
                "interval" | "timeout" | "start-period" | "start-interval" => match duration::parse(value) {
                    None => self.report(
                        Finding::error("bad_duration", text.place, format!("`{value}` is not a duration"))
                            .help("`500ms`, `5s`, `1m30s`"),
                    ),
                    Some(time) if time < Duration::from_millis(1) => {
                        self.report(Finding::error("short_duration", text.place, "a duration is at least 1ms"));
                    }
                    Some(_) => {}
                },
                _ => {}
            }
        }
    }

    pub(super) fn signal(&mut self, signal: &Text) {
        let Some(value) = signal.plain().filter(|value| grammar::signal(value).is_none()) else { return };
        let finding = Finding::error("bad_signal", signal.place, format!("unknown signal `{value}`"));
        let names = grammar::SIGNALS.map(|(name, _)| format!("SIG{name}"));
        let full = if value.to_ascii_uppercase().starts_with("SIG") { value.to_owned() } else { format!("SIG{value}") };
        self.report(finding.maybe_help(suggest::did_you_mean(&full, names.iter().map(String::as_str))));
    }

    pub(super) fn user(&mut self, user: &Text) {
        if user.plain().is_some_and(|value| !is_owner(value)) {
            self.report(
                Finding::error("bad_user", user.place, "`USER` reads `user`, `user:group` or numbers")
                    .help("USER \"app:app\";"),
            );
        }
    }

    pub(super) fn port(&mut self, port: &Text) {
        if let Some(value) = port.plain() {
            if let Err(problem) = port::parse(value) {
                return self.problem(problem, port);
            }
            if port.form == Form::Quoted && value.bytes().all(|byte| byte.is_ascii_digit()) {
                self.report(
                    Finding::error("port_text", port.place, "ports are numbers").help(format!("EXPOSE {value};")),
                );
            }
        }
    }

    pub(super) fn volume(&mut self, path: &Text) {
        let Some(value) = path.plain() else { return };
        if value.contains(':') {
            return self.report(
                Finding::error("volume_mapping", path.place, "a volume names a path in the container only")
                    .help("the host side is given when the container starts"),
            );
        }
        if value.starts_with('~') {
            return self.tilde(path);
        }
        if !value.starts_with('/') {
            self.report(
                Finding::error("volume_relative", path.place, "a volume is a path from the root")
                    .help(format!("VOLUME \"/{value}\";")),
            );
        }
    }

    pub(super) fn tilde(&mut self, path: &Text) {
        if path.known().is_some_and(|value| value == "~" || value.starts_with("~/")) {
            self.report(
                Finding::error("tilde", path.place, "`~` is not expanded here")
                    .help("write the home directory in full, as in `/root`")
                    .at(0..1),
            );
        }
    }
}

/// Whether a text reads `user`, `user:group` or numbers.
pub(super) fn is_owner(text: &str) -> bool {
    let mut parts = text.split(':');
    let good = |part: &str| {
        let number_fits = part.parse::<u64>().map_or(true, |number| number <= i32::MAX as u64);
        !part.is_empty() && number_fits && !part.contains(char::is_whitespace) && !part.starts_with('-')
    };
    parts.next().is_some_and(good) && parts.next().is_none_or(good) && parts.next().is_none()
}
