//! Where a node's tape goes: a file for each start.

use crate::error::{Result, fault};
use logothete::ReplicaId;
use logothete::tape::Sink;
use std::fs::{File, create_dir_all};
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// A new tape, named by the node and the time of day.
///
/// # Errors
/// The file can't be made.
pub fn open(folder: &Path, id: ReplicaId) -> Result<Sink> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let path = folder.join(format!("node{id}-{since}.tape"));
    let made = create_dir_all(folder).and_then(|()| File::create_new(&path));
    let mut file = Some(made.map_err(|error| fault(format!("{}: {error}", path.display())))?);
    Ok(Box::new(move |bytes| {
        // A tape that has a gap is none. Without it the node goes on as well.
        if let Some(Err(error)) = file.as_mut().map(|file| file.write_all(bytes)) {
            tracing::warn!("the tape {} ends here: {error}", path.display());
            file = None;
        }
    }))
}
