//! The words of a Dockerfile: instructions, their flags, and what each flag takes.

use crate::finding::{Finding, Place};
use crate::suggest;

/// All instructions.
pub const KEYWORDS: [&str; 17] = [
    "FROM",
    "ARG",
    "ENV",
    "LABEL",
    "RUN",
    "COPY",
    "ADD",
    "WORKDIR",
    "USER",
    "EXPOSE",
    "VOLUME",
    "CMD",
    "ENTRYPOINT",
    "HEALTHCHECK",
    "STOPSIGNAL",
    "SHELL",
    "ONBUILD",
];

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// One value; the flag may be given once.
    Value,
    /// One value; the flag may be given several times.
    Values,
    /// Nothing, `true` or `false`.
    Switch,
    /// Keys and values separated by commas; the flag may be given several times.
    Options,
}

/// The flags of an instruction.
pub fn flags(keyword: &str) -> &'static [(&'static str, Takes)] {
    use Takes::{Options, Switch, Value, Values};
    match keyword {
        "FROM" => &[("platform", Value)],
        "RUN" => &[("mount", Options), ("network", Value), ("security", Value)],
        "COPY" => &[
            ("from", Value),
            ("chown", Value),
            ("chmod", Value),
            ("embed", Switch),
            ("link", Switch),
            ("parents", Switch),
            ("exclude", Values),
        ],
        "ADD" => &[
            ("chown", Value),
            ("chmod", Value),
            ("embed", Switch),
            ("link", Switch),
            ("checksum", Value),
            ("keep-git-dir", Switch),
            ("unpack", Switch),
            ("exclude", Values),
        ],
        "HEALTHCHECK" => &[
            ("interval", Value),
            ("timeout", Value),
            ("start-period", Value),
            ("start-interval", Value),
            ("retries", Value),
        ],
        _ => &[],
    }
}

/// What a flag of an instruction takes, if there is such a flag.
pub fn takes(keyword: &str, flag: &str) -> Option<Takes> {
    flags(keyword).iter().find(|(name, _)| *name == flag).map(|(_, takes)| *takes)
}

/// What to say about a word that is no instruction.
pub fn unknown_instruction(word: &str, place: Place) -> Finding {
    let upper = word.to_ascii_uppercase();
    if upper == "MAINTAINER" {
        return Finding::error("maintainer", place, "`MAINTAINER` is gone")
            .help("LABEL org.opencontainers.image.authors = \"…\";");
    }
    if KEYWORDS.contains(&upper.as_str()) {
        return Finding::error("lower_case_instruction", place, "instructions are written in upper case").help(upper);
    }
    Finding::error("unknown_instruction", place, format!("unknown instruction `{word}`"))
        .maybe_help(suggest::did_you_mean(word, KEYWORDS))
}

/// What an instruction needs, in words: for the message where it is missing.
pub fn argument(keyword: &str) -> (&'static str, &'static str) {
    match keyword {
        "FROM" => ("an image", "FROM \"debian:12\";"),
        "ARG" => ("a name", "ARG VERSION = \"1.0\";"),
        "ENV" => ("a name and a value", "ENV LOG = \"info\";"),
        "LABEL" => ("a key and a value", "LABEL org.opencontainers.image.title = \"web\";"),
        "RUN" => ("a command", "RUN \"apt-get update\";"),
        "COPY" => ("a source and a destination", "COPY \"source\" => \"/destination\";"),
        "ADD" => ("a source and a destination", "ADD \"source.tar.gz\" => \"/destination/\";"),
        "WORKDIR" => ("a path", "WORKDIR \"/app\";"),
        "USER" => ("a user", "USER \"app\";"),
        "EXPOSE" => ("a port", "EXPOSE 80;"),
        "VOLUME" => ("a path", "VOLUME \"/data\";"),
        "CMD" => ("a command", "CMD [\"serve\"];"),
        "ENTRYPOINT" => ("a command", "ENTRYPOINT [\"serve\"];"),
        "HEALTHCHECK" => ("`CMD` or `NONE`", "HEALTHCHECK CMD [\"web\", \"--check\"];"),
        "STOPSIGNAL" => ("a signal", "STOPSIGNAL SIGTERM;"),
        "SHELL" => ("an array", "SHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"];"),
        _ => ("an instruction", "ONBUILD COPY \"src\" => \"/src/\";"),
    }
}

/// Signals by name, without `SIG`, and their numbers on Linux.
pub const SIGNALS: [(&str, u8); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// The number of a signal given as `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3` or `RTMAX-1`.
pub fn signal(text: &str) -> Option<u8> {
    if let Ok(number) = text.parse::<u8>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |rest: &str, sign: char| match rest {
        "" => Some(0),
        rest => rest.strip_prefix(sign)?.parse::<u8>().ok().filter(|offset| *offset <= 30),
    };
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return real_time(rest, '+').map(|offset| 34 + offset);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return real_time(rest, '-').map(|offset| 64 - offset);
    }
    SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_and_number() {
        for (text, number) in [
            ("SIGTERM", Some(15)),
            ("term", Some(15)),
            ("9", Some(9)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMAX", Some(64)),
            ("SIGTREM", None),
            ("0", None),
            ("65", None),
            ("RTMIN+99", None),
        ] {
            assert_eq!(signal(text), number, "{text}");
        }
    }

    #[test]
    fn a_word_that_is_no_instruction_is_explained() {
        assert_eq!(unknown_instruction("COPPY", Place(0)).help.as_deref(), Some("did you mean `COPY`?"));
        assert_eq!(unknown_instruction("run", Place(0)).name, "lower_case_instruction");
        assert_eq!(unknown_instruction("MAINTAINER", Place(0)).name, "maintainer");
    }
}
