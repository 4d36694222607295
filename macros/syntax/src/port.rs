//! Ports as `EXPOSE` takes them: `8080`, `53/udp`, `8000-8010/tcp`.

use crate::finding::Problem;
use crate::suggest;

/// The protocols a port may have.
pub const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

/// One port or a range of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The first port.
    pub first: u16,
    /// The last port; the first again where it is one port.
    pub last: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: &'static str,
}

impl Ports {
    /// Each port on its own, as `8080/tcp`.
    pub fn each(self) -> impl Iterator<Item = String> {
        (self.first..=self.last).map(move |number| format!("{number}/{}", self.protocol))
    }
}

/// Reads a port of the container.
///
/// # Errors
/// A problem named `bad_port`, `bad_protocol`, `port_mapping` or `port_text`.
pub fn parse(text: &str) -> Result<Ports, Problem> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if let Some(at) = text.find(':') {
        let port = text[at + 1..].rsplit(':').next().unwrap_or_default();
        return Err(Problem::new("port_mapping", "`EXPOSE` takes the container's port only", 0..text.len())
            .help(format!("EXPOSE {port}; the host's port is chosen when the container starts")));
    }
    let protocol = self::protocol(protocol).map_err(|problem| {
        let start = numbers.len() + 1;
        Problem { range: start..text.len(), ..problem }
    })?;
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let (first, last) = (number(first, 0)?, number(last, numbers.len() - last.len())?);
    if last < first {
        return Err(Problem::new("bad_port", format!("the range `{numbers}` is empty"), 0..numbers.len())
            .help(format!("{last}-{first}")));
    }
    Ok(Ports { first, last, protocol })
}

/// Reads a protocol; case does not count.
///
/// # Errors
/// A problem named `bad_protocol`.
pub fn protocol(text: &str) -> Result<&'static str, Problem> {
    PROTOCOLS.into_iter().find(|protocol| protocol.eq_ignore_ascii_case(text)).ok_or_else(|| {
        let problem = Problem::new("bad_protocol", format!("unknown protocol `{text}`"), 0..text.len());
        problem.help(suggest::did_you_mean(text, PROTOCOLS).unwrap_or_else(|| "`tcp` or `udp`".to_owned()))
    })
}

fn number(text: &str, at: usize) -> Result<u16, Problem> {
    let range = at..at + text.len();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(
            Problem::new("port_text", format!("`{text}` is not a port: ports are numbers"), range).help("EXPOSE 80;")
        );
    }
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| {
        Problem::new("bad_port", format!("`{text}` is not a port"), range).help("ports run from 1 to 65535")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_with_their_protocol() {
        assert_eq!(parse("8080"), Ok(Ports { first: 8080, last: 8080, protocol: "tcp" }));
        assert_eq!(parse("53/UDP"), Ok(Ports { first: 53, last: 53, protocol: "udp" }));
        assert_eq!(parse("80-82/tcp").unwrap().each().collect::<Vec<_>>(), ["80/tcp", "81/tcp", "82/tcp"]);
    }

    #[test]
    fn each_mistake_has_its_message() {
        for (text, name, message) in [
            ("80800", "bad_port", "`80800` is not a port"),
            ("0", "bad_port", "`0` is not a port"),
            ("http", "port_text", "`http` is not a port: ports are numbers"),
            ("", "port_text", "`` is not a port: ports are numbers"),
            ("8080:80", "port_mapping", "`EXPOSE` takes the container's port only"),
            ("53/upd", "bad_protocol", "unknown protocol `upd`"),
            ("82-80", "bad_port", "the range `82-80` is empty"),
        ] {
            let problem = parse(text).unwrap_err();
            assert_eq!((problem.name, problem.message.as_str()), (name, message), "{text}");
        }
        assert_eq!(parse("53/upd").unwrap_err().range, 3..6);
    }
}
