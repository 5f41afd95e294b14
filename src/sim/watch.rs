//! What those who run a cluster wait for, and look at.

use super::host::Host;
use super::net::Net;
use crate::Event;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

impl Net {
    /// Lets that much virtual time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        while self.tick(until) {}
    }

    /// Runs until `done`; panics with everybody's state if that takes longer than `limit` of virtual time.
    pub fn run_until(&mut self, limit: Duration, what: &str, done: impl Fn(&Self) -> bool) {
        let until = self.now.after(limit);
        while !done(self) {
            assert!(self.tick(until), "not within {limit:?}: {what}\n{}", self.describe());
        }
    }

    /// Everything submitted is executed by each of these replicas.
    pub fn all_executed(&self, replicas: &[usize]) -> bool {
        let total: u64 = self.numbers.values().map(|number| number.get()).sum();
        replicas.iter().all(|index| self.hosts[*index].executed().len() as u64 >= total)
    }

    /// Runs until all that was submitted is executed by these replicas; panics after `limit` of virtual time.
    pub fn settle(&mut self, limit: Duration, replicas: &[usize]) {
        self.run_until(limit, "everything submitted is executed", |net| net.all_executed(replicas));
        self.oracle.check();
    }

    /// Where each replica stands, in words.
    pub fn describe(&self) -> String {
        let line = |host: &Host| {
            let mut words = format!("{:?}", host.replica.status());
            // How full its buffers are is of no interest here.
            if let (Some(from), Some(to)) = (words.find(" usage: "), words.find(" backoff: ")) {
                words.replace_range(from..to, "");
            }
            words + "\n"
        };
        self.hosts.iter().map(line).collect()
    }

    /// How many of its events are such.
    pub fn count_events(&self, at: usize, pick: impl Fn(&Event) -> bool) -> usize {
        self.hosts[at].events.iter().filter(|event| pick(event)).count()
    }
}
