//! Those who speak to the supervisor of a container: programs that have its data root open.
//!
//! | message | means |
//! |---|---|
//! | `s` | the container is to end, and is not to be started again; answered with `.` once that is so |
//! | `a` | attach: answered with `a` and the descriptor of its input, if it has one; output follows |
//! | `w` | wait: answered with `w`; only the end follows |
//! | `0`, `1` and bytes | what the container has written to standard output or error |
//! | `e`, status | its process has ended, with this wait status in four bytes, and one more that is 1 if memory ran out |
//!
//! Nobody is waited for: who does not take a message at once hears nothing any more. Only what a terminal shows waits for
//! those who see it, as everywhere.
//!
//! Who has heard of the end of a container that is removed then stays, and learns of that by the end of the line.

use crate::kernel;
use crate::numbers::*;
use crate::socket;

/// How many may speak or listen at the same time.
pub const MOST: usize = 8;

#[derive(Clone, Copy)]
struct Client {
    file: i32,
    /// Whether it hears what the container writes, and how that ends.
    listens: bool,
    waits: bool,
    /// Whether it has asked for the end, and hears when it is there.
    asks: bool,
}

const NOBODY: Client = Client { file: -1, listens: false, waits: false, asks: false };

/// How many may wait to be heard (`BACKLOG` in `sdk/src/sys/keeper.rs`).
const BACKLOG: u64 = 16;

pub struct Clients {
    listener: i32,
    clients: [Client; MOST],
}

impl Clients {
    pub fn new(listener: i32) -> Self {
        // Whoever comes sees by it whether we live, even if another process has the socket open.
        socket::adopt(listener, BACKLOG);
        Self { listener, clients: [NOBODY; MOST] }
    }

    /// What to wait for: the next one who comes, unless there is no room, and those who are there.
    pub fn files(&self) -> (i32, [i32; MOST]) {
        let files = self.clients.map(|client| client.file);
        (if files.contains(&-1) { self.listener } else { -1 }, files)
    }

    /// Lets those come who are there already, and hears them: nothing was written before.
    pub fn begin(&mut self, input: i32) -> bool {
        while self.admit() {}
        let (_, files) = self.files();
        self.hear(false, files.map(|file| file >= 0), input)
    }

    /// Who listens and has not taken yet what was said: what the next one may say fits in what is left.
    pub fn busy(&self) -> [bool; MOST] {
        let listening = self.clients.map(|client| (if client.listens { client.file } else { -1 }, POLLOUT));
        if listening.iter().all(|(file, _)| *file < 0) {
            return [false; MOST];
        }
        let mut busy = kernel::poll_events(listening, 0);
        for (busy, (file, _)) in busy.iter_mut().zip(listening) {
            *busy = file >= 0 && !*busy;
        }
        busy
    }

    /// Hears those who are ready; whether one wants the container to end. `input` is where its input goes.
    pub fn hear(&mut self, comes: bool, ready: [bool; MOST], input: i32) -> bool {
        let mut ends = false;
        for (client, _) in self.clients.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            let mut word = [0; 1];
            match socket::receive(client.file, &mut word) {
                Some(message) if message.bytes == b"s" => {
                    client.asks = true;
                    ends = true;
                }
                Some(message) if message.bytes == b"w" => {
                    client.waits = socket::deliver(client.file, [b"w", b""], -1);
                }
                Some(message) if message.bytes == b"a" => {
                    client.listens = socket::deliver(client.file, [b"a", b""], input);
                }
                Some(message) => message.close(),
                None => client.leave(),
            }
        }
        if comes {
            self.admit();
        }
        ends
    }

    /// Lets the next one come; false if there is nobody, or no room.
    fn admit(&mut self) -> bool {
        let free = self.clients.iter_mut().find(|client| client.file < 0);
        let Some((free, file)) = free.and_then(|free| Some((free, socket::accept(self.listener)?))) else { return false };
        *free = Client { file, ..NOBODY };
        true
    }

    /// Answers those who want it to end.
    pub fn answer(&mut self) {
        for client in self.clients.iter_mut().filter(|client| client.asks) {
            socket::deliver(client.file, [b".", b""], -1);
            client.asks = false;
        }
    }

    /// Passes output on.
    pub fn pass_on(&mut self, stream: usize, bytes: &[u8]) {
        let mark: &[u8] = if stream == 0 { b"0" } else { b"1" };
        for client in self.clients.iter_mut().filter(|client| client.listens) {
            if !socket::deliver(client.file, [mark, bytes], -1) {
                client.leave();
            }
        }
    }

    /// Says that the process has ended; they stay if the container is removed.
    pub fn end(&mut self, status: i32, out_of_memory: bool, is_removed: bool) {
        let [a, b, c, d] = status.to_ne_bytes();
        for client in self.clients.iter_mut().filter(|client| client.listens || client.waits) {
            let is_told = socket::deliver(client.file, [b"e", &[a, b, c, d, u8::from(out_of_memory)]], -1);
            (client.listens, client.waits) = (false, false);
            if !is_told || !is_removed {
                client.leave();
            }
        }
    }
}

impl Client {
    fn leave(&mut self) {
        kernel::close(self.file);
        *self = NOBODY;
    }
}
