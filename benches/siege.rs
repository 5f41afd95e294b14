//! What is left of the throughput under attack, beside a run without faults.
//!
//! `cargo bench --bench siege` prints a table; `-- ROUNDS WORD` only of attacks with this word in their name. Four nodes, ed25519, 64 requests of 512 bytes a round; a round is a millisecond of virtual time. Two kinds of
//! figures: CPU time of the nodes that are correct, for the same requests; and virtual time, for attacks that make others wait.
//! A flood has as many messages as a node hears from all others together without faults, so it doubles what is heard.

mod support;

use logothete::sim::forge::{Forge, ForgedStatus, Kind, Traitor};
use logothete::{
    AppError, Bytes, Decision, Digest, Limits, Node, PeerLink, Recipients, ReplicaId, RequestNumber, SequenceNumber, Service, SigningKey,
    Snapshots, Start, Time, Tuning, View, Volatile,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use support::{Scheme, builder, client_key, cpu_time, replica_key};

const N: usize = 4;
const CLIENTS: usize = 16;
const EACH: u64 = 4;
const ROUND: Duration = Duration::from_millis(1);
const T: Duration = Duration::from_secs(2);

/// Counts what it executes.
#[derive(Default)]
struct Count(u64);

impl Service for Count {
    fn execute(&mut self, decision: &Decision) -> Vec<Bytes> {
        let results: Vec<Bytes> = decision.requests().map(|_| Bytes::from(&b"ok"[..])).collect();
        self.0 += results.len() as u64;
        results
    }
    fn snapshot(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }
    fn restore(&mut self, bytes: &[u8]) -> Result<(), AppError> {
        self.0 = u64::from_le_bytes(bytes.try_into()?);
        Ok(())
    }
}

type Member = Node<Volatile, Snapshots<Count, Volatile>, SigningKey>;

/// What is wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attack {
    None,
    /// Replica 3 sends votes that nobody signed.
    BadVotes,
    /// A client's connection sends requests that nobody signed.
    BadRequests,
    /// A client signs any number of requests of one number.
    Equivocation,
    /// Replica 3 is down.
    Crashed,
    /// Replica 3 sends votes, statuses, certificates and old chains that are all valid.
    Flood,
    /// Replica 3 leaves for ever higher views.
    ViewChanges,
    /// All that the primary sends is on its way for so many milliseconds more.
    Late(u64),
    /// The primary stops for good after a second.
    PrimaryStops,
}

const CASES: [(&str, Attack, f64); 9] = [
    ("votes that nobody signed", Attack::BadVotes, 0.95),
    ("requests that nobody signed", Attack::BadRequests, 0.95),
    ("a client signs many requests of one number", Attack::Equivocation, 0.95),
    ("one of four is down", Attack::Crashed, 0.95),
    ("a replica floods with what is valid", Attack::Flood, 0.90),
    ("a replica changes views without end", Attack::ViewChanges, 0.99),
    ("the primary is late by a tenth of the timeout", Attack::Late(200), 0.80),
    ("the primary is late by nine tenths of the timeout", Attack::Late(1800), 0.80),
    ("the primary stops", Attack::PrimaryStops, 0.0),
];

struct Town {
    forge: Forge,
    nodes: Vec<Member>,
    now: Time,
    wire: BTreeMap<(Time, u64), (usize, u64, Bytes)>,
    posted: u64,
    attack: Attack,
    /// CPU time of correct nodes.
    spent: Duration,
    /// Messages that replica 1 heard of other replicas.
    heard: u64,
    next: u64,
    ordinal: u64,
    /// When replica 1 had executed more, last.
    progress: (u64, Time),
    longest_gap: Duration,
}

impl Town {
    fn new(attack: Attack) -> Self {
        let limits = Limits { operation_bytes_max: 1024, client_window: 4096, ..Limits::default() };
        let cluster = Arc::new(builder(N, CLIENTS + 1, Scheme::Ed25519).limits(limits).build().expect("a valid cluster"));
        let open = |index: usize| {
            let app = Snapshots::new(Count::default(), Volatile::default());
            let id = ReplicaId::new(index as u32);
            Node::open(cluster.clone(), id, Tuning::from_timeout(T), Start::New, Volatile::default(), app, replica_key(index))
                .expect("opens")
        };
        Self {
            nodes: (0..N).map(open).collect(),
            forge: Forge::new(cluster),
            now: Time(1_000_000),
            wire: BTreeMap::new(),
            posted: 0,
            attack,
            spent: Duration::ZERO,
            heard: 0,
            next: 1,
            ordinal: 0,
            progress: (0, Time(1_000_000)),
            longest_gap: Duration::ZERO,
        }
    }

    fn is_down(&self, index: usize) -> bool {
        match self.attack {
            Attack::Crashed => index == 3,
            Attack::PrimaryStops => index == 0 && self.now > Time(2_000_000),
            _ => false,
        }
    }

    fn is_correct(&self, index: usize) -> bool {
        match self.attack {
            Attack::None | Attack::Crashed | Attack::BadVotes | Attack::Flood | Attack::ViewChanges => index != 3,
            Attack::BadRequests | Attack::Equivocation => index != 3,
            Attack::Late(_) | Attack::PrimaryStops => index != 0,
        }
    }

    fn post(&mut self, link: u64, to: usize, bytes: Bytes) {
        let lag = match self.attack {
            Attack::Late(lag) if link == 0 => Duration::from_millis(lag),
            _ => Duration::ZERO,
        };
        self.posted += 1;
        self.wire.insert((self.now.after(ROUND + lag), self.posted), (to, link, bytes));
    }

    /// Each client's next requests, to all replicas in the runs where the primary is to blame: as clients do that have waited.
    fn submit(&mut self) {
        let to_all = matches!(self.attack, Attack::Late(_) | Attack::PrimaryStops);
        for client in 0..CLIENTS {
            for number in self.next..self.next + EACH {
                let request = self.forge.request(&client_key(client), RequestNumber::new(number), &[7; 512]);
                let bytes = Bytes::from(self.forge.request_message(&request));
                for to in 0..if to_all { N } else { 1 } {
                    self.post(100 + client as u64, to, bytes.clone());
                }
            }
        }
        self.next += EACH;
    }

    /// As many messages as a node hears of all others in a round without faults.
    fn assault(&mut self, messages: u64) {
        let key = replica_key(3);
        let me: Traitor<'_> = (ReplicaId::new(3), &key);
        let decided = self.nodes[1].status().decided;
        for index in 0..messages {
            self.ordinal += 1;
            let ordinal = self.ordinal;
            let near = SequenceNumber::new(decided.get() + 1 + index % 4);
            let odd = Digest::new([ordinal as u8; 32]);
            let (link, bytes) = match self.attack {
                Attack::BadVotes => (3, self.forge.vote((me.0, &client_key(0)), Kind::Prepare, View::new(0), (near, odd))),
                Attack::BadRequests => {
                    let request = self.forge.request(&client_key(CLIENTS), RequestNumber::new(ordinal), &[7; 512]);
                    let mut bytes = self.forge.request_message(&request);
                    let last = bytes.len() - 1;
                    bytes[last] ^= 1;
                    (100 + CLIENTS as u64, bytes)
                }
                Attack::Equivocation => {
                    let request = self.forge.request(&client_key(CLIENTS), RequestNumber::new(1), &ordinal.to_le_bytes());
                    (100 + CLIENTS as u64, self.forge.request_message(&request))
                }
                Attack::ViewChanges => {
                    let promise = self.forge.view_change(me, View::new(ordinal), None);
                    (3, self.forge.view_change_message(&promise))
                }
                Attack::Flood => (3, self.valid(me, index, ordinal, near)),
                _ => return,
            };
            let bytes = Bytes::from(bytes);
            (0..N).filter(|to| *to != 3).for_each(|to| self.post(link, to, bytes.clone()));
        }
    }

    fn valid(&self, me: Traitor<'_>, index: u64, ordinal: u64, near: SequenceNumber) -> Vec<u8> {
        let decided = SequenceNumber::new(near.get().saturating_sub(1));
        match index % 4 {
            0 => {
                let head = (decided, self.forge.genesis());
                self.forge.status_of(me, &ForgedStatus { ordinal, decided, stable: decided, head, ..ForgedStatus::default() })
            }
            1 => self.forge.vote(me, Kind::Commit, View::new(0), (near, Digest::new([9; 32]))),
            2 => {
                let request = self.forge.request(&client_key(CLIENTS), RequestNumber::new(1), b"old");
                self.forge.request_message(&request)
            }
            _ => {
                let request = self.forge.request(&client_key(CLIENTS), RequestNumber::new(1), &ordinal.to_le_bytes());
                let block = self.forge.block(near, Digest::new([3; 32]), vec![request; 8]);
                self.forge.chain(None, &[block])
            }
        }
    }

    /// Lets a millisecond happen.
    fn round(&mut self) {
        self.now = self.now.after(ROUND);
        let mut inboxes: Vec<Vec<(u64, Bytes)>> = vec![Vec::new(); N];
        while let Some(first) = self.wire.first_entry().filter(|first| first.key().0 <= self.now) {
            let (to, link, bytes) = first.remove();
            inboxes[to].push((link, bytes));
        }
        for (index, inbox) in inboxes.into_iter().enumerate() {
            if self.is_down(index) {
                continue;
            }
            if index == 1 {
                self.heard += inbox.iter().filter(|(link, _)| *link < 100).count() as u64;
            }
            let is_correct = self.is_correct(index);
            let node = &mut self.nodes[index];
            let begin = cpu_time();
            inbox.iter().for_each(|(link, bytes)| node.receive(PeerLink(*link), bytes).expect("decodes"));
            let mut sent = Vec::new();
            loop {
                sent.extend(node.run(self.now).expect("runs"));
                if node.deadline() != Some(Time::default()) {
                    break;
                }
            }
            let encoded: Vec<_> = sent.iter().map(|envelope| (envelope.to(), envelope.encode())).collect();
            let spent = cpu_time().saturating_sub(begin);
            if is_correct {
                self.spent += spent;
            }
            node.events();
            node.refusals();
            for (to, bytes) in encoded {
                match to {
                    Recipients::AllReplicas => (0..N).filter(|to| *to != index).for_each(|to| self.post(index as u64, to, bytes.clone())),
                    Recipients::Replica(to) => self.post(index as u64, to.get() as usize, bytes),
                    Recipients::Client(_) => {}
                }
            }
        }
        let executed = self.executed();
        if executed > self.progress.0 {
            self.progress = (executed, self.now);
        }
        self.longest_gap = self.longest_gap.max(self.now.since(self.progress.1));
    }

    /// Requests that replica 1 has executed.
    fn executed(&self) -> u64 {
        self.nodes[1].application().service().0
    }
}

/// CPU microseconds of three correct nodes for each request; and messages that one hears in a round.
fn work(attack: Attack, rounds: u64, flood: u64) -> (f64, u64) {
    let mut town = Town::new(attack);
    for _ in 0..rounds {
        town.submit();
        town.assault(flood);
        town.round();
    }
    let wanted = rounds * EACH * CLIENTS as u64;
    for _ in 0..5000 {
        if town.executed() >= wanted {
            break;
        }
        town.assault(if town.wire.is_empty() { 0 } else { flood });
        town.round();
    }
    assert!(town.executed() >= wanted, "{attack:?}: {} of {wanted} executed", town.executed());
    (town.spent.as_secs_f64() * 1e6 / wanted as f64, town.heard / rounds)
}

/// Requests executed in so many rounds of virtual time with a steady load, and the longest time without any.
fn time(attack: Attack, rounds: u64) -> (u64, Duration) {
    let mut town = Town::new(attack);
    for round in 0..rounds {
        if round % 16 == 0 {
            town.submit();
        }
        town.round();
    }
    (town.executed(), town.longest_gap)
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let rounds: u64 = words.first().map_or(200, |word| word.parse().expect("rounds"));
    let (fault_free, heard) = work(Attack::None, rounds, 0);
    println!("without faults: {fault_free:.1} µs of CPU time for each request, in three nodes; each hears {heard} messages a round\n");
    println!("{:<50} {:>8} {:>8}", "attack", "kept", "goal");
    let steady = rounds * 40;
    let (expected, _) = time(Attack::None, steady);
    let is_wanted = |name: &str| words.get(1).is_none_or(|word| name.contains(word.as_str()));
    for (name, attack, goal) in CASES.into_iter().filter(|(name, ..)| is_wanted(name)) {
        match attack {
            Attack::Late(_) => {
                let (executed, _) = time(attack, steady);
                println!(
                    "{name:<50} {:>7.1}% {:>7.0}%   of the requests, in virtual time",
                    100.0 * executed as f64 / expected as f64,
                    100.0 * goal
                );
            }
            Attack::PrimaryStops => {
                let (_, gap) = time(attack, 8000);
                println!(
                    "{name:<50} {:>7.2}  {:>7}    timeouts until requests are executed again",
                    gap.as_secs_f64() / T.as_secs_f64(),
                    "2"
                );
            }
            _ => {
                // Each beside a fault-free run of the same moment, the median of five: machines are shared.
                let pair = |_| work(Attack::None, rounds, 0).0 / work(attack, rounds, heard).0;
                let mut ratios: Vec<f64> = (0..5).map(pair).collect();
                ratios.sort_by(f64::total_cmp);
                let (least, median, most) = (100.0 * ratios[0], 100.0 * ratios[2], 100.0 * ratios[4]);
                println!("{name:<50} {median:>7.1}% {:>7.0}%   of the requests for one CPU; {least:.1} to {most:.1}", 100.0 * goal);
            }
        }
    }
}
