//! The replicated state: pairs in a database, executed batch by batch in the store's open transaction.

use crate::error::{Fault, Result, fault};
use crate::operation::{Answer, Operation};
use crate::snapshot::{self, Parts};
use crate::store::{DIRTY, EXECUTED, INCOMING, MANIFESTS, MEMBERS, META, PAIRS, PARTS, RESULTS, SESSIONS, Store};
use logothete::{
    AppError, AppState, Application, Bytes, CheckpointOrder, ClientId, Cluster, Decision, Digest, Manifest, RequestNumber, SequenceNumber,
    SessionEntry, SessionTable,
};
use redb::{Database, ReadableTable, Table, WriteTransaction};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The tables that an operation reads and writes.
struct Pairs<'a> {
    pairs: Table<'a, &'static [u8], &'static [u8]>,
    members: Table<'a, &'static [u8], ()>,
    /// Buckets that these operations change: written down once for all of them.
    changed: BTreeSet<u16>,
    dirty: Table<'a, u16, ()>,
}

impl<'a> Pairs<'a> {
    fn open(transaction: &'a WriteTransaction) -> Result<Self> {
        Ok(Self {
            pairs: transaction.open_table(PAIRS)?,
            members: transaction.open_table(MEMBERS)?,
            changed: BTreeSet::new(),
            dirty: transaction.open_table(DIRTY)?,
        })
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let bucket = snapshot::bucket_of(key);
        if self.pairs.insert(key, value)?.is_none() {
            self.members.insert(&snapshot::member(bucket, key)[..], ())?;
        }
        self.changed.insert(bucket);
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<bool> {
        let bucket = snapshot::bucket_of(key);
        let was_there = self.pairs.remove(key)?.is_some();
        if was_there {
            self.members.remove(&snapshot::member(bucket, key)[..])?;
            self.changed.insert(bucket);
        }
        Ok(was_there)
    }

    fn finish(mut self) -> Result<()> {
        for bucket in &self.changed {
            self.dirty.insert(bucket, ())?;
        }
        Ok(())
    }
}

fn get(pairs: &impl ReadableTable<&'static [u8], &'static [u8]>, key: &[u8]) -> Result<Option<Vec<u8>>> {
    Ok(pairs.get(key)?.map(|value| value.value().to_vec()))
}

/// Room in a result for what stands around the pairs.
const LIST_OVERHEAD: usize = 64;

fn list(pairs: &impl ReadableTable<&'static [u8], &'static [u8]>, operation: (&[u8], &[u8], u32), room: usize) -> Result<Answer> {
    let (prefix, after, limit) = operation;
    let mut found = Vec::new();
    let mut bytes = LIST_OVERHEAD;
    let start = prefix.max(after);
    for entry in pairs.range(start..)? {
        let (key, value) = entry?;
        let (key, value) = (key.value(), value.value());
        if !key.starts_with(prefix) {
            break;
        }
        if key == after {
            continue;
        }
        bytes += key.len() + value.len() + 8;
        if found.len() >= limit as usize || (bytes > room && !found.is_empty()) {
            return Ok(Answer::List { pairs: found, more: true });
        }
        if bytes > room {
            return Ok(Answer::Refused("the next pair doesn't fit into a result; get it by its key".to_owned()));
        }
        found.push((key.to_vec(), value.to_vec()));
    }
    Ok(Answer::List { pairs: found, more: false })
}

/// What an operation does. Whatever the bytes are, they have the same result everywhere.
fn execute(tables: &mut Pairs<'_>, bytes: &[u8], result_bytes_max: usize) -> Result<Answer> {
    let Some(operation) = Operation::decode(bytes) else { return Ok(Answer::Refused("not an operation of this version".to_owned())) };
    if let Some(why) = operation.objection() {
        return Ok(Answer::Refused(why));
    }
    Ok(match operation {
        Operation::Put(pairs) => {
            pairs.iter().try_for_each(|(key, value)| tables.set(key, value))?;
            Answer::Put(u32::try_from(pairs.len()).unwrap_or(u32::MAX))
        }
        Operation::Get(key) => Answer::Value(get(&tables.pairs, &key)?),
        Operation::Delete(key) => Answer::Deleted(tables.remove(&key)?),
        Operation::List { prefix, after, limit } => list(&tables.pairs, (&prefix, &after, limit), result_bytes_max)?,
        Operation::CompareAndSet { key, expected, new } => {
            let found = get(&tables.pairs, &key)?;
            if found == expected {
                tables.set(&key, &new)?;
                Answer::Compared { set: true, found: None }
            } else {
                Answer::Compared { set: false, found }
            }
        }
    })
}

fn result_name(client: &ClientId, number: u64, window: u64) -> [u8; 36] {
    let mut name = [0; 36];
    name[..32].copy_from_slice(client.as_bytes());
    name[32..].copy_from_slice(&u32::try_from(number % window).unwrap_or(u32::MAX).to_be_bytes());
    name
}

fn executed_mark(number: SequenceNumber, digest: Digest) -> Vec<u8> {
    [&number.get().to_le_bytes()[..], digest.as_bytes()].concat()
}

fn read_mark(bytes: &[u8]) -> Option<(SequenceNumber, Digest)> {
    let (number, digest) = bytes.split_first_chunk::<8>()?;
    Some((SequenceNumber::new(u64::from_le_bytes(*number)), Digest::new(digest.try_into().ok()?)))
}

/// What a node answers from its own database, without the others: true of some moment in the past, by this node's word alone.
///
/// # Errors
/// The database's own.
pub fn stale_read(database: &Database, operation: &Operation, result_bytes_max: usize) -> Result<(SequenceNumber, Answer)> {
    let transaction = database.begin_read()?;
    let mark = transaction.open_table(META)?.get(EXECUTED)?.and_then(|mark| read_mark(mark.value()));
    let number = mark.map_or(SequenceNumber::default(), |(number, _)| number);
    let pairs = transaction.open_table(PAIRS)?;
    let answer = match operation {
        Operation::Get(key) => Answer::Value(get(&pairs, key)?),
        Operation::List { prefix, after, limit } => list(&pairs, (prefix, after, *limit), result_bytes_max)?,
        _ => Answer::Refused("only reads can be answered by one node".to_owned()),
    };
    Ok((number, answer))
}

/// A digest of all pairs at the last committed position: equal states have equal digests. Costs what changed since the last checkpoint.
///
/// # Errors
/// The database's own.
pub fn digest(database: &Database, part_bytes_max: usize) -> Result<(SequenceNumber, Digest)> {
    let transaction = database.begin_read()?;
    let mark = transaction.open_table(META)?.get(EXECUTED)?.and_then(|mark| read_mark(mark.value()));
    let number = mark.map_or(SequenceNumber::default(), |(number, _)| number);
    Ok((number, snapshot::digest(&transaction, part_bytes_max)?))
}

/// The number of a client's last executed request here.
///
/// # Errors
/// The database's own.
pub fn last_request(database: &Database, client: &ClientId) -> Result<u64> {
    Ok(database.begin_read()?.open_table(SESSIONS)?.get(&client.as_bytes()[..])?.map_or(0, |last| last.value()))
}

/// Makes all tables, so that they can be read before anything is written.
///
/// # Errors
/// The database's own.
pub fn make_tables(transaction: &WriteTransaction) -> Result<()> {
    transaction.open_table(crate::store::CUTS)?;
    for table in [PAIRS, PARTS, RESULTS] {
        transaction.open_table(table)?;
    }
    transaction.open_table(MEMBERS)?;
    transaction.open_table(DIRTY)?;
    transaction.open_table(MANIFESTS)?;
    transaction.open_table(SESSIONS)?;
    transaction.open_table(META)?;
    Ok(())
}

pub struct State {
    store: Store,
    cluster: Arc<Cluster>,
    parts: Parts,
}

impl State {
    /// # Errors
    /// The database's own, or a manifest in it is damaged.
    pub fn open(store: Store, cluster: Arc<Cluster>) -> Result<Self> {
        let mut parts = Parts::default();
        {
            let transaction = store.transaction()?;
            make_tables(&transaction)?;
            for entry in transaction.open_table(MANIFESTS)?.iter()? {
                parts.hold(&decode_manifest(entry?.1.value())?);
            }
        }
        if let Some(bytes) = store.meta(INCOMING)? {
            parts.hold(&decode_manifest(&bytes)?);
        }
        Ok(Self { store, cluster, parts })
    }

    fn part_bytes_max(&self) -> usize {
        self.cluster.limits().batch_bytes_max as usize
    }

    fn window(&self) -> u64 {
        u64::from(self.cluster.limits().client_window)
    }

    fn record_sessions(&self, transaction: &WriteTransaction, entries: &[SessionEntry]) -> Result<()> {
        let (mut sessions, mut results) = (transaction.open_table(SESSIONS)?, transaction.open_table(RESULTS)?);
        let mut last = BTreeMap::new();
        for entry in entries {
            let name = result_name(&entry.client, entry.number.get(), self.window());
            results.insert(&name[..], &entry.result_digest.as_bytes()[..])?;
            last.insert(entry.client, entry.number.get());
        }
        for (client, number) in last {
            sessions.insert(&client.as_bytes()[..], number)?;
        }
        Ok(())
    }

    fn session_table(&self, transaction: &WriteTransaction) -> Result<SessionTable> {
        let mut table = SessionTable::new(&self.cluster);
        let results = transaction.open_table(RESULTS)?;
        for entry in transaction.open_table(SESSIONS)?.iter()? {
            let (client, last) = entry?;
            let damaged = || fault("the session table in the database is damaged");
            let (client, last) = (ClientId::new(client.value().try_into().map_err(|_| damaged())?), last.value());
            for number in last.saturating_sub(self.window()) + 1..=last {
                let digest = results.get(&result_name(&client, number, self.window())[..])?.ok_or_else(damaged)?;
                let result_digest = Digest::new(digest.value().try_into().map_err(|_| damaged())?);
                table.record(SessionEntry { client, number: RequestNumber::new(number), result_digest });
            }
        }
        Ok(table)
    }

    fn present(&self) -> Result<AppState> {
        let mark = self.store.meta(EXECUTED)?.and_then(|mark| read_mark(&mark));
        let Some((last_executed, log_digest)) = mark else { return Ok(AppState::default()) };
        let transaction = self.store.transaction()?;
        let mut snapshots = Vec::new();
        for entry in transaction.open_table(MANIFESTS)?.iter()? {
            snapshots.push(decode_manifest(entry?.1.value())?);
        }
        Ok(AppState { last_executed, log_digest, sessions: self.session_table(&transaction)?.encode(), snapshots })
    }

    fn executed_now(&self, number: SequenceNumber, digest: Digest) -> Result<()> {
        self.store.set_meta(EXECUTED, Some(&executed_mark(number, digest)))
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
        let mut sessions = Vec::new();
        for index in 0..manifest.session_chunk_count() {
            sessions.extend(self.needed_part(manifest, index)?);
        }
        // Refused here rather than at the next start.
        SessionTable::decode(&self.cluster, &sessions).map_err(|error| fault(error.to_string()))?;
        let service: Vec<Digest> =
            (manifest.session_chunk_count()..manifest.chunk_count()).filter_map(|index| manifest.chunk(index)).collect();
        {
            let transaction = self.store.transaction()?;
            snapshot::install(&transaction, &service)?;
            transaction.open_table(SESSIONS)?.retain(|_, _| false)?;
            transaction.open_table(RESULTS)?.retain(|_, _| false)?;
            install_sessions(&transaction, &sessions, self.window())?;
        }
        self.executed_now(manifest.sequence_number(), manifest.log_digest())?;
        // Snapshots above it were of a state that is given up.
        self.drop_manifests(|number| number > manifest.sequence_number().get())?;
        self.keep_manifest(manifest)?;
        self.set_incoming(None)?;
        self.store.commit()?;
        self.present()
    }
}

/// The table's bytes have a documented form: key ‖ last ‖ count ‖ digests, oldest first.
fn install_sessions(transaction: &WriteTransaction, mut bytes: &[u8], window: u64) -> Result<()> {
    let (mut sessions, mut results) = (transaction.open_table(SESSIONS)?, transaction.open_table(RESULTS)?);
    while let Some((client, rest)) = bytes.split_first_chunk::<32>() {
        let cut_off = || fault("a session table is cut off");
        let (last, rest) = rest.split_first_chunk::<8>().ok_or_else(cut_off)?;
        let (count, mut rest) = rest.split_first_chunk::<4>().ok_or_else(cut_off)?;
        let (last, count) = (u64::from_le_bytes(*last), u64::from(u32::from_le_bytes(*count)));
        let client = ClientId::new(*client);
        sessions.insert(&client.as_bytes()[..], last)?;
        for number in (last + 1).saturating_sub(count)..=last {
            let (digest, after) = rest.split_first_chunk::<32>().ok_or_else(cut_off)?;
            results.insert(&result_name(&client, number, window)[..], &digest[..])?;
            rest = after;
        }
        bytes = rest;
    }
    Ok(())
}

fn decode_manifest(bytes: &[u8]) -> Result<Manifest> {
    Manifest::decode(bytes).map_err(|error| fault(format!("a manifest in the database is damaged: {error}")))
}

fn boxed(error: Fault) -> AppError {
    Box::new(error)
}

impl Application for State {
    fn state(&mut self) -> Result<AppState, AppError> {
        self.present().map_err(boxed)
    }

    fn execute(&mut self, decision: &Decision) -> Result<Vec<Bytes>, AppError> {
        let run = || -> Result<Vec<Bytes>> {
            let transaction = self.store.transaction()?;
            let room = self.cluster.limits().result_bytes_max as usize;
            let mut tables = Pairs::open(&transaction)?;
            let mut results = Vec::new();
            for request in decision.requests() {
                results.push(execute(&mut tables, request.operation(), room)?.encode());
            }
            tables.finish()?;
            self.record_sessions(&transaction, &decision.session_entries(&results))?;
            Ok(results)
        };
        let results = run().map_err(boxed)?;
        self.executed_now(decision.sequence_number(), decision.digest()).map_err(boxed)?;
        Ok(results)
    }

    fn take_checkpoint(&mut self, order: &CheckpointOrder) -> Result<Manifest, AppError> {
        let (manifest, parts) = {
            let transaction = self.store.transaction().map_err(boxed)?;
            let (digests, parts) = snapshot::cut(&transaction, self.part_bytes_max()).map_err(boxed)?;
            (order.manifest(digests), parts)
        };
        for part in order.sessions().iter().map(|part| &part[..]).chain(parts.iter().map(|part| &part[..])) {
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
