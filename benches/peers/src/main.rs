//! The same work for logothete and its peers, in one run: CPU time of all replicas together, in one process, in memory.

mod malachite;
mod ours;
mod raft;
#[path = "../../support/ring.rs"]
#[allow(dead_code, reason = "the library's own benches use more of it")]
mod ring;
mod simplex;
#[path = "../../support/mod.rs"]
#[allow(dead_code, reason = "the library's own benches use more of it")]
mod support;
mod work;

use std::time::Duration;
use work::{BATCH, Content, Work};

type Run = fn(Work) -> Duration;

/// The peers; the first is the one that the others are compared with.
const PEERS: [(&str, Run); 6] = [
    ("logothete", |work| ours::run(work, false)),
    ("logothete, lone", |work| ours::run(work, true)),
    ("simplex", simplex::run),
    ("malachite", malachite::run),
    ("raft", |work| raft::run(work, 16)),
    ("raft, lone", |work| raft::run(work, 1)),
];

const fn work(replicas: usize, signed_votes: bool, content: Content, decisions: usize) -> Work {
    Work { replicas, signed_votes, content, decisions }
}

/// What is measured, and whether in requests for a CPU-second rather than in µs for a decision.
const CASES: [(&str, Work); 7] = [
    ("n=4, ed25519", work(4, true, Content::Empty, 500)),
    ("n=4, stubbed", work(4, false, Content::Empty, 2000)),
    ("n=7, ed25519", work(7, true, Content::Empty, 200)),
    ("n=16, ed25519", work(16, true, Content::Empty, 50)),
    ("n=31, ed25519", work(31, true, Content::Empty, 16)),
    ("n=4, 1000 payloads of 512 B", work(4, true, Content::Payloads, 50)),
    ("n=4, 1000 signed payloads of 512 B", work(4, true, Content::Signed, 10)),
];

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let rounds: usize = words.first().map_or(5, |word| word.parse().expect("rounds"));
    let only = words.get(1).map_or("", |word| word);
    println!("medians of {rounds} rounds, all in turn in each; in brackets, how many times logothete's");
    for (name, work) in CASES {
        let mut spent: Vec<Vec<f64>> = vec![Vec::new(); PEERS.len()];
        for _ in 0..rounds {
            for ((peer, run), spent) in PEERS.iter().zip(&mut spent) {
                if peer.contains(only) {
                    spent.push(run(work).as_secs_f64() / work.decisions as f64);
                }
            }
        }
        println!("\n{name}");
        let mut base = None;
        for ((peer, _), spent) in PEERS.iter().zip(spent).filter(|(_, spent)| !spent.is_empty()) {
            let seconds = median(spent);
            let base = *base.get_or_insert(seconds);
            match work.content {
                Content::Empty => println!("  {peer:<24} {:>12.1} µs for a decision  ({:.2})", seconds * 1e6, seconds / base),
                _ => println!("  {peer:<24} {:>12.0} payloads for a CPU-second  ({:.2})", BATCH as f64 / seconds, base / seconds),
            }
        }
    }
}
