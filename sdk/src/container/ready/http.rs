//! An answer over HTTP as a condition.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::marker::PhantomData;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Kind, Ready};
use crate::container::handle::Handle;
use crate::image::Layers;
use crate::spec::port::{ExposedPort, Protocol};

/// The most that is read of an answer, in bytes.
const LONGEST: usize = 1 << 20;

/// An answer over HTTP as a condition; made by [`Ready::http`].
#[must_use = "a condition does nothing until a definition has it"]
pub struct HttpReady<D = Layers> {
    request: Request,
    of: PhantomData<fn() -> D>,
}

/// What is asked, and which answer counts.
#[derive(Debug, Clone)]
pub(super) struct Request {
    port: ExposedPort,
    path: String,
    status: Option<u16>,
    body: Option<String>,
}

impl<D> HttpReady<D> {
    pub(super) fn new(port: ExposedPort, path: String) -> Self {
        Self { request: Request { port, path, status: None, body: None }, of: PhantomData }
    }

    /// The status that it takes. Default: any from 200 to 399.
    pub fn status(mut self, status: u16) -> Self {
        self.request.status = Some(status);
        self
    }

    /// A text that the first MiB of the answer has in it.
    pub fn body(mut self, text: impl Into<String>) -> Self {
        self.request.body = Some(text.into());
        self
    }

    /// As [`Ready::timeout`].
    pub fn timeout(self, timeout: Duration) -> Ready<D> {
        Ready::from(self).timeout(timeout)
    }
}

impl<D> From<HttpReady<D>> for Ready<D> {
    fn from(http: HttpReady<D>) -> Self {
        Self::new(Kind::Http(http.request))
    }
}

impl<D> fmt::Debug for HttpReady<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpReady").field(&self.request).finish()
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {} on port {}", self.path, self.port.number())
    }
}

impl Request {
    pub(super) fn look(&self, handle: &Handle, deadline: Instant) -> Result<(), String> {
        if self.port.protocol() != Protocol::Tcp {
            return Err(format!("port {} is not one of TCP", self.port));
        }
        if self.path.contains(|c: char| c.is_control() || c == ' ') {
            return Err(format!("{:?} is no path of a request", self.path));
        }
        let mut stream = handle.connect(self.port.number()).map_err(|error| error.to_string())?;
        // Version 1.0: the answer ends with the connection, and comes in one piece.
        let request = format!("GET {} HTTP/1.0\r\nHost: localhost\r\nAccept: */*\r\n\r\n", self.path);
        stream.write_all(request.as_bytes()).map_err(|error| format!("the request was not taken: {error}"))?;
        let mut answer = Vec::new();
        loop {
            let more = read_some(&mut stream, &mut answer, deadline)?;
            let is_last = !more || answer.len() >= LONGEST;
            if let Some(verdict) = self.judge(&answer, is_last) {
                return verdict;
            }
        }
    }

    /// What the answer says so far; `None` if that is for the rest to tell.
    fn judge(&self, answer: &[u8], is_last: bool) -> Option<Result<(), String>> {
        let text = String::from_utf8_lossy(answer);
        let Some((line, _)) = text.split_once("\r\n") else {
            return is_last.then(|| Err(format!("the answer was {:?}", text.chars().take(80).collect::<String>())));
        };
        let status = line.strip_prefix("HTTP/1.").and_then(|line| line.split(' ').nth(1)?.parse::<u16>().ok());
        let Some(status) = status else { return Some(Err(format!("the answer was {line:?}"))) };
        let is_wanted = self.status.map_or((200..400).contains(&status), |wanted| status == wanted);
        if !is_wanted {
            return Some(Err(format!("the status was {status}")));
        }
        let Some(wanted) = &self.body else { return Some(Ok(())) };
        match text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.contains(wanted)) {
            true => Some(Ok(())),
            false => is_last.then(|| Err(format!("the status was {status}, without {wanted:?} in the body"))),
        }
    }
}

/// Reads what comes next; false at the end.
fn read_some(stream: &mut TcpStream, answer: &mut Vec<u8>, deadline: Instant) -> Result<bool, String> {
    let mut buffer = [0; 8192];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let limited = match left.is_zero() {
            true => return Err("there was no answer in time".to_owned()),
            false => stream.set_read_timeout(Some(left)),
        };
        match limited.and_then(|()| stream.read(&mut buffer)) {
            Ok(length) => {
                answer.extend_from_slice(&buffer[..length]);
                return Ok(length > 0);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(format!("the answer broke off: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_answer_is_judged_as_soon_as_it_can_be() {
        let plain = Request { port: 80.into(), path: "/".to_owned(), status: None, body: None };
        let exact = Request { status: Some(404), ..plain.clone() };
        let body = Request { body: Some("up".to_owned()), ..plain.clone() };
        let failed = |text: &str| Some(Err(text.to_owned()));
        let table = [
            (&plain, "HTTP/1.1 200", false, None),
            (&plain, "HTTP/1.1 204 No Content\r\n", false, Some(Ok(()))),
            (&plain, "HTTP/1.1 503 Busy\r\n", false, failed("the status was 503")),
            (&plain, "220 mail\r\n", false, failed("the answer was \"220 mail\"")),
            (&plain, "", true, failed("the answer was \"\"")),
            (&exact, "HTTP/1.0 404 Not Found\r\n", false, Some(Ok(()))),
            (&exact, "HTTP/1.0 200 OK\r\n", false, failed("the status was 200")),
            (&body, "HTTP/1.0 200 OK\r\nA: up\r\n\r\nstarting", false, None),
            (&body, "HTTP/1.0 200 OK\r\n\r\nit is up", false, Some(Ok(()))),
            (&body, "HTTP/1.0 200 OK\r\n\r\nno", true, failed("the status was 200, without \"up\" in the body")),
        ];
        for (request, answer, is_last, verdict) in table {
            assert_eq!(request.judge(answer.as_bytes(), is_last), verdict, "{answer}");
        }
    }
}
