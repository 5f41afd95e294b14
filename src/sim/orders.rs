//! Clients without a machine, for those who want no answer: a request, said again to all until some correct replica has executed it.

use super::client_key;
use super::net::Net;
use super::parcel::Parcel;
use crate::{Request, RequestNumber, Time};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What a request's client still waits for.
struct Waiting {
    parcel: Parcel,
    next: Time,
}

/// What such clients have asked for, and was not executed yet.
pub(super) struct Orders {
    waiting: BTreeMap<(usize, RequestNumber), Waiting>,
    /// When the first of them is repeated.
    pub(super) next_retry: Time,
    /// Who asked for anything, by key.
    clients: BTreeMap<[u8; 32], usize>,
}

impl Default for Orders {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), next_retry: Time(u64::MAX), clients: BTreeMap::new() }
    }
}

impl Net {
    /// A client's next request, to these replicas; repeated to all until some correct replica has executed it.
    pub fn submit_to(&mut self, client: usize, operation: &[u8], replicas: &[usize]) -> RequestNumber {
        let number = self.numbers.get(&client).copied().unwrap_or_default().next();
        self.numbers.insert(client, number);
        let key = client_key(client);
        self.orders.clients.insert(key.verifying_key().to_bytes(), client);
        // S3: where hosts gather, so do clients. The others that they signed with it never come.
        let count = if self.gathers { 1 + number.get() % 5 } else { 1 };
        let first = RequestNumber::new(number.get() - number.get() / 5 % count.min(number.get()));
        let operations: Vec<&[u8]> = (0..count).map(|at| if first.plus(at) == number { operation } else { b"never sent" }).collect();
        let request = self.forge.run(&key, first, &operations).remove((number.get() - first.get()) as usize);
        let parcel = Parcel::from(self.forge.request_message(&request));
        for replica in replicas {
            self.post(None, *replica, parcel.clone());
        }
        let next = self.now.after(self.retry);
        self.orders.waiting.insert((client, number), Waiting { parcel, next });
        self.orders.next_retry = self.orders.next_retry.min(next);
        number
    }

    /// The same, to the primary as the first correct host knows it.
    pub fn submit(&mut self, client: usize, operation: &[u8]) -> RequestNumber {
        let view = self.loyal().first().map(|index| self.hosts[*index].replica.status().view).unwrap_or_default();
        let primary = self.cluster.primary(view).get() as usize;
        self.submit_to(client, operation, &[primary])
    }

    /// A correct replica has executed it: its client is content.
    pub(super) fn served(&mut self, request: &Request) {
        if let Some(client) = self.orders.clients.get(request.client().as_bytes()) {
            if self.orders.waiting.remove(&(*client, request.number())).is_some() {
                self.note_retry();
            }
        }
    }

    fn note_retry(&mut self) {
        self.orders.next_retry = self.orders.waiting.values().map(|waiting| waiting.next).min().unwrap_or(Time(u64::MAX));
    }

    pub(super) fn repeat_requests(&mut self) {
        let due: Vec<_> = self.orders.waiting.iter().filter(|(_, waiting)| waiting.next <= self.now).map(|(key, _)| *key).collect();
        for key in due {
            let next = self.now.after(self.retry);
            let Some(waiting) = self.orders.waiting.get_mut(&key) else { continue };
            waiting.next = next;
            let parcel = waiting.parcel.clone();
            for replica in 0..self.hosts.len() {
                self.post(None, replica, parcel.clone());
            }
        }
        self.note_retry();
    }
}
