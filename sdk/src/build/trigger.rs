//! Triggers: instructions that `ONBUILD` left as text in a base image.

use std::iter::Peekable;
use std::str::Chars;

use crate::error::{ErrorKind, Fault, Result};
use crate::image::{Add, Arg, Base, Command, Copy, Instruction, Layers, Run};

#[derive(Debug, thiserror::Error)]
enum TriggerFault {
    #[error("ONBUILD {text:?} of the base image: {why}")]
    Malformed { text: String, why: String },
    #[error("ONBUILD {text:?} of the base image: plywood cannot carry out {what} as a trigger")]
    Unsupported { text: String, what: String },
}

impl Fault for TriggerFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Malformed { .. } => ErrorKind::InvalidArgument,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
        }
    }
}

/// Reads one instruction as Docker records it. `is_stage` says which names of `--from` are stages.
pub(super) fn parse(text: &str, is_stage: &dyn Fn(&str) -> bool) -> Result<Instruction> {
    let malformed = |why: &str| TriggerFault::Malformed { text: text.to_owned(), why: why.to_owned() };
    let unsupported = |what: String| TriggerFault::Unsupported { text: text.to_owned(), what };
    let (keyword, rest) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
    let keyword = keyword.to_ascii_uppercase();
    let (flags, body) = flags(rest.trim());
    if let Some((flag, _)) = flags.first().filter(|_| !matches!(keyword.as_str(), "COPY" | "ADD" | "RUN")) {
        return Err(unsupported(format!("--{flag}")).into());
    }
    Ok(match keyword.as_str() {
        "RUN" => {
            let mut run = match array(body) {
                Some(args) => Run::exec(args),
                None => Run::shell(body),
            };
            for (flag, value) in flags {
                run = match flag {
                    "network" => run.network(value),
                    "security" => run.security(value),
                    _ => return Err(unsupported(format!("--{flag}")).into()),
                };
            }
            run.into()
        }
        "COPY" | "ADD" => {
            let mut paths = array(body).unwrap_or_else(|| words(body));
            let destination = paths.pop().filter(|_| !paths.is_empty());
            let destination = destination.ok_or_else(|| malformed("it needs a source and a destination"))?;
            let mut copy = Copy::of(paths.clone()).to(&destination);
            let mut add = Add::of(paths).to(&destination);
            for (flag, value) in flags {
                (copy, add) = match flag {
                    "chown" => (copy.chown(value), add.chown(value)),
                    "chmod" => (copy.chmod(value), add.chmod(value)),
                    "link" => (copy.link(), add.link()),
                    "parents" if keyword == "COPY" => (copy.parents(), add),
                    "exclude" => (copy.exclude(value), add.exclude(value)),
                    "from" if keyword == "COPY" && is_stage(value) => (copy.from(Base::stage(value)), add),
                    "from" if keyword == "COPY" => (copy.from(Base::image(value)), add),
                    _ => return Err(unsupported(format!("--{flag}")).into()),
                };
            }
            if keyword == "COPY" { copy.into() } else { add.into() }
        }
        "ARG" => match words(body).as_slice() {
            [one] => arg(one),
            _ => return Err(malformed("it needs one name").into()),
        },
        "ENV" => Instruction::Env(pairs(body).ok_or_else(|| malformed("it needs names and values"))?),
        "LABEL" => Instruction::Label(pairs(body).ok_or_else(|| malformed("it needs keys and values"))?),
        "WORKDIR" => Instruction::Workdir(unquoted(body)),
        "USER" => Instruction::User(unquoted(body)),
        "EXPOSE" => Instruction::Expose(words(body)),
        "VOLUME" => Instruction::Volume(array(body).unwrap_or_else(|| words(body))),
        "CMD" => Instruction::Cmd(command(body)),
        "ENTRYPOINT" => Instruction::Entrypoint(command(body)),
        "SHELL" => Instruction::Shell(array(body).ok_or_else(|| malformed("it needs an array"))?),
        "STOPSIGNAL" => Instruction::StopSignal(unquoted(body)),
        other => return Err(unsupported(other.to_owned()).into()),
    })
}

fn arg(text: &str) -> Instruction {
    let layers = match text.split_once('=') {
        Some((name, default)) => Layers::new().arg(name, default),
        None => Layers::new().arg_required(text),
    };
    // The builder is the one that makes it.
    let made: Option<&Arg> = layers.instructions().iter().find_map(|instruction| match instruction {
        Instruction::Arg(arg) => Some(arg),
        _ => None,
    });
    made.map_or(Instruction::Env(Vec::new()), |arg| arg.clone().into())
}

fn command(body: &str) -> Command {
    array(body).map_or_else(|| Command::shell(body), Command::exec)
}

/// The flags before the body.
fn flags(mut rest: &str) -> (Vec<(&str, &str)>, &str) {
    let mut flags = Vec::new();
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        flags.push(flag.split_once('=').unwrap_or((flag, "true")));
        rest = after.trim_start();
    }
    (flags, rest)
}

fn array(body: &str) -> Option<Vec<String>> {
    body.starts_with('[').then(|| serde_json::from_str(body).ok()).flatten()
}

/// `A=b "C=d e"` as pairs, or the old form `A some text`.
fn pairs(body: &str) -> Option<Vec<(String, String)>> {
    let words = words(body);
    if !words.first()?.contains('=') {
        let (name, value) = body.split_once(char::is_whitespace)?;
        return Some(vec![(name.to_owned(), unquoted(value.trim()))]);
    }
    words.iter().map(|word| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}

fn unquoted(text: &str) -> String {
    words(text).join(" ")
}

/// Words as a shell separates them: quotes group, a backslash takes the next character as it is, except before `$`,
/// where the variables need it.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    while chars.next_if(|c| c.is_whitespace()).is_some() || chars.peek().is_some() {
        if chars.peek().is_some_and(|c| !c.is_whitespace()) {
            words.push(word(&mut chars));
        }
    }
    words
}

fn word(chars: &mut Peekable<Chars<'_>>) -> String {
    let mut word = String::new();
    let mut quote = None;
    while let Some(c) = chars.next_if(|c| quote.is_some() || !c.is_whitespace()) {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (_, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => match chars.next() {
                Some('$') => word.push_str("\\$"),
                Some(next) => word.push(next),
                None => word.push('\\'),
            },
            ('$', Some('\'')) => word.push_str("\\$"),
            _ => word.push(c),
        }
    }
    word
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_recorded_reads_back() {
        let stages = |name: &str| name == "build";
        let definition = Layers::new()
            .run("make && make install")
            .run(["ls", "-l"])
            .copy(["a", "b c"], "/app/")
            .instruction(Copy::of("x").to("/").from_stage("build").chown("app:app").chmod("0755"))
            .add("x.tar", "/")
            .envs([("A", "1"), ("B", "two words")])
            .label("k", "v")
            .workdir("/srv")
            .user("app")
            .expose(80)
            .volume("/data")
            .arg("V", "1")
            .cmd(["serve"])
            .entrypoint("run it")
            .shell(["/bin/bash", "-c"])
            .stop_signal("SIGINT");
        for instruction in definition.instructions() {
            let text = instruction.to_string();
            let read = parse(&text, &stages).unwrap();
            assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn what_docker_records_is_read() {
        let none = |_: &str| false;
        assert_eq!(parse("ENV A some text", &none).unwrap(), Instruction::Env(vec![("A".into(), "some text".into())]));
        assert_eq!(parse("copy . /app", &none).unwrap(), Copy::of(".").to("/app").into());
        let from = parse("COPY --from=nginx:1 /a /b", &none).unwrap();
        assert_eq!(from, Copy::of("/a").to("/b").from_image("nginx:1").into());
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for text in ["HEALTHCHECK NONE", "FROM x", "COPY a", "RUN --mount=type=cache,target=/x make", "SHELL sh", ""] {
            assert!(parse(text, &|_| false).is_err(), "{text}");
        }
    }
}
