//! What is on the wire: bytes, read and judged once, however many replicas hear them.

use super::forge::{Forge, Seen};
use crate::verify::VerifyError;
use crate::wire;
use crate::{Bytes, Limits, PeerLink, Unverified, Verified, Verifier};
use alloc::rc::Rc;
use core::cell::OnceCell;

/// Bytes on the wire of one cluster. Clones are the same parcel: what these bytes mean, and whether they verify, depends on nothing else.
#[derive(Clone, Debug)]
pub struct Parcel(Rc<Content>);

#[derive(Debug)]
struct Content {
    /// Of what is known as a message they are written when somebody asks for them.
    bytes: OnceCell<Bytes>,
    letter: OnceCell<Letter>,
    seen: OnceCell<Option<Seen>>,
}

/// What bytes are to the members of a cluster.
#[derive(Debug)]
pub(super) enum Letter {
    /// No message.
    Noise,
    /// A message that is not believed.
    False(Unverified, VerifyError),
    /// A message that is.
    True(Verified),
}

impl<B: Into<Bytes>> From<B> for Parcel {
    fn from(bytes: B) -> Self {
        Self(Rc::new(Content { bytes: OnceCell::from(bytes.into()), letter: OnceCell::new(), seen: OnceCell::new() }))
    }
}

impl Parcel {
    /// What a member says that is believed.
    pub(super) fn said(verified: Verified) -> Self {
        Self(Rc::new(Content { bytes: OnceCell::new(), letter: OnceCell::from(Letter::True(verified)), seen: OnceCell::new() }))
    }

    /// What is sent.
    pub fn bytes(&self) -> &Bytes {
        self.0.bytes.get_or_init(|| match self.0.letter.get() {
            Some(Letter::True(said)) => wire::encode_shared(&said.message),
            _ => Bytes::default(),
        })
    }

    /// What the cluster's members make of it.
    pub(super) fn letter(&self, limits: &Limits, verifier: &Verifier) -> &Letter {
        let decode = || Unverified::decode_shared(PeerLink(0), self.bytes(), limits);
        let open = || match decode().map(|unverified| verifier.verify(unverified)) {
            Ok(Ok(verified)) => Letter::True(verified),
            // What is verified is used up, and what fails is rare.
            Ok(Err(error)) => decode().map_or(Letter::Noise, |unverified| Letter::False(unverified, error)),
            Err(_) => Letter::Noise,
        };
        self.0.letter.get_or_init(open)
    }

    /// What somebody who watches sees in it. None if it is no message.
    pub(super) fn seen(&self, limits: &Limits, verifier: &Verifier, forge: &Forge) -> Option<&Seen> {
        let see = || match self.letter(limits, verifier) {
            Letter::True(verified) => Some(forge.see_verified(&verified.message)),
            Letter::False(unverified, _) => Some(forge.see(unverified.message.clone())),
            Letter::Noise => None,
        };
        self.0.seen.get_or_init(see).as_ref()
    }
}
