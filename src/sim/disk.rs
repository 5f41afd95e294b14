//! What a host keeps on its disk, in memory: the log, the snapshots, and what can go wrong with them. And a service that remembers everything.

use crate::{AppError, Bytes, ClientId, Decision, Record, RequestNumber, Service, SnapshotStore};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// A disk that outlives its host; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Rc<RefCell<Content>>);

/// What is on it, and what it refuses.
#[derive(Debug, Default)]
pub struct Content {
    /// Snapshots and their parts, by name.
    pub files: BTreeMap<String, Bytes>,
    /// Records by index.
    pub log: Vec<(u64, Bytes)>,
    /// Those behind them that nobody has looked at since they were appended: most never are, and are no bytes before.
    fresh: Vec<(u64, Record)>,
    /// Nothing more can be stored.
    pub full: bool,
    /// So many bytes were ever put into files.
    pub written: u64,
    /// A bit of a file is another than was put there.
    pub spoiled: bool,
    /// Records stay, though they may go.
    pub hoards: bool,
    /// So many changes of files are made before the host crashes in the middle of one.
    pub changes_left: Option<u64>,
}

impl Content {
    /// Nothing with this index or a higher one stays.
    fn make_room(&mut self, index: u64) {
        let last = self.fresh.last().map(|(last, _)| *last).or(self.log.last().map(|(last, _)| *last));
        if last.is_some_and(|last| last >= index) {
            self.log.retain(|(old, _)| *old < index);
            self.fresh.retain(|(old, _)| *old < index);
        }
    }

    fn change(&mut self) -> Result<(), AppError> {
        match &mut self.changes_left {
            Some(0) => Err("the host crashes".into()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Disk {
    /// Looks at what is on it, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut Content) -> T) -> T {
        let mut content = self.0.borrow_mut();
        let fresh = core::mem::take(&mut content.fresh);
        content.log.extend(fresh.into_iter().map(|(index, record)| (index, record.to_bytes())));
        look(&mut content)
    }

    /// Nothing more can be stored.
    pub(super) fn is_full(&self) -> bool {
        self.0.borrow().full
    }

    /// All records.
    pub fn log(&self) -> Vec<(u64, Bytes)> {
        self.with(|content| content.log.clone())
    }

    /// Appends bytes of a record in the place of what a torn write left.
    pub fn append(&self, index: u64, bytes: Bytes) {
        self.with(|content| {
            content.make_room(index);
            content.log.push((index, bytes));
        });
    }

    /// The same for a whole record.
    pub(super) fn append_record(&self, index: u64, record: Record) {
        let mut content = self.0.borrow_mut();
        content.make_room(index);
        content.fresh.push((index, record));
    }

    /// Forgets the records below `index`, unless it hoards.
    pub fn truncate_before(&self, index: u64) {
        let mut content = self.0.borrow_mut();
        if !content.hoards {
            content.log.retain(|(old, _)| *old >= index);
            content.fresh.retain(|(old, _)| *old >= index);
        }
    }
}

impl SnapshotStore for Disk {
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), AppError> {
        let mut content = self.0.borrow_mut();
        if content.full {
            return Err("disk full".into());
        }
        content.change()?;
        content.written += bytes.len() as u64;
        // Most parts of a snapshot are those of the last one.
        match content.files.get_mut(name) {
            Some(file) if **file == *bytes => {}
            Some(file) => *file = Bytes::from(bytes),
            None => {
                content.files.insert(name.to_owned(), Bytes::from(bytes));
            }
        }
        Ok(())
    }
    fn get(&mut self, name: &str) -> Result<Option<Bytes>, AppError> {
        Ok(self.0.borrow().files.get(name).cloned())
    }
    fn names(&mut self) -> Result<Vec<String>, AppError> {
        Ok(self.0.borrow().files.keys().cloned().collect())
    }
    fn remove(&mut self, name: &str) -> Result<(), AppError> {
        let mut content = self.0.borrow_mut();
        content.change()?;
        content.files.remove(name);
        Ok(())
    }
}

/// One request that was executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Whose request.
    pub client: ClientId,
    /// Its number.
    pub number: RequestNumber,
    /// What it asked for.
    pub operation: Vec<u8>,
}

/// A defect of a host's service: with each of the next so many executions it adds this byte to its state.
pub type Flaw = Rc<Cell<(u8, u64)>>;

/// Remembers every operation, in order; the result is the operation.
#[derive(Default)]
pub struct Diary {
    /// Everything executed, in order.
    pub done: Vec<Done>,
    /// What a defect has added to its state that the others don't have.
    pub quirk: Vec<u8>,
    /// What is wrong with it.
    pub flaw: Flaw,
    /// A service of somebody else, which gives the results and is part of the state.
    pub inner: Option<Box<dyn Service>>,
}

impl Service for Diary {
    fn execute(&mut self, decision: &Decision) -> Vec<Bytes> {
        let (byte, times) = self.flaw.get();
        if times > 0 {
            self.quirk.push(byte);
            self.flaw.set((byte, times - 1));
        }
        let answers = self.inner.as_mut().map(|inner| inner.execute(decision));
        let own = decision
            .requests()
            .map(|request| {
                let operation = request.operation().to_vec();
                self.done.push(Done { client: request.client(), number: request.number(), operation });
                Bytes::from(request.operation())
            })
            .collect();
        answers.unwrap_or(own)
    }

    fn snapshot(&self) -> Vec<u8> {
        let done: usize = self.done.iter().map(|done| 44 + done.operation.len()).sum();
        let mut bytes = Vec::with_capacity(4 + self.quirk.len() + done);
        bytes.extend_from_slice(&(self.quirk.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.quirk);
        for Done { client, number, operation } in &self.done {
            bytes.extend_from_slice(client.as_bytes());
            bytes.extend_from_slice(&number.get().to_le_bytes());
            bytes.extend_from_slice(&(operation.len() as u32).to_le_bytes());
            bytes.extend_from_slice(operation);
        }
        if let Some(inner) = &self.inner {
            let count = bytes.len() as u32;
            bytes.extend_from_slice(&inner.snapshot());
            bytes.extend_from_slice(&count.to_le_bytes());
        }
        bytes
    }

    fn restore(&mut self, mut snapshot: &[u8]) -> Result<(), AppError> {
        self.done.clear();
        if let Some(inner) = &mut self.inner {
            let (whole, count) = snapshot.split_last_chunk::<4>().ok_or("a snapshot without an end")?;
            let (own, rest) = whole.split_at_checked(u32::from_le_bytes(*count) as usize).ok_or("a snapshot of another form")?;
            inner.restore(rest)?;
            snapshot = own;
        }
        let (length, rest) = snapshot.split_at(4);
        let (quirk, rest) = rest.split_at(u32::from_le_bytes(length.try_into()?) as usize);
        self.quirk = quirk.to_vec();
        snapshot = rest;
        while !snapshot.is_empty() {
            let (head, rest) = snapshot.split_at(44);
            let length = u32::from_le_bytes(head[40..].try_into()?) as usize;
            let number = u64::from_le_bytes(head[32..40].try_into()?);
            let client = ClientId::new(head[..32].try_into()?);
            let (operation, rest) = rest.split_at(length);
            self.done.push(Done { client, number: RequestNumber::new(number), operation: operation.to_vec() });
            snapshot = rest;
        }
        Ok(())
    }
}
