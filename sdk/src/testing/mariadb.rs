//! MariaDB.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::package::{self, Origin};
use super::service::{Module, Service};
use crate::container::{Container, Definition, Ready};
use crate::engine::Engine;
use crate::error::{Attempt as _, Error, ErrorKind, Result};
use crate::image::{Base, Copy, Layers};

/// Debian's server, and what belongs to it.
const PROGRAM: &str = "/usr/sbin/mariadbd";
const SHARES: [&str; 2] = ["/usr/share/mysql", "/usr/lib/mysql/plugin"];

/// The official image.
const OFFICIAL: &str = "mariadb:11";

const PORT: u16 = 3306;
const SOCKET: &str = "/run/mysqld/mysqld.sock";
const DATA: &str = "/var/lib/mysql";

/// The server of the host's package. Its log is small, since a fork copies the file when it first writes to it; what a test
/// writes need not outlive a power cut.
const CONFIGURATION: &str = "[mariadbd]
user = root
datadir = /var/lib/mysql
socket = /run/mysqld/mysqld.sock
pid-file = /run/mysqld/mysqld.pid
skip-name-resolve
innodb-flush-method = nosync
innodb-use-native-aio = 0
innodb-log-file-size = 4M
";

/// What runs in an image of the host's package. Its first part is what `mariadb-install-db` does, which may be done twice.
const SCRIPT: &str = r#"#!/bin/sh
set -eu
mkdir -p /run/mysqld /tmp
serve="/usr/sbin/mariadbd --defaults-file=/etc/mysql/my.cnf"
if ! [ -e /var/lib/mysql/.prepared ]; then
  {
    printf '%s\n' "create database if not exists mysql;" "use mysql;" "set @auth_root_socket = NULL;"
    cd /usr/share/mysql
    cat mysql_system_tables.sql mysql_performance_tables.sql mysql_system_tables_data.sql fill_help_tables.sql
    cat maria_add_gis_sp_bootstrap.sql mysql_sys_schema.sql
    printf '%s\n' "flush privileges;" "create user if not exists root@'%';" "grant all on *.* to root@'%' with grant option;"
  } | $serve --bootstrap --log-warnings=0
  : > /var/lib/mysql/.prepared
fi
exec $serve "$@"
"#;

/// A MariaDB server, of the official image or the host's own package. Its user `root` has no password.
///
/// ```no_run
/// use plywood::Engine;
/// use plywood::testing::{MariaDb, Service};
///
/// # fn main() -> plywood::Result<()> {
/// let db = Service::start(MariaDb::default(), &Engine::open_default()?)?;
/// println!("{}", db.url());
/// let stream = db.container().connect(3306)?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "MySQL")]
pub struct MariaDb {
    origin: Origin,
    arguments: Vec<String>,
}

/// The package of the host if there is one, else the official image.
impl Default for MariaDb {
    fn default() -> Self {
        Self::from_host().unwrap_or_else(|_| Self::image(OFFICIAL))
    }
}

impl MariaDb {
    /// That of an image in the store which behaves as the official one.
    pub fn image(reference: impl Into<String>) -> Self {
        Self::of(Origin::Image(reference.into()))
    }

    /// That of the host's Debian package: the server with its libraries becomes an image, and its messages and plugins are
    /// mounted read-only. It needs no registry.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the package is not installed.
    pub fn from_host() -> Result<Self> {
        package::installed("MariaDB", PROGRAM, "mariadb-server").map(Self::of)
    }

    fn of(origin: Origin) -> Self {
        Self { origin, arguments: Vec::new() }
    }

    /// Adds a setting of the server, as in `my.cnf`.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.arguments.push(format!("--{name}={value}"));
        self
    }
}

impl Module for MariaDb {
    fn definition(&self, engine: &Engine) -> Result<Definition> {
        let arguments = self.arguments.iter().cloned();
        Ok(match &self.origin {
            Origin::Image(reference) => Container::of(reference.as_str())
                .cmd(std::iter::once("mariadbd".to_owned()).chain(arguments))
                .env("MARIADB_ALLOW_EMPTY_ROOT_PASSWORD", "1"),
            Origin::Package(()) => of_package(engine)?.cmd(arguments),
        })
    }

    fn ready(&self) -> Ready {
        let answers = |container: &Container| -> Result<()> {
            match greets(container.connect_unix(SOCKET)?).attempt(|| "wait for the server's greeting")? {
                true => Ok(()),
                false => Err(Error::new(ErrorKind::Unavailable, "the server refuses clients")),
            }
        };
        // The official image's server for initialisation listens on no port.
        Ready::all([Ready::port(PORT), Ready::when(answers)])
    }
}

impl Service<MariaDb> {
    /// The address of the server for a client: `mysql://root@localhost/mysql?socket=…`, over its socket.
    ///
    /// # Panics
    /// If the server was stopped.
    pub fn url(&self) -> String {
        format!("mysql://root@localhost/mysql?socket={}", self.socket().display())
    }

    /// The server's socket, as this program sees it.
    ///
    /// # Panics
    /// If the server was stopped.
    pub fn socket(&self) -> PathBuf {
        self.path(SOCKET).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// A container of the host's package.
fn of_package(engine: &Engine) -> Result<Definition> {
    let text = [SCRIPT, CONFIGURATION].concat();
    let image = package::image("mariadb", Path::new(PROGRAM), &text, engine, || {
        Layers::new()
            .from(Base::host([PROGRAM, "sh", "mkdir", "cat"]))
            .instruction(Copy::inline(CONFIGURATION).to("/etc/mysql/my.cnf"))
            .instruction(Copy::inline(SCRIPT).to("/usr/local/bin/serve").chmod("0755"))
            .volume(DATA)
            .entrypoint(["/usr/local/bin/serve"])
    })?;
    Ok(package::with_directories(Container::of(&image), SHARES))
}

/// Whether the server begins to speak: the first packet of its protocol, after three bytes of length and its number.
fn greets(mut stream: UnixStream) -> io::Result<bool> {
    /// The version of the protocol; what is an error has 255 there.
    const VERSION: u8 = 10;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    Ok(head[4] == VERSION)
}
