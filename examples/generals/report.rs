//! What the user reads: who fights, how it goes, what was proved, what was only observed, and the verdict.

use crate::args::Settings;
use crate::campaign::{self, Camp, Outcome, Progress};
use crate::commander::Tally;
use crate::frames::Party;
use crate::killer::TOGETHER_MAX;
use crate::ledger::Entry;
use crate::orders::{LogDigest, Orders};
use crate::watch::Seen;
use logothete::{Evidence, ReplicaId, SequenceNumber, View};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// A terminal's line is rewritten so often; elsewhere a line is added so often.
const REWRITE: Duration = Duration::from_millis(100);
const ADD: Duration = Duration::from_secs(2);

/// Of a victim's many lives, where the first ones began.
const POSITIONS_SHOWN: usize = 12;

/// Prints a line. Where nobody reads any more, there is nobody to complain to.
pub fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

pub struct Report<'a> {
    settings: &'a Settings,
    camp: &'a Camp,
    orders: &'a Orders,
    total: u64,
    terminal: bool,
    /// When progress was last shown, and how many orders were completed then.
    shown: (Duration, u64),
}

impl<'a> Report<'a> {
    pub fn new(settings: &'a Settings, camp: &'a Camp, orders: &'a Orders) -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { settings, camp, orders, total: orders.count(), terminal, shown: (Duration::ZERO, 0) }
    }

    fn loyal(&self, id: ReplicaId) -> bool {
        !self.settings.traitors.contains_key(&id.get())
    }

    /// Before it begins.
    pub fn opening(&self) {
        let Settings { generals, traitors, victims, loss, seed, .. } = self.settings;
        let bearable = self.camp.cluster.fault_threshold();
        line(&format!(
            "{generals} generals, of whom {bearable} may lie; {} orders from {}; {loss} % of messages between generals lost; seed {seed}",
            self.total, self.orders.name
        ));
        for (id, behaviour) in traitors {
            line(&format!("general {id} is a traitor: {}", behaviour.name()));
        }
        match (&victims.ids, victims.together) {
            (_, true) => line(&format!("all loyal generals are killed at once, up to {TOGETHER_MAX} times, and started again")),
            (ids, false) => ids.iter().for_each(|id| line(&format!("general {id} is killed and started again, over and over"))),
        }
        if traitors.len() > bearable as usize {
            line(&format!(
                "WARNING: {} traitors are more than the {bearable} that {generals} generals stand: nothing is promised, neither agreement nor an end",
                traitors.len()
            ));
        }
    }

    /// While it goes on.
    pub fn progress(&mut self, progress: &Progress) {
        let (then, before) = self.shown;
        let passed = progress.elapsed.saturating_sub(then);
        if passed < if self.terminal { REWRITE } else { ADD } {
            return;
        }
        let percent = (progress.completed * 100).checked_div(self.total).unwrap_or(100);
        let speed = (progress.completed - before) as f64 / passed.as_secs_f64();
        let text = format!(
            "{:6.1} s  {}/{} orders, {percent} %, {speed:.0} orders/s, view {}",
            progress.elapsed.as_secs_f64(),
            progress.completed,
            self.total,
            progress.view
        );
        if self.terminal {
            // Back to the start of the line, and clear what was longer.
            let mut out = std::io::stdout();
            let _ = write!(out, "\r{text}\x1b[K").and_then(|()| out.flush());
        } else {
            line(&text);
        }
        self.shown = (progress.elapsed, progress.completed);
    }

    /// Everything has stopped. Says what happened; the last line is the verdict. True if the loyal generals agreed.
    pub fn closing(&self, outcome: Result<Outcome, String>) -> bool {
        if self.terminal {
            let _ = write!(std::io::stdout(), "\r\x1b[K");
        }
        let verdict = match &outcome {
            Ok(outcome) => {
                self.proved(outcome);
                self.observed(outcome);
                self.figures(outcome);
                self.logs(outcome);
                self.judge(outcome)
            }
            Err(error) => Err(format!("nothing was fought: {error}")),
        };
        match &verdict {
            Ok(log) => line(&format!("AGREED {} orders, log {log}", self.total)),
            Err(why) => line(&format!("DISAGREED {why}")),
        }
        verdict.is_ok()
    }

    /// Two signed statements where only one may be, each pair checked once more under the cluster's keys alone.
    fn proved(&self, outcome: &Outcome) {
        line("proved:");
        let mut any = false;
        for (culprit, (pieces, holders)) in evidence(outcome, |id| self.loyal(id)) {
            any = true;
            let Some(piece) = pieces.iter().find(|piece| piece.verify(&self.camp.cluster).is_ok()) else { continue };
            let generals = holders.iter().filter(|holder| **holder != Party::Commander).count();
            let commander = if generals < holders.len() { " and the commander" } else { "" };
            line(&format!(
                "  general {culprit} contradicted himself: {piece}; checked, {generals} loyal generals{commander} hold the proof"
            ));
        }
        if !any {
            line("  nothing: nobody was seen to sign two contradictory statements");
        }
    }

    /// What loyal generals and the commander saw, but could not prove to anybody else.
    fn observed(&self, outcome: &Outcome) {
        let lines: Vec<_> = self.camp.cluster.replicas().flat_map(|id| self.observed_of(id, outcome)).collect();
        line("only observed:");
        if lines.is_empty() {
            line("  nothing");
        }
        lines.iter().for_each(|text| line(text));
    }

    fn observed_of(&self, id: ReplicaId, outcome: &Outcome) -> Vec<String> {
        let party = Party::General(id);
        let mut lines = Vec::new();
        let witness = |of: &Party| matches!(of, Party::General(witness) if *witness != id && self.loyal(*witness));
        let heard: Vec<_> = outcome.traffic.iter().filter(|(of, _)| witness(of)).map(|(_, traffic)| &traffic.heard).collect();
        if !heard.is_empty() && heard.iter().all(|parties| !parties.contains_key(&party)) {
            lines.push(format!("  general {id}: no loyal general ever heard from him"));
        }
        let counts = |pick: fn(&Seen) -> &BTreeMap<Party, u64>, at_commander: &BTreeMap<Party, u64>| -> u64 {
            let loyal = outcome.generals.iter().filter(|(id, _)| self.loyal(**id));
            loyal.map(|(_, seen)| pick(seen)).chain([at_commander]).filter_map(|counts| counts.get(&party)).sum()
        };
        let undecodable = counts(|seen| &seen.undecodable, &outcome.tally.undecodable);
        if undecodable > 0 {
            lines.push(format!("  general {id}: {undecodable} pieces of garbage came over his connections"));
        }
        let unbelievable = counts(|seen| &seen.unbelievable, &outcome.tally.unbelievable);
        if unbelievable > 0 {
            lines.push(format!("  general {id}: {unbelievable} messages with signatures that do not hold came over his connections"));
        }
        let lag = outcome.tally.lags.get(&party).and_then(|lags| quantile(lags, 50)).unwrap_or_default();
        // An answer that comes so much later than the others' is worth a word.
        if lag > campaign::timeout(self.settings.generals) / 3 {
            lines.push(format!("  general {id}: answered {} after enough others had (median)", milliseconds(lag)));
        }
        lines
    }

    fn figures(&self, outcome: &Outcome) {
        let seen = || outcome.generals.iter().filter(|(id, _)| self.loyal(**id)).map(|(_, seen)| seen);
        let views: BTreeSet<View> = seen().flat_map(|seen| seen.views.iter().copied()).collect();
        let view = views.last().copied().unwrap_or_default();
        let mut wishes: BTreeMap<&str, u64> = BTreeMap::new();
        for (why, count) in seen().flat_map(|seen| &seen.wishes) {
            *wishes.entry(why).or_default() += count;
        }
        let wishes: Vec<_> = wishes.iter().map(|(why, count)| format!("{why} ({count})")).collect();
        line(&format!(
            "view changes: {}, up to view {view}{}{}",
            views.len(),
            if wishes.is_empty() { "" } else { "; wished for: " },
            wishes.join(", ")
        ));
        let Tally { latencies, took, receipts, receipts_checked, results_lost, sent_again, .. } = &outcome.tally;
        let speed = outcome.completed as f64 / took.as_secs_f64().max(1e-6);
        let of = |percent| quantile(latencies, percent).map_or_else(|| "-".to_owned(), milliseconds);
        line(&format!(
            "{} orders in {:.2} s: {speed:.0} orders/s; latency p50 {}, p99 {}",
            outcome.completed,
            took.as_secs_f64(),
            of(50),
            of(99)
        ));
        let (sent, lost) = outcome.traffic.values().fold((0, 0), |(sent, lost), of| (sent + of.sent, lost + of.lost));
        let without = if *results_lost > 0 { format!("; {results_lost} results known by their digest alone") } else { String::new() };
        line(&format!(
            "{receipts} receipts ({receipts_checked} checked){without}; {sent_again} orders sent again; {sent} messages sent, {lost} lost"
        ));
        let stable: BTreeSet<_> = seen().flat_map(|seen| &seen.stable).collect();
        if stable.is_empty() {
            return;
        }
        line(&format!(
            "{} stable checkpoints, one every {} batches; {} states transferred",
            stable.len(),
            self.camp.cluster.checkpoint_interval(),
            seen().map(|seen| seen.transferred.len()).sum::<usize>()
        ));
    }

    fn logs(&self, outcome: &Outcome) {
        for (id, seen) in outcome.generals.iter().filter(|(id, _)| self.loyal(**id)) {
            let Entry { number, orders, log, .. } = seen.now.unwrap_or(Entry::BEGINNING);
            let view = seen.status.as_ref().map(|status| status.view).unwrap_or_default();
            let stopped = seen.stopped.as_ref().map(|why| format!("; stopped: {why}")).unwrap_or_default();
            line(&format!("general {id}: {orders} orders in {} batches, view {view}, log {log}{stopped}", number.get()));
            if self.settings.victims.ids.contains(&id.get()) {
                line(&format!("  {}", lives(seen, outcome.torn.get(id).copied().unwrap_or_default())));
            }
            if let (Some(_), Some(status)) = (&outcome.trouble, &seen.status) {
                line(&format!("  knows: {status:?}"));
            }
        }
    }

    /// All loyal generals have all orders, each once, in the commander's order; or why not.
    fn judge(&self, outcome: &Outcome) -> Result<LogDigest, String> {
        if let Some(trouble) = &outcome.trouble {
            return Err(trouble.clone());
        }
        let expected = self.orders.expected_log()?;
        let mut loyal = outcome.generals.iter().filter(|(id, _)| self.loyal(**id)).peekable();
        if loyal.peek().is_none() {
            return Err("no general was loyal: there is nobody to agree".to_owned());
        }
        for (id, seen) in loyal {
            let Some(Entry { orders, log, .. }) = seen.now else {
                return Err(format!("general {id} was killed and is still dead"));
            };
            if orders != self.total {
                return Err(format!("general {id} has executed {orders} orders, not {}", self.total));
            }
            if log != expected {
                return Err(format!("general {id}'s log is not that of the orders as they were given, {expected}"));
            }
        }
        if let Some(place) = outcome.tally.misplaced.first() {
            return Err(format!("the commander was told another result of order {place} than its own"));
        }
        if outcome.tally.receipts_false > 0 {
            return Err(format!("{} receipts do not hold", outcome.tally.receipts_false));
        }
        for (culprit, (pieces, _)) in evidence(outcome, |id| self.loyal(id)) {
            if self.loyal(culprit) || pieces.iter().any(|piece| piece.verify(&self.camp.cluster).is_err()) {
                return Err(format!("evidence against general {culprit} that should not exist"));
            }
        }
        Ok(expected)
    }
}

/// How a victim fared.
fn lives(seen: &Seen, torn: u64) -> String {
    let at = |numbers: &[SequenceNumber]| {
        let mut numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
        let more = numbers.len().saturating_sub(POSITIONS_SHOWN);
        numbers.truncate(POSITIONS_SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        if numbers.is_empty() { String::new() } else { format!(" at {}{more}", numbers.join(", ")) }
    };
    format!(
        "killed {} times, {torn} of them in the middle of a write; started again {} times{}; given a state {} times{}",
        seen.killed,
        seen.recovered.len(),
        at(&seen.recovered),
        seen.transferred.len(),
        at(&seen.transferred)
    )
}

/// All evidence that loyal generals and the commander hold, by culprit, and who holds some.
fn evidence(outcome: &Outcome, loyal: impl Fn(ReplicaId) -> bool) -> BTreeMap<ReplicaId, (Vec<&Evidence>, BTreeSet<Party>)> {
    let mut all: BTreeMap<ReplicaId, (Vec<&Evidence>, BTreeSet<Party>)> = BTreeMap::new();
    let of_generals = outcome
        .generals
        .iter()
        .filter(|(id, _)| loyal(**id))
        .flat_map(|(id, seen)| seen.evidence.values().flat_map(|(pieces, _)| pieces).map(|piece| (Party::General(*id), piece)));
    let of_commander = outcome.tally.evidence.iter().map(|piece| (Party::Commander, piece));
    for (holder, piece) in of_generals.chain(of_commander) {
        let (pieces, holders) = all.entry(piece.culprit()).or_default();
        pieces.push(piece);
        holders.insert(holder);
    }
    all
}

/// The value that `percent` of 100 don't exceed.
fn quantile(values: &[Duration], percent: usize) -> Option<Duration> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied()
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}
