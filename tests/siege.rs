//! Random traitors on a random network, healed in the end: correct replicas agree, and everything submitted is executed. (I1–I20)
//!
//! A seed gives the same run for ever: `SIEGE_SEED=17` runs that one alone, `SIEGE_SEEDS=1000..2000` a range, with progress under `--nocapture`; with `SIEGE_TRACE=1`
//! the trace is printed when it fails.

mod support;

use logothete::{Limits, Tuning};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;
use support::gang::Gang;
use support::prng::Prng;
use support::storm::Storm;
use support::{Net, Slowness, builder, client_key};

/// In dev profile this is about half a minute of CPU time.
const SEEDS: std::ops::Range<u64> = 0..16;
const CLIENTS: usize = 3;
/// Virtual time within which everything is executed after healing. The timeouts have doubled by then.
const HEALED: Duration = Duration::from_secs(1200);

fn pick<T: Copy>(dice: &mut Prng, among: &[T]) -> T {
    among[dice.between(0, among.len() as u64 - 1) as usize]
}

fn besiege(seed: u64) -> u64 {
    let n = 4 + (seed % 4) as usize;
    // The last client is the traitors' own.
    let mut dice = Prng::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let requests = pick(&mut dice, &[1, 3, 1000]);
    // Snapshots of a few dozen requests have several parts.
    let limits = Limits { batch_requests_max: requests, operation_bytes_max: 64, batch_bytes_max: 392, ..Limits::default() };
    let interval = dice.between(2, 8);
    let window = interval * dice.between(2, 4);
    let pipeline = pick(&mut dice, &[1, 2, 4, 16]).min(window);
    let builder = builder(n, CLIENTS + 1).checkpoint_interval(interval).log_window(window).pipeline(pipeline).limits(limits);
    let cluster = builder.build().expect("a valid cluster");
    // Short timeouts: most runs pass through many views.
    let timeout = Duration::from_millis(pick(&mut dice, &[40, 100, 300, 800]));
    let tuning = Tuning { backoff_max: 4, retention: dice.between(0, window), ..Tuning::from_timeout(timeout) };
    let mut net = Net::tuned(cluster, seed, tuning);
    net.retry = Duration::from_millis(pick(&mut dice, &[50, 500, 3000]));
    if std::env::var("SIEGE_TRACE").is_ok() {
        net.trace = Some(String::new());
    }
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(&mut net, n, seed, &mut dice))) {
        if let Some(trace) = &net.trace {
            println!("{trace}");
        }
        resume_unwind(panic);
    }
    net.hosts.iter().map(|host| host.crashes).sum()
}

fn run(net: &mut Net, n: usize, seed: u64, dice: &mut Prng) {
    let f = net.cluster.fault_threshold() as usize;
    // The others of the f lose their logs, one after the other.
    let most = if dice.percent(60) { f } else { dice.between(0, f as u64) as usize };
    let mut traitors = BTreeSet::new();
    if most > 0 && dice.percent(50) {
        // The first primary.
        traitors.insert(0);
    }
    while traitors.len() < most {
        traitors.insert(dice.between(0, n as u64 - 1) as usize);
    }
    let members: Vec<usize> = traitors.into_iter().collect();
    if !members.is_empty() {
        let gang = Gang::new(seed, n, net.cluster.quorum() as usize, &members, CLIENTS);
        for member in &members {
            let (gang, member) = (gang.clone(), *member);
            net.twists.insert(member, Box::new(move |envelope, forge| gang.borrow_mut().act(member, envelope, forge)));
        }
        net.tap = Some(gang);
    }
    let loyal = net.loyal();
    let rest = pick(dice, &[10_000, 300_000, 2_000_000]);
    let mut storm = Storm::new(pick(dice, &[0, 10, 30, 60]), f - members.len(), rest);
    let mut submitted = 0_usize;
    let mut submit = |net: &mut Net, dice: &mut Prng| {
        let client = dice.between(0, CLIENTS as u64 - 1) as usize;
        let to = dice.between(0, n as u64 - 1) as usize;
        net.submit_to(client, &(submitted as u32).to_le_bytes(), &[to]);
        submitted += 1;
    };
    for _ in 0..dice.between(2, 8) {
        net.loss = if dice.percent(60) { dice.between(0, 30) } else { 0 };
        net.duplication = if dice.percent(40) { dice.between(0, 40) } else { 0 };
        net.delay = (100, if dice.percent(30) { dice.between(2_000, 2_500_000) } else { 5_000 });
        let mut slowness = || if dice.percent(50) { (0, 0) } else { (0, pick(dice, &[2_000, 20_000, 400_000])) };
        net.slow = Slowness { disk: slowness(), service: slowness() };
        net.cut.clear();
        net.down.clear();
        let cuts = if dice.percent(50) { dice.between(5, 60) } else { 0 };
        for from in 0..n {
            for to in 0..n {
                if dice.percent(cuts) {
                    net.cut.insert((from, to));
                }
            }
        }
        if dice.percent(30) {
            net.down.insert(dice.between(0, n as u64 - 1) as usize);
        }
        for _ in 0..dice.between(0, 24) {
            submit(net, dice);
            net.run_for(Duration::from_millis(dice.between(0, 100)));
            storm.blow(net, dice);
        }
        // Or as long as it takes to lose patience several times.
        if dice.percent(40) {
            net.run_for(Duration::from_millis(dice.between(0, 4000)));
        }
    }
    (net.loss, net.duplication, net.delay) = (0, 0, (100, 1_000));
    net.slow = Slowness::default();
    net.cut.clear();
    net.down.clear();
    storm.end(net, dice);
    submit(net, dice);
    let theirs = client_key(CLIENTS).verifying_key().to_bytes();
    net.run_until(HEALED, "everything submitted is executed by all loyal replicas, and all take part", |net| {
        loyal.iter().all(|index| {
            let executed = net.hosts[*index].executed();
            let status = net.hosts[*index].replica.status();
            let takes_part = !status.rejoining && status.diverged.is_none();
            takes_part
                && executed.len() >= submitted
                && executed.iter().filter(|done| *done.client.as_bytes() != theirs).count() == submitted
        })
    });
    net.oracle.check();
    net.oracle.claims.check(net.cluster.quorum() as usize - members.len());
}

fn seeds() -> Vec<u64> {
    let number = |text: &str| text.trim().parse::<u64>().expect("a number");
    if let Ok(one) = std::env::var("SIEGE_SEED") {
        return vec![number(&one)];
    }
    match std::env::var("SIEGE_SEEDS") {
        Ok(range) => {
            let (from, to) = range.split_once("..").expect("SIEGE_SEEDS=from..to");
            (number(from)..number(to)).collect()
        }
        Err(_) => SEEDS.collect(),
    }
}

#[test]
fn i20_a_besieged_cluster_agrees_and_everything_is_executed_after_healing() {
    let mut failed = Vec::new();
    let mut crashes = 0;
    let is_long = std::env::var_os("SIEGE_SEEDS").is_some();
    for seed in seeds() {
        if is_long && seed % 10 == 0 {
            println!("at seed {seed}, {crashes} crashes, {} failed", failed.len());
        }
        match catch_unwind(|| besiege(seed)) {
            Ok(count) => crashes += count,
            Err(panic) => {
                let reason =
                    panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                println!("SIEGE_SEED={seed}: {}", reason.unwrap_or_default());
                failed.push(seed);
            }
        }
    }
    println!("{crashes} crashes");
    assert!(failed.is_empty(), "failed; run each with SIEGE_SEED=: {failed:?}");
}
