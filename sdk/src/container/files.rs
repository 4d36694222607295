//! The three files that Docker mounts over a container's own: `hostname`, `hosts`, `resolv.conf`.

use std::fs;
use std::io::Read;

use super::host_config::HostConfig;
use super::network::NetworkMode;

/// Nobody's `hosts` or `resolv.conf` is larger; what is, is cut.
const MAX_HOST_FILE: u64 = 1 << 20;

pub(crate) const HOSTS: &str = "hosts";

/// How each `hosts` begins.
const LOOPBACK: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
    ff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// Which they are, by name in the container's directory, and where they are mounted.
pub(crate) const MOUNTED: [(&str, &str); 3] =
    [("hostname", "/etc/hostname"), (HOSTS, "/etc/hosts"), ("resolv.conf", "/etc/resolv.conf")];

/// The content of each, in the order of [`MOUNTED`].
pub(crate) fn contents(network: NetworkMode, hostname: &str, host: &HostConfig) -> [String; 3] {
    let (of_host, resolver) = match network {
        NetworkMode::Host => (of_host("/etc/hosts"), of_host("/etc/resolv.conf")),
        // Without a name server in the file, libraries ask 127.0.0.1, which refuses at once: no waiting for a time limit.
        _ => (None, Some("# This container's network reaches no name server.\n".to_owned())),
    };
    let hosts = match of_host {
        Some(text) => text + &extra_hosts(host),
        None => hosts(Some(hostname), host),
    };
    [format!("{hostname}\n"), hosts, own_resolver(resolver.unwrap_or_default(), host)]
}

/// `hosts` of a network that is not the host's, where the container itself may have a name.
pub(crate) fn hosts(own: Option<&str>, host: &HostConfig) -> String {
    let own = own.map_or_else(String::new, |hostname| format!("127.0.0.1\t{hostname}\n"));
    format!("{LOOPBACK}{own}{}", extra_hosts(host))
}

fn extra_hosts(host: &HostConfig) -> String {
    let entries = host.extra_hosts.iter().flatten().filter_map(|entry| entry.split_once(':'));
    entries.map(|(name, address)| format!("{address}\t{name}\n")).collect()
}

/// Replaces the lines of each kind that the definition has.
fn own_resolver(text: String, host: &HostConfig) -> String {
    let kinds = [("nameserver", &host.dns), ("search", &host.dns_search), ("options", &host.dns_options)];
    let given = |line: &str| {
        let word = line.split_ascii_whitespace().next();
        kinds.iter().any(|(kind, values)| values.is_some() && word == Some(kind))
    };
    let mut lines: Vec<String> = text.lines().filter(|line| !given(line)).map(str::to_owned).collect();
    if host.dns.is_some() {
        lines.retain(|line| !line.starts_with('#'));
    }
    lines.extend(host.dns.iter().flatten().map(|server| format!("nameserver {server}")));
    for (kind, values) in &kinds[1..] {
        lines.extend(values.as_ref().map(|values| format!("{kind} {}", values.join(" "))));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
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
        let [hostname, hosts, resolver] = contents(NetworkMode::Private, "box", &HostConfig::default());
        assert_eq!(hostname, "box\n");
        assert!(hosts.contains("127.0.0.1\tlocalhost\n") && hosts.ends_with("127.0.0.1\tbox\n"));
        assert!(!resolver.contains("nameserver"));
    }

    #[test]
    fn what_a_definition_says_replaces_lines_of_its_kind() {
        let some = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        let host = HostConfig {
            dns: some(&["9.9.9.9", "::1"]),
            dns_options: some(&["ndots:2", "rotate"]),
            extra_hosts: some(&["db:10.0.0.2", "six:fe80::1"]),
            ..HostConfig::default()
        };
        let text = "# comment\nnameserver 1.1.1.1\nsearch a b\noptions x\n".to_owned();
        assert_eq!(
            own_resolver(text, &host),
            "search a b\nnameserver 9.9.9.9\nnameserver ::1\noptions ndots:2 rotate\n"
        );
        let [_, hosts, _] = contents(NetworkMode::Private, "box", &host);
        assert!(hosts.ends_with("10.0.0.2\tdb\nfe80::1\tsix\n"), "{hosts}");
    }
}
