//! The orders: each line of the input is one, and the digest of all of them in order is what the generals' logs must come to.

use crate::args::Source;
use logothete::Bytes;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// All of the input is held in memory: this bounds it.
const INPUT_BYTES_MAX: u64 = 1 << 30;

/// The digest of a log: of the log before it, and of its last operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogDigest([u8; 32]);

impl LogDigest {
    /// Of the empty log.
    pub const EMPTY: Self = Self([0; 32]);

    /// One that was stored.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// To be stored.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Of this log with one operation more.
    #[must_use]
    pub fn and(self, operation: &[u8]) -> Self {
        Self(Sha256::new().chain_update(self.0).chain_update(operation).finalize().into())
    }
}

impl fmt::Display for LogDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What the commander has to say.
pub struct Orders {
    source: Source,
    text: String,
    /// Where it came from, in words.
    pub name: String,
}

impl Orders {
    /// Reads and checks all of the input.
    ///
    /// # Errors
    /// One line that says what is wrong with it.
    pub fn read(source: &Source, operation_bytes_max: u32) -> Result<Self, String> {
        let name = path(source).map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
        let bytes = read_bytes(source).map_err(|error| format!("{name}: {error}"))?;
        if bytes.len() as u64 > INPUT_BYTES_MAX {
            return Err(format!("{name}: longer than {INPUT_BYTES_MAX} bytes"));
        }
        let text = String::from_utf8(bytes)
            .map_err(|error| format!("{name}: not a text, byte {} is not UTF-8", error.utf8_error().valid_up_to() + 1))?;
        if let Some(position) = text.find('\0') {
            return Err(format!("{name}: not a text, byte {} is NUL", position + 1));
        }
        let orders = Self { source: source.clone(), text, name };
        let longest = orders.iter().enumerate().find(|(_, operation)| operation.len() > operation_bytes_max as usize);
        match longest {
            Some((index, operation)) => Err(format!(
                "{}: line {} is too long: an order of {} bytes, where {operation_bytes_max} is the most",
                orders.name,
                index + 1,
                operation.len()
            )),
            None => Ok(orders),
        }
    }

    /// The operations, in order. The line's number stands before its text, so that no operation is empty and no two are equal.
    pub fn iter(&self) -> impl Iterator<Item = Bytes> + '_ {
        self.lines().enumerate().map(|(index, line)| Bytes::from(format!("{}\t{line}", index + 1).into_bytes()))
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.lines().count() as u64
    }

    /// A pipe gives its lines only once, and would let us wait for ever.
    fn can_be_read_again(&self) -> bool {
        path(&self.source).is_some_and(|path| path.is_file())
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        // A newline ends a line, it doesn't begin another; a carriage return belongs to the line's text.
        self.text.split_terminator('\n')
    }

    /// The digest that the log of these orders, each once and in order, has. A file is read again: what stands in it is what counts.
    ///
    /// # Errors
    /// The input isn't any more what it was when it was read first.
    pub fn expected_log(&self) -> Result<LogDigest, String> {
        if self.can_be_read_again() {
            let again = read_bytes(&self.source).map_err(|error| format!("{}: {error}", self.name))?;
            if again != self.text.as_bytes() {
                return Err(format!("{} has changed while its lines were being ordered", self.name));
            }
        }
        Ok(self.iter().fold(LogDigest::EMPTY, |log, operation| log.and(&operation)))
    }
}

fn path(source: &Source) -> Option<PathBuf> {
    match source {
        Source::StandardInput => None,
        Source::File(path) => Some(path.clone()),
        Source::Specification => Some(specification()),
    }
}

fn specification() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("SPEC.md")
}

fn read_bytes(source: &Source) -> std::io::Result<Vec<u8>> {
    let input: Box<dyn Read> = match path(source) {
        None => Box::new(std::io::stdin().lock()),
        Some(path) => Box::new(File::open(path)?),
    };
    let mut bytes = Vec::new();
    // One byte beyond the bound shows that there is more.
    input.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
