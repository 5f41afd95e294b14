//! A replica's life is played again from its tape: the same inputs give the same outputs. (SPEC I19)

use logothete::sim::disk::{Diary, Disk};
use logothete::sim::forge::Forge;
use logothete::sim::{Net, Trait, builder, client_key, replica_key};
use logothete::tape::{Parted, Tape, TapeError, picture};
use logothete::{
    Event, MessageKind, Node, Output, PeerLink, Recipients, ReplicaId, RequestNumber, Snapshots, Start, Time, Tuning, Volatile,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const T: Duration = Duration::from_millis(800);

/// A stormy run: a primary that equivocates, losses, a crash, a log that is lost, checkpoints and a state that is fetched.
fn run() -> Net {
    let cluster = builder(4, 2).checkpoint_interval(4).log_window(8).pipeline(4).with_keyed_hash().build().expect("a good cluster");
    let mut net = Net::taped(cluster, 7, Tuning { retention: 0, rejoin_interval: T, ..Tuning::from_timeout(T) });
    net.betray(0, Trait::Equivocator);
    net.loss = 10;
    for order in 0..10_u32 {
        net.submit(order as usize % 2, &order.to_le_bytes());
        net.run_for(Duration::from_millis(300));
    }
    net.crash(2);
    for order in 10..40_u32 {
        net.submit(order as usize % 2, &order.to_le_bytes());
        net.run_for(Duration::from_millis(100));
    }
    net.loss = 0;
    net.restart(2, Start::Recovering).expect("it starts again");
    net.settle(Duration::from_secs(200), &[1, 2, 3]);
    net
}

fn tapes(net: &Net) -> Vec<Tape> {
    net.tapes().iter().map(|bytes| Tape::read(bytes).expect("a tape")).collect()
}

#[test]
fn i19_every_life_of_every_replica_can_be_played_again() {
    let net = run();
    let tapes = tapes(&net);
    assert_eq!(tapes.iter().map(|tape| tape.replica().get()).collect::<Vec<_>>(), [0, 1, 2, 3, 2]);
    assert_eq!(tapes[4].start(), Start::Recovering);
    let (mut moments, mut decided, mut stable) = (0, 0, 0);
    // The third is of a life that ended in a crash.
    for (tape, last) in tapes.iter().zip([Some(0), Some(1), None, Some(3), Some(2)]) {
        let mut before = None;
        tape.play(|moment| {
            moments += 1;
            assert!(before.is_none_or(|before| before <= moment.at()), "time goes on");
            before = Some(moment.at());
            for output in moment.outputs() {
                decided += usize::from(matches!(output, Output::Event(Event::Decided { .. })));
                stable += usize::from(matches!(output, Output::Event(Event::Stable { .. })));
            }
        })
        .unwrap_or_else(|parted| panic!("{tape:?}: {parted}"));
        // It ends where the simulated replica stands.
        if let Some(replica) = last {
            let mut end = None;
            tape.play(|moment| end = Some(moment.status())).expect("again");
            assert_eq!(end.expect("moments"), net.hosts[replica].replica.status());
        }
    }
    assert!(moments > 500 && decided > 60 && stable > 10, "{moments} {decided} {stable}");
}

#[test]
fn i19_the_same_seed_gives_the_same_tapes_byte_for_byte() {
    assert_eq!(run().tapes(), run().tapes());
}

#[test]
fn i19_a_changed_input_parts_where_it_was_changed() {
    let net = run();
    let bytes = &net.tapes()[1];
    let entries = entries(bytes);
    let whole = Tape::read(bytes).expect("a tape");
    assert_eq!(entries.len(), whole.len() + 1, "and the opening");
    // A message left out, or told a second later: what follows can't be the same for long.
    let mut parted = 0;
    for index in (1..entries.len()).step_by(7) {
        let mut without = entries.clone();
        without.remove(index);
        let tape = Tape::read(&joined(&without)).expect("a tape");
        if let Err(Parted::Outputs { index: at, .. }) = tape.play(|_| ()) {
            assert!(at + 1 >= index, "not before");
            parted += 1;
        }
    }
    assert!(parted > 20, "{parted}");
    // Two inputs that have changed places.
    let mut swapped = entries.clone();
    swapped.swap(3, 9);
    let tape = Tape::read(&joined(&swapped)).expect("a tape");
    assert!(tape.play(|_| ()).is_err());
}

#[test]
fn damaged_tapes_are_refused_or_shorter() {
    let net = run();
    let bytes = &net.tapes()[4];
    assert!(matches!(Tape::read(&bytes[1..]), Err(TapeError::NotATape)));
    assert!(matches!(Tape::read(b""), Err(TapeError::NotATape)));
    let whole = Tape::read(bytes).expect("a tape").len();
    let mut lengths = Vec::new();
    for cut in (0..bytes.len()).step_by(bytes.len() / 50) {
        if let Ok(tape) = Tape::read(&bytes[..cut]) {
            tape.play(|_| ()).expect("up to there it is the same");
            lengths.push(tape.len());
        }
    }
    assert!(lengths.is_sorted() && lengths.len() > 20 && lengths.iter().all(|length| *length < whole));
    for at in (0..bytes.len()).step_by(97) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        // Nothing panics; and what is still a tape is either noticed or the same.
        if let Ok(tape) = Tape::read(&changed) {
            let _ = tape.play(|_| ());
        }
    }
}

#[test]
fn a_picture_has_every_replica_and_the_lies_in_it() {
    let net = run();
    let page = picture("<a run>", &tapes(&net)).expect("played");
    let data = page.split("const data = ").nth(1).expect("the data").split(";\n").next().expect("its end");
    assert!(data.contains(r#""title":"\u003ca run\u003e","size":4"#) && !data.contains('<'), "nothing ends the script");
    for word in ["PrePrepare", "ViewChange", "NewView", "Checkpoint", "recovering from its log", "entered", "decided", "evidence"] {
        assert!(data.contains(word), "{word}");
    }
    // The equivocator's second proposal is on nobody's tape.
    let arrows = data.split("\"arrows\":").nth(1).and_then(|rest| rest.split("\"marks\":").next()).expect("the arrows");
    assert!(arrows.lines().any(|line| line.split(',').nth(8) == Some("1")), "a lie");
    assert!(!page.contains("http://") || page.matches("http://").count() == page.matches("http://www.w3.org/").count());
    assert!(!page.contains("https://") && !page.contains("src="), "it needs nothing else");
}

#[test]
fn a_picture_of_a_long_run_is_no_longer_than_what_is_in_it() {
    let cluster = builder(10, 2).checkpoint_interval(64).log_window(128).with_keyed_hash().build().expect("a good cluster");
    let mut net = Net::taped(cluster, 11, Tuning::from_timeout(T));
    net.betray(0, Trait::Equivocator);
    for order in 0..300_u32 {
        net.submit(order as usize % 2, &order.to_le_bytes());
        net.run_for(Duration::from_millis(40));
    }
    net.crash(4);
    net.restart(4, Start::Recovering).expect("it starts again");
    net.settle(Duration::from_secs(200), &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let page = picture("a long run", &tapes(&net)).expect("played");
    let arrows = page.split("\"arrows\":").nth(1).and_then(|rest| rest.split("\"marks\":").next()).expect("the arrows").lines().count();
    assert!(arrows > 50_000, "{arrows}");
    assert!(page.len() < 130 * arrows, "{} bytes for {arrows} arrows", page.len());
    // For a browser to open: `.ci/run` does.
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/long-run.html"), page).expect("written");
}

#[test]
fn what_was_refused_and_what_nobody_took_in_are_drawn_too() {
    let cluster = builder(4, 2).with_keyed_hash().build().expect("a good cluster");
    let mut net = Net::taped(cluster, 3, Tuning::from_timeout(T));
    net.betray(3, Trait::Impersonator);
    for order in 0..6_u32 {
        net.submit(0, &order.to_le_bytes());
    }
    net.settle(Duration::from_secs(60), &[0, 1, 2]);
    let tapes = tapes(&net);
    let mut refused = 0;
    for tape in &tapes {
        tape.play(|moment| refused += usize::from(moment.told().starts_with("refused: "))).expect("the same");
    }
    assert_eq!(refused, net.hosts.iter().map(|host| host.refused).sum::<usize>());
    assert!(refused > 5, "{refused}");
    let page = picture("forged", &tapes).expect("played");
    let arrows = page.split("\"arrows\":").nth(1).and_then(|rest| rest.split("\"marks\":").next()).expect("the arrows");
    let with_fate = |fate: &str| arrows.lines().filter(|line| line.split(',').nth(8) == Some(fate)).count();
    assert_eq!(with_fate("2"), refused);
    // More votes than a quorum needs.
    assert!(with_fate("3") > 5 && with_fate("0") > 50, "{} {}", with_fate("3"), with_fate("0"));
}

/// Four nodes, each of which has heard of another quorum; then the primary says nothing more. A tape of each.
fn leave_with_other_certificates() -> Vec<Vec<u8>> {
    let cluster = Arc::new(builder(4, 1).build().expect("a good cluster"));
    let forge = Forge::new(cluster.clone());
    let reels: Vec<Arc<Mutex<Vec<u8>>>> = (0..4).map(|_| Arc::default()).collect();
    let open = |at: usize| {
        let (reel, app) = (reels[at].clone(), Snapshots::new(Diary::default(), Disk::default()));
        let sink = Box::new(move |bytes: &[u8]| reel.lock().expect("whole").extend_from_slice(bytes));
        let (id, tuning) = (ReplicaId::new(at as u32), Tuning::from_timeout(T));
        Node::open_taped(cluster.clone(), id, tuning, Start::New, Volatile::default(), app, replica_key(at), sink).expect("opens")
    };
    let mut nodes: Vec<_> = (0..4).map(open).collect();
    let mut now = Time(1_000_000);
    for (number, running) in [(1, 0..4), (2, 1..4)] {
        let request = forge.request_message(&forge.request(&client_key(0), RequestNumber::new(number), b"order"));
        running.clone().for_each(|at| nodes[at].receive(PeerLink(9), &request).expect("decodes"));
        for _ in 0..200 {
            now = now.after(Duration::from_millis(20));
            for from in running.clone() {
                for envelope in nodes[from].run(now).expect("runs") {
                    let is_lost = |to: usize| envelope.kind() == MessageKind::Prepare && [(3, 1), (1, 2), (2, 3)].contains(&(from, to));
                    let hears = |to: usize| match envelope.to() {
                        Recipients::AllReplicas => to != from,
                        Recipients::Replica(replica) => replica.get() as usize == to,
                        Recipients::Client(_) => false,
                    };
                    for to in (0..4).filter(|to| hears(*to) && (number > 1 || !is_lost(*to))) {
                        nodes[to].receive(PeerLink(from as u64), &envelope.encode()).expect("decodes");
                    }
                }
            }
        }
        running.for_each(|at| assert_eq!(nodes[at].status().decided.get(), number));
    }
    assert!(nodes[1..].iter().all(|node| node.status().view.get() > 0 && node.counters().refused == 0));
    drop(nodes);
    reels.iter().map(|reel| reel.lock().expect("whole").clone()).collect()
}

#[test]
fn spec_3_6_a_certificate_in_the_place_of_another_makes_no_lie() {
    let tapes: Vec<Tape> = leave_with_other_certificates().iter().map(|bytes| Tape::read(bytes).expect("a tape")).collect();
    let mut changes = 0;
    for tape in &tapes {
        tape.play(|moment| changes += usize::from(moment.told().contains("ViewChange"))).expect("the same");
    }
    assert!(changes >= 6, "{changes}");
    let page = picture("nobody lies", &tapes).expect("played");
    let arrows = page.split("\"arrows\":").nth(1).and_then(|rest| rest.split("\"marks\":").next()).expect("the arrows");
    let lies: Vec<&str> = arrows.lines().filter(|line| line.split(',').nth(8) == Some("1")).collect();
    assert!(lies.is_empty(), "{lies:?}");
}

#[test]
fn clocks_that_started_at_other_times_are_set_by_what_was_said_and_heard() {
    let mut net = Net::taped(builder(4, 1).with_keyed_hash().build().expect("a good cluster"), 5, Tuning::from_timeout(T));
    for order in 0..6_u32 {
        net.submit(0, &order.to_le_bytes());
    }
    net.settle(Duration::from_secs(60), &[0, 1, 2, 3]);
    let shifted = |by: [u64; 4]| -> Vec<Tape> {
        let later = |(bytes, by): (&Vec<u8>, u64)| {
            let mut parts = entries(bytes);
            for part in &mut parts[1..] {
                let at: &mut [u8; 8] = part[4..].first_chunk_mut().expect("a time");
                *at = (u64::from_le_bytes(*at) + by).to_le_bytes();
            }
            Tape::read(&joined(&parts)).expect("a tape")
        };
        net.tapes().iter().zip(by).map(later).collect()
    };
    let fates = |tapes: &[Tape]| {
        // Where a clock starts makes no difference to what a replica does: it still plays.
        let page = picture("clocks", tapes).expect("played");
        let arrows = page.split("\"arrows\":").nth(1).and_then(|rest| rest.split("\"marks\":").next()).expect("the arrows").to_owned();
        let fates = ["0", "1", "2", "3"].map(|fate| arrows.lines().filter(|line| line.split(',').nth(8) == Some(fate)).count());
        let number = |line: &str, field| line.trim_matches(['[', ']']).split(',').nth(field).and_then(|word| word.parse::<u64>().ok());
        let longest = arrows.lines().filter_map(|line| number(line, 2)?.checked_sub(number(line, 0)?)).max();
        (fates, longest.expect("arrows"))
    };
    let (one_clock, longest) = fates(&shifted([0; 4]));
    assert_eq!(one_clock[1], 0, "nobody lies");
    for by in [[0, 5_000_000, 0, 0], [7_000_000, 0, 3_000_000, 11], [1 << 40, 1, 0, 1 << 41]] {
        let (fates, most) = fates(&shifted(by));
        assert_eq!(fates, one_clock, "{by:?}");
        assert!(most < longest + 1000, "no arrow takes much longer: {most} and {longest}");
    }
}

/// The pieces of a tape: magic and opening, then each entry.
fn entries(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let (mut start, mut at) = (0, 8);
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
        at += 4 + length;
        found.push(bytes[start..at].to_vec());
        start = at;
    }
    found
}

fn joined(entries: &[Vec<u8>]) -> Vec<u8> {
    entries.concat()
}
