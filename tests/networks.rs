//! Networks that containers have in common.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs::read_dir;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;

use plywood::container::{Definition, NetworkMode, Ready, RestartPolicy, UserNamespace};
use plywood::{Base, Container, Engine, ErrorKind, Image, Layers, Network};
use support::place::Place;
use support::{PROGRAMS, engine, require_root, sh, text};

fn talkers(engine: &Engine) -> Image {
    engine.build(&Layers::new().from(Base::host([PROGRAMS.as_slice(), &["perl", "bash"]].concat()))).unwrap()
}

/// Answers each connection to a port, at any of its addresses, with a word. An ordinary user of the container may do it.
fn answering<D>(image: &Image<D>, port: u16, word: &str) -> Definition<D> {
    let script = format!(
        "socket(S, 2, 1, 0) or die; bind(S, pack('S n x4 x8', 2, {port})) or die \"bind: $!\"; listen(S, 64) or die; \
         while (accept(C, S)) {{ syswrite(C, '{word}'); close(C); }}"
    );
    Container::of(image).cmd(["perl", "-e", &script]).ready(Ready::port(port).timeout(Duration::from_secs(60)))
}

/// What a container reads at a name of the network.
fn asked<D>(container: &Container<D>, name: &str, port: u16) -> String {
    let script = format!("exec cat </dev/tcp/{name}/{port}");
    text(container.exec(["bash", "-c", &script]).output().unwrap())
}

fn idle<D>(image: &Image<D>, name: &str, network: &Network) -> Definition<D> {
    sh(image, "exec sleep 1000").name(name).network(network)
}

fn namespace_of<D>(container: &Container<D>) -> u64 {
    std::fs::metadata(format!("/proc/{}/ns/net", container.inspect().unwrap().pid().unwrap())).unwrap().ino()
}

fn links_of_the_host() -> BTreeSet<String> {
    read_dir("/sys/class/net").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn containers_behind_a_bridge_find_each_other_by_name() {
    let engine = engine();
    let image = talkers(&engine);
    let before = links_of_the_host();
    let network = Network::bridge().unwrap();
    // The same port, and one that is privileged elsewhere; and each sees who came later.
    let first = answering(&image, 80, "one").name("first").network(&network).start(&engine).unwrap();
    let second =
        answering(&image, 80, "two").name("second").hostname("alias").network(&network).start(&engine).unwrap();
    let third = idle(&image, "third", &network).start(&engine).unwrap();
    for container in [&first, &second, &third] {
        assert_eq!(asked(container, "first", 80), "one");
        assert_eq!(asked(container, "second", 80), "two");
        assert_eq!(asked(container, "alias", 80), "two");
    }
    // This program reaches each as ever.
    for (container, word) in [(&first, "one"), (&second, "two")] {
        let mut text = String::new();
        container.connect(80).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, word);
    }
    assert_eq!(links_of_the_host(), before);
    assert_ne!(namespace_of(&first), namespace_of(&second));
}

#[test]
fn i07_containers_of_a_network_reach_each_other_and_forge_nothing() {
    let engine = engine();
    let image = talkers(&engine);
    // Frames of one's own making, which could answer for others or reset their connections, take a raw socket.
    let raw = "for (@ARGV) { my @s = split /,/; print socket(S, $s[0], $s[1], $s[2]) ? 0 : $! + 0 } print qq(\\n)";
    let sockets = ["17,3,768", "17,2,768", "2,3,6", "2,3,255", "10,3,58"];
    for network in [Network::shared().unwrap(), Network::bridge().unwrap()] {
        let server = answering(&image, 80, "answer").name("server").network(&network).start(&engine).unwrap();
        let client = idle(&image, "client", &network).start(&engine).unwrap();
        assert_eq!(asked(&client, "server", 80), "answer");
        for container in [&server, &client] {
            let tried = container.exec(["perl", "-e", raw].into_iter().chain(sockets)).output().unwrap();
            assert_eq!(text(tried), "11111\n", "each is EPERM");
        }
        // Nor do those who share a network change it.
        let change = "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv4/conf/all/accept_redirects";
        assert!(!client.exec(["sh", "-c", change]).output().unwrap().status.success());
    }
}

#[test]
fn containers_of_a_shared_network_have_one_loopback_interface() {
    let engine = engine();
    let image = talkers(&engine);
    let network = Network::shared().unwrap();
    let db = answering(&image, 80, "db").name("db").network(&network).start(&engine).unwrap();
    let app = idle(&image, "app", &network).start(&engine).unwrap();
    assert_eq!(namespace_of(&db), namespace_of(&app));
    assert_eq!((asked(&app, "127.0.0.1", 80), asked(&app, "db", 80)), ("db".to_owned(), "db".to_owned()));
    // A server of the test's is there for all of them.
    let listener = app.listen(9000).unwrap();
    let answer = thread::spawn(move || listener.accept().unwrap().0.write_all(b"test").unwrap());
    assert_eq!(asked(&db, "localhost", 9000), "test");
    answer.join().unwrap();
}

#[test]
fn users_of_containers_differ_in_one_network() {
    let engine = engine();
    let image = talkers(&engine);
    for network in [Network::shared().unwrap(), Network::bridge().unwrap()] {
        let server = answering(&image, 80, "seven").user("7:8").name("seven").network(&network).start(&engine).unwrap();
        let client = idle(&image, "nine", &network).user("9").start(&engine).unwrap();
        assert_eq!(asked(&client, "seven", 80), "seven");
        let ids = text(
            server
                .exec(["sh", "-c", "id -u; id -g; cat /proc/sys/net/ipv4/ip_unprivileged_port_start"])
                .output()
                .unwrap(),
        );
        assert_eq!(ids, "7\n8\n0\n");
    }
}

#[test]
fn a_container_with_a_user_namespace_of_its_own_may_join() {
    require_root!();
    let engine = engine();
    let image = talkers(&engine);
    for network in [Network::shared().unwrap(), Network::bridge().unwrap()] {
        let private =
            |definition: Definition| definition.user_namespace(UserNamespace::Private).start(&engine).unwrap();
        let server = private(answering(&image, 80, "mapped").name("mapped").user("7").network(&network));
        let client = private(idle(&image, "client", &network));
        assert_eq!((asked(&client, "mapped", 80), asked(&server, "mapped", 80)), ("mapped".into(), "mapped".into()));
    }
}

#[test]
fn who_has_ended_is_forgotten_and_comes_back_with_another_address() {
    let engine = engine();
    let image = talkers(&engine);
    let network = Network::bridge().unwrap();
    let watching = idle(&image, "watching", &network).start(&engine).unwrap();
    let known = || {
        let hosts = text(watching.exec(["cat", "/etc/hosts"]).output().unwrap());
        hosts.lines().filter(|line| line.starts_with("10.")).map(str::to_owned).collect::<Vec<_>>()
    };
    let gone = idle(&image, "gone", &network).start(&engine).unwrap();
    assert_eq!(known().len(), 2);
    drop(gone);
    assert!(known().len() == 1 && known()[0].starts_with("10.0.0.2\twatching"), "{:?}", known());
    let again = answering(&image, 80, "again").name("again").network(&network).create(&engine).unwrap();
    for _ in 0..2 {
        again.start().unwrap();
        again.wait_ready(Ready::port(80)).unwrap();
        assert_eq!(asked(&watching, "again", 80), "again");
        let _ = again.stop(Duration::ZERO).unwrap();
    }
    assert_eq!(known().len(), 1);
}

#[test]
fn many_join_at_once() {
    let engine = engine();
    let image = talkers(&engine);
    let network = Network::bridge().unwrap();
    let started: Vec<_> = thread::scope(|scope| {
        let start = |number: u16| {
            let (engine, image, network) = (&engine, &image, &network);
            let definition = move || answering(image, 80, &format!("word {number}")).name(format!("n{number}"));
            scope.spawn(move || definition().network(network).start(engine).unwrap())
        };
        let threads: Vec<_> = (0..12).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for number in 0..12 {
        assert_eq!(asked(&started[(number + 5) % 12], &format!("n{number}"), 80), format!("word {number}"));
    }
}

#[test]
fn a_published_port_leads_into_a_network() {
    let engine = engine();
    let image = talkers(&engine);
    for network in [Network::shared().unwrap(), Network::bridge().unwrap()] {
        let server = answering(&image, 80, "published").network(&network).publish(0, 80).start(&engine).unwrap();
        let mut text = String::new();
        std::net::TcpStream::connect(server.addr(80).unwrap()).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "published");
    }
}

#[test]
fn a_container_shares_the_network_of_another_even_one_of_another_program() {
    let place = Place::new();
    let (engine, _) = place.engine();
    let image = talkers(&engine);
    let kept = answering(&image, 80, "kept").name("kept").keep().start(&engine).unwrap();
    let found = place.engine().0.container("kept").unwrap();
    let client = sh(&image, "exec sleep 1000").network(&found).user("5").start(&engine).unwrap();
    assert_eq!(namespace_of(&client), namespace_of(&kept));
    assert_eq!(asked(&client, "127.0.0.1", 80), "kept");
    // The network stays for as long as somebody is in it.
    kept.kill_and_remove().unwrap();
    let again = sh(&image, "exec sleep 1000").network(&client).start(&engine).unwrap();
    assert_eq!(namespace_of(&client), namespace_of(&again));
    let error = sh(&image, "true").network(&found).start(&engine).unwrap_err();
    assert!([ErrorKind::NotFound, ErrorKind::InvalidArgument].contains(&error.kind()), "{error}");
}

#[test]
fn what_a_common_network_cannot_have_is_refused() {
    let engine = engine();
    let image = talkers(&engine);
    let network = Network::shared().unwrap();
    let host = sh(&image, "exec sleep 1000").name("open").network(NetworkMode::Host).start(&engine).unwrap();
    for (definition, kind, message) in [
        (sh(&image, "true").network(&network).keep(), ErrorKind::Unsupported, "keep it in a network that ends with"),
        (
            sh(&image, "true").network(&host).keep().restart(RestartPolicy::Always),
            ErrorKind::Unsupported,
            "its supervisor cannot join the network of others",
        ),
        (
            sh(&image, "true").network(&network).sysctl("net.ipv4.ip_default_ttl", "9"),
            ErrorKind::InvalidArgument,
            "set net.ipv4.ip_default_ttl: the container has the network of others",
        ),
        (sh(&image, "true").network(&host), ErrorKind::InvalidArgument, "it has that of the host"),
    ] {
        let error = definition.start(&engine).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn forks_have_networks_of_their_own() {
    let engine = engine();
    let image = talkers(&engine);
    let network = Network::shared().unwrap();
    let container = answering(&image, 80, "original").network(&network).start(&engine).unwrap();
    let neighbour = sh(&image, "exec sleep 1000").network(&container).start(&engine).unwrap();
    let frozen = [neighbour, container].map(|container| {
        let _ = container.stop(Duration::ZERO).unwrap();
        container.snapshot().unwrap()
    });
    let forks: Vec<_> =
        frozen.iter().flat_map(|snapshot| [snapshot.fork().unwrap(), snapshot.fork().unwrap()]).collect();
    let namespaces: BTreeSet<u64> = forks.iter().map(namespace_of).collect();
    assert_eq!(namespaces.len(), forks.len());
}
