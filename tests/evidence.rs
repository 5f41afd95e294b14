//! Double statements of each kind, wherever the two halves turn up: found, told once, and provable with the cluster's keys alone. (E, I21)

mod support;

use logothete::sim::forge::Kind::{Commit, Prepare};
use logothete::sim::forge::{ForgedCertificate, ForgedCheckpoint, ForgedStatus, ForgedViewChange};
use logothete::{Digest, Disposition, Event, Evidence, MessageKind, PeerLink, Tuning, Unverified, Why};
use std::time::Duration;
use support::builder;
use support::solo::{Solo, T, at, view};

fn digest(byte: u8) -> Digest {
    Digest::new([byte; 32])
}

fn backup() -> Solo {
    let cluster = builder(4, 2).checkpoint_interval(2).log_window(8).pipeline(4).build().expect("a valid cluster");
    Solo::with(cluster, 2, Tuning::from_timeout(T))
}

fn proofs(solo: &Solo) -> Vec<Evidence> {
    let of = |event: &Event| if let Event::Evidence(evidence) = event { Some(evidence.clone()) } else { None };
    solo.events.iter().filter_map(of).collect()
}

/// Exactly this member is proved to lie: told to all once, and believed by whoever has the cluster's keys.
fn accused(solo: &Solo, culprit: u32, kind: &str) {
    let proofs = proofs(solo);
    let [proof] = &proofs[..] else { panic!("{kind}: {proofs:?}") };
    assert_eq!(proof.culprit().get(), culprit, "{kind}");
    assert!(proof.to_string().contains(kind), "{kind}: {proof}");
    let told: Vec<_> = solo.sent.iter().filter(|envelope| envelope.kind() == MessageKind::Evidence).collect();
    assert_eq!(told.len(), 1, "{kind}: told once, to all");
    assert_eq!(told[0].to(), logothete::Recipients::AllReplicas);
    let read = Evidence::decode(&proof.encode()).expect("a file");
    read.verify(&solo.cluster).expect("stands alone");
    let other = builder(5, 1).build().expect("a valid cluster");
    assert!(read.verify(&other).is_err(), "{kind}: of this cluster only");
}

fn claims(solo: &Solo, to: u64, by: &[(usize, Option<&ForgedCertificate>)]) -> Vec<ForgedViewChange> {
    by.iter().map(|(member, claim)| solo.forge.view_change(solo.as_traitor(*member), view(to), *claim)).collect()
}

#[test]
fn e_a_vote_against_a_certificate_that_its_member_signed_is_proof() {
    for kind in [Prepare, Commit] {
        let mut solo = backup();
        solo.vote(3, kind, 0, (at(1), digest(1)));
        let certificate = solo.certificate(&[0, 1, 3], kind, 0, (at(1), digest(2)));
        solo.feed_certificate(&certificate);
        accused(&solo, 3, if kind == Prepare { "Prepare(" } else { "Commit(" });
    }
}

#[test]
fn e_votes_in_a_status_are_compared() {
    for kind in [Prepare, Commit] {
        let mut solo = backup();
        solo.vote(3, kind, 0, (at(1), digest(1)));
        let position = Some((at(1), digest(2)));
        let votes = if kind == Prepare { [position, None] } else { [None, position] };
        let bytes = solo.forge.status_of(solo.as_traitor(3), &ForgedStatus { ordinal: 1, votes, ..ForgedStatus::default() });
        solo.feed(&bytes);
        accused(&solo, 3, if kind == Prepare { "Prepare(" } else { "Commit(" });
    }
    let mut solo = backup();
    let checkpoint = |state| ForgedCheckpoint { position: (at(2), digest(1)), state: digest(state) };
    let bytes = solo.forge.checkpoint(solo.as_traitor(3), checkpoint(1));
    solo.feed(&bytes);
    let status = ForgedStatus { ordinal: 1, checkpoint: Some(checkpoint(2)), ..ForgedStatus::default() };
    let bytes = solo.forge.status_of(solo.as_traitor(3), &status);
    solo.feed(&bytes);
    accused(&solo, 3, "Checkpoint(");
    let mut solo = backup();
    let certificate = solo.certificate(&[0, 1, 3], Prepare, 0, (at(1), digest(1)));
    let two = claims(&solo, 4, &[(3, None), (3, Some(&certificate))]);
    for (ordinal, view_change) in (1..).zip(&two) {
        let status = ForgedStatus { ordinal, view_change: Some(view_change), view: view(4), waits: true, ..ForgedStatus::default() };
        let bytes = solo.forge.status_of(solo.as_traitor(3), &status);
        solo.feed(&bytes);
    }
    accused(&solo, 3, "ViewChange(");
}

#[test]
fn e_checkpoints_are_compared_with_the_certificate_before_and_after_it() {
    for is_late in [false, true] {
        let mut solo = backup();
        let checkpoint = |state| ForgedCheckpoint { position: (at(2), digest(1)), state: digest(state) };
        let stable = solo.forge.stable(&solo.members(&[0, 1, 3]), checkpoint(1));
        let bytes = [solo.forge.checkpoint(solo.as_traitor(3), checkpoint(2)), solo.forge.stable_message(&stable)];
        let order = if is_late { [1, 0] } else { [0, 1] };
        for index in order {
            let unverified = Unverified::decode(PeerLink(0), &bytes[index], solo.cluster.limits()).expect("decodes");
            assert_eq!(solo.replica.screen().admit(&unverified), Ok(()), "the screen lets proofs in");
            solo.feed(&bytes[index]);
        }
        accused(&solo, 3, "Checkpoint(");
        let known = Unverified::decode(PeerLink(0), &bytes[0], solo.cluster.limits()).expect("decodes");
        assert!(solo.replica.screen().admit(&known).is_err(), "the first proof suffices");
    }
}

#[test]
fn e_view_changes_are_compared_with_those_in_a_new_view() {
    for is_late in [false, true] {
        let mut solo = backup();
        let certificate = solo.certificate(&[0, 1, 3], Prepare, 0, (at(1), digest(1)));
        let told = claims(&solo, 1, &[(3, Some(&certificate))]);
        let told = solo.forge.view_change_message(&told[0]);
        let new_view = solo.forge.new_view(&solo.keys[1], view(1), &claims(&solo, 1, &[(0, None), (1, None), (3, None)]), None);
        for bytes in if is_late { [&new_view, &told] } else { [&told, &new_view] } {
            solo.feed(bytes);
        }
        assert_eq!(solo.replica.status().view, view(1));
        accused(&solo, 3, "ViewChange(");
    }
}

#[test]
fn e_a_new_view_that_came_second_is_compared_also_where_the_view_was_entered_by_a_certificate() {
    for comes_from_another in [false, true] {
        let mut solo = backup();
        let genesis = solo.genesis();
        if comes_from_another {
            // That one it has entered by a new view.
            let earlier = solo.forge.new_view(&solo.keys[0], view(4), &claims(&solo, 4, &[(0, None), (1, None), (3, None)]), None);
            assert_eq!(solo.feed(&earlier), Disposition::Applied);
        }
        let certificate = solo.certificate(&[0, 1, 3], Prepare, 0, (at(1), digest(1)));
        let entry = solo.certificate(&[0, 1, 3], Prepare, 5, genesis);
        solo.feed_certificate(&entry);
        let low = solo.forge.new_view(&solo.keys[1], view(5), &claims(&solo, 5, &[(0, None), (1, None), (2, None)]), None);
        let high = solo.forge.new_view(&solo.keys[1], view(5), &claims(&solo, 5, &[(0, None), (1, None), (3, Some(&certificate))]), None);
        assert_eq!(solo.feed(&low), Disposition::Buffered);
        assert!(proofs(&solo).is_empty());
        assert_eq!(solo.feed(&high), Disposition::Ignored(Why::Contradiction));
        accused(&solo, 1, "NewView(");
        assert_eq!(solo.replica.status().wish, view(6), "V1: its primary is to go at once");
    }
}

#[test]
fn e_a_vote_below_the_base_leads_to_the_primarys_other_new_view() {
    let mut solo = backup();
    let genesis = solo.genesis();
    let block = solo.block(1, genesis.1, 1);
    let certificate = solo.certificate(&[0, 1, 3], Prepare, 0, (at(1), block.digest()));
    let low = solo.forge.new_view(&solo.keys[1], view(1), &claims(&solo, 1, &[(0, None), (1, None), (2, None)]), None);
    let high = solo.forge.new_view(&solo.keys[1], view(1), &claims(&solo, 1, &[(0, None), (1, None), (3, Some(&certificate))]), None);
    solo.feed(&high);
    solo.words();
    // Replica 0 was given the other one, and votes for where that starts.
    solo.vote(0, Prepare, 1, genesis);
    let words = solo.words();
    assert!(words.iter().any(|words| words.starts_with("to R0: Fetch by R2 proposal v1 n0")), "{words:?}");
    assert_eq!(solo.feed(&low), Disposition::Ignored(Why::Contradiction));
    accused(&solo, 1, "NewView(");
    // And it answers such a question itself.
    let mut other = backup();
    other.feed(&low);
    other.words();
    let question = other.forge.fetch_proposal(other.as_traitor(3), 1, view(1), genesis);
    other.feed(&question);
    assert!(other.words().iter().any(|words| words.starts_with("to R3: NewView v1")));
}

#[test]
fn e_the_screen_drops_no_vote_that_proves_something() {
    let mut solo = backup();
    solo.vote(3, Prepare, 0, (at(1), digest(1)));
    for member in [0, 1] {
        solo.vote(member, Prepare, 0, (at(1), digest(2)));
    }
    let certificate = solo.certificate(&[0, 1, 2], Prepare, 0, (at(1), digest(2)));
    solo.feed_certificate(&certificate);
    // A quorum for it is held, so as a vote this one is not needed.
    let bytes = solo.forge.vote(solo.as_traitor(3), Prepare, view(0), (at(1), digest(2)));
    let unverified = || Unverified::decode(PeerLink(0), &bytes, solo.cluster.limits()).expect("decodes");
    assert_eq!(solo.replica.screen().admit(&unverified()), Ok(()));
    assert_eq!(solo.replica.screen().triage(vec![unverified()]).needed.len(), 1);
    solo.feed(&bytes);
    accused(&solo, 3, "Prepare(");
    let again = Unverified::decode(PeerLink(0), &bytes, solo.cluster.limits()).expect("decodes");
    assert!(solo.replica.screen().admit(&again).is_err(), "more proof is of no use");
}

#[test]
fn e_a_view_change_with_another_certificate_attached_is_the_same_statement() {
    let mut solo = backup();
    let position = (at(1), digest(1));
    let certificates = [solo.certificate(&[0, 1, 3], Prepare, 0, position), solo.certificate(&[0, 1, 2], Commit, 0, position)];
    for certificate in &certificates {
        let view_change = solo.forge.view_change(solo.as_traitor(3), view(4), Some(certificate));
        let bytes = solo.forge.view_change_message(&view_change);
        solo.feed(&bytes);
    }
    assert!(proofs(&solo).is_empty());
}

#[test]
fn e_who_has_not_heard_of_proof_against_the_primary_is_told_upon_its_status() {
    let mut solo = backup();
    for byte in [1, 2] {
        solo.vote(0, Prepare, 0, (at(1), digest(byte)));
    }
    accused(&solo, 0, "Prepare(");
    let told = |solo: &mut Solo, from: usize, want: u64, ordinal: u64| {
        solo.sent.clear();
        let status = ForgedStatus { ordinal, want: view(want), head: solo.genesis(), ..ForgedStatus::default() };
        let bytes = solo.forge.status_of(solo.as_traitor(from), &status);
        solo.feed(&bytes);
        solo.sent.iter().filter(|envelope| envelope.kind() == MessageKind::Evidence).count()
    };
    assert_eq!(told(&mut solo, 3, 0, 1), 1);
    assert_eq!(told(&mut solo, 3, 0, 1), 0, "not for a status replayed");
    assert_eq!(told(&mut solo, 3, 1, 2), 0, "who wishes already needs no reason");
    assert_eq!(told(&mut solo, 0, 0, 1), 0, "nor does the primary itself");
}

#[test]
fn e_proof_that_others_found_is_passed_on_once_whatever_it_is_of() {
    let mut solo = backup();
    for (byte, disposition) in
        [(1, Disposition::Applied), (1, Disposition::Ignored(Why::Duplicate)), (3, Disposition::Ignored(Why::Duplicate))]
    {
        let evidence = solo.forge.evidence(solo.as_traitor(3), Prepare, view(0), (at(1), digest(byte)), (at(1), digest(2)));
        let bytes = solo.forge.evidence_message(&evidence);
        assert_eq!(solo.feed(&bytes), disposition);
    }
    accused(&solo, 3, "Prepare(");
}

#[test]
fn e_nobody_is_asked_for_more_proof_against_a_primary() {
    for is_proved in [false, true] {
        let mut solo = backup();
        solo.vote(0, Prepare, 0, (at(1), digest(1)));
        if is_proved {
            solo.vote(0, Prepare, 0, (at(1), digest(2)));
        }
        solo.words();
        solo.vote(3, Prepare, 0, (at(1), digest(3)));
        let asked = solo.words().iter().filter(|words| words.contains("Fetch by R2 proposal")).count();
        assert_eq!(asked, usize::from(!is_proved));
    }
}

#[test]
fn e_an_own_checkpoint_vote_of_which_nothing_is_known_any_more_is_no_lie() {
    let mut solo = backup();
    let position = (at(solo.cluster.checkpoint_interval()), digest(1));
    let bytes = solo.forge.checkpoint(solo.as_traitor(2), ForgedCheckpoint { position, state: digest(2) });
    solo.feed(&bytes);
    assert!(!solo.events.iter().any(|event| matches!(event, Event::Impersonated { .. })));
}

#[test]
fn e_an_own_checkpoint_vote_on_another_state_is_reported_and_the_same_one_is_not() {
    for (other, reported) in [(true, 1), (false, 0)] {
        let mut solo = backup();
        for block in solo.blocks(2) {
            let certificate = solo.certificate(&[0, 1, 3], Commit, 0, (block.sequence_number(), block.digest()));
            let chain = solo.forge.chain(Some(&certificate), &[block]);
            solo.feed(&chain);
        }
        let manifest = solo.take_checkpoint(b"the state").expect("ordered");
        let mut checkpoint = solo.forge.checkpoint_of(&manifest);
        if other {
            checkpoint.state = digest(9);
        }
        let bytes = solo.forge.checkpoint(solo.as_traitor(2), checkpoint);
        assert_eq!(solo.feed(&bytes), Disposition::Ignored(Why::NotMine));
        assert_eq!(solo.events.iter().filter(|event| matches!(event, Event::Impersonated { .. })).count(), reported);
    }
}

#[test]
fn e_an_own_vote_or_view_change_that_comes_back_is_no_lie_when_it_is_not_known_any_more() {
    let mut solo = backup();
    let bytes = solo.forge.vote(solo.as_traitor(2), Prepare, view(0), (at(1), digest(1)));
    assert_eq!(solo.feed(&bytes), Disposition::Ignored(Why::NotMine));
    let change = solo.forge.view_change(solo.as_traitor(2), view(3), None);
    let bytes = solo.forge.view_change_message(&change);
    assert_eq!(solo.feed(&bytes), Disposition::Ignored(Why::NotMine));
    assert!(!solo.events.iter().any(|event| matches!(event, Event::Impersonated { .. })));
    assert_eq!(solo.replica.status().wish, view(0), "nor does it wish for what another says in its name");
}

#[test]
fn e_what_comes_under_the_own_name_is_reported_and_the_key_counts_as_one_that_lies() {
    let mut solo = backup();
    let block = solo.block(1, solo.genesis().1, 1);
    solo.propose(0, &block);
    let bytes = solo.forge.vote(solo.as_traitor(2), Prepare, view(0), (at(1), digest(9)));
    let unverified = Unverified::decode(PeerLink(0), &bytes, solo.cluster.limits()).expect("decodes");
    assert_eq!(solo.replica.screen().admit(&unverified), Ok(()));
    solo.feed(&bytes);
    assert_eq!(solo.events.iter().filter(|event| matches!(event, Event::Impersonated { .. })).count(), 1);
    let same = solo.forge.vote(solo.as_traitor(2), Prepare, view(0), (at(1), block.digest()));
    let same = Unverified::decode(PeerLink(0), &same, solo.cluster.limits()).expect("decodes");
    assert!(solo.replica.screen().admit(&same).is_err(), "its own words come back to it: nothing new");
}

#[test]
fn e_another_view_change_under_the_own_name_is_reported_and_the_own_one_is_not() {
    let mut solo = backup();
    let impersonated = |solo: &Solo| solo.events.iter().filter(|event| matches!(event, Event::Impersonated { .. })).count();
    solo.wants(&[0, 1, 3], 3);
    assert_eq!((solo.replica.status().view, solo.replica.status().normal), (view(3), false));
    let own = solo.forge.view_change(solo.as_traitor(2), view(3), None);
    let certificate = solo.certificate(&[0, 1, 3], Prepare, 0, (at(1), digest(1)));
    let other = solo.forge.view_change(solo.as_traitor(2), view(3), Some(&certificate));
    for (view_change, times) in [(own, 0), (other, 1)] {
        let bytes = solo.forge.view_change_message(&view_change);
        assert_eq!(solo.feed(&bytes), Disposition::Ignored(Why::NotMine));
        assert_eq!(impersonated(&solo), times);
    }
}

#[test]
fn v1_a_primary_that_is_proved_to_lie_is_gone_before_any_timeout() {
    let mut net = support::Net::new(4, 1, 41);
    let key = support::replica_key(0);
    let zero = logothete::ReplicaId::new(0);
    for (replica, byte) in [(1, 1), (2, 2), (3, 1), (1, 2)] {
        let bytes = net.forge.vote((zero, &key), Prepare, view(0), (at(1), digest(byte)));
        net.post(Some(0), replica, bytes);
    }
    net.twists.insert(0, Box::new(|_, _| Vec::new()));
    net.run_for(Duration::from_millis(50));
    assert!((1..4).all(|index| net.hosts[index].replica.status().view > view(0)), "{}", net.describe());
}
