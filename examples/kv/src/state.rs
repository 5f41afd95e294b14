//! The replicated state: pairs in memory, executed batch by batch, and snapshots of them in the database.
//!
//! The replicated log is the journal: after a restart the newest snapshot is read, and what came after it is executed again.

use crate::error::{Fault, Result, fault};
use crate::operation::{Answer, Operation};
use crate::pairs::{self, Cut, Pairs};
use crate::snapshot::Parts;
use crate::store::{INCOMING, MANIFESTS, META, PARTS, Store};
use logothete::{
    AppError, AppState, Application, Bytes, CheckpointOrder, ClientId, Cluster, Decision, Digest, Manifest, SequenceNumber, SessionTable,
};
use redb::{ReadableTable, WriteTransaction};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Room in a result for what stands around the pairs.
const LIST_OVERHEAD: usize = 64;

fn list(pairs: &Pairs, operation: (&[u8], &[u8], u32), room: usize) -> Answer {
    let (prefix, after, limit) = operation;
    let mut found = Vec::new();
    let mut bytes = LIST_OVERHEAD;
    let start = prefix.max(after);
    for (key, value) in pairs.range(start) {
        if !key.starts_with(prefix) {
            break;
        }
        if key == after {
            continue;
        }
        bytes += key.len() + value.len() + 8;
        if found.len() >= limit as usize || (bytes > room && !found.is_empty()) {
            return Answer::List { pairs: found, more: true };
        }
        if bytes > room {
            return Answer::Refused("the next pair doesn't fit into a result; get it by its key".to_owned());
        }
        found.push((key.to_vec(), value.to_vec()));
    }
    Answer::List { pairs: found, more: false }
}

/// What an operation does. Whatever the bytes are, they have the same result everywhere.
fn execute(pairs: &mut Pairs, bytes: &[u8], result_bytes_max: usize) -> Answer {
    let Some(operation) = Operation::decode(bytes) else { return Answer::Refused("not an operation of this version".to_owned()) };
    if let Some(why) = operation.objection() {
        return Answer::Refused(why);
    }
    match operation {
        Operation::Put(new) => {
            new.iter().for_each(|(key, value)| pairs.set(key, value));
            Answer::Put(u32::try_from(new.len()).unwrap_or(u32::MAX))
        }
        Operation::Get(key) => Answer::Value(pairs.get(key).map(|value| value.to_vec())),
        Operation::Delete(key) => Answer::Deleted(pairs.remove(key)),
        Operation::List { prefix, after, limit } => list(pairs, (prefix, after, limit), result_bytes_max),
        Operation::CompareAndSet { key, expected, new } => {
            let found = pairs.get(key).map(|value| value.to_vec());
            if found.as_deref() == expected {
                pairs.set(key, new);
                Answer::Compared { set: true, found: None }
            } else {
                Answer::Compared { set: false, found }
            }
        }
    }
}

/// The state at one position.
#[derive(Default)]
pub struct Present {
    number: SequenceNumber,
    log_digest: Digest,
    pairs: Pairs,
    /// The number of each client's last executed request.
    last: BTreeMap<ClientId, u64>,
}

/// The present state, which the replica's thread changes and others read: what one node answers without the others is true of some moment, by its word alone.
#[derive(Clone, Default)]
pub struct Shared(Arc<RwLock<Present>>);

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, Present> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Present> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn answer(&self, operation: &Operation<&[u8]>, result_bytes_max: usize) -> (SequenceNumber, Answer) {
        let present = self.read();
        let answer = match operation {
            Operation::Get(key) => Answer::Value(present.pairs.get(key).map(|value| value.to_vec())),
            Operation::List { prefix, after, limit } => list(&present.pairs, (prefix, after, *limit), result_bytes_max),
            _ => Answer::Refused("only reads can be answered by one node".to_owned()),
        };
        (present.number, answer)
    }

    /// Where the state is, the log's digest there, and one of all pairs: equal states have equal digests. Costs what changed since the last checkpoint.
    pub fn digests(&self, part_bytes_max: usize) -> (SequenceNumber, Digest, Digest) {
        let (number, log_digest, buckets) = {
            let present = self.read();
            (present.number, present.log_digest, present.pairs.buckets())
        };
        (number, log_digest, pairs::digest(&buckets, part_bytes_max))
    }

    /// The number of a client's last executed request here.
    pub fn last_request(&self, client: &ClientId) -> u64 {
        self.read().last.get(client).copied().unwrap_or_default()
    }
}

/// Makes all tables, so that they can be read before anything is written.
///
/// # Errors
/// The database's own.
pub fn make_tables(transaction: &WriteTransaction) -> Result<()> {
    transaction.open_table(PARTS)?;
    transaction.open_table(MANIFESTS)?;
    transaction.open_table(META)?;
    Ok(())
}

pub struct State {
    store: Store,
    cluster: Arc<Cluster>,
    parts: Parts,
    present: Shared,
    /// The sessions of the newest snapshot.
    sessions: Bytes,
}

impl State {
    /// Reads the newest snapshot.
    ///
    /// # Errors
    /// The database's own, or what is in it is damaged, or of an older version.
    pub fn open(store: Store, cluster: Arc<Cluster>, present: Shared) -> Result<Self> {
        let mut state = Self { store, cluster, parts: Parts::default(), present, sessions: Bytes::default() };
        {
            let transaction = state.store.transaction()?;
            // Before this version the pairs themselves were in the database, and the log behind them was gone.
            if transaction.list_tables()?.any(|table| redb::TableHandle::name(&table) == "pairs") {
                return Err(fault("the data folder is of an older version: move it away, and start with --rejoin"));
            }
            make_tables(&transaction)?;
        }
        let snapshots = state.snapshots()?;
        snapshots.iter().for_each(|manifest| state.parts.hold(manifest));
        if let Some(incoming) = state.incoming()? {
            state.parts.hold(&incoming);
        }
        if let Some(newest) = snapshots.last() {
            state.load(newest)?;
        }
        Ok(state)
    }

    fn snapshots(&self) -> Result<Vec<Manifest>> {
        let transaction = self.store.transaction()?;
        let table = transaction.open_table(MANIFESTS)?;
        table.iter()?.map(|entry| decode_manifest(entry?.1.value())).collect()
    }

    /// Makes a snapshot, whose parts are all in the database, the present state.
    fn load(&mut self, manifest: &Manifest) -> Result<()> {
        let mut sessions = Vec::new();
        for index in 0..manifest.session_chunk_count() {
            sessions.extend(self.needed_part(manifest, index)?);
        }
        let table = SessionTable::decode(&self.cluster, &sessions).map_err(|error| fault(error.to_string()))?;
        let last = self.cluster.clients().map(|client| (client, table.last(&client).get())).filter(|(_, last)| *last > 0).collect();
        let pairs = {
            let transaction = self.store.transaction()?;
            let parts = transaction.open_table(PARTS)?;
            let service = (manifest.session_chunk_count()..manifest.chunk_count()).filter_map(|index| manifest.chunk(index));
            Pairs::assemble(service, |digest| {
                let part = parts.get(&digest.as_bytes()[..])?;
                Ok(part.ok_or_else(|| fault(format!("part {digest} of the snapshot is lost")))?.value().to_vec())
            })?
        };
        self.sessions = Bytes::from(sessions);
        *self.present.write() = Present { number: manifest.sequence_number(), log_digest: manifest.log_digest(), pairs, last };
        Ok(())
    }

    /// As the replica is told at its start and after an installation: then the present state is that of the newest snapshot.
    fn app_state(&self) -> Result<AppState> {
        let (last_executed, log_digest) = {
            let present = self.present.read();
            (present.number, present.log_digest)
        };
        if last_executed == SequenceNumber::default() {
            return Ok(AppState::default());
        }
        Ok(AppState { last_executed, log_digest, sessions: self.sessions.clone(), snapshots: self.snapshots()? })
    }

    fn part_bytes_max(&self) -> usize {
        self.cluster.limits().batch_bytes_max as usize
    }

    fn keep_manifest(&mut self, manifest: &Manifest) -> Result<()> {
        let number = manifest.sequence_number().get();
        // Held first: what the one before under this number has too must stay.
        self.parts.hold(manifest);
        self.drop_manifests(|kept| kept == number)?;
        self.store.transaction()?.open_table(MANIFESTS)?.insert(number, &manifest.encode()[..])?;
        self.store.touch();
        Ok(())
    }

    /// Lets go of snapshots, and of the parts that no other one has.
    fn drop_manifests(&mut self, is_gone: impl Fn(u64) -> bool) -> Result<()> {
        let transaction = self.store.transaction()?;
        let mut table = transaction.open_table(MANIFESTS)?;
        let numbers = table.iter()?.map(|entry| Ok(entry?.0.value())).collect::<Result<Vec<_>>>()?;
        let mut parts = transaction.open_table(PARTS)?;
        for number in numbers.into_iter().filter(|number| is_gone(*number)) {
            let Some(bytes) = table.remove(number)?.map(|bytes| bytes.value().to_vec()) else { continue };
            for digest in self.parts.let_go(&decode_manifest(&bytes)?) {
                parts.remove(&digest.as_bytes()[..])?;
            }
        }
        drop((table, parts));
        drop(transaction);
        self.store.touch();
        Ok(())
    }

    fn incoming(&self) -> Result<Option<Manifest>> {
        self.store.meta(INCOMING)?.map(|bytes| decode_manifest(&bytes)).transpose()
    }

    fn set_incoming(&mut self, manifest: Option<&Manifest>) -> Result<()> {
        let before = self.incoming()?;
        // The new one first: what both have stays.
        manifest.iter().for_each(|manifest| self.parts.hold(manifest));
        self.store.set_meta(INCOMING, manifest.map(Manifest::encode).as_deref())?;
        if let Some(before) = before {
            let transaction = self.store.transaction()?;
            let mut parts = transaction.open_table(PARTS)?;
            for digest in self.parts.let_go(&before) {
                parts.remove(&digest.as_bytes()[..])?;
            }
        }
        Ok(())
    }

    fn part(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let transaction = self.store.transaction()?;
        let table = transaction.open_table(PARTS)?;
        let part = table.get(&digest.as_bytes()[..])?.map(|part| part.value().to_vec());
        Ok(part)
    }

    fn put_part(&self, bytes: &[u8]) -> Result<()> {
        let digest = logothete::chunk_digest(bytes);
        self.store.transaction()?.open_table(PARTS)?.insert(&digest.as_bytes()[..], bytes)?;
        self.store.touch();
        Ok(())
    }

    fn needed_part(&self, manifest: &Manifest, index: u32) -> Result<Vec<u8>> {
        let digest = manifest.chunk(index).ok_or_else(|| fault(format!("a snapshot has no part {index}")))?;
        self.part(&digest)?.ok_or_else(|| fault(format!("part {index} of the snapshot at {} is lost", manifest.sequence_number())))
    }

    fn install_now(&mut self, manifest: &Manifest) -> Result<AppState> {
        self.load(manifest)?;
        // Snapshots above it were of a state that is given up.
        self.drop_manifests(|number| number > manifest.sequence_number().get())?;
        self.keep_manifest(manifest)?;
        self.set_incoming(None)?;
        self.store.commit()?;
        self.app_state()
    }
}

fn decode_manifest(bytes: &[u8]) -> Result<Manifest> {
    Manifest::decode(bytes).map_err(|error| fault(format!("a manifest in the database is damaged: {error}")))
}

fn boxed(error: Fault) -> AppError {
    Box::new(error)
}

impl Application for State {
    fn state(&mut self) -> Result<AppState, AppError> {
        self.app_state().map_err(boxed)
    }

    fn execute(&mut self, decision: &Decision) -> Result<Vec<Bytes>, AppError> {
        let room = self.cluster.limits().result_bytes_max as usize;
        let mut present = self.present.write();
        let mut results = Vec::new();
        for request in decision.requests() {
            results.push(execute(&mut present.pairs, request.operation(), room).encode());
            present.last.insert(request.client(), request.number().get());
        }
        (present.number, present.log_digest) = (decision.sequence_number(), decision.digest());
        Ok(results)
    }

    fn take_checkpoint(&mut self, order: &CheckpointOrder) -> Result<Manifest, AppError> {
        let Cut { digests, new } = self.present.write().pairs.cut(self.part_bytes_max());
        let manifest = order.manifest(digests);
        let sessions = order.sessions().iter().map(|part| &part[..]);
        for part in sessions.chain(new.iter().map(|(_, part)| &part[..])) {
            self.put_part(part).map_err(boxed)?;
        }
        self.keep_manifest(&manifest).map_err(boxed)?;
        self.store.commit().map_err(boxed)?;
        Ok(manifest)
    }

    fn discard_before(&mut self, sequence_number: SequenceNumber) -> Result<(), AppError> {
        let run = |state: &mut Self| {
            let newest = state.store.transaction()?.open_table(MANIFESTS)?.last()?.map(|(number, _)| number.value());
            // The newest one's parts are what the next one is cut from.
            state.drop_manifests(|number| number < sequence_number.get() && Some(number) != newest)
        };
        run(self).map_err(boxed)
    }

    fn read_chunk(&mut self, sequence_number: SequenceNumber, index: u32) -> Result<Option<Bytes>, AppError> {
        let run = || -> Result<Option<Bytes>> {
            let manifest = {
                let transaction = self.store.transaction()?;
                let table = transaction.open_table(MANIFESTS)?;
                let bytes = table.get(sequence_number.get())?.map(|bytes| bytes.value().to_vec());
                let Some(bytes) = bytes else { return Ok(None) };
                decode_manifest(&bytes)?
            };
            let Some(digest) = manifest.chunk(index) else { return Ok(None) };
            Ok(self.part(&digest)?.map(Bytes::from))
        };
        run().map_err(boxed)
    }

    fn missing_parts(&mut self, manifest: &Manifest) -> Result<Vec<u32>, AppError> {
        let run = |state: &mut Self| {
            state.set_incoming(Some(manifest))?;
            let mut missing = Vec::new();
            for index in 0..manifest.chunk_count() {
                let Some(digest) = manifest.chunk(index) else { continue };
                if state.part(&digest)?.is_none_or(|part| logothete::chunk_digest(&part) != digest) {
                    missing.push(index);
                }
            }
            Ok(missing)
        };
        run(self).map_err(boxed)
    }

    fn store_chunk(&mut self, _sequence_number: SequenceNumber, _index: u32, bytes: &Bytes) -> Result<(), AppError> {
        // One of a state that is not fetched any more would stay for ever.
        if self.parts.holds(&logothete::chunk_digest(bytes)) { self.put_part(bytes).map_err(boxed) } else { Ok(()) }
    }

    fn install(&mut self, manifest: &Manifest) -> Result<AppState, AppError> {
        self.install_now(manifest).map_err(boxed)
    }
}
