//! What is on the wire: bytes, read and judged once, however many replicas hear them.

use super::forge::{Forge, Seen};
use crate::verify::VerifyError;
use crate::{Bytes, Limits, PeerLink, Unverified, Verified, Verifier};
use alloc::rc::Rc;
use core::cell::OnceCell;

/// Bytes on the wire of one cluster. Clones are the same parcel: what these bytes mean, and whether they verify, depends on nothing else.
#[derive(Clone, Debug)]
pub struct Parcel(Rc<Content>);

#[derive(Debug)]
struct Content {
    bytes: Bytes,
    /// None if they are no message.
    read: OnceCell<Option<Unverified>>,
    verdict: OnceCell<Result<Verified, VerifyError>>,
    seen: OnceCell<Option<Seen>>,
}

impl<B: Into<Bytes>> From<B> for Parcel {
    fn from(bytes: B) -> Self {
        Self(Rc::new(Content { bytes: bytes.into(), read: OnceCell::new(), verdict: OnceCell::new(), seen: OnceCell::new() }))
    }
}

impl Parcel {
    /// What is sent.
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// The message that the bytes are.
    pub(super) fn read(&self, limits: &Limits) -> Option<&Unverified> {
        self.0.read.get_or_init(|| Unverified::decode(PeerLink(0), &self.0.bytes, limits).ok()).as_ref()
    }

    /// What the cluster's members say of it. None if it is no message.
    pub(super) fn verdict(&self, limits: &Limits, verifier: &Verifier) -> Option<&Result<Verified, VerifyError>> {
        let unverified = self.read(limits)?;
        Some(self.0.verdict.get_or_init(|| verifier.verify(unverified.clone())))
    }

    /// What somebody who watches sees in it. None if it is no message.
    pub(super) fn seen(&self, limits: &Limits, verifier: &Verifier, forge: &Forge) -> Option<&Seen> {
        let see = || match self.verdict(limits, verifier)? {
            Ok(verified) => Some(forge.see_verified(verified.message.clone())),
            Err(_) => self.read(limits).map(|unverified| forge.see(unverified.message.clone())),
        };
        self.0.seen.get_or_init(see).as_ref()
    }
}
