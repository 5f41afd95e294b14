//! Signatures on all cores: a host in stages, of which only one has the replica. `cargo run --release --example pool` prints how it scales.
//!
//! One replica alone (n = 1, f = 0), so that there is nothing to see but the stages: a thread that has the replica puts messages into an `Inbox`, takes from it, asks the replica's `Screen`
//! which are needed, hands parts of them to threads with a `Verifier` each, and steps through what they found valid, in the order in which it came. What came over a connection that was
//! caught with a bad signature is verified last and apart, since it spoils what is verified with it (SPEC 3.7): so one that sends nothing else costs the others little.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a host has a clock and threads")]

use logothete::*;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const CLIENTS: u8 = 16;
/// One more, whose signatures are all bad.
const LIAR: u8 = CLIENTS + 1;
const REQUESTS: usize = 4096;
/// Messages that are taken at once: what came while the last load was worked on.
const LOAD: usize = 2048;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32]) // Real ones come from key files.
}

/// What comes over each client's connection: so many requests may be under way.
fn requests(cluster: &Arc<Cluster>, with_liar: bool) -> Result<Vec<(PeerLink, Bytes)>, Box<dyn std::error::Error>> {
    let (mut connections, mut out) = (Vec::new(), Vec::new());
    for client in 1..=if with_liar { LIAR } else { CLIENTS } {
        let id = ClientId::new(key(client).verifying_key().to_bytes());
        let mut client_side = Client::new(cluster.clone(), id, ClientTuning::default())?;
        for _ in 0..REQUESTS {
            let submitted = client_side.step(Time(0), ClientInput::Submit(Bytes::from(vec![0; 512])), &mut out);
            assert!(matches!(submitted, ClientDisposition::Submitted(_)), "so many may be under way");
        }
        let signer = key(if client == LIAR { 0 } else { client });
        let mut wire = Vec::new();
        for output in out.drain(..) {
            if let ClientOutput::Send(outgoing) = output {
                wire.extend(outgoing.sign(&signer)?.iter().map(Envelope::encode));
            }
        }
        connections.push((PeerLink(client.into()), wire));
    }
    let turn = |place: usize| connections.iter().filter_map(move |(link, wire)| Some((*link, wire.get(place)?.clone())));
    Ok((0..REQUESTS).flat_map(turn).collect())
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

/// Executes all requests that their clients signed and tells how long that took.
fn run(cluster: &Arc<Cluster>, wire: &[(PeerLink, Bytes)], threads: usize) -> Result<Duration, Box<dyn std::error::Error>> {
    let (start, mut log, mut out, verifier) = (Instant::now(), Volatile::default(), Outbox::new(), Verifier::new(cluster.clone()));
    let now = || Time(start.elapsed().as_micros() as u64);
    let id = ReplicaId::new(0);
    let mut replica = Replica::recover(cluster.clone(), id, Tuning::default(), Start::New, AppState::default(), Vec::new(), &mut out)?;
    let mut inbox = Inbox::new(&Tuning::default());
    let (mut executed, mut loads) = (0, wire.chunks(LOAD));
    while executed < usize::from(CLIENTS) * REQUESTS {
        for (link, bytes) in loads.next().unwrap_or_default() {
            inbox.push(Unverified::decode_shared(*link, bytes, cluster.limits())?);
        }
        let (mut waiting, mut looks) = (inbox.take(now()), 0);
        while !waiting.is_empty() {
            let triage = replica.screen().triage_again(waiting, looks);
            // What is spare is looked at again, as long as that makes something of it needed.
            (waiting, looks) = (if triage.needed.is_empty() { Vec::new() } else { triage.spare }, looks + 1);
            let mut needed = VecDeque::from(triage.needed);
            while !needed.is_empty() {
                let (portion, mut caught) = (inbox.portion(&mut needed, threads, now()), BTreeSet::new());
                let links: Vec<PeerLink> = portion.iter().map(Unverified::link).collect();
                for (link, verdict) in links.into_iter().zip(verify(&verifier, portion, threads)) {
                    match verdict {
                        Ok(verified) => drop(replica.step(now(), Input::Message(verified), &mut out)),
                        Err(_) => drop(inbox.refused(link, now()) && caught.insert(link)),
                    }
                }
                // What was taken of a connection before it was caught counts as if it came now.
                let mut stays = |message: &Unverified| !caught.contains(&message.link()) || inbox.lets_through(message, now());
                needed.retain(&mut stays);
                waiting.retain(stays);
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
    let clients = (1..=LIAR).map(|client| key(client).verifying_key()).collect();
    let limits = Limits { client_window: REQUESTS as u32, ..Limits::default() };
    let cluster = Arc::new(Cluster::builder(vec![key(0).verifying_key()], clients).limits(limits).build()?);
    let (honest, with_liar) = (requests(&cluster, false)?, requests(&cluster, true)?);
    let cores = thread::available_parallelism()?.get();
    let mut alone = Duration::ZERO;
    for threads in (0..).map(|power| 1 << power).take_while(|threads| *threads <= cores) {
        let best = |wire: &[_]| -> Result<Duration, Box<dyn std::error::Error>> {
            Ok(run(&cluster, wire, threads)?.min(run(&cluster, wire, threads)?))
        };
        let (took, beside_liar) = (best(&honest)?, best(&with_liar)?);
        alone = if threads == 1 { took } else { alone };
        let rate = |took: Duration| honest.len() as f64 / took.as_secs_f64();
        println!(
            "{threads:>3} threads: {:>8.0} requests a second, {:.2} times one thread; {:.0} beside a connection with bad signatures alone",
            rate(took),
            alone.as_secs_f64() / took.as_secs_f64(),
            rate(beside_liar)
        );
    }
    Ok(())
}
