//! A party's place in the network: a mailbox for what comes through its door, a route to every other party for what goes.
//!
//! Each pair of parties has two connections, one each way: whoever speaks dials. So an answer always goes to the address in the
//! book, never back over a connection to someone who only says who he is.

use crate::clock::Clock;
use crate::dice::Dice;
use crate::door::Door;
use crate::frames::{self, Party};
use crate::mailbox::{Heard, Mail, Mailbox};
use crate::route::Route;
use logothete::{Bytes, Recipients, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope};
use std::time::Duration;

/// These threads only copy bytes, and at a hundred generals there are twenty thousand of them.
pub const STACK_BYTES: usize = 128 * 1024;
/// So long a caller has to say who he is.
pub const HELLO_PATIENCE: Duration = Duration::from_secs(2);

/// Everybody's address.
pub type Book = BTreeMap<Party, SocketAddr>;

/// Binds a listener for each party, all on free ports of this machine.
///
/// # Errors
/// The machine's own.
pub fn listen(parties: &[Party]) -> io::Result<(Vec<TcpListener>, Book)> {
    let listeners = parties.iter().map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<io::Result<Vec<_>>>()?;
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
    Ok((listeners, parties.iter().copied().zip(addresses).collect()))
}

/// Is there room for so many generals, all in one process? Where the system doesn't say, we will see.
///
/// # Errors
/// What is needed, and what there is.
pub fn check_room(generals: u32) -> Result<(), String> {
    let parties = u64::from(generals) + 1;
    let connections = parties * (parties - 1);
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let refuse_beyond = |allowed: Option<u64>, needed: u64, what: &str| match allowed {
        Some(allowed) if allowed < needed => Err(format!("--generals {generals}: takes {needed} {what}, and this system allows {allowed}")),
        _ => Ok(()),
    };
    // Both ends of each connection, a listener, a log and a snapshot for each party, and some to spare.
    let files =
        read("/proc/self/limits").lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
    refuse_beyond(files, 2 * connections + 4 * parties + 32, "open files and sockets (see `ulimit -n`)")?;
    // A thread at each end of each connection, and a few for each party; a thread has two stacks, and each of these a guard page.
    let maps = read("/proc/sys/vm/max_map_count").trim().parse().ok();
    refuse_beyond(maps, 4 * (2 * connections + 3 * parties) + 1000, "memory mappings for its threads (see `vm.max_map_count`)")
}

/// How bad the network is.
#[derive(Clone, Copy)]
pub struct Weather {
    /// So many of 100 messages between generals are lost.
    pub loss: u8,
    pub seed: u64,
    /// The longest frame that anybody reads.
    pub frame_bytes_max: u32,
}

/// What all posts of a run have in common.
pub struct Ground {
    /// Everybody's address.
    pub book: Book,
    pub clock: Clock,
    pub weather: Weather,
}

/// What has gone out of a party's posts, and come in.
#[derive(Clone, Default)]
pub struct Traffic {
    /// Messages to other parties, and those of them that the weather took.
    pub sent: u64,
    pub lost: u64,
    /// What was heard of each party.
    pub heard: BTreeMap<Party, Heard>,
}

impl Traffic {
    pub fn add(&mut self, more: &Self) {
        self.sent += more.sent;
        self.lost += more.lost;
        for (party, more) in &more.heard {
            let heard = self.heard.entry(*party).or_default();
            heard.frames += more.frames;
            heard.last = heard.last.max(more.last);
        }
    }
}

/// The connections that others have opened to us.
#[derive(Default)]
struct Callers {
    open: BTreeMap<u32, Arc<TcpStream>>,
    count: u32,
    closed: bool,
}

/// What threads of one post share.
pub struct Inbound {
    parties: BTreeSet<Party>,
    /// More connections at once than this many are strangers' doing.
    callers_max: usize,
    mailbox: Mailbox,
    callers: Mutex<Callers>,
    frame_bytes_max: u32,
    /// Messages to other parties, and those of them that the weather took.
    sent: AtomicU64,
    lost: AtomicU64,
}

impl Inbound {
    fn lock(&self) -> MutexGuard<'_, Callers> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a new connection its number; `None` once closed.
    pub fn welcome(&self, stream: &Arc<TcpStream>) -> Option<u32> {
        let mut callers = self.lock();
        if callers.closed || callers.open.len() >= self.callers_max {
            return None;
        }
        callers.count = callers.count.wrapping_add(1);
        let number = callers.count;
        callers.open.insert(number, stream.clone());
        Some(number)
    }

    /// The reader thread of one connection: until it ends, says what is no frame, or is closed.
    pub fn read(&self, number: u32, stream: &TcpStream) {
        // How a connection ended is of no account: whoever has more to say calls again.
        let _ = self.read_frames(number, stream);
        self.forget(number);
    }

    /// The connection is over.
    pub fn forget(&self, number: u32) {
        self.lock().open.remove(&number);
    }

    fn read_frames(&self, number: u32, stream: &TcpStream) -> io::Result<()> {
        let mut input = BufReader::new(stream);
        stream.set_read_timeout(Some(HELLO_PATIENCE))?;
        let Some(from) = frames::read_hello(&mut input)?.filter(|from| self.parties.contains(from)) else { return Ok(()) };
        stream.set_read_timeout(None)?;
        let link = from.link(number);
        while self.mailbox.put(link, from, frames::read_frame(&mut input, self.frame_bytes_max)?) {}
        Ok(())
    }
}

/// A party's place in the network. One thread uses it.
pub struct Post {
    party: Party,
    clock: Clock,
    inbound: Arc<Inbound>,
    routes: BTreeMap<Party, Arc<Route>>,
    dice: Dice,
    loss: u8,
}

impl Post {
    /// Opens it behind its door, with its threads in `scope`. `None` if the door is closed for good.
    ///
    /// # Errors
    /// The machine has no more threads to give.
    pub fn open<'scope>(scope: &'scope Scope<'scope, '_>, door: &Door, ground: &Ground) -> io::Result<Option<Self>> {
        let Ground { book, clock, weather } = ground;
        let party = door.party();
        let thread = || Builder::new().name(party.to_string()).stack_size(STACK_BYTES);
        let inbound = Arc::new(Inbound {
            parties: book.keys().copied().collect(),
            callers_max: 4 * book.len(),
            mailbox: Mailbox::new(*clock),
            callers: Mutex::default(),
            frame_bytes_max: weather.frame_bytes_max,
            sent: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        });
        let dice = Dice::new(weather.seed, party.link(door.entered()).0);
        let mut post = Self { party, clock: *clock, inbound, routes: BTreeMap::new(), dice, loss: weather.loss };
        for (to, address) in book.iter().filter(|(to, _)| **to != party) {
            let route = Arc::new(Route::new(party, *address));
            post.routes.insert(*to, route.clone());
            thread().spawn_scoped(scope, move || route.serve()).inspect_err(|_| post.switch().close())?;
        }
        Ok(door.enter(post.switch()).then_some(post))
    }

    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Waits for mail, but not beyond `deadline`. `None` once the post is closed.
    pub fn wait(&self, deadline: Option<Time>) -> Option<Vec<Mail>> {
        self.inbound.mailbox.take(deadline)
    }

    /// Sends a message on its way; where the weather or a full queue eats it, nobody is told.
    pub fn send(&mut self, to: Recipients, bytes: Bytes) {
        match to {
            Recipients::Replica(id) => self.send_to(Party::General(id), bytes),
            Recipients::Client(_) => self.send_to(Party::Commander, bytes),
            Recipients::AllReplicas => {
                let generals: Vec<_> = self.routes.keys().copied().filter(|to| *to != Party::Commander).collect();
                generals.into_iter().for_each(|general| self.send_to(general, bytes.clone()));
            }
        }
    }

    fn send_to(&mut self, to: Party, bytes: Bytes) {
        let between_generals = self.party != Party::Commander && to != Party::Commander;
        self.inbound.sent.fetch_add(1, Ordering::Relaxed);
        if between_generals && self.dice.strikes(self.loss) {
            self.inbound.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if let Some(route) = self.routes.get(&to) {
            route.send(bytes);
        }
    }

    /// The switch that closes this post, for whoever ends the run or the general.
    fn switch(&self) -> Switch {
        Switch { inbound: self.inbound.clone(), routes: self.routes.values().cloned().collect() }
    }
}

/// Closes a post: its sockets, and thereby its threads.
pub struct Switch {
    inbound: Arc<Inbound>,
    routes: Vec<Arc<Route>>,
}

impl Switch {
    pub fn close(&self) {
        self.inbound.mailbox.close();
        self.routes.iter().for_each(|route| route.close());
        let mut callers = self.inbound.lock();
        callers.closed = true;
        for (_, stream) in std::mem::take(&mut callers.open) {
            // It may have ended on its own.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Where callers are let in.
    pub fn inbound(&self) -> Arc<Inbound> {
        self.inbound.clone()
    }

    /// What has gone through this post so far.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            sent: self.inbound.sent.load(Ordering::Relaxed),
            lost: self.inbound.lost.load(Ordering::Relaxed),
            heard: self.inbound.mailbox.heard(),
        }
    }
}
