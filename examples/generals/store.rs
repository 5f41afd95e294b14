//! A general's snapshots on disk: a folder with a file for each name.

use crate::wal::make_folder;
use logothete::{AppError, Bytes, SnapshotStore};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Behind the name of a file that is still being written.
const UNFINISHED: &str = ".new";

pub struct FileStore {
    folder: PathBuf,
}

impl FileStore {
    /// Opens the store in `folder`, which is made if it isn't there.
    ///
    /// # Errors
    /// The file system's own.
    pub fn open(folder: &Path) -> io::Result<Self> {
        make_folder(folder)?;
        for file in fs::read_dir(folder)? {
            let path = file?.path();
            // A crash came before it had its name.
            if path.to_str().is_some_and(|path| path.ends_with(UNFINISHED)) {
                fs::remove_file(path)?;
            }
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Writes what is to be `name`, but doesn't name it so yet. A crash in the middle of [`put`](SnapshotStore::put) leaves this behind,
    /// or a part of it.
    ///
    /// # Errors
    /// The file system's own.
    pub fn prepare(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.folder.join(format!("{name}{UNFINISHED}"));
        let mut file = File::create(&path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(path)
    }
}

impl SnapshotStore for FileStore {
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), AppError> {
        fs::rename(self.prepare(name, bytes)?, self.folder.join(name))?;
        Ok(File::open(&self.folder)?.sync_all()?)
    }

    fn get(&mut self, name: &str) -> Result<Option<Bytes>, AppError> {
        match fs::read(self.folder.join(name)) {
            Ok(bytes) => Ok(Some(Bytes::from(bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn names(&mut self) -> Result<Vec<String>, AppError> {
        let mut names = Vec::new();
        for file in fs::read_dir(&self.folder)? {
            names.extend(file?.file_name().into_string().ok().filter(|name| !name.ends_with(UNFINISHED)));
        }
        Ok(names)
    }

    fn remove(&mut self, name: &str) -> Result<(), AppError> {
        match fs::remove_file(self.folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}
