//! A client, and what it must not forget: each operation with its number, before it is sent.

use crate::{AnyError, Network, REPLICAS};
use logothete::*;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// The number of the first operation that is not known to be executed, and the operations from there on, a line each.
fn read(file: &Path) -> Result<(u64, Vec<String>), AnyError> {
    if !fs::exists(file)? {
        return Ok((1, Vec::new()));
    }
    let text = fs::read_to_string(file)?;
    let mut lines = text.lines();
    Ok((lines.next().ok_or("an empty file")?.parse()?, lines.map(str::to_owned).collect()))
}

fn write(path: &Path, first: u64, operations: &[String]) -> Result<(), AnyError> {
    let unfinished = path.with_extension("new");
    let mut file = File::create(&unfinished)?;
    write!(file, "{first}\n{}", operations.iter().map(|operation| format!("{operation}\n")).collect::<String>())?;
    file.sync_all()?;
    fs::rename(unfinished, path)?;
    Ok(path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())?)
}

/// Asks for what was asked for before and not answered, and then for these; each result is told with its number.
#[allow(clippy::too_many_arguments, reason = "a client is all of these")]
pub fn ask(
    cluster: &Arc<Cluster>,
    me: ClientId,
    file: &Path,
    operations: &[String],
    key: &SigningKey,
    answers: &Receiver<(PeerLink, Bytes)>,
    network: &Network,
    mut told: impl FnMut(RequestNumber, &str, &str),
) -> Result<(), AnyError> {
    let start = Instant::now();
    let now = || Time(start.elapsed().as_micros() as u64);
    let (first, mut all) = read(file)?;
    all.extend_from_slice(operations);
    write(file, first, &all)?;
    let tuning = ClientTuning { first_number: RequestNumber::new(first), ..ClientTuning::default() };
    let (verifier, mut out) = (Verifier::new(cluster.clone()), Vec::new());
    let mut client = Client::new(cluster.clone(), me, tuning)?;
    let (mut asked, mut names) = (0, BTreeMap::new());
    loop {
        // As many as may be under way; the next one when the oldest is answered.
        while let Some(operation) = all.get(asked) {
            match client.step(now(), ClientInput::Submit(Bytes::from(operation.as_bytes())), &mut out) {
                ClientDisposition::Submitted(number) => names.insert(number, operation.clone()),
                ClientDisposition::Refused { reason: SubmitError::WindowFull { .. }, .. } => break,
                ClientDisposition::Refused { reason, .. } => return Err(format!("{operation}: {reason}").into()),
                other => return Err(format!("{operation}: {other:?}").into()),
            };
            asked += 1;
        }
        let mut sends = Vec::new();
        for output in out.drain(..) {
            match output {
                ClientOutput::Send(outgoing) => sends.push(outgoing),
                ClientOutput::Completed(Completion { number, outcome, .. }) => {
                    let operation = names.remove(&number).unwrap_or_default();
                    let result =
                        outcome.result().map_or("executed, and its result is lost".into(), |result| String::from_utf8_lossy(result));
                    told(number, &operation, &result);
                }
                ClientOutput::Event(event) => eprintln!("client: {event}"),
                _ => {}
            }
        }
        // What is asked for at once is signed at once.
        for outgoing in Outgoing::join(sends) {
            outgoing.sign(key)?.iter().for_each(|envelope| network.send(REPLICAS, envelope));
        }
        if client.outstanding() == 0 && asked == all.len() {
            // What is answered need not be asked again.
            return write(file, client.resume_number().get(), &[]);
        }
        let wait = client.deadline().map_or(Duration::MAX, |deadline| deadline.since(now()));
        let input = match answers.recv_timeout(wait) {
            // A liar's answer is nothing to stop for.
            Ok((link, bytes)) => match Unverified::decode(link, &bytes, cluster.limits()).map(|message| verifier.verify(message)) {
                Ok(Ok(message)) => ClientInput::Message(message),
                _ => continue,
            },
            Err(_) => ClientInput::Timer,
        };
        drop(client.step(now(), input, &mut out));
    }
}
