//! The nodes of a bench: four processes of this same program, or some that run already; and what they have used so far.

use super::Setup;
use crate::config::{ClientEntry, ClusterFile, Membership, NodeEntry, hex, make_key, random};
use crate::error::{Result, fault};
use crate::ports::Ports;
use crate::server::make_data;
use logothete::SigningKey;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const NODES: usize = 4;
/// Of the log of a node that has ended, so many lines are shown.
const LAST_LINES: usize = 10;

/// What a process has used so far, and how far the log has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Of all nodes.
    pub cpu: Option<Duration>,
    /// Of this process.
    pub own_cpu: Duration,
    pub count: Option<Count>,
}

/// By the first node's metrics, which it draws anew five times a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub requests: u64,
    pub decided: u64,
    pub syncs: u64,
}

/// A node that was started for the bench.
struct Started {
    child: Child,
    log: PathBuf,
}

pub struct Nodes {
    pub membership: Arc<Membership>,
    started: Vec<Started>,
    pids: Vec<u32>,
    metrics: Option<SocketAddr>,
    folder: Option<PathBuf>,
    _ports: Option<Ports>,
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for node in &mut self.started {
            let _ = node.child.kill();
            let _ = node.child.wait();
        }
        self.folder.iter().for_each(|folder| drop(fs::remove_dir_all(folder)));
    }
}

/// CPU time of a process, all its threads, those that ended too. In hundredths of a second, as Linux tells it.
fn cpu_of(pid: &str) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything: what follows it is numbers.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis(10 * (ticks()? + ticks()?)))
}

impl Nodes {
    pub fn given(membership: Membership, pids: Vec<u32>) -> Self {
        Self { membership: Arc::new(membership), started: Vec::new(), pids, metrics: None, folder: None, _ports: None }
    }

    /// # Errors
    /// A node that was started has ended: which, how, and what it logged last.
    pub fn check(&mut self) -> Result<()> {
        for (number, node) in self.started.iter_mut().enumerate() {
            if let Some(status) = node.child.try_wait()? {
                let log = fs::read_to_string(&node.log).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
                return Err(fault(format!("node {number} has ended ({status}); the end of its log:\n{last}")));
            }
        }
        Ok(())
    }

    /// # Errors
    /// The CPU time of a node can't be read.
    pub fn sample(&self) -> Result<Sample> {
        let cpu = self.pids.iter().map(|pid| cpu_of(&pid.to_string())).sum::<Option<Duration>>();
        if cpu.is_none() {
            return Err(fault("a node has ended, or its CPU time can't be read from /proc"));
        }
        let own_cpu = cpu_of("self").unwrap_or_default();
        Ok(Sample { cpu: cpu.filter(|_| !self.pids.is_empty()), own_cpu, count: self.metrics.and_then(|address| count(address).ok()) })
    }
}

fn count(address: SocketAddr) -> std::io::Result<Count> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let of = |name: &str| {
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        values.next().unwrap_or_default()
    };
    Ok(Count { requests: of("logothete_requests_executed "), decided: of("logothete_decided "), syncs: of("logothete_syncs ") })
}

fn new_folder(parent: &Path) -> Result<PathBuf> {
    let folder = parent.join(format!("kv-bench-{}", hex(&random()?[..6])));
    fs::create_dir_all(&folder).map_err(|error| fault(format!("{}: {error}", folder.display())))?;
    Ok(folder)
}

/// A new cluster in a folder of its own, which goes when it is dropped, and its clients' keys, which are in no file.
///
/// # Errors
/// Files can't be made, or processes.
pub fn start(setup: &Setup) -> Result<(Nodes, Vec<SigningKey>)> {
    let folder = new_folder(&setup.folder)?;
    let ports = Ports::keep(2 * NODES)?;
    let (addresses, metrics) = ports.addresses.split_at(NODES);
    let (addresses, metrics) = (addresses.to_vec(), metrics.to_vec());
    let mut entries = Vec::new();
    for (number, address) in addresses.iter().enumerate() {
        let key = make_key(&folder.join(format!("node{number}.key")))?;
        make_data(&folder.join(format!("node{number}")))?;
        entries.push(NodeEntry { address: address.to_string(), key: hex(key.verifying_key().as_bytes()) });
    }
    let keys = (0..setup.clients).map(|_| Ok(SigningKey::from_bytes(&random()?))).collect::<Result<Vec<_>>>()?;
    let clients = keys
        .iter()
        .enumerate()
        .map(|(number, key)| ClientEntry { name: format!("client{number}"), key: hex(key.verifying_key().as_bytes()) });
    let cluster = folder.join("cluster.toml");
    let file = ClusterFile {
        checkpoint_interval: setup.checkpoint_interval,
        log_window: setup.checkpoint_interval * 4,
        pipeline: setup.pipeline,
        nodes: entries,
        clients: clients.collect(),
    };
    file.write_new(&cluster)?;
    let membership = Arc::new(Membership::read(&cluster)?);
    let mut nodes = Nodes {
        membership,
        started: Vec::new(),
        pids: Vec::new(),
        metrics: metrics.first().copied(),
        folder: Some(folder.clone()),
        _ports: Some(ports),
    };
    for (number, metrics) in metrics.iter().enumerate() {
        let log = folder.join(format!("log{number}"));
        let child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg("--cluster")
            .arg(&cluster)
            .arg("--key")
            .arg(folder.join(format!("node{number}.key")))
            .arg("--data")
            .arg(folder.join(format!("node{number}")))
            .args(["--metrics", &metrics.to_string(), "--fsync", if setup.fsync { "on" } else { "off" }])
            .args(["--verify-threads", &setup.verify_threads.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(File::create(&log)?))
            .spawn()?;
        nodes.pids.push(child.id());
        nodes.started.push(Started { child, log });
    }
    Ok((nodes, keys))
}
