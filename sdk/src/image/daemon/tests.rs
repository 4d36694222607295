#![allow(clippy::unwrap_used)]

use std::os::unix::net::UnixListener;

use super::*;
use crate::image::source;

/// What a daemon that gives this answer is asked, and what is read of it.
fn asked(answer: &[u8], names: &[&str]) -> (String, Result<io::Result<Vec<u8>>>) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::scope(|scope| {
        let daemon = scope.spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let mut request = String::new();
            while !request.ends_with("\r\n\r\n") {
                stream.read_line(&mut request).unwrap();
            }
            // The other side goes when it has read enough.
            let _ = stream.get_mut().write_all(answer);
            request
        });
        let read = Source::docker_at(&socket, names).map(|source| {
            let source::Kind::Reader(mut reader) = source.0 else { unreachable!() };
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes)
        });
        (daemon.join().unwrap(), read)
    })
}

#[test]
fn names_are_asked_for_and_each_kind_of_body_is_read_to_its_end() {
    let (request, _) = asked(b"HTTP/1.1 200 OK\r\n\r\n", &["localhost:5000/a b:1", "sha256:00"]);
    let first = "GET /images/get?names=localhost%3A5000%2Fa%20b%3A1&names=sha256%3A00 HTTP/1.1\r\n";
    assert!(request.starts_with(first), "{request}");
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\nabc0123456789 and more",
        "HTTP/1.0 200 OK\r\n\r\nabc0123456789",
    ] {
        assert_eq!(asked(answer.as_bytes(), &["a"]).1.unwrap().unwrap(), b"abc0123456789", "{answer}");
    }
}

#[test]
fn a_body_that_breaks_off_is_no_archive() {
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
    ] {
        assert!(asked(answer.as_bytes(), &["a"]).1.unwrap().is_err(), "{answer}");
    }
}

#[test]
fn a_refusal_says_what_the_daemon_says() {
    let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 32\r\n\r\n{\"message\":\"No such image: a:1\"}\n";
    let error = asked(missing, &["a:1"]).1.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().ends_with("it answers 404: No such image: a:1"), "{error}");
    let error = asked(b"HTTP/1.1 500 Oh\r\n\r\nplain words\n", &["a:1"]).1.unwrap_err();
    assert!(error.kind() == ErrorKind::Failed && error.to_string().ends_with("500: plain words"), "{error}");
    let endless = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"a: b\r\n".repeat(20_000)].concat();
    for answer in
        [b"".as_slice(), b"SSH-2.0\r\n\r\n", b"HTTP/1.1 x\r\n\r\n", b"HTTP/1.1 200 OK\r\nab\r\n\r\n", &endless]
    {
        assert_eq!(asked(answer, &["a"]).1.unwrap_err().kind(), ErrorKind::Corrupt);
    }
    assert_eq!(Source::docker_at("/none", &[]).unwrap_err().kind(), ErrorKind::InvalidArgument);
    let error = Source::docker_at("/nowhere/docker.sock", &["a"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.hint().unwrap().contains("DOCKER_HOST=unix://PATH"), "{error:?}");
}
