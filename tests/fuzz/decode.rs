//! Bytes of a peer, or of a file: every decoder of the library, over the same bytes. (SPEC 2, 4)

use super::heap::{allowed, peak_of};
use super::samples::World;
use logothete::{Bytes, Evidence, ExecutionReceipt, Frames, Limits, Manifest, PeerLink, SessionTable, Unverified};
use std::sync::OnceLock;

struct Ground {
    world: World,
    /// Almost everything is beyond these.
    narrow: Limits,
}

fn ground() -> &'static Ground {
    static GROUND: OnceLock<Ground> = OnceLock::new();
    let narrow = Limits { operation_bytes_max: 1, batch_bytes_max: 329, batch_requests_max: 1, result_bytes_max: 0, ..Limits::default() };
    GROUND.get_or_init(|| Ground { world: World::new(), narrow })
}

/// Decodes and, if that succeeds, encodes again: the same bytes. And it takes no more than it may either way.
fn judge<T, E>(what: &str, bytes: &[u8], decode: impl FnOnce(&[u8]) -> Result<T, E>, encode: impl FnOnce(&T) -> Vec<u8>) -> Option<T> {
    let (decoded, peak) = peak_of(|| decode(bytes));
    assert!(peak <= allowed(bytes.len()), "{what}: {} bytes of input took {peak}", bytes.len());
    let decoded = decoded.ok()?;
    assert!(encode(&decoded) == bytes, "{what}: it is written in another way");
    Some(decoded)
}

pub fn run(bytes: &[u8]) {
    let Ground { world, narrow } = ground();
    let limits = world.cluster.limits();
    let again = |_: &Unverified| world.forge.reencode(bytes).unwrap_or_default();
    if let Some(message) = judge("a message", bytes, |bytes| Unverified::decode(PeerLink(0), bytes, limits), again) {
        assert!(message.size() >= bytes.len());
        assert!(!message.to_string().is_empty());
        let _ = (message.kind(), message.claimed_sender(), message.client(), message.link());
        assert!(world.forge.read(bytes).is_ok());
    }
    let kept = Bytes::from(bytes);
    judge("a message that is kept", bytes, |_| Unverified::decode_shared(PeerLink(0), &kept, limits), again);
    // What passes narrow limits passes wide ones.
    let strict = judge("a message within narrow limits", bytes, |bytes| Unverified::decode(PeerLink(0), bytes, narrow), again);
    assert!(strict.is_none() || world.decode(bytes).is_ok());
    if let Some(evidence) = judge("evidence", bytes, Evidence::decode, Evidence::encode) {
        let _ = (evidence.culprit(), evidence.to_string(), evidence.verify(&world.cluster));
    }
    if let Some(receipt) = judge("a receipt", bytes, |bytes| ExecutionReceipt::decode(bytes, limits), ExecutionReceipt::encode) {
        let _ = (receipt.signers().count(), receipt.verify(&world.cluster));
    }
    if let Some(manifest) = judge("a manifest", bytes, Manifest::decode, Manifest::encode) {
        let count = manifest.chunk_count();
        assert!(manifest.session_chunk_count() <= count);
        assert!(count == 0 || manifest.chunk(count - 1).is_some());
        assert!(manifest.chunk(count).is_none() && manifest.chunk(u32::MAX).is_none());
    }
    let sessions = |bytes: &[u8]| SessionTable::decode(&world.cluster, bytes);
    judge("a session table", bytes, sessions, |table| table.encode().to_vec());
    frames(bytes);
}

/// A stream of frames loses nothing of what it is made of.
fn frames(bytes: &[u8]) {
    let mut frames = Frames::new(bytes);
    let mut joined = Vec::new();
    while let Some(frame) = frames.next() {
        joined.extend_from_slice(&frame.expect("memory can be read").1);
        assert_eq!(frames.offset(), joined.len() as u64);
    }
    // Behind a damaged header a megabyte is enough to say so.
    assert!(bytes.starts_with(&joined) && (joined.len() == bytes.len() || joined.len() > 1 << 20));
}
