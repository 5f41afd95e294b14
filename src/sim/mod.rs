//! A whole cluster in one thread, with virtual time, one seed and traitors; for tests of this crate and of services on it. (feature `sim`)
//!
//! [`Net`] has the replicas, the network between them, their disks and their clients; [`oracle`] checks what correct replicas do, and panics when an invariant
//! breaks. A traitor is a [`Twist`] of what its replica wants to send: one of [`Trait`]'s, or a member of a plotting [`gang`]. The same seed gives the same run.
//!
//! A service of one's own, among 30 % loss and beside a primary that equivocates (`examples/registry` has more such tests):
//!
//! ```
//! use logothete::sim::{Net, Trait, builder};
//! # use logothete::{AppError, Bytes, ClientTuning, Decision, Service, Tuning};
//! # #[derive(Default)] struct Counter(u64);
//! # impl Service for Counter {
//! #     fn execute(&mut self, decision: &Decision) -> Vec<Bytes> {
//! #         decision.requests().map(|_| { self.0 += 1; Bytes::from(&self.0.to_le_bytes()[..]) }).collect()
//! #     }
//! #     fn snapshot(&self) -> Vec<u8> { self.0.to_le_bytes().to_vec() }
//! #     fn restore(&mut self, bytes: &[u8]) -> Result<(), AppError> { self.0 = u64::from_le_bytes(bytes.try_into()?); Ok(()) }
//! # }
//! # use std::time::Duration;
//! let mut net = Net::serving(builder(4, 1).with_keyed_hash().build()?, 17, Tuning::default(), || Box::new(Counter::default()));
//! net.betray(0, Trait::Equivocator);
//! net.loss = 30;
//! net.enlist(0, ClientTuning::default()); // a client that believes what f+1 replicas say; `submit` has clients that want no answer
//! for order in 0..20_u8 { net.ask(0, &[order]); }
//! net.run_until(Duration::from_secs(600), "all answers", |net| net.all_answered());
//! let last = net.desks[&0].completions.iter().max_by_key(|completion| completion.number).and_then(|completion| completion.outcome.result());
//! assert_eq!(last.map(|bytes| bytes.to_vec()), Some(20_u64.to_le_bytes().to_vec()));
//! net.loss = 0;
//! net.settle(Duration::from_secs(600), &[1, 2, 3]); // and all have executed it
//! # Ok::<(), logothete::ConfigError>(())
//! ```

pub mod claims;
mod clock;
mod desk;
pub mod disk;
mod flights;
pub mod forge;
pub mod gang;
mod host;
pub(crate) mod keyed_hash;
pub mod mischief;
mod net;
pub mod oracle;
mod orders;
mod parcel;
pub mod prng;
pub mod storm;
mod traitor;
pub mod twins;
mod watch;

pub use crate::looks::looks;
pub use crate::replica::Standing;
pub use clock::Clock;
pub use desk::Desk;
pub use host::{Fate, Host, Slowness};
pub use keyed_hash::KeyedHash;
pub use net::{Net, Twist};
pub use parcel::Parcel;
pub use traitor::Trait;

use crate::cluster::Scheme;
use crate::{Cluster, ClusterBuilder, Signature, Signer, SigningKey};
use std::sync::OnceLock;

// Whoever plots asks for keys with every message, and to make one costs more than to take part in a round.
static REPLICA_KEYS: [OnceLock<SigningKey>; 256] = [const { OnceLock::new() }; 256];
static CLIENT_KEYS: [OnceLock<SigningKey>; 256] = [const { OnceLock::new() }; 256];

/// The key of the simulated replica `index`.
///
/// # Panics
/// Beyond 255.
pub fn replica_key(index: usize) -> SigningKey {
    REPLICA_KEYS[index].get_or_init(|| SigningKey::from_bytes(&[(index as u8).wrapping_add(1); 32])).clone()
}

/// The key of the simulated client `index`.
///
/// # Panics
/// Beyond 255.
pub fn client_key(index: usize) -> SigningKey {
    let mut seed = [0xc1; 32];
    seed[0] = index as u8;
    CLIENT_KEYS[index].get_or_init(|| SigningKey::from_bytes(&seed)).clone()
}

/// A configuration with those keys.
pub fn builder(replicas: usize, clients: usize) -> ClusterBuilder {
    Cluster::builder(
        (0..replicas).map(|index| replica_key(index).verifying_key()).collect(),
        (0..clients).map(|index| client_key(index).verifying_key()).collect(),
    )
}

/// Signs by the cluster's scheme, for hosts and clients in a simulation.
pub struct Pen {
    scheme: Scheme,
    key: SigningKey,
}

impl Pen {
    /// For the member that has this key.
    pub fn new(cluster: &Cluster, key: SigningKey) -> Self {
        Self { scheme: cluster.scheme(), key }
    }
}

impl Signer<Signature> for Pen {
    fn try_sign(&self, payload: &[u8]) -> Result<Signature, ed25519_dalek::SignatureError> {
        match self.scheme {
            Scheme::Ed25519 => self.key.try_sign(payload),
            Scheme::KeyedHash => Ok(Signature::from_bytes(&keyed_hash::keyed_hash(self.key.verifying_key().as_bytes(), payload))),
        }
    }
}
