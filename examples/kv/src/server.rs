//! `kv serve`: one node, from its data folder to its sockets.

use crate::config::{Membership, random, read_key};
use crate::desk::Desk;
use crate::door::{Door, Quotas};
use crate::error::{Fault, Result, fault};
use crate::gathering::Gathering;
use crate::handshake::Role;
use crate::host::{self, Honest, Host, Picture, Tongue, check_key};
use crate::intake::Intake;
use crate::link::{Call, Queue};
use crate::mailbox::Mailbox;
use crate::state::{Shared, State, make_tables};
use crate::store::{Log, NEW, Opening, Store, open_database};
use crate::tape;
use logothete::tape::Recorder;
use logothete::{Application, Cluster, Outbox, RecoverError, ReplicaId, SigningKey, Start, Tuning, Wal};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// What waits for another node that is connected and reads slowly.
const ROUTE_BYTES_MAX: usize = 16 << 20;

/// How a node is started.
pub struct Options {
    pub cluster: PathBuf,
    pub key: PathBuf,
    pub data: PathBuf,
    /// Where to listen, if not at its address in the cluster file.
    pub listen: Option<String>,
    pub metrics: Option<String>,
    pub rejoin: bool,
    pub request_timeout: Duration,
    pub cache_bytes: usize,
    pub verify_threads: usize,
    pub retention: u64,
    pub quotas: Quotas,
    /// Without it a loss of power may take votes back: for benchmarks alone.
    pub fsync: bool,
    /// The folder for tapes.
    pub tape: Option<PathBuf>,
    /// How it lies, for tests.
    pub traitor: Option<String>,
}

pub const DATABASE: &str = "node.redb";

/// Makes a new node's data folder, and says in it that the node is new.
///
/// # Errors
/// It is there already.
pub fn make_data(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| fault(format!("{}: {error}", folder.display())))?;
    let path = folder.join(DATABASE);
    if path.exists() {
        return Err(fault(format!("{} is there already", path.display())));
    }
    let store = Store::new(Arc::new(open_database(&path, true, &Opening { cache_bytes: 1 << 20, ..Opening::default() })?));
    make_tables(&*store.transaction()?)?;
    store.set_meta(NEW, Some(&[1]))?;
    store.commit()
}

fn tongue(options: &Options, membership: &Membership, id: ReplicaId, key: &SigningKey) -> Result<Box<dyn Tongue>> {
    match &options.traitor {
        None => Ok(Box::new(Honest)),
        #[cfg(feature = "traitor")]
        Some(how) => crate::traitor::tongue(how, id, key, &membership.cluster),
        #[cfg(not(feature = "traitor"))]
        Some(_) => {
            let _ = (membership, id, key);
            Err(fault("this program was built without the feature `traitor`"))
        }
    }
}

fn recover(
    options: &Options,
    cluster: &Arc<Cluster>,
    id: ReplicaId,
    tuning: &Tuning,
    log: &mut Log,
    state: &mut State,
    outbox: &mut Outbox,
) -> Result<Recorder> {
    let records = log.read().collect::<Result<Vec<_>>>()?;
    let mut as_it_is = |start| {
        let app = state.state().map_err(|error| fault(error.to_string()))?;
        let (cluster, records, tuning) = (cluster.clone(), records.clone(), tuning.clone());
        Ok::<_, Fault>(match &options.tape {
            Some(folder) => Recorder::taped(cluster, id, tuning, start, app, records, outbox, tape::open(folder, id)?),
            None => Recorder::recover(cluster, id, tuning, start, app, records, outbox),
        })
    };
    let start = match (log.is_new(), options.rejoin) {
        (_, true) => Start::Rejoining { nonce: random()? },
        (true, false) => Start::New,
        (false, false) => Start::Recovering,
    };
    match as_it_is(start)? {
        // Killed behind its first record, before the folder said so: nothing was sent yet.
        Err(RecoverError::NotEmpty { .. }) if matches!(start, Start::New) => as_it_is(Start::Recovering)?,
        recovered => recovered,
    }
    .map_err(|error| fault(error.to_string()))
}

/// Runs a node until it is told to end (SIGINT, SIGTERM) or can't go on.
///
/// # Errors
/// What is wrong, and what to do.
pub fn serve(options: Options) -> Result<()> {
    let membership = Arc::new(Membership::read(&options.cluster)?);
    let key = read_key(&options.key)?;
    let id = check_key(&membership, &key)?;
    // Without it nobody could be let in, or called: said at once, not by each handshake that fails.
    random()?;
    let path = options.data.join(DATABASE);
    if options.rejoin && !path.exists() {
        std::fs::create_dir_all(&options.data)?;
    }
    let database = Arc::new(open_database(&path, options.rejoin, &Opening { cache_bytes: options.cache_bytes, fsync: options.fsync })?);
    if !options.fsync {
        tracing::warn!("--fsync off: nothing that this node says is durable; for benchmarks alone");
    }
    let address = options.listen.clone().or_else(|| membership.addresses.get(&id).cloned()).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let bind = |address: &str| {
        runtime
            .block_on(TcpListener::bind(address))
            .map_err(|error| fault(format!("can't listen at {address}: {error}; another address can be given with --listen")))
    };
    let listener = bind(&address)?;
    let metrics = options.metrics.as_deref().map(bind).transpose()?;

    let (mailbox, picture) = (Arc::new(Mailbox::default()), Arc::new(Mutex::new(Picture::default())));
    let state = Shared::default();
    let desk = Desk { membership: membership.clone(), state: state.clone(), picture: picture.clone() };
    let answers = Box::new(move |from, question: &[u8]| desk.answer(from, question));
    let mut routes = BTreeMap::new();
    for (other, address) in membership.addresses.iter().filter(|(other, _)| **other != id) {
        let Some(door_key) = membership.cluster.replica_key(*other) else { continue };
        let queue = Queue::new(ROUTE_BYTES_MAX);
        routes.insert(*other, queue.clone());
        let call = Call {
            address: address.clone(),
            cluster: membership.cluster.id(),
            role: Role::Node,
            key: key.clone(),
            door: door_key,
            ping: Duration::from_secs(1),
            frame_bytes_max: 1024,
        };
        let other = *other;
        runtime.spawn(async move {
            call.keep(&queue, |_| {}, |error| tracing::debug!("node {other} at {}: {error}", call.address)).await;
        });
    }
    let door = Arc::new(Door::new(membership.clone(), key.clone(), options.quotas.clone(), mailbox.clone(), answers, routes.clone()));
    let thread = {
        let (membership, mailbox, door, picture) = (membership.clone(), mailbox.clone(), door.clone(), picture.clone());
        let tongue_key = key.clone();
        std::thread::Builder::new().name("replica".to_owned()).spawn(move || -> Result<()> {
            // The store belongs to this thread alone.
            let store = Store::new(database);
            let mut state = State::open(store.clone(), membership.cluster.clone(), state)?;
            let mut outbox = Outbox::new();
            let mut log = Log::open(&options.data, store.clone(), options.fsync)?;
            let rejoin_interval = options.request_timeout * 8;
            let tuning = Tuning { retention: options.retention, rejoin_interval, ..Tuning::from_timeout(options.request_timeout) };
            let replica = recover(&options, &membership.cluster, id, &tuning, &mut log, &mut state, &mut outbox)?;
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(options.verify_threads).build().map_err(|error| fault(error.to_string()))?;
            let intake = Intake::new(membership.cluster.clone(), &tuning, pool);
            let tongue = tongue(&options, &membership, id, &tongue_key)?;
            tracing::info!("node {id} listens at {address}");
            let host = Host {
                membership,
                key: tongue_key,
                replica,
                outbox,
                store,
                log,
                state,
                mailbox,
                door,
                routes,
                picture,
                intake,
                tongue,
                started: Instant::now(),
                latest: host::Picture::default(),
                told: BTreeMap::new(),
                gathering: Gathering::default(),
                is_primary: false,
                is_outdated: false,
            };
            host.run()
        })?
    };
    runtime.spawn(door.clone().serve(listener));
    if let Some(metrics) = metrics {
        runtime.spawn(crate::metrics::serve(metrics, picture, door));
    }
    runtime.spawn(async move {
        let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(terminate) => terminate,
            Err(_) => return,
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("told to end");
        mailbox.close();
    });
    thread.join().map_err(|_| fault("the replica's thread panicked; this is a bug: keep the data folder and report it"))?
}
