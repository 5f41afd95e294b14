//! D1: what most replicas have executed somebody can still give to one that lags, whoever has crashed meanwhile.

mod support;

use logothete::{SequenceNumber, Start, Tuning};
use std::time::Duration;
use support::{Net, Slowness, builder};

const LONG: Duration = Duration::from_secs(120);
const LAGGARD: usize = 5;

fn cut(net: &mut Net, at: usize) {
    for other in 0..7 {
        net.cut.extend([(at, other), (other, at)]);
    }
}

fn mend(net: &mut Net, at: usize) {
    net.cut.retain(|(one, other)| (*one != at && *other != at) || *one == LAGGARD || *other == LAGGARD);
}

/// One after the other lags behind a decision, is given it as a chain, executes it for good, and crashes or not.
fn executed_by_most(crashes: bool) -> Net {
    let cluster = builder(7, 1).checkpoint_interval(2).log_window(8).pipeline(4).build().expect("a valid cluster");
    let mut net = Net::tuned(cluster, 1, Tuning::from_timeout(Duration::from_millis(200)));
    // No checkpoint becomes stable: the services of two take their time.
    for slow in [0, 6] {
        net.slow_at.insert(slow, Slowness { service: (1_000_000_000_000, 1_000_000_000_001), ..Slowness::default() });
    }
    cut(&mut net, LAGGARD);
    for (position, lags) in [(1, None), (2, Some(1)), (3, None), (4, Some(2)), (5, None), (6, Some(3)), (7, None), (8, Some(4))] {
        lags.into_iter().for_each(|at| cut(&mut net, at));
        net.submit_to(0, &[position], &[0]);
        let last = SequenceNumber::new(u64::from(position));
        let others: Vec<usize> = [0, 1, 2, 3, 4, 6].into_iter().filter(|at| Some(*at) != lags).collect();
        net.run_until(LONG, "decided", |net| others.iter().all(|at| net.hosts[*at].replica.status().decided >= last));
        let Some(at) = lags else { continue };
        mend(&mut net, at);
        net.run_until(LONG, "caught up", |net| net.hosts[at].replica.status().executed >= last);
        net.run_for(Duration::from_millis(20));
        if crashes {
            net.crash(at);
            net.restart(at, Start::Recovering).expect("recovers");
        }
    }
    net
}

#[test]
fn d1_what_most_have_executed_is_held_by_somebody_after_any_crashes() {
    for crashes in [false, true] {
        let mut net = executed_by_most(crashes);
        // As many as may be faulty fall silent, and the one that lagged all along is needed.
        net.crash(0);
        net.crash(6);
        net.cut.clear();
        net.settle(LONG, &[1, 2, 3, 4, LAGGARD]);
    }
}
