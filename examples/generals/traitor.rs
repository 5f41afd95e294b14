//! A traitor: a general like another inside, whose words are twisted on their way out.
//!
//! It has its own key and no other's, so it can do what a real traitor could, and no more.

use crate::dice::Dice;
use crate::forger::Forger;
use crate::network::Post;
use crate::two_faced::TwoFaced;
use logothete::{Application, Bytes, Cluster, Envelope, Node, NodeError, Recipients, ReplicaId, Signature, Signer, SigningKey, Time, Wal};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How a traitor betrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    Silent,
    Equivocate,
    Forge,
    Late,
    Garbage,
}

impl Behaviour {
    pub const ALL: [Self; 5] = [Self::Silent, Self::Equivocate, Self::Forge, Self::Late, Self::Garbage];

    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Equivocate => "equivocate",
            Self::Forge => "forge",
            Self::Late => "late",
            Self::Garbage => "garbage",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|behaviour| behaviour.name() == name)
    }
}

/// Something to send, true or not.
pub type Word = (Recipients, Bytes);

/// Garbage comes in floods: so many messages, so often.
const FLOOD: usize = 10;
const FLOOD_INTERVAL: Duration = Duration::from_millis(20);

/// What a traitor knows.
pub struct Traitor {
    pub id: ReplicaId,
    pub key: SigningKey,
    pub cluster: Arc<Cluster>,
    pub behaviour: Behaviour,
    /// Other equivocators: together they are stronger.
    pub accomplices: Vec<ReplicaId>,
    pub seed: u64,
    /// How long `late` holds its words back.
    pub delay: Duration,
}

/// What turns a general's words into a traitor's.
enum Twist {
    Silent,
    Equivocate(TwoFaced),
    Forge(Forger),
    Late { delay: Duration, held: VecDeque<(Time, Word)> },
    Garbage { dice: Dice, next_flood: Time, cluster: Arc<Cluster> },
}

impl Twist {
    fn new(traitor: Traitor) -> Self {
        let Traitor { id, key, cluster, behaviour, accomplices, seed, delay } = traitor;
        let dice = Dice::new(seed, !u64::from(id.get()));
        match behaviour {
            Behaviour::Silent => Self::Silent,
            Behaviour::Equivocate => Self::Equivocate(TwoFaced::new(id, key, &cluster, accomplices)),
            Behaviour::Forge => Self::Forge(Forger::new(id, key, cluster, dice)),
            Behaviour::Late => Self::Late { delay, held: VecDeque::new() },
            Behaviour::Garbage => Self::Garbage { dice, next_flood: Time::default(), cluster },
        }
    }

    /// Looks at what others say.
    fn overhear(&mut self, bytes: &[u8], out: &mut Vec<Word>) {
        if let Self::Equivocate(two_faced) = self {
            two_faced.overhear(bytes, out);
        }
    }

    /// Takes what an honest general would say now, and says something else.
    fn twist(&mut self, now: Time, honest: Vec<Envelope>, out: &mut Vec<Word>) {
        match self {
            Self::Silent => {}
            Self::Equivocate(two_faced) => honest.iter().for_each(|envelope| two_faced.say(envelope, out)),
            Self::Forge(forger) => honest.iter().for_each(|envelope| forger.say(envelope, out)),
            Self::Late { delay, held } => {
                held.extend(honest.iter().map(|envelope| (now.after(*delay), (envelope.to(), envelope.encode()))));
                while held.front().is_some_and(|(due, _)| *due <= now) {
                    out.extend(held.pop_front().map(|(_, word)| word));
                }
            }
            Self::Garbage { dice, next_flood, cluster } => {
                out.extend(honest.iter().map(|envelope| (envelope.to(), spoilt(dice, &envelope.encode()))));
                if *next_flood <= now {
                    *next_flood = now.after(FLOOD_INTERVAL);
                    flood(dice, cluster, out);
                }
            }
        }
    }

    /// When there is something to say even if nothing comes.
    fn deadline(&self) -> Option<Time> {
        match self {
            Self::Late { held, .. } => held.front().map(|(due, _)| *due),
            Self::Garbage { next_flood, .. } => Some(*next_flood),
            _ => None,
        }
    }
}

/// Something that was a message once.
fn spoilt(dice: &mut Dice, message: &[u8]) -> Bytes {
    let mut bytes = message.to_vec();
    match dice.below(3) {
        0 => bytes.truncate(dice.below(message.len())),
        1 => bytes = dice.bytes(message.len().min(4096)),
        _ => {
            for _ in 0..=dice.below(8) {
                let place = dice.below(bytes.len());
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << dice.below(8);
                }
            }
        }
    }
    Bytes::from(bytes)
}

/// Random bytes for everybody; now and then more of them than any message may have, which ends the connection.
fn flood(dice: &mut Dice, cluster: &Cluster, out: &mut Vec<Word>) {
    for _ in 0..FLOOD {
        let length = dice.below(512);
        let mut bytes = dice.bytes(length);
        if let Some(kind) = bytes.first_chunk_mut::<4>() {
            // The first number says what kind of message it is: a likely one gets further.
            *kind = u32::try_from(dice.below(16)).unwrap_or(0).to_le_bytes();
        }
        out.push((Recipients::AllReplicas, Bytes::from(bytes)));
    }
    out.extend(cluster.clients().map(|client| (Recipients::Client(client), Bytes::from(dice.bytes(64)))));
    if dice.strikes(1) {
        out.push((Recipients::AllReplicas, Bytes::from(vec![0; cluster.limits().message_bytes_max as usize + 1])));
    }
}

/// The pen of a traitor's inner general. A forger's signs every other time with a key that isn't the general's.
pub struct Pen {
    key: SigningKey,
    false_key: Option<SigningKey>,
    strokes: std::cell::Cell<u64>,
}

impl Pen {
    pub fn new(key: SigningKey, behaviour: Behaviour) -> Self {
        let false_key = (behaviour == Behaviour::Forge).then(|| SigningKey::from_bytes(&[0x5A; 32]));
        Self { key, false_key, strokes: std::cell::Cell::new(0) }
    }
}

impl Signer<Signature> for Pen {
    fn try_sign(&self, message: &[u8]) -> Result<Signature, ed25519_dalek::SignatureError> {
        self.strokes.set(self.strokes.get() + 1);
        let key = self.false_key.as_ref().filter(|_| self.strokes.get() % 2 == 0).unwrap_or(&self.key);
        key.try_sign(message)
    }
}

/// Runs a traitor until its post is closed: a general's loop, with an ear and a tongue of its own.
///
/// # Errors
/// The general inside could not go on.
pub fn betray<W: Wal, A: Application>(mut node: Node<W, A, Pen>, traitor: Traitor, mut post: Post) -> Result<(), NodeError<W::Error>> {
    let mut twist = Twist::new(traitor);
    let mut words = Vec::new();
    while let Some(mail) = post.wait(node.deadline().into_iter().chain(twist.deadline()).min()) {
        for (link, bytes) in mail {
            twist.overhear(&bytes, &mut words);
            // A traitor doesn't mind what others send.
            let _ = node.receive(link, &bytes);
        }
        // A silent one need not even think.
        let honest = if matches!(twist, Twist::Silent) { Vec::new() } else { node.run(post.now())? };
        node.events();
        twist.twist(post.now(), honest, &mut words);
        for (to, bytes) in words.drain(..) {
            post.send(to, bytes);
        }
    }
    Ok(())
}

/// A vote, or anything else that a pen can write, for each of these.
pub fn to_each(recipients: &[ReplicaId], bytes: Vec<u8>, out: &mut Vec<Word>) {
    let bytes = Bytes::from(bytes);
    out.extend(recipients.iter().map(|recipient| (Recipients::Replica(*recipient), bytes.clone())));
}
