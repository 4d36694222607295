//! One forwarded connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_linger, set_tcp_nodelay};
use rustix::net::{Shutdown, connect, shutdown};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use super::{Family, Upstream};

/// What a pipe holds at first, in bytes.
const SMALL: usize = 64 << 10;

/// What the pipe of a stream holds, and what is moved at once, at most, in bytes: as much as any user may have.
const LARGE: usize = 1 << 20;

/// So many pipes are large at once, at most: they count against what all pipes of a user hold together.
const STREAMS: usize = 8;

/// After so many steps it is the next connection's turn.
const TURN: u32 = 4;

/// Two ends that are joined.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) client: OwnedFd,
    pub(super) server: OwnedFd,
    /// By which it came.
    pub(super) door: u64,
    /// The container has ended: what it has sent still goes out.
    pub(super) is_orphan: bool,
    up: Flow,
    down: Flow,
}

/// One direction.
#[derive(Debug, Default)]
struct Flow {
    /// While there is something in it.
    pipe: Option<Pipe>,
    held: usize,
    has_ended: bool,
    is_shut: bool,
}

#[derive(Debug)]
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    /// One of [`Pipes::large`], if it is.
    large: Option<Arc<()>>,
}

/// Pipes with nothing in them, for the next piece: a few are enough, as only slow readers leave something in theirs.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    spare: Vec<Pipe>,
    /// Each large pipe has one more of it.
    large: Arc<()>,
}

impl Pipes {
    fn take(&mut self) -> Result<Pipe, Errno> {
        self.spare.pop().map_or_else(
            || {
                let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
                Ok(Pipe { reader, writer, large: None })
            },
            Ok,
        )
    }

    fn give_back(&mut self, pipe: Pipe) {
        if self.spare.len() < STREAMS {
            self.spare.push(pipe);
        }
    }

    /// More is moved at once by a pipe that was filled; it stays as it is where the user has no more left.
    fn enlarge(&self, pipe: &mut Pipe) {
        if pipe.large.is_none() && Arc::strong_count(&self.large) <= STREAMS {
            pipe.large = fcntl_setpipe_size(&pipe.writer, LARGE).ok().map(|_| Arc::clone(&self.large));
        }
    }
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// An event will tell.
    Waits,
    /// There is more to move now.
    More,
    Over,
}

impl Link {
    /// Joins a connection with a port of the loopback interface of the other network; one that is refused there is reset.
    pub(super) fn open(client: OwnedFd, door: u64, port: u16, upstream: &dyn Upstream) -> Option<Self> {
        let server = reach(port, upstream, Family::V4).or_else(|_| reach(port, upstream, Family::V6));
        let Ok(server) = server else {
            reset(&client);
            return None;
        };
        // Pieces are passed on as they come: to wait for more would add to what the ends have decided.
        let _ = set_tcp_nodelay(&client, true);
        let _ = set_tcp_nodelay(&server, true);
        Some(Self { client, server, door, is_orphan: false, up: Flow::default(), down: Flow::default() })
    }

    /// Moves what there is, both ways.
    pub(super) fn go_on(&mut self, pipes: &mut Pipes) -> Progress {
        let up = self.up.go_on(&self.client, &self.server, pipes);
        // What has come from the container goes out even if it takes nothing any more.
        let down = self.down.go_on(&self.server, &self.client, pipes);
        match (up, down) {
            (_, Err(_)) => self.abort(),
            (Err(_), Ok(_)) if !self.is_orphan => self.abort(),
            (_, Ok(_)) if self.down.is_shut && (self.up.is_shut || self.is_orphan) => Progress::Over,
            (Ok(true), _) | (_, Ok(true)) => Progress::More,
            _ => Progress::Waits,
        }
    }

    fn abort(&self) -> Progress {
        reset(&self.client);
        reset(&self.server);
        Progress::Over
    }
}

impl Flow {
    /// Moves pieces; whether there may be more of them now.
    fn go_on(&mut self, from: &OwnedFd, to: &OwnedFd, pipes: &mut Pipes) -> Result<bool, Errno> {
        for _ in 0..TURN {
            if self.held == 0 {
                if self.has_ended {
                    if !self.is_shut {
                        // The other end may be gone already.
                        let _ = shutdown(to, Shutdown::Write);
                        self.is_shut = true;
                    }
                    self.give_back(pipes);
                    return Ok(false);
                }
                match self.fill(from, pipes) {
                    Ok(0) => self.has_ended = true,
                    Ok(length) => self.held = length,
                    Err(Errno::INTR) => {}
                    Err(error) => {
                        self.give_back(pipes);
                        return if error == Errno::AGAIN { Ok(false) } else { Err(error) };
                    }
                }
                continue;
            }
            let Some(pipe) = &self.pipe else { return Err(Errno::PIPE) };
            match splice(&pipe.reader, None, to, None, self.held, SpliceFlags::NONBLOCK | SpliceFlags::MOVE) {
                Ok(length) => self.held -= length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn fill(&mut self, from: &OwnedFd, pipes: &mut Pipes) -> Result<usize, Errno> {
        let pipe = match &mut self.pipe {
            Some(pipe) => pipe,
            none => none.insert(pipes.take()?),
        };
        let length = splice(from, None, &pipe.writer, None, LARGE, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?;
        if length >= SMALL {
            pipes.enlarge(pipe);
        }
        Ok(length)
    }

    /// An empty pipe is for whoever needs one next.
    fn give_back(&mut self, pipes: &mut Pipes) {
        if let Some(pipe) = self.pipe.take() {
            pipes.give_back(pipe);
        }
    }
}

fn reach(port: u16, upstream: &dyn Upstream, family: Family) -> Result<OwnedFd, Errno> {
    let made = upstream.tcp(family).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    rustix::io::ioctl_fionbio(&made, true)?;
    let host: IpAddr = match family {
        Family::V4 => Ipv4Addr::LOCALHOST.into(),
        Family::V6 => Ipv6Addr::LOCALHOST.into(),
    };
    match connect(&made, &SocketAddr::new(host, port)) {
        // It goes on by itself; until then nothing can be moved.
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(made),
        Err(error) => Err(error),
    }
}

/// Lets the other end see that this is no orderly end, once the socket is closed.
pub(super) fn reset(socket: impl AsFd) {
    let _ = set_socket_linger(socket, Some(std::time::Duration::ZERO));
}
