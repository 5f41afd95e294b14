//! A client among four replicas whose answers the fuzzer writes: at most one lies, or all of them do. (SPEC S1, S2)

use super::choices::Choices;
use super::support::{client_key, replica_key};
use logothete::sim::forge::Forge;
use logothete::{
    Bytes, Client, ClientDisposition, ClientEvent, ClientId, ClientInput, ClientOutput, ClientTuning, Cluster, Outcome, PeerLink,
    ReplicaId, Request, RequestNumber, SequenceNumber, SigningKey, Time, Unverified, Verifier, View,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

fn cluster() -> &'static Arc<Cluster> {
    static CLUSTER: OnceLock<Arc<Cluster>> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let limits = logothete::Limits { client_window: 8, operation_bytes_max: 100, ..logothete::Limits::default() };
        Arc::new(super::support::builder(4, 2).limits(limits).build().expect("a valid cluster"))
    })
}

struct Run {
    forge: Forge,
    verifier: Verifier,
    keys: Vec<SigningKey>,
    client: Client,
    now: Time,
    latest: Time,
    /// Replica 3 lies; so do the others if this is set.
    free: bool,
    requests: BTreeMap<RequestNumber, Request>,
    completed: BTreeSet<RequestNumber>,
    accused: BTreeSet<ReplicaId>,
}

/// What a correct replica answers: a function of the request.
fn truth(number: RequestNumber, operation: &[u8]) -> Vec<u8> {
    [&number.get().to_le_bytes()[..], operation].concat()
}

impl Run {
    fn new(choices: &mut Choices<'_>) -> Self {
        let mode = choices.byte();
        let id = ClientId::new(client_key(0).verifying_key().to_bytes());
        let first_number = RequestNumber::new(if mode & 2 == 0 { 1 } else { choices.number().max(1) });
        let tuning = ClientTuning {
            retransmit_timeout: std::time::Duration::from_micros(if mode & 4 == 0 { 1000 } else { choices.number() }),
            backoff_max: u32::try_from(choices.number()).unwrap_or(u32::MAX),
            first_number,
        };
        Self {
            forge: Forge::new(cluster().clone()),
            verifier: Verifier::new(cluster().clone()),
            keys: (0..4).map(replica_key).collect(),
            client: Client::new(cluster().clone(), id, tuning).expect("enrolled"),
            now: Time(1_000_000),
            latest: Time(1_000_000),
            free: mode & 1 == 1,
            requests: BTreeMap::new(),
            completed: BTreeSet::new(),
            accused: BTreeSet::new(),
        }
    }

    fn step(&mut self, input: ClientInput) -> ClientDisposition {
        self.latest = self.latest.max(self.now);
        let mut out = Vec::new();
        let disposition = self.client.step(self.now, input, &mut out);
        for output in out {
            self.take(output);
        }
        let window = cluster().limits().client_window as usize;
        assert!(self.client.outstanding() <= window, "S1: more are under way than the window is wide");
        assert!(self.client.resume_number() <= self.client.next_number());
        // At the end of time nothing is due any more.
        let waits = self.client.deadline().is_some() || self.latest.0 > u64::MAX / 2;
        assert!(waits || self.client.outstanding() == 0, "S1: it waits and wants no timer");
        disposition
    }

    fn take(&mut self, output: ClientOutput) {
        match output {
            ClientOutput::Send(outgoing) => {
                let envelopes = outgoing.sign(&client_key(0)).expect("signed");
                for envelope in &envelopes {
                    let unverified =
                        Unverified::decode(PeerLink(0), &envelope.encode(), cluster().limits()).expect("it sends what decodes");
                    assert!(self.verifier.verify(unverified).is_ok(), "S1: it sends what nobody believes");
                }
            }
            ClientOutput::Completed(completion) => {
                let number = completion.number;
                assert!(self.completed.insert(number), "S2: {number} completes twice");
                let request = self.requests.get(&number).expect("S2: what was never submitted completes");
                match completion.outcome {
                    Outcome::Result { result, receipt } => {
                        let truth = truth(number, request.operation());
                        assert!(self.free || truth[..] == result[..], "S2: it believes one liar");
                        if let Some(receipt) = receipt {
                            assert!(receipt.verify(cluster()).is_ok(), "S2: a receipt that nobody else believes");
                            assert!(receipt.operation_matches(request.operation()) && receipt.result() == &result[..]);
                            assert_eq!((receipt.client(), receipt.number()), (self.client.id(), number));
                        }
                    }
                    lost @ Outcome::ResultLost { .. } => {
                        assert!(self.free || lost.result_matches(&truth(number, request.operation())), "S2: it believes one liar");
                    }
                }
            }
            ClientOutput::Event(ClientEvent::Evidence(evidence)) => {
                assert!(evidence.verify(cluster()).is_ok(), "E: it accuses without a proof");
                assert!(self.free || evidence.culprit().get() == 3, "I21: it accuses a correct replica");
                assert!(self.accused.insert(evidence.culprit()), "E: it accuses twice");
            }
            ClientOutput::Event(_) => {}
            other => panic!("unknown output {other:?}"),
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        let Ok(unverified) = Unverified::decode(PeerLink(0), bytes, cluster().limits()) else { return };
        if let Ok(verified) = self.verifier.verify(unverified) {
            let _ = self.step(ClientInput::Message(verified));
        }
    }

    fn submit(&mut self, choices: &mut Choices<'_>) {
        let length = if choices.percent(5) { 101 } else { choices.below(4) };
        let operation = Bytes::from(vec![choices.byte(); length]);
        if let ClientDisposition::Submitted(number) = self.step(ClientInput::Submit(operation.clone())) {
            let request = self.forge.request(&client_key(0), number, &operation);
            assert!(self.requests.insert(number, request).is_none(), "S1: a number is used twice");
        }
    }

    /// Batches are of two requests at most: one request's number is its position, and a neighbour stands beside it or not, for all alike.
    fn reply(&self, choices: &mut Choices<'_>) -> Option<Vec<u8>> {
        let requests: Vec<&Request> = self.requests.values().collect();
        let request = *choices.pick(&requests)?;
        let replica = choices.below(4);
        let lies = (self.free || replica == 3) && choices.percent(60);
        let traitor = (ReplicaId::new(replica as u32), &self.keys[replica]);
        let mut result = truth(request.number(), request.operation());
        let mut request = request.clone();
        let mut view = View::new(0);
        let mut position = SequenceNumber::new(request.number().get());
        if lies {
            match choices.below(5) {
                0 => result = choices.bytes(20).to_vec(),
                1 => request = self.forge.request(&client_key(0), request.number(), b"another"),
                2 => request = self.forge.request(&client_key(1), request.number(), request.operation()),
                3 => position = SequenceNumber::new(choices.number()),
                _ => request = self.forge.request(&client_key(0), RequestNumber::new(choices.number()), request.operation()),
            }
            view = View::new(choices.number());
        }
        if choices.percent(30) {
            return Some(self.forge.answered(traitor, request.client(), request.number(), &result));
        }
        let neighbour = self.forge.request(&client_key(1), request.number(), b"neighbour");
        let mut leaves: Vec<(Request, &[u8])> = vec![(request.clone(), &result)];
        if request.number().get() % 2 == 0 {
            leaves.insert(0, (neighbour, b"beside it"));
        }
        Some(self.forge.reply(traitor, view, position, &leaves, leaves.len() - 1))
    }
}

pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut run = Run::new(&mut choices);
    let mut heard: Vec<Vec<u8>> = Vec::new();
    for _ in 0..150 {
        if choices.is_done() {
            break;
        }
        match choices.byte() % 12 {
            0..=2 => run.submit(&mut choices),
            3..=7 => {
                if let Some(bytes) = run.reply(&mut choices) {
                    run.hear(&bytes);
                    heard.push(bytes);
                }
            }
            8 => {
                run.now = Time(run.now.0.saturating_add(choices.number().saturating_mul(100)));
                let _ = run.step(ClientInput::Timer);
            }
            9 => {
                // Late by much, or in the past.
                run.now = Time(choices.near(run.now.0));
                let _ = run.step(ClientInput::Timer);
            }
            10 => {
                if let Some(bytes) = choices.pick(&heard).cloned() {
                    run.hear(&bytes);
                }
            }
            _ => {
                let bytes = choices.bytes(200).to_vec();
                run.hear(&bytes);
            }
        }
    }
}
