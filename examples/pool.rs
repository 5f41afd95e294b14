//! Signatures on all cores: a host in stages, of which only one has the replica. `cargo run --release --example pool` prints how it scales.
//!
//! One replica alone (n = 1, f = 0), so that there is nothing to see but the stages: a thread that has the replica takes a load of messages, asks its `Screen` which are needed,
//! hands parts of them to threads with a `Verifier` each, and steps through what they found valid, in the order in which it came.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a host has a clock and threads")]

use logothete::*;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const CLIENTS: u8 = 16;
const REQUESTS: usize = 512;
/// Messages that are taken at once: what came while the last load was worked on.
const LOAD: usize = 2048;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32]) // Real ones come from key files.
}

/// Each client's requests, signed: so many at a time may be under way.
fn requests(cluster: &Arc<Cluster>) -> Result<Vec<Bytes>, Box<dyn std::error::Error>> {
    let (mut wire, mut out) = (Vec::new(), Vec::new());
    for client in 1..=CLIENTS {
        let id = ClientId::new(key(client).verifying_key().to_bytes());
        let mut client_side = Client::new(cluster.clone(), id, ClientTuning::default())?;
        for _ in 0..REQUESTS {
            let submitted = client_side.step(Time(0), ClientInput::Submit(Bytes::from(vec![0; 512])), &mut out);
            assert!(matches!(submitted, ClientDisposition::Submitted(_)), "so many may be under way");
        }
        for output in out.drain(..) {
            if let ClientOutput::Send(outgoing) = output {
                wire.extend(outgoing.sign(&key(client))?.iter().map(Envelope::encode));
            }
        }
    }
    Ok(wire)
}

/// In as many parts as there are threads; in the order in which they came.
fn verify(verifier: &Verifier, mut messages: Vec<Unverified>, threads: usize) -> Vec<Result<Verified, VerifyError>> {
    let part = messages.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let mut workers = Vec::new();
        while !messages.is_empty() {
            let rest = messages.split_off(part.min(messages.len()));
            let mine = std::mem::replace(&mut messages, rest);
            workers.push(scope.spawn(move || verifier.verify_all(mine)));
        }
        workers.into_iter().flat_map(|worker| worker.join().expect("verification never panics")).collect()
    })
}

/// Executes all requests and tells how long that took.
fn run(cluster: &Arc<Cluster>, wire: &[Bytes], threads: usize) -> Result<Duration, Box<dyn std::error::Error>> {
    let (start, mut log, mut out, verifier) = (Instant::now(), Volatile::default(), Outbox::new(), Verifier::new(cluster.clone()));
    let now = || Time(start.elapsed().as_micros() as u64);
    let id = ReplicaId::new(0);
    let mut replica = Replica::recover(cluster.clone(), id, Tuning::default(), Start::New, AppState::default(), Vec::new(), &mut out)?;
    let (mut executed, mut loads) = (0, wire.chunks(LOAD));
    while executed < wire.len() {
        let load = loads.next().unwrap_or_default();
        let decoded =
            load.iter().enumerate().map(|(link, bytes)| Unverified::decode_shared(PeerLink(link as u64), bytes, cluster.limits()));
        let (mut waiting, mut looks): (Vec<Unverified>, u32) = (decoded.collect::<Result<_, _>>()?, 0);
        while !waiting.is_empty() {
            let triage = replica.screen().triage_again(waiting, looks);
            // What is spare is looked at again, as long as that makes something of it needed.
            (waiting, looks) = (if triage.needed.is_empty() { Vec::new() } else { triage.spare }, looks + 1);
            for verdict in verify(&verifier, triage.needed, threads) {
                replica.step(now(), Input::Message(verdict?), &mut out);
            }
        }
        replica.step(now(), Input::Timer, &mut out);
        while !out.is_empty() {
            let (envelopes, receipt) = persist(&mut log, out.writes())?.sign(&key(0))?;
            drop(envelopes); // There is nobody else.
            replica.step(now(), Input::Persisted(receipt), &mut out);
            for command in out.app() {
                let answer = match command {
                    AppCommand::Execute(decision) => {
                        let results: Vec<Bytes> = decision.requests().map(|_| Bytes::default()).collect();
                        executed += results.len();
                        Input::Executed { sequence_number: decision.sequence_number(), results }
                    }
                    AppCommand::TakeCheckpoint(order) => Input::CheckpointTaken(order.manifest([])),
                    _ => continue,
                };
                replica.step(now(), answer, &mut out);
            }
            for reply in out.sends() {
                reply.sign(&key(0))?.iter().for_each(|envelope| drop(envelope.encode()));
            }
            out.events();
        }
    }
    Ok(start.elapsed())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clients = (1..=CLIENTS).map(|client| key(client).verifying_key()).collect();
    let limits = Limits { client_window: REQUESTS as u32, ..Limits::default() };
    let cluster = Arc::new(Cluster::builder(vec![key(0).verifying_key()], clients).limits(limits).build()?);
    let wire = requests(&cluster)?;
    let cores = thread::available_parallelism()?.get();
    let mut alone = Duration::ZERO;
    for threads in (0..).map(|power| 1 << power).take_while(|threads| *threads <= cores) {
        let took = run(&cluster, &wire, threads)?.min(run(&cluster, &wire, threads)?);
        alone = if threads == 1 { took } else { alone };
        let rate = wire.len() as f64 / took.as_secs_f64();
        println!("{threads:>3} threads: {rate:>8.0} requests a second, {:.2} times one thread", alone.as_secs_f64() / took.as_secs_f64());
    }
    Ok(())
}
