//! A log and a store whose owner may be killed: at each instant that leaves something else behind.

use crate::killer::Doom;
use crate::store::FileStore;
use crate::wal::FileWal;
use logothete::{AppError, Bytes, Record, SnapshotStore, Wal};
use std::io;

/// What is owned, and its owner's doom if he has one.
pub struct Mortal<T> {
    owned: T,
    doom: Option<Doom>,
}

impl<T> Mortal<T> {
    pub fn new(owned: T, doom: Option<Doom>) -> Self {
        Self { owned, doom }
    }

    fn strikes(&self, bytes: usize) -> Option<usize> {
        self.doom.as_ref()?.strikes(bytes)
    }

    /// An instant between two things that are done.
    fn passes(&self) -> io::Result<()> {
        self.strikes(0).map_or(Ok(()), |_| Err(killed()))
    }
}

/// Nobody reads this: the one who would is dead.
fn killed() -> io::Error {
    io::Error::other("killed")
}

impl Wal for Mortal<FileWal> {
    type Error = io::Error;

    fn read(&mut self) -> impl Iterator<Item = io::Result<(u64, Bytes)>> {
        self.owned.read()
    }

    fn append(&mut self, index: u64, record: &Record) -> io::Result<()> {
        self.owned.append(index, record)
    }

    fn sync(&mut self) -> io::Result<()> {
        if let Some(kept) = self.strikes(self.owned.pending()) {
            self.owned.tear(kept)?;
            return Err(killed());
        }
        self.owned.sync()?;
        self.doom.iter().for_each(Doom::set_up);
        // On record, but not a word of it said.
        self.passes()
    }

    fn truncate_before(&mut self, index: u64) -> io::Result<()> {
        self.owned.truncate_before(index)?;
        self.passes()
    }
}

impl SnapshotStore for Mortal<FileStore> {
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), AppError> {
        if let Some(kept) = self.strikes(bytes.len()) {
            self.owned.prepare(name, bytes.get(..kept).unwrap_or(bytes))?;
            return Err(killed().into());
        }
        self.owned.put(name, bytes)?;
        Ok(self.passes()?)
    }

    fn get(&mut self, name: &str) -> Result<Option<Bytes>, AppError> {
        self.owned.get(name)
    }

    fn names(&mut self) -> Result<Vec<String>, AppError> {
        self.owned.names()
    }

    fn remove(&mut self, name: &str) -> Result<(), AppError> {
        self.owned.remove(name)?;
        Ok(self.passes()?)
    }
}
