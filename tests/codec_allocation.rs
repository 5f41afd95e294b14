//! What a rejected input may cost: at most twice its length and 64 KiB, whatever its counts and lengths say. (SPEC 2)

#[path = "support/heap.rs"]
mod heap;
mod samples;

use logothete::{Bytes, Limits, PeerLink, RequestNumber, SequenceNumber, Unverified, View};
use samples::World;
use samples::sheet::Sheet;

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

fn check(what: &str, bytes: &[u8], limits: &Limits) -> bool {
    let (accepted, peak) = heap::peak_of(|| Unverified::decode(PeerLink(0), bytes, limits).is_ok());
    assert!(peak <= heap::allowed(bytes.len()), "{what}: {} bytes of input took {peak} (accepted: {accepted})", bytes.len());
    let kept = Bytes::from(bytes);
    let (same, peak) = heap::peak_of(|| Unverified::decode_shared(PeerLink(0), &kept, limits).is_ok());
    assert!(peak <= heap::allowed(bytes.len()), "{what}, kept: {} bytes of input took {peak} (accepted: {accepted})", bytes.len());
    assert_eq!(accepted, same, "{what}");
    accepted
}

const BOMBS: [u64; 10] = [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1, 1 << 40, 1 << 32, 1 << 20, 65_537, 65_536, 4096];

fn bombs_in_samples(world: &World) {
    for sample in world.samples() {
        check(sample.name, &sample.sheet.bytes, world.cluster.limits());
        // At every offset, not only where the counts are known to stand.
        for offset in 0..sample.sheet.bytes.len() - 8 {
            for bomb in BOMBS {
                let mut bytes = sample.sheet.bytes.clone();
                bytes[offset..offset + 8].copy_from_slice(&bomb.to_le_bytes());
                check(sample.name, &bytes, world.cluster.limits());
            }
        }
    }
}

/// `count` smallest items, as many as fit in a message: what arrives must not swell either.
fn swarm(message: u32, head: &[u8], item: &[u8], count: u64) -> Vec<u8> {
    let mut bytes = message.to_le_bytes().to_vec();
    bytes.extend_from_slice(head);
    bytes.extend_from_slice(&count.to_le_bytes());
    (0..count).for_each(|_| bytes.extend_from_slice(item));
    bytes
}

fn swarms(world: &World) {
    let limits = world.cluster.limits();
    // S3: an empty request with the number 0 and a path of so many digests.
    let request = |path: u64| [vec![0; 32 + 8 + 8 + 4 + 4], path.to_le_bytes().to_vec(), vec![7; 32 * path as usize], vec![0; 64]].concat();
    let block = |requests: u64, path: u64| {
        let mut bytes = vec![0_u8; 72];
        bytes.extend_from_slice(&requests.to_le_bytes());
        (0..requests).for_each(|_| bytes.extend_from_slice(&request(path)));
        bytes
    };
    for cut in [0, 1, 64] {
        let refused = |what: &str, mut bytes: Vec<u8>| {
            bytes.truncate(bytes.len() - cut);
            assert!(!check(what, &bytes, limits), "{what}");
        };
        for path in 0..=7 {
            // In a batch of as many as a message holds.
            for count in [1, 2, 3, 5, 8, 13, 100, 1000, 9000 * 128 / (128 + 32 * path)] {
                let mut bytes = swarm(1, &[0; 8 + 72], &request(path), count);
                bytes.extend_from_slice(&[0; 64]);
                refused("requests", bytes);
            }
            for requests in [0, 1, 2, 3, 4, 5, 9, 17] {
                let item = block(requests, path);
                let count = (limits.message_bytes_max as u64 - 100) / item.len() as u64;
                refused("blocks", swarm(9, &[0, 0], &item, count.min(4096)));
            }
        }
        refused("signatures", swarm(4, &[0; 4 + 16 + 32], &[0; 68], 256));
        let mut claims = swarm(6, &[0; 8 + 8 + 32], &[0; 116], 256);
        claims.extend_from_slice(&[0; 1 + 64]);
        refused("claims", claims);
        let mut siblings = swarm(11, &[0; 4 + 8 + 8 + 32 + 8 + 32 + 8 + 4 + 4], &[0; 32], 32);
        siblings.extend_from_slice(&[0; 64]);
        refused("siblings", siblings);
        let mut members = swarm(14, &[0; 8 + 32 + 32], &[0; 68], 256);
        members.push(0);
        refused("members of a checkpoint", members);
        // Two bytes too many, or one: all of it is read.
        for count in [1, 2, 3, 5, 8, 13, 100, 1000, 30_000, 32_000] {
            let mut parts = swarm(15, &[0; 8 + 32], &[7; 32], count);
            parts.extend_from_slice(&[0; 8 + 2]);
            refused("parts of the session table", parts);
            let mut parts = swarm(15, &[0; 8 + 32 + 8], &[7; 32], count);
            parts.extend_from_slice(&[0; 2]);
            refused("parts of the service", parts);
        }
    }
}

/// Whole but beyond a limit, or refused only after all of it was read.
fn late_refusals(world: &World) {
    let narrow = Limits { operation_bytes_max: 1, batch_bytes_max: 329, batch_requests_max: 1, result_bytes_max: 0, ..Limits::default() };
    let requests = |count: u64, length: usize| {
        (1..=count).map(|number| world.forge.request(&world.clients[0], RequestNumber::new(number), &vec![7; length])).collect()
    };
    for (count, length) in [(1, 500_000), (1, 900_000), (7, 100_000), (2000, 0), (2000, 100)] {
        let block = world.forge.block(SequenceNumber::new(1), world.forge.genesis(), requests(count, length));
        let proposal = world.forge.pre_prepare(&world.replicas[0], View::new(0), &block);
        assert!(!check("a narrow limit", &proposal, &narrow));
        let mut longer = proposal.clone();
        longer.push(0);
        assert!(!check("a trailing byte", &longer, world.cluster.limits()));
        assert!(!check("cut off", &proposal[..proposal.len() - 1], world.cluster.limits()));
        check("within or beyond its limits", &proposal, world.cluster.limits());
    }
    for length in [330, 1000, 100_000, 1_000_000] {
        assert!(!check("a part of a snapshot", &world.forge.chunk(&vec![7; length]), &narrow));
    }
    // One that passes.
    let parts = vec![world.forge.genesis(); 16_000];
    let manifest = world.forge.manifest((SequenceNumber::new(128), world.forge.genesis()), &parts, &parts);
    assert!(check("a manifest", &world.forge.manifest_message(&manifest), world.cluster.limits()));
    let mut huge = Sheet::default();
    huge.string("far beyond message_bytes_max", &vec![0; 4 << 20]);
    let decode = || Unverified::decode(PeerLink(0), &huge.bytes, world.cluster.limits()).is_ok();
    assert_eq!(heap::peak_of(decode), (false, 0));
}

// The count is of a thread, and each test has its own.
#[test]
fn spec_2_rejected_input_takes_at_most_twice_its_length_and_64_kib() {
    let world = World::new();
    bombs_in_samples(&world);
    late_refusals(&world);
    swarms(&world);
}

/// As many requests as any configuration allows, each with as long a path as one of `run` has that were signed at once; accepted.
fn the_largest_batches(run: usize) {
    let limits = Limits {
        message_bytes_max: 64 << 20,
        batch_bytes_max: 60 << 20,
        batch_requests_max: 65_536,
        operation_bytes_max: 1,
        ..Limits::default()
    };
    let world = World::with_limits(limits);
    let request = world.forge.run(&world.clients[0], RequestNumber::new(1), &vec![&b""[..]; run]).remove(0);
    let block = world.forge.block(SequenceNumber::new(1), world.forge.genesis(), vec![request; 65_536]);
    let proposal = world.forge.pre_prepare(&world.replicas[0], View::new(0), &block);
    assert!(check("the largest proposal", &proposal, world.cluster.limits()));
    assert!(check("the largest chain", &world.forge.chain(None, &[block]), world.cluster.limits()));
}

// S3: each request has its path in memory.
#[test]
fn spec_2_the_largest_batch_takes_at_most_twice_its_length_and_64_kib_whatever_its_paths() {
    for run in [1, 2, 64] {
        the_largest_batches(run);
    }
}

/// What a message holds when the bytes in which it came are given back.
fn kept_of(bytes: &[u8], limits: &Limits) -> usize {
    let before = heap::held();
    let whole = Bytes::from(bytes);
    let message = Unverified::decode_shared(PeerLink(0), &whole, limits).expect("decodes");
    drop(whole);
    let kept = heap::held() - before;
    drop(message);
    assert_eq!(heap::held(), before);
    kept.try_into().expect("some")
}

#[test]
fn i18_a_message_keeps_its_bytes_where_most_of_them_are_operations() {
    let world = World::new();
    let limits = world.cluster.limits();
    let request = |number: u64, length: usize| world.forge.request(&world.clients[0], RequestNumber::new(number), &vec![7; length]);
    const COUNTS: usize = 32;
    for length in [0, 1, 1023] {
        let kept = kept_of(&world.forge.request_message(&request(1, length)), limits);
        assert!(kept <= length + COUNTS, "{kept} for an operation of {length} bytes");
    }
    for length in [1024, 60_000] {
        let bytes = world.forge.request_message(&request(1, length));
        let kept = kept_of(&bytes, limits);
        assert!((bytes.len()..=bytes.len() + COUNTS).contains(&kept), "{kept} for {} bytes", bytes.len());
    }
    let requests = (1..=40).map(|number| request(number, if number % 2 == 0 { 1 } else { 5000 })).collect();
    let block = world.forge.block(SequenceNumber::new(1), world.forge.genesis(), requests);
    let bytes = world.forge.pre_prepare(&world.replicas[0], View::new(0), &block);
    // And what waits in an inbox takes at most three times what it counts there, however short its operations and long its paths. (SPEC 6.1, S3)
    for run in [1, 2, 64] {
        let shortest = world.forge.run(&world.clients[0], RequestNumber::new(1), &vec![&b""[..]; run]).remove(0);
        let block = world.forge.block(SequenceNumber::new(1), world.forge.genesis(), vec![shortest; 1000]);
        for message in [world.forge.pre_prepare(&world.replicas[0], View::new(0), &block), world.forge.chain(None, &[block])] {
            let size = Unverified::decode_shared(PeerLink(0), &Bytes::from(&message[..]), limits).expect("decodes").size();
            let kept = kept_of(&message, limits);
            assert!(kept <= 3 * size, "{kept} for {size} that are counted");
        }
    }
    let kept = kept_of(&bytes, limits);
    assert!((bytes.len()..bytes.len() + 40 * 250).contains(&kept), "{kept} for {} bytes", bytes.len());
}
