//! Published ports of UDP of containers that outlive the program that started them.

#![allow(clippy::unwrap_used)]

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use plywood::container::{Definition, Ready, RestartPolicy};
use plywood::spec::ExposedPort;
use plywood::{Base, Container, Engine, Image, Layers};
use rustix::process::{Resource, getrlimit};
use support::PROGRAMS;
use support::place::Place;
use support::victim::{self, Victim, forwarder, keepers};

const PATIENCE: Duration = Duration::from_secs(10);

/// Answers each datagram on a port of IPv4 with itself in brackets; ends when told.
const ANSWER: &str = "socket(S, 2, 2, 0); bind(S, pack('S n x4 x8', 2, 53)) or die; \
                      while ($peer = recv(S, $_, 65536, 0)) { exit 3 if $_ eq 'end'; send(S, \"<$_>\", 0, $peer); }";

fn port() -> ExposedPort {
    ExposedPort::parse("53/udp").unwrap()
}

fn perl(engine: &Engine) -> Image {
    engine.build(&Layers::new().from(Base::host([PROGRAMS.as_slice(), &["perl"]].concat()))).unwrap()
}

fn answering(engine: &Engine, script: &str) -> Definition {
    Container::of(&perl(engine)).cmd(["perl", "-e", script]).ready(Ready::port(port()))
}

fn sender() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// What comes back for a datagram, and whence it comes.
fn ask(socket: &UdpSocket, address: SocketAddr, text: &str) -> (String, SocketAddr) {
    socket.send_to(text.as_bytes(), address).unwrap();
    receive(socket)
}

fn receive(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut answer = vec![0; 1 << 16];
    let (length, from) = socket.recv_from(&mut answer).unwrap();
    (String::from_utf8_lossy(&answer[..length]).into_owned(), from)
}

#[test]
fn answers_find_their_senders_without_the_program_that_began() {
    if let Some(directory) = victim::directory() {
        let engine = Place::open(&directory);
        let definition = answering(&engine, ANSWER).keep().name("dns").publish(0, port()).publish(0, 80);
        let container = definition.start(&engine).unwrap();
        victim::tell(container.addr(port()).unwrap());
        victim::wait();
    }
    let place = Place::new();
    let name = "answers_find_their_senders_without_the_program_that_began";
    let mut victim = Victim::start(name, place.0.path());
    let address: SocketAddr = victim.hear().unwrap().parse().unwrap();
    victim.kill();
    let senders: Vec<UdpSocket> = (0..5).map(|_| sender()).collect();
    for round in 0..2 {
        for (number, sender) in senders.iter().enumerate() {
            sender.send_to(format!("{round} {number}").as_bytes(), address).unwrap();
        }
        for (number, sender) in senders.iter().enumerate() {
            assert_eq!(receive(sender), (format!("<{round} {number}>"), address));
        }
    }
    // As long as they come.
    let long = "x".repeat(60_000);
    assert_eq!(ask(&senders[0], address, &long).0, format!("<{long}>"));

    let engine = Place::open(place.0.path());
    let container = engine.container("dns").unwrap();
    assert_eq!(container.addr(port()).unwrap(), address);
    container.kill_and_remove().unwrap();
    drop(UdpSocket::bind(address).unwrap());
}

#[test]
fn a_restart_keeps_the_port() {
    let place = Place::new();
    let (engine, _) = place.engine();
    let definition = answering(&engine, ANSWER).keep().publish(0, port()).restart(RestartPolicy::Always);
    let container = definition.start(&engine).unwrap();
    let (address, sender) = (container.addr(port()).unwrap(), sender());
    assert_eq!(ask(&sender, address, "one").0, "<one>");
    sender.send_to(b"end", address).unwrap();
    // Datagrams are lost while nobody listens inside.
    sender.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut answer = [0; 16];
    loop {
        sender.send_to(b"two", address).unwrap();
        if let Ok((length, _)) = sender.recv_from(&mut answer) {
            assert_eq!(&answer[..length], b"<two>");
            break;
        }
    }
    assert_eq!(container.addr(port()).unwrap(), address);
}

#[test]
fn ipv6_is_forwarded_from_outside_and_to_inside() {
    let place = Place::new();
    let (engine, _) = place.engine();
    let Ok(sender) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) else { return support::skip("IPv6") };
    sender.set_read_timeout(Some(PATIENCE)).unwrap();
    let script = ANSWER
        .replace("socket(S, 2,", "socket(S, 10,")
        .replace("pack('S n x4 x8', 2, 53)", "pack('S n N a16 N', 10, 53, 0, qq(\\0) x 15 . qq(\\1), 0)");
    for keeps in [true, false] {
        let definition = answering(&engine, &script).publish((Ipv6Addr::LOCALHOST, 0), port());
        let container = if keeps { definition.keep() } else { definition }.start(&engine).unwrap();
        let address = container.addr(port()).unwrap();
        for text in ["one", "two"] {
            assert_eq!(ask(&sender, address, text), (format!("<{text}>"), address));
        }
    }
}

#[test]
fn the_sender_that_was_silent_longest_goes_for_a_further_one() {
    let place = Place::new();
    let (engine, _) = place.engine();
    let container = answering(&engine, ANSWER).keep().publish(0, port()).start(&engine).unwrap();
    let address = container.addr(port()).unwrap();
    let [keeper] = keepers(&place.root())[..] else { panic!("there is one supervisor") };
    let files = format!("/proc/{}/fd", forwarder(keeper));
    let count = || std::fs::read_dir(&files).unwrap().count();
    let (first, before) = (sender(), count());
    assert_eq!(ask(&first, address, "first").0, "<first>");
    for number in 0..1100 {
        assert_eq!(ask(&sender(), address, &number.to_string()).0, format!("<{number}>"));
    }
    // Half of the files that there may be, where that is less, but for 48 and the port.
    let files = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let most = usize::try_from((files.saturating_sub(49) / 2).min(1024)).unwrap();
    assert_eq!(count(), before + most, "each that is known has a descriptor");
    assert_eq!(ask(&first, address, "again").0, "<again>", "one that was forgotten is a new one");
    assert_eq!(count(), before + most);
}

#[test]
fn a_server_that_comes_late_is_found_by_the_next_datagram() {
    let place = Place::new();
    let (engine, _) = place.engine();
    let image = perl(&engine);
    let container = support::sh(&image, "sleep 600").keep().publish(0, port()).start(&engine).unwrap();
    let (address, sender) = (container.addr(port()).unwrap(), sender());
    sender.send_to(b"lost", address).unwrap();
    let _server = container.exec(["perl", "-e", ANSWER]).start().unwrap();
    container.wait_ready(Ready::port(port())).unwrap();
    assert_eq!(ask(&sender, address, "found").0, "<found>");
}
