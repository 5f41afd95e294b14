//! What a node needs of the replicated application: the whole of it, for hosts with a store of their own, and a simple form with snapshots kept for it.

use crate::hash::{Domain, hash};
use crate::ids::{Bytes, SequenceNumber};
use crate::manifest::{CheckpointOrder, Manifest, chunk_digest};
use crate::outbox::Decision;
use crate::replica::AppState;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write as _;

/// Why an application can't go on; what it says is for the operator.
pub type AppError = Box<dyn core::error::Error + Send + Sync>;

/// The replicated application, with a disk of its own. For a state that lives in memory, implement [`Service`] and let [`Snapshots`] do the rest.
///
/// It must be deterministic, its snapshots too: equal states are cut into equal parts everywhere.
pub trait Application {
    /// What is on the disk, when the process starts. (SPEC D2)
    ///
    /// # Errors
    /// The state can't be read. The node does not start.
    fn state(&mut self) -> Result<AppState, AppError>;
    /// Executes the requests of a decision in order and gives one result for each, of at most `result_bytes_max` bytes.
    ///
    /// Decisions come in the order of their sequence numbers, without gaps. After a restart they start again behind the `last_executed` of [`state`](Self::state).
    ///
    /// # Errors
    /// The node stops.
    fn execute(&mut self, decision: &Decision) -> Result<Vec<Bytes>, AppError>;
    /// Makes a durable snapshot of the state as it is now: the order's session parts, and the own state in parts of at most `chunk_bytes_max` bytes. (SPEC C1)
    ///
    /// # Errors
    /// The node stops.
    fn take_checkpoint(&mut self, order: &CheckpointOrder) -> Result<Manifest, AppError>;
    /// Snapshots below this position may go.
    ///
    /// # Errors
    /// The node stops.
    fn discard_before(&mut self, sequence_number: SequenceNumber) -> Result<(), AppError>;
    /// A part of a snapshot that was taken here; none if it is gone.
    ///
    /// # Errors
    /// The node stops.
    fn read_chunk(&mut self, sequence_number: SequenceNumber, index: u32) -> Result<Option<Bytes>, AppError>;
    /// A state is about to be fetched: which of its parts are not here yet? (SPEC C3)
    ///
    /// # Errors
    /// The node stops.
    fn missing_parts(&mut self, manifest: &Manifest) -> Result<Vec<u32>, AppError>;
    /// Keeps a part of the state that is being fetched, beside the present state.
    ///
    /// # Errors
    /// The node stops.
    fn store_chunk(&mut self, sequence_number: SequenceNumber, index: u32, bytes: &Bytes) -> Result<(), AppError>;
    /// Puts the fetched state in the place of the present one, at once and durably, and keeps it as a snapshot.
    ///
    /// # Errors
    /// The node stops; on the disk is the old state or the new one.
    fn install(&mut self, manifest: &Manifest) -> Result<AppState, AppError>;
}

/// A replicated application whose state lives in memory: deterministic, or its results and snapshots will not agree with the others'.
pub trait Service {
    /// Executes the requests of a decision in order and gives one result for each, of at most `result_bytes_max` bytes.
    ///
    /// Decisions come in the order of their sequence numbers, without gaps, each once.
    fn execute(&mut self, decision: &Decision) -> Vec<Bytes>;
    /// The whole state as bytes. Equal states give equal bytes, on every machine.
    fn snapshot(&self) -> Vec<u8>;
    /// Replaces the whole state by one that [`snapshot`](Self::snapshot) gave, here or on another machine.
    ///
    /// # Errors
    /// The bytes are no snapshot of this version of the service; the node stops.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), AppError>;
}

/// Where [`Snapshots`] keeps its files: a folder, a bucket, a table. `examples/generals/store.rs` is one over a folder, to be copied; [`Volatile`](crate::Volatile)
/// one for tests.
pub trait SnapshotStore {
    /// Stores bytes under a name, in the place of what was there. When it returns they are durable, and a crash leaves the old or the new ones.
    ///
    /// # Errors
    /// Not stored.
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), AppError>;
    /// What is stored under a name.
    ///
    /// # Errors
    /// It can't be read.
    fn get(&mut self, name: &str) -> Result<Option<Bytes>, AppError>;
    /// All names.
    ///
    /// # Errors
    /// They can't be listed.
    fn names(&mut self) -> Result<Vec<String>, AppError>;
    /// Removes a name; nothing happens if it isn't there.
    ///
    /// # Errors
    /// It can't be removed.
    fn remove(&mut self, name: &str) -> Result<(), AppError>;
}

/// Makes an [`Application`] of a [`Service`]: at each checkpoint the whole state is written to the store, and after a restart the replica
/// executes again what came after the last one.
///
/// Parts lie under the digest of their content, so that what two snapshots share is there once, and an interrupted transfer goes on where it was.
#[derive(Debug)]
pub struct Snapshots<S, D> {
    service: S,
    store: D,
    /// The state that is being fetched.
    incoming: Option<Manifest>,
}

/// Names the snapshot that is the present state.
const CURRENT: &str = "current";

const EMPTY_IT: &str = "empty the store, and the state will be fetched from other replicas";

/// With a checksum behind it, which tells what the disk has changed.
fn seal(bytes: &[u8]) -> Vec<u8> {
    [bytes, hash(Domain::Record, bytes).as_bytes()].concat()
}

fn unseal(sealed: &[u8]) -> Option<&[u8]> {
    let (bytes, checksum) = sealed.split_last_chunk::<32>()?;
    (hash(Domain::Record, bytes).as_bytes() == checksum).then_some(bytes)
}

fn manifest_name(number: SequenceNumber) -> String {
    format!("snapshot-{:020}", number.get())
}

fn part_name(manifest: &Manifest, index: u32) -> Result<String, AppError> {
    let digest = manifest.chunk(index).ok_or_else(|| format!("a snapshot has no part {index}"))?;
    let mut name = String::with_capacity(5 + 64);
    write!(name, "part-{digest}")?;
    Ok(name)
}

fn part_names(manifest: &Manifest) -> Vec<String> {
    (0..manifest.chunk_count()).filter_map(|index| part_name(manifest, index).ok()).collect()
}

impl<S: Service, D: SnapshotStore> Snapshots<S, D> {
    /// The service as it is when nothing was ever executed, and the store of this replica.
    pub fn new(service: S, store: D) -> Self {
        Self { service, store, incoming: None }
    }
    /// The service.
    pub fn service(&self) -> &S {
        &self.service
    }
    /// The store.
    pub fn store(&self) -> &D {
        &self.store
    }

    /// None if it is not there, or damaged: then its parts go with the next ones that are let go of.
    fn manifest(&mut self, number: SequenceNumber) -> Result<Option<Manifest>, AppError> {
        let bytes = self.store.get(&manifest_name(number))?;
        let whole = bytes.as_deref().and_then(unseal).and_then(|encoded| Manifest::decode(encoded).ok());
        Ok(whole.filter(|manifest| manifest.sequence_number() == number))
    }

    fn part(&mut self, manifest: &Manifest, index: u32) -> Result<Bytes, AppError> {
        let name = part_name(manifest, index)?;
        let part = self.store.get(&name)?.filter(|bytes| manifest.chunk(index) == Some(chunk_digest(bytes)));
        part.ok_or_else(|| {
            let number = manifest.sequence_number();
            format!("{name} of the snapshot at {number} is lost or damaged; {EMPTY_IT}").into()
        })
    }

    /// Those of `which` positions whose parts are all among `names`, which are in order.
    fn manifests(&mut self, names: &[String], which: impl Fn(SequenceNumber) -> bool) -> Result<Vec<(Manifest, Vec<String>)>, AppError> {
        let numbers = names.iter().filter_map(|name| name.strip_prefix("snapshot-")?.parse().ok().map(SequenceNumber::new));
        let mut whole = Vec::new();
        for number in numbers.filter(|number| which(*number)) {
            let Some(manifest) = self.manifest(number)? else { continue };
            let parts = part_names(&manifest);
            if parts.iter().all(|name| names.binary_search(name).is_ok()) {
                whole.push((manifest, parts));
            }
        }
        Ok(whole)
    }

    fn names(&mut self) -> Result<Vec<String>, AppError> {
        let mut names = self.store.names()?;
        names.sort_unstable();
        Ok(names)
    }

    /// Reads the parts of a snapshot: the session table, and the service's bytes.
    fn load(&mut self, manifest: &Manifest) -> Result<(Bytes, Vec<u8>), AppError> {
        let (mut sessions, mut state) = (Vec::new(), Vec::new());
        for index in 0..manifest.chunk_count() {
            let to = if index < manifest.session_chunk_count() { &mut sessions } else { &mut state };
            to.extend_from_slice(&self.part(manifest, index)?);
        }
        Ok((Bytes::from(sessions), state))
    }

    fn present(&mut self, manifest: &Manifest, sessions: Bytes) -> Result<AppState, AppError> {
        let names = self.names()?;
        Ok(AppState {
            last_executed: manifest.sequence_number(),
            log_digest: manifest.log_digest(),
            sessions,
            snapshots: self.manifests(&names, |_| true)?.into_iter().map(|(manifest, _)| manifest).collect(),
        })
    }

    fn make_current(&mut self, manifest: &Manifest) -> Result<(), AppError> {
        self.store.put(&manifest_name(manifest.sequence_number()), &seal(&manifest.encode()))?;
        // From here on, and not before, this is the state.
        self.store.put(CURRENT, &seal(&manifest.sequence_number().get().to_le_bytes()))
    }

    fn current(&mut self) -> Result<Option<SequenceNumber>, AppError> {
        let Some(bytes) = self.store.get(CURRENT)? else { return Ok(None) };
        let number = unseal(&bytes).and_then(|number| Some(SequenceNumber::new(u64::from_le_bytes(number.try_into().ok()?))));
        number.map(Some).ok_or_else(|| format!("the name of the current snapshot is damaged; {EMPTY_IT}").into())
    }
}

impl<S: Service, D: SnapshotStore> Application for Snapshots<S, D> {
    fn state(&mut self) -> Result<AppState, AppError> {
        let Some(number) = self.current()? else { return Ok(AppState::default()) };
        let manifest = self.manifest(number)?.ok_or_else(|| format!("{} is lost or damaged; {EMPTY_IT}", manifest_name(number)))?;
        let (sessions, state) = self.load(&manifest)?;
        self.service.restore(&state)?;
        self.present(&manifest, sessions)
    }

    fn execute(&mut self, decision: &Decision) -> Result<Vec<Bytes>, AppError> {
        Ok(self.service.execute(decision))
    }

    fn take_checkpoint(&mut self, order: &CheckpointOrder) -> Result<Manifest, AppError> {
        let state = self.service.snapshot();
        let parts = || state.chunks(order.chunk_bytes_max() as usize);
        let manifest = order.manifest(parts().map(chunk_digest));
        for (index, part) in (0..).zip(order.sessions().iter().map(|part| &part[..]).chain(parts())) {
            self.store.put(&part_name(&manifest, index)?, part)?;
        }
        self.make_current(&manifest)?;
        Ok(manifest)
    }

    fn discard_before(&mut self, sequence_number: SequenceNumber) -> Result<(), AppError> {
        let current = self.current()?;
        let is_needed = |number: SequenceNumber| number >= sequence_number || Some(number) == current;
        let mut names = self.names()?;
        let mut needed = vec![CURRENT.to_owned()];
        for (manifest, parts) in self.manifests(&names, is_needed)? {
            needed.push(manifest_name(manifest.sequence_number()));
            needed.extend(parts);
        }
        // A state that is being fetched may be older than what the others have agreed on meanwhile.
        needed.extend(self.incoming.iter().flat_map(part_names));
        needed.sort_unstable();
        // Parts go last: a manifest whose parts are gone is no snapshot.
        names.retain(|name| needed.binary_search(name).is_err());
        names.reverse();
        names.iter().try_for_each(|name| self.store.remove(name))
    }

    fn read_chunk(&mut self, sequence_number: SequenceNumber, index: u32) -> Result<Option<Bytes>, AppError> {
        let Some(manifest) = self.manifest(sequence_number)? else { return Ok(None) };
        self.store.get(&part_name(&manifest, index)?)
    }

    fn missing_parts(&mut self, manifest: &Manifest) -> Result<Vec<u32>, AppError> {
        self.incoming = Some(manifest.clone());
        Ok((0..manifest.chunk_count()).filter(|index| self.part(manifest, *index).is_err()).collect())
    }

    fn store_chunk(&mut self, _sequence_number: SequenceNumber, index: u32, bytes: &Bytes) -> Result<(), AppError> {
        let Some(manifest) = &self.incoming else { return Ok(()) };
        let name = part_name(manifest, index)?;
        self.store.put(&name, bytes)
    }

    fn install(&mut self, manifest: &Manifest) -> Result<AppState, AppError> {
        let (sessions, state) = self.load(manifest)?;
        self.service.restore(&state)?;
        self.make_current(manifest)?;
        self.incoming = None;
        // Snapshots above it were of a state that is given up.
        let names = self.names()?;
        for (later, _) in self.manifests(&names, |number| number > manifest.sequence_number())? {
            self.store.remove(&manifest_name(later.sequence_number()))?;
        }
        self.present(manifest, sessions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;

    #[derive(Default)]
    struct Memory(BTreeMap<String, Bytes>);

    impl SnapshotStore for Memory {
        fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), AppError> {
            self.0.insert(name.to_owned(), Bytes::from(bytes));
            Ok(())
        }
        fn get(&mut self, name: &str) -> Result<Option<Bytes>, AppError> {
            Ok(self.0.get(name).cloned())
        }
        fn names(&mut self) -> Result<Vec<String>, AppError> {
            // In whatever order.
            Ok(self.0.keys().rev().cloned().collect())
        }
        fn remove(&mut self, name: &str) -> Result<(), AppError> {
            self.0.remove(name);
            Ok(())
        }
    }

    struct Note(Vec<u8>);

    impl Service for Note {
        fn execute(&mut self, _decision: &Decision) -> Vec<Bytes> {
            Vec::new()
        }
        fn snapshot(&self) -> Vec<u8> {
            self.0.clone()
        }
        fn restore(&mut self, snapshot: &[u8]) -> Result<(), AppError> {
            self.0 = snapshot.to_vec();
            Ok(())
        }
    }

    fn order(number: u64) -> CheckpointOrder {
        CheckpointOrder {
            sequence_number: SequenceNumber::new(number),
            log_digest: crate::ids::Digest::new([number as u8; 32]),
            sessions: vec![Bytes::from(b"sessions".as_slice())],
            session_digests: vec![chunk_digest(b"sessions")],
            chunk_bytes_max: 4,
        }
    }

    #[test]
    fn c3_no_state_comes_of_a_snapshot_with_a_flipped_bit() {
        let mut own = Snapshots::new(Note(b"old".to_vec()), Memory::default());
        own.take_checkpoint(&order(2)).expect("taken");
        own.service.0 = b"the present state".to_vec();
        let current = own.take_checkpoint(&order(4)).expect("taken");
        let files = own.store.0.clone();
        let old = own.manifest(SequenceNumber::new(2)).expect("read").expect("whole");
        let is_old = |name: &String| *name == manifest_name(SequenceNumber::new(2)) || part_name(&old, 1).is_ok_and(|part| part == *name);
        for (name, bytes) in &files {
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                own.store.0 = files.clone();
                own.store.0.insert(name.clone(), Bytes::from(flipped));
                let state = own.state();
                assert_eq!(state.is_ok(), is_old(name), "bit {bit} of {name}");
                let Ok(state) = state else { continue };
                assert_eq!((state.log_digest, &own.service.0[..]), (current.log_digest(), b"the present state".as_slice()));
                assert!(!name.starts_with("snapshot") || state.snapshots == [current.clone()], "bit {bit} of {name}: no snapshot any more");
            }
        }
    }

    #[test]
    fn c3_a_snapshot_of_which_a_part_is_lost_is_none() {
        let mut own = Snapshots::new(Note(b"old".to_vec()), Memory::default());
        let old = own.take_checkpoint(&order(2)).expect("taken");
        own.service.0 = b"new".to_vec();
        let current = own.take_checkpoint(&order(4)).expect("taken");
        own.store.0.remove(&part_name(&old, 1).expect("a part"));
        assert_eq!(own.state().expect("read").snapshots, [current]);
    }

    #[test]
    fn c2_what_is_let_go_of_is_neither_the_present_state_nor_one_that_is_being_fetched() {
        let mut other = Snapshots::new(Note(b"a state from elsewhere".to_vec()), Memory::default());
        let incoming = other.take_checkpoint(&order(8)).expect("taken");
        let mut own = Snapshots::new(Note(b"old".to_vec()), Memory::default());
        own.take_checkpoint(&order(2)).expect("taken");
        own.service.0 = b"new".to_vec();
        let current = own.take_checkpoint(&order(4)).expect("taken");
        let missing = own.missing_parts(&incoming).expect("listed");
        assert_eq!(missing.len(), incoming.chunk_count() as usize - 1, "the session table is the same");
        for index in &missing {
            let part = other.read_chunk(SequenceNumber::new(8), *index).expect("read").expect("held");
            own.store_chunk(SequenceNumber::new(8), *index, &part).expect("stored");
        }
        own.discard_before(SequenceNumber::new(12)).expect("discarded");
        assert_eq!(own.state().expect("read").snapshots, [current]);
        assert_eq!(own.missing_parts(&incoming).expect("listed"), [0_u32; 0]);
        let state = own.install(&incoming).expect("installed");
        assert_eq!((state.last_executed, &own.service.0[..]), (SequenceNumber::new(8), b"a state from elsewhere".as_slice()));
        // And after a restart.
        let mut again = Snapshots::new(Note(Vec::new()), own.store);
        assert_eq!(again.state().expect("read"), state);
        assert_eq!(again.service.0, other.service.0);
    }
}
