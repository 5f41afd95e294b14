//! A client's request. (SPEC 4.1, S1)

use crate::cluster::Limits;
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
        let mut request =
            Self { client, number, operation: operation.into(), signature: RawSignature::ZERO, operation_digest: Digest::default() };
        request.compute_digest();
        request
    }

    pub(crate) fn compute_digest(&mut self) {
        self.operation_digest = hash(Domain::Operation, &self.operation);
    }

    pub(crate) fn payload(&self, group: &Digest) -> Payload {
        Payload::new(9, group).bytes32(self.client.as_bytes()).u64(self.number.get()).bytes32(self.operation_digest.as_bytes()).finish()
    }

    pub(super) fn check_form(&self, limits: &Limits) -> Result<(), &'static str> {
        if self.number.get() == 0 {
            return Err("request numbers count from 1");
        }
        if self.operation.len() > limits.operation_bytes_max as usize {
            return Err("an operation is longer than operation_bytes_max");
        }
        Ok(())
    }
}
