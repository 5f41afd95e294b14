//! 3.7: to each connection its part of the inbox, and little to one that was caught with a bad message.

mod support;

use logothete::sim::forge::Kind::Prepare;
use logothete::{Digest, Inbox, MessageKind, PeerLink, RequestNumber, Time, Tuning, Unverified};
use std::collections::VecDeque;
use std::time::Duration;
use support::client_key;
use support::solo::{Solo, at, view};

const LIAR: PeerLink = PeerLink(1);
const OTHER: PeerLink = PeerLink(2);
const INTERVAL: Duration = Duration::from_millis(100);

fn tuning() -> Tuning {
    Tuning { status_interval: INTERVAL, ..Tuning::default() }
}

fn from(link: PeerLink, solo: &Solo, bytes: &[u8]) -> Unverified {
    Unverified::decode(link, bytes, solo.cluster.limits()).expect("decodes")
}

fn vote(link: PeerLink, solo: &Solo) -> Unverified {
    from(link, solo, &solo.forge.vote(solo.as_traitor(2), Prepare, view(0), (at(1), Digest::new([1; 32]))))
}

fn request(link: PeerLink, solo: &Solo, length: usize) -> Unverified {
    from(link, solo, &solo.forge.request_message(&solo.forge.request(&client_key(0), RequestNumber::new(1), &vec![0; length])))
}

fn status(link: PeerLink, solo: &Solo) -> Unverified {
    from(link, solo, &solo.forge.status(solo.as_traitor(2), 1, view(0), view(0), at(0)))
}

/// How many of each connection's are taken now; those of the first one in the list come last.
fn taken(inbox: &mut Inbox, now: Time) -> (usize, usize) {
    let taken = inbox.take(now);
    let of = |link: PeerLink| taken.iter().filter(|unverified| unverified.link() == link).count();
    (of(LIAR), of(OTHER))
}

#[test]
fn spec_3_7_where_there_is_no_room_the_connection_with_most_waiting_loses() {
    let solo = Solo::new(4, 1);
    let size = vote(LIAR, &solo).size();
    let mut inbox = Inbox::new(&Tuning { inbox_bytes_max: 100 * size as u64, ..tuning() });
    (0..150).for_each(|_| inbox.push(vote(LIAR, &solo)));
    assert_eq!((inbox.bytes(), inbox.overflow().overflowed), (100 * size, 50));
    (0..10).for_each(|_| inbox.push(vote(OTHER, &solo)));
    assert!(inbox.bytes() <= 100 * size);
    let (liars, others) = taken(&mut inbox, Time(0));
    assert_eq!((others, liars + others), (10, 160 - inbox.overflow().overflowed as usize));
    assert!(liars >= 75, "an eighth of it at once, and no more than is needed: {liars}");
}

#[test]
fn spec_3_7_of_several_connections_with_enough_waiting_only_the_largest_loses() {
    let solo = Solo::new(4, 1);
    let size = vote(LIAR, &solo).size();
    let mut inbox = Inbox::new(&Tuning { inbox_bytes_max: 100 * size as u64, ..tuning() });
    let third = PeerLink(3);
    (0..20).for_each(|_| inbox.push(vote(third, &solo)));
    (0..80).for_each(|_| inbox.push(vote(LIAR, &solo)));
    inbox.push(vote(OTHER, &solo));
    assert_eq!((inbox.bytes(), inbox.overflow().overflowed), (91 * size, 10), "an eighth of 80");
    let taken = inbox.take(Time(0));
    let of = |link: PeerLink| taken.iter().filter(|unverified| unverified.link() == link).count();
    assert_eq!((of(LIAR), of(OTHER), of(third)), (70, 1, 20));
}

#[test]
fn spec_3_7_of_two_connections_with_as_much_waiting_none_loses_for_the_other() {
    let solo = Solo::new(4, 1);
    let size = vote(LIAR, &solo).size();
    // Half a message less than 20.
    let mut inbox = Inbox::new(&Tuning { inbox_bytes_max: 20 * size as u64 - size as u64 / 2, ..tuning() });
    (0..10).for_each(|_| inbox.push(vote(OTHER, &solo)));
    (0..20).for_each(|_| inbox.push(vote(LIAR, &solo)));
    assert_eq!(taken(&mut inbox, Time(0)), (9, 10));
}

#[test]
fn spec_3_7_for_a_large_message_as_much_room_is_made_as_it_takes() {
    let solo = Solo::new(4, 1);
    let size = vote(LIAR, &solo).size();
    let mut inbox = Inbox::new(&Tuning { inbox_bytes_max: 100 * size as u64, ..tuning() });
    (0..100).for_each(|_| inbox.push(vote(LIAR, &solo)));
    inbox.push(request(OTHER, &solo, 30 * size));
    assert!(inbox.bytes() <= 100 * size);
    let (liars, others) = taken(&mut inbox, Time(0));
    assert!(others == 1 && (60..70).contains(&liars), "{liars}, {others}");
}

#[test]
fn spec_3_7_of_each_connection_about_a_mib_is_taken_at_a_turn() {
    let solo = Solo::new(4, 1);
    let mut inbox = Inbox::new(&tuning());
    (0..40).for_each(|_| inbox.push(request(LIAR, &solo, 64 * 1024)));
    inbox.push(vote(OTHER, &solo));
    assert_eq!(taken(&mut inbox, Time(0)), (16, 1), "16 of more than 64 KiB each");
    assert_eq!(taken(&mut inbox, Time(0)), (16, 0));
    assert_eq!(taken(&mut inbox, Time(0)), (8, 0));
    assert!(inbox.is_empty());
}

#[test]
fn spec_3_7_whatever_the_settings_a_message_and_some_statuses_get_through() {
    let solo = Solo::new(4, 1);
    let mut inbox = Inbox::new(&Tuning { inbox_bytes_max: 0, ..tuning() });
    (0..3).for_each(|_| inbox.push(vote(OTHER, &solo)));
    assert_eq!((taken(&mut inbox, Time(0)), inbox.overflow().overflowed), ((0, 1), 2));
    let mut inbox = Inbox::new(&Tuning { link_repairs_max: 0, ..tuning() });
    (0..6).for_each(|_| inbox.push(status(OTHER, &solo)));
    assert_eq!((taken(&mut inbox, Time(0)), inbox.overflow().limited), ((0, 4), 2));
}

#[test]
fn spec_3_7_repairs_are_let_through_up_to_a_number_in_an_interval() {
    let solo = Solo::new(4, 1);
    let mut inbox = Inbox::new(&Tuning { link_repairs_max: 5, ..tuning() });
    for start in [0, 1, 2] {
        (0..9).for_each(|_| inbox.push(status(LIAR, &solo)));
        (0..9).for_each(|_| inbox.push(vote(LIAR, &solo)));
        let now = Time::default().after(INTERVAL * (start + 1));
        let kinds: Vec<_> = inbox.take(now).iter().map(Unverified::kind).collect();
        let of = |kind| kinds.iter().filter(|taken| **taken == kind).count();
        assert_eq!((of(MessageKind::Status), of(MessageKind::Prepare)), (5, 9));
        assert_eq!(inbox.overflow().limited, 4 * (u64::from(start) + 1));
    }
}

#[test]
fn spec_3_7_a_doubted_connection_is_let_little_through_and_that_last_until_it_is_trusted_again() {
    let solo = Solo::new(4, 1);
    let size = vote(LIAR, &solo).size();
    let mut inbox = Inbox::new(&Tuning { doubted_bytes_max: 3 * size as u32, ..tuning() });
    let begin = Time::default().after(INTERVAL);
    inbox.refused(LIAR, begin);
    for (intervals, most) in [(0, 3), (31, 3), (32, 9)] {
        (0..9).for_each(|_| inbox.push(vote(LIAR, &solo)));
        inbox.push(vote(OTHER, &solo));
        let taken: Vec<_> = inbox.take(begin.after(INTERVAL * intervals)).iter().map(Unverified::link).collect();
        assert_eq!(taken.iter().filter(|link| **link == LIAR).count(), most, "after {intervals} intervals");
        assert_eq!(taken.first() == Some(&OTHER), most == 3, "those of others first");
    }
}

#[test]
fn spec_3_7_a_clock_that_goes_back_begins_a_new_interval() {
    let solo = Solo::new(4, 1);
    let mut inbox = Inbox::new(&Tuning { link_repairs_max: 5, ..tuning() });
    for now in [Time(3_600_000_000), Time(1_000_000)] {
        (0..9).for_each(|_| inbox.push(status(OTHER, &solo)));
        assert_eq!(taken(&mut inbox, now), (0, 5), "or nothing would be heard for an hour");
    }
    (0..9).for_each(|_| inbox.push(status(OTHER, &solo)));
    assert_eq!(taken(&mut inbox, Time(1_000_001)), (0, 0));
}

#[test]
fn spec_3_7_what_comes_of_doubted_connections_is_verified_last_and_apart() {
    let solo = Solo::new(4, 1);
    let mut inbox = Inbox::new(&tuning());
    inbox.refused(LIAR, Time(0));
    let mut needed: VecDeque<Unverified> = [OTHER, LIAR, OTHER, PeerLink(3)].map(|link| vote(link, &solo)).into();
    let mut next = || -> Vec<PeerLink> { inbox.portion(&mut needed, 1, Time(0)).iter().map(Unverified::link).collect() };
    assert_eq!([next(), next(), next()], [vec![OTHER, OTHER, PeerLink(3)], vec![LIAR], vec![]]);
}

#[test]
fn spec_3_7_a_portion_has_little_of_one_connection_and_as_much_as_threads_verify_at_once() {
    let solo = Solo::new(4, 1);
    let inbox = Inbox::new(&tuning());
    let operation = 16 * 1024;
    // 64 of each of 16 connections: of each 8 make 128 KiB, and of all 32 make 512.
    let load = || -> VecDeque<Unverified> { (0..1024).map(|place| request(PeerLink(place / 64), &solo, operation)).collect() };
    for (threads, most) in [(0, 32), (1, 32), (3, 96), (1000, 128)] {
        let mut needed = load();
        let portion = inbox.portion(&mut needed, threads, Time(0));
        assert!(portion.len() <= most && portion.len() + 4 >= most, "{threads} threads: {}", portion.len());
        let of = |link| portion.iter().filter(|unverified| unverified.link() == link).count();
        assert!((0..16).all(|link| of(PeerLink(link)) <= 8), "{threads} threads");
        assert_eq!(portion.len() + needed.len(), 1024, "what is not in it waits on");
    }
    let mut needed = load();
    let portions = std::iter::from_fn(|| Some(inbox.portion(&mut needed, 4, Time(0))).filter(|portion| !portion.is_empty()));
    assert_eq!(portions.map(|portion| portion.len()).sum::<usize>(), 1024, "all have their turn");
}

#[test]
fn spec_3_7_a_connection_is_caught_once_for_as_long_as_it_is_doubted() {
    let mut inbox = Inbox::new(&tuning());
    assert!(inbox.refused(LIAR, Time(0)) && !inbox.refused(LIAR, Time(0)));
    let later = Time(0).after(INTERVAL * 32);
    assert!(inbox.refused(LIAR, later) && inbox.refused(OTHER, later) && !inbox.refused(LIAR, later));
}
