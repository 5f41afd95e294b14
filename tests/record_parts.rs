//! A record is given to its log in parts, which are neither many nor copies of what is long. (SPEC 5)

mod support;

use logothete::sim::forge::{Forge, Kept};
use logothete::{Digest, Record, ReplicaId, Request, RequestNumber, SequenceNumber, View, Volatile, Wal};
use std::sync::Arc;
use support::{builder, client_key, replica_key};

const GATHERED_MAX: usize = 32 * 1024;
const LONG: usize = 4096;

/// A Prepare on one block of operations of these lengths, and the block's batch as a proposal has it.
fn record_and_batch(lengths: &[usize]) -> (Record, Vec<u8>) {
    let forge = Forge::new(Arc::new(builder(4, 1).build().expect("a valid cluster")));
    let request = |(length, number): (&usize, u64)| -> Request {
        forge.request(&client_key(0), RequestNumber::new(number), &vec![number as u8; *length])
    };
    let block = forge.block(SequenceNumber::new(1), Digest::default(), lengths.iter().zip(1..).map(request).collect());
    let position = (SequenceNumber::new(1), block.digest());
    let proposal = forge.pre_prepare(&replica_key(0), View::new(0), &block);
    // Behind kind, view, number, parent and payload; before the signature.
    let batch = proposal[4 + 8 + 8 + 32 + 32..proposal.len() - 64].to_vec();
    let record = forge.record(ReplicaId::new(1), 3, &Kept::Prepare { view: View::new(0), position, blocks: &[block] }).expect("a record");
    (record, batch)
}

fn record(lengths: &[usize]) -> Record {
    record_and_batch(lengths).0
}

fn parts(record: &Record) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    record
        .write_to(|part| {
            parts.push(part.to_vec());
            Ok::<(), ()>(())
        })
        .expect("taken");
    parts
}

#[test]
fn d1_the_parts_of_a_record_are_its_bytes() {
    for lengths in [&[0][..], &[1, LONG - 1, 2], &[LONG], &[7, LONG, 9, 100_000, 3], &[600; 200], &[LONG - 1; 40]] {
        let (record, batch) = record_and_batch(lengths);
        let (parts, whole) = (parts(&record), record.to_bytes());
        assert!(whole.ends_with(&batch), "{lengths:?}");
        assert_eq!(parts.concat(), whole[..], "{lengths:?}");
        assert_eq!(record.len(), whole.len());
        assert!(parts.iter().all(|part| !part.is_empty()));
        for part in &parts {
            assert!(part.len() <= GATHERED_MAX || lengths.contains(&part.len()), "{} bytes of {lengths:?}", part.len());
        }
        let long = lengths.iter().filter(|length| **length >= LONG).count();
        assert_eq!(parts.iter().filter(|part| part.len() >= LONG && lengths.contains(&part.len())).count(), long, "by itself");
        assert!(parts.len() <= 2 + 2 * long + 2 * whole.len() / GATHERED_MAX, "{} parts", parts.len());
    }
}

#[test]
fn d1_what_refuses_a_part_of_a_record_is_given_no_other() {
    let record = record(&[600; 200]);
    let count = parts(&record).len();
    assert!(count > 3);
    for refused in 0..count {
        let mut given = 0;
        let outcome = record.write_to(|_| {
            given += 1;
            if given == refused + 1 { Err(refused) } else { Ok(()) }
        });
        assert_eq!((outcome, given), (Err(refused), refused + 1));
    }
}

#[test]
fn a_volatile_log_forgets_what_it_is_told_to() {
    let mut volatile = Volatile::default();
    let record = record(&[5]);
    (0..4).for_each(|index| volatile.append(index, &record).expect("kept"));
    volatile.truncate_before(2).expect("shortened");
    let kept: Vec<_> = volatile.read().map(|record| record.expect("read")).collect();
    assert_eq!(kept, [(2, record.to_bytes()), (3, record.to_bytes())]);
}
