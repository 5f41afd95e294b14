//! `kv bench`: a load over sockets, with replies awaited, and what it costs the nodes.

mod crowd;
mod nodes;
mod plot;
mod report;

use crate::config::{Membership, read_key};
use crate::error::{Result, fault};
use crowd::{Crowd, Load, Measured};
use logothete::SigningKey;
use nodes::Nodes;
use report::{Latency, Report, Step};
use std::path::PathBuf;
use std::time::Duration;

/// What is measured.
pub struct Plan {
    /// Nodes that run already. If none, four are started for the bench.
    pub given: Option<Given>,
    pub setup: Setup,
    pub in_flight: usize,
    /// A signature for each request, where a client has several to send at once.
    pub sign_alone: bool,
    /// Requests per second, each its own step of an open loop. Empty for a closed loop.
    pub rates: Vec<f64>,
    pub warmup: Duration,
    pub measure: Duration,
    pub value_bytes: usize,
    pub keys: u64,
    pub json: Option<PathBuf>,
    pub svg: Option<PathBuf>,
}

/// How nodes are set up for a bench.
pub struct Setup {
    pub clients: usize,
    pub fsync: bool,
    pub pipeline: u64,
    pub checkpoint_interval: u64,
    pub verify_threads: usize,
    /// Where, in a new folder that is removed again.
    pub folder: PathBuf,
}

/// Nodes that run already, and clients that are used for nothing else.
pub struct Given {
    pub cluster: PathBuf,
    /// The folder with `client0.key`, `client1.key` ….
    pub client_keys: PathBuf,
    /// The nodes' processes, if they are on this machine: their CPU time is counted.
    pub pids: Vec<u32>,
}

fn given(given: &Given, clients: usize) -> Result<(Nodes, Vec<SigningKey>)> {
    let membership = Membership::read(&given.cluster)?;
    let keys = (0..clients).map(|client| read_key(&given.client_keys.join(format!("client{client}.key")))).collect::<Result<_>>()?;
    Ok((Nodes::given(membership, given.pids.clone()), keys))
}

/// # Errors
/// The nodes can't be started or reached, or a file can't be written.
pub fn run(plan: &Plan) -> Result<()> {
    if plan.value_bytes > 60_000 {
        return Err(fault("a value has at most 60000 bytes"));
    }
    let (mut nodes, keys) = match &plan.given {
        Some(nodes) => given(nodes, plan.setup.clients)?,
        None => nodes::start(&plan.setup)?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let count = nodes.membership.addresses.len();
    let steps = runtime.block_on(steps(plan, &mut nodes, keys))?;
    drop(nodes);
    let report = Report {
        nodes: count,
        clients: plan.setup.clients,
        in_flight: plan.in_flight,
        sign_alone: plan.sign_alone,
        value_bytes: plan.value_bytes,
        fsync: plan.given.is_none().then_some(plan.setup.fsync),
        pipeline: plan.given.is_none().then_some(plan.setup.pipeline),
        processors: std::thread::available_parallelism().map_or(0, usize::from),
        steps,
    };
    if let Some(path) = &plan.json {
        report::write(path, &serde_json::to_string_pretty(&report).map_err(|error| fault(error.to_string()))?)?;
    }
    if let Some(path) = &plan.svg {
        report::write(path, &plot::draw(&report))?;
    }
    Ok(())
}

async fn steps(plan: &Plan, nodes: &mut Nodes, keys: Vec<SigningKey>) -> Result<Vec<Step>> {
    let mut first_numbers = vec![1; keys.len()];
    if plan.given.is_some() {
        for (key, first) in keys.iter().zip(&mut first_numbers) {
            *first = 1 + crate::commands::last_number(nodes.membership.clone(), key, Duration::from_secs(5)).await?;
        }
    }
    let mut crowd = Crowd::connect(&nodes.membership, keys.into_iter().zip(first_numbers), plan)?;
    crowd.wait(Duration::from_secs(30), nodes).await?;
    let loads = match &plan.rates[..] {
        [] => vec![Load::Closed],
        rates => rates.iter().map(|rate| Load::Open { per_second: *rate }).collect(),
    };
    let mut steps = Vec::new();
    println!("{}", report::HEAD);
    for load in loads {
        let mut measured = crowd.run(load, plan.warmup, plan.measure, nodes).await?;
        let step = step(load, &mut measured);
        println!("{step}");
        steps.push(step);
    }
    Ok(steps)
}

fn step(load: Load, measured: &mut Measured) -> Step {
    let seconds = measured.took.as_secs_f64();
    let answered = measured.answered as f64;
    let (begin, end) = (&measured.begin, &measured.end);
    let cpu = begin.cpu.zip(end.cpu).map(|(begin, end)| (end - begin).as_secs_f64());
    let counted = begin
        .count
        .zip(end.count)
        .map(|(begin, end)| (end.requests - begin.requests, end.decided - begin.decided, end.syncs - begin.syncs));
    Step {
        offered_per_second: match load {
            Load::Closed => None,
            Load::Open { per_second } => Some(per_second),
        },
        seconds,
        answered: measured.answered,
        unanswered: measured.unanswered,
        sent_again: measured.sent_again,
        requests_per_signature: measured.requests_per_signature,
        answered_per_second: answered / seconds,
        server_cpu_seconds: cpu,
        answered_per_server_cpu_second: cpu.map(|cpu| answered / cpu),
        bench_cpu_seconds: (end.own_cpu.saturating_sub(begin.own_cpu)).as_secs_f64(),
        requests_per_batch: counted.map(|(requests, decided, _)| requests as f64 / decided.max(1) as f64),
        syncs_per_node: counted.map(|(.., syncs)| syncs),
        latency_us: Latency::of(&measured.latencies),
    }
}

/// Which key the n-th request writes: spread over all, and the same in each run.
fn key_of(request: u64, keys: u64) -> u64 {
    request.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_right(24) % keys.max(1)
}
