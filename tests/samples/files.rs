//! What is kept or handed on as a file: a receipt, and a snapshot with the checkpoint that names it.

use super::by_hand::{Checkpoint, Hash};
use super::sheet::Sheet;
use super::{World, sha};

/// After position 128: the session table, the service's parts, and what names them.
pub struct Snapshot {
    pub sessions: Sheet,
    pub service: [&'static [u8]; 2],
    pub manifest: Sheet,
    pub checkpoint: Checkpoint,
}

impl World {
    /// The reply of `World::reply` with the signatures of replicas 1 and 2.
    pub fn receipt(&self) -> Sheet {
        let mut sheet = Sheet::default();
        let replies = [1, 2].map(|replica| (replica, self.reply(replica).sheet));
        let words = &replies[0].1.words;
        let word = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix(" = ")).expect("a field");
        sheet.fixed("client", &self.client_id(0));
        sheet.u64("number", 2);
        sheet.fixed("operation_digest", &sha(b"logothete/operat", &[b"second"]));
        sheet.string("result", b"result of second");
        sheet.u64("sequence_number", 9);
        sheet.u32("index", word("index").parse().expect("a number"));
        sheet.u32("count", word("count").parse().expect("a number"));
        let leaf = |number, operation: &[u8]| self.leaf(0, number, operation, &[b"result of ", operation].concat());
        sheet.count("path", 2);
        sheet.fixed("sibling", &leaf(1, b"first"));
        sheet.fixed("sibling", &leaf(3, b"third"));
        sheet.count("signatures", replies.len());
        for (replica, reply) in &replies {
            sheet.u32("replica", *replica);
            sheet.fixed("signature", reply.bytes.last_chunk::<64>().expect("it ends in its signature"));
        }
        sheet
    }

    /// The digest of a client's result in the snapshot.
    pub fn kept_result(client: usize, number: u64) -> Hash {
        sha(b"logothete/result", &[format!("result {number} of client {client}").as_bytes()])
    }

    pub fn snapshot(&self) -> Snapshot {
        // In the order of the keys' bytes: client 1 comes first.
        assert!(self.client_id(1) < self.client_id(0));
        let mut sessions = Sheet::default();
        for (client, last) in [(1, 1), (0, 2)] {
            sessions.fixed("client", &self.client_id(client));
            sessions.u64("last", last);
            sessions.u32("results.count", u32::try_from(last).expect("few"));
            (1..=last).for_each(|number| sessions.fixed("result", &Self::kept_result(client, number)));
        }
        let service: [&[u8]; 2] = [b"the first part of the service's state", b"the second"];
        let digest = |part: &[u8]| sha(b"logothete/chunk\0", &[part]);
        let parts = [vec![digest(&sessions.bytes)], service.map(digest).to_vec()];
        let log_digest = [0xd1; 32];
        let mut manifest = Sheet::default();
        manifest.u64("sequence_number", 128);
        manifest.fixed("log_digest", &log_digest);
        for (name, parts) in ["sessions", "service"].iter().zip(&parts) {
            manifest.count(name, parts.len());
            parts.iter().for_each(|part| manifest.fixed("chunk", part));
        }
        let checkpoint = Checkpoint { number: 128, log_digest, state: self.state(128, &log_digest, &parts[0], &parts[1]) };
        Snapshot { sessions, service, manifest, checkpoint }
    }
}
