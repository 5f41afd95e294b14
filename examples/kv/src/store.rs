//! What a node must not lose: its log, in files that are only appended to, and its snapshots, in one database file.
//!
//! A group of votes costs one write to the log and one sync. A snapshot is written in one transaction, and durable before it is voted on: what was
//! executed since the newest one is executed again from the log after a crash.

use crate::error::{Fault, Result, fault};
use crate::wal::FileWal;
use logothete::{Bytes, Record, Wal};
use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadableTable, StorageBackend, TableDefinition, WriteTransaction};
use std::cell::{Ref, RefCell};
use std::fs::File;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// Parts of snapshots, under their digests.
pub const PARTS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("parts");
/// Snapshots, by position.
pub const MANIFESTS: TableDefinition<u64, &[u8]> = TableDefinition::new("manifests");
pub const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

/// Names in `META`.
pub const OWNER: &str = "owner";
pub const INCOMING: &str = "incoming";
/// Said by `init` once, and gone with the first start: this node is new.
pub const NEW: &str = "new";

struct Inner {
    database: Arc<Database>,
    open: Option<WriteTransaction>,
    /// Since when there is something to commit.
    dirty_since: Option<Instant>,
    commits: u64,
}

/// The database with its open transaction. Log and state share it; one thread has both.
#[derive(Clone)]
pub struct Store(Rc<RefCell<Inner>>);

/// How a database is opened.
pub struct Opening {
    pub cache_bytes: usize,
    /// For benchmarks alone it can be left out, to see what the disk costs.
    pub fsync: bool,
}

impl Default for Opening {
    fn default() -> Self {
        Self { cache_bytes: 64 << 20, fsync: true }
    }
}

/// A file that is never synced; all else is as with one that is.
#[derive(Debug)]
struct Unsynced(FileBackend);

impl StorageBackend for Unsynced {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.0.read(offset, len)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self, _eventual: bool) -> io::Result<()> {
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

fn unsynced(builder: &Builder, path: &Path, create: bool) -> Result<Database, DatabaseError> {
    let file = File::options().read(true).write(true).create(create).truncate(false).open(path)?;
    builder.create_with_backend(Unsynced(FileBackend::new(file)?))
}

/// Opens the database file, and makes it if `create`.
///
/// # Errors
/// It is not there, another process has it, or it is damaged.
pub fn open_database(path: &Path, create: bool, opening: &Opening) -> Result<Database> {
    let mut builder = Database::builder();
    builder.set_cache_size(opening.cache_bytes);
    // A process that was killed a moment ago may not be gone yet.
    let patience = Instant::now() + std::time::Duration::from_secs(3);
    let database = loop {
        let database = match (opening.fsync, create) {
            (false, _) => unsynced(&builder, path, create),
            (true, true) => builder.create(path),
            (true, false) => builder.open(path),
        };
        if !matches!(database, Err(DatabaseError::DatabaseAlreadyOpen)) || Instant::now() > patience {
            break database;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    database.map_err(|error| {
        let hint = match &error {
            DatabaseError::DatabaseAlreadyOpen => "another process has it open: a key must never run twice",
            _ => "is this the right folder? a node whose data is lost has to be started with --rejoin, never as new",
        };
        fault(format!("{}: {error}; {hint}", path.display()))
    })
}

impl Store {
    pub fn new(database: Arc<Database>) -> Self {
        Self(Rc::new(RefCell::new(Inner { database, open: None, dirty_since: None, commits: 0 })))
    }

    /// The open transaction, begun if there is none. What is read in it is what was last written in it.
    ///
    /// # Errors
    /// The database's own.
    pub fn transaction(&self) -> Result<Ref<'_, WriteTransaction>> {
        {
            let mut inner = self.0.borrow_mut();
            if inner.open.is_none() {
                let mut transaction = inner.database.begin_write()?;
                // Values are anybody's to choose: two phases don't rest on a checksum that could be aimed at. And a node that was killed
                // starts at once, without a walk through the whole file.
                transaction.set_quick_repair(true);
                inner.open = Some(transaction);
            }
        }
        Ref::filter_map(self.0.borrow(), |inner| inner.open.as_ref()).map_err(|_| fault("no transaction"))
    }

    /// There is something to commit.
    pub fn touch(&self) {
        self.0.borrow_mut().dirty_since.get_or_insert_with(Instant::now);
    }

    pub fn dirty_since(&self) -> Option<Instant> {
        self.0.borrow().dirty_since
    }

    pub fn commits(&self) -> u64 {
        self.0.borrow().commits
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// The disk's: nothing since the last commit may be taken for durable, and the process must stop.
    pub fn commit(&self) -> Result<()> {
        let open = {
            let mut inner = self.0.borrow_mut();
            inner.dirty_since = None;
            inner.commits += 1;
            inner.open.take()
        };
        match open {
            Some(transaction) => Ok(transaction.commit()?),
            None => Ok(()),
        }
    }

    /// # Errors
    /// The database's own.
    pub fn meta(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.transaction()?.open_table(META)?.get(name)?.map(|value| value.value().to_vec()))
    }

    /// # Errors
    /// The database's own.
    pub fn set_meta(&self, name: &str, value: Option<&[u8]>) -> Result<()> {
        let transaction = self.transaction()?;
        let mut table = transaction.open_table(META)?;
        match value {
            Some(value) => table.insert(name, value)?,
            None => table.remove(name)?,
        };
        drop(table);
        drop(transaction);
        self.touch();
        Ok(())
    }
}

/// Bytes of a log file before the next is begun.
const SEGMENT_BYTES: u64 = 32 << 20;

/// The replica's log, which knows of the state beside it.
pub struct Log {
    wal: FileWal,
    store: Store,
    /// The data folder says so still.
    is_new: bool,
    syncs: u64,
}

impl Log {
    /// The log in a data folder.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(folder: &Path, store: Store, fsync: bool) -> Result<Self> {
        let wal = FileWal::open(&folder.join("log")).map_err(log_fault)?.segments_of(SEGMENT_BYTES);
        let is_new = store.meta(NEW)?.is_some();
        Ok(Self { wal: if fsync { wal } else { wal.unsynced() }, store, is_new, syncs: 0 })
    }

    pub fn is_new(&self) -> bool {
        self.is_new
    }

    pub fn syncs(&self) -> u64 {
        self.syncs
    }
}

fn log_fault(error: io::Error) -> Fault {
    fault(format!("the log: {error}"))
}

impl Wal for Log {
    type Error = Fault;

    fn read(&mut self) -> impl Iterator<Item = Result<(u64, Bytes)>> {
        self.wal.read().map(|record| record.map_err(log_fault))
    }

    fn append(&mut self, index: u64, record: &Record) -> Result<()> {
        self.wal.append(index, record).map_err(log_fault)
    }

    fn sync(&mut self) -> Result<()> {
        self.wal.sync().map_err(log_fault)?;
        self.syncs += 1;
        // Before anything is said: a node that has spoken is never new again, whatever becomes of its log. (SPEC D2)
        if std::mem::take(&mut self.is_new) {
            self.store.set_meta(NEW, None)?;
            self.store.commit()?;
        }
        Ok(())
    }

    fn truncate_before(&mut self, index: u64) -> Result<()> {
        // What goes need not be executed again.
        self.store.commit()?;
        self.wal.truncate_before(index).map_err(log_fault)
    }
}
