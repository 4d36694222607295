//! Every check as the compiler shows it: the files of `tests/ui`, searched for each row.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::names::CHECKS;

/// A check, its words, and the words that help; `types` are the mistakes that the types of Rust find.
const SHOWN: &[(&str, &str, &str)] = &[
    ("unknown_instruction", "unknown instruction `COPPY`", "did you mean `COPY`?"),
    ("lower_case_instruction", "instructions are written in upper case", "RUN"),
    ("maintainer", "`MAINTAINER` is gone", "LABEL org.opencontainers.image.authors = \"…\";"),
    (
        "before_from",
        "`CMD` before `FROM`: there is no image yet to change",
        "begin with `FROM \"debian:12\";` (only `ARG` may come first)",
    ),
    ("no_from", "no `FROM`: an image needs a base", "FROM \"debian:12\"; or FROM scratch;"),
    ("missing_semicolon", "expected `;` after this `COPY`", ""),
    ("hash_comment", "comments are written with `//` here", "// …"),
    ("unquoted", "this value needs quotes", "\"docker/Dockerfile\""),
    ("not_a_string", "expected a string, found a byte string", "remove the `b`"),
    ("wrong_count", "`WORKDIR` takes one path, found 2", "WORKDIR \"/app\";"),
    ("missing_argument", "`RUN` needs a command", "RUN \"apt-get update\";"),
    ("unknown_flag", "`COPY` has no flag `--form`", "did you mean `--from`?"),
    ("repeated_flag", "`--chown` is given twice", ""),
    ("flag_value", "`--chown` needs a value", ""),
    ("flag_value", "`--link` takes only `true` or `false`", ""),
    ("name_used_twice", "the name `HTTP` is used twice; first on line ", ""),
    ("reserved_name", "`scratch` cannot be a stage name", ""),
    ("unknown_check", "there is no check named `unpined_base`", "did you mean `unpinned_base`?"),
    ("too_many_layers", "this stage adds 126 layers, and an image has at most 125", "join `RUN`s with `&&`"),
    ("reference_case", "image names are lower case: `alpine:3`", "alpine:3"),
    ("reference_space", "image reference `debian:12 slim` has a space in it", ""),
    ("reference_scheme", "an image reference has no `https://`", "example.com/alpine:3"),
    ("reference_char", "`:` cannot be in a tag", ""),
    ("reference_separator", "`foo_` cannot begin or end with a separator", ""),
    ("reference_domain", "`-x.y` is not the name of a registry", ""),
    ("reference_empty", "the image name is empty", ""),
    ("reference_id", "64 hexadecimal digits name an image by its ID", ""),
    ("empty_tag", "the tag after `:` is empty", ""),
    ("tag_long", "a tag has at most 128 characters, this one has 136", ""),
    ("name_long", "an image name has at most 255 characters, this one has 256", ""),
    ("bad_digest", "a sha256 digest has 64 hexadecimal digits, this one has 2", ""),
    ("unknown_stage", "no stage named `biuld` before this one", "did you mean `build`?"),
    ("stage_later", "stage `run` comes after its use; it is on line ", "move it up"),
    ("stage_itself", "stage `build` cannot copy from itself", ""),
    ("duplicate_stage", "two stages are named `build`; first on line ", ""),
    ("unknown_platform", "unknown platform `linux/amd46`", "did you mean `linux/amd64`?"),
    ("from_variable", "`$VERSION` is not known before the first `FROM`", "ARG VERSION = \"…\"; before it"),
    ("undefined_variable", "`$APP_DRI` is not defined here", "did you mean `$APP_DIR`?"),
    ("defined_later", "`$LATER` is defined after its use, on line ", ""),
    (
        "only_global",
        "`$VERSION` is declared before `FROM`, where stages do not see it",
        "add `ARG VERSION;` to this stage",
    ),
    ("bad_substitution", "`${` is never closed", "add `}`"),
    ("bad_substitution", "`$` needs a variable name", "write `\\\\$` in the string for a literal dollar"),
    (
        "bad_substitution",
        "`${A:x}` has an unknown modifier",
        "the modifiers are `:-` `-` `:+` `+` `:?` `?` `##` `#` `%%` `%` `//` `/`, as in `${A:-default}`",
    ),
    ("from_expands", "`--from` takes no variables", "FROM \"$IMAGE\" as name; then --from=name"),
    ("bad_env_name", "`my-var` cannot be a variable name", "letters, digits and `_`, not beginning with a digit"),
    ("env_same_statement", "`$A` is set in this same `ENV`", "use two `ENV`s"),
    ("repeated_key", "`A` is set twice in this `ENV`", ""),
    (
        "bad_label_key",
        "`My Label` cannot be a label key",
        "lower-case letters, digits, `.`, `-`, as in `com.example.name`",
    ),
    ("no_destination", "`COPY` needs a destination", "COPY \"conf/app.toml\" => \"/destination\";"),
    (
        "relative_destination",
        "destination `etc/` is relative, and no `WORKDIR` is set before it",
        "write it from the root, `\"/etc/\"`, or set `WORKDIR` first",
    ),
    ("needs_directory", "several sources need a directory to go into", "end it with a slash: `\"/etc/\"`"),
    ("missing_source", "`conf/app.tml` is not in the build context", "`conf/app.toml` is there"),
    (
        "outside_context",
        "`../x` is outside the build context",
        "the context is the package root; `#![context(\"..\")]` widens it",
    ),
    ("ignored_source", "`secret.txt` is excluded by `.dockerignore`, line 2", "add a line `!secret.txt` after it"),
    ("glob_matches_nothing", "`conf/*.tml` matches nothing in the build context", ""),
    ("bad_glob", "`[` is never closed in `conf/[a-`", "add `]`, or write `\\\\[` for a literal one"),
    ("bad_mode", "`--chmod=0999` is not a mode", "octal up to 7777, or symbolic like \"u=rwX,go=rX\""),
    ("bad_owner", "`--chown` reads `user`, `user:group` or numbers", "--chown=\"app:app\""),
    ("owner_in_scratch", "`scratch` has no /etc/passwd to look `app` up in", "use numbers: --chown=\"1000:1000\""),
    ("bad_checksum", "a checksum reads `sha256:` and 64 hexadecimal digits", ""),
    ("checksum_local", "`--checksum` is for URLs and git sources", ""),
    ("url_in_copy", "`COPY` does not download", "ADD \"https://example.com/a.tar\" => \"/opt/\";"),
    ("inline_directory", "inline content needs a file to go into", "\"/etc/app.toml\""),
    (
        "bad_embed",
        "`outside` leads to `/etc/passwd`, which is outside the build context",
        "without `--embed` it is read when the image is built",
    ),
    ("bad_embed", "what is embedded is known when the program is compiled", "write the path itself"),
    (
        "bad_embed",
        "`--embed` is for files of the build context, and `--from` names other ones",
        "leave one of them away",
    ),
    ("bad_embed", "inline content is part of the program already", "remove `--embed`"),
    ("bad_embed", "what is downloaded cannot be embedded", "remove `--embed`"),
    ("bad_embed", "`ONBUILD` cannot embed: another image has another context", "remove `--embed`"),
    (
        "unknown_flag",
        "`COPY` has no flag `--embed` in a Dockerfile",
        "layers! { … COPY --embed \"app.py\" => \"/app/\"; }",
    ),
    ("bad_directive", "`x` cannot be the escape character", "# escape=`"),
    ("unclosed_quote", "double quote `\"` is never closed", "close the quote, or escape it"),
    ("shell_syntax", "shell: single quote `'` is never closed", "close the quote, or write `\"'\"` for a literal one"),
    ("shell_syntax", "shell: double quote `\"` is never closed", "add `\"`"),
    ("shell_syntax", "shell: backquote `` ` `` is never closed", "add ```"),
    ("shell_syntax", "shell: `$(` is never closed", "add `)`"),
    ("shell_syntax", "shell: `${` is never closed", "add `}`"),
    ("shell_syntax", "shell: `if` is never closed", "expected `fi` before the end of the script"),
    ("shell_syntax", "shell: unexpected `fi`", "expected `done` first"),
    ("shell_syntax", "shell: unexpected `done`", ""),
    ("shell_syntax", "shell: `do` is read as one more word of the `for` list", "put `;` before `do`"),
    ("shell_syntax", "shell: `for $i`: the loop variable is written without `$`", "for i"),
    ("shell_syntax", "shell: nothing follows `&&`", "add a command, or remove the `&&`"),
    ("shell_syntax", "shell: nothing follows `|`", "add a command, or remove the `|`"),
    ("shell_syntax", "shell: unexpected `&&`: there is no command before it", ""),
    ("shell_syntax", "shell: unexpected `;`: there is no command before it", ""),
    ("shell_syntax", "shell: `;;` belongs inside `case`", ""),
    ("shell_syntax", "shell: expected `)` after the `case` pattern", ""),
    ("shell_syntax", "shell: `)` closes nothing", "quote it, `')'`, for a literal parenthesis"),
    ("shell_syntax", "shell: unexpected `(`", "quote it for a literal parenthesis; a subshell starts a command"),
    ("shell_syntax", "shell: `>` needs a target after it", ""),
    ("shell_syntax", "shell: `then` has no command in it", "use `:` for a command that does nothing"),
    ("shell_syntax", "shell: bad substitution `${}`", "write `\\$` for a literal dollar"),
    ("shell_syntax", "shell: bad substitution `${a b}`", "write `\\$` for a literal dollar"),
    ("shell_syntax", "shell: here-document is never closed: no line holds just `END`", ""),
    (
        "trailing_backslash",
        "backslash at the end of the script escapes nothing",
        "remove it, or continue the command on the next line",
    ),
    ("typographic", "shell: `“` is a typographic quote, which the shell takes as a letter", "\""),
    ("odd_space", "shell: this is a non-breaking space", "write a plain space"),
    ("no_shell", "`RUN \"…\"` needs a shell, and `scratch` has none", "copy one in first, or use the array form"),
    ("bad_mount_type", "unknown mount type `cahce`", "did you mean `cache`?"),
    ("bad_mount_key", "`sharing` is only for `type=cache`", ""),
    ("mount_needs", "a `cache` mount needs `target=`", ""),
    ("bad_sharing", "unknown sharing `lock`", "did you mean `locked`?"),
    ("bad_network", "unknown network `nne`", "did you mean `none`?"),
    ("bad_security", "unknown security mode `x`", "`sandbox` or `insecure`"),
    ("shell_array", "`SHELL` takes an array", "SHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"];"),
    ("bad_port", "`80800` is not a port", "ports run from 1 to 65535"),
    ("port_text", "ports are numbers", "EXPOSE 8080;"),
    (
        "port_mapping",
        "`EXPOSE` takes the container's port only",
        "EXPOSE 80; the host's port is chosen when the container starts",
    ),
    ("bad_protocol", "unknown protocol `upd`", "did you mean `udp`?"),
    ("duplicate_port", "port 80 is already exposed, on line ", ""),
    ("relative_workdir", "`WORKDIR src` is relative to a directory that the base image decides", "WORKDIR \"/src\";"),
    ("tilde", "`~` is not expanded here", "write the home directory in full, as in `/root`"),
    ("volume_relative", "a volume is a path from the root", "VOLUME \"/data\";"),
    (
        "volume_mapping",
        "a volume names a path in the container only",
        "the host side is given when the container starts",
    ),
    ("duplicate_volume", "`/a/` is already a volume, on line ", ""),
    ("bad_user", "`USER` reads `user`, `user:group` or numbers", "USER \"app:app\";"),
    ("user_in_scratch", "`scratch` has no /etc/passwd to look `app` up in", "USER 1000;"),
    ("overridden", "only the last `CMD` of a stage counts, and there is another on line ", "remove this one"),
    ("empty_command", "`ENTRYPOINT []` has no program", ""),
    ("bad_duration", "`5x` is not a duration", "`500ms`, `5s`, `1m30s`"),
    ("short_duration", "a duration is at least 1ms", ""),
    ("bad_retries", "`--retries` is at least 1", ""),
    ("healthcheck_none", "`HEALTHCHECK NONE` takes no flags", ""),
    ("bad_signal", "unknown signal `SIGTREM`", "did you mean `SIGTERM`?"),
    ("bad_onbuild", "`ONBUILD FROM` cannot be", ""),
    ("bad_dockerfile", "has a byte on line 3 that is not UTF-8", ""),
    ("missing_dockerfile", "cannot be read: No such file or directory", "fixtures/web.Dockerfile`?"),
    ("not_declared", "has no port `8081/tcp`", "did you mean `8080/tcp`?"),
    ("types", "no associated item named `HTTPS` found for struct `Web`", ""),
    ("types", "expected `Port<Web>`, found `Port<Db>`", ""),
    ("types", "`String` is not an image", ""),
    ("types", "expected `MountPoint<Web>`, found `MountPoint<Db>`", ""),
    ("types", "missing field `workers` in initializer of `Web`", ""),
    ("types", "`Hidden` doesn't implement `std::fmt::Display`", ""),
    (
        "legacy_key_value",
        "`_::legacy_key_value`: `ENV` without `=` is an old form that takes one name only",
        "ENV LEVEL=info",
    ),
    ("unused_arg", "`_::unused_arg`: `ARG VERSION` is never used", "remove it"),
    (
        "whole_context",
        "`_::whole_context`: `.` copies `node_modules` too; there is no `.dockerignore`",
        "write a `.dockerignore`, or name what is needed",
    ),
    (
        "unpinned_base",
        "`_::unpinned_base`: `alpine` names no tag, so it means `:latest` and changes under you",
        "write a tag or a digest",
    ),
    ("unused_stage", "`_::unused_stage`: stage `unused` is never used", ""),
    (
        "stage_as_image",
        "`_::stage_as_image`: `\"build\"` is an image on a registry, and a stage has that name too",
        "the stage is written without quotes: build",
    ),
    (
        "secret_in_env",
        "`_::secret_in_env`: `DB_PASSWORD` looks like a secret, and ENV stores it in the image for anyone to read",
        "pass it with `RUN --mount=type=secret,id=db_password` or when the container starts",
    ),
    (
        "stale_update",
        "`_::stale_update`: `apt-get update` in a `RUN` of its own is cached and goes stale",
        "join it to the install with `&&`",
    ),
    ("asks_a_question", "`_::asks_a_question`: `apt-get install` asks before it goes on", "add `-y`"),
    ("bashism", "`_::bashism`: `[[ … ]]` is bash; `RUN` uses /bin/sh here", "SHELL [\"/bin/bash\", \"-c\"]"),
    (
        "shell_form",
        "`_::shell_form`: `CMD` as a string runs under a shell, which does not pass signals on",
        "CMD [\"serve\", \"--port\", \"80\"]",
    ),
    ("redundant_platform", "`_::redundant_platform`: `--platform=$TARGETPLATFORM` is what happens anyway", "remove it"),
    ("runs_as_root", "`_::runs_as_root`: the container runs as root", "add `USER`"),
    ("cmd_reset", "`_::cmd_reset`: `ENTRYPOINT` drops the `CMD` of stage `base`", "set `CMD` again if it is needed"),
    (
        "label_value",
        "`_::label_value`: `org.opencontainers.image.created` is an RFC 3339 time, and `today` is none",
        "\"2026-01-31T12:00:00Z\"",
    ),
    ("add_for_copy", "`_::add_for_copy`: `COPY` does the same here and says so", "COPY"),
    ("add_without_checksum", "`_::add_without_checksum`: the download is not checked", "add `--checksum=\"sha256:…\"`"),
    (
        "directory_contents",
        "`_::directory_contents`: `embedded` is a directory, so its contents go to `/opt/`, not the directory itself",
        "COPY \"embedded\" => \"/opt/embedded/\";",
    ),
    (
        "secret_file",
        "`_::secret_file`: `keys/server.key` looks like a secret and will be in the image",
        "RUN --mount=type=secret,…",
    ),
    (
        "source_slash",
        "`_::source_slash`: `/web.Dockerfile` is read from the build context; the leading `/` means nothing",
        "\"web.Dockerfile\"",
    ),
    (
        "write_after_volume",
        "`_::write_after_volume`: what is written under `/data` after `VOLUME \"/data\"` may be lost",
        "put the VOLUME after it",
    ),
    (
        "operator_in_array",
        "`_::operator_in_array`: `&&` in an array is an argument, not an operator; no shell reads it",
        "write the command as a string",
    ),
    (
        "variable_near_miss",
        "`_::variable_near_miss`: `$VERSON` in this script is never set",
        "did you mean `$VERSION`?",
    ),
    ("cmd_ignored", "`_::cmd_ignored`: `ENTRYPOINT` as a string ignores this `CMD`", "write ENTRYPOINT as an array"),
    (
        "spaces_in_program",
        "`_::spaces_in_program`: this names one program called `serve -p`",
        "one element for each: \"serve\", \"-p\"",
    ),
    (
        "variable_in_array",
        "`_::variable_in_array`: `$HOME` in an array is not expanded; no shell reads it",
        "write the command as a string",
    ),
    ("unused_env_export", "`_::unused_env_export`: `export` lasts only for this `RUN`", "use `ENV`"),
    ("cd_alone", "`_::cd_alone`: `cd` lasts only for this `RUN`", "use `WORKDIR`"),
    (
        "sudo_in_run",
        "`_::sudo_in_run`: `sudo` in an image build is already root, or has no terminal to ask on",
        "use `USER`",
    ),
    ("apt_for_people", "`_::apt_for_people`: `apt` is for people at a terminal", "use `apt-get`"),
    (
        "service_in_run",
        "`_::service_in_run`: nothing started in a `RUN` outlives it",
        "start it with `CMD` or `ENTRYPOINT`",
    ),
    ("closing_bracket", "`_::closing_bracket`: `]` needs a space before it", "[ -f file ]"),
    (
        "pipe_hides_failure",
        "`_::pipe_hides_failure`: a failure before the `|` goes unnoticed",
        "SHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]",
    ),
    (
        "empty_continuation",
        "`_::empty_continuation`: an empty line inside a continued instruction",
        "remove it, or write `#`",
    ),
];

/// What the compiler shows for each mistake of `tests/ui`.
fn blocks() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/ui");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.filter(|path| path.extension().is_some_and(|end| end == "stderr"));
    let texts: Vec<String> = texts.map(|path| format!("\n{}", std::fs::read_to_string(path).unwrap())).collect();
    let starts = |line: &str| line.starts_with("error") || line.starts_with("warning");
    let mut blocks: Vec<String> = Vec::new();
    for line in texts.iter().flat_map(|text| text.lines()) {
        if starts(line) {
            blocks.push(String::new());
        }
        if let Some(block) = blocks.last_mut() {
            block.push_str(line);
            block.push('\n');
        }
    }
    blocks
}

#[test]
fn every_check_is_shown_with_its_words_and_where_the_mistake_is() {
    let blocks = blocks();
    for (name, words, help) in SHOWN {
        let is_it = |block: &&String| {
            block.contains(words) && block.contains(help) && (help.is_empty() || block.contains("help: "))
        };
        let block =
            blocks.iter().find(is_it).unwrap_or_else(|| panic!("tests/ui does not show {name}: {words} ({help})"));
        let has_caret = |line: &str| line.split_once('|').is_some_and(|(_, mark)| mark.trim_start().starts_with('^'));
        assert!(block.lines().any(has_caret), "no caret:\n{block}");
        let message = words.rsplit("`: ").next().unwrap_or(words);
        assert!(!message.starts_with(|c: char| c.is_ascii_uppercase()) && !message.ends_with('.'), "{message}");
    }
}

#[test]
fn every_check_has_a_row() {
    let shown: BTreeSet<&str> = SHOWN.iter().map(|(name, ..)| *name).filter(|name| *name != "types").collect();
    assert_eq!(shown, CHECKS.iter().copied().collect());
    let of = |wanted: &str| SHOWN.iter().filter(|(name, ..)| *name == wanted).count();
    assert_eq!((of("types"), of("shell_syntax")), (6, 23));
    let warnings = SHOWN.iter().filter(|(_, words, _)| words.starts_with("`_::")).count();
    assert_eq!(warnings, 34);
}
