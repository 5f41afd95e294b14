//! The forger: signs in others' names, and makes up certificates, view changes, new views and evidence.

use crate::dice::Dice;
use crate::traitor::{Word, to_each};
use logothete::sim::forge::{Forge, Kind, Position, Seen, Traitor};
use logothete::{Bytes, Cluster, Envelope, Recipients, ReplicaId, SequenceNumber, SigningKey, View};
use std::sync::Arc;

pub struct Forger {
    id: ReplicaId,
    key: SigningKey,
    cluster: Arc<Cluster>,
    forge: Forge,
    dice: Dice,
    others: Vec<ReplicaId>,
    /// Counts its forgeries, so that each kind has its turn.
    turn: usize,
}

impl Forger {
    pub fn new(id: ReplicaId, key: SigningKey, cluster: Arc<Cluster>, dice: Dice) -> Self {
        let others = cluster.replicas().filter(|other| *other != id).collect();
        Self { id, key, forge: Forge::new(cluster.clone()), cluster, dice, others, turn: 0 }
    }

    /// Says what the general inside says, half of which bears a bad signature already, and adds a lie to each vote and proposal.
    pub fn say(&mut self, envelope: &Envelope, out: &mut Vec<Word>) {
        let bytes = envelope.encode();
        if envelope.to() == Recipients::AllReplicas {
            match self.forge.read(&bytes) {
                Ok(Seen::PrePrepare { view, block }) => self.lie(view, (block.sequence_number(), block.digest()), out),
                Ok(Seen::Vote { view, position, .. }) => self.lie(view, position, out),
                _ => {}
            }
        }
        out.push((envelope.to(), bytes));
    }

    /// A quorum of members, itself the last of them; the signatures of all are its own.
    fn pretended_quorum(&self) -> Vec<Traitor<'_>> {
        let others = self.cluster.quorum() as usize - 1;
        self.others.iter().take(others).chain([&self.id]).map(|member| (*member, &self.key)).collect()
    }

    fn lie(&mut self, view: View, (number, digest): Position, out: &mut Vec<Word>) {
        let false_position = (number, self.forge.header_digest(number, digest, digest));
        let next_view = view.next();
        let quorum = self.pretended_quorum();
        let forged = |kind, position| self.forge.certificate(&quorum, kind, view, position);
        let lie = match self.turn % 8 {
            // Votes in another's name.
            0 => self.forge.vote(quorum[0], Kind::Prepare, view, false_position),
            1 => self.forge.vote(quorum[0], Kind::Commit, view, false_position),
            // A certificate that is one signature short, and one of forged signatures.
            2 => self.forge.certificate_message(&self.forge.certificate(&quorum[1..], Kind::Commit, view, false_position)),
            3 => self.forge.certificate_message(&forged(Kind::Commit, false_position)),
            // Its own view change, on a certificate that is none.
            4 => self.forge.view_change_message(&self.forge.view_change(
                (self.id, &self.key),
                next_view,
                Some(&forged(Kind::Prepare, false_position)),
            )),
            // A new view out of view changes that nobody has sent.
            5 => {
                let view_changes: Vec<_> = quorum.iter().map(|member| self.forge.view_change(*member, next_view, None)).collect();
                self.forge.new_view(&self.key, next_view, &view_changes, None)
            }
            // Evidence against somebody who did nothing.
            6 => self.forge.evidence_message(&self.forge.evidence(quorum[0], Kind::Prepare, view, (number, digest), false_position)),
            // A status of another's, far ahead.
            _ => self.forge.status(quorum[0], u64::MAX, next_view, View::new(u64::MAX), SequenceNumber::new(u64::MAX)),
        };
        self.turn += 1;
        if self.dice.strikes(50) {
            out.push((Recipients::AllReplicas, Bytes::from(lie)));
        } else {
            to_each(&self.others[self.dice.below(self.others.len())..], lie, out);
        }
    }
}
