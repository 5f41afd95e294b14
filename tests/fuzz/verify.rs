//! Messages that decode: each gets one verdict, alone and in company, and what was changed is not believed. (SPEC 3.5)

use super::choices::Choices;
use super::samples::{Sample, World};
use logothete::{MessageKind, PeerLink, Unverified, Verified, VerifyError};
use std::sync::OnceLock;

struct Ground {
    world: World,
    samples: Vec<Sample>,
}

fn ground() -> &'static Ground {
    static GROUND: OnceLock<Ground> = OnceLock::new();
    GROUND.get_or_init(|| {
        let world = World::new();
        let samples = world.samples();
        Ground { world, samples }
    })
}

fn told(verdict: Result<Verified, VerifyError>) -> Result<String, VerifyError> {
    verdict.map(|verified| verified.to_string())
}

/// One that is valid, changed as the fuzzer likes; and whether it still must be valid.
fn message(choices: &mut Choices<'_>, ground: &Ground) -> (Vec<u8>, Option<bool>) {
    let Some(sample) = choices.pick(&ground.samples) else { return (Vec::new(), None) };
    let mut bytes = sample.sheet.bytes.clone();
    let by_digest = matches!(sample.kind, MessageKind::Manifest | MessageKind::Chunk);
    let slot = |choices: &mut Choices<'_>, sample: &Sample| choices.pick(&sample.sheet.signatures).copied();
    match choices.below(8) {
        0 | 1 => return (bytes, Some(true)),
        2 => {
            let at = choices.below(bytes.len());
            bytes[at] ^= 1 << choices.below(8);
        }
        3 => {
            let at = choices.below(bytes.len());
            choices.bytes(16).iter().zip(&mut bytes[at..]).for_each(|(from, to)| *to = *from);
        }
        4 => {
            let donor =
                choices.pick(&ground.samples).and_then(|donor| slot(choices, donor).map(|at| donor.sheet.bytes[at..at + 64].to_vec()));
            if let (Some(at), Some(signature)) = (slot(choices, sample), donor) {
                bytes[at..at + 64].copy_from_slice(&signature);
            }
        }
        5 => {
            if let Some(at) = slot(choices, sample) {
                bytes[at..at + 64].fill(choices.byte());
            }
        }
        6 => {
            let at = choices.below(bytes.len() + 1);
            let insert = choices.bytes(80).to_vec();
            bytes.splice(at..at, insert);
        }
        _ => {
            let at = choices.below(bytes.len());
            let end = (at + choices.below(80)).min(bytes.len());
            bytes.drain(at..end);
        }
    }
    // A reply's view is a hint that nobody signs.
    let hint = sample.kind == MessageKind::Reply && bytes.len() == sample.sheet.bytes.len() && {
        let same = |range: std::ops::Range<usize>| bytes[range.clone()] == sample.sheet.bytes[range];
        same(0..8) && same(16..bytes.len())
    };
    let same = ground.samples.iter().any(|sample| sample.sheet.bytes == bytes);
    let must = if same || hint {
        Some(true)
    } else if by_digest {
        None
    } else {
        Some(false)
    };
    (bytes, must)
}

pub fn run(data: &[u8]) {
    let ground = ground();
    let mut choices = Choices::new(data);
    let raw = choices.byte() % 4 == 3;
    let mut load = Vec::new();
    if raw {
        load.push((choices.rest().to_vec(), None));
    } else {
        while !choices.is_done() && load.len() < 12 {
            load.push(message(&mut choices, ground));
        }
    }
    let decoded: Vec<(Unverified, Option<bool>)> = load
        .iter()
        .enumerate()
        .filter_map(|(index, (bytes, must))| {
            // Two by two over one connection: what shares one is judged together.
            let unverified = Unverified::decode(PeerLink(index as u64 / 2), bytes, ground.world.cluster.limits());
            assert!(unverified.is_ok() || *must != Some(true), "a valid message does not decode");
            unverified.ok().map(|unverified| (unverified, *must))
        })
        .collect();
    let alone: Vec<_> = decoded.iter().map(|(message, _)| told(ground.world.verifier.verify(message.clone()))).collect();
    for ((message, must), verdict) in decoded.iter().zip(&alone) {
        assert!(must.is_none_or(|must| must == verdict.is_ok()), "{message}: {verdict:?}");
    }
    let messages: Vec<Unverified> = decoded.into_iter().map(|(message, _)| message).collect();
    let together: Vec<_> = ground.world.verifier.verify_all(messages.clone()).into_iter().map(told).collect();
    assert_eq!(together, alone);
    let backwards: Vec<_> = ground.world.verifier.verify_all(messages.into_iter().rev().collect()).into_iter().map(told).rev().collect();
    assert_eq!(backwards, alone);
}
