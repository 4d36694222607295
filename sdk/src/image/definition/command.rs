//! Commands in shell form and in exec form.

use std::fmt;

use super::Values;

const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// A command, as `CMD`, `ENTRYPOINT`, `RUN` and `HEALTHCHECK` take it.
///
/// A string is the shell form and runs under the image's shell; an array is the exec form and runs as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// A script for the shell.
    Shell(String),
    /// A program and its arguments.
    Exec(Vec<String>),
}

impl Command {
    /// The shell form.
    pub fn shell(script: impl fmt::Display) -> Self {
        Self::Shell(script.to_string())
    }

    /// Several scripts for the shell, joined with `&&`: each runs if those before it succeeded.
    pub fn all(scripts: impl Into<Values>) -> Self {
        Self::shell(plywood_syntax::shell::join(&scripts.into().into_vec()))
    }

    /// What is executed: under the shell, or as it stands. An empty shell is `["/bin/sh", "-c"]`.
    pub(crate) fn argv(&self, shell: &[String]) -> Vec<String> {
        match self {
            Self::Exec(args) => args.clone(),
            Self::Shell(script) => {
                let default = DEFAULT_SHELL.into_iter().filter(|_| shell.is_empty());
                default.chain(shell.iter().map(String::as_str)).chain([script.as_str()]).map(str::to_owned).collect()
            }
        }
    }

    /// The script where its first line names what reads it.
    pub(crate) fn program(&self) -> Option<&str> {
        match self {
            Self::Shell(script) => plywood_syntax::shell::interpreter(script).map(|_| script.as_str()),
            Self::Exec(_) => None,
        }
    }

    /// The exec form.
    pub fn exec(args: impl Into<Values>) -> Self {
        Self::Exec(args.into().into_vec())
    }
}

impl From<&str> for Command {
    fn from(script: &str) -> Self {
        Self::shell(script)
    }
}

impl From<String> for Command {
    fn from(script: String) -> Self {
        Self::Shell(script)
    }
}

impl From<&String> for Command {
    fn from(script: &String) -> Self {
        Self::shell(script)
    }
}

impl<T: ToString, const N: usize> From<[T; N]> for Command {
    fn from(args: [T; N]) -> Self {
        Self::exec(args)
    }
}

impl<T: ToString> From<Vec<T>> for Command {
    fn from(args: Vec<T>) -> Self {
        Self::exec(args)
    }
}

impl<T: ToString> From<&[T]> for Command {
    fn from(args: &[T]) -> Self {
        Self::exec(args)
    }
}
