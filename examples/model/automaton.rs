//! One correct replica as an automaton: each state is a real [`Replica`] between two steps, with all that it has signed so far; each transition is
//! what its `step` made of one message. A transition is computed once, however many global states it is part of.

use crate::universe::{Act, NONCE, Universe};
use logothete::sim::Standing;
use logothete::sim::forge::{Kind, Seen};
use logothete::{
    AppCommand, AppState, Bytes, Disposition, Event, Input, Outbox, Output, RecoverError, Replica, ReplicaId, SessionTable, Start, Time,
    Tuning, Verified, View, Write,
};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// Nothing changes.
pub const SAME: u32 = u32::MAX;
const UNKNOWN: u32 = u32::MAX - 1;
/// It has made no claim.
pub const NO_CLAIM: u8 = u8::MAX;
const NOW: Time = Time(1_000_000);

/// Records, the last one first.
struct Log {
    before: Option<Rc<Log>>,
    index: u64,
    record: Bytes,
}

/// A replica between two steps, its host's disk, and what it has said.
pub struct Local {
    replica: Replica,
    log: Option<Rc<Log>>,
    app: AppState,
    table: SessionTable,
    pub standing: Standing,
    /// One bit for each statement that it signed.
    pub signed: u128,
    /// The same for all states that go on alike, whatever they have said.
    pub essence: u32,
    /// One bit for each block that it knows of.
    pub touched: u32,
    /// One bit for each vote that it may still sign, as far as its view tells.
    pub open: u128,
    /// One bit for each view that it may still enter.
    pub enterable: u32,
    /// Its claim for each view.
    pub claims: Vec<u8>,
    /// The block that its decided log ends in.
    pub decided: usize,
    /// It has lost a log.
    pub lost: bool,
    welcomed: bool,
    /// The highest view that it has ever wanted.
    pub wanted: View,
    /// It halted, or said what it may not.
    pub fault: Option<String>,
}

pub struct Automaton<'a> {
    universe: &'a Universe,
    pub me: u32,
    pub locals: Vec<Local>,
    ids: BTreeMap<u128, u32>,
    essences: BTreeMap<u128, u32>,
    next: Vec<u32>,
    /// Real steps of a replica.
    pub steps: u64,
    /// Messages that led out of the views that are searched.
    pub outside: u64,
}

/// A replica that is given inputs until it rests.
struct Run<'a, 'b> {
    universe: &'b Universe,
    me: u32,
    local: Local,
    steps: &'a mut u64,
    outside: bool,
}

pub fn hash(bytes: &[u8], more: u128) -> u128 {
    let mix = |mut z: u64| {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let (mut a, mut b) = (0x243f_6a88_85a3_08d3_u64, 0x1319_8a2e_0370_7344_u64);
    let mut take = |word: u64| {
        a = mix(a ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        b = mix(b.rotate_left(23) ^ word.wrapping_mul(0xd6e8_feb8_6659_fd93)) ^ a;
    };
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        take(u64::from_le_bytes(word));
    }
    take(bytes.len() as u64);
    take(more as u64);
    take((more >> 64) as u64);
    (u128::from(a) << 64) | u128::from(b)
}

impl<'a> Automaton<'a> {
    /// State 0 is a new replica.
    pub fn new(universe: &'a Universe, me: u32) -> Self {
        let mut automaton = Self {
            universe,
            me,
            locals: Vec::new(),
            ids: BTreeMap::new(),
            essences: BTreeMap::new(),
            next: Vec::new(),
            steps: 0,
            outside: 0,
        };
        let mut outbox = Outbox::new();
        let (cluster, tuning) = (universe.cluster.clone(), Tuning::default());
        let replica = Replica::recover(cluster, ReplicaId::new(me), tuning, Start::New, AppState::default(), [], &mut outbox);
        let replica = replica.expect("a new replica starts");
        let local = Local {
            standing: replica.standing(),
            replica,
            log: None,
            app: AppState::default(),
            table: SessionTable::new(&universe.cluster),
            signed: 0,
            essence: 0,
            touched: 0,
            open: 0,
            enterable: 0,
            claims: vec![NO_CLAIM; universe.view_count()],
            decided: 0,
            lost: false,
            welcomed: false,
            wanted: View::default(),
            fault: None,
        };
        let mut steps = 0;
        let mut run = Run { universe, me, local, steps: &mut steps, outside: false };
        run.serve(outbox);
        run.step(Input::Timer);
        let local = run.finish();
        automaton.intern(local);
        automaton
    }

    fn intern(&mut self, mut local: Local) -> u32 {
        let mut essence = local.replica.essence(self.universe.whole());
        if self.universe.config.crashes && local.fault.is_none() {
            // What is on record belongs to it.
            match recover(self.universe, self.me, &local, &mut Outbox::new()) {
                Ok(replica) => essence.extend(replica.essence(true)),
                Err(error) => local.fault = Some(format!("D2: its own log is refused: {error}")),
            }
        }
        if self.universe.config.losses > 0 {
            essence.extend([u8::from(local.lost), u8::from(local.welcomed)]);
            essence.extend(local.wanted.get().to_le_bytes());
        }
        let id = self.locals.len() as u32;
        let known = *self.ids.entry(hash(&essence, local.signed)).or_insert(id);
        if known == id {
            let fresh = self.essences.len() as u32;
            local.essence = *self.essences.entry(hash(&essence, 0)).or_insert(fresh);
            for (block, digest) in self.universe.digests.iter().enumerate().skip(1) {
                let knows = essence.windows(32).any(|window| window == digest.as_bytes());
                local.touched |= u32::from(knows) << block;
            }
            let universe = self.universe;
            for view in 0..universe.view_count() {
                let (at, normal) = (local.standing.view, local.standing.normal);
                if universe.view(view) > at || (universe.view(view) == at && !normal) {
                    local.enterable |= 1 << view;
                }
                if universe.view(view) >= at {
                    (0..universe.count())
                        .for_each(|block| local.open |= 1 << universe.prepare(view, block) | 1 << universe.commit(view, block));
                }
            }
            self.locals.push(local);
            self.next.resize(self.locals.len() * self.universe.choices.len(), UNKNOWN);
        }
        known
    }

    /// Where an act leads from a state.
    pub fn step(&mut self, from: u32, choice: u32) -> u32 {
        let place = from as usize * self.universe.choices.len() + choice as usize;
        if self.next[place] == UNKNOWN {
            let to = self.compute(from, choice);
            self.next[place] = if to == Some(from) { SAME } else { to.unwrap_or(SAME) };
        }
        self.next[place]
    }

    fn compute(&mut self, from: u32, choice: u32) -> Option<u32> {
        let universe = self.universe;
        let choice = &universe.choices[choice as usize];
        let before = &self.locals[from as usize];
        if before.fault.is_some() || !self.makes_sense(before, choice.act) {
            return None;
        }
        let local = before.fork();
        let mut run = Run { universe, me: self.me, local, steps: &mut self.steps, outside: false };
        match choice.act {
            Act::Crash => {
                let mut outbox = Outbox::new();
                match recover(universe, self.me, before, &mut outbox) {
                    Ok(replica) => run.local.replica = replica,
                    Err(error) => run.local.fault = Some(format!("D2: its own log is refused: {error}")),
                }
                run.serve(outbox);
                run.step(Input::Timer);
            }
            Act::Lose => run.lose(),
            Act::Wish { view } => {
                run.local.replica.lose_patience(universe.view(view));
                run.step(Input::Timer);
            }
            Act::Leave { .. } => {
                for (_, status) in choice.messages.iter().enumerate().filter(|(member, _)| *member as u32 != self.me) {
                    run.hear(status);
                }
            }
            _ => choice.messages.iter().for_each(|message| {
                run.hear(message);
            }),
        }
        run.local.welcomed |= matches!(choice.act, Act::Welcome { .. });
        if !universe.config.free_bodies {
            run.bodies();
        }
        if run.outside {
            self.outside += 1;
            return None;
        }
        let local = run.finish();
        Some(self.intern(local))
    }

    /// Acts that are left out because they can change nothing, or because the search is to go without them.
    fn makes_sense(&self, local: &Local, act: Act) -> bool {
        let universe = self.universe;
        let standing = &local.standing;
        match act {
            Act::Propose { view, block } => {
                let leads_on = universe.block_at(standing.head) == Some((block - 1) / 2);
                universe.primary(view) != self.me
                    && (!universe.config.in_order || (standing.normal && standing.view == universe.view(view) && leads_on))
            }
            // It is told again when it has rejoined.
            Act::Leave { view } => universe.view(view) > standing.view && !standing.rejoining,
            Act::Wish { view } => universe.view(view) > standing.want && !standing.rejoining,
            Act::Lose => !local.lost,
            // They give one answer to one question.
            Act::Welcome { .. } => standing.rejoining && !local.welcomed,
            Act::Vote { member, .. } => member != self.me,
            Act::ViewChange { view, member, .. } => member != self.me && universe.primary(view) == self.me,
            Act::NewView { view, .. } => universe.primary(view) != self.me,
            Act::Body { .. } => universe.config.free_bodies,
            _ => true,
        }
    }

    /// What it is and what it has said, in words.
    pub fn describe(&self, id: u32) -> String {
        let local = &self.locals[id as usize];
        let universe = self.universe;
        let standing = &local.standing;
        let block = |position| universe.block_at(position).map_or("?".into(), crate::universe::name);
        let mut words = format!(
            "{:?} {} head {} decided {}",
            standing.view,
            if standing.normal { "normal" } else { "waiting" },
            block(standing.head),
            block(standing.decided)
        );
        words.extend(local.fault.iter().map(|fault| format!("; {fault}")));
        words
    }
}

/// What becomes of it after a crash.
fn recover(universe: &Universe, me: u32, local: &Local, outbox: &mut Outbox) -> Result<Replica, RecoverError> {
    let mut app = local.app.clone();
    app.sessions = local.table.encode();
    let (cluster, me) = (universe.cluster.clone(), ReplicaId::new(me));
    Replica::recover(cluster, me, Tuning::default(), Start::Recovering, app, records(&local.log), outbox)
}

fn records(log: &Option<Rc<Log>>) -> Vec<(u64, Bytes)> {
    let mut records = Vec::new();
    let mut at = log.as_ref();
    while let Some(log) = at {
        records.push((log.index, log.record.clone()));
        at = log.before.as_ref();
    }
    records.reverse();
    records
}

impl Local {
    fn fork(&self) -> Self {
        Self {
            replica: self.replica.fork(),
            log: self.log.clone(),
            app: self.app.clone(),
            table: self.table.clone(),
            standing: self.standing,
            signed: self.signed,
            essence: 0,
            touched: 0,
            open: 0,
            enterable: 0,
            claims: self.claims.clone(),
            decided: self.decided,
            lost: self.lost,
            welcomed: self.welcomed,
            wanted: self.wanted,
            fault: self.fault.clone(),
        }
    }
}

impl Run<'_, '_> {
    /// What it has said stays said.
    fn lose(&mut self) {
        let universe = self.universe;
        let (cluster, me) = (universe.cluster.clone(), ReplicaId::new(self.me));
        let (start, mut outbox) = (Start::Rejoining { nonce: NONCE }, Outbox::new());
        let replica = Replica::recover(cluster, me, Tuning::default(), start, AppState::default(), [], &mut outbox);
        self.local.replica = replica.expect("an empty log is taken");
        self.local.log = None;
        self.local.app = AppState::default();
        self.local.table = SessionTable::new(&universe.cluster);
        self.local.lost = true;
        self.serve(outbox);
        self.step(Input::Timer);
    }

    fn hear(&mut self, message: &Verified) -> Disposition {
        self.step(Input::Message(message.clone()))
    }

    fn step(&mut self, input: Input) -> Disposition {
        let mut outbox = Outbox::new();
        *self.steps += 1;
        let disposition = self.local.replica.step(NOW, input, &mut outbox);
        self.serve(outbox);
        disposition
    }

    /// Disk, key and service do their part at once.
    fn serve(&mut self, mut outbox: Outbox) {
        let mut outputs: VecDeque<Output> = outbox.drain().collect();
        while let Some(output) = outputs.pop_front() {
            let input = match output {
                Output::Write(write) => self.persist(write),
                Output::App(AppCommand::Execute(decision)) => {
                    let results: Vec<Bytes> = decision.requests().map(|request| Bytes::from(request.operation())).collect();
                    decision.session_entries(&results).into_iter().for_each(|entry| self.local.table.record(entry));
                    self.local.app.last_executed = decision.sequence_number();
                    self.local.app.log_digest = decision.digest();
                    Input::Executed { sequence_number: decision.sequence_number(), results }
                }
                Output::App(AppCommand::TakeCheckpoint(order)) => {
                    let manifest = order.manifest([order.log_digest()]);
                    self.local.app.snapshots.push(manifest.clone());
                    Input::CheckpointTaken(manifest)
                }
                Output::Event(Event::Halted { reason }) => {
                    self.fault(format!("it halts: {reason}"));
                    continue;
                }
                // Certificates are told with signers of which some may have signed otherwise, since it does not matter who they are: what a replica
                // concludes from that is no evidence here, and to lose patience with a primary is possible at any time as it is.
                Output::Event(Event::Evidence(evidence)) if self.universe.config.evidence => {
                    if evidence.culprit().get() != self.universe.config.traitor {
                        self.fault(format!("I21: evidence against a correct replica: {evidence}"));
                    }
                    continue;
                }
                _ => continue,
            };
            *self.steps += 1;
            let mut more = Outbox::new();
            self.local.replica.step(NOW, input, &mut more);
            outputs.extend(more.drain());
        }
    }

    fn persist(&mut self, write: Write) -> Input {
        let before = self.local.log.take().filter(|_| write.discards_before() != Some(write.index()));
        let record = write.record().to_bytes();
        self.local.log = Some(Rc::new(Log { before, index: write.index(), record }));
        let (envelopes, receipt) = write.persisted().sign(&self.universe.keys[self.me as usize]).expect("signed");
        for envelope in envelopes {
            let bytes = envelope.encode();
            match self.universe.forge.read(&bytes) {
                Ok(seen) => self.says(&seen, &bytes),
                Err(error) => self.fault(format!("it says what can't be read: {error}")),
            }
        }
        Input::Persisted(receipt)
    }

    fn fault(&mut self, what: String) {
        self.local.fault.get_or_insert(what);
    }

    fn says(&mut self, seen: &Seen, bytes: &[u8]) {
        let universe = self.universe;
        match seen {
            Seen::Vote { kind, view, position, .. } => self.votes(*kind, universe.view_index(*view), universe.block_at(*position)),
            Seen::PrePrepare { view, block } => {
                self.votes(Kind::Prepare, universe.view_index(*view), universe.block_index(&block.digest()));
            }
            Seen::ViewChange(promise) => {
                let (from, position) = promise.claim();
                let (view, from) = (universe.view_index(promise.view()), universe.view_index(from));
                let (Some(view), Some((from, block))) = (view, from.zip(universe.block_at(position))) else {
                    self.outside = true;
                    return;
                };
                let claim = universe.claim(from, block);
                if from >= view {
                    self.fault(format!("V2: it claims v{from} in a view change to v{view}"));
                    return;
                }
                if self.local.claims[view] != NO_CLAIM && self.local.claims[view] != claim {
                    self.fault(format!("I3: two view changes to v{view}"));
                }
                self.local.claims[view] = claim;
                self.local.signed |= 1 << universe.view_change(view, claim);
            }
            Seen::NewView { view, base } => {
                let Some((view, block)) = universe.view_index(*view).zip(universe.block_at(*base)) else {
                    self.outside = true;
                    return;
                };
                if universe.verify(bytes).is_none() {
                    self.fault(format!("I8: its new view v{view} is not valid"));
                }
                if (0..universe.count()).any(|other| other != block && self.said(universe.new_view(view, other))) {
                    self.fault(format!("I3: two new views v{view}"));
                }
                self.local.signed |= 1 << universe.new_view(view, block);
            }
            _ => {}
        }
    }

    fn said(&self, bit: u32) -> bool {
        self.local.signed >> bit & 1 == 1
    }

    fn votes(&mut self, kind: Kind, view: Option<usize>, block: Option<usize>) {
        let universe = self.universe;
        let Some((view, block)) = view.zip(block) else {
            self.outside = true;
            return;
        };
        let twice = (0..universe.count())
            .any(|other| other != block && self.same_depth(other, block) && self.said(universe.bit_of(kind, view, other)));
        if twice {
            self.fault(format!("I3: two votes {kind:?} at {} in v{view}", crate::universe::depth(block)));
        }
        self.local.signed |= 1 << universe.bit_of(kind, view, block);
    }

    fn same_depth(&self, one: usize, other: usize) -> bool {
        crate::universe::depth(one) == crate::universe::depth(other)
    }

    /// Everything that it misses is brought to it.
    fn bodies(&mut self) {
        let universe = self.universe;
        let mut again = self.local.fault.is_none();
        // A block below the decided end may be taken and dropped for ever.
        for _ in 0..universe.config.numbers {
            if !std::mem::take(&mut again) {
                break;
            }
            for choice in &universe.choices {
                let Act::Body { block } = choice.act else { continue };
                if 2 * block + 1 >= universe.count() && self.hear(&choice.messages[0]) == Disposition::Applied {
                    again = true;
                }
            }
        }
    }

    fn finish(mut self) -> Local {
        self.local.standing = self.local.replica.standing();
        self.local.wanted = self.local.wanted.max(self.local.standing.want);
        match self.universe.block_at(self.local.standing.decided) {
            Some(block) => self.local.decided = block,
            None => self.fault("I1: it decides what nobody proposed".into()),
        }
        self.local
    }
}
