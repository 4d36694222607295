//! Reaching a container, and being reached by it, without a port of the host.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixListener;
use std::thread;

use plywood::container::{Definition, NetworkMode};
use plywood::spec::Port;
use plywood::{Base, Container, Engine, ErrorKind, Image, Layers, Mount, layers};
use support::{PROGRAMS, base, engine, image, require_root, sh};

layers! {
    /// An image with names for its ports.
    struct Echo;
    FROM {base()};
    EXPOSE 5432 as SQL;
    EXPOSE 5353/udp as NAMES;
}

/// The test image with an interpreter that can listen.
fn perl(engine: &Engine) -> Image {
    engine.build(&Layers::new().from(Base::host([PROGRAMS.as_slice(), &["perl", "bash"]].concat()))).unwrap()
}

/// A server that answers each connection to a port with a word, on an address as `sockaddr_in` or `sockaddr_in6` has it;
/// it says so once it listens.
fn answering<D>(image: &Image<D>, family: u8, address: &str, port: u16, word: &str) -> Definition<D> {
    let script = format!(
        "$| = 1; socket(S, {family}, 1, 0) or die; bind(S, pack({address}, {family}, {port})) or die \"bind: $!\"; \
         listen(S, 64) or die; print \"ready\\n\"; while (accept(C, S)) {{ syswrite(C, '{word}'); close(C); }}"
    );
    Container::of(image).cmd(["perl", "-e", &script])
}

const ANY: &str = "'S n x4 x8'";
const ANY_6: &str = "'S n x4 x16 x4'";

/// Starts it, and waits for its word.
fn started<D>(definition: &Definition<D>, engine: &Engine) -> Container<D> {
    let container = definition.start(engine).unwrap();
    let line = container.logs().follow().read().unwrap().next().unwrap();
    assert_eq!(line.text, "ready");
    container
}

fn read(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// What this program's network listens on.
fn of_the_host() -> BTreeSet<String> {
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    table.lines().filter(|line| line.contains(" 0A ")).map(|line| line[..28].to_owned()).collect()
}

#[test]
fn complaint_ports_containers_listen_on_the_same_port_side_by_side() {
    let engine = engine();
    let image = perl(&engine);
    let before = of_the_host();
    let containers: Vec<_> = (0..20)
        .map(|number| started(&answering(&image, 2, ANY, 5432, &format!("container {number}")), &engine))
        .collect();
    for (number, container) in containers.iter().enumerate() {
        assert_eq!(read(container.connect(5432).unwrap()), format!("container {number}"));
    }
    let ours: Vec<_> = of_the_host().difference(&before).filter(|line| line.contains(":1538")).cloned().collect();
    assert!(ours.is_empty(), "{ours:?}");
}

#[test]
fn many_connections_of_many_threads_are_each_their_own() {
    let engine = engine();
    let image = perl(&engine);
    let container = started(&answering(&image, 2, ANY, 80, "here"), &engine);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..25).for_each(|_| assert_eq!(read(container.connect(80).unwrap()), "here")));
        }
    });
}

#[test]
fn a_server_of_ipv6_alone_is_reached() {
    let engine = engine();
    let image = perl(&engine);
    let container = started(&answering(&image, 10, ANY_6, 80, "six"), &engine);
    assert_eq!(read(container.connect(80).unwrap()), "six");
}

#[test]
fn a_port_on_which_nothing_listens_is_refused_and_the_others_named() {
    let engine = engine();
    let container = sh(&image(&engine), "sleep 60").name("db").start(&engine).unwrap();
    let refused = |port: u16| {
        let error = container.connect(port).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let text = error.to_string();
        let (what, why) = text.split_once(": ").unwrap();
        assert!(what.starts_with(&format!("connect to port {port} of container \"db\"")), "{text}");
        why.to_owned()
    };
    assert_eq!(refused(5432), "nothing listens on it, nor on any other port");
    let _first = container.listen(8080).unwrap();
    assert_eq!(refused(5432), "nothing listens on it (but on 8080)");
    let _second = container.listen(9000).unwrap();
    assert_eq!(refused(5432), "nothing listens on it (but on 8080 and 9000)");
}

#[test]
fn a_container_reaches_this_program() {
    let engine = engine();
    let image = perl(&engine);
    let container = sh(&image, "sleep 60").start(&engine).unwrap();
    let listener = container.listen(0).unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = String::new();
        stream.read_to_string(&mut asked).unwrap();
        asked
    });
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; echo question >&3");
    assert!(container.exec(["bash", "-c", &script]).status().unwrap().success());
    assert_eq!(served.join().unwrap(), "question\n");
    // Nobody of the host can: the port is in there.
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_port_that_the_container_has_cannot_be_listened_on() {
    let engine = engine();
    let container = sh(&image(&engine), "sleep 60").start(&engine).unwrap();
    let first = container.listen(8080).unwrap();
    let error = container.listen(8080).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert!(error.to_string().ends_with("a process in the container has it already"), "{error}");
    drop(first);
    container.listen(8080).unwrap();
}

#[test]
fn both_directions_close_by_themselves() {
    let engine = engine();
    let container = sh(&image(&engine), "sleep 60").start(&engine).unwrap();
    let listener = container.listen(80).unwrap();
    let mut near = container.connect(80).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    near.write_all(b"all of it").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    far.read_to_string(&mut text).unwrap();
    far.write_all(text.as_bytes()).unwrap();
    drop(far);
    assert_eq!(read(near), "all of it");
}

#[test]
fn datagrams_go_both_ways() {
    let engine = engine();
    let image = perl(&engine);
    let script = "$| = 1; socket(S, 2, 2, 0) or die; bind(S, pack('S n x4 x8', 2, 5353)) or die; print \"ready\\n\"; \
                  while ($peer = recv(S, $word, 99, 0)) { send(S, \"<$word>\", 0, $peer); }";
    let container = started(&Container::of(&image).cmd(["perl", "-e", script]), &engine);
    let socket = container.connect_udp(5353).unwrap();
    socket.send(b"name").unwrap();
    let mut answer = [0; 16];
    let length = socket.recv(&mut answer).unwrap();
    assert_eq!(&answer[..length], b"<name>");
}

#[test]
fn named_ports_are_of_their_protocol() {
    let engine = engine();
    let image = engine.build(&Echo).unwrap();
    let container = sh(&image, "sleep 60").start(&engine).unwrap();
    let listener = container.listen(Echo::SQL).unwrap();
    assert_eq!(listener.local_addr().unwrap().port(), 5432);
    assert_eq!(container.connect(Echo::SQL).unwrap().peer_addr().unwrap().port(), 5432);
    let error = container.connect(Echo::NAMES).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.to_string(), "reach 5353/udp of a container by tcp: it is declared for udp");
    assert_eq!(error.hint(), Some("use `connect_udp`"));
    assert_eq!(container.connect_udp(Echo::NAMES).unwrap().peer_addr().unwrap().port(), 5353);
    let _: Port<Echo> = Echo::SQL;
}

#[test]
fn a_container_that_does_not_run_is_named() {
    let engine = engine();
    let container = sh(&image(&engine), "true").name("gone").start(&engine).unwrap();
    assert!(container.wait().unwrap().success());
    for error in [
        container.connect(80).unwrap_err(),
        container.listen(80).unwrap_err(),
        container.connect_udp(80).unwrap_err(),
        container.connect_unix("/run/x").unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let text = error.to_string();
        assert!(text.contains("container \"gone\"") && text.ends_with("it is not running"), "{text}");
    }
}

#[test]
fn unix_sockets_are_found_in_the_container() {
    let engine = engine();
    let host = tempfile::tempdir().unwrap();
    // A name longer than the address of a socket holds, from the root on.
    let deep = "d".repeat(120);
    std::fs::create_dir(host.path().join(&deep)).unwrap();
    let directory = std::fs::File::open(host.path().join(&deep)).unwrap();
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/s", directory.as_raw_fd())).unwrap();
    std::os::unix::fs::symlink(format!("/mnt/{deep}/s"), host.path().join("link")).unwrap();
    std::fs::write(host.path().join("file"), "").unwrap();
    let mount = Mount::bind(host.path(), "/mnt");
    let container = sh(&image(&engine), "sleep 60").mount(mount).start(&engine).unwrap();
    for path in [format!("/mnt/{deep}/s"), "/mnt/link".to_owned()] {
        let mut near = container.connect_unix(&path).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        near.write_all(b"hello").unwrap();
        drop(near);
        let mut text = String::new();
        far.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }
    let kind = |path: &str| container.connect_unix(path).unwrap_err().kind();
    assert_eq!(kind("/mnt/none"), ErrorKind::NotFound);
    assert_eq!(kind("/mnt/file"), ErrorKind::Unavailable);
    // Dropped, it would go on for as long as a child that another test starts just now has it too.
    rustix::net::shutdown(&listener, rustix::net::Shutdown::Read).unwrap();
    assert_eq!(kind("/mnt/link"), ErrorKind::Unavailable);
}

#[test]
fn the_network_of_the_host_is_that_of_this_program() {
    let engine = engine();
    let container = sh(&image(&engine), "sleep 60").network(NetworkMode::Host).start(&engine).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(container.connect(listener.local_addr().unwrap().port()).is_ok());
}

#[test]
fn root_reaches_a_container_with_ids_of_its_own() {
    require_root!();
    let engine = engine();
    let definition = sh(&image(&engine), "sleep 60").user_namespace(plywood::container::UserNamespace::Private);
    let container = definition.start(&engine).unwrap();
    let listener = container.listen(80).unwrap();
    assert!(container.connect(80).is_ok());
    drop(listener);
}

#[test]
fn another_handle_reaches_it_too() {
    let engine = engine();
    let container = sh(&image(&engine), "sleep 60").name("db").start(&engine).unwrap();
    let found = engine.container("db").unwrap();
    let _listener = found.listen(80).unwrap();
    assert!(container.connect(80).is_ok());
    assert!(found.connect(80).is_ok());
}
