//! View changes and new views. (SPEC 4.3)

use super::{Claim, Rank, Statement};
use crate::certificate::Certificate;
use crate::cluster::REPLICAS_MAX;
use crate::ids::{Digest, RawSignature, ReplicaId, SequenceNumber, View};
use crate::wire::Bounded;
use serde::{Deserialize, Serialize};

/// "I have left all views below this one, and this is the highest certificate that I hold."
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ViewChange {
    pub(crate) view: View,
    pub(crate) claim: Claim,
    pub(crate) replica: ReplicaId,
    pub(crate) signature: RawSignature,
    /// Proves the claim; none if it is genesis.
    pub(crate) certificate: Option<Certificate>,
}

impl ViewChange {
    pub(crate) fn statement(&self) -> Statement {
        Statement::ViewChange { view: self.view, claim: self.claim }
    }

    pub(super) fn check_form(&self) -> Result<(), &'static str> {
        if self.view.get() == 0 {
            return Err("nobody changes to view 0");
        }
        if self.claim.rank.view >= self.view {
            return Err("a claim is not below the view that it leads to");
        }
        proves(self.certificate.as_ref(), &self.claim)
    }
}

/// A member's ViewChange without its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SignedClaim {
    pub(crate) replica: ReplicaId,
    pub(crate) claim: Claim,
    pub(crate) signature: RawSignature,
}

/// A new primary's proof of its view's base: a quorum's claims, and the certificate of the highest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NewView {
    pub(crate) view: View,
    pub(crate) base_number: SequenceNumber,
    pub(crate) base_digest: Digest,
    /// In the order of their members' ids, each once.
    pub(crate) claims: Bounded<SignedClaim, REPLICAS_MAX>,
    /// Of the highest claim; none if that is genesis.
    pub(crate) certificate: Option<Certificate>,
    pub(crate) signature: RawSignature,
}

impl NewView {
    pub(crate) fn statement(&self) -> Statement {
        Statement::NewView { view: self.view, base_number: self.base_number, base_digest: self.base_digest }
    }

    /// The claim of the highest rank, if there is any claim.
    pub(crate) fn highest(&self) -> Option<Claim> {
        self.claims.iter().map(|signed| signed.claim).max_by_key(|claim| claim.rank)
    }

    // V4
    pub(super) fn check_form(&self) -> Result<(), &'static str> {
        if self.view.get() == 0 {
            return Err("nobody changes to view 0");
        }
        if !self.claims.is_sorted_by(|left, right| left.replica < right.replica) {
            return Err("claims are not in the order of their members, each once");
        }
        if self.claims.iter().any(|signed| signed.claim.rank.view >= self.view) {
            return Err("a claim is not below the view that it leads to");
        }
        let Some(highest) = self.highest() else {
            return Err("a new view without claims");
        };
        if self.claims.iter().any(|signed| signed.claim.rank == highest.rank && signed.claim.digest != highest.digest) {
            return Err("two digests at the highest rank");
        }
        if highest.rank.sequence_number != self.base_number || highest.digest != self.base_digest {
            return Err("the base is not the highest claim");
        }
        proves(self.certificate.as_ref(), &highest)
    }
}

/// Is this certificate for this claim? Genesis needs and has none; that its digest is genesis', the verifier checks.
fn proves(certificate: Option<&Certificate>, claim: &Claim) -> Result<(), &'static str> {
    match certificate {
        None if claim.rank == Rank::default() => Ok(()),
        None => Err("a claim has no certificate"),
        Some(_) if claim.rank == Rank::default() => Err("genesis has no certificate"),
        Some(certificate) if certificate.claim() != *claim => Err("a certificate is not the claim's"),
        Some(certificate) => certificate.check_form(),
    }
}
