//! The fuzz targets without a fuzzer: each over every file of its corpus, and over some thousand random inputs.
#![allow(unsafe_code, reason = "the targets count what is allocated")]

mod fuzz;

use fuzz::{TARGETS, seeds};
use std::fs;
use std::path::{Path, PathBuf};

#[global_allocator]
static ALLOCATOR: fuzz::heap::Counting = fuzz::heap::Counting;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

fn corpus(target: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder(target)).expect("a corpus").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// One panic says which input it was.
fn play(target: fn(&[u8]), what: &str, bytes: &[u8]) {
    let ended = std::panic::catch_unwind(|| target(bytes));
    assert!(ended.is_ok(), "{what}: see above; {} bytes: {bytes:?}", bytes.len());
}

fn run(name: &str, random: u64, most: u64) {
    let (_, target) = TARGETS.iter().find(|(target, _)| *target == name).expect("a target");
    if std::env::var_os("LOGOTHETE_SEED_CORPUS").is_some() {
        let folder = folder(name);
        fs::create_dir_all(&folder).expect("a folder");
        for (place, seed) in seeds::of(name).iter().enumerate() {
            fs::write(folder.join(format!("seed-{place:03}")), seed).expect("written");
        }
    }
    // A packed crate has no folder `fuzz`: there it is the random inputs alone.
    let is_packed = !Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").exists();
    let files = if is_packed { Vec::new() } else { corpus(name) };
    assert!(is_packed || !files.is_empty());
    for file in files {
        play(*target, &file.display().to_string(), &fs::read(&file).expect("a file"));
    }
    for (place, bytes) in seeds::random(0x5eed, random, most).enumerate() {
        play(*target, &format!("random input {place}"), &bytes);
    }
}

#[test]
fn spec_2_decode_holds_over_its_corpus() {
    run("decode", 20_000, 300);
}

#[test]
fn spec_3_5_verify_holds_over_its_corpus() {
    run("verify", 2000, 80);
}

#[test]
fn d1_step_holds_over_its_corpus() {
    run("step", 1000, 800);
}

#[test]
fn d2_recover_holds_over_its_corpus() {
    run("recover", 3000, 16);
}

#[test]
fn s2_client_holds_over_its_corpus() {
    run("client", 2000, 300);
}

#[test]
fn i1_whole_clusters_agree_over_their_corpus() {
    run("cluster", 60, 200);
}

#[test]
fn i1_twins_agree_over_their_corpus() {
    run("twins", 100, 12);
}
