//! C1–C4 against traitors and bad luck: states that are fetched from liars, that move on meanwhile, or that nobody shares.

mod support;

use logothete::sim::forge::Forge;
use logothete::{AppError, Bytes, Decision, Envelope, Event, Limits, MessageKind, Recipients, SequenceNumber, Service, Start, Tuning};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use support::{Net, Slowness, builder};

const ALL: [usize; 4] = [0, 1, 2, 3];
const LONG: Duration = Duration::from_secs(300);
const T: Duration = Duration::from_millis(200);
/// Bytes of one part of a snapshot.
const PART: u32 = 392;

/// Checkpoints every `interval` batches, and nothing kept for those who lag: they have to fetch the state, in small parts.
fn net(replicas: usize, seed: u64, interval: u64) -> Net {
    net_of(replicas, seed, interval, 2 * interval, 2)
}

fn net_of(replicas: usize, seed: u64, interval: u64, window: u64, pipeline: u64) -> Net {
    let limits = Limits { batch_requests_max: 2, operation_bytes_max: 64, batch_bytes_max: PART, ..Limits::default() };
    let builder = builder(replicas, 4).checkpoint_interval(interval).log_window(window).pipeline(pipeline).limits(limits);
    let cluster = builder.build().expect("a valid cluster");
    Net::tuned(cluster, seed, Tuning { retention: 0, ..Tuning::from_timeout(T) })
}

/// Operations of 64 bytes: with its client and number each takes 108 in the state.
fn orders(net: &mut Net, count: u32, replicas: &[usize]) {
    for order in 0..count {
        let mut operation = [0; 64];
        operation[..4].copy_from_slice(&order.to_le_bytes());
        net.submit_to(order as usize % 4, &operation, replicas);
        net.run_for(Duration::from_millis(3));
    }
}

fn events(net: &Net, at: usize, pick: impl Fn(&Event) -> bool) -> usize {
    net.count_events(at, pick)
}

fn installs(net: &Net, at: usize) -> usize {
    events(net, at, |event| matches!(event, Event::StateInstalled { .. }))
}

fn chunks_sent(net: &Net) -> u64 {
    net.sent_kinds.get(&MessageKind::Chunk).map_or(0, |(count, _)| *count)
}

/// Parts in the snapshot that the others have.
fn parts(net: &Net, at: usize) -> u64 {
    net.hosts[at].disk.with(|content| content.files.keys().filter(|name| name.starts_with("part-")).count() as u64)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// A manifest of other parts.
    Manifest,
    /// Parts that are no parts.
    Chunk,
    /// Parts of other snapshots, or other parts of this one.
    Other,
    Silence,
    /// The truth, but each answer takes a minute.
    Drip,
    /// The first question is answered, and no other.
    Stops,
}

/// What a traitor makes of the answers to questions for a state; all else it does as it should.
fn lie(net: &mut Net, at: usize, lie: Lie) {
    let mut before: Vec<Vec<u8>> = Vec::new();
    let mut answers = 0;
    let twist = move |envelope: &Envelope, forge: &Forge| -> Vec<(Recipients, Vec<u8>)> {
        let bytes = envelope.encode().to_vec();
        let kind = envelope.kind();
        if !matches!(kind, MessageKind::Manifest | MessageKind::Chunk) {
            return vec![(envelope.to(), bytes)];
        }
        answers += 1;
        let other = match lie {
            Lie::Manifest if kind == MessageKind::Manifest => {
                let digest = forge.genesis();
                Some(forge.manifest_message(&forge.manifest((SequenceNumber::new(8), digest), &[digest], &[digest; 3])))
            }
            Lie::Chunk if kind == MessageKind::Chunk => Some(forge.chunk(&[7; PART as usize])),
            Lie::Other if kind == MessageKind::Chunk => before.first().cloned(),
            Lie::Silence => return Vec::new(),
            Lie::Stops if answers > 2 => return Vec::new(),
            _ => None,
        };
        if kind == MessageKind::Chunk {
            before.push(bytes.clone());
        }
        vec![(envelope.to(), other.unwrap_or(bytes))]
    };
    net.twists.insert(at, Box::new(twist));
    if lie == Lie::Drip {
        net.lag.insert(at, 60_000_000);
    }
}

#[test]
fn c3_liars_and_sluggards_only_delay_a_transfer() {
    for what in [Lie::Manifest, Lie::Chunk, Lie::Other, Lie::Silence, Lie::Drip, Lie::Stops] {
        // R1 comes right after the fetcher in its list; R0 is everybody's primary.
        for traitor in [0, 1] {
            let mut net = net(4, 1, 4);
            orders(&mut net, 8, &ALL);
            net.crash(3);
            orders(&mut net, 150, &ALL);
            net.settle(LONG, &[0, 1, 2]);
            net.run_for(Duration::from_secs(1));
            lie(&mut net, traitor, what);
            let before = net.now;
            net.restart(3, Start::Recovering).expect("recovers");
            net.settle(LONG, &[2, 3]);
            assert!(installs(&net, 3) >= 1, "{what:?}");
            let took = net.now.since(before);
            assert!(took < Duration::from_secs(20), "{what:?} by R{traitor}: {took:?}");
        }
    }
}

#[test]
fn c3_as_many_liars_as_there_can_be_only_delay_a_transfer() {
    for (seed, lies) in [(1, [Lie::Silence, Lie::Chunk]), (2, [Lie::Other, Lie::Manifest]), (3, [Lie::Drip, Lie::Stops])] {
        let mut net = net(7, seed, 4);
        orders(&mut net, 8, &[0, 1]);
        net.crash(6);
        orders(&mut net, 150, &[0, 1]);
        net.settle(LONG, &[0, 1, 2, 3, 4, 5]);
        net.run_for(Duration::from_secs(1));
        lie(&mut net, 4, lies[0]);
        lie(&mut net, 5, lies[1]);
        net.restart(6, Start::Recovering).expect("recovers");
        net.settle(LONG, &[0, 1, 2, 3, 6]);
        assert!(installs(&net, 6) >= 1, "{lies:?}");
    }
}

#[test]
fn c3_a_state_that_moves_on_is_caught_up_with() {
    for seed in 0..2 {
        let mut net = net(4, seed, 8);
        orders(&mut net, 8, &ALL);
        net.crash(3);
        orders(&mut net, 300, &ALL);
        net.settle(LONG, &[0, 1, 2]);
        // What the others say takes its time to get here: a transfer lasts longer than a snapshot.
        net.delay = (5_000, 8_000);
        net.restart(3, Start::Recovering).expect("recovers");
        let mut others = 0;
        for round in 0..400 {
            orders(&mut net, 4, &ALL);
            others = net.hosts[0].replica.status().stable.get();
            let status = net.hosts[3].replica.status();
            if round > 20 && status.transfer.is_none() && status.executed.get() + 16 >= others {
                break;
            }
        }
        let status = net.hosts[3].replica.status();
        assert!(status.executed.get() + 16 >= others, "seed {seed}: others at {others}, {}", net.describe());
        net.settle(LONG, &ALL);
    }
}

/// Counts requests, and its state is long: all of it is another with each.
struct Restless(u64);

impl Service for Restless {
    fn execute(&mut self, decision: &Decision) -> Vec<Bytes> {
        let results: Vec<Bytes> = decision.requests().map(|_| Bytes::default()).collect();
        self.0 += results.len() as u64;
        results
    }
    fn snapshot(&self) -> Vec<u8> {
        let words = (0..u64::from(PART / 8) * 100).map(|word| if word % 2 == 0 { self.0 } else { word });
        words.flat_map(u64::to_le_bytes).collect()
    }
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), AppError> {
        self.0 = snapshot.first_chunk().map(|first| u64::from_le_bytes(*first)).ok_or("too short")?;
        Ok(())
    }
}

#[test]
fn c2_a_state_that_is_all_new_at_each_checkpoint_is_caught_up_with_under_load() {
    for seed in 0..3 {
        let limits = Limits { batch_requests_max: 2, operation_bytes_max: 64, batch_bytes_max: PART, ..Limits::default() };
        let cluster = builder(4, 4).checkpoint_interval(4).log_window(128).pipeline(4).limits(limits).build().expect("a valid cluster");
        let tuning = Tuning { retention: 0, ..Tuning::from_timeout(T) };
        let mut net = Net::serving(cluster, seed, tuning, || Box::new(Restless(0)));
        orders(&mut net, 8, &ALL);
        net.crash(3);
        orders(&mut net, 400, &ALL);
        net.settle(LONG, &[0, 1, 2]);
        net.restart(3, Start::Recovering).expect("recovers");
        let mut rounds = 0;
        loop {
            orders(&mut net, 4, &ALL);
            let (others, status) = (net.hosts[0].replica.status().stable.get(), net.hosts[3].replica.status());
            if rounds > 20 && status.transfer.is_none() && status.executed.get() + 16 >= others {
                break;
            }
            rounds += 1;
            assert!(rounds < 400, "seed {seed}: others at {others}, {}", net.describe());
        }
        net.settle(LONG, &ALL);
        // It is out of reach, whether anybody reads it or not.
        orders(&mut net, 600, &ALL);
        net.settle(LONG, &ALL);
        let kept = |at: usize| net.hosts[at].disk.with(|disk| disk.files.keys().filter(|name| name.starts_with("snapshot-")).count());
        assert!(ALL.into_iter().all(|at| kept(at) <= 3), "seed {seed}: {:?}", ALL.map(kept));
    }
}

/// What it asks takes longer to the others than these are patient, and than a checkpoint interval: they hear no question in between.
#[test]
fn c2_a_state_is_caught_up_with_over_a_slow_link() {
    let limits = Limits { batch_requests_max: 2, operation_bytes_max: 64, batch_bytes_max: PART, ..Limits::default() };
    let cluster = builder(4, 4).checkpoint_interval(8).log_window(512).pipeline(4).limits(limits).build().expect("a valid cluster");
    let tuning = Tuning { retention: 8, fetch_interval: 2 * T, ..Tuning::from_timeout(T) };
    let mut net = Net::serving(cluster, 1, tuning, || Box::new(Restless(0)));
    orders(&mut net, 8, &ALL);
    net.crash(3);
    orders(&mut net, 200, &ALL);
    net.settle(LONG, &[0, 1, 2]);
    net.lag.insert(3, 1_500_000);
    net.restart(3, Start::Recovering).expect("recovers");
    for round in 0.. {
        orders(&mut net, 1, &ALL);
        net.run_for(T);
        let (others, status) = (net.hosts[0].replica.status().stable.get(), net.hosts[3].replica.status());
        if round > 20 && status.transfer.is_none() && status.executed.get() + 16 >= others {
            break;
        }
        assert!(round < 500, "others at {others}, {}", net.describe());
    }
    assert_eq!(installs(&net, 3), 1, "what was begun was ended, and gone on from by batches");
}

#[test]
fn c3_a_crash_in_the_middle_of_a_transfer_does_not_start_it_anew() {
    for crash_after in [1, 10, 40] {
        let mut net = net(4, 5, 4);
        orders(&mut net, 8, &ALL);
        net.crash(3);
        orders(&mut net, 150, &ALL);
        net.settle(LONG, &[0, 1, 2]);
        net.run_for(Duration::from_secs(1));
        let before = chunks_sent(&net);
        net.restart(3, Start::Recovering).expect("recovers");
        let mut crashes = 0;
        while installs(&net, 3) == 0 {
            let done = net.hosts[3].replica.status().transfer.map_or(0, |(_, done, _)| done);
            if crashes < 3 && done > (crashes + 1) * crash_after {
                net.crash(3);
                crashes += 1;
                net.run_for(Duration::from_millis(100));
                net.restart(3, Start::Recovering).expect("recovers");
            }
            let until = net.now.after(Duration::from_millis(1));
            while net.tick(until) {}
            assert!(net.now.0 < 1_000_000_000, "{}", net.describe());
        }
        net.settle(LONG, &ALL);
        let (sent, all) = (chunks_sent(&net) - before, parts(&net, 3));
        // What was on its way at a crash is asked for again: a window for each.
        assert!(crashes >= 1 && sent <= all + 8 * u64::from(crashes), "{sent} parts of {all} were sent, with {crashes} crashes");
    }
}

#[test]
fn c3_a_fetcher_never_holds_the_state() {
    let mut net = net(4, 6, 4);
    orders(&mut net, 8, &ALL);
    net.crash(3);
    orders(&mut net, 300, &ALL);
    net.settle(LONG, &[0, 1, 2]);
    net.run_for(Duration::from_secs(1));
    // A slow disk must not make parts pile up before it.
    net.slow = Slowness { disk: (0, 0), service: (5_000, 50_000) };
    net.restart(3, Start::Recovering).expect("recovers");
    let (mut fullest, mut total) = (0, 0);
    while installs(&net, 3) == 0 {
        let status = net.hosts[3].replica.status();
        fullest = fullest.max(status.usage.transfer.bytes);
        if let Some((_, done, all)) = status.transfer {
            assert!(done <= all);
            total = total.max(u64::from(all));
        }
        net.run_for(Duration::from_millis(1));
        assert!(net.now.0 < 1_000_000_000, "{}", net.describe());
    }
    // The manifest, and what is known of each part of it.
    assert!(total > 100 && fullest <= total * 48 + 8 * u64::from(PART), "{fullest} bytes for {total} parts");
    assert!(net.hosts[3].storing_max <= 8, "{} parts wait for the disk", net.hosts[3].storing_max);
}

#[test]
fn c2_checkpoint_votes_that_are_lost_are_said_again() {
    for seed in 0..6 {
        let mut net = net(4, seed, 3);
        net.mute.insert(MessageKind::Checkpoint);
        net.mute.insert(MessageKind::Stable);
        net.loss = 20;
        net.crash(3);
        orders(&mut net, 60, &ALL);
        // Some stand at n, some a checkpoint further: whoever comes back votes where the others are.
        net.restart(3, Start::Recovering).expect("recovers");
        net.crash((seed % 3) as usize);
        orders(&mut net, 20, &ALL);
        net.mute.remove(&MessageKind::Stable);
        net.restart((seed % 3) as usize, Start::Recovering).expect("recovers");
        net.settle(LONG, &ALL);
        for host in &net.hosts {
            let status = host.replica.status();
            assert!(status.stable.get() + 6 >= status.decided.get(), "{}", net.describe());
        }
    }
}

#[test]
fn c3_a_store_that_is_lost_beside_a_log_that_is_not_is_fetched() {
    for at in ALL {
        for seed in 0..3 {
            let mut net = net(4, seed, 4);
            orders(&mut net, 30 + seed as u32, &ALL);
            net.crash(at);
            net.hosts[at].disk.with(|content| content.files.clear());
            net.restart(at, Start::Recovering).expect("recovers");
            orders(&mut net, 10, &ALL);
            net.settle(LONG, &ALL);
            assert!(installs(&net, at) >= 1, "{}", net.describe());
            // And it takes part again.
            let other = (at + 1) % 4;
            net.crash(other);
            let three: Vec<usize> = ALL.into_iter().filter(|index| *index != other).collect();
            orders(&mut net, 10, &three);
            net.settle(LONG, &three);
        }
    }
}

#[test]
fn c4_a_state_that_nobody_shares_is_replaced_and_its_replica_votes_again() {
    for seed in 0..6 {
        let mut net = net(4, seed, 4);
        net.hosts[2].flaw.set((1, 1));
        net.oracle.odd.insert(2);
        // In half the runs it ends and begins again as soon as it knows.
        let crashes = seed % 2 == 1;
        for _ in 0..40 {
            orders(&mut net, 1, &ALL);
            let diverged = net.hosts[2].replica.status().diverged.is_some();
            if crashes && diverged && net.hosts[2].crashes == 0 {
                net.crash(2);
                net.restart(2, Start::Recovering).expect("recovers");
                assert!(net.hosts[2].replica.status().diverged.is_some(), "C4: it has forgotten that its state is wrong");
            }
        }
        net.settle(LONG, &ALL);
        net.run_for(Duration::from_secs(2));
        assert!(events(&net, 2, |event| matches!(event, Event::Diverged { .. })) >= 1, "seed {seed}");
        assert!(installs(&net, 2) >= 1 && net.hosts[2].app.service().quirk.is_empty(), "seed {seed}: {}", net.describe());
        assert!([0, 1, 3].iter().all(|at| events(&net, *at, |event| matches!(event, Event::Diverged { .. })) == 0));
        // Without its votes nothing can be decided now.
        net.crash(1);
        orders(&mut net, 20, &[0, 2, 3]);
        net.settle(LONG, &[0, 2, 3]);
    }
}

#[test]
fn c4_a_divergence_while_the_window_moves_on_is_repaired_too() {
    // Everything late: checkpoints are stable long after more was decided, and the state that is fetched is not the latest.
    for seed in 0..8 {
        let interval = 2 + seed % 3;
        let mut net = net_of(4, seed, interval, 4 * interval, 2 * interval);
        net.slow = Slowness { disk: (0, 0), service: (0, 60_000) };
        net.hosts[2].flaw.set((1, 1 + seed % 4));
        net.oracle.odd.insert(2);
        orders(&mut net, 60, &ALL);
        net.hosts[2].flaw.set((0, 0));
        net.settle(LONG, &ALL);
        net.slow = Slowness::default();
        orders(&mut net, 20, &ALL);
        net.settle(LONG, &ALL);
        net.run_for(Duration::from_secs(2));
        assert!(net.hosts[2].app.service().quirk.is_empty(), "seed {seed}: {}", net.describe());
    }
}

#[test]
fn c4_what_was_decided_above_a_replaced_state_is_decided_again() {
    // A slow service finds out late that its state is wrong: by then more is decided, and while it fetches the state the window moves on, past that.
    for seed in 0..5 {
        let mut net = net_of(4, seed, 4, 16, 8);
        net.slow_at.insert(2, Slowness { disk: (0, 0), service: (4_000, 10_000 + 10_000 * (seed % 3)) });
        net.hosts[2].flaw.set((1, 1));
        net.oracle.odd.insert(2);
        orders(&mut net, 80, &ALL);
        net.settle(LONG, &ALL);
        orders(&mut net, 40, &ALL);
        net.settle(LONG, &ALL);
        // Its last snapshot may come late.
        net.run_for(Duration::from_secs(2));
        net.settle(LONG, &ALL);
        assert!(installs(&net, 2) >= 1 && net.hosts[2].app.service().quirk.is_empty(), "seed {seed}: {}", net.describe());
    }
}

#[test]
fn c4_where_all_states_differ_everybody_stops_and_says_so_and_nobody_forks() {
    // Each its own state; or two against two.
    for (seed, flaws) in [(1, [1, 2, 3, 4]), (2, [1, 1, 2, 2])] {
        let mut net = net(4, seed, 4);
        for at in ALL {
            net.hosts[at].flaw.set((flaws[at], 1));
            net.oracle.odd.insert(at);
        }
        orders(&mut net, 60, &ALL);
        net.run_for(Duration::from_secs(30));
        for at in ALL {
            let status = net.hosts[at].replica.status();
            assert!(events(&net, at, |event| matches!(event, Event::NoAgreement { .. })) >= 1, "{}", net.describe());
            assert!(events(&net, at, |event| matches!(event, Event::WindowClosed { .. } | Event::EnteredView { .. })) <= 1 + 2);
            assert!(status.stable.get() == 0 && status.decided.get() <= 8 && !status.halted, "{}", net.describe());
            // A window that is closed for want of a checkpoint is not the primary's fault. (T1)
            assert_eq!(status.view.get(), 0, "{}", net.describe());
        }
        net.oracle.check();
    }
}

/// Counts requests; a flawed one counts a thousand too many, once.
struct Tally {
    count: u64,
    flaw: Rc<Cell<bool>>,
    is_flawed: bool,
}

impl Service for Tally {
    fn execute(&mut self, decision: &Decision) -> Vec<Bytes> {
        if self.is_flawed && self.flaw.replace(false) {
            self.count += 1000;
        }
        let mut next = || {
            self.count += 1;
            Bytes::from(&self.count.to_le_bytes()[..])
        };
        decision.requests().map(|_| next()).collect()
    }
    fn snapshot(&self) -> Vec<u8> {
        self.count.to_le_bytes().to_vec()
    }
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), AppError> {
        self.count = u64::from_le_bytes(snapshot.try_into()?);
        Ok(())
    }
}

#[test]
fn c4_results_of_a_wrong_state_are_not_signed_a_second_time() {
    let limits = Limits { batch_requests_max: 2, operation_bytes_max: 64, batch_bytes_max: PART, ..Limits::default() };
    let cluster = builder(4, 4).checkpoint_interval(4).log_window(16).pipeline(4).limits(limits).build().expect("a valid cluster");
    let (flaw, started) = (Rc::new(Cell::new(true)), Cell::new(0));
    // Everything that the replica of the flawed one says twice, the oracle compares. (I3)
    let service = move || -> Box<dyn Service> {
        started.set(started.get() + 1);
        Box::new(Tally { count: 0, flaw: flaw.clone(), is_flawed: started.get() == 3 })
    };
    let mut net = Net::serving(cluster, 4, Tuning { retention: 8, ..Tuning::from_timeout(T) }, service);
    net.oracle.odd.insert(2);
    // It is far ahead of the others' services when its state turns out to be wrong.
    let slow = Slowness { disk: (0, 0), service: (200_000, 200_000) };
    net.slow_at = [0, 1, 3].map(|at| (at, slow)).into();
    orders(&mut net, 40, &ALL);
    net.settle(LONG, &ALL);
    net.run_for(Duration::from_secs(2));
    assert!(events(&net, 2, |event| matches!(event, Event::Diverged { .. })) >= 1 && installs(&net, 2) >= 1, "{}", net.describe());
    assert!(net.hosts[2].replica.status().diverged.is_none());
}

#[test]
fn c3_neither_budgets_nor_a_peer_that_is_just_quick_enough_hold_a_transfer_up() {
    for lag in [0, 45_000] {
        let limits = Limits { batch_requests_max: 2, operation_bytes_max: 64, batch_bytes_max: PART, ..Limits::default() };
        let builder = builder(4, 4).checkpoint_interval(4).log_window(8).pipeline(2).limits(limits);
        // Each peer may send 8 parts in an interval of 25 ms.
        let tuning = Tuning { retention: 0, answer_bytes_max: PART / 2, ..Tuning::from_timeout(T) };
        let mut net = Net::tuned(builder.build().expect("a valid cluster"), 1, tuning);
        orders(&mut net, 8, &ALL);
        net.crash(3);
        orders(&mut net, 1200, &ALL);
        net.settle(LONG, &[0, 1, 2]);
        net.run_for(Duration::from_secs(1));
        net.lag.insert(1, lag);
        let before = (net.now, chunks_sent(&net));
        net.restart(3, Start::Recovering).expect("recovers");
        while installs(&net, 3) == 0 {
            net.run_for(Duration::from_millis(1));
            let took = net.now.since(before.0);
            assert!(took < Duration::from_millis(2500), "{took:?} with {lag} us: {}", net.describe());
        }
        assert!(chunks_sent(&net) - before.1 > 390);
    }
}
