//! Networks on which patience has to grow, although something is quick: nobody who waits is left waiting for ever. (T1, I20)

mod support;

use logothete::sim::forge::{ForgedStatus, Seen};
use logothete::{Limits, MessageKind, ReplicaId, Tuning, View};
use std::time::Duration;
use support::{Net, client_key, replica_key};

const T: Duration = Duration::from_millis(800);
const LIMIT: Duration = Duration::from_secs(1200);

fn executed(net: &Net, at: usize, operation: &[u8]) -> bool {
    net.hosts[at].executed().iter().any(|done| done.operation == operation)
}

fn executed_of(net: &Net, at: usize, client: usize) -> usize {
    let key = client_key(client).verifying_key().to_bytes();
    net.hosts[at].executed().iter().filter(|done| *done.client.as_bytes() == key).count()
}

/// All are honest. Three clients' orders are short, and take a moment. One's is long, takes four times T from one replica to another, and is proposed behind those in each view.
#[test]
fn t1_a_long_order_behind_short_ones_is_decided() {
    let limits = Limits { batch_requests_max: 1, ..Limits::default() };
    let cluster = support::builder(4, 4).limits(limits).pipeline(2).with_keyed_hash().build().expect("a valid cluster");
    let mut net = Net::tuned(cluster, 61, Tuning::from_timeout(T));
    net.retry = LIMIT;
    net.per_kib = 50_000;
    let long = vec![7; 60_000];
    let last = (0..4).max_by_key(|client| client_key(*client).verifying_key().to_bytes()).expect("one of four");
    net.submit_to(last, &long, &[0, 1, 2, 3]);
    let (mut asked, start) = ([0; 4], net.now);
    while !executed(&net, 1, &long) {
        assert!(net.now < start.after(LIMIT), "{}", net.describe());
        for client in (0..4).filter(|client| *client != last) {
            if executed_of(&net, 1, client) >= asked[client] {
                asked[client] += 1;
                net.submit_to(client, b"short", &[0, 1, 2, 3]);
            }
        }
        net.run_for(Duration::from_millis(10));
    }
    assert!(net.now < start.after(Duration::from_secs(60)), "{:?}", net.now.since(start));
}

/// R0 is a traitor. It has no part in what others propose. In its own views, for which the two quickest of the others are enough, it has its own client's orders decided and
/// nobody else's, and it wishes for more all the time. R3 is slow, and the others need it in any other view.
#[test]
fn t1_a_traitor_whose_own_views_are_quick_makes_nobody_impatient() {
    let cluster =
        support::builder(4, 2).checkpoint_interval(4).log_window(16).pipeline(4).with_keyed_hash().build().expect("a valid cluster");
    let mut net = Net::tuned(cluster, 62, Tuning::from_timeout(T));
    net.retry = LIMIT;
    net.lag.insert(3, 8_000_000);
    // All but the traitor know the order that waits, and it is as good as deaf to what is passed on.
    net.mute.insert(MessageKind::Request);
    net.twists.insert(
        0,
        Box::new(|envelope, forge| {
            let bytes = envelope.encode().to_vec();
            let view = match forge.read(&bytes) {
                Ok(Seen::PrePrepare { view, .. } | Seen::Vote { view, .. } | Seen::NewView { view, .. } | Seen::Status { view, .. }) => {
                    view
                }
                Ok(Seen::ViewChange(view_change)) => view_change.view(),
                _ => return Vec::new(),
            };
            if view.get() % 4 == 0 { vec![(envelope.to(), bytes)] } else { Vec::new() }
        }),
    );
    let wish = ForgedStatus { ordinal: 1, want: View::new(u64::MAX / 2), ..ForgedStatus::default() };
    let wish = net.forge.status_of((ReplicaId::new(0), &replica_key(0)), &wish);
    (1..4).for_each(|to| net.post(Some(0), to, wish.clone()));
    let (mut asked, start) = (0, net.now);
    net.submit_to(1, b"starved", &[1, 2, 3]);
    while !executed(&net, 1, b"starved") {
        assert!(net.now < start.after(LIMIT), "{}", net.describe());
        let status = net.hosts[1].replica.status();
        if status.view.get() % 4 == 0 && status.normal && executed_of(&net, 1, 0) >= asked {
            asked += 1;
            net.submit_to(0, b"served", &[0]);
        }
        net.run_for(Duration::from_millis(10));
    }
    assert!(net.now < start.after(Duration::from_secs(300)), "{:?}", net.now.since(start));
}
