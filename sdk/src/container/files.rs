//! The three files that Docker mounts over a container's own: `hostname`, `hosts`, `resolv.conf`.

use std::fs;
use std::io::Read;

use super::network::NetworkMode;

/// Nobody's `hosts` or `resolv.conf` is larger; what is, is cut.
const MAX_HOST_FILE: u64 = 1 << 20;

/// Which they are, by name in the container's directory, and where they are mounted.
pub(crate) const MOUNTED: [(&str, &str); 3] =
    [("hostname", "/etc/hostname"), ("hosts", "/etc/hosts"), ("resolv.conf", "/etc/resolv.conf")];

/// The content of each, in the order of [`MOUNTED`].
pub(crate) fn contents(network: NetworkMode, hostname: &str) -> [String; 3] {
    let (hosts, resolver) = match network {
        NetworkMode::Host => (of_host("/etc/hosts"), of_host("/etc/resolv.conf")),
        // Without a name server in the file, libraries ask 127.0.0.1, which refuses at once: no waiting for a time limit.
        _ => (None, Some("# This container's network reaches no name server.\n".to_owned())),
    };
    let hosts = hosts.unwrap_or_else(|| own_hosts(hostname));
    [format!("{hostname}\n"), hosts, resolver.unwrap_or_default()]
}

fn own_hosts(hostname: &str) -> String {
    format!(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n127.0.0.1\t{hostname}\n"
    )
}

fn of_host(path: &str) -> Option<String> {
    let mut text = Vec::new();
    fs::File::open(path).ok()?.take(MAX_HOST_FILE).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The host's own name.
pub(crate) fn hostname_of_host() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_container_knows_itself_and_no_name_server() {
        let [hostname, hosts, resolver] = contents(NetworkMode::Private, "box");
        assert_eq!(hostname, "box\n");
        assert!(hosts.contains("127.0.0.1\tlocalhost\n") && hosts.ends_with("127.0.0.1\tbox\n"));
        assert!(!resolver.contains("nameserver"));
    }
}
