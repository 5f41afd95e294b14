//! The adversary's tools, for tests of this crate and of services on it. (feature `sim`)

pub mod forge;
pub(crate) mod keyed_hash;

pub use crate::replica::Standing;
pub use keyed_hash::KeyedHash;
