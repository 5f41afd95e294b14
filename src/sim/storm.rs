//! Crashes: at any write, of the log or of a snapshot, one or many at once, on disks that are full, with the log lost or damaged now and then; and every host comes
//! back after a while.

use super::prng::Prng;
use super::{Fate, Net};
use crate::{Bytes, RecoverError, Start, Time};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;

/// What breaks, how often, and who is away.
#[derive(Clone, Debug, Default)]
pub struct Storm {
    /// In percent: that something breaks when the storm blows.
    pub violence: u64,
    /// So many replicas may be without their log at a time.
    pub forgetful: usize,
    /// They are, and count among the f faulty ones until they have rejoined.
    pub forgot: BTreeSet<usize>,
    /// They are faulty otherwise, for the whole of the run, and count among the f too.
    pub odd: BTreeSet<usize>,
    /// Logs lost so far.
    pub losses: u64,
    /// How long a host stays off at most, in microseconds.
    pub rest: u64,
    /// Logs with a flipped bit so far.
    pub flips: u64,
    /// Files of snapshots with a flipped bit so far.
    pub spoils: u64,
    /// Disks that were full so far.
    pub full: u64,
    /// It lacks the state that it has vouched for: another one has it, whatever the traitors do.
    stateless: Option<usize>,
    /// Their logs have a flipped bit, which they are to find.
    damaged: BTreeSet<usize>,
    nonces: u8,
    back_at: BTreeMap<usize, Time>,
}

impl Storm {
    /// `violence` in percent, so many lost logs at a time, `rest` in microseconds.
    pub fn new(violence: u64, forgetful: usize, rest: u64) -> Self {
        Self { violence, forgetful, rest, ..Self::default() }
    }

    fn fate(dice: &mut Prng) -> Fate {
        match dice.between(0, 2) {
            0 => Fate::Lost,
            1 => Fate::Torn(dice.between(0, 100)),
            _ => Fate::Kept,
        }
    }

    /// Between two stretches of a run: who is to come back does, and perhaps something breaks, now or soon.
    pub fn blow(&mut self, net: &mut Net, dice: &mut Prng) {
        self.restart(net, dice, false);
        let loyal = net.loyal();
        if !dice.percent(self.violence) {
            return;
        }
        let up: Vec<usize> = loyal.iter().copied().filter(|at| !net.dead.contains(at)).collect();
        let Some(at) = up.get(dice.between(0, up.len().max(1) as u64 - 1) as usize).copied() else { return };
        match dice.between(0, 13) {
            0..=3 => net.hosts[at].crash_at = Some((net.hosts[at].writes + dice.between(1, 12), Self::fate(dice))),
            4 | 5 => net.hosts[at].disk.with(|content| content.changes_left = Some(dice.between(0, 9))),
            6 => net.crash(at),
            7 => up.iter().filter(|_| dice.percent(50)).for_each(|at| net.crash(*at)),
            8 => up.iter().for_each(|at| net.crash(*at)),
            9 => {
                // Its next write, of the log or of a snapshot, fails, and that is its end until somebody makes room.
                net.hosts[at].disk.with(|content| content.full = true);
                self.full += 1;
            }
            10 => self.flip_bit(net, dice, at),
            11 => self.spoil_file(net, dice, at),
            _ => self.lose_log(net, dice, at),
        }
    }

    /// Who has again what it was without?
    fn take_stock(&mut self, net: &Net) {
        let without = |at: &usize| net.dead.contains(at) || net.hosts[*at].replica.status().rejoining || !net.hosts[*at].is_synced();
        self.forgot.retain(without);
        let status = |at: &usize| net.hosts[*at].replica.status();
        self.stateless.take_if(|at| !net.dead.contains(at) && status(at).executed >= status(at).stable);
    }

    /// It may be without its log: if not, it has crashed and that is all.
    fn may_forget(&mut self, net: &mut Net, at: usize) -> bool {
        self.take_stock(net);
        net.crash(at);
        let others = self.forgot.union(&self.odd).filter(|other| **other != at).count();
        if self.stateless.is_some() || others >= self.forgetful {
            return false;
        }
        self.forgot.insert(at);
        true
    }

    /// One bit in the log of one replica is another, if so many may be faulty: as good as lost, and it must say so.
    fn flip_bit(&mut self, net: &mut Net, dice: &mut Prng, at: usize) {
        // Where a part of a record was cut off at the end, that is not looked at.
        if net.hosts[at].disk.with(|content| content.log.len()) < 3 {
            return net.crash(at);
        }
        if !self.may_forget(net, at) {
            return;
        }
        self.flips += 1;
        self.damaged.insert(at);
        let bit = net.hosts[at].disk.with(|content| {
            let which = dice.between(0, content.log.len() as u64 - 2) as usize;
            let (index, record) = &mut content.log[which];
            let mut bytes = record.to_vec();
            let bit = dice.between(0, bytes.len() as u64 * 8 - 1) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
            *record = Bytes::from(bytes);
            (*index, bit)
        });
        net.say(format!("{:?} R{at} HAS A FLIPPED BIT: {} of record {}", net.now, bit.1, bit.0));
    }

    /// One bit of a snapshot, or of what names it, is another: its service must not start from that.
    fn spoil_file(&mut self, net: &mut Net, dice: &mut Prng, at: usize) {
        self.take_stock(net);
        net.crash(at);
        let count = net.hosts[at].disk.with(|content| content.files.len()) as u64;
        if count == 0 || self.stateless.is_some() || !self.forgot.is_empty() || !self.odd.is_empty() {
            return;
        }
        self.stateless = Some(at);
        self.spoils += 1;
        let (name, bit) = net.hosts[at].disk.with(|content| {
            content.spoiled = true;
            let which = dice.between(0, count - 1) as usize;
            let (name, file) = content.files.iter_mut().nth(which).expect("one of them");
            let mut bytes = file.to_vec();
            let bit = dice.between(0, (bytes.len() as u64 * 8).max(1) - 1) as usize;
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
            *file = Bytes::from(bytes);
            (name.clone(), bit)
        });
        net.say(format!("{:?} R{at} HAS A FLIPPED BIT: {bit} of {name}", net.now));
    }

    /// The log of one replica is gone, with or without its snapshots, if so many may be faulty.
    pub fn lose_log(&mut self, net: &mut Net, dice: &mut Prng, at: usize) {
        if !self.may_forget(net, at) {
            return;
        }
        self.losses += 1;
        let with_store = dice.percent(50);
        net.say(format!("{:?} R{at} LOSES ITS LOG{}", net.now, if with_store { " AND ITS SNAPSHOTS" } else { "" }));
        net.hosts[at].disk.with(|content| {
            content.log.clear();
            if with_store {
                content.files.clear();
            }
        });
    }

    /// Starts those that have been off long enough; all of them in the end.
    pub fn restart(&mut self, net: &mut Net, dice: &mut Prng, all: bool) {
        for at in net.dead.clone() {
            let now = net.now;
            let back_at = *self.back_at.entry(at).or_insert_with(|| Time(now.0 + dice.between(0, self.rest)));
            if back_at > now && !all {
                continue;
            }
            self.back_at.remove(&at);
            net.hosts[at].disk.with(|content| content.full = false);
            match net.restart(at, Start::Recovering) {
                Ok(()) => assert!(!self.damaged.contains(&at), "D2: R{at} starts on a log with a flipped bit"),
                Err(error) if self.lost(net, at, &error) => {
                    // The record that says that the log is lost was lost itself, or none was written yet.
                    self.nonces = self.nonces.checked_add(1).expect("a nonce for each loss");
                    net.restart(at, Start::Rejoining { nonce: [self.nonces; 32] }).expect("rejoins");
                }
                Err(error) => panic!("D2: R{at} does not come back: {error}"),
            }
        }
    }

    /// There is no log to recover from: it is empty, or damaged and was moved away.
    fn lost(&mut self, net: &mut Net, at: usize, error: &RecoverError) -> bool {
        if self.damaged.remove(&at) && matches!(error, RecoverError::Record { .. }) {
            net.hosts[at].disk.with(|content| content.log.clear());
            return true;
        }
        self.forgot.contains(&at) && matches!(error, RecoverError::EmptyLog)
    }

    /// The weather clears: nobody crashes any more, and all come back.
    pub fn end(&mut self, net: &mut Net, dice: &mut Prng) {
        for host in &mut net.hosts {
            host.crash_at = None;
            host.disk.with(|content| (content.changes_left, content.full) = (None, false));
        }
        self.restart(net, dice, true);
    }
}
