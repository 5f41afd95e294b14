//! A general's log on disk: a folder of segments, each a file named by its first record's index. The oldest go when nobody needs them.

use logothete::{Bytes, Frames, Record, Wal};
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// A segment that is longer than this gets a successor. Where more is written than in a short run, some MiB are better.
const SEGMENT_BYTES: u64 = 256 * 1024;

/// Where the last record begins that was found: if it was cut off, the log is cut here before another is written.
struct Tail {
    index: u64,
    offset: u64,
}

pub struct FileWal {
    folder: PathBuf,
    /// The first index of each segment, in order.
    segments: VecDeque<u64>,
    /// The last segment, open for appending, and its length.
    last: Option<(File, u64)>,
    tail: Option<Tail>,
    /// Appended, not yet handed to the file: all records of one sync go down in one write.
    pending: Vec<u8>,
    pending_first: u64,
    segment_bytes: u64,
    is_synced: bool,
}

impl FileWal {
    /// Opens the log in `folder`, which is made if it isn't there.
    ///
    /// # Errors
    /// The file system's own.
    pub fn open(folder: &Path) -> io::Result<Self> {
        make_folder(folder)?;
        let mut segments = Vec::new();
        for file in fs::read_dir(folder)? {
            let name = file?.file_name();
            segments.extend(name.to_str().and_then(|name| name.strip_suffix(".log")?.parse::<u64>().ok()));
        }
        segments.sort_unstable();
        let mut wal = Self {
            folder: folder.to_owned(),
            segments: segments.into(),
            last: None,
            tail: None,
            pending: Vec::new(),
            pending_first: 0,
            segment_bytes: SEGMENT_BYTES,
            is_synced: true,
        };
        if let Some(first) = wal.segments.back() {
            let file = OpenOptions::new().append(true).open(wal.path(*first))?;
            let length = file.metadata()?.len();
            wal.last = Some((file, length));
        }
        Ok(wal)
    }

    /// With segments of another length.
    #[allow(dead_code, reason = "for the example kv, which has this log too")]
    pub fn segments_of(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Never synced, and so no log: to measure what the disk costs.
    #[allow(dead_code, reason = "for the example kv, which has this log too")]
    pub fn unsynced(mut self) -> Self {
        self.is_synced = false;
        self
    }

    fn path(&self, first: u64) -> PathBuf {
        self.folder.join(format!("{first:020}.log"))
    }

    /// All segments are one stream: a record that was cut off is handed out like the others, and the replica judges it.
    fn records(&mut self) -> io::Result<Vec<(u64, Bytes)>> {
        let mut stream: Box<dyn Read> = Box::new(io::empty());
        let mut earlier = 0;
        for (place, first) in self.segments.iter().enumerate() {
            let file = File::open(self.path(*first))?;
            if place + 1 < self.segments.len() {
                earlier += file.metadata()?.len();
            }
            stream = Box::new(stream.chain(BufReader::new(file)));
        }
        let mut frames = Frames::new(stream);
        let mut records = Vec::new();
        loop {
            let begins = frames.offset();
            let Some(record) = frames.next().transpose()? else { break };
            // In an earlier segment it is whole, or the replica will refuse the log.
            self.tail = begins.checked_sub(earlier).map(|offset| Tail { index: record.0, offset });
            records.push(record);
        }
        Ok(records)
    }

    /// What was appended goes into a new segment if the last one is long enough.
    fn make_room(&mut self) -> io::Result<&mut (File, u64)> {
        if self.last.as_ref().is_none_or(|(_, length)| *length >= self.segment_bytes) {
            let file = OpenOptions::new().append(true).create_new(true).open(self.path(self.pending_first))?;
            // The file's name must be as durable as what is written under it.
            File::open(&self.folder)?.sync_all()?;
            self.segments.push_back(self.pending_first);
            self.last = Some((file, 0));
        }
        self.last.as_mut().ok_or_else(|| io::Error::other("no segment"))
    }

    /// Bytes that are appended and not yet synced.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// What a crash in the middle of [`sync`](Wal::sync) leaves behind: only the first `kept` bytes of what was to be written.
    pub fn tear(&mut self, kept: usize) -> io::Result<()> {
        self.pending.truncate(kept);
        self.sync()
    }
}

/// Makes a folder whose name outlives a crash.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

impl Wal for FileWal {
    type Error = io::Error;

    fn read(&mut self) -> impl Iterator<Item = io::Result<(u64, Bytes)>> {
        let (records, error) = match self.records() {
            Ok(records) => (records, None),
            Err(error) => (Vec::new(), Some(Err(error))),
        };
        records.into_iter().map(Ok).chain(error)
    }

    fn append(&mut self, index: u64, record: &Record) -> io::Result<()> {
        if let Some(tail) = self.tail.take().filter(|tail| index <= tail.index) {
            let Some((file, length)) = self.last.as_mut().filter(|_| index == tail.index) else {
                return Err(io::Error::other(format!("record {index} would replace more than the last one, {}", tail.index)));
            };
            // Durable before anything is written: a crash must not leave a mixture of the old bytes and the new.
            file.set_len(tail.offset)?;
            file.sync_all()?;
            *length = tail.offset;
        }
        if self.pending.is_empty() {
            self.pending_first = index;
        }
        record.write_to(|part| {
            self.pending.extend_from_slice(part);
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        let (is_synced, mut pending) = (self.is_synced, std::mem::take(&mut self.pending));
        let (file, length) = self.make_room()?;
        file.write_all(&pending)?;
        if is_synced {
            file.sync_data()?;
        }
        *length += pending.len() as u64;
        pending.clear();
        self.pending = pending;
        Ok(())
    }

    fn truncate_before(&mut self, index: u64) -> io::Result<()> {
        // A segment can go when the next one begins at or below `index`.
        while let (Some(first), true) = (self.segments.front(), self.segments.get(1).is_some_and(|next| *next <= index)) {
            fs::remove_file(self.path(*first))?;
            self.segments.pop_front();
            // One after the other: if a later one were gone and an earlier one back after a crash, the log would have a hole.
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(())
    }
}
