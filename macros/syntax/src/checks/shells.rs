//! Which shell runs the shell form.

use crate::ast::{Body, Form, Instruction, Named, Text};
use crate::shell;

/// Parts of the names of images that have no POSIX shell.
const WINDOWS: [&str; 3] = ["windows", "nanoserver", "servercore"];

/// What the shell form runs under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shell {
    /// A POSIX shell, perhaps no more than that.
    Posix,
    /// bash or one that reads the same, in which a pipe hides failures.
    Bash,
    /// The same with `pipefail`.
    Strict,
    /// Something else: nothing is known about its language.
    Other,
}

impl Shell {
    fn of(words: &[&str]) -> Self {
        let program = words.first().copied().unwrap_or_default();
        match program.rsplit('/').next().unwrap_or(program) {
            "sh" | "ash" | "dash" => Self::Posix,
            "bash" | "ksh" | "zsh" if words.contains(&"pipefail") => Self::Strict,
            "bash" | "ksh" | "zsh" => Self::Bash,
            _ => Self::Other,
        }
    }

    /// What reads the scripts of a `RUN` under this shell: the program that one alone names itself, if it does.
    pub(super) fn reading(self, scripts: &[Text]) -> Self {
        let [script] = scripts else { return self };
        let Some(line) = script.known().and_then(shell::interpreter) else { return self };
        let is_before = |word: &&str| word.ends_with("/env") || word.starts_with('-');
        Self::of(&line.split_whitespace().skip_while(is_before).collect::<Vec<_>>())
    }
}

/// What is known so far about the shell of each stage.
pub(super) struct Shells<'a> {
    stages: Vec<(&'a str, Shell)>,
    name: Option<&'a str>,
    shell: Shell,
}

impl Default for Shells<'_> {
    fn default() -> Self {
        Self { stages: Vec::new(), name: None, shell: Shell::Posix }
    }
}

impl<'a> Shells<'a> {
    /// Takes one instruction after the other, and tells what this one runs under.
    pub(super) fn at(&mut self, instruction: &'a Instruction) -> Shell {
        match &instruction.body {
            Body::From(Named { text, name }) => {
                self.stages.extend(self.name.map(|name| (name, self.shell)));
                let stage = || self.stages.iter().rfind(|(name, _)| *name == text.value);
                self.shell = match text.form {
                    Form::Quoted if WINDOWS.iter().any(|part| text.value.contains(part)) => Shell::Other,
                    Form::Quoted => Shell::Posix,
                    _ => stage().map_or(Shell::Posix, |(_, shell)| *shell),
                };
                self.name = name.as_ref().map(|name| name.value.as_str());
            }
            Body::Shell(words) => {
                self.shell = Shell::of(&words.iter().map(|word| word.value.as_str()).collect::<Vec<_>>());
            }
            _ => {}
        }
        self.shell
    }
}
