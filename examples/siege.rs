//! Seeds by the thousand: a cluster beside traitors, on a network and disks that fail, healed in the end. Any invariant that breaks is printed with the command that
//! replays it and the least faults that it takes.
//!
//! `cargo run --release --features sim --example siege -- --seeds 100000`; other options: `--first N`, `--threads N`, `--ed25519`; for one run `--seed N`, with `--trace`,
//! `--picture FILE` (one HTML page that shows the run), `--dump FILE` (all that correct replicas said, and their logs, as hex) and `--without loss,cuts`.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use logothete::sim::gang::Gang;
use logothete::sim::mischief::{Mischief, Prank};
use logothete::sim::prng::Prng;
use logothete::sim::storm::Storm;
use logothete::sim::{Net, Slowness, Trait, builder, client_key};
use logothete::tape::{Tape, picture};
use logothete::{ClientTuning, Cluster, Limits, MessageKind, Tuning};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[cfg(not(target_family = "wasm"))]
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What can be left out of a schedule; the dice fall the same with and without it.
const FAULTS: [&str; 11] =
    ["loss", "duplication", "delay", "cuts", "down", "slow", "clocks", "crashes", "traitors", "primaries", "mischief"];
const OPTIONS: [&str; 9] = ["--seeds", "--first", "--threads", "--ed25519", "--seed", "--trace", "--picture", "--dump", "--without"];
const CLIENTS: usize = 3;
const DECISIONS: usize = 30;
const VIEWS: u64 = 2;
/// Virtual time within which everything is executed after healing, and messages: whoever needs more lives, but gets nothing done.
const HEALED: Duration = Duration::from_secs(1200);
const MESSAGES: usize = 400_000;
/// One in so many messages of correct replicas is read back from its bytes and verified; of traitors' all are.
const READS: u32 = 8;
/// And views: patience doubles four times, after as many views in a row as have faulty primaries at most, and what waited meanwhile may take a few more.
const FUTILE: u64 = 40;

#[derive(Default)]
struct Tally {
    decisions: u64,
    views: u64,
    messages: u64,
    crashes: u64,
    /// Schedules that had it.
    faults: BTreeMap<String, u64>,
}

type Clusters = BTreeMap<(usize, u64, u64, u64, u32), Arc<Cluster>>;

struct Siege {
    ed25519: bool,
    trace: bool,
    /// Where to draw the run.
    picture: Option<String>,
    /// Where to write what was said.
    dump: Option<String>,
    without: BTreeSet<String>,
    /// To check keys takes longer than a schedule.
    clusters: Clusters,
}

fn pick<T: Copy>(dice: &mut Prng, among: &[T]) -> T {
    among[dice.between(0, among.len() as u64 - 1) as usize]
}

fn takes_part(host: &logothete::sim::Host) -> bool {
    let standing = host.replica.standing();
    !standing.rejoining && !standing.diverged
}

/// For a reader that shares no code with this one: `tests/interop/run.py`.
fn dumped(net: &Net) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (cluster, limits) = (&net.cluster, net.cluster.limits());
    let numbers = [cluster.checkpoint_interval(), cluster.log_window(), cluster.pipeline()];
    let bounds = [limits.message_bytes_max, limits.batch_bytes_max, limits.batch_requests_max];
    let more = [limits.operation_bytes_max, limits.result_bytes_max, limits.client_window];
    let mut lines = vec![format!("numbers {numbers:?}"), format!("limits {:?}", [bounds, more].concat())];
    lines.extend(cluster.replicas().filter_map(|replica| Some(format!("replica {}", hex(cluster.replica_key(replica)?.as_bytes())))));
    lines.extend(cluster.clients().map(|client| format!("client {}", hex(client.as_bytes()))));
    lines.push(format!("identity {}", hex(cluster.id().as_bytes())));
    lines.extend(net.twists.keys().map(|traitor| format!("traitor {traitor}")));
    lines.extend(net.record.iter().flatten().map(|(from, bytes)| format!("message {from} {}", hex(bytes))));
    for at in net.loyal() {
        lines.extend(net.hosts[at].disk.log().iter().map(|(index, bytes)| format!("record {at} {index} {}", hex(bytes))));
    }
    lines.join("\n") + "\n"
}

/// Also of a run that failed: that is when it is wanted.
fn draw(net: &Net, title: &str, file: &str) {
    let tapes: Result<Vec<Tape>, _> = net.tapes().iter().map(|bytes| Tape::read(bytes)).collect();
    let page = tapes.map_err(|error| error.to_string()).and_then(|tapes| picture(title, &tapes).map_err(|error| error.to_string()));
    match page.and_then(|page| std::fs::write(file, page).map_err(|error| error.to_string())) {
        Ok(()) => println!("drawn: {file}"),
        Err(error) => println!("no picture: {error}"),
    }
}

impl Siege {
    fn has(&self, fault: &str) -> bool {
        !self.without.contains(fault)
    }

    fn cluster(&mut self, dice: &mut Prng) -> Arc<Cluster> {
        let n = pick(dice, &[4, 4, 4, 4, 4, 5, 6, 7]);
        let interval = pick(dice, &[2, 4, 8]);
        let window = interval * pick(dice, &[2, 4]);
        let pipeline = pick(dice, &[1, 4, 16]).min(window);
        let requests = pick(dice, &[1, 3]);
        self.cluster_of(n, interval, window, pipeline, requests)
    }

    fn cluster_of(&mut self, n: usize, interval: u64, window: u64, pipeline: u64, requests: u32) -> Arc<Cluster> {
        let ed25519 = self.ed25519;
        let build = || {
            // Snapshots of a few dozen requests have several parts.
            let limits = Limits { batch_requests_max: requests, operation_bytes_max: 64, batch_bytes_max: 392, ..Limits::default() };
            let builder = builder(n, CLIENTS + 1).checkpoint_interval(interval).log_window(window).pipeline(pipeline).limits(limits);
            Arc::new(if ed25519 { builder } else { builder.with_keyed_hash() }.build().expect("a valid cluster"))
        };
        self.clusters.entry((n, interval, window, pipeline, requests)).or_insert_with(build).clone()
    }

    fn run(&mut self, seed: u64) -> Result<Tally, (String, String)> {
        let mut dice = Prng::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let cluster = self.cluster(&mut dice);
        // The same members with other numbers.
        let stranger = self.cluster_of(cluster.size() as usize, 16, 32, 1, 1);
        // Short timeouts: most runs pass through many views.
        let timeout = Duration::from_millis(pick(&mut dice, &[40, 100, 300]));
        let retention = dice.between(0, cluster.log_window());
        let status_interval = timeout / pick(&mut dice, &[8, 4, 2]);
        let tuning = Tuning { backoff_max: 4, retention, status_interval, ..Tuning::from_timeout(timeout) };
        let mut net = if self.picture.is_some() { Net::taped(cluster, seed, tuning) } else { Net::tuned(cluster, seed, tuning) };
        net.retry = timeout * pick(&mut dice, &[1, 3]);
        net.glance = pick(&mut dice, &[1, 4, 32]);
        // Signatures are what a run with real ones is for.
        net.reads = if self.ed25519 { 1 } else { READS };
        net.trace = self.trace.then(String::new);
        let patience = ClientTuning { retransmit_timeout: net.retry, ..ClientTuning::default() };
        (1..CLIENTS).for_each(|client| net.enlist(client, patience.clone()));
        net.record = self.dump.as_ref().map(|_| Vec::new());
        let outcome = catch_unwind(AssertUnwindSafe(|| self.besiege(&mut net, seed, &mut dice, timeout, stranger)));
        if let Some(file) = &self.picture {
            draw(&net, &format!("siege, seed {seed}"), file);
        }
        if let Some(file) = &self.dump {
            std::fs::write(file, dumped(&net)).expect("the file can be written");
        }
        outcome.map_err(|panic| {
            let words = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            (words.unwrap_or_default(), net.trace.take().unwrap_or_default())
        })
    }

    fn betray(&self, net: &mut Net, seed: u64, dice: &mut Prng, tally: &mut Tally) -> Vec<usize> {
        let n = net.hosts.len();
        let f = net.cluster.fault_threshold() as usize;
        let most = if dice.percent(75) { f } else { dice.between(0, f as u64) as usize };
        // The first primary, or anyone.
        let mut members = BTreeSet::from_iter((most > 0 && dice.percent(50)).then_some(0));
        while members.len() < most {
            members.insert(dice.between(0, n as u64 - 1) as usize);
        }
        let members: Vec<usize> = members.into_iter().collect();
        let plot = dice.percent(40);
        let traits: Vec<Trait> = members.iter().map(|_| pick(dice, &Trait::ALL)).collect();
        if !self.has("traitors") || members.is_empty() {
            return Vec::new();
        }
        if plot {
            *tally.faults.entry("Gang".into()).or_default() += 1;
            let gang = Gang::new(seed, n, net.cluster.quorum() as usize, &members, CLIENTS);
            for member in &members {
                let (gang, member) = (gang.clone(), *member);
                net.twists.insert(member, Box::new(move |envelope, forge| gang.borrow_mut().act(member, envelope, forge)));
            }
            net.tap = Some(gang);
        } else {
            for (member, treason) in members.iter().zip(traits) {
                *tally.faults.entry(format!("{treason:?}")).or_default() += 1;
                net.betray(*member, treason);
            }
        }
        members
    }

    /// What the network and the hosts suffer from for a while.
    fn weather(&self, net: &mut Net, dice: &mut Prng, timeout: Duration, tally: &mut Tally) {
        let n = net.hosts.len();
        let loss = if dice.percent(50) { dice.between(1, 30) } else { 0 };
        let duplication = if dice.percent(30) { dice.between(1, 50) } else { 0 };
        let delay = if dice.percent(20) { dice.between(1, 10 * timeout.as_micros() as u64) } else { 0 };
        let mut slowness = || if dice.percent(60) { (0, 0) } else { (0, pick(dice, &[2_000, 20_000])) };
        let slow = Slowness { disk: slowness(), service: slowness() };
        let cuts = if dice.percent(40) { dice.between(5, 60) } else { 0 };
        let cut: BTreeSet<(usize, usize)> =
            (0..n).flat_map(|from| (0..n).map(move |to| (from, to))).filter(|_| dice.percent(cuts)).collect();
        let down = dice.percent(25).then(|| dice.between(0, n as u64 - 1) as usize);
        net.loss = if self.has("loss") { loss } else { 0 };
        net.duplication = if self.has("duplication") { duplication } else { 0 };
        net.delay = (100, if self.has("delay") { 1_000 + delay } else { 1_000 });
        net.slow = if self.has("slow") { slow } else { Slowness::default() };
        net.cut = if self.has("cuts") { cut } else { BTreeSet::new() };
        net.down = down.filter(|_| self.has("down")).into_iter().collect();
        let clock = dice.between(0, n as u64 - 1) as usize;
        let wrong = dice.percent(25);
        let (pace, jump) = (pick(dice, &[(0, 1), (1, 2), (2, 1), (1, 1)]), dice.between(0, 20) as i64 - 10);
        if wrong && self.has("clocks") {
            net.pace_clock(clock, pace);
            net.jump_clock(clock, jump * timeout.as_micros() as i64);
            *tally.faults.entry("clocks".into()).or_default() += 1;
        }
        let had = [(net.loss > 0, "loss"), (net.duplication > 0, "duplication"), (net.delay.1 > 1_000, "delay")];
        let had = had.into_iter().chain([(!net.cut.is_empty(), "cuts"), (!net.down.is_empty(), "down")]);
        had.filter(|(had, _)| *had).for_each(|(_, name)| *tally.faults.entry(name.into()).or_default() += 1);
    }

    fn besiege(&self, net: &mut Net, seed: u64, dice: &mut Prng, timeout: Duration, stranger: Arc<Cluster>) -> Tally {
        let mut tally = Tally::default();
        let n = net.hosts.len();
        let f = net.cluster.fault_threshold() as usize;
        let members = self.betray(net, seed, dice, &mut tally);
        let loyal = net.loyal();
        let rest = pick(dice, &[10_000, 300_000]);
        let violence = pick(dice, &[0, 0, 10, 30]);
        let mut storm = Storm::new(if self.has("crashes") { violence } else { 0 }, f - members.len(), rest);
        let mut mischief = Mischief::new(seed, net, stranger, CLIENTS, f - members.len());
        if net.tap.is_some() {
            // A gang has that client.
            mischief.pranks.remove(&Prank::TwoFaced);
        }
        if !self.has("mischief") {
            mischief.pranks.clear();
        }
        mischief.begin(net, &mut storm);
        mischief.pranks.iter().for_each(|prank| *tally.faults.entry(format!("{prank:?}")).or_default() += 1);
        let mut submitted = 0_usize;
        let mut submit = |net: &mut Net, dice: &mut Prng| {
            let client = dice.between(0, CLIENTS as u64 - 1) as usize;
            let to = dice.between(0, n as u64 - 1) as usize;
            // Two of the clients are the crate's own.
            match net.desks.contains_key(&client) {
                true => assert!(net.ask(client, &(submitted as u32).to_le_bytes()).is_some(), "a client has too many requests under way"),
                false => {
                    net.submit_to(client, &(submitted as u32).to_le_bytes(), &[to]);
                }
            }
            submitted += 1;
            submitted
        };
        let view = |net: &Net| loyal.iter().map(|at| net.hosts[*at].replica.standing().view.get()).max().unwrap_or_default();
        for _ in 0..dice.between(2, 4) {
            self.weather(net, dice, timeout, &mut tally);
            for _ in 0..dice.between(4, 12) {
                submit(net, dice);
                net.run_for(Duration::from_millis(dice.between(0, 20)));
                storm.blow(net, dice);
                mischief.act(net, &mut storm);
            }
            if dice.percent(40) {
                net.run_for(timeout * dice.between(1, 4) as u32);
            }
        }
        (net.loss, net.duplication, net.delay, net.slow) = (0, 0, (100, 1_000), Slowness::default());
        net.cut.clear();
        net.down.clear();
        (0..n).for_each(|at| net.pace_clock(at, (1, 1)));
        mischief.end(net);
        storm.end(net, dice);
        // Primaries that hear and say nothing, or that nobody hears proposals of, until there were views enough.
        let mut is_down = true;
        for round in 0..40 {
            let left = view(net);
            if left >= VIEWS || !self.has("primaries") {
                break;
            }
            let primary = net.cluster.primary(logothete::View::new(left)).get() as usize;
            net.down = (0..net.hosts.len()).filter(|at| is_down && net.hosts[*at].id == primary).collect();
            net.mute = if is_down { BTreeSet::new() } else { BTreeSet::from([MessageKind::PrePrepare, MessageKind::Chain]) };
            submit(net, dice);
            // Where a traitor proposes whatever is mute, what its clients send again must reach the others while it is down, and be overdue there.
            for _ in 0..if round < 10 { 8 } else { 24 } {
                net.run_for(timeout / 4);
                if view(net) > left {
                    break;
                }
            }
            // Beside f that say nothing anyway one more that is down leaves no quorum; and traitors propose whatever is mute.
            is_down ^= view(net) == left;
        }
        net.down.clear();
        net.mute.clear();
        let theirs = client_key(CLIENTS).verifying_key().to_bytes();
        let settle = |net: &mut Net, submitted: usize| {
            let (most, last) = (net.messages + MESSAGES, view(net) + FUTILE);
            let futile = format!("I20: {FUTILE} views after healing, and not everything is executed");
            net.run_until(HEALED, "everything submitted is executed by all loyal replicas, and answered, and all take part", |net| {
                assert!(net.messages < most, "I20: {MESSAGES} messages after healing, and not everything is executed");
                // Views never fall.
                assert!(net.messages % 64 != 0 || view(net) < last, "{futile}");
                net.all_answered()
                    && loyal.iter().all(|at| {
                        let host = &net.hosts[*at];
                        host.executed().len() >= submitted
                            && host.executed().iter().filter(|done| *done.client.as_bytes() != theirs).count() == submitted
                            && takes_part(host)
                    })
            });
            assert!(view(net) < last, "{futile}");
        };
        let mut missing = DECISIONS.saturating_sub(submit(net, dice));
        loop {
            let mut count = submit(net, dice);
            (1..missing).for_each(|_| count = submit(net, dice));
            settle(net, count);
            missing = DECISIONS.saturating_sub(net.oracle.decisions());
            if missing == 0 {
                break;
            }
        }
        assert!(view(net) >= VIEWS || !self.has("primaries"), "a schedule without {VIEWS} view changes");
        net.oracle.check();
        net.oracle.claims.check(net.cluster.quorum() as usize - members.len());
        tally.decisions = net.oracle.decisions() as u64;
        tally.views = view(net);
        tally.messages = net.messages as u64;
        tally.crashes = net.hosts.iter().map(|host| host.crashes).sum();
        let disks =
            [("lost logs", storm.losses), ("flipped bits", storm.flips), ("spoiled snapshots", storm.spoils), ("full disks", storm.full)];
        disks.into_iter().filter(|(_, count)| *count > 0).for_each(|(name, count)| *tally.faults.entry(name.into()).or_default() += count);
        tally
    }

    /// Faults without which it fails all the same are left out, one after the other.
    fn shrink(&mut self, seed: u64) {
        for fault in FAULTS {
            self.without.insert(fault.to_owned());
            if self.run(seed).is_ok() {
                self.without.remove(fault);
            }
        }
    }

    fn command(&self, seed: u64) -> String {
        let mut words = format!("cargo run --release --features sim --example siege -- --seed {seed}");
        words.push_str(if self.ed25519 { " --ed25519" } else { "" });
        if !self.without.is_empty() {
            words.push_str(" --without ");
            words.push_str(&self.without.iter().cloned().collect::<Vec<_>>().join(","));
        }
        words + " --trace"
    }
}

/// Seconds of CPU that this process has had, where /proc says so.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The 14th and the 15th field; the 2nd, a name in brackets, may have spaces.
    let ticks = stat.rsplit(')').next().unwrap_or("").split_whitespace().skip(11).take(2);
    ticks.filter_map(|word| word.parse::<u64>().ok()).sum::<u64>() as f64 / 100.0
}

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = arguments.iter().find(|word| word.starts_with("--") && !OPTIONS.contains(&word.as_str())) {
        eprintln!("siege: there is no {unknown}; the options are {}", OPTIONS.join(", "));
        return std::process::ExitCode::from(2);
    }
    let value = |name: &str| arguments.iter().position(|word| word == name).and_then(|at| arguments.get(at + 1));
    let number = |name: &str, default: u64| value(name).map_or(default, |text| text.parse().expect("a number"));
    let flag = |name: &str| arguments.iter().any(|word| word == name);
    let without: BTreeSet<String> = value("--without").into_iter().flat_map(|list| list.split(',').map(str::to_owned)).collect();
    assert!(without.iter().all(|name| FAULTS.contains(&name.as_str())), "--without takes some of {FAULTS:?}");
    let ed25519 = flag("--ed25519");
    let new = || Siege { ed25519, trace: false, picture: None, dump: None, without: without.clone(), clusters: Clusters::new() };
    if value("--seed").is_some() {
        let mut siege = Siege { trace: flag("--trace"), picture: value("--picture").cloned(), dump: value("--dump").cloned(), ..new() };
        return match siege.run(number("--seed", 0)) {
            Ok(tally) => {
                println!(
                    "holds: {} decisions, {} views, {} messages, {} crashes, {:?}",
                    tally.decisions, tally.views, tally.messages, tally.crashes, tally.faults
                );
                std::process::ExitCode::SUCCESS
            }
            Err((reason, trace)) => {
                println!("{trace}\n{reason}");
                std::process::ExitCode::FAILURE
            }
        };
    }
    std::panic::set_hook(Box::new(|_| {}));
    let (first, seeds) = (number("--first", 0), number("--seeds", 1000));
    let threads = number("--threads", std::thread::available_parallelism().map_or(1, |count| count.get() as u64));
    let (next, failures, total) = (AtomicU64::new(first), AtomicU64::new(0), Mutex::new((0_u64, Tally::default())));
    let start = Instant::now();
    let report = |done: u64, tally: &Tally| {
        let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu());
        println!(
            "{done} schedules, {:.0}/s, {:.2} ms CPU each; {} decisions, {} view changes, {} messages, {} crashes; {} failed",
            done as f64 / wall,
            cpu * 1000.0 / done as f64,
            tally.decisions,
            tally.views,
            tally.messages,
            tally.crashes,
            failures.load(Ordering::Relaxed)
        );
    };
    let every = (seeds / 20).max(1);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut siege = new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        break;
                    }
                    let outcome = siege.run(seed);
                    if let Err((reason, _)) = &outcome {
                        let known = siege.without.clone();
                        siege.shrink(seed);
                        failures.fetch_add(1, Ordering::Relaxed);
                        println!("seed {seed}: {reason}\n    {}", siege.command(seed));
                        siege.without = known;
                    }
                    let Ok(mut total) = total.lock() else { break };
                    total.0 += 1;
                    if let Ok(tally) = outcome {
                        total.1.decisions += tally.decisions;
                        total.1.views += tally.views;
                        total.1.messages += tally.messages;
                        total.1.crashes += tally.crashes;
                        tally.faults.into_iter().for_each(|(name, count)| *total.1.faults.entry(name).or_default() += count);
                    }
                    if total.0 % every == 0 {
                        report(total.0, &total.1);
                    }
                }
            });
        }
    });
    if let Ok(total) = total.lock() {
        total.1.faults.iter().for_each(|(name, count)| println!("{name:>18} {count}"));
    }
    if failures.load(Ordering::Relaxed) == 0 { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
