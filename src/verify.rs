//! From `Unverified` to `Verified`: the one place where signatures are judged. (SPEC 3.5)
//!
//! The verdict is ZIP-215's, alone and in a batch: two replicas never disagree on a certificate because one of them checked it in other company.

use crate::certificate::Certificate;
use crate::cluster::{Cluster, Limits, Scheme};
use crate::hash::{Domain, Hasher};
use crate::ids::{Bytes, ClientId, Digest, RawSignature, ReplicaId};
use crate::message::{
    Block, Checkpoint, CheckpointCertificate, CheckpointVote, Message, MessageKind, NewView, Rank, Request, SignedClaim, Statement,
    ViewChange, Vote, VoteKind,
};
use crate::wire::{DecodeError, Payload};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use thiserror::Error;

/// The host's name for the connection that bytes came over. Quotas hang on it, never on an id that the bytes claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerLink(pub u64);

/// A message that was parsed and is within bounds, and that nothing is believed of.
#[derive(Clone, Debug)]
pub struct Unverified {
    link: PeerLink,
    length: usize,
    pub(crate) message: Message,
    /// The cluster under whose keys the certificate of the view change in it is known to be valid. Only a [`Screen`](crate::Screen) says so.
    pub(crate) vouched: Option<Arc<Cluster>>,
}

impl Unverified {
    /// Parses one message. Takes memory of at most about twice the input.
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong; the peer on `from` is to blame.
    pub fn decode(from: PeerLink, bytes: &[u8], limits: &Limits) -> Result<Self, DecodeError> {
        Message::decode(bytes, limits).map(|message| Self { link: from, length: bytes.len(), message, vouched: None })
    }

    /// The same from bytes that may be kept: the operations of a request or a proposal stay in there, and are not copied. (SPEC 2)
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_shared(from: PeerLink, bytes: &Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        Message::decode_shared(bytes, limits).map(|message| Self { link: from, length: bytes.len(), message, vouched: None })
    }
    /// A message that was decoded before.
    #[cfg(feature = "sim")]
    pub(crate) fn of(message: Message) -> Self {
        Self { link: PeerLink(0), length: 0, message, vouched: None }
    }
    /// What it says it is.
    pub fn kind(&self) -> MessageKind {
        self.message.kind()
    }
    /// Who it says it is from; `None` for what anyone may relay.
    pub fn claimed_sender(&self) -> Option<ReplicaId> {
        self.message.claimed_sender()
    }
    /// The client that it is from or for, as claimed.
    pub fn client(&self) -> Option<ClientId> {
        self.message.client()
    }
    /// How many bytes it counts while it waits: what it was long, and the value itself, which a short message is smaller than. A proposal or a chain of very short
    /// operations takes up to three times that. (SPEC 2.2)
    pub fn size(&self) -> usize {
        self.length.saturating_add(size_of::<Self>())
    }
    /// The connection that it came over.
    pub fn link(&self) -> PeerLink {
        self.link
    }
}

impl core::fmt::Display for Unverified {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.message.fmt(f)
    }
}

/// A message of which each signature was checked, under one cluster's keys.
#[derive(Clone, Debug)]
pub struct Verified {
    pub(crate) message: Message,
    pub(crate) group: Digest,
}

impl Verified {
    /// What it is.
    pub fn kind(&self) -> MessageKind {
        self.message.kind()
    }
}

impl core::fmt::Display for Verified {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.message.fmt(f)
    }
}

/// Why a message is not believed. Nothing of it was kept.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// No such replica in the cluster.
    #[error("there is no replica {0}")]
    UnknownReplica(ReplicaId),
    /// No such client is enrolled.
    #[error("client {0:?} is not enrolled")]
    UnknownClient(ClientId),
    /// A signature is not its signer's on this statement in this cluster.
    #[error("a signature of {0} is not valid")]
    BadSignature(String),
    /// The parts don't fit together; the number is SPEC's.
    #[error("{0}")]
    Rule(&'static str),
}

#[derive(Clone, Copy)]
enum Signatory {
    Replica(ReplicaId),
    Client(ClientId),
}

/// One signature to be judged.
pub(crate) struct Check<'a> {
    signatory: Signatory,
    scheme: Scheme,
    key: &'a ed25519_zebra::VerificationKey,
    payload: Payload,
    signature: RawSignature,
}

impl<'a> Check<'a> {
    pub(crate) fn replica(
        cluster: &'a Cluster,
        replica: ReplicaId,
        payload: Payload,
        signature: RawSignature,
    ) -> Result<Self, VerifyError> {
        let member = cluster.member(replica).ok_or(VerifyError::UnknownReplica(replica))?;
        Ok(Self { signatory: Signatory::Replica(replica), scheme: cluster.scheme(), key: &member.key, payload, signature })
    }

    pub(crate) fn client(cluster: &'a Cluster, client: ClientId, payload: Payload, signature: RawSignature) -> Result<Self, VerifyError> {
        let key = cluster.client_key(&client).ok_or(VerifyError::UnknownClient(client))?;
        Ok(Self { signatory: Signatory::Client(client), scheme: cluster.scheme(), key, payload, signature })
    }

    pub(crate) fn run(&self) -> Result<(), VerifyError> {
        if self.is_valid() {
            return Ok(());
        }
        Err(VerifyError::BadSignature(match self.signatory {
            Signatory::Replica(replica) => format!("replica {replica}"),
            Signatory::Client(client) => format!("client {client:?}"),
        }))
    }

    fn is_same(&self, other: &Self) -> bool {
        self.signature == other.signature && self.payload == other.payload && self.key.as_ref() == other.key.as_ref()
    }

    fn is_valid(&self) -> bool {
        match self.scheme {
            Scheme::Ed25519 => self.key.verify(&ed25519_zebra::Signature::from_bytes(&self.signature.0), &self.payload).is_ok(),
            #[cfg(feature = "sim")]
            Scheme::KeyedHash => crate::sim::keyed_hash::keyed_hash(self.key.as_ref(), &self.payload) == self.signature.0,
        }
    }
}

/// Judges signatures for one cluster. Pure; clone it to any thread.
#[derive(Clone, Debug)]
pub struct Verifier {
    cluster: Arc<Cluster>,
}

impl Verifier {
    /// A verifier under this cluster's keys.
    pub fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster }
    }

    /// Checks one message whole: every signature in it, and that its parts fit together. Beside the message it takes a constant amount of memory.
    ///
    /// # Errors
    /// [`VerifyError`] names a part that fails.
    pub fn verify(&self, unverified: Unverified) -> Result<Verified, VerifyError> {
        let mut message = unverified.message;
        let mut checks = Checks { at_once: self.cluster.scheme() != Scheme::Ed25519, ..Checks::default() };
        self.checks(&mut message, unverified.vouched.as_deref(), &mut checks)?;
        checks.failed.map_or_else(|| judge_one(&checks.list), Err)?;
        Ok(self.verified(message))
    }

    /// Checks many messages at once, sharing work between signatures. Each gets the verdict that it would get alone.
    pub fn verify_all(&self, mut unverified: Vec<Unverified>) -> Vec<Result<Verified, VerifyError>> {
        let mut checks = Checks {
            list: Vec::with_capacity(unverified.len().min(CHECKS_MAX)),
            groups: Vec::with_capacity(unverified.len()),
            verdicts: vec![Ok(()); unverified.len()],
            ..Checks::default()
        };
        for (index, Unverified { link, message, vouched, .. }) in unverified.iter_mut().enumerate() {
            checks.start = checks.list.len();
            match self.checks(message, vouched.as_deref(), &mut checks) {
                Ok(()) => checks.groups.push(Group { index, link: *link, range: checks.start..checks.list.len() }),
                Err(error) => {
                    checks.list.truncate(checks.start);
                    checks.verdicts[index] = Err(error);
                }
            }
        }
        let Checks { list, mut groups, mut verdicts, .. } = checks;
        judge_all(&list, &mut groups, &mut verdicts);
        unverified.into_iter().zip(verdicts).map(|(unverified, verdict)| verdict.map(|()| self.verified(unverified.message))).collect()
    }

    /// A message of one's own, with its digests, its signatures not judged.
    #[cfg(feature = "tape")]
    pub(crate) fn own(&self, unverified: Unverified) -> Result<Message, VerifyError> {
        let mut message = unverified.message;
        self.checks(&mut message, None, &mut Checks::default())?;
        Ok(message)
    }

    /// What a correct member of a simulated cluster says: believed as it is. Who says something has its digests.
    #[cfg(feature = "sim")]
    pub(crate) fn vouch(&self, message: Message) -> Verified {
        self.verified(message)
    }

    fn verified(&self, message: Message) -> Verified {
        Verified { message, group: self.cluster.id() }
    }

    /// Fills in the digests of a message, checks all that needs no key, and lists the signatures in it, or the last ones of very many.
    fn checks<'a>(&'a self, message: &mut Message, vouched: Option<&Cluster>, checks: &mut Checks<'a>) -> Result<(), VerifyError> {
        let group = self.cluster.id();
        let vouched = vouched.is_some_and(|cluster| cluster.id() == group);
        match message {
            Message::Request(request) => {
                request.compute_digest();
                self.request(request, checks)?;
            }
            Message::PrePrepare(proposal) => {
                self.block(Arc::make_mut(&mut proposal.block), checks)?;
                let primary = self.cluster.primary(proposal.view);
                self.signed(primary, &proposal.statement(), proposal.signature, checks)?;
            }
            Message::Prepare(vote) => self.vote(VoteKind::Prepare, vote, checks)?,
            Message::Commit(vote) => self.vote(VoteKind::Commit, vote, checks)?,
            Message::Certificate(certificate) => self.certificate(certificate, checks)?,
            Message::ViewChange(view_change) => self.view_change(view_change, vouched, checks)?,
            Message::NewView(new_view) => self.new_view(new_view, checks)?,
            Message::Status(status) => {
                checks.push(Check::replica(&self.cluster, status.replica, status.payload(&group), status.signature)?)?;
                status.prepare.iter().try_for_each(|vote| self.vote(VoteKind::Prepare, vote, checks))?;
                status.commit.iter().try_for_each(|vote| self.vote(VoteKind::Commit, vote, checks))?;
                status.checkpoint.iter().try_for_each(|vote| self.checkpoint(vote, checks))?;
                status.view_change.iter().try_for_each(|view_change| self.view_change(view_change, vouched, checks))?;
            }
            Message::Fetch(fetch) => checks.push(Check::replica(&self.cluster, fetch.replica, fetch.payload(&group), fetch.signature)?)?,
            Message::Chain(chain) => {
                chain.certificate.iter().try_for_each(|certificate| self.certificate(certificate, checks))?;
                chain.vote.iter().try_for_each(|vote| self.vote(VoteKind::Prepare, vote, checks))?;
                for block in &mut chain.blocks.0 {
                    self.block(Arc::make_mut(block), checks)?;
                }
                if !chain.blocks.is_sorted_by(|higher, lower| higher.header.parent == lower.digest) {
                    return Err(VerifyError::Rule("P5: a chain's blocks are not each other's parents"));
                }
            }
            Message::Evidence(evidence) => evidence.checks(&self.cluster)?.into_iter().try_for_each(|check| checks.push(check))?,
            Message::Reply(reply) => {
                if !reply.compute_root() {
                    return Err(VerifyError::Rule("S2: a path of the wrong length"));
                }
                self.signed(reply.replica, &reply.statement(), reply.signature, checks)?;
            }
            Message::Answered(answered) => {
                checks.push(Check::replica(&self.cluster, answered.replica, answered.payload(&group), answered.signature)?)?;
            }
            Message::Checkpoint(vote) => self.checkpoint(vote, checks)?,
            Message::Stable(certificate) => self.stable(certificate, checks)?,
            // These stand by their digests, which the replica compares with what it asked for.
            Message::Manifest(manifest) => manifest.compute_state(&group),
            Message::Chunk(chunk) => chunk.compute_digest(),
            Message::Rejoin(rejoin) => {
                checks.push(Check::replica(&self.cluster, rejoin.replica, rejoin.payload(&group), rejoin.signature)?)?
            }
            Message::Welcome(welcome) => {
                checks.push(Check::replica(&self.cluster, welcome.replica, welcome.payload(&group), welcome.signature)?)?;
            }
        }
        Ok(())
    }

    fn signed<'a>(
        &'a self,
        by: ReplicaId,
        statement: &Statement,
        signature: RawSignature,
        checks: &mut Checks<'a>,
    ) -> Result<(), VerifyError> {
        checks.push(Check::replica(&self.cluster, by, statement.payload(&self.cluster.id()), signature)?)
    }

    fn request<'a>(&'a self, request: &Request, checks: &mut Checks<'a>) -> Result<(), VerifyError> {
        let payload = request.payload(&self.cluster.id()).ok_or(VerifyError::Rule("S3: a path of the wrong length"))?;
        checks.push(Check::client(&self.cluster, request.client, payload, request.signature)?)
    }

    // P1: form and client signatures are checked before a replica sees a block.
    fn block<'a>(&'a self, block: &mut Block, checks: &mut Checks<'a>) -> Result<(), VerifyError> {
        if !block.compute_digests(&self.cluster.id()) {
            return Err(VerifyError::Rule("P1: a batch does not hash to what its header says"));
        }
        block.batch.iter().try_for_each(|request| self.request(request, checks))
    }

    fn vote<'a>(&'a self, kind: VoteKind, vote: &Vote, checks: &mut Checks<'a>) -> Result<(), VerifyError> {
        if vote.sequence_number.get() == 0 {
            if kind == VoteKind::Commit || vote.view.get() == 0 {
                return Err(VerifyError::Rule("P2: genesis is prepared in views above 0 only, and never committed"));
            }
            self.genesis(&vote.digest)?;
        }
        self.signed(vote.replica, &vote.statement(kind), vote.signature, checks)
    }

    // C1
    fn checkpoint<'a>(&'a self, vote: &CheckpointVote, checks: &mut Checks<'a>) -> Result<(), VerifyError> {
        self.interval(&vote.checkpoint)?;
        self.signed(vote.replica, &vote.statement(), vote.signature, checks)
    }

    // C2
    fn stable<'a>(&'a self, certificate: &CheckpointCertificate, checks: &mut Checks<'a>) -> Result<(), VerifyError> {
        self.interval(&certificate.checkpoint)?;
        self.quorum(&certificate.statement(), &certificate.signatures, checks)
    }

    fn interval(&self, checkpoint: &Checkpoint) -> Result<(), VerifyError> {
        let number = checkpoint.sequence_number.get();
        if number > 0 && number % self.cluster.checkpoint_interval() == 0 {
            Ok(())
        } else {
            Err(VerifyError::Rule("C1: no checkpoint is taken at that position"))
        }
    }

    /// Exactly a quorum of signatures on one statement; that their members are distinct and in order is a matter of form.
    fn quorum<'a>(
        &'a self,
        statement: &Statement,
        signatures: &[(ReplicaId, RawSignature)],
        checks: &mut Checks<'a>,
    ) -> Result<(), VerifyError> {
        if signatures.len() != self.cluster.quorum() as usize {
            return Err(VerifyError::Rule("P3: a certificate has not exactly a quorum of signatures"));
        }
        let payload = statement.payload(&self.cluster.id());
        for (replica, signature) in signatures {
            checks.push(Check::replica(&self.cluster, *replica, payload.clone(), *signature)?)?;
        }
        Ok(())
    }

    fn genesis(&self, digest: &Digest) -> Result<(), VerifyError> {
        if *digest == self.cluster.genesis() { Ok(()) } else { Err(VerifyError::Rule("P2: not this cluster's genesis")) }
    }

    fn certificate<'a>(&'a self, certificate: &Certificate, checks: &mut Checks<'a>) -> Result<(), VerifyError> {
        certificate.check_form().map_err(VerifyError::Rule)?;
        if certificate.sequence_number.get() == 0 {
            self.genesis(&certificate.digest)?;
        }
        self.quorum(&certificate.statement(), &certificate.signatures, checks)
    }

    // 3.6: a certificate that is held proves a claim, whoever makes it.
    fn view_change<'a>(&'a self, view_change: &ViewChange, vouched: bool, checks: &mut Checks<'a>) -> Result<(), VerifyError> {
        if view_change.claim.rank == Rank::default() {
            self.genesis(&view_change.claim.digest)?;
        }
        view_change.certificate.iter().filter(|_| !vouched).try_for_each(|certificate| self.certificate(certificate, checks))?;
        self.signed(view_change.replica, &view_change.statement(), view_change.signature, checks)
    }

    // V4: the primary's signature, q distinct valid claims below the view, the certificate of the highest.
    fn new_view<'a>(&'a self, new_view: &NewView, checks: &mut Checks<'a>) -> Result<(), VerifyError> {
        if new_view.claims.len() != self.cluster.quorum() as usize {
            return Err(VerifyError::Rule("V4: a new view has not exactly a quorum of claims"));
        }
        for SignedClaim { replica, claim, signature } in new_view.claims.iter() {
            if claim.rank == Rank::default() {
                self.genesis(&claim.digest)?;
            }
            self.signed(*replica, &Statement::ViewChange { view: new_view.view, claim: *claim }, *signature, checks)?;
        }
        new_view.certificate.iter().try_for_each(|certificate| self.certificate(certificate, checks))?;
        self.signed(self.cluster.primary(new_view.view), &new_view.statement(), new_view.signature, checks)
    }
}

/// So many signatures at most are listed before they are judged: what verification takes beside its input is bounded by them.
const CHECKS_MAX: usize = 1024;

/// Signatures to be judged together. What is listed from `start` on is of one message, what is below it of those in `groups`.
#[derive(Default)]
struct Checks<'a> {
    list: Vec<Check<'a>>,
    start: usize,
    groups: Vec<Group>,
    verdicts: Vec<Result<(), VerifyError>>,
    /// Nothing is listed: what signatures of this scheme cost is not less in company.
    at_once: bool,
    /// The first that was judged so and is bad.
    failed: Option<VerifyError>,
}

impl<'a> Checks<'a> {
    /// When the list is full, what is below `start` is judged, and of a message with very many signatures the first ones.
    fn push(&mut self, check: Check<'a>) -> Result<(), VerifyError> {
        if self.at_once {
            // What breaks a rule is told first, as of those that are listed.
            self.failed = self.failed.take().or_else(|| check.run().err());
            return Ok(());
        }
        if self.list.len() >= CHECKS_MAX {
            if self.start > 0 {
                judge_all(&self.list[..self.start], &mut self.groups, &mut self.verdicts);
                self.list.drain(..self.start);
                self.start = 0;
            } else {
                judge_one(&self.list)?;
                self.list.clear();
            }
        }
        self.list.push(check);
        Ok(())
    }
}

/// One message's signatures in a list.
struct Group {
    index: usize,
    link: PeerLink,
    range: core::ops::Range<usize>,
}

/// All together if all are good. If not, each connection by itself: bad signatures cost those who send them, and the others at most this one look.
fn judge_all(checks: &[Check], groups: &mut Vec<Group>, verdicts: &mut [Result<(), VerifyError>]) {
    if groups.is_empty() {
        return;
    }
    if groups.len() == 1 || !batch_is_valid(checks) {
        groups.sort_by_key(|group| group.link);
        groups.chunk_by(|left, right| left.link == right.link).for_each(|groups| judge(checks, groups, verdicts));
    }
    groups.clear();
}

/// Judges the messages of `groups` together; where that fails, the bad ones are found.
fn judge(checks: &[Check], groups: &[Group], verdicts: &mut [Result<(), VerifyError>]) {
    let are_valid = |groups: &[Group]| batch_is_valid(groups.iter().flat_map(|group| &checks[group.range.clone()]));
    let mut bad = groups;
    if bad.len() > 1 && are_valid(bad) {
        return;
    }
    // One alone is found by halving. Where there are several, each is judged by itself: else the more of them somebody sends, the more each costs.
    while bad.len() > 1 {
        let (left, right) = bad.split_at(bad.len() / 2);
        bad = if are_valid(left) {
            right
        } else if are_valid(right) {
            left
        } else {
            break;
        };
    }
    bad.iter().for_each(|group| verdicts[group.index] = judge_one(&checks[group.range.clone()]));
}

/// One message's signatures: together, and if that fails one by one, each once, to name a bad one.
fn judge_one(checks: &[Check]) -> Result<(), VerifyError> {
    if checks.len() > 1 && batch_is_valid(checks) { Ok(()) } else { distinct(checks.iter()).into_iter().try_for_each(Check::run) }
}

/// Each signature on each statement once: a replica signs the results of a batch once, and a reply to each request has that; so does a client
/// what it asks for at once (S3).
fn distinct<'a>(checks: impl Iterator<Item = &'a Check<'a>>) -> Vec<&'a Check<'a>> {
    let mut checks: Vec<&Check> = checks.collect();
    checks.sort_unstable_by(|left, right| left.signature.0.cmp(&right.signature.0).then_with(|| left.payload[..].cmp(&right.payload[..])));
    checks.dedup_by(|next, last| next.is_same(last));
    checks
}

fn batch_is_valid<'a>(checks: impl IntoIterator<Item = &'a Check<'a>, IntoIter: Clone>) -> bool {
    let mut checks = checks.into_iter();
    // All of one cluster.
    if checks.clone().any(|check| check.scheme != Scheme::Ed25519) {
        return checks.all(Check::is_valid);
    }
    let checks = distinct(checks);
    let factors = Factors::of(checks.iter().copied());
    let mut batch = ed25519_zebra::batch::Verifier::new();
    for check in checks {
        let key = ed25519_zebra::VerificationKeyBytes::from(*check.key);
        batch.queue((key, ed25519_zebra::Signature::from_bytes(&check.signature.0), &check.payload[..]));
    }
    batch.verify(factors).is_ok()
}

/// The factors of a batch, derived from all of its content: who chooses signatures has thereby chosen the factors,
/// as with Fiat and Shamir, and the core stays without randomness.
struct Factors {
    seed: Digest,
    count: u64,
    /// The half of the last digest that was not used.
    rest: Option<[u8; 16]>,
}

impl Factors {
    fn of<'a>(checks: impl Iterator<Item = &'a Check<'a>>) -> Self {
        let content = checks.fold(Hasher::new(Domain::Factors), |content, check| {
            let key = ed25519_zebra::VerificationKeyBytes::from(*check.key);
            content.bytes(key.as_ref()).bytes(&check.signature.0).u64(check.payload.len() as u64).bytes(&check.payload)
        });
        Self { seed: content.finish(), count: 0, rest: None }
    }
}

impl rand_core::TryRng for Factors {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in target.chunks_mut(16) {
            let half = self.rest.take().unwrap_or_else(|| {
                let block = Hasher::new(Domain::Factors).digest(&self.seed).u64(self.count).finish();
                self.count += 1;
                let (now, later) = block.as_bytes().split_at(16);
                self.rest = later.try_into().ok();
                now.try_into().unwrap_or_default()
            });
            chunk.copy_from_slice(&half[..chunk.len()]);
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Factors {}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
#[cfg(test)]
#[path = "verify_wycheproof.rs"]
mod wycheproof_tests;
