//! nginx.

use std::path::PathBuf;

use super::package::{self, Origin};
use super::service::Module;
use crate::container::{Container, Definition, Ready, Signal};
use crate::engine::Engine;
use crate::error::Result;
use crate::image::{Base, Copy, Layers};
use crate::spec::Mount;

/// Debian's server.
const PROGRAM: &str = "/usr/sbin/nginx";

/// The official image.
const OFFICIAL: &str = "nginx:1.28";

const PORT: u16 = 80;
const SITE: &str = "/usr/share/nginx/html";

/// One process of one user: an ordinary user may have no second one in a container.
const CONFIGURATION: &str = "user root root;
daemon off;
master_process off;
pid /run/nginx.pid;
error_log stderr;
events {}
http {
    types { text/html html; text/css css; text/javascript js; application/json json; image/svg+xml svg; }
    access_log /dev/stdout;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    server {
        listen 80;
        root /usr/share/nginx/html;
    }
}
";

/// An nginx server on port 80 of its container, of the official image or the host's own package.
///
/// ```no_run
/// use std::io::Write as _;
/// use plywood::Engine;
/// use plywood::testing::{Nginx, Service};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let web = Service::start(Nginx::default().site("public"), &Engine::open_default()?)?;
/// web.container().connect(80)?.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nginx {
    origin: Origin,
    site: Option<PathBuf>,
    configuration: Option<PathBuf>,
}

/// The package of the host if there is one, else the official image.
impl Default for Nginx {
    fn default() -> Self {
        Self::from_host().unwrap_or_else(|_| Self::image(OFFICIAL))
    }
}

impl Nginx {
    /// That of an image in the store which behaves as the official one.
    pub fn image(reference: impl Into<String>) -> Self {
        Self::of(Origin::Image(reference.into()))
    }

    /// That of the host's Debian package, without its modules. It needs no registry.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the package is not installed.
    pub fn from_host() -> Result<Self> {
        package::installed("nginx", PROGRAM, "nginx").map(Self::of)
    }

    fn of(origin: Origin) -> Self {
        Self { origin, site: None, configuration: None }
    }

    /// Serves the files of this directory of the host, which it sees read-only.
    pub fn site(mut self, directory: impl Into<PathBuf>) -> Self {
        self.site = Some(directory.into());
        self
    }

    /// Has this file of the host for its `nginx.conf`, in the place of the one that serves the site. It must listen on port
    /// 80; without subordinate ids it takes `master_process off`.
    pub fn configuration(mut self, file: impl Into<PathBuf>) -> Self {
        self.configuration = Some(file.into());
        self
    }
}

impl Module for Nginx {
    fn definition(&self, _engine: &Engine) -> Result<Definition> {
        let mut definition = match &self.origin {
            Origin::Image(reference) => Container::of(reference.as_str()),
            Origin::Package(()) => {
                let layers = Layers::new()
                    .from(Base::host([PROGRAM]))
                    .instruction(Copy::inline(CONFIGURATION).to("/etc/nginx/nginx.conf"))
                    .instruction(Copy::inline("it works\n").to(format!("{SITE}/index.html")))
                    // It opens its default log before it reads the configuration.
                    .instruction(Copy::inline("").to("/var/log/nginx/error.log"))
                    .cmd([PROGRAM]);
                Container::of(&layers)
            }
        };
        for (from, to) in [(&self.site, SITE), (&self.configuration, "/etc/nginx/nginx.conf")] {
            if let Some(from) = from {
                definition = definition.mount(Mount::bind(from, to).read_only());
            }
        }
        Ok(definition.stop_signal(Signal::QUIT))
    }

    fn ready(&self) -> Ready {
        // What it answers is up to its configuration.
        Ready::port(PORT)
    }
}
