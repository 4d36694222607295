//! PostgreSQL.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::package::{self, Origin};
use super::service::{Module, Service};
use crate::container::{Container, Definition, Ready, Seccomp, Signal};
use crate::engine::Engine;
use crate::error::{Attempt as _, Error, ErrorKind, Result};
use crate::image::{Base, Copy, Layers};
use crate::sys::userns;

/// Where Debian's packages lie, one directory for each version.
const PACKAGES: &str = "/usr/lib/postgresql";

/// The official image.
const OFFICIAL: &str = "postgres:17";

const PORT: u16 = 5432;
const SOCKETS: &str = "/run/postgresql";
const DATA: &str = "/var/lib/postgresql/data";

/// What runs in an image of the host's package. A fork copies a file of the log when it first writes to it, so they are small.
/// The server refuses to be root; where root is the only user there is, it runs
/// in a user namespace in which that user is called otherwise.
const SCRIPT: &str = r#"#!/bin/sh
set -eu
data=/var/lib/postgresql/data
{ read -r _ _ count; read -r more || more=; } < /proc/self/uid_map
if [ "$count$more" = 1 ]; then
  as="unshare --user --map-user=999 --map-group=999"
  owner=0:0
else
  as="setpriv --reuid=999 --regid=999 --clear-groups"
  owner=999:999
fi
if ! [ -s "$data/PG_VERSION" ]; then
  mkdir -p /run/postgresql
  chown "$owner" "$data" /run/postgresql
  chmod 700 "$data"
  $as "$BIN/initdb" --pgdata="$data" --username="$POSTGRES_USER" --auth=trust --encoding=UTF8 --locale=C --wal-segsize=1 --no-instructions --no-sync
fi
exec $as "$BIN/postgres" -D "$data" -k /run/postgresql -F "$@"
"#;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\npostgres:x:999:999:postgres:/var/lib/postgresql:/bin/sh\n";
const GROUP: &str = "root:x:0:\npostgres:x:999:\n";

/// A PostgreSQL server, of the official image or the host's own package.
///
/// ```no_run
/// use plywood::Engine;
/// use plywood::testing::{Postgres, Service};
///
/// # fn main() -> plywood::Result<()> {
/// let db = Service::start(Postgres::default(), &Engine::open_default()?)?;
/// println!("{}", db.url());
/// let stream = db.container().connect(5432)?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postgres {
    /// The directory of a version below [`PACKAGES`].
    origin: Origin<PathBuf>,
    arguments: Vec<String>,
}

/// The package of the host if there is one, else the official image.
impl Default for Postgres {
    fn default() -> Self {
        Self::from_host().unwrap_or_else(|_| Self::image(OFFICIAL))
    }
}

impl Postgres {
    /// That of an image in the store which behaves as the official one.
    pub fn image(reference: impl Into<String>) -> Self {
        Self::of(Origin::Image(reference.into()))
    }

    /// That of the host's Debian package, the highest version of several: the programs with their libraries become an image,
    /// and modules, time zones and other data of the package are mounted read-only. It needs no registry.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the package is not installed.
    pub fn from_host() -> Result<Self> {
        let versions = fs::read_dir(PACKAGES).into_iter().flatten().flatten();
        let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
        let found = versions.map(|entry| entry.path()).filter(|path| path.join("bin/postgres").is_file());
        let found = found.max_by_key(version);
        let missing = || package::missing("PostgreSQL", &format!("{PACKAGES}/*/bin/postgres"), "postgresql");
        found.map(|found| Self::of(Origin::Package(found))).ok_or_else(missing)
    }

    fn of(origin: Origin<PathBuf>) -> Self {
        Self { origin, arguments: Vec::new() }
    }

    /// Adds a setting of the server, as in `postgresql.conf`.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.arguments.extend(["-c".to_owned(), format!("{name}={value}")]);
        self
    }
}

impl Module for Postgres {
    fn definition(&self, engine: &Engine) -> Result<Definition> {
        let command = std::iter::once("postgres".to_owned()).chain(self.arguments.iter().cloned());
        let definition = match &self.origin {
            Origin::Image(reference) => Container::of(reference.as_str())
                .cmd(command)
                .env("POSTGRES_HOST_AUTH_METHOD", "trust")
                .env("PGDATA", DATA),
            Origin::Package(package) => of_package(package, engine)?.cmd(command.skip(1)),
        };
        // A fast shutdown, after which nothing is to be recovered.
        Ok(definition.env("POSTGRES_USER", "postgres").stop_signal(Signal::INT))
    }

    fn ready(&self) -> Ready {
        let answers = |container: &Container| -> Result<()> {
            let socket = container.connect_unix(format!("{SOCKETS}/.s.PGSQL.{PORT}"))?;
            match answers(socket).attempt(|| "ask the server to begin")? {
                true => Ok(()),
                false => Err(Error::new(ErrorKind::Unavailable, "the server is starting up")),
            }
        };
        // The official image's server for initialisation listens on no port.
        Ready::all([Ready::port(PORT), Ready::when(answers)])
    }
}

impl Service<Postgres> {
    /// The address of the server for a client: `postgresql:///postgres?host=…&user=postgres`, over its socket.
    ///
    /// # Panics
    /// If the server was stopped.
    pub fn url(&self) -> String {
        format!("postgresql:///postgres?host={}&user=postgres", self.socket_directory().display())
    }

    /// The directory with the server's socket, as this program sees it.
    ///
    /// # Panics
    /// If the server was stopped.
    pub fn socket_directory(&self) -> PathBuf {
        self.path(SOCKETS).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// A container of the host's package.
fn of_package(package: &Path, engine: &Engine) -> Result<Definition> {
    let version = package.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let image = package::image(&format!("postgres:{version}"), &package.join("bin/postgres"), SCRIPT, engine, || {
        let programs = ["initdb", "postgres"].map(|name| package.join("bin").join(name).display().to_string());
        let tools = ["sh", "mkdir", "chown", "chmod", "setpriv", "unshare", "cat"].map(str::to_owned);
        Layers::new()
            .from(Base::host(programs.into_iter().chain(tools).collect::<Vec<_>>()))
            .instruction(Copy::inline(PASSWD).to("/etc/passwd"))
            .instruction(Copy::inline(GROUP).to("/etc/group"))
            .instruction(Copy::inline(SCRIPT).to("/usr/local/bin/serve").chmod("0755"))
            .env("BIN", package.join("bin").display().to_string())
            .volume(DATA)
            .entrypoint(["/usr/local/bin/serve"])
    })?;
    let share = Path::new("/usr/share/postgresql").join(&version);
    let directories = [package.join("lib"), share, "/usr/share/zoneinfo".into()];
    let definition = package::with_directories(Container::of(&image), directories);
    // Docker's profile refuses the user namespace that it takes.
    Ok(if userns::keeps_owners() { definition } else { definition.seccomp(Seccomp::Unconfined) })
}

/// Whether the server lets somebody begin: the start-up message of its protocol, and the first answer.
fn answers(mut stream: UnixStream) -> io::Result<bool> {
    /// `cannot_connect_now`: it starts or stops.
    const NOT_NOW: &[u8] = b"C57P03\0";
    const PARAMETERS: &[u8] = b"user\0postgres\0database\0postgres\0\0";
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut message = u32::try_from(8 + PARAMETERS.len()).unwrap_or_default().to_be_bytes().to_vec();
    // Version 3.0.
    message.extend(196_608_u32.to_be_bytes());
    message.extend(PARAMETERS);
    stream.write_all(&message)?;
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    if head[0] != b'E' {
        // Terminate.
        stream.write_all(b"X\0\0\0\x04")?;
        return Ok(head[0] == b'R');
    }
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]).clamp(4, 4096) - 4;
    let mut fields = vec![0; usize::try_from(length).unwrap_or_default()];
    stream.read_exact(&mut fields)?;
    // Whatever else it refuses, it is there.
    Ok(!fields.windows(NOT_NOW.len()).any(|window| window == NOT_NOW))
}
