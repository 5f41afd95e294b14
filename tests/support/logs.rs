//! Logs as replicas wrote them, and what a replica makes of them.

use super::disk::Diary;
use super::{Net, builder};
use logothete::{
    AppState, Application, Bytes, Cluster, Digest, Outbox, RecordFault, RecoverError, Replica, ReplicaId, Snapshots, Start, Tuning,
};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;

pub type Records = Vec<(u64, Bytes)>;

/// What stands in a frame before its body, and behind that; then come its blocks' batches.
pub const HEADER: usize = 68;
pub const TRAILER: usize = 32;

/// The kinds of records, by their number in a body.
pub const KINDS: [&str; 12] =
    ["Started", "Prepare", "Commit", "ViewChange", "NewView", "Base", "High", "Blocks", "Checkpoint", "State", "Rejoining", "Wish"];

/// A replica that has started, and its first words: the record that says all that binds it, and what goes out behind it.
pub struct Started {
    pub replica: Replica,
    pub index: u64,
    pub record: Bytes,
    pub says: String,
}

impl Started {
    /// All that binds, without where its blocks stand.
    pub fn binds(&self) -> &[u8] {
        assert_eq!(kind(&self.record), "State");
        &body(&self.record)[4 + 8..]
    }
}

#[derive(Clone)]
pub struct Log {
    pub cluster: Arc<Cluster>,
    pub replica: u32,
    pub records: Records,
    pub app: AppState,
}

pub fn cluster() -> Cluster {
    builder(4, 2).checkpoint_interval(4).log_window(16).pipeline(4).build().expect("a valid cluster")
}

pub fn net(seed: u64, retention: u64) -> Net {
    Net::tuned(cluster(), seed, Tuning { retention, ..Tuning::from_timeout(Duration::from_millis(200)) })
}

/// The digest of a record's header or frame, a second time from its specification.
fn checksum(bytes: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(b"logothete/record").chain_update(bytes).finalize().into()
}

/// A whole frame around any body, with any batches.
pub fn frame(group: &Digest, replica: u32, index: u64, body: &[u8], batches: &[u8]) -> Bytes {
    let mut bytes = b"logothR3".to_vec();
    bytes.extend_from_slice(group.as_bytes());
    bytes.extend_from_slice(&replica.to_le_bytes());
    bytes.extend_from_slice(&index.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(batches.len() as u32).to_le_bytes());
    let of_header = checksum(&bytes);
    bytes.extend_from_slice(&of_header[..8]);
    bytes.extend_from_slice(body);
    let of_body = checksum(&bytes);
    bytes.extend_from_slice(&of_body);
    bytes.extend_from_slice(batches);
    Bytes::from(bytes)
}

pub fn body(record: &Bytes) -> &[u8] {
    let length = record.get(52..56).map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes")));
    record.get(HEADER..HEADER + length as usize).unwrap_or_default()
}

pub fn batches(record: &Bytes) -> &[u8] {
    record.get(HEADER + body(record).len() + TRAILER..).unwrap_or_default()
}

pub fn kind(record: &Bytes) -> &'static str {
    KINDS[record[HEADER] as usize]
}

impl Log {
    pub fn of(net: &Net, at: usize) -> Self {
        let disk = &net.hosts[at].disk;
        // The host's own service goes on: this is what another process finds.
        let app = Snapshots::new(Diary::default(), disk.clone()).state().expect("a whole disk");
        Self { cluster: net.cluster.clone(), replica: at as u32, records: disk.log(), app }
    }

    /// A replica that was primary of view 1, missed messages, took checkpoints, and was restarted: with records of every kind that a
    /// replica writes whose log was never lost, from the first on.
    pub fn with_every_kind() -> Self {
        for seed in 0.. {
            let mut net = net(seed, 4);
            net.hosts[1].disk.with(|disk| disk.hoards = true);
            net.loss = 25;
            let submit = |net: &mut Net, from: u32| {
                for order in from..from + 5 {
                    net.submit_to(order as usize % 2, &order.to_le_bytes(), &[0, 1, 2, 3]);
                    net.run_for(Duration::from_millis(2));
                }
                net.run_for(Duration::from_millis(300));
            };
            submit(&mut net, 0);
            net.crash(0);
            submit(&mut net, 5);
            net.crash(1);
            net.restart(1, Start::Recovering).expect("recovers");
            submit(&mut net, 10);
            let log = Self::of(&net, 1);
            let has = |wanted: &str| log.records.iter().any(|(_, record)| kind(record) == wanted);
            // In the midst of it all, so that what binds at the end is more than its last record.
            if KINDS.iter().all(|wanted| ["Blocks", "Rejoining"].contains(wanted) || has(wanted)) {
                return log.with_blocks_apart();
            }
        }
        unreachable!()
    }

    /// A replica that lost its log, was silent, and was taken in again.
    pub fn of_a_loss() -> Self {
        let mut net = net(4, 4);
        let submit = |net: &mut Net, from: u32, to: u32| {
            for order in from..to {
                net.submit_to(order as usize % 2, &order.to_le_bytes(), &[0, 1, 2, 3]);
                net.run_for(Duration::from_millis(2));
            }
        };
        submit(&mut net, 0, 10);
        net.crash(1);
        net.hosts[1].disk.with(|disk| disk.log.clear());
        net.restart(1, Start::Rejoining { nonce: [7; 32] }).expect("rejoins");
        net.hosts[1].disk.with(|disk| disk.hoards = true);
        submit(&mut net, 10, 14);
        net.run_until(Duration::from_secs(60), "it has rejoined", |net| !net.hosts[1].replica.status().rejoining);
        submit(&mut net, 14, 22);
        Self::of(&net, 1)
    }

    /// A Prepare's blocks in a record of their own before it, as they are when they are too large for one: in any other way it takes a log
    /// of more than `message_bytes_max` to get such a record.
    fn with_blocks_apart(mut self) -> Self {
        let group = self.cluster.id();
        let at = self.records.iter().rposition(|(_, record)| kind(record) == "Prepare").expect("a Prepare");
        let prepare = self.records[at].1.clone();
        // view, n, digest; then the blocks.
        let (vote, blocks) = body(&prepare).split_at(4 + 8 + 8 + 32);
        let apart = [&7_u32.to_le_bytes()[..], blocks].concat();
        let empty = [vote, &0_u64.to_le_bytes()[..]].concat();
        let parts = |(_, record): &(u64, Bytes)| (body(record).to_vec(), batches(record).to_vec());
        let contents: Vec<(Vec<u8>, Vec<u8>)> = self.records[..at]
            .iter()
            .map(parts)
            .chain([(apart, batches(&prepare).to_vec()), (empty, Vec::new())])
            .chain(self.records[at + 1..].iter().map(parts))
            .collect();
        let framed = |(index, (body, batches)): (u64, &(Vec<u8>, Vec<u8>))| (index, frame(&group, self.replica, index, body, batches));
        self.records = (0..).zip(&contents).map(framed).collect();
        self
    }

    pub fn start(&self, start: Start, app: &AppState, records: Records) -> Result<Started, RecoverError> {
        let mut out = Outbox::new();
        let tuning = Tuning { retention: 4, ..Tuning::from_timeout(Duration::from_millis(200)) };
        let id = ReplicaId::new(self.replica);
        let replica = Replica::recover(self.cluster.clone(), id, tuning, start, app.clone(), records, &mut out);
        // Who doesn't start says nothing: no record, no vote, no word.
        assert!(replica.is_ok() || out.is_empty());
        let replica = replica?;
        let write = out.writes().pop().expect("a replica starts with a record");
        Ok(Started { replica, index: write.index(), record: write.record().to_bytes(), says: write.to_string() })
    }

    pub fn recover(&self, records: Records) -> Result<Started, RecoverError> {
        self.start(Start::Recovering, &self.app, records)
    }

    /// Which record is refused, and why.
    #[track_caller]
    pub fn refused(&self, records: Records) -> (u64, RecordFault) {
        match self.recover(records) {
            Err(RecoverError::Record { index, fault }) => (index, fault),
            Err(other) => panic!("refused for another reason: {other}"),
            Ok(started) => panic!("it started: {:?}", started.replica.status()),
        }
    }

    /// These records, but the one at `place` changed.
    pub fn with(&self, place: usize, change: impl FnOnce(&mut Vec<u8>)) -> Records {
        let mut records = self.records.clone();
        let mut bytes = records[place].1.to_vec();
        change(&mut bytes);
        records[place].1 = Bytes::from(bytes);
        records
    }
}
