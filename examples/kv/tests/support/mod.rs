//! A cluster of real processes in a temporary folder.
#![allow(dead_code, reason = "each test needs a part of it")]

use logothete_kv::config::{Membership, read_key, state_path};
use logothete_kv::operation::{Answer, Operation};
use logothete_kv::pending::Pending;
use logothete_kv::ports::Ports;
use logothete_kv::remote::Remote;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub struct Cluster {
    folder: tempfile::TempDir,
    nodes: Vec<Option<Child>>,
    _ports: Ports,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.kill(node));
        if std::thread::panicking() {
            for node in 0..self.nodes.len() {
                let log = fs::read_to_string(self.path(&format!("log{node}"))).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(20).collect();
                eprintln!("node {node}:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
            }
        }
    }
}

impl Cluster {
    pub fn new(clients: usize, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().join("c");
        let clients = clients.to_string();
        let mut arguments = vec!["init", home.to_str().expect("a name"), "--clients", &clients];
        arguments.extend(more);
        let made = Command::new(env!("CARGO_BIN_EXE_kv")).args(arguments).output().expect("kv runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let ports = Ports::keep(4).expect("ports");
        let mut text = fs::read_to_string(home.join("cluster.toml")).expect("the cluster file");
        for (node, address) in ports.addresses.iter().enumerate() {
            text = text.replace(&format!("127.0.0.1:{}", 7400 + node), &address.to_string());
        }
        fs::write(home.join("cluster.toml"), text).expect("written");
        Self { folder, nodes: (0..4).map(|_| None).collect(), _ports: ports }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("c").join(name)
    }

    /// Starts a node; `before` is a piece of shell that comes first.
    pub fn start_as(&mut self, node: usize, before: &str, more: &[&str]) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path(&format!("log{node}"))).expect("a log");
        let script = format!("{before} exec \"$0\" \"$@\"");
        let child = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_kv"), "serve", "--cache-mib", "8"])
            .env("KV_REQUEST_TIMEOUT_MS", "1000")
            .arg("--cluster")
            .arg(self.path("cluster.toml"))
            .arg("--key")
            .arg(self.path(&format!("node{node}.key")))
            .arg("--data")
            .arg(self.path(&format!("node{node}")))
            .args(more)
            .stderr(Stdio::from(log))
            .spawn()
            .expect("a node");
        self.nodes[node] = Some(child);
    }

    pub fn start(&mut self, node: usize) {
        self.start_as(node, "", &[]);
    }

    pub fn start_all(&mut self) {
        (0..4).for_each(|node| self.start(node));
    }

    pub fn start_all_but(&mut self, node: usize) {
        (0..4).filter(|other| *other != node).for_each(|other| self.start(other));
    }

    /// SIGKILL.
    pub fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.nodes[node].take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// `STOP` and `CONT`: it stands still, and goes on.
    pub fn signal(&self, node: usize, signal: &str) {
        let id = self.nodes[node].as_ref().expect("a node").id().to_string();
        assert!(Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, &id]).status().expect("sent").success());
    }

    /// Waits until a node has ended by itself.
    pub fn ended(&mut self, node: usize) -> String {
        let end = Instant::now() + Duration::from_secs(30);
        while self.nodes[node].as_mut().expect("a node").try_wait().expect("asked").is_none() {
            assert!(Instant::now() < end, "node {node} goes on");
            std::thread::sleep(Duration::from_millis(50));
        }
        self.nodes[node] = None;
        fs::read_to_string(self.path(&format!("log{node}"))).expect("a log")
    }

    /// Waits until a node has logged this: what it has done shows in its state a moment before.
    pub fn logged(&self, node: usize, text: &str) {
        let end = Instant::now() + Duration::from_secs(10);
        while !fs::read_to_string(self.path(&format!("log{node}"))).expect("a log").contains(text) {
            assert!(Instant::now() < end, "node {node} has not logged: {text}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn membership(&self) -> Arc<Membership> {
        Arc::new(Membership::read(&self.path("cluster.toml")).expect("a cluster"))
    }

    /// A client in this process; `kept` if it has a state file.
    pub fn client(&self, number: usize, kept: bool) -> Remote {
        let path = self.path(&format!("client{number}.key"));
        let pending = if kept { Pending::open(&state_path(&path)).expect("a state") } else { Pending::in_memory() };
        Remote::connect(self.membership(), read_key(&path).expect("a key"), pending).expect("a client")
    }

    /// The program as client 0.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_kv"))
            .args(arguments)
            .env("KV_CLUSTER", self.path("cluster.toml"))
            .env("KV_KEY", self.path("client0.key"))
            .env("KV_TIMEOUT", "30")
            .output()
            .expect("kv runs")
    }

    /// Waits until all these nodes report the same log and the same state, and gives the position.
    pub fn agree(&self, nodes: &[usize]) -> u64 {
        self.agree_within(nodes, Duration::from_secs(40)).unwrap_or_else(|status| panic!("no agreement:\n{status}"))
    }

    /// The same for so long; if they don't, what they report.
    pub fn agree_within(&self, nodes: &[usize], patience: Duration) -> Result<u64, String> {
        let end = Instant::now() + patience;
        loop {
            let status = String::from_utf8(self.run(&["status"]).stdout).expect("text");
            let rows: Vec<Vec<&str>> = status.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
            let of = |node: usize| rows.get(node).filter(|row| row.len() > 7 && row[3] != "-").map(|row| (row[3], row[5], row[6], row[7]));
            let first = of(nodes[0]);
            if nodes.iter().all(|node| of(*node).is_some() && of(*node) == first) && first.is_some_and(|row| row.0 == row.1) {
                return Ok(first.and_then(|row| row.0.parse().ok()).expect("a number"));
            }
            if Instant::now() >= end {
                return Err(status);
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

pub const PATIENCE: Duration = Duration::from_secs(40);

pub async fn put(client: &mut Remote, key: &str, value: &str) -> Result<(), String> {
    let operation = Operation::Put(vec![(key.as_bytes().to_vec(), value.as_bytes().to_vec())]);
    client.execute(&operation, PATIENCE).await.map(drop).map_err(|error| error.to_string())
}

pub async fn get(client: &mut Remote, key: &str) -> Option<String> {
    match client.execute(&Operation::Get(key.as_bytes().to_vec()), PATIENCE).await.expect("answered").answer {
        Some(Answer::Value(value)) => value.map(|value| String::from_utf8(value).expect("text")),
        other => panic!("{other:?}"),
    }
}
