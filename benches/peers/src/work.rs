//! What each peer is given to do, and how a run of it is measured.

use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of one payload, and how many make a batch.
pub const PAYLOAD: usize = 512;
pub const BATCH: usize = 1000;
pub const CLIENTS: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A decision of nothing, or of the least that a peer can decide.
    Empty,
    /// 1000 payloads of 512 bytes, which nobody signed.
    Payloads,
    /// 1000 payloads of 512 bytes, each signed by one of 16 clients; each replica verifies them.
    Signed,
}

#[derive(Clone, Copy, Debug)]
pub struct Work {
    pub replicas: usize,
    /// Replicas' signatures are ed25519, or stubbed.
    pub signed_votes: bool,
    pub content: Content,
    pub decisions: usize,
}

/// CPU time of the whole process so far, all threads.
pub fn cpu_time() -> Duration {
    cpu_time::ProcessTime::try_now().expect("the process's CPU time").as_duration()
}

/// A client's signed payload, as bytes: client (1) ‖ number (8) ‖ signature (64) ‖ payload.
const HEAD: usize = 73;

pub fn client_key(client: usize) -> ed25519_zebra::SigningKey {
    ed25519_zebra::SigningKey::from([client as u8 + 1; 32])
}

fn signed_part(client: u8, number: u64, payload: &[u8]) -> [u8; 41] {
    let mut bytes = [client; 41];
    bytes[1..9].copy_from_slice(&number.to_le_bytes());
    bytes[9..].copy_from_slice(&Sha256::digest(payload));
    bytes
}

/// Makes values for the peers that decide on opaque bytes, and judges them.
pub struct Values {
    content: Content,
    keys: Vec<ed25519_zebra::SigningKey>,
    known: Vec<ed25519_zebra::VerificationKey>,
}

impl Values {
    pub fn new(content: Content) -> Self {
        let keys: Vec<_> = (0..CLIENTS).map(client_key).collect();
        let known = keys.iter().map(ed25519_zebra::VerificationKey::from).collect();
        Self { content, keys, known }
    }

    /// The value of the n-th decision: made before the clock runs, as clients do on their own machines.
    pub fn make(&self, number: u64) -> Arc<[u8]> {
        let mut bytes = number.to_le_bytes().to_vec();
        for index in 0..BATCH {
            let payload = [7; PAYLOAD];
            match self.content {
                Content::Empty => break,
                Content::Payloads => bytes.extend_from_slice(&payload),
                Content::Signed => {
                    let client = index % CLIENTS;
                    let signed = signed_part(client as u8, number * BATCH as u64 + index as u64, &payload);
                    bytes.extend_from_slice(&signed[..9]);
                    bytes.extend_from_slice(&self.keys[client].sign(&signed).to_bytes());
                    bytes.extend_from_slice(&payload);
                }
            }
        }
        bytes.into()
    }

    /// What a replica does before it votes for a value: hash it, and verify what clients signed in it, in one load.
    pub fn judge(&self, value: &[u8]) -> [u8; 32] {
        if self.content == Content::Signed {
            let mut batch = ed25519_zebra::batch::Verifier::new();
            for signed in value[8..].chunks_exact(HEAD + PAYLOAD) {
                let number = u64::from_le_bytes(signed[1..9].try_into().expect("eight bytes"));
                let message = signed_part(signed[0], number, &signed[HEAD..]);
                let signature = ed25519_zebra::Signature::from_bytes(signed[9..HEAD].try_into().expect("a signature"));
                batch.queue((self.known[usize::from(signed[0])].into(), signature, &message));
            }
            batch.verify(rand::rng()).expect("signed by clients");
        }
        Sha256::digest(value).into()
    }
}
