//! Fetching the state of a stable checkpoint, part by part, from whoever has it; and serving the own one. (C3)
//!
//! Nothing is trusted: the certificate names the manifest, the manifest names each part. Parts go to the service as they arrive and are not kept here.

use super::chain::Gap;
use super::entry::AppState;
use super::peer::Answer;
use super::promises::Position;
use super::sessions::{SessionTable, Sessions};
use super::{Broken, Disposition, Replica, Step, Why};
use crate::cluster::Cluster;
use crate::event::Event;
use crate::ids::{Bytes, Digest, ReplicaId, SequenceNumber};
use crate::manifest::Manifest;
use crate::message::{Checkpoint, Chunk, ManifestMessage, Message, Wanted};
use crate::outbox::{AppCommand, Output, Recipients};
use crate::time::Time;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

/// Parts asked for and not yet stored, at most.
const WINDOW: usize = 8;
/// Of what an inbox lets through of one connection in an interval, questions for parts are one in so many: two intervals of theirs may fall into one of
/// the inbox's, and there are other things to say. (SPEC 3.7)
const SHARE: u32 = 4;
/// Parts that one peer may have asked for and not yet been given, at most.
const PEER_READS: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Asked {
    peer: ReplicaId,
    until: Time,
}

#[derive(Clone, Copy, Debug, Default)]
enum Phase {
    /// Waits for the manifest.
    #[default]
    Manifest,
    /// The service is to say which parts it lacks.
    Service,
    /// Parts are on their way.
    Parts,
    /// The service puts them in the place of its state.
    Install,
}

#[derive(Clone, Debug)]
struct Running {
    target: Checkpoint,
    phase: Phase,
    manifest: Option<Manifest>,
    /// Parts that the service lacks.
    lacking: BTreeSet<u32>,
    /// Parts that were given to it and are not yet stored.
    storing: BTreeSet<u32>,
    asked: BTreeMap<u32, Asked>,
    /// The manifest's own question.
    asked_manifest: Option<Asked>,
    /// Questions without an answer since the last part came.
    failures: u32,
    /// The same, but a part makes up for two only: liars may be all that still have it, and give it part by part.
    unanswered: u32,
    total: u32,
    /// Bytes of the longest part that came.
    longest: u64,
}

/// Bound: one transfer at a time, with 8 parts under way, and a manifest; 8 reads for each peer.
#[derive(Clone, Debug, Default)]
pub(super) struct StateTransfer {
    running: Option<Running>,
    /// How often each peer let a question pass: those that answer are asked first.
    silent: BTreeMap<ReplicaId, u32>,
    turn: u32,
    /// When the present interval began, and what was asked of each peer in it.
    since: Time,
    questions: BTreeMap<ReplicaId, u64>,
    /// There is something to ask for then, and nobody to ask before.
    held_back: Option<Time>,
    /// Parts that the service is reading for peers.
    reads: BTreeMap<(SequenceNumber, u32), BTreeSet<ReplicaId>>,
}

impl StateTransfer {
    /// The position whose state is being fetched.
    pub(super) fn target(&self) -> Option<SequenceNumber> {
        self.running.as_ref().map(|running| running.target.sequence_number)
    }
    /// Batches up to here come with the state that is being fetched, unless nobody seems to have its manifest: that may be too long for a message.
    pub(super) fn covers(&self, cluster: &Cluster, decided: SequenceNumber) -> Option<SequenceNumber> {
        let running = self.running.as_ref()?;
        let (number, size) = (running.target.sequence_number, cluster.size());
        let lacks_manifest = running.manifest.is_none() && running.failures >= 2 * size;
        Some(number).filter(|number| !lacks_manifest || decided.plus(cluster.log_window()) < *number)
    }
    /// Parts stored, and parts in all.
    pub(super) fn progress(&self) -> Option<(u32, u32)> {
        self.running.as_ref().map(|running| {
            let open = running.lacking.len() + running.storing.len();
            (running.total.saturating_sub(u32::try_from(open).unwrap_or(u32::MAX)), running.total)
        })
    }
    pub(super) fn deadline(&self) -> Option<Time> {
        let running = self.running.as_ref()?;
        running.asked.values().chain(&running.asked_manifest).map(|asked| asked.until).chain(self.held_back).min()
    }

    fn begin_interval(&mut self, now: Time, interval: Duration) {
        self.held_back = None;
        if now.since(self.since) >= interval {
            self.since = now;
            self.questions.clear();
        }
    }
    pub(super) fn bytes(&self) -> u64 {
        let manifest = self.running.as_ref().and_then(|running| running.manifest.as_ref());
        manifest.map_or(0, |manifest| u64::from(manifest.chunk_count()) * 48)
    }
}

impl Replica {
    // C3, C4
    /// Is the own state wrong, or so far behind that the peers don't hold the batches any more?
    fn needs_state(&mut self) -> bool {
        let stable = self.stable().number;
        if self.checkpoints.diverged.is_some_and(|at| at <= stable) {
            return true;
        }
        let decided = self.chain.decided();
        if decided >= stable {
            return false;
        }
        if decided.plus(self.cluster.log_window()) < stable {
            return true;
        }
        // Within a window of it the chain is fetched, as long as a correct replica may have it. What is above it says nothing: those who decided it have that.
        let end = self.stable();
        let in_vain = match self.chain.gap(end) {
            Gap::Whole => return false,
            Gap::Missing(position) => self.catch_up.asked_in_vain(&position.digest, 2 * self.cluster.size()),
            Gap::Conflict | Gap::Forgotten => false,
        };
        in_vain || self.catch_up.nobody_holds_above(&self.cluster, self.me, decided)
    }

    /// Starts, goes on with or gives up a transfer, as the state of things demands.
    pub(super) fn transfer_state(&mut self) {
        let Some(target) = self.promises.stable.as_ref().map(|stable| stable.checkpoint) else { return };
        let size = self.cluster.size();
        self.give_up_on_the_silent();
        let mut failures = 0;
        match &self.transfer.running {
            Some(running) if matches!(running.phase, Phase::Install) => return,
            Some(running) => {
                let caught_up = self.checkpoints.diverged.is_none() && self.chain.decided() >= running.target.sequence_number;
                // A target that moves on: the old one is left when nobody gives its parts any more, and before its manifest has come when a question for that
                // was in vain. What is stored of it already counts; and over a slow link the next question has to wait longer.
                let in_vain = match &running.manifest {
                    Some(_) => running.unanswered > 2 * size.max(4),
                    None => running.asked_manifest.is_none(),
                };
                if caught_up || (in_vain && running.target.sequence_number < target.sequence_number) {
                    failures = if running.manifest.is_none() { running.failures } else { 0 };
                    self.transfer.running = None;
                }
            }
            None => {}
        }
        if self.transfer.running.is_none() {
            if !self.needs_state() {
                return;
            }
            self.event(Event::TransferStarted { sequence_number: target.sequence_number });
            self.transfer.running = Some(Running {
                target,
                phase: Phase::Manifest,
                manifest: None,
                lacking: BTreeSet::new(),
                storing: BTreeSet::new(),
                asked: BTreeMap::new(),
                asked_manifest: None,
                failures,
                unanswered: 0,
                total: 0,
                longest: 0,
            });
        }
        self.may_install();
        self.ask_for_parts();
    }

    fn ask_for_parts(&mut self) {
        let now = self.now;
        self.transfer.begin_interval(now, self.tuning.status_interval);
        let Some(running) = &self.transfer.running else { return };
        let number = running.target.sequence_number;
        match running.phase {
            Phase::Manifest if running.asked_manifest.is_none() => {
                let state = running.target.state;
                if let Some(asked) = self.ask(now, Wanted::Manifest { sequence_number: number, state }) {
                    if let Some(running) = &mut self.transfer.running {
                        running.asked_manifest = Some(asked);
                    }
                }
            }
            Phase::Parts => {
                let room = WINDOW.saturating_sub(running.asked.len() + running.storing.len());
                let next: Vec<(u32, Digest)> = running
                    .lacking
                    .iter()
                    .filter(|index| !running.asked.contains_key(index))
                    .take(room)
                    .filter_map(|index| Some((*index, running.manifest.as_ref()?.chunk(*index)?)))
                    .collect();
                for (index, digest) in next {
                    let Some(asked) = self.ask(now, Wanted::Chunk { sequence_number: number, index, digest }) else { return };
                    if let Some(running) = &mut self.transfer.running {
                        running.asked.insert(index, asked);
                    }
                }
            }
            _ => {}
        }
    }

    /// Questions that were not answered in time are free to be put to somebody else.
    fn give_up_on_the_silent(&mut self) {
        let now = self.now;
        let Some(running) = &mut self.transfer.running else { return };
        let late = |asked: &Asked| asked.until <= now;
        let mut silent: Vec<ReplicaId> = running.asked.values().filter(|asked| late(asked)).map(|asked| asked.peer).collect();
        running.asked.retain(|_, asked| !late(asked));
        silent.extend(running.asked_manifest.take_if(|asked| late(asked)).map(|asked| asked.peer));
        let late = u32::try_from(silent.len()).unwrap_or(u32::MAX);
        running.failures = running.failures.saturating_add(late);
        running.unanswered = running.unanswered.saturating_add(late);
        for peer in silent {
            let count = self.transfer.silent.entry(peer).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// What one peer is asked in an interval: no more than its inbox lets through, nor, as far as the length of parts is known, than it may answer. Who is
    /// asked for more seems silent.
    fn questions_max(&self) -> u64 {
        let longest = self.transfer.running.as_ref().map_or(0, |running| running.longest);
        let answered = (self.answer_budget() / 2).checked_div(longest).unwrap_or(u64::MAX);
        u64::from(self.tuning.link_repairs_max / SHARE).min(answered).max(1)
    }

    /// Puts a question to the peer that has kept it waiting least often, in turn among equals; to none that was asked enough. Where only the best
    /// were asked, one late answer of each other would leave the whole state to one peer.
    fn ask(&mut self, now: Time, wanted: Wanted) -> Option<Asked> {
        let n = self.cluster.size();
        let most = self.questions_max();
        self.transfer.turn = self.transfer.turn.wrapping_add(1);
        let transfer = &self.transfer;
        let running = transfer.running.as_ref()?;
        let silence = |peer: &ReplicaId| transfer.silent.get(peer).copied().unwrap_or_default();
        let questions = |peer: &ReplicaId| transfer.questions.get(peer).copied().unwrap_or_default();
        let others = self.cluster.replicas().filter(|peer| *peer != self.me);
        let peer = others.filter(|peer| questions(peer) < most).min_by_key(|peer| {
            let busy = running.asked.values().filter(|asked| asked.peer == *peer).count();
            (silence(peer), busy, (peer.get() + n - transfer.turn % n) % n)
        });
        let failures = running.failures;
        let Some(peer) = peer else {
            self.transfer.held_back = Some(self.transfer.since.after(self.tuning.status_interval));
            return None;
        };
        *self.transfer.questions.entry(peer).or_default() += 1;
        // Twice as long after each round in which nobody answered: the network may be slow, and not the peers.
        let patience = self.tuning.fetch_interval.saturating_mul(8 << (failures / n.max(1)).min(5));
        self.fetch(peer, wanted);
        Some(Asked { peer, until: now.after(patience) })
    }

    /// Upon receiving a manifest.
    pub(super) fn on_manifest(&mut self, message: ManifestMessage) -> Step {
        let Some(running) = self.transfer.running.as_mut().filter(|running| {
            matches!(running.phase, Phase::Manifest)
                && running.target.state == message.state
                && running.target.sequence_number == message.manifest.sequence_number
        }) else {
            return Ok(Disposition::Ignored(Why::NotNeeded));
        };
        running.phase = Phase::Service;
        running.total = message.manifest.chunk_count();
        if let Some(asked) = running.asked_manifest.take() {
            self.transfer.silent.remove(&asked.peer);
        }
        (running.failures, running.unanswered) = (0, 0);
        running.manifest = Some(message.manifest.clone());
        self.outputs.push(Output::App(AppCommand::FetchState(message.manifest)));
        Ok(Disposition::Applied)
    }

    /// Upon the service saying which parts it lacks; those that an interrupted transfer left behind it has.
    pub(super) fn on_parts_missing(&mut self, sequence_number: SequenceNumber, missing: &[u32]) -> Step {
        let Some(running) = self
            .transfer
            .running
            .as_mut()
            .filter(|running| matches!(running.phase, Phase::Service) && running.target.sequence_number == sequence_number)
        else {
            return Ok(Disposition::Ignored(Why::NotNeeded));
        };
        if missing.iter().any(|index| *index >= running.total) {
            return Err(Broken("C3: the service lacks a part that the manifest does not name"));
        }
        running.lacking = missing.iter().copied().collect();
        running.phase = Phase::Parts;
        self.may_install();
        Ok(Disposition::Applied)
    }

    /// Upon receiving a part. Only what was asked for, and hashes to what the manifest says, is passed on.
    pub(super) fn on_chunk(&mut self, chunk: Chunk) -> Step {
        let Some(running) = self.transfer.running.as_mut() else { return Ok(Disposition::Ignored(Why::NotNeeded)) };
        let named = |index: &u32| running.manifest.as_ref().and_then(|manifest| manifest.chunk(*index)) == Some(chunk.digest);
        let Some(index) = running.asked.keys().copied().find(named) else {
            return Ok(Disposition::Ignored(Why::NotNeeded));
        };
        if let Some(asked) = running.asked.remove(&index) {
            self.transfer.silent.remove(&asked.peer);
        }
        running.failures = 0;
        running.unanswered = running.unanswered.saturating_sub(2);
        running.longest = running.longest.max(chunk.bytes.len() as u64);
        running.lacking.remove(&index);
        running.storing.insert(index);
        let sequence_number = running.target.sequence_number;
        self.outputs.push(Output::App(AppCommand::StoreChunk { sequence_number, index, bytes: chunk.bytes }));
        Ok(Disposition::Applied)
    }

    /// Upon the service having stored a part.
    pub(super) fn on_chunk_stored(&mut self, sequence_number: SequenceNumber, index: u32) -> Step {
        let Some(running) = self.transfer.running.as_mut().filter(|running| running.target.sequence_number == sequence_number) else {
            return Ok(Disposition::Ignored(Why::NotNeeded));
        };
        running.storing.remove(&index);
        self.may_install();
        Ok(Disposition::Applied)
    }

    fn may_install(&mut self) {
        let Some(running) = &mut self.transfer.running else { return };
        if !matches!(running.phase, Phase::Parts) || !running.lacking.is_empty() || !running.storing.is_empty() {
            return;
        }
        let Some(manifest) = running.manifest.clone() else { return };
        // I12: what was decided meanwhile is not given up, but for a state that nobody shares; and then only if the way up again is held.
        let target = running.target.sequence_number;
        let repairs = self.checkpoints.diverged.is_some() && self.chain.floor() <= target;
        if self.chain.decided() >= target && !repairs {
            self.transfer.running = None;
            return;
        }
        // C4: a snapshot that comes late could be taken for one of the new state, which is asked for at the same positions again.
        if !self.execution.ordered.is_empty() {
            return;
        }
        running.phase = Phase::Install;
        self.execution.installing = true;
        self.outputs.push(Output::App(AppCommand::InstallState(manifest)));
    }

    // C3
    /// Upon the service having replaced its state, all at once and durably.
    pub(super) fn on_state_installed(&mut self, app: AppState) -> Step {
        let Some(running) = self.transfer.running.take_if(|running| matches!(running.phase, Phase::Install)) else {
            return Ok(Disposition::Ignored(Why::NotNeeded));
        };
        let target = running.target;
        if app.last_executed != target.sequence_number || app.log_digest != target.log_digest {
            return Err(Broken("C3: the service installed another state than it was given"));
        }
        let Ok(table) = SessionTable::decode(&self.cluster, &app.sessions) else {
            return Err(Broken("C3: the service gave back another session table than it was given"));
        };
        self.sessions = Sessions::new(table);
        let position = Position { number: target.sequence_number, digest: target.log_digest };
        self.chain.install(position);
        self.execution.installed(position.number);
        self.checkpoints.diverged = None;
        running.manifest.into_iter().for_each(|manifest| self.checkpoints.keep_snapshot(manifest));
        self.replies.forget();
        let decided = self.chain.decided();
        self.ordering.accepted.forget_below(decided.next());
        self.ordering.proposed_is_current = false;
        self.forget_settled();
        for client in self.sessions.clients() {
            self.pool.settle(client, self.sessions.last(&client), self.now);
        }
        self.catch_up.forget_missing();
        self.timers.status_due = true;
        self.event(Event::StateInstalled { sequence_number: target.sequence_number });
        Ok(Disposition::Applied)
    }

    /// Upon being asked for a manifest or a part: what this replica has a snapshot of, anybody may have.
    pub(super) fn serve_snapshot(&mut self, peer: ReplicaId, wanted: Wanted) -> Step {
        match wanted {
            Wanted::Manifest { sequence_number, state } => {
                let group = self.cluster.id();
                // I18: counted first, since to compare it costs a hash over all of it.
                if !self.checkpoints.holds_snapshot(sequence_number) || !self.may_answer(peer, Answer::Manifest) {
                    return Ok(Disposition::Ignored(Why::NotNeeded));
                }
                let held = self.checkpoints.snapshot(sequence_number).filter(|manifest| manifest.state(&group) == state).cloned();
                let Some(manifest) = held.filter(|manifest| self.fits_message(manifest)) else {
                    return Ok(Disposition::Ignored(Why::NotNeeded));
                };
                if !self.may_send_bytes(peer, u64::from(manifest.chunk_count()) * 32) {
                    return Ok(Disposition::Ignored(Why::NotNeeded));
                }
                self.checkpoints.note_read(sequence_number);
                self.send_ready(Recipients::Replica(peer), Message::Manifest(ManifestMessage { manifest, state }));
            }
            Wanted::Chunk { sequence_number, index, digest } => {
                let named = self.checkpoints.snapshot(sequence_number).and_then(|manifest| manifest.chunk(index));
                let waiting = self.transfer.reads.values().filter(|peers| peers.contains(&peer)).count();
                if named != Some(digest) || waiting >= PEER_READS || !self.may_send_bytes(peer, 0) {
                    return Ok(Disposition::Ignored(Why::NotNeeded));
                }
                self.checkpoints.note_read(sequence_number);
                let peers = self.transfer.reads.entry((sequence_number, index)).or_default();
                let is_first = peers.is_empty();
                peers.insert(peer);
                if is_first {
                    self.outputs.push(Output::App(AppCommand::ReadChunk { sequence_number, index }));
                }
            }
            Wanted::Chain { .. } | Wanted::Proposal { .. } => return Ok(Disposition::Ignored(Why::NotNeeded)),
        }
        Ok(Disposition::Applied)
    }

    /// Upon the service having read a part for those who asked; none if it has it no more.
    pub(super) fn on_chunk_read(&mut self, sequence_number: SequenceNumber, index: u32, bytes: Option<Bytes>) -> Step {
        let Some(peers) = self.transfer.reads.remove(&(sequence_number, index)) else {
            return Ok(Disposition::Ignored(Why::NotNeeded));
        };
        let Some(bytes) = bytes else { return Ok(Disposition::Applied) };
        let Some(named) = self.checkpoints.snapshot(sequence_number).and_then(|manifest| manifest.chunk(index)) else {
            return Ok(Disposition::Applied);
        };
        // I18: what was read counts, whether it is of use or not.
        let length = bytes.len() as u64;
        let peers: Vec<ReplicaId> = peers.into_iter().filter(|peer| self.may_send_bytes(*peer, length)).collect();
        // Nobody would take these two. Said, because nobody else will notice.
        if length > u64::from(self.cluster.limits().batch_bytes_max) {
            self.event(Event::PartTooLarge { sequence_number, index, bytes: length });
            return Ok(Disposition::Applied);
        }
        let chunk = Chunk::new(bytes);
        if named != chunk.digest {
            self.event(Event::SnapshotDamaged { sequence_number, index });
            return Ok(Disposition::Applied);
        }
        for peer in peers {
            self.send_ready(Recipients::Replica(peer), Message::Chunk(chunk.clone()));
        }
        Ok(Disposition::Applied)
    }
}
