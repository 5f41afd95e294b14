//! The commander: a client that gives every order, in order, and believes an answer when enough generals give it.

use crate::frames::Party;
use crate::ledger::Ledger;
use crate::network::Post;
use crate::orders::{LogDigest, Orders};
use logothete::{
    Bytes, Client, ClientDisposition, ClientEvent, ClientInput, ClientOutput, Cluster, Completion, Evidence, MessageKind, Outcome,
    PeerLink, SignError, SigningKey, Time, Unverified, Verified, Verifier,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A receipt costs f+1 signatures to check: one of so many is.
const RECEIPT_CHECKED_EVERY: u64 = 100;

/// What the commander has seen.
#[derive(Default)]
pub struct Tally {
    /// From giving an order to believing its result.
    pub latencies: Vec<Duration>,
    /// Since the first order: when the last one was completed.
    pub took: Duration,
    /// Orders that were executed at another place than that at which they were given, or with another log before them: none, or all is lost.
    pub misplaced: Vec<u64>,
    pub receipts: u64,
    pub receipts_checked: u64,
    pub receipts_false: u64,
    /// Orders of whose result only the digest was left: the generals who had it were killed.
    pub results_lost: u64,
    pub sent_again: u64,
    /// How far behind an order's completion each general's own answer was.
    pub lags: BTreeMap<Party, Vec<Duration>>,
    pub undecodable: BTreeMap<Party, u64>,
    pub unbelievable: BTreeMap<Party, u64>,
    pub evidence: Vec<Evidence>,
}

/// What the commander's thread and the main thread share.
#[derive(Default)]
pub struct Command {
    /// Orders completed.
    pub completed: AtomicU64,
    pub tally: Mutex<Tally>,
}

pub struct Commander<'a> {
    pub client: Client,
    pub key: &'a SigningKey,
    pub cluster: Arc<Cluster>,
    pub post: Post,
    pub orders: &'a Orders,
    pub command: &'a Command,
}

impl Commander<'_> {
    /// Gives all orders and collects the answers, until the post is closed.
    ///
    /// # Errors
    /// The key would not sign, or the client refused an order for good.
    pub fn serve(mut self) -> Result<(), String> {
        let verifier = Verifier::new(self.cluster.clone());
        let mut book = Book::new(self.post.now());
        let mut orders = self.orders.iter().peekable();
        let mut out = Vec::new();
        loop {
            while self.has_room() {
                let Some(order) = orders.next() else { break };
                book.given.push_back(order.clone());
                let disposition = self.client.step(self.post.now(), ClientInput::Submit(order), &mut out);
                if let ClientDisposition::Refused { reason, .. } = disposition {
                    return Err(format!("an order was refused: {reason}"));
                }
            }
            self.act(&mut book, &mut out).map_err(|error| error.to_string())?;
            let Some(mail) = self.post.wait(self.client.deadline()) else {
                book.close(self.command);
                return Ok(());
            };
            for verified in self.believable(&verifier, &mut book, mail) {
                // What is of no use to the client says nothing about who sent it: late answers are the rule.
                let _ = self.client.step(self.post.now(), ClientInput::Message(verified), &mut out);
            }
            let _ = self.client.step(self.post.now(), ClientInput::Timer, &mut out);
        }
    }

    /// May another order be given? No further ahead than the window, counted from the oldest one under way.
    fn has_room(&self) -> bool {
        let ahead = self.client.next_number().get() - self.client.resume_number().get();
        ahead < u64::from(self.cluster.limits().client_window)
    }

    /// Parses and verifies; counts what is neither message nor believable.
    fn believable(&self, verifier: &Verifier, book: &mut Book, mail: Vec<(PeerLink, Vec<u8>)>) -> Vec<Verified> {
        let now = self.post.now();
        let mut links = Vec::new();
        let mut unverified = Vec::new();
        for (link, bytes) in mail {
            match Unverified::decode(link, &bytes, self.cluster.limits()) {
                Ok(message) => {
                    if message.kind() == MessageKind::Reply {
                        book.note_answer(now, Party::behind(link));
                    }
                    links.push(link);
                    unverified.push(message);
                }
                Err(_) => *book.tally.undecodable.entry(Party::behind(link)).or_default() += 1,
            }
        }
        let mut believed = Vec::new();
        for (link, verdict) in links.into_iter().zip(verifier.verify_all(unverified)) {
            match verdict {
                Ok(verified) => believed.push(verified),
                Err(_) => *book.tally.unbelievable.entry(Party::behind(link)).or_default() += 1,
            }
        }
        believed
    }

    /// Does what the client put out.
    fn act(&mut self, book: &mut Book, out: &mut Vec<ClientOutput>) -> Result<(), SignError<logothete::Outgoing>> {
        for output in out.drain(..) {
            match output {
                ClientOutput::Send(outgoing) => {
                    for envelope in outgoing.sign(self.key)? {
                        self.post.send(envelope.to(), envelope.encode());
                    }
                }
                ClientOutput::Completed(completion) => {
                    book.note_completion(self.post.now(), completion, &self.cluster);
                    self.command.completed.fetch_add(1, Ordering::Release);
                }
                ClientOutput::Event(ClientEvent::Evidence(evidence)) => book.tally.evidence.push(evidence),
                ClientOutput::Event(ClientEvent::SentAgain { .. }) => book.tally.sent_again += 1,
                _ => {}
            }
        }
        Ok(())
    }
}

/// What the commander writes down.
struct Book {
    began: Time,
    tally: Tally,
    /// Operations that were given and whose results haven't been checked yet, in order.
    given: VecDeque<Bytes>,
    /// Outcomes that came before those of earlier orders.
    early: BTreeMap<u64, Outcome>,
    /// What each result has to say: the place of the last checked order, and the log's digest there.
    checked: u64,
    log: LogDigest,
    /// When each order was completed, in the order of completion.
    completed: Vec<Time>,
}

impl Book {
    fn new(began: Time) -> Self {
        Self {
            began,
            tally: Tally::default(),
            given: VecDeque::new(),
            early: BTreeMap::new(),
            checked: 0,
            log: LogDigest::EMPTY,
            completed: Vec::new(),
        }
    }

    fn note_completion(&mut self, now: Time, completion: Completion, cluster: &Cluster) {
        self.completed.push(now);
        self.tally.took = now.since(self.began);
        self.tally.latencies.push(completion.latency);
        self.tally.results_lost += u64::from(matches!(completion.outcome, Outcome::ResultLost { .. }));
        if let Some(receipt) = completion.outcome.receipt() {
            self.tally.receipts += 1;
            if self.tally.receipts % RECEIPT_CHECKED_EVERY == 1 {
                self.tally.receipts_checked += 1;
                self.tally.receipts_false +=
                    u64::from(receipt.verify(cluster).is_err() || !completion.outcome.result_matches(receipt.result()));
            }
        }
        // Orders may complete in another order than they were given in; their results must tell of that order all the same.
        self.early.insert(completion.number.get(), completion.outcome);
        while let Some(outcome) = self.early.remove(&(self.checked + 1)) {
            self.checked += 1;
            let Some(operation) = self.given.pop_front() else { return };
            self.log = self.log.and(&operation);
            // A result that is lost has left its digest, and the order's place shows in that too.
            if !outcome.result_matches(&Ledger::result(self.checked, self.log)) {
                self.tally.misplaced.push(self.checked);
            }
        }
    }

    /// The k-th answer of a general, true or not, belongs to about the k-th order: it tells how far behind the others he is.
    fn note_answer(&mut self, now: Time, from: Party) {
        let lags = self.tally.lags.entry(from).or_default();
        lags.push(self.completed.get(lags.len()).map_or(Duration::ZERO, |completed| now.since(*completed)));
    }

    fn close(self, command: &Command) {
        // Only this thread writes it, once.
        *command.tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = self.tally;
    }
}
