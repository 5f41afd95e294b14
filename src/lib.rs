//! logothete
#![forbid(unsafe_code)]

mod certificate;
mod client;
mod cluster;
mod durable;
mod event;
mod evidence;
mod execution_receipt;
mod hash;
mod ids;
mod merkle;
mod message;
#[cfg(doctest)]
mod misuse;
mod node;
mod outbox;
mod replica;
mod screen;
#[cfg(feature = "sim")]
pub mod sim;
mod time;
mod tuning;
mod verify;
mod wire;

pub use client::{
    Client, ClientDisposition, ClientError, ClientEvent, ClientIgnored, ClientInput, ClientOutput, ClientTuning, Completion, SubmitError,
};
pub use cluster::{CLIENTS_MAX, Cluster, ClusterBuilder, ConfigError, Limits, REPLICAS_MAX};
pub use durable::{Receipt, Record, Released, Wal, Write, persist};
pub use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
pub use event::Event;
pub use evidence::Evidence;
pub use execution_receipt::ExecutionReceipt;
pub use ids::{Bytes, ClientId, Digest, ReplicaId, RequestNumber, SequenceNumber, View};
pub use message::{MessageKind, Request};
pub use node::{Counters, Node, NodeError, Service};
pub use outbox::{AppCommand, Decision, Envelope, Outbox, Outgoing, Output, Recipients, SignError};
pub use replica::{AppState, Disposition, Input, RecoverError, Replica, Start, Status, Why};
pub use screen::{Screen, Screened, Triage};
pub use time::Time;
pub use tuning::Tuning;
pub use verify::{PeerLink, Unverified, Verified, Verifier, VerifyError};
pub use wire::DecodeError;
