//! `kv load`: a CSV file into the store, many rows to an operation and many operations at a time; it goes on where it was.

use crate::cli::Member;
use crate::commands::connect;
use crate::config::hex;
use crate::error::{Result, fault};
use crate::operation::{Answer, KEY_BYTES_MAX, Operation};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::time::{Duration, Instant};

/// How the file is read.
pub struct Form<'a> {
    pub header: bool,
    pub prefix: &'a str,
    pub key_column: usize,
    pub rows: usize,
}

/// Bytes of pairs in one operation, about.
const OPERATION_BYTES: usize = 32 * 1024;

fn file_digest(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(|error| fault(format!("{}: {error}", path.display())))?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
    }
}

type Row = (Vec<u8>, Vec<u8>);

/// A row's key, and what is left of it: one column as it is, more as a line of CSV.
fn row(record: &csv::StringRecord, form: &Form<'_>, line: u64) -> Result<Row> {
    let key = record.get(form.key_column).ok_or_else(|| fault(format!("row {line} has no column {}", form.key_column)))?;
    let key = format!("{}{key}", form.prefix).into_bytes();
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(fault(format!("row {line}: a key has 1 to {KEY_BYTES_MAX} bytes, not {}", key.len())));
    }
    let rest: Vec<&str> = record.iter().enumerate().filter(|(column, _)| *column != form.key_column).map(|(_, field)| field).collect();
    let value = match rest[..] {
        [only] => only.as_bytes().to_vec(),
        _ => {
            let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(Vec::new());
            writer.write_record(&rest).map_err(|error| fault(error.to_string()))?;
            let mut line = writer.into_inner().map_err(|error| fault(error.to_string()))?;
            line.pop();
            line
        }
    };
    Ok((key, value))
}

fn reader(path: &Path, form: &Form<'_>) -> Result<csv::Reader<File>> {
    csv::ReaderBuilder::new().has_headers(form.header).from_path(path).map_err(|error| fault(format!("{}: {error}", path.display())))
}

/// # Errors
/// The file can't be read, or nothing was answered for the member's timeout. Everything answered is in the store; called again, it goes on.
pub fn load(path: &Path, form: &Form<'_>, member: &Member) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(path, form, member))
}

async fn run(path: &Path, form: &Form<'_>, member: &Member) -> Result<()> {
    let patience = Duration::from_secs_f64(member.timeout.clamp(0.1, 86_400.0));
    let mark = format!("load {} {} {} {}", file_digest(path)?, form.header, form.key_column, form.prefix);
    let mut counted = reader(path, form)?;
    let mut total = 0_u64;
    let mut record = csv::StringRecord::new();
    while counted.read_record(&mut record).map_err(|error| fault(format!("{}: {error}", path.display())))? {
        total += 1;
    }
    let mut remote = connect(member)?;
    let begun = remote.pending.mark(&mark)?;
    if begun > 0 {
        eprintln!("going on behind row {begun} of {total}");
    }
    let bar = ProgressBar::with_draw_target(
        Some(total),
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
    );
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} rows, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    bar.set_position(begun);
    remote.wait_for(2, Instant::now() + Duration::from_secs(1)).await;

    let mut rows = reader(path, form)?;
    let (mut line, mut sent) = (0_u64, begun);
    let mut sizes = std::collections::BTreeMap::new();
    let started = Instant::now();
    let mut answered = Instant::now();
    let mut spare: Option<Row> = None;
    let mut ended = false;
    while !ended || remote.outstanding() > 0 {
        // As many operations as there is room for, half of it at a time so that one write to the disk covers many.
        let most = remote.room().min(64);
        let mut group = Vec::new();
        while !ended && group.len() < most && (remote.outstanding() < 8 || most >= 16) {
            let mut pairs = Vec::new();
            let mut bytes = 0;
            while pairs.len() < form.rows.max(1) {
                let next = match spare.take() {
                    Some(next) => next,
                    None => {
                        if !rows.read_record(&mut record).map_err(|error| fault(format!("{}: {error}", path.display())))? {
                            ended = true;
                            break;
                        }
                        line += 1;
                        if line <= begun {
                            continue;
                        }
                        row(&record, form, line)?
                    }
                };
                let length = next.0.len() + next.1.len() + 8;
                if bytes + length > OPERATION_BYTES && !pairs.is_empty() {
                    spare = Some(next);
                    break;
                }
                bytes += length;
                pairs.push(next);
            }
            if !pairs.is_empty() {
                sent += pairs.len() as u64;
                group.push(Operation::Put(pairs));
            }
        }
        if !group.is_empty() {
            let first = remote.submit(&group, Some((&mark, sent)))?;
            for (number, operation) in (first..).zip(&group) {
                if let Operation::Put(pairs) = operation {
                    sizes.insert(number, pairs.len() as u64);
                }
            }
            answered = answered.max(Instant::now() - patience.min(Duration::from_millis(1)));
        }
        if remote.outstanding() == 0 {
            continue;
        }
        match remote.next(answered + patience).await? {
            Some(done) => {
                answered = Instant::now();
                bar.inc(sizes.remove(&done.number).unwrap_or(0));
                if let Some(Answer::Refused(why)) = done.answer {
                    return Err(fault(format!("refused: {why}")));
                }
            }
            None => {
                bar.abandon();
                return Err(remote.why_not(patience).await);
            }
        }
    }
    remote.pending.flush()?;
    bar.finish();
    let seconds = started.elapsed().as_secs_f64();
    println!("{} rows in {seconds:.1} s, {:.0} rows/s; {total} rows in all", sent - begun, (sent - begun) as f64 / seconds.max(0.001));
    Ok(())
}
