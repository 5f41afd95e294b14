//! What goes wrong beside network, disks and traitors: each kind of it does what it says, and the others get over it. (I1, I14, I20, I21)

use logothete::sim::mischief::{Mischief, Prank};
use logothete::sim::storm::Storm;
use logothete::sim::{Net, Slowness, Trait, builder, client_key};
use logothete::{Event, Limits, MessageKind, Tuning};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_millis(100);
const TWO_FACED: usize = 2;

struct Run {
    net: Net,
    storm: Storm,
    mischief: Mischief,
}

impl Run {
    fn new(prank: Prank, traitor: Option<usize>, seed: u64) -> Self {
        let limits = Limits { batch_requests_max: 2, operation_bytes_max: 64, batch_bytes_max: 392, ..Limits::default() };
        let of = |interval| {
            builder(4, 3).limits(limits.clone()).checkpoint_interval(interval).log_window(2 * interval).pipeline(2).with_keyed_hash()
        };
        let mut net = Net::tuned(of(4).build().expect("a valid cluster"), seed, Tuning { retention: 0, ..Tuning::from_timeout(TIMEOUT) });
        traitor.into_iter().for_each(|at| net.betray(at, Trait::Late));
        let spare = usize::from(traitor.is_none());
        let mut storm = Storm::new(0, spare, 0);
        let mut mischief = Mischief::new(seed, &net, Arc::new(of(16).build().expect("a valid cluster")), TWO_FACED, spare);
        mischief.pranks = BTreeSet::from([prank]);
        mischief.begin(&mut net, &mut storm);
        Self { net, storm, mischief }
    }

    fn orders(&mut self, count: u8) {
        for order in 0..count {
            self.net.submit_to(usize::from(order % 2), &[order; 48], &[0, 1, 2, 3]);
            self.net.run_for(TIMEOUT / 10);
            self.mischief.act(&mut self.net, &mut self.storm);
        }
    }

    /// All is well again, and was all the time for those who look.
    fn end(mut self) -> Net {
        self.mischief.end(&mut self.net);
        self.storm.end(&mut self.net, &mut logothete::sim::prng::Prng::new(1));
        let loyal = self.net.loyal();
        self.net.submit(0, b"the last");
        self.net.settle(TIMEOUT * 600, &loyal);
        let well =
            |net: &Net| loyal.iter().map(|at| net.hosts[*at].replica.standing()).all(|standing| !standing.diverged && !standing.rejoining);
        self.net.run_until(TIMEOUT * 600, "all take part", well);
        self.net.oracle.check();
        self.net
    }
}

fn sent(net: &Net, kind: MessageKind) -> u64 {
    net.sent_kinds.get(&kind).map_or(0, |(count, _)| *count)
}

#[test]
fn i20_a_traitor_that_tells_of_losses_all_day_is_answered_and_outlived() {
    let mut run = Run::new(Prank::Losses, Some(3), 1);
    run.orders(40);
    let net = run.end();
    assert!(sent(&net, MessageKind::Welcome) > 0, "nobody heard of a loss");
}

#[test]
fn i1_of_two_operations_under_one_number_all_replicas_execute_the_same_one() {
    let mut run = Run::new(Prank::TwoFaced, Some(0), 2);
    run.orders(40);
    let net = run.end();
    let client = client_key(TWO_FACED).verifying_key().to_bytes();
    let said = |at: usize| net.hosts[at].executed().iter().filter(|done| *done.client.as_bytes() == client).cloned().collect::<Vec<_>>();
    let first = said(1);
    assert!([b"aye", b"nay"].iter().all(|word| first.iter().any(|done| done.operation == *word)), "{first:?}");
    assert!([2, 3].iter().all(|at| said(*at) == first));
    assert!(first.windows(2).all(|pair| pair[0].number < pair[1].number), "a number twice");
}

#[test]
fn i21_what_the_same_members_say_in_another_cluster_is_refused_and_proves_nothing() {
    let mut run = Run::new(Prank::Stranger, None, 3);
    run.orders(40);
    let net = run.end();
    assert!(net.hosts.iter().all(|host| host.refused > 0), "nothing came");
    assert!(net.hosts.iter().all(|host| host.replica.status().view.get() == 0 && host.replica.status().wish.get() == 0));
}

#[test]
fn i20_one_that_is_far_away_is_no_reason_to_stand_still() {
    let mut run = Run::new(Prank::Far, None, 4);
    assert_eq!(run.net.lag.len(), 1);
    run.orders(40);
    let far = run.net.lag.values().copied().max();
    assert!(far > Some(1_000), "{far:?}");
    assert!(run.end().lag.is_empty());
}

#[test]
fn i14_a_service_that_differs_for_a_while_is_repaired_also_beside_crashes() {
    for seed in 0..8 {
        let mut run = Run::new(Prank::Flaw, None, seed);
        run.storm.violence = if seed % 2 == 0 { 0 } else { 20 };
        let odd = run.storm.odd.first().copied().expect("one of them");
        for _ in 0..10 {
            run.orders(4);
            run.storm.blow(&mut run.net, &mut logothete::sim::prng::Prng::new(seed));
        }
        let net = run.end();
        assert!(net.count_events(odd, |event| matches!(event, Event::Diverged { .. })) > 0, "seed {seed}: nobody noticed");
        assert!(net.hosts[odd].app.service().quirk.is_empty(), "seed {seed}: it is still wrong");
    }
}

#[test]
fn i20_a_log_lost_while_a_state_is_fetched_is_a_loss_like_others() {
    let mut run = Run::new(Prank::Relapse, None, 6);
    run.net.down = [3].into();
    run.orders(24);
    run.net.down.clear();
    // So slow that it is seen fetching.
    run.net.slow = Slowness { service: (2_000, 2_000), ..Slowness::default() };
    run.orders(24);
    run.net.slow = Slowness::default();
    assert!(run.storm.losses > 0, "no log was lost");
    run.end();
}
