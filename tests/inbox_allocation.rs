//! An inbox takes what waits in it, and nothing for what has gone. (SPEC 3.7, I18)

#[path = "support/heap.rs"]
mod heap;

use logothete::sim::builder;
use logothete::sim::forge::Forge;
use logothete::{Cluster, Inbox, PeerLink, Time, Tuning, Unverified};
use std::sync::Arc;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

const INTERVAL: Duration = Duration::from_millis(100);
const MOST: usize = 4 * 1024 * 1024;

struct Bench {
    cluster: Arc<Cluster>,
    /// A part of a snapshot without content: nothing shorter decodes, and nobody need have signed it.
    tiny: Vec<u8>,
    inbox: Inbox,
    began: isize,
}

impl Bench {
    fn new() -> Self {
        let cluster = Arc::new(builder(4, 1).build().expect("a valid cluster"));
        let tiny = Forge::new(cluster.clone()).chunk(b"");
        let inbox = Inbox::new(&Tuning { status_interval: INTERVAL, inbox_bytes_max: MOST as u64, ..Tuning::default() });
        Self { cluster, tiny, inbox, began: heap::held() }
    }

    fn unverified(&self, link: u64) -> Unverified {
        Unverified::decode(PeerLink(link), &self.tiny, self.cluster.limits()).expect("decodes")
    }

    /// As many as there is room for.
    fn flood(&mut self, link: u64) {
        for _ in 0..MOST / self.unverified(link).size() {
            let tiny = self.unverified(link);
            self.inbox.push(tiny);
        }
    }

    fn held(&self) -> isize {
        heap::held() - self.began
    }
}

#[test]
fn i18_an_inbox_lets_go_of_what_floods_took_one_after_the_other() {
    let mut bench = Bench::new();
    for link in 0..50 {
        bench.flood(link);
        assert!(bench.held() <= 4 * MOST as isize, "{} for {} bytes that wait", bench.held(), bench.inbox.bytes());
        while !bench.inbox.is_empty() {
            bench.inbox.take(Time::default().after(INTERVAL));
        }
    }
    assert!(bench.held() < 200_000, "{} bytes for nothing that waits", bench.held());
}

#[test]
fn i18_floods_over_many_connections_before_a_turn_take_no_more_than_one() {
    let mut bench = Bench::new();
    for link in 0..50 {
        bench.flood(link);
        assert!(bench.held() <= 4 * MOST as isize, "{} after {link} floods, for {} bytes that wait", bench.held(), bench.inbox.bytes());
    }
}

#[test]
fn i18_an_inbox_forgets_connections_of_which_nothing_waits_and_nothing_counts() {
    let mut bench = Bench::new();
    for link in 0..4000 {
        let tiny = bench.unverified(link);
        bench.inbox.push(tiny);
    }
    for interval in 1..=3 {
        bench.inbox.take(Time::default().after(INTERVAL * interval));
    }
    assert!(bench.held() < 10_000, "{} bytes for connections that are silent", bench.held());
}

#[test]
fn i18_a_connection_that_is_remembered_takes_no_room_for_what_has_gone() {
    let mut bench = Bench::new();
    bench.inbox.refused(PeerLink(1), Time::default());
    bench.flood(1);
    while !bench.inbox.is_empty() {
        bench.inbox.take(Time::default());
    }
    assert!(bench.held() < 10_000, "{} bytes for a connection that lied and is silent", bench.held());
}
