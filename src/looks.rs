//! How many entries of chains and pools, and messages of a load, were looked at: for tests of what a step may cost. (I18) Time is nothing that a test can rely on; a count is the same everywhere.

#[cfg(feature = "sim")]
std::thread_local! {
    static LOOKS: core::cell::Cell<u64> = const { core::cell::Cell::new(0) };
}

/// One more. Without feature `sim` nobody counts.
#[inline]
pub(crate) fn look() {
    #[cfg(feature = "sim")]
    LOOKS.set(LOOKS.get().wrapping_add(1));
}

/// How many entries of their chains of blocks and pools of requests all replicas that were stepped on this thread have looked at so far, and how many messages of their
/// loads their screens have: what a step and a turn cost, on any machine. Only differences say something. (I18)
#[cfg(feature = "sim")]
pub fn looks() -> u64 {
    LOOKS.get()
}
