//! Who is connected to whom: TCP, a length before each message. It connects once, and what doesn't fit a queue is lost: the protocol says again what matters.

use logothete::{Bytes, Envelope, PeerLink, Recipients};
use std::io::{ErrorKind, Result};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};

type Message = (PeerLink, Bytes);

async fn hear(stream: TcpStream, link: PeerLink, bytes_max: u32, inbox: Sender<Message>) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let length = stream.read_u32().await?;
        if length > bytes_max {
            return Err(ErrorKind::InvalidData.into()); // Before anything is allocated for it.
        }
        let mut bytes = vec![0; length as usize];
        stream.read_exact(&mut bytes).await?;
        drop(inbox.send((link, Bytes::from(bytes))).await);
    }
}

async fn speak(to: SocketAddr, mut outbox: Receiver<Bytes>) -> Result<()> {
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    while let Some(bytes) = outbox.recv().await {
        stream.write_u32(bytes.len() as u32).await?;
        stream.write_all(&bytes).await?;
    }
    Ok(())
}

/// Connects party `me` with all: gives what arrives, and a function that sends an envelope to those whom it names. The client is party 4.
pub fn connect(
    me: usize,
    listener: TcpListener,
    parties: &[SocketAddr],
    bytes_max: u32,
) -> (Receiver<Message>, impl Fn(&Envelope) + use<>) {
    let (inbox, arrived) = channel(1000);
    tokio::spawn(async move {
        let mut links = (0..).map(PeerLink);
        while let (Ok((stream, _)), Some(link)) = (listener.accept().await, links.next()) {
            tokio::spawn(hear(stream, link, bytes_max, inbox.clone()));
        }
    });
    let link = |to: &SocketAddr| {
        let (link, outbox) = channel(1000);
        tokio::spawn(speak(*to, outbox));
        link
    };
    let links: Vec<_> = parties.iter().map(link).collect();
    let send = move |envelope: &Envelope| {
        let is_for = |to: usize| match envelope.to() {
            Recipients::AllReplicas => to < 4 && to != me,
            Recipients::Replica(replica) => to == replica.get() as usize,
            Recipients::Client(_) => to == 4,
        };
        (0..5).filter(|to| is_for(*to)).for_each(|to| drop(links[to].try_send(envelope.encode())));
    };
    (arrived, send)
}
