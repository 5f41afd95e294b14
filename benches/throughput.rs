//! Requests for one second of CPU time, summed over four replicas in one process, in memory: batches of 1000 payloads of 512 bytes.
//!
//! `cargo bench --bench throughput -- [batches [case]]`. Once with each payload signed by its client, which every replica verifies; once where each client signs at once
//! what it asks for at once (SPEC S3); once with all of a batch in one signed request, as a gateway sends it. And the same with a hash in the place of signatures.

#[path = "support/ring.rs"]
mod ring;
mod support;

use logothete::{Bytes, Limits};
use ring::Ring;
use std::time::Duration;
use support::{Scheme, builder, cpu_time};

const REPLICAS: usize = 4;
const CLIENTS: usize = 16;
const BATCH: usize = 1000;
const PAYLOAD: usize = 512;

/// How payloads become requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Each is a request with a signature of its own.
    Each,
    /// Each is a request; those of one client have one signature.
    Runs,
    /// All are one request.
    One,
}

/// Each batch's requests, sent to the primary at once, as under load.
fn run(scheme: Scheme, batches: usize, form: Form) -> Duration {
    let operation_bytes_max = if form == Form::One { PAYLOAD * BATCH } else { PAYLOAD } as u32;
    // Room for all 1000.
    let (batch_bytes_max, message_bytes_max) = (1 << 20, 2 << 20);
    let limits = Limits { operation_bytes_max, batch_requests_max: BATCH as u32, batch_bytes_max, message_bytes_max, ..Limits::default() };
    let mut ring = Ring::new(builder(REPLICAS, CLIENTS, scheme).limits(limits), scheme, CLIENTS);
    let count = if form == Form::One { 1 } else { BATCH };
    let operation = vec![7; operation_bytes_max as usize];
    let mut spent = Duration::ZERO;
    for _ in 0..batches {
        let requests: Vec<Bytes> = if form == Form::Runs {
            // 63 or 62 for each client.
            let of_client = |client: usize| (BATCH + CLIENTS - 1 - client) / CLIENTS;
            (0..CLIENTS).flat_map(|client| ring.requests(client, &vec![&operation[..]; of_client(client)])).collect()
        } else {
            (0..count).map(|index| ring.request(index % CLIENTS, &operation)).collect()
        };
        let begin = cpu_time();
        requests.into_iter().for_each(|request| ring.post(0, request));
        ring.settle();
        spent += cpu_time().saturating_sub(begin);
    }
    assert!(ring.members.iter().all(|member| member.executed == (batches * count) as u64), "not all executed");
    spent
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let batches: usize = words.first().map_or(20, |word| word.parse().expect("batches"));
    println!("{:<44} {:>16} {:>24}", "payloads of 512 bytes, 1000 a batch", "for a CPU-second", "µs for each, in all four");
    let cases = [
        ("each signed by one of 16 clients", Scheme::Ed25519, Form::Each),
        ("all of a batch in one signed request", Scheme::Ed25519, Form::One),
        ("each in a request, signatures stubbed", Scheme::Hash, Form::Each),
        ("all in one request, signatures stubbed", Scheme::Hash, Form::One),
        ("each client's 62 under one signature", Scheme::Ed25519, Form::Runs),
    ];
    let wanted: Option<usize> = words.get(1).map(|word| word.parse().expect("a case, from 0"));
    for (case, (what, scheme, form)) in cases.into_iter().enumerate() {
        if wanted.is_some_and(|wanted| wanted != case) {
            continue;
        }
        let spent = run(scheme, batches, form).as_secs_f64();
        let payloads = (batches * BATCH) as f64;
        println!("{what:<44} {:>16.0} {:>24.2}", payloads / spent, spent * 1e6 / payloads);
    }
}
