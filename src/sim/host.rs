//! One host: a replica, its log, its service, and how they end and begin again.

use super::Pen;
use super::clock::Clock;
use super::disk::{Diary, Disk, Done, Flaw};
use super::net::{Net, Reels};
use super::parcel::Parcel;
use crate::tape::{Recorder, Sink};
use crate::{
    AppCommand, AppError, Application, Bytes, Decision, Event, Input, MessageKind, Outbox, Output, RecoverError, ReplicaId, Screen,
    Snapshots, Start, Time, Write,
};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec::Vec;
use std::sync::PoisonError;

/// One host of the simulation.
pub struct Host {
    /// Which replica it runs: its own index or, for a twin, that of the first one.
    pub id: usize,
    /// Its replica.
    pub replica: Recorder,
    /// What it signs with.
    pub pen: Pen,
    /// Outlives the process.
    pub disk: Disk,
    /// Its service, with snapshots on its disk.
    pub app: Snapshots<Diary, Disk>,
    /// What is wrong with its service; it stays so when the process starts again.
    pub flaw: Flaw,
    /// Parts of snapshots that its service had to store at one time, at most.
    pub storing_max: usize,
    /// Records written, over all restarts.
    pub writes: u64,
    /// It crashes at this one of them.
    pub crash_at: Option<(u64, Fate)>,
    /// How often it has crashed.
    pub crashes: u64,
    /// All that it has put out.
    pub events: Vec<Event>,
    /// Messages that it could not read or verify.
    pub refused: usize,
    /// By what its replica is told the time.
    pub(super) clock: Clock,
    /// When its replica wants to be called again, in virtual time; none where that was not asked since its last step.
    deadline: Option<Time>,
    /// When its disk or its service is next done with something; the end of time for never.
    due: Time,
    /// A picture for screening, and how many steps were made since it was taken.
    picture: Option<(Screen, u32)>,
    /// Records that the disk has not got yet, and when it will.
    unsynced: VecDeque<Unsynced>,
    /// What the service has not got to yet.
    lane: VecDeque<(Time, AppCommand)>,
    /// Disk and service are being served: what comes meanwhile waits its turn, or records would be written out of order.
    busy: bool,
    /// Its replica has said that its state is wrong.
    knows_diverged: bool,
}

/// The end of time.
const NEVER: Time = Time(u64::MAX);

/// A record on its way to the disk.
struct Unsynced {
    due: Time,
    write: Write,
    /// It was written by a replica that knew its state to be wrong.
    silent: bool,
}

/// What a crash leaves of the record that was being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Lost,
    /// So many percent of its bytes.
    Torn(u64),
    /// All of it; only what it promised was never sent.
    Kept,
}

/// How long a disk takes for a record, and a service for an order: microseconds, from and to. Meanwhile everything else goes on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slowness {
    /// For one record.
    pub disk: (u64, u64),
    /// For one order.
    pub service: (u64, u64),
}

impl Host {
    /// A host that has just been started.
    pub fn new(replica: Recorder, pen: Pen, disk: Disk, app: Snapshots<Diary, Disk>) -> Self {
        Self {
            id: replica.status().replica.get() as usize,
            replica,
            pen,
            disk,
            flaw: app.service().flaw.clone(),
            app,
            storing_max: 0,
            writes: 0,
            crash_at: None,
            crashes: 0,
            events: Vec::new(),
            refused: 0,
            clock: Clock::default(),
            deadline: None,
            due: NEVER,
            picture: None,
            unsynced: VecDeque::new(),
            lane: VecDeque::new(),
            busy: false,
            knows_diverged: false,
        }
    }

    /// Everything executed, in order.
    pub fn executed(&self) -> &[Done] {
        &self.app.service().done
    }

    /// When its disk or its service is next done with something.
    pub fn due(&self) -> Option<Time> {
        (self.due < NEVER).then_some(self.due)
    }

    /// Something was added to what its disk and its service have to do, or taken from it.
    fn note_due(&mut self) {
        let record = self.unsynced.front().map_or(NEVER, |waiting| waiting.due);
        self.due = self.lane.front().map_or(NEVER, |(due, _)| *due).min(record);
    }

    /// When it has anything to do, if nothing comes: the end of time stands for never.
    #[inline]
    pub(super) fn wakes(&mut self) -> Time {
        self.deadline().min(self.due)
    }

    /// When its replica wants to be called again. Asked for when somebody wants to know: some steps are followed by another at once.
    #[inline]
    pub(super) fn deadline(&mut self) -> Time {
        let ask = || self.replica.deadline().and_then(|deadline| self.clock.moment(deadline)).unwrap_or(NEVER);
        *self.deadline.get_or_insert_with(ask)
    }

    /// A picture of what its replica needs, of at most so many steps ago.
    pub(super) fn screen(&mut self, glance: u32) -> &Screen {
        self.picture.take_if(|(_, steps)| *steps >= glance);
        &self.picture.get_or_insert_with(|| (self.replica.screen(), 0)).0
    }

    /// Its replica is to make a step, after which such a picture is too old: votes are counted in place where nobody has a picture of them.
    pub(super) fn steps(&mut self, glance: u32) {
        self.picture.take_if(|(_, steps)| steps.saturating_add(1) >= glance);
    }

    /// Its replica has made a step.
    pub(super) fn stepped(&mut self) {
        self.deadline = None;
        if let Some((_, steps)) = &mut self.picture {
            *steps += 1;
        }
    }

    pub(super) fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
        self.deadline = None;
    }

    /// Everything that it was given is on its disk.
    pub fn is_synced(&self) -> bool {
        self.unsynced.is_empty()
    }
}

/// A tape of its own.
fn new_reel(reels: &Reels) -> Sink {
    let reels = reels.clone();
    let index = {
        let mut all = reels.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Vec::new());
        all.len() - 1
    };
    Box::new(move |bytes| reels.lock().unwrap_or_else(PoisonError::into_inner)[index].extend_from_slice(bytes))
}

impl Net {
    pub(super) fn open(&self, id: usize, start: Start, disk: &Disk) -> Result<(Recorder, Snapshots<Diary, Disk>, Outbox), RecoverError> {
        let flaw = self.hosts.get(id).map(|host| host.flaw.clone()).unwrap_or_default();
        let inner = self.service.as_ref().map(|make| make());
        let mut app = Snapshots::new(Diary { flaw, inner, ..Diary::default() }, disk.clone());
        let state = match app.state() {
            Ok(state) => state,
            Err(error) => {
                assert!(disk.with(|content| core::mem::take(&mut content.spoiled)), "a whole disk: {error}");
                // What its operator is told to do.
                disk.with(|content| content.files.clear());
                app.state().expect("an empty disk")
            }
        };
        let mut outbox = Outbox::new();
        let id = ReplicaId::new(id as u32);
        let (cluster, tuning) = (self.cluster.clone(), self.tuning.clone());
        let replica = match &self.reels {
            Some(reels) => Recorder::taped(cluster, id, tuning, start, state, disk.log(), &mut outbox, new_reel(reels))?,
            None => Recorder::recover(cluster, id, tuning, start, state, disk.log(), &mut outbox)?,
        };
        Ok((replica, app, outbox))
    }

    /// The process ends; what is on its disk stays. Of the records that the disk was still writing, the first ones stay, any number of them; the next one in part.
    pub fn crash(&mut self, at: usize) {
        let waiting = self.hosts[at].unsynced.len() as u64;
        if waiting > 0 {
            let whole = self.random.between(0, waiting) as usize;
            let fate = if self.random.percent(50) { Fate::Torn(self.random.between(0, 100)) } else { Fate::Lost };
            return self.crash_behind(at, whole, fate);
        }
        self.crash_behind(at, 0, Fate::Lost);
    }

    fn crash_behind(&mut self, at: usize, whole: usize, fate: Fate) {
        let unsynced = core::mem::take(&mut self.hosts[at].unsynced);
        if self.trace.is_some() {
            self.say(format!("{:?} R{at} CRASHES with {whole} of {} records written, then {fate:?}", self.now, unsynced.len()));
        }
        let disk = self.hosts[at].disk.clone();
        for (place, Unsynced { write, .. }) in unsynced.into_iter().enumerate() {
            let bytes = &write.record().to_bytes()[..];
            match fate {
                _ if place < whole => disk.append(write.index(), Bytes::from(bytes)),
                Fate::Torn(percent) if place == whole => {
                    disk.append(write.index(), Bytes::from(&bytes[..bytes.len() * percent as usize / 100]));
                }
                Fate::Kept if place == whole => disk.append(write.index(), Bytes::from(bytes)),
                _ => {}
            }
        }
        disk.with(|content| content.changes_left = None);
        self.dead.insert(at);
        let host = &mut self.hosts[at];
        host.lane.clear();
        host.note_due();
        host.crashes += 1;
        host.crash_at = None;
    }

    /// The process starts again on what its disk has.
    pub fn restart(&mut self, at: usize, start: Start) -> Result<(), RecoverError> {
        let disk = self.hosts[at].disk.clone();
        let (replica, app, outbox) = self.open(self.hosts[at].id, start, &disk)?;
        if self.trace.is_some() {
            self.say(format!("{:?} R{at} STARTS {start:?}: {:?}", self.now, replica.status()));
        }
        self.oracle.restarted(at, replica.status().executed, &app.service().done);
        if matches!(start, Start::Rejoining { .. }) {
            self.oracle.lost_log(at);
        }
        if matches!(start, Start::Recovering) && !replica.status().rejoining {
            self.oracle.recovered(at, replica.status().view);
        }
        self.hosts[at].replica = replica;
        self.hosts[at].app = app;
        // What it promised in its former life it says again.
        self.hosts[at].knows_diverged = false;
        self.dead.remove(&at);
        self.hosts[at].picture = None;
        self.hosts[at].stepped();
        self.serve(at, outbox);
        Ok(())
    }

    pub(super) fn slow_of(&self, at: usize) -> Slowness {
        self.slow_at.get(&at).copied().unwrap_or(self.slow)
    }

    fn draw(&mut self, (from, to): (u64, u64)) -> u64 {
        if to == 0 { 0 } else { self.random.between(from, to) }
    }

    /// Serves an outbox in its order. What a host sends need not wait for the records written before it, and does not.
    pub(super) fn serve(&mut self, at: usize, mut outbox: Outbox) {
        for output in outbox.drain() {
            if self.dead.contains(&at) {
                // It crashed on the way.
                return;
            }
            if self.trace.is_some() {
                self.say(format!("    {output}"));
            }
            match output {
                Output::Write(write) => self.write(at, write),
                Output::Send(outgoing) => {
                    let envelopes = outgoing.sign(&self.hosts[at].pen).expect("signed");
                    envelopes.iter().for_each(|envelope| self.send(at, envelope, None));
                }
                Output::App(command) => self.order(at, command),
                Output::Event(event) => self.note(at, event),
            }
        }
        self.spare.push(outbox);
        self.serve_due(at);
    }

    fn note(&mut self, at: usize, event: Event) {
        let loyal = !self.twists.contains_key(&at);
        self.hosts[at].knows_diverged |= matches!(event, Event::Diverged { .. });
        match &event {
            Event::Halted { reason } => assert!(!loyal, "R{at} halted: {reason}"),
            // I21
            Event::Evidence(evidence) => {
                let culprit = evidence.culprit().get() as usize;
                let is_excused = evidence.is_of_results() && self.oracle.excused.contains(&culprit);
                assert!(
                    !loyal || is_excused || self.twists.contains_key(&culprit),
                    "I21: R{at} has proof against the correct R{culprit}: {evidence}"
                );
            }
            Event::Stable { sequence_number, state } if loyal => self.oracle.stable(at, *sequence_number, *state),
            _ => {}
        }
        self.hosts[at].events.push(event);
    }

    fn write(&mut self, at: usize, write: Write) {
        self.hosts[at].writes += 1;
        let delay = self.draw(self.slow_of(at).disk);
        let host = &mut self.hosts[at];
        // C4: what one step promises before it finds that out comes before the event.
        host.knows_diverged &= host.replica.standing().diverged;
        let silent = host.knows_diverged;
        if self.gathers {
            // P6
            host.unsynced.iter_mut().for_each(|earlier| earlier.write.pass_over_for(&write));
        }
        let after = host.unsynced.back().map_or(self.now, |waiting| waiting.due);
        let due = after.max(Time(self.now.0 + delay));
        host.unsynced.push_back(Unsynced { due, write, silent });
        host.note_due();
        if let Some((_, fate)) = host.crash_at.filter(|(when, _)| *when <= host.writes) {
            let whole = host.unsynced.len() - 1;
            self.crash_behind(at, whole, fate);
        }
    }

    /// The disk has the oldest record: what it promised may be said.
    fn synced(&mut self, at: usize) {
        let disk = self.hosts[at].disk.clone();
        if disk.is_full() {
            // The record is not taken, and its host has to stop.
            return self.crash_behind(at, 0, Fate::Lost);
        }
        let Some(Unsynced { write, silent, .. }) = self.hosts[at].unsynced.pop_front() else { return };
        self.hosts[at].note_due();
        if self.slow.disk.1 > 0 && self.trace.is_some() {
            self.say(format!("    (R{at} has #{})", write.index()));
        }
        let (index, discards_before) = (write.index(), write.discards_before());
        let (record, released) = write.recorded();
        disk.append_record(index, record);
        discards_before.into_iter().for_each(|index| disk.truncate_before(index));
        let (envelopes, receipt) = released.sign(&self.hosts[at].pen).expect("signed");
        let loyal = !self.twists.contains_key(&at);
        let parcels: Vec<Option<Parcel>> = envelopes.iter().map(|envelope| loyal.then(|| self.wrap(envelope))).collect();
        for (envelope, parcel) in envelopes.iter().zip(&parcels) {
            let Some(seen) = parcel.as_ref().and_then(|parcel| self.seen(parcel)) else { continue };
            let is_new = self.oracle.released(at, seen);
            let votes = !matches!(envelope.kind(), MessageKind::ViewChange | MessageKind::NewView);
            assert!(!(is_new && votes && silent), "C4: R{at} has diverged and votes: {envelope}");
        }
        envelopes.iter().zip(parcels).for_each(|(envelope, parcel)| self.send(at, envelope, parcel));
        self.step(at, Input::Persisted(receipt));
    }

    fn order(&mut self, at: usize, command: AppCommand) {
        let delay = self.draw(self.slow_of(at).service);
        let host = &mut self.hosts[at];
        let after = host.lane.back().map_or(self.now, |(due, _)| *due);
        host.lane.push_back((after.max(Time(self.now.0 + delay)), command));
        host.note_due();
        let storing = host.lane.iter().filter(|(_, command)| matches!(command, AppCommand::StoreChunk { .. })).count();
        host.storing_max = host.storing_max.max(storing);
    }

    /// Whatever disk and service are done with by now, each in its own order.
    pub(super) fn serve_due(&mut self, at: usize) {
        if self.hosts[at].due > self.now || core::mem::replace(&mut self.hosts[at].busy, true) {
            return;
        }
        while !self.is_off(at) {
            let now = self.now;
            let host = &mut self.hosts[at];
            if host.unsynced.front().is_some_and(|waiting| waiting.due <= now) {
                self.synced(at);
            } else if host.lane.front().is_some_and(|(due, _)| *due <= now) {
                let Some((_, command)) = host.lane.pop_front() else { break };
                host.note_due();
                self.command(at, command);
            } else {
                break;
            }
        }
        self.hosts[at].busy = false;
    }

    fn command(&mut self, at: usize, command: AppCommand) {
        match self.carry_out(at, command) {
            Ok(Some(input)) => {
                self.step(at, input);
            }
            Ok(None) => {}
            Err(error) => {
                let crashes = self.hosts[at].disk.with(|content| content.changes_left == Some(0) || content.full);
                assert!(crashes, "R{at}: {error}");
                self.crash(at);
            }
        }
    }

    /// Serves the application's lane.
    fn carry_out(&mut self, at: usize, command: AppCommand) -> Result<Option<Input>, AppError> {
        let app = &mut self.hosts[at].app;
        Ok(match command {
            AppCommand::Execute(decision) => {
                let results = self.execute(at, &decision)?;
                Some(Input::Executed { sequence_number: decision.sequence_number(), results })
            }
            AppCommand::TakeCheckpoint(order) => Some(Input::CheckpointTaken(app.take_checkpoint(&order)?)),
            AppCommand::DiscardBefore(number) => {
                app.discard_before(number)?;
                None
            }
            AppCommand::ReadChunk { sequence_number, index } => {
                let bytes = app.read_chunk(sequence_number, index)?;
                Some(Input::ChunkRead { sequence_number, index, bytes })
            }
            AppCommand::FetchState(manifest) => {
                let missing = app.missing_parts(&manifest)?;
                Some(Input::PartsMissing { sequence_number: manifest.sequence_number(), missing })
            }
            AppCommand::StoreChunk { sequence_number, index, bytes } => {
                app.store_chunk(sequence_number, index, &bytes)?;
                Some(Input::ChunkStored { sequence_number, index })
            }
            AppCommand::InstallState(manifest) => {
                let state = app.install(&manifest)?;
                if !self.twists.contains_key(&at) {
                    // What it has said of a wrong state may still be on its way to the disk.
                    if self.hosts[at].flaw.get().1 == 0 && self.hosts[at].is_synced() {
                        self.oracle.odd.remove(&at);
                    }
                    self.oracle.restarted(at, state.last_executed, &self.hosts[at].app.service().done);
                }
                Some(Input::StateInstalled(state))
            }
        })
    }

    fn execute(&mut self, at: usize, decision: &Decision) -> Result<Vec<Bytes>, AppError> {
        if !self.twists.contains_key(&at) {
            self.oracle.decided(at, decision.sequence_number(), decision.digest());
            for request in decision.requests() {
                self.oracle.executed(at, request);
                self.served(request);
            }
        }
        self.hosts[at].app.execute(decision)
    }
}
