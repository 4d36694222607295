//! Each rule on a small Dockerfile. The macro's own rules, of its tokens, are tested where they are.

mod shown;

use super::*;
use crate::dockerfile;

/// A check, a Dockerfile that breaks it, and where: line and column.
const ROWS: &[(&str, &str, &str)] = &[
    // Structure
    ("unknown_instruction", "FROM a:1\nCOPPY x /y", "2:1"),
    ("maintainer", "FROM a:1\nMAINTAINER me", "2:1"),
    ("before_from", "CMD [\"x\"]\nFROM a:1", "1:1"),
    ("no_from", "ARG A=1", "1:1"),
    ("wrong_count", "FROM a:1 b", "1:10"),
    ("missing_argument", "FROM a:1\nRUN", "2:1"),
    ("unknown_flag", "FROM a:1\nCOPY --form=b x /y", "2:8"),
    ("repeated_flag", "FROM a:1\nCOPY --chown=a --chown=b x /y", "2:18"),
    ("flag_value", "FROM a:1\nCOPY --link=maybe x /y", "2:13"),
    ("reserved_name", "FROM a:1 AS scratch", "1:13"),
    ("too_many_layers", "", ""),
    ("bad_directive", "# escape=x\nFROM a:1", "1:1"),
    ("unclosed_quote", "FROM a:1\nENV A=\"x", "2:7"),
    // References and stages
    ("reference_case", "FROM Alpine:3", "1:6"),
    ("reference_scheme", "FROM https://x/y", "1:6"),
    ("reference_char", "FROM a:b:c", "1:9"),
    ("reference_separator", "FROM foo_:1", "1:6"),
    ("reference_domain", "FROM -x.y/a:1", "1:6"),
    ("reference_id", "FROM 0123456789012345678901234567890123456789012345678901234567890123", "1:6"),
    ("reference_empty", "FROM :1", "1:6"),
    ("empty_tag", "FROM a:", "1:8"),
    ("bad_digest", "FROM a@sha256:00", "1:8"),
    ("stage_itself", "FROM a:1 AS b\nCOPY --from=b x /y", "2:13"),
    ("duplicate_stage", "FROM a:1 AS b\nFROM a:1 AS b", "2:13"),
    ("unknown_platform", "FROM --platform=linux/amd46 a:1", "1:17"),
    ("from_variable", "FROM a:$V", "1:8"),
    // Variables
    ("undefined_variable", "FROM a:1\nWORKDIR /$V", "2:10"),
    ("defined_later", "FROM a:1\nWORKDIR /$V\nENV V=x", "2:10"),
    ("only_global", "ARG V=1\nFROM a:1\nWORKDIR /$V", "3:10"),
    ("bad_substitution", "FROM a:1\nWORKDIR /${V", "2:10"),
    ("from_expands", "FROM a:1\nCOPY --from=$X a /b", "2:13"),
    ("bad_env_name", "FROM a:1\nENV my-var=x", "2:5"),
    ("env_same_statement", "FROM a:1\nENV A=1 B=$A", "2:11"),
    ("repeated_key", "FROM a:1\nENV A=1 A=2", "2:9"),
    ("bad_label_key", "FROM a:1\nLABEL My_Key=x", "2:7"),
    // COPY and ADD
    ("no_destination", "FROM a:1\nCOPY x", "2:6"),
    ("relative_destination", "FROM a:1\nCOPY x y", "2:8"),
    ("needs_directory", "FROM a:1\nCOPY x y /z", "2:10"),
    ("outside_context", "FROM a:1\nCOPY ../x /z", "2:6"),
    ("bad_glob", "FROM a:1\nCOPY [a- /z", "2:6"),
    ("bad_mode", "FROM a:1\nCOPY --chmod=0999 x /z", "2:14"),
    ("bad_owner", "FROM a:1\nCOPY --chown=a:b:c x /z", "2:14"),
    ("owner_in_scratch", "FROM scratch\nCOPY --chown=app x /z", "2:14"),
    ("bad_checksum", "FROM a:1\nADD --checksum=sha256:0 https://a/b /z", "2:16"),
    ("checksum_local", "FROM a:1\nADD --checksum=sha256:0 b.tar /z", "2:16"),
    ("url_in_copy", "FROM a:1\nCOPY https://a/b /z", "2:6"),
    // RUN and SHELL
    ("shell_syntax", "FROM a:1\nRUN a && if b; then c", "2:10"),
    ("trailing_backslash", "FROM a:1\nRUN <<E\na \\\nE", "3:3"),
    ("typographic", "FROM a:1\nRUN echo “x”", "2:10"),
    ("odd_space", "FROM a:1\nRUN a\u{a0}b", "2:6"),
    ("no_shell", "FROM scratch\nRUN x", "2:1"),
    ("bad_mount_type", "FROM a:1\nRUN --mount=type=cahce,target=/x y", "2:18"),
    ("bad_mount_type", "FROM a:1\nARG T\nRUN --mount=type=$T,target=/x y", "3:18"),
    ("bad_mount_key", "FROM a:1\nRUN --mount=type=tmpfs,target=/x,sharing=shared y", "2:34"),
    ("mount_needs", "FROM a:1\nRUN --mount=type=cache y", "2:7"),
    ("bad_sharing", "FROM a:1\nRUN --mount=type=cache,target=/x,sharing=lock y", "2:42"),
    ("bad_network", "FROM a:1\nRUN --network=nne y", "2:15"),
    ("bad_security", "FROM a:1\nRUN --security=x y", "2:16"),
    ("shell_array", "FROM a:1\nSHELL sh", "2:1"),
    // The rest
    ("bad_port", "FROM a:1\nEXPOSE 80800", "2:8"),
    ("port_text", "FROM a:1\nEXPOSE http", "2:8"),
    ("port_mapping", "FROM a:1\nEXPOSE 8080:80", "2:8"),
    ("bad_protocol", "FROM a:1\nEXPOSE 80/upd", "2:11"),
    ("duplicate_port", "FROM a:1\nEXPOSE 80 80", "2:11"),
    ("relative_workdir", "FROM a:1\nWORKDIR src", "2:9"),
    ("tilde", "FROM a:1\nWORKDIR ~/x", "2:9"),
    ("volume_relative", "FROM a:1\nVOLUME data", "2:8"),
    ("volume_mapping", "FROM a:1\nVOLUME a:/b", "2:8"),
    ("duplicate_volume", "FROM a:1\nVOLUME /a /a/", "2:11"),
    ("bad_user", "FROM a:1\nUSER a:b:c", "2:6"),
    ("user_in_scratch", "FROM scratch\nUSER app", "2:6"),
    ("overridden", "FROM a:1\nCMD [\"a\"]\nCMD [\"b\"]", "2:1"),
    ("empty_command", "FROM a:1\nENTRYPOINT []", "2:1"),
    ("bad_duration", "FROM a:1\nHEALTHCHECK --interval=5x CMD a", "2:24"),
    ("short_duration", "FROM a:1\nHEALTHCHECK --interval=5us CMD a", "2:24"),
    ("bad_retries", "FROM a:1\nHEALTHCHECK --retries=0 CMD a", "2:23"),
    ("healthcheck_none", "FROM a:1\nHEALTHCHECK --retries=1 NONE", "2:15"),
    ("bad_signal", "FROM a:1\nSTOPSIGNAL SIGTREM", "2:12"),
    ("bad_onbuild", "FROM a:1\nONBUILD FROM b", "2:9"),
    // Warnings
    ("unpinned_base", "FROM alpine", "1:6"),
    ("unused_stage", "FROM a:1 AS b\nFROM a:1", "1:13"),
    ("unused_arg", "FROM a:1\nRUN a\nARG V=1", "3:5"),
    ("unused_arg", "ARG V=1\nFROM a:1", "1:5"),
    ("variable_near_miss", "FROM a:1\nENV VERSION=1\nRUN a && b \"$VERSON\"", "3:14"),
    ("redundant_platform", "FROM --platform=$TARGETPLATFORM a:1", "1:17"),
    ("secret_in_env", "FROM a:1\nENV DB_PASSWORD=x", "2:5"),
    ("unused_env_export", "FROM a:1\nRUN export A=b", "2:5"),
    ("label_value", "FROM a:1\nLABEL org.opencontainers.image.created=today", "2:40"),
    ("add_for_copy", "FROM a:1\nADD x /y", "2:1"),
    ("add_without_checksum", "FROM a:1\nADD https://a/b /y", "2:5"),
    ("secret_file", "FROM a:1\nCOPY conf/.env /y", "2:6"),
    ("source_slash", "FROM a:1\nCOPY /x /y", "2:6"),
    ("bashism", "FROM a:1\nRUN a; [[ b ]]", "2:8"),
    ("pipe_hides_failure", "FROM a:1\nSHELL [\"/bin/bash\", \"-c\"]\nRUN a | b", "3:7"),
    ("sudo_in_run", "FROM a:1\nRUN a; sudo b", "2:8"),
    ("cd_alone", "FROM a:1\nRUN cd /x", "2:5"),
    ("asks_a_question", "FROM a:1\nRUN apt-get update && apt-get install curl", "2:23"),
    ("stale_update", "FROM a:1\nRUN apt-get update", "2:5"),
    ("apt_for_people", "FROM a:1\nRUN apt update", "2:5"),
    ("service_in_run", "FROM a:1\nRUN service x start", "2:5"),
    ("operator_in_array", "FROM a:1\nRUN [\"a\", \"&&\", \"b\"]", "2:12"),
    ("variable_in_array", "FROM a:1\nCMD [\"a\", \"$HOME\"]", "2:12"),
    ("spaces_in_program", "FROM a:1\nCMD [\"nginx -g\"]", "2:7"),
    ("shell_form", "FROM a:1\nCMD serve --port 80", "2:1"),
    ("cmd_ignored", "FROM a:1\nENTRYPOINT a\nCMD [\"b\"]", "3:1"),
    ("cmd_reset", "FROM a:1 AS b\nCMD [\"x\"]\nFROM b\nENTRYPOINT [\"y\"]", "4:1"),
    ("runs_as_root", "FROM a:1", "1:1"),
    ("write_after_volume", "FROM a:1\nVOLUME /data\nCOPY x /data/", "3:8"),
    ("write_after_volume", "FROM a:1\nVOLUME /data\nRUN a && mkdir -p /data/x", "3:19"),
    ("write_after_volume", "FROM a:1\nVOLUME /data/\nRUN echo a > /data/x", "3:14"),
    ("write_after_volume", "FROM a:1\nVOLUME /data\nRUN cp /a \"/data/a\"", "3:11"),
    ("write_after_volume", "FROM a:1\nVOLUME /data\nWORKDIR /data/x\nCOPY x .", "4:8"),
    ("write_after_volume", "FROM a:1\nVOLUME /data\nWORKDIR /\nWORKDIR data\nRUN touch x", "5:11"),
    ("write_after_volume", "FROM scratch\nADD a.tar /\nVOLUME /data\nRUN touch data/x", "4:11"),
    ("write_after_volume", "FROM a:1 AS b\nVOLUME /data\nFROM b\nCOPY x /data/", "4:8"),
    ("closing_bracket", "FROM a:1\nRUN [ -f x]", "2:11"),
    ("legacy_key_value", "FROM a:1\nENV A b", "2:5"),
    ("empty_continuation", "FROM a:1\nRUN a \\\n\n b", "3:1"),
];

#[test]
fn each_rule_is_broken_where_it_is_broken() {
    for (name, text, place) in ROWS {
        let many = format!("FROM a:1\n{}", "RUN x\n".repeat(126));
        let (text, place) = if text.is_empty() { (many.as_str(), "127:1") } else { (*text, *place) };
        let file = dockerfile::parse(text);
        let found: Vec<(String, Finding)> = file
            .check(None)
            .into_iter()
            .map(|finding| {
                let position = file.position(finding.place, finding.range.as_ref());
                (format!("{}:{}", position.line, position.column), finding)
            })
            .collect();
        let hit = found.iter().find(|(at, finding)| finding.name == *name && at == place);
        let (_, finding) = hit.unwrap_or_else(|| panic!("{name} at {place}: {text}\n{found:#?}"));
        let first = finding.message.chars().next().unwrap();
        assert!(!first.is_uppercase() && !finding.message.ends_with('.'), "{}", finding.message);
    }
}

#[test]
fn what_is_right_is_left_alone() {
    let text = "ARG V=12\nFROM debian:$V AS build\nWORKDIR /src\nCOPY Cargo.toml src ./\n\
        RUN apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*\n\
        RUN set -e; for i in a b; do echo \"$i\"; done | sort\n\
        FROM debian:$V\nENV KEY_FILE=/x PUBLIC_KEY=y\nCOPY --from=build /src/x /usr/bin/\nRUN cd /x && make\n\
        USER app\nEXPOSE 80 53/udp\nENTRYPOINT [\"x\"]\nCMD [\"--serve\"]\n";
    assert_eq!(dockerfile::parse(text).check(None), []);
}

#[test]
fn an_argument_that_something_may_read_is_used() {
    for text in [
        "ARG V=1\nFROM a:$V",
        "ARG V=1\nFROM --platform=$V a:1",
        "ARG V=1\nARG W=$V\nFROM a:$W",
        "ARG V=1\nFROM a:1\nARG V\nRUN a",
        "FROM a:1\nARG V=1\nENV W=$V",
        "FROM a:1\nARG V=1\nRUN [\"a\"]",
        "FROM a:1\nARG V=1\nCOPY <<E /x\n$V\nE",
        "FROM a:1\nARG V=1\nLABEL v=${V:-x}",
        "FROM a:1 AS b\nARG V=1\nFROM b\nWORKDIR /$V",
        "FROM a:1\nARG SOURCE_DATE_EPOCH\nARG http_proxy",
    ] {
        let found = dockerfile::parse(text).check(None);
        assert!(found.iter().all(|finding| finding.name != "unused_arg"), "{text}: {found:?}");
    }
}

#[test]
fn variables_that_a_script_may_have_are_no_near_misses() {
    for script in [
        "VERSON=1; echo $VERSON",
        "read VERSON; echo $VERSON",
        "for VERSON in 1; do echo $VERSON; done",
        ". /etc/os-release; echo $VERSON",
        "echo ${VERSON:-1} ${VERSON-}",
        "echo '$VERSON' \\$VERSON",
        "echo $VERSION1 $OTHER $HOME $1",
        "echo $VERSION",
    ] {
        let text = format!("FROM a:1\nENV VERSION=1 HOMER=2\nRUN {script}");
        let found = dockerfile::parse(&text).check(None);
        assert!(found.iter().all(|finding| finding.name != "variable_near_miss"), "{script}: {found:?}");
    }
}

#[test]
fn what_may_not_end_in_a_volume_is_no_write_after_it() {
    for run in [
        "RUN mkdir -p /data",
        "RUN mkdir /database/x",
        "RUN cp /data/a /b",
        "RUN cp -t /b /a /data/a",
        "RUN cat < /data/a > /b",
        "RUN echo a > /data/a && cp /data/a /b && rm /data/a",
        "RUN touch /data/../b",
        "RUN touch /data/$NAME",
        "RUN touch -r /data/a /b",
        "RUN ln -s /data/a",
        "RUN echo 'touch /data/a' 2>&1",
        "RUN --mount=type=cache,target=/data touch /data/a",
        "RUN [\"touch\", \"/data/a\"]",
        "SHELL [\"python3\", \"-c\"]\nRUN touch /data/a",
        "FROM b:1\nRUN touch /data/a",
        "RUN touch data/a",
        "WORKDIR /data/$NAME\nRUN touch a",
        "WORKDIR /data\nRUN cd /b && touch a",
        "WORKDIR /data\nWORKDIR ..\nRUN touch a",
    ] {
        let text = format!("FROM a:1\nENV NAME=a\nVOLUME /data\n{run}");
        let found = dockerfile::parse(&text).check(None);
        assert!(found.iter().all(|finding| finding.name != "write_after_volume"), "{run}: {found:?}");
    }
}

#[test]
fn a_mistake_in_what_reads_an_argument_does_not_make_it_unused() {
    for (name, reader) in [("bad_substitution", "LABEL a=${A:x}"), ("from_expands", "COPY --from=b:$A x /y")] {
        let found = dockerfile::parse(&format!("FROM a:1\nARG A=1\n{reader}")).check(None);
        let names: Vec<&str> = found.iter().map(|finding| finding.name).filter(|name| !OFF.contains(name)).collect();
        assert_eq!(names, [name]);
    }
}
