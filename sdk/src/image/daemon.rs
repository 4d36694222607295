//! Images out of a running Docker daemon: what `docker save` is given, read over its socket.
//!
//! A data root that a daemon holds is closed to us, and so is one in containerd's format. The daemon itself writes what it
//! has as an archive, whatever its version and its store ([`GET /images/get`]), and Podman's service answers the same.
//!
//! [`GET /images/get`]: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageGetAll

use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::source::Source;
use crate::error::{Error, ErrorKind, Fault, Result};

/// The variable that says where the daemon is.
const VARIABLE: &str = "DOCKER_HOST";

/// Where it is otherwise.
const SOCKET: &str = "/var/run/docker.sock";

/// What is read of a head, of the size of a piece, and of a complaint, in bytes.
const MAX_HEAD: u64 = 64 * 1024;

#[derive(Debug, thiserror::Error)]
enum DaemonFault {
    #[error("read images from a Docker daemon: no image is named")]
    NoName,
    #[error("read images from the Docker daemon at {host:?}, which {VARIABLE} names: only `unix://PATH` is understood")]
    Host { host: String },
    #[error("read {names} from the Docker daemon at {socket:?}: {why}")]
    Connection { names: String, socket: PathBuf, kind: ErrorKind, why: io::Error },
    #[error("read {names} from the Docker daemon at {socket:?}: it answers {status}: {why}")]
    Refused { names: String, socket: PathBuf, status: u16, why: String },
    #[error("read {names} from the Docker daemon at {socket:?}: its answer is no HTTP: {why}")]
    Malformed { names: String, socket: PathBuf, why: String },
}

impl Fault for DaemonFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoName | Self::Host { .. } => ErrorKind::InvalidArgument,
            Self::Connection { kind, .. } => *kind,
            Self::Refused { status: 404, .. } => ErrorKind::NotFound,
            Self::Refused { .. } => ErrorKind::Failed,
            Self::Malformed { .. } => ErrorKind::Corrupt,
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::NoName | Self::Host { .. } => None,
            Self::Connection { socket, .. } | Self::Refused { socket, .. } | Self::Malformed { socket, .. } => {
                Some(socket)
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Host { .. } => {
                Some(format!("for another machine: `docker --host … save NAME | plywood load`; else unset {VARIABLE}"))
            }
            Self::Connection { kind: ErrorKind::PermissionDenied, .. } => {
                Some("only root and members of the group `docker` may use the daemon".to_owned())
            }
            Self::Connection { .. } => {
                Some(format!("start the daemon, or name its socket with {VARIABLE}=unix://PATH"))
            }
            Self::NoName | Self::Refused { .. } | Self::Malformed { .. } => None,
        }
    }
}

impl Source<'static> {
    /// Reads images of a running Docker daemon, by name or ID: of the one whose socket `DOCKER_HOST` names as
    /// `unix://PATH`, else of `/var/run/docker.sock`. Podman's service will do, too.
    ///
    /// The daemon is only asked for an archive, as by `docker save`; nothing of its data root is opened. It may take its
    /// time to put that together, for which there is no limit.
    ///
    /// ```no_run
    /// use plywood::{Engine, image::Source};
    ///
    /// # fn main() -> plywood::Result<()> {
    /// let engine = Engine::open_default()?;
    /// let loaded = engine.load(Source::docker(&["debian:12"])?)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) without a name, or if `DOCKER_HOST` is no socket of this machine;
    /// [`NotFound`](ErrorKind::NotFound) if the daemon has no such image; [`Unavailable`](ErrorKind::Unavailable) if it does
    /// not run, [`PermissionDenied`](ErrorKind::PermissionDenied) if this user may not ask it.
    #[doc(alias = "docker save")]
    pub fn docker(names: &[&str]) -> Result<Self> {
        let host = std::env::var(VARIABLE).unwrap_or_default();
        match (host.as_str(), host.strip_prefix("unix://")) {
            ("", _) => Self::docker_at(SOCKET, names),
            (_, Some(socket)) => Self::docker_at(socket, names),
            _ => Err(DaemonFault::Host { host }.into()),
        }
    }

    /// The same, of the daemon that listens at `socket`.
    ///
    /// # Errors
    /// As for [`docker`](Self::docker).
    pub fn docker_at(socket: impl AsRef<Path>, names: &[&str]) -> Result<Self> {
        if names.is_empty() {
            return Err(DaemonFault::NoName.into());
        }
        let conversation = Conversation { names: names.join(", "), socket: socket.as_ref().to_owned() };
        Ok(Self::reader(conversation.begin(names)?))
    }
}

/// What messages tell.
struct Conversation {
    names: String,
    socket: PathBuf,
}

impl Conversation {
    /// Asks, and gives the archive that comes.
    fn begin(&self, names: &[&str]) -> Result<Body> {
        let query: Vec<_> = names.iter().map(|name| format!("names={}", escape(name))).collect();
        let request =
            format!("GET /images/get?{} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n", query.join("&"));
        let ask = || -> io::Result<UnixStream> {
            let mut stream = UnixStream::connect(&self.socket)?;
            stream.write_all(request.as_bytes())?;
            Ok(stream)
        };
        let mut stream = BufReader::with_capacity(1 << 16, ask().map_err(|error| self.broken(error))?);
        let head = self.head(&mut stream)?;
        let mut body = Body { stream, left: head.length.unwrap_or(u64::MAX), kind: head.kind() };
        if head.status == 200 {
            return Ok(body);
        }
        let mut text = Vec::new();
        // Of a complaint that breaks off, the beginning will do.
        let _ = body.by_ref().take(MAX_HEAD).read_to_end(&mut text);
        let message = serde_json::from_slice::<serde_json::Value>(&text).ok();
        let message = message.as_ref().and_then(|json| json.get("message")?.as_str());
        let why = message.map_or_else(|| String::from_utf8_lossy(&text).trim().to_owned(), str::to_owned);
        let (names, socket) = (self.names.clone(), self.socket.clone());
        Err(DaemonFault::Refused { names, socket, status: head.status, why }.into())
    }

    fn head(&self, stream: &mut BufReader<UnixStream>) -> Result<Head> {
        let mut lines = Vec::new();
        let mut rest = stream.by_ref().take(MAX_HEAD);
        loop {
            let mut line = String::new();
            rest.read_line(&mut line).map_err(|error| self.broken(error))?;
            match line.strip_suffix('\n') {
                Some(line) if line.trim_end().is_empty() => break,
                Some(line) => lines.push(line.trim_end().to_owned()),
                None => return Err(self.malformed("its head has no end")),
            }
        }
        let first = lines.first().map(String::as_str).unwrap_or_default();
        let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        let mut head = Head { status: status.ok_or_else(|| self.malformed(first))?, length: None, is_chunked: false };
        for line in &lines[1..] {
            let (name, value) = line.split_once(':').ok_or_else(|| self.malformed(line))?;
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = Some(value.trim().parse().map_err(|_| self.malformed(line))?),
                "transfer-encoding" if value.trim().eq_ignore_ascii_case("chunked") => head.is_chunked = true,
                "transfer-encoding" => return Err(self.malformed(line)),
                _ => {}
            }
        }
        Ok(head)
    }

    fn broken(&self, why: io::Error) -> Error {
        let kind = match why.kind() {
            io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
            io::ErrorKind::InvalidData => return self.malformed(&why.to_string()),
            _ => ErrorKind::Unavailable,
        };
        DaemonFault::Connection { names: self.names.clone(), socket: self.socket.clone(), kind, why }.into()
    }

    fn malformed(&self, why: &str) -> Error {
        let (names, socket) = (self.names.clone(), self.socket.clone());
        DaemonFault::Malformed { names, socket, why: why.to_owned() }.into()
    }
}

/// Everything but letters, digits and `-._~`, as `%` and two digits (RFC 3986, 2.3).
fn escape(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// What the head of an answer says.
struct Head {
    status: u16,
    length: Option<u64>,
    is_chunked: bool,
}

impl Head {
    fn kind(&self) -> Kind {
        match (self.is_chunked, self.length) {
            (true, _) => Kind::Chunked,
            (false, Some(_)) => Kind::Counted,
            (false, None) => Kind::Whole,
        }
    }
}

/// How the end of a body is told (RFC 9112, 6.3).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// In pieces, of which the last is empty.
    Chunked,
    /// By the number of its bytes.
    Counted,
    /// By the end of the connection.
    Whole,
}

/// The body of an answer. One that ends early is an error, not a shorter archive.
struct Body {
    stream: BufReader<UnixStream>,
    /// Of the piece that is being read, or of all that is to come. Chunked bodies begin before the first piece.
    left: u64,
    kind: Kind,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.kind == Kind::Chunked && self.left == u64::MAX {
            self.left = self.next_size()?;
        }
        if self.left == 0 {
            return Ok(0);
        }
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.stream.read(&mut buffer[..wanted])?;
        if self.kind == Kind::Whole {
            return Ok(count);
        }
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the daemon has broken off"));
        }
        self.left -= count as u64;
        if self.kind == Kind::Chunked && self.left == 0 {
            match self.line()?.is_empty() {
                true => self.left = u64::MAX,
                false => return Err(malformed("a piece is longer than it says")),
            }
        }
        Ok(count)
    }
}

impl Body {
    /// The size of the piece that begins here.
    fn next_size(&mut self) -> io::Result<u64> {
        let line = self.line()?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(digits, 16).ok().filter(|size| *size < u64::MAX && !digits.starts_with('+'));
        size.ok_or_else(|| malformed("a piece has no size"))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.by_ref().take(MAX_HEAD).read_line(&mut line)?;
        let line = line.strip_suffix('\n').ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(line.trim_end().to_owned())
    }
}

fn malformed(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests;
