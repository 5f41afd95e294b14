//! A replica in a flood of messages that all verify: no buffer exceeds its limit, and the heap not what SPEC 6 says. And memory and log are flat
//! while everything is as it should be. (I18)
//!
//! `FLOOD=1000000 cargo test --release --test flood -- --nocapture` drives a million messages, and a million operations, with progress.

#[path = "flood/arsenal.rs"]
mod arsenal;
#[path = "flood/formula.rs"]
mod formula;
#[path = "support/heap.rs"]
mod heap;
#[path = "flood/stage.rs"]
mod stage;
#[path = "flood/steady.rs"]
mod steady;
mod support;

use arsenal::Arsenal;
use stage::Stage;
use std::collections::BTreeMap;
use steady::{Sizes, Steady};

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

/// How much is asked for, or else so much.
fn volume(default: u64) -> u64 {
    std::env::var("FLOOD").map_or(default, |text| text.trim().parse().expect("FLOOD is a number"))
}

/// The stage's own memory, most of it old certificates; proofs, view changes and the like; empty tables.
const UNCOUNTED: isize = 200_000;

#[test]
fn i18_a_flood_of_valid_messages_stays_within_every_bound() {
    let messages = volume(20_000);
    let mut stage = Stage::new(1);
    let mut arsenal = Arsenal::new(&stage);
    let mut most: BTreeMap<&str, u64> = BTreeMap::new();
    let mut heap = 0;
    for index in 0..messages {
        // The correct ones go on meanwhile, through views of all four. R1 falls behind, has to wait for a view, lags in it, and catches up.
        match index % 1000 {
            0 if index > 0 => stage.leave(),
            200 if index > 1000 => stage.enter(),
            600 => stage.catch_up(),
            940 => stage.lag(),
            phase if !stage.lags() && phase % 20 == 0 => stage.decide(),
            _ => {}
        }
        let bytes = arsenal.message(&mut stage);
        stage.attack(&bytes);
        if index % 50 == 0 {
            let usage = stage.solo.replica.status().usage;
            stage.formula.check(&usage);
            for (name, part) in usage.entries() {
                let peak = most.entry(name).or_default();
                *peak = part.bytes.max(*peak);
            }
            drop(bytes);
            let held = stage.held();
            heap = heap.max(held);
            assert!(held <= stage.formula.heap() as isize, "{held} bytes are held: {usage}");
            // Tighter: what is counted is a third of what is held, but for the stage itself and a little that has no count.
            let counted: u64 = usage.entries().map(|(_, part)| part.bytes).sum();
            assert!(held <= 3 * counted as isize + UNCOUNTED, "{held} bytes are held, {counted} counted: {usage}");
        }
        if messages > 100_000 && index % (messages / 20) == 0 {
            println!("{index}: {} bytes held, {}", stage.held(), stage.solo.replica.status().usage);
        }
    }
    let status = stage.solo.replica.status();
    let per_byte = stage.answered as f64 / stage.received as f64;
    println!("{messages} messages of {:?}", arsenal.kinds);
    println!("{} bytes received, {per_byte:.2} answered for each; view {}, decided {}", stage.received, status.view, status.decided);
    println!("heap {heap}, with one input under way {}, of {} bytes; in use at most {most:?}", stage.peak, stage.formula.heap());
    // One claim of a lost log moves the view once in an interval, whatever the nonce.
    let intervals = (stage.solo.now.0 - stage.started) / stage.tuning.rejoin_interval.as_micros() as u64;
    assert!(stage.helped <= intervals + 1, "{} times in {intervals} intervals", stage.helped);
    // And it takes part as if nothing had been.
    stage.catch_up();
    while stage.in_view % 4 != 2 {
        stage.leave();
        stage.enter();
    }
    stage.stabilize();
    (0..20).for_each(|_| stage.decide_with_r1());
}

/// Runs until so many operations are executed everywhere, of each client `each` in a round, and compares the first tenth with the rest.
fn stays_flat(replicas: usize, operations: u64, clients: usize, each: u64) {
    let mut steady = Steady::new(replicas);
    let (mut first, mut rest, mut round) = (Sizes::default(), Sizes::default(), 0);
    while steady.done().0 < operations {
        steady.round(clients, each);
        round += 1;
        let sizes = steady.sizes();
        // The first tenth is there to fill what fills up.
        if steady.done().0 <= operations / 10 {
            first = first.most(sizes);
        } else {
            rest = rest.most(sizes);
        }
        if operations > 100_000 && round % 500 == 0 {
            println!("{:?}: {sizes:?}", steady.done());
        }
    }
    let (done, batches) = steady.done();
    println!("{replicas} replicas: {done} operations in {batches} batches");
    println!("at most {first:?} in the first tenth, {rest:?} after it");
    // What is left of the noise: where in an interval a sample falls, and how full the nodes of maps are.
    assert!(rest.heap <= first.heap + first.heap / 20, "{rest:?} after {first:?}");
    assert!(rest.log <= first.log + first.log / 20 && rest.records <= first.records + 8, "{rest:?} after {first:?}");
    assert!(rest.files <= first.files, "{rest:?} after {first:?}");
}

#[test]
fn i18_memory_and_log_are_flat_while_all_is_well() {
    match volume(0) {
        0 => {
            // One operation to a batch.
            stays_flat(1, 10_000, 1, 1);
            stays_flat(4, 2000, 1, 1);
        }
        operations => stays_flat(4, operations, 10, 10),
    }
}
