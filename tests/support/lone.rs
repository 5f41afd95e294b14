//! One node alone, without a disk: what does it verify of what it is sent?

use super::disk::{Diary, Disk};
use super::replica_key;
use logothete::{Bytes, Cluster, Node, Record, ReplicaId, SigningKey, Snapshots, Start, Tuning, Wal};
use std::sync::Arc;

pub struct Nowhere;

impl Wal for Nowhere {
    type Error = std::convert::Infallible;
    fn read(&mut self) -> impl Iterator<Item = Result<(u64, Bytes), Self::Error>> {
        std::iter::empty()
    }
    fn append(&mut self, _index: u64, _record: &Record) -> Result<(), Self::Error> {
        Ok(())
    }
    fn sync(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
    fn truncate_before(&mut self, _index: u64) -> Result<(), Self::Error> {
        Ok(())
    }
}

pub type Lone = Node<Nowhere, Snapshots<Diary, Disk>, SigningKey>;

/// Replica 1 of the cluster.
pub fn lone(cluster: &Arc<Cluster>, tuning: Tuning) -> Lone {
    let app = Snapshots::new(Diary::default(), Disk::default());
    Node::open(cluster.clone(), ReplicaId::new(1), tuning, Start::New, Nowhere, app, replica_key(1)).expect("opens")
}
