//! D2: a damaged log is refused, with the record and the reason; a whole one, or one that a crash cut off, is read.

mod support;

use logothete::{AppState, Bytes, Digest, Frames, RecordFault, RecoverError, ReplicaId, SequenceNumber, Start};
use std::collections::BTreeMap;
use std::time::Duration;
use support::logs::{HEADER, KINDS, Log, Records, TRAILER, batches, body, frame, kind, net};

const ALL: [usize; 4] = [0, 1, 2, 3];
const NONCE: Start = Start::Rejoining { nonce: [1; 32] };

/// One log that was never lost and one that stands in for a lost one: together they have records of every kind.
fn logs() -> [Log; 2] {
    [Log::with_every_kind(), Log::of_a_loss()]
}

/// `keeps_from` of each `State` in it, with the record's index.
fn states(records: &[(u64, Bytes)]) -> Vec<(u64, u64)> {
    let keeps_from = |record: &Bytes| u64::from_le_bytes(body(record)[4..12].try_into().expect("eight bytes"));
    records.iter().filter(|(_, record)| kind(record) == "State").map(|(index, record)| (*index, keeps_from(record))).collect()
}

/// As a host sees it that numbers records by their place.
fn by_place(records: &[(u64, Bytes)]) -> Records {
    (0..).zip(records.iter().map(|(_, record)| record.clone())).collect()
}

#[test]
fn d2_whole_logs_of_every_kind_of_record_are_read() {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for log in logs() {
        log.records.iter().for_each(|(_, record)| *kinds.entry(kind(record)).or_default() += 1);
        assert!((0..).zip(&log.records).all(|(place, (index, _))| place == *index), "from the first record on");
        let started = log.recover(log.records.clone()).expect("a whole log");
        assert_eq!(started.index, log.records.len() as u64);
        // Read again, with what it wrote when it started: the same binds.
        let mut longer = log.records.clone();
        longer.push((started.index, started.record.clone()));
        assert_eq!(log.recover(longer).expect("a whole log").binds(), started.binds());
    }
    assert_eq!(kinds.len(), KINDS.len(), "{kinds:?}");
}

#[test]
fn d2_a_log_whose_old_records_have_gone_is_whole_at_any_moment() {
    let mut net = net(5, 6);
    let mut shortened = 0;
    for order in 0..120_u32 {
        net.submit_to(order as usize % 2, &order.to_le_bytes(), &ALL);
        net.run_for(Duration::from_micros(700));
        for at in ALL {
            let log = Log::of(&net, at);
            let first = log.records[0].0;
            // What a State before the last one kept may have gone.
            shortened += usize::from(first > 0 && states(&log.records).iter().any(|(_, keeps_from)| *keeps_from < first));
            log.recover(log.records.clone()).unwrap_or_else(|error| panic!("order {order}, R{at}: {error}"));
        }
    }
    assert!(shortened > 50, "{shortened}");
}

#[test]
fn d2_logs_of_a_rough_life_are_whole() {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..24 {
        let mut net = net(seed, seed % 3 * 4);
        net.loss = 15;
        // Half of them keep all that may go: then every record is held against all before it.
        (0..2).for_each(|at| net.hosts[at].disk.with(|disk| disk.hoards = true));
        for order in 0..40_u32 {
            net.submit_to(order as usize % 2, &order.to_le_bytes(), &ALL);
            let pause = net.random.between(500, 60_000);
            net.run_for(Duration::from_micros(pause));
            let at = net.random.between(0, 3) as usize;
            match net.random.between(0, 9) {
                0..=2 if !net.down.contains(&at) => net.crash(at),
                // One log at a time is lost: more than that is more than f faults.
                3 if net.hosts.iter().all(|host| !host.replica.status().rejoining) && net.down.is_empty() => {
                    net.crash(at);
                    net.hosts[at].disk.with(|disk| disk.log.clear());
                    net.restart(at, Start::Rejoining { nonce: [order as u8; 32] }).expect("rejoins");
                }
                4..=6 => {
                    for at in net.down.clone() {
                        net.restart(at, Start::Recovering).unwrap_or_else(|error| panic!("seed {seed}, R{at}: {error}"));
                    }
                }
                _ => {}
            }
            for at in ALL {
                let log = Log::of(&net, at);
                log.records.iter().for_each(|(_, record)| *kinds.entry(kind(record)).or_default() += 1);
                log.recover(log.records.clone()).unwrap_or_else(|error| panic!("seed {seed}, order {order}, R{at}: {error}"));
            }
        }
    }
    assert!(KINDS.iter().all(|kind| *kind == "Blocks" || kinds.contains_key(kind)), "{kinds:?}");
}

#[test]
fn d2_every_changed_byte_of_every_record_is_found() {
    for log in logs() {
        for (place, (index, record)) in log.records.iter().enumerate() {
            for at in 0..record.len() {
                let flipped = log.with(place, |bytes| bytes[at] ^= 1 << (at % 8));
                let fault = if at < 8 { RecordFault::NotARecord } else { RecordFault::Checksum };
                assert_eq!(log.refused(flipped), (*index, fault), "{} at {at}", kind(record));
            }
            // Whatever it says of itself, each bit of it.
            for bit in 0..HEADER * 8 {
                let flipped = log.with(place, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
                assert_eq!(log.refused(flipped).0, *index, "bit {bit}");
            }
        }
    }
}

#[test]
fn d2_a_record_that_is_missing_is_missed() {
    for log in logs() {
        for place in 1..log.records.len() - 1 {
            let mut records = log.records.clone();
            let (index, _) = records.remove(place);
            assert_eq!(log.refused(records.clone()), (index + 1, RecordFault::Gap(index)));
            // To a host that numbers by place the next one says it itself.
            assert_eq!(log.refused(by_place(&records)), (index, RecordFault::OtherIndex(index + 1)));
        }
    }
}

#[test]
fn d2_records_twice_swapped_or_in_each_others_place_are_refused() {
    for log in logs() {
        let last = log.records.len() - 1;
        for place in 0..=last {
            let mut doubled = log.records.clone();
            doubled.insert(place, doubled[place].clone());
            let index = place as u64;
            assert_eq!(log.refused(doubled.clone()), (index, RecordFault::Gap(index + 1)));
            assert_eq!(log.refused(by_place(&doubled)), (index + 1, RecordFault::OtherIndex(index)));
            for other in place + 1..=last {
                let mut swapped = log.records.clone();
                swapped.swap(place, other);
                assert_eq!(log.refused(by_place(&swapped)), (index, RecordFault::OtherIndex(other as u64)));
                let expected = if place > 0 { (other as u64, index) } else { (1, other as u64 + 1) };
                // Of the two first ones swapped the second is where it could be: at the beginning of a shortened log.
                let expected = if (place, other) == (0, 1) { (0, 2) } else { expected };
                assert_eq!(log.refused(swapped), (expected.0, RecordFault::Gap(expected.1)), "{place} {other}");
            }
            for from in (0..=last).filter(|from| *from != place) {
                let misdirected = log.with(place, |bytes| *bytes = log.records[from].1.to_vec());
                assert_eq!(log.refused(misdirected), (index, RecordFault::OtherIndex(from as u64)));
            }
        }
    }
}

#[test]
fn d2_records_of_another_replica_or_cluster_are_refused() {
    let [log, _] = logs();
    let group = log.cluster.id();
    for (place, (index, record)) in log.records.iter().enumerate() {
        let others = log.with(place, |bytes| *bytes = frame(&group, 2, *index, body(record), batches(record)).to_vec());
        assert_eq!(log.refused(others), (*index, RecordFault::OtherReplica(ReplicaId::new(2))));
        let elsewhere = log.with(place, |bytes| *bytes = frame(&Digest::new([1; 32]), 1, *index, body(record), batches(record)).to_vec());
        assert_eq!(log.refused(elsewhere), (*index, RecordFault::OtherCluster));
    }
    // A whole log that was mounted in the wrong place.
    let others = Log { replica: 3, ..log.clone() };
    assert_eq!(others.refused(log.records.clone()), (0, RecordFault::OtherReplica(ReplicaId::new(1))));
    let reconfigured = support::builder(4, 2).checkpoint_interval(4).log_window(20).pipeline(4).build().expect("a valid cluster");
    let elsewhere = Log { cluster: reconfigured.into(), ..log.clone() };
    assert_eq!(elsewhere.refused(log.records), (0, RecordFault::OtherCluster));
}

#[test]
fn d2_what_stands_behind_the_end_is_the_beginning_of_the_next_record_or_damage() {
    let [log, _] = logs();
    let end = log.records.len() as u64;
    let behind = |bytes: Vec<u8>| {
        let mut records = log.records.clone();
        records.push((end, Bytes::from(bytes)));
        records
    };
    for length in [1, 7, 8, 9, 51, 52, 67, 68, 69, 1000] {
        for garbage in [vec![0; length], vec![0xff; length], b"garbage ".repeat(125)[..length].to_vec()] {
            assert_eq!(log.refused(behind(garbage)), (end, RecordFault::NotARecord), "{length}");
        }
    }
    // It begins as a record does, and goes on otherwise.
    let next = frame(&log.cluster.id(), 1, end, &[0; 4], &[]);
    for at in 8..52 {
        let mut begun = next[..60].to_vec();
        begun[at] ^= 1;
        assert_eq!(log.refused(behind(begun)), (end, RecordFault::NotARecord), "{at}");
    }
    let mut zeros = next[..52].to_vec();
    zeros.resize(200, 0);
    assert_eq!(log.refused(behind(zeros)), (end, RecordFault::Checksum));
    let mut longer = next.to_vec();
    longer.push(0);
    assert_eq!(log.refused(behind(longer)), (end, RecordFault::Checksum));
    let unnamed = frame(&log.cluster.id(), 1, end, &[0; 4], &[0]);
    assert_eq!(log.refused(behind(unnamed.to_vec())), (end, RecordFault::Checksum), "as long as it says, and more than its body names");
    // What was there before the place was used again.
    assert_eq!(log.refused(behind(log.records[3].1.to_vec())), (end, RecordFault::OtherIndex(3)));
    // And whole, but of no kind that there is.
    for body in [&12_u32.to_le_bytes()[..], &11_u32.to_le_bytes(), &u32::MAX.to_le_bytes(), &[0, 0, 0, 0, 0], &[0, 0, 0], &[]] {
        assert_eq!(log.refused(behind(frame(&log.cluster.id(), 1, end, body, &[]).to_vec())), (end, RecordFault::Unknown), "{body:?}");
    }
}

#[test]
fn d2_a_crash_in_the_last_record_costs_that_record_and_nothing_else() {
    for log in logs() {
        let group = log.cluster.id();
        // Each record was once the last one.
        for end in 1..log.records.len() {
            let before = log.recover(log.records[..end].to_vec()).expect("a whole log");
            let (index, record) = &log.records[end];
            for length in 0..record.len() {
                let torn = log.records[..end].iter().cloned().chain([(*index, Bytes::from(&record[..length]))]).collect();
                let started = log.recover(torn).unwrap_or_else(|error| panic!("{} cut to {length}: {error}", kind(record)));
                assert_eq!(started.index, *index, "its place is taken again");
                // One record is the same as another that binds to the same: all of it, and what is said.
                assert_eq!((&started.record, &started.says), (&before.record, &before.says));
            }
            // Only what is whole binds.
            let mut long = log.records[..end].to_vec();
            long.push((*index, frame(&group, log.replica, *index, body(record), batches(record))));
            assert!(log.recover(long).is_ok());
        }
    }
}

#[test]
fn d2_a_record_that_is_cut_off_in_the_middle_was_whole_once() {
    for log in logs() {
        for (place, (index, record)) in log.records.iter().enumerate().take(log.records.len() - 1) {
            for length in 0..record.len() {
                let cut = log.with(place, |bytes| bytes.truncate(length));
                assert_eq!(log.refused(cut), (*index, RecordFault::CutOff), "{} cut to {length}", kind(record));
            }
        }
    }
}

#[test]
fn d2_without_its_beginning_a_log_needs_a_state_that_rests_on_nothing_that_is_gone() {
    let mut read = 0;
    for log in logs() {
        for end in 1..=log.records.len() {
            let whole = log.recover(log.records[..end].to_vec()).expect("a whole log");
            for from in 1..end {
                let rest = log.records[from..end].to_vec();
                let needs = states(&rest).last().map_or(0, |(_, keeps_from)| *keeps_from);
                if needs >= from as u64 && !states(&rest).is_empty() {
                    read += 1;
                    assert_eq!(log.recover(rest).expect("enough of a log").binds(), whole.binds());
                } else {
                    assert_eq!(log.refused(rest), (from as u64, RecordFault::Gap(needs)));
                }
            }
        }
    }
    assert!(read > 10, "{read}");
}

fn told<T>(result: Result<T, RecoverError>) -> Result<(), RecoverError> {
    result.map(|_| ())
}

#[test]
fn d2_what_the_operator_says_has_to_fit_the_log() {
    let [log, _] = logs();
    let nothing = AppState::default();
    assert_eq!(told(log.recover(Vec::new())), Err(RecoverError::EmptyLog));
    for start in [Start::New, NONCE] {
        for end in 1..log.records.len() {
            assert_eq!(told(log.start(start, &nothing, log.records[..end].to_vec())), Err(RecoverError::NotEmpty { index: 0 }));
            assert_eq!(told(log.start(start, &nothing, log.records[end..].to_vec())), Err(RecoverError::NotEmpty { index: end as u64 }));
        }
        // Damaged, it is no emptier.
        assert_eq!(told(log.start(start, &nothing, log.with(0, |bytes| bytes[70] ^= 1))), Err(RecoverError::NotEmpty { index: 0 }));
        assert_eq!(told(log.start(start, &nothing, vec![(0, Bytes::from(vec![0; 9]))])), Err(RecoverError::NotEmpty { index: 0 }));
    }
    // The first record of all, cut off: it was never durable, and nothing was said.
    let (index, first) = &log.records[0];
    for length in 0..first.len() {
        let torn = vec![(*index, Bytes::from(&first[..length]))];
        for start in [Start::New, NONCE] {
            assert_eq!(log.start(start, &nothing, torn.clone()).map(|started| started.index), Ok(0));
        }
        assert_eq!(told(log.recover(torn)), Err(RecoverError::EmptyLog));
    }
    // Any other, alone: those before it were durable, and are gone.
    let (index, record) = &log.records[5];
    for length in 0..record.len() {
        let torn = vec![(*index, Bytes::from(&record[..length]))];
        assert_eq!(log.refused(torn.clone()), (5, RecordFault::Gap(0)));
        for start in [Start::New, NONCE] {
            assert_eq!(told(log.start(start, &nothing, torn.clone())), Err(RecoverError::NotEmpty { index: 5 }));
        }
    }
    assert!(log.app.last_executed.get() > 0);
    assert_eq!(told(log.start(Start::New, &log.app, Vec::new())), Err(RecoverError::NotNew(log.app.last_executed)));
    assert!(log.start(NONCE, &log.app, Vec::new()).is_ok());
    let nobody = Log { replica: 4, ..log.clone() };
    assert_eq!(told(nobody.recover(log.records)), Err(RecoverError::UnknownReplica(ReplicaId::new(4))));
}

#[test]
fn s1_a_damaged_session_table_is_refused() {
    let [log, _] = logs();
    let with = |sessions: Vec<u8>| {
        told(log.start(Start::Recovering, &AppState { sessions: Bytes::from(sessions), ..log.app.clone() }, log.records.clone()))
    };
    let good = log.app.sessions.to_vec();
    assert_eq!(with(good.clone()), Ok(()));
    // For each client: key (32), last (8), count (4), and so many digests.
    let count = |bytes: &[u8]| u32::from_le_bytes(bytes[40..44].try_into().expect("four bytes")) as usize;
    let second = 44 + 32 * count(&good);
    assert_eq!(good.len(), second + 44 + 32 * count(&good[second..]), "two clients");
    for length in (1..good.len()).filter(|length| *length != second) {
        assert!(matches!(with(good[..length].to_vec()), Err(RecoverError::Sessions(_))), "cut to {length}");
    }
    for beginning in [0, second] {
        // The digests of results are everybody's word against the host's: a checkpoint will tell. (C4)
        for at in beginning..beginning + 44 {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            assert!(matches!(with(bytes), Err(RecoverError::Sessions(_))), "at {at}");
        }
    }
    let turned = [&good[second..], &good[..second]].concat();
    let doubled = [&good[..second], &good[..second]].concat();
    for bytes in [turned, doubled, [&good[..], &[0]].concat()] {
        assert!(matches!(with(bytes), Err(RecoverError::Sessions(_))));
    }
}

#[test]
fn d2_a_service_of_another_history_is_refused() {
    let log = Log::with_every_kind();
    let executed = log.app.last_executed;
    let with = |last_executed: SequenceNumber, log_digest: Digest| {
        told(log.start(Start::Recovering, &AppState { last_executed, log_digest, ..log.app.clone() }, log.records.clone()))
    };
    assert_eq!(with(executed, log.app.log_digest), Ok(()));
    // This position is stable, and the block there names the one before it.
    let certified = [(executed, Digest::new([1; 32])), (executed.minus(1), log.app.log_digest), (executed.minus(1), Digest::new([1; 32]))];
    for (number, digest) in certified {
        assert_eq!(with(number, digest), Err(RecoverError::OtherHistory(number)), "{number:?}");
    }
    // A service that has lost its state is given it again.
    assert!(log.start(Start::Recovering, &AppState::default(), log.records.clone()).is_ok());
    // And one that is ahead of all that is known is believed.
    assert_eq!(with(executed.plus(100), Digest::new([1; 32])), Ok(()));
}

#[test]
fn d2_frames_finds_the_records_in_a_stream_and_hides_no_damage() {
    for log in logs() {
        let stream: Vec<u8> = log.records.iter().flat_map(|(_, record)| record.to_vec()).collect();
        let read = |bytes: &[u8]| -> Records { Frames::new(bytes).collect::<Result<_, _>>().expect("memory can be read") };
        assert_eq!(read(&stream), log.records);
        let mut offset = 0;
        for (place, (index, record)) in log.records.iter().enumerate() {
            // From a record on, as in a log whose beginning has gone.
            assert_eq!(read(&stream[offset..]), log.records[place..]);
            // Where each begins.
            let mut frames = Frames::new(&stream[..]);
            for _ in 0..place {
                frames.next();
            }
            assert_eq!(frames.offset(), offset as u64);
            // Cut off anywhere: what is whole, and what is left of the next one.
            for length in 0..record.len() {
                let cut = read(&stream[..offset + length]);
                let left = Some((*index, Bytes::from(&record[..length]))).filter(|_| length > 0);
                assert_eq!(cut, log.records[..place].iter().cloned().chain(left).collect::<Records>());
            }
            // A changed byte is passed on, under its record's number.
            for at in 0..record.len() {
                let mut damaged = stream.clone();
                damaged[offset + at] ^= 1 << (at % 8);
                let fault = if at < 8 { RecordFault::NotARecord } else { RecordFault::Checksum };
                assert_eq!(log.refused(read(&damaged)), (*index, fault), "{} at {at}", kind(record));
            }
            // Bytes lost in the middle of a record: what comes after is taken for its rest, and is not.
            for (from, length) in [(0, 1), (8, 8), (64, 10), (record.len() - 1, 1), (HEADER, record.len() - HEADER)] {
                let mut shorter = stream.clone();
                shorter.drain(offset + from..offset + from + length);
                // Where the stream ends before it would, it can't be told from a record that a crash cut off: a host has to cut such a
                // log before it appends to it.
                if from >= HEADER && shorter.len() < offset + record.len() {
                    continue;
                }
                let (refused, fault) = log.refused(read(&shorter));
                // A last byte that is lost may be made good by the next record's first one, which then lacks that.
                assert!(refused == *index || (from == record.len() - 1 && refused == index + 1), "{fault}: {length} bytes from {from}");
                assert!(matches!(fault, RecordFault::Checksum | RecordFault::NotARecord), "{fault}");
            }
            offset += record.len();
        }
        // A frame that is gone, one that is there twice, two that are swapped: seen as ever.
        let second = log.records[0].1.len();
        let third = second + log.records[1].1.len();
        let gone = [&stream[..second], &stream[third..]].concat();
        assert_eq!(log.refused(read(&gone)), (2, RecordFault::Gap(1)));
        let twice = [&stream[..third], &stream[second..]].concat();
        assert_eq!(log.refused(read(&twice)), (1, RecordFault::Gap(2)));
    }
    assert_eq!(Frames::new(&b""[..]).count(), 0);
}

#[test]
fn d2_frames_gives_on_what_the_disk_says() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("a bad sector"))
        }
    }
    let log = Log::with_every_kind();
    let first = &log.records[0].1;
    let mut frames = Frames::new(std::io::Read::chain(&first[..], Broken));
    assert_eq!(frames.next().expect("a record").expect("read"), (0, first.clone()));
    assert_eq!(frames.next().expect("an error").expect_err("not read").to_string(), "a bad sector");
    assert!(frames.next().is_none());
    assert_eq!(HEADER + TRAILER, 100);
}
