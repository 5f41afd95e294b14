//! Signatures for simulations that run by the million: a hash of the public key and the payload, a thousand times cheaper than ed25519.
//!
//! They prove nothing: who knows the public key can make them, and the hash is no cryptographic one. So a simulation's traitors must be given no way to sign for others, which
//! [`forge`](super::forge) sees to: it signs with keys that it is given. A cluster of this scheme is another cluster (its identity differs), and the scheme
//! exists only with feature `sim`.

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

/// Two lanes, each a chain of multiplications of 64 by 64 bits folded in two: a bit that is another anywhere makes another signature, but for one in 2^128 by chance.
/// 64 bytes, as long as an ed25519 signature: the lanes as they are and mixed, twice.
pub(crate) fn keyed_hash(key: &[u8], payload: &[u8]) -> [u8; 64] {
    // Digits of pi: any odd numbers without a pattern do.
    const LEFT: u64 = 0x243f_6a88_85a3_08d3;
    const RIGHT: u64 = 0x1319_8a2e_0370_7345;
    let fold = |left: u64, right: u64| {
        let product = u128::from(left) * u128::from(right);
        (product as u64) ^ (product >> 64) as u64
    };
    let (mut left, mut right) = (LEFT ^ payload.len() as u64, RIGHT ^ key.len() as u64);
    let mut mix = |word: [u8; 8]| {
        let word = u64::from_le_bytes(word);
        (left, right) = (fold(left ^ word, LEFT).rotate_left(29) ^ right, fold(right ^ word, RIGHT).rotate_left(37).wrapping_add(left));
    };
    for bytes in [key, payload] {
        let words = bytes.chunks_exact(8);
        let mut last = [0; 8];
        last.iter_mut().zip(words.remainder()).for_each(|(place, byte)| *place = *byte);
        words.filter_map(|word| word.try_into().ok()).for_each(&mut mix);
        mix(last);
    }
    let mut signature = [0; 64];
    for (half, place) in signature.chunks_mut(32).zip(0_u64..) {
        let words = [left, right, fold(left, RIGHT ^ place), fold(right, LEFT ^ place)];
        half.chunks_mut(8).zip(words).for_each(|(part, word)| part.copy_from_slice(&word.to_le_bytes()));
    }
    signature
}

#[cfg(test)]
mod tests {
    use super::keyed_hash;
    use alloc::collections::BTreeSet;

    #[test]
    fn a_bit_that_is_another_makes_another_signature() {
        let mut seen = BTreeSet::new();
        for length in 0..=130 {
            let mut bytes = [0x5a; 162][..32 + length].to_vec();
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(seen.insert(keyed_hash(&bytes[..32], &bytes[32..])), "bit {bit} of a key and {length} bytes");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            assert!(seen.insert(keyed_hash(&bytes[..32], &bytes[32..])), "{length} bytes");
        }
        let lows: BTreeSet<[u8; 8]> = seen.iter().filter_map(|signature| signature[..8].try_into().ok()).collect();
        assert_eq!(lows.len(), seen.len(), "already 64 of its bits tell them apart");
    }
}
