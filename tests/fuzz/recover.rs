//! Logs that a disk, or somebody at the disk, has changed: a replica starts on them with all that they promise, or says what is wrong. (SPEC 5, D2)

use super::choices::Choices;
use super::heap::{allowed, peak_of};
use super::support::logs::{HEADER, Log, Records, batches, body, frame};
use logothete::{AppState, Bytes, Disposition, Frames, Input, Outbox, Replica, ReplicaId, Start, Time, Tuning};
use std::sync::OnceLock;
use std::time::Duration;

/// What a replica without any record takes, and what a state of promises does: the bound on a rejected log counts from here.
const REPLICA: usize = 64 * 1024;

fn logs() -> &'static [Log; 2] {
    static LOGS: OnceLock<[Log; 2]> = OnceLock::new();
    LOGS.get_or_init(|| [Log::with_every_kind(), Log::of_a_loss()])
}

fn flip(bytes: &mut [u8], choices: &mut Choices<'_>) {
    if !bytes.is_empty() {
        let at = choices.below(bytes.len());
        bytes[at] ^= 1 << choices.below(8);
    }
}

/// One change. True if it is one that checksums don't show.
fn change(log: &Log, records: &mut Records, choices: &mut Choices<'_>) -> bool {
    if records.is_empty() {
        return false;
    }
    let at = choices.below(records.len());
    let (index, record) = records[at].clone();
    let group = log.cluster.id();
    match choices.below(10) {
        0 => {
            let mut bytes = record.to_vec();
            flip(&mut bytes, choices);
            records[at].1 = Bytes::from(bytes);
        }
        1 => {
            records.remove(at);
        }
        2 => {
            let other = choices.below(records.len());
            records.swap(at, other);
        }
        3 => records.insert(at, (index, record)),
        4 => records.truncate(at),
        5 => {
            let length = choices.below(record.len() + 1);
            records[at].1 = Bytes::from(&record[..length]);
            records.truncate(at + 1);
        }
        6 => {
            records.drain(..at);
        }
        // A true frame around another body.
        7 if !body(&record).is_empty() => {
            let (mut bytes, batches) = (body(&record).to_vec(), batches(&record).to_vec());
            (0..choices.below(4) + 1).for_each(|_| flip(&mut bytes, choices));
            records[at].1 = frame(&group, log.replica, index, &bytes, &batches);
            return true;
        }
        8 if !body(&record).is_empty() => {
            let (mut bytes, batches) = (body(&record).to_vec(), batches(&record).to_vec());
            let place = choices.below(bytes.len());
            choices.bytes(40).iter().zip(&mut bytes[place..]).for_each(|(from, to)| *to = *from);
            records[at].1 = frame(&group, log.replica, index, &bytes, &batches);
            return true;
        }
        _ => {
            let bytes = choices.bytes(300).to_vec();
            records[at].1 = frame(&group, log.replica, index, &bytes, batches(&record));
            return true;
        }
    }
    false
}

/// A replica that has started goes on from what it says itself: its next start says the same again.
fn goes_on(log: &Log, app: &AppState, records: &Records, replica: &mut Replica, out: &mut Outbox) {
    let write = out.writes().pop().expect("it starts with a record");
    let status = replica.status();
    let mut again = records.clone();
    // What was cut off at the end is replaced.
    again.retain(|(index, _)| *index < write.index());
    again.push((write.index(), write.record().to_bytes()));
    let mut out = Outbox::new();
    let second = recover(log, Start::Recovering, app, again, &mut out).expect("a log that was read can be read again");
    assert_eq!(
        (second.status().view, second.status().wish, second.status().stable, second.status().rejoining),
        (status.view, status.wish, status.stable, status.rejoining)
    );
    let next = out.writes().pop().expect("it starts with a record");
    assert_eq!(next.index(), write.index() + 1);
    if write.record().to_bytes()[HEADER] == 9 {
        // All that binds, but for where it stands and from which record on blocks are kept.
        let binds = |record: &[u8]| record[HEADER + 12..record.len() - 32].to_vec();
        assert_eq!(binds(&write.record().to_bytes()), binds(&next.record().to_bytes()), "D2: it says something else");
    }
    let (_, receipt) = write.persisted().sign(&super::support::replica_key(log.replica as usize)).expect("signed");
    let mut out = Outbox::new();
    for input in [Input::Timer, Input::Persisted(receipt), Input::Timer] {
        let disposition = replica.step(Time(1_000_000), input, &mut out);
        // A log with true checksums that no replica wrote may say what can't be.
        if disposition == Disposition::Halted {
            return;
        }
    }
    for (name, used) in replica.status().usage.entries() {
        assert!(used.bytes <= used.limit, "I18: {used} of {name}");
    }
}

fn recover(log: &Log, start: Start, app: &AppState, records: Records, out: &mut Outbox) -> Result<Replica, logothete::RecoverError> {
    let tuning = Tuning { retention: 4, ..Tuning::from_timeout(Duration::from_millis(200)) };
    Replica::recover(log.cluster.clone(), ReplicaId::new(log.replica), tuning, start, app.clone(), records, out)
}

pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mode = choices.byte();
    let log = &logs()[usize::from(mode & 1)];
    let mut records = log.records.clone();
    let mut app = log.app.clone();
    let changed;
    let mut forged = false;
    if mode % 8 == 7 {
        // One stream of bytes, of which nothing need be true.
        records = Frames::new(choices.rest()).map(|frame| frame.expect("memory can be read")).collect();
        changed = true;
    } else {
        if mode % 8 == 6 {
            app = AppState::default();
        }
        for _ in 0..6 {
            if choices.is_done() {
                break;
            }
            forged |= change(log, &mut records, &mut choices);
        }
        changed = records != log.records;
    }
    let start = match mode >> 4 {
        0 => Start::New,
        1 => Start::Rejoining { nonce: [3; 32] },
        _ => Start::Recovering,
    };
    let length: usize = records.iter().map(|(_, record)| record.len()).sum();
    let given = records.clone();
    let mut out = Outbox::new();
    let (recovered, peak) = peak_of(|| recover(log, start, &app, given, &mut out));
    match recovered {
        Ok(mut replica) => {
            // What nobody with the right checksums changed is what was promised: at its end it may be cut off, nothing else.
            let from_the_front = !changed || forged || mode % 8 == 7 || is_stretch(log, &records);
            assert!(from_the_front || !matches!(start, Start::Recovering), "D2: it starts on a log that was changed");
            goes_on(log, &app, &records, &mut replica, &mut out);
        }
        Err(error) => {
            assert!(out.is_empty(), "D2: it doesn't start, and speaks");
            assert!(peak <= allowed(length) + REPLICA, "{length} bytes of a rejected log took {peak}: {error}");
            assert!(changed || !matches!(start, Start::Recovering) || mode % 8 == 6, "D2: its own log is refused: {error}");
        }
    }
}

/// A stretch of the log: it may begin at a record from which its last State counts, and end early, also within a record. Of what is cut off
/// behind its header nothing is looked at.
fn is_stretch(log: &Log, records: &Records) -> bool {
    let Some(((first, _), (last, end))) = records.first().zip(records.last()) else { return false };
    let truth: Records = log.records.iter().filter(|(index, _)| (first..=last).contains(&index)).cloned().collect();
    let cut_off = truth.last().is_some_and(|(_, whole)| {
        // Of a header that is cut off only what comes before length and checksum is looked at.
        let seen = if end.len() < HEADER { end.len().min(52) } else { HEADER };
        end.len() <= whole.len() && end[..seen] == whole[..seen] && (end.len() < whole.len() || end == whole)
    });
    cut_off && records.len() == truth.len() && records[..records.len() - 1] == truth[..truth.len() - 1]
}
