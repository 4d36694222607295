//! Flags: known, given once, with the value they take.

use super::Checker;
use crate::ast::{FlagValue, Form, Instruction};
use crate::finding::Finding;
use crate::grammar::{self, Takes};
use crate::suggest;

impl Checker<'_> {
    pub(super) fn flags(&mut self, instruction: &Instruction) {
        let keyword = instruction.keyword();
        for (index, flag) in instruction.flags.iter().enumerate() {
            let (name, place) = (flag.name.value.as_str(), flag.name.place);
            let Some(takes) = grammar::takes(keyword, name) else {
                let known: Vec<String> =
                    grammar::flags(keyword).iter().map(|(known, _)| format!("--{known}")).collect();
                let written = format!("--{name}");
                let help = match suggest::nearest(&written, known.iter().map(String::as_str)) {
                    Some(near) => Some(format!("did you mean `{near}`?")),
                    None if known.is_empty() => None,
                    None => Some(format!("it has `{}`", known.join("`, `"))),
                };
                let message = format!("`{keyword}` has no flag `{written}`");
                self.report(Finding::error("unknown_flag", place, message).maybe_help(help));
                continue;
            };
            let repeatable = matches!(takes, Takes::Values | Takes::Options);
            if !repeatable && instruction.flags[..index].iter().any(|before| before.name.value == name) {
                self.report(Finding::error("repeated_flag", place, format!("`--{name}` is given twice")));
            }
            match (&flag.value, takes) {
                (FlagValue::None, Takes::Value | Takes::Values | Takes::Options) => {
                    self.report(Finding::error("flag_value", place, format!("`--{name}` needs a value")));
                }
                (FlagValue::One(text), Takes::Switch)
                    if !text.known().is_some_and(|value| ["true", "false"].contains(&value)) =>
                {
                    let message = format!("`--{name}` takes only `true` or `false`");
                    self.report(Finding::error("flag_value", text.place, message));
                }
                (FlagValue::One(text), Takes::Options) if text.form != Form::Quoted => {
                    let message = format!("`--{name}` takes keys and values");
                    self.report(
                        Finding::error("flag_value", text.place, message)
                            .help("--mount=type=cache,target=\"/var/cache/apt\""),
                    );
                }
                _ => {}
            }
        }
    }
}
