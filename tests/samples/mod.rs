//! One cluster with known keys, and a valid message of every kind, laid out without the crate's codec.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub mod by_hand;
pub mod files;
pub mod sheet;

use by_hand::{Block, Certificate, Checkpoint, Claim, Hash, Phase, Request, Statement, ViewChange, Vote, tree_node, tree_root};
use ed25519_dalek::SigningKey;
use logothete::sim::forge::Forge;
use logothete::{Cluster, Limits, MessageKind, PeerLink, Unverified, Verified, Verifier, VerifyError};
use sha2::{Digest as _, Sha256};
use sheet::Sheet;
use std::sync::Arc;

pub const LINK: PeerLink = PeerLink(7);

/// Four replicas with the seeds [1; 32] to [4; 32], two clients with [101; 32] and [102; 32].
pub struct World {
    pub cluster: Arc<Cluster>,
    pub replicas: Vec<SigningKey>,
    pub clients: Vec<SigningKey>,
    pub forge: Forge,
    pub verifier: Verifier,
}

pub fn keys(first_seed: u8, count: usize) -> Vec<SigningKey> {
    (0..count).map(|index| SigningKey::from_bytes(&[first_seed + u8::try_from(index).unwrap(); 32])).collect()
}

pub fn sha(domain: &[u8; 16], parts: &[&[u8]]) -> Hash {
    parts.iter().fold(Sha256::new().chain_update(domain), |hasher, part| hasher.chain_update(part)).finalize().into()
}

/// What a status carries beside its own fields.
#[derive(Default)]
struct Said {
    prepare: Option<Vote>,
    commit: Option<Vote>,
    checkpoint: Option<Checkpoint>,
    view_change: Option<ViewChange>,
}

/// A valid message.
pub struct Sample {
    pub name: &'static str,
    pub kind: MessageKind,
    /// What its own signature is over, and whose it is.
    pub signed: Option<(String, Vec<u8>)>,
    pub sheet: Sheet,
}

impl World {
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub fn with_limits(limits: Limits) -> Self {
        Self::with_keys(keys(1, 4), keys(101, 2), limits)
    }

    pub fn with_keys(replicas: Vec<SigningKey>, clients: Vec<SigningKey>, limits: Limits) -> Self {
        let public = |keys: &[SigningKey]| keys.iter().map(SigningKey::verifying_key).collect();
        let cluster = Arc::new(Cluster::builder(public(&replicas), public(&clients)).limits(limits).build().unwrap());
        Self { forge: Forge::new(cluster.clone()), verifier: Verifier::new(cluster.clone()), cluster, replicas, clients }
    }

    pub fn genesis(&self) -> Hash {
        sha(b"logothete/genesi", &[self.cluster.id().as_bytes()])
    }

    pub fn decode(&self, bytes: &[u8]) -> Result<Unverified, logothete::DecodeError> {
        let copied = Unverified::decode(LINK, bytes, self.cluster.limits());
        // In both ways, or this panics.
        assert_eq!(self.forge.reencode(bytes).is_ok(), copied.is_ok());
        copied
    }

    pub fn verify(&self, bytes: &[u8]) -> Result<Verified, VerifyError> {
        self.verifier.verify(self.decode(bytes).unwrap())
    }

    pub fn request(&self, client: usize, number: u64) -> Request {
        let operation = format!("operation {number} of client {client}").into_bytes();
        Request { client, number, run: vec![operation.clone()], place: 0, operation }
    }

    /// One of five that client 1 signed at once, from number 6 on.
    pub fn request_of_a_run(&self) -> Request {
        let run: Vec<Vec<u8>> = (6..11).map(|number| self.request(1, number).operation).collect();
        Request { client: 1, number: 8, operation: run[2].clone(), place: 2, run }
    }

    /// Two blocks on genesis: the lower has two requests, the higher one.
    pub fn blocks(&self) -> [Block; 2] {
        let first = Block { number: 1, parent: self.genesis(), batch: vec![self.request(0, 1), self.request(1, 1)] };
        let second = Block { number: 2, parent: self.block_digest(&first), batch: vec![self.request(0, 2)] };
        [first, second]
    }

    pub fn certificate(&self, phase: Phase, view: u64) -> Certificate {
        let [first, _] = self.blocks();
        Certificate { vote: Vote { phase, view, number: 1, digest: self.block_digest(&first) }, members: vec![0, 1, 3] }
    }

    /// A snapshot after position 128: two parts of the session table, three of the service.
    pub fn parts(&self) -> (Vec<Hash>, Vec<Hash>) {
        let part = |number: u8| sha(b"logothete/chunk\0", &[&[number; 3]]);
        (vec![part(1), part(2)], vec![part(3), part(4), part(5)])
    }

    pub fn checkpoint(&self) -> Checkpoint {
        let (sessions, service) = self.parts();
        Checkpoint { number: 128, log_digest: [0xd1; 32], state: self.state(128, &[0xd1; 32], &sessions, &service) }
    }

    fn sample(&self, name: &'static str, kind: MessageKind, lay: impl FnOnce(&mut Sheet)) -> Sample {
        let mut sheet = Sheet::default();
        sheet.choice("message", wire_number(kind), &format!("{kind:?}"));
        lay(&mut sheet);
        Sample { name, kind, signed: None, sheet }
    }

    /// A valid message of every kind, in each of its shapes.
    pub fn samples(&self) -> Vec<Sample> {
        let [first, second] = self.blocks();
        let digest = self.block_digest(&first);
        let prepare = Vote { phase: Phase::Prepare, view: 3, number: 1, digest };
        let commit = Vote { phase: Phase::Commit, ..prepare };
        let genesis_vote = Vote { number: 0, digest: self.genesis(), ..prepare };
        let genesis_certificate = Certificate { vote: Vote { view: 2, ..genesis_vote }, members: vec![0, 2, 3] };
        let (prepared, committed) = (self.certificate(Phase::Prepare, 2), self.certificate(Phase::Commit, 1));
        let (request, run) = (self.request(1, 1), self.request_of_a_run());
        let view_change = |replica, certificate: Option<&Certificate>| ViewChange { replica, view: 5, certificate: certificate.cloned() };
        let vote =
            |name, kind, vote: &Vote| signed(self.sample(name, kind, |s| self.lay_vote(s, 1, vote)), "replica 1", self.vote_payload(vote));
        let leaving = |name, view_change: &ViewChange| {
            let sample = self.sample(name, MessageKind::ViewChange, |s| self.lay_view_change(s, view_change));
            signed(sample, "replica 2", self.view_change_payload(view_change))
        };
        let claims = [view_change(0, Some(&committed)), view_change(2, Some(&prepared)), view_change(3, None)];
        let genesis_claims = [0, 1, 2].map(|replica| view_change(replica, None));
        let against = |name, first: Statement, second: Statement| {
            self.sample(name, MessageKind::Evidence, |s| {
                s.u32("replica", 3);
                s.within("first", |s| self.lay_statement(s, 3, &first));
                s.within("second", |s| self.lay_statement(s, 3, &second));
            })
        };
        let claim = |certificate| self.claim(Some(certificate));
        vec![
            signed(
                self.sample("request", MessageKind::Request, |s| self.lay_request(s, &request)),
                "client 1",
                self.request_payload(&request),
            ),
            signed(
                self.sample("request_of_a_run", MessageKind::Request, |s| self.lay_request(s, &run)),
                "client 1",
                self.request_payload(&run),
            ),
            signed(
                self.sample("pre_prepare", MessageKind::PrePrepare, |s| {
                    s.u64("view", 3);
                    self.lay_block(s, &first);
                    s.fixed("signature", &self.by_replica(3, &self.vote_payload(&prepare)));
                }),
                "replica 3",
                self.vote_payload(&prepare),
            ),
            vote("prepare", MessageKind::Prepare, &prepare),
            vote("prepare_of_genesis", MessageKind::Prepare, &genesis_vote),
            vote("commit", MessageKind::Commit, &commit),
            self.sample("certificate_prepared", MessageKind::Certificate, |s| self.lay_certificate(s, &prepared)),
            self.sample("certificate_commit", MessageKind::Certificate, |s| self.lay_certificate(s, &committed)),
            self.sample("certificate_of_genesis", MessageKind::Certificate, |s| self.lay_certificate(s, &genesis_certificate)),
            leaving("view_change", &view_change(2, Some(&prepared))),
            leaving("view_change_from_genesis", &view_change(2, None)),
            self.new_view("new_view", &claims, Some(&prepared)),
            self.new_view("new_view_from_genesis", &genesis_claims, None),
            self.status("status", &Said::default()),
            self.status(
                "status_with_votes",
                &Said {
                    prepare: Some(Vote { view: 5, ..prepare }),
                    commit: Some(Vote { view: 5, ..commit }),
                    checkpoint: Some(self.checkpoint()),
                    view_change: Some(view_change(1, Some(&prepared))),
                },
            ),
            self.fetch("fetch_chain", 0, "Chain", &[("above", 8, 0), ("sequence_number", 8, 1)], digest),
            self.fetch("fetch_proposal", 1, "Proposal", &[("view", 8, 0), ("sequence_number", 8, 1)], digest),
            self.fetch("fetch_manifest", 2, "Manifest", &[("sequence_number", 8, 128)], self.checkpoint().state),
            self.fetch("fetch_chunk", 3, "Chunk", &[("sequence_number", 8, 128), ("index", 4, 4)], self.parts().1[2]),
            self.sample("chain", MessageKind::Chain, |s| {
                s.option("certificate", Some(&committed), |s, certificate| self.lay_certificate(s, certificate));
                s.option("vote", Some(&prepare), |s, vote| self.lay_vote(s, 3, vote));
                s.count("blocks", 2);
                s.within("block", |s| self.lay_block(s, &second));
                s.within("block", |s| self.lay_block(s, &first));
            }),
            against(
                "evidence_of_prepares",
                Statement::Vote(prepare),
                Statement::Vote(Vote { digest: self.block_digest(&second), ..prepare }),
            ),
            against("evidence_of_commits", Statement::Vote(commit), Statement::Vote(Vote { digest: [9; 32], ..commit })),
            against(
                "evidence_of_view_changes",
                Statement::ViewChange { view: 5, claim: claim(&prepared) },
                Statement::ViewChange { view: 5, claim: claim(&committed) },
            ),
            against(
                "evidence_of_new_views",
                Statement::NewView { view: 3, number: 1, digest },
                Statement::NewView { view: 3, number: 0, digest: self.genesis() },
            ),
            against(
                "evidence_of_results",
                Statement::Executed { number: 1, root: [8; 32] },
                Statement::Executed { number: 1, root: [9; 32] },
            ),
            self.reply(2),
            self.answered(2),
            against(
                "evidence_of_checkpoints",
                Statement::Checkpoint(self.checkpoint()),
                Statement::Checkpoint(Checkpoint { state: [9; 32], ..self.checkpoint() }),
            ),
        ]
        .into_iter()
        .chain(self.checkpoint_samples())
        .collect()
    }

    /// Checkpoints, snapshots, and the way back of a replica that has lost its log.
    fn checkpoint_samples(&self) -> Vec<Sample> {
        let checkpoint = self.checkpoint();
        let (sessions, service) = self.parts();
        let nonce = [0xa5; 32];
        let (rejoin, welcome) = (self.rejoin_payload(2, &nonce), self.welcome_payload(1, 2, &nonce, 6));
        vec![
            signed(
                self.sample("checkpoint", MessageKind::Checkpoint, |s| self.lay_checkpoint_vote(s, 1, &checkpoint)),
                "replica 1",
                self.checkpoint_payload(&checkpoint),
            ),
            self.sample("stable", MessageKind::Stable, |s| self.lay_stable(s, &checkpoint, &[0, 1, 3])),
            self.sample("manifest", MessageKind::Manifest, |s| {
                s.u64("sequence_number", 128);
                s.fixed("log_digest", &checkpoint.log_digest);
                for (name, parts) in [("sessions", &sessions), ("service", &service)] {
                    s.count(name, parts.len());
                    parts.iter().for_each(|part| s.fixed("chunk", part));
                }
            }),
            self.sample("chunk", MessageKind::Chunk, |s| s.string("bytes", &[5; 3])),
            signed(
                self.sample("rejoin", MessageKind::Rejoin, |s| {
                    s.u32("replica", 2);
                    s.fixed("nonce", &nonce);
                    s.fixed("signature", &self.by_replica(2, &rejoin));
                }),
                "replica 2",
                rejoin.clone(),
            ),
            signed(
                self.sample("welcome", MessageKind::Welcome, |s| {
                    s.u32("replica", 1);
                    s.u32("to", 2);
                    s.fixed("nonce", &nonce);
                    s.u64("want", 6);
                    s.fixed("signature", &self.by_replica(1, &welcome));
                }),
                "replica 1",
                welcome.clone(),
            ),
        ]
    }

    fn new_view(&self, name: &'static str, view_changes: &[ViewChange], certificate: Option<&Certificate>) -> Sample {
        let base = self.claim(certificate);
        let statement = Statement::NewView { view: 5, number: base.number, digest: base.digest };
        let sample = self.sample(name, MessageKind::NewView, |s| {
            s.u64("view", 5);
            s.u64("base_number", base.number);
            s.fixed("base_digest", &base.digest);
            s.count("claims", view_changes.len());
            for view_change in view_changes {
                let Claim { view, number, digest } = self.claim(view_change.certificate.as_ref());
                s.within("claim", |s| {
                    s.u32("replica", view_change.replica);
                    s.u64("rank.view", view);
                    s.u64("rank.sequence_number", number);
                    s.fixed("digest", &digest);
                    s.fixed("signature", &self.by_replica(view_change.replica, &self.view_change_payload(view_change)));
                });
            }
            s.option("certificate", certificate, |s, certificate| self.lay_certificate(s, certificate));
            s.fixed("signature", &self.by_replica(1, &self.statement_payload(&statement)));
        });
        signed(sample, "replica 1", self.statement_payload(&statement))
    }

    fn status(&self, name: &'static str, said: &Said) -> Sample {
        let (mode, word) = if said.view_change.is_some() { (1, "ViewChange") } else { (0, "Normal") };
        let before: [u64; 2] = [77, 5];
        let after: [u64; 9] = [6, 128, 120, 130, 1, 129, 2, 131, 132];
        let mut payload = b"logothete/1\0\0\0\0\0\x07".to_vec();
        payload.extend_from_slice(self.cluster.id().as_bytes());
        payload.extend_from_slice(&1_u32.to_le_bytes());
        before.iter().for_each(|number| payload.extend_from_slice(&number.to_le_bytes()));
        payload.push(mode);
        after.iter().for_each(|number| payload.extend_from_slice(&number.to_le_bytes()));
        let head = self.block_digest(&self.blocks()[0]);
        payload.extend_from_slice(&head);
        let sample = self.sample(name, MessageKind::Status, |s| {
            s.u32("replica", 1);
            ["ordinal", "view"].iter().zip(before).for_each(|(name, number)| s.u64(name, number));
            s.choice("mode", mode.into(), word);
            let names =
                ["want", "stable", "floor", "decided", "committed.view", "committed.number", "high.view", "high.number", "head_number"];
            names.iter().zip(after).for_each(|(name, number)| s.u64(name, number));
            s.fixed("head_digest", &head);
            s.fixed("signature", &self.by_replica(1, &payload));
            s.option("prepare", said.prepare.as_ref(), |s, vote| self.lay_vote(s, 1, vote));
            s.option("commit", said.commit.as_ref(), |s, vote| self.lay_vote(s, 1, vote));
            s.option("checkpoint", said.checkpoint.as_ref(), |s, checkpoint| self.lay_checkpoint_vote(s, 1, checkpoint));
            s.option("view_change", said.view_change.as_ref(), |s, leaving| self.lay_view_change(s, leaving));
        });
        signed(sample, "replica 1", payload)
    }

    /// In the payload all kinds of questions have one width: two u64, of which the first is 0 where there is none, and a digest.
    fn fetch(&self, name: &'static str, wanted: u8, word: &str, numbers: &[(&str, usize, u64)], digest: Hash) -> Sample {
        let mut payload = b"logothete/1\0\0\0\0\0\x08".to_vec();
        payload.extend_from_slice(self.cluster.id().as_bytes());
        payload.extend_from_slice(&2_u32.to_le_bytes());
        payload.extend_from_slice(&78_u64.to_le_bytes());
        payload.push(wanted);
        let number = |name: &str| numbers.iter().find(|(own, ..)| *own == name).map_or(0, |(_, _, number)| *number);
        let first = number("above") + number("view") + number("index");
        [first, number("sequence_number")].iter().for_each(|number| payload.extend_from_slice(&number.to_le_bytes()));
        payload.extend_from_slice(&digest);
        let sample = self.sample(name, MessageKind::Fetch, |s| {
            s.u32("replica", 2);
            s.u64("ordinal", 78);
            s.choice("wanted", wanted.into(), word);
            for (name, width, number) in numbers {
                if *width == 4 { s.u32(name, u32::try_from(*number).unwrap()) } else { s.u64(name, *number) }
            }
            s.fixed("digest", &digest);
            s.fixed("signature", &self.by_replica(2, &payload));
        });
        signed(sample, "replica 2", payload)
    }

    /// The result of the middle one of three requests.
    pub fn reply(&self, replica: u32) -> Sample {
        let operations: [&[u8]; 3] = [b"first", b"second", b"third"];
        let leaves: Vec<Hash> = operations
            .iter()
            .zip(1..)
            .map(|(operation, number)| self.leaf(0, number, operation, &[b"result of ", *operation].concat()))
            .collect();
        let root = tree_root(3, &tree_node(&tree_node(&leaves[0], &leaves[1]), &leaves[2]));
        let statement = Statement::Executed { number: 9, root };
        let sample = self.sample("reply", MessageKind::Reply, |s| {
            s.u32("replica", replica);
            s.u64("view", 4);
            s.u64("sequence_number", 9);
            s.fixed("client", &self.client_id(0));
            s.u64("number", 2);
            s.fixed("operation_digest", &sha(b"logothete/operat", &[b"second"]));
            s.string("result", b"result of second");
            s.u32("index", 1);
            s.u32("count", 3);
            s.count("path", 2);
            s.fixed("sibling", &leaves[0]);
            s.fixed("sibling", &leaves[2]);
            s.fixed("signature", &self.by_replica(replica, &self.statement_payload(&statement)));
        });
        signed(sample, &format!("replica {replica}"), self.statement_payload(&statement))
    }

    pub fn answered(&self, replica: u32) -> Sample {
        let result = sha(b"logothete/result", &[b"result"]);
        let mut payload = b"logothete/1\0\0\0\0\0\x0a".to_vec();
        payload.extend_from_slice(self.cluster.id().as_bytes());
        payload.extend_from_slice(&replica.to_le_bytes());
        payload.extend_from_slice(&self.client_id(0));
        payload.extend_from_slice(&5_u64.to_le_bytes());
        payload.extend_from_slice(&result);
        let sample = self.sample("answered", MessageKind::Answered, |s| {
            s.u32("replica", replica);
            s.fixed("client", &self.client_id(0));
            s.u64("number", 5);
            s.fixed("result_digest", &result);
            s.fixed("signature", &self.by_replica(replica, &payload));
        });
        signed(sample, &format!("replica {replica}"), payload)
    }
}

fn signed(sample: Sample, by: &str, payload: Vec<u8>) -> Sample {
    Sample { signed: Some((by.to_owned(), payload)), ..sample }
}

pub fn wire_number(kind: MessageKind) -> u32 {
    match kind {
        MessageKind::Request => 0,
        MessageKind::PrePrepare => 1,
        MessageKind::Prepare => 2,
        MessageKind::Commit => 3,
        MessageKind::Certificate => 4,
        MessageKind::ViewChange => 5,
        MessageKind::NewView => 6,
        MessageKind::Status => 7,
        MessageKind::Fetch => 8,
        MessageKind::Chain => 9,
        MessageKind::Evidence => 10,
        MessageKind::Reply => 11,
        MessageKind::Answered => 12,
        MessageKind::Checkpoint => 13,
        MessageKind::Stable => 14,
        MessageKind::Manifest => 15,
        MessageKind::Chunk => 16,
        MessageKind::Rejoin => 17,
        MessageKind::Welcome => 18,
        other => panic!("{other:?} has no sample"),
    }
}
