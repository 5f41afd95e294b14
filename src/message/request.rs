//! A client's request. (SPEC 4.1, S1, S3)

use super::run::Place;
use crate::cluster::{Limits, REQUEST_OVERHEAD};
use crate::hash::{Domain, hash};
use crate::ids::{Bytes, ClientId, Digest, RawSignature, RequestNumber};
use crate::part::Part;
use crate::wire::Payload;
use serde::{Deserialize, Serialize};

/// A signed operation of a client's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub(crate) client: ClientId,
    pub(crate) number: RequestNumber,
    pub(crate) operation: Part,
    /// Among those that the signature is on.
    pub(crate) place: Place,
    pub(crate) signature: RawSignature,
    /// SHA-256 of the operation, computed once here, never believed from outside.
    #[serde(skip)]
    pub(crate) operation_digest: Digest,
}

impl Request {
    /// Who asks.
    pub fn client(&self) -> ClientId {
        self.client
    }
    /// The client's own count, from 1.
    pub fn number(&self) -> RequestNumber {
        self.number
    }
    /// The bytes to execute; their meaning is the service's.
    pub fn operation(&self) -> &[u8] {
        &self.operation
    }

    pub(crate) fn new(client: ClientId, number: RequestNumber, operation: Bytes) -> Self {
        let (operation, place, signature) = (operation.into(), Place::default(), RawSignature::ZERO);
        let mut request = Self { client, number, operation, place, signature, operation_digest: Digest::default() };
        request.compute_digest();
        request
    }

    pub(crate) fn compute_digest(&mut self) {
        self.operation_digest = hash(Domain::Operation, &self.operation);
    }

    /// What the signature is on; `None` if its path has the wrong length.
    pub(crate) fn payload(&self, group: &Digest) -> Option<Payload> {
        self.place.payload(group, &self.client, self.number, &self.operation_digest)
    }

    /// What it takes in a batch.
    pub(crate) fn size(&self) -> u64 {
        self.operation.len() as u64 + self.place.bytes() + REQUEST_OVERHEAD
    }

    pub(super) fn check_form(&self, limits: &Limits) -> Result<(), &'static str> {
        if self.number.get() == 0 {
            return Err("request numbers count from 1");
        }
        if self.operation.len() > limits.operation_bytes_max as usize {
            return Err("an operation is longer than operation_bytes_max");
        }
        self.place.check_form(self.number)
    }
}
