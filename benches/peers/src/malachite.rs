//! `arc-malachitebft-core-consensus`: Tendermint as a state machine without I/O. One height after the other, as it works.

use crate::work::{Values, Work, cpu_time};
use ed25519_zebra::{Signature, SigningKey, VerificationKey};
use malachitebft_core_consensus::{
    ConsensusMsg, Effect, Error, Input, LocallyProposedValue, Params, Resumable, Resume, SignedConsensusMsg, State, process,
};
use malachitebft_core_types as types;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use types::{LinearTimeouts, NilOrVal, Round, SignedMessage, SignedProposal, SignedVote, ValuePayload, VoteExtensionPolicy, VoteType};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ed25519;

/// A signature's bytes: ordered, as the library asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes64([u8; 64]);

impl types::SigningScheme for Ed25519 {
    type DecodingError = ed25519_zebra::Error;
    type Signature = Bytes64;
    type PublicKey = VerificationKey;
    type PrivateKey = SigningKey;

    fn decode_signature(bytes: &[u8]) -> Result<Bytes64, Self::DecodingError> {
        Ok(Bytes64(bytes.try_into().map_err(|_| ed25519_zebra::Error::InvalidSliceLength)?))
    }
    fn encode_signature(signature: &Bytes64) -> Vec<u8> {
        signature.0.to_vec()
    }
    fn decode_public_key(bytes: &[u8]) -> Result<VerificationKey, Self::DecodingError> {
        VerificationKey::try_from(bytes)
    }
    fn encode_public_key(key: &VerificationKey) -> Vec<u8> {
        key.as_ref().to_vec()
    }
}

#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Height(u64);

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl types::Height for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);
    fn increment_by(&self, n: u64) -> Self {
        Self(self.0 + n)
    }
    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }
    fn as_u64(&self) -> u64 {
        self.0
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(u32);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl types::Address for Address {}

#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id([u8; 32]);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}", self.0[0], self.0[1])
    }
}

/// A value with its digest, which each replica computes for itself when it gets one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value {
    id: Id,
    bytes: Arc<[u8]>,
}

impl types::Value for Value {
    type Id = Id;
    fn id(&self) -> Id {
        self.id
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    address: Address,
    key: VerificationKey,
}

impl types::Validator<Ctx> for Validator {
    fn address(&self) -> &Address {
        &self.address
    }
    fn public_key(&self) -> &VerificationKey {
        &self.key
    }
    fn voting_power(&self) -> u64 {
        1
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validators(Arc<Vec<Validator>>);

impl types::ValidatorSet<Ctx> for Validators {
    fn count(&self) -> usize {
        self.0.len()
    }
    fn total_voting_power(&self) -> u64 {
        self.0.len() as u64
    }
    fn get_by_address(&self, address: &Address) -> Option<&Validator> {
        self.0.get(address.0 as usize)
    }
    fn get_by_index(&self, index: usize) -> Option<&Validator> {
        self.0.get(index)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    height: Height,
    round: Round,
    value: Value,
    pol_round: Round,
    address: Address,
}

impl types::Proposal<Ctx> for Proposal {
    fn height(&self) -> Height {
        self.height
    }
    fn round(&self) -> Round {
        self.round
    }
    fn value(&self) -> &Value {
        &self.value
    }
    fn take_value(self) -> Value {
        self.value
    }
    fn pol_round(&self) -> Round {
        self.pol_round
    }
    fn validator_address(&self) -> &Address {
        &self.address
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part;

impl types::ProposalPart<Ctx> for Part {
    fn is_first(&self) -> bool {
        true
    }
    fn is_last(&self) -> bool {
        true
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    kind: VoteType,
    height: Height,
    round: Round,
    value: NilOrVal<Id>,
    address: Address,
}

impl types::Vote<Ctx> for Vote {
    fn height(&self) -> Height {
        self.height
    }
    fn round(&self) -> Round {
        self.round
    }
    fn value(&self) -> &NilOrVal<Id> {
        &self.value
    }
    fn take_value(self) -> NilOrVal<Id> {
        self.value
    }
    fn vote_type(&self) -> VoteType {
        self.kind
    }
    fn validator_address(&self) -> &Address {
        &self.address
    }
    fn extension(&self) -> Option<&types::SignedExtension<Ctx>> {
        None
    }
    fn take_extension(&mut self) -> Option<types::SignedExtension<Ctx>> {
        None
    }
    fn extend(self, _extension: types::SignedExtension<Ctx>) -> Self {
        self
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ctx;

impl types::Context for Ctx {
    type Address = Address;
    type Height = Height;
    type ProposalPart = Part;
    type Proposal = Proposal;
    type Validator = Validator;
    type ValidatorSet = Validators;
    type Timeouts = LinearTimeouts;
    type Value = Value;
    type Vote = Vote;
    type Extension = Vec<u8>;
    type SigningScheme = Ed25519;

    fn select_proposer<'a>(&self, validators: &'a Validators, height: Height, round: Round) -> &'a Validator {
        let place = height.0 as usize + round.as_u32().unwrap_or(0) as usize;
        &validators.0[place % validators.0.len()]
    }
    fn new_proposal(&self, height: Height, round: Round, value: Value, pol_round: Round, address: Address) -> Proposal {
        Proposal { height, round, value, pol_round, address }
    }
    fn new_prevote(&self, height: Height, round: Round, value: NilOrVal<Id>, address: Address) -> Vote {
        Vote { kind: VoteType::Prevote, height, round, value, address }
    }
    fn new_precommit(&self, height: Height, round: Round, value: NilOrVal<Id>, address: Address) -> Vote {
        Vote { kind: VoteType::Precommit, height, round, value, address }
    }
}

/// A vote at fixed width: what is signed, and what goes over the wire before its signature.
fn vote_bytes(vote: &Vote) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(50 + 64);
    bytes.push(u8::from(vote.kind == VoteType::Precommit));
    bytes.extend_from_slice(&vote.height.0.to_le_bytes());
    bytes.extend_from_slice(&vote.round.as_i64().to_le_bytes()[..4]);
    bytes.extend_from_slice(&vote.address.0.to_le_bytes());
    match &vote.value {
        NilOrVal::Nil => bytes.extend_from_slice(&[0; 33]),
        NilOrVal::Val(id) => {
            bytes.push(1);
            bytes.extend_from_slice(&id.0);
        }
    }
    bytes
}

/// What of a proposal is signed: its value by its digest.
fn proposal_bytes(proposal: &Proposal) -> Vec<u8> {
    let mut bytes = vec![2];
    bytes.extend_from_slice(&proposal.height.0.to_le_bytes());
    bytes.extend_from_slice(&proposal.round.as_i64().to_le_bytes()[..4]);
    bytes.extend_from_slice(&proposal.address.0.to_le_bytes());
    bytes.extend_from_slice(&proposal.pol_round.as_i64().to_le_bytes());
    bytes.extend_from_slice(&proposal.value.id.0);
    bytes
}

fn four(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"))
}

fn eight(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}

fn encode(message: &SignedConsensusMsg<Ctx>) -> Arc<[u8]> {
    let mut bytes = match message {
        SignedConsensusMsg::Vote(vote) => vote_bytes(&vote.message),
        SignedConsensusMsg::Proposal(proposal) => proposal_bytes(&proposal.message),
    };
    bytes.extend_from_slice(&message.signature().0);
    if let SignedConsensusMsg::Proposal(proposal) = message {
        bytes.extend_from_slice(&proposal.message.value.bytes);
    }
    bytes.into()
}

/// Parses a message; a proposal's value is judged here, since the library leaves that to its host.
fn decode(bytes: &[u8], values: &Values) -> Input<Ctx> {
    let kind = bytes[0];
    let (height, round, address) = (Height(eight(&bytes[1..])), Round::new(four(&bytes[9..])), Address(four(&bytes[13..])));
    if kind == 2 {
        let pol_round = i64::from_le_bytes(bytes[17..25].try_into().expect("eight bytes"));
        let (signature, value) = bytes[57..].split_at(64);
        let id = Id(values.judge(value));
        assert_eq!(id.0[..], bytes[25..57], "the value that was signed");
        let pol_round = if pol_round < 0 { Round::Nil } else { Round::new(pol_round as u32) };
        let proposal = Proposal { height, round, value: Value { id, bytes: value.into() }, pol_round, address };
        return Input::Proposal(SignedProposal::new(proposal, Bytes64(signature.try_into().expect("a signature"))));
    }
    let value = if bytes[17] == 0 { NilOrVal::Nil } else { NilOrVal::Val(Id(bytes[18..50].try_into().expect("a digest"))) };
    let kind = if kind == 1 { VoteType::Precommit } else { VoteType::Prevote };
    let vote = Vote { kind, height, round, value, address };
    Input::Vote(SignedVote::new(vote, Bytes64(bytes[50..114].try_into().expect("a signature"))))
}

/// A hash in the place of a signature.
fn stub(key: &[u8], message: &[u8]) -> Bytes64 {
    let digest = Sha256::new().chain_update(key).chain_update(message).finalize();
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&digest);
    Bytes64(bytes)
}

struct Member {
    /// Taken out while it works, since its effects need the others.
    state: Option<State<Ctx>>,
    key: SigningKey,
    own: VerificationKey,
    inbox: VecDeque<Arc<[u8]>>,
    decided: u64,
    logged: usize,
}

struct Cluster {
    members: Vec<Member>,
    validators: Validators,
    signed: bool,
    values: Arc<Values>,
    /// The values to decide, by height.
    prepared: Vec<Arc<[u8]>>,
}

impl Cluster {
    fn sign(&self, member: usize, bytes: &[u8]) -> Bytes64 {
        let member = &self.members[member];
        if self.signed { Bytes64(member.key.sign(bytes).to_bytes()) } else { stub(member.own.as_ref(), bytes) }
    }

    fn is_valid(&self, key: &VerificationKey, bytes: &[u8], signature: &Bytes64) -> bool {
        if self.signed { key.verify(&Signature::from(signature.0), bytes).is_ok() } else { stub(key.as_ref(), bytes) == *signature }
    }

    /// Gives a member an input, and what follows from it.
    fn give(&mut self, index: usize, input: Input<Ctx>) {
        let mut waiting = VecDeque::from([input]);
        while let Some(input) = waiting.pop_front() {
            let mut state = self.members[index].state.take().expect("not at work");
            let result: Result<(), Box<Error<Ctx>>> = process!(
                input: input,
                state: &mut state,
                metrics: &(),
                with: effect => Ok::<_, Infallible>(self.serve(index, effect, &mut waiting))
            );
            result.expect("processed");
            self.members[index].state = Some(state);
        }
    }

    fn serve(&mut self, index: usize, effect: Effect<Ctx>, waiting: &mut VecDeque<Input<Ctx>>) -> Resume<Ctx> {
        match effect {
            Effect::PublishConsensusMsg(message, resume) => {
                let bytes = encode(&message);
                for other in (0..self.members.len()).filter(|other| *other != index) {
                    self.members[other].inbox.push_back(bytes.clone());
                }
                resume.resume_with(())
            }
            Effect::SignVote(vote, resume) => {
                let signature = self.sign(index, &vote_bytes(&vote));
                resume.resume_with(SignedMessage::new(vote, signature))
            }
            Effect::SignProposal(proposal, resume) => {
                let signature = self.sign(index, &proposal_bytes(&proposal));
                resume.resume_with(SignedMessage::new(proposal, signature))
            }
            Effect::VerifySignature(message, key, resume) => {
                let bytes = match &message.message {
                    ConsensusMsg::Vote(vote) => vote_bytes(vote),
                    ConsensusMsg::Proposal(proposal) => proposal_bytes(proposal),
                };
                resume.resume_with(self.is_valid(&key, &bytes, &message.signature))
            }
            Effect::GetValue(height, round, _, resume) => {
                if let Some(bytes) = self.prepared.get(height.0 as usize - 1).cloned() {
                    let id = Id(self.values.judge(&bytes));
                    waiting.push_back(Input::Propose(LocallyProposedValue::new(height, round, Value { id, bytes })));
                }
                resume.resume_with(())
            }
            Effect::WalAppend(_, input, resume) => {
                // Kept as bytes, in memory.
                let entry = match &input {
                    Input::Vote(vote) => encode(&SignedConsensusMsg::Vote(vote.clone())),
                    Input::Proposal(proposal) => encode(&SignedConsensusMsg::Proposal(proposal.clone())),
                    _ => Arc::from(&[][..]),
                };
                self.members[index].logged += entry.len();
                resume.resume_with(())
            }
            Effect::Decide(_, _, resume) => {
                self.members[index].decided += 1;
                resume.resume_with(())
            }
            Effect::Finalize(certificate, _, _, resume) => {
                let next = Height(certificate.height.0 + 1);
                if next.0 as usize <= self.prepared.len() {
                    waiting.push_back(Input::StartHeight(next, self.validators.clone(), false, None, VoteExtensionPolicy::Disabled));
                }
                resume.resume_with(())
            }
            // Asked twice for each decision, of votes that were all verified one by one: a host that remembers that need not do it again.
            Effect::VerifyCommitCertificate(_, _, _, resume) => resume.resume_with(Ok(())),
            Effect::CancelAllTimeouts(resume)
            | Effect::CancelTimeout(_, resume)
            | Effect::ScheduleTimeout(_, resume)
            | Effect::StartRound(_, _, _, _, resume)
            | Effect::PublishLivenessMsg(_, resume)
            | Effect::RepublishVote(_, resume)
            | Effect::RepublishRoundCertificate(_, resume) => resume.resume_with(()),
            other => panic!("{other:?} is not expected"),
        }
    }

    fn settle(&mut self) {
        let mut moved = true;
        while moved {
            moved = false;
            for index in 0..self.members.len() {
                for bytes in std::mem::take(&mut self.members[index].inbox) {
                    moved = true;
                    let input = decode(&bytes, &self.values.clone());
                    self.give(index, input);
                }
            }
        }
    }
}

fn new_state(index: usize, validators: &Validators) -> State<Ctx> {
    let params = Params {
        address: Address(index as u32),
        threshold_params: Default::default(),
        value_payload: ValuePayload::ProposalOnly,
        enabled: true,
    };
    State::new(Ctx, Height(1), validators.clone(), params, 100, 1000)
}

/// CPU time of all decisions.
pub fn run(work: Work) -> Duration {
    let keys: Vec<SigningKey> = (0..work.replicas).map(|index| SigningKey::from([index as u8 + 100; 32])).collect();
    let validators =
        keys.iter().zip(0..).map(|(key, index)| Validator { address: Address(index), key: VerificationKey::from(key) }).collect::<Vec<_>>();
    let validators = Validators(Arc::new(validators));
    let members = keys.into_iter().enumerate().map(|(index, key)| Member {
        state: Some(new_state(index, &validators)),
        own: VerificationKey::from(&key),
        key,
        inbox: VecDeque::new(),
        decided: 0,
        logged: 0,
    });
    let values = Arc::new(Values::new(work.content));
    let prepared = (1..=work.decisions as u64).map(|height| values.make(height)).collect();
    let mut cluster = Cluster { members: members.collect(), validators: validators.clone(), signed: work.signed_votes, values, prepared };
    let begin = cpu_time();
    for index in 0..work.replicas {
        cluster.give(index, Input::StartHeight(Height(1), validators.clone(), false, None, VoteExtensionPolicy::Disabled));
    }
    cluster.settle();
    let spent = cpu_time() - begin;
    assert!(cluster.members.iter().all(|member| member.decided == work.decisions as u64), "not all decided");
    spent
}
