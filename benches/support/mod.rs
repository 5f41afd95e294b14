//! Keys, a configuration, and a clock that counts CPU time.

use logothete::{Cluster, ClusterBuilder, SigningKey};
use std::time::Duration;

/// CPU time of this thread so far. Only Linux tells it without another dependency.
pub fn cpu_time() -> Duration {
    // Linux counts it at each tick and each switch of threads: so it is up to date.
    std::thread::yield_now();
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("CPU time is read from Linux's /proc");
    let nanos = told.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("nanoseconds on a CPU"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Ed25519,
    /// Signatures stubbed: a hash.
    Hash,
}

pub fn replica_key(index: usize) -> SigningKey {
    let mut seed = [0x4c; 32];
    seed[..8].copy_from_slice(&(index as u64).to_le_bytes());
    SigningKey::from_bytes(&seed)
}

pub fn client_key(index: usize) -> SigningKey {
    let mut seed = [0xc1; 32];
    seed[..8].copy_from_slice(&(index as u64).to_le_bytes());
    SigningKey::from_bytes(&seed)
}

pub fn builder(replicas: usize, clients: usize, scheme: Scheme) -> ClusterBuilder {
    let builder = Cluster::builder(
        (0..replicas).map(|index| replica_key(index).verifying_key()).collect(),
        (0..clients).map(|index| client_key(index).verifying_key()).collect(),
    );
    if scheme == Scheme::Hash { builder.with_keyed_hash() } else { builder }
}
