//! What else goes wrong, beside network, disks and traitors who lie about the log: clients, keys, services and hosts. Drawn from dice of its own, so that a
//! schedule with and without it has the same other faults.

use super::forge::{Forge, Kind};
use super::net::Net;
use super::prng::Prng;
use super::storm::Storm;
use super::{client_key, replica_key};
use crate::{Cluster, Digest, ReplicaId, RequestNumber};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// One kind of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prank {
    /// Traitors say again and again, to one replica or to all, that they have lost their logs.
    Losses,
    /// A client signs two operations under each number, and gives one to some replicas and one to the others, whatever view they are in.
    TwoFaced,
    /// The same people run another cluster with the same keys, and its messages arrive here.
    Stranger,
    /// One replica is as far away as half of what a primary may let wait.
    Far,
    /// The service of one correct replica is not as the others': its state is another for a while. It counts among the f faulty ones.
    Flaw,
    /// Who fetches a state loses its log meanwhile, if it may.
    Relapse,
}

impl Prank {
    /// Every one of them.
    pub const ALL: [Self; 6] = [Self::Losses, Self::TwoFaced, Self::Stranger, Self::Far, Self::Flaw, Self::Relapse];
}

/// What of it there is in one run.
pub struct Mischief {
    /// Which.
    pub pranks: BTreeSet<Prank>,
    dice: Prng,
    /// Writes for the other cluster.
    stranger: Forge,
    /// The two-faced client.
    client: usize,
    number: RequestNumber,
    traitors: Vec<usize>,
    /// Correct replicas that may be faulty beside those.
    spare: usize,
}

impl Mischief {
    /// In half of all runs up to three kinds. `stranger` is a cluster of the same members with other numbers; `client` is nobody else's; so many correct replicas may be faulty.
    pub fn new(seed: u64, net: &Net, stranger: Arc<Cluster>, client: usize, spare: usize) -> Self {
        let mut dice = Prng::new(seed.wrapping_mul(0x9e6c_63d0_876a_68e5));
        let count = if dice.percent(50) { dice.between(1, 3) } else { 0 };
        let pranks = (0..count).map(|_| Prank::ALL[dice.between(0, Prank::ALL.len() as u64 - 1) as usize]).collect();
        let traitors = net.twists.keys().copied().filter(|at| *at < net.cluster.size() as usize).collect();
        Self { pranks, dice, stranger: Forge::new(stranger), client, number: RequestNumber::default(), traitors, spare }
    }

    fn has(&self, prank: Prank) -> bool {
        self.pranks.contains(&prank)
    }

    /// One of these.
    fn pick(&mut self, among: &[usize]) -> Option<usize> {
        let last = among.len().checked_sub(1)?;
        among.get(self.dice.between(0, last as u64) as usize).copied()
    }

    /// At the beginning. What nobody can play in this run is left out.
    pub fn begin(&mut self, net: &mut Net, storm: &mut Storm) {
        let loyal = net.loyal();
        let (traitors, spare) = (!self.traitors.is_empty(), self.spare > 0);
        self.pranks.retain(|prank| match prank {
            Prank::Losses => traitors,
            Prank::Flaw => spare,
            _ => true,
        });
        if self.has(Prank::Far) {
            let half = Duration::from_micros(self.dice.between(1, net.tuning.request_timeout.as_micros() as u64 / 2));
            let far = self.pick(&loyal).map(|at| (at, half.as_micros() as u64));
            net.lag.extend(far);
        }
        if self.has(Prank::Flaw) {
            let Some(at) = self.pick(&loyal) else { return };
            let flaw = (self.dice.next() as u8, self.dice.between(1, 12));
            net.say(format!("R{at} HAS A FLAW: {flaw:?}"));
            net.hosts[at].flaw.set(flaw);
            net.oracle.errs(at);
            storm.odd.insert(at);
        }
    }

    /// Between two stretches of a run.
    pub fn act(&mut self, net: &mut Net, storm: &mut Storm) {
        if self.has(Prank::Losses) {
            self.tell_of_losses(net);
        }
        if self.has(Prank::TwoFaced) {
            self.sign_twice(net);
        }
        if self.has(Prank::Stranger) {
            self.mix(net);
        }
        if self.has(Prank::Relapse) {
            let fetches = |at: &usize| !net.dead.contains(at) && net.hosts[*at].replica.status().transfer.is_some();
            let fetching: Vec<usize> = net.loyal().into_iter().filter(fetches).collect();
            if let Some(at) = self.pick(&fetching) {
                storm.lose_log(net, &mut self.dice, at);
            }
        }
    }

    /// Nothing of it lasts.
    pub fn end(&self, net: &mut Net) {
        net.lag.clear();
        net.hosts.iter().for_each(|host| host.flaw.set((0, 0)));
    }

    fn tell_of_losses(&mut self, net: &mut Net) {
        let traitors = self.traitors.clone();
        let Some(traitor) = self.pick(&traitors) else { return };
        let nonce = [self.dice.next() as u8; 32];
        let bytes = net.forge.rejoin((ReplicaId::new(traitor as u32), &replica_key(traitor)), nonce);
        let all = self.dice.percent(30);
        for to in 0..net.hosts.len() {
            if to != traitor && (all || self.dice.percent(30)) {
                net.post(Some(traitor), to, bytes.clone());
            }
        }
    }

    fn sign_twice(&mut self, net: &mut Net) {
        // The last ones again, or the next.
        if self.number == RequestNumber::default() || self.dice.percent(50) {
            self.number = self.number.next();
        }
        let key = client_key(self.client);
        let messages = [b"aye", b"nay"].map(|operation| net.forge.request_message(&net.forge.request(&key, self.number, operation)));
        for to in 0..net.hosts.len() {
            net.post(None, to, messages[usize::from(self.dice.percent(50))].clone());
        }
    }

    /// What a correct replica would say there, of the position where it stands here.
    fn mix(&mut self, net: &mut Net) {
        let loyal = net.loyal();
        let Some(at) = self.pick(&loyal).filter(|at| *at < net.cluster.size() as usize) else { return };
        let standing = net.hosts[at].replica.standing();
        let (id, key) = (ReplicaId::new(at as u32), replica_key(at));
        let (view, position) = (standing.view, (standing.head.0.next(), Digest::new([self.dice.next() as u8; 32])));
        let forge = &self.stranger;
        let bytes = match self.dice.between(0, 5) {
            0 => forge.vote((id, &key), Kind::Prepare, view, position),
            1 => forge.vote((id, &key), Kind::Commit, view, position),
            2 => forge.view_change_message(&forge.view_change((id, &key), standing.want.next(), None)),
            3 => forge.pre_prepare(&key, view, &forge.block(position.0, standing.head.1, Vec::new())),
            4 => forge.rejoin((id, &key), [7; 32]),
            _ => forge.status((id, &key), u64::MAX, view, standing.want.next(), position.0),
        };
        for to in 0..net.hosts.len() {
            net.post(None, to, bytes.clone());
        }
    }
}
