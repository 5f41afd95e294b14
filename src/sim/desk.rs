//! The crate's own clients in the simulated network: requests out, answers in, over the same wire, and each completion is checked.

use super::net::Net;
use super::parcel::{Letter, Parcel};
use super::{Pen, client_key};
use crate::{
    Bytes, Client, ClientDisposition, ClientEvent, ClientId, ClientInput, ClientOutput, ClientTuning, Completion, Outgoing, Recipients,
    RequestNumber, Time,
};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A client and its host.
pub struct Desk {
    /// The machine.
    pub client: Client,
    pen: Pen,
    /// What was asked for, by its number, and not answered yet.
    open: BTreeMap<RequestNumber, Vec<u8>>,
    /// What was answered, in that order.
    pub completions: Vec<Completion>,
    /// Answers that were no messages, or did not verify.
    pub refused: usize,
}

impl Net {
    /// From now on this client is a [`Client`], which goes by what it is told.
    ///
    /// # Panics
    /// If there is no such client in the cluster, or it has asked for something already.
    pub fn enlist(&mut self, client: usize, tuning: ClientTuning) {
        assert!(!self.numbers.contains_key(&client), "client {client} has asked for something already");
        let key = client_key(client);
        let id = ClientId::new(key.verifying_key().to_bytes());
        let machine = Client::new(self.cluster.clone(), id, tuning).expect("a client of this cluster");
        let pen = Pen::new(&self.cluster, key);
        self.desks.insert(client, Desk { client: machine, pen, open: BTreeMap::new(), completions: Vec::new(), refused: 0 });
    }

    /// Asks for an operation; None if the client has too many under way.
    ///
    /// # Panics
    /// If the client was not enlisted.
    pub fn ask(&mut self, client: usize, operation: &[u8]) -> Option<RequestNumber> {
        match self.step_client(client, ClientInput::Submit(Bytes::from(operation))) {
            ClientDisposition::Submitted(number) => {
                self.numbers.insert(client, number);
                Some(number)
            }
            _ => None,
        }
    }

    /// All that was asked for by enlisted clients is answered.
    pub fn all_answered(&self) -> bool {
        self.desks.values().all(|desk| desk.open.is_empty())
    }

    pub(super) fn desk_of(&self, id: &ClientId) -> Option<usize> {
        self.desks.iter().find(|(_, desk)| desk.client.id() == *id).map(|(client, _)| *client)
    }

    pub(super) fn answer(&mut self, client: usize, parcel: &Parcel) {
        let Letter::True(verified) = parcel.letter(self.cluster.limits(), &self.verifier) else {
            if let Some(desk) = self.desks.get_mut(&client) {
                desk.refused += 1;
            }
            return;
        };
        let _ = self.step_client(client, ClientInput::Message(verified.clone()));
    }

    pub(super) fn step_client(&mut self, client: usize, input: ClientInput) -> ClientDisposition {
        let mut out = Vec::new();
        let operation = if let ClientInput::Submit(operation) = &input { Some(operation.to_vec()) } else { None };
        let now = self.now;
        let desk = self.desks.get_mut(&client).expect("an enlisted client");
        let disposition = desk.client.step(now, input, &mut out);
        if let (ClientDisposition::Submitted(number), Some(operation)) = (&disposition, operation) {
            desk.open.insert(*number, operation);
        }
        let mut sends = Vec::new();
        for output in out {
            match output {
                ClientOutput::Send(outgoing) => sends.push(outgoing),
                ClientOutput::Completed(completion) => self.complete(client, completion),
                ClientOutput::Event(ClientEvent::Evidence(evidence)) => {
                    let culprit = evidence.culprit().get() as usize;
                    assert!(
                        self.twists.contains_key(&culprit),
                        "I21: client {client} has proof against the correct R{culprit}: {evidence}"
                    );
                }
                ClientOutput::Event(_) => {}
            }
        }
        self.send_orders(client, sends);
        self.desks_due = self.desks.values().filter_map(|desk| desk.client.deadline()).min().unwrap_or(Time(u64::MAX));
        disposition
    }

    fn send_orders(&mut self, client: usize, sends: Vec<Outgoing>) {
        for outgoing in if self.gathers { Outgoing::join(sends) } else { sends } {
            for envelope in outgoing.sign(&self.desks[&client].pen).expect("signed") {
                let parcel = self.wrap(&envelope);
                let to = match envelope.to() {
                    Recipients::Replica(replica) => replica.get() as usize..replica.get() as usize + 1,
                    _ => 0..self.hosts.len(),
                };
                to.for_each(|to| self.post(None, to, parcel.clone()));
            }
        }
    }

    // S2
    fn complete(&mut self, client: usize, completion: Completion) {
        let number = completion.number;
        let has_own_service = self.service.is_some();
        let desk = self.desks.get_mut(&client).expect("an enlisted client");
        let operation = desk.open.remove(&number);
        let Some(operation) = operation else { panic!("S2: client {client} completes {number:?} and had not asked for it, or twice") };
        // The diary answers with what it was asked for.
        assert!(
            has_own_service || completion.outcome.result_matches(&operation),
            "S2: client {client} believes a false result of {number:?}"
        );
        assert!(
            self.oracle.was_executed(desk.client.id(), number),
            "S2: client {client} completes {number:?}, which no correct replica executed"
        );
        if let Some(receipt) = completion.outcome.receipt() {
            receipt.verify(&self.cluster).expect("S2: a receipt that anyone can check");
        }
        desk.completions.push(completion);
    }
}
