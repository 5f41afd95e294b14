//! Who is there: both sides of a connection prove that they have the key which they are enrolled with.
//!
//! ```text
//! caller → door: "lgthkv/1" ‖ cluster (32) ‖ role (1) ‖ caller's key (32) ‖ door's key (32) ‖ nonce (32)
//! door → caller: 1 ‖ nonce (32) ‖ signature (64)         or 0 ‖ reason (1)
//! caller → door: signature (64)
//! door → caller: 1                                       or 0 ‖ reason (1)
//! ```
//!
//! Each signs its own word, the cluster, the caller's role, both keys and both nonces. The door signs nothing for a key that isn't enrolled.

use crate::config::random;
use logothete::{Digest, Signature, Signer, SigningKey, VerifyingKey};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const MAGIC: &[u8; 8] = b"lgthkv/1";

/// What the caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Node,
    Client,
}

/// Why a caller is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    OtherCluster,
    NotEnrolled,
    WrongDoor,
    BadSignature,
    TooMany,
}

impl Refusal {
    const ALL: [Self; 5] = [Self::OtherCluster, Self::NotEnrolled, Self::WrongDoor, Self::BadSignature, Self::TooMany];

    fn byte(self) -> u8 {
        Self::ALL.iter().zip(0..).find(|(refusal, _)| **refusal == self).map_or(0, |(_, byte)| byte)
    }

    pub fn describe(self) -> &'static str {
        match self {
            Self::OtherCluster => "it belongs to another cluster: are the cluster files equal, but for addresses?",
            Self::NotEnrolled => "this key is not enrolled there: are the cluster files equal, and is this the right key?",
            Self::WrongDoor => "another node is at that address: are the addresses in the cluster file right?",
            Self::BadSignature => "the signature is not this key's",
            Self::TooMany => "too many connections of this key, or in all; close some, or try again later",
        }
    }
}

struct Hello {
    cluster: Digest,
    role: Role,
    caller: VerifyingKey,
    door: VerifyingKey,
    nonce: [u8; 32],
}

impl Hello {
    fn encode(&self) -> Vec<u8> {
        let role = [u8::from(self.role == Role::Client)];
        [&MAGIC[..], self.cluster.as_bytes(), &role, self.caller.as_bytes(), self.door.as_bytes(), &self.nonce].concat()
    }

    /// What is signed; begins unlike anything that the protocol signs.
    fn payload(&self, speaker: &str, door_nonce: &[u8; 32]) -> Vec<u8> {
        [b"logothete-kv/hello/", speaker.as_bytes(), &[0], &self.encode(), door_nonce].concat()
    }
}

/// The caller's side. Gives an error that says why it wasn't let in.
///
/// # Errors
/// The connection's own, or `PermissionDenied`.
pub async fn call(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    cluster: Digest,
    role: Role,
    key: &SigningKey,
    door: VerifyingKey,
) -> io::Result<()> {
    let nonce = random().map_err(|error| io::Error::other(error.to_string()))?;
    let hello = Hello { cluster, role, caller: key.verifying_key(), door, nonce };
    stream.write_all(&hello.encode()).await?;
    accepted(stream).await?;
    let mut theirs = [0; 96];
    stream.read_exact(&mut theirs).await?;
    let (door_nonce, signature) = theirs.split_first_chunk::<32>().ok_or(io::ErrorKind::InvalidData)?;
    let signature = Signature::from_slice(signature).map_err(|_| denied("whoever is at that address has no proof"))?;
    door.verify_strict(&hello.payload("door", door_nonce), &signature)
        .map_err(|_| denied("whoever is at that address doesn't have the key of the node that should be there"))?;
    stream.write_all(&key.sign(&hello.payload("caller", door_nonce)).to_bytes()).await?;
    accepted(stream).await
}

async fn accepted(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    if stream.read_u8().await? == 1 {
        return Ok(());
    }
    let reason = usize::from(stream.read_u8().await?);
    Err(denied(Refusal::ALL.get(reason).map_or("it doesn't say why", |refusal| refusal.describe())))
}

fn denied(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

/// The door's side. `admit` is asked twice: before anything is signed, and, with `true`, when the caller has proved his key; what it then gives is
/// the caller's place, and is kept as long as the connection.
///
/// # Errors
/// The connection's own, or `PermissionDenied`.
pub async fn answer<T>(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    cluster: Digest,
    key: &SigningKey,
    mut admit: impl FnMut(Role, &VerifyingKey, bool) -> Result<Option<T>, Refusal>,
) -> io::Result<T> {
    let mut bytes = [0; 137];
    stream.read_exact(&mut bytes).await?;
    let outcome = async {
        let hello = read_hello(&bytes).ok_or(Refusal::NotEnrolled)?;
        if hello.cluster != cluster {
            return Err(Refusal::OtherCluster);
        }
        if hello.door != key.verifying_key() {
            return Err(Refusal::WrongDoor);
        }
        admit(hello.role, &hello.caller, false)?;
        Ok(hello)
    };
    let hello = match outcome.await {
        Ok(hello) => hello,
        Err(refusal) => return Err(refuse(stream, refusal).await),
    };
    let nonce = random().map_err(|error| io::Error::other(error.to_string()))?;
    let signature = key.sign(&hello.payload("door", &nonce));
    stream.write_all(&[&[1], &nonce[..], &signature.to_bytes()].concat()).await?;
    let mut theirs = [0; 64];
    stream.read_exact(&mut theirs).await?;
    if hello.caller.verify_strict(&hello.payload("caller", &nonce), &Signature::from_bytes(&theirs)).is_err() {
        return Err(refuse(stream, Refusal::BadSignature).await);
    }
    match admit(hello.role, &hello.caller, true) {
        Ok(Some(place)) => {
            stream.write_u8(1).await?;
            Ok(place)
        }
        Ok(None) => Err(refuse(stream, Refusal::TooMany).await),
        Err(refusal) => Err(refuse(stream, refusal).await),
    }
}

async fn refuse(stream: &mut (impl AsyncWrite + Unpin), refusal: Refusal) -> io::Error {
    match stream.write_all(&[0, refusal.byte()]).await {
        Ok(()) => {
            // Closed in order, so that the reason arrives before the end does.
            let _ = stream.shutdown().await;
            denied(refusal.describe())
        }
        Err(error) => error,
    }
}

fn read_hello(bytes: &[u8; 137]) -> Option<Hello> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (cluster, rest) = rest.split_first_chunk::<32>()?;
    let (role, rest) = rest.split_first()?;
    let (caller, rest) = rest.split_first_chunk::<32>()?;
    let (door, nonce) = rest.split_first_chunk::<32>()?;
    let role = match role {
        0 => Role::Node,
        1 => Role::Client,
        _ => return None,
    };
    (magic == MAGIC).then_some(())?;
    Some(Hello {
        cluster: Digest::new(*cluster),
        role,
        caller: VerifyingKey::from_bytes(caller).ok()?,
        door: VerifyingKey::from_bytes(door).ok()?,
        nonce: nonce.try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    /// How a call between these goes: who calls, and whom he expects; who answers, and whom that one lets in.
    async fn meet(caller: u8, expects: u8, door: u8, enrolled: u8, clusters: (u8, u8)) -> (io::Result<()>, io::Result<VerifyingKey>) {
        let (mut left, mut right) = tokio::io::duplex(1024);
        let (caller_key, door_key) = (key(caller), key(door));
        let admit = |_: Role, who: &VerifyingKey, _: bool| {
            if *who == key(enrolled).verifying_key() { Ok(Some(*who)) } else { Err(Refusal::NotEnrolled) }
        };
        let cluster = |seed| Digest::new([seed; 32]);
        let calls = async { call(&mut left, cluster(clusters.0), Role::Client, &caller_key, key(expects).verifying_key()).await };
        let answers = async { answer(&mut right, cluster(clusters.1), &door_key, admit).await };
        tokio::join!(calls, answers)
    }

    #[tokio::test]
    async fn only_enrolled_keys_get_in_and_only_to_the_node_that_they_expect() {
        let (call, answer) = meet(1, 2, 2, 1, (7, 7)).await;
        assert!(call.is_ok());
        assert_eq!(answer.ok(), Some(key(1).verifying_key()));
        for (caller, expects, door, enrolled, clusters) in [(3, 2, 2, 1, (7, 7)), (1, 4, 2, 1, (7, 7)), (1, 2, 2, 1, (7, 8))] {
            let (call, answer) = meet(caller, expects, door, enrolled, clusters).await;
            assert_eq!(call.map_err(|error| error.kind()), Err(io::ErrorKind::PermissionDenied));
            assert!(answer.is_err());
        }
    }

    #[tokio::test]
    async fn a_key_that_is_only_claimed_does_not_get_in() {
        // A man between who says that he is client 1, and replays a signature of another time.
        let (mut left, mut right) = tokio::io::duplex(1024);
        let door_key = key(2);
        let liar = async {
            let hello = Hello {
                cluster: Digest::new([7; 32]),
                role: Role::Client,
                caller: key(1).verifying_key(),
                door: key(2).verifying_key(),
                nonce: [0; 32],
            };
            left.write_all(&hello.encode()).await?;
            let mut theirs = [0; 97];
            left.read_exact(&mut theirs).await?;
            left.write_all(&key(1).sign(&hello.payload("caller", &[9; 32])).to_bytes()).await?;
            accepted(&mut left).await
        };
        let (told, answered) = tokio::join!(liar, answer(&mut right, Digest::new([7; 32]), &door_key, |_, _, _| Ok(Some(()))));
        assert!(told.is_err());
        assert!(answered.is_err());
    }
}
