//! Numbers for dashboards, under the names that Prometheus expects: prefix, unit, `_total` for what only counts up.

use crate::node::Counters;
use crate::replica::Status;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// One number of a snapshot. Displayed, it is a line of Prometheus' text format; add the replica as a label of the scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Begins with `logothete_`. What ends in `_total` only counts up while the process runs; the others are gauges.
    pub name: &'static str,
    /// Which buffer, where a name has several.
    pub buffer: Option<&'static str>,
    /// The number; what is true or false is 1 or 0.
    pub value: u64,
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.buffer {
            Some(buffer) => write!(f, "{}{{buffer=\"{buffer}\"}} {}", self.name, self.value),
            None => write!(f, "{} {}", self.name, self.value),
        }
    }
}

fn metric(name: &'static str, value: impl Into<u64>) -> Metric {
    Metric { name, buffer: None, value: value.into() }
}

impl Status {
    /// Every number of it, each name with a buffer once.
    pub fn metrics(&self) -> Vec<Metric> {
        let (parts, of) = self.transfer.map_or((0, 0), |(_, parts, of)| (parts, of));
        let mut metrics = vec![
            metric("logothete_view", self.view.get()),
            metric("logothete_view_wished", self.wish.get()),
            metric("logothete_primary", self.primary.get()),
            metric("logothete_in_view", self.normal),
            metric("logothete_decided_position", self.decided.get()),
            metric("logothete_executed_position", self.executed.get()),
            metric("logothete_accepted_position", self.head.get()),
            metric("logothete_stable_position", self.stable.get()),
            metric("logothete_floor_position", self.floor.get()),
            metric("logothete_rejoining", self.rejoining),
            metric("logothete_diverged", self.diverged.is_some()),
            metric("logothete_halted", self.halted),
            metric("logothete_transfer_parts", parts),
            metric("logothete_transfer_parts_wanted", of),
            metric("logothete_pool_requests", self.pool_requests as u64),
            metric("logothete_blocks", self.blocks as u64),
            metric("logothete_timeout_doublings", self.backoff),
        ];
        for (buffer, used) in self.usage.entries() {
            metrics.push(Metric { name: "logothete_buffer_bytes", buffer: Some(buffer), value: used.bytes });
            metrics.push(Metric { name: "logothete_buffer_limit_bytes", buffer: Some(buffer), value: used.limit });
        }
        metrics
    }
}

impl Counters {
    /// Every number of it.
    pub fn metrics(&self) -> Vec<Metric> {
        vec![
            metric("logothete_messages_malformed_total", self.malformed),
            metric("logothete_messages_screened_total", self.screened),
            metric("logothete_messages_refused_total", self.refused),
            metric("logothete_messages_verified_total", self.verified),
            metric("logothete_messages_overflowed_total", self.overflowed),
            metric("logothete_messages_limited_total", self.limited),
            metric("logothete_events_lost_total", self.events_lost),
        ]
    }
}
