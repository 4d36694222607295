//! Speaking to the supervisor of a kept container (`sdk/helper/control.rs`), over a socket in the container's directory.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, bind, connect, listen, recvmsg, send, socket_with,
};

/// The name of the socket, which the supervisor removes at its end.
const SOCKET: &str = "plywood.sock";

/// How many may wait to be heard.
const BACKLOG: i32 = 16;

/// The supervisor does nothing that takes long; one that was stopped does nothing at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest message, in bytes: a mark and what is read from a container at once.
const LONGEST: usize = 16 * 1024;

/// The socket on which a supervisor will be spoken to.
pub(crate) fn listen_in(directory: &File) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let (address, path) = address(directory)?;
    match std::fs::remove_file(&path) {
        // Of a supervisor that was killed.
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// A way through `/proc`, since the address of a socket may have 107 bytes only.
fn address(directory: &File) -> io::Result<(SocketAddrUnix, String)> {
    let path = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
    Ok((SocketAddrUnix::new(path.as_str())?, path))
}

/// Whether the supervisor of the container in a directory was killed: one that ends by itself removes its socket.
pub(crate) fn was_killed(directory: &Path) -> io::Result<bool> {
    let directory = match File::open(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        directory => directory?,
    };
    // One that was stopped hears nobody, and lives.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    match connect(&socket, &address(&directory)?.0) {
        // A child that another thread has just started holds the socket too, until it executes its program.
        Ok(()) => Ok(super::wait::is_ending(socket_peercred(&socket)?.pid.as_raw_pid().unsigned_abs())),
        Err(rustix::io::Errno::CONNREFUSED) => Ok(true),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::AGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A line to a supervisor.
#[derive(Debug)]
pub(crate) struct Line(OwnedFd);

/// What a supervisor says.
#[derive(Debug)]
pub(crate) enum Word {
    /// What the container has written: to standard error, or to standard output.
    Output { is_error: bool, bytes: Vec<u8> },
    /// Its process has ended, with this wait status.
    End { status: i32, out_of_memory: bool },
}

impl Line {
    /// A line to the supervisor of the container in a directory; `None` if it has none.
    pub(crate) fn open(directory: &Path) -> io::Result<Option<Self>> {
        let directory = match File::open(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            directory => directory?,
        };
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
        match connect(&socket, &address(&directory)?.0) {
            Ok(()) => Ok(Some(Self(socket))),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::CONNREFUSED) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Says that the container is not to be started again; returns once that is so.
    pub(crate) fn cancel(self) -> io::Result<()> {
        set_socket_timeout(&self.0, Timeout::Recv, Some(PATIENCE))?;
        match self.say(b's') {
            // It is at its end, with or without having let this line in.
            Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => Ok(()),
            said => said.and_then(|()| self.hear().map(drop)),
        }
    }

    /// Asks to listen. What is asked before the supervisor is there it hears before anything else.
    pub(crate) fn ask_to_attach(&self) -> io::Result<()> {
        self.say(b'a')
    }

    /// The answer to that: where the container's input goes, if anywhere.
    pub(crate) fn attached(&self) -> io::Result<Option<OwnedFd>> {
        match self.hear()? {
            (bytes, file) if bytes == b"a" => Ok(file),
            _ => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Waits for the end of the line.
    pub(crate) fn wait_for_end(&self) {
        while let Ok(Some(_)) = self.next_word() {}
    }

    /// Begins to wait: nothing but the end is said.
    pub(crate) fn wait(&self) -> io::Result<()> {
        self.say(b'w')?;
        self.hear().map(drop)
    }

    /// The next thing it says; `None` if it says nothing any more, since it has ended or nobody has listened.
    pub(crate) fn next_word(&self) -> io::Result<Option<Word>> {
        let (mut bytes, _) = self.hear()?;
        Ok(match bytes.first() {
            Some(mark @ (b'0' | b'1')) => {
                let is_error = *mark == b'1';
                Some(Word::Output { is_error, bytes: bytes.split_off(1) })
            }
            Some(_) => match bytes.get(1..5).and_then(|status| status.first_chunk()) {
                Some(status) => {
                    let out_of_memory = bytes.get(5) == Some(&1);
                    Some(Word::End { status: i32::from_ne_bytes(*status), out_of_memory })
                }
                None => None,
            },
            None => None,
        })
    }

    fn say(&self, word: u8) -> io::Result<()> {
        send(&self.0, &[word], SendFlags::NOSIGNAL).map(drop).map_err(io::Error::from)
    }

    /// A message, empty at the end of the line, and the descriptor that has come with it.
    fn hear(&self) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
        let mut bytes = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            match recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                // A supervisor that ends with messages unread.
                Err(rustix::io::Errno::CONNRESET) => return Ok((Vec::new(), None)),
                received => break received?,
            }
        };
        bytes.truncate(received.bytes);
        let file = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut files) => files.next(),
            _ => None,
        });
        Ok((bytes, file))
    }
}
