//! S2: which replica the client takes for the primary.

use crate::{Host, ignored, number};
use logothete::{ClientEvent, ClientIgnored, Recipients, ReplicaId, View};

#[test]
fn s2_f_liars_do_not_move_the_primary_and_f_plus_one_do() {
    let mut host = Host::new(7);
    let _ = host.submit(b"op");
    let request = host.request(1, b"op");
    let leaves = [(request, &b"r"[..])];
    // Two liars, also in late replies, again and again higher.
    for hint in [40, u64::MAX] {
        for liar in [0, 1] {
            let reply = host.reply_of(liar, hint, 1, &leaves, 0);
            let _ = host.deliver(&reply);
        }
    }
    let honest = host.reply_of(2, 3, 1, &leaves, 0);
    let _ = host.deliver(&honest);
    assert_eq!(host.completions().len(), 1);
    assert_eq!(host.client.primary(), ReplicaId::new(3), "the third largest hint is a correct replica's");
    assert_eq!(host.events(), [ClientEvent::PrimaryLearned { view: View::new(3), primary: ReplicaId::new(3) }]);
    // The next request goes there at once.
    let _ = host.submit(b"op");
    assert_eq!(host.sent()[0].0, Recipients::Replica(ReplicaId::new(3)));
    // Views never go back, and one more correct replica brings it on.
    for (replica, hint, primary) in [(3, 1, 3), (4, 5, 5)] {
        let reply = host.reply_of(replica, hint, 1, &leaves, 0);
        let _ = host.deliver(&reply);
        assert_eq!(host.client.primary(), ReplicaId::new(primary));
    }
}

#[test]
fn s2_a_fast_liar_cannot_hide_the_new_primary() {
    let mut host = Host::new(4);
    for count in 1..=2 {
        let _ = host.submit(b"op");
        let leaves = [(host.request(count, b"op"), &b"r"[..])];
        // Replica 3 is first each time and says view 0; replica 1 completes the request; replica 2 comes late.
        for (replica, hint) in [(3, 0), (1, 1), (2, 1)] {
            let reply = host.reply_of(replica, hint, count, &leaves, 0);
            let _ = host.deliver(&reply);
        }
    }
    assert_eq!(host.client.primary(), ReplicaId::new(1));
}

#[test]
fn s2_a_replica_s_older_hint_that_comes_late_takes_nothing_back() {
    let mut host = Host::new(4);
    let _ = host.submit(b"op");
    let leaves = [(host.request(1, b"op"), &b"r"[..])];
    for (replica, hint, primary) in [(1, 6, 0), (1, 1, 0), (2, 7, 2)] {
        let reply = host.reply_of(replica, hint, 1, &leaves, 0);
        let _ = host.deliver(&reply);
        assert_eq!(host.client.primary(), ReplicaId::new(primary));
    }
}

#[test]
fn s2_hints_in_answers_to_nothing_do_not_count() {
    let mut host = Host::new(4);
    let never_sent = [(host.request(1, b"op"), &b"r"[..])];
    for replica in [1, 2, 3] {
        let reply = host.reply_of(replica, 2, 1, &never_sent, 0);
        assert_eq!(host.deliver(&reply), ignored(ClientIgnored::UnknownNumber(number(1))));
    }
    assert_eq!(host.client.primary(), ReplicaId::new(0));
}
