//! What programs are told about containers, those of others included.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use plywood::container::{Action, Event, Signal};
use plywood::{Engine, Timestamp};
use support::victim::{self, Directory, Victim};
use support::{engine, image, sh};

fn actions(events: impl IntoIterator<Item = Event>) -> Vec<(String, Action)> {
    events.into_iter().map(|event| (event.name, event.action)).collect()
}

#[test]
fn every_step_of_a_container_is_told_in_order() {
    let engine = engine();
    let image = image(&engine);
    let other = Engine::open(engine.path()).unwrap();
    let events = other.events().read().unwrap();
    let web = sh(&image, "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done").name("web");
    let container = web.start(&engine).unwrap();
    container.logs().follow().read().unwrap().next().unwrap();
    let _ = container.stop(Duration::from_secs(20)).unwrap();
    container.rename("old").unwrap();
    container.remove().unwrap();
    let told: Vec<Event> = events.take(7).collect();
    let expected = [
        ("web", Action::Create),
        ("web", Action::Start),
        ("web", Action::Kill),
        ("web", Action::Die),
        ("web", Action::Stop),
        ("old", Action::Rename),
        ("old", Action::Destroy),
    ];
    let mut actions = actions(told.clone());
    // The signal may be told after the end that it has caused.
    actions[2..4].sort_by_key(|(_, action)| *action == Action::Die);
    assert_eq!(actions, expected.map(|(name, action)| (name.to_owned(), action)));
    assert!(told.iter().all(|event| event.id == told[0].id && event.image == told[0].image));
    assert!(told.windows(2).all(|pair| pair[0].time <= pair[1].time));
    let attribute = |action, key: &str| {
        let event = told.iter().find(|event| event.action == action).unwrap();
        event.attributes.get(key).cloned().unwrap()
    };
    assert_eq!(attribute(Action::Kill, "signal"), "15");
    assert_eq!(attribute(Action::Die, "exitCode"), "5");
    assert_eq!(attribute(Action::Rename, "oldName"), "web");
}

#[test]
fn the_past_is_told_from_the_time_asked_for_to_the_time_asked_for() {
    let engine = engine();
    let image = image(&engine);
    let first = sh(&image, "true").name("first").create(&engine).unwrap();
    let between = Timestamp::now();
    let second = sh(&image, "true").name("second").create(&engine).unwrap();
    let after = Timestamp::now();
    drop((first, second));
    let read = |events: plywood::container::Events| actions(events.until(after).read().unwrap());
    let created = |name: &str| (name.to_owned(), Action::Create);
    assert_eq!(read(engine.events().since(Timestamp::UNIX_EPOCH)), [created("first"), created("second")]);
    assert_eq!(read(engine.events().since(between)), [created("second")]);
    assert_eq!(read(engine.events()), []);
    // An end that is still to come is waited for.
    let soon = Timestamp::from(std::time::SystemTime::now() + Duration::from_millis(50));
    assert_eq!(actions(engine.events().until(soon).read().unwrap()), []);
    assert!(Timestamp::now() >= soon);
}

/// Not a test of its own: the program that the next test kills.
#[test]
fn victim() {
    let Some(directory) = victim::directory() else { return };
    let engine = Engine::open(directory.join("root")).unwrap();
    let mut container = sh(&image(&engine), "sleep 1000").name("web").start(&engine).unwrap();
    container.persist().unwrap();
    victim::tell(container.id());
    let _ = container.wait();
}

#[test]
fn the_end_of_what_stays_of_a_killed_program_is_told_by_the_next_one() {
    let directory = Directory::new();
    let mut victim = Victim::start("victim", directory.path());
    victim.hear().unwrap();
    victim.kill();
    let engine = Engine::open(directory.path().join("root")).unwrap();
    let events = engine.events().since(Timestamp::UNIX_EPOCH).until(Timestamp::now()).read().unwrap();
    let told: Vec<Event> = events.collect();
    let expected = [Action::Create, Action::Start, Action::Die];
    assert_eq!(actions(told.clone()), expected.map(|action| ("web".to_owned(), action)));
    assert_eq!(told[2].attributes["exitCode"], (128 + Signal::KILL.number()).to_string());
}

#[test]
fn the_end_of_what_a_killed_program_leaves_is_told() {
    if let Some(directory) = victim::directory() {
        let engine = Engine::open(directory.join("root")).unwrap();
        let image = image(&engine);
        let guard = sh(&image, "while :; do sleep 60; done").name("guard").start(&engine).unwrap();
        victim::tell(guard.id());
        victim::wait();
    }
    let directory = Directory::new();
    let mut victim = Victim::start("the_end_of_what_a_killed_program_leaves_is_told", directory.path());
    let id = victim.hear().unwrap();
    let reaper = victim.reaper().unwrap();
    victim.kill();
    assert!(victim::ends(reaper));
    let engine = Engine::open(directory.path().join("root")).unwrap();
    let events = engine.events().since(Timestamp::UNIX_EPOCH).until(Timestamp::now()).read().unwrap();
    let told: Vec<Event> = events.filter(|event| event.id.as_str() == id).collect();
    let all = [Action::Create, Action::Start, Action::Die, Action::Destroy];
    assert_eq!(actions(told.clone()), all.map(|action| ("guard".to_owned(), action)));
    assert_eq!(told[2].attributes["exitCode"], "137");
    assert!(told.iter().all(|event| event.image == told[0].image));
}
