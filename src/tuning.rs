//! Local knobs: they can cost liveness, never safety, and need not be equal on two replicas.

use core::time::Duration;

/// How patient a replica is, and how much it keeps for its clients. (SPEC T1, T2, S2)
///
/// `Default` suits a local network; between continents multiply all by the round trip in tens of milliseconds. An interval of zero counts as one microsecond. New versions
/// may add fields: write `..Tuning::default()`.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// T: how long the oldest outstanding item may wait in a view before the replica wishes for the next one. Default 2 s. Doubles with each view left in which nothing was decided.
    pub request_timeout: Duration,
    /// How many times as long as the slowest of the last 16 rounds of votes a primary may leave a request unproposed although its pipeline has room, before
    /// the replica wishes for the next view; at least an eighth of `request_timeout`, and doubled with each such wish until it has decided a
    /// checkpoint interval. Default 8; 0 turns this off, and leaves `request_timeout` alone. (SPEC T1)
    pub pace_factor: u32,
    /// T of a view change under way. Default 2 s.
    pub view_change_timeout: Duration,
    /// How often T may double. Default 6, at most 32.
    pub backoff_max: u32,
    /// How long something must be undecided before a status is sent, and sent again. Default 250 ms.
    pub status_interval: Duration,
    /// How often a status is sent on an idle network. Default 8 s.
    pub idle_status_interval: Duration,
    /// How long a missing batch is waited for before it is fetched, and fetched again. Default 60 ms.
    pub fetch_interval: Duration,
    /// How many bytes of batches one answer to a status or a fetch may carry. Default 256 KiB; the cluster's `batch_bytes_max` bounds it too. While it
    /// fetches a state, this replica asks one peer for 8 times as much in an interval, half of what it would give: its peers should give as much as it does.
    pub answer_bytes_max: u32,
    /// How many decided batches below the last stable checkpoint are held, in memory and in the log, for replicas that lag. Default 256; at most the
    /// cluster's `log_window` is of use. Who is further behind fetches the whole state.
    pub retention: u64,
    /// How many bytes decided batches may take before those below the last stable checkpoint go, whatever `retention` says. Default 64 MiB.
    pub retention_bytes_max: u64,
    /// How often a replica helps one and the same other, which says that it has lost its log, by wishing for a new view. Default 60 s.
    pub rejoin_interval: Duration,
    /// How many bytes of requests may wait to be ordered, in equal parts for all clients. Default 64 MiB. Each client's part holds at least one
    /// operation of the cluster's `operation_bytes_max`, so that with very many clients it may be more in all.
    pub pool_bytes_max: u64,
    /// How many bytes of replies are kept for clients that ask again, in equal parts for all clients. Default 64 MiB. Each client's part holds
    /// at least one reply of the cluster's `result_bytes_max`.
    pub reply_cache_bytes_max: u64,
    /// How many bytes of messages may wait to be verified in an [`Inbox`](crate::Inbox), in equal parts for all connections of which some wait. Default 64 MiB.
    /// One message always finds room where nothing waits.
    pub inbox_bytes_max: u64,
    /// How many statuses, fetches, certificates, view changes and proofs of one connection an [`Inbox`](crate::Inbox) lets through in a `status_interval`; what
    /// comes beyond is dropped, and told again by a correct peer. Default 256. While it fetches a state, this replica asks one peer for a quarter of it
    /// in an interval: its peers should let as much through as it does. Fewer than 4 count as 4.
    pub link_repairs_max: u32,
    /// How many bytes of messages an [`Inbox`](crate::Inbox) lets through in a `status_interval` of a connection that was caught with a bad signature in the
    /// last 32 of them. Default 16 KiB.
    pub doubted_bytes_max: u32,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(2),
            pace_factor: 8,
            view_change_timeout: Duration::from_secs(2),
            backoff_max: 6,
            status_interval: Duration::from_millis(250),
            idle_status_interval: Duration::from_secs(8),
            fetch_interval: Duration::from_millis(60),
            answer_bytes_max: 256 * 1024,
            retention: 256,
            retention_bytes_max: 64 * 1024 * 1024,
            rejoin_interval: Duration::from_secs(60),
            pool_bytes_max: 64 * 1024 * 1024,
            reply_cache_bytes_max: 64 * 1024 * 1024,
            inbox_bytes_max: 64 * 1024 * 1024,
            link_repairs_max: 256,
            doubted_bytes_max: 16 * 1024,
        }
    }
}

impl Tuning {
    /// Every interval derived from one timeout T: status every T/8, idle status every 4 T, fetch every T/32, help for one that rejoins every 32 T.
    pub fn from_timeout(timeout: Duration) -> Self {
        let floor = Duration::from_micros(1);
        Self {
            request_timeout: timeout.max(floor),
            view_change_timeout: timeout.max(floor),
            status_interval: (timeout / 8).max(floor),
            idle_status_interval: timeout.saturating_mul(4).max(floor),
            fetch_interval: (timeout / 32).max(floor),
            rejoin_interval: timeout.saturating_mul(32).max(floor),
            ..Self::default()
        }
    }

    /// No interval of zero (it would spin), no shift beyond the width, nothing with which no word would get through.
    pub(crate) fn sanitized(mut self) -> Self {
        let floor = Duration::from_micros(1);
        for interval in [
            &mut self.request_timeout,
            &mut self.view_change_timeout,
            &mut self.status_interval,
            &mut self.idle_status_interval,
            &mut self.fetch_interval,
            &mut self.rejoin_interval,
        ] {
            *interval = (*interval).max(floor);
        }
        self.backoff_max = self.backoff_max.min(32);
        self.answer_bytes_max = self.answer_bytes_max.max(1);
        self.link_repairs_max = self.link_repairs_max.max(4);
        self
    }
}
