//! A point at which a child waits for this program, and says who it is.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketFlags, SocketType, recvmsg,
    send, socketpair, sockopt,
};

/// What the child is sent.
pub(crate) const GO_ON: u8 = 1;

/// Our end of the socket.
#[derive(Debug)]
pub(crate) struct Meeting(OwnedFd);

impl Meeting {
    /// Ours, and the descriptor for the child, which writes a byte and reads one.
    pub(crate) fn new() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_passcred(&ours, true)?;
        Ok((Self(ours), theirs))
    }

    /// Waits for the child; its number in our pid namespace, or `None` if it has ended before.
    pub(crate) fn wait(&self) -> io::Result<Option<u32>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        loop {
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut byte = [0];
            let received = recvmsg(&self.0, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::empty());
            match received {
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
                Ok(received) if received.bytes == 0 => return Ok(None),
                Ok(_) => {}
            }
            let pid = control.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmCredentials(who) => u32::try_from(who.pid.as_raw_nonzero().get()).ok(),
                _ => None,
            });
            return pid.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into());
        }
    }

    /// Lets the child go on. Without, it gives up when this is dropped.
    pub(crate) fn go_on(&self) -> io::Result<()> {
        send(&self.0, &[GO_ON], SendFlags::NOSIGNAL).map(drop).map_err(io::Error::from)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn who_comes_is_known_by_its_number() {
        let (ours, theirs) = Meeting::new().unwrap();
        rustix::io::write(&theirs, b"x").unwrap();
        assert_eq!(ours.wait().unwrap(), Some(std::process::id()));
        ours.go_on().unwrap();
        let mut byte = [0];
        rustix::io::read(&theirs, &mut byte).unwrap();
        assert_eq!(byte, [GO_ON]);
        drop(theirs);
        assert_eq!(ours.wait().unwrap(), None);
    }
}
