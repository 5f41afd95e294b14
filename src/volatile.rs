//! A log and a store in memory, for tests and demonstrations.

use crate::application::{AppError, SnapshotStore};
use crate::durable::Wal;
use crate::ids::Bytes;
use crate::record::Record;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::convert::Infallible;

/// A log, or a store of snapshots, in memory. What is in it is gone with the process: a replica that keeps its promises here has lost its log when it ends,
/// and may come back as [`Start::Rejoining`](crate::Start::Rejoining) only. A clone holds what was in it then.
#[derive(Clone, Debug, Default)]
pub struct Volatile {
    records: BTreeMap<u64, Bytes>,
    files: BTreeMap<String, Bytes>,
}

impl Wal for Volatile {
    type Error = Infallible;

    fn read(&mut self) -> impl Iterator<Item = Result<(u64, Bytes), Infallible>> {
        self.records.iter().map(|(index, record)| Ok((*index, record.clone())))
    }
    fn append(&mut self, index: u64, record: &Record) -> Result<(), Infallible> {
        self.records.insert(index, record.to_bytes());
        Ok(())
    }
    fn sync(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
    fn truncate_before(&mut self, index: u64) -> Result<(), Infallible> {
        self.records = self.records.split_off(&index);
        Ok(())
    }
}

impl SnapshotStore for Volatile {
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), AppError> {
        self.files.insert(name.to_string(), Bytes::from(bytes));
        Ok(())
    }
    fn get(&mut self, name: &str) -> Result<Option<Bytes>, AppError> {
        Ok(self.files.get(name).cloned())
    }
    fn names(&mut self) -> Result<Vec<String>, AppError> {
        Ok(self.files.keys().cloned().collect())
    }
    fn remove(&mut self, name: &str) -> Result<(), AppError> {
        self.files.remove(name);
        Ok(())
    }
}
