//! Every message and signed payload of the protocol, written a second time from its specification: no line of this uses the crate's codec.

use super::sheet::Sheet;
use super::{World, sha};
use ed25519_dalek::Signer;

pub type Hash = [u8; 32];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Prepare,
    Commit,
}

#[derive(Clone, Copy)]
pub struct Vote {
    pub phase: Phase,
    pub view: u64,
    pub number: u64,
    pub digest: Hash,
}

#[derive(Clone)]
pub struct Certificate {
    pub vote: Vote,
    pub members: Vec<u32>,
}

#[derive(Clone, Copy)]
pub struct Claim {
    pub view: u64,
    pub number: u64,
    pub digest: Hash,
}

#[derive(Clone)]
pub struct ViewChange {
    pub replica: u32,
    pub view: u64,
    pub certificate: Option<Certificate>,
}

#[derive(Clone)]
pub struct Request {
    pub client: usize,
    pub number: u64,
    pub operation: Vec<u8>,
    /// Which one it is of those that its client signed at once, and the operations of all of them.
    pub place: usize,
    pub run: Vec<Vec<u8>>,
}

#[derive(Clone)]
pub struct Block {
    pub number: u64,
    pub parent: Hash,
    pub batch: Vec<Request>,
}

#[derive(Clone, Copy)]
pub struct Checkpoint {
    pub number: u64,
    pub log_digest: Hash,
    pub state: Hash,
}

#[derive(Clone, Copy)]
pub enum Statement {
    Vote(Vote),
    ViewChange { view: u64, claim: Claim },
    NewView { view: u64, number: u64, digest: Hash },
    Executed { number: u64, root: Hash },
    Checkpoint(Checkpoint),
}

/// The payload of each statement: tag, kind, group, fields.
impl World {
    fn payload(&self, kind: u8, numbers: &[u64], digest: Option<Hash>) -> Vec<u8> {
        let mut bytes = b"logothete/1\0\0\0\0\0".to_vec();
        bytes.push(kind);
        bytes.extend_from_slice(self.cluster.id().as_bytes());
        numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        bytes.extend(digest.into_iter().flatten());
        bytes
    }

    pub fn vote_payload(&self, vote: &Vote) -> Vec<u8> {
        let kind = if vote.phase == Phase::Prepare { 1 } else { 2 };
        self.payload(kind, &[vote.view, vote.number], Some(vote.digest))
    }

    pub fn statement_payload(&self, statement: &Statement) -> Vec<u8> {
        match statement {
            Statement::Vote(vote) => self.vote_payload(vote),
            Statement::ViewChange { view, claim } => self.payload(4, &[*view, claim.view, claim.number], Some(claim.digest)),
            Statement::NewView { view, number, digest } => self.payload(5, &[*view, *number], Some(*digest)),
            Statement::Executed { number, root } => self.payload(6, &[*number], Some(*root)),
            Statement::Checkpoint(checkpoint) => self.checkpoint_payload(checkpoint),
        }
    }

    pub fn checkpoint_payload(&self, checkpoint: &Checkpoint) -> Vec<u8> {
        let mut bytes = self.payload(3, &[checkpoint.number], Some(checkpoint.log_digest));
        bytes.extend_from_slice(&checkpoint.state);
        bytes
    }

    pub fn rejoin_payload(&self, replica: u32, nonce: &[u8; 32]) -> Vec<u8> {
        let mut bytes = self.payload(11, &[], None);
        bytes.extend_from_slice(&replica.to_le_bytes());
        bytes.extend_from_slice(nonce);
        bytes
    }

    pub fn welcome_payload(&self, replica: u32, to: u32, nonce: &[u8; 32], want: u64) -> Vec<u8> {
        let mut bytes = self.payload(12, &[], None);
        bytes.extend_from_slice(&replica.to_le_bytes());
        bytes.extend_from_slice(&to.to_le_bytes());
        bytes.extend_from_slice(nonce);
        bytes.extend_from_slice(&want.to_le_bytes());
        bytes
    }

    pub fn request_payload(&self, request: &Request) -> Vec<u8> {
        let mut bytes = self.payload(9, &[], None);
        bytes.extend_from_slice(&self.client_id(request.client));
        bytes.extend_from_slice(&(request.number - request.place as u64).to_le_bytes());
        bytes.extend_from_slice(&(request.run.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&tree_top(&operation_digests(&request.run)));
        bytes
    }

    pub fn client_id(&self, client: usize) -> Hash {
        self.clients[client].verifying_key().to_bytes()
    }

    pub fn by_replica(&self, replica: u32, payload: &[u8]) -> [u8; 64] {
        self.replicas[replica as usize].sign(payload).to_bytes()
    }

    fn request_signature(&self, request: &Request) -> [u8; 64] {
        self.clients[request.client].sign(&self.request_payload(request)).to_bytes()
    }
}

/// The digests of the chain and of results.
impl World {
    pub fn batch_digest(&self, batch: &[Request]) -> Hash {
        let mut bytes = self.cluster.id().as_bytes().to_vec();
        bytes.extend_from_slice(&(batch.len() as u32).to_le_bytes());
        for request in batch {
            bytes.extend_from_slice(&self.client_id(request.client));
            bytes.extend_from_slice(&request.number.to_le_bytes());
            bytes.extend_from_slice(&sha(b"logothete/operat", &[&request.operation]));
            let path = tree_path(&operation_digests(&request.run), request.place);
            [request.place, request.run.len(), path.len()]
                .iter()
                .for_each(|number| bytes.extend_from_slice(&(*number as u32).to_le_bytes()));
            path.iter().for_each(|sibling| bytes.extend_from_slice(sibling));
            bytes.extend_from_slice(&self.request_signature(request));
        }
        sha(b"logothete/batch\0", &[&bytes])
    }

    pub fn block_digest(&self, block: &Block) -> Hash {
        let payload = self.batch_digest(&block.batch);
        sha(b"logothete/header", &[self.cluster.id().as_bytes(), &block.number.to_le_bytes(), &block.parent, &payload])
    }

    pub fn leaf(&self, client: usize, number: u64, operation: &[u8], result: &[u8]) -> Hash {
        let (operation, result) = (sha(b"logothete/operat", &[operation]), sha(b"logothete/result", &[result]));
        sha(b"logothete/leaf\0\0", &[&self.client_id(client), &number.to_le_bytes(), &operation, &result])
    }
}

/// The digest of a snapshot's manifest, which is what a checkpoint calls its state.
impl World {
    pub fn state(&self, number: u64, log_digest: &Hash, sessions: &[Hash], service: &[Hash]) -> Hash {
        let mut bytes = self.cluster.id().as_bytes().to_vec();
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(log_digest);
        for parts in [sessions, service] {
            bytes.extend_from_slice(&(parts.len() as u64).to_le_bytes());
            parts.iter().for_each(|part| bytes.extend_from_slice(part));
        }
        sha(b"logothete/state\0", &[&bytes])
    }
}

fn operation_digests(operations: &[Vec<u8>]) -> Vec<Hash> {
    operations.iter().map(|operation| sha(b"logothete/operat", &[operation])).collect()
}

/// By levels from below: what has no neighbour goes up as it is.
pub fn tree_top(leaves: &[Hash]) -> Hash {
    match leaves {
        [top] => *top,
        _ => tree_top(&tree_level(leaves)),
    }
}

fn tree_level(leaves: &[Hash]) -> Vec<Hash> {
    leaves.chunks(2).map(|pair| if let [left, right] = pair { tree_node(left, right) } else { pair[0] }).collect()
}

pub fn tree_path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let sibling = leaves.get(index ^ 1).copied();
    sibling.into_iter().chain(tree_path(&tree_level(leaves), index / 2)).collect()
}

pub fn tree_node(left: &Hash, right: &Hash) -> Hash {
    sha(b"logothete/node\0\0", &[left, right])
}

/// What is signed: the top of the tree and how many leaves there are.
pub fn tree_root(count: u64, top: &Hash) -> Hash {
    sha(b"logothete/root\0\0", &[&count.to_le_bytes(), top])
}

/// The encoding of each part.
impl World {
    pub fn lay_vote(&self, sheet: &mut Sheet, replica: u32, vote: &Vote) {
        sheet.u64("view", vote.view);
        sheet.u64("sequence_number", vote.number);
        sheet.fixed("digest", &vote.digest);
        sheet.u32("replica", replica);
        sheet.fixed("signature", &self.by_replica(replica, &self.vote_payload(vote)));
    }

    pub fn lay_certificate(&self, sheet: &mut Sheet, certificate: &Certificate) {
        let vote = &certificate.vote;
        lay_phase(sheet, vote.phase);
        sheet.u64("view", vote.view);
        sheet.u64("sequence_number", vote.number);
        sheet.fixed("digest", &vote.digest);
        sheet.count("signatures", certificate.members.len());
        for member in &certificate.members {
            sheet.u32("member", *member);
            sheet.fixed("signature", &self.by_replica(*member, &self.vote_payload(vote)));
        }
    }

    pub fn claim(&self, certificate: Option<&Certificate>) -> Claim {
        certificate.map_or(Claim { view: 0, number: 0, digest: self.genesis() }, |certificate| Claim {
            view: certificate.vote.view,
            number: certificate.vote.number,
            digest: certificate.vote.digest,
        })
    }

    pub fn view_change_payload(&self, view_change: &ViewChange) -> Vec<u8> {
        let claim = self.claim(view_change.certificate.as_ref());
        self.statement_payload(&Statement::ViewChange { view: view_change.view, claim })
    }

    pub fn lay_view_change(&self, sheet: &mut Sheet, view_change: &ViewChange) {
        let claim = self.claim(view_change.certificate.as_ref());
        let signature = self.by_replica(view_change.replica, &self.view_change_payload(view_change));
        sheet.u64("view", view_change.view);
        lay_claim(sheet, &claim);
        sheet.u32("replica", view_change.replica);
        sheet.fixed("signature", &signature);
        sheet.option("certificate", view_change.certificate.as_ref(), |sheet, certificate| self.lay_certificate(sheet, certificate));
    }

    pub fn lay_checkpoint_vote(&self, sheet: &mut Sheet, replica: u32, checkpoint: &Checkpoint) {
        lay_checkpoint(sheet, checkpoint);
        sheet.u32("replica", replica);
        sheet.fixed("signature", &self.by_replica(replica, &self.checkpoint_payload(checkpoint)));
    }

    pub fn lay_stable(&self, sheet: &mut Sheet, checkpoint: &Checkpoint, members: &[u32]) {
        lay_checkpoint(sheet, checkpoint);
        sheet.count("signatures", members.len());
        for member in members {
            sheet.u32("member", *member);
            sheet.fixed("signature", &self.by_replica(*member, &self.checkpoint_payload(checkpoint)));
        }
    }

    pub fn lay_request(&self, sheet: &mut Sheet, request: &Request) {
        sheet.fixed("client", &self.client_id(request.client));
        sheet.u64("number", request.number);
        sheet.string("operation", &request.operation);
        sheet.u32("index", request.place as u32);
        sheet.u32("count", request.run.len() as u32);
        let path = tree_path(&operation_digests(&request.run), request.place);
        sheet.count("path", path.len());
        path.iter().for_each(|sibling| sheet.fixed("sibling", sibling));
        sheet.fixed("signature", &self.request_signature(request));
    }

    pub fn lay_header(&self, sheet: &mut Sheet, block: &Block) {
        sheet.u64("sequence_number", block.number);
        sheet.fixed("parent", &block.parent);
        sheet.fixed("payload", &self.batch_digest(&block.batch));
    }

    pub fn lay_batch(&self, sheet: &mut Sheet, block: &Block) {
        sheet.count("batch", block.batch.len());
        for request in &block.batch {
            sheet.within("request", |sheet| self.lay_request(sheet, request));
        }
    }

    pub fn lay_block(&self, sheet: &mut Sheet, block: &Block) {
        self.lay_header(sheet, block);
        self.lay_batch(sheet, block);
    }

    pub fn lay_statement(&self, sheet: &mut Sheet, replica: u32, statement: &Statement) {
        match statement {
            Statement::Vote(vote) => {
                let (number, name) = if vote.phase == Phase::Prepare { (0, "Prepare") } else { (1, "Commit") };
                sheet.choice("statement", number, name);
                sheet.u64("view", vote.view);
                sheet.u64("sequence_number", vote.number);
                sheet.fixed("digest", &vote.digest);
            }
            Statement::ViewChange { view, claim } => {
                sheet.choice("statement", 2, "ViewChange");
                sheet.u64("view", *view);
                lay_claim(sheet, claim);
            }
            Statement::NewView { view, number, digest } => {
                sheet.choice("statement", 3, "NewView");
                sheet.u64("view", *view);
                sheet.u64("base_number", *number);
                sheet.fixed("base_digest", digest);
            }
            Statement::Executed { number, root } => {
                sheet.choice("statement", 4, "Executed");
                sheet.u64("sequence_number", *number);
                sheet.fixed("root", root);
            }
            Statement::Checkpoint(checkpoint) => {
                sheet.choice("statement", 5, "Checkpoint");
                lay_checkpoint(sheet, checkpoint);
            }
        }
        sheet.fixed("signature", &self.by_replica(replica, &self.statement_payload(statement)));
    }
}

fn lay_phase(sheet: &mut Sheet, phase: Phase) {
    match phase {
        Phase::Prepare => sheet.choice("kind", 0, "Prepare"),
        Phase::Commit => sheet.choice("kind", 1, "Commit"),
    }
}

fn lay_claim(sheet: &mut Sheet, claim: &Claim) {
    sheet.u64("claim.rank.view", claim.view);
    sheet.u64("claim.rank.sequence_number", claim.number);
    sheet.fixed("claim.digest", &claim.digest);
}

pub fn lay_checkpoint(sheet: &mut Sheet, checkpoint: &Checkpoint) {
    sheet.u64("checkpoint.sequence_number", checkpoint.number);
    sheet.fixed("checkpoint.log_digest", &checkpoint.log_digest);
    sheet.fixed("checkpoint.state", &checkpoint.state);
}
