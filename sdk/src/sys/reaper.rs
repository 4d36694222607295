//! The line to the reaper of this program: the helper as a process of its own, which ends what a killed program leaves.
//!
//! It is started with the first registration. What it is told and does is described in `sdk/helper/reaper.rs`. It has
//! nothing of this program but what it is given (see [`background`]).

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv,
    sendmsg, socketpair,
};
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::background;

/// What the reaper is to do, and how long: until this is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    key: u64,
    /// The process that registered; a fork of it has the value, and nothing to say.
    process: u32,
}

/// How much may be said in one message, in bytes.
const LONGEST: usize = 8 * 1024;

/// How long the reaper may take to hear us: it only takes notes, so this long means that somebody has stopped it.
const PATIENCE: Duration = Duration::from_secs(5);

impl Registration {
    /// Begins one; the reaper is started if this program has none.
    pub(crate) fn new() -> io::Result<Self> {
        let mut line = line();
        let key = line.next;
        line.next += 1;
        line.socket()?;
        Ok(Self { key, process: std::process::id() })
    }

    /// Adds orders: a letter and a text each. Paths are relative to the first descriptor.
    ///
    /// # Errors
    /// `InvalidInput` if they are too long; otherwise if the reaper is gone or does not listen.
    pub(crate) fn add(&self, orders: &[(u8, &[u8])], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut message = self.begin(b'+');
        for (letter, text) in orders {
            message.push(*letter);
            message.extend_from_slice(text);
            message.push(0);
        }
        if message.len() > LONGEST || orders.iter().any(|(_, text)| text.contains(&0)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // Never starts another: this is called where no process can be started.
        let mut line = line();
        let Some((_, socket)) = line.socket.as_ref().filter(|_| self.process == std::process::id()) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let sent = send(socket, &message, descriptors);
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            // It was killed. The next registration gets a new one.
            line.socket = None;
        }
        sent
    }

    /// The beginning of a message: what it is, and the key.
    fn begin(&self, letter: u8) -> Vec<u8> {
        let mut message = vec![letter, 0, 0, 0, 0, 0, 0, 0];
        message.extend_from_slice(&self.key.to_ne_bytes());
        message
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let line = line();
        if self.process == std::process::id()
            && let Some((_, socket)) = &line.socket
        {
            // A reaper that is gone has forgotten it.
            let _ = send(socket, &self.begin(b'-'), &[]);
        }
    }
}

/// Waits until the reaper has heard what was said so far: it holds nothing of what it was told to forget.
///
/// Otherwise a file system could not be unmounted for a moment after all that was on it has gone.
pub(crate) fn settle() {
    let line = line();
    let Some((owner, socket)) = &line.socket else { return };
    if *owner == std::process::id() && send(socket, b"?", &[]).is_ok() {
        // If it is gone, or does not answer within the time, it is past all help.
        while recv(socket, &mut [0_u8; 1], RecvFlags::empty()) == Err(rustix::io::Errno::INTR) {}
    }
}

/// The line of this program.
struct Line {
    /// With the number of the process whose reaper it is.
    socket: Option<(u32, OwnedFd)>,
    next: u64,
}

fn line() -> std::sync::MutexGuard<'static, Line> {
    static LINE: Mutex<Line> = Mutex::new(Line { socket: None, next: 0 });
    LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    fn socket(&mut self) -> io::Result<&OwnedFd> {
        let process = std::process::id();
        if self.socket.as_ref().is_some_and(|(owner, _)| *owner != process) {
            self.socket = None;
        }
        let socket = match self.socket.take() {
            Some((_, socket)) => socket,
            None => start()?,
        };
        Ok(&self.socket.insert((process, socket)).1)
    }
}

fn send(socket: &OwnedFd, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    loop {
        match sendmsg(socket, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
            sent => return Ok(sent.map(drop)?),
        }
    }
}

/// Starts the reaper; our end of the line.
fn start() -> io::Result<OwnedFd> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&ours, Timeout::Send, Some(PATIENCE))?;
    set_socket_timeout(&ours, Timeout::Recv, Some(PATIENCE))?;
    let ourselves = pidfd_open(getpid(), PidfdFlags::empty())?;
    background::start("plywood-reaper", &[theirs.as_fd(), ourselves.as_fd()])?;
    Ok(ours)
}
