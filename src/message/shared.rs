//! Messages whose operations stay where they came: the bytes of a proposal are most of what travels, and are not copied out of it. (SPEC 2)

use super::block::BATCH_REQUESTS_MAX;
use super::{Block, Header, Message, Place, PrePrepare, Request};
use crate::ids::{Bytes, ClientId, Digest, RawSignature, RequestNumber, View};
use crate::part::Part;
use crate::wire::{self, Bounded, DecodeError};
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The kinds that hold operations.
const REQUEST: u32 = 0;
const PRE_PREPARE: u32 = 1;
/// From here on the operation of a request by itself is worth keeping its message for.
const LONG: usize = 1024;

/// A request whose operation is still the message's.
#[derive(Serialize, Deserialize)]
struct Lent<'a> {
    client: ClientId,
    number: RequestNumber,
    #[serde(borrow)]
    operation: wire::Borrowed<'a>,
    place: Place,
    signature: RawSignature,
}

impl Lent<'_> {
    fn with(self, operation: Part) -> Request {
        let Self { client, number, place, signature, .. } = self;
        Request { client, number, operation, place, signature, operation_digest: Digest::default() }
    }

    fn kept(self, whole: &Bytes) -> Result<Request, DecodeError> {
        Part::of(whole, self.operation.0).map(|operation| self.with(operation)).ok_or(DecodeError::Malformed)
    }

    fn copied(self) -> Request {
        let operation = Part::from(Bytes::from(self.operation.0));
        self.with(operation)
    }
}

/// The same message that [`wire::decode`] reads from these bytes, or the same error; it keeps them.
pub(super) fn decode(bytes: &Bytes, max: u32) -> Result<Message, DecodeError> {
    let kind = bytes.first_chunk().map(|kind| u32::from_le_bytes(*kind));
    match kind {
        Some(REQUEST | PRE_PREPARE) if bytes.len() > max as usize => Err(DecodeError::TooLong { length: bytes.len(), max }),
        Some(REQUEST) => {
            let ((_, request), rest): ((u32, Lent<'_>), _) = wire::decode_first(bytes)?;
            end(rest)?;
            // I18: what waits is counted by its operation, without the message around it.
            let is_long = request.operation.0.len() >= LONG;
            Ok(Message::Request(if is_long { request.kept(bytes)? } else { request.copied() }))
        }
        Some(PRE_PREPARE) => pre_prepare(bytes).map(Message::PrePrepare),
        _ => wire::decode(bytes, max),
    }
}

fn pre_prepare(bytes: &Bytes) -> Result<PrePrepare, DecodeError> {
    let ((_, view, header, count), mut rest): ((u32, View, Header, u64), _) = wire::decode_first(bytes)?;
    if count > BATCH_REQUESTS_MAX as u64 {
        return Err(DecodeError::Malformed);
    }
    let mut batch = Vec::new();
    for _ in 0..count {
        let (request, behind): (Lent<'_>, _) = wire::decode_first(rest)?;
        wire::push_as_it_arrives(&mut batch, request.kept(bytes)?);
        rest = behind;
    }
    let (signature, rest) = wire::decode_first(rest)?;
    end(rest)?;
    let block = Block { header, batch: Bounded(batch), digest: Digest::default() };
    Ok(PrePrepare { view, block: Arc::new(block), signature })
}

fn end(rest: &[u8]) -> Result<(), DecodeError> {
    if rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(rest.len())) }
}
