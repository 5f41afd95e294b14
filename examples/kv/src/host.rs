//! The thread that has the replica, its log and its state: mail in, verified on a pool of threads; records, messages and results out.

use crate::config::Membership;
use crate::door::Door;
use crate::error::{Result, fault};
use crate::frames::{Frame, Kind};
use crate::gathering::Gathering;
use crate::intake::{Intake, Judged};
use crate::link::Queue;
use crate::mailbox::{Mail, Mailbox, Member};
use crate::state::State;
use crate::store::{Log, Store};
use logothete::tape::Recorder;
use logothete::{
    AppCommand, Application, Bytes, ClientId, Disposition, Envelope, Event, Input, MessageKind, Outbox, Recipients, ReplicaId, Signature,
    Signer, SigningKey, Status, Time, Unverified, Why, persist,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// So long the database may be behind what was executed: what is lost with it is executed again from the log.
pub const FLUSH_AFTER: Duration = Duration::from_secs(1);
/// How often the picture for metrics is drawn anew, if nothing is decided.
const REPORT_EVERY: Duration = Duration::from_millis(200);
/// So long a node that starts waits for connections to and from a quorum before it says anything.
const WAIT_FOR_OTHERS: Duration = Duration::from_secs(1);
/// How often one client is told that nothing can be ordered.
const NOTICE_EVERY: Duration = Duration::from_millis(500);
/// What a client is told to wait for when there is no quorum.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What metrics and `status` show.
#[derive(Clone, Default)]
pub struct Picture {
    pub status: Option<Status>,
    pub reached: usize,
    pub verified: u64,
    pub refused: u64,
    pub screened: u64,
    pub commits: u64,
    pub syncs: u64,
    pub decided_requests: u64,
    pub view_changes: u64,
    pub evidence: u64,
    pub busy: u64,
}

/// Changes what leaves the node, for tests with nodes that lie.
pub trait Tongue {
    fn say(&mut self, envelopes: Vec<Envelope>) -> Vec<(Recipients, Bytes)>;
}

/// Says what the replica says.
pub struct Honest;

impl Tongue for Honest {
    fn say(&mut self, envelopes: Vec<Envelope>) -> Vec<(Recipients, Bytes)> {
        envelopes.iter().map(|envelope| (envelope.to(), envelope.encode())).collect()
    }
}

pub struct Host {
    pub membership: Arc<Membership>,
    pub key: SigningKey,
    pub replica: Recorder,
    pub outbox: Outbox,
    pub store: Store,
    pub log: Log,
    pub state: State,
    pub mailbox: Arc<Mailbox>,
    pub door: Arc<Door>,
    pub routes: BTreeMap<ReplicaId, Arc<Queue>>,
    pub picture: Arc<Mutex<Picture>>,
    pub intake: Intake,
    pub tongue: Box<dyn Tongue>,
    pub started: Instant,
    pub latest: Picture,
    pub told: BTreeMap<ClientId, Instant>,
    pub gathering: Gathering,
    /// It proposes, as far as is known.
    pub is_primary: bool,
    /// Something was decided since the picture was drawn.
    pub is_outdated: bool,
}

impl Host {
    fn now(&self) -> Time {
        Time::default().after(self.started.elapsed())
    }

    /// Runs until the mailbox is closed.
    ///
    /// # Errors
    /// The node can't go on: its disk failed, or its state is broken. Nothing that it said is taken back by that; start it again when the cause is gone.
    pub fn run(mut self) -> Result<()> {
        self.wait_for_others();
        let mut reported = Instant::now();
        self.serve_outbox()?;
        self.report();
        loop {
            let deadline = self.replica.deadline().map_or(REPORT_EVERY, |deadline| deadline.since(self.now()));
            let flush = if self.store.dirty_since().is_some() { FLUSH_AFTER } else { REPORT_EVERY };
            let patience = deadline.min(flush).min(REPORT_EVERY).min(self.gathering.patience().unwrap_or(REPORT_EVERY));
            let Some(mail) = self.mailbox.take(patience) else { break };
            self.step_mail(mail);
            let now = self.now();
            self.replica.step(now, Input::Timer, &mut self.outbox);
            self.serve_outbox()?;
            if self.store.dirty_since().is_some_and(|since| since.elapsed() >= FLUSH_AFTER) {
                self.store.commit()?;
            }
            // What was decided is shown at once: what was executed is.
            if std::mem::take(&mut self.is_outdated) || reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                self.report();
            }
        }
        self.store.commit()
    }

    /// A replica that starts asks once where the others are, and then when it is idle (SPEC T2): so not before it can be heard, and answered.
    fn wait_for_others(&self) {
        let quorum = self.membership.cluster.quorum() as usize;
        while self.started.elapsed() < WAIT_FOR_OTHERS && (self.reached() < quorum || 1 + self.door.count().0 < quorum) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn reached(&self) -> usize {
        1 + self.routes.values().filter(|queue| queue.is_connected()).count()
    }

    /// A client whose request can't be ordered now is told so, and why; the request is not taken.
    fn notify(&mut self, client: ClientId, why: &str, retry_after: Duration) {
        if self.told.get(&client).is_none_or(|told| told.elapsed() >= NOTICE_EVERY) {
            if self.told.len() > 4096 {
                self.told.clear();
            }
            self.told.insert(client, Instant::now());
            let millis = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
            let notice = Frame::new(Kind::Notice, [&millis.to_le_bytes()[..], why.as_bytes()].concat());
            self.door.tell_client(client, &[notice]);
        }
    }

    fn step_mail(&mut self, mail: Vec<Mail>) {
        let (size, quorum) = (self.membership.cluster.size(), self.membership.cluster.quorum());
        let reached = self.reached();
        let cut_off = (reached < quorum as usize)
            .then(|| format!("this node reaches {reached} of {size} nodes, and {quorum} are needed to order anything"));
        let mut rooms = Vec::with_capacity(mail.len());
        for mail in mail {
            match (&cut_off, mail.from) {
                // The minority side of a partition orders nothing, and keeps nothing to be ordered later behind its client's back.
                (Some(why), Member::Client(client)) => self.notify(client, why, RETRY_AFTER),
                // A client has requests to send, and nothing else.
                (_, Member::Client(client)) if mail.message.client() != Some(client) => self.door.blame(mail.message.link()),
                (_, Member::Client(_)) => self.gathering.add(mail),
                _ => {
                    self.intake.inbox.push(mail.message);
                    rooms.push(mail.room);
                }
            }
        }
        for mail in self.gathering.release(self.is_primary && cut_off.is_none()) {
            match (&cut_off, mail.from) {
                (Some(why), Member::Client(client)) => self.notify(client, why, RETRY_AFTER),
                _ => {
                    self.intake.inbox.push(mail.message);
                    rooms.push(mail.room);
                }
            }
        }
        let now = self.now();
        while !self.intake.inbox.is_empty() {
            let waiting = self.intake.inbox.take(now);
            self.step_load(waiting, now);
        }
        drop(rooms);
    }

    fn step_load(&mut self, mut waiting: Vec<Unverified>, now: Time) {
        // Requests first: when votes then make room in the pipeline, all that is here goes into one batch.
        waiting.sort_by_key(|message| message.kind() != MessageKind::Request);
        let mut looks = 0;
        while !waiting.is_empty() {
            let before = waiting.len();
            waiting.retain(|message| self.replica.needs(message).is_ok());
            self.latest.screened += (before - waiting.len()) as u64;
            let triage = self.replica.screen().triage_again(waiting, looks);
            looks += 1;
            self.latest.screened += triage.dropped as u64;
            waiting = triage.spare;
            if triage.needed.is_empty() {
                self.latest.screened += waiting.len() as u64;
                break;
            }
            let mut needed = VecDeque::from(triage.needed);
            while !needed.is_empty() {
                let judged = self.intake.verify(&mut needed, now);
                needed.retain(|message| self.intake.stays(message, now));
                waiting.retain(|message| self.intake.stays(message, now));
                judged.into_iter().for_each(|judged| self.step_judged(judged));
            }
        }
    }

    fn step_judged(&mut self, Judged { peer, client, verdict }: Judged) {
        match verdict {
            Ok(verified) => {
                self.latest.verified += 1;
                let now = self.now();
                let disposition = self.replica.step(now, Input::Message(verified), &mut self.outbox);
                match (disposition, client) {
                    (Disposition::Ignored(Why::Busy { retry_after }), Some(client)) => {
                        self.latest.busy += 1;
                        self.notify(client, "more requests wait than can be ordered in time", retry_after);
                    }
                    (Disposition::Applied, Some(_)) => self.gathering.taken(),
                    _ => {}
                }
            }
            Err(error) => {
                self.latest.refused += 1;
                tracing::warn!("{peer:?}: {error}");
                self.door.blame(peer);
            }
        }
    }

    fn serve_outbox(&mut self) -> Result<()> {
        loop {
            // Records first: one sync for all.
            let released = persist(&mut self.log, self.outbox.writes())?;
            if !released.is_empty() {
                let (envelopes, receipt) = released.sign(&self.key).map_err(|error| fault(error.to_string()))?;
                self.send(envelopes);
                let now = self.now();
                self.replica.step(now, Input::Persisted(receipt), &mut self.outbox);
            }
            let mut envelopes = Vec::new();
            for outgoing in self.outbox.sends() {
                envelopes.extend(outgoing.sign(&self.key).map_err(|error| fault(error.to_string()))?);
            }
            self.send(envelopes);
            for command in self.outbox.app() {
                if let Some(input) = serve(&mut self.state, command)? {
                    let now = self.now();
                    self.replica.step(now, input, &mut self.outbox);
                }
            }
            for event in self.outbox.events() {
                self.note(&event);
            }
            if self.replica.is_halted() {
                return Err(fault("the replica found its own state broken and stopped; keep the data folder and report this"));
            }
            if self.outbox.is_empty() {
                return Ok(());
            }
        }
    }

    /// What goes to one place goes there together.
    fn send(&mut self, envelopes: Vec<Envelope>) {
        let mut to_all = Vec::new();
        let mut to_clients: BTreeMap<ClientId, Vec<Frame>> = BTreeMap::new();
        for (to, bytes) in self.tongue.say(envelopes) {
            let frame = Frame { kind: Kind::Message, body: bytes };
            match to {
                Recipients::AllReplicas => to_all.push(frame),
                Recipients::Replica(replica) => {
                    self.routes.get(&replica).map(|queue| queue.push(frame));
                }
                Recipients::Client(client) => to_clients.entry(client).or_default().push(frame),
            }
        }
        if !to_all.is_empty() {
            self.routes.values().for_each(|queue| {
                queue.push_all(to_all.iter().cloned());
            });
        }
        to_clients.iter().for_each(|(client, frames)| self.door.tell_client(*client, frames));
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Decided { requests, .. } => {
                self.latest.decided_requests += *requests as u64;
                self.gathering.decided(*requests);
                self.is_outdated = true;
                tracing::debug!("{event}");
            }
            Event::Refused { .. } => tracing::debug!("{event}"),
            Event::EnteredView { .. } => {
                self.latest.view_changes += 1;
                self.report();
                tracing::info!("{event}");
            }
            Event::Evidence(_) => {
                self.latest.evidence += 1;
                tracing::error!("{event}");
            }
            Event::Halted { .. }
            | Event::Diverged { .. }
            | Event::NoAgreement { .. }
            | Event::Impersonated { .. }
            | Event::SnapshotDamaged { .. } => {
                tracing::error!("{event}");
            }
            Event::SnapshotTooLarge { .. } | Event::PartTooLarge { .. } | Event::WindowClosed { .. } | Event::Wished { .. } => {
                tracing::warn!("{event}")
            }
            _ => tracing::info!("{event}"),
        }
    }

    fn report(&mut self) {
        let status = self.replica.status();
        self.is_primary = status.normal && status.primary == status.replica;
        if status.pool_requests == 0 && status.head <= status.decided {
            self.gathering.reset();
        }
        self.latest.status = Some(status);
        self.latest.reached = self.reached();
        self.latest.commits = self.store.commits();
        self.latest.syncs = self.log.syncs();
        *self.picture.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = self.latest.clone();
    }
}

/// Carries out one command, and gives the answer for the replica.
fn serve(state: &mut State, command: AppCommand) -> Result<Option<Input>> {
    let run = |state: &mut State| -> std::result::Result<Option<Input>, logothete::AppError> {
        Ok(match command {
            AppCommand::Execute(decision) => {
                let results = state.execute(&decision)?;
                Some(Input::Executed { sequence_number: decision.sequence_number(), results })
            }
            AppCommand::TakeCheckpoint(order) => Some(Input::CheckpointTaken(state.take_checkpoint(&order)?)),
            AppCommand::DiscardBefore(number) => {
                state.discard_before(number)?;
                None
            }
            AppCommand::ReadChunk { sequence_number, index } => {
                let bytes = state.read_chunk(sequence_number, index)?;
                Some(Input::ChunkRead { sequence_number, index, bytes })
            }
            AppCommand::FetchState(manifest) => {
                let missing = state.missing_parts(&manifest)?;
                Some(Input::PartsMissing { sequence_number: manifest.sequence_number(), missing })
            }
            AppCommand::StoreChunk { sequence_number, index, bytes } => {
                state.store_chunk(sequence_number, index, &bytes)?;
                Some(Input::ChunkStored { sequence_number, index })
            }
            AppCommand::InstallState(manifest) => Some(Input::StateInstalled(state.install(&manifest)?)),
            _ => return Err("a command that this version doesn't know".into()),
        })
    };
    run(state).map_err(|error| fault(error.to_string()))
}

/// Is this the key of that node? Own signatures are not checked later.
///
/// # Errors
/// It isn't.
pub fn check_key(membership: &Membership, key: &SigningKey) -> Result<ReplicaId> {
    let probe = b"logothete-kv/probe";
    let signature: Signature = key.sign(probe);
    let public = key.verifying_key();
    public.verify_strict(probe, &signature).map_err(|_| fault("the key file is damaged"))?;
    membership.node(&public).ok_or_else(|| fault("this key is no node's in the cluster file; is it a client's, or another cluster's?"))
}
