//! What the tests share beside `logothete::sim`.
#![allow(dead_code, unused_imports)]

pub mod logs;
pub mod lone;
pub mod solo;
pub mod world;

pub use logothete::sim::{Fate, Host, Net, Slowness, builder, client_key, disk, gang, oracle, prng, replica_key, storm};
