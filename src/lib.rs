//! logothete
#![forbid(unsafe_code)]

mod certificate;
mod cluster;
mod durable;
mod event;
mod evidence;
mod hash;
mod ids;
mod merkle;
mod message;
#[cfg(doctest)]
mod misuse;
mod outbox;
#[cfg(feature = "sim")]
pub mod sim;
mod time;
mod tuning;
mod verify;
mod wire;

pub use cluster::{CLIENTS_MAX, Cluster, ClusterBuilder, ConfigError, Limits, REPLICAS_MAX};
pub use durable::{Receipt, Record, Released, Wal, Write, persist};
pub use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
pub use event::Event;
pub use evidence::Evidence;
pub use ids::{Bytes, ClientId, Digest, ReplicaId, RequestNumber, SequenceNumber, View};
pub use message::{MessageKind, Request};
pub use outbox::{AppCommand, Decision, Envelope, Outbox, Outgoing, Output, Recipients, SignError};
pub use time::Time;
pub use tuning::Tuning;
pub use verify::{PeerLink, Unverified, Verified, Verifier, VerifyError};
pub use wire::DecodeError;
