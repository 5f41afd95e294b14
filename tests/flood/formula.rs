//! Section 6 of SPEC.md, written down a second time: from the configuration, not from what the replica says.

use logothete::{Cluster, Tuning, Usage};

pub struct Formula {
    /// Name and limit of each buffer, as `Usage` has them.
    pub rows: Vec<(&'static str, u64)>,
    /// What is bounded by counts alone.
    pub rest: u64,
}

impl Formula {
    pub fn new(cluster: &Cluster, tuning: &Tuning) -> Self {
        let limits = cluster.limits();
        let wide = u64::from;
        let (n, q) = (wide(cluster.size()), wide(cluster.quorum()));
        let (p, k, l) = (cluster.pipeline(), cluster.checkpoint_interval(), cluster.log_window());
        let c = cluster.clients().count() as u64;
        let w = wide(limits.client_window);
        let m = wide(limits.message_bytes_max);
        let b = wide(limits.batch_bytes_max) + 320;
        let log2 = wide(limits.batch_requests_max.next_power_of_two().trailing_zeros());
        let reply = wide(limits.result_bytes_max) + 250 + 32 * log2;
        let in_batch = wide(limits.batch_requests_max).min(wide(limits.batch_bytes_max) / 136);
        let part = |budget: u64, least: u64| c.max(1) * least.max(budget / c.max(1));
        let rows = vec![
            ("pool", part(tuning.pool_bytes_max, wide(limits.operation_bytes_max) + 136 + 192)),
            ("replies", part(tuning.reply_cache_bytes_max, reply)),
            ("undecided", (5 * l + 8 * p + 2) * b),
            ("decided", tuning.retention_bytes_max + l * b),
            ("execution", l * b),
            ("results", 8 * m + p * in_batch * reply),
            ("votes", (l + 4 * p + 2) * (200 + 224 * n)),
            ("early", 2 * p * b),
            ("checkpoints", (l / k) * 176 * n + (2 * l / k + 2) * (m + 1024)),
            ("transfer", m / 32 * 48),
            ("sessions", c * (44 + 32 * w)),
            ("log", 10 * m + 16 * 1024 + 1024 * n + 40 * l + 80 * (l / k)),
        ];
        let rest = (n + 8) * (2048 + 184 * q) + c * (1024 + w / 8) + 4096 * 160;
        Self { rows, rest }
    }

    /// What one replica holds at most.
    pub fn heap(&self) -> u64 {
        3 * self.rows.iter().map(|(_, limit)| limit).sum::<u64>() + self.rest
    }

    /// The replica says the same limits, and keeps them.
    pub fn check(&self, usage: &Usage) {
        let said: Vec<_> = usage.entries().map(|(name, part)| (name, part.limit)).collect();
        assert_eq!(said, self.rows);
        for (name, part) in usage.entries() {
            assert!(part.bytes <= part.limit, "{name}: {part}");
        }
    }
}
