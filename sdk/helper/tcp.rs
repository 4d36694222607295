//! Sockets of TCP and UDP, epoll(7) and splice(2), as forwarding takes them.

use crate::kernel::{address, call};
use crate::numbers::*;

/// Which of the two internets.
#[derive(Clone, Copy, PartialEq)]
pub enum Family {
    V4,
    V6,
}

/// struct epoll_event: what has happened, and to whom.
#[derive(Clone, Copy)]
#[cfg_attr(target_arch = "x86_64", repr(C, packed))]
#[cfg_attr(not(target_arch = "x86_64"), repr(C))]
pub struct Event {
    pub what: u32,
    pub key: u64,
}

/// Takes the next connection.
pub fn accept(listener: i32) -> Result<i32, i32> {
    // SAFETY: no address is asked for.
    unsafe { call(SYS_accept4, [listener as u64, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0]) }.map(|fd| fd as i32)
}

/// A socket of this process's network that is not connected, and never waits; a stream or datagrams.
pub fn socket(family: Family, kind: u64) -> Result<i32, i32> {
    let domain = if family == Family::V4 { AF_INET } else { AF_INET6 };
    // SAFETY: takes no pointer.
    unsafe { call(SYS_socket, [domain, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0, 0, 0]) }.map(|fd| fd as i32)
}

/// Connects to a port of the loopback interface, or says how far that has come: [`EINPROGRESS`] and [`EALREADY`] if an
/// event will tell.
pub fn connect(socket: i32, family: Family, port: u16) -> Result<(), i32> {
    let [high, low] = port.to_be_bytes();
    // struct sockaddr_in6: family, port, flow, address, scope; struct sockaddr_in is shorter, and has its address at 4.
    let mut name = [0_u8; 28];
    let domain = if family == Family::V4 { AF_INET } else { AF_INET6 };
    let [first, second] = (domain as u16).to_ne_bytes();
    let (head, last) = match family {
        Family::V4 => ([first, second, high, low, 127, 0, 0, 1], 0),
        Family::V6 => ([first, second, high, low, 0, 0, 0, 0], 1),
    };
    name.iter_mut().zip(head).for_each(|(place, byte)| *place = byte);
    name[23] = last;
    let length = if family == Family::V4 { 16 } else { 28 };
    // SAFETY: the name has at least this length.
    match unsafe { call(SYS_connect, [socket as u64, address(&name), length, 0, 0, 0]) } {
        Ok(_) | Err(EISCONN) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Where a datagram comes from: struct sockaddr_in or the longer sockaddr_in6, with zeros behind it.
#[derive(Clone, Copy, PartialEq)]
pub struct Name {
    pub bytes: [u8; 28],
    length: u32,
}

/// Takes the next datagram; how long it is, and whose.
pub fn receive_from(socket: i32, buffer: *mut u8, size: usize) -> Result<(usize, Name), i32> {
    let mut name = Name { bytes: [0; 28], length: 28 };
    let buffer = buffer.expose_provenance() as u64;
    let bytes = (&raw mut name.bytes).expose_provenance() as u64;
    let length = (&raw mut name.length).expose_provenance() as u64;
    loop {
        // SAFETY: the callers' buffer has this size; the kernel writes a name of at most this length, and its length.
        match unsafe { call(SYS_recvfrom, [socket as u64, buffer, size as u64, MSG_DONTWAIT, bytes, length]) } {
            Err(EINTR) => {}
            received => return received.map(|received| (received as usize, name)),
        }
    }
}

/// Sends a datagram by a socket that is connected.
pub fn send(socket: i32, buffer: *mut u8, length: usize) -> Result<(), i32> {
    let arguments = [socket as u64, buffer.expose_provenance() as u64, length as u64, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0];
    // SAFETY: the callers' buffer has at least this length.
    unsafe { call(SYS_sendto, arguments) }.map(drop)
}

/// Sends a datagram to whoever has this name; what is not taken is lost.
pub fn send_to(socket: i32, buffer: *mut u8, length: usize, name: &Name) {
    let buffer = buffer.expose_provenance() as u64;
    let arguments =
        [socket as u64, buffer, length as u64, MSG_DONTWAIT | MSG_NOSIGNAL, address(&name.bytes), name.length.into()];
    // SAFETY: the callers' buffer has at least this length, and so has the name.
    let _ = unsafe { call(SYS_sendto, arguments) };
}

/// The error that waits at a socket, which is told once; 0 if there is none.
pub fn error(socket: i32) -> i32 {
    let (mut error, mut length) = (0_i32, 4_u32);
    let value = (&raw mut error).expose_provenance() as u64;
    let size = (&raw mut length).expose_provenance() as u64;
    // SAFETY: the kernel writes four bytes, and how many they are.
    let _ = unsafe { call(SYS_getsockopt, [socket as u64, SOL_SOCKET, SO_ERROR, value, size, 0]) };
    error
}

/// Says that nothing more will be sent. The other end may be gone already.
pub fn shut(socket: i32) {
    // SAFETY: takes no pointer.
    let _ = unsafe { call(SYS_shutdown, [socket as u64, SHUT_WR, 0, 0, 0, 0]) };
}

/// Passes pieces on as they come: to wait for more would add to what the ends have decided.
pub fn do_not_delay(socket: i32) {
    set(socket, IPPROTO_TCP, TCP_NODELAY, [1, 0], 4);
}

/// Lets the other end see that this is no orderly end, once the socket is closed.
pub fn reset(socket: i32) {
    set(socket, SOL_SOCKET, SO_LINGER, [1, 0], 8);
}

fn set(socket: i32, level: u64, option: u64, value: [i32; 2], length: u64) {
    // SAFETY: the value has at least this length. It makes a difference to nothing but the way of what is sent.
    let _ = unsafe { call(SYS_setsockopt, [socket as u64, level, option, address(&value), length, 0]) };
}

/// Moves bytes, at most so many, from or to a pipe.
pub fn splice(from: i32, to: i32, length: usize) -> Result<usize, i32> {
    let flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
    // SAFETY: no offsets are passed.
    unsafe { call(SYS_splice, [from as u64, 0, to as u64, 0, length as u64, flags]) }.map(|moved| moved as usize)
}

/// Lets a pipe hold so many bytes; false if the user has no more left.
pub fn resize(pipe: i32, length: usize) -> bool {
    // SAFETY: takes no pointer.
    unsafe { call(SYS_fcntl, [pipe as u64, F_SETPIPE_SZ, length as u64, 0, 0, 0]) }.is_ok()
}

/// What waits for many descriptors.
pub fn epoll() -> Result<i32, i32> {
    // SAFETY: takes no pointer.
    unsafe { call(SYS_epoll_create1, [O_CLOEXEC, 0, 0, 0, 0, 0]) }.map(|fd| fd as i32)
}

/// Begins, changes or ends ([`EPOLL_CTL_ADD`] and so on) what is waited for of a descriptor.
pub fn watch(epoll: i32, how: u64, fd: i32, what: u32, key: u64) -> Result<(), i32> {
    let event = Event { what, key };
    // SAFETY: the kernel reads the struct.
    unsafe { call(SYS_epoll_ctl, [epoll as u64, how, fd as u64, address(&event), 0, 0]) }.map(drop)
}

/// Waits for so many milliseconds at most, or for ever; how many events there are.
pub fn wait(epoll: i32, events: &mut [Event], milliseconds: Option<u64>) -> usize {
    let (begin, length) = (events.as_mut_ptr().expose_provenance() as u64, events.len() as u64);
    let time = milliseconds.map_or(u64::MAX, |time| time.min(i32::MAX as u64));
    // SAFETY: the kernel writes to as many structs, which are ours; there is no mask.
    unsafe { call(SYS_epoll_pwait, [epoll as u64, begin, length, time, 0, 8]) }.map_or(0, |found| found as usize)
}
