//! `raft` of tikv: no signatures and no liars, so no peer of what is measured here, but the floor below it.

use crate::work::{Values, Work, cpu_time};
use protobuf::Message as _;
use raft::eraftpb::{ConfState, EntryType, Message};
use raft::storage::MemStorage;
use raft::{Config, RawNode, StateRole};
use std::time::Duration;

struct Member {
    node: RawNode<MemStorage>,
    inbox: Vec<Vec<u8>>,
    decided: usize,
    hashed: u8,
}

struct Cluster {
    members: Vec<Member>,
    values: Values,
}

impl Cluster {
    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            let bytes = message.write_to_bytes().expect("encoded");
            self.members[message.to as usize - 1].inbox.push(bytes);
        }
    }

    fn commit(member: &mut Member, values: &Values, entries: Vec<raft::eraftpb::Entry>) {
        for entry in entries {
            if entry.get_entry_type() == EntryType::EntryNormal && !entry.data.is_empty() {
                member.hashed ^= values.judge(&entry.data)[0];
                member.decided += 1;
            }
        }
    }

    fn turn(&mut self, index: usize) -> bool {
        let member = &mut self.members[index];
        let mut moved = false;
        for bytes in std::mem::take(&mut member.inbox) {
            moved = true;
            let mut message = Message::default();
            message.merge_from_bytes(&bytes).expect("decoded");
            member.node.step(message).expect("stepped");
        }
        if !member.node.has_ready() {
            return moved;
        }
        let mut ready = member.node.ready();
        let first = ready.take_messages();
        Self::commit(member, &self.values, ready.take_committed_entries());
        let storage = member.node.raft.raft_log.store.clone();
        storage.wl().append(ready.entries()).expect("kept");
        if let Some(state) = ready.hs() {
            storage.wl().set_hardstate(state.clone());
        }
        let then = ready.take_persisted_messages();
        let mut light = member.node.advance(ready);
        if let Some(commit) = light.commit_index() {
            storage.wl().mut_hard_state().set_commit(commit);
        }
        let last = light.take_messages();
        Self::commit(member, &self.values, light.take_committed_entries());
        member.node.advance_apply();
        self.send(first);
        self.send(then);
        self.send(last);
        true
    }

    fn settle(&mut self) {
        let mut moved = true;
        while moved {
            moved = false;
            for index in 0..self.members.len() {
                moved |= self.turn(index);
            }
        }
    }
}

/// CPU time of all decisions; so many at a time are under way.
pub fn run(work: Work, in_flight: usize) -> Duration {
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let voters: Vec<u64> = (1..=work.replicas as u64).collect();
    let members = voters.iter().map(|id| {
        let config = Config {
            id: *id,
            election_tick: 10,
            heartbeat_tick: 3,
            max_inflight_msgs: 256,
            max_size_per_msg: 1 << 20,
            ..Config::default()
        };
        let storage = MemStorage::new_with_conf_state(ConfState { voters: voters.clone(), ..ConfState::default() });
        Member { node: RawNode::new(&config, storage, &logger).expect("a node"), inbox: Vec::new(), decided: 0, hashed: 0 }
    });
    let mut cluster = Cluster { members: members.collect(), values: Values::new(work.content) };
    cluster.members[0].node.campaign().expect("a campaign");
    cluster.settle();
    assert_eq!(cluster.members[0].node.raft.state, StateRole::Leader);
    let prepared: Vec<_> = (1..=work.decisions as u64).map(|number| cluster.values.make(number)).collect();
    let begin = cpu_time();
    for values in prepared.chunks(in_flight) {
        for value in values {
            cluster.members[0].node.propose(Vec::new(), value.to_vec()).expect("proposed");
        }
        cluster.settle();
    }
    let spent = cpu_time() - begin;
    assert!(cluster.members.iter().all(|member| member.decided == work.decisions), "not all decided");
    spent
}
