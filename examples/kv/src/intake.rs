//! From mail to what the replica is told: each member's part, verified on a pool of threads; what comes of one who was caught with a bad signature last and apart (SPEC 3.7).

use logothete::{ClientId, Cluster, Inbox, PeerLink, Time, Tuning, Unverified, Verified, Verifier, VerifyError};
use rayon::prelude::*;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// What is verified as one piece of work, at least and at most: more at a time costs less for each.
const PIECE: (usize, usize) = (128, 512);

/// What was found of one message.
pub struct Judged {
    /// Who sent it.
    pub peer: PeerLink,
    /// Whose it is, if it is a request.
    pub client: Option<ClientId>,
    pub verdict: Result<Verified, VerifyError>,
}

pub struct Intake {
    /// Emptied in each turn; what waits longer waits in trays, which have bounds of their own.
    pub inbox: Inbox,
    verifier: Verifier,
    pool: rayon::ThreadPool,
    /// In the last portion.
    caught: BTreeSet<PeerLink>,
}

impl Intake {
    pub fn new(cluster: Arc<Cluster>, tuning: &Tuning, pool: rayon::ThreadPool) -> Self {
        let inbox = Inbox::new(&Tuning { inbox_bytes_max: u64::MAX, ..tuning.clone() });
        Self { inbox, verifier: Verifier::new(cluster), pool, caught: BTreeSet::new() }
    }

    /// Takes the next portion of what is needed, and verifies it.
    pub fn verify(&mut self, needed: &mut VecDeque<Unverified>, now: Time) -> Vec<Judged> {
        let threads = self.pool.current_num_threads();
        let portion = self.inbox.portion(needed, threads, now);
        let senders: Vec<_> = portion.iter().map(|message| (message.link(), message.client())).collect();
        let size = portion.len().div_ceil(threads).clamp(PIECE.0, PIECE.1);
        let mut pieces: Vec<Vec<Unverified>> = Vec::new();
        for message in portion {
            match pieces.last_mut().filter(|piece| piece.len() < size) {
                Some(piece) => piece.push(message),
                None => pieces.push(vec![message]),
            }
        }
        let verifier = &self.verifier;
        let verdicts: Vec<_> = if pieces.len() == 1 || threads == 1 {
            pieces.into_iter().map(|piece| verifier.verify_all(piece)).collect()
        } else {
            self.pool.install(|| pieces.into_par_iter().map(|piece| verifier.verify_all(piece)).collect())
        };
        let judged = senders.into_iter().zip(verdicts.into_iter().flatten());
        let judged: Vec<_> = judged.map(|((peer, client), verdict)| Judged { peer, client, verdict }).collect();
        self.caught.clear();
        for bad in judged.iter().filter(|judged| judged.verdict.is_err()) {
            if self.inbox.refused(bad.peer, now) {
                self.caught.insert(bad.peer);
            }
        }
        judged
    }

    /// Is it still to be verified? What was taken of a member before the last portion caught it counts as if it came now.
    pub fn stays(&mut self, message: &Unverified, now: Time) -> bool {
        !self.caught.contains(&message.link()) || self.inbox.lets_through(message, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logothete::{Bytes, Client, ClientId, ClientInput, ClientOutput, ClientTuning, SigningKey};

    const HONEST: u64 = 4;
    const LIAR: u64 = 5;

    fn key(seed: u64) -> SigningKey {
        SigningKey::from_bytes(&[seed as u8; 32])
    }

    /// So many requests of a member, good ones or bad ones.
    fn requests(cluster: &Arc<Cluster>, member: u64, signer: &SigningKey, count: usize) -> Vec<Unverified> {
        let id = ClientId::new(key(member).verifying_key().to_bytes());
        let mut client = Client::new(cluster.clone(), id, ClientTuning::default()).expect("a client");
        let mut outputs = Vec::new();
        (0..count).for_each(|_| drop(client.step(Time(0), ClientInput::Submit(Bytes::from(vec![0; 500])), &mut outputs)));
        let sends = outputs.into_iter().filter_map(|output| match output {
            ClientOutput::Send(outgoing) => Some(outgoing.sign(signer).expect("signed")),
            _ => None,
        });
        let decode = |bytes: Bytes| Unverified::decode(PeerLink(member), &bytes, cluster.limits()).expect("a request");
        sends.flatten().map(|envelope| decode(envelope.encode())).collect()
    }

    #[test]
    fn a_flood_of_bad_signatures_spoils_one_load_and_leaves_the_others_whole() {
        let keys = (1..=LIAR).map(|member| key(member).verifying_key()).collect();
        let cluster = Arc::new(Cluster::builder(vec![key(100).verifying_key()], keys).build().expect("a cluster"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
        let tuning = Tuning::default();
        let mut intake = Intake::new(cluster.clone(), &tuning, pool);
        let good: Vec<Unverified> = (1..=HONEST).flat_map(|member| requests(&cluster, member, &key(member), 64)).collect();
        let bad = requests(&cluster, LIAR, &key(99), 256);
        for load in 0..10_u32 {
            // All of it in one interval but for the last, in which the doubted one is heard a little again.
            let now = Time(0).after(tuning.status_interval * (load / 9));
            // However it calls, and calls again, it is the same member.
            bad.iter().chain(&good).for_each(|message| intake.inbox.push(message.clone()));
            let mut needed = VecDeque::from(intake.inbox.take(now));
            let (mut verified, mut refused, mut in_company) = (0, 0, 0);
            while !needed.is_empty() {
                let portion = intake.verify(&mut needed, now);
                needed.retain(|message| intake.stays(message, now));
                assert!(portion.iter().all(|judged| judged.verdict.is_err() == (judged.peer == PeerLink(LIAR))));
                let ours = portion.iter().filter(|judged| judged.verdict.is_ok()).count();
                let theirs = portion.len() - ours;
                (verified, refused) = (verified + ours, refused + theirs);
                in_company += usize::from(ours > 0 && theirs > 0);
            }
            assert_eq!(verified, good.len(), "each load");
            match load {
                0 => assert!(in_company == 1 && refused > 0 && refused < bad.len(), "{refused} in {in_company}"),
                _ => assert!(in_company == 0 && refused < 30, "load {load}: {refused} in {in_company}"),
            }
        }
    }
}
