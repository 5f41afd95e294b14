//! The client's machine: S1 (numbers, window, retransmission) and S2 (f+1 equal answers, receipts). Replicas' answers come as bytes,
//! through decoding and verification, as they would to a host.

mod answers;
mod lost;
mod primary;
mod receipts;
mod requests;
mod runs;

use logothete::sim::forge::Forge;
use logothete::{
    Bytes, Client, ClientDisposition, ClientEvent, ClientId, ClientIgnored, ClientInput, ClientOutput, ClientTuning, Cluster, Completion,
    Limits, PeerLink, Recipients, ReplicaId, Request, RequestNumber, SequenceNumber, SigningKey, Time, Unverified, Verified, Verifier,
    View,
};
use std::sync::Arc;

const MS: u64 = 1000;

fn number(number: u64) -> RequestNumber {
    RequestNumber::new(number)
}

fn at(sequence_number: u64) -> SequenceNumber {
    SequenceNumber::new(sequence_number)
}

fn key(kind: u8, index: usize) -> SigningKey {
    let mut seed = [kind; 32];
    seed[0] = u8::try_from(index).unwrap();
    SigningKey::from_bytes(&seed)
}

fn id_of(key: &SigningKey) -> ClientId {
    ClientId::new(key.verifying_key().to_bytes())
}

/// Replicas' keys of kind 1, two clients' keys of kind 2.
fn cluster(n: usize, limits: Limits) -> Arc<Cluster> {
    let replicas = (0..n).map(|index| key(1, index).verifying_key()).collect();
    let clients = (0..2).map(|index| key(2, index).verifying_key()).collect();
    Arc::new(Cluster::builder(replicas, clients).limits(limits).build().unwrap())
}

/// Client 0 of a cluster, and the pens of everybody else.
struct Host {
    cluster: Arc<Cluster>,
    forge: Forge,
    client: Client,
    now: Time,
    out: Vec<ClientOutput>,
}

impl Host {
    fn new(n: usize) -> Self {
        Self::with(cluster(n, Limits::default()), ClientTuning::default())
    }

    fn with(cluster: Arc<Cluster>, tuning: ClientTuning) -> Self {
        let client = Client::new(cluster.clone(), id_of(&key(2, 0)), tuning).unwrap();
        Self { forge: Forge::new(cluster.clone()), cluster, client, now: Time(MS), out: Vec::new() }
    }

    fn step(&mut self, input: ClientInput) -> ClientDisposition {
        self.client.step(self.now, input, &mut self.out)
    }

    fn submit(&mut self, operation: &[u8]) -> ClientDisposition {
        self.step(ClientInput::Submit(Bytes::from(operation)))
    }

    fn verified(&self, bytes: &[u8]) -> Verified {
        let unverified = Unverified::decode(PeerLink(0), bytes, self.cluster.limits()).unwrap();
        Verifier::new(self.cluster.clone()).verify(unverified).unwrap()
    }

    fn deliver(&mut self, bytes: &[u8]) -> ClientDisposition {
        let message = self.verified(bytes);
        self.step(ClientInput::Message(message))
    }

    fn request(&self, number: u64, operation: &[u8]) -> Request {
        self.forge.request(&key(2, 0), RequestNumber::new(number), operation)
    }

    /// A replica's reply for one leaf of a batch.
    fn reply_of(&self, replica: u32, view: u64, sequence_number: u64, leaves: &[(Request, &[u8])], index: usize) -> Vec<u8> {
        let pen = key(1, replica as usize);
        self.forge.reply((ReplicaId::new(replica), &pen), View::new(view), at(sequence_number), leaves, index)
    }

    /// A replica's reply in view 0; the request is alone in its batch.
    fn reply(&self, replica: u32, sequence_number: u64, request: &Request, result: &[u8]) -> Vec<u8> {
        self.reply_of(replica, 0, sequence_number, &[(request.clone(), result)], 0)
    }

    fn answered(&self, replica: u32, request: &Request, result: &[u8]) -> Vec<u8> {
        let pen = key(1, replica as usize);
        self.forge.answered((ReplicaId::new(replica), &pen), request.client(), request.number(), result)
    }

    fn completions(&mut self) -> Vec<Completion> {
        let (completions, others) = self.out.drain(..).partition(|output| matches!(output, ClientOutput::Completed(_)));
        self.out = others;
        let completions: Vec<ClientOutput> = completions;
        completions
            .into_iter()
            .filter_map(|output| match output {
                ClientOutput::Completed(completion) => Some(completion),
                _ => None,
            })
            .collect()
    }

    fn events(&mut self) -> Vec<ClientEvent> {
        self.out
            .drain(..)
            .filter_map(|output| match output {
                ClientOutput::Event(event) => Some(event),
                _ => None,
            })
            .collect()
    }

    /// Signs all that is to be sent.
    fn sent(&mut self) -> Vec<(Recipients, Vec<u8>)> {
        let mut sent = Vec::new();
        for output in self.out.drain(..) {
            if let ClientOutput::Send(outgoing) = output {
                sent.extend(outgoing.sign(&key(2, 0)).unwrap().iter().map(|envelope| (envelope.to(), envelope.encode().to_vec())));
            }
        }
        sent
    }
}

fn ignored(why: ClientIgnored) -> ClientDisposition {
    ClientDisposition::Ignored(why)
}

/// (number, result) of each completion; none of the results may be lost.
fn results(completions: &[Completion]) -> Vec<(u64, &[u8])> {
    completions.iter().map(|completion| (completion.number.get(), &completion.outcome.result().unwrap()[..])).collect()
}
