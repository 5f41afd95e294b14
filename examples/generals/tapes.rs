//! Tapes of all generals' lives, for those who want to see them.

use logothete::tape::{Sink, Tape, picture};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// So much of one life is kept: the beginning.
const BYTES_MAX: usize = 64 << 20;

/// One after the other, as these lives began.
#[derive(Clone, Default)]
pub struct Tapes(Arc<Mutex<Vec<Vec<u8>>>>);

impl Tapes {
    /// A new one.
    pub fn reel(&self) -> Sink {
        let tapes = self.0.clone();
        let index = {
            let mut all = tapes.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(Vec::new());
            all.len() - 1
        };
        let mut full = false;
        Box::new(move |bytes| {
            let mut all = tapes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(tape) = all.get_mut(index).filter(|tape| !full && tape.len() + bytes.len() <= BYTES_MAX) {
                tape.extend_from_slice(bytes);
            } else {
                full = true;
            }
        })
    }

    /// Draws them all.
    ///
    /// # Errors
    /// One of them can't be read or played, or the file can't be written.
    pub fn draw(&self, title: &str, file: &Path) -> Result<(), String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tapes = all.iter().map(|bytes| Tape::read(bytes).map_err(|error| error.to_string())).collect::<Result<Vec<_>, _>>()?;
        let page = picture(title, &tapes).map_err(|error| error.to_string())?;
        std::fs::write(file, page).map_err(|error| format!("{}: {error}", file.display()))
    }
}
