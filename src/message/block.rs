//! A header and the batch that it names: one link of the chained log. (SPEC 3.3)

use super::Request;
use crate::cluster::Limits;
use crate::hash::{Domain, Hasher};
use crate::ids::{Digest, SequenceNumber};
use crate::wire::Bounded;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Where a batch stands. It has no view: a batch that is proposed again keeps its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) sequence_number: SequenceNumber,
    /// The digest of the header before this one, and so of the whole prefix.
    pub(crate) parent: Digest,
    /// The digest of the batch.
    pub(crate) payload: Digest,
}

/// Beyond any `batch_requests_max`.
pub(super) const BATCH_REQUESTS_MAX: usize = 65_536;

pub(crate) type Batch = Bounded<Request, BATCH_REQUESTS_MAX>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    pub(crate) header: Header,
    pub(crate) batch: Batch,
    /// d_n, the header's digest: computed here, never believed from outside.
    #[serde(skip)]
    pub(crate) digest: Digest,
}

/// d_n = SHA-256(domain ‖ group ‖ n ‖ parent ‖ payload).
pub(crate) fn header_digest(group: &Digest, header: &Header) -> Digest {
    Hasher::new(Domain::Header).digest(group).u64(header.sequence_number.get()).digest(&header.parent).digest(&header.payload).finish()
}

/// Over client, number, operation digest, *place and signature* of each request: whether a batch is valid is a function of its digest alone.
pub(crate) fn batch_digest(group: &Digest, batch: &[Request]) -> Digest {
    let count = u32::try_from(batch.len()).unwrap_or(u32::MAX);
    batch
        .iter()
        .fold(Hasher::new(Domain::Batch).digest(group).u32(count), |hasher, request| {
            let hasher = hasher.bytes(request.client.as_bytes()).u64(request.number.get()).digest(&request.operation_digest);
            request.place.hash(hasher).bytes(&request.signature.0)
        })
        .finish()
}

/// What a batch counts against `batch_bytes_max`.
pub(crate) fn batch_size(batch: &[Request]) -> u64 {
    batch.iter().map(Request::size).sum()
}

impl Block {
    pub(crate) fn new(group: &Digest, sequence_number: SequenceNumber, parent: Digest, batch: Vec<Request>) -> Self {
        let header = Header { sequence_number, parent, payload: batch_digest(group, &batch) };
        Self { header, batch: Bounded(batch), digest: header_digest(group, &header) }
    }

    /// Computes all digests inside. Does the batch hash to what the header says?
    pub(crate) fn compute_digests(&mut self, group: &Digest) -> bool {
        self.batch.0.iter_mut().for_each(Request::compute_digest);
        self.digest = header_digest(group, &self.header);
        batch_digest(group, &self.batch) == self.header.payload
    }

    pub(super) fn check_form(&self, limits: &Limits) -> Result<(), &'static str> {
        if self.header.sequence_number.get() == 0 {
            return Err("there is no batch at genesis");
        }
        if self.batch.is_empty() {
            return Err("a batch is empty");
        }
        if self.batch.len() > limits.batch_requests_max as usize {
            return Err("a batch has more than batch_requests_max requests");
        }
        if batch_size(&self.batch) > u64::from(limits.batch_bytes_max) {
            return Err("a batch is longer than batch_bytes_max");
        }
        self.batch.iter().try_for_each(|request| request.check_form(limits))
    }
}
