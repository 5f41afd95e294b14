//! Signatures for simulations that run by the million: a hash of the public key and the payload, hundreds of times cheaper than ed25519.
//!
//! They prove nothing: who knows the public key can make them. So a simulation's traitors must be given no way to sign for others, which
//! [`forge`](super::forge) sees to: it signs with keys that it is given. A cluster of this scheme is another cluster (its identity differs), and the scheme
//! exists only with feature `sim`.

use crate::hash::{Domain, Hasher};
use ed25519_dalek::{Signature, Signer, VerifyingKey};

/// Signs for members of a cluster that was built [`with_keyed_hash`](crate::ClusterBuilder::with_keyed_hash).
#[derive(Clone, Copy, Debug)]
pub struct KeyedHash(VerifyingKey);

impl KeyedHash {
    /// For the member with this key.
    pub fn new(key: VerifyingKey) -> Self {
        Self(key)
    }
}

impl Signer<Signature> for KeyedHash {
    fn try_sign(&self, payload: &[u8]) -> Result<Signature, ed25519_dalek::SignatureError> {
        Ok(Signature::from_bytes(&keyed_hash(self.0.as_bytes(), payload)))
    }
}

/// 64 bytes, as long as an ed25519 signature: one digest, and the same again.
pub(crate) fn keyed_hash(key: &[u8], payload: &[u8]) -> [u8; 64] {
    let digest = Hasher::new(Domain::KeyedHash).bytes(key).bytes(payload).finish();
    let mut signature = [0; 64];
    signature.chunks_mut(32).for_each(|half| half.copy_from_slice(digest.as_bytes()));
    signature
}
