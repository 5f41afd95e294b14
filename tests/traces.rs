//! Golden traces: a script of steps, `----`, and every output of every replica. The same inputs give the same outputs on every machine. (I19)
//!
//! `LOGOTHETE_REWRITE=1 cargo test --test traces` writes them anew; the difference is then reviewed like any other.

mod support;

use logothete::sim::forge::Seen;
use logothete::{Recipients, ReplicaId, RequestNumber};
use std::path::Path;
use std::time::Duration;
use support::{Net, client_key, replica_key};

/// Runs one command of a script.
fn command(net: &mut Option<Net>, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |index: usize| words[index].parse::<u64>().unwrap_or_else(|_| panic!("a number in: {line}"));
    if words[0] == "cluster" {
        let mut fresh = Net::new(number(1) as usize, 2, number(2));
        fresh.delay = (1000, 1000);
        fresh.trace = Some(String::new());
        *net = Some(fresh);
        return;
    }
    let net = net.as_mut().expect("a script starts with: cluster REPLICAS SEED");
    match words[0] {
        "submit" => {
            let replicas: Vec<usize> = words[3..].iter().map(|word| word.parse().expect("a replica")).collect();
            net.submit_to(number(1) as usize, words[2].as_bytes(), &replicas);
        }
        "run" => net.run_for(Duration::from_millis(number(1))),
        "loss" => net.loss = number(1),
        "delay" => net.delay = (number(1), number(2)),
        "retry" => net.retry = Duration::from_millis(number(1)),
        "down" => drop(net.down.insert(number(1) as usize)),
        "up" => drop(net.down.remove(&(number(1) as usize))),
        "equivocate" => equivocate(net, number(1) as usize),
        "expect" => {
            // Guards against a trace that is rewritten without being read: all that are up and loyal have executed this many.
            let loyal: Vec<usize> = net.loyal().into_iter().filter(|index| !net.down.contains(index)).collect();
            for index in loyal {
                assert_eq!(net.hosts[index].executed().len() as u64, number(1), "R{index} in: {line}");
            }
            net.oracle.check();
        }
        _ => panic!("unknown command: {line}"),
    }
}

fn equivocate(net: &mut Net, replica: usize) {
    let key = replica_key(replica);
    net.twists.insert(
        replica,
        Box::new(move |envelope, forge| {
            let bytes = envelope.encode().to_vec();
            let Ok(Seen::PrePrepare { view, block }) = forge.read(&bytes) else { return vec![(envelope.to(), bytes)] };
            let treason = forge.request(&client_key(1), RequestNumber::new(1), b"treason");
            let lie = forge.pre_prepare(&key, view, &forge.block(block.sequence_number(), block.parent(), vec![treason]));
            vec![
                (Recipients::Replica(ReplicaId::new(1)), bytes.clone()),
                (Recipients::Replica(ReplicaId::new(2)), bytes),
                (Recipients::Replica(ReplicaId::new(3)), lie),
            ]
        }),
    );
}

fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces").join(format!("{name}.txt"));
    let old = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut net = None;
    let mut fresh = String::new();
    for section in old.split("\n\n").filter(|section| !section.trim().is_empty()) {
        let script = section.split("\n----").next().unwrap_or_default().trim_end();
        for line in script.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            command(&mut net, line);
        }
        let outputs = net.as_mut().and_then(|net| net.trace.as_mut()).map(std::mem::take).unwrap_or_default();
        fresh.push_str(&format!("{script}\n----\n{outputs}\n"));
    }
    if std::env::var_os("LOGOTHETE_REWRITE").is_some() {
        std::fs::write(&path, &fresh).expect("written");
        return;
    }
    for (line, (expected, found)) in old.lines().zip(fresh.lines()).enumerate() {
        assert_eq!(expected, found, "{name}, line {}: review, then LOGOTHETE_REWRITE=1", line + 1);
    }
    assert_eq!(old.lines().count(), fresh.lines().count(), "{name}");
}

#[test]
fn p1_to_p5_normal_case() {
    check("normal_case");
}

#[test]
fn v1_to_v4_silent_primary() {
    check("silent_primary");
}

#[test]
fn e_v5_equivocating_primary() {
    check("equivocating_primary");
}

#[test]
fn v1_to_v5_cascade() {
    check("cascade");
}

#[test]
fn t2_lossy_network() {
    check("lossy_network");
}

#[test]
fn s1_client_that_retries() {
    check("retrying_client");
}
