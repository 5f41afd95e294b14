//! Simulations by the million take most of what correct members say as it was said: the same comes of it as where all is read back from its bytes and verified.

use logothete::sim::{Net, Trait, builder};
use logothete::{ClientTuning, Limits, MessageKind, Tuning};
use std::time::Duration;

/// All that correct replicas said.
fn said(reads: u32, traitor: Option<Trait>) -> Vec<(usize, Vec<u8>)> {
    let limits = Limits { batch_bytes_max: 392, operation_bytes_max: 64, ..Limits::default() };
    let cluster =
        builder(4, 2).with_keyed_hash().checkpoint_interval(2).log_window(4).pipeline(4).limits(limits).build().expect("a valid cluster");
    let mut net = Net::tuned(cluster, 17, Tuning { retention: 0, ..Tuning::from_timeout(Duration::from_millis(100)) });
    net.reads = reads;
    net.record = Some(Vec::new());
    net.loss = 5;
    traitor.into_iter().for_each(|treason| net.betray(0, treason));
    net.enlist(1, ClientTuning { retransmit_timeout: Duration::from_millis(100), ..ClientTuning::default() });
    for order in 0..40_u8 {
        // One that is away for so long that it needs the state: its manifest and its parts are said as well.
        net.down = (10..30).contains(&order).then_some(3).into_iter().collect();
        net.submit(0, &[order]);
        net.ask(1, &[order]);
        net.run_for(Duration::from_millis(50));
    }
    net.loss = 0;
    net.run_until(Duration::from_secs(600), "all answers", |net| net.all_answered());
    net.settle(Duration::from_secs(600), &net.loyal());
    assert!(traitor.is_some() || net.sent_kinds.contains_key(&MessageKind::Chunk), "no state was fetched");
    net.record.take().unwrap_or_default()
}

#[test]
fn what_is_taken_as_it_was_said_is_what_is_read_of_its_bytes() {
    for traitor in [None, Some(Trait::Flooder), Some(Trait::Equivocator), Some(Trait::Garbage), Some(Trait::Forger), Some(Trait::Twin)] {
        let all = said(1, traitor);
        for reads in [2, 8, u32::MAX] {
            assert!(said(reads, traitor) == all, "beside {traitor:?} another run where one of {reads} messages is read");
        }
    }
}
