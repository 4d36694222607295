//! Published ports of containers that outlive the program that started them.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{ErrorKind as Io, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use plywood::container::{Definition, Ready, RestartPolicy, State};
use plywood::{Base, Container, Engine, ErrorKind, Image, Layers};
use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::place::Place;
use support::victim::{self, Victim, forwarder, keepers, kill};
use support::{PROGRAMS, sh};

const PATIENCE: Duration = Duration::from_secs(10);

/// More than all buffers on the way hold.
const MUCH: usize = 32 << 20;

/// Serves on a port of IPv4, and says so.
const SERVE: &str = "socket(S, 2, 1, 0); setsockopt(S, 1, 2, 1); bind(S, pack('S n x4 x8', 2, 80)) or die; listen(S, 9); \
                     $| = 1; print qq(serves\\n);";

fn perl(engine: &Engine) -> Image {
    engine.build(&Layers::new().from(Base::host([PROGRAMS.as_slice(), &["perl"]].concat()))).unwrap()
}

fn serving(engine: &Engine, then: &str) -> Definition {
    Container::of(&perl(engine)).cmd(["perl", "-e", &format!("{SERVE} {then}")]).keep()
}

/// A container of which this test is the server: it listens inside.
fn idle(engine: &Engine, image: &Image) -> (Container, TcpListener, SocketAddr) {
    let container = sh(image, "sleep 600").keep().publish(0, 80).start(engine).unwrap();
    let (listener, address) = (container.listen(80).unwrap(), container.addr(80).unwrap());
    (container, listener, address)
}

fn ask(address: SocketAddr) -> String {
    read(&mut TcpStream::connect(address).unwrap())
}

fn read(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Waits until a line has been written so often.
fn await_lines(container: &Container, wanted: &str, count: usize) {
    while container.logs().read().unwrap().filter(|line| line.text == wanted).count() < count {
        thread::yield_now();
    }
}

#[test]
fn the_ports_of_a_kept_container_outlive_its_program_and_any_other_knows_them() {
    let name = "the_ports_of_a_kept_container_outlive_its_program_and_any_other_knows_them";
    if let Some(directory) = victim::directory() {
        let engine = Place::open(&directory);
        let then = "while (accept(C, S)) { syswrite(C, 'inside'); close(C) }";
        let definition = serving(&engine, then).name("web").publish(0, 80).publish(0, 80).publish(0, 81);
        let container = definition.ready(Ready::port(80)).start(&engine).unwrap();
        assert_eq!(ask(container.addr(80).unwrap()), "inside");
        victim::tell("runs");
        victim::wait();
    }
    let place = Place::new();
    let mut victim = Victim::start(name, place.0.path());
    assert_eq!(victim.hear().unwrap(), "runs");
    victim.kill();

    let engine = Place::open(place.0.path());
    let container = engine.container("web").unwrap();
    let address = container.addr(80).unwrap();
    assert!(address.ip().is_loopback() && address.port() != 0);
    let details = container.inspect().unwrap();
    let [first, second, third] = details.ports()[..] else { panic!("{:?}", details.ports()) };
    assert_eq!([first, second, third].map(|it| it.port.number()), [80, 80, 81]);
    for published in [first, second, first] {
        assert_eq!(ask(published.address), "inside");
    }
    // Nothing listens on the other one.
    let mut stream = TcpStream::connect(third.address).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), Io::ConnectionReset);
    // Docker's words for it, in the file that Docker reads.
    let file = place.root().join(format!("containers/{}/config.v2.json", container.id()));
    let recorded = || serde_json::from_slice::<serde_json::Value>(&fs::read(&file).unwrap()).unwrap();
    let entry = |at: SocketAddr| serde_json::json!({ "HostIp": "127.0.0.1", "HostPort": at.port().to_string() });
    let expected = serde_json::json!([entry(first.address), entry(second.address)]);
    assert_eq!(recorded()["NetworkSettings"]["Ports"]["80/tcp"], expected);

    assert!(!container.stop(PATIENCE).unwrap().success());
    assert_eq!(container.addr(80).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert!(container.inspect().unwrap().ports().is_empty());
    assert!(recorded()["NetworkSettings"]["Ports"].is_null());
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), Io::ConnectionRefused);

    // They are forwarded again when it is started again.
    container.start().unwrap();
    await_lines(&container, "serves", 2);
    assert_eq!(ask(container.addr(80).unwrap()), "inside");
    container.kill_and_remove().unwrap();
}

#[test]
fn a_restart_keeps_the_ports() {
    let place = Place::new();
    let (engine, _) = place.engine();
    let then = "while (accept(C, S)) { sysread(C, $_, 1); syswrite(C, qq(of $$ )); exit 3 if $_ eq 'x'; close(C) }";
    let definition = serving(&engine, then).restart(RestartPolicy::Always).publish(0, 80).ready(Ready::port(80));
    let container = definition.start(&engine).unwrap();
    let (address, ports) = (container.addr(80).unwrap(), container.inspect().unwrap().ports());
    for run in 1..4 {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut idle = TcpStream::connect(address).unwrap();
        stream.write_all(b"x").unwrap();
        // What an ended container had sent arrives, and its connections end.
        assert!(read(&mut stream).starts_with("of "));
        assert!(matches!(idle.read(&mut [0]), Ok(0) | Err(_)));
        await_lines(&container, "serves", run + 1);
        assert_eq!((container.addr(80).unwrap(), container.state().unwrap()), (address, State::Running));
        assert_eq!(container.inspect().unwrap().ports(), ports);
        assert_eq!(Place::open(place.0.path()).containers().unwrap()[0].addr(80).unwrap(), address);
    }
    container.kill_and_remove().unwrap();
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), Io::ConnectionRefused);
}

#[test]
fn one_that_is_removed_at_its_end_gives_its_ports_back() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let container = sh(&image, "read line").tty().keep().auto_remove().publish(0, 80).start(&engine).unwrap();
    let address = container.addr(80).unwrap();
    drop(TcpStream::connect(address).unwrap());
    let keeper = keepers(&place.root());
    container.kill(plywood::container::Signal::KILL).unwrap();
    assert!(keeper.into_iter().all(victim::ends));
    drop(TcpListener::bind(address).unwrap());
    assert!(engine.containers().unwrap().is_empty());
}

#[test]
fn without_their_supervisor_the_ports_are_the_hosts_again() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let (container, listener, address) = idle(&engine, &image);
    let mut near = TcpStream::connect(address).unwrap();
    let (_far, _) = listener.accept().unwrap();
    let [keeper] = keepers(&place.root())[..] else { panic!("there is one supervisor") };
    let forwarder = forwarder(keeper);
    kill(keeper);
    assert!(victim::ends(keeper) && victim::ends(forwarder));
    assert!(matches!(near.read(&mut [0]), Ok(0) | Err(_)));
    drop(TcpListener::bind(address).unwrap());
    drop(engine);
    let next = Place::open(place.0.path());
    assert_eq!(next.container(container.id().as_str()).unwrap().state().unwrap(), State::Exited);
    assert!(container.inspect().unwrap().ports().is_empty());
}

#[test]
fn who_forwards_is_replaced_when_it_is_killed() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let (container, listener, address) = idle(&engine, &image);
    exchange(&listener, address);
    // Now that is another process, under its own name.
    let [keeper] = keepers(&place.root())[..] else { panic!("there is one supervisor") };
    let first = forwarder(keeper);
    // However soon that is: who comes waits for the next one.
    kill(first);
    assert!(victim::ends(first));
    exchange(&listener, address);
    assert_ne!(forwarder(keeper), first);
    container.kill_and_remove().unwrap();
}

/// Has a connection, over which something is sent.
fn exchange(listener: &TcpListener, address: SocketAddr) {
    let mut near = TcpStream::connect(address).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    far.write_all(b"hello").unwrap();
    drop(far);
    assert_eq!(read(&mut near), "hello");
}

#[test]
fn each_direction_ends_by_itself_and_nothing_is_lost() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let (_container, listener, address) = idle(&engine, &image);
    let mut near = TcpStream::connect(address).unwrap();
    let (mut far, peer) = listener.accept().unwrap();
    assert!(peer.ip().is_loopback());
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
    far.write_all(b"thanks").unwrap();
    drop(far);
    assert_eq!(read(&mut near), "thanks");
}

#[test]
fn a_slow_reader_holds_up_its_sender_and_nobody_else() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let (_container, listener, address) = idle(&engine, &image);
    let mut near = TcpStream::connect(address).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    far.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut taken = 0;
    while let Ok(length) = far.write(&[7; 65536]) {
        taken += length;
        assert!(taken < 8 * MUCH, "there is no end");
    }
    let mut other = TcpStream::connect(address).unwrap();
    listener.accept().unwrap().0.write_all(b"quick").unwrap();
    assert_eq!(read(&mut other), "quick");
    drop(far);
    let mut left = Vec::new();
    near.read_to_end(&mut left).unwrap();
    assert_eq!(left.len(), taken);
}

#[test]
fn a_reset_is_passed_on() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let (_container, listener, address) = idle(&engine, &image);
    let reset = |stream: TcpStream| set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    let mut near = TcpStream::connect(address).unwrap();
    reset(listener.accept().unwrap().0);
    assert_eq!(near.read(&mut [0]).unwrap_err().kind(), Io::ConnectionReset);
    let near = TcpStream::connect(address).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    reset(near);
    assert_eq!(far.read(&mut [0]).unwrap_err().kind(), Io::ConnectionReset);
}

#[test]
fn a_server_that_has_ipv6_only_is_reached() {
    let place = Place::new();
    let (engine, _) = place.engine();
    if TcpListener::bind("[::1]:0").is_err() {
        return support::skip("IPv6");
    }
    let script = "socket(S, 10, 1, 0); bind(S, pack('S n N a16 N', 10, 80, 0, qq(\\0) x 15 . qq(\\1), 0)) or die; \
                  listen(S, 9); while (accept(C, S)) { syswrite(C, 'six'); close(C) }";
    let definition = Container::of(&perl(&engine)).cmd(["perl", "-e", script]).keep();
    let container = definition.publish(0, 80).ready(Ready::port(80)).start(&engine).unwrap();
    for _ in 0..3 {
        assert_eq!(ask(container.addr(80).unwrap()), "six");
    }
}

#[test]
fn more_connections_than_there_is_room_for_wait() {
    let Some(_) = victim::directory() else {
        // A program of its own: its limit is lowered, and with it that of the supervisor.
        return victim::alone("more_connections_than_there_is_room_for_wait");
    };
    let files = Some(500);
    setrlimit(Resource::Nofile, Rlimit { current: files, maximum: files }).unwrap();
    let place = Place::new();
    let (engine, image) = place.engine();
    let (_container, listener, address) = idle(&engine, &image);
    let count = 200;
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..count {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = [0; 2];
                stream.read_exact(&mut asked).unwrap();
                stream.write_all(&asked).unwrap();
            }
        });
        let mut near: Vec<TcpStream> = (0..count).map(|_| TcpStream::connect(address).unwrap()).collect();
        for (number, stream) in (0_u16..).zip(&mut near) {
            stream.write_all(&number.to_ne_bytes()).unwrap();
        }
        // Each makes room for another one when it has gone.
        for (number, mut stream) in (0_u16..).zip(near) {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, number.to_ne_bytes());
        }
    });
}

/// As many connections the child of a supervisor has at once, at most, and what it needs beside and for each of them: a
/// socket on either side, and two pipes. The book says so.
const MOST: u64 = 4096;
const FILES: u64 = 6;
const OTHERS: u64 = 48;

#[test]
fn as_many_connections_as_there_is_room_for_are_served_at_once_and_one_more_waits() {
    let Some(_) = victim::directory() else {
        // A program of its own: its limit is raised.
        return victim::alone("as_many_connections_as_there_is_room_for_are_served_at_once_and_one_more_waits");
    };
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let files = limit.maximum.unwrap_or(u64::MAX).saturating_sub(OTHERS + 1);
    let room = (files / FILES).min(MOST);
    let place = Place::new();
    let (engine, image) = place.engine();
    let (_container, listener, address) = idle(&engine, &image);
    let (mut near, mut far): (Vec<TcpStream>, Vec<TcpStream>) = thread::scope(|scope| {
        let accepted = scope.spawn(|| (0..room).map(|_| listener.accept().unwrap().0).collect());
        let near = (0..room).map(|_| TcpStream::connect(address).unwrap()).collect();
        (near, accepted.join().unwrap())
    });
    // Connected, but not to the container: the others are served meanwhile.
    let mut further = TcpStream::connect(address).unwrap();
    further.write_all(b"!").unwrap();
    for (number, stream) in (0_u32..).zip(&mut near) {
        stream.write_all(&number.to_ne_bytes()).unwrap();
    }
    for stream in &mut far {
        let mut asked = [0; 4];
        stream.read_exact(&mut asked).unwrap();
        stream.write_all(&asked).unwrap();
    }
    for (number, stream) in (0_u32..).zip(&mut near) {
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, number.to_ne_bytes());
    }
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), Io::WouldBlock);
    listener.set_nonblocking(false).unwrap();
    // Until one of them has gone, on both sides.
    set_socket_linger(&near[0], Some(Duration::ZERO)).unwrap();
    drop(near.swap_remove(0));
    let (mut last, _) = listener.accept().unwrap();
    last.read_exact(&mut [0]).unwrap();
    last.write_all(b"?").unwrap();
    drop(last);
    assert_eq!(read(&mut further), "?");
}
