//! Names: of checks, stages, ports and volumes; keys of labels and variables.

use super::Checker;
use crate::ast::{Body, Form, Named, Text};
use crate::finding::{Finding, Place};
use crate::{port, suggest, variables};

/// Every check by name; `#[allow(…)]` knows these.
pub const CHECKS: &[&str] = &[
    "add_for_copy",
    "add_without_checksum",
    "apt_for_people",
    "asks_a_question",
    "bad_checksum",
    "bad_digest",
    "bad_directive",
    "bad_dockerfile",
    "bad_duration",
    "bad_embed",
    "bad_env_name",
    "bad_glob",
    "bad_label_key",
    "bad_mode",
    "bad_mount_key",
    "bad_mount_type",
    "bad_network",
    "bad_onbuild",
    "bad_owner",
    "bad_port",
    "bad_protocol",
    "bad_retries",
    "bad_security",
    "bad_sharing",
    "bad_signal",
    "bad_substitution",
    "bad_user",
    "bashism",
    "before_from",
    "cd_alone",
    "checksum_local",
    "closing_bracket",
    "cmd_ignored",
    "cmd_reset",
    "defined_later",
    "directory_contents",
    "duplicate_port",
    "duplicate_stage",
    "duplicate_volume",
    "empty_command",
    "empty_continuation",
    "empty_tag",
    "env_same_statement",
    "flag_value",
    "from_expands",
    "from_variable",
    "glob_matches_nothing",
    "hash_comment",
    "healthcheck_none",
    "ignored_source",
    "inline_directory",
    "label_value",
    "legacy_key_value",
    "lower_case_instruction",
    "maintainer",
    "missing_argument",
    "missing_dockerfile",
    "missing_semicolon",
    "missing_source",
    "mount_needs",
    "name_long",
    "name_used_twice",
    "needs_directory",
    "no_destination",
    "no_from",
    "no_shell",
    "not_a_string",
    "not_declared",
    "odd_space",
    "only_global",
    "operator_in_array",
    "outside_context",
    "overridden",
    "owner_in_scratch",
    "pipe_hides_failure",
    "port_mapping",
    "port_text",
    "redundant_platform",
    "reference_case",
    "reference_char",
    "reference_domain",
    "reference_empty",
    "reference_id",
    "reference_scheme",
    "reference_separator",
    "reference_space",
    "relative_destination",
    "relative_workdir",
    "repeated_flag",
    "repeated_key",
    "reserved_name",
    "runs_as_root",
    "secret_file",
    "secret_in_env",
    "service_in_run",
    "shell_array",
    "shell_form",
    "shell_syntax",
    "short_duration",
    "source_slash",
    "spaces_in_program",
    "stage_as_image",
    "stage_itself",
    "stage_later",
    "stale_update",
    "sudo_in_run",
    "tag_long",
    "tilde",
    "too_many_layers",
    "trailing_backslash",
    "typographic",
    "unclosed_quote",
    "undefined_variable",
    "unknown_check",
    "unknown_flag",
    "unknown_instruction",
    "unknown_platform",
    "unknown_stage",
    "unpinned_base",
    "unquoted",
    "unused_arg",
    "unused_env_export",
    "unused_stage",
    "url_in_copy",
    "user_in_scratch",
    "variable_in_array",
    "variable_near_miss",
    "volume_mapping",
    "volume_relative",
    "whole_context",
    "write_after_volume",
    "wrong_count",
];

/// Checks that say nothing unless they are asked for, with `#![warn(…)]` or `#![deny(…)]`.
pub const OFF: &[&str] = &["runs_as_root"];

/// What to say about a name that no check has; nothing if one has it.
pub fn unknown_check(name: &str, place: Place) -> Option<Finding> {
    if CHECKS.contains(&name) {
        return None;
    }
    let finding = Finding::error("unknown_check", place, format!("there is no check named `{name}`"));
    Some(finding.maybe_help(suggest::did_you_mean(name, CHECKS.iter().copied())))
}

impl Checker<'_> {
    /// Each Rust name once; stages are told apart from `scratch`.
    pub(super) fn names(&mut self) {
        let mut seen: Vec<(&Text, bool)> = Vec::new();
        for instruction in self.instructions {
            let (named, is_stage): (&[Named], bool) = match &instruction.body {
                Body::From(named) => (std::slice::from_ref(named), true),
                Body::Expose(named) | Body::Volume(named) => (named, false),
                _ => continue,
            };
            for Named { text, name } in named {
                let Some(name) = name else { continue };
                if is_stage && name.value.eq_ignore_ascii_case("scratch") {
                    let message = format!("`{}` cannot be a stage name", name.value);
                    self.report(Finding::error("reserved_name", name.place, message));
                }
                if !is_stage && (text.form == Form::Expression || text.value.contains('$')) {
                    let message = format!("`{}` needs a value that is known when the program is compiled", name.value);
                    self.report(
                        Finding::error("reserved_name", name.place, message)
                            .help("leave the name away, or write the value itself"),
                    );
                }
                if matches!(instruction.body, Body::Expose(_)) {
                    let message = match port::parse(&text.value) {
                        Ok(port) if port.first != port.last => Some(("bad_port", "a name stands for one port")),
                        Ok(port) if port.protocol == "sctp" => {
                            Some(("bad_protocol", "a port with a name is tcp or udp"))
                        }
                        _ => None,
                    };
                    if let Some((check, message)) = message {
                        self.report(Finding::error(check, name.place, message));
                    }
                }
                match seen.iter().find(|(before, _)| before.value == name.value) {
                    Some((first, true)) if is_stage => {
                        let line = self.on_line(first.place);
                        let first = if line.is_empty() { String::new() } else { format!("; first{line}") };
                        let message = format!("two stages are named `{}`{first}", name.value);
                        self.report(Finding::error("duplicate_stage", name.place, message));
                    }
                    Some((first, _)) => {
                        let line = self.on_line(first.place);
                        let first = if line.is_empty() { String::new() } else { format!("; first{line}") };
                        let message = format!("the name `{}` is used twice{first}", name.value);
                        self.report(Finding::error("name_used_twice", name.place, message));
                    }
                    None => seen.push((name, is_stage)),
                }
            }
        }
    }

    pub(super) fn variable_name(&mut self, name: &Text) {
        if name.plain().is_some_and(|value| !variables::is_name(value)) {
            let message = format!("`{}` cannot be a variable name", name.value);
            self.report(
                Finding::error("bad_env_name", name.place, message)
                    .help("letters, digits and `_`, not beginning with a digit"),
            );
        }
    }

    pub(super) fn label_key(&mut self, key: &Text) {
        let good = |value: &str| {
            value.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && value.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/".contains(&b))
        };
        if key.plain().is_some_and(|value| !good(value)) {
            let message = format!("`{}` cannot be a label key", key.value);
            self.report(
                Finding::error("bad_label_key", key.place, message)
                    .help("lower-case letters, digits, `.`, `-`, as in `com.example.name`"),
            );
        }
    }

    pub(super) fn repeated_keys(&mut self, pairs: &[(Text, Text)], keyword: &str) {
        for (index, (key, _)) in pairs.iter().enumerate() {
            if pairs[..index].iter().any(|(before, _)| before.value == key.value) {
                let message = format!("`{}` is set twice in this `{keyword}`", key.value);
                self.report(Finding::error("repeated_key", key.place, message));
            }
        }
    }
}
