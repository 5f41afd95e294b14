//! A pen that signs anything: statements that no correct replica would make, in the wire's own form.
//!
//! It needs the keys of those in whose name it writes, so it can do what real traitors can and no more.

mod checkpoints;
mod records;
mod seen;

use alloc::boxed::Box;
use alloc::vec::Vec;
pub use checkpoints::{ForgedCheckpoint, ForgedStable, ForgedStatus};
pub use records::{Kept, KeptState};
pub use seen::Seen;

use super::keyed_hash::keyed_hash;
use crate::certificate::Certificate;
use crate::cluster::{Cluster, Scheme};
use crate::evidence::Evidence;
use crate::hash::{Domain, hash};
use crate::ids::{Bytes, ClientId, Digest, RawSignature, ReplicaId, RequestNumber, SequenceNumber, View};
use crate::merkle;
use crate::message::{
    Answered, Block, Chain, Claim, Header, Message, NewView, Place, PrePrepare, Rank, Reply, ReplyBody, Request, SignedClaim, Statement,
    ViewChange, Vote, VoteKind, executed_leaf, run_payload,
};
use crate::wire::{self, Bounded, DecodeError};
use alloc::sync::Arc;
use ed25519_dalek::{Signer, SigningKey};

/// A member whose key the adversary has.
pub type Traitor<'a> = (ReplicaId, &'a SigningKey);

/// A position in the log and the digest there.
pub type Position = (SequenceNumber, Digest);

/// Prepare or Commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Prepare, or a prepared certificate.
    Prepare,
    /// A Commit, or a commit certificate.
    Commit,
}

impl Kind {
    fn vote_kind(self) -> VoteKind {
        match self {
            Self::Prepare => VoteKind::Prepare,
            Self::Commit => VoteKind::Commit,
        }
    }
}

/// A batch under a header.
#[derive(Clone, Debug)]
pub struct ForgedBlock(Arc<Block>);

impl ForgedBlock {
    /// d_n.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }
    /// n.
    pub fn sequence_number(&self) -> SequenceNumber {
        self.0.header.sequence_number
    }
    /// The digest before it.
    pub fn parent(&self) -> Digest {
        self.0.header.parent
    }
    /// The batch.
    pub fn requests(&self) -> &[Request] {
        &self.0.batch
    }
    /// The same batch under a header that names another payload.
    #[must_use]
    pub fn with_payload(&self, payload: Digest) -> Self {
        let mut block = Block::clone(&self.0);
        block.header.payload = payload;
        Self(Arc::new(block))
    }
}

/// A certificate, true or false.
#[derive(Clone, Debug)]
pub struct ForgedCertificate(Certificate);

/// A ViewChange, true or false.
#[derive(Clone, Debug)]
pub struct ForgedViewChange(ViewChange);

impl ForgedViewChange {
    /// The view that it leads to.
    pub fn view(&self) -> View {
        self.0.view
    }
    /// Whose it says it is.
    pub fn replica(&self) -> ReplicaId {
        self.0.replica
    }
    /// Rank and digest of the certificate that it claims as the highest: view, and position.
    pub fn claim(&self) -> (View, Position) {
        let Claim { rank, digest } = self.0.claim;
        (rank.view, (rank.sequence_number, digest))
    }
}

/// Writes messages for one cluster.
#[derive(Clone, Debug)]
pub struct Forge {
    cluster: Arc<Cluster>,
}

impl Forge {
    /// For this cluster.
    pub fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster }
    }

    /// The digest at sequence number 0.
    pub fn genesis(&self) -> Digest {
        self.cluster.genesis()
    }

    fn sign(&self, key: &SigningKey, payload: &[u8]) -> RawSignature {
        RawSignature(match self.cluster.scheme() {
            Scheme::Ed25519 => key.sign(payload).to_bytes(),
            Scheme::KeyedHash => keyed_hash(key.verifying_key().as_bytes(), payload),
        })
    }

    fn finish(&self, mut message: Message, key: &SigningKey) -> Vec<u8> {
        if let Some(payload) = message.payload(&self.cluster.id()) {
            message.set_signature(self.sign(key, &payload));
        }
        wire::encode(&message)
    }

    /// A client's signed request.
    pub fn request(&self, key: &SigningKey, number: RequestNumber, operation: &[u8]) -> Request {
        self.run(key, number, &[operation]).remove(0)
    }

    /// A client's requests from number `first` on under one signature; at most 64, and at least one. (SPEC S3)
    pub fn run(&self, key: &SigningKey, first: RequestNumber, operations: &[&[u8]]) -> Vec<Request> {
        let client = ClientId::new(key.verifying_key().to_bytes());
        let request = |(ahead, operation): (u64, &&[u8])| Request::new(client, first.plus(ahead), Bytes::from(*operation));
        let mut requests: Vec<Request> = (0..).zip(operations).map(request).collect();
        let digests: Vec<Digest> = requests.iter().map(|request| request.operation_digest).collect();
        let (top, places) = Place::of_all(&digests);
        let signature = self.sign(key, &run_payload(&self.cluster.id(), &client, first, requests.len() as u32, &top));
        requests.iter_mut().zip(places).for_each(|(request, place)| {
            request.place = place;
            request.signature = signature;
        });
        requests
    }

    /// The same as a message.
    pub fn request_message(&self, request: &Request) -> Vec<u8> {
        wire::encode(&Message::Request(request.clone()))
    }

    /// A batch under its header.
    pub fn block(&self, sequence_number: SequenceNumber, parent: Digest, requests: Vec<Request>) -> ForgedBlock {
        ForgedBlock(Arc::new(Block::new(&self.cluster.id(), sequence_number, parent, requests)))
    }

    /// A proposal, signed by `key`, which is the primary's if the proposal is to be believed.
    pub fn pre_prepare(&self, key: &SigningKey, view: View, block: &ForgedBlock) -> Vec<u8> {
        self.finish(Message::PrePrepare(PrePrepare { view, block: block.0.clone(), signature: RawSignature::ZERO }), key)
    }

    /// A vote.
    pub fn vote(&self, traitor: Traitor<'_>, kind: Kind, view: View, position: Position) -> Vec<u8> {
        let vote = Vote { view, sequence_number: position.0, digest: position.1, replica: traitor.0, signature: RawSignature::ZERO };
        let message = match kind {
            Kind::Prepare => Message::Prepare(vote),
            Kind::Commit => Message::Commit(vote),
        };
        self.finish(message, traitor.1)
    }

    /// A certificate signed by these members, which are a quorum if it is to be believed.
    pub fn certificate(&self, members: &[Traitor<'_>], kind: Kind, view: View, position: Position) -> ForgedCertificate {
        let statement = Statement::vote(kind.vote_kind(), view, position.0, position.1);
        let payload = statement.payload(&self.cluster.id());
        let mut signatures: Vec<_> = members.iter().map(|(member, key)| (*member, self.sign(key, &payload))).collect();
        signatures.sort_by_key(|(member, _)| *member);
        ForgedCertificate(Certificate {
            kind: kind.vote_kind(),
            view,
            sequence_number: position.0,
            digest: position.1,
            signatures: Arc::new(Bounded(signatures)),
        })
    }

    /// A certificate as a message.
    pub fn certificate_message(&self, certificate: &ForgedCertificate) -> Vec<u8> {
        wire::encode(&Message::Certificate(certificate.0.clone()))
    }

    /// A view change that claims `certificate` (genesis if none).
    pub fn view_change(&self, traitor: Traitor<'_>, view: View, certificate: Option<&ForgedCertificate>) -> ForgedViewChange {
        let claim = certificate.map_or_else(|| Claim::genesis(self.cluster.genesis()), |certificate| certificate.0.claim());
        self.view_change_claiming(traitor, view, (claim.rank.view, (claim.rank.sequence_number, claim.digest)), certificate)
    }

    /// A view change whose claim and certificate need not fit.
    pub fn view_change_claiming(
        &self,
        traitor: Traitor<'_>,
        view: View,
        claim: (View, Position),
        certificate: Option<&ForgedCertificate>,
    ) -> ForgedViewChange {
        let claim = Claim { rank: Rank { view: claim.0, sequence_number: claim.1.0 }, digest: claim.1.1 };
        let signature = self.sign(traitor.1, &Statement::ViewChange { view, claim }.payload(&self.cluster.id()));
        ForgedViewChange(ViewChange {
            view,
            claim,
            replica: traitor.0,
            signature,
            certificate: certificate.map(|certificate| certificate.0.clone()),
        })
    }

    /// A view change as a message.
    pub fn view_change_message(&self, view_change: &ForgedViewChange) -> Vec<u8> {
        wire::encode(&Message::ViewChange(Box::new(view_change.0.clone())))
    }

    /// A new view from these view changes; base and certificate are the highest claim's unless given.
    pub fn new_view(
        &self,
        key: &SigningKey,
        view: View,
        view_changes: &[ForgedViewChange],
        base: Option<(Position, Option<&ForgedCertificate>)>,
    ) -> Vec<u8> {
        let highest = view_changes.iter().max_by_key(|view_change| view_change.0.claim.rank);
        let (position, certificate) = match (base, highest) {
            (Some((position, certificate)), _) => (position, certificate.map(|certificate| certificate.0.clone())),
            (None, Some(highest)) => ((highest.0.claim.rank.sequence_number, highest.0.claim.digest), highest.0.certificate.clone()),
            (None, None) => ((SequenceNumber::default(), self.cluster.genesis()), None),
        };
        let mut claims: Vec<_> = view_changes
            .iter()
            .map(|ForgedViewChange(view_change)| SignedClaim {
                replica: view_change.replica,
                claim: view_change.claim,
                signature: view_change.signature,
            })
            .collect();
        claims.sort_by_key(|claim| claim.replica);
        let new_view = NewView {
            view,
            base_number: position.0,
            base_digest: position.1,
            claims: Bounded(claims),
            certificate,
            signature: RawSignature::ZERO,
        };
        self.finish(Message::NewView(Box::new(new_view)), key)
    }

    /// An answer with these blocks, highest first.
    pub fn chain(&self, certificate: Option<&ForgedCertificate>, blocks: &[ForgedBlock]) -> Vec<u8> {
        wire::encode(&Message::Chain(Box::new(Chain {
            certificate: certificate.map(|certificate| certificate.0.clone()),
            vote: None,
            blocks: Bounded(blocks.iter().map(|block| block.0.clone()).collect()),
        })))
    }

    /// Blocks behind a Prepare of whomever.
    pub fn voted_chain(&self, traitor: Traitor<'_>, view: View, position: Position, blocks: &[ForgedBlock]) -> Vec<u8> {
        let signature = self.sign(traitor.1, &Statement::vote(VoteKind::Prepare, view, position.0, position.1).payload(&self.cluster.id()));
        let vote = Vote { view, sequence_number: position.0, digest: position.1, replica: traitor.0, signature };
        let blocks = Bounded(blocks.iter().map(|block| block.0.clone()).collect());
        wire::encode(&Message::Chain(Box::new(Chain { certificate: None, vote: Some(vote), blocks })))
    }

    /// Evidence of two votes of one kind, true or false.
    pub fn evidence(&self, traitor: Traitor<'_>, kind: Kind, view: View, first: Position, second: Position) -> Evidence {
        let signed = |position: Position| {
            let statement = Statement::vote(kind.vote_kind(), view, position.0, position.1);
            (statement, self.sign(traitor.1, &statement.payload(&self.cluster.id())))
        };
        Evidence::new(traitor.0, signed(first), signed(second))
    }

    /// Evidence as a message.
    pub fn evidence_message(&self, evidence: &Evidence) -> Vec<u8> {
        wire::encode(&Message::Evidence(Box::new(evidence.clone())))
    }

    /// A reply for one request of a batch of executed requests and their results, hinting at `view`.
    ///
    /// # Panics
    /// If there is no leaf of that index.
    pub fn reply(
        &self,
        traitor: Traitor<'_>,
        view: View,
        sequence_number: SequenceNumber,
        leaves: &[(Request, &[u8])],
        index: usize,
    ) -> Vec<u8> {
        let digests: Vec<_> = leaves
            .iter()
            .map(|(request, result)| {
                executed_leaf(&request.client, request.number, &request.operation_digest, &hash(Domain::Result, result))
            })
            .collect();
        let (request, result) = &leaves[index];
        let (root, mut paths) = merkle::root_and_paths(&digests);
        let body = ReplyBody {
            replica: traitor.0,
            view,
            sequence_number,
            client: request.client,
            number: request.number,
            operation_digest: request.operation_digest,
            result: Bytes::from(*result),
            index: u32::try_from(index).unwrap_or(u32::MAX),
            count: u32::try_from(leaves.len()).unwrap_or(u32::MAX),
            path: Bounded(paths.swap_remove(index)),
            root,
        };
        self.finish(Message::Reply(Reply { body: Arc::new(body), signature: RawSignature::ZERO }), traitor.1)
    }

    /// The digest of a result that was given before.
    pub fn answered(&self, traitor: Traitor<'_>, client: ClientId, number: RequestNumber, result: &[u8]) -> Vec<u8> {
        let result_digest = hash(Domain::Result, result);
        self.finish(
            Message::Answered(Answered { replica: traitor.0, client, number, result_digest, signature: RawSignature::ZERO }),
            traitor.1,
        )
    }

    /// A header's digest, for those who lay out bytes themselves.
    pub fn header_digest(&self, position: SequenceNumber, parent: Digest, payload: Digest) -> Digest {
        crate::message::header_digest(&self.cluster.id(), &Header { sequence_number: position, parent, payload })
    }

    /// Decodes and encodes again, without believing anything: what an accepted message looks like when it is passed on. It is decoded in both ways,
    /// which must not differ.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are no message within the cluster's limits.
    pub fn reencode(&self, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let (copied, kept) =
            (Message::decode(bytes, self.cluster.limits()), Message::decode_shared(&Bytes::from(bytes), self.cluster.limits()));
        assert_eq!(copied, kept, "SPEC 2: two ways to decode, and two outcomes");
        kept.map(|message| wire::encode(&message))
    }
}
