//! At the primary, requests gather while others are under way: votes, records and syncs are for a batch, whatever is in it.
//!
//! A batch is begun when twice as many requests wait as are under way. So one that comes alone goes at once, and under load few batches are under way,
//! which are large; nothing need be known of the network or the disk for that.

use crate::mailbox::Mail;
use std::time::{Duration, Instant};

const FACTOR: usize = 2;
/// No request waits longer.
const PATIENCE: Duration = Duration::from_millis(50);

#[derive(Default)]
pub struct Gathering {
    mail: Vec<Mail>,
    since: Option<Instant>,
    under_way: usize,
}

impl Gathering {
    pub fn add(&mut self, mail: Mail) {
        self.since.get_or_insert_with(Instant::now);
        self.mail.push(mail);
    }

    /// How long from now the first one may still wait.
    pub fn patience(&self) -> Option<Duration> {
        self.since.map(|since| PATIENCE.saturating_sub(since.elapsed()))
    }

    /// All that wait, if it is time, or if nothing is to wait here.
    pub fn release(&mut self, is_primary: bool) -> Vec<Mail> {
        let is_late = self.since.is_some_and(|since| since.elapsed() >= PATIENCE);
        if is_primary && !is_late && self.mail.len() < FACTOR * self.under_way {
            return Vec::new();
        }
        self.since = None;
        std::mem::take(&mut self.mail)
    }

    /// A request was taken to be ordered.
    pub fn taken(&mut self) {
        self.under_way += 1;
    }

    /// So many were.
    pub fn decided(&mut self, requests: usize) {
        self.under_way = self.under_way.saturating_sub(requests);
    }

    /// Nothing is under way: what was taken and is not there any more was dropped.
    pub fn reset(&mut self) {
        self.under_way = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Member;
    use logothete::{Bytes, ClientInput, ClientOutput, ClientTuning, PeerLink, SigningKey, Time, Unverified};
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    fn mail() -> Mail {
        let key = SigningKey::from_bytes(&[1; 32]);
        let cluster =
            Arc::new(logothete::Cluster::builder(vec![key.verifying_key()], vec![key.verifying_key()]).build().expect("a cluster"));
        let id = logothete::ClientId::new(key.verifying_key().to_bytes());
        let mut client = logothete::Client::new(cluster.clone(), id, ClientTuning::default()).expect("a client");
        let mut outputs = Vec::new();
        let _ = client.step(Time::default(), ClientInput::Submit(Bytes::from(b"x".as_slice())), &mut outputs);
        let sent = outputs.into_iter().find_map(|output| match output {
            ClientOutput::Send(outgoing) => Some(outgoing.sign(&key).expect("signed")),
            _ => None,
        });
        let bytes = sent.expect("sent")[0].encode();
        let room = Arc::new(Semaphore::new(1)).try_acquire_many_owned(1).expect("room");
        Mail { from: Member::Client(id), message: Unverified::decode(PeerLink(1), &bytes, cluster.limits()).expect("a request"), room }
    }

    #[test]
    fn a_batch_is_begun_when_twice_as_many_wait_as_are_under_way() {
        let mut gathering = Gathering::default();
        gathering.add(mail());
        assert_eq!(gathering.release(true).len(), 1, "alone: at once");
        (0..3).for_each(|_| gathering.taken());
        for waiting in 1..6 {
            gathering.add(mail());
            assert!(gathering.release(true).is_empty(), "{waiting} wait");
            assert!(gathering.patience().is_some_and(|left| left <= PATIENCE));
        }
        gathering.add(mail());
        assert_eq!(gathering.release(true).len(), 6);
        assert_eq!(gathering.patience(), None, "nothing waits");
        (0..2).for_each(|_| gathering.add(mail()));
        gathering.decided(1);
        assert!(gathering.release(true).is_empty(), "two are under way");
        gathering.decided(1);
        assert_eq!(gathering.release(true).len(), 2, "one is");
    }

    #[test]
    fn nobody_waits_for_long_or_for_what_was_dropped_or_where_nothing_is_proposed() {
        let mut gathering = Gathering::default();
        (0..100).for_each(|_| gathering.taken());
        gathering.add(mail());
        assert!(gathering.release(true).is_empty());
        assert_eq!(gathering.release(false).len(), 1, "not the primary");
        gathering.add(mail());
        assert!(gathering.release(true).is_empty());
        gathering.reset();
        assert_eq!(gathering.release(true).len(), 1);
        (0..100).for_each(|_| gathering.taken());
        gathering.add(mail());
        std::thread::sleep(PATIENCE);
        assert_eq!((gathering.patience(), gathering.release(true).len()), (Some(Duration::ZERO), 1));
    }
}
