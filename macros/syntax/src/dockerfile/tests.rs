//! Dockerfiles as people write them.

use super::*;
use crate::ast::{Body, Command, FlagValue, Form, Transfer};

fn one(text: &str) -> Instruction {
    let file = parse(text);
    assert_eq!(file.findings, [], "{text}");
    assert_eq!(file.instructions.len(), 1, "{text}");
    file.instructions.into_iter().next().unwrap()
}

fn messages(text: &str) -> Vec<String> {
    let file = parse(text);
    let shown = |finding: &Finding| {
        let Position { line, column } = file.position(finding.place, finding.range.as_ref());
        format!("{line}:{column} {}: {}", finding.name, finding.message)
    };
    file.check(None).iter().map(shown).collect()
}

fn script(text: &str) -> String {
    match one(text).body {
        Body::Run(Command::Shell(scripts)) => scripts[0].value.clone(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn lines_are_joined_as_docker_joins_them() {
    for (text, expected) in [
        ("RUN a \\\n  b", "a   b"),
        ("\u{feff}run a \\\r\n  b\r\n", "a   b"),
        ("  RUN a &&\\\n# why\n   # more\n b \\  \n", "a && b"),
        ("RUN a\\\\\n", "a\\\\"),
        ("# escape=`\nRUN a `\n b \\\n", "a  b \\"),
        ("# syntax=docker/dockerfile:1\n# escape = `\n\nRUN `\n\ta", "a"),
        ("# other=1\n# escape=`\nRUN a `", "a `"),
        ("RUN <<EOF\na\n\\$b\nEOF\n", "a\n\\$b"),
        ("RUN <<-\"X\" \n\ta\n\tX\n", "a"),
        ("RUN cat <<A >x && cat 3<<-B\n1\nA\n\t2\n\tB\n", "cat <<A >x && cat 3<<-B\n1\nA\n\t2\n\tB"),
        ("RUN echo a<<EOF", "echo a<<EOF"),
        ("RUN [ -f x ] && y", "[ -f x ] && y"),
        ("RUN [\"a\" \"b\"]", "[\"a\" \"b\"]"),
    ] {
        assert_eq!(script(text), expected, "{text:?}");
    }
}

#[test]
fn quotes_and_escapes_are_taken_away() {
    for (written, value) in [
        ("a", "a"),
        ("\"a b\"", "a b"),
        ("'a $b'", "a \\$b"),
        ("a\\ b", "a b"),
        ("\\$b", "\\$b"),
        ("\\\\$b", "\\\\$b"),
        ("'\\'$b", "\\\\$b"),
        ("\"a\\n\\\"\\$c\"", "a\\n\"\\$c"),
        ("\"${A:-'x y'}\"", "${A:-x y}"),
        ("C:\\\\x", "C:\\x"),
        ("${A//\\//_}", "${A//\\//_}"),
        ("\"${A%\\*}\"", "${A%\\*}"),
        ("${A:-\\*}", "${A:-*}"),
        ("\"\"", ""),
    ] {
        let Body::Env(pairs) = one(&format!("ENV A={written}")).body else { panic!() };
        assert_eq!(pairs[0].1.value, value, "{written}");
    }
}

#[test]
fn a_written_word_reads_back() {
    for value in [
        "",
        "a b",
        "\\",
        "\\\\",
        "'",
        "\"",
        "a\\n",
        "\\$A",
        "\\\\$A",
        "$A \"x\"",
        "ä 'b'",
        "${A:-b c}",
        "${A//\\//x}",
        "${A#b c}",
        "#",
        "x=",
    ] {
        let Body::Env(pairs) = one(&format!("ENV A={}", word(value))).body else { panic!() };
        assert_eq!(pairs[0].1.value, value, "{}", word(value));
        let Body::Workdir(path) = one(&format!("WORKDIR x{}x", bare(value))).body else { panic!() };
        assert_eq!(path.value, format!("x{value}x"), "{}", bare(value));
    }
}

#[test]
fn every_instruction_is_read() {
    let text = "ARG V=1 W\nFROM --platform=linux/amd64 debian:$V AS Build\nENV A=b C=\"d e\"\nENV OLD some text\n\
        LABEL k=v\nRUN --mount=type=cache,target=/x --network=none make\nCOPY --from=build --chown=a:b x \"y\" /z/\n\
        ADD --checksum=sha256:00 https://a/b /c\nWORKDIR /a b\nUSER app\nEXPOSE 80 53/udp\nVOLUME /a /b\nVOLUME [\"/c\"]\n\
        CMD [\"a\"]\nENTRYPOINT a b\nHEALTHCHECK --interval=5s CMD x y\nHEALTHCHECK NONE\nSTOPSIGNAL SIGINT\n\
        SHELL [\"/bin/bash\", \"-c\"]\nONBUILD RUN x\nFROM build\nCOPY --from=0 a b\n";
    let file = parse(text);
    let keywords: Vec<_> = file.instructions.iter().map(Instruction::keyword).collect();
    assert_eq!(
        keywords.join(" "),
        "ARG FROM ENV ENV LABEL RUN COPY ADD WORKDIR USER EXPOSE VOLUME VOLUME CMD ENTRYPOINT HEALTHCHECK HEALTHCHECK \
         STOPSIGNAL SHELL ONBUILD FROM COPY"
    );
    let from = file.instructions[6].flag_text("from").unwrap();
    assert_eq!((from.value.as_str(), from.form), ("build", Form::Stage));
    assert_eq!(file.instructions[21].flag_text("from").unwrap().form, Form::StageNumber);
    assert!(matches!(&file.instructions[5].flags[0].value, FlagValue::Options(options) if options.len() == 2));
    assert!(matches!(&file.instructions[20].body, Body::From(from) if from.text.form == Form::Stage));
    assert_eq!(file.findings.iter().map(|finding| finding.name).collect::<Vec<_>>(), ["legacy_key_value"]);
}

#[test]
fn files_are_given_in_place() {
    let text = "COPY <<a.txt <<'B' x /dir/\nHello $A\n\\$B\na.txt\n$C\nB\n";
    let Body::Copy(Transfer { sources, inline, destination }) = one(text).body else { panic!() };
    assert_eq!((sources.len(), destination.value.as_str()), (1, "/dir/"));
    let found: Vec<_> = inline
        .iter()
        .map(|inline| (inline.name.as_ref().unwrap().value.as_str(), inline.text.value.as_str(), inline.expands))
        .collect();
    assert_eq!(found, [("a.txt", "Hello $A\n\\\\\\$B\n", true), ("B", "$C\n", false)]);
}

#[test]
fn mistakes_are_found_where_they_are() {
    for (text, expected) in [
        ("FORM a", "1:1 unknown_instruction: unknown instruction `FORM`"),
        ("FORM a:1\nRUN x", "1:1 unknown_instruction: unknown instruction `FORM`"),
        ("FROM a:1\nRUN", "2:1 missing_argument: `RUN` needs a command"),
        ("FROM a:1\nENV A=\"b", "2:7 unclosed_quote: double quote `\"` is never closed"),
        ("FROM a:1 b", "1:10 wrong_count: unexpected `b` after this `FROM`"),
        ("FROM a:1\nCOPY x", "2:6 no_destination: `COPY` needs a destination"),
        ("FROM a:1\nSHELL sh", "2:1 shell_array: `SHELL` takes an array"),
        ("FROM a:1\nHEALTHCHECK x", "2:13 missing_argument: `HEALTHCHECK` takes `CMD` or `NONE`, found `x`"),
        (
            "FROM a:1\nCOPY <<E /x\na\n",
            "2:6 shell_syntax: shell: here-document is never closed: no line holds just `E`",
        ),
        ("FROM a:1\nRUN a \\\n\n b", "3:1 empty_continuation: an empty line inside a continued instruction"),
        ("FROM a:1\nEXPOSE 1 \\\n  80800", "3:3 bad_port: `80800` is not a port"),
        ("FROM a:1\nLABEL x=\"ä $Y\"", "2:12 undefined_variable: `$Y` is not defined here"),
        ("# escape=x\nFROM a:1", "1:1 bad_directive: `x` cannot be the escape character"),
        ("FROM a:1\nRUN <<E\n#!/usr/bin/env bash\nif\nE", "4:1 shell_syntax: shell: `if` is never closed"),
        ("FROM Debian:12", "1:6 reference_case: image names are lower case: `debian:12`"),
        ("", "1:1 no_from: no `FROM`: an image needs a base"),
    ] {
        let found = messages(text);
        assert!(found.iter().any(|found| found.starts_with(expected)), "{text:?}: {found:?}");
    }
}

#[test]
fn help_is_written_as_in_a_dockerfile() {
    for (text, help) in [
        ("FROM a:1\nCOPY ../b /\n", "build with a directory above it as the context, or copy it into this one"),
        ("FROM a:1\nCOPY http://h/b /c\n", "ADD http://h/b /c"),
        ("FROM a:1\nEXPOSE http\n", "EXPOSE 80"),
        ("FROM a:1\nWORKDIR src\n", "WORKDIR /src"),
        ("RUN true\nFROM a:1\n", "begin with `FROM debian:12` (only `ARG` may come first)"),
        ("ARG A=1\n", "FROM debian:12, or FROM scratch"),
    ] {
        let helps: Vec<_> = parse(text).check(None).into_iter().filter_map(|finding| finding.help).collect();
        assert!(helps.iter().any(|given| given == help), "{text}: {helps:?}");
    }
}

#[test]
fn long_and_odd_files_are_read_in_time() {
    let long = format!("FROM a:1\n{}", "RUN a \\\n && b\nENV A=b\n".repeat(5_000));
    assert_eq!(parse(&long).instructions.len(), 10_001);
    for odd in [
        "\\",
        "\\\n\\\n",
        "FROM",
        "RUN <<",
        "RUN <<EOF",
        "COPY <<a <<b\n",
        "--",
        "ENV =",
        "ENV =a",
        "ONBUILD",
        "ONBUILD ONBUILD",
    ] {
        parse(odd).check(None);
    }
    parse(&format!("ENV A={}", "${A:-".repeat(10_000))).check(None);
    parse(&"ONBUILD ".repeat(100_000)).check(None);
}
