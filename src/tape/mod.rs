//! Tapes: everything that one replica was told, and when, so that its life can be played again and looked at. (feature `tape`)
//!
//! A [`Recorder`] is a replica that writes its inputs down. Its tape holds the cluster's configuration, what the replica started from, and each input with
//! its time and a digest of what came out. It holds no private key. [`Tape::play`] gives the same inputs to a new replica, and says whether the same comes
//! out (SPEC I19), or where the two part. [`picture`] makes one page of any number of tapes: who said what to whom, and when.
//!
//! A tape is for finding out what happened. It is not the log: a replica never reads one, and it is not made durable.
//!
//! ```
//! # use logothete::{sim, ReplicaId, Tuning, Start, AppState, Outbox, Input, Time};
//! # use logothete::tape::{Recorder, Tape};
//! # use std::sync::{Arc, Mutex};
//! # let cluster = Arc::new(sim::builder(4, 1).build()?);
//! let bytes = Arc::new(Mutex::new(Vec::new()));
//! let file = bytes.clone();
//! let tape = Box::new(move |part: &[u8]| file.lock().unwrap().extend_from_slice(part));
//! let mut out = Outbox::new();
//! let mut replica = Recorder::taped(cluster, ReplicaId::new(0), Tuning::default(), Start::New, AppState::default(), [], &mut out, tape)?;
//! replica.step(Time(1000), Input::Timer, &mut out);
//! // Later, and on any machine:
//! let tape = Tape::read(&bytes.lock().unwrap())?;
//! tape.play(|moment| println!("{:?} {}", moment.at(), moment.told()))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod clocks;
mod entry;
mod picture;
mod player;
mod scene;

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
pub use picture::picture;
pub use player::{Moment, Parted, Tape, TapeError};

use crate::outbox::Identity;
use crate::{
    AppState, Bytes, Cluster, Digest, Disposition, Input, Outbox, Output, RecoverError, Replica, ReplicaId, Start, Time, Tuning,
    Unverified, VerifyError,
};
use alloc::sync::Arc;
use entry::{Entry, Opening, Told};

/// Takes a tape's bytes as they come. What becomes of them is the host's business; a tape that ends anywhere can be played up to there.
pub type Sink = Box<dyn FnMut(&[u8]) + Send>;

/// A replica that writes its inputs down, if it is given a tape. It can be looked at as a [`Replica`], and is stepped as one.
pub struct Recorder {
    replica: Replica,
    tape: Option<(Identity, Sink)>,
}

impl Recorder {
    /// As [`Replica::recover`], without a tape.
    ///
    /// # Errors
    /// As there.
    pub fn recover(
        cluster: Arc<Cluster>,
        id: ReplicaId,
        tuning: Tuning,
        start: Start,
        app: AppState,
        records: impl IntoIterator<Item = (u64, Bytes)>,
        out: &mut Outbox,
    ) -> Result<Self, RecoverError> {
        Ok(Self { replica: Replica::recover(cluster, id, tuning, start, app, records, out)?, tape: None })
    }

    /// The same with a tape; what it starts from is the first thing on it.
    ///
    /// # Errors
    /// As there; then nothing is on the tape.
    #[allow(clippy::too_many_arguments)] // Those of `recover`, and one.
    pub fn taped(
        cluster: Arc<Cluster>,
        id: ReplicaId,
        tuning: Tuning,
        start: Start,
        app: AppState,
        records: impl IntoIterator<Item = (u64, Bytes)>,
        out: &mut Outbox,
        mut tape: Sink,
    ) -> Result<Self, RecoverError> {
        let records: Vec<(u64, Bytes)> = records.into_iter().collect();
        let mut fresh = Outbox::new();
        let mut opening = Opening::new(&cluster, id, &tuning, start, &app, records.clone());
        let identity = Identity::Replica(cluster.clone(), id);
        let replica = Replica::recover(cluster, id, tuning, start, app, records, &mut fresh)?;
        let outputs: Vec<Output> = fresh.drain().collect();
        opening.outputs = entry::digest(None, outputs.iter());
        tape(&opening.encode());
        outputs.into_iter().for_each(|output| out.push(output));
        Ok(Self { replica, tape: Some((identity, tape)) })
    }

    /// As [`Replica::step`].
    #[inline]
    pub fn step(&mut self, now: Time, input: Input, out: &mut Outbox) -> Disposition {
        let Some((identity, sink)) = &mut self.tape else { return self.replica.step(now, input, out) };
        let told = Told::of(&input, identity);
        let mut fresh = Outbox::new();
        let disposition = self.replica.step(now, input, &mut fresh);
        let outputs: Vec<Output> = fresh.drain().collect();
        sink(&Entry { at: now.0, told, outputs: entry::digest(Some(disposition), outputs.iter()) }.encode());
        outputs.into_iter().for_each(|output| out.push(output));
        disposition
    }
}

impl Recorder {
    /// Notes a message that the replica was not told of, since it is not to be believed. For those who look at the tape; to play it makes no difference.
    pub fn refused(&mut self, now: Time, bytes: &Bytes, why: &VerifyError) {
        if let Some((_, sink)) = &mut self.tape {
            let told = Told::Refused { bytes: bytes.clone(), why: why.to_string() };
            sink(&Entry { at: now.0, told, outputs: Digest::default() }.encode());
        }
    }

    /// These messages as bytes, if there is a tape that they may have to be noted on.
    pub(crate) fn copies(&self, messages: &[Unverified]) -> Vec<Bytes> {
        match &self.tape {
            Some(_) => messages.iter().map(|unverified| Bytes::from(crate::wire::encode(&unverified.message))).collect(),
            None => Vec::new(),
        }
    }
}

impl core::ops::Deref for Recorder {
    type Target = Replica;
    fn deref(&self) -> &Replica {
        &self.replica
    }
}

impl core::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.replica.fmt(f)
    }
}
