//! A replicated key-value service between organisations that don't trust each other, on logothete. README.md says how to run it.

pub mod bench;
pub mod cli;
pub mod commands;
pub mod config;
pub mod desk;
pub mod door;
pub mod error;
pub mod frames;
pub mod gathering;
pub mod handshake;
pub mod host;
pub mod intake;
pub mod link;
pub mod load;
pub mod mailbox;
pub mod metrics;
pub mod operation;
pub mod pairs;
pub mod pending;
pub mod ports;
pub mod remote;
pub mod server;
pub mod setup;
pub mod snapshot;
pub mod state;
pub mod store;
mod tape;

// The log of the other example.
#[allow(dead_code, reason = "the other example uses more of it")]
#[path = "../../generals/wal.rs"]
mod wal;

// The liars of the other example, in other company.
#[cfg(feature = "traitor")]
#[allow(dead_code, reason = "the other example uses more of it")]
#[path = "../../generals/dice.rs"]
mod dice;
#[cfg(feature = "traitor")]
#[allow(dead_code, reason = "the other example uses more of it")]
#[path = "../../generals/forger.rs"]
mod forger;
#[cfg(feature = "traitor")]
mod traitor;
#[cfg(feature = "traitor")]
#[allow(dead_code, reason = "the other example uses more of it")]
#[path = "../../generals/two_faced.rs"]
mod two_faced;
