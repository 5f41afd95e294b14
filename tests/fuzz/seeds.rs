//! What a corpus starts from: the golden messages and records, and runs that go somewhere.

use super::samples::World;
use super::support::logs::Log;
use super::support::prng::Prng;

/// Bytes of one seed for this target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let world = World::new();
    let messages = || world.samples().into_iter().map(|sample| sample.sheet.bytes);
    match target {
        "decode" => messages().chain(messages().map(|bytes| bytes[4..].to_vec())).collect(),
        "verify" => messages().map(|bytes| [vec![3], bytes].concat()).chain(random(1, 20, 60)).collect(),
        "recover" => {
            let stream = |log: &Log| log.records.iter().take(12).flat_map(|(_, record)| record.to_vec()).collect::<Vec<u8>>();
            [Log::with_every_kind(), Log::of_a_loss()]
                .iter()
                .zip([0xf7_u8, 0xff])
                .map(|(log, mode)| [vec![mode], stream(log)].concat())
                .chain(random(2, 30, 12))
                .collect()
        }
        "client" => random(3, 30, 300).collect(),
        "cluster" => random(5, 20, 200).collect(),
        "twins" => random(6, 20, 12).collect(),
        _ => random(4, 30, 600).collect(),
    }
}

pub fn random(seed: u64, count: u64, most: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut dice = Prng::new(seed);
    (0..count).map(move |_| (0..dice.between(1, most)).map(|_| dice.next() as u8).collect())
}
