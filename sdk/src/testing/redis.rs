//! Redis.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::package::{self, Origin};
use super::service::{Module, Service};
use crate::container::{Container, Definition, Ready};
use crate::engine::Engine;
use crate::error::{Attempt as _, Error, ErrorKind, Result};
use crate::image::{Base, Layers};

/// Debian's server.
const PROGRAM: &str = "/usr/bin/redis-server";

/// The official image.
const OFFICIAL: &str = "redis:7";

const SOCKET: &str = "/run/redis.sock";

/// A Redis server, of the official image or the host's own package. It writes nothing down but when it is stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redis {
    origin: Origin,
    arguments: Vec<String>,
}

/// The package of the host if there is one, else the official image.
impl Default for Redis {
    fn default() -> Self {
        Self::from_host().unwrap_or_else(|_| Self::image(OFFICIAL))
    }
}

impl Redis {
    /// That of an image in the store which behaves as the official one, or one of Valkey.
    pub fn image(reference: impl Into<String>) -> Self {
        Self::of(Origin::Image(reference.into()))
    }

    /// That of the host's Debian package. It needs no registry.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the package is not installed.
    pub fn from_host() -> Result<Self> {
        package::installed("Redis", PROGRAM, "redis-server").map(Self::of)
    }

    fn of(origin: Origin) -> Self {
        Self { origin, arguments: Vec::new() }
    }

    /// Adds a setting of the server, as in `redis.conf`.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.arguments.extend([format!("--{name}"), value.to_owned()]);
        self
    }
}

impl Module for Redis {
    fn definition(&self, _engine: &Engine) -> Result<Definition> {
        let own = ["--unixsocket", SOCKET, "--unixsocketperm", "777", "--dir", "/data", "--save", "3600 1"];
        let arguments = own.iter().map(|word| (*word).to_owned()).chain(self.arguments.iter().cloned());
        let command = std::iter::once("redis-server".to_owned()).chain(arguments);
        Ok(match &self.origin {
            Origin::Image(reference) => Container::of(reference.as_str()).cmd(command),
            Origin::Package(()) => {
                Container::of(&Layers::new().from(Base::host([PROGRAM])).workdir("/data").volume("/data")).cmd(command)
            }
        })
    }

    fn ready(&self) -> Ready {
        Ready::when(|container| answers(container.connect_unix(SOCKET)?))
    }
}

impl Service<Redis> {
    /// The address of the server for a client: `redis+unix://…`, over its socket.
    ///
    /// # Panics
    /// If the server was stopped.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// The server's socket, as this program sees it.
    ///
    /// # Panics
    /// If the server was stopped.
    pub fn socket(&self) -> PathBuf {
        self.path(SOCKET).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Whether the server answers a ping; it refuses one while it reads its data.
fn answers(mut stream: UnixStream) -> Result<()> {
    let mut ask = || -> io::Result<[u8; 5]> {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    };
    match &ask().attempt(|| "ping the server")? {
        b"+PONG" => Ok(()),
        _ => Err(Error::new(ErrorKind::Unavailable, "the server is not ready")),
    }
}
