//! Pseudo-terminals: [`pty(7)`](https://man7.org/linux/man-pages/man7/pty.7.html).
//!
//! A container's terminal is made by its own child, in its own devpts, and the end that the host keeps is sent over a
//! socket. So no name in a container is ever looked up to find a terminal, and none of the host's leads into one.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg, socketpair,
};
use rustix::termios::{Winsize, tcgetwinsize, tcsetwinsize};

/// Magic of devpts in [`statfs(2)`](https://man7.org/linux/man-pages/man2/statfs.2.html).
pub(crate) const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;

/// Unlocks the peer.
pub(crate) const TIOCSPTLCK: u32 = 0x4004_5431;
/// Opens the peer without a name, since Linux 4.13.
#[doc(alias = "ptsname")]
pub(crate) const TIOCGPTPEER: u32 = 0x5441;
/// Makes a terminal the one of the calling session.
pub(crate) const TIOCSCTTY: u32 = 0x540e;
/// Sets the size.
pub(crate) const TIOCSWINSZ: u32 = 0x5414;

/// How large a terminal is, in characters; 0 means that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct WindowSize {
    pub rows: u16,
    pub columns: u16,
}

impl WindowSize {
    /// `struct winsize`: rows, columns, and two that nobody uses.
    pub(crate) fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..2].copy_from_slice(&self.rows.to_ne_bytes());
        bytes[2..4].copy_from_slice(&self.columns.to_ne_bytes());
        bytes
    }
}

/// Tells a terminal its size; its foreground processes get `SIGWINCH` if it has changed.
#[doc(alias = "TIOCSWINSZ")]
pub(crate) fn resize(terminal: impl AsFd, size: WindowSize) -> io::Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(terminal, size)?)
}

/// The size of a terminal.
pub(crate) fn size(terminal: impl AsFd) -> io::Result<WindowSize> {
    let size = tcgetwinsize(terminal)?;
    Ok(WindowSize { rows: size.ws_row, columns: size.ws_col })
}

/// Reads what was written to the terminal; nothing once nobody has it open any more.
pub(crate) fn read(terminal: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::io::read(&terminal, &mut *buffer) {
            Ok(read) => return Ok(read),
            // What the kernel says at the end.
            Err(Errno::IO) => return Ok(0),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(&terminal, PollFlags::IN)?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Types into the terminal.
pub(crate) fn write(terminal: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match rustix::io::write(&terminal, bytes) {
            Ok(written) => return Ok(written),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(&terminal, PollFlags::OUT)?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for a terminal that does not block, since somebody else waits for many.
fn wait(terminal: impl AsFd, event: PollFlags) -> io::Result<()> {
    match poll(&mut [PollFd::new(&terminal, event)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A socket over which a child sends the terminal it has made: our end, and its.
pub(crate) fn channel() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Takes the terminal out of the socket; the child has sent it already.
#[doc(alias = "SCM_RIGHTS")]
pub(crate) fn receive(socket: impl AsFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    received.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_laid_out_as_the_kernel_reads_it() {
        let bytes = WindowSize { rows: 24, columns: 80 }.to_bytes();
        let half = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        assert_eq!([half(0), half(2), half(4), half(6)], [24, 80, 0, 0]);
    }
}
