//! The cluster file, which is the same for all, and key files, which are each member's own.

use crate::error::{Fault, Result, fault};
use crate::mailbox::Member;
use logothete::{ClientId, Cluster, Limits, PeerLink, ReplicaId, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One node of the cluster file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeEntry {
    /// Where it listens: `host:port`. Not part of the cluster's identity, so that a node may move.
    pub address: String,
    /// Its public key, 64 hexadecimal digits.
    pub key: String,
}

/// One client of the cluster file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientEntry {
    pub name: String,
    /// Its public key, 64 hexadecimal digits.
    pub key: String,
}

/// The cluster file. Numbers and keys are the cluster's identity: one that differs takes part in another cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterFile {
    pub checkpoint_interval: u64,
    pub log_window: u64,
    pub pipeline: u64,
    pub nodes: Vec<NodeEntry>,
    #[serde(default)]
    pub clients: Vec<ClientEntry>,
}

impl ClusterFile {
    /// # Errors
    /// The file is not there, or is no cluster file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .map_err(|error| fault(format!("{}: {error}; name the cluster file with --cluster or KV_CLUSTER", path.display())))?;
        toml::from_str(&text).map_err(|error| fault(format!("{}: {error}", path.display())))
    }

    /// # Errors
    /// The file can't be written, or is there already.
    pub fn write_new(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self).map_err(|error| fault(error.to_string()))?;
        let header = "# The same file for every node and every client. Keys, their order, and the numbers are the cluster's identity; addresses are not.\n";
        write_new(path, format!("{header}{text}").as_bytes(), 0o644)
    }
}

/// A cluster and where its nodes are.
pub struct Membership {
    pub cluster: Arc<Cluster>,
    pub addresses: BTreeMap<ReplicaId, String>,
    pub names: BTreeMap<ClientId, String>,
}

impl Membership {
    /// # Errors
    /// What is wrong with the file.
    pub fn read(path: &Path) -> Result<Self> {
        let file = ClusterFile::read(path)?;
        let nodes = file.nodes.iter().map(|node| public_key(&node.key)).collect::<Result<Vec<_>>>()?;
        let clients = file.clients.iter().map(|client| public_key(&client.key)).collect::<Result<Vec<_>>>()?;
        let names = clients.iter().zip(&file.clients).map(|(key, entry)| (ClientId::new(key.to_bytes()), entry.name.clone())).collect();
        let addresses = (0..).map(ReplicaId::new).zip(file.nodes.iter().map(|node| node.address.clone())).collect();
        let cluster = Cluster::builder(nodes, clients)
            .limits(Limits::default())
            .checkpoint_interval(file.checkpoint_interval)
            .log_window(file.log_window)
            .pipeline(file.pipeline)
            .build()
            .map_err(|error| fault(format!("{}: {error}", path.display())))?;
        Ok(Self { cluster: Arc::new(cluster), addresses, names })
    }

    /// Which node a key is.
    pub fn node(&self, key: &VerifyingKey) -> Option<ReplicaId> {
        self.cluster.replicas().find(|replica| self.cluster.replica_key(*replica).as_ref() == Some(key))
    }

    /// The name under which a member's messages are counted, over whatever connection they come: who was caught with a bad signature can't shake that off by calling again.
    pub fn peer(&self, member: Member) -> PeerLink {
        let nodes = u64::from(self.cluster.size());
        match member {
            Member::Node(node) => PeerLink(node.get().into()),
            Member::Client(client) => PeerLink(nodes + self.names.range(..client).count() as u64),
        }
    }

    /// Which client a key is.
    pub fn client(&self, key: &VerifyingKey) -> Option<ClientId> {
        let id = ClientId::new(key.to_bytes());
        self.names.contains_key(&id).then_some(id)
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(bytes)
}

fn public_key(text: &str) -> Result<VerifyingKey> {
    let bytes = unhex(text).ok_or_else(|| fault(format!("`{text}` is not a key of 64 hexadecimal digits")))?;
    VerifyingKey::from_bytes(&bytes).map_err(|_| fault(format!("`{text}` is not a public key")))
}

/// # Errors
/// The system has no randomness to give.
pub fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        fault(format!("no randomness from the system: {error}; in a container, /dev/random must be there, as its runtime usually sees to"))
    })?;
    Ok(bytes)
}

/// Makes a key and writes it to a file that only its owner may read.
///
/// # Errors
/// The file is there already, or can't be written.
pub fn make_key(path: &Path) -> Result<SigningKey> {
    let key = SigningKey::from_bytes(&random()?);
    write_new(path, format!("{}\n", hex(key.as_bytes())).as_bytes(), 0o600)?;
    Ok(key)
}

/// # Errors
/// The file is not there, holds no key, or others may read it.
pub fn read_key(path: &Path) -> Result<SigningKey> {
    let text =
        fs::read_to_string(path).map_err(|error| fault(format!("{}: {error}; name the key file with --key or KV_KEY", path.display())))?;
    check_private(path)?;
    let bytes = unhex(&text).ok_or_else(|| fault(format!("{}: not a key file of 64 hexadecimal digits", path.display())))?;
    Ok(SigningKey::from_bytes(&bytes))
}

#[cfg(unix)]
fn check_private(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).map_err(|error| fault(format!("{}: {error}", path.display())))?.permissions().mode();
    if mode & 0o077 == 0 { Ok(()) } else { Err(fault(format!("{0}: others may read this key; chmod 600 {0}", path.display()))) }
}

#[cfg(not(unix))]
fn check_private(_path: &Path) -> Result<()> {
    Ok(())
}

/// Writes a file that wasn't there before, durably.
///
/// # Errors
/// It is there, or can't be written.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let written = options.open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| fault(format!("{}: {error}", path.display())))
}

/// The file beside a client's key in which its numbers and pending operations are.
pub fn state_path(key: &Path) -> PathBuf {
    key.with_extension("state")
}

impl From<toml::de::Error> for Fault {
    fn from(error: toml::de::Error) -> Self {
        fault(error.to_string())
    }
}
