//! Clocks that are wrong: set forth or back, stopped, too fast or too slow.

use super::net::Net;
use crate::Time;
use alloc::format;

/// What a host's clock shows while virtual time goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    since: Time,
    shown: Time,
    /// So many microseconds in so many of virtual time.
    pace: (u64, u64),
}

impl Default for Clock {
    /// Shows virtual time.
    fn default() -> Self {
        Self { since: Time(0), shown: Time(0), pace: (1, 1) }
    }
}

impl Clock {
    /// What it shows at this moment.
    pub fn read(&self, moment: Time) -> Time {
        if *self == Self::default() {
            return moment;
        }
        let passed = u128::from(moment.0.saturating_sub(self.since.0)) * u128::from(self.pace.0) / u128::from(self.pace.1);
        Time(self.shown.0.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX)))
    }

    /// The first moment at which it shows this or more; none if it never does.
    pub(super) fn moment(&self, shows: Time) -> Option<Time> {
        if *self == Self::default() {
            return Some(shows);
        }
        let missing = u128::from(shows.0.saturating_sub(self.shown.0)) * u128::from(self.pace.1);
        match (missing, self.pace.0) {
            (0, _) => Some(self.since),
            (_, 0) => None,
            (_, pace) => u64::try_from(missing.div_ceil(u128::from(pace))).ok().and_then(|wait| self.since.0.checked_add(wait)).map(Time),
        }
    }
}

impl Net {
    /// From now on this host's clock goes `pace.0` microseconds in `pace.1` of virtual time: (0, 1) stops it, (1, 2) halves its speed.
    ///
    /// # Panics
    /// If `pace.1` is 0.
    pub fn pace_clock(&mut self, at: usize, pace: (u64, u64)) {
        assert!(pace.1 > 0, "no pace");
        let shown = self.hosts[at].clock.read(self.now);
        // One that is right again needs no arithmetic.
        let is_right = shown == self.now && pace.0 == pace.1;
        self.set_clock(at, if is_right { Clock::default() } else { Clock { since: self.now, shown, pace } });
    }

    /// This host's clock is set forth, or back, by so many microseconds.
    pub fn jump_clock(&mut self, at: usize, microseconds: i64) {
        let Clock { pace, .. } = self.hosts[at].clock;
        let shown = Time(self.hosts[at].clock.read(self.now).0.saturating_add_signed(microseconds));
        self.set_clock(at, Clock { since: self.now, shown, pace });
    }

    fn set_clock(&mut self, at: usize, clock: Clock) {
        self.say(format!("{:?} R{at} has a clock that shows {:?} and goes {:?}", self.now, clock.shown, clock.pace));
        self.hosts[at].set_clock(clock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_is_the_first_at_which_the_clock_shows_it() {
        for pace in [(1, 1), (1, 2), (2, 1), (3, 7), (7, 3)] {
            let clock = Clock { since: Time(100), shown: Time(5000), pace };
            for shows in 4990..5100 {
                let moment = clock.moment(Time(shows)).expect("it goes on");
                assert!(clock.read(moment) >= Time(shows), "{pace:?}");
                assert!(moment == clock.since || clock.read(Time(moment.0 - 1)) < Time(shows), "{pace:?}");
            }
        }
        let stopped = Clock { since: Time(100), shown: Time(5000), pace: (0, 1) };
        assert_eq!((stopped.moment(Time(5000)), stopped.moment(Time(5001))), (Some(Time(100)), None));
        assert_eq!(stopped.read(Time(u64::MAX)), Time(5000));
    }
}
