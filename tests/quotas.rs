//! What clients can fill is bounded in bytes, and by parts: none fills another's, and none locks itself out. (T1, S2, D1, I18)

mod support;

use logothete::sim::forge::{ForgedBlock, Kind};
use logothete::{
    Bytes, Cluster, Digest, Disposition, Event, Input, Limits, MessageKind, Outbox, PeerLink, Recipients, Request, RequestNumber, Tuning,
    Unverified, Usage, Verifier, View, Why,
};
use std::collections::BTreeMap;
use std::time::Duration;
use support::prng::Prng;
use support::solo::{Solo, T, at};
use support::{Net, builder, client_key};

const SOON: Duration = Duration::from_secs(20);
/// What a request costs beside its operation, and a reply beside its result and path, as SPEC 6 says.
const REQUEST: u64 = 136;
/// The longest path of a request that was signed with others.
const PATH: u64 = 192;
const REPLY: u64 = 250;
/// The longest operation and result here.
const LARGE: usize = 1000;
/// Each client's part of either budget.
const PART: u64 = 5000;

fn cluster(replicas: usize, clients: usize) -> Cluster {
    let bytes = LARGE as u32;
    let limits = Limits { operation_bytes_max: bytes, result_bytes_max: bytes, client_window: 32, ..Limits::default() };
    builder(replicas, clients).limits(limits).build().expect("a valid cluster")
}

fn tuning(clients: u64) -> Tuning {
    Tuning { pool_bytes_max: clients * PART, reply_cache_bytes_max: clients * PART, ..Tuning::from_timeout(T) }
}

/// Backup 1 of four, with two clients.
fn backup() -> Solo {
    Solo::with(cluster(4, 2), 1, tuning(2))
}

fn request(solo: &Solo, client: usize, number: u64, length: usize) -> Request {
    solo.forge.request(&client_key(client), RequestNumber::new(number), &vec![7; length])
}

fn ask(solo: &mut Solo, client: usize, number: u64, length: usize) -> Disposition {
    let bytes = solo.forge.request_message(&request(solo, client, number, length));
    solo.feed(&bytes)
}

fn is_busy(disposition: Disposition) -> bool {
    matches!(disposition, Disposition::Ignored(Why::Busy { .. }))
}

/// The client's requests refused since the last look.
fn refused(solo: &mut Solo, client: usize) -> Vec<u64> {
    let key = client_key(client).verifying_key().to_bytes();
    let events = std::mem::take(&mut solo.events);
    let of_client = |event| match event {
        Event::Refused { client, number } if *client.as_bytes() == key => Some(number.get()),
        _ => None,
    };
    events.into_iter().filter_map(of_client).collect()
}

fn usage(solo: &Solo) -> Usage {
    solo.replica.status().usage
}

#[test]
fn t1_a_flooding_client_fills_its_own_quota_and_no_more() {
    let mut solo = backup();
    assert_eq!((usage(&solo).pool.bytes, usage(&solo).pool.limit), (0, 2 * PART));
    for number in 2..=5 {
        assert_eq!(ask(&mut solo, 0, number, LARGE), Disposition::Applied);
    }
    for number in 6..=20 {
        assert!(is_busy(ask(&mut solo, 0, number, LARGE)), "{number} is beyond the quota");
    }
    assert_eq!(refused(&mut solo, 0), (6..=20).collect::<Vec<_>>(), "each refusal is told");
    assert_eq!(usage(&solo).pool.bytes, 4 * (LARGE as u64 + REQUEST));
    // To the byte: 320 and 136 are left.
    assert!(is_busy(ask(&mut solo, 0, 6, 321)));
    assert_eq!(ask(&mut solo, 0, 6, 320), Disposition::Applied);
    assert!(is_busy(ask(&mut solo, 0, 7, 0)));
    assert_eq!(usage(&solo).pool.bytes, PART);
    for number in 2..=5 {
        assert_eq!(ask(&mut solo, 1, number, LARGE), Disposition::Applied, "the other client's part is its own");
    }
}

#[test]
fn t1_others_are_decided_while_a_client_floods() {
    let mut net = Net::tuned(cluster(4, 2), 31, tuning(2));
    // Client 0 never sends its first request: nothing of this can be ordered.
    let flood: Vec<Vec<u8>> = (2..=64)
        .map(|number| net.forge.request_message(&net.forge.request(&client_key(0), RequestNumber::new(number), &[7; LARGE])))
        .collect();
    for order in 0..100_u32 {
        net.submit(1, &order.to_le_bytes());
        for bytes in &flood {
            (0..4).for_each(|replica| net.post(None, replica, bytes.clone()));
        }
        net.run_for(Duration::from_millis(5));
    }
    net.settle(SOON, &[0, 1, 2, 3]);
    for host in &net.hosts {
        let status = host.replica.status();
        assert_eq!(status.view, View::new(0), "and no primary is blamed for it");
        assert_eq!(status.usage.pool.bytes, 4 * (LARGE as u64 + REQUEST), "only what can't be ordered still waits");
    }
}

#[test]
fn t1_the_next_request_is_taken_although_the_quota_is_full() {
    let mut solo = backup();
    for number in 2..=5 {
        ask(&mut solo, 0, number, LARGE);
    }
    assert_eq!(ask(&mut solo, 1, 2, LARGE), Disposition::Applied);
    assert_eq!(ask(&mut solo, 0, 1, 321), Disposition::Applied);
    assert_eq!(refused(&mut solo, 0), [5], "the one that is needed last makes room, and this is told");
    assert_eq!(usage(&solo).pool.bytes, 4 * (LARGE as u64 + REQUEST) + 321 + REQUEST, "the other client's stays");
    assert_eq!(ask(&mut solo, 0, 1, 321), Disposition::Ignored(Why::Duplicate));
    assert_eq!(ask(&mut solo, 0, 2, LARGE), Disposition::Ignored(Why::Duplicate), "what was not in the way still waits");
    assert_eq!(solo.replica.status().pool_requests, 5);
    solo.sent.clear();
    solo.pass(T / 2);
    assert!(solo.words().iter().any(|words| words.contains("Request")), "it waits like any next request: it is passed on");
}

#[test]
fn t1_the_next_request_drops_as_many_as_it_needs_and_nothing_else() {
    let mut solo = backup();
    // 36 of 136 bytes each: 4896.
    for number in 2..=37 {
        assert_eq!(ask(&mut solo, 0, number, 0), Disposition::Applied);
    }
    assert_eq!(ask(&mut solo, 0, 1, LARGE), Disposition::Applied);
    // 104 are free, and 8 times 136 make room for 1136.
    assert_eq!(refused(&mut solo, 0), (30..=37).rev().collect::<Vec<_>>());
    assert_eq!(usage(&solo).pool.bytes, 28 * REQUEST + LARGE as u64 + REQUEST);
}

#[test]
fn s3_a_requests_path_counts_too_and_is_given_back() {
    let mut solo = backup();
    let (seven, genesis) = (vec![7; 10], solo.genesis().1);
    let run = solo.forge.run(&client_key(0), RequestNumber::new(1), &[&seven[..]; 3]);
    for request in &run {
        let bytes = solo.forge.request_message(request);
        assert_eq!(solo.feed(&bytes), Disposition::Applied);
    }
    // Two of three leaves have two siblings on their way up, the last has one.
    assert_eq!(usage(&solo).pool.bytes, 3 * (REQUEST + 10) + 5 * 32);
    decide(&mut solo, 1, genesis, run[..2].to_vec());
    assert_eq!(usage(&solo).pool.bytes, REQUEST + 10 + 32);
    // To the byte: of 5000, so much is left beside four others.
    let large = vec![7; LARGE];
    let long = |solo: &Solo, number: u64, operation: &[u8]| {
        let run = solo.forge.run(&client_key(1), RequestNumber::new(number), &[operation; 64]);
        solo.forge.request_message(&run[0])
    };
    for number in 2..=4 {
        let bytes = long(&solo, number, &large);
        assert_eq!(solo.feed(&bytes), Disposition::Applied);
    }
    let rest = (PART - 3 * (REQUEST + LARGE as u64 + PATH) - REQUEST - PATH) as usize;
    for (length, fits) in [(LARGE, false), (rest + 1, false), (rest, true)] {
        let bytes = long(&solo, 5, &vec![7; length.min(LARGE)]);
        assert_eq!(solo.feed(&bytes) == Disposition::Applied, fits, "{length}");
    }
}

#[test]
fn s3_a_blocks_paths_count_while_it_is_held() {
    let mut solo = backup();
    let run = solo.forge.run(&client_key(0), RequestNumber::new(1), &[&b"0123456789"[..]; 3]);
    let block = solo.forge.block(at(1), solo.genesis().1, run);
    solo.propose(0, &block);
    assert_eq!(usage(&solo).undecided.bytes, 320 + 3 * (REQUEST + 10) + 5 * 32);
}

#[test]
fn s3_a_batch_is_full_of_operations_and_paths() {
    let size = 2 * (REQUEST + PATH + 10) as u32;
    let limits = Limits { batch_bytes_max: size, operation_bytes_max: 10, ..Limits::default() };
    let mut solo = Solo::with(builder(4, 2).limits(limits).build().expect("a valid cluster"), 0, tuning(2));
    let run = solo.forge.run(&client_key(0), RequestNumber::new(1), &[&b"0123456789"[..]; 64]);
    // The first goes alone, and the others wait until it is certified.
    for request in &run[..5] {
        let bytes = solo.forge.request_message(request);
        assert_eq!(solo.feed(&bytes), Disposition::Applied);
    }
    solo.step(Input::Timer);
    let proposals: Vec<_> = solo.sent.iter().filter(|envelope| envelope.kind() == MessageKind::PrePrepare).map(|it| it.encode()).collect();
    assert!(proposals.len() >= 2);
    proposals.iter().for_each(|bytes| drop(solo.verified(bytes)));
}

#[test]
fn s3_the_largest_operation_with_the_longest_path_has_room_in_any_pool_batch_and_message() {
    let limits = Limits {
        message_bytes_max: (LARGE as u64 + REQUEST + PATH) as u32 + 65_536,
        batch_bytes_max: (LARGE as u64 + REQUEST + PATH) as u32,
        operation_bytes_max: LARGE as u32,
        result_bytes_max: LARGE as u32,
        client_window: 32,
        ..Limits::default()
    };
    let cluster = builder(4, 2).limits(limits).build().expect("a valid cluster");
    let mut solo = Solo::with(cluster, 0, Tuning { pool_bytes_max: 0, ..tuning(2) });
    let large = vec![7; LARGE];
    let run = solo.forge.run(&client_key(0), RequestNumber::new(1), &[&large[..]; 64]);
    let whole: Vec<Vec<u8>> = run.iter().map(|request| solo.forge.request_message(request)).collect();
    // Out of turn there is room too, for one.
    assert_eq!(solo.feed(&whole[1]), Disposition::Applied);
    assert!(is_busy(solo.feed(&whole[2])));
    assert_eq!(solo.feed(&whole[0]), Disposition::Applied, "the next one takes its place");
    solo.step(Input::Timer);
    let proposal = solo.sent.iter().find(|envelope| envelope.kind() == MessageKind::PrePrepare).expect("proposed").encode();
    assert!(Unverified::decode(PeerLink(0), &proposal, solo.cluster.limits()).is_ok(), "and it has room in a batch of the smallest size");
    solo.verified(&proposal);
}

#[test]
fn t1_clients_are_served_by_a_pool_without_any_budget() {
    let poor = Tuning { pool_bytes_max: 0, reply_cache_bytes_max: 0, ..tuning(2) };
    let mut net = Net::tuned(cluster(4, 2), 32, poor);
    net.retry = Duration::from_millis(20);
    for order in 0..40_usize {
        net.submit(order % 2, &[7; LARGE]);
    }
    net.settle(SOON, &[0, 1, 2, 3]);
    for host in &net.hosts {
        let Usage { pool, replies, .. } = host.replica.status().usage;
        assert_eq!((pool.bytes, pool.limit), (0, 2 * (LARGE as u64 + REQUEST + PATH)), "a part holds one operation of the largest size");
        // The path in a full batch of 1000 is 10 digests long.
        assert_eq!(replies.limit, 2 * (LARGE as u64 + REPLY + 320));
        assert!(replies.bytes <= replies.limit && replies.bytes >= 2 * (LARGE as u64 + REPLY), "{replies}");
    }
}

/// Has `solo` decide a block with these requests, by a certificate and a chain.
fn decide(solo: &mut Solo, number: u64, parent: Digest, requests: Vec<Request>) -> Digest {
    let (block, chain) = decided_chain(solo, number, parent, requests);
    solo.feed(&chain);
    block.digest()
}

fn decided_chain(solo: &Solo, number: u64, parent: Digest, requests: Vec<Request>) -> (ForgedBlock, Vec<u8>) {
    let block = solo.forge.block(at(number), parent, requests);
    let certificate = solo.certificate(&[0, 2, 3], Kind::Commit, 0, (at(number), block.digest()));
    let chain = solo.forge.chain(Some(&certificate), std::slice::from_ref(&block));
    (block, chain)
}

/// What the client is answered when it asks for that number again.
fn answer(solo: &mut Solo, client: usize, number: u64) -> Vec<MessageKind> {
    solo.sent.clear();
    ask(solo, client, number, 0);
    let key = client_key(client).verifying_key().to_bytes();
    let to_client = |to| matches!(to, Recipients::Client(client) if *client.as_bytes() == key);
    std::mem::take(&mut solo.sent).iter().filter(|envelope| to_client(envelope.to())).map(|envelope| envelope.kind()).collect()
}

#[test]
fn s2_gigantic_results_cost_their_own_client_its_old_replies_and_nobody_else() {
    let mut solo = backup();
    let ten = vec![request(&solo, 1, 1, 10)];
    let genesis = solo.genesis().1;
    let mut parent = decide(&mut solo, 1, genesis, ten);
    for number in 1..=30 {
        let large = vec![request(&solo, 0, number, LARGE)];
        parent = decide(&mut solo, number + 1, parent, large);
        let replies = usage(&solo).replies;
        assert_eq!(replies.limit, 2 * PART);
        // One request to a batch, so that there is no path.
        assert_eq!(replies.bytes, number.min(4) * (LARGE as u64 + REPLY) + 10 + REPLY);
    }
    assert_eq!(answer(&mut solo, 1, 1), [MessageKind::Reply], "the other client's reply is still there, whole");
    for number in 27..=30 {
        assert_eq!(answer(&mut solo, 0, number), [MessageKind::Reply], "{number} is within the quota");
    }
    for number in 1..=26 {
        assert_eq!(answer(&mut solo, 0, number), [MessageKind::Answered], "{number} made room");
    }
}

#[test]
fn s2_a_replys_path_counts_too() {
    let mut solo = backup();
    let (three, genesis) = (vec![request(&solo, 0, 1, 10), request(&solo, 1, 1, 20), request(&solo, 1, 2, 30)], solo.genesis().1);
    decide(&mut solo, 1, genesis, three);
    // Two of three leaves have two siblings on their way up, the last has one.
    assert_eq!(usage(&solo).replies.bytes, 3 * REPLY + 60 + 5 * 32);
}

#[test]
fn s2_the_window_bounds_replies_that_cost_little() {
    let mut solo = backup();
    let mut parent = solo.genesis().1;
    let window = u64::from(solo.cluster.limits().client_window);
    let rich = Tuning { reply_cache_bytes_max: u64::MAX, ..tuning(2) };
    let mut other = Solo::with(cluster(4, 2), 1, rich);
    for number in 1..=window + 8 {
        let next = vec![request(&solo, 0, number, 0)];
        decide(&mut other, number, parent, next.clone());
        parent = decide(&mut solo, number, parent, next);
    }
    assert_eq!(usage(&solo).replies.bytes, PART / REPLY * REPLY);
    assert_eq!(usage(&other).replies.bytes, window * REPLY, "the count holds whatever the budget is");
    assert_eq!(answer(&mut other, 0, 8), [], "out of the window");
    assert_eq!(answer(&mut other, 0, 9), [MessageKind::Reply]);
}

#[test]
fn d1_an_answer_waits_for_its_record_although_the_reply_made_room() {
    let mut solo = backup();
    let verifier = Verifier::new(solo.cluster.clone());
    let mut outbox = Outbox::new();
    let hear = |solo: &mut Solo, bytes: &[u8], outbox: &mut Outbox| {
        let unverified = Unverified::decode(PeerLink(0), bytes, solo.cluster.limits()).expect("decodes");
        solo.replica.step(solo.now, Input::Message(verifier.verify(unverified).expect("verifies")), outbox);
    };
    let mut parent = solo.genesis().1;
    let mut blocks = Vec::new();
    for number in 1..=8 {
        let block = solo.forge.block(at(number), parent, vec![request(&solo, 0, number, LARGE)]);
        parent = block.digest();
        blocks.push(block);
    }
    blocks.reverse();
    let certificate = solo.certificate(&[0, 2, 3], Kind::Commit, 0, (at(8), parent));
    let chain = solo.forge.chain(Some(&certificate), &blocks);
    hear(&mut solo, &chain, &mut outbox);
    let mut writes = outbox.writes();
    let high = writes.split_off(writes.len() - 1);
    for write in writes {
        let (_, receipt) = write.persisted().sign(&solo.keys[1]).expect("signed");
        solo.replica.step(solo.now, Input::Persisted(receipt), &mut outbox);
    }
    for number in 1..=8 {
        let results = vec![Bytes::from(vec![7; LARGE])];
        solo.replica.step(solo.now, Input::Executed { sequence_number: at(number), results }, &mut outbox);
    }
    assert_eq!(usage(&solo).replies.bytes, 4 * (LARGE as u64 + REPLY), "executed, kept and cut down");
    let again = solo.forge.request_message(&request(&solo, 0, 1, 0));
    hear(&mut solo, &again, &mut outbox);
    let answers = |outbox: &mut Outbox| -> Vec<MessageKind> {
        let sends = outbox.sends().into_iter().flat_map(|send| send.sign(&solo.keys[1]).expect("signed"));
        let kinds = sends.map(|envelope| envelope.kind());
        kinds.filter(|kind| matches!(kind, MessageKind::Reply | MessageKind::Answered)).collect()
    };
    assert_eq!(answers(&mut outbox), [], "the certificate is not durable yet");
    for write in high {
        let (_, receipt) = write.persisted().sign(&solo.keys[1]).expect("signed");
        solo.replica.step(solo.now, Input::Persisted(receipt), &mut outbox);
    }
    assert_eq!(answers(&mut outbox), [MessageKind::Reply; 8], "what made room in the cache leaves all the same");
    assert_eq!(answer(&mut solo, 0, 1), [MessageKind::Answered], "and is known by its digest from then on");
}

/// What should wait, by what the replica said and nothing else.
#[derive(Default)]
struct Model {
    waits: BTreeMap<(usize, u64), u64>,
    last: BTreeMap<usize, u64>,
}

impl Model {
    fn bytes(&self, client: usize) -> u64 {
        self.waits.range((client, 0)..(client + 1, 0)).map(|(_, bytes)| bytes).sum()
    }

    /// A request of `length` was sent, and this became of it.
    fn heard(&mut self, solo: &mut Solo, clients: usize, sent: (usize, u64), length: usize, disposition: Disposition) {
        let cost = length as u64 + REQUEST;
        assert!(!is_busy(disposition) || self.bytes(sent.0) + cost > PART, "refused only what exceeds the quota");
        if disposition == Disposition::Applied {
            self.waits.insert(sent, cost);
            let events = solo.events.clone();
            for client in 0..clients {
                solo.events.clone_from(&events);
                refused(solo, client).into_iter().for_each(|number| {
                    assert!(client == sent.0 && self.bytes(client) > PART, "dropped only its own, and only while it had to be");
                    assert!(self.waits.remove(&(client, number)).is_some(), "and only what waited");
                });
            }
        }
        solo.events.clear();
        for request in std::mem::take(&mut solo.decisions).iter().flat_map(|decision| decision.requests()) {
            let client = (0..clients).find(|index| client_key(*index).verifying_key().to_bytes() == *request.client().as_bytes());
            let client = client.expect("enrolled");
            self.last.insert(client, request.number().get());
            self.waits.remove(&(client, request.number().get()));
        }
    }

    fn check(&self, solo: &Solo, clients: usize) {
        let usage = usage(solo);
        for (name, part) in usage.entries() {
            assert!(part.bytes <= part.limit, "{name}: {part}");
        }
        assert_eq!(usage.pool.bytes, self.waits.values().sum::<u64>(), "counted to the byte");
        assert_eq!(solo.replica.status().pool_requests, self.waits.len());
        assert!((0..clients).all(|client| self.bytes(client) <= PART));
    }
}

#[test]
fn i18_usage_never_exceeds_its_limits_whatever_clients_send() {
    const CLIENTS: usize = 5;
    for seed in 0..3 {
        let mut dice = Prng::new(seed);
        // Alone, it is primary and decides at once.
        let mut solo = Solo::with(cluster(1, CLIENTS), 0, tuning(CLIENTS as u64));
        let mut model = Model::default();
        let mut full = 0;
        for _ in 0..2000 {
            let client = dice.between(0, CLIENTS as u64 - 1) as usize;
            let last = model.last.get(&client).copied().unwrap_or_default();
            // Most of it leaves gaps and is large; old numbers are asked for again.
            let ahead = if dice.percent(20) { dice.between(0, 1) } else { dice.between(2, 70) };
            let number = if dice.percent(10) { dice.between(1, last.max(1)) } else { (last + ahead).max(1) };
            let length = if dice.percent(50) { LARGE } else { dice.between(0, LARGE as u64) as usize };
            let disposition = ask(&mut solo, client, number, length);
            let is_new = number == last + 1 && !model.waits.contains_key(&(client, number));
            assert!(!is_new || disposition == Disposition::Applied, "a next request is always taken: {disposition:?}");
            full += usize::from(is_busy(disposition));
            model.heard(&mut solo, CLIENTS, (client, number), length, disposition);
            model.check(&solo, CLIENTS);
        }
        assert!(full > 200, "the quotas were reached: {full}");
        assert!(model.last.values().all(|last| *last > 20), "and everybody was served: {:?}", model.last);
    }
}

#[test]
fn usage_is_one_line_in_a_log() {
    let solo = backup();
    let line = usage(&solo).to_string();
    assert!(line.starts_with("pool 0 of 10000 bytes, replies 0 of 10000 bytes, undecided 0 of "), "{line}");
    assert_eq!(line.matches(" of ").count(), usage(&solo).entries().count());
    assert!(!line.contains('\n'));
    assert_eq!(usage(&solo).pool.to_string(), "0 of 10000 bytes");
}
