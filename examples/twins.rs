//! Every scenario of four rounds in which replica 0 runs twice under one key: who hears whom, and who leads. What breaks is printed with the command that replays it.
//!
//! `cargo run --release --example twins`; options: `--first N`, `--count N`, `--threads N`, `--rounds N`, `--losses` (each round
//! loses all Commits, or none), `--heal-every N` (1 lets each scenario end in a healed network); for one scenario `--scenario N`, with `--trace`.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use logothete::sim::twins::{Scenarios, Scene, Tally, play, replay};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Scenarios that share most of their beginnings: few enough to keep all threads busy to the end.
const PORTION: u64 = 1024;

const OPTIONS: [&str; 8] = ["--first", "--count", "--threads", "--rounds", "--losses", "--heal-every", "--scenario", "--trace"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = arguments.iter().find(|word| word.starts_with("--") && !OPTIONS.contains(&word.as_str())) {
        eprintln!("twins: there is no {unknown}; the options are {}", OPTIONS.join(", "));
        return ExitCode::from(2);
    }
    let value = |name: &str| arguments.iter().position(|word| word == name).and_then(|at| arguments.get(at + 1));
    let number = |name: &str, default: u64| value(name).map_or(default, |text| text.parse().expect("a number"));
    let flag = |name: &str| arguments.iter().any(|word| word == name);
    let rounds = number("--rounds", if flag("--losses") { 3 } else { 4 }) as usize;
    let scenarios = if flag("--losses") { Scenarios::with_losses(rounds) } else { Scenarios::new(rounds) };
    std::panic::set_hook(Box::new(|_| {}));
    if value("--scenario").is_some() {
        let (trace, broken) = replay(&scenarios, number("--scenario", 0), &Scene::new());
        if flag("--trace") {
            println!("{trace}");
        } else {
            trace.lines().filter(|line| line.starts_with("---")).for_each(|line| println!("{line}"));
        }
        println!("{}", broken.as_deref().unwrap_or("holds"));
        return if broken.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let first = number("--first", 0).min(scenarios.total());
    let end = first.saturating_add(number("--count", u64::MAX)).min(scenarios.total());
    let heal_every = number("--heal-every", 16);
    let threads = number("--threads", std::thread::available_parallelism().map_or(1, |count| count.get() as u64));
    println!("{} scenarios in all, {} of them now", scenarios.total(), end - first);
    let (next, total, start) = (AtomicU64::new(first), Mutex::new(Tally::default()), Instant::now());
    let every = ((end - first) / PORTION / 20).max(1) * PORTION;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let scene = Scene::new();
                loop {
                    let from = next.fetch_add(PORTION, Ordering::Relaxed);
                    if from >= end {
                        break;
                    }
                    let (tally, failures) = play(&scenarios, from..(from + PORTION).min(end), heal_every, &scene);
                    for failure in failures {
                        println!("scenario {}: {}", failure.scenario, failure.reason);
                        failure.rounds.iter().for_each(|round| println!("    {round}"));
                        println!(
                            "    cargo run --release --features sim --example twins -- --rounds {rounds}{} --scenario {} --trace",
                            if flag("--losses") { " --losses" } else { "" },
                            failure.scenario
                        );
                    }
                    let Ok(mut total) = total.lock() else { break };
                    let before = total.scenarios / every;
                    total.add(&tally);
                    if total.scenarios / every > before {
                        report(&total, start);
                    }
                }
            });
        }
    });
    let Ok(total) = total.into_inner() else { return ExitCode::FAILURE };
    report(&total, start);
    if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(tally: &Tally, start: Instant) {
    let Tally { scenarios, rounds, healed, messages, decisions, healed_decisions, proofs, failed } = tally;
    println!(
        "{scenarios} scenarios, {:.0}/s; {rounds} rounds, {messages} messages, {decisions} decisions, {proofs} proofs; {healed} healed, {healed_decisions} decisions; {failed} failed",
        *scenarios as f64 / start.elapsed().as_secs_f64()
    );
}
