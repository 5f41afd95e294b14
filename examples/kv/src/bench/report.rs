//! What a bench found, as a line for people and as JSON.

use crate::error::{Result, fault};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt;
use std::path::Path;

#[derive(Serialize)]
pub struct Report {
    pub nodes: usize,
    pub clients: usize,
    /// Of each client.
    pub in_flight: usize,
    /// Each request has a signature of its own.
    pub sign_alone: bool,
    pub value_bytes: usize,
    pub fsync: Option<bool>,
    pub pipeline: Option<u64>,
    pub processors: usize,
    pub steps: Vec<Step>,
}

#[derive(Serialize)]
pub struct Step {
    /// None for a closed loop.
    pub offered_per_second: Option<f64>,
    pub seconds: f64,
    pub answered: u64,
    /// Offered, and not answered 5 s after the end. Of an open loop they count among the latencies, as what they had waited by then.
    pub unanswered: u64,
    /// Requests that were sent to all nodes since they weren't answered in time.
    pub sent_again: u64,
    pub requests_per_signature: f64,
    pub answered_per_second: f64,
    /// Of all nodes.
    pub server_cpu_seconds: Option<f64>,
    pub answered_per_server_cpu_second: Option<f64>,
    pub bench_cpu_seconds: f64,
    pub requests_per_batch: Option<f64>,
    pub syncs_per_node: Option<u64>,
    pub latency_us: Latency,
}

/// From when a request was to be sent to when f+1 nodes had answered alike.
#[derive(Serialize)]
pub struct Latency {
    pub min: u64,
    pub mean: f64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
    /// Percentile and latency, finer and finer towards the end.
    pub curve: Vec<(f64, u64)>,
}

impl Latency {
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        let mut curve: Vec<_> = histogram.iter_quantiles(4).map(|step| (100.0 * step.quantile(), step.value_iterated_to())).collect();
        curve.dedup_by_key(|(_, latency)| *latency);
        Self {
            min: histogram.min(),
            mean: histogram.mean(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max(),
            curve,
        }
    }
}

pub const HEAD: &str = "offered/s  answered/s  p50 ms    p90 ms    p99 ms    p99.9 ms  max ms    requests/batch  syncs/s  servers' CPU  requests/CPU-s  unanswered";

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_dash = |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
        let millis = |micros: u64| micros as f64 / 1000.0;
        let latency = &self.latency_us;
        write!(
            f,
            "{:<9}  {:<10.0}  {:<8.2}  {:<8.2}  {:<8.2}  {:<8.2}  {:<8.2}  {:<14}  {:<9}  {:<12}  {:<14}  {}",
            self.offered_per_second.map_or("closed".to_owned(), |rate| format!("{rate:.0}")),
            self.answered_per_second,
            millis(latency.p50),
            millis(latency.p90),
            millis(latency.p99),
            millis(latency.p999),
            millis(latency.max),
            or_dash(self.requests_per_batch, 1),
            or_dash(self.syncs_per_node.map(|syncs| syncs as f64 / self.seconds), 0),
            or_dash(self.server_cpu_seconds.map(|cpu| cpu / self.seconds), 2),
            or_dash(self.answered_per_server_cpu_second, 0),
            self.unanswered,
        )
    }
}

/// # Errors
/// The file can't be written.
pub fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| fault(format!("{}: {error}", path.display())))
}
