//! Promises and the writes behind them: what isn't durable can't be signed, and what isn't signed can't be encoded. (SPEC D1)

use crate::ids::{Bytes, RawSignature};
use crate::outbox::{Envelope, Identity, SignError, ToSign};
use crate::record::Record;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use ed25519_dalek::{Signature, Signer};

/// A record to make durable, and the messages that wait for it.
///
/// Dropping it silences the replica and may make its log unrecoverable; it can't make it lie.
#[derive(Debug)]
#[must_use = "a replica is silent until its records are durable"]
pub struct Write {
    pub(crate) identity: Identity,
    pub(crate) index: u64,
    pub(crate) record: Record,
    pub(crate) discards_before: Option<u64>,
    pub(crate) sealed: Sealed,
}

impl Write {
    /// Rises by 1 from record to record, from 0.
    pub fn index(&self) -> u64 {
        self.index
    }
    /// What to append.
    pub fn record(&self) -> &Record {
        &self.record
    }
    /// Records below this index will never be needed again once this one is durable: this one restates all that is still binding.
    pub fn discards_before(&self) -> Option<u64> {
        self.discards_before
    }
    /// The host's word that this record *and every one of lower index* is durable. What was sealed behind it may now be signed.
    pub fn persisted(self) -> Released {
        let mut released = Released::nothing();
        released.add(self);
        released
    }
    /// The same, and the record, for a disk in memory that takes it as it is.
    #[cfg(feature = "sim")]
    pub(crate) fn recorded(self) -> (Record, Released) {
        let mut released = Released::nothing();
        let record = released.add(self);
        (record, released)
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {}", self.index, self.record.what())?;
        self.sealed.iter().try_for_each(|to_sign| write!(f, " | {to_sign}"))
    }
}

/// What waits for a record: nearly always one promise, or none. Of votes only the first may be passed over. (P6)
#[derive(Debug, Default)]
pub(crate) struct Sealed {
    pub(crate) first: Option<Box<ToSign>>,
    #[expect(clippy::vec_box, reason = "each goes through several hands, and is long")]
    pub(crate) others: Vec<Box<ToSign>>,
}

impl Sealed {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ToSign> {
        self.first.iter().chain(&self.others).map(|to_sign| &**to_sign)
    }
}

/// Promises whose records are durable, ready to be signed.
#[derive(Debug)]
#[must_use = "a replica is silent until its promises are signed"]
pub struct Released {
    /// None if there is nothing in it.
    identity: Option<Identity>,
    indices: Vec<u64>,
    #[expect(clippy::vec_box, reason = "each goes through several hands, and is long")]
    sealed: Vec<Box<ToSign>>,
}

impl Released {
    /// Signs everything: the envelopes to send, and the receipt to hand back to the replica with `Input::Persisted`.
    ///
    /// # Errors
    /// [`SignError`] gives all of this back if the signer fails: nothing is lost.
    pub fn sign<S: Signer<Signature> + ?Sized>(self, signer: &S) -> Result<(Vec<Envelope>, Receipt), SignError<Self>> {
        let signatures: Result<Vec<_>, _> = self.sealed.iter().map(|to_sign| signer.try_sign(&to_sign.payload)).collect();
        match signatures {
            Ok(signatures) => Ok(self.seal(signatures)),
            Err(error) => Err(SignError { returned: Box::new(self), reason: error.to_string() }),
        }
    }

    /// Is there no record in it? Then nothing need be signed, and its receipt says nothing.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// What a remote signer has to sign, in order.
    pub fn payloads(&self) -> impl Iterator<Item = &[u8]> {
        self.sealed.iter().map(|to_sign| &to_sign.payload[..])
    }

    /// Takes a remote signer's signatures, in the order of [`payloads`](Self::payloads), and checks them.
    ///
    /// # Errors
    /// [`SignError`] gives all of this back if one is missing or not this replica's.
    pub fn attach(self, signatures: Vec<Signature>) -> Result<(Vec<Envelope>, Receipt), SignError<Self>> {
        let count = self.sealed.len();
        let verdict = if signatures.len() == count {
            self.sealed.iter().zip(&signatures).try_for_each(|(to_sign, signature)| match &self.identity {
                Some(identity) => identity.check(&to_sign.payload, RawSignature(signature.to_bytes())),
                None => Err("nothing to sign".to_string()),
            })
        } else {
            Err(format!("{} signatures for {count} payloads", signatures.len()))
        };
        match verdict {
            Ok(()) => Ok(self.seal(signatures)),
            Err(reason) => Err(SignError { returned: Box::new(self), reason }),
        }
    }

    fn seal(self, signatures: Vec<Signature>) -> (Vec<Envelope>, Receipt) {
        let mut envelopes = Vec::with_capacity(self.sealed.len());
        for (to_sign, signature) in self.sealed.into_iter().zip(signatures) {
            to_sign.seal_into(RawSignature(signature.to_bytes()), &mut envelopes);
        }
        let receipt = Receipt { identity: self.identity, indices: self.indices, own: envelopes.clone() };
        (envelopes, receipt)
    }

    const fn nothing() -> Self {
        Self { identity: None, indices: Vec::new(), sealed: Vec::new() }
    }

    fn add(&mut self, write: Write) -> Record {
        self.identity = Some(write.identity);
        self.indices.push(write.index);
        self.sealed.extend(write.sealed.first.into_iter().chain(write.sealed.others));
        write.record
    }
}

/// Proof to the replica itself that its promises are durable and signed: only now do its own votes count.
#[derive(Debug)]
#[must_use = "a replica's own votes count when its receipts come back"]
pub struct Receipt {
    /// None if it is for no record.
    pub(crate) identity: Option<Identity>,
    pub(crate) indices: Vec<u64>,
    pub(crate) own: Vec<Envelope>,
}

/// A host's append-only log. `examples/generals/wal.rs` is one in files, to be copied; [`Volatile`](crate::Volatile) one for tests.
///
/// A crash may lose or cut what was appended since the last [`sync`](Self::sync), nothing else. Whatever else a disk does to a log, the replica finds
/// out when it starts ([`RecoverError`](crate::RecoverError)), as long as it is given what is there: don't repair, drop or skip anything. But what the disk
/// loses at the end, though it was synced, is not found: what is left looks whole, and the replica may contradict itself. (SPEC D2)
pub trait Wal {
    /// What can go wrong.
    type Error;
    /// All records, in the order of their indices, the last of them perhaps cut off. [`Frames`](crate::Frames) finds them in a stream of bytes.
    fn read(&mut self) -> impl Iterator<Item = Result<(u64, Bytes), Self::Error>>;
    /// Appends a record, whose bytes [`Record::write_to`] gives part by part; need not be durable before [`sync`](Self::sync). A record that was cut off when the log was read is replaced:
    /// nothing with this index or a higher one stays. (In a file, cut it at [`Frames::offset`](crate::Frames::offset) first: what is appended
    /// behind a part of a record is taken for the rest of it, and lost.)
    ///
    /// # Errors
    /// The log could not take the record.
    fn append(&mut self, index: u64, record: &Record) -> Result<(), Self::Error>;
    /// Makes everything appended durable.
    ///
    /// # Errors
    /// Nothing that was appended since the last `sync` may be taken for durable.
    fn sync(&mut self) -> Result<(), Self::Error>;
    /// Forgets the records below `index`, when that is convenient.
    ///
    /// # Errors
    /// The log could not be shortened; it is still whole.
    fn truncate_before(&mut self, index: u64) -> Result<(), Self::Error>;
}

/// Group commit: appends all records, syncs once, releases all. Without writes it does nothing, and there is nothing in what it releases.
///
/// # Errors
/// The log's own. The writes are gone with it: a replica whose log fails must stop and recover.
pub fn persist<W: Wal>(wal: &mut W, writes: impl IntoIterator<Item = Write>) -> Result<Released, W::Error> {
    let mut released = Released::nothing();
    let mut discard = None;
    for write in writes {
        wal.append(write.index(), write.record())?;
        discard = discard.max(write.discards_before());
        // Not released yet: this only gathers; nothing leaves this function before the sync below.
        released.add(write);
    }
    if !released.indices.is_empty() {
        wal.sync()?;
    }
    if let Some(index) = discard {
        wal.truncate_before(index)?;
    }
    Ok(released)
}
