//! The terminal of a process: made in the container's own devpts, by the child.
//!
//! The child finds a socket in place of standard input. It opens `ptmx`, makes sure that it is one of a devpts, gets
//! the peer from it by descriptor (`TIOCGPTPEER`) and never by a name, and sends the master to the host program. The
//! peer takes the place of all three streams, and becomes the terminal of the session that the child leads.

use std::os::fd::{AsFd, OwnedFd};

use super::script::{Lookup, Script};
use super::stdio::Sink;
use crate::error::{Attempt, Result};
use crate::sys::mount::{AT_EMPTY_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, open_how};
use crate::sys::plan::{Register, Word};
use crate::sys::tty::{self, DEVPTS_SUPER_MAGIC, TIOCGPTPEER, TIOCSCTTY, TIOCSPTLCK, TIOCSWINSZ, WindowSize};

/// What a child is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub size: WindowSize,
    /// Who the process will be, and own the terminal.
    pub owner: u32,
}

/// Our end of the socket, and who takes what the terminal shows.
pub(super) struct Opening {
    pub socket: OwnedFd,
    pub size: WindowSize,
    pub output: Option<Box<dyn Sink>>,
}

/// What the supervisor reads, and who takes it.
pub(super) type Drained = (OwnedFd, Box<dyn Sink>);

impl Opening {
    /// The terminal that the child has sent, and what the supervisor is to drain.
    pub(super) fn receive(self) -> Result<(OwnedFd, Option<Drained>)> {
        let attempt = || "receive the terminal of a container";
        let master = tty::receive(&self.socket).attempt(attempt)?;
        let drained = match self.output {
            None => None,
            Some(sink) => {
                rustix::io::ioctl_fionbio(&master, true).attempt(attempt)?;
                Some((master.as_fd().try_clone_to_owned().attempt(attempt)?, sink))
            }
        };
        Ok((master, drained))
    }
}

/// `struct statfs`, which begins with the magic number.
const STATFS: usize = 120;

/// `struct cmsghdr`, and with one descriptor behind it.
const HEADER: u64 = 16;
const MESSAGE: u64 = HEADER + 4;

/// Makes a terminal below a container's root, whose `/dev/pts` must be in place, and sends its master over descriptor
/// 0; the register is the peer.
pub(super) fn make(script: &mut Script, root: Register, wish: Wish) -> Result<Register> {
    script.step("open a terminal in the container").hint =
        Some("its /dev/pts must be a devpts, and kernel.pty.max not used up");
    let resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    let master = script.open_in(root, "dev/pts/ptmx", open_how(flags, 0, resolve))?;
    let statfs = script.plan.buffer(STATFS);
    script.plan.call(libc::SYS_fstatfs, &[master.into(), statfs.into()]);
    for (at, byte) in (0..).zip(DEVPTS_SUPER_MAGIC.to_ne_bytes()) {
        script.plan.expect(statfs.plus(at), byte, libc::ENOTTY);
    }
    let unlocked = script.plan.halves(&[0]);
    script.plan.call(libc::SYS_ioctl, &[master.into(), TIOCSPTLCK.into(), unlocked.into()]);
    let size = script.plan.bytes(&wish.size.to_bytes());
    script.plan.call(libc::SYS_ioctl, &[master.into(), TIOCSWINSZ.into(), size.into()]);
    let peer = script.get(libc::SYS_ioctl, &[master.into(), TIOCGPTPEER.into(), flags.into()]);
    let same_group = u32::MAX;
    script.plan.call(libc::SYS_fchown, &[peer.into(), wish.owner.into(), same_group.into()]);
    send(script, "hand the terminal to the host program", master);
    script.close(master);
    Ok(peer)
}

/// Sends a descriptor over the socket in place of standard input.
pub(super) fn send(script: &mut Script, attempt: &'static str, fd: Register) {
    script.step(attempt);
    let byte = script.plan.bytes(&[0]);
    let vector = script.plan.structure(&[Word::Address(byte), Word::Number(1)]);
    // The descriptor is known when the child runs: its number is stored behind the header.
    let rights = libc::SOL_SOCKET as u64 | (libc::SCM_RIGHTS as u64) << 32;
    let control = script.plan.words(&[MESSAGE, rights, 0]);
    script.plan.store(control.plus(HEADER as u32), fd);
    let (no_name, no_flags) = ([Word::Number(0), Word::Number(0)], Word::Number(0));
    let message = script.plan.structure(&[
        no_name[0],
        no_name[1],
        Word::Address(vector),
        Word::Number(1),
        Word::Address(control),
        Word::Number(HEADER + 8),
        no_flags,
    ]);
    script.plan.call(libc::SYS_sendmsg, &[0.into(), message.into(), libc::MSG_NOSIGNAL.into()]);
}

/// Makes the terminal the container's console as well.
pub(super) fn console(script: &mut Script, root: Register, dev: Register, peer: Register) -> Result<()> {
    script.step("mount the terminal at /dev/console");
    let name = script.text("console")?;
    let mode = libc::S_IFREG | 0o620;
    script.plan.call(libc::SYS_mknodat, &[dev.into(), name.into(), mode.into(), 0.into()]);
    let empty = script.empty;
    let copy = script.copy_tree(peer, empty, AT_EMPTY_PATH);
    let (_, target) = script.look_up(root, "dev/console", Lookup::Real)?;
    script.attach(copy, target);
    script.close(copy);
    script.close(target);
    Ok(())
}

/// Puts the terminal in the place of the three streams, and makes it the one of the session.
pub(super) fn take(script: &mut Script, peer: Register) {
    script.step("use the terminal");
    for number in 0_u32..3 {
        script.plan.call(libc::SYS_dup3, &[peer.into(), number.into(), 0.into()]);
    }
    script.close(peer);
    script.plan.call(libc::SYS_ioctl, &[0.into(), TIOCSCTTY.into(), 0.into()]);
}
