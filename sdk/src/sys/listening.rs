//! Which ports are listened on: `/proc/<pid>/net/tcp`, [`proc_pid_net(5)`](https://man7.org/linux/man-pages/man5/proc_pid_net.5.html).

use std::collections::BTreeSet;
use std::io;

use super::proc;

/// What the kernel calls a socket that waits for connections.
const LISTEN: &str = "0A";

/// The TCP ports that have a socket in LISTEN in the network of a process, whatever its address.
pub(crate) fn tcp_ports(pid: u32) -> io::Result<BTreeSet<u16>> {
    let mut found = BTreeSet::new();
    for family in ["tcp", "tcp6"] {
        match proc::read(&format!("/proc/{pid}/net/{family}")) {
            Ok(table) => found.extend(listening(&table)),
            // Without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && family == "tcp6" => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The local ports of the lines with this state: number, local address, remote address, state.
fn listening(table: &str) -> impl Iterator<Item = u16> + '_ {
    table.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, _remote) = (fields.next()?, fields.next()?);
        let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        (fields.next()? == LISTEN).then_some(port)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn sockets_that_wait_for_connections_have_a_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 31\n\
   1: 0100007F:8AE2 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 32\n\
   2: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 33\nodd\n";
        assert_eq!(listening(table).collect::<Vec<_>>(), [8080, 80]);
    }

    #[test]
    fn the_ports_of_this_process_are_found() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let pid = std::process::id();
        assert!(tcp_ports(pid).unwrap().contains(&tcp.local_addr().unwrap().port()));
    }
}
