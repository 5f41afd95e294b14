//! `kv init` and `kv keygen`.

use crate::config::{ClientEntry, ClusterFile, NodeEntry, hex, make_key, state_path};
use crate::error::{Result, fault};
use crate::pending::Pending;
use crate::server::make_data;
use std::path::Path;

/// Each takes a snapshot of what has changed, on every node.
pub const CHECKPOINT_INTERVAL: u64 = 512;
/// Few, so that requests that come close together go into one batch: each costs less then.
pub const PIPELINE: u64 = 4;

pub struct Plan<'a> {
    pub folder: &'a Path,
    pub nodes: u32,
    pub clients: u32,
    pub host: &'a str,
    pub port: u16,
    pub checkpoint_interval: u64,
}

/// Makes everything for a cluster in one folder. Each member's files are then for that member alone.
///
/// # Errors
/// Something is there already, or can't be written.
pub fn init(plan: &Plan<'_>) -> Result<()> {
    let Plan { folder, nodes, clients, host, port, checkpoint_interval } = *plan;
    std::fs::create_dir_all(folder).map_err(|error| fault(format!("{}: {error}", folder.display())))?;
    let cluster = folder.join("cluster.toml");
    if cluster.exists() {
        return Err(fault(format!("{} is there already; take another folder", cluster.display())));
    }
    let (mut node_entries, mut client_entries) = (Vec::new(), Vec::new());
    for number in 0..nodes {
        let port = u16::try_from(u32::from(port) + number).map_err(|_| fault("the ports run out"))?;
        let key = make_key(&folder.join(format!("node{number}.key")))?;
        make_data(&folder.join(format!("node{number}")))?;
        node_entries.push(NodeEntry { address: format!("{host}:{port}"), key: hex(key.verifying_key().as_bytes()) });
    }
    for number in 0..clients {
        let path = folder.join(format!("client{number}.key"));
        let key = make_key(&path)?;
        Pending::create(&state_path(&path), 1)?;
        client_entries.push(ClientEntry { name: format!("client{number}"), key: hex(key.verifying_key().as_bytes()) });
    }
    let file = ClusterFile {
        checkpoint_interval,
        log_window: checkpoint_interval * 4,
        pipeline: PIPELINE.min(checkpoint_interval * 4),
        nodes: node_entries,
        clients: client_entries,
    };
    file.write_new(&cluster)?;
    println!("{}: {nodes} nodes, {clients} clients", cluster.display());
    Ok(())
}

/// # Errors
/// A file is there already, or can't be written.
pub fn keygen(file: &Path, client: bool, data: Option<&Path>) -> Result<()> {
    let key = make_key(file)?;
    if client {
        Pending::create(&state_path(file), 1)?;
    }
    data.map_or(Ok(()), make_data)?;
    println!("{}", hex(key.verifying_key().as_bytes()));
    Ok(())
}
