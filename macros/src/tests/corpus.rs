//! The lines of `tests/fixtures/lines.txt` by both macros; by the builder and by the reader at run time they go in `sdk`.

use plywood_syntax::ast::{Body, Command, Flag, FlagValue, Form, Instruction, Named, Text, Transfer};
use plywood_syntax::checks::OFF;
use plywood_syntax::dockerfile;
use plywood_syntax::finding::Finding;
use proc_macro2::TokenStream;

const LINES: &str = include_str!("../../../tests/fixtures/lines.txt");

/// The mark, the text and the verdict of each line.
pub(super) fn lines() -> Vec<(char, String, &'static str)> {
    let mut found: Vec<(char, String, &str)> = Vec::new();
    for line in LINES.lines() {
        match (line.split_at_checked(2), found.last_mut()) {
            (Some(("> ", verdict)), Some(last)) => last.2 = verdict,
            (Some((mark @ ("= " | "~ " | "! "), text)), _) => {
                let text = text.replace('␤', "\n");
                let has_base = text.lines().any(|line| line.starts_with("FROM "));
                let text = if has_base { text } else { format!("FROM debian:12\n{text}") };
                found.push((mark.chars().next().unwrap(), text, ""));
            }
            _ => {}
        }
    }
    found
}

fn names(findings: &[Finding]) -> String {
    let mut names: Vec<&str> = findings.iter().map(|finding| finding.name).filter(|name| !OFF.contains(name)).collect();
    names.sort_unstable();
    names.join(" ")
}

/// A Dockerfile as `dockerfile!` reads it. Without files nothing is said about them: the context is no directory.
fn read(path: &std::path::Path, header: &str) -> crate::parse::Definition {
    let input = format!("{header} {path:?};");
    let mut definition = crate::parse::definition(input.parse().unwrap(), true);
    definition.context = path.to_str().map(str::to_owned);
    crate::file::read(&mut definition);
    definition
}

#[test]
fn both_macros_say_the_same() {
    let directory = std::env::temp_dir().join(format!("plywood-corpus-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let path = directory.join("Dockerfile");
    let mut wrong = Vec::new();
    for (mark, text, verdict) in lines() {
        std::fs::write(&path, &text).unwrap();
        let definition = read(&path, "");
        if names(&definition.findings) != verdict {
            wrong.push(format!("dockerfile! says {:?} of {text:?}, not {verdict:?}", names(&definition.findings)));
        }
        let file = dockerfile::parse(&text);
        if mark == '!' {
            continue;
        }
        let input: String = file.instructions.iter().map(written).collect();
        let tokens: TokenStream = input.parse().unwrap_or_else(|error| panic!("{error}: {input}"));
        let mut definition = crate::parse::definition(tokens, false);
        crate::report::check(&mut definition, None);
        if names(&definition.findings) != verdict {
            wrong.push(format!("layers! says {:?} of {input}, not {verdict:?}", names(&definition.findings)));
        }
    }
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn odd_and_long_files_are_read() {
    let path = std::env::temp_dir().join(format!("plywood-odd-{}", std::process::id()));
    let read = |text: &[u8]| {
        std::fs::write(&path, text).unwrap();
        let definition = self::read(&path, "struct Odd;");
        let messages: Vec<_> = definition.findings.iter().map(|finding| finding.message.clone()).collect();
        (definition.instructions.len(), messages)
    };
    let fine = |text: &str, count: usize| assert_eq!(read(text.as_bytes()), (count, Vec::new()), "{text:.100}");
    fine("\u{feff}# syntax=docker/dockerfile:1\r\nFROM debian:12\r\nRUN a \\\r\n# why\r\n\t&& b\r\n", 2);
    fine("# escape=`\nFROM debian:12\n\tRUN a `\n  # more\n && b\nENV A=c:\\x", 3);
    fine("# frontend=x\n# escape=`\nFROM debian:12\nRUN a \\\n b", 2);
    fine(&format!("FROM debian:12\n{}", "# why\nENV A=b\n".repeat(5_000)), 5_001);
    let (count, messages) = read(&[&b"FROM debian:12\n"[..], &b"ENV A=$B\n".repeat(10_000)].concat());
    assert_eq!((count, messages.len()), (10_001, 10_000));
    assert!(
        messages[9_999].contains("Dockerfile:10001:7") || messages[9_999].contains(":10001:7\n"),
        "{}",
        messages[9_999]
    );
    let (_, messages) = read(b"FROM debian:12\nRUN \xff\n");
    assert!(messages[0].ends_with("has a byte on line 2 that is not UTF-8"), "{messages:?}");
    assert!(read(b"FROM debian:12\nRUN \"a").1[0].starts_with("shell: double quote"));
    assert!(read(b"FROM debian:12\nRUN \0\x01\n").1.len() < 2);
    std::fs::remove_file(&path).unwrap();
}

/// An instruction of a Dockerfile as `layers!` has it.
fn written(instruction: &Instruction) -> String {
    let flags: String = instruction.flags.iter().map(flag).collect();
    format!("{}{flags} {};\n", instruction.keyword(), body(&instruction.body))
}

fn body(body: &Body) -> String {
    match body {
        Body::From(Named { text, name }) => {
            let name = name.as_ref().map(|name| format!(" as {}", name.value)).unwrap_or_default();
            format!("{}{name}", value(text))
        }
        Body::Arg(args) => {
            let arg = |(name, default): &(Text, Option<Text>)| match default {
                Some(default) => format!("{} = {}", key(name), value(default)),
                None => key(name),
            };
            args.iter().map(arg).collect::<Vec<_>>().join(" ")
        }
        Body::Env(pairs) | Body::Label(pairs) => {
            pairs.iter().map(|(name, text)| format!("{} = {}", key(name), value(text))).collect::<Vec<_>>().join(" ")
        }
        Body::Run(words) | Body::Cmd(words) | Body::Entrypoint(words) => command(words),
        Body::Copy(transfer) | Body::Add(transfer) => files(transfer),
        Body::Workdir(text) | Body::User(text) | Body::StopSignal(text) => value(text),
        Body::Expose(ports) => ports.iter().map(|port| number(&port.text)).collect::<Vec<_>>().join(" "),
        Body::Volume(paths) => paths.iter().map(|path| value(&path.text)).collect::<Vec<_>>().join(" "),
        Body::HealthCheck(Some(words)) => format!("CMD {}", command(words)),
        Body::HealthCheck(None) => "NONE".to_owned(),
        Body::Shell(words) => array(words),
        Body::OnBuild(inner) => written(inner).trim_end_matches(";\n").to_owned(),
    }
}

fn files(transfer: &Transfer) -> String {
    let contents = transfer.inline.iter().map(|inline| format!("<< {}", value(&inline.text)));
    let sources: Vec<String> = transfer.sources.iter().map(value).chain(contents).collect();
    format!("{} => {}", sources.join(" "), value(&transfer.destination))
}

fn flag(flag: &Flag) -> String {
    let shown = match &flag.value {
        FlagValue::None => String::new(),
        FlagValue::One(text) => format!("={}", value(text)),
        FlagValue::Options(options) => {
            let option = |(key, text): &(Text, Option<Text>)| match text {
                Some(text) => format!("{}={}", key.value, value(text)),
                None => key.value.clone(),
            };
            format!("={}", options.iter().map(option).collect::<Vec<_>>().join(","))
        }
    };
    format!(" --{}{shown}", flag.name.value)
}

fn command(command: &Command) -> String {
    match command {
        Command::Shell(scripts) => scripts.iter().map(value).collect::<Vec<_>>().join(" && "),
        Command::Exec(args) => array(args),
    }
}

fn array(words: &[Text]) -> String {
    format!("[{}]", words.iter().map(value).collect::<Vec<_>>().join(", "))
}

/// Names of stages are bare, and so is `scratch`; all else is in quotes.
fn value(text: &Text) -> String {
    match text.form {
        Form::Stage => text.value.clone(),
        _ if text.value == "scratch" => text.value.clone(),
        _ => format!("{:?}", text.value),
    }
}

fn number(text: &Text) -> String {
    if text.value.starts_with(|c: char| c.is_ascii_digit()) { text.value.clone() } else { value(text) }
}

fn key(text: &Text) -> String {
    if plywood_syntax::variables::is_name(&text.value) { text.value.clone() } else { format!("{:?}", text.value) }
}
