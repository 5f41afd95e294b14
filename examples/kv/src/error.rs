//! What went wrong, in words for whoever runs the program: what, where, and what to do.

use std::fmt;

pub struct Fault(String);

pub type Result<T, E = Fault> = std::result::Result<T, E>;

pub fn fault(text: impl Into<String>) -> Fault {
    Fault(text.into())
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `main` prints it so.
impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        fault(error.to_string())
    }
}

macro_rules! from_database {
    ($($name:ident),*) => { $(impl From<redb::$name> for Fault {
        fn from(error: redb::$name) -> Self {
            fault(format!("the database: {error}"))
        }
    })* };
}
from_database!(DatabaseError, TransactionError, TableError, StorageError, CommitError);
