//! Drops what is stale, doubled or not needed before any signature is checked. That is advice: `step` checks again. What is more than advice is that a certificate
//! which is held may stand for a view change's own, which is not verified then. (SPEC 3.6)

use crate::certificate::Certificate;
use crate::cluster::Cluster;
use crate::ids::{ClientId, Digest, ReplicaId, RequestNumber, SequenceNumber, View};
use crate::looks::look;
use crate::message::{CheckpointCertificate, CheckpointVote, Message, PrePrepare, Rank, ViewChange, Vote, VoteKind, header_digest};
use crate::replica::Slot;
use crate::verify::Unverified;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use thiserror::Error;

/// Why a message need not be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Screened {
    /// Its view or position is settled.
    #[error("settled")]
    Stale,
    /// The same is held: the vote, the proposal, or a request of that number. Or it is of a member against whom there is proof: another vote, or more evidence.
    #[error("held already")]
    Duplicate,
    /// A quorum for the same statement is held; nothing of a chain is missing; or it is a further proposal of a primary against whom there is proof.
    #[error("a quorum is held")]
    NotNeeded,
    /// Of a later view or far above the window; it is told again when its time has come.
    #[error("far ahead")]
    FarAhead,
    /// Its client has as much waiting here as it may, and this is not its next request. (T1)
    #[error("no room")]
    NoRoom,
    /// In this replica's own name.
    #[error("own")]
    Own,
    /// Not for a replica.
    #[error("not for replicas")]
    NotForReplicas,
}

/// What a replica needs at one moment; cheap to clone, for any thread. What an old picture drops of a view that has begun since is told again (T2).
#[derive(Clone, Debug)]
pub struct Screen {
    shared: Arc<Picture>,
}

#[derive(Debug)]
pub(crate) struct Picture {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) me: ReplicaId,
    pub(crate) view: View,
    pub(crate) waits_for_view: bool,
    pub(crate) stable: Option<CheckpointCertificate>,
    /// Members against whom there is proof.
    pub(crate) proved: BTreeSet<ReplicaId>,
    /// The end of the decided log.
    pub(crate) decided: SequenceNumber,
    /// The positions whose votes are counted.
    pub(crate) low: SequenceNumber,
    pub(crate) high: SequenceNumber,
    /// The votes held, by position, also below `low`: those may still prove a double vote.
    pub(crate) slots: Vec<(SequenceNumber, Arc<Slot>)>,
    /// The proposals for the next view that wait for it, and how many more may.
    pub(crate) early: BTreeSet<Digest>,
    pub(crate) early_room: usize,
    /// The blocks held above the decided end, in order.
    pub(crate) held: Vec<Digest>,
    /// Certificates that a view change may be proved with: `high`'s, and those of the view changes held for views that have not begun here.
    pub(crate) certificates: Vec<Certificate>,
    /// For which view each member has left, where that is above the own.
    pub(crate) left_for: BTreeMap<ReplicaId, View>,
}

/// Messages sorted by whether they are needed now, in the order in which they came.
#[derive(Debug, Default)]
pub struct Triage {
    /// Verify these.
    pub needed: Vec<Unverified>,
    /// Look at these again when `needed` has been stepped: by then there is a quorum without them, or a view for them.
    pub spare: Vec<Unverified>,
    /// How many were dropped.
    pub dropped: usize,
}

impl Screen {
    pub(crate) fn new(picture: Picture) -> Self {
        Self { shared: Arc::new(picture) }
    }

    /// Is it worth verifying?
    ///
    /// # Errors
    /// [`Screened`] says why not.
    pub fn admit(&self, unverified: &Unverified) -> Result<(), Screened> {
        self.shared.admit(&unverified.message)
    }

    #[cfg(feature = "sim")]
    pub(crate) fn picture(&self) -> &Picture {
        &self.shared
    }

    /// Sorts a whole load of messages: of each vote only as many are needed as a quorum lacks. A view change whose claim is proved by a certificate that the replica
    /// holds comes out with that one in the place of its own.
    pub fn triage(&self, messages: Vec<Unverified>) -> Triage {
        self.triage_again(messages, 0)
    }

    /// The same for what was spare after `times` looks: of each vote, and of each request's number, twice as many are taken with each look, since more
    /// of which some turned out to be bad are likely to be bad too. So a load of n messages is looked at log n times, not n times, whatever is in it.
    pub fn triage_again(&self, messages: Vec<Unverified>, times: u32) -> Triage {
        let quorum = self.shared.cluster.quorum() as usize;
        let factor = 1_usize.checked_shl(times).unwrap_or(usize::MAX);
        // I18: as many as an honest load has. Of a flood most is spare or dropped, and room for all of it twice would be beyond the bound.
        let mut triage = Triage { needed: Vec::with_capacity(messages.len().min(64)), ..Triage::default() };
        let mut taken: BTreeMap<(VoteKind, SequenceNumber, Digest), (usize, usize)> = BTreeMap::new();
        let mut asked: BTreeMap<(ClientId, RequestNumber), usize> = BTreeMap::new();
        let mut claimed: BTreeMap<(VoteKind, Rank, Digest), usize> = BTreeMap::new();
        let leaves = if times == 0 { self.highest_views(&messages) } else { BTreeMap::new() };
        for mut unverified in messages {
            look();
            match self.admit(&unverified) {
                // What comes with it may open its view.
                Err(Screened::FarAhead) => {
                    triage.spare.push(unverified);
                    continue;
                }
                Err(_) => {
                    triage.dropped += 1;
                    continue;
                }
                Ok(()) => {}
            }
            // Once one of them is held, the others of that number are not needed. (`Replica::needs`)
            if let Message::Request(request) = &unverified.message {
                let count = asked.entry((request.client, request.number)).or_default();
                if *count >= factor {
                    triage.spare.push(unverified);
                    continue;
                }
                *count += 1;
            }
            let vote = match &unverified.message {
                Message::Prepare(vote) => Some((VoteKind::Prepare, vote)),
                Message::Commit(vote) => Some((VoteKind::Commit, vote)),
                _ => None,
            };
            if let Some((kind, vote)) = vote {
                let count = taken.entry((kind, vote.sequence_number, vote.digest)).or_insert_with(|| {
                    let held = self.shared.slot(vote.sequence_number).map_or(0, |slot| slot.count(kind, &vote.digest));
                    (0, quorum.saturating_sub(held).saturating_mul(factor))
                });
                if count.0 >= count.1 {
                    triage.spare.push(unverified);
                    continue;
                }
                count.0 += 1;
            }
            // Once its last is held, what a member left before is stale.
            if let Message::ViewChange(view_change) = &unverified.message {
                if leaves.get(&view_change.replica).is_some_and(|highest| view_change.view < *highest) {
                    triage.spare.push(unverified);
                    continue;
                }
            }
            // When the first of them is held, its certificate proves the others' claims too.
            if let Some(claim) = self.shared.vouch(&mut unverified) {
                let alike = claimed.entry(claim).or_default();
                if *alike >= factor {
                    triage.spare.push(unverified);
                    continue;
                }
                *alike += 1;
            }
            triage.needed.push(unverified);
        }
        triage
    }

    /// For which view each member leaves last, as these messages say, of those that are worth verifying.
    fn highest_views(&self, messages: &[Unverified]) -> BTreeMap<ReplicaId, View> {
        let mut highest: BTreeMap<ReplicaId, View> = BTreeMap::new();
        for unverified in messages {
            let Message::ViewChange(view_change) = &unverified.message else { continue };
            if self.admit(unverified).is_ok() {
                let view = highest.entry(view_change.replica).or_default();
                *view = view_change.view.max(*view);
            }
        }
        highest
    }
}

/// The certificate of the view change that this is or has with it.
fn proof(message: &mut Message) -> Option<&mut Certificate> {
    match message {
        Message::ViewChange(view_change) => view_change.certificate.as_mut(),
        Message::Status(status) => status.view_change.as_mut()?.certificate.as_mut(),
        _ => None,
    }
}

impl Picture {
    pub(crate) fn admit(&self, message: &Message) -> Result<(), Screened> {
        match message {
            Message::Prepare(vote) => self.admit_vote(VoteKind::Prepare, vote),
            Message::Commit(vote) => self.admit_vote(VoteKind::Commit, vote),
            Message::PrePrepare(proposal) => self.admit_proposal(proposal),
            Message::NewView(new_view) if new_view.view < self.view => Err(Screened::Stale),
            Message::ViewChange(view_change) if view_change.view < self.view || self.has_left_since(view_change) => Err(Screened::Stale),
            Message::Status(status) if status.replica == self.me => Err(Screened::Own),
            Message::Fetch(fetch) if fetch.replica == self.me => Err(Screened::Own),
            Message::Checkpoint(vote) => self.admit_checkpoint(vote),
            // E: the first proof against a member suffices.
            Message::Evidence(evidence) if self.proved.contains(&evidence.culprit()) => Err(Screened::Duplicate),
            Message::Stable(certificate) if certificate.checkpoint.sequence_number <= self.stable_number() => Err(Screened::Stale),
            Message::Reply(_) | Message::Answered(_) => Err(Screened::NotForReplicas),
            _ => Ok(()),
        }
    }

    /// This message with a certificate that is held in the place of its view change's own, if there is one: what [`triage`](Screen::triage) makes of it.
    #[cfg(feature = "sim")]
    pub(crate) fn vouched(&self, message: &Message) -> Option<Unverified> {
        match message {
            Message::ViewChange(_) => {}
            Message::Status(status) if status.view_change.is_some() => {}
            _ => return None,
        }
        let mut unverified = Unverified::of(message.clone());
        self.vouch(&mut unverified);
        unverified.vouched.is_some().then_some(unverified)
    }

    /// Puts a certificate that is held in the place of a view change's own, if it proves as much: the view change's signature is on the claim alone.
    /// Gives what its own certificate says, if none is held.
    fn vouch(&self, unverified: &mut Unverified) -> Option<(VoteKind, Rank, Digest)> {
        let own = proof(&mut unverified.message)?;
        let proves = |held: &&Certificate| held.claim() == own.claim() && (held.kind == own.kind || held.kind == VoteKind::Commit);
        let Some(held) = self.certificates.iter().find(proves) else { return Some((own.kind, own.rank(), own.digest)) };
        *own = held.clone();
        unverified.vouched = Some(self.cluster.clone());
        None
    }

    /// Of the views above the own nothing is known of a member but for which one it left last: its ViewChange for a lower one proves nothing.
    fn has_left_since(&self, view_change: &ViewChange) -> bool {
        view_change.view > self.view && self.left_for.get(&view_change.replica).is_some_and(|last| view_change.view < *last)
    }

    fn stable_number(&self) -> SequenceNumber {
        self.stable.as_ref().map_or(SequenceNumber::default(), |stable| stable.checkpoint.sequence_number)
    }

    fn admit_checkpoint(&self, vote: &CheckpointVote) -> Result<(), Screened> {
        let Some(stable) = &self.stable else { return Ok(()) };
        let signed = stable.signatures.iter().any(|(member, _)| *member == vote.replica);
        // E: what a member says beside what it signed in the certificate is a proof.
        let contradicts = signed && vote.statement().contradicts(&stable.statement()) && !self.proved.contains(&vote.replica);
        if vote.checkpoint.sequence_number <= stable.checkpoint.sequence_number && !contradicts {
            return Err(Screened::Stale);
        }
        Ok(())
    }

    fn slot(&self, number: SequenceNumber) -> Option<&Slot> {
        let place = self.slots.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.slots.get(place).map(|(_, slot)| &**slot)
    }

    fn admit_proposal(&self, proposal: &PrePrepare) -> Result<(), Screened> {
        if proposal.view < self.view {
            return Err(Screened::Stale);
        }
        if proposal.view > self.view.next() || (proposal.view == self.view && proposal.block.header.sequence_number > self.high) {
            return Err(Screened::FarAhead);
        }
        let header = &proposal.block.header;
        let primary = self.cluster.primary(self.view);
        let voted = self.slot(header.sequence_number).and_then(|slot| slot.vote_of(VoteKind::Prepare, primary));
        // One at a new position of this view, as nearly all are, has nothing to be compared with.
        let is_compared = voted.is_some() || proposal.view > self.view;
        let digest = if is_compared { header_digest(&self.cluster.id(), header) } else { Digest::default() };
        if proposal.view > self.view {
            // I18: no more are kept, and each is a whole batch of signatures.
            let when_full = if self.early_room > 0 { Ok(()) } else { Err(Screened::FarAhead) };
            return if self.early.contains(&digest) { Err(Screened::Duplicate) } else { when_full };
        }
        match voted {
            // Another proposal at this position: whatever else it is, it is a proof. Where there is one already it is worth nothing: a batch that is
            // certified in spite of that is fetched.
            Some((first, _)) if first != digest && self.proved.contains(&primary) => Err(Screened::NotNeeded),
            Some((first, _)) if first != digest => Ok(()),
            // The body of what is decided is not needed, and the primary's vote is held.
            Some(_) if header.sequence_number <= self.decided || self.held.binary_search(&digest).is_ok() => Err(Screened::Duplicate),
            _ if header.sequence_number < self.low => Err(Screened::Stale),
            _ => Ok(()),
        }
    }

    // The own view's votes for another digest or branch are never dropped: V5 and E need them.
    fn admit_vote(&self, kind: VoteKind, vote: &Vote) -> Result<(), Screened> {
        if vote.replica == self.me {
            let said = self.slot(vote.sequence_number).filter(|_| vote.view == self.view).and_then(|slot| slot.vote_of(kind, self.me));
            // E: somebody else may have this key.
            return if said.is_some_and(|(digest, _)| digest != vote.digest) { Ok(()) } else { Err(Screened::Own) };
        }
        if vote.view < self.view {
            return Err(Screened::Stale);
        }
        if vote.view > self.view || vote.sequence_number > self.high {
            return Err(Screened::FarAhead);
        }
        let Some(slot) = self.slot(vote.sequence_number) else {
            return if vote.sequence_number < self.low { Err(Screened::Stale) } else { Ok(()) };
        };
        match slot.vote_of(kind, vote.replica) {
            Some((digest, _)) if digest == vote.digest || self.proved.contains(&vote.replica) => return Err(Screened::Duplicate),
            // E: whether a quorum is held or not, it is a proof.
            Some(_) => return Ok(()),
            None if vote.sequence_number < self.low => return Err(Screened::Stale),
            None => {}
        }
        if slot.certified(kind) == Some(vote.digest) && !self.waits_for_view {
            return Err(Screened::NotNeeded);
        }
        Ok(())
    }
}
