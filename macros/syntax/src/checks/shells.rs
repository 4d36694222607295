//! Which shell runs the shell form.

use std::collections::HashMap;

use crate::ast::{Body, Form, Instruction, Named};

/// Shells whose language [`crate::shell`] reads.
const POSIX: [&str; 6] = ["sh", "ash", "dash", "bash", "ksh", "zsh"];
/// Parts of the names of images that have no such shell.
const WINDOWS: [&str; 3] = ["windows", "nanoserver", "servercore"];

/// What is known so far about the shell of each stage.
#[derive(Default)]
pub(super) struct Shells<'a> {
    stages: HashMap<&'a str, bool>,
    name: Option<&'a str>,
    is_posix: bool,
}

impl<'a> Shells<'a> {
    /// Takes one instruction after the other, and tells whether this one runs under a shell whose language is known.
    pub(super) fn is_posix_at(&mut self, instruction: &'a Instruction) -> bool {
        match &instruction.body {
            Body::From(Named { text, name }) => {
                self.stages.extend(self.name.map(|name| (name, self.is_posix)));
                self.is_posix = match text.form {
                    Form::Quoted => !WINDOWS.iter().any(|part| text.value.contains(part)),
                    _ => self.stages.get(text.value.as_str()).copied().unwrap_or(true),
                };
                self.name = name.as_ref().map(|name| name.value.as_str());
            }
            Body::Shell(words) => {
                let program = words.first().map_or("", |word| word.value.as_str());
                self.is_posix = POSIX.contains(&program.rsplit('/').next().unwrap_or(program));
            }
            _ => {}
        }
        self.is_posix
    }
}
