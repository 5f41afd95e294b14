//! A Byzantine fault-tolerant replicated log: PBFT on a hash chain, as a state machine without I/O.
//!
//! The host owns sockets, clock, disk, key and the replicated application. This is all that it does:
//!
//! ```
//! use logothete::{Application, Node, NodeError, PeerLink, Recipients, Signature, Signer, Time, Wal};
//! use std::{sync::mpsc::{Receiver, RecvTimeoutError}, time::{Duration, Instant}};
//!
//! fn host<W: Wal, A: Application, S: Signer<Signature>>(
//!     mut node: Node<W, A, S>,              // from Node::open
//!     inbox: Receiver<(PeerLink, Vec<u8>)>, // the threads of your sockets fill it
//!     send: impl Fn(Recipients, &[u8]),     // and these bytes go out over them
//!     start: Instant,
//! ) -> Result<(), NodeError<W::Error>> {
//!     let now = || Time(start.elapsed().as_micros() as u64);
//!     loop {
//!         let wait = node.deadline().map_or(Duration::MAX, |deadline| deadline.since(now()));
//!         let first = match inbox.recv_timeout(wait) {
//!             Err(RecvTimeoutError::Disconnected) => return Ok(()),
//!             message => message.ok(),
//!         };
//!         for (link, bytes) in first.into_iter().chain(inbox.try_iter().take(1000)) {
//!             if let Err(error) = node.receive(link, &bytes) { eprintln!("{link:?}: {error}") }
//!         }
//!         for envelope in node.run(now())? { send(envelope.to(), &envelope.encode()) }
//!         for event in node.events() { eprintln!("{event}") }
//!     }
//! }
//! ```
//!
//! What comes out of [`Node::run`] is signed, and every promise among it is durable; there is no other way to bytes. The protocol is in `SPEC.md`,
//! rule by rule; the code at each rule carries its name (`// V3`).
//!
//! # The life of a message
//!
//! ```text
//! bytes ─▶ wire ─▶ Unverified ─▶ screen ─▶ verify ─▶ Verified ─▶ Replica::step ─▶ Outbox ─┬▶ writes ─▶ persist ─▶ sign ─▶ Envelope ─▶ bytes
//!                  parsed,       is it      pure,                deterministic,           ├▶ sends  ─▶ sign ─▶ Envelope ─▶ bytes
//!                  bounded,      needed?    any thread           total, checks            ├▶ app    ─▶ Service
//!                  not believed                                  no signature             └▶ events ─▶ logs, metrics, alarms
//! ```
//!
//! 1. [`Unverified::decode`] parses bytes, within the cluster's [`Limits`], and believes nothing of them ([`decode_shared`](Unverified::decode_shared) keeps them
//!    instead of copying out of them).
//! 2. [`Screen::admit`] drops what is stale, doubled or no longer needed before a signature is checked.
//! 3. [`Verifier::verify`] checks every signature in it, and that its parts fit together. Only a [`Verified`] can be given to a replica.
//! 4. [`Replica::step`] takes it as an [`Input`] and leaves what follows in an [`Outbox`], in lanes.
//! 5. Promises come as a [`Write`]: one [`Record`] and what is sealed behind it. [`persist`] appends all, syncs once, and gives a [`Released`];
//!    only that can be signed. Signing gives each [`Envelope`] to send and a [`Receipt`]; the replica's own votes count when that comes back to it.
//! 6. What promises nothing comes as an [`Outgoing`], signed and sent as it is.
//! 7. Decided batches come as a [`Decision`], in order. The results go back in with [`Input::Executed`]; the replies come out.
//! 8. Each other [`AppCommand`] says with which [`Input`] it is answered. Commands are carried out in their order; answers may take their time.
//!
//! The [`guide`] says how to choose n, times and limits, what is promised and what is not, and what to do when something goes wrong.
//!
//! # What each type is for
//!
//! - One thread, no fuss: [`Node`], with your [`Wal`], your [`Application`] and any [`Signer`]. For a state in memory implement [`Service`] and let [`Snapshots`] make
//!   an application of it. `examples/registry` is a whole service, with log and store in files, to copy and to begin with.
//! - To come back: [`Start`], [`AppState`], [`RecoverError`] with [`RecordFault`]; [`Frames`] for a log that is one stream of bytes; [`Manifest`], [`CheckpointOrder`] and
//!   [`SessionTable`] for applications with a store of their own.
//! - Who takes part: [`Cluster`], from a [`ClusterBuilder`], with [`Limits`]; the same for all. [`Tuning`] is how patient one replica is.
//! - Names and numbers: [`View`], [`SequenceNumber`], [`RequestNumber`], [`ReplicaId`], [`ClientId`], [`Digest`]. None turns into another.
//! - Stages of one's own: [`Unverified`], [`Screen`], [`Triage`], [`Verifier`], [`Replica`], [`Outbox`], [`persist`], as above.
//! - The client's side: [`Client`] is the machine, [`Outcome`] what it learns of a request, [`ExecutionReceipt`] what it can show to others.
//! - To watch: [`Event`], [`Status`] with [`Usage`], [`Disposition`], [`Counters`]. [`Evidence`] proves that a replica signed two statements that contradict each other;
//!   [`Evidence::verify`] needs nothing but the cluster's keys.
//! - To log: the feature `tracing` tells events, refusals and failures to the crate of that name.
//! - To look back: the feature `tape` writes down what a replica is told, plays it again, and draws it.
//! - To attack: the feature `sim` gives tests a whole cluster in virtual time, and a pen that signs anything. Only tests should enable it; any version may change it.
//! - Without the standard library: `default-features = false`. What is left needs `alloc` and a target with atomics of pointer width. Only `Frames`, `tape` and `sim` go with the
//!   feature `std`.
//!
//! # Starting, and starting again
//!
//! The operator says once, when a replica is set up, that it is [`Start::New`]. From then on it is [`Start::Recovering`], whatever happens to it: it reads its log, says again what it
//! had said, and goes on. What the log lacks at its end was never promised; anything else that is wrong with it is a [`RecoverError`], and the replica does not start. A log that
//! is lost or damaged means [`Start::Rejoining`]: the replica catches up in silence, and speaks when the others have led it into a view that it can't have been in. Until then it is one of the f.
//! Never make a lost log a new one: it may have voted, and would vote again.
//!
//! The application keeps its own state. After a restart [`Application::state`] says where it stands, and everything decided after that comes again. If it stands so far back that nobody holds
//! the batches any more, or if its state is not the one that a quorum has, the replica fetches a snapshot from its peers, part by part, and has the application put it in place.
//!
//! # Checkpoints
//!
//! After each [`ClusterBuilder::checkpoint_interval`] batches the application makes a durable snapshot ([`AppCommand::TakeCheckpoint`]), and the replica votes on its digest. A quorum of equal
//! votes makes it stable ([`Event::Stable`]): the window moves on, and memory, log ([`Write::discards_before`]) and snapshots ([`AppCommand::DiscardBefore`]) are let go of.
//!
//! # Threads and stages
//!
//! Nothing here blocks, waits or spawns. [`Verifier`] and [`Screen`] are cheap to clone and work on any thread; [`Verifier::verify_all`] shares work between
//! signatures and gives each message the verdict that it would get alone. [`Replica::step`] wants one thread at a time. It may be called any number of times before the
//! outbox is served – once for each message of a load is best, since of the votes that then wait only the highest is signed and sent (SPEC P6) – and the lanes may go to different threads: there is no order to remember between them, except that records are made durable in the order
//! of their indices. [`Replica::deadline`] is the only timer.
//!
//! # Determinism
//!
//! The same inputs at the same times give the same outputs, byte for byte; and what an outbox holds follows from when it was served. There is no clock, no randomness and no hash map inside; even the factors by which signatures are
//! verified in batches are derived from their content. A replica that finds its own state broken stops for ever ([`Disposition::Halted`]) rather than to guess.
//!
//! # Bounds
//!
//! Every buffer has a limit in bytes: section 6 of `SPEC.md` has the formula for each, for all together, and for what one peer or one client can take of it. [`Status`] reports
//! what is in use against each limit ([`Usage`]). Log and memory are let go of as checkpoints become stable.
#![forbid(unsafe_code)]
#![no_std]
#![warn(clippy::alloc_instead_of_core, clippy::std_instead_of_alloc, clippy::std_instead_of_core)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

#[doc = include_str!("../docs/guide.md")]
pub mod guide {}

mod application;
mod certificate;
mod client;
mod cluster;
mod durable;
mod event;
mod evidence;
mod execution_receipt;
#[cfg(feature = "std")]
mod frames;
mod hash;
mod ids;
mod inbox;
mod looks;
mod manifest;
mod merkle;
mod message;
mod metric;
#[cfg(doctest)]
mod misuse;
mod node;
mod outbox;
mod part;
mod pass_over;
mod record;
mod replica;
mod screen;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "tape")]
pub mod tape;
mod time;
#[cfg(feature = "tracing")]
mod trace;
mod tuning;
mod verify;
mod volatile;
mod wire;

pub use application::{AppError, Application, Service, SnapshotStore, Snapshots};
pub use client::{
    Client, ClientDisposition, ClientError, ClientEvent, ClientIgnored, ClientInput, ClientOutput, ClientTuning, Completion, Outcome,
    SubmitError,
};
pub use cluster::{CLIENTS_MAX, Cluster, ClusterBuilder, ConfigError, Limits, REPLICAS_MAX};
pub use durable::{Receipt, Released, Wal, Write, persist};
pub use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
pub use event::Event;
pub use evidence::Evidence;
pub use execution_receipt::ExecutionReceipt;
#[cfg(feature = "std")]
pub use frames::Frames;
pub use ids::{Bytes, ClientId, Digest, ParseHexError, ReplicaId, RequestNumber, SequenceNumber, View};
pub use inbox::{Inbox, Overflow};
pub use manifest::{CheckpointOrder, Manifest, chunk_digest};
pub use message::{MessageKind, Request};
pub use metric::Metric;
pub use node::{Counters, Node, NodeError};
pub use outbox::{AppCommand, Decision, Envelope, Outbox, Outgoing, Output, Recipients, SignError};
pub use record::{Record, RecordFault};
pub use replica::{
    AppState, Disposition, Input, RecoverError, Replica, SessionEntry, SessionTable, SessionTableError, Start, Status, Usage, Use, Why,
};
pub use screen::{Screen, Screened, Triage};
pub use time::Time;
pub use tuning::Tuning;
pub use verify::{PeerLink, Unverified, Verified, Verifier, VerifyError};
pub use volatile::Volatile;
pub use wire::DecodeError;

/// The README's code compiles, or `cargo test` fails.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
