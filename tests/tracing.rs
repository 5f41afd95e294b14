//! What a node tells to `tracing`, and that nothing comes of it.

mod support;

use logothete::sim::client_key;
use logothete::sim::forge::Forge;
use logothete::{Bytes, ClientInput, Event, PeerLink, ReplicaId, RequestNumber};
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::world::{Trouble, World};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, Subscriber};

/// What was told: level, fields, and the text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    level: Level,
    fields: Vec<(&'static str, u64)>,
    text: String,
}

impl Told {
    fn has(&self, field: &'static str, value: u64) -> bool {
        self.fields.contains(&(field, value))
    }
}

impl Visit for Told {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push((field.name(), value));
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        assert_eq!(field.name(), "message");
        write!(self.text, "{value:?}").expect("written");
    }
}

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Told>>>);

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "logothete"
    }
    fn event(&self, event: &tracing::Event<'_>) {
        let mut told = Told { level: *event.metadata().level(), fields: Vec::new(), text: String::new() };
        event.record(&mut told);
        self.0.lock().expect("not poisoned").push(told);
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        panic!("the library opens no span");
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn collect<T>(run: impl FnOnce() -> T) -> (T, Vec<Told>) {
    let collector = Collector::default();
    let result = tracing::subscriber::with_default(collector.clone(), run);
    let told = collector.0.lock().expect("not poisoned").clone();
    (result, told)
}

fn submit(world: &mut World, operation: &[u8]) {
    world.client_step(ClientInput::Submit(Bytes::from(operation)));
    world.settle();
}

/// Decisions, a primary that is gone, a replica that comes late.
fn life() -> World {
    let mut world = World::new(4);
    submit(&mut world, b"one");
    world.kill(0);
    submit(&mut world, b"two");
    for _ in 0..40 {
        world.pass(Duration::from_millis(500));
    }
    world
}

#[test]
fn tracing_is_told_each_event_of_each_replica_when_it_happens() {
    let (mut world, told) = collect(life);
    assert_eq!(world.completions.len(), 2);
    for index in 1..4 {
        let events = world.nodes[index].as_mut().expect("it runs").events();
        assert!(events.iter().any(|event| matches!(event, Event::EnteredView { .. })), "{events:?}");
        let of_it: Vec<_> = told.iter().filter(|told| told.has("replica", index as u64)).collect();
        let texts: Vec<_> = of_it.iter().map(|told| told.text.clone()).collect();
        assert_eq!(texts, events.iter().map(ToString::to_string).collect::<Vec<_>>(), "R{index}: all of them, in order, and nothing else");
        for (told, event) in of_it.iter().zip(&events) {
            match event {
                Event::Decided { sequence_number, .. } => {
                    assert!(told.level == Level::DEBUG && told.has("sequence_number", sequence_number.get()), "{told:?}");
                }
                Event::EnteredView { view, base } => {
                    assert!(
                        told.level == Level::INFO && told.has("view", view.get()) && told.has("sequence_number", base.get()),
                        "{told:?}"
                    );
                }
                Event::Wished { view, .. } | Event::LeftView { view } => {
                    assert!(told.level == Level::INFO && told.has("view", view.get()), "{told:?}");
                }
                other => panic!("not in such a life: {other}"),
            }
        }
    }
}

#[test]
fn tracing_changes_nothing() {
    let (with, told) = collect(life);
    let without = life();
    assert!(!told.is_empty());
    for index in 0..4 {
        assert_eq!(with.disks[index].log(), without.disks[index].log(), "R{index}'s log");
    }
    assert_eq!(with.now, without.now);
}

#[test]
fn tracing_is_told_what_others_can_cause_at_the_lowest_level() {
    let ((), told) = collect(|| {
        let mut world = World::new(4);
        submit(&mut world, b"one");
        let now = world.now;
        let node = world.nodes[2].as_mut().expect("it runs");
        assert!(node.receive(PeerLink(77), b"no message").is_err());
        let forge = Forge::new(world.cluster.clone());
        let mut bytes = forge.request_message(&forge.request(&client_key(0), RequestNumber::new(2), b"two"));
        *bytes.last_mut().expect("a signature") ^= 1;
        node.receive(PeerLink(77), &bytes).expect("a message");
        node.run(now).expect("it goes on");
    });
    let strange: Vec<_> = told.iter().filter(|told| told.has("link", 77) && told.has("replica", 2)).collect();
    assert_eq!(strange.len(), 2, "{told:?}");
    assert!(strange[0].text.starts_with("not a message: ") && strange[1].text.starts_with("refused: "), "{strange:?}");
    assert!(told.iter().all(|told| told.level == Level::DEBUG), "{told:?}");
}

#[test]
fn tracing_is_told_what_stops_a_node_once() {
    let (world, told) = collect(|| {
        let mut world = World::new(4);
        world.troubles[3].set(Trouble::Sync);
        submit(&mut world, b"one");
        let now = world.now;
        assert!(world.nodes[3].as_mut().is_some_and(|node| node.run(now).is_err()), "it stays silent");
        world
    });
    assert!(!world.failures.is_empty());
    let errors: Vec<_> = told.iter().filter(|told| told.level == Level::ERROR).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].has("replica", 3) && errors[0].text == "the log failed; this node is silent", "{errors:?}");
}

#[test]
fn tracing_is_told_alarms_as_errors() {
    let (_, told) = collect(|| {
        Event::Halted { reason: "of its own" }.trace(ReplicaId::new(5));
        Event::Impersonated { replica: ReplicaId::new(5) }.trace(ReplicaId::new(5));
    });
    assert!(told.len() == 2 && told.iter().all(|told| told.level == Level::ERROR && told.has("replica", 5)), "{told:?}");
    assert_eq!(told[0].text, "HALTED: of its own");
}
