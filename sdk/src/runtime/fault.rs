//! Why a program could not be executed, in words.

use std::io;
use std::path::Path;

use crate::error::{self, Error, ErrorKind};
use crate::sys::plan::{Blob, Offset};

/// What this room says about programs.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("start a process: no command is given")]
    NoCommand,
    #[error("start {program:?}: no such command in the container (searched PATH {path})")]
    NoSuchCommand { program: String, path: String },
    #[error("start {program:?}: no such file in the container")]
    NoSuchFile { program: String },
    #[error("start {program:?}: its interpreter {interpreter:?} does not exist in the container")]
    NoInterpreter { program: String, interpreter: String },
    #[error("start {program:?}: {candidate:?} is there, but what it needs to run is not")]
    NoLoader { program: String, candidate: String },
    #[error("start {program:?}: {candidate:?} is a directory")]
    Directory { program: String, candidate: String },
    #[error("start {program:?}: {candidate:?} may not be executed by this user")]
    Denied { program: String, candidate: String },
    #[error(
        "start {program:?}: {candidate:?} is a program for {machine}, and this machine is {}",
        std::env::consts::ARCH
    )]
    Machine { program: String, candidate: String, machine: String },
    #[error("start {program:?}: {candidate:?} is neither a program nor a script that begins with #!")]
    Format { program: String, candidate: String },
}

impl error::Fault for Fault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoCommand => ErrorKind::InvalidArgument,
            Self::NoSuchCommand { .. } | Self::NoSuchFile { .. } => ErrorKind::NotFound,
            Self::NoInterpreter { .. } | Self::NoLoader { .. } => ErrorKind::NotFound,
            Self::Directory { .. } | Self::Denied { .. } => ErrorKind::PermissionDenied,
            Self::Machine { .. } | Self::Format { .. } => ErrorKind::Unsupported,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoCommand => "the image has neither entrypoint nor command: give one".to_owned(),
            Self::NoInterpreter { interpreter, .. } if interpreter.ends_with('\r') => {
                "its first line ends in a carriage return: save it with Unix line ends".to_owned()
            }
            Self::Denied { candidate, .. } => format!("chmod +x {candidate}"),
            Self::Format { .. } => "a shell script begins with #!/bin/sh".to_owned(),
            Self::Machine { .. } => "use an image of this platform".to_owned(),
            _ => return None,
        })
    }

    fn exit_code(&self) -> Option<u8> {
        match self {
            Self::NoCommand => None,
            Self::NoSuchCommand { .. } | Self::NoSuchFile { .. } => Some(127),
            Self::NoInterpreter { .. } | Self::NoLoader { .. } => Some(127),
            Self::Directory { .. } | Self::Denied { .. } | Self::Machine { .. } | Self::Format { .. } => Some(126),
        }
    }
}

/// What was tried to be executed, and where the child left what it found.
#[derive(Debug)]
pub(super) struct Search {
    pub program: String,
    /// `PATH`, if it was searched.
    pub path: Option<String>,
    pub candidates: Vec<String>,
    /// Not 0 if a file is there.
    pub found_at: Offset,
    /// How much of it was read, or a negative errno.
    pub read_at: Offset,
    pub head: Offset,
    pub head_size: usize,
}

impl Search {
    /// The error of a candidate that could not be executed.
    pub(super) fn error(&self, blob: &Blob, candidate: usize, errno: i32) -> Error {
        let word = |at| {
            let mut word = [0; 8];
            word.copy_from_slice(&blob.read(at, 8));
            i64::from_ne_bytes(word)
        };
        let found = word(self.found_at) != 0;
        let read = word(self.read_at);
        let head = blob.read(self.head, usize::try_from(read).unwrap_or(0).min(self.head_size));
        let program = self.program.clone();
        let candidate = self.candidates.get(candidate).cloned().unwrap_or_default();
        match (errno, found) {
            (libc::ENOENT | libc::ENOTDIR, false) => match self.path.clone() {
                Some(path) => Fault::NoSuchCommand { program, path }.into(),
                None => Fault::NoSuchFile { program }.into(),
            },
            (libc::ENOENT, true) => match interpreter(&head) {
                Some(interpreter) => Fault::NoInterpreter { program, interpreter }.into(),
                None => Fault::NoLoader { program, candidate }.into(),
            },
            (libc::EACCES, _) if read == -i64::from(libc::EISDIR) => Fault::Directory { program, candidate }.into(),
            (libc::EACCES, _) => Fault::Denied { program, candidate }.into(),
            (libc::ENOEXEC, _) => match machine(&head) {
                Some(machine) => Fault::Machine { program, candidate, machine }.into(),
                None => Fault::Format { program, candidate }.into(),
            },
            _ => Error::os(format_args!("start {program:?}"), io::Error::from_raw_os_error(errno))
                .with_path(Path::new(&candidate)),
        }
    }
}

/// What a file names to run it: after `#!`, or in an ELF program header.
fn interpreter(head: &[u8]) -> Option<String> {
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next()?;
        let line = String::from_utf8_lossy(line);
        return Some(line.trim_matches([' ', '\t']).split([' ', '\t']).next()?.to_owned());
    }
    let elf = Elf::new(head)?;
    for number in 0..elf.half(if elf.wide { 56 } else { 44 })? {
        let size = elf.half(if elf.wide { 54 } else { 42 })?;
        let header = elf.offset(if elf.wide { 32 } else { 28 })?.checked_add(u64::from(number) * u64::from(size))?;
        let header = usize::try_from(header).ok()?;
        // PT_INTERP
        if elf.word(header)? == 3 {
            let start = usize::try_from(elf.offset(header.checked_add(if elf.wide { 8 } else { 4 })?)?).ok()?;
            let text = head.get(start..)?.split(|byte| *byte == 0).next()?;
            return Some(String::from_utf8_lossy(text).into_owned());
        }
    }
    None
}

/// The machine an ELF file is for, if it is not this one.
fn machine(head: &[u8]) -> Option<String> {
    let elf = Elf::new(head)?;
    let number = elf.half(18)?;
    let name = match (number, elf.wide) {
        (3, _) => "x86",
        (8, _) => "mips",
        (20, _) => "powerpc",
        (21, _) => "powerpc64",
        (22, _) => "s390x",
        (40, _) => "arm",
        (62, true) => "x86_64",
        (62, false) => "x32",
        (183, _) => "aarch64",
        (243, _) => "riscv64",
        (258, _) => "loongarch64",
        _ => return Some(format!("another machine (number {number})")),
    };
    (name != std::env::consts::ARCH).then(|| name.to_owned())
}

/// The first bytes of an ELF file.
struct Elf<'a> {
    head: &'a [u8],
    wide: bool,
    little: bool,
}

impl<'a> Elf<'a> {
    fn new(head: &'a [u8]) -> Option<Self> {
        let (class, order) = (head.strip_prefix(b"\x7fELF")?.first()?, head.get(5)?);
        Some(Self { head, wide: *class == 2, little: *order == 1 })
    }

    fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let mut bytes: [u8; N] = self.head.get(at..at.checked_add(N)?)?.try_into().ok()?;
        if !self.little {
            bytes.reverse();
        }
        Some(bytes)
    }

    fn half(&self, at: usize) -> Option<u16> {
        self.bytes(at).map(u16::from_le_bytes)
    }

    fn word(&self, at: usize) -> Option<u32> {
        self.bytes(at).map(u32::from_le_bytes)
    }

    fn offset(&self, at: usize) -> Option<u64> {
        match self.wide {
            true => self.bytes(at).map(u64::from_le_bytes),
            false => self.word(at).map(u64::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_of_a_script_is_its_first_word() {
        for (head, name) in [
            (&b"#! /usr/bin/env python3\nx"[..], Some("/usr/bin/env")),
            (b"#!/bin/sh\r\n", Some("/bin/sh\r")),
            (b"#!/bin/sh", Some("/bin/sh")),
            (b"plain", None),
            (b"\x7fELF\x02\x01", None),
        ] {
            assert_eq!(interpreter(head).as_deref(), name);
        }
    }

    #[test]
    fn a_damaged_program_header_is_no_interpreter() {
        let mut head = vec![0; 4096];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        head[54..56].copy_from_slice(&u16::MAX.to_le_bytes());
        head[56..58].copy_from_slice(&u16::MAX.to_le_bytes());
        assert_eq!(interpreter(&head), None);
    }

    #[test]
    fn programs_for_other_machines_are_named() {
        let mut head = [0; 64];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[18] = 22;
        assert_eq!(machine(&head).as_deref(), Some("s390x"));
        head[18] = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
        assert_eq!(machine(&head), None);
    }
}
