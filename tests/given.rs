//! Tests that are given what they ask for. `attributes.rs` runs them, on a data root of their own, and sees one of them fail.

#![allow(missing_docs, clippy::unwrap_used)]

use std::error::Error;

use plywood::container::{Definition, Ready};
use plywood::testing::{Module, Service, TempVolume};
use plywood::{Container, Engine};

/// A service that needs no package of the host.
#[derive(Debug, Default)]
struct Files;

impl Module for Files {
    fn definition(&self, _engine: &Engine) -> plywood::Result<Definition> {
        Ok(Container::of(&support::base()).cmd(["sh", "-c", "echo serving; : > /up; while :; do sleep 0.02; done"]))
    }

    fn ready(&self) -> Ready {
        Ready::file("/up")
    }
}

/// Files with a word in one.
#[plywood::template(files("Cargo.toml"), input = env!("CARGO_PKG_VERSION"))]
fn with_a_word(service: &Service<Files>) -> Result<(), Box<dyn Error + Send + Sync>> {
    match service.container().exec(["sh", "-c", "echo word > /word"]).status()?.success() {
        true => Ok(()),
        false => Err("no word".into()),
    }
}

fn read(service: &Service<Files>) -> String {
    support::text(service.container().exec(["cat", "/word"]).output().unwrap())
}

#[plywood::test]
fn passes(one: WithAWord, other: WithAWord, plain: Service<Files>, volume: TempVolume, engine: Engine) {
    assert_ne!(one.container().id(), other.container().id());
    assert!(one.container().exec(["sh", "-c", "echo more >> /word"]).status().unwrap().success());
    assert_eq!((read(&one).as_str(), read(&other).as_str()), ("word\nmore\n", "word\n"));
    assert!(!plain.container().exec(["cat", "/word"]).output().unwrap().status.success());
    assert!(engine.find_volume(volume.name().as_str()).unwrap().is_some());
}

#[cfg(feature = "tokio")]
#[plywood::test]
async fn waits(service: WithAWord, engine: Engine) -> plywood::Result<()> {
    let runtime = tokio::runtime::Handle::current();
    assert_eq!(runtime.runtime_flavor(), tokio::runtime::RuntimeFlavor::CurrentThread);
    let container = engine.container(service.container().name())?.aio();
    assert_eq!(container.exec(["cat", "/word"]).aio().output().await?.stdout, b"word\n");
    // Other tasks run meanwhile, on the same thread.
    let here = std::thread::current().id();
    assert_eq!(tokio::spawn(async { std::thread::current().id() }).await.unwrap(), here);
    Ok(())
}

#[cfg(feature = "tokio")]
#[plywood::test(flavor = "multi_thread", worker_threads = 2)]
async fn waits_on_threads(_service: WithAWord) {
    assert_eq!(tokio::runtime::Handle::current().metrics().num_workers(), 2);
    // Each waits for the other, without giving way.
    let both = std::sync::Arc::new(std::sync::Barrier::new(2));
    let meet = |both: std::sync::Arc<std::sync::Barrier>| tokio::spawn(async move { both.wait().is_leader() });
    let (one, other) = (meet(both.clone()), meet(both));
    assert_ne!(one.await.unwrap(), other.await.unwrap());
}

#[cfg(feature = "tokio")]
#[plywood::test]
async fn waits_and_fails(service: WithAWord) -> Result<(), String> {
    Err(format!("{} is not what was wanted", read(&service).trim()))
}

#[plywood::test]
fn fails(service: WithAWord) -> Result<(), String> {
    Err(format!("{} is not what was wanted", read(&service).trim()))
}

#[plywood::test]
#[should_panic(expected = "as it should")]
fn panics(_service: Service<Files>) {
    panic!("as it should");
}
