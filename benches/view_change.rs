//! A view change with a full window: the primary falls silent when the log is as far above the last stable checkpoint as it may be. CPU time of all replicas in one
//! process, from the moment when their patience ends to the moment when all are in the next view, and what they send for it.
//!
//! `cargo bench --bench view_change` prints a table; `-- 31 512` runs one case: replicas, window.

#[path = "support/ring.rs"]
#[allow(dead_code, reason = "other benches use more of it")]
mod ring;
mod support;

use logothete::{Limits, MessageKind};
use ring::Ring;
use std::time::Duration;
use support::{Scheme, builder, cpu_time};

const CLIENTS: usize = 16;
/// The ring's replicas have this much patience.
const PATIENCE: Duration = Duration::from_secs(3600);

fn run(replicas: usize, window: u64, scheme: Scheme) {
    let limits = Limits { batch_requests_max: 1, operation_bytes_max: 64, ..Limits::default() };
    let builder =
        builder(replicas, CLIENTS, scheme).limits(limits).checkpoint_interval(window / 4).log_window(window).pipeline(16.min(window));
    let mut ring = Ring::new(builder, scheme, CLIENTS);
    ring.no_checkpoints = true;
    // But for one position: where there is no room, no primary is to blame.
    let filled = window - 1;
    for index in 0..filled as usize {
        let request = ring.request(index % CLIENTS, b"x");
        ring.post(0, request);
        if index % CLIENTS == CLIENTS - 1 {
            ring.settle();
        }
    }
    ring.settle();
    let decided = |ring: &Ring, member: usize| ring.members[member].replica.status().decided.get();
    assert!((1..replicas).all(|member| decided(&ring, member) == filled), "the window is full");

    ring.silent = Some(0);
    let request = ring.request(0, b"y");
    (1..replicas).for_each(|member| ring.post(member, request.clone()));
    ring.settle();
    ring.by_kind.clear();
    ring.now = ring.now.after(PATIENCE);
    let begin = cpu_time();
    ring.settle();
    let spent = cpu_time().saturating_sub(begin);
    let entered = |member: usize| {
        let status = ring.members[member].replica.status();
        status.view.get() == 1 && status.normal
    };
    assert!((1..replicas).all(entered), "all are in view 1");
    let of = |kind| ring.by_kind.get(&kind).copied().unwrap_or_default();
    let (view_changes, of_view_changes, longest_view_change) = of(MessageKind::ViewChange);
    let (new_views, _, longest_new_view) = of(MessageKind::NewView);
    let all: u64 = ring.by_kind.values().map(|(_, bytes, _)| bytes).sum();
    println!(
        "{replicas:>4} {window:>7} {:>8} {:>12.1} {longest_view_change:>12} {view_changes:>7} {longest_new_view:>9} {new_views:>5} {:>14} {:>16.0}",
        format!("{scheme:?}"),
        spent.as_secs_f64() * 1e3,
        of_view_changes,
        all as f64 / (replicas - 1) as f64,
    );
    if std::env::args().count() > 2 {
        ring.by_kind
            .iter()
            .for_each(|(kind, (count, bytes, longest))| println!("{count:>8} {kind:?}, {bytes} bytes, the longest {longest}"));
    }
    assert!(longest_new_view <= 16 * 1024, "a new view is longer than it should be");
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    println!("   n  window   scheme  CPU ms, all  view change       × new view     ×   their bytes  bytes a replica");
    if let [replicas, window] = &words[..] {
        return run(replicas.parse().expect("replicas"), window.parse().expect("a window"), Scheme::Ed25519);
    }
    for (replicas, window) in [(4, 32), (4, 512), (31, 32), (31, 512), (100, 32)] {
        run(replicas, window, Scheme::Hash);
        run(replicas, window, Scheme::Ed25519);
    }
    // Filled with stubbed signatures, or it would take minutes.
    run(100, 512, Scheme::Hash);
}
