//! A replicated counter: four replicas, each a thread, and a client, on channels and in memory. `generals` has files and sockets, `examples/kv` a database and tokio.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a host has a clock and threads")]

use logothete::*;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Counter(u64);

impl Service for Counter {
    fn execute(&mut self, decision: &Decision) -> Vec<Bytes> {
        let add = |request: &Request| {
            self.0 += request.operation().len() as u64;
            Bytes::from(self.0.to_string().into_bytes())
        };
        decision.requests().map(add).collect()
    }
    fn snapshot(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), AppError> {
        self.0 = u64::from_le_bytes(snapshot.try_into()?);
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let key = |seed: u8| SigningKey::from_bytes(&[seed; 32]); // Real ones come from key files.
    let me = key(9).verifying_key();
    let cluster = Arc::new(Cluster::builder((0..4).map(|index| key(index).verifying_key()).collect(), vec![me]).build()?);
    let (network, mut inboxes): (Vec<_>, Vec<_>) = (0..5).map(|_| mpsc::channel::<(PeerLink, Bytes)>()).unzip();
    let (answers, start) = (inboxes.pop().ok_or("five inboxes")?, Instant::now());
    let now = move || Time(start.elapsed().as_micros() as u64);
    let send = move |from: usize, envelope: &Envelope| {
        let is_for = |to: usize| match envelope.to() {
            Recipients::AllReplicas => to < 4 && to != from,
            Recipients::Replica(replica) => to == replica.get() as usize,
            Recipients::Client(_) => to == 4,
        };
        (0..5).filter(|to| is_for(*to)).for_each(|to| drop(network[to].send((PeerLink(from as u64), envelope.encode()))));
    };
    for (index, inbox) in inboxes.into_iter().enumerate() {
        let (id, app, send) = (ReplicaId::new(index as u32), Snapshots::new(Counter::default(), Volatile::default()), send.clone());
        let mut node = Node::open(cluster.clone(), id, Tuning::default(), Start::New, Volatile::default(), app, key(index as u8))?;
        std::thread::spawn(move || {
            loop {
                let wait = node.deadline().map_or(Duration::MAX, |deadline| deadline.since(now()));
                for (link, bytes) in inbox.recv_timeout(wait).into_iter().chain(inbox.try_iter()) {
                    node.receive(link, &bytes).unwrap_or_else(|error| eprintln!("{link:?}: {error}"));
                }
                node.run(now()).expect("a node that can't go on stops").iter().for_each(|envelope| send(index, envelope));
            }
        });
    }
    let (verifier, mut out, mut left) = (Verifier::new(cluster.clone()), Vec::new(), 10);
    let mut client = Client::new(cluster.clone(), ClientId::new(me.to_bytes()), ClientTuning::default())?;
    (1..=left).for_each(|length| drop(client.step(now(), ClientInput::Submit(Bytes::from(vec![0; length])), &mut out)));
    while left > 0 {
        for output in out.drain(..) {
            match output {
                ClientOutput::Send(outgoing) => outgoing.sign(&key(9))?.iter().for_each(|envelope| send(4, envelope)),
                ClientOutput::Completed(Completion { number, outcome, .. }) => {
                    left -= 1;
                    println!("after request {number} the counter is {}", String::from_utf8_lossy(outcome.result().ok_or("lost")?));
                }
                _ => {}
            }
        }
        let wait = client.deadline().map_or(Duration::MAX, |deadline| deadline.since(now()));
        let input = match answers.recv_timeout(wait) {
            Ok((link, bytes)) => ClientInput::Message(verifier.verify(Unverified::decode(link, &bytes, cluster.limits())?)?),
            Err(_) => ClientInput::Timer,
        };
        drop(client.step(now(), input, &mut out));
    }
    Ok(())
}
