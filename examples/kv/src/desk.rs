//! What a node answers by its own word alone: where it stands, reads that may be stale, a client's last number.

use crate::config::Membership;
use crate::host::Picture;
use crate::mailbox::Member;
use crate::operation::Operation;
use crate::state::Shared;
use logothete::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

/// The first byte of a question.
pub const STATUS: u8 = 0;
pub const STALE_READ: u8 = 1;
pub const LAST_REQUEST: u8 = 2;

/// Where a node says that it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub replica: u32,
    pub view: u64,
    pub normal: bool,
    pub primary: u32,
    pub decided: u64,
    pub executed: u64,
    pub stable: u64,
    /// Of the log up to the position `executed`, and of all pairs there.
    pub log_digest: String,
    pub state_digest: String,
    pub reached: usize,
    pub rejoining: bool,
    pub diverged: bool,
    pub transfer: Option<(u64, u32, u32)>,
    pub memory_bytes: u64,
}

pub struct Desk {
    pub membership: Arc<Membership>,
    pub state: Shared,
    pub picture: Arc<Mutex<Picture>>,
}

impl Desk {
    /// Never fails: what can't be answered is answered with nothing.
    pub fn answer(&self, from: Member, question: &[u8]) -> Vec<u8> {
        let Some((kind, rest)) = question.split_first() else { return Vec::new() };
        match *kind {
            STATUS => self.report().and_then(|report| toml::to_string(&report).ok()).unwrap_or_default().into_bytes(),
            STALE_READ => self.stale_read(rest).unwrap_or_default(),
            LAST_REQUEST => match from {
                Member::Client(client) => self.state.last_request(&client).to_le_bytes().to_vec(),
                Member::Node(_) => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn report(&self) -> Option<Report> {
        let status = self.picture.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (reached, status) = (status.reached, status.status?);
        let (executed, log_digest, state_digest) = self.state.digests(self.membership.cluster.limits().batch_bytes_max as usize);
        Some(Report {
            replica: status.replica.get(),
            view: status.view.get(),
            normal: status.normal,
            primary: status.primary.get(),
            // The picture may be a turn older than the state.
            decided: status.decided.max(executed).get(),
            executed: executed.get(),
            stable: status.stable.get(),
            log_digest: log_digest.to_string(),
            state_digest: state_digest.to_string(),
            reached,
            rejoining: status.rejoining,
            diverged: status.diverged.is_some(),
            transfer: status.transfer.map(|(number, done, all)| (number.get(), done, all)),
            memory_bytes: status.usage.entries().map(|(_, part)| part.bytes).sum(),
        })
    }

    fn stale_read(&self, operation: &[u8]) -> Option<Vec<u8>> {
        let operation = Operation::decode(operation)?;
        let room = self.membership.cluster.limits().result_bytes_max as usize;
        let (position, answer) = self.state.answer(&operation, room);
        let answer: Bytes = answer.encode();
        Some([&position.get().to_le_bytes()[..], &answer].concat())
    }
}
