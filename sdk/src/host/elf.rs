//! Reads what the loader reads of an ELF file: interpreter, needed libraries, search paths.
//!
//! An own reader of [elf(5)](https://man7.org/linux/man-pages/man5/elf.5.html), little endian, 32 and 64 bit. It needs
//! seven facts of two tables; the crate `object` would find the tables, but not spare the code that reads them, and every
//! user would build it and `memchr`. Only the tables are read, not the file; each offset is checked against its length.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

/// Longest table or string table to read; those of real programs are a hundred times smaller.
const TABLE_MAX: u64 = 16 << 20;
/// Longest first line of a script the kernel reads (`BINPRM_BUF_SIZE`).
const SHEBANG_MAX: usize = 256;

const MAGIC: &[u8] = b"\x7fELF";
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;

const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_SONAME: u64 = 14;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
/// `DF_1_NODEFLIB`: neither cache nor default directories.
const NO_DEFAULT: u64 = 0x800;

/// What a file is to `execve`.
#[derive(Debug)]
pub(super) enum Executable {
    Elf(Elf),
    /// Begins with `#!` and this interpreter.
    Script(String),
    Other,
}

/// What the loader wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Elf {
    pub(super) abi: Abi,
    pub(super) interpreter: Option<PathBuf>,
    pub(super) soname: Option<OsString>,
    pub(super) needed: Vec<OsString>,
    pub(super) rpath: Option<OsString>,
    pub(super) runpath: Option<OsString>,
    pub(super) no_default: bool,
}

/// What has to be equal in a program and its libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Abi {
    pub(super) is_64: bool,
    pub(super) is_little_endian: bool,
    pub(super) machine: u16,
}

impl Abi {
    /// The architecture, in words of `uname -m`.
    pub(super) fn name(self) -> String {
        let name = match (self.machine, self.is_64) {
            (3, _) => "i386",
            (8, _) => "mips",
            (20, _) => "ppc",
            (21, _) => "ppc64",
            (22, _) => "s390x",
            (40, _) => "arm",
            (62, true) => "x86_64",
            (62, false) => "x32",
            (183, _) => "aarch64",
            (243, true) => "riscv64",
            (243, false) => "riscv32",
            (258, _) => "loongarch64",
            (other, _) => return format!("machine {other}"),
        };
        name.to_owned()
    }

    /// Whether a kernel of this program's architecture runs it.
    pub(super) fn runs_here(self) -> bool {
        let name = self.name();
        self.is_little_endian
            && match std::env::consts::ARCH {
                "x86_64" => matches!(name.as_str(), "x86_64" | "i386"),
                "aarch64" => matches!(name.as_str(), "aarch64" | "arm"),
                "x86" => name == "i386",
                own => name == own,
            }
    }
}

/// Reads the head of an executable file.
///
/// A malformed file is an error of kind `InvalidData`.
pub(super) fn read(file: &File) -> io::Result<Executable> {
    let length = file.metadata()?.len();
    let mut head = [0; SHEBANG_MAX];
    let read = read_some(file, &mut head)?;
    let head = &head[..read];
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        return Ok(Executable::Script(line.split_whitespace().next().unwrap_or_default().to_owned()));
    }
    if !head.starts_with(MAGIC) {
        return Ok(Executable::Other);
    }
    Image { file, length, head }.read().map(Executable::Elf)
}

fn read_some(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

struct Image<'a> {
    file: &'a File,
    length: u64,
    /// The first bytes; more than the ELF header where the file has them.
    head: &'a [u8],
}

/// A program header.
struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    size: u64,
}

impl Image<'_> {
    fn read(&self) -> io::Result<Elf> {
        let is_64 = self.head.get(4).copied() == Some(CLASS_64);
        let is_little_endian = self.head.get(5).copied() == Some(LITTLE_ENDIAN);
        let machine_bytes = [*self.head.get(18).ok_or_else(malformed)?, *self.head.get(19).ok_or_else(malformed)?];
        let machine = match is_little_endian {
            true => u16::from_le_bytes(machine_bytes),
            false => u16::from_be_bytes(machine_bytes),
        };
        let abi = Abi { is_64, is_little_endian, machine };
        let mut elf = Elf {
            abi,
            interpreter: None,
            soname: None,
            needed: Vec::new(),
            rpath: None,
            runpath: None,
            no_default: false,
        };
        if !is_little_endian {
            // No supported host runs it, so nobody asks for more than its architecture.
            return Ok(elf);
        }
        let segments = self.segments(is_64)?;
        if let Some(segment) = segments.iter().find(|segment| segment.kind == PT_INTERP) {
            let path = self.bytes(segment.offset, segment.size)?;
            elf.interpreter = Some(PathBuf::from(string_at(&path, 0)?));
        }
        if let Some(segment) = segments.iter().find(|segment| segment.kind == PT_DYNAMIC) {
            self.dynamic(segment, &segments, &mut elf)?;
        }
        Ok(elf)
    }

    fn segments(&self, is_64: bool) -> io::Result<Vec<Segment>> {
        let (offset, entry_size, count) = match is_64 {
            true => (number(self.head, 32, 8)?, number(self.head, 54, 2)?, number(self.head, 56, 2)?),
            false => (number(self.head, 28, 4)?, number(self.head, 42, 2)?, number(self.head, 44, 2)?),
        };
        if count == 0 {
            return Ok(Vec::new());
        }
        let table = self.bytes(offset, entry_size * count)?;
        let minimum = if is_64 { 56 } else { 32 };
        if entry_size < minimum {
            return Err(malformed());
        }
        let segment = |entry: &[u8]| {
            Ok(match is_64 {
                true => Segment {
                    kind: number(entry, 0, 4)?,
                    offset: number(entry, 8, 8)?,
                    address: number(entry, 16, 8)?,
                    size: number(entry, 32, 8)?,
                },
                false => Segment {
                    kind: number(entry, 0, 4)?,
                    offset: number(entry, 4, 4)?,
                    address: number(entry, 8, 4)?,
                    size: number(entry, 16, 4)?,
                },
            })
        };
        table.chunks_exact(entry_size as usize).map(segment).collect()
    }

    /// Reads the dynamic section into `elf`.
    fn dynamic(&self, dynamic: &Segment, segments: &[Segment], elf: &mut Elf) -> io::Result<()> {
        let width = if elf.abi.is_64 { 8 } else { 4 };
        let table = self.bytes(dynamic.offset, dynamic.size)?;
        let mut entries = Vec::new();
        for entry in table.chunks_exact(2 * width) {
            let (tag, value) = (number(entry, 0, width)?, number(entry, width, width)?);
            if tag == DT_NULL {
                break;
            }
            entries.push((tag, value));
        }
        let value_of = |wanted: u64| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
        let (Some(address), Some(size)) = (value_of(DT_STRTAB), value_of(DT_STRSZ)) else {
            return Ok(());
        };
        let strings = self.bytes(file_offset(segments, address).ok_or_else(malformed)?, size)?;
        for (tag, value) in entries {
            match tag {
                DT_NEEDED => elf.needed.push(string_at(&strings, value)?),
                DT_SONAME => elf.soname = Some(string_at(&strings, value)?),
                DT_RPATH => elf.rpath = Some(string_at(&strings, value)?),
                DT_RUNPATH => elf.runpath = Some(string_at(&strings, value)?),
                DT_FLAGS_1 => elf.no_default = value & NO_DEFAULT != 0,
                _ => {}
            }
        }
        Ok(())
    }

    fn bytes(&self, offset: u64, size: u64) -> io::Result<Vec<u8>> {
        let end = offset.checked_add(size).ok_or_else(malformed)?;
        if end > self.length || size > TABLE_MAX {
            return Err(malformed());
        }
        let mut bytes = vec![0; size as usize];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

/// Where in the file the byte at a virtual address is.
fn file_offset(segments: &[Segment], address: u64) -> Option<u64> {
    segments.iter().filter(|segment| segment.kind == PT_LOAD).find_map(|segment| {
        let within = address.checked_sub(segment.address)?;
        (within < segment.size).then(|| segment.offset.checked_add(within))?
    })
}

/// The little-endian number of `width` bytes at `at`.
fn number(bytes: &[u8], at: usize, width: usize) -> io::Result<u64> {
    let bytes = bytes.get(at..at + width).ok_or_else(malformed)?;
    Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// The text up to the next NUL.
fn string_at(strings: &[u8], at: u64) -> io::Result<OsString> {
    let rest = usize::try_from(at).ok().and_then(|at| strings.get(at..)).ok_or_else(malformed)?;
    let end = rest.iter().position(|byte| *byte == 0).ok_or_else(malformed)?;
    Ok(OsString::from_vec(rest[..end].to_vec()))
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is not a well-formed ELF file")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write as _;

    use super::*;

    fn read_bytes(bytes: &[u8]) -> io::Result<Executable> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        read(&file)
    }

    fn read_elf(bytes: &[u8]) -> Elf {
        match read_bytes(bytes).unwrap() {
            Executable::Elf(elf) => elf,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_shell_of_the_host_names_its_interpreter_and_libraries() {
        let elf = read_elf(&std::fs::read("/bin/sh").unwrap());
        assert!(elf.abi.runs_here());
        assert_eq!(elf.abi.name(), std::env::consts::ARCH);
        if let Some(interpreter) = elf.interpreter {
            assert!(interpreter.is_absolute() && interpreter.exists());
            assert!(elf.needed.iter().any(|name| name.to_string_lossy().starts_with("libc.")), "{:?}", elf.needed);
        }
    }

    #[test]
    fn a_32_bit_program_is_read() {
        // A header, an interpreter, a dynamic section of two libraries: offsets and addresses are equal.
        let mut bytes = vec![0; 0x200];
        let mut put = |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        put(0, u32::from_le_bytes(*b"\x7fELF"));
        put(4, 0x0001_0101);
        put(16, 3 << 16 | 2);
        put(28, 52);
        put(40, 32 << 16 | 52);
        put(44, 3);
        for (index, [kind, offset, size]) in [[1, 0, 0x200], [3, 0x100, 8], [2, 0x120, 48]].into_iter().enumerate() {
            let at = 52 + 32 * index;
            put(at, kind);
            put(at + 4, offset);
            put(at + 8, offset);
            put(at + 16, size);
        }
        for (index, value) in [1, 1, 1, 6, 5, 0x180, 10, 16, 29, 1, 0, 0].into_iter().enumerate() {
            put(0x120 + 4 * index, value);
        }
        bytes[0x100..0x107].copy_from_slice(b"/lib/ld");
        bytes[0x181..0x18b].copy_from_slice(b"libc\0libm\0");
        let elf = read_elf(&bytes);
        assert_eq!(elf.abi.name(), "i386");
        assert_eq!(elf.interpreter, Some(PathBuf::from("/lib/ld")));
        assert_eq!(elf.needed, ["libc", "libm"]);
        assert_eq!(elf.runpath, Some("libc".into()));
        assert_eq!(elf.rpath, None);
    }

    #[test]
    fn scripts_and_other_files_are_told_apart() {
        assert!(
            matches!(read_bytes(b"#! /usr/bin/env python3\nx"), Ok(Executable::Script(path)) if path == "/usr/bin/env")
        );
        assert!(matches!(read_bytes(b"#!"), Ok(Executable::Script(path)) if path.is_empty()));
        assert!(matches!(read_bytes(b""), Ok(Executable::Other)));
        assert!(matches!(read_bytes(b"hello"), Ok(Executable::Other)));
    }

    #[test]
    fn no_malformed_file_panics() {
        let whole = std::fs::read("/bin/sh").unwrap();
        for end in (0..whole.len().min(4096)).step_by(7) {
            let _ = read_bytes(&whole[..end]);
        }
        for at in 4..512 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes.truncate(64 << 10);
                bytes[at] = value;
                let _ = read_bytes(&bytes);
            }
        }
        let error = read_bytes(&whole[..100]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
