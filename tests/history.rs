//! D2: records that are whole, and can't be the history of one correct replica. Each beside a log that could.

mod support;

use logothete::sim::forge::Kind::{Commit, Prepare};
use logothete::sim::forge::{
    Forge, ForgedBlock, ForgedCertificate, ForgedCheckpoint, ForgedStable, ForgedViewChange, Kept, KeptState, Position, Traitor,
};
use logothete::{AppState, Digest, RecordFault, RecoverError, ReplicaId, RequestNumber, SequenceNumber, SigningKey, Start, View};
use std::sync::Arc;
use support::logs::{Log, Records, cluster};
use support::{client_key, replica_key};

fn at(number: u64) -> SequenceNumber {
    SequenceNumber::new(number)
}

fn v(number: u64) -> View {
    View::new(number)
}

const PLACE: &str = "D2: a state in another view, or of other votes";

/// A position with any digest.
fn off(number: u64) -> Position {
    (at(number), Digest::new([number as u8 + 100; 32]))
}

/// Writes the log of one replica.
struct Pen {
    log: Log,
    forge: Forge,
    keys: Vec<SigningKey>,
    blocks: Vec<ForgedBlock>,
}

impl Pen {
    /// Replica 1 is the primary of view 1, replica 2 of view 2.
    fn of(replica: u32) -> Self {
        let cluster = Arc::new(cluster());
        let forge = Forge::new(cluster.clone());
        let mut parent = forge.genesis();
        let blocks = (1..=9)
            .map(|number| {
                let request = forge.request(&client_key(0), RequestNumber::new(number), b"order");
                let block = forge.block(at(number), parent, vec![request]);
                parent = block.digest();
                block
            })
            .collect();
        let log = Log { cluster, replica, records: Vec::new(), app: AppState::default() };
        Self { log, forge, keys: (0..4).map(replica_key).collect(), blocks }
    }

    fn new() -> Self {
        Self::of(1)
    }

    fn traitor(&self, index: u32) -> Traitor<'_> {
        (ReplicaId::new(index), &self.keys[index as usize])
    }

    fn genesis(&self) -> Position {
        (at(0), self.forge.genesis())
    }

    /// On the chain.
    fn on(&self, number: u64) -> Position {
        (at(number), self.blocks[number as usize - 1].digest())
    }

    fn prepare(&self, view: u64, number: u64) -> Kept<'_> {
        let index = number as usize - 1;
        Kept::Prepare { view: v(view), position: self.on(number), blocks: &self.blocks[index..=index] }
    }

    fn prepared(&self, view: u64, position: Position) -> ForgedCertificate {
        self.forge.certificate(&[0, 1, 2].map(|index| self.traitor(index)), Prepare, v(view), position)
    }

    fn committed(&self, view: u64, position: Position) -> ForgedCertificate {
        self.forge.certificate(&[0, 1, 2].map(|index| self.traitor(index)), Commit, v(view), position)
    }

    /// As it stands in a record: not signed yet.
    fn leave(&self, view: u64, high: Option<&ForgedCertificate>) -> ForgedViewChange {
        self.forge.view_change(self.traitor(self.log.replica), v(view), high)
    }

    fn new_view(&self, view: u64, high: Option<&ForgedCertificate>) -> Vec<u8> {
        let claims = [0, 1, 2].map(|index| self.forge.view_change(self.traitor(index), v(view), high));
        self.forge.new_view(&self.keys[view as usize % 4], v(view), &claims, None)
    }

    fn checkpoint(&self, number: u64, state: u8) -> ForgedCheckpoint {
        ForgedCheckpoint { position: self.on(number), state: Digest::new([state; 32]) }
    }

    fn stable(&self, number: u64) -> ForgedStable {
        self.forge.stable(&[0, 1, 2].map(|index| self.traitor(index)), self.checkpoint(number, 1))
    }

    /// What a replica that is new binds itself to.
    fn nothing(&self) -> KeptState<'_> {
        KeptState { base: self.genesis(), ..KeptState::default() }
    }

    fn records(&self, kept: &[Kept<'_>]) -> Records {
        let id = ReplicaId::new(self.log.replica);
        let framed = kept.iter().zip(0..).map(|(kept, index)| (index, self.forge.record(id, index, kept).expect("a record")));
        framed.map(|(index, record)| (index, record.to_bytes())).collect()
    }

    /// One log, which may be, as far as all but the last record.
    #[track_caller]
    fn may_be(&self, kept: &[Kept<'_>]) {
        for end in 1..=kept.len() {
            let verdict = self.log.recover(self.records(&kept[..end])).map(|_| ());
            assert_eq!(verdict, Ok(()), "{:?}", kept[end - 1]);
        }
    }

    /// `before` may be; each of `contradictions` can't come after it.
    #[track_caller]
    fn contradict(&self, before: &[Kept<'_>], contradictions: &[(Kept<'_>, &'static str)]) {
        self.may_be(before);
        for (kept, reason) in contradictions {
            let mut records = before.to_vec();
            records.push(kept.clone());
            let refused = self.log.refused(self.records(&records));
            assert_eq!(refused, (before.len() as u64, RecordFault::DoesNotFollow(reason)), "{kept:?}");
        }
    }
}

#[test]
fn p2_prepares_go_up_in_their_own_view() {
    let pen = Pen::new();
    let twice = Kept::Prepare { view: v(0), position: off(2), blocks: &[] };
    let other_view = Kept::Prepare { view: v(1), position: off(3), blocks: &[] };
    let other_block = "D1: a vote on another block than its record holds";
    pen.contradict(
        &[Kept::Started, pen.prepare(0, 1), pen.prepare(0, 2)],
        &[
            (twice, "P2: a vote that does not go up"),
            (pen.prepare(0, 2), "P2: a vote that does not go up"),
            (pen.prepare(0, 1), "P2: a vote that does not go up"),
            (other_view, "P2: a vote of another view"),
            (Kept::Prepare { view: v(0), position: off(3), blocks: &pen.blocks[2..3] }, other_block),
            (Kept::Prepare { view: v(0), position: pen.on(4), blocks: &pen.blocks[3..5] }, other_block),
        ],
    );
    let genesis = Kept::Prepare { view: v(0), position: pen.genesis(), blocks: &[] };
    pen.contradict(&[Kept::Started], &[(genesis, "P2: genesis prepared in view 0")]);
    // Below the base, or beside it.
    let high = pen.committed(0, pen.on(2));
    let base = Kept::Base { view: v(3), entered: true, base: pen.on(2), top: None, high: Some(&high) };
    pen.contradict(
        &[Kept::Started, base],
        &[
            (pen.prepare(3, 1), "P2: a vote below the base"),
            (Kept::Prepare { view: v(3), position: off(2), blocks: &[] }, "P2: a vote off the base"),
        ],
    );
}

#[test]
fn p3_commits_rest_on_a_certificate_of_the_view_and_are_one_for_each_position() {
    let pen = Pen::new();
    let at_two = pen.prepared(0, pen.on(2));
    let (lower, twice) = (pen.prepared(0, pen.on(1)), pen.prepared(0, off(2)));
    let (other_view, committed) = (pen.prepared(1, pen.on(3)), pen.committed(0, pen.on(3)));
    pen.contradict(
        // Commits need not go up; and what was decided and forgotten may come again.
        &[Kept::Started, Kept::Commit(&at_two), Kept::Commit(&lower), Kept::Commit(&at_two)],
        &[
            (Kept::Commit(&twice), "P3: two commits at one position"),
            (Kept::Commit(&other_view), "P3: a commit without a prepared certificate of the view"),
            (Kept::Commit(&committed), "P3: a commit without a prepared certificate of the view"),
        ],
    );
    let of_genesis = pen.prepared(1, pen.genesis());
    let entered = Kept::Base { view: v(1), entered: true, base: pen.genesis(), top: None, high: Some(&of_genesis) };
    pen.contradict(&[Kept::Started, entered], &[(Kept::Commit(&of_genesis), "P3: genesis committed")]);
}

#[test]
fn p4_high_rises_within_what_was_entered() {
    let pen = Pen::new();
    let (low, high, twin, above) =
        (pen.prepared(0, pen.on(1)), pen.committed(0, pen.on(2)), pen.prepared(0, off(2)), pen.prepared(1, pen.on(3)));
    let rebase = |high| Kept::Base { view: v(0), entered: true, base: pen.on(3), top: None, high };
    pen.contradict(
        &[Kept::Started, Kept::High(&low), Kept::High(&high)],
        &[
            (Kept::High(&low), "P4: high has fallen"),
            (rebase(Some(&low)), "P4: high has fallen"),
            (rebase(None), "P4: high has fallen"),
            (Kept::High(&twin), "I2: two certificates of one rank"),
            (Kept::High(&above), "P4: a certificate of a view not entered"),
        ],
    );
    pen.may_be(&[Kept::Started, Kept::High(&low), rebase(Some(&high))]);
}

#[test]
fn v1_wishes_go_up_above_the_view_and_the_wish_before() {
    let pen = Pen::new();
    let down = "V1: a wish that does not go up";
    let leaving = pen.leave(3, None);
    let state = KeptState { keeps_from: 1, view: v(3), waits: true, wish: v(2), view_change: Some(&leaving), ..pen.nothing() };
    let other = KeptState { wish: v(3), ..state.clone() };
    pen.contradict(&[Kept::Started], &[(Kept::Wish(v(0)), down)]);
    pen.contradict(&[Kept::Started, Kept::Wish(v(2))], &[(Kept::Wish(v(1)), down), (Kept::Wish(v(2)), down)]);
    pen.contradict(
        &[Kept::Started, Kept::Wish(v(2)), Kept::ViewChange(&leaving), Kept::State(&state)],
        &[(Kept::Wish(v(3)), down), (Kept::State(&other), "V1: a state of another wish"), (Kept::State(&pen.nothing()), PLACE)],
    );
    pen.may_be(&[Kept::Started, Kept::Wish(v(2)), Kept::ViewChange(&leaving), Kept::State(&state), Kept::Wish(v(4))]);
}

#[test]
fn v2_a_view_is_left_once_upwards_and_with_high() {
    let pen = Pen::new();
    let certificate = pen.prepared(0, pen.on(1));
    let (first, second, up) = (pen.leave(1, Some(&certificate)), pen.leave(1, None), pen.leave(3, Some(&certificate)));
    let others = pen.forge.view_change(pen.traitor(2), v(3), Some(&certificate));
    let (voted, decided) = (Kept::Prepare { view: v(1), position: off(5), blocks: &[] }, pen.prepared(1, off(5)));
    pen.contradict(
        &[Kept::Started, pen.prepare(0, 1), Kept::Commit(&certificate), Kept::ViewChange(&first)],
        &[
            (Kept::ViewChange(&first), "V2: a view change that does not go up"),
            (Kept::ViewChange(&second), "V2: a view change that does not go up"),
            (Kept::ViewChange(&pen.leave(3, None)), "V2: a claim that is not high"),
            (Kept::ViewChange(&others), "V2: another replica's view change"),
            (voted, "P2: a vote while waiting for a new view"),
            (pen.prepare(0, 2), "P2: a vote of another view"),
            (Kept::Commit(&decided), "P3: a commit while waiting for a new view"),
        ],
    );
    pen.may_be(&[Kept::Started, Kept::Commit(&certificate), Kept::ViewChange(&first), Kept::ViewChange(&up)]);
}

#[test]
fn v3_a_new_view_is_its_primarys_once() {
    let pen = Pen::new();
    let (leaving, new_view) = (pen.leave(1, None), pen.new_view(1, None));
    let certificate = pen.prepared(0, pen.on(1));
    let another = pen.new_view(1, Some(&certificate));
    pen.contradict(&[Kept::Started], &[(Kept::NewView(&new_view), "V3: a new view that is not waited for")]);
    let before = [Kept::Started, Kept::ViewChange(&leaving), Kept::NewView(&new_view)];
    pen.contradict(
        &before,
        &[
            (Kept::NewView(&new_view), "V3: a second new view"),
            (Kept::NewView(&another), "V3: a second new view"),
            (Kept::NewView(&pen.new_view(5, None)), "V3: a new view that is not waited for"),
        ],
    );
    let backup = Pen::of(2);
    let leaving = backup.leave(1, None);
    backup.contradict(&[Kept::Started, Kept::ViewChange(&leaving)], &[(Kept::NewView(&new_view), "V3: a new view by a backup")]);
}

#[test]
fn v4_v5_views_are_entered_once_upwards_and_bases_never_fall_below_a_vote() {
    let pen = Pen::new();
    let base = |view: u64, base, top: Option<u64>| Kept::Base { view: v(view), entered: true, base, top: top.map(at), high: None };
    let waiting = Kept::Base { view: v(3), entered: false, base: pen.genesis(), top: None, high: None };
    let on_genesis = Kept::Prepare { view: v(2), position: pen.genesis(), blocks: &[] };
    let leaving = pen.leave(4, None);
    pen.contradict(
        &[Kept::Started, base(2, pen.genesis(), None), on_genesis, pen.prepare(2, 1), pen.prepare(2, 2), base(2, off(2), Some(2))],
        &[
            (base(1, pen.genesis(), None), "V4: a view entered twice, or gone back to"),
            (base(0, pen.genesis(), None), "V4: a view entered twice, or gone back to"),
            (base(2, pen.on(1), Some(2)), "V5: a re-base below the own votes"),
            (base(2, pen.genesis(), None), "V5: a re-base below the own votes"),
            (base(2, pen.on(3), None), "V4: a base with another vote as the highest"),
            (base(2, pen.on(3), Some(1)), "V4: a base with another vote as the highest"),
            (base(3, pen.on(3), Some(2)), "V4: a base with another vote as the highest"),
            (waiting, "V4: a base in a view that has not begun"),
        ],
    );
    pen.contradict(
        &[Kept::Started, Kept::ViewChange(&leaving)],
        &[
            (base(3, pen.genesis(), None), "V4: a view entered twice, or gone back to"),
            (base(0, pen.genesis(), None), "V4: a view entered twice, or gone back to"),
        ],
    );
    pen.may_be(&[Kept::Started, Kept::ViewChange(&leaving), base(4, pen.genesis(), None), base(6, pen.genesis(), None)]);
}

#[test]
fn c1_checkpoints_are_voted_on_once_and_above_the_stable_one() {
    let pen = Pen::new();
    let stable = pen.stable(4);
    let state = KeptState { keeps_from: 1, stable: Some(&stable), checkpoints: vec![pen.checkpoint(8, 1)], ..pen.nothing() };
    pen.contradict(
        &[Kept::Started, Kept::Checkpoint(pen.checkpoint(4, 2)), Kept::Checkpoint(pen.checkpoint(8, 1)), Kept::State(&state)],
        &[
            (Kept::Checkpoint(pen.checkpoint(8, 1)), "C1: a second checkpoint at one position"),
            (Kept::Checkpoint(pen.checkpoint(8, 2)), "C1: a second checkpoint at one position"),
            (Kept::Checkpoint(pen.checkpoint(4, 1)), "C1: a checkpoint at or below the stable one"),
            (Kept::Checkpoint(pen.checkpoint(3, 1)), "C1: a checkpoint at or below the stable one"),
        ],
    );
}

#[test]
fn d2_a_log_has_one_beginning() {
    let pen = Pen::new();
    let state = pen.nothing();
    let (rejoining, first, middle) =
        (Kept::Rejoining { nonce: [1; 32] }, "D2: not the first record of a log", "D2: the first record of a log, in the middle");
    for kept in [pen.prepare(0, 1), Kept::State(&state), Kept::Blocks(&[]), Kept::Checkpoint(pen.checkpoint(4, 1))] {
        let refused = pen.log.refused(pen.records(&[kept]));
        assert_eq!(refused, (0, RecordFault::DoesNotFollow(first)));
    }
    pen.contradict(&[Kept::Started, pen.prepare(0, 1)], &[(Kept::Started, middle), (rejoining.clone(), middle)]);
    pen.contradict(std::slice::from_ref(&rejoining), &[(Kept::Started, middle), (rejoining.clone(), middle)]);
    // Also where the beginning is gone and nothing binds yet.
    let rest = pen.records(&[Kept::Started, Kept::Started, Kept::State(&state)])[1..].to_vec();
    assert_eq!(pen.log.refused(rest), (1, RecordFault::DoesNotFollow(middle)));
}

#[test]
fn d2_who_has_lost_its_log_is_silent_until_a_state_says_otherwise() {
    let pen = Pen::new();
    let nonce = [1; 32];
    let certificate = pen.prepared(2, off(1));
    let silent = "D2: a promise of a replica that has lost its log";
    let entered = Kept::Base { view: v(2), entered: true, base: off(1), top: None, high: Some(&certificate) };
    let before = [Kept::Rejoining { nonce }, Kept::Blocks(&pen.blocks[..1]), entered];
    pen.contradict(
        &before,
        &[
            (Kept::Prepare { view: v(2), position: off(2), blocks: &[] }, silent),
            (Kept::Commit(&certificate), silent),
            (Kept::ViewChange(&pen.leave(3, Some(&certificate))), silent),
            (Kept::NewView(&pen.new_view(2, None)), silent),
            (Kept::Checkpoint(pen.checkpoint(4, 1)), silent),
        ],
    );
    let here = KeptState { keeps_from: 1, view: v(2), base: off(1), high: Some(&certificate), ..KeptState::default() };
    let still = KeptState { rejoining: Some(nonce), ..here.clone() };
    let [_, blocks, entered] = before;
    pen.contradict(
        &[Kept::Rejoining { nonce }, blocks, entered, Kept::State(&still)],
        &[
            (Kept::Commit(&certificate), silent),
            (Kept::State(&KeptState { rejoining: Some([2; 32]), ..here.clone() }), "D2: a log that is lost in the middle"),
        ],
    );
    pen.contradict(
        &[
            Kept::Rejoining { nonce },
            Kept::High(&pen.prepared(0, off(1))),
            Kept::Base { view: v(2), entered: true, base: off(1), top: None, high: Some(&certificate) },
            Kept::State(&here),
            Kept::Commit(&certificate),
        ],
        &[(Kept::State(&still), "D2: a log that is lost in the middle")],
    );
}

#[test]
fn d2_a_state_says_what_the_records_before_it_say() {
    let pen = Pen::new();
    let (low, high, twin) = (pen.prepared(0, pen.on(1)), pen.committed(0, pen.on(2)), pen.prepared(0, off(2)));
    let (leaving, new_view) = (pen.leave(1, Some(&high)), pen.new_view(1, Some(&high)));
    let (in_view, newer) = (pen.prepared(1, pen.on(3)), pen.prepared(1, pen.on(4)));
    let stable = [pen.stable(4), pen.stable(8)];
    let told = [
        Kept::Started,
        pen.prepare(0, 1),
        Kept::Commit(&low),
        Kept::High(&high),
        Kept::ViewChange(&leaving),
        Kept::NewView(&new_view),
        Kept::Base { view: v(1), entered: true, base: pen.on(2), top: None, high: Some(&high) },
        Kept::Prepare { view: v(1), position: pen.on(2), blocks: &pen.blocks[1..2] },
        pen.prepare(1, 3),
        Kept::Commit(&in_view),
        Kept::Checkpoint(pen.checkpoint(8, 1)),
    ];
    let good = KeptState {
        keeps_from: 1,
        view: v(1),
        base: pen.on(2),
        top: Some(pen.on(3)),
        high: Some(&in_view),
        view_change: Some(&leaving),
        new_view: Some(&new_view),
        commits: vec![pen.on(3)],
        stable: Some(&stable[0]),
        checkpoints: vec![pen.checkpoint(8, 1)],
        ..KeptState::default()
    };
    // What may have changed since, with no record of its own: decided, certified, stable.
    let settled = KeptState { commits: Vec::new(), high: Some(&newer), stable: Some(&stable[1]), checkpoints: Vec::new(), ..good.clone() };
    let mut whole = told.to_vec();
    whole.extend([Kept::State(&good), Kept::State(&settled)]);
    pen.may_be(&whole);
    let other_claim = pen.leave(1, Some(&low));
    let other_new_view = pen.new_view(1, None);
    let bad: Vec<(KeptState<'_>, &str)> = vec![
        (KeptState { view: v(0), ..good.clone() }, PLACE),
        (KeptState { view: v(2), ..good.clone() }, PLACE),
        (KeptState { waits: true, ..good.clone() }, PLACE),
        (KeptState { base: pen.on(1), ..good.clone() }, PLACE),
        (KeptState { base: off(2), ..good.clone() }, PLACE),
        (KeptState { top: None, ..good.clone() }, PLACE),
        (KeptState { top: Some(pen.on(2)), ..good.clone() }, PLACE),
        (KeptState { top: Some(off(3)), ..good.clone() }, PLACE),
        (KeptState { high: None, ..good.clone() }, "P4: high has fallen"),
        (KeptState { high: Some(&high), ..good.clone() }, "P4: high has fallen"),
        (KeptState { view_change: None, ..good.clone() }, "D2: a state of another view change"),
        (KeptState { view_change: Some(&other_claim), ..good.clone() }, "D2: a state of another view change"),
        (KeptState { new_view: None, ..good.clone() }, "D2: a state of another new view"),
        (KeptState { new_view: Some(&other_new_view), ..good.clone() }, "D2: a state of another new view"),
        (KeptState { commits: vec![off(3)], ..good.clone() }, "D2: a state with a commit that was never made"),
        (KeptState { commits: vec![pen.on(2)], ..good.clone() }, "D2: a state with a commit that was never made"),
        (KeptState { checkpoints: Vec::new(), ..good.clone() }, "D2: a state of other votes on checkpoints"),
        (KeptState { checkpoints: vec![pen.checkpoint(8, 2)], ..good.clone() }, "D2: a state of other votes on checkpoints"),
        (KeptState { stable: Some(&stable[1]), ..good.clone() }, "D2: a state of other votes on checkpoints"),
        (KeptState { keeps_from: 12, ..good.clone() }, "D2: it rests on records that come after it"),
        (KeptState { keeps_from: u64::MAX, ..good.clone() }, "D2: it rests on records that come after it"),
        (KeptState { rejoining: Some([1; 32]), ..good.clone() }, "D2: a log that is lost in the middle"),
    ];
    let bad: Vec<(Kept<'_>, &str)> = bad.iter().map(|(state, reason)| (Kept::State(state), *reason)).collect();
    pen.contradict(&told, &bad);
    // A second state after the first.
    let other_stable = pen.forge.stable(&[0, 1, 2].map(|index| pen.traitor(index)), pen.checkpoint(4, 2));
    let fallen = [KeptState { stable: None, ..good.clone() }, KeptState { stable: Some(&other_stable), ..good.clone() }];
    let mut before = told.to_vec();
    before.push(Kept::State(&good));
    let bad: Vec<_> = fallen.iter().map(|state| (Kept::State(state), "I12: the stable checkpoint has fallen")).collect();
    pen.contradict(&before, &bad);
    let equal = KeptState { high: Some(&twin), ..pen.nothing() };
    let high_once = [Kept::Started, Kept::High(&high)];
    pen.contradict(&high_once, &[(Kept::State(&equal), "P4: high has fallen")]);
}

#[test]
fn d2_what_follows_a_state_is_held_against_it_where_the_beginning_is_gone() {
    let pen = Pen::new();
    let stable = pen.stable(4);
    let high = pen.committed(1, pen.on(5));
    let state = KeptState {
        keeps_from: 2,
        view: v(1),
        base: pen.on(3),
        top: Some(pen.on(6)),
        high: Some(&high),
        commits: vec![pen.on(6)],
        stable: Some(&stable),
        checkpoints: vec![pen.checkpoint(8, 1)],
        ..KeptState::default()
    };
    let twin = pen.prepared(1, off(6));
    let before = [Kept::Started, Kept::Started, pen.prepare(7, 6), Kept::State(&state)];
    let refused = |last: Kept<'_>| {
        let mut kept = before.to_vec();
        kept.push(last);
        // What comes before the state only has its blocks read.
        pen.log.refused(pen.records(&kept)[2..].to_vec())
    };
    assert!(pen.log.recover(pen.records(&before)[2..].to_vec()).is_ok());
    for (kept, reason) in [
        (pen.prepare(1, 6), "P2: a vote that does not go up"),
        (Kept::Commit(&twin), "P3: two commits at one position"),
        (Kept::ViewChange(&pen.leave(1, Some(&high))), "V2: a view change that does not go up"),
        (Kept::Checkpoint(pen.checkpoint(8, 2)), "C1: a second checkpoint at one position"),
        (Kept::Checkpoint(pen.checkpoint(4, 2)), "C1: a checkpoint at or below the stable one"),
        (Kept::High(&pen.prepared(1, pen.on(4))), "P4: high has fallen"),
    ] {
        assert_eq!(refused(kept), (4, RecordFault::DoesNotFollow(reason)));
    }
}

#[test]
fn p1_blocks_hash_to_what_their_headers_say() {
    let pen = Pen::new();
    let false_block = [pen.blocks[0].with_payload(Digest::new([1; 32]))];
    let voted = Kept::Prepare { view: v(0), position: pen.on(1), blocks: &false_block };
    for kept in [Kept::Blocks(&false_block), voted] {
        let records = pen.records(&[Kept::Started, kept]);
        assert_eq!(pen.log.refused(records), (1, RecordFault::Checksum));
    }
}

#[test]
fn d2_a_decision_in_the_log_is_held_against_the_service() {
    let pen = Pen::new();
    let decided = pen.committed(0, pen.on(3));
    let all = Kept::Prepare { view: v(0), position: pen.on(3), blocks: &pen.blocks[..3] };
    let records = pen.records(&[Kept::Started, all, Kept::High(&decided)]);
    let with = |last_executed: Position| {
        let app = AppState { last_executed: last_executed.0, log_digest: last_executed.1, ..AppState::default() };
        pen.log.start(Start::Recovering, &app, records.clone()).map(|_| ())
    };
    for number in 1..=3 {
        assert_eq!(with(pen.on(number)), Ok(()));
        assert_eq!(with(off(number)), Err(RecoverError::OtherHistory(at(number))));
        assert_eq!(with((at(number), pen.on(number % 3 + 1).1)), Err(RecoverError::OtherHistory(at(number))));
    }
    // Ahead of all that this replica has heard of.
    assert_eq!(with(pen.on(4)), Ok(()));
    assert_eq!(with(pen.genesis()), Ok(()));
}
