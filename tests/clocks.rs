//! Clocks that are skewed, jump, stop, or run at half or double speed: they cost patience at most, never agreement. (SPEC 1.1, T1)

use logothete::sim::prng::Prng;
use logothete::sim::{Net, builder};
use logothete::{Event, Tuning, View};
use std::time::Duration;

const ALL: [usize; 4] = [0, 1, 2, 3];
const TIMEOUT: Duration = Duration::from_millis(100);

fn net(seed: u64) -> Net {
    Net::tuned(builder(4, 2).with_keyed_hash().build().expect("a valid cluster"), seed, Tuning::from_timeout(TIMEOUT))
}

fn view(net: &Net, at: usize) -> View {
    net.hosts[at].replica.standing().view
}

#[test]
fn t1_clocks_at_half_and_double_speed_and_a_day_apart_replace_no_primary() {
    let mut net = net(1);
    net.jump_clock(0, 86_400_000_000);
    net.pace_clock(1, (1, 2));
    net.pace_clock(2, (2, 1));
    net.jump_clock(3, -500_000);
    for order in 0..40_u8 {
        net.submit(usize::from(order % 2), &[order]);
        net.run_for(TIMEOUT / 4);
    }
    net.settle(TIMEOUT * 4, &ALL);
    assert_eq!(ALL.map(|at| view(&net, at).get()), [0; 4]);
}

#[test]
fn t1_a_silent_primary_is_replaced_by_replicas_at_half_and_double_speed() {
    let mut net = net(2);
    net.pace_clock(1, (1, 2));
    net.pace_clock(3, (2, 1));
    net.down.insert(0);
    net.submit_to(0, b"order", &[1, 2, 3]);
    net.settle(TIMEOUT * 8, &[1, 2, 3]);
    assert!(view(&net, 1).get() >= 1);
    assert!(net.count_events(3, |event| matches!(event, Event::Wished { .. })) > 0);
}

#[test]
fn t1_who_has_a_stopped_clock_loses_no_patience_and_joins_those_who_do() {
    let mut net = net(3);
    net.pace_clock(1, (0, 1));
    net.down.insert(0);
    net.submit_to(0, b"order", &[1, 2, 3]);
    // The primary of view 1 is the one whose clock stands still.
    net.settle(TIMEOUT * 8, &[1, 2, 3]);
    assert_eq!(view(&net, 1), View::new(1));
    let own = |event: &Event| matches!(event, Event::Wished { why, .. } if why.contains("overdue"));
    assert_eq!(net.count_events(1, own), 0);
}

#[test]
fn t1_where_all_clocks_stand_still_orders_are_executed_and_no_view_is_left() {
    let mut net = net(4);
    ALL.iter().for_each(|at| net.pace_clock(*at, (0, 1)));
    for order in 0..20_u8 {
        net.submit(0, &[order]);
        net.run_for(TIMEOUT * 10);
    }
    assert!(net.all_executed(&ALL), "the normal case needs no clock");
    net.down.insert(0);
    net.submit_to(1, b"more", &[1, 2, 3]);
    net.run_for(TIMEOUT * 1000);
    assert!(!net.all_executed(&[1, 2, 3]), "and without one nobody is replaced");
    ALL.iter().for_each(|at| net.pace_clock(*at, (1, 1)));
    net.settle(TIMEOUT * 20, &[1, 2, 3]);
}

/// Forth and back by up to ten timeouts, stopped, started, slowed and hurried, on all hosts at once and beside lost messages and a primary that is away now and then.
#[test]
fn t1_clocks_that_jump_stop_and_change_their_speed_break_nothing_and_delay_until_they_are_right_again() {
    for seed in 0..25 {
        let (mut net, mut dice) = (net(seed), Prng::new(seed));
        net.loss = dice.between(0, 20);
        for order in 0..60_u8 {
            let at = dice.between(0, 3) as usize;
            match dice.between(0, 4) {
                0 => net.jump_clock(at, dice.between(0, 1_000_000) as i64),
                1 => net.jump_clock(at, -(dice.between(0, 1_000_000) as i64)),
                2 => net.pace_clock(at, (0, 1)),
                3 => net.pace_clock(at, (dice.between(1, 20), dice.between(1, 20))),
                _ => net.pace_clock(at, (1, 1)),
            }
            net.down.clear();
            if dice.percent(30) {
                net.down.insert(dice.between(0, 3) as usize);
            }
            net.submit_to(usize::from(order % 2), &[order], &[dice.between(0, 3) as usize]);
            net.run_for(Duration::from_millis(dice.between(0, 60)));
        }
        net.down.clear();
        net.loss = 0;
        ALL.iter().for_each(|at| net.pace_clock(*at, (1, 1)));
        // A clock that was set back stands still for its replica until it shows again what it has shown: half a minute at most here, and with patience for some views.
        net.settle(Duration::from_secs(120), &ALL);
        net.oracle.claims.check(net.cluster.quorum() as usize);
    }
}

#[test]
fn configuration_timeouts_of_zero_and_of_for_ever_harm_nobody_else() {
    for (zero, patience) in [(true, Duration::ZERO), (false, Duration::MAX)] {
        let mut net = net(6);
        let usual = net.tuning.clone();
        net.tuning = Tuning { backoff_max: u32::MAX, pace_factor: u32::MAX, ..Tuning::from_timeout(patience) };
        net.crash(2);
        net.restart(2, logothete::Start::Recovering).expect("starts");
        net.tuning = usual;
        for order in 0..4_u8 {
            net.submit(0, &[order]);
            net.run_for(Duration::from_millis(2));
        }
        net.settle(TIMEOUT, &ALL);
        let wished = net.count_events(2, |event| matches!(event, Event::Wished { .. }));
        assert!(zero || wished == 0, "{wished} wishes");
        assert_eq!([0, 1, 3].map(|at| view(&net, at).get()), [0; 3], "one impatient replica moves nobody");
    }
}
