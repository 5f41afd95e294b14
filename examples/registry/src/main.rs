//! `registry FOLDER OPERATION…`: four replicas, each a thread with its log, its snapshots and its metrics in a folder of its own, and a client that asks. Call it again with
//! the same folder, or kill it at any time: it goes on. In the place of the channels put sockets, as in `examples/counter-tokio`, and one replica into each process.

mod customer;
#[allow(dead_code, reason = "it can do what tests of crashes want, too")]
#[path = "../../generals/store.rs"]
mod store;
#[allow(dead_code, reason = "the same")]
#[path = "../../generals/wal.rs"]
mod wal;

use logothete::*;
use registry::Registry;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

type AnyError = Box<dyn std::error::Error>;
const REPLICAS: usize = 4;
/// A file that says that a replica is new: made once, when it is set up, and gone before it has sent anything. A folder that is empty is not new, it is lost.
const NEW: &str = "new";

/// Where bytes go: to the replicas and, last, to the client.
#[derive(Clone)]
struct Network(Vec<Sender<(PeerLink, Bytes)>>);

impl Network {
    fn send(&self, from: usize, envelope: &Envelope) {
        let bytes = envelope.encode();
        let is_for = |to: usize| match envelope.to() {
            Recipients::AllReplicas => to < REPLICAS && to != from,
            Recipients::Replica(replica) => to == replica.get() as usize,
            Recipients::Client(_) => to == REPLICAS,
        };
        // What is lost is said again.
        (0..self.0.len()).filter(|to| is_for(*to)).for_each(|to| drop(self.0[to].send((PeerLink(from as u64), bytes.clone()))));
    }
}

/// Real keys are made where they are used, from good randomness, and never leave; the others get the public halves.
fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// Makes all folders, or none: the operator's part, done once.
fn set_up(folder: &Path) -> Result<(), AnyError> {
    let unfinished = folder.with_extension("unfinished");
    for index in 0..REPLICAS {
        fs::create_dir_all(unfinished.join(format!("replica-{index}")))?;
        fs::write(unfinished.join(format!("replica-{index}")).join(NEW), [])?;
    }
    Ok(fs::rename(unfinished, folder)?)
}

fn serve(
    mut node: Node<wal::FileWal, Snapshots<Registry, store::FileStore>, SigningKey>,
    inbox: &Receiver<(PeerLink, Bytes)>,
    network: &Network,
    folder: &Path,
) -> Result<(), AnyError> {
    let (start, index) = (Instant::now(), node.status().replica.get() as usize);
    let now = || Time(start.elapsed().as_micros() as u64);
    let mut measured = None::<Instant>;
    let mut is_new = fs::exists(folder.join(NEW))?;
    loop {
        let wait = node.deadline().map_or(Duration::MAX, |deadline| deadline.since(now()));
        for (link, bytes) in inbox.recv_timeout(wait).into_iter().chain(inbox.try_iter().take(1000)) {
            if let Err(error) = node.receive(link, &bytes) {
                eprintln!("R{index}: {link:?}: {error}");
            }
        }
        let envelopes = node.run(now())?;
        // Its first record is durable, and nothing was sent: the moment to write down that it is not new any more.
        if std::mem::take(&mut is_new) {
            fs::remove_file(folder.join(NEW))?;
            fs::File::open(folder)?.sync_all()?;
        }
        envelopes.iter().for_each(|envelope| network.send(index, envelope));
        node.events().iter().for_each(|event| eprintln!("R{index}: {event}"));
        // For Prometheus' node exporter, which reads such files; it takes a second to have some.
        if measured.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
            let lines: String =
                node.status().metrics().iter().chain(&node.counters().metrics()).map(|metric| format!("{metric}\n")).collect();
            fs::write(folder.join("metrics.prom"), lines)?;
            measured = Some(Instant::now());
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("registry: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), AnyError> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .next()
        .ok_or("usage: registry FOLDER OPERATION…, an operation being \"register NAME\", \"transfer NAME OWNER\" or \"lookup NAME\"")?;
    let folder = Path::new(&folder);
    // All members build the same from the same.
    let keys = (0..REPLICAS).map(|index| key(index as u8 + 1).verifying_key()).collect();
    let cluster = Arc::new(Cluster::builder(keys, vec![key(100).verifying_key()]).build()?);

    let (network, mut inboxes): (Vec<_>, Vec<_>) = (0..=REPLICAS).map(|_| channel()).unzip();
    let (network, answers) = (Network(network), inboxes.pop().ok_or("an inbox for the client")?);
    if !fs::exists(folder)? {
        set_up(folder)?;
    }
    for (index, inbox) in inboxes.into_iter().enumerate() {
        let own = folder.join(format!("replica-{index}"));
        let open = |start| -> Result<_, AnyError> {
            let app = Snapshots::new(Registry::default(), store::FileStore::open(&own.join("snapshots"))?);
            let (log, id) = (wal::FileWal::open(&own.join("log"))?, ReplicaId::new(index as u32));
            Ok(Node::open(cluster.clone(), id, Tuning::default(), start, log, app, key(index as u8 + 1)))
        };
        let start = if fs::exists(own.join(NEW))? { Start::New } else { Start::Recovering };
        let node = match open(start)? {
            // Killed behind its first record, while it was still marked as new.
            Err(NodeError::Recover(RecoverError::NotEmpty { .. })) => open(Start::Recovering)?,
            node => node,
        }
        .map_err(|error| format!("R{index}: {error}"))?;
        let network = network.clone();
        std::thread::spawn(move || {
            if let Err(error) = serve(node, &inbox, &network, &own) {
                eprintln!("R{index} stops: {error}");
            }
        });
    }
    let operations: Vec<String> = arguments.collect();
    let me = ClientId::new(key(100).verifying_key().to_bytes());
    println!("this client is {me}");
    let mut done = BTreeSet::new();
    customer::ask(&cluster, me, &folder.join("client"), &operations, &key(100), &answers, &network, |number, operation, result| {
        done.insert(number);
        println!("{number} {operation}: {result}");
    })?;
    println!("{} operations executed", done.len());
    Ok(())
}
