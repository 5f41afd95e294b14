//! Who takes part: keys, quorums, limits. Identical on every replica and client, or their signatures don't count for each other.

use crate::hash::{Domain, Hasher};
use crate::ids::{ClientId, Digest, ReplicaId, SequenceNumber, View};
use crate::message::PATH_BYTES_MAX;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use ed25519_dalek::VerifyingKey;
use thiserror::Error;

/// The largest log window: a State record, with a commit for each of its positions, is within what the codec reads.
pub(crate) const LOG_WINDOW_MAX: u64 = 1 << 20;

/// The largest number of replicas in a cluster.
pub const REPLICAS_MAX: usize = 256;
/// The largest number of enrolled clients.
pub const CLIENTS_MAX: usize = 65_536;

/// Bounds on what members may send; part of the cluster's identity, so that all refuse the same. (SPEC 2.3)
///
/// Each is at least 1 (`result_bytes_max` may be 0), a batch has room for an operation and 328 bytes, and a message for a batch, or a result, and 64 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one encoded message. Default 1 MiB, at most 64 MiB.
    pub message_bytes_max: u32,
    /// Bytes of one batch: its operations, 136 bytes for each request, and its path (SPEC S3). Default 512 KiB.
    pub batch_bytes_max: u32,
    /// Requests in one batch. Default 1000, at most 65,536.
    pub batch_requests_max: u32,
    /// Bytes of one operation. Default 64 KiB.
    pub operation_bytes_max: u32,
    /// Bytes of one result. Default 64 KiB.
    pub result_bytes_max: u32,
    /// How far ahead of its last executed request a client may send, in requests. Default 256, at most 65,536.
    pub client_window: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 1024 * 1024,
            batch_bytes_max: 512 * 1024,
            batch_requests_max: 1000,
            operation_bytes_max: 64 * 1024,
            result_bytes_max: 64 * 1024,
            client_window: 256,
        }
    }
}

/// Why a cluster can't be built. Nothing was built; correct the configuration everywhere.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The number of replicas is 0 or above [`REPLICAS_MAX`].
    #[error("a cluster has 1 to {REPLICAS_MAX} replicas, not {0}")]
    ReplicaCount(usize),
    /// More clients than [`CLIENTS_MAX`].
    #[error("a cluster has at most {CLIENTS_MAX} clients, not {0}")]
    ClientCount(usize),
    /// A key that anyone could sign for, or that has a second encoding.
    #[error("the key of {whose} is {fault}: make a new key pair")]
    BadKey {
        /// Which entry, for example `replica 2`.
        whose: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The same key stands twice in one list.
    #[error("the key of {whose} stands twice: each member needs a key of its own")]
    DuplicateKey {
        /// The second entry with that key.
        whose: String,
    },
    /// An interval, window or limit is zero, too large, or does not fit another.
    #[error("{0}")]
    Number(&'static str),
}

/// How members sign. (SPEC 3.5)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Ed25519,
    /// Proves nothing; for simulations.
    #[cfg(feature = "sim")]
    KeyedHash,
}

#[derive(Clone)]
pub(crate) struct MemberKey {
    pub(crate) bytes: [u8; 32],
    pub(crate) key: ed25519_zebra::VerificationKey,
}

/// A cluster's configuration: who takes part, and the bounds that all keep.
pub struct Cluster {
    replicas: Vec<MemberKey>,
    clients: BTreeMap<ClientId, ed25519_zebra::VerificationKey>,
    scheme: Scheme,
    limits: Limits,
    checkpoint_interval: u64,
    log_window: u64,
    pipeline: u64,
    id: Digest,
    genesis: Digest,
}

/// Collects a [`Cluster`]'s configuration; made by [`Cluster::builder`].
#[derive(Clone)]
pub struct ClusterBuilder {
    replicas: Vec<VerifyingKey>,
    clients: Vec<VerifyingKey>,
    scheme: Scheme,
    limits: Limits,
    checkpoint_interval: u64,
    log_window: u64,
    pipeline: u64,
}

/// The number of faults that `n` replicas stand: f = ⌊(n−1)/3⌋. (SPEC 1)
pub(crate) const fn fault_threshold(n: u32) -> u32 {
    n.saturating_sub(1) / 3
}

/// q = ⌊(n+f)/2⌋+1: any two quorums share f+1 replicas, and the correct ones alone form one. (SPEC 1)
pub(crate) const fn quorum(n: u32) -> u32 {
    (n + fault_threshold(n)) / 2 + 1
}

impl Cluster {
    /// Starts a configuration from the replicas' keys, in the order of their ids, and the enrolled clients' keys, in any order.
    pub fn builder(replicas: Vec<VerifyingKey>, clients: Vec<VerifyingKey>) -> ClusterBuilder {
        let (scheme, limits) = (Scheme::Ed25519, Limits::default());
        ClusterBuilder { replicas, clients, scheme, limits, checkpoint_interval: 128, log_window: 512, pipeline: 16 }
    }

    /// n, the number of replicas.
    pub fn size(&self) -> u32 {
        u32::try_from(self.replicas.len()).unwrap_or(u32::MAX)
    }
    /// f = ⌊(n−1)/3⌋, the number of replicas that may lie.
    pub fn fault_threshold(&self) -> u32 {
        fault_threshold(self.size())
    }
    /// q = ⌊(n+f)/2⌋+1, the number of equal signatures that make a certificate.
    pub fn quorum(&self) -> u32 {
        quorum(self.size())
    }
    /// f+1, the number of equal answers of which one is a correct replica's.
    pub fn weak_quorum(&self) -> u32 {
        self.fault_threshold() + 1
    }
    /// The replica that proposes in `view`: view mod n.
    pub fn primary(&self, view: View) -> ReplicaId {
        ReplicaId::new(u32::try_from(view.get() % u64::from(self.size())).unwrap_or(0))
    }
    /// The digest of all of the configuration. It stands in every signed payload, so that a mismatch shows as a bad signature, not as a fork.
    pub fn id(&self) -> Digest {
        self.id
    }
    /// The bounds on messages, batches and operations.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
    /// All replicas, in order.
    pub fn replicas(&self) -> impl Iterator<Item = ReplicaId> + use<> {
        (0..self.size()).map(ReplicaId::new)
    }
    /// The enrolled clients, in the order of their keys.
    pub fn clients(&self) -> impl Iterator<Item = ClientId> {
        self.clients.keys().copied()
    }
    /// The key of a replica, or `None` if there is no such member.
    pub fn replica_key(&self, replica: ReplicaId) -> Option<VerifyingKey> {
        self.member(replica).and_then(|member| VerifyingKey::from_bytes(&member.bytes).ok())
    }
    /// L: how many positions above the last stable checkpoint may be in the log.
    pub fn log_window(&self) -> u64 {
        self.log_window
    }
    /// K: how often a checkpoint is taken.
    pub fn checkpoint_interval(&self) -> u64 {
        self.checkpoint_interval
    }
    /// P: how many positions may be proposed above the last one certified.
    pub fn pipeline(&self) -> u64 {
        self.pipeline
    }

    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }
    /// d_0, the digest at sequence number 0.
    pub(crate) fn genesis(&self) -> Digest {
        self.genesis
    }
    pub(crate) fn member(&self, replica: ReplicaId) -> Option<&MemberKey> {
        self.replicas.get(usize::try_from(replica.get()).ok()?)
    }
    pub(crate) fn client_key(&self, client: &ClientId) -> Option<&ed25519_zebra::VerificationKey> {
        self.clients.get(client)
    }
    /// The last position that may be accepted while `stable` is the last stable checkpoint: stable + L.
    pub(crate) fn window_end(&self, stable: SequenceNumber) -> SequenceNumber {
        stable.plus(self.log_window)
    }
}

impl core::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Cluster({} replicas, {} clients, {:?})", self.replicas.len(), self.clients.len(), self.id)
    }
}

impl ClusterBuilder {
    /// For simulations only: members sign by a hash of their public key, which anyone could compute, in place of ed25519. See [`KeyedHash`](crate::sim::KeyedHash).
    #[cfg(feature = "sim")]
    pub fn with_keyed_hash(mut self) -> Self {
        self.scheme = Scheme::KeyedHash;
        self
    }
    /// Sets the bounds on messages, batches and operations.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
    /// K: a checkpoint every `interval` positions, 1 to 2^19. Default 128.
    pub fn checkpoint_interval(mut self, interval: u64) -> Self {
        self.checkpoint_interval = interval;
        self
    }
    /// L: positions in the log above the last stable checkpoint, a multiple of K, 2 K to 1024 K, and at most 2^20. Default 512.
    ///
    /// So much may be ordered while a checkpoint is not yet agreed on; it bounds what a replica holds in memory (SPEC 6).
    pub fn log_window(mut self, window: u64) -> Self {
        self.log_window = window;
        self
    }
    /// P: positions proposed above the last certified one, at most L and 1024. Default 16.
    pub fn pipeline(mut self, pipeline: u64) -> Self {
        self.pipeline = pipeline;
        self
    }

    /// Checks everything and gives the configuration its identity.
    ///
    /// # Errors
    /// [`ConfigError`] names the first entry that is wrong.
    pub fn build(self) -> Result<Cluster, ConfigError> {
        if !(1..=REPLICAS_MAX).contains(&self.replicas.len()) {
            return Err(ConfigError::ReplicaCount(self.replicas.len()));
        }
        if self.clients.len() > CLIENTS_MAX {
            return Err(ConfigError::ClientCount(self.clients.len()));
        }
        self.check_numbers()?;
        let replicas = checked_keys("replica", &self.replicas)?;
        let clients: BTreeMap<_, _> =
            checked_keys("client", &self.clients)?.into_iter().map(|member| (ClientId::new(member.bytes), member.key)).collect();
        let id = self.identity(&replicas, &clients);
        let genesis = Hasher::new(Domain::Genesis).digest(&id).finish();
        Ok(Cluster {
            replicas,
            clients,
            scheme: self.scheme,
            limits: self.limits,
            checkpoint_interval: self.checkpoint_interval,
            log_window: self.log_window,
            pipeline: self.pipeline,
            id,
            genesis,
        })
    }

    fn check_numbers(&self) -> Result<(), ConfigError> {
        let Limits { message_bytes_max, batch_bytes_max, batch_requests_max, operation_bytes_max, result_bytes_max, client_window } =
            self.limits;
        // C3: the service's own parts want room in the manifest too.
        let session_bytes = self.clients.len() as u64 * (44 + 32 * u64::from(client_window));
        let session_parts = session_bytes.div_ceil(u64::from(batch_bytes_max).max(1));
        let manifest_parts = u64::from(message_bytes_max).saturating_sub(1024) / 32;
        let rules = [
            (self.checkpoint_interval >= 1, "the checkpoint interval must be at least 1"),
            (self.checkpoint_interval <= LOG_WINDOW_MAX / 2, "the checkpoint interval must be at most 2^19"),
            (self.log_window >= self.checkpoint_interval.saturating_mul(2), "the log window must be at least two checkpoint intervals"),
            // Or a crash at its end could leave a replica between two checkpoints that it can't take.
            (
                self.checkpoint_interval == 0 || self.log_window % self.checkpoint_interval == 0,
                "the log window must be a multiple of the checkpoint interval",
            ),
            (self.log_window <= self.checkpoint_interval.saturating_mul(1024), "the log window must be at most 1024 checkpoint intervals"),
            (self.log_window <= LOG_WINDOW_MAX, "the log window must be at most 2^20"),
            (self.pipeline >= 1, "the pipeline must be at least 1"),
            (self.pipeline <= self.log_window && self.pipeline <= 1024, "the pipeline must be at most the log window, and at most 1024"),
            (batch_requests_max >= 1, "a batch must have room for one request"),
            (batch_requests_max <= 65_536, "a batch has at most 65536 requests"),
            (client_window >= 1, "the client window must be at least 1"),
            (client_window <= 65_536, "the client window must be at most 65536"),
            (operation_bytes_max >= 1, "an operation must have room for one byte"),
            (
                u64::from(batch_bytes_max) >= u64::from(operation_bytes_max) + REQUEST_OVERHEAD_MAX,
                "batch_bytes_max must hold one operation of operation_bytes_max and 328 bytes",
            ),
            (message_bytes_max <= 64 * 1024 * 1024, "message_bytes_max must be at most 64 MiB"),
            (
                u64::from(message_bytes_max) >= u64::from(batch_bytes_max) + 64 * 1024,
                "message_bytes_max must be at least batch_bytes_max and 64 KiB",
            ),
            (
                u64::from(message_bytes_max) >= u64::from(result_bytes_max) + 64 * 1024,
                "message_bytes_max must be at least result_bytes_max and 64 KiB",
            ),
            (
                session_parts <= manifest_parts / 2,
                "all clients' sessions must fit half a manifest: raise batch_bytes_max or message_bytes_max, or lower client_window",
            ),
        ];
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(ConfigError::Number(rule)))
    }

    fn identity(&self, replicas: &[MemberKey], clients: &BTreeMap<ClientId, ed25519_zebra::VerificationKey>) -> Digest {
        let Limits { message_bytes_max, batch_bytes_max, batch_requests_max, operation_bytes_max, result_bytes_max, client_window } =
            self.limits;
        let mut hasher = Hasher::new(Domain::Cluster).u32(1);
        for number in [self.checkpoint_interval, self.log_window, self.pipeline] {
            hasher = hasher.u64(number);
        }
        for number in [message_bytes_max, batch_bytes_max, batch_requests_max, operation_bytes_max, result_bytes_max, client_window] {
            hasher = hasher.u32(number);
        }
        hasher = hasher.u32(u32::try_from(replicas.len()).unwrap_or(u32::MAX));
        for member in replicas {
            hasher = hasher.bytes(&member.bytes);
        }
        hasher = hasher.u32(u32::try_from(clients.len()).unwrap_or(u32::MAX));
        for client in clients.keys() {
            hasher = hasher.bytes(client.as_bytes());
        }
        match self.scheme {
            Scheme::Ed25519 => {}
            #[cfg(feature = "sim")]
            Scheme::KeyedHash => hasher = hasher.bytes(b"keyed hash"),
        }
        hasher.finish()
    }
}

/// What a request takes in a batch beside its operation and its path: key, number, lengths, place, signature, and a little room.
pub(crate) const REQUEST_OVERHEAD: u64 = 136;
/// The same with the longest path.
pub(crate) const REQUEST_OVERHEAD_MAX: u64 = REQUEST_OVERHEAD + PATH_BYTES_MAX;

fn checked_keys(list: &str, keys: &[VerifyingKey]) -> Result<Vec<MemberKey>, ConfigError> {
    let mut seen = BTreeSet::new();
    let mut checked = Vec::with_capacity(keys.len());
    for (index, key) in keys.iter().enumerate() {
        let whose = || format!("{list} {index}");
        let bad = |fault| ConfigError::BadKey { whose: whose(), fault };
        let point = key.to_edwards();
        let bytes = key.to_bytes();
        if key.is_weak() {
            return Err(bad("weak: signatures of anyone pass under it"));
        }
        if point.compress().to_bytes() != bytes {
            return Err(bad("not in canonical form"));
        }
        if !point.is_torsion_free() {
            return Err(bad("outside the prime-order group"));
        }
        if !seen.insert(bytes) {
            return Err(ConfigError::DuplicateKey { whose: whose() });
        }
        let key = ed25519_zebra::VerificationKey::try_from(bytes).map_err(|_| bad("not a curve point"))?;
        checked.push(MemberKey { bytes, key });
    }
    Ok(checked)
}
