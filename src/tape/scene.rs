//! What there is to draw: all tapes played, and what was sent found where it was heard.

use super::player::{Moment, Parted, Tape, content};
use crate::cluster::Cluster;
use crate::event::Event;
use crate::ids::{Digest, ReplicaId};
use crate::message::{Message, MessageKind};
use crate::outbox::{Content, Envelope, Output, Recipients, ToSign};
use crate::replica::Status;
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;

/// Who is at an arrow's end: a replica, or the clients, who share one line.
pub(super) type Party = Option<u32>;

/// What is known of a message's two ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Said by the one and taken in by the other.
    Heard = 0,
    /// Taken in, in somebody's name whose tape is here and has nothing of it.
    Lie = 1,
    /// Not believed. Whose it was nobody knows.
    Refused = 2,
    /// Said, and not taken in: lost, late, not needed, or held back by a traitor.
    Unheard = 3,
}

/// A message on its way.
pub(super) struct Arrow {
    pub(super) sent: u64,
    pub(super) from: Party,
    pub(super) heard: u64,
    pub(super) to: Party,
    pub(super) kind: MessageKind,
    pub(super) view: Option<u64>,
    pub(super) position: Option<u64>,
    pub(super) digest: Option<Digest>,
    pub(super) fate: Fate,
    pub(super) words: String,
}

/// Something that happened to a replica.
pub(super) struct Mark {
    pub(super) at: u64,
    pub(super) replica: u32,
    pub(super) class: &'static str,
    pub(super) position: Option<u64>,
    pub(super) words: String,
}

/// A replica's life, and how it began.
pub(super) struct Life {
    pub(super) replica: u32,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) start: &'static str,
}

/// Where a replica stood, from then on.
pub(super) struct Stand {
    pub(super) at: u64,
    pub(super) status: Status,
}

#[derive(Default)]
pub(super) struct Scene {
    pub(super) arrows: Vec<Arrow>,
    pub(super) marks: Vec<Mark>,
    pub(super) lives: Vec<Life>,
    pub(super) stands: Vec<Stand>,
}

pub(super) struct Sent {
    pub(super) at: u64,
    pub(super) key: Digest,
    pub(super) to: Recipients,
    message: Message,
}

pub(super) struct Heard {
    pub(super) at: u64,
    pub(super) key: Digest,
    message: Message,
    is_refused: bool,
}

/// What is on one tape.
pub(super) struct Reel {
    pub(super) replica: u32,
    life: Option<Life>,
    marks: Vec<Mark>,
    stands: Vec<Stand>,
    pub(super) sent: Vec<Sent>,
    pub(super) heard: Vec<Heard>,
}

/// Without a tape of the other end's an arrow has to begin or end somewhere: so many microseconds away.
const UNKNOWN_WAY: u64 = 300;

impl Reel {
    fn play(tape: &Tape) -> Result<Self, Parted> {
        let replica = tape.replica().get();
        let start = super::player::words_of_start(tape.start());
        let life = tape.span().map(|(from, to)| Life { replica, from: from.0, to: to.0, start });
        let mut reel = Self { replica, life, marks: Vec::new(), stands: Vec::new(), sent: Vec::new(), heard: Vec::new() };
        tape.play(|moment| {
            let at = moment.at.0;
            let mut send = |envelope: &Envelope| {
                let message = envelope.message().clone();
                reel.sent.push(Sent { at, key: content(&message), to: envelope.to(), message });
            };
            moment.own.iter().for_each(&mut send);
            moment.outputs.iter().for_each(|output| each_ready(output, &mut send));
            let mut hear = |message: &Message, is_refused| {
                reel.heard.push(Heard { at, key: content(message), message: message.clone(), is_refused });
            };
            moment.message.iter().for_each(|message| hear(message, false));
            moment.refused.iter().for_each(|message| hear(message, true));
            reel.marks.extend(marks(replica, moment));
            let status = moment.status();
            if reel.stands.last().is_none_or(|before| tells(&before.status) != tells(&status)) {
                reel.stands.push(Stand { at, status });
            }
        })?;
        Ok(reel)
    }

    /// Another clock: all that is on the tape was so many microseconds later.
    pub(super) fn shift(&mut self, later: i64) {
        let shift = |at: &mut u64| *at = at.saturating_add_signed(later);
        self.life.iter_mut().for_each(|life| {
            shift(&mut life.from);
            shift(&mut life.to);
        });
        self.marks.iter_mut().for_each(|mark| shift(&mut mark.at));
        self.stands.iter_mut().for_each(|stand| shift(&mut stand.at));
        self.sent.iter_mut().for_each(|sent| shift(&mut sent.at));
        self.heard.iter_mut().for_each(|heard| shift(&mut heard.at));
    }
}

/// Plays all tapes and puts them together.
pub(super) fn scene(tapes: &[Tape]) -> Result<Scene, Parted> {
    let Some(cluster) = tapes.first().map(Tape::cluster) else { return Ok(Scene::default()) };
    let mut reels = tapes.iter().map(Reel::play).collect::<Result<Vec<_>, _>>()?;
    super::clocks::align(&mut reels);
    let mut scene = Scene { arrows: arrows(cluster, &reels), ..Scene::default() };
    for reel in reels {
        scene.lives.extend(reel.life);
        scene.marks.extend(reel.marks);
        scene.stands.extend(reel.stands);
    }
    scene.marks.sort_by_key(|mark| mark.at);
    scene.stands.sort_by_key(|stand| stand.at);
    scene.lives.sort_by_key(|life| (life.replica, life.from));
    Ok(scene)
}

fn arrows(cluster: &Cluster, reels: &[Reel]) -> Vec<Arrow> {
    let taped: BTreeSet<u32> = reels.iter().map(|reel| reel.replica).collect();
    let primary = |view| cluster.primary(view).get();
    let mut sent: BTreeMap<Digest, Vec<(u32, &Sent)>> = BTreeMap::new();
    for (from, said) in reels.iter().flat_map(|reel| reel.sent.iter().map(|said| (reel.replica, said))) {
        sent.entry(said.key).or_default().push((from, said));
    }
    let (mut arrows, mut arrived) = (Vec::new(), BTreeSet::new());
    for (by, Heard { at, key, message, is_refused }) in reels.iter().flat_map(|reel| reel.heard.iter().map(|heard| (reel.replica, heard))) {
        let known = sent.get(key).into_iter().flatten().filter(|(from, said)| *from != by && reaches(said.to, by));
        let claimed = match message {
            Message::PrePrepare(proposal) => Some(primary(proposal.view)),
            Message::NewView(new_view) => Some(primary(new_view.view)),
            Message::Request(_) => None,
            other => other.claimed_sender().map(ReplicaId::get),
        };
        // The one who says so in his own name, and otherwise the last to say it before. A host may send something a moment before its replica is told that it
        // may, and clocks are never quite one.
        let before = |said: &Sent| said.at <= *at;
        let source = known.max_by_key(|(from, said)| (Some(*from) == claimed, before(said), if before(said) { said.at } else { !said.at }));
        let source = source.map(|(from, said)| (if before(said) { said.at } else { at.saturating_sub(UNKNOWN_WAY) }, Some(*from)));
        let fate = match source {
            _ if *is_refused => Fate::Refused,
            None if claimed.is_some_and(|claimed| taped.contains(&claimed)) => Fate::Lie,
            _ => Fate::Heard,
        };
        arrived.insert((*key, by));
        let source = source.unwrap_or((at.saturating_sub(UNKNOWN_WAY), claimed));
        arrows.push(arrow(message, source, (*at, Some(by)), fate));
    }
    for (key, said) in &sent {
        // A correct replica's first saying of it; what it repeats is the same.
        if let Some((from, first)) = said.iter().min_by_key(|(_, said)| said.at) {
            let missed = taped.iter().filter(|to| *to != from && reaches(first.to, **to) && !arrived.contains(&(*key, **to)));
            let ends = missed.map(|to| ((first.at, Some(*from)), (first.at + UNKNOWN_WAY, Some(*to))));
            arrows.extend(ends.map(|(from, to)| arrow(&first.message, from, to, Fate::Unheard)));
        }
        let answers = said.iter().filter(|(_, said)| matches!(said.to, Recipients::Client(_)));
        arrows.extend(answers.map(|(from, said)| arrow(&said.message, (said.at, Some(*from)), (said.at + UNKNOWN_WAY, None), Fate::Heard)));
    }
    arrows.sort_by_key(|arrow| arrow.sent);
    arrows
}

/// Messages that leave without waiting for a record.
fn each_ready(output: &Output, send: &mut impl FnMut(&Envelope)) {
    let Output::Send(outgoing) = output else { return };
    match &outgoing.content {
        Content::Ready(envelope) => send(envelope),
        Content::Unsigned(to_sign) => to_sign.envelopes().for_each(|envelope| send(&envelope)),
    }
}

fn reaches(to: Recipients, replica: u32) -> bool {
    match to {
        Recipients::AllReplicas => true,
        Recipients::Replica(one) => one.get() == replica,
        Recipients::Client(_) => false,
    }
}

fn arrow(message: &Message, (sent, from): (u64, Party), (heard, to): (u64, Party), fate: Fate) -> Arrow {
    let (view, position, digest) = whereabouts(message);
    Arrow { sent, from, heard, to, kind: message.kind(), view, position, digest, fate, words: message.to_string() }
}

/// View, position and digest that a message is about.
fn whereabouts(message: &Message) -> (Option<u64>, Option<u64>, Option<Digest>) {
    match message {
        Message::PrePrepare(m) => (Some(m.view.get()), Some(m.block.header.sequence_number.get()), Some(m.block.digest)),
        Message::Prepare(m) | Message::Commit(m) => (Some(m.view.get()), Some(m.sequence_number.get()), Some(m.digest)),
        Message::Certificate(m) => (Some(m.view.get()), Some(m.sequence_number.get()), Some(m.digest)),
        Message::ViewChange(m) => (Some(m.view.get()), Some(m.claim.rank.sequence_number.get()), Some(m.claim.digest)),
        Message::NewView(m) => (Some(m.view.get()), Some(m.base_number.get()), Some(m.base_digest)),
        Message::Status(m) => (Some(m.view.get()), None, None),
        Message::Checkpoint(m) => (None, Some(m.checkpoint.sequence_number.get()), Some(m.checkpoint.state)),
        Message::Stable(m) => (None, Some(m.checkpoint.sequence_number.get()), Some(m.checkpoint.state)),
        Message::Reply(m) => (Some(m.view.get()), Some(m.sequence_number.get()), None),
        Message::Chain(m) => (None, m.blocks.first().map(|block| block.header.sequence_number.get()), None),
        _ => (None, None, None),
    }
}

/// What of a status is worth a new line.
fn tells(status: &Status) -> impl PartialEq + use<> {
    let numbers = [status.decided, status.executed, status.head, status.stable];
    (numbers, status.view, status.wish, status.normal, status.pool_requests, status.blocks, status.rejoining, status.diverged)
}

fn marks(replica: u32, moment: &Moment<'_>) -> Vec<Mark> {
    let at = moment.at.0;
    let mark = |class, position: Option<u64>, words: String| Mark { at, replica, class, position, words };
    let mut found = Vec::new();
    if moment.disposition.is_none() && moment.told.starts_with("start") {
        found.push(mark("start", None, moment.told.clone()));
    }
    for output in moment.outputs {
        match output {
            // A Commit is promised upon a quorum of Prepares.
            Output::Write(write) => {
                let envelopes = write.sealed.iter().flat_map(ToSign::envelopes);
                found.extend(envelopes.filter_map(|envelope| match envelope.message() {
                    Message::Commit(vote) => Some(mark("prepared", Some(vote.sequence_number.get()), write.record.what().to_owned())),
                    _ => None,
                }));
            }
            Output::Event(event) => {
                let (class, position) = match event {
                    Event::Decided { sequence_number, .. } => ("decided", Some(sequence_number.get())),
                    Event::Stable { sequence_number, .. } => ("stable", Some(sequence_number.get())),
                    Event::EnteredView { .. } => ("entered", None),
                    Event::LeftView { .. } => ("left", None),
                    Event::Wished { .. } => ("wished", None),
                    Event::Evidence(_) => ("evidence", None),
                    Event::Halted { .. } | Event::Diverged { .. } | Event::NoAgreement { .. } | Event::Impersonated { .. } => {
                        ("alarm", None)
                    }
                    _ => ("note", None),
                };
                found.push(mark(class, position, event.to_string()));
            }
            Output::Send(_) | Output::App(_) => {}
        }
    }
    found
}
