//! What the command line says when something fails, and the exit code it gives.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// plywood itself failed: Docker's code, which leaves the small ones to the program in the container.
pub const FAILED: u8 = 125;

pub type Outcome<T> = Result<T, Failure>;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The library says why.
    Library(plywood::Error),
    /// The same, and what to do about it.
    Explained(plywood::Error, &'static str),
    /// The command line itself is at fault, or this program.
    Message(String),
    /// Nobody reads what we print.
    Closed,
    /// Several objects were given; what failed has been said.
    Reported,
}

impl Failure {
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::Message(message.to_string())
    }

    /// What was attempted, and why the operating system refused: as a clause, without its number.
    pub fn os(attempt: impl fmt::Display, error: &io::Error) -> Self {
        let text = error.to_string();
        let text = text.split(" (os error ").next().unwrap_or(&text);
        let (first, rest) = text.split_at_checked(1).unwrap_or((text, ""));
        Self::Message(format!("{attempt}: {}{rest}", first.to_lowercase()))
    }

    /// Says it, and gives the exit code.
    pub fn report(&self) -> ExitCode {
        let message = match self {
            Self::Library(error) => format!("{error:?}"),
            Self::Explained(error, hint) => format!("{error:?}\n  hint: {hint}"),
            Self::Message(message) => message.clone(),
            // As a program that is not told of it: the reader has got what it wanted.
            Self::Closed => return ExitCode::SUCCESS,
            Self::Reported => return ExitCode::from(FAILED),
        };
        say(&message);
        let code = match self {
            Self::Library(error) | Self::Explained(error, _) => error.exit_code(),
            _ => None,
        };
        ExitCode::from(code.unwrap_or(FAILED))
    }
}

/// One message on standard error. If that is closed too, nobody can be told.
pub fn say(message: &str) {
    let _ = io::Write::write_all(&mut io::stderr(), format!("plywood: {message}\n").as_bytes());
}

impl From<plywood::Error> for Failure {
    fn from(error: plywood::Error) -> Self {
        Self::Library(error)
    }
}

/// For what goes to standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::os("write to standard output", &error),
        }
    }
}

/// Does something to each of several objects: those that fail do not keep the others from it.
pub fn each<T>(objects: &[T], mut act: impl FnMut(&T) -> Outcome<()>) -> Outcome<()> {
    let mut failed = false;
    for object in objects {
        match act(object) {
            Ok(()) => {}
            Err(Failure::Closed) => return Err(Failure::Closed),
            Err(failure) => {
                failure.report();
                failed = true;
            }
        }
    }
    if failed { Err(Failure::Reported) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_are_told_without_their_numbers() {
        let error = io::Error::from_raw_os_error(28);
        let Failure::Message(text) = Failure::os("write", &error) else { panic!("{error}") };
        assert_eq!(text, "write: no space left on device");
    }
}
