//! A folder for the generals' logs, gone when the program is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub struct Folder(PathBuf);

impl Folder {
    /// Makes a folder that wasn't there before.
    ///
    /// # Errors
    /// The file system's own.
    pub fn create() -> io::Result<Self> {
        let mut count = 0;
        loop {
            let path = std::env::temp_dir().join(format!("logothete-generals-{}-{count}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                // Left behind by a run that was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && count < 1000 => count += 1,
                Err(error) => return Err(error),
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What can't be removed here, the system's own cleaning of temporary files will.
        let _ = fs::remove_dir_all(&self.0);
    }
}
