//! Generals on real sockets with real logs agree on every line of a file, in order, while some of them lie.
//!
//! `cargo run --release --example generals -- [FILE] [--generals N] [--traitor ID=BEHAVIOUR]... [--kill ID]... [--loss PERCENT] [--seed S] [--picture FILE]`
//!
//! Where to look: `general.rs` is the loop that hosts a replica, `wal.rs` its log, `ledger.rs` what is replicated, `store.rs` where its
//! snapshots lie, `lives.rs` how it is started, and started again; `commander.rs` is the client; `network.rs` and what it uses is TCP;
//! `traitor.rs` and what it uses betrays, `killer.rs` and `mortal.rs` kill, `tapes.rs` draws; the rest sets up, watches and reports.

// The library leaves clock and threads to its host. This is a host.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod args;
mod campaign;
mod clock;
mod commander;
mod common_log;
mod dice;
mod door;
mod folder;
mod forger;
mod frames;
mod general;
mod killer;
mod ledger;
mod lives;
mod mailbox;
mod mortal;
mod network;
mod orders;
mod report;
mod route;
mod store;
mod tapes;
mod traitor;
mod two_faced;
mod wal;
mod watch;

use args::{Command, Settings};
use campaign::Camp;
use orders::Orders;
use report::Report;
use std::process::ExitCode;

/// Something was wrong with what was asked for.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let settings = match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => {
            report::line(args::HELP);
            return ExitCode::SUCCESS;
        }
        Ok(Command::Run(settings)) => settings,
        Err(wrong) => return refuse(&wrong),
    };
    let prepared = network::check_room(settings.generals)
        .and_then(|()| Camp::new(&settings))
        .and_then(|camp| Ok((Orders::read(&settings.source, camp.cluster.limits().operation_bytes_max)?, camp)));
    match prepared {
        Ok((orders, camp)) => run(&settings, &camp, &orders),
        Err(wrong) => refuse(&wrong),
    }
}

fn refuse(wrong: &str) -> ExitCode {
    eprintln!("generals: {wrong}");
    ExitCode::from(USAGE)
}

fn run(settings: &Settings, camp: &Camp, orders: &Orders) -> ExitCode {
    let mut report = Report::new(settings, camp, orders);
    report.opening();
    let outcome = campaign::fight(settings, camp, orders, |progress| report.progress(progress));
    if let (Some(file), Some(tapes)) = (&settings.picture, &camp.tapes) {
        match tapes.draw("generals", file) {
            Ok(()) => report::line(&format!("drawn: {}", file.display())),
            Err(error) => eprintln!("generals: no picture: {error}"),
        }
    }
    // Here all threads, sockets and files are gone.
    if report.closing(outcome) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
