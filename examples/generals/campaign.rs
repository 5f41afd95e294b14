//! A campaign: opens the generals and their commander, lets them fight, and closes everything again, whatever happens.

use crate::args::Settings;
use crate::clock::Clock;
use crate::commander::{Command, Commander, Tally};
use crate::folder::Folder;
use crate::frames::Party;
use crate::general;
use crate::ledger::{Entry, Ledger};
use crate::mailbox::Heard;
use crate::network::{self, Post, Switch, Weather};
use crate::orders::Orders;
use crate::report;
use crate::traitor::{self, Pen, Traitor};
use crate::wal::FileWal;
use crate::watch::{Seen, Watch};
use logothete::{Client, ClientId, ClientTuning, Cluster, Limits, Node, ReplicaId, SigningKey, Start, Time, Tuning, View};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::{Builder, ScopedJoinHandle};
use std::time::Duration;

/// T: how long the generals wait for a primary before they want another. All share this machine's few cores, so more of them are slower.
pub fn timeout(generals: u32) -> Duration {
    Duration::from_millis(500) * generals.div_ceil(4)
}

/// How often the main thread looks at what goes on.
const GLANCE: Duration = Duration::from_millis(50);

/// How long a thread may take to stop.
const FAREWELL: Duration = Duration::from_secs(20);

/// Who takes part, and all their keys: this program plays them all.
pub struct Camp {
    pub cluster: Arc<Cluster>,
    keys: Vec<SigningKey>,
    commander: SigningKey,
}

impl Camp {
    /// # Errors
    /// The cluster's configuration is refused.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let keys: Vec<_> = (0..settings.generals).map(|id| key(settings.seed, "general", id)).collect();
        let commander = key(settings.seed, "commander", 0);
        let cluster = Cluster::builder(keys.iter().map(SigningKey::verifying_key).collect(), vec![commander.verifying_key()])
            .limits(limits())
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { cluster: Arc::new(cluster), keys, commander })
    }
}

/// One commander gives all orders: its window is what keeps the generals busy.
fn limits() -> Limits {
    Limits { client_window: 1000, ..Limits::default() }
}

/// Keys out of a seed make a run repeatable. Whoever knows the seed has the keys: never do this outside an example.
fn key(seed: u64, role: &str, index: u32) -> SigningKey {
    let hasher = Sha256::new().chain_update("generals example").chain_update(seed.to_le_bytes()).chain_update(role);
    SigningKey::from_bytes(&hasher.chain_update(index.to_le_bytes()).finalize().into())
}

/// A glance at a campaign under way.
pub struct Progress {
    pub completed: u64,
    pub view: View,
    pub elapsed: Duration,
}

/// How a campaign ended: what everybody knew when all had stopped.
pub struct Outcome {
    /// Why it was broken off, if it was.
    pub trouble: Option<String>,
    pub completed: u64,
    pub generals: BTreeMap<ReplicaId, Seen>,
    /// What each general has heard of each party, over its sockets.
    pub heard: BTreeMap<ReplicaId, BTreeMap<Party, Heard>>,
    pub tally: Tally,
    pub sent: u64,
    pub lost: u64,
}

/// Closes all posts when it goes: threads that wait for mail come to an end, on success and on failure.
struct Closing(Vec<Switch>);

impl Closing {
    fn close(&self) {
        self.0.iter().for_each(Switch::close);
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.close();
    }
}

/// Fights it out.
///
/// # Errors
/// It could not begin: no sockets, no threads, no place for the logs.
pub fn fight(settings: &Settings, camp: &Camp, orders: &Orders, mut glance: impl FnMut(&Progress)) -> Result<Outcome, String> {
    let folder = Folder::create().map_err(in_words("no folder for the logs"))?;
    let clock = Clock::start();
    let parties: Vec<_> = camp.cluster.replicas().map(Party::General).chain([Party::Commander]).collect();
    let (listeners, book) = network::listen(&parties).map_err(in_words("no listeners"))?;
    let weather = Weather { loss: settings.loss, seed: settings.seed, frame_bytes_max: camp.cluster.limits().message_bytes_max };
    let watches: Vec<_> = camp.cluster.replicas().map(|_| Watch::default()).collect();
    let command = Command::default();

    std::thread::scope(|scope| {
        let mut closing = Closing(Vec::new());
        let mut soldiers = Vec::new();
        for (party, listener) in parties.iter().zip(listeners) {
            let post = Post::open(scope, *party, listener, &book, clock, weather).map_err(in_words("no threads"))?;
            closing.0.push(post.switch());
            soldiers.push((*party, post));
        }
        let mut handles = Vec::new();
        for (party, post) in soldiers {
            let thread = Builder::new().name(party.to_string());
            let handle = match party {
                Party::Commander => {
                    let commander = commander(camp, orders, post, &command)?;
                    thread.spawn_scoped(scope, move || commander.serve())
                }
                Party::General(id) => {
                    let wal = FileWal::open(&folder.path().join(format!("general-{id}.log"))).map_err(in_words("no log"))?;
                    let watch = &watches[id.get() as usize];
                    let soldier = enlist(settings, camp, id, wal, post)?;
                    thread.spawn_scoped(scope, move || soldier.serve(watch))
                }
            };
            handles.push((party, handle.map_err(in_words("no threads"))?));
        }
        let trouble = watch_over(settings, orders.count(), clock, &watches, &command, &handles, &mut glance);
        closing.close();
        if !come_to_an_end(&handles) {
            // Such a thread can't be left behind otherwise.
            drop(folder);
            report::line("DISAGREED a general's thread does not come to an end");
            std::process::exit(1);
        }
        let mut fallen = Vec::new();
        for (party, handle) in handles {
            match handle.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => fallen.push((party, error)),
                Err(_) => fallen.push((party, "its thread panicked".to_owned())),
            }
        }
        let fallen =
            fallen.iter().find(|(party, _)| !is_traitor(settings, *party)).map(|(party, error)| format!("the {party} fell: {error}"));
        // Whatever else went wrong, two different logs are the worst of it.
        let mut common = CommonLog::default();
        let fork = loyal(settings, &watches).find_map(|(id, watch)| common.follow(id, &watch.look().entries));
        let stopped = loyal(settings, &watches).find_map(|(id, watch)| stopped(id, &watch.look()));
        let traffic: Vec<_> = closing.0.iter().map(Switch::sent_and_lost).collect();
        Ok(Outcome {
            trouble: fork.or(stopped).or(fallen).or(trouble),
            completed: command.completed.load(Ordering::Acquire),
            heard: camp.cluster.replicas().zip(closing.0.iter().map(Switch::heard)).collect(),
            generals: camp.cluster.replicas().zip(watches.iter().map(|watch| std::mem::take(&mut *watch.look()))).collect(),
            tally: std::mem::take(&mut *command.tally.lock().unwrap_or_else(PoisonError::into_inner)),
            sent: traffic.iter().map(|(sent, _)| sent).sum(),
            lost: traffic.iter().map(|(_, lost)| lost).sum(),
        })
    })
}

fn in_words<E: Display>(what: &str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}

fn is_traitor(settings: &Settings, party: Party) -> bool {
    matches!(party, Party::General(id) if settings.traitors.contains_key(&id.get()))
}

/// A general that is ready to serve, as one or the other.
enum Soldier {
    Loyal(Box<Node<FileWal, Ledger, SigningKey>>, Post),
    Traitor(Box<(Node<FileWal, Ledger, Pen>, Traitor)>, Post),
}

impl Soldier {
    fn serve(self, watch: &Watch) -> Result<(), String> {
        match self {
            Self::Loyal(node, post) => general::serve(*node, post, watch).map_err(|error| error.to_string()),
            Self::Traitor(inside, post) => {
                let (node, traitor) = *inside;
                traitor::betray(node, traitor, post).map_err(|error| error.to_string())
            }
        }
    }
}

fn enlist(settings: &Settings, camp: &Camp, id: ReplicaId, wal: FileWal, post: Post) -> Result<Soldier, String> {
    let cluster = camp.cluster.clone();
    let key = camp.keys[id.get() as usize].clone();
    let tuning = Tuning::from_timeout(timeout(settings.generals));
    let Some(behaviour) = settings.traitors.get(&id.get()).copied() else {
        let node = Node::open(cluster, id, tuning, Start::New, wal, Ledger::new(true), key).map_err(|error| error.to_string())?;
        return Ok(Soldier::Loyal(Box::new(node), post));
    };
    let accomplice = |other: &ReplicaId| *other != id && settings.traitors.get(&other.get()) == Some(&behaviour);
    let traitor = Traitor {
        id,
        key: key.clone(),
        cluster: cluster.clone(),
        behaviour,
        accomplices: cluster.replicas().filter(accomplice).collect(),
        seed: settings.seed,
        // Just short of what the others bear.
        delay: timeout(settings.generals) * 9 / 10,
    };
    let ledger = Ledger::new(behaviour != traitor::Behaviour::Forge);
    let node = Node::open(cluster, id, tuning, Start::New, wal, ledger, Pen::new(key, behaviour)).map_err(|error| error.to_string())?;
    Ok(Soldier::Traitor(Box::new((node, traitor)), post))
}

fn commander<'a>(camp: &'a Camp, orders: &'a Orders, post: Post, command: &'a Command) -> Result<Commander<'a>, String> {
    let id = ClientId::new(camp.commander.verifying_key().to_bytes());
    // The backups should know of an order before they judge the primary by it.
    let tuning = ClientTuning { retransmit_timeout: timeout(camp.cluster.size()) * 4 / 5, ..ClientTuning::default() };
    let client = Client::new(camp.cluster.clone(), id, tuning).map_err(|error| error.to_string())?;
    Ok(Commander { client, key: &camp.commander, cluster: camp.cluster.clone(), post, orders, command })
}

/// Waits for threads that were told to stop.
fn come_to_an_end<T>(handles: &[(Party, ScopedJoinHandle<'_, T>)]) -> bool {
    (0..FAREWELL.as_millis() / GLANCE.as_millis()).any(|_| {
        let ended = handles.iter().all(|(_, handle)| handle.is_finished());
        if !ended {
            std::thread::sleep(GLANCE);
        }
        ended
    })
}

fn stopped(id: u32, seen: &Seen) -> Option<String> {
    seen.stopped.as_ref().map(|why| format!("general {id} stopped: {why}"))
}

fn loyal<'a>(settings: &'a Settings, watches: &'a [Watch]) -> impl Iterator<Item = (u32, &'a Watch)> {
    (0..).zip(watches).filter(|(id, _)| !settings.traitors.contains_key(id))
}

/// Waits until all orders are completed and all loyal generals have executed them. Gives the reason if that will not be.
fn watch_over(
    settings: &Settings,
    total: u64,
    clock: Clock,
    watches: &[Watch],
    command: &Command,
    handles: &[(Party, ScopedJoinHandle<'_, Result<(), String>>)],
    glance: &mut impl FnMut(&Progress),
) -> Option<String> {
    let mut common = CommonLog::default();
    let (mut known, mut since) = (0, clock.now());
    loop {
        std::thread::sleep(GLANCE);
        let now = clock.now();
        let completed = command.completed.load(Ordering::Acquire);
        let mut progress = Progress { completed, view: View::default(), elapsed: now.since(Time::default()) };
        let mut executed = 0;
        let mut level = true;
        for (id, watch) in loyal(settings, watches) {
            let seen = watch.look();
            let orders = seen.entries.last().map_or(0, |entry| entry.orders);
            executed += orders;
            level &= orders >= total;
            progress.view = seen.status.as_ref().map_or(progress.view, |status| progress.view.max(status.view));
            if let Some(fork) = common.follow(id, &seen.entries) {
                return Some(fork);
            }
            if let Some(stopped) = stopped(id, &seen) {
                return Some(stopped);
            }
        }
        glance(&progress);
        if completed == total && level {
            return None;
        }
        if let Some((party, _)) = handles.iter().find(|(party, handle)| handle.is_finished() && !is_traitor(settings, *party)) {
            return Some(format!("the {party} fell"));
        }
        if completed + executed > known {
            (known, since) = (completed + executed, now);
        }
        if now.since(since) > settings.patience {
            let patience = settings.patience.as_secs();
            return Some(match completed == total {
                true => {
                    format!("all {total} orders were completed, but not every loyal general has executed them within {patience} s more")
                }
                false => format!("stalled: no order was completed for {patience} s, {completed} of {total} were"),
            });
        }
    }
}

/// The log that all loyal generals share, as far as any of them has come, and who was first at each place.
#[derive(Default)]
struct CommonLog {
    entries: Vec<(Entry, u32)>,
    compared: BTreeMap<u32, usize>,
}

impl CommonLog {
    /// Compares what is new in a general's log, at equal places; says where it differs.
    fn follow(&mut self, id: u32, log: &[Entry]) -> Option<String> {
        let compared = self.compared.entry(id).or_default();
        for (place, entry) in log.iter().enumerate().skip(*compared) {
            match self.entries.get(place) {
                None => self.entries.push((*entry, id)),
                Some((first, other)) if first != entry => {
                    return Some(format!(
                        "general {other} and general {id} decided differently at {}: {:?} and {:?}",
                        place + 1,
                        first.digest,
                        entry.digest
                    ));
                }
                Some(_) => {}
            }
            *compared = place + 1;
        }
        None
    }
}
