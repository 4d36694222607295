//! Which devices the processes of a group may open.
//!
//! Version 1 has files for it. Version 2 asks a program of ours, [`bpf(2)`](https://man7.org/linux/man-pages/man2/bpf.2.html)
//! type `BPF_PROG_TYPE_CGROUP_DEVICE`, at each open and mknod: with the kind of access, the kind of device and its numbers.
//!
//! # Safety
//! One system call, given structs that live until it returns.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};

use super::group::{Group, Refused, write};

/// Devices that may be used, in some ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub kind: DeviceKind,
    /// All of them without.
    pub major: Option<u32>,
    /// All of them without.
    pub minor: Option<u32>,
    /// [`MAKE`], [`READ`] and [`WRITE`].
    pub access: u8,
}

/// Ways of using a device, as `linux/bpf.h` numbers them. Making a node is what the capability `MKNOD` is for as well.
pub(crate) const MAKE: u8 = 1;
pub(crate) const READ: u8 = 2;
pub(crate) const WRITE: u8 = 4;
pub(crate) const ANY_ACCESS: u8 = MAKE | READ | WRITE;

/// The bits of the letters `r`, `w` and `m`.
pub(crate) fn access(letters: &str) -> u8 {
    let all = [('r', READ), ('w', WRITE), ('m', MAKE)];
    all.into_iter().filter(|(letter, _)| letters.contains(*letter)).fold(0, |bits, (_, bit)| bits | bit)
}

/// `b` or `c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceKind {
    Block,
    Character,
}

impl Group {
    /// Lets its processes use these devices and no other: the `usual` ones as far as the groups above have them, and all
    /// that were `asked` for.
    ///
    /// Whether they are held to it: version 2 needs BPF, which a kernel may lack and a program may be denied. There the
    /// groups above have a say each time that a device is used.
    pub(crate) fn allow_devices(&self, usual: &[Rule], asked: &[Rule]) -> Result<bool, Refused> {
        let has_devices = |names: &[String]| names.iter().any(|name| name == "devices");
        if let Some(legacy) = self.legacy.iter().find(|legacy| has_devices(&legacy.controllers)) {
            let os = |path: PathBuf| move |error| Refused::Os { path, error };
            let deny = legacy.path.join("devices.deny");
            write(&deny, "a").map_err(os(deny))?;
            let allow = legacy.path.join("devices.allow");
            for (rule, is_asked) in usual.iter().map(|rule| (rule, false)).chain(asked.iter().map(|rule| (rule, true)))
            {
                let line = line(rule);
                match write(&allow, &line) {
                    // The groups above have less.
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied && is_asked => {
                        return Err(Refused::Device { rule: line, group: legacy.path.clone() });
                    }
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                    written => written.map_err(os(allow.clone()))?,
                }
            }
            return Ok(true);
        }
        let Some(path) = &self.unified else { return Ok(false) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let group = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| Refused::Os { path: path.clone(), error: error.into() })?;
        match load(&program(&[usual, asked].concat())).and_then(|program| attach(&group, &program)) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL | libc::EPERM)) => Ok(false),
            Err(error) => Err(Refused::Os { path: path.clone(), error }),
        }
    }
}

/// A rule as version 1 reads it.
fn line(rule: &Rule) -> String {
    let kind = match rule.kind {
        DeviceKind::Block => 'b',
        DeviceKind::Character => 'c',
    };
    let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
    let access = [(READ, 'r'), (WRITE, 'w'), (MAKE, 'm')].into_iter().filter(|(bit, _)| rule.access & bit != 0);
    let access: String = access.map(|(_, letter)| letter).collect();
    format!("{kind} {}:{} {access}", number(rule.major), number(rule.minor))
}

/// `struct bpf_insn`: opcode, two registers of 4 bits, offset, constant.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    constant: i32,
}

/// Opcodes of `linux/bpf.h`, put together from class, source and operation.
const LOAD_WORD: u8 = 0x61;
const AND: u8 = 0x57;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const SET: u8 = 0xb7;
const EXIT: u8 = 0x95;

/// Registers: the answer, the context, and what is read from it.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const MAJOR: u8 = 3;
const MINOR: u8 = 4;
const ACCESS: u8 = 5;

/// `BPF_DEVCG_DEV_BLOCK` and `BPF_DEVCG_DEV_CHAR`, in the low half of the first word of the context.
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;

fn program(rules: &[Rule]) -> Vec<Instruction> {
    let step = |code, target: u8, source: u8, offset, constant| Instruction {
        code,
        registers: if cfg!(target_endian = "big") { target << 4 | source } else { source << 4 | target },
        offset,
        constant,
    };
    let mut program = vec![
        step(LOAD_WORD, KIND, CONTEXT, 0, 0),
        step(AND, KIND, 0, 0, 0xffff),
        step(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        step(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    for rule in rules {
        let kind = if rule.kind == DeviceKind::Block { BLOCK } else { CHARACTER };
        // Each comparison jumps over what is left of the rule.
        let mut comparisons = vec![(KIND, kind)];
        comparisons.extend(rule.major.map(|major| (MAJOR, major as i32)));
        comparisons.extend(rule.minor.map(|minor| (MINOR, minor as i32)));
        if rule.access != ANY_ACCESS {
            // Of what is asked for, only what is not allowed counts, and it must be nothing. It stands in the high half.
            program.push(step(LOAD_WORD, ACCESS, CONTEXT, 0, 0));
            program.push(step(AND, ACCESS, 0, 0, i32::from(ANY_ACCESS & !rule.access) << 16));
            comparisons.push((ACCESS, 0));
        }
        let answer = [step(SET, ANSWER, 0, 0, 1), step(EXIT, 0, 0, 0, 0)];
        let count = comparisons.len();
        for (number, (register, value)) in comparisons.into_iter().enumerate() {
            let over = (count - number - 1 + answer.len()) as i16;
            program.push(step(JUMP_UNLESS_EQUAL, register, 0, over, value));
        }
        program.extend(answer);
    }
    program.extend([step(SET, ANSWER, 0, 0, 0), step(EXIT, 0, 0, 0, 0)]);
    program
}

/// Commands, types and flags of `linux/bpf.h`.
const PROG_LOAD: i32 = 5;
const PROG_ATTACH: i32 = 8;
const CGROUP_DEVICE_PROGRAM: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
/// Programs of others above and beside ours hold as well.
const ALLOW_MULTI: u32 = 2;

/// The part of `union bpf_attr` that loading takes.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

/// The part of `union bpf_attr` that attaching takes.
#[repr(C)]
#[derive(Default)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replaced: u32,
}

fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    let license = c"MIT";
    let mut attributes = Load {
        kind: CGROUP_DEVICE_PROGRAM,
        count: program.len() as u32,
        instructions: program.as_ptr().expose_provenance() as u64,
        license: license.as_ptr().expose_provenance() as u64,
        ..Load::default()
    };
    attributes.name[..7].copy_from_slice(b"plywood");
    // SAFETY: the struct is as long as its size says and, like the instructions and the licence, lives until the return.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const attributes, size_of::<Load>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just opened it for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn attach(group: &OwnedFd, program: &OwnedFd) -> io::Result<()> {
    let number = |fd: BorrowedFd<'_>| fd.as_raw_fd() as u32;
    use std::os::fd::AsFd;
    let attributes = Attach {
        target: number(group.as_fd()),
        program: number(program.as_fd()),
        kind: CGROUP_DEVICE,
        flags: ALLOW_MULTI,
        ..Attach::default()
    };
    // SAFETY: the struct is as long as its size says and lives until the return; both descriptors are open.
    let done = unsafe { libc::syscall(libc::SYS_bpf, PROG_ATTACH, &raw const attributes, size_of::<Attach>()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NULL: Rule = Rule { kind: DeviceKind::Character, major: Some(1), minor: Some(3), access: ANY_ACCESS };
    const TERMINALS: Rule = Rule { kind: DeviceKind::Character, major: Some(136), minor: None, access: ANY_ACCESS };
    /// Nodes of all block devices may be made, and nothing else done with them.
    const NODES: Rule = Rule { kind: DeviceKind::Block, major: None, minor: None, access: MAKE };

    /// What the kernel would make of a program: enough of a machine for ours.
    fn run(program: &[Instruction], context: [u32; 3]) -> u32 {
        let mut registers = [0_u32; 11];
        let mut next = 0;
        loop {
            let Instruction { code, registers: named, offset, constant } = program[next];
            let target = usize::from(named & 15);
            next += 1;
            match code {
                LOAD_WORD => registers[target] = context[offset as usize / 4],
                AND => registers[target] &= constant as u32,
                JUMP_UNLESS_EQUAL if registers[target] != constant as u32 => next += offset as usize,
                JUMP_UNLESS_EQUAL => {}
                SET => registers[target] = constant as u32,
                EXIT => return registers[0],
                other => panic!("opcode {other:#x}"),
            }
        }
    }

    #[test]
    fn a_program_answers_as_its_rules_say() {
        let program = program(&[NULL, TERMINALS]);
        let character = CHARACTER as u32;
        // Reading and writing stand in the high half of the first word.
        for (context, answer) in [
            ([6 << 16 | character, 1, 3], 1),
            ([2 << 16 | character, 136, 9], 1),
            ([2 << 16 | character, 1, 4], 0),
            ([2 << 16 | character, 3, 3], 0),
            ([2 << 16 | BLOCK as u32, 1, 3], 0),
        ] {
            assert_eq!(run(&program, context), answer, "{context:?}");
        }
        assert_eq!(run(&super::program(&[]), [character, 1, 3]), 0);
        let nodes = super::program(&[NODES, NULL]);
        for (context, answer) in [
            ([u32::from(MAKE) << 16 | BLOCK as u32, 8, 1], 1),
            ([u32::from(MAKE | READ) << 16 | BLOCK as u32, 8, 1], 0),
            ([u32::from(MAKE) << 16 | character, 8, 1], 0),
            ([u32::from(READ) << 16 | character, 1, 3], 1),
        ] {
            assert_eq!(run(&nodes, context), answer, "{context:?}");
        }
    }

    #[test]
    fn a_rule_reads_as_version_1_has_it() {
        assert_eq!(line(&NULL), "c 1:3 rwm");
        assert_eq!(line(&TERMINALS), "c 136:* rwm");
        assert_eq!(line(&NODES), "b *:* m");
        assert_eq!(line(&Rule { major: Some(8), minor: Some(0), access: READ | WRITE, ..NODES }), "b 8:0 rw");
    }
}
