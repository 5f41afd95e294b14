//! A loyal general's lives: he is set up once, and started again from his folder each time that he was killed.

use crate::campaign::{self, Camp};
use crate::door::Door;
use crate::general::{self, General};
use crate::killer::Doom;
use crate::ledger::Ledger;
use crate::mortal::Mortal;
use crate::network::{Ground, Post};
use crate::store::FileStore;
use crate::wal::{self, FileWal};
use crate::watch::Watch;
use logothete::{Node, ReplicaId, Signature, Signer, Snapshots, Start};
use std::path::PathBuf;
use std::thread::Scope;

/// Where a general's things are, whoever he is.
pub struct Quarters<'a> {
    pub id: ReplicaId,
    pub camp: &'a Camp,
    /// His own, for his log and his snapshots.
    pub folder: PathBuf,
    pub door: &'a Door,
    pub ground: &'a Ground,
}

impl Quarters<'_> {
    /// Opens his replica from what is in his folder.
    ///
    /// # Errors
    /// It can't be read, or the replica refuses to start from it.
    pub fn open<S: Signer<Signature>>(
        &self,
        start: Start,
        ledger: Ledger,
        signer: S,
        doom: Option<&Doom>,
    ) -> Result<General<Mortal<FileWal>, Mortal<FileStore>, S>, String> {
        let unreadable = |error: std::io::Error| format!("{}: {error}", self.folder.display());
        wal::make_folder(&self.folder).map_err(unreadable)?;
        let wal = Mortal::new(FileWal::open(&self.folder.join("log")).map_err(unreadable)?, doom.cloned());
        let store = Mortal::new(FileStore::open(&self.folder.join("snapshots")).map_err(unreadable)?, doom.cloned());
        let cluster = self.camp.cluster.clone();
        let tuning = campaign::tuning(cluster.size());
        let application = Snapshots::new(ledger, store);
        match &self.camp.tapes {
            Some(tapes) => Node::open_taped(cluster, self.id, tuning, start, wal, application, signer, tapes.reel()),
            None => Node::open(cluster, self.id, tuning, start, wal, application, signer),
        }
        .map_err(|error| error.to_string())
    }
}

/// Lives until the door is closed for good.
///
/// # Errors
/// He could not be started, or he fell without being killed.
pub fn live<'scope>(scope: &'scope Scope<'scope, '_>, quarters: &Quarters<'_>, doom: Option<&Doom>, watch: &Watch) -> Result<(), String> {
    let mut life = 0_u64;
    loop {
        life += 1;
        doom.into_iter().for_each(Doom::rise);
        // Said by who set him up, and never concluded from what is in his folder: a log that was lost would make him new again.
        let set_up = doom.is_some_and(Doom::is_set_up);
        let start = if set_up { Start::Recovering } else { Start::New };
        let node = quarters.open(start, Ledger::new(true), quarters.camp.key(quarters.id), doom)?;
        if life > 1 {
            watch.recovered(&node.status());
        }
        watch.status(node.status(), node.application().service());
        let Some(post) = Post::open(scope, quarters.door, quarters.ground).map_err(|error| format!("no threads: {error}"))? else {
            return Ok(());
        };
        // Here the replica is dropped, with all that it had not written.
        let end = general::serve(node, post, watch).map_err(|error| error.to_string());
        let Some(doom) = doom.filter(|doom| doom.is_dead()) else { return end };
        quarters.door.leave();
        watch.killed();
        // Now and then so long that the others want another primary, or forget what he has missed.
        std::thread::sleep(doom.pause(campaign::timeout(quarters.camp.cluster.size()) * 3));
    }
}
