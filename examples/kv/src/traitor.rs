//! Nodes that lie, for tests: they have their own key and no other, and say what they like with it. (feature `traitor`)

use crate::error::{Result, fault};
use crate::host::Tongue;
use crate::{dice::Dice, forger::Forger, two_faced::TwoFaced};
use logothete::{Bytes, Cluster, Envelope, Recipients, ReplicaId, SigningKey};
use std::sync::Arc;

/// Something to send, true or not.
pub type Word = (Recipients, Bytes);

enum Liar {
    Silent,
    Equivocate(Box<TwoFaced>),
    Forge(Box<Forger>),
}

impl Tongue for Liar {
    fn say(&mut self, envelopes: Vec<Envelope>) -> Vec<Word> {
        let mut words = Vec::new();
        match self {
            Self::Silent => {}
            Self::Equivocate(two_faced) => envelopes.iter().for_each(|envelope| two_faced.say(envelope, &mut words)),
            Self::Forge(forger) => envelopes.iter().for_each(|envelope| forger.say(envelope, &mut words)),
        }
        words
    }
}

/// # Errors
/// There is no such way to lie.
pub fn tongue(how: &str, id: ReplicaId, key: &SigningKey, cluster: &Arc<Cluster>) -> Result<Box<dyn Tongue>> {
    Ok(Box::new(match how {
        "silent" => Liar::Silent,
        "equivocate" => Liar::Equivocate(Box::new(TwoFaced::new(id, key.clone(), cluster, Vec::new()))),
        "forge" => Liar::Forge(Box::new(Forger::new(id, key.clone(), cluster.clone(), Dice::new(7, u64::from(id.get()))))),
        _ => return Err(fault(format!("--traitor {how}: silent, equivocate or forge"))),
    }))
}

/// The same for each of these.
pub fn to_each(recipients: &[ReplicaId], bytes: Vec<u8>, out: &mut Vec<Word>) {
    let bytes = Bytes::from(bytes);
    out.extend(recipients.iter().map(|recipient| (Recipients::Replica(*recipient), bytes.clone())));
}
