//! RabbitMQ.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::package::{self, Origin};
use super::service::{Module, Service};
use crate::container::{Container, Definition, Ready};
use crate::engine::Engine;
use crate::error::{Attempt as _, Error, ErrorKind, Result};
use crate::image::{Base, Copy, Layers};

/// Where Debian's packages lie: the server in a directory for its version, and what it runs in.
const PACKAGES: &str = "/usr/lib/rabbitmq/lib";
const ERLANG: &str = "/usr/lib/erlang";

/// The official image.
const OFFICIAL: &str = "rabbitmq:4";

const PORT: u16 = 5672;
const DATA: &str = "/var/lib/rabbitmq";

/// What the package's own scripts come to, without them. Nobody but the container's processes reaches the ports of its
/// cluster, which is this one node.
const SCRIPT: &str = r#"#!/bin/sh
set -eu
mkdir -p /tmp
exec "$BINDIR/erlexec" -noinput -s rabbit boot -boot start_sasl +W w +sbwt none +sbwtdcpu none +sbwtdio none \
  -syslog logger '[]' -syslog syslog_error_logger false -kernel prevent_overlapping_partitions false \
  -kernel inet_dist_use_interface '{127,0,0,1}' "$@"
"#;

/// A RabbitMQ server, of the official image or the host's own package. Its user `guest` has the password `guest`.
///
/// ```no_run
/// use plywood::Engine;
/// use plywood::testing::{RabbitMq, Service};
///
/// # fn main() -> plywood::Result<()> {
/// let broker = Service::start(RabbitMq::default().published(), &Engine::open_default()?)?;
/// println!("{}", broker.url());
/// let stream = broker.container().connect(5672)?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RabbitMq {
    /// The directory of a version below [`PACKAGES`], and that of Erlang's programs.
    origin: Origin<(PathBuf, PathBuf)>,
    published: bool,
}

/// The package of the host if there is one, else the official image.
impl Default for RabbitMq {
    fn default() -> Self {
        Self::from_host().unwrap_or_else(|_| Self::image(OFFICIAL))
    }
}

impl RabbitMq {
    /// That of an image in the store which behaves as the official one.
    pub fn image(reference: impl Into<String>) -> Self {
        Self::of(Origin::Image(reference.into()))
    }

    /// That of the host's Debian package: the programs with their libraries become an image, and the package and Erlang's are
    /// mounted read-only. It needs no registry.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the package is not installed.
    pub fn from_host() -> Result<Self> {
        let server = below(PACKAGES, "plugins");
        let erlang = below(ERLANG, "bin/beam.smp").map(|version| version.join("bin"));
        let missing = || package::missing("RabbitMQ", &format!("{PACKAGES}/rabbitmq_server-*"), "rabbitmq-server");
        server.zip(erlang).map(|found| Self::of(Origin::Package(found))).ok_or_else(missing)
    }

    fn of(origin: Origin<(PathBuf, PathBuf)>) -> Self {
        Self { origin, published: false }
    }

    /// Forwards a free port of `127.0.0.1` to it, for clients that take a [URL](Service::url) and no stream. One that
    /// programs [share](Service::shared) cannot have it.
    pub fn published(mut self) -> Self {
        self.published = true;
        self
    }
}

impl Module for RabbitMq {
    fn definition(&self, engine: &Engine) -> Result<Definition> {
        let definition = match &self.origin {
            Origin::Image(reference) => Container::of(reference.as_str()),
            Origin::Package((package, erlang)) => of_package(package, erlang, engine)?,
        };
        // Its data bear the name of the node, and forks have other host names.
        let definition = definition.env("RABBITMQ_NODENAME", "rabbit@localhost");
        Ok(if self.published { definition.publish(0, PORT) } else { definition })
    }

    fn ready(&self) -> Ready {
        Ready::all([Ready::port(PORT), Ready::when(|container| begins(container.connect(PORT)?))])
    }
}

impl Service<RabbitMq> {
    /// The address of the server for a client: `amqp://guest:guest@127.0.0.1:…/%2f`.
    ///
    /// # Panics
    /// If it is not [published](RabbitMq::published), or was stopped.
    pub fn url(&self) -> String {
        let address = self.container().addr(PORT).unwrap_or_else(|error| panic!("{error}"));
        format!("amqp://guest:guest@{address}/%2f")
    }
}

/// The directory in this one that holds a file.
fn below(directory: &str, file: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.join(file).exists()).max()
}

/// A container of the host's package.
fn of_package(package: &Path, erlang: &Path, engine: &Engine) -> Result<Definition> {
    let version = package.file_name().unwrap_or_default().to_string_lossy().replace('_', "-");
    let image = package::image(&version, &erlang.join("beam.smp"), SCRIPT, engine, || {
        let own = ["beam.smp", "erlexec", "erl_child_setup", "inet_gethost", "epmd"].map(|name| erlang.join(name));
        let library = below(&format!("{ERLANG}/lib"), "priv/lib/crypto.so").map(|it| it.join("priv/lib/crypto.so"));
        let own = own.into_iter().chain(library).map(|path| path.display().to_string());
        let tools = ["sh", "mkdir", "sed", "df", "cat"].map(str::to_owned);
        Layers::new()
            .from(Base::host(own.chain(tools).collect::<Vec<_>>()))
            .instruction(Copy::inline(SCRIPT).to("/usr/local/bin/serve").chmod("0755"))
            .volume(DATA)
            .entrypoint(["/usr/local/bin/serve"])
    })?;
    let mut definition = Container::of(&image);
    for (name, value) in [
        ("ROOTDIR", ERLANG),
        ("BINDIR", &erlang.display().to_string()),
        ("EMU", "beam"),
        ("PROGNAME", "erl"),
        ("HOME", DATA),
        ("ERL_LIBS", &package.join("plugins").display().to_string()),
        ("RABBITMQ_HOME", &package.display().to_string()),
        ("RABBITMQ_MNESIA_BASE", "/var/lib/rabbitmq/mnesia"),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", "/var/lib/rabbitmq/enabled_plugins"),
        ("RABBITMQ_LOGS", "-"),
    ] {
        definition = definition.env(name, value);
    }
    Ok(package::with_directories(definition, [ERLANG, "/usr/lib/rabbitmq"]))
}

/// Whether the server begins a connection: the header of its protocol, and the method that it answers with.
fn begins(mut stream: TcpStream) -> Result<()> {
    let mut ask = || -> io::Result<[u8; 11]> {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"AMQP\0\0\x09\x01")?;
        let mut answer = [0; 11];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    };
    // A frame of a method on channel 0, its size, and `connection.start`: class 10, method 10.
    match ask().attempt(|| "begin a connection with the server")? {
        [1, 0, 0, _, _, _, _, 0, 10, 0, 10] => Ok(()),
        _ => Err(Error::new(ErrorKind::Unavailable, "the server speaks another protocol than AMQP 0-9-1")),
    }
}
