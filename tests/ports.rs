//! Published ports: what connects to the host reaches the container, and nothing of the host changes.

#![allow(missing_docs, clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use plywood::container::{NetworkMode, Ready};
use plywood::spec::ExposedPort;
use plywood::{Base, Container, Durability, Engine, ErrorKind, Image, Layers};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{PROGRAMS, engine, image, sh, victim};

/// More than all buffers on the way hold.
const MUCH: usize = 32 << 20;

fn perl(engine: &Engine) -> Image {
    engine.build(&Layers::new().from(Base::host([PROGRAMS.as_slice(), &["perl"]].concat()))).unwrap()
}

/// A container of which this test is the server: it listens inside.
fn idle(engine: &Engine, addresses: &[SocketAddr]) -> Container {
    let definition = sh(&image(engine), "sleep 600");
    addresses.iter().fold(definition, |definition, address| definition.publish(*address, 80)).start(engine).unwrap()
}

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn read(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_port_of_the_host_leads_into_the_container() {
    let engine = engine();
    let script = "socket(S, 2, 1, 0); bind(S, pack('S n x4 x8', 2, 80)) or die; listen(S, 9); \
                  while (accept(C, S)) { syswrite(C, 'inside'); close(C) }";
    let definition = Container::of(&perl(&engine)).cmd(["perl", "-e", script]).publish(0, 80).ready(Ready::port(80));
    let container = definition.start(&engine).unwrap();
    let address = container.addr(80).unwrap();
    assert!(address.ip().is_loopback() && address.port() != 0);
    assert_eq!(container.url("http", 80).unwrap(), format!("http://{address}"));
    assert_eq!(read(&mut TcpStream::connect(address).unwrap()), "inside");
    let details = container.inspect().unwrap();
    assert_eq!(details.ports().iter().map(ToString::to_string).collect::<Vec<_>>(), [format!("{address}->80/tcp")]);
    // Docker's words for it.
    let document = serde_json::to_value(&details).unwrap();
    let recorded = |port: u16| serde_json::json!([{ "HostIp": "127.0.0.1", "HostPort": port.to_string() }]);
    assert_eq!(document["HostConfig"]["PortBindings"]["80/tcp"], recorded(0));
    assert_eq!(document["NetworkSettings"]["Ports"]["80/tcp"], recorded(address.port()));
    assert!(document["Config"]["ExposedPorts"]["80/tcp"].is_object());
    // It is the host's again when the container has gone.
    drop(container);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn both_internets_lead_to_one_port() {
    let engine = engine();
    let six = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 0));
    if TcpListener::bind(six).is_err() {
        return support::skip("IPv6");
    }
    let container = idle(&engine, &[any(), six]);
    let listener = container.listen(80).unwrap();
    for published in container.inspect().unwrap().ports() {
        let mut near = TcpStream::connect(published.address).unwrap();
        let (mut far, peer) = listener.accept().unwrap();
        assert!(peer.ip().is_loopback());
        far.write_all(b"hello").unwrap();
        drop(far);
        assert_eq!(read(&mut near), "hello");
    }
}

#[test]
fn each_direction_ends_by_itself_and_nothing_is_lost() {
    let engine = engine();
    let container = idle(&engine, &[any()]);
    let listener = container.listen(80).unwrap();
    let mut near = TcpStream::connect(container.addr(80).unwrap()).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    let sent: Vec<u8> = (0..MUCH).map(|at| (at / 7 % 251) as u8).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            near.try_clone().unwrap().write_all(&sent).unwrap();
            near.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        far.read_to_end(&mut received).unwrap();
        assert!(received == sent, "{} bytes", received.len());
    });
    // The other direction goes on.
    far.write_all(b"thanks").unwrap();
    drop(far);
    assert_eq!(read(&mut near), "thanks");
}

#[test]
fn a_slow_reader_holds_up_its_sender() {
    let engine = engine();
    let container = idle(&engine, &[any()]);
    let listener = container.listen(80).unwrap();
    let mut near = TcpStream::connect(container.addr(80).unwrap()).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    far.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    // Nobody reads: what has been taken is in buffers of the kernel, which have an end.
    let mut taken = 0;
    while let Ok(length) = far.write(&[7; 65536]) {
        taken += length;
        assert!(taken < 8 * MUCH, "there is no end");
    }
    drop(far);
    let mut left = Vec::new();
    near.read_to_end(&mut left).unwrap();
    assert_eq!(left.len(), taken);
}

#[test]
fn a_reset_is_passed_on() {
    let engine = engine();
    let container = idle(&engine, &[any()]);
    let listener = container.listen(80).unwrap();
    let mut near = TcpStream::connect(container.addr(80).unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    rustix::net::sockopt::set_socket_linger(&far, Some(Duration::ZERO)).unwrap();
    drop(far);
    assert_eq!(near.read(&mut [0; 8]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_port_on_which_nothing_listens_resets() {
    let engine = engine();
    let container = idle(&engine, &[any()]);
    let mut near = TcpStream::connect(container.addr(80).unwrap()).unwrap();
    assert_eq!(near.read(&mut [0; 8]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_container_that_ends_ends_its_connections() {
    let engine = engine();
    let script = "socket(S, 2, 1, 0); bind(S, pack('S n x4 x8', 2, 80)) or die; listen(S, 9); \
                  accept(C, S); syswrite(C, 'last words'); sysread(C, $_, 1); exit 0";
    let definition = Container::of(&perl(&engine)).cmd(["perl", "-e", script]).publish(0, 80).ready(Ready::port(80));
    let container = definition.start(&engine).unwrap();
    let address = container.addr(80).unwrap();
    let mut near = TcpStream::connect(address).unwrap();
    near.write_all(b"x").unwrap();
    assert!(container.wait().unwrap().success());
    assert_eq!(read(&mut near), "last words");
    assert_eq!(container.addr(80).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

/// Has so many connections at once, each of which is answered with what it has asked.
fn exchange(listener: &TcpListener, address: SocketAddr, count: u16) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let accepted: Vec<TcpStream> = (0..count).map(|_| listener.accept().unwrap().0).collect();
            // All are open now.
            for mut stream in accepted {
                let mut asked = [0; 2];
                stream.read_exact(&mut asked).unwrap();
                stream.write_all(&asked).unwrap();
            }
        });
        let mut near: Vec<TcpStream> = (0..count).map(|_| TcpStream::connect(address).unwrap()).collect();
        for (number, stream) in (0_u16..).zip(&mut near) {
            stream.write_all(&number.to_ne_bytes()).unwrap();
        }
        for (number, stream) in (0_u16..).zip(&mut near) {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, number.to_ne_bytes());
        }
    });
}

#[test]
fn many_connections_at_once_are_each_their_own() {
    let engine = engine();
    let container = idle(&engine, &[any()]);
    exchange(&container.listen(80).unwrap(), container.addr(80).unwrap(), 300);
}

#[test]
fn ten_thousand_connections_are_each_their_own() {
    let Some(directory) = victim::directory() else {
        // A program of its own: its limit is raised.
        return victim::alone("ten_thousand_connections_are_each_their_own");
    };
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    // Each has four ends in this process. Where there may not be as many files, they come in waves.
    let at_once = limit.maximum.map_or(10_000, |files| files.saturating_sub(400) / 4).clamp(1, 10_000);
    let engine = Engine::open_with(directory.join("root"), Durability::Fast).unwrap();
    let container = idle(&engine, &[any()]);
    let (listener, address) = (container.listen(80).unwrap(), container.addr(80).unwrap());
    let mut left = 10_000;
    while left > 0 {
        let wave = at_once.min(left);
        exchange(&listener, address, wave.try_into().unwrap());
        left -= wave;
    }
}

#[test]
fn answers_to_datagrams_find_their_senders() {
    let engine = engine();
    let port = ExposedPort::parse("53/udp").unwrap();
    let script = "socket(S, 2, 2, 0); bind(S, pack('S n x4 x8', 2, 53)) or die; \
                  while ($peer = recv(S, $_, 99, 0)) { send(S, \"<$_>\", 0, $peer); }";
    let definition = Container::of(&perl(&engine)).cmd(["perl", "-e", script]).publish(0, port);
    let container = definition.ready(Ready::port(port)).start(&engine).unwrap();
    let address = container.addr(port).unwrap();
    let senders: Vec<UdpSocket> = (0..5).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for round in 0..2 {
        for (number, sender) in senders.iter().enumerate() {
            sender.send_to(format!("{round} {number}").as_bytes(), address).unwrap();
        }
        for (number, sender) in senders.iter().enumerate() {
            let mut answer = [0; 16];
            let (length, from) = sender.recv_from(&mut answer).unwrap();
            assert_eq!((&answer[..length], from), (format!("<{round} {number}>").as_bytes(), address));
        }
    }
}

#[test]
fn a_port_that_is_taken_names_who_has_it() {
    let engine = engine();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = sh(&image(&engine), "true").name("web").publish(port, 80).start(&engine).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    let text = error.to_string();
    assert!(text.starts_with("start container \"web\" "), "{text}");
    let name = std::fs::read_to_string("/proc/self/comm").unwrap();
    let who =
        format!("publish 80/tcp at 127.0.0.1:{port}: process {} ({}) has it", std::process::id(), name.trim_end());
    assert!(text.ends_with(&who), "{text}");
    assert!(engine.containers().unwrap().is_empty());
    drop(taken);
}

#[test]
fn what_cannot_be_published_is_refused() {
    let engine = engine();
    let image = image(&engine);
    let container = sh(&image, "sleep 60").start(&engine).unwrap();
    let error = container.addr(80).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().starts_with("reach port 80/tcp of container "), "{error}");
    let error = sh(&image, "true").network(NetworkMode::Host).publish(0, 80).start(&engine).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let nowhere = SocketAddr::from(([192, 0, 2, 1], 0));
    let error = sh(&image, "true").publish(nowhere, 80).start(&engine).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("the host has no such address"), "{error}");
}

#[test]
fn a_low_port_is_refused_to_an_ordinary_user() {
    support::require_ordinary_user!();
    let lowest = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if lowest.trim().parse::<u16>().unwrap() <= 7 {
        return support::skip("low ports");
    }
    let engine = engine();
    let error = sh(&image(&engine), "true").publish(7, 80).start(&engine).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.hint().unwrap().contains("1024"));
}
