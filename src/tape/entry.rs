//! What is on a tape: the magic, an opening, and entries; each a u32 length and its bytes, in the codec of messages.

use crate::cluster::{Cluster, Limits};
use crate::durable::Receipt;
use crate::hash::{Domain, Hasher};
use crate::ids::{Bytes, ClientId, Digest, ReplicaId, SequenceNumber};
use crate::manifest::Manifest;
use crate::outbox::{AppCommand, Content, Envelope, Identity, Output, Recipients, ToSign};
use crate::replica::{AppState, Disposition, Input, Start};
use crate::tuning::Tuning;
use crate::wire;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Starts each tape. It changes with the format.
pub(super) const MAGIC: &[u8; 8] = b"logothT1";

/// Everything that a replica was made of.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Opening {
    numbers: [u64; 3],
    limits: [u32; 6],
    keyed_hash: bool,
    replicas: Vec<[u8; 32]>,
    clients: Vec<[u8; 32]>,
    pub(super) replica: ReplicaId,
    tuning: Vec<u64>,
    start: Begin,
    last_executed: SequenceNumber,
    log_digest: Digest,
    sessions: Bytes,
    snapshots: Vec<Manifest>,
    pub(super) log: Vec<(u64, Bytes)>,
    /// Of what came out.
    pub(super) outputs: Digest,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Begin {
    New,
    Recovering,
    Rejoining([u8; 32]),
}

/// One input, when it came, and a digest of what came out.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Microseconds, as the host said.
    pub(super) at: u64,
    pub(super) told: Told,
    pub(super) outputs: Digest,
}

/// An [`Input`] as bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Told {
    Message(Bytes),
    /// A message that was checked under another cluster's keys.
    Foreign,
    Persisted {
        indices: Vec<u64>,
        own: Vec<(Towards, Bytes)>,
    },
    /// A receipt for no record.
    PersistedNothing,
    /// A receipt of somebody else's.
    PersistedElsewhere,
    Executed {
        sequence_number: SequenceNumber,
        results: Vec<Bytes>,
    },
    CheckpointTaken(Manifest),
    PartsMissing {
        sequence_number: SequenceNumber,
        missing: Vec<u32>,
    },
    ChunkStored {
        sequence_number: SequenceNumber,
        index: u32,
    },
    StateInstalled {
        last_executed: SequenceNumber,
        log_digest: Digest,
        sessions: Bytes,
        snapshots: Vec<Manifest>,
    },
    ChunkRead {
        sequence_number: SequenceNumber,
        index: u32,
        bytes: Option<Bytes>,
    },
    Timer,
    /// No input: a message that was not believed, and why.
    Refused {
        bytes: Bytes,
        why: String,
    },
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Towards {
    All,
    Replica(ReplicaId),
    Client(ClientId),
}

impl From<Recipients> for Towards {
    fn from(to: Recipients) -> Self {
        match to {
            Recipients::AllReplicas => Self::All,
            Recipients::Replica(replica) => Self::Replica(replica),
            Recipients::Client(client) => Self::Client(client),
        }
    }
}

impl From<Towards> for Recipients {
    fn from(to: Towards) -> Self {
        match to {
            Towards::All => Self::AllReplicas,
            Towards::Replica(replica) => Self::Replica(replica),
            Towards::Client(client) => Self::Client(client),
        }
    }
}

/// A length, and the bytes.
fn framed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes()[..], body].concat()
}

impl Opening {
    pub(super) fn new(cluster: &Cluster, id: ReplicaId, tuning: &Tuning, start: Start, app: &AppState, log: Vec<(u64, Bytes)>) -> Self {
        let limits = cluster.limits();
        Self {
            numbers: [cluster.checkpoint_interval(), cluster.log_window(), cluster.pipeline()],
            limits: [
                limits.message_bytes_max,
                limits.batch_bytes_max,
                limits.batch_requests_max,
                limits.operation_bytes_max,
                limits.result_bytes_max,
                limits.client_window,
            ],
            keyed_hash: cluster.scheme() != crate::cluster::Scheme::Ed25519,
            replicas: cluster.replicas().filter_map(|replica| Some(cluster.replica_key(replica)?.to_bytes())).collect(),
            clients: cluster.clients().map(|client| *client.as_bytes()).collect(),
            replica: id,
            tuning: knobs(tuning).to_vec(),
            start: match start {
                Start::New => Begin::New,
                Start::Recovering => Begin::Recovering,
                Start::Rejoining { nonce } => Begin::Rejoining(nonce),
            },
            last_executed: app.last_executed,
            log_digest: app.log_digest,
            sessions: app.sessions.clone(),
            snapshots: app.snapshots.clone(),
            log,
            outputs: Digest::default(),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        [&MAGIC[..], &framed(&wire::encode(self))].concat()
    }

    /// The configuration, if it is one.
    pub(super) fn cluster(&self) -> Option<Cluster> {
        let keys = |bytes: &[[u8; 32]]| bytes.iter().map(crate::VerifyingKey::from_bytes).collect::<Result<Vec<_>, _>>().ok();
        let [interval, window, pipeline] = self.numbers;
        let [message_bytes_max, batch_bytes_max, batch_requests_max, operation_bytes_max, result_bytes_max, client_window] = self.limits;
        let limits =
            Limits { message_bytes_max, batch_bytes_max, batch_requests_max, operation_bytes_max, result_bytes_max, client_window };
        let builder = Cluster::builder(keys(&self.replicas)?, keys(&self.clients)?).limits(limits);
        let builder = builder.checkpoint_interval(interval).log_window(window).pipeline(pipeline);
        #[cfg(feature = "sim")]
        let builder = if self.keyed_hash { builder.with_keyed_hash() } else { builder };
        #[cfg(not(feature = "sim"))]
        if self.keyed_hash {
            return None;
        }
        builder.build().ok()
    }

    pub(super) fn start(&self) -> Start {
        match self.start {
            Begin::New => Start::New,
            Begin::Recovering => Start::Recovering,
            Begin::Rejoining(nonce) => Start::Rejoining { nonce },
        }
    }

    pub(super) fn app(&self) -> AppState {
        AppState {
            last_executed: self.last_executed,
            log_digest: self.log_digest,
            sessions: self.sessions.clone(),
            snapshots: self.snapshots.clone(),
        }
    }

    pub(super) fn tuning(&self) -> Option<Tuning> {
        let knobs: [u64; 13] = self.tuning.as_slice().try_into().ok()?;
        let [request, view_change, status, idle, fetch, rejoin, pace, backoff, answer, retention, retained, pool, replies] = knobs;
        Some(Tuning {
            request_timeout: Duration::from_nanos(request),
            view_change_timeout: Duration::from_nanos(view_change),
            status_interval: Duration::from_nanos(status),
            idle_status_interval: Duration::from_nanos(idle),
            fetch_interval: Duration::from_nanos(fetch),
            rejoin_interval: Duration::from_nanos(rejoin),
            pace_factor: u32::try_from(pace).ok()?,
            backoff_max: u32::try_from(backoff).ok()?,
            answer_bytes_max: u32::try_from(answer).ok()?,
            retention,
            retention_bytes_max: retained,
            pool_bytes_max: pool,
            reply_cache_bytes_max: replies,
            // The rest is for what stands before a replica.
            ..Tuning::default()
        })
    }
}

fn knobs(tuning: &Tuning) -> [u64; 13] {
    // Beyond five hundred years all are alike.
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    [
        nanos(tuning.request_timeout),
        nanos(tuning.view_change_timeout),
        nanos(tuning.status_interval),
        nanos(tuning.idle_status_interval),
        nanos(tuning.fetch_interval),
        nanos(tuning.rejoin_interval),
        tuning.pace_factor.into(),
        tuning.backoff_max.into(),
        tuning.answer_bytes_max.into(),
        tuning.retention,
        tuning.retention_bytes_max,
        tuning.pool_bytes_max,
        tuning.reply_cache_bytes_max,
    ]
}

impl Entry {
    pub(super) fn encode(&self) -> Vec<u8> {
        framed(&wire::encode(self))
    }
}

impl Told {
    /// As replica `me` of this cluster is told.
    pub(super) fn of(input: &Input, me: &Identity) -> Self {
        match input {
            Input::Message(verified) if verified.group != me.group() => Self::Foreign,
            Input::Message(verified) => Self::Message(Bytes::from(wire::encode(&verified.message))),
            Input::Persisted(receipt) => Self::of_receipt(receipt, me),
            Input::Executed { sequence_number, results } => Self::Executed { sequence_number: *sequence_number, results: results.clone() },
            Input::CheckpointTaken(manifest) => Self::CheckpointTaken(manifest.clone()),
            Input::PartsMissing { sequence_number, missing } => {
                Self::PartsMissing { sequence_number: *sequence_number, missing: missing.clone() }
            }
            Input::ChunkStored { sequence_number, index } => Self::ChunkStored { sequence_number: *sequence_number, index: *index },
            Input::StateInstalled(app) => Self::StateInstalled {
                last_executed: app.last_executed,
                log_digest: app.log_digest,
                sessions: app.sessions.clone(),
                snapshots: app.snapshots.clone(),
            },
            Input::ChunkRead { sequence_number, index, bytes } => {
                Self::ChunkRead { sequence_number: *sequence_number, index: *index, bytes: bytes.clone() }
            }
            Input::Timer => Self::Timer,
        }
    }

    fn of_receipt(receipt: &Receipt, me: &Identity) -> Self {
        match &receipt.identity {
            None => Self::PersistedNothing,
            Some(other) if !other.is(me) => Self::PersistedElsewhere,
            Some(_) => Self::Persisted {
                indices: receipt.indices.clone(),
                own: receipt.own.iter().map(|envelope| (envelope.to().into(), envelope.encode())).collect(),
            },
        }
    }
}

/// Over what became of an input and all that came out, in its order: for a start there is no disposition.
pub(super) fn digest<'a>(disposition: Option<Disposition>, outputs: impl Iterator<Item = &'a Output>) -> Digest {
    let mut bytes = format!("{disposition:?}").into_bytes();
    for output in outputs {
        let one = laid_out(output);
        bytes.extend_from_slice(&(one.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&one);
    }
    Hasher::new(Domain::Tape).bytes(&bytes).finish()
}

/// Every byte that the host would get to see of it, but for signatures: the signer makes those.
fn laid_out(output: &Output) -> Vec<u8> {
    let envelope = |envelope: &Envelope| [format!("{:?}", envelope.to()).as_bytes(), &envelope.encode()].concat();
    let sealed = |to_sign: &ToSign| {
        let messages = to_sign.envelopes().map(|one| envelope(&one));
        [&to_sign.payload[..], &messages.collect::<Vec<_>>().concat()].concat()
    };
    let words = output.to_string().into_bytes();
    let rest = match output {
        Output::Write(write) => {
            let promised: Vec<u8> = write.sealed.iter().flat_map(sealed).collect();
            [&write.discards_before.unwrap_or(u64::MAX).to_le_bytes()[..], &write.record.to_bytes(), &promised].concat()
        }
        Output::Send(outgoing) => match &outgoing.content {
            Content::Ready(ready) => envelope(ready),
            Content::Unsigned(to_sign) => sealed(to_sign),
        },
        Output::App(AppCommand::Execute(decision)) => {
            [decision.digest().as_bytes(), &decision.executes.iter().map(|executes| u8::from(*executes)).collect::<Vec<_>>()[..]].concat()
        }
        Output::App(AppCommand::TakeCheckpoint(order)) => order.sessions().iter().flat_map(|part| part.to_vec()).collect(),
        Output::App(AppCommand::FetchState(manifest) | AppCommand::InstallState(manifest)) => manifest.encode(),
        Output::App(AppCommand::StoreChunk { bytes, .. }) => bytes.to_vec(),
        Output::App(AppCommand::DiscardBefore(_) | AppCommand::ReadChunk { .. }) | Output::Event(_) => Vec::new(),
    };
    [words, rest].concat()
}
