//! Which ports are listened on: `/proc/<pid>/net/tcp`, [`proc_pid_net(5)`](https://man7.org/linux/man-pages/man5/proc_pid_net.5.html).

use std::collections::BTreeSet;
use std::{fs, io, iter};

use super::proc;

/// What the kernel calls a TCP socket that waits for connections, and a UDP socket without a peer.
const LISTEN: &str = "0A";
const UNCONNECTED: &str = "07";

/// The TCP ports that have a socket in LISTEN in the network of a process, whatever its address.
pub(crate) fn tcp_ports(pid: u32) -> io::Result<BTreeSet<u16>> {
    ports(pid, ["tcp", "tcp6"], LISTEN)
}

/// The UDP ports on which somebody receives there.
pub(crate) fn udp_ports(pid: u32) -> io::Result<BTreeSet<u16>> {
    ports(pid, ["udp", "udp6"], UNCONNECTED)
}

fn ports(pid: u32, tables: [&str; 2], state: &str) -> io::Result<BTreeSet<u16>> {
    let mut found = BTreeSet::new();
    for (table, is_optional) in tables.into_iter().zip([false, true]) {
        match proc::read(&format!("/proc/{pid}/net/{table}")) {
            Ok(table) => found.extend(in_state(&table, state)),
            // Without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_optional => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// A process that has a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    pub(crate) name: String,
}

/// Who has a port in the network of this program, as far as this user may see it; this program, if it has it too.
///
/// A child of it has the same descriptors until it executes something, and its number may be the lower one.
pub(crate) fn holder(port: u16, is_udp: bool) -> Option<Holder> {
    let (tables, state) = if is_udp { (["udp", "udp6"], UNCONNECTED) } else { (["tcp", "tcp6"], LISTEN) };
    let tables = tables.map(|table| proc::read(&format!("/proc/self/net/{table}")).unwrap_or_default());
    let sockets: Vec<String> =
        tables.iter().flat_map(|table| inodes(table, state, port)).map(|inode| format!("socket:[{inode}]")).collect();
    let others = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    iter::once(std::process::id()).chain(others).find_map(|pid: u32| {
        let has = |link: &fs::DirEntry| {
            fs::read_link(link.path()).is_ok_and(|to| sockets.iter().any(|socket| to.as_os_str() == socket.as_str()))
        };
        fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten().find(has)?;
        let name = proc::read(&format!("/proc/{pid}/comm")).ok()?;
        Some(Holder { pid, name: name.trim_end().to_owned() })
    })
}

/// The inodes of the sockets of a port.
fn inodes<'a>(table: &'a str, state: &'a str, port: u16) -> impl Iterator<Item = &'a str> + 'a {
    let lines = table.lines().filter(move |line| in_state(line, state).next() == Some(port));
    lines.filter_map(|line| line.split_ascii_whitespace().nth(9))
}

/// The local ports of the lines with this state: number, local address, remote address, state.
fn in_state<'a>(table: &'a str, state: &'a str) -> impl Iterator<Item = u16> + 'a {
    table.lines().filter_map(move |line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, _remote) = (fields.next()?, fields.next()?);
        let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        (fields.next()? == state).then_some(port)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn sockets_that_wait_for_connections_have_a_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 31\n\
   1: 0100007F:8AE2 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 32\n\
   2: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 33\nodd\n";
        assert_eq!(in_state(table, LISTEN).collect::<Vec<_>>(), [8080, 80]);
    }

    #[test]
    fn the_ports_of_this_process_are_found() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let pid = std::process::id();
        assert!(udp_ports(pid).unwrap().contains(&udp.local_addr().unwrap().port()));
        let holder = holder(tcp.local_addr().unwrap().port(), false).unwrap();
        assert_eq!(holder.pid, pid);
        assert!(tcp_ports(pid).unwrap().contains(&tcp.local_addr().unwrap().port()));
    }
}
