//! `examples/counter` on tokio: the same service, four replicas and a client, each a task, over TCP.

mod net;

use logothete::*;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::time::timeout;

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

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let key = |seed: u8| SigningKey::from_bytes(&[seed; 32]); // Real ones come from key files.
    let me = key(9).verifying_key();
    let cluster = Arc::new(Cluster::builder((0..4).map(|index| key(index).verifying_key()).collect(), vec![me]).build()?);
    let (bytes_max, start) = (cluster.limits().message_bytes_max, Instant::now());
    let now = move || Time(start.elapsed().as_micros() as u64);
    let (mut listeners, mut parties) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        parties.push(listener.local_addr()?);
        listeners.push(listener);
    }
    let (mut answers, send) = net::connect(4, listeners.pop().ok_or("five listeners")?, &parties, bytes_max);
    for (index, listener) in listeners.into_iter().enumerate() {
        let (mut inbox, send) = net::connect(index, listener, &parties, bytes_max);
        let (id, app) = (ReplicaId::new(index as u32), Snapshots::new(Counter::default(), Volatile::default()));
        let mut node = Node::open(cluster.clone(), id, Tuning::default(), Start::New, Volatile::default(), app, key(index as u8))?;
        tokio::spawn(async move {
            loop {
                let wait = node.deadline().map_or(Duration::MAX, |deadline| deadline.since(now()));
                let mut next = timeout(wait, inbox.recv()).await.ok().flatten();
                while let Some((link, bytes)) = next {
                    node.receive(link, &bytes).unwrap_or_else(|error| eprintln!("{link:?}: {error}"));
                    next = inbox.try_recv().ok();
                }
                // It verifies, signs, and waits for the disk: nothing for a thread that others' tasks wait for.
                let sent = tokio::task::block_in_place(|| node.run(now())).expect("a node that can't go on stops");
                sent.iter().for_each(&send);
            }
        });
    }
    let (verifier, mut out, mut left) = (Verifier::new(cluster.clone()), Vec::new(), 10);
    let mut client = Client::new(cluster.clone(), ClientId::new(me.to_bytes()), ClientTuning::default())?;
    (1..=left).for_each(|length| drop(client.step(now(), ClientInput::Submit(Bytes::from(vec![0; length])), &mut out)));
    while left > 0 {
        for output in out.drain(..) {
            match output {
                ClientOutput::Send(outgoing) => outgoing.sign(&key(9))?.iter().for_each(&send),
                ClientOutput::Completed(Completion { number, outcome, .. }) => {
                    left -= 1;
                    println!("after request {number} the counter is {}", String::from_utf8_lossy(outcome.result().ok_or("lost")?));
                }
                _ => {}
            }
        }
        let wait = client.deadline().map_or(Duration::MAX, |deadline| deadline.since(now()));
        let input = match timeout(wait, answers.recv()).await {
            Ok(Some((link, bytes))) => ClientInput::Message(verifier.verify(Unverified::decode(link, &bytes, cluster.limits())?)?),
            _ => ClientInput::Timer,
        };
        drop(client.step(now(), input, &mut out));
    }
    Ok(())
}
