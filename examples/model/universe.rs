//! All that can be said within the bounds of a search: blocks, statements, and the messages that carry them, checked by the crate's own verifier.

use logothete::sim::forge::{Forge, ForgedBlock, ForgedCertificate, ForgedStatus, ForgedViewChange, Kind, Position, Traitor};
use logothete::{
    Cluster, ClusterBuilder, Digest, Limits, Manifest, PeerLink, ReplicaId, RequestNumber, SequenceNumber, SessionEntry, SessionTable,
    SigningKey, Unverified, Verified, Verifier, View, chunk_digest,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Replicas in all, and correct ones.
pub const N: usize = 4;
pub const CORRECT: usize = 3;
/// q − f: so many correct signatures on a statement are as good as a certificate, since the traitor signs anything. Reckoned here, not asked for.
pub const POTENTIAL: usize = 2;
/// Under which a lost log is told.
pub const NONCE: [u8; 32] = [7; 32];

/// What is searched.
#[derive(Clone, Debug)]
pub struct Config {
    /// Positions 1..=numbers, two blocks on each block.
    pub numbers: u32,
    /// Views 0, .. in order. The first is 0.
    pub views: Vec<u64>,
    pub traitor: u32,
    /// Proposals are delivered only where they lead on from head. Otherwise in any order.
    pub in_order: bool,
    /// Blocks that are missed arrive, or don't, like all else. Otherwise at once.
    pub free_bodies: bool,
    /// Commit certificates are delivered too.
    pub decisions: bool,
    /// Single votes are delivered too.
    pub votes: bool,
    /// Contradictions are delivered to those who hold the other half.
    pub evidence: bool,
    /// Replicas crash, and recover from their logs.
    pub crashes: bool,
    /// So many replicas lose their logs and what their services had, once each, and rejoin. (D2)
    pub losses: usize,
    /// Checkpoints of what is decided are delivered: each position is one. (C3)
    pub stable: bool,
    /// Only these blocks, by name, are proposed; all if there are none.
    pub blocks: Vec<String>,
    /// Whose signatures count as the traitor's: more than f, 1, and everything that is checked can be broken.
    pub faulty: usize,
    /// States are one only if their replicas have said the same, each of them: for broken replicas, who may say more in a view that they have left.
    pub exact: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            numbers: 2,
            views: vec![0, 4],
            traitor: 0,
            in_order: true,
            free_bodies: false,
            decisions: true,
            votes: false,
            evidence: false,
            crashes: false,
            losses: 0,
            stable: false,
            blocks: Vec::new(),
            faulty: 1,
            exact: false,
        }
    }
}

/// What may happen to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Propose {
        view: usize,
        block: usize,
    },
    Certificate {
        kind: Kind,
        view: usize,
        block: usize,
    },
    Vote {
        kind: Kind,
        view: usize,
        block: usize,
        member: u32,
    },
    Body {
        block: usize,
    },
    /// A base, by the certificate of (`from`, `block`); genesis if that is (0, 0).
    NewView {
        view: usize,
        from: usize,
        block: usize,
    },
    ViewChange {
        view: usize,
        from: usize,
        block: usize,
        member: u32,
    },
    /// All others want this view.
    Leave {
        view: usize,
    },
    /// Its own patience is lost.
    Wish {
        view: usize,
    },
    Request {
        client: usize,
        number: u64,
    },
    Crash,
    /// Log and service are gone.
    Lose,
    /// The others answer who has lost its log, and the highest of their wants is this.
    Welcome {
        view: usize,
    },
    /// A quorum has a snapshot there.
    Stable {
        block: usize,
    },
}

/// When an act is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Always,
    /// So many correct replicas signed it as a quorum without the traitor has.
    Certified(u32),
    /// This correct replica signed it.
    Signed(u32, u32),
    /// By claims: reckoned from them.
    Claims,
    /// Somebody may still lose its log.
    Losses,
    /// None of the others has lost its log, and this is the highest view that one of them wants.
    Wanted(usize),
    /// One of the others has wanted a view as high as this.
    Wished(usize),
    /// One of these is signed by so many.
    AnyCertified(u128),
}

pub struct Choice {
    pub act: Act,
    pub when: When,
    pub messages: Vec<Verified>,
}

/// A choice, and the statement of which a certificate must exist.
type Offer = (u32, Option<u32>);

pub struct Universe {
    pub config: Config,
    pub cluster: Arc<Cluster>,
    pub forge: Forge,
    pub keys: Vec<SigningKey>,
    pub blocks: Vec<Option<ForgedBlock>>,
    pub digests: Vec<Digest>,
    pub choices: Vec<Choice>,
    /// By view and the sorted claims of correct replicas: choices of new views, and the block whose certificate must exist in a view for that.
    pub new_views: BTreeMap<(usize, Vec<u8>), Vec<Offer>>,
    /// How many signatures of correct replicas a certificate takes, beside those of the faulty ones.
    pub signers_needed: usize,
    /// How many claims of correct replicas a new view takes, beside the traitor's.
    pub claims_needed: usize,
    verifier: Verifier,
}

pub fn replica_key(index: usize) -> SigningKey {
    SigningKey::from_bytes(&[index as u8 + 1; 32])
}

fn client_key(index: usize) -> SigningKey {
    SigningKey::from_bytes(&[index as u8 + 0xc1; 32])
}

pub fn depth(block: usize) -> u32 {
    (block + 1).ilog2()
}

/// Is the first the second, or before it on its chain?
pub fn leads_to(first: usize, second: usize) -> bool {
    let (a, b) = (depth(first), depth(second));
    a <= b && ((second + 1) >> (b - a)) - 1 == first
}

pub fn related(first: usize, second: usize) -> bool {
    leads_to(first, second) || leads_to(second, first)
}

/// x and y for the first and the second block on another.
pub fn name(block: usize) -> String {
    let mut letters = String::new();
    let mut at = block;
    while at > 0 {
        letters.insert(0, if at % 2 == 1 { 'x' } else { 'y' });
        at = (at - 1) / 2;
    }
    if letters.is_empty() { "genesis".into() } else { letters }
}

impl Universe {
    pub fn new(config: Config) -> Self {
        let count = (1 << (config.numbers + 1)) - 1;
        let builder: ClusterBuilder = Cluster::builder(
            (0..N).map(|index| replica_key(index).verifying_key()).collect(),
            (0..2).map(|index| client_key(index).verifying_key()).collect(),
        );
        let builder = builder.limits(Limits { batch_requests_max: 1, ..Limits::default() });
        let interval = if config.stable { 1 } else { 64 };
        let builder = builder.checkpoint_interval(interval).log_window(128).pipeline(u64::from(config.numbers));
        let cluster = Arc::new(builder.build().expect("a valid cluster"));
        let forge = Forge::new(cluster.clone());
        let mut digests = vec![forge.genesis()];
        let mut blocks = vec![None];
        for block in 1..count {
            let client = (block + 1) % 2;
            let mut number = 1;
            let mut at: usize = (block - 1) / 2;
            while at > 0 {
                number += u64::from((at + 1) % 2 == client);
                at = (at - 1) / 2;
            }
            let request = forge.request(&client_key(client), RequestNumber::new(number), b"attack");
            let made = forge.block(SequenceNumber::new(u64::from(depth(block))), digests[(block - 1) / 2], vec![request]);
            digests.push(made.digest());
            blocks.push(Some(made));
        }
        let mut universe = Self {
            verifier: Verifier::new(cluster.clone()),
            keys: (0..N).map(replica_key).collect(),
            signers_needed: cluster.quorum() as usize - config.faulty,
            claims_needed: cluster.quorum() as usize - 1,
            config,
            cluster,
            forge,
            blocks,
            digests,
            choices: Vec::new(),
            new_views: BTreeMap::new(),
        };
        assert!(universe.bits() <= 128, "too many statements");
        universe.fill();
        universe
    }

    pub fn count(&self) -> usize {
        self.blocks.len()
    }
    pub fn view_count(&self) -> usize {
        self.config.views.len()
    }
    pub fn view(&self, index: usize) -> View {
        View::new(self.config.views[index])
    }
    pub fn view_index(&self, view: View) -> Option<usize> {
        self.config.views.iter().position(|known| *known == view.get())
    }
    pub fn block_index(&self, digest: &Digest) -> Option<usize> {
        self.digests.iter().position(|known| known == digest)
    }
    pub fn position(&self, block: usize) -> Position {
        (SequenceNumber::new(u64::from(depth(block))), self.digests[block])
    }
    pub fn block_at(&self, (number, digest): Position) -> Option<usize> {
        self.block_index(&digest).filter(|block| u64::from(depth(*block)) == number.get())
    }
    /// Who are correct.
    pub fn correct(&self) -> Vec<u32> {
        (0..N as u32).filter(|replica| *replica != self.config.traitor).collect()
    }
    pub fn primary(&self, view: usize) -> u32 {
        self.cluster.primary(self.view(view)).get()
    }
    /// The traitor leads all views: its correct replicas are as good as each other.
    pub fn is_symmetric(&self) -> bool {
        !self.config.votes && (0..self.view_count()).all(|view| self.primary(view) == self.config.traitor)
    }

    /// So many correct signatures are as good as a certificate.
    pub fn potential(&self) -> usize {
        POTENTIAL + 1 - self.config.faulty
    }

    /// Who has said what matters: a log that is lost does not take back what was said.
    pub fn is_exact(&self) -> bool {
        self.config.exact || self.config.losses > 0
    }

    /// What replicas have told matters to themselves.
    pub fn whole(&self) -> bool {
        let config = &self.config;
        !self.is_symmetric() || config.evidence || config.crashes
    }

    // Statements as bits.
    pub fn prepare(&self, view: usize, block: usize) -> u32 {
        (view * self.count() + block) as u32
    }
    pub fn commit(&self, view: usize, block: usize) -> u32 {
        ((self.view_count() + view) * self.count() + block) as u32
    }
    pub fn claim(&self, from: usize, block: usize) -> u8 {
        (from * self.count() + block) as u8
    }
    /// A ViewChange with a claim that is below the view.
    pub fn view_change(&self, view: usize, claim: u8) -> u32 {
        ((2 * self.view_count() + view * (view - 1) / 2) * self.count()) as u32 + u32::from(claim)
    }
    fn after_view_changes(&self) -> usize {
        let views = self.view_count();
        (2 * views + views * (views - 1) / 2) * self.count()
    }
    pub fn new_view(&self, view: usize, block: usize) -> u32 {
        (self.after_view_changes() + view * self.count() + block) as u32
    }
    fn bits(&self) -> u32 {
        self.new_view(if self.is_symmetric() { 0 } else { self.view_count() }, 0)
    }

    fn member(&self, index: u32) -> Traitor<'_> {
        (ReplicaId::new(index), &self.keys[index as usize])
    }

    /// None if the verifier refuses it.
    pub fn verify(&self, bytes: &[u8]) -> Option<Verified> {
        let unverified = Unverified::decode(PeerLink(0), bytes, self.cluster.limits()).ok()?;
        self.verifier.verify(unverified).ok()
    }

    fn must(&self, bytes: &[u8]) -> Vec<Verified> {
        vec![self.verify(bytes).expect("a valid message")]
    }

    fn add(&mut self, act: Act, when: When, messages: Vec<Verified>) -> u32 {
        self.choices.push(Choice { act, when, messages });
        self.choices.len() as u32 - 1
    }

    /// As many signatures as the cluster takes for a quorum.
    fn forged_certificate(&self, kind: Kind, view: usize, block: usize) -> ForgedCertificate {
        let members: Vec<_> = (0..self.cluster.quorum()).map(|index| self.member(index)).collect();
        self.forge.certificate(&members, kind, self.view(view), self.position(block))
    }

    /// Prepared and committed is genesis nowhere in view 0.
    fn is_votable(view: usize, block: usize, kind: Kind) -> bool {
        block > 0 || (view > 0 && kind == Kind::Prepare)
    }

    /// Blocks down from this one.
    pub fn body(&self, block: usize) -> Vec<ForgedBlock> {
        let mut at = block;
        let mut chain = Vec::new();
        while at > 0 {
            chain.extend(self.blocks[at].clone());
            at = (at - 1) / 2;
        }
        chain
    }

    pub fn bit_of(&self, kind: Kind, view: usize, block: usize) -> u32 {
        match kind {
            Kind::Prepare => self.prepare(view, block),
            Kind::Commit => self.commit(view, block),
        }
    }

    fn is_proposed(&self, block: usize) -> bool {
        self.config.blocks.is_empty() || self.config.blocks.contains(&name(block))
    }

    fn fill(&mut self) {
        let (views, count, traitor) = (self.view_count(), self.count(), self.config.traitor);
        for view in 0..views {
            let primary = self.primary(view);
            for block in (1..count).filter(|block| self.is_proposed(*block)).collect::<Vec<_>>() {
                let bytes = self.forge.pre_prepare(
                    &self.keys[primary as usize],
                    self.view(view),
                    self.blocks[block].as_ref().expect("above genesis"),
                );
                let when = if primary == traitor { When::Always } else { When::Signed(primary, self.prepare(view, block)) };
                self.add(Act::Propose { view, block }, when, self.must(&bytes));
            }
            for (kind, block) in [Kind::Prepare, Kind::Commit].into_iter().flat_map(|kind| (0..count).map(move |block| (kind, block))) {
                if !Self::is_votable(view, block, kind) {
                    continue;
                }
                let bit = self.bit_of(kind, view, block);
                if kind == Kind::Prepare || self.config.decisions {
                    let certificate = self.forged_certificate(kind, view, block);
                    let bytes = self.forge.certificate_message(&certificate);
                    self.add(Act::Certificate { kind, view, block }, When::Certified(bit), self.must(&bytes));
                }
                for member in 0..if self.config.votes { N as u32 } else { 0 } {
                    let bytes = self.forge.vote(self.member(member), kind, self.view(view), self.position(block));
                    let when = if member == traitor { When::Always } else { When::Signed(member, bit) };
                    self.add(Act::Vote { kind, view, block, member }, when, self.must(&bytes));
                }
            }
            if view > 0 {
                self.add_wants(view);
                self.add_new_views(view);
                if primary != traitor {
                    self.add_view_changes(view);
                }
            }
        }
        for block in 1..count {
            let bytes = self.forge.chain(None, &self.body(block));
            let messages = self.must(&bytes);
            self.add(Act::Body { block }, When::Always, messages);
        }
        if !self.is_symmetric() {
            let numbers = u64::from(self.config.numbers);
            for (client, number) in (0..2).flat_map(|client| (1..=numbers).map(move |number| (client, number))) {
                let request = self.forge.request(&client_key(client), RequestNumber::new(number), b"attack");
                self.add(Act::Request { client, number }, When::Always, self.must(&self.forge.request_message(&request)));
            }
        }
        if self.config.crashes {
            self.add(Act::Crash, When::Always, Vec::new());
        }
        if self.config.losses > 0 {
            self.add_losses();
        }
        if self.config.stable {
            self.add_checkpoints();
        }
    }

    fn add_losses(&mut self) {
        self.add(Act::Lose, When::Losses, Vec::new());
        for view in 0..self.view_count() {
            // The traitor wants nothing: that lets it in soonest. Who hears them is told by each that is not itself.
            let from_to = (0..N as u32).flat_map(|from| (0..N as u32).map(move |to| (from, to)));
            let answers = from_to.filter(|(from, to)| from != to).map(|(from, to)| {
                let want = if from == self.config.traitor { View::default() } else { self.view(view) };
                self.verify(&self.forge.welcome(self.member(from), ReplicaId::new(to), NONCE, want)).expect("a valid welcome")
            });
            let answers = answers.collect();
            self.add(Act::Welcome { view }, When::Wanted(view), answers);
        }
    }

    /// Correct replicas vote on a checkpoint that they have executed, and so decided; a quorum of votes is as possible as a commit certificate.
    fn add_checkpoints(&mut self) {
        let members: Vec<_> = (0..self.cluster.quorum()).map(|index| (ReplicaId::new(index), self.keys[index as usize].clone())).collect();
        let members: Vec<Traitor<'_>> = members.iter().map(|(id, key)| (*id, key)).collect();
        for block in 1..self.count() {
            let checkpoint = self.forge.checkpoint_of(&self.manifest(block));
            let bytes = self.forge.stable_message(&self.forge.stable(&members, checkpoint));
            let messages = self.must(&bytes);
            let decided = (0..self.view_count()).flat_map(|view| (1..self.count()).map(move |other| (view, other)));
            let decided =
                decided.filter(|(_, other)| leads_to(block, *other)).fold(0, |all, (view, other)| all | 1 << self.commit(view, other));
            self.add(Act::Stable { block }, When::AnyCertified(decided), messages);
        }
    }

    /// A snapshot of a service whose state is the log's digest, and whose results are the operations.
    fn manifest(&self, block: usize) -> Manifest {
        let mut table = SessionTable::new(&self.cluster);
        for request in self.body(block).iter().rev().flat_map(ForgedBlock::requests) {
            let result_digest = self.forge.result_digest(request.operation());
            table.record(SessionEntry { client: request.client(), number: request.number(), result_digest });
        }
        let position = self.position(block);
        self.forge.manifest(position, &[chunk_digest(&table.encode())], &[position.1])
    }

    fn add_wants(&mut self, view: usize) {
        // As many as there are: whoever hears them is told by each that is not itself.
        let wants = (0..N as u32).map(|member| {
            let forged = ForgedStatus { ordinal: 1 + view as u64, want: self.view(view), ..ForgedStatus::default() };
            self.verify(&self.forge.status_of(self.member(member), &forged)).expect("a valid status")
        });
        let wants = wants.collect();
        if self.config.losses == 0 {
            self.add(Act::Leave { view }, When::Always, wants);
            return;
        }
        // D2 rests on true wants: one of another correct replica beside the traitor's, and so its own.
        self.add(Act::Leave { view }, When::Wished(view), wants);
        self.add(Act::Wish { view }, When::Always, Vec::new());
    }

    fn forged_view_change(&self, member: u32, view: usize, claim: usize) -> ForgedViewChange {
        let (from, block) = (claim / self.count(), claim % self.count());
        let certificate = (claim > 0).then(|| self.forged_certificate(Kind::Prepare, from, block));
        self.forge.view_change(self.member(member), self.view(view), certificate.as_ref())
    }

    /// All new views that the verifier takes, from all claims that there can be.
    fn add_new_views(&mut self, view: usize) {
        let (count, quorum) = (self.count(), self.cluster.quorum() as usize);
        let claims = self.view_count() * count;
        // The traitor's claim may be of any view.
        let made: Vec<Vec<ForgedViewChange>> =
            (0..quorum as u32).map(|member| (0..claims).map(|claim| self.forged_view_change(member, view, claim)).collect()).collect();
        let mut known: BTreeMap<usize, Option<u32>> = BTreeMap::new();
        let primary_key = self.keys[self.primary(view) as usize].clone();
        let mut chosen = vec![0; quorum];
        loop {
            let set: Vec<ForgedViewChange> = chosen.iter().enumerate().map(|(member, claim)| made[member][*claim].clone()).collect();
            for (place, base) in chosen.iter().enumerate() {
                if chosen[..place].contains(base) {
                    continue;
                }
                let certificate = (*base > 0).then(|| self.forged_certificate(Kind::Prepare, base / count, base % count));
                let start = Some((self.position(base % count), certificate.as_ref()));
                let Some(verified) = self.verify(&self.forge.new_view(&primary_key, self.view(view), &set, start)) else { continue };
                let (from, block) = (base / count, base % count);
                let choice = *known.entry(*base).or_insert(None);
                let choice = match choice {
                    Some(choice) => choice,
                    None => self.add(Act::NewView { view, from, block }, When::Claims, vec![verified]),
                };
                known.insert(*base, Some(choice));
                let proof = (*base > 0).then(|| self.prepare(from, block));
                // One of the claims is the traitor's, any of them.
                for traitors in 0..quorum {
                    let mut rest: Vec<u8> =
                        chosen.iter().enumerate().filter(|(place, _)| *place != traitors).map(|(_, claim)| *claim as u8).collect();
                    if rest.iter().any(|claim| usize::from(*claim) >= view * count) {
                        continue;
                    }
                    rest.sort_unstable();
                    let entry = self.new_views.entry((view, rest)).or_default();
                    if !entry.contains(&(choice, proof)) {
                        entry.push((choice, proof));
                    }
                }
            }
            // Sorted choices suffice.
            let Some(place) = (0..quorum).rev().find(|place| chosen[*place] + 1 < claims) else { break };
            let next = chosen[place] + 1;
            chosen[place..].iter_mut().for_each(|claim| *claim = next);
        }
    }

    fn add_view_changes(&mut self, view: usize) {
        let (traitor, claims) = (self.config.traitor, view * self.count());
        for (member, claim) in (0..N as u32).flat_map(|member| (0..claims).map(move |claim| (member, claim))) {
            let (from, block) = (claim / self.count(), claim % self.count());
            let bytes = self.forge.view_change_message(&self.forged_view_change(member, view, claim));
            let when = match () {
                () if member != traitor => When::Signed(member, self.view_change(view, claim as u8)),
                () if claim == 0 => When::Always,
                () => When::Certified(self.prepare(from, block)),
            };
            self.add(Act::ViewChange { view, from, block, member }, when, self.must(&bytes));
        }
    }
}

impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verb = |kind: &Kind| if *kind == Kind::Prepare { "Prepare" } else { "Commit" };
        match &self.act {
            Act::Propose { view, block } => write!(f, "is sent the proposal v{view} {}", name(*block)),
            Act::Certificate { kind, view, block } => write!(f, "is sent the certificate of {} v{view} {}", verb(kind), name(*block)),
            Act::Vote { kind, view, block, member } => write!(f, "is sent {}(v{view}, {}) of r{member}", verb(kind), name(*block)),
            Act::Body { block } => write!(f, "is sent the blocks up to {}", name(*block)),
            Act::NewView { view, from, block } => write!(f, "is sent NewView(v{view}) from the certificate v{from} {}", name(*block)),
            Act::ViewChange { view, from, block, member } => {
                write!(f, "is sent ViewChange(v{view}) of r{member} claiming v{from} {}", name(*block))
            }
            Act::Leave { view } => write!(f, "hears that all others want v{view}"),
            Act::Wish { view } => write!(f, "loses patience and wishes for v{view}"),
            Act::Request { client, number } => write!(f, "is sent request {number} of client {client}"),
            Act::Crash => write!(f, "crashes, and recovers from its log"),
            Act::Lose => write!(f, "loses its log"),
            Act::Welcome { view } => write!(f, "is answered that of the others one wants v{view}, and none a higher one"),
            Act::Stable { block } => write!(f, "is sent the stable checkpoint at {}", name(*block)),
        }
    }
}
