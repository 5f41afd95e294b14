//! A campaign: opens the generals and their commander, lets them fight, and closes everything again, whatever happens.

use crate::args::Settings;
use crate::clock::Clock;
use crate::commander::{Command, Commander, Tally};
use crate::common_log::CommonLog;
use crate::door::Door;
use crate::folder::Folder;
use crate::frames::Party;
use crate::killer::Killer;
use crate::ledger::Ledger;
use crate::lives::{self, Quarters};
use crate::network::{self, Ground, Post, Traffic, Weather};
use crate::orders::Orders;
use crate::report;
use crate::tapes::Tapes;
use crate::traitor::{self, Behaviour, Pen, Traitor};
use crate::watch::{Seen, Watch};
use logothete::{Client, ClientId, ClientTuning, Cluster, Limits, ReplicaId, SigningKey, Start, Time, Tuning, View};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle};
use std::time::Duration;

/// T: how long the generals wait for a primary before they want another. All share this machine's few cores, so more of them are slower.
pub fn timeout(generals: u32) -> Duration {
    Duration::from_millis(500) * generals.div_ceil(4)
}

pub fn tuning(generals: u32) -> Tuning {
    // Less than by default, so that who was dead for a while is given a state now and then, instead of all batches that he missed.
    Tuning { retention: CHECKPOINT_INTERVAL, ..Tuning::from_timeout(timeout(generals)) }
}

/// K and L: so small that even a short run has checkpoints.
const CHECKPOINT_INTERVAL: u64 = 16;
const LOG_WINDOW: u64 = 4 * CHECKPOINT_INTERVAL;

/// How often the main thread looks at what goes on.
const GLANCE: Duration = Duration::from_millis(50);

/// How long a thread may take to stop.
const FAREWELL: Duration = Duration::from_secs(20);

/// Who takes part, and all their keys: this program plays them all.
pub struct Camp {
    pub cluster: Arc<Cluster>,
    keys: Vec<SigningKey>,
    commander: SigningKey,
    /// If a picture is wanted.
    pub tapes: Option<Tapes>,
}

impl Camp {
    /// # Errors
    /// The cluster's configuration is refused.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let keys: Vec<_> = (0..settings.generals).map(|id| key(settings.seed, "general", id)).collect();
        let commander = key(settings.seed, "commander", 0);
        let cluster = Cluster::builder(keys.iter().map(SigningKey::verifying_key).collect(), vec![commander.verifying_key()])
            .limits(limits(settings))
            .checkpoint_interval(CHECKPOINT_INTERVAL)
            .log_window(LOG_WINDOW)
            .build()
            .map_err(|error| error.to_string())?;
        let tapes = settings.picture.as_ref().map(|_| Tapes::default());
        Ok(Self { cluster: Arc::new(cluster), keys, commander, tapes })
    }

    /// A general's key.
    pub fn key(&self, id: ReplicaId) -> SigningKey {
        self.keys[id.get() as usize].clone()
    }
}

/// One commander gives all orders: its window is what keeps the generals busy. Where they are killed they are to be so for a while.
fn limits(settings: &Settings) -> Limits {
    let client_window = if settings.victims.ids.is_empty() { 1000 } else { 50 };
    Limits { client_window, ..Limits::default() }
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
    /// How often each victim was killed in the middle of a write.
    pub torn: BTreeMap<ReplicaId, u64>,
    pub tally: Tally,
    /// What went through each party's door.
    pub traffic: BTreeMap<Party, Traffic>,
}

/// Closes all doors when it goes: threads that wait for mail come to an end, on success and on failure.
struct Closing<'a>(&'a [Arc<Door>]);

impl Closing<'_> {
    fn close(&self) {
        self.0.iter().for_each(|door| door.close());
    }
}

impl Drop for Closing<'_> {
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
    let ground = Ground { book, clock, weather };
    let doors: Vec<_> = parties.iter().zip(listeners).map(|(party, listener)| Ok(Arc::new(Door::new(*party, listener)?))).collect();
    let doors = doors.into_iter().collect::<io::Result<Vec<_>>>().map_err(in_words("no listeners"))?;
    let killer = Arc::new(Killer::new(&settings.victims, settings.seed, orders.count(), |id| doors.get(id.get() as usize).cloned()));
    let watches: Vec<_> = camp.cluster.replicas().map(|_| Watch::default()).collect();
    let command = Command::default();

    std::thread::scope(|scope| {
        let closing = Closing(&doors);
        for door in &doors {
            let thread = Builder::new().name(door.party().to_string()).stack_size(network::STACK_BYTES);
            thread.spawn_scoped(scope, || door.serve(scope)).map_err(in_words("no threads"))?;
        }
        let mut handles = Vec::new();
        for door in &doors {
            let thread = Builder::new().name(door.party().to_string());
            let handle = match door.party() {
                Party::Commander => {
                    let post = Post::open(scope, door, &ground).map_err(in_words("no threads"))?.ok_or("closed before it began")?;
                    let commander = commander(camp, orders, post, &command)?;
                    thread.spawn_scoped(scope, move || commander.serve())
                }
                Party::General(id) => {
                    let watch = &watches[id.get() as usize];
                    let quarters = Quarters { id, camp, folder: folder.path().join(format!("general-{id}")), door, ground: &ground };
                    let doom = killer.doom(id);
                    thread.spawn_scoped(scope, move || match settings.traitors.get(&id.get()) {
                        None => lives::live(scope, &quarters, doom.as_ref(), watch),
                        Some(behaviour) => betray(scope, settings, &quarters, *behaviour),
                    })
                }
            };
            handles.push((door.party(), handle.map_err(in_words("no threads"))?));
        }
        let trouble = watch_over(settings, orders.count(), &ground, &killer, &watches, &command, &handles, &mut glance);
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
        Ok(Outcome {
            trouble: fork.or(stopped).or(fallen).or(trouble),
            completed: command.completed.load(Ordering::Acquire),
            generals: camp.cluster.replicas().zip(watches.iter().map(|watch| std::mem::take(&mut *watch.look()))).collect(),
            torn: camp.cluster.replicas().filter_map(|id| Some((id, killer.doom(id)?.torn()))).collect(),
            tally: std::mem::take(&mut *command.tally.lock().unwrap_or_else(PoisonError::into_inner)),
            traffic: doors.iter().map(|door| (door.party(), door.traffic())).collect(),
        })
    })
}

fn in_words<E: Display>(what: &str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}

fn is_traitor(settings: &Settings, party: Party) -> bool {
    matches!(party, Party::General(id) if settings.traitors.contains_key(&id.get()))
}

/// A traitor's whole life: nobody kills him.
fn betray<'scope>(
    scope: &'scope Scope<'scope, '_>,
    settings: &Settings,
    quarters: &Quarters<'_>,
    behaviour: Behaviour,
) -> Result<(), String> {
    let (id, camp) = (quarters.id, quarters.camp);
    let accomplice = |other: &ReplicaId| *other != id && settings.traitors.get(&other.get()) == Some(&behaviour);
    let traitor = Traitor {
        id,
        key: camp.key(id),
        cluster: camp.cluster.clone(),
        behaviour,
        accomplices: camp.cluster.replicas().filter(accomplice).collect(),
        seed: settings.seed,
        // Just short of what the others bear.
        delay: timeout(settings.generals) * 9 / 10,
    };
    let ledger = Ledger::new(behaviour != Behaviour::Forge);
    let node = quarters.open(Start::New, ledger, Pen::new(camp.key(id), behaviour), None)?;
    match Post::open(scope, quarters.door, quarters.ground).map_err(in_words("no threads"))? {
        Some(post) => traitor::betray(node, traitor, post).map_err(|error| error.to_string()),
        None => Ok(()),
    }
}

fn commander<'a>(camp: &'a Camp, orders: &'a Orders, post: Post, command: &'a Command) -> Result<Commander<'a>, String> {
    let id = ClientId::new(camp.commander.verifying_key().to_bytes());
    // The backups should know of an order before they judge the primary by it. And who was dead should hear of it soon.
    let tuning = ClientTuning { retransmit_timeout: timeout(camp.cluster.size()) * 4 / 5, backoff_max: 2, ..ClientTuning::default() };
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
#[allow(clippy::too_many_arguments)] // All there is to watch.
fn watch_over(
    settings: &Settings,
    total: u64,
    ground: &Ground,
    killer: &Killer,
    watches: &[Watch],
    command: &Command,
    handles: &[(Party, ScopedJoinHandle<'_, Result<(), String>>)],
    glance: &mut impl FnMut(&Progress),
) -> Option<String> {
    let mut common = CommonLog::default();
    let (mut known, mut since) = (0, ground.clock.now());
    loop {
        std::thread::sleep(GLANCE);
        let now = ground.clock.now();
        let completed = command.completed.load(Ordering::Acquire);
        let mut progress = Progress { completed, view: View::default(), elapsed: now.since(Time::default()) };
        let mut executed = 0;
        // When all is done everybody is to catch up.
        let mut level = completed == total && killer.rest();
        for (id, watch) in loyal(settings, watches) {
            let seen = watch.look();
            let orders = seen.now.map_or(0, |entry| entry.orders);
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
        if level {
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
