//! What each command of the program does.

use crate::bench;
use crate::cli::{Arguments, Bench, Command, Member, Serve, Switch};
use crate::config::{Membership, read_key, state_path};
use crate::desk::{Report, STALE_READ, STATUS};
use crate::door::Quotas;
use crate::error::{Result, fault};
use crate::host::FLUSH_AFTER;
use crate::operation::{Answer, Operation};
use crate::pending::Pending;
use crate::remote::{Done, Remote};
use crate::server::{self, Options};
use crate::{load, setup};
use logothete::{ExecutionReceipt, ReplicaId, SigningKey};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// # Errors
/// What went wrong, and what to do.
pub fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Keygen { file, client, data } => setup::keygen(&file, client, data.as_deref()),
        Command::Init { folder, nodes, clients, host, port, checkpoint_interval } => {
            setup::init(&setup::Plan { folder: &folder, nodes, clients, host: &host, port, checkpoint_interval })
        }
        Command::Serve(serve) => server::serve(options(serve)),
        Command::Put { key_name, value, receipt, member } => {
            let done = execute(&member, &Operation::Put(vec![(key_name.into_bytes(), value.into_bytes())]))?;
            finish(done, receipt.as_deref(), |_| println!("ok"))
        }
        Command::Cas { key_name, value, expected, member } => {
            let operation = Operation::CompareAndSet {
                key: key_name.into_bytes(),
                expected: expected.map(String::into_bytes),
                new: value.into_bytes(),
            };
            finish(execute(&member, &operation)?, None, |_| println!("ok"))
        }
        Command::Get { key_name, stale, receipt, member } => {
            let operation = Operation::Get(key_name.into_bytes());
            match stale {
                Some(node) => stale_read(&member, node, &operation),
                None => finish(execute(&member, &operation)?, receipt.as_deref(), show),
            }
        }
        Command::Del { key_name, member } => finish(execute(&member, &Operation::Delete(key_name.into_bytes()))?, None, show),
        Command::List { prefix, after, limit, stale, member } => {
            let operation = Operation::List { prefix: prefix.into_bytes(), after: after.into_bytes(), limit };
            match stale {
                Some(node) => stale_read(&member, node, &operation),
                None => finish(execute(&member, &operation)?, None, show),
            }
        }
        Command::Load { file, no_header, prefix, key_column, rows, member } => {
            load::load(&file, &load::Form { header: !no_header, prefix: &prefix, key_column, rows }, &member)
        }
        Command::Resume { member } => resume(&member),
        Command::Recover { member } => recover(&member),
        Command::Status { member } => status(&member),
        Command::Bench(bench) => bench::run(&plan(bench)),
        Command::Verify { receipt, put, value, cluster } => verify(&receipt, put, value, &cluster.cluster),
    }
}

fn options(serve: Serve) -> Options {
    Options {
        cluster: serve.cluster.cluster,
        key: serve.key,
        data: serve.data,
        listen: serve.listen,
        metrics: serve.metrics,
        rejoin: serve.rejoin,
        request_timeout: Duration::from_millis(serve.request_timeout_ms),
        cache_bytes: serve.cache_mib << 20,
        verify_threads: serve.verify_threads,
        retention: serve.retention,
        quotas: Quotas { clients_max: serve.clients_max, client_bytes_per_second: serve.client_bytes_per_second, ..Quotas::default() },
        fsync: serve.fsync == Switch::On,
        tape: serve.tape,
        traitor: serve.traitor,
    }
}

fn plan(bench: Bench) -> bench::Plan {
    let seconds = |seconds: f64| Duration::from_secs_f64(seconds.clamp(0.0, 86_400.0));
    let given = bench.cluster.zip(bench.client_keys);
    bench::Plan {
        given: given.map(|(cluster, client_keys)| bench::Given { cluster, client_keys, pids: bench.pids }),
        setup: bench::Setup {
            clients: bench.clients,
            fsync: bench.fsync == Switch::On,
            pipeline: bench.pipeline,
            checkpoint_interval: bench.checkpoint_interval,
            verify_threads: bench.verify_threads,
            folder: bench.folder.unwrap_or_else(std::env::temp_dir),
        },
        in_flight: bench.in_flight,
        sign_alone: bench.sign_alone,
        rates: bench.rate,
        warmup: seconds(bench.warmup),
        measure: seconds(bench.seconds),
        value_bytes: bench.value_bytes,
        keys: bench.keys,
        json: bench.json,
        svg: bench.svg,
    }
}

fn patience(member: &Member) -> Duration {
    Duration::from_secs_f64(member.timeout.clamp(0.1, 86_400.0))
}

/// # Errors
/// A file is missing or wrong.
pub fn connect(member: &Member) -> Result<Remote> {
    let membership = Arc::new(Membership::read(&member.cluster.cluster)?);
    Remote::connect(membership, read_key(&member.key)?, Pending::open(&state_path(&member.key))?)
}

/// For what needs no request number, and so no state file.
fn connect_to_ask(member: &Member) -> Result<Remote> {
    let membership = Arc::new(Membership::read(&member.cluster.cluster)?);
    Remote::connect(membership, read_key(&member.key)?, Pending::in_memory())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn execute(member: &Member, operation: &Operation) -> Result<Done> {
    runtime()?.block_on(async { connect(member)?.execute(operation, patience(member)).await })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn show(answer: &Answer) {
    match answer {
        Answer::Put(_) => println!("ok"),
        Answer::Value(value) => println!("{}", value.as_deref().map_or(String::new(), text)),
        Answer::Deleted(_) => println!("ok"),
        Answer::List { pairs, more } => {
            pairs.iter().for_each(|(key, value)| println!("{}\t{}", text(key), text(value)));
            if *more {
                eprintln!("there are more; go on with --after {}", pairs.last().map_or(String::new(), |(key, _)| text(key)));
            }
        }
        Answer::Compared { .. } | Answer::Refused(_) => {}
    }
}

fn described(answer: &Answer) -> String {
    match answer {
        Answer::Put(count) => format!("{count} put"),
        Answer::Value(value) => value.as_deref().map_or("no such key".to_owned(), |value| format!("the value `{}`", text(value))),
        Answer::Deleted(was_there) => if *was_there { "deleted" } else { "no such key" }.to_owned(),
        Answer::Compared { set, .. } => if *set { "set" } else { "not set" }.to_owned(),
        Answer::List { pairs, .. } => format!("{} pairs", pairs.len()),
        Answer::Refused(why) => format!("refused: {why}"),
    }
}

fn finish(done: Done, receipt: Option<&Path>, show: impl Fn(&Answer)) -> Result<()> {
    match &done.answer {
        None => {
            return Err(fault(
                "it was executed, exactly once, but no node has its result any more; read the key to see where it stands, and don't send it again",
            ));
        }
        Some(Answer::Refused(why)) => return Err(fault(format!("refused: {why}"))),
        Some(Answer::Value(None)) => return Err(fault("there is no such key")),
        Some(Answer::Deleted(false)) => return Err(fault("there was no such key")),
        Some(Answer::Compared { set: false, found }) => {
            return Err(fault(format!(
                "not set: the value is {}",
                found.as_deref().map_or("none".to_owned(), |value| format!("`{}`", text(value)))
            )));
        }
        Some(answer) => show(answer),
    }
    if let Some(path) = receipt {
        let receipt = done.receipt.ok_or_else(|| fault("there is no receipt: some nodes had only the result's digest left"))?;
        fs::write(path, receipt.encode()).map_err(|error| fault(format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

fn stale_read(member: &Member, node: u32, operation: &Operation) -> Result<()> {
    let question = [&[STALE_READ], &operation.encode()[..]].concat();
    let node = ReplicaId::new(node);
    let replies = runtime()?.block_on(async { connect_to_ask(member)?.ask(Some(node), question, patience(member)).await })?;
    let reply = replies.get(&node).ok_or_else(|| fault(format!("node {node} does not answer")))?;
    let (position, answer) = reply.split_first_chunk::<8>().ok_or_else(|| fault(format!("node {node} can't answer that")))?;
    eprintln!("by the word of node {node} alone, as of position {}; it may be old", u64::from_le_bytes(*position));
    let answer = Answer::decode(answer).ok_or_else(|| fault(format!("node {node} answers nonsense")))?;
    finish(Done { number: 0, answer: Some(answer), receipt: None }, None, show)
}

fn resume(member: &Member) -> Result<()> {
    runtime()?.block_on(async {
        let mut remote = connect(member)?;
        let deadline = Instant::now() + patience(member);
        let mut count = 0;
        while remote.outstanding() > 0 {
            if remote.next(deadline).await?.is_none() {
                return Err(remote.why_not(patience(member)).await);
            }
            count += 1;
        }
        remote.pending.flush()?;
        println!("{count} operations that were pending are executed");
        Ok(())
    })
}

/// The number of a client's last executed request: f+1 nodes say at least this, so one of them is correct; of a quorum, so that what was executed is among it.
///
/// # Errors
/// Too few nodes answer.
pub async fn last_number(membership: Arc<Membership>, key: &SigningKey, patience: Duration) -> Result<u64> {
    let mut said = None;
    // A node that was just started executes again what came after its newest snapshot: a number counts when it is the same twice.
    loop {
        let mut remote = Remote::connect(membership.clone(), key.clone(), Pending::in_memory())?;
        let quorum = membership.cluster.quorum();
        let last = remote
            .last_number(patience)
            .await
            .ok_or_else(|| fault(format!("fewer than {quorum} nodes answer; try again when more are there")))?;
        if said.replace(last) == Some(last) {
            return Ok(last);
        }
        tokio::time::sleep(2 * FLUSH_AFTER).await;
    }
}

fn recover(member: &Member) -> Result<()> {
    runtime()?.block_on(async {
        let membership = Arc::new(Membership::read(&member.cluster.cluster)?);
        let path = state_path(&member.key);
        // Opened first: nobody else may use it meanwhile.
        let pending = if path.exists() { Some(Pending::open(&path)?) } else { None };
        let last = last_number(membership, &read_key(&member.key)?, patience(member)).await?;
        match pending {
            None => {
                Pending::create(&path, last + 1)?;
                println!("the next request has number {}; what was sent before and not answered may have been executed", last + 1);
            }
            Some(pending) if pending.first() > last => {
                println!("nothing to recover: the nodes have executed this key's requests up to {last}, and {} is at {}", path.display(), pending.first());
            }
            Some(mut pending) => {
                let given_up = pending.skip(last)?;
                println!("the numbers up to {last} are used; {given_up} operations that were pending under some of them are given up: they may have been executed, or not");
            }
        }
        Ok(())
    })
}

fn status(member: &Member) -> Result<()> {
    let membership = Membership::read(&member.cluster.cluster)?;
    let wait = patience(member).min(Duration::from_secs(3));
    let replies = runtime()?.block_on(async { connect_to_ask(member)?.ask(None, vec![STATUS], wait).await })?;
    println!("node  address                 view  decided  stable  executed log        state      reached  says");
    for (replica, address) in &membership.addresses {
        let report = replies.get(replica).and_then(|reply| toml::from_str::<Report>(std::str::from_utf8(reply).ok()?).ok());
        let Some(report) = report else {
            println!("{replica:<5} {address:<23} -     -        -       -        -          -          -        does not answer");
            continue;
        };
        let mut says = Vec::new();
        if report.primary == replica.get() && report.normal {
            says.push("primary".to_owned());
        }
        if !report.normal {
            says.push("view change".to_owned());
        }
        if report.rejoining {
            says.push("rejoining".to_owned());
        }
        if report.diverged {
            says.push("DIVERGED".to_owned());
        }
        if let Some((number, done, all)) = report.transfer {
            says.push(format!("fetches the state at {number}: {done} of {all} parts"));
        }
        if (report.reached as u32) < membership.cluster.quorum() {
            says.push("no quorum".to_owned());
        }
        let short = |digest: &str| digest.get(..8).unwrap_or(digest).to_owned();
        println!(
            "{replica:<5} {address:<23} {:<5} {:<8} {:<7} {:<8} {:<10} {:<10} {}/{:<6} {}",
            report.view,
            report.decided,
            report.stable,
            report.executed,
            short(&report.log_digest),
            short(&report.state_digest),
            report.reached,
            membership.cluster.size(),
            says.join(", ")
        );
    }
    Ok(())
}

fn verify(path: &Path, put: Option<String>, value: Option<String>, cluster: &Path) -> Result<()> {
    let membership = Membership::read(cluster)?;
    let bytes = fs::read(path).map_err(|error| fault(format!("{}: {error}", path.display())))?;
    let receipt =
        ExecutionReceipt::decode(&bytes, membership.cluster.limits()).map_err(|error| fault(format!("{}: {error}", path.display())))?;
    receipt.verify(&membership.cluster).map_err(|error| fault(format!("{}: proves nothing in this cluster: {error}", path.display())))?;
    if let Some(key) = put {
        let operation = Operation::Put(vec![(key.into_bytes(), value.unwrap_or_default().into_bytes())]);
        if !receipt.operation_matches(&operation.encode()) {
            return Err(fault("valid, but for another operation"));
        }
    }
    let client = membership.names.get(&receipt.client()).map_or("?", |name| name);
    println!(
        "valid: request {} of {client} was executed at position {}, by the word of nodes {:?}",
        receipt.number(),
        receipt.sequence_number(),
        receipt.signers().map(|signer| signer.get()).collect::<Vec<_>>()
    );
    println!("its result: {}", Answer::decode(receipt.result()).map_or("of another version".to_owned(), |answer| described(&answer)));
    Ok(())
}
