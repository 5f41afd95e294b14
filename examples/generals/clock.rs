//! The host's clock: the library has none.

use logothete::Time;
use std::time::Instant;

/// Counts from the start of the run; all threads may share it.
#[derive(Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn now(self) -> Time {
        Time::default().after(self.0.elapsed())
    }
}
