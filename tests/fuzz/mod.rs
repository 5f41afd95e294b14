//! The bodies of the fuzz targets: each takes any bytes, and panics if the library breaks a promise over them.
//!
//! They are here, apart from the fuzzer, so that a plain test runs them too: over each file of the corpus, and over random bytes.
#![allow(dead_code, reason = "a test includes this as a module and uses what it needs")]

pub mod choices;
pub mod client;
pub mod cluster;
pub mod decode;
#[path = "../support/heap.rs"]
pub mod heap;
pub mod lone;
pub mod recover;
pub mod seeds;
pub mod step;
pub mod twins;
pub mod verify;

#[path = "../samples/mod.rs"]
mod samples;
#[path = "../support/mod.rs"]
mod support;

/// What a target is called, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 7] = [
    ("decode", decode::run),
    ("verify", verify::run),
    ("step", step::run),
    ("recover", recover::run),
    ("client", client::run),
    ("cluster", cluster::run),
    ("twins", twins::run),
];
