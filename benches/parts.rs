//! What the parts cost alone: codec, screen, signatures, records, replicas' memory, the window; and verification on two threads.
//!
//! `cargo bench --bench parts [-- NAME]`: codec, verify, threads, screen, log, memory, window.

#![allow(clippy::disallowed_types, reason = "disks and threads are measured by the clock")]

#[path = "support/ring.rs"]
#[allow(dead_code, reason = "other benches use more of it")]
mod ring;
mod support;
#[path = "../examples/generals/wal.rs"]
#[allow(dead_code, reason = "the example uses more of it")]
mod wal;

use logothete::sim::forge::{Forge, Kept, Kind};
use logothete::{Bytes, Limits, PeerLink, ReplicaId, RequestNumber, SequenceNumber, Unverified, Verifier, View, Wal};
use ring::Ring;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Scheme, builder, client_key, cpu_time, replica_key};

const CLIENTS: usize = 16;

/// µs of CPU time for one call, over at least 200 ms.
fn cost(mut call: impl FnMut()) -> f64 {
    let (begin, mut calls) = (cpu_time(), 0_u32);
    loop {
        (0..8).for_each(|_| call());
        calls += 8;
        let spent = cpu_time().saturating_sub(begin);
        if spent > Duration::from_millis(200) {
            return spent.as_secs_f64() * 1e6 / f64::from(calls);
        }
    }
}

fn forge(replicas: usize) -> Forge {
    Forge::new(Arc::new(builder(replicas, CLIENTS, Scheme::Ed25519).build().expect("a cluster")))
}

/// Requests of all clients, 512 bytes each, as messages.
fn requests(forge: &Forge, count: usize) -> Vec<Bytes> {
    let of = |index: usize| forge.request(&client_key(index % CLIENTS), RequestNumber::new(1 + (index / CLIENTS) as u64), &[7; 512]);
    (0..count).map(|index| Bytes::from(forge.request_message(&of(index)))).collect()
}

/// Votes of all replicas for as many positions as are asked for.
fn votes(forge: &Forge, replicas: usize, positions: u64) -> Vec<Bytes> {
    let of = |position: u64, replica: usize| {
        let position = (SequenceNumber::new(position), forge.genesis());
        let key = replica_key(replica);
        Bytes::from(forge.vote((ReplicaId::new(replica as u32), &key), Kind::Prepare, View::new(0), position))
    };
    (1..=positions).flat_map(|position| (0..replicas).map(move |replica| of(position, replica))).collect()
}

fn decoded(messages: &[Bytes], limits: &Limits) -> Vec<Unverified> {
    messages.iter().zip(0..).map(|(bytes, link)| Unverified::decode(PeerLink(link), bytes, limits).expect("a message")).collect()
}

fn codec() {
    let (forge, limits) = (forge(4), Limits::default());
    let batch =
        (0..1000).map(|index| forge.request(&client_key(index % CLIENTS), RequestNumber::new(1 + (index / CLIENTS) as u64), &[7; 512]));
    let block = forge.block(SequenceNumber::new(1), forge.genesis(), batch.collect());
    let proposal = forge.pre_prepare(&replica_key(0), View::new(0), &block);
    for (name, bytes) in [
        ("a vote", votes(&forge, 4, 1).swap_remove(0)),
        ("a request of 512 bytes", requests(&forge, 1).swap_remove(0)),
        ("a proposal of 1000 of them", Bytes::from(proposal)),
    ] {
        let decode = cost(|| drop(black_box(Unverified::decode(PeerLink(0), &bytes, &limits))));
        let both = cost(|| drop(black_box(forge.reencode(&bytes))));
        println!("codec   {name:<28} {:>8} bytes  decode {decode:>9.2} µs  decode and encode {both:>9.2} µs", bytes.len());
    }
}

fn verify() {
    let forge = forge(4);
    let cluster = Arc::new(builder(4, CLIENTS, Scheme::Ed25519).build().expect("a cluster"));
    let verifier = Verifier::new(cluster.clone());
    let key = replica_key(0);
    println!(
        "verify  {:<28} {:>9.2} µs",
        "a signature, made",
        cost(|| {
            black_box(logothete::Signer::<logothete::Signature>::sign(&key, &[7; 97]));
        })
    );
    for (name, messages) in [("votes", votes(&forge, 4, 256)), ("requests of 512 bytes", requests(&forge, 1024))] {
        for load in [1, 8, 32, 128, 512, 1024] {
            let waiting = decoded(&messages[..load], cluster.limits());
            let micros = cost(|| assert!(black_box(verifier.verify_all(waiting.clone())).iter().all(Result::is_ok)));
            println!("verify  {name:<28} {load:>5} together {:>9.2} µs each", micros / load as f64);
        }
    }
}

/// As a host does it that has threads to spare: portions of the load go to whoever is free.
fn threads() {
    let forge = forge(4);
    let cluster = Arc::new(builder(4, CLIENTS, Scheme::Ed25519).build().expect("a cluster"));
    let messages = requests(&forge, 2048);
    let mut alone = 0.0;
    for count in 1..=std::thread::available_parallelism().map_or(1, usize::from) {
        let mut best = f64::INFINITY;
        for _ in 0..20 {
            let mut shares: Vec<Vec<Unverified>> = (0..count).map(|_| Vec::new()).collect();
            for (place, message) in decoded(&messages, cluster.limits()).into_iter().enumerate() {
                shares[place / 256 % count].push(message);
            }
            let begin = Instant::now();
            std::thread::scope(|scope| {
                for share in shares {
                    let verifier = Verifier::new(cluster.clone());
                    scope.spawn(move || assert!(verifier.verify_all(share).iter().all(Result::is_ok)));
                }
            });
            best = best.min(begin.elapsed().as_secs_f64());
        }
        if count == 1 {
            alone = best;
        }
        println!("threads {count} verify {:>9.0} requests a second, {:.2} times one", messages.len() as f64 / best, alone / best);
    }
}

fn screen() {
    let builder = builder(4, CLIENTS, Scheme::Hash);
    let mut ring = Ring::new(builder, Scheme::Hash, CLIENTS);
    for index in 0..64 {
        let request = ring.request(index % CLIENTS, b"x");
        ring.post(0, request);
        ring.settle();
    }
    let cluster = ring.cluster.clone();
    let forge = Forge::new(cluster.clone());
    for (name, messages) in
        [("votes that nobody needs", votes(&forge, 4, 16)), ("votes that are needed", votes(&forge, 4, 80).split_off(64 * 4))]
    {
        let waiting = decoded(&messages, cluster.limits());
        let micros = cost(|| drop(black_box(ring.members[1].replica.screen().triage(waiting.clone()))));
        let triage = ring.members[1].replica.screen().triage(waiting.clone());
        println!(
            "screen  {name:<28} {:>9.3} µs each, {} of {} needed",
            micros / messages.len() as f64,
            triage.needed.len(),
            messages.len()
        );
    }
}

/// Group commit: one write and one sync for a group of records, on the disk that has the temporary folder.
fn log() {
    let cluster = Arc::new(builder(4, CLIENTS, Scheme::Ed25519).build().expect("a valid cluster"));
    let record = Forge::new(cluster).record(ReplicaId::new(0), 0, &Kept::Started).expect("a record");
    let folder = std::env::temp_dir().join(format!("logothete-parts-{}", std::process::id()));
    for group in [1, 8, 64, 512] {
        let mut wal = wal::FileWal::open(&folder).expect("a log").segments_of(64 << 20);
        let (begin, mut index, mut groups) = (Instant::now(), 0, 0_u32);
        while begin.elapsed() < Duration::from_millis(500) {
            for _ in 0..group {
                wal.append(index, &record).expect("appended");
                index += 1;
            }
            wal.sync().expect("synced");
            groups += 1;
        }
        let seconds = begin.elapsed().as_secs_f64();
        println!(
            "log     {group:>4} records of {} bytes a sync: {:>8.2} ms each, {:>10.0} records a second",
            record.len(),
            seconds * 1e3 / f64::from(groups),
            index as f64 / seconds
        );
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}

/// What one replica holds by its own count, and what the whole process has grown by.
fn memory() {
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
        4096 * text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("pages")
    };
    for (replicas, window) in [(4, 512), (31, 512), (100, 128)] {
        let limits = Limits { batch_requests_max: 1, operation_bytes_max: 64, ..Limits::default() };
        let before = resident();
        let builder =
            builder(replicas, CLIENTS, Scheme::Hash).limits(limits).checkpoint_interval(window / 4).log_window(window).pipeline(16);
        let mut ring = Ring::new(builder, Scheme::Hash, CLIENTS);
        ring.no_checkpoints = true;
        for index in 0..window as usize {
            let request = ring.request(index % CLIENTS, b"x");
            ring.post(0, request);
            if index % CLIENTS == CLIENTS - 1 {
                ring.settle();
            }
        }
        let status = ring.members[1].replica.status();
        let counted: u64 = status.usage.entries().map(|(_, part)| part.bytes).sum();
        println!(
            "memory  n={replicas:<3} full window of {window:<4} {:>9.1} KiB by a replica's own count, {:>9.1} KiB of the process for each",
            counted as f64 / 1024.0,
            resident().saturating_sub(before) as f64 / 1024.0 / replicas as f64
        );
    }
}

/// A decision's cost must not hang on how large the window is.
fn window() {
    for window in [32, 512, 8192] {
        let limits = Limits { batch_requests_max: 1, operation_bytes_max: 64, ..Limits::default() };
        let builder = builder(4, CLIENTS, Scheme::Hash).limits(limits).checkpoint_interval(window / 4).log_window(window).pipeline(16);
        let mut ring = Ring::new(builder, Scheme::Hash, CLIENTS);
        let decisions = 2 * window.max(2048);
        let mut spent = Duration::ZERO;
        for _ in 0..decisions / CLIENTS as u64 {
            let requests: Vec<Bytes> = (0..CLIENTS).map(|client| ring.request(client, b"x")).collect();
            let begin = cpu_time();
            requests.into_iter().for_each(|request| ring.post(0, request));
            ring.settle();
            spent += cpu_time().saturating_sub(begin);
        }
        println!("window  {window:>5} positions {:>9.1} µs for a decision, n=4, stubbed", spent.as_secs_f64() * 1e6 / decisions as f64);
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let parts: [(&str, fn()); 7] = [
        ("codec", codec),
        ("verify", verify),
        ("threads", threads),
        ("screen", screen),
        ("log", log),
        ("memory", memory),
        ("window", window),
    ];
    for (name, part) in parts {
        if words.is_empty() || words.iter().any(|word| word == name) {
            part();
        }
    }
}
