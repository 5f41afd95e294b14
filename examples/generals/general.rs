//! A loyal general: the whole host of a replica.

use crate::ledger::Ledger;
use crate::network::Post;
use crate::watch::Watch;
use logothete::{Node, NodeError, Signature, Signer, SnapshotStore, Snapshots, Wal};

/// A general's replica, with its log, its ledger and its key.
pub type General<W, D, S> = Node<W, Snapshots<Ledger, D>, S>;

/// Runs a general until its post is closed.
///
/// # Errors
/// The log or the signer failed, or the replica found its own state broken: it must not go on.
pub fn serve<W, D, S>(mut node: General<W, D, S>, mut post: Post, watch: &Watch) -> Result<(), NodeError<W::Error>>
where
    W: Wal,
    D: SnapshotStore,
    S: Signer<Signature>,
{
    // 1. Wait for messages, but not beyond the node's deadline.
    while let Some(mail) = post.wait(node.deadline()) {
        // 2. Hand them in. What is no message is its sender's fault.
        for (link, bytes) in mail {
            if let Err(error) = node.receive(link, &bytes) {
                watch.undecodable(link, &error);
            }
        }
        // 3. Let the node verify, vote, write to its log, sign and execute.
        let said = node.run(post.now());
        // 4. Note what happened, and who sent what is not to be believed.
        node.events().into_iter().for_each(|event| watch.event(event));
        node.refusals().iter().for_each(|(link, error)| watch.unbelievable(*link, error));
        watch.status(node.status(), node.application().service());
        // 5. Send what it wants to say.
        for envelope in said? {
            post.send(envelope.to(), envelope.encode());
        }
    }
    Ok(())
}
