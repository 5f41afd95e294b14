//! Four replicas and a client in a WebAssembly module that imports nothing: no operating system, no standard library. Its host hands in the time.
//! `decide(n)` submits n requests and returns how many of them were completed.
#![no_std]
extern crate alloc;

use alloc::collections::VecDeque;
use alloc::{sync::Arc, vec, vec::Vec};
use logothete::*;

#[global_allocator]
static MEMORY: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[panic_handler]
fn panicked(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

#[derive(Default)]
struct Length(u64);

impl Service for Length {
    fn execute(&mut self, decision: &Decision) -> Vec<Bytes> {
        let add = |request: &Request| {
            self.0 += request.operation().len() as u64;
            Bytes::from(self.0.to_be_bytes().to_vec())
        };
        decision.requests().map(add).collect()
    }
    fn snapshot(&self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), AppError> {
        self.0 = u64::from_be_bytes(snapshot.try_into()?);
        Ok(())
    }
}

const CLIENT: usize = 4;

fn run(requests: u32) -> Result<u32, AppError> {
    let key = |seed: usize| SigningKey::from_bytes(&[seed as u8; 32]);
    let me = key(9).verifying_key();
    let cluster = Arc::new(Cluster::builder((0..4).map(|index| key(index).verifying_key()).collect(), vec![me]).build()?);
    let open = |index: usize| {
        let app = Snapshots::new(Length::default(), Volatile::default());
        Node::open(cluster.clone(), ReplicaId::new(index as u32), Tuning::default(), Start::New, Volatile::default(), app, key(index))
    };
    let mut nodes = (0..4).map(open).collect::<Result<Vec<_>, _>>()?;
    let mut client = Client::new(cluster.clone(), ClientId::new(me.to_bytes()), ClientTuning::default())?;
    let verifier = Verifier::new(cluster.clone());
    let mut network: VecDeque<(usize, usize, Bytes)> = VecDeque::new();
    let (mut out, mut completed) = (Vec::new(), 0);
    for length in 1..=requests as usize {
        drop(client.step(Time(0), ClientInput::Submit(Bytes::from(vec![0; length])), &mut out));
    }
    // Nothing is lost, so nobody's timer is needed. A run that takes longer than this has failed.
    for millisecond in 0..1000 {
        let now = Time(millisecond * 1000);
        let mut sent: Vec<(usize, Envelope)> = Vec::new();
        for output in out.drain(..) {
            match output {
                ClientOutput::Send(outgoing) => sent.extend(outgoing.sign(&key(9))?.into_iter().map(|envelope| (CLIENT, envelope))),
                ClientOutput::Completed(_) => completed += 1,
                _ => {}
            }
        }
        for (index, node) in nodes.iter_mut().enumerate() {
            sent.extend(node.run(now)?.into_iter().map(|envelope| (index, envelope)));
        }
        for (from, envelope) in sent {
            let is_for = |to: &usize| match envelope.to() {
                Recipients::AllReplicas => *to < 4 && *to != from,
                Recipients::Replica(replica) => *to == replica.get() as usize,
                Recipients::Client(_) => *to == CLIENT,
            };
            network.extend((0..=CLIENT).filter(is_for).map(|to| (from, to, envelope.encode())));
        }
        for (from, to, bytes) in network.drain(..) {
            let link = PeerLink(from as u64);
            match nodes.get_mut(to) {
                Some(node) => node.receive(link, &bytes)?,
                None => {
                    let message = verifier.verify(Unverified::decode(link, &bytes, cluster.limits())?)?;
                    drop(client.step(now, ClientInput::Message(message), &mut out));
                }
            }
        }
        if completed == requests {
            break;
        }
    }
    Ok(completed)
}

/// How many of `requests` requests four replicas decide, and their client believes.
#[unsafe(no_mangle)]
pub extern "C" fn decide(requests: u32) -> u32 {
    run(requests).unwrap_or_default()
}
