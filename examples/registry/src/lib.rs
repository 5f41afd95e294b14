//! A registry of names: who registers a name first owns it, and may hand it on. This is all that is this service's own.

use logothete::{AppError, Bytes, ClientId, Decision, ParseHexError, Request, Service};
use std::collections::BTreeMap;

/// Who owns what. Sorted, so that equal states are equal bytes on every replica.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Registry(BTreeMap<String, ClientId>);

impl Registry {
    /// Whoever signed the request is who it says: the replicas have checked it. What it asks for may be anything.
    fn apply(&mut self, client: ClientId, operation: &[u8]) -> String {
        let Ok(text) = std::str::from_utf8(operation) else { return "refused: not text".to_owned() };
        match text.split(' ').collect::<Vec<_>>()[..] {
            ["register", name] if !name.is_empty() && self.0.contains_key(name) => "refused: taken".to_owned(),
            ["register", name] if !name.is_empty() => {
                self.0.insert(name.to_owned(), client);
                "registered".to_owned()
            }
            ["transfer", name, to] => match (self.0.get_mut(name), to.parse()) {
                (Some(owner), Ok(to)) if *owner == client => {
                    *owner = to;
                    "transferred".to_owned()
                }
                (_, Err(ParseHexError)) => "refused: an owner is 64 hex digits".to_owned(),
                _ => "refused: not yours".to_owned(),
            },
            ["lookup", name] => self.0.get(name).map_or_else(|| "free".to_owned(), |owner| format!("{owner}")),
            _ => "refused: register NAME, transfer NAME OWNER or lookup NAME".to_owned(),
        }
    }
}

impl Service for Registry {
    fn execute(&mut self, decision: &Decision) -> Vec<Bytes> {
        decision.requests().map(|request: &Request| Bytes::from(self.apply(request.client(), request.operation()).into_bytes())).collect()
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(name, owner)| format!("{name} {owner}\n").into_bytes()).collect()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), AppError> {
        let entry = |line: &str| line.split_once(' ').and_then(|(name, owner)| Some((name.to_owned(), owner.parse().ok()?)));
        self.0 = std::str::from_utf8(snapshot)?.lines().map(entry).collect::<Option<_>>().ok_or("a line that is no name and owner")?;
        Ok(())
    }
}
