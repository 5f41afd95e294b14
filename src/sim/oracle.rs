//! Checks the invariants of what correct replicas do, with arithmetic of its own, across all their restarts. (SPEC 8.4: I1, I3, I10, I12, I13, I14, I17)

use super::claims::Claims;
use super::disk::Done;
use super::forge::{Kind, Position, Seen};
use crate::{ClientId, Digest, Request, RequestNumber, SequenceNumber, View};
use alloc::collections::btree_map::Entry;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// What may be said only once by one replica, ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Prepare(View, SequenceNumber),
    Commit(View, SequenceNumber),
    ViewChange(View),
    NewView(View),
    Checkpoint(SequenceNumber),
    Executed(SequenceNumber),
}

/// And what was said: a position, with what else counts.
type Content = (View, Position, Digest);

#[derive(Clone, Debug)]
struct Said {
    content: Content,
    /// It became durable before it was said.
    released: bool,
}

/// Everything that correct replicas were seen to do.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    size: u64,
    decided: BTreeMap<SequenceNumber, Digest>,
    at: BTreeMap<usize, SequenceNumber>,
    said: BTreeMap<usize, BTreeMap<Slot, Said>>,
    last: BTreeMap<usize, BTreeMap<ClientId, RequestNumber>>,
    /// By any correct replica, ever.
    executed: BTreeMap<ClientId, BTreeSet<RequestNumber>>,
    /// The highest view of each replica's binding statements: with them a log that was lost is still remembered here.
    views: BTreeMap<usize, View>,
    /// The highest view that each replica has told others that it wants, also before its log was lost.
    wants: BTreeMap<usize, View>,
    /// Whose state at a position is the quorum's.
    stable: BTreeMap<SequenceNumber, Digest>,
    states: BTreeMap<SequenceNumber, Content>,
    /// Replicas whose service is known to be wrong: their votes on states need not agree with anybody's.
    pub odd: BTreeSet<usize>,
    /// Those of them that lost their logs: their right states may contradict what they said of wrong ones. They count among the f. (E)
    pub(super) excused: BTreeSet<usize>,
    /// Whose service ever was.
    were_odd: BTreeSet<usize>,
    /// What their votes allow to be certified.
    pub claims: Claims,
    order: BTreeMap<usize, Vec<(ClientId, RequestNumber, Vec<u8>)>>,
}

/// The statements of its sender's own, in the message or in its status.
fn statements(replica: usize, seen: &Seen, size: u64, hear: &mut impl FnMut(Slot, Content)) {
    let none = Digest::default();
    let zero = (SequenceNumber::default(), none);
    match seen {
        Seen::PrePrepare { view, block } => {
            let position = (block.sequence_number(), block.digest());
            hear(Slot::Prepare(*view, position.0), (*view, position, none));
        }
        Seen::Vote { kind, replica: by, view, position } if by.get() as usize == replica => {
            let slot = if *kind == Kind::Prepare { Slot::Prepare(*view, position.0) } else { Slot::Commit(*view, position.0) };
            hear(slot, (*view, *position, none));
        }
        Seen::ViewChange(view_change) if view_change.replica().get() as usize == replica => {
            let (view, position) = view_change.claim();
            hear(Slot::ViewChange(view_change.view()), (view, position, none));
        }
        // Whoever has entered by it passes it on.
        Seen::NewView { view, base } if view.get() % size == replica as u64 => hear(Slot::NewView(*view), (*view, *base, none)),
        Seen::Checkpoint { replica: by, checkpoint } if by.get() as usize == replica => {
            hear(Slot::Checkpoint(checkpoint.position.0), (View::default(), checkpoint.position, checkpoint.state));
        }
        Seen::Executed { replica: by, sequence_number, root } if by.get() as usize == replica => {
            hear(Slot::Executed(*sequence_number), (View::default(), zero, *root));
        }
        Seen::Status { said, .. } => said.iter().for_each(|seen| statements(replica, seen, size, hear)),
        _ => {}
    }
}

fn view_of(slot: Slot) -> Option<View> {
    match slot {
        Slot::Prepare(view, _) | Slot::Commit(view, _) | Slot::ViewChange(view) | Slot::NewView(view) => Some(view),
        Slot::Checkpoint(_) | Slot::Executed(_) => None,
    }
}

impl Oracle {
    /// For so many replicas.
    pub fn new(size: u32) -> Self {
        Self { size: size.into(), ..Self::default() }
    }

    /// How many positions any correct replica has decided.
    pub fn decisions(&self) -> usize {
        self.decided.len()
    }

    /// I1: one digest per position. I14: no gaps.
    pub fn decided(&mut self, replica: usize, number: SequenceNumber, digest: Digest) {
        let known = *self.decided.entry(number).or_insert(digest);
        assert_eq!(known, digest, "I1: R{replica} decided another batch at {number:?}");
        self.claims.decided((number, digest));
        let last = self.at.insert(replica, number).unwrap_or_default();
        assert_eq!(last.next(), number, "I14: R{replica} left a gap");
    }

    /// A replica's service is at `number`, with this history: after a restart, or since a state was installed. It may come again by what it had
    /// executed before, and its history is part of everybody's.
    pub fn restarted(&mut self, replica: usize, number: SequenceNumber, done: &[Done]) {
        self.at.insert(replica, number);
        let mut last = BTreeMap::new();
        for done in done {
            let before: RequestNumber = last.insert(done.client, done.number).unwrap_or_default();
            assert_eq!(before.next(), done.number, "I13: R{replica} has a history that is out of turn");
        }
        self.last.insert(replica, last);
        let history = done.iter().map(|done| (done.client, done.number, done.operation.clone())).collect();
        self.order.insert(replica, history);
        self.check();
    }

    /// The same for a service that doesn't remember what it did, only how far each client has come.
    pub fn resumed(&mut self, replica: usize, number: SequenceNumber, last: impl IntoIterator<Item = (ClientId, RequestNumber)>) {
        self.at.insert(replica, number);
        self.last.insert(replica, last.into_iter().collect());
    }

    /// Where more than f lie, agreement is nobody's duty.
    pub fn forget_decisions(&mut self) {
        self.decided.clear();
    }

    /// I10: a replica that has read its log back is in no lower view than it ever spoke in.
    pub fn recovered(&mut self, replica: usize, view: View) {
        let highest = self.views.get(&replica).copied().unwrap_or_default();
        assert!(view >= highest, "I10: R{replica} came back in {view:?} and had promised something in {highest:?}");
    }

    /// I13: each request once, and in its client's order.
    pub fn executed(&mut self, replica: usize, request: &Request) {
        let last = self.last.entry(replica).or_default().insert(request.client(), request.number()).unwrap_or_default();
        assert_eq!(last.next(), request.number(), "I13: R{replica} executed out of turn");
        self.executed.entry(request.client()).or_default().insert(request.number());
        self.order.entry(replica).or_default().push((request.client(), request.number(), request.operation().to_vec()));
    }

    /// Its service is wrong from now on.
    pub(super) fn errs(&mut self, replica: usize) {
        self.odd.insert(replica);
        self.were_odd.insert(replica);
    }

    // E
    /// Its log is lost. Where its service was wrong, it does not know any more which states it has vouched for.
    pub(super) fn lost_log(&mut self, replica: usize) {
        if self.were_odd.contains(&replica) {
            self.excused.insert(replica);
            let said = self.said.entry(replica).or_default();
            said.retain(|slot, _| !matches!(slot, Slot::Checkpoint(_) | Slot::Executed(_)));
        }
    }

    /// Some correct replica has executed it.
    pub fn was_executed(&self, client: ClientId, number: RequestNumber) -> bool {
        self.executed.get(&client).is_some_and(|executed| executed.contains(&number))
    }

    /// I12: one stable state per position.
    pub fn stable(&mut self, replica: usize, number: SequenceNumber, state: Digest) {
        let known = *self.stable.entry(number).or_insert(state);
        assert_eq!(known, state, "I12: R{replica} holds another state at {number:?} stable");
    }

    /// A record is durable, and this message waited for it. True if it was never said before.
    pub fn released(&mut self, replica: usize, seen: &Seen) -> bool {
        let mut is_new = false;
        statements(replica, seen, self.size, &mut |slot, content| {
            let said = self.say(replica, slot, content);
            is_new |= !core::mem::replace(&mut said.released, true);
        });
        is_new
    }

    /// I3: no two different statements. I10: who has left a view says nothing more in it. I17: nothing that binds before its record is durable.
    pub fn sent(&mut self, replica: usize, seen: &Seen) {
        self.claims.saw(Some(replica), seen);
        if let Seen::Stable(stable) = seen {
            let checkpoint = stable.checkpoint();
            self.stable(replica, checkpoint.position.0, checkpoint.state);
        }
        statements(replica, seen, self.size, &mut |slot, content| {
            let is_released = self.say(replica, slot, content).released;
            let binds = !matches!(slot, Slot::Executed(_));
            assert!(!binds || is_released, "I17: R{replica} says {slot:?} and has no record of it");
        });
    }

    // V1, D2
    /// What a replica says that it wants never falls, and not with its log either: on that rests when one that has lost its log may speak again.
    pub(super) fn told(&mut self, replica: usize, want: View) {
        let told = self.wants.entry(replica).or_default();
        assert!(want >= *told, "D2: R{replica} tells that it wants {want:?}, and told {told:?} before");
        *told = want;
    }

    fn say(&mut self, replica: usize, slot: Slot, content: Content) -> &mut Said {
        let said = match self.said.entry(replica).or_default().entry(slot) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                // I14
                if let Slot::Checkpoint(number) = slot {
                    // What was said of a wrong state stays said after that was replaced.
                    if !self.odd.contains(&replica) {
                        let known = *self.states.entry(number).or_insert(content);
                        assert_eq!(known, content, "I14: R{replica} has another state at {number:?}");
                    }
                }
                entry.insert(Said { content, released: false })
            }
        };
        assert_eq!(said.content, content, "I3: R{replica} said two different things for {slot:?}");
        if let Some(view) = view_of(slot) {
            let highest = self.views.entry(replica).or_default();
            assert!(view >= *highest, "I10: R{replica} said {slot:?} after something in {highest:?}");
            *highest = view;
        }
        said
    }

    /// Equal histories, as far as both go.
    pub fn check(&self) {
        let mut longest: &[(ClientId, RequestNumber, Vec<u8>)] = &[];
        for history in self.order.values() {
            let common = history.len().min(longest.len());
            assert_eq!(history[..common], longest[..common], "I14: histories differ");
            if history.len() > longest.len() {
                longest = history;
            }
        }
    }
}
