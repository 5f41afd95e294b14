//! `kv bench`, for a second: what it writes down is there and fits together.

use serde_json::Value;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

fn bench(arguments: &[&str]) -> (Value, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let (json, svg) = (folder.path().join("bench.json"), folder.path().join("bench.svg"));
    let ran = Command::new(env!("CARGO_BIN_EXE_kv"))
        .args(["bench", "--seconds", "1", "--warmup", "0.5", "--clients", "8", "--verify-threads", "1"])
        .args(arguments)
        .arg("--folder")
        .arg(folder.path())
        .arg("--json")
        .arg(&json)
        .arg("--svg")
        .arg(&svg)
        .output()
        .expect("kv runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("the folder").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(left.len(), 2, "the nodes' data is removed again: {left:?}");
    let json = serde_json::from_slice(&std::fs::read(json).expect("written")).expect("JSON");
    (json, std::fs::read_to_string(svg).expect("written"))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn check(step: &Value, value_bytes: f64) {
    let answered = number(&step["answered"]);
    assert!(answered > 0.0);
    assert!((number(&step["answered_per_second"]) - answered / number(&step["seconds"])).abs() < 0.01);
    let cpu = number(&step["server_cpu_seconds"]);
    assert!(cpu > 0.0 && cpu < 60.0, "{cpu}");
    assert!((number(&step["answered_per_server_cpu_second"]) - answered / cpu).abs() < 0.01);
    assert!(number(&step["requests_per_batch"]) >= 1.0);
    assert!(number(&step["syncs_per_node"]) > 0.0);
    let latency = &step["latency_us"];
    let order = ["min", "p50", "p90", "p99", "p999", "max"].map(|name| number(&latency[name]));
    assert!(order[0] > 0.0 && order.is_sorted(), "{latency}");
    assert!(value_bytes > 0.0 && !latency["curve"].as_array().expect("a list").is_empty());
}

#[test]
fn a_closed_loop() {
    let (report, svg) = bench(&["--in-flight", "4"]);
    assert_eq!((&report["nodes"], &report["fsync"], &report["in_flight"]), (&4.into(), &true.into(), &4.into()));
    let [step] = &report["steps"].as_array().expect("a list")[..] else { panic!("{report}") };
    check(step, number(&report["value_bytes"]));
    assert_eq!((&step["unanswered"], &step["offered_per_second"]), (&0.into(), &Value::Null));
    assert!(svg.contains("closed loop") && svg.contains("99.9 %"));
}

/// More is offered than the clients may have under way: what waits for its turn counts as waiting.
#[test]
fn an_open_loop_counts_from_when_a_request_was_to_be_sent() {
    let (report, svg) = bench(&["--rate", "50,200000", "--in-flight", "1", "--fsync", "off"]);
    assert_eq!(report["fsync"], false);
    let steps = report["steps"].as_array().expect("a list");
    assert_eq!(steps.len(), 2);
    steps.iter().for_each(|step| check(step, number(&report["value_bytes"])));
    assert!((number(&steps[0]["answered"]) - 50.0).abs() < 25.0, "{}", steps[0]);
    // 1.5 s of it can't be answered in time, and most of it not at all before the end.
    assert!(number(&steps[1]["unanswered"]) > 0.0);
    assert!(number(&steps[1]["latency_us"]["p50"]) > 500_000.0, "{}", steps[1]);
    assert!(svg.contains("requests per second, offered") && svg.contains("p99.9"));
}

/// Where a node can't start, the bench ends at once, and says which node it was and what that node said.
#[test]
fn a_node_that_cannot_start_is_told_of_at_once() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let begun = Instant::now();
    let ran = Command::new(env!("CARGO_BIN_EXE_kv"))
        .args(["bench", "--seconds", "1", "--clients", "1", "--folder"])
        .arg(folder.path())
        .env("KV_LISTEN", &address)
        .output()
        .expect("kv runs");
    let told = String::from_utf8_lossy(&ran.stderr);
    assert!(!ran.status.success() && begun.elapsed() < Duration::from_secs(10), "{told}");
    assert!(told.contains("has ended (exit status: 1)") && told.contains(&format!("can't listen at {address}")), "{told}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0, "its data is removed again");
}
