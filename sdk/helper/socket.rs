//! Messages over sockets, and the descriptors that come with them.

use crate::kernel::{address, call};
use crate::numbers::*;

/// A message and the descriptors that came with it; -1 for those that did not.
pub struct Message<'a> {
    pub bytes: &'a [u8],
    pub files: [i32; 2],
}

impl Message<'_> {
    /// Closes its descriptors.
    pub fn close(&self) {
        self.files.into_iter().for_each(crate::kernel::close);
    }
}

/// struct cmsghdr; with one descriptor behind it; and with two.
const HEADER: u64 = 16;
const ONE: u64 = HEADER + 4;
const TWO: u64 = HEADER + 8;

/// Makes a socket that listens already this process's own: whoever connects learns our process ID (unix(7), SO_PEERCRED).
pub fn adopt(listener: i32, backlog: u64) {
    // SAFETY: takes plain numbers.
    let _ = unsafe { call(SYS_listen, [listener as u64, backlog, 0, 0, 0, 0]) };
}

/// Takes the next message from a socket; `None` at its end, an empty one if there is none yet.
pub fn receive(socket: i32, buffer: &mut [u8]) -> Option<Message<'_>> {
    let mut control = [0_u64; 3];
    let vector = [buffer.as_mut_ptr().expose_provenance() as u64, buffer.len() as u64];
    let begin = (&raw mut control).expose_provenance() as u64;
    // struct msghdr: name, its length, vectors, their number, control, its length, flags.
    let mut header = [0, 0, address(&vector), 1, begin, TWO, 0];
    let header = (&raw mut header).expose_provenance() as u64;
    let read = loop {
        // SAFETY: the structs lead to buffers of ours with their sizes.
        match unsafe { call(SYS_recvmsg, [socket as u64, header, MSG_CMSG_CLOEXEC, 0, 0, 0]) } {
            Ok(0) => return None,
            Ok(read) => break read as usize,
            Err(EINTR) => {}
            Err(EAGAIN) => return Some(Message { bytes: b"", files: [-1, -1] }),
            Err(_) => return None,
        }
    };
    let [length, kind, files] = control;
    let mut received = [-1, -1];
    if kind == SOL_SOCKET | SCM_RIGHTS << 32 {
        received[0] = files as u32 as i32;
        if length >= TWO {
            received[1] = (files >> 32) as u32 as i32;
        }
    }
    buffer.get(..read).map(|bytes| Message { bytes, files: received })
}

/// Sends a message of two parts, and a descriptor unless that is -1; false if it was not taken at once.
pub fn deliver(socket: i32, parts: [&[u8]; 2], file: i32) -> bool {
    let vectors = parts.map(|part| [part.as_ptr().expose_provenance() as u64, part.len() as u64]);
    let control = [ONE, SOL_SOCKET | SCM_RIGHTS << 32, u64::from(file as u32)];
    let (begin, length) = if file < 0 { (0, 0) } else { (address(&control), HEADER + 8) };
    let header = [0, 0, address(&vectors), 2, begin, length, 0];
    let flags = MSG_NOSIGNAL | MSG_DONTWAIT;
    loop {
        // SAFETY: the structs lead to what is borrowed, with its sizes.
        match unsafe { call(SYS_sendmsg, [socket as u64, address(&header), flags, 0, 0, 0]) } {
            Err(EINTR) => {}
            sent => return sent.is_ok(),
        }
    }
}

/// Two ends of a line, which no program inherits.
pub fn pair(kind: u64) -> Option<[i32; 2]> {
    let mut ends = [-1_i32; 2];
    let begin = (&raw mut ends).expose_provenance() as u64;
    // SAFETY: the kernel writes two descriptors, which are ours.
    let made = unsafe { call(SYS_socketpair, [AF_UNIX, kind | SOCK_CLOEXEC, 0, begin, 0, 0]) };
    made.is_ok().then_some(ends)
}

/// Takes the next one that wants to speak; `None` if there is nobody.
pub fn accept(listener: i32) -> Option<i32> {
    let flags = SOCK_CLOEXEC | SOCK_NONBLOCK;
    // SAFETY: no address is asked for.
    unsafe { call(SYS_accept4, [listener as u64, 0, 0, flags, 0, 0]) }.ok().map(|fd| fd as i32)
}
