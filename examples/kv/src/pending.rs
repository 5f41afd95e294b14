//! What a client must not forget: which number comes next, and the operations that were sent and not yet answered. (SPEC S1)
//!
//! It lies beside the client's key. Operations are stored before they are sent, so that a client that was killed sends the same again
//! under the same numbers: each is executed once.

use crate::error::{Result, fault};
use redb::{Database, ReadableTable, TableDefinition};
use std::collections::BTreeMap;
use std::path::Path;

const OPERATIONS: TableDefinition<u64, &[u8]> = TableDefinition::new("operations");
const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("numbers");
const NEXT: &str = "next";

pub struct Pending {
    /// None for a client that is never started again, as in tests.
    database: Option<Database>,
    /// In order, each with whether it is answered: what is answered goes when all before it are.
    operations: BTreeMap<u64, (Vec<u8>, bool)>,
    next: u64,
    gone_below: u64,
}

impl Pending {
    pub fn in_memory() -> Self {
        Self { database: None, operations: BTreeMap::new(), next: 1, gone_below: 1 }
    }

    /// Makes the file of a client whose key was never used.
    ///
    /// # Errors
    /// It is there already, or can't be written.
    pub fn create(path: &Path, next: u64) -> Result<()> {
        if path.exists() {
            return Err(fault(format!("{} is there already", path.display())));
        }
        let database = Database::create(path)?;
        let transaction = database.begin_write()?;
        transaction.open_table(OPERATIONS)?;
        transaction.open_table(NUMBERS)?.insert(NEXT, next)?;
        Ok(transaction.commit()?)
    }

    /// # Errors
    /// It isn't there, or another process has it.
    pub fn open(path: &Path) -> Result<Self> {
        let database = Database::open(path).map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => {
                fault(format!("{}: another process uses this client's key now; wait for it, or use another client", path.display()))
            }
            error => fault(format!(
                "{}: {error}; it holds the number of this client's next request. If it is lost, or damaged and moved away, `kv recover` asks the nodes for it",
                path.display()
            )),
        })?;
        let transaction = database.begin_read()?;
        let next = transaction.open_table(NUMBERS)?.get(NEXT)?.map_or(1, |next| next.value());
        let mut operations = BTreeMap::new();
        for entry in transaction.open_table(OPERATIONS)?.iter()? {
            let (number, operation) = entry?;
            operations.insert(number.value(), (operation.value().to_vec(), false));
        }
        transaction.close()?;
        let gone_below = operations.keys().next().copied().unwrap_or(next);
        Ok(Self { database: Some(database), operations, next, gone_below })
    }

    /// The number to start with: of the first operation that is not answered, or the next.
    pub fn first(&self) -> u64 {
        self.operations.keys().next().copied().unwrap_or(self.next)
    }

    /// What was sent and not answered, in order.
    pub fn operations(&self) -> impl Iterator<Item = &[u8]> {
        self.operations.values().map(|(operation, _)| &operation[..])
    }

    pub fn has(&self, number: u64) -> bool {
        self.operations.contains_key(&number)
    }

    /// Stores operations that are about to be sent, and a mark of the caller's with them, durably.
    ///
    /// # Errors
    /// The disk's; then they must not be sent.
    pub fn add(&mut self, operations: &[Vec<u8>], mark: Option<(&str, u64)>) -> Result<()> {
        let first = self.next;
        for operation in operations {
            self.operations.insert(self.next, (operation.clone(), false));
            self.next += 1;
        }
        self.store(first, mark)
    }

    fn store(&mut self, first: u64, mark: Option<(&str, u64)>) -> Result<()> {
        let below = self.first();
        if let Some(database) = &self.database {
            let transaction = database.begin_write()?;
            {
                let (mut stored, mut numbers) = (transaction.open_table(OPERATIONS)?, transaction.open_table(NUMBERS)?);
                for number in self.gone_below..below {
                    stored.remove(number)?;
                }
                for (number, (operation, _)) in self.operations.range(first..) {
                    stored.insert(number, &operation[..])?;
                }
                numbers.insert(NEXT, self.next)?;
                if let Some((name, value)) = mark {
                    numbers.insert(name, value)?;
                }
            }
            transaction.commit()?;
        }
        self.gone_below = below;
        Ok(())
    }

    /// An operation is answered.
    pub fn complete(&mut self, number: u64) {
        if let Some((_, answered)) = self.operations.get_mut(&number) {
            *answered = true;
        }
        while self.operations.first_key_value().is_some_and(|(_, (_, answered))| *answered) {
            self.operations.pop_first();
        }
    }

    /// Writes down what is answered.
    ///
    /// # Errors
    /// The disk's.
    pub fn flush(&mut self) -> Result<()> {
        if self.gone_below < self.first() { self.store(self.next, None) } else { Ok(()) }
    }

    /// Requests of this key up to `last` are executed, whoever sent them: goes on behind them. What was pending under such numbers is given up, and so is each mark
    /// then, since it may count what was not executed. Gives how many operations that were.
    ///
    /// # Errors
    /// The disk's.
    pub fn skip(&mut self, last: u64) -> Result<usize> {
        let kept = self.operations.split_off(&last.saturating_add(1));
        let given_up = std::mem::replace(&mut self.operations, kept).len();
        self.next = self.next.max(last.saturating_add(1));
        if let Some(database) = self.database.as_ref().filter(|_| given_up > 0) {
            let transaction = database.begin_write()?;
            transaction.open_table(NUMBERS)?.retain(|name, _| name == NEXT)?;
            transaction.commit()?;
        }
        self.store(self.next, None)?;
        Ok(given_up)
    }

    /// A mark that was stored with operations; 0 if none was.
    ///
    /// # Errors
    /// The disk's.
    pub fn mark(&self, name: &str) -> Result<u64> {
        let Some(database) = &self.database else { return Ok(0) };
        Ok(database.begin_read()?.open_table(NUMBERS)?.get(name)?.map_or(0, |mark| mark.value()))
    }
}
