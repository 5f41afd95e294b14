//! The command line. Each option can be given by an environment variable too.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// A replicated key-value store between organisations that don't trust each other.
///
/// n nodes agree on every write while at most (n-1)/3 of them lie. Logs go to stderr; KV_LOG=debug shows more.
#[derive(Parser)]
#[command(name = "kv", version)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Args, Clone)]
pub struct Cluster {
    /// The cluster file.
    #[arg(long, env = "KV_CLUSTER", default_value = "cluster.toml")]
    pub cluster: PathBuf,
}

#[derive(Args, Clone)]
pub struct Member {
    #[command(flatten)]
    pub cluster: Cluster,
    /// The client's key file; its state file lies beside it.
    #[arg(long, env = "KV_KEY")]
    pub key: PathBuf,
    /// How many seconds to wait for an answer.
    #[arg(long, env = "KV_TIMEOUT", default_value_t = 10.0)]
    pub timeout: f64,
}

#[derive(Args, Clone)]
pub struct Serve {
    #[command(flatten)]
    pub cluster: Cluster,
    /// This node's key file.
    #[arg(long, env = "KV_KEY")]
    pub key: PathBuf,
    /// This node's data folder.
    #[arg(long, env = "KV_DATA")]
    pub data: PathBuf,
    /// Where to listen, if not at this node's address in the cluster file.
    #[arg(long, env = "KV_LISTEN")]
    pub listen: Option<String>,
    /// Where to show metrics, for example 127.0.0.1:9100.
    #[arg(long, env = "KV_METRICS")]
    pub metrics: Option<String>,
    /// The log is lost or damaged: begin with an empty data folder, silent until the others have led this node into a new view.
    #[arg(long)]
    pub rejoin: bool,
    /// Milliseconds that a request may wait before the primary is suspected. Between continents ten times as much.
    #[arg(long, env = "KV_REQUEST_TIMEOUT_MS", default_value_t = 2000)]
    pub request_timeout_ms: u64,
    /// MiB of the database that are kept in memory.
    #[arg(long, env = "KV_CACHE_MIB", default_value_t = 64)]
    pub cache_mib: usize,
    /// Threads that verify signatures; 0 for one per processor.
    #[arg(long, env = "KV_VERIFY_THREADS", default_value_t = 0)]
    pub verify_threads: usize,
    /// Decided batches kept for nodes that lag; who is further behind fetches the state.
    #[arg(long, env = "KV_RETENTION", default_value_t = 256)]
    pub retention: u64,
    /// Connections of clients at one time.
    #[arg(long, env = "KV_CLIENTS_MAX", default_value_t = 2048)]
    pub clients_max: usize,
    /// Bytes per second of one client's connection.
    #[arg(long, env = "KV_CLIENT_BYTES_PER_SECOND", default_value_t = 16 << 20)]
    pub client_bytes_per_second: u64,
    /// Write down what this node is told, in a new file of this folder at each start. The library's example `replay` plays and draws such files; they
    /// grow with everything that is heard.
    #[arg(long, env = "KV_TAPE")]
    pub tape: Option<PathBuf>,
    /// `off`: the database's file is not synced. For benchmarks alone: after a loss of power such a node may have lost votes that it gave.
    #[arg(long, env = "KV_FSYNC", default_value = "on")]
    pub fsync: Switch,
    /// Lie in this way (for tests).
    #[arg(long, hide = true)]
    pub traitor: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

#[derive(Args, Clone)]
pub struct Bench {
    /// Clients, each with a key and a connection to each node.
    #[arg(long, default_value_t = 16)]
    pub clients: usize,
    /// Requests that each client has under way at most.
    #[arg(long, default_value_t = 64)]
    pub in_flight: usize,
    /// A client signs each request by itself. Without it, it signs at once what it sends at once, which is what answers in one load made room for.
    #[arg(long)]
    pub sign_alone: bool,
    /// An open loop: so many requests per second, whatever the answers do; several, with commas, one after the other. Without it, a closed loop:
    /// each client sends as soon as it is answered.
    #[arg(long, value_delimiter = ',')]
    pub rate: Vec<f64>,
    /// Seconds that are measured, at each rate.
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Seconds before them.
    #[arg(long, default_value_t = 2.0)]
    pub warmup: f64,
    #[arg(long, default_value_t = 512)]
    pub value_bytes: usize,
    /// Keys that are written to.
    #[arg(long, default_value_t = 10_000)]
    pub keys: u64,
    /// `off`: started nodes don't sync their files, to see what the disk costs.
    #[arg(long, default_value = "on")]
    pub fsync: Switch,
    /// Positions that are proposed above the last certified one. Fewer make larger batches.
    #[arg(long, default_value_t = crate::setup::PIPELINE)]
    pub pipeline: u64,
    #[arg(long, default_value_t = crate::setup::CHECKPOINT_INTERVAL)]
    pub checkpoint_interval: u64,
    /// Of each started node; 0 for one per processor.
    #[arg(long, default_value_t = 0)]
    pub verify_threads: usize,
    /// Where the started nodes have their data, in a new folder that is removed again. Without it, the system's temporary folder, which may be in memory.
    #[arg(long)]
    pub folder: Option<PathBuf>,
    /// Load the nodes of this cluster file, which run already, and start none.
    #[arg(long, requires = "client_keys")]
    pub cluster: Option<PathBuf>,
    /// The folder with client0.key, client1.key …, for --cluster. They must be in no other use; their state files are not used, and are wrong afterwards.
    #[arg(long)]
    pub client_keys: Option<PathBuf>,
    /// Processes of such nodes on this machine, whose CPU time is counted.
    #[arg(long, value_delimiter = ',')]
    pub pids: Vec<u32>,
    /// Write what was measured to this file.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Draw latencies to this file: against the load for several rates, else against the percentile.
    #[arg(long)]
    pub svg: Option<PathBuf>,
}

#[derive(Subcommand)]
pub enum Command {
    /// Make a key file, and print the public key for the cluster file.
    Keygen {
        /// The file to make; nobody else may read it.
        file: PathBuf,
        /// For a client: make its state file too.
        #[arg(long)]
        client: bool,
        /// For a node: make its data folder, and say in it that the node is new.
        #[arg(long)]
        data: Option<PathBuf>,
    },
    /// Make a cluster file, a key file and data folder for each node, and a key file for each client.
    Init {
        /// The folder for all of it.
        folder: PathBuf,
        #[arg(long, default_value_t = 4)]
        nodes: u32,
        #[arg(long, default_value_t = 1)]
        clients: u32,
        /// Node k listens at this host, and at the port below plus k.
        #[arg(long, default_value = "127.0.0.1")]
        host: String,
        #[arg(long, default_value_t = 7400)]
        port: u16,
        /// A checkpoint every so many batches.
        #[arg(long, default_value_t = crate::setup::CHECKPOINT_INTERVAL)]
        checkpoint_interval: u64,
    },
    /// Run a node.
    Serve(Serve),
    /// Set a key.
    Put {
        key_name: String,
        value: String,
        /// Write a receipt to this file: proof for others that it was executed.
        #[arg(long)]
        receipt: Option<PathBuf>,
        #[command(flatten)]
        member: Member,
    },
    /// Set a key if it has an expected value, or, without one, if it isn't there.
    Cas {
        key_name: String,
        value: String,
        #[arg(long)]
        expected: Option<String>,
        #[command(flatten)]
        member: Member,
    },
    /// Show a key's value.
    Get {
        key_name: String,
        /// Ask this node alone: fast, maybe old, and by that node's word only.
        #[arg(long)]
        stale: Option<u32>,
        #[arg(long)]
        receipt: Option<PathBuf>,
        #[command(flatten)]
        member: Member,
    },
    /// Remove a key.
    Del {
        key_name: String,
        #[command(flatten)]
        member: Member,
    },
    /// List keys and values.
    List {
        #[arg(default_value = "")]
        prefix: String,
        /// Begin behind this key.
        #[arg(long, default_value = "")]
        after: String,
        #[arg(long, default_value_t = 100)]
        limit: u32,
        #[arg(long)]
        stale: Option<u32>,
        #[command(flatten)]
        member: Member,
    },
    /// Load a CSV file: the first column is the key, the others are the value. Goes on where it was, if it was interrupted.
    Load {
        file: PathBuf,
        /// The first line is data, not names.
        #[arg(long)]
        no_header: bool,
        /// Goes before each key.
        #[arg(long, default_value = "")]
        prefix: String,
        /// Which column is the key, from 0.
        #[arg(long, default_value_t = 0)]
        key_column: usize,
        /// Rows that go into one operation at most.
        #[arg(long, default_value_t = 64)]
        rows: usize,
        #[command(flatten)]
        member: Member,
    },
    /// Send again what this client has sent before and got no answer to.
    Resume {
        #[command(flatten)]
        member: Member,
    },
    /// Make a client's state file anew, if it is lost, or mend it, if the key's numbers were used elsewhere; by what the nodes say.
    Recover {
        #[command(flatten)]
        member: Member,
    },
    /// Show where all nodes stand.
    Status {
        #[command(flatten)]
        member: Member,
    },
    /// Measure four nodes on this machine, started for it, or given ones: a load of signed puts over sockets, with answers awaited.
    Bench(Bench),
    /// Check a receipt, with the cluster file alone.
    Verify {
        receipt: PathBuf,
        /// Was this key put? With --value, to this value.
        #[arg(long)]
        put: Option<String>,
        #[arg(long, requires = "put")]
        value: Option<String>,
        #[command(flatten)]
        cluster: Cluster,
    },
}
