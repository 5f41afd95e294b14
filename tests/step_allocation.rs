//! What a step costs, counted in what it takes from the allocator. (I18)

#[path = "support/heap.rs"]
mod heap;
mod support;

use logothete::sim::forge::Kind::{Commit, Prepare};
use logothete::{Disposition, Input, Limits, Tuning};
use support::builder;
use support::solo::{Solo, T, at, view};

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

const P: u64 = 256;

/// Shows a backup all proposals of a long pipeline but the lowest.
fn show_all_but_the_first(solo: &mut Solo, in_view: u64) {
    for block in &solo.blocks(P)[1..] {
        assert_eq!(solo.propose(in_view, block), Disposition::Applied);
    }
    assert_eq!(solo.replica.status().head, at(0));
}

fn backup() -> Solo {
    let cluster = builder(4, 2).pipeline(P).checkpoint_interval(512).log_window(4 * P).build().expect("a valid cluster");
    Solo::with(cluster, 1, Tuning::from_timeout(1000 * T))
}

fn taken_by_a_step(solo: &mut Solo) -> usize {
    solo.step(Input::Timer);
    heap::taken_by(|| assert_eq!(solo.step(Input::Timer), Disposition::Applied))
}

#[test]
fn i18_a_step_does_not_walk_down_from_each_proposal_above_one_that_nobody_shows() {
    let mut solo = backup();
    show_all_but_the_first(&mut solo, 0);
    let taken = taken_by_a_step(&mut solo);
    assert!(taken < P as usize * 256, "{taken} bytes");
    let first = solo.blocks(1).remove(0);
    assert_eq!(solo.propose(0, &first), Disposition::Applied);
    assert_eq!(solo.replica.status().head, at(P), "with that one all are accepted");
}

#[test]
fn i18_nor_where_another_block_stands_in_the_place_of_that_one() {
    let mut solo = backup();
    // Of view 0, and kept, because it was voted for, until all that view 4 proposes is held.
    let other = solo.block_saying(1, solo.forge.genesis(), 1, b"another order");
    solo.propose(0, &other);
    let claims = [0, 2, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(4), None));
    let new_view = solo.forge.new_view(&solo.keys[0], view(4), &claims, None);
    solo.feed(&new_view);
    show_all_but_the_first(&mut solo, 4);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 4, solo.genesis());
    solo.feed_certificate(&certificate);
    assert_eq!((solo.replica.status().view, solo.replica.status().blocks), (view(4), P as usize));
    let taken = taken_by_a_step(&mut solo);
    assert!(taken < P as usize * 256, "{taken} bytes");
}

/// A primary with a pipeline of one position decides, and draws the next batch of 8 from so many clients' requests.
fn taken_by_a_draw(clients: usize) -> usize {
    let limits = Limits { batch_requests_max: 8, ..Limits::default() };
    let cluster = builder(4, clients).pipeline(1).limits(limits).build().expect("a valid cluster");
    let mut solo = Solo::with(cluster, 0, Tuning::from_timeout(1000 * T));
    for client in 0..clients {
        assert_eq!(solo.ask(client, 1), Disposition::Applied);
    }
    assert_eq!(solo.replica.status().head, at(1), "with the first client's request alone");
    let first = solo.block(1, solo.forge.genesis(), 1);
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(1), first.digest()));
    let decided = solo.verified(&solo.forge.certificate_message(&certificate));
    let taken = heap::taken_by(|| assert_eq!(solo.step(Input::Message(decided)), Disposition::Applied));
    assert_eq!(solo.replica.status().head, at(2));
    taken
}

#[test]
fn i18_a_primary_looks_at_no_more_clients_than_its_batch_has_room_for() {
    let (few, many) = (taken_by_a_draw(32), taken_by_a_draw(256));
    assert!(many < few + 2048, "{many} bytes, and {few} for an eighth of the clients");
}
