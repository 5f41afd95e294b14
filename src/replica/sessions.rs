//! Each client's session: what makes every request execute once, in its client's order. Part of the agreed state. (S1)

use crate::cluster::Cluster;
use crate::ids::{Bytes, ClientId, Digest, RequestNumber};
use crate::message::{Block, Request};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use thiserror::Error;

/// What the execution of one request leaves in the session table.
///
/// A host that stores its service's state batch by batch stores these with it, in the same transaction; of each client the latest
/// `client_window` are needed. [`SessionTable::record`] makes a table of them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionEntry {
    /// Whose request.
    pub client: ClientId,
    /// Its number.
    pub number: RequestNumber,
    /// SHA-256 of the result, under the domain of results (SPEC 3).
    pub result_digest: Digest,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Session {
    last: RequestNumber,
    /// Result digests of the numbers up to `last`, at most `client_window` of them.
    results: VecDeque<Digest>,
}

impl Session {
    fn result(&self, number: RequestNumber) -> Option<Digest> {
        let back = usize::try_from(self.last.get().checked_sub(number.get())?).ok()?;
        self.results.get(self.results.len().checked_sub(back + 1)?).copied()
    }
}

/// Of each client the number of its last executed request, and the result digests of its latest `client_window` requests. (SPEC S1)
///
/// Bound: `client_window` × 32 + 44 bytes for each enrolled client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionTable {
    window: usize,
    sessions: BTreeMap<ClientId, Session>,
}

/// A session table's bytes are not what this cluster's replicas write.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not a session table of this cluster: {0}")]
pub struct SessionTableError(pub(crate) &'static str);

impl SessionTable {
    /// No client has had anything executed.
    pub fn new(cluster: &Cluster) -> Self {
        Self { window: cluster.limits().client_window as usize, sessions: BTreeMap::new() }
    }

    /// Takes the entry of a client's next request, or, for a client of which nothing is known, of the oldest one that was kept.
    /// Anything else is left out.
    pub fn record(&mut self, entry: SessionEntry) {
        let session = self.sessions.entry(entry.client).or_default();
        if !session.results.is_empty() && entry.number != session.last.next() {
            return;
        }
        session.last = entry.number;
        session.results.push_back(entry.result_digest);
        if session.results.len() > self.window {
            session.results.pop_front();
        }
    }

    /// The number of the client's last executed request; 0 if none.
    pub fn last(&self, client: &ClientId) -> RequestNumber {
        self.sessions.get(client).map_or(RequestNumber::default(), |session| session.last)
    }

    /// The result digest of a client's request, if that is one of its latest.
    pub fn result(&self, client: &ClientId, number: RequestNumber) -> Option<Digest> {
        self.sessions.get(client)?.result(number)
    }

    /// The table as bytes: for each client, in the order of their keys, key (32) ‖ last (8) ‖ count (4) ‖ count digests, oldest first.
    /// Equal tables are equal bytes.
    pub fn encode(&self) -> Bytes {
        Bytes::from(self.to_vec())
    }

    fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.bytes()).unwrap_or_default());
        for (client, session) in &self.sessions {
            bytes.extend_from_slice(client.as_bytes());
            bytes.extend_from_slice(&session.last.get().to_le_bytes());
            bytes.extend_from_slice(&u32::try_from(session.results.len()).unwrap_or(u32::MAX).to_le_bytes());
            session.results.iter().for_each(|digest| bytes.extend_from_slice(digest.as_bytes()));
        }
        bytes
    }

    /// What [`encode`](Self::encode) gives, in parts of this many bytes.
    pub(super) fn parts(&self, part_bytes_max: usize) -> Vec<Bytes> {
        self.to_vec().chunks(part_bytes_max).map(Bytes::from).collect()
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// [`SessionTableError`] says what is wrong with the bytes.
    pub fn decode(cluster: &Cluster, bytes: &[u8]) -> Result<Self, SessionTableError> {
        let mut table = Self::new(cluster);
        let mut rest = bytes;
        let mut before = None;
        while !rest.is_empty() {
            let (client, session) = take_session(&mut rest).ok_or(SessionTableError("it is cut off"))?;
            if cluster.client_key(&client).is_none() {
                return Err(SessionTableError("a client is not enrolled"));
            }
            if before.is_some_and(|before| before >= client) {
                return Err(SessionTableError("the clients are not in order"));
            }
            // Numbers count up one by one from 1, so this many results there are.
            if session.last.get() == 0 || session.results.len() as u64 != session.last.get().min(table.window as u64) {
                return Err(SessionTableError("a client has more or fewer results than its last number and the client window say"));
            }
            before = Some(client);
            table.sessions.insert(client, session);
        }
        Ok(table)
    }

    /// Bytes of the table.
    pub(super) fn bytes(&self) -> u64 {
        self.sessions.values().map(|session| 44 + 32 * session.results.len() as u64).sum()
    }

    pub(super) fn bytes_max(&self, cluster: &Cluster) -> u64 {
        cluster.clients().count() as u64 * (44 + 32 * self.window as u64)
    }

    /// Whose sessions there are, and each one's last number.
    fn lasts(&self) -> BTreeMap<ClientId, RequestNumber> {
        self.sessions.iter().map(|(client, session)| (*client, session.last)).collect()
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

fn take_session(rest: &mut &[u8]) -> Option<(ClientId, Session)> {
    let client = ClientId::new(take(rest)?);
    let last = RequestNumber::new(u64::from_le_bytes(take(rest)?));
    let count = u32::from_le_bytes(take(rest)?);
    let results = (0..count).map(|_| take(rest).map(Digest::new)).collect::<Option<_>>()?;
    Some((client, Session { last, results }))
}

/// The sessions as decided, which is where ordering is, and as executed, which is the state.
#[derive(Clone)]
pub(super) struct Sessions {
    decided: BTreeMap<ClientId, RequestNumber>,
    pub(super) table: SessionTable,
}

impl Sessions {
    pub(super) fn new(table: SessionTable) -> Self {
        Self { decided: table.lasts(), table }
    }

    /// The number of the client's last decided request; 0 if none.
    pub(super) fn last(&self, client: &ClientId) -> RequestNumber {
        self.decided.get(client).copied().unwrap_or_default()
    }

    /// For each request of a decided batch: is it its client's next? Any other is skipped as if it had never been proposed.
    pub(super) fn decide(&mut self, block: &Block) -> Arc<[bool]> {
        let executes = |request: &Request| {
            let last = self.decided.entry(request.client).or_default();
            let is_next = request.number == last.next();
            if is_next {
                *last = request.number;
            }
            is_next
        };
        block.batch.iter().map(executes).collect()
    }

    pub(super) fn clients(&self) -> Vec<ClientId> {
        self.decided.keys().copied().collect()
    }
}
