//! Several requests of a client's under one signature. (SPEC S3)

use crate::ids::Digest;
use crate::message::{Place, RUN_MAX, Request, run_payload};
use crate::outbox::{Content, Identity, Outgoing, Recipients, ToSign};
use alloc::vec::Vec;

impl Outgoing {
    /// Lets a client sign at once what it asks for at once: requests that stand next to each other here, with numbers that follow one another and
    /// the same recipients, become one, up to 64 of them, which takes one signature. All else stays as it is, in its place. (SPEC S3)
    ///
    /// Each request still goes by itself and is proved by itself, with a path of at most six digests; replicas judge their signature
    /// once. So it is worth while to submit what there is to submit, and sign then:
    ///
    /// ```
    /// # use logothete::{Bytes, Client, ClientId, ClientInput, ClientOutput, ClientTuning, Cluster, Outgoing, SigningKey, Time};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let key = SigningKey::from_bytes(&[9; 32]);
    /// # let cluster = std::sync::Arc::new(Cluster::builder(vec![SigningKey::from_bytes(&[1; 32]).verifying_key()], vec![key.verifying_key()]).build()?);
    /// # let id = ClientId::new(key.verifying_key().to_bytes());
    /// let mut client = Client::new(cluster, id, ClientTuning::default())?;
    /// let mut outputs = Vec::new();
    /// for operation in ["put a", "put b", "put c"] {
    ///     let _ = client.step(Time(0), ClientInput::Submit(Bytes::from(operation.as_bytes())), &mut outputs);
    /// }
    /// let sends = outputs.into_iter().filter_map(|output| match output {
    ///     ClientOutput::Send(outgoing) => Some(outgoing),
    ///     _ => None,
    /// });
    /// let joined = Outgoing::join(sends);
    /// assert_eq!(joined.len(), 1);
    /// for outgoing in joined {
    ///     assert_eq!(outgoing.sign(&key)?.len(), 3); // Send each of them.
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn join(outgoing: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let (mut joined, mut run) = (Vec::new(), Vec::new());
        for next in outgoing {
            if run.len() >= RUN_MAX || run.last().is_some_and(|last: &Self| !next.follows(last)) {
                close(&mut run, &mut joined);
            }
            run.push(next);
        }
        close(&mut run, &mut joined);
        joined
    }

    fn request(&self) -> Option<(&Identity, Recipients, &Request)> {
        let Content::Unsigned(to_sign) = &self.content else { return None };
        to_sign.request().map(|(to, request)| (&self.identity, to, request))
    }

    fn follows(&self, last: &Self) -> bool {
        let (Some((identity, to, request)), Some((other, before, earlier))) = (self.request(), last.request()) else { return false };
        identity.is(other) && to == before && request.number == earlier.number.next()
    }
}

/// Those that were gathered as one.
fn close(run: &mut Vec<Outgoing>, joined: &mut Vec<Outgoing>) {
    joined.extend(as_one(run));
    joined.append(run);
}

/// Takes all of them, if there are several.
fn as_one(run: &mut Vec<Outgoing>) -> Option<Outgoing> {
    let (identity, to, first) = run.first()?.request().filter(|_| run.len() > 1)?;
    let operations: Vec<Digest> = run.iter().filter_map(|outgoing| Some(outgoing.request()?.2.operation_digest)).collect();
    let (top, places) = Place::of_all(&operations);
    let count = u32::try_from(run.len()).unwrap_or(u32::MAX);
    let payload = run_payload(&identity.group(), &first.client, first.number, count, &top);
    let requests = run.iter().zip(places).filter_map(|(outgoing, place)| Some(Request { place, ..outgoing.request()?.2.clone() }));
    let content = Content::Unsigned(ToSign::run(payload, to, requests));
    let one = Outgoing { identity: identity.clone(), content };
    run.clear();
    Some(one)
}
