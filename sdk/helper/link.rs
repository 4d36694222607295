//! One forwarded connection, as in `sdk/src/network/tcp.rs`: two sockets, and a pipe for each direction while there is
//! something in it.

use crate::kernel;
use crate::numbers::*;
use crate::tcp::{self, Family};

/// What a pipe holds at first, in bytes.
const SMALL: usize = 64 * 1024;

/// What the pipe of a stream holds, and what is moved at once, at most, in bytes: as much as any user may have.
const LARGE: usize = 1024 * 1024;

/// So many pipes are large at once, at most: they count against what all pipes of a user hold together.
const STREAMS: usize = 8;

/// After so many steps it is the next connection's turn.
const TURN: u32 = 4;

/// Told of changes only: whatever can be moved is moved at once.
pub const CHANGES: u32 = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

/// How far a connection has come.
pub enum Progress {
    /// An event will tell.
    Waits,
    /// There is more to move now.
    More,
    /// Nothing listens on IPv4: it is to be tried with IPv6.
    Other,
    Over,
}

pub struct Link {
    pub client: i32,
    pub server: i32,
    /// The port of the container.
    pub port: u16,
    /// By which the server is being reached; `None` once that has been done.
    pub tried: Option<Family>,
    up: Flow,
    down: Flow,
    /// The next place that is free, while this is one.
    pub next: u32,
}

/// One direction.
struct Flow {
    /// While there is something in it.
    pipe: Pipe,
    held: usize,
    has_ended: bool,
    is_shut: bool,
}

const STILL: Flow = Flow { pipe: NONE, held: 0, has_ended: false, is_shut: false };

#[derive(Clone, Copy)]
struct Pipe {
    /// Reader and writer; -1 if there is none.
    ends: [i32; 2],
    is_large: bool,
}

const NONE: Pipe = Pipe { ends: [-1; 2], is_large: false };

/// Pipes with nothing in them, for the next piece: a few are enough, as only slow readers leave something in theirs.
pub struct Pipes {
    spare: [Pipe; STREAMS],
    count: usize,
    /// How many there are, spare and others.
    large: usize,
}

impl Pipes {
    pub fn new() -> Self {
        Self { spare: [NONE; STREAMS], count: 0, large: 0 }
    }

    fn take(&mut self) -> Option<Pipe> {
        let Some(last) = self.count.checked_sub(1) else { return kernel::pipe().map(|ends| Pipe { ends, ..NONE }) };
        self.count = last;
        self.spare.get(last).copied()
    }

    fn give_back(&mut self, pipe: Pipe) {
        match self.spare.get_mut(self.count) {
            Some(place) => {
                *place = pipe;
                self.count = self.count.wrapping_add(1);
            }
            None => self.close(pipe),
        }
    }

    fn close(&mut self, pipe: Pipe) {
        pipe.ends.into_iter().for_each(kernel::close);
        self.large = self.large.wrapping_sub(pipe.is_large.into());
    }

    /// More is moved at once by a pipe that was filled; it stays as it is where the user has no more left.
    fn enlarge(&mut self, pipe: &mut Pipe) {
        if !pipe.is_large && self.large < STREAMS && tcp::resize(pipe.ends[1], LARGE) {
            pipe.is_large = true;
            self.large = self.large.wrapping_add(1);
        }
    }
}

impl Link {
    /// Joins a connection with a port of the loopback interface; `None` if there is no socket for that.
    pub fn open(client: i32, port: u16) -> Option<Self> {
        let mut link = Self { client, server: -1, port, tried: None, up: STILL, down: STILL, next: 0 };
        tcp::do_not_delay(client);
        (link.reach(Family::V4) || link.reach(Family::V6)).then_some(link)
    }

    /// Begins to reach the server; false if that has failed already.
    pub fn reach(&mut self, family: Family) -> bool {
        let Ok(server) = tcp::socket(family, SOCK_STREAM) else { return false };
        tcp::do_not_delay(server);
        match tcp::connect(server, family, self.port) {
            Ok(()) | Err(EINPROGRESS | EINTR) => {
                // The old one is not watched any more once it is closed: nothing has a copy of it.
                kernel::close(self.server);
                (self.server, self.tried) = (server, Some(family));
                true
            }
            Err(_) => {
                kernel::close(server);
                false
            }
        }
    }

    /// Moves what there is, both ways; the container of an orphan has ended: what it has sent still goes out.
    pub fn go_on(&mut self, is_orphan: bool, pipes: &mut Pipes) -> Progress {
        if let Some(family) = self.tried {
            match tcp::connect(self.server, family, self.port) {
                Ok(()) => self.tried = None,
                Err(EALREADY | EINPROGRESS | EINTR) if !is_orphan => return Progress::Waits,
                Err(_) if family == Family::V4 && !is_orphan => return Progress::Other,
                Err(_) => return self.abort(),
            }
        }
        let up = self.up.go_on(self.client, self.server, pipes);
        // What has come from the container goes out even if it takes nothing any more.
        let down = self.down.go_on(self.server, self.client, pipes);
        match (up, down) {
            (_, Err(_)) => self.abort(),
            (Err(_), Ok(_)) if !is_orphan => self.abort(),
            (_, Ok(_)) if self.down.is_shut && (self.up.is_shut || is_orphan) => Progress::Over,
            (Ok(true), _) | (_, Ok(true)) => Progress::More,
            _ => Progress::Waits,
        }
    }

    /// Lets both ends see that it has been cut off.
    pub fn abort(&self) -> Progress {
        tcp::reset(self.client);
        tcp::reset(self.server);
        Progress::Over
    }

    /// Closes what it has.
    pub fn close(&mut self, pipes: &mut Pipes) {
        for flow in [&mut self.up, &mut self.down] {
            if flow.held == 0 {
                flow.give_back(pipes);
            } else {
                pipes.close(flow.pipe);
            }
        }
        kernel::close(self.client);
        kernel::close(self.server);
        (self.client, self.server) = (-1, -1);
    }
}

impl Flow {
    /// Moves pieces; whether there may be more of them now.
    fn go_on(&mut self, from: i32, to: i32, pipes: &mut Pipes) -> Result<bool, i32> {
        for _ in 0..TURN {
            if self.held > 0 {
                match tcp::splice(self.pipe.ends[0], to, self.held) {
                    Ok(length) => self.held = self.held.wrapping_sub(length),
                    Err(EINTR) => {}
                    Err(EAGAIN) => return Ok(false),
                    Err(error) => return Err(error),
                }
                continue;
            }
            if self.has_ended {
                if !self.is_shut {
                    tcp::shut(to);
                    self.is_shut = true;
                }
                self.give_back(pipes);
                return Ok(false);
            }
            match self.fill(from, pipes) {
                Ok(0) => self.has_ended = true,
                Ok(length) => self.held = length,
                Err(EINTR) => {}
                Err(error) => {
                    self.give_back(pipes);
                    return if error == EAGAIN { Ok(false) } else { Err(error) };
                }
            }
        }
        Ok(true)
    }

    fn fill(&mut self, from: i32, pipes: &mut Pipes) -> Result<usize, i32> {
        if self.pipe.ends[1] < 0 {
            self.pipe = pipes.take().ok_or(ENFILE)?;
        }
        let length = tcp::splice(from, self.pipe.ends[1], LARGE)?;
        if length >= SMALL {
            pipes.enlarge(&mut self.pipe);
        }
        Ok(length)
    }

    /// An empty pipe is for whoever needs one next.
    fn give_back(&mut self, pipes: &mut Pipes) {
        if self.pipe.ends[0] >= 0 {
            pipes.give_back(self.pipe);
            self.pipe = NONE;
        }
    }
}
