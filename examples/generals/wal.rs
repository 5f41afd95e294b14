//! A general's log on disk: one file, appended to and synced.

use logothete::{Bytes, Wal};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Before each record: its index (8 bytes) and its length (4 bytes).
const HEADER: u64 = 12;

pub struct FileWal {
    file: File,
    /// Appended, not yet handed to the file: all records of one sync go down in one write.
    pending: Vec<u8>,
}

impl FileWal {
    /// Opens the log at `path`, which is made if it isn't there. A torn tail, where a crash cut the last write, is cut off:
    /// what stands there was never synced, so nothing was ever promised on it.
    ///
    /// # Errors
    /// The file's own.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut whole = 0;
        let mut input = BufReader::new(&file);
        while let Some((_, record)) = next_record(&mut input)? {
            whole += HEADER + record.len() as u64;
        }
        file.set_len(whole)?;
        file.sync_all()?;
        // The file's name must be as durable as what is written under it.
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(Self { file, pending: Vec::new() })
    }
}

/// The next record, or `None` where no whole one follows.
fn next_record(input: &mut impl Read) -> io::Result<Option<(u64, Bytes)>> {
    let mut header = Vec::new();
    input.by_ref().take(HEADER).read_to_end(&mut header)?;
    let Some((index, length)) = header.split_first_chunk::<8>() else { return Ok(None) };
    let Some((length, _)) = length.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length);
    let mut record = Vec::new();
    input.by_ref().take(length.into()).read_to_end(&mut record)?;
    let whole = record.len() as u64 == u64::from(length);
    Ok(whole.then(|| (u64::from_le_bytes(*index), Bytes::from(record))))
}

impl Wal for FileWal {
    type Error = io::Error;

    fn read(&mut self) -> impl Iterator<Item = io::Result<(u64, Bytes)>> {
        let failed = self.file.seek(SeekFrom::Start(0)).err();
        let mut input = BufReader::new(&self.file);
        failed.map(Err).into_iter().chain(std::iter::from_fn(move || next_record(&mut input).transpose()))
    }

    fn append(&mut self, index: u64, record: &[u8]) -> io::Result<()> {
        let length = u32::try_from(record.len()).map_err(io::Error::other)?;
        self.pending.extend_from_slice(&index.to_le_bytes());
        self.pending.extend_from_slice(&length.to_le_bytes());
        self.pending.extend_from_slice(record);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.write_all(&self.pending)?;
        self.pending.clear();
        self.file.sync_data()
    }

    fn truncate_before(&mut self, _index: u64) -> io::Result<()> {
        // One file can't be shortened at its front, and forgetting is never urgent.
        Ok(())
    }
}
