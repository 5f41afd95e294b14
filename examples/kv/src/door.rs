//! Where others call: who proves an enrolled key gets in, within his quotas.

use crate::config::Membership;
use crate::frames::{self, Frame, Kind, Reader, frame_size};
use crate::handshake::{self, Refusal, Role};
use crate::link::{PATIENCE, Queue};
use crate::mailbox::{Mail, Mailbox, Member};
use logothete::{Bytes, ClientId, PeerLink, ReplicaId, SigningKey, Unverified, VerifyingKey};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

/// What one connection may have and do. All of it together is the bound on memory for connections; see the README.
#[derive(Clone, Debug)]
pub struct Quotas {
    /// Connections of clients at one time.
    pub clients_max: usize,
    /// Connections of one key at one time.
    pub connections_per_key: usize,
    /// Callers that have not proved anything yet. When there are more, the one that has taken longest is hung up on.
    pub strangers_max: usize,
    pub client_bytes_per_second: u64,
    pub node_bytes_per_second: u64,
    /// What waits of a connection before it is not read on.
    pub client_tray_bytes: usize,
    pub node_tray_bytes: usize,
    /// What waits to go out to a client.
    pub client_queue_bytes: usize,
    /// Messages of a connection that may fail verification before it is closed.
    pub faults_max: u32,
    /// Silence that ends a connection.
    pub silence: Duration,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            clients_max: 2048,
            connections_per_key: 4,
            strangers_max: 256,
            client_bytes_per_second: 16 << 20,
            node_bytes_per_second: 256 << 20,
            client_tray_bytes: 160 << 10,
            node_tray_bytes: 4 << 20,
            client_queue_bytes: 160 << 10,
            faults_max: 8,
            silence: Duration::from_secs(30),
        }
    }
}

/// One connection that is let in.
pub struct Guest {
    pub member: Member,
    /// The member's name, whichever connection it is.
    peer: PeerLink,
    pub queue: Arc<Queue>,
    faults: AtomicU64,
    hang_up: tokio::sync::Notify,
}

#[derive(Default)]
struct Guests {
    by_link: BTreeMap<PeerLink, Arc<Guest>>,
    by_client: BTreeMap<ClientId, Vec<PeerLink>>,
}

/// Answers what clients ask of this node alone.
pub type Desk = dyn Fn(Member, &[u8]) -> Vec<u8> + Send + Sync;

pub struct Door {
    membership: Arc<Membership>,
    key: SigningKey,
    pub quotas: Quotas,
    mailbox: Arc<Mailbox>,
    desk: Box<Desk>,
    /// Where this node calls others.
    routes: BTreeMap<ReplicaId, Arc<Queue>>,
    guests: Mutex<Guests>,
    links: AtomicU64,
    /// Questions that are answered at one time.
    at_desk: Arc<Semaphore>,
}

impl Door {
    pub fn new(
        membership: Arc<Membership>,
        key: SigningKey,
        quotas: Quotas,
        mailbox: Arc<Mailbox>,
        desk: Box<Desk>,
        routes: BTreeMap<ReplicaId, Arc<Queue>>,
    ) -> Self {
        let at_desk = Arc::new(Semaphore::new(4));
        Self { membership, key, quotas, mailbox, desk, routes, guests: Mutex::default(), links: AtomicU64::new(1), at_desk }
    }

    fn lock(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many nodes and clients are connected.
    pub fn count(&self) -> (usize, usize) {
        let guests = self.lock();
        let nodes = guests.by_link.values().filter(|guest| matches!(guest.member, Member::Node(_))).count();
        (nodes, guests.by_link.len() - nodes)
    }

    /// To all connections of a client.
    pub fn tell_client(&self, client: ClientId, frames: &[Frame]) {
        let guests = self.lock();
        for link in guests.by_client.get(&client).into_iter().flatten() {
            if let Some(guest) = guests.by_link.get(link) {
                guest.queue.push_all(frames.iter().cloned());
            }
        }
    }

    /// What this member sent was signed by nobody that it says: it lies, or passes lies on.
    pub fn blame(&self, peer: PeerLink) {
        for guest in self.lock().by_link.values().filter(|guest| guest.peer == peer) {
            if guest.faults.fetch_add(1, Ordering::Relaxed) + 1 >= u64::from(self.quotas.faults_max) {
                guest.hang_up.notify_one();
            }
        }
    }

    fn admit(&self, role: Role, key: &VerifyingKey, proved: bool) -> Result<Option<(PeerLink, Arc<Guest>)>, Refusal> {
        let member = match role {
            Role::Node => self.membership.node(key).map(Member::Node),
            Role::Client => self.membership.client(key).map(Member::Client),
        };
        let member = member.ok_or(Refusal::NotEnrolled)?;
        let mut guests = self.lock();
        let of_key = guests.by_link.values().filter(|guest| guest.member == member);
        if let Member::Client(_) = member {
            let clients = guests.by_client.values().map(Vec::len).sum::<usize>();
            if of_key.count() >= self.quotas.connections_per_key || clients >= self.quotas.clients_max {
                return Err(Refusal::TooMany);
            }
        } else if of_key.count() >= self.quotas.connections_per_key {
            // A node that was cut off doesn't know of its old connections: they make room for the new one.
            let oldest = guests.by_link.iter().find(|(_, guest)| guest.member == member).map(|(_, guest)| guest.clone());
            oldest.iter().for_each(|guest| guest.hang_up.notify_one());
        }
        if !proved {
            return Ok(None);
        }
        let queue = Queue::new(if matches!(member, Member::Client(_)) { self.quotas.client_queue_bytes } else { 4096 });
        let guest = Arc::new(Guest {
            member,
            peer: self.membership.peer(member),
            queue,
            faults: AtomicU64::new(0),
            hang_up: tokio::sync::Notify::new(),
        });
        let link = PeerLink(self.links.fetch_add(1, Ordering::Relaxed));
        guests.by_link.insert(link, guest.clone());
        match member {
            Member::Client(client) => guests.by_client.entry(client).or_default().push(link),
            Member::Node(node) => self.routes.get(&node).into_iter().for_each(|route| route.hurry()),
        }
        Ok(Some((link, guest)))
    }

    fn forget(&self, link: PeerLink) {
        let mut guests = self.lock();
        if let Some(Member::Client(client)) = guests.by_link.remove(&link).map(|guest| guest.member) {
            let links = guests.by_client.entry(client).or_default();
            links.retain(|other| *other != link);
            if links.is_empty() {
                guests.by_client.remove(&client);
            }
        }
    }

    /// Lets callers in, for ever.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut strangers: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // No more file descriptors, most likely.
                    tracing::warn!("a caller could not be let in: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            strangers.retain(|stranger| !stranger.is_finished());
            if strangers.len() >= self.quotas.strangers_max {
                strangers.pop_front().iter().for_each(AbortHandle::abort);
            }
            let door = self.clone();
            // Ends when the caller is let in or sent away: what follows is another task, beyond the reach of strangers.
            strangers.push_back(tokio::spawn(async move { door.receive(stream).await }).abort_handle());
        }
    }

    async fn receive(self: Arc<Self>, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let answer =
            handshake::answer(&mut stream, self.membership.cluster.id(), &self.key, |role, key, proved| self.admit(role, key, proved));
        match timeout(PATIENCE, answer).await {
            Ok(Ok((link, guest))) => {
                tokio::spawn(async move {
                    tracing::debug!("{:?} is connected as {link:?}", guest.member);
                    let error = self.entertain(link, &guest, stream).await;
                    tracing::debug!("{:?}, {link:?}: {error}", guest.member);
                    guest.queue.set_connected(false);
                    self.forget(link);
                });
            }
            Ok(Err(error)) => tracing::debug!("a caller is sent away: {error}"),
            Err(_) => tracing::debug!("a caller is sent away: it took too long to say who it is"),
        }
    }

    async fn entertain(&self, link: PeerLink, guest: &Guest, stream: TcpStream) -> io::Error {
        guest.queue.set_connected(true);
        let (input, output) = stream.into_split();
        tokio::select! {
            error = self.read(link, guest, input) => error,
            error = guest.queue.write_to(output) => error,
            () = guest.hang_up.notified() => io::Error::other("hung up on: it sent what nobody had signed, or made room for a newer connection"),
        }
    }

    async fn read(&self, link: PeerLink, guest: &Guest, input: tokio::net::tcp::OwnedReadHalf) -> io::Error {
        let limits = self.membership.cluster.limits();
        let (frame_max, tray, rate) = match guest.member {
            Member::Node(_) => (limits.message_bytes_max as usize, self.quotas.node_tray_bytes, self.quotas.node_bytes_per_second),
            Member::Client(_) => {
                (limits.operation_bytes_max as usize + 1024, self.quotas.client_tray_bytes, self.quotas.client_bytes_per_second)
            }
        };
        let tray = Tray { bytes: tray, room: Arc::new(Semaphore::new(tray)) };
        let mut allowance = Allowance::new(rate);
        let mut input = Reader::new(input, frame_max);
        loop {
            match timeout(self.quotas.silence, input.fill()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error,
                Err(_) => return io::ErrorKind::TimedOut.into(),
            }
            match self.read_load(link, guest, &mut input, &tray).await {
                Ok(bytes) => allowance.spend(bytes).await,
                Err(error) => return error,
            }
        }
    }

    /// All whole frames that are here, and how much they count.
    async fn read_load<R: AsyncRead + Unpin>(
        &self,
        link: PeerLink,
        guest: &Guest,
        input: &mut Reader<R>,
        tray: &Tray,
    ) -> io::Result<usize> {
        let (mut load, mut bytes) = (Vec::new(), 0);
        while let Some((kind, body)) = input.frame()? {
            bytes += frame_size(body);
            match kind {
                Kind::Ping => {
                    guest.queue.push(Frame::empty(Kind::Pong));
                }
                Kind::Message => {
                    let limits = self.membership.cluster.limits();
                    let message = match guest.member {
                        // What a proposal holds stays in one piece.
                        Member::Node(_) => Unverified::decode_shared(guest.peer, &Bytes::from(body), limits),
                        Member::Client(_) => Unverified::decode(guest.peer, body, limits),
                    }
                    .map_err(|_| frames::bad("not a message of the protocol"))?;
                    let size = u32::try_from(message.size().min(tray.bytes)).unwrap_or(u32::MAX);
                    let room = match tray.room.clone().try_acquire_many_owned(size) {
                        Ok(room) => room,
                        Err(_) => {
                            // Where the tray is full the connection is not read on, and TCP holds the sender back.
                            self.mailbox.put_all(link, &mut load);
                            tray.room.clone().acquire_many_owned(size).await.map_err(|_| io::ErrorKind::Other)?
                        }
                    };
                    load.push(Mail { from: guest.member, message, room });
                }
                Kind::Query => {
                    let _turn = self.at_desk.acquire().await.map_err(|_| io::ErrorKind::Other)?;
                    let answer = tokio::task::block_in_place(|| (self.desk)(guest.member, body));
                    guest.queue.push(Frame::new(Kind::Reply, answer));
                }
                Kind::Pong | Kind::Reply | Kind::Notice => return Err(frames::bad("a frame of a kind that only nodes answer with")),
            }
        }
        self.mailbox.put_all(link, &mut load);
        Ok(bytes)
    }
}

/// What may wait of one connection.
struct Tray {
    bytes: usize,
    room: Arc<Semaphore>,
}

/// Bytes per second, saved up for at most two seconds.
struct Allowance {
    rate: f64,
    left: f64,
    counted: Instant,
}

impl Allowance {
    fn new(rate: u64) -> Self {
        let rate = rate as f64;
        Self { rate, left: 2.0 * rate, counted: Instant::now() }
    }

    /// Waits until that much may be spent.
    async fn spend(&mut self, bytes: usize) {
        let now = Instant::now();
        self.left = (self.left + self.rate * now.duration_since(self.counted).as_secs_f64()).min(2.0 * self.rate) - bytes as f64;
        self.counted = now;
        if self.left < 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(-self.left / self.rate)).await;
        }
    }
}
