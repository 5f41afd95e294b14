//! Proposals and votes. (SPEC 4.2)

use super::{Block, Message, Statement, VoteKind};
use crate::ids::{Digest, RawSignature, ReplicaId, SequenceNumber, View};
use alloc::sync::Arc;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Prepare or Commit; which of them, the message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Vote {
    pub(crate) view: View,
    pub(crate) sequence_number: SequenceNumber,
    pub(crate) digest: Digest,
    pub(crate) replica: ReplicaId,
    pub(crate) signature: RawSignature,
}

/// kind (4) ‖ view (8) ‖ number (8) ‖ digest (32) ‖ replica (4) ‖ signature (64).
const VOTE_MESSAGE: usize = 120;
/// Which of the messages are votes, as SPEC 4 counts them.
const PREPARE: u32 = 2;
const COMMIT: u32 = 3;

/// A message that is a vote, as the codec would read it. Most messages are: each of its fields has one width and one form, so that there is nothing to look for.
pub(super) fn read_vote(bytes: &[u8]) -> Option<Message> {
    fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
        let (taken, behind) = rest.split_first_chunk()?;
        *rest = behind;
        Some(*taken)
    }
    let mut rest = Some(bytes).filter(|bytes| bytes.len() == VOTE_MESSAGE)?;
    let of_kind = match u32::from_le_bytes(take(&mut rest)?) {
        PREPARE => Message::Prepare,
        COMMIT => Message::Commit,
        _ => return None,
    };
    Some(of_kind(Vote {
        view: View::new(u64::from_le_bytes(take(&mut rest)?)),
        sequence_number: SequenceNumber::new(u64::from_le_bytes(take(&mut rest)?)),
        digest: Digest::new(take(&mut rest)?),
        replica: ReplicaId::new(u32::from_le_bytes(take(&mut rest)?)),
        signature: RawSignature(take(&mut rest)?),
    }))
}

impl Vote {
    pub(crate) fn statement(&self, kind: VoteKind) -> Statement {
        Statement::vote(kind, self.view, self.sequence_number, self.digest)
    }
}

impl fmt::Display for Vote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {:?} by {:?}", self.view, self.sequence_number, self.digest, self.replica)
    }
}

/// A block and its primary's Prepare for it: the signature is the primary's vote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PrePrepare {
    pub(crate) view: View,
    pub(crate) block: Arc<Block>,
    pub(crate) signature: RawSignature,
}

impl PrePrepare {
    pub(crate) fn statement(&self) -> Statement {
        Statement::Prepare { view: self.view, sequence_number: self.block.header.sequence_number, digest: self.block.digest }
    }

    /// The Prepare that this proposal is, as a vote of `primary`.
    pub(crate) fn vote(&self, primary: ReplicaId) -> Vote {
        Vote {
            view: self.view,
            sequence_number: self.block.header.sequence_number,
            digest: self.block.digest,
            replica: primary,
            signature: self.signature,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{COMMIT, PREPARE, VOTE_MESSAGE, read_vote};
    use crate::message::Message;
    use crate::wire;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn spec_2_a_vote_is_read_as_the_codec_reads_it(
            kind in 0..20_u32, length in prop_oneof![Just(VOTE_MESSAGE), VOTE_MESSAGE - 2..VOTE_MESSAGE + 2], rest in proptest::collection::vec(any::<u8>(), 200)
        ) {
            let bytes: Vec<u8> = kind.to_le_bytes().into_iter().chain(rest).take(length).collect();
            let read = wire::decode::<Message>(&bytes, u32::MAX).ok().filter(|_| [PREPARE, COMMIT].contains(&kind));
            prop_assert_eq!(read.is_some(), [PREPARE, COMMIT].contains(&kind) && length == VOTE_MESSAGE);
            prop_assert_eq!(read_vote(&bytes), read);
        }
    }
}
