//! One connection, from dialing to its end, and the bounded queue of what goes out over it.

use crate::frames::{Frame, Kind, Reader};
use crate::handshake::{self, Role};
use logothete::{Digest, SigningKey, VerifyingKey};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;
use tokio::time::timeout;

/// So long a connection may take to be made, and a handshake.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// A write that takes longer is to somebody who doesn't read.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// What goes out in one write, but for the last frame of it.
const WRITE_BYTES: usize = 256 << 10;

#[derive(Default)]
struct Waiting {
    frames: VecDeque<Frame>,
    bytes: usize,
}

/// What waits to go out over a connection. Beyond its bound a frame is dropped, as any network may: whoever doesn't read costs nobody else.
pub struct Queue {
    waiting: Mutex<Waiting>,
    bytes_max: usize,
    arrived: Notify,
    connected: AtomicBool,
    /// The other side was heard of.
    alive: Notify,
}

impl Queue {
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            bytes_max,
            arrived: Notify::new(),
            connected: AtomicBool::new(false),
            alive: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// What is said while nobody is there is not kept: the protocol says it again.
    pub fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
        if !connected {
            *self.lock() = Waiting::default();
        }
    }

    /// The other side has just called: it can be called.
    pub fn hurry(&self) {
        if !self.is_connected() {
            self.alive.notify_one();
        }
    }

    /// False if it was dropped.
    pub fn push(&self, frame: Frame) -> bool {
        self.push_all([frame])
    }

    /// All at once, so that they are written together. False if some were dropped.
    pub fn push_all(&self, frames: impl IntoIterator<Item = Frame>) -> bool {
        let mut waiting = self.lock();
        let mut all_fit = true;
        for frame in frames {
            if self.is_connected() && (waiting.frames.is_empty() || waiting.bytes + frame.size() <= self.bytes_max) {
                waiting.bytes += frame.size();
                waiting.frames.push_back(frame);
            } else {
                all_fit = false;
            }
        }
        let is_empty = waiting.frames.is_empty();
        drop(waiting);
        if !is_empty {
            self.arrived.notify_one();
        }
        all_fit
    }

    fn take(&self) -> VecDeque<Frame> {
        let mut waiting = self.lock();
        waiting.bytes = 0;
        std::mem::take(&mut waiting.frames)
    }

    /// Writes what comes, until the connection breaks or a write takes too long; says how it ended.
    pub async fn write_to(&self, mut output: OwnedWriteHalf) -> io::Error {
        loop {
            let mut frames = self.take();
            if frames.is_empty() {
                self.arrived.notified().await;
                continue;
            }
            let write = async {
                let mut bytes = Vec::new();
                while let Some(frame) = frames.pop_front() {
                    frame.encode_into(&mut bytes);
                    if bytes.len() >= WRITE_BYTES || frames.is_empty() {
                        output.write_all(&bytes).await?;
                        bytes.clear();
                    }
                }
                Ok(())
            };
            match timeout(WRITE_PATIENCE, write).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error,
                Err(_) => return io::ErrorKind::TimedOut.into(),
            }
        }
    }
}

/// Whom to call, and as whom.
pub struct Call {
    pub address: String,
    pub cluster: Digest,
    pub role: Role,
    pub key: SigningKey,
    pub door: VerifyingKey,
    /// How often a sign of life is asked for; three of them missed end the connection.
    pub ping: Duration,
    pub frame_bytes_max: usize,
}

impl Call {
    /// One connection: dials, proves who it is, writes what is queued, hands out what comes. Returns when it is over,
    /// and says how it ended.
    pub async fn run(&self, queue: &Queue, mut on_frame: impl FnMut(Frame)) -> io::Error {
        let dial = async {
            let mut stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            handshake::call(&mut stream, self.cluster, self.role, &self.key, self.door).await?;
            Ok::<_, io::Error>(stream)
        };
        let stream = match timeout(PATIENCE, dial).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return error,
            Err(_) => return io::ErrorKind::TimedOut.into(),
        };
        queue.set_connected(true);
        let (input, output) = stream.into_split();
        let read = async {
            let mut input = Reader::new(input, self.frame_bytes_max);
            loop {
                match timeout(self.ping * 3, input.fill()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return error,
                    Err(_) => return io::ErrorKind::TimedOut.into(),
                }
                loop {
                    match input.frame() {
                        Ok(Some((Kind::Pong, _))) => {}
                        Ok(Some((kind, body))) => on_frame(Frame::new(kind, body)),
                        Ok(None) => break,
                        Err(error) => return error,
                    }
                }
            }
        };
        // Asked for also while much is written: the other side's answers are what keeps the connection up.
        let ask = async {
            loop {
                tokio::time::sleep(self.ping).await;
                queue.push(Frame::empty(Kind::Ping));
            }
        };
        let error = tokio::select! {
            error = read => error,
            error = queue.write_to(output) => error,
            () = ask => io::ErrorKind::Other.into(),
        };
        queue.set_connected(false);
        error
    }

    /// Calls, and calls again, for ever.
    pub async fn keep(&self, queue: &Queue, mut on_frame: impl FnMut(Frame), mut on_end: impl FnMut(&io::Error)) {
        const SHORTEST: Duration = Duration::from_millis(50);
        let mut pause = SHORTEST;
        loop {
            let begun = tokio::time::Instant::now();
            on_end(&self.run(queue, &mut on_frame).await);
            pause = if begun.elapsed() > Duration::from_secs(5) { SHORTEST } else { (pause * 2).min(Duration::from_secs(1)) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // However often it calls, it is not called more often.
                () = async { tokio::join!(queue.alive.notified(), tokio::time::sleep(SHORTEST)); } => pause = SHORTEST,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    /// Who was called in vain for a while is called seldom; but at once when it has called itself.
    #[tokio::test]
    async fn who_has_called_is_called_back_at_once() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let ports = crate::ports::Ports::keep(1).expect("a port");
        let address = ports.addresses[0];
        let door = key.verifying_key();
        let ping = Duration::from_secs(1);
        let call =
            Call { address: address.to_string(), cluster: Digest::new([0; 32]), role: Role::Node, key, door, ping, frame_bytes_max: 1024 };
        let queue = Queue::new(1024);
        let (sender, mut ends) = mpsc::unbounded_channel();
        let calling = tokio::spawn({
            let queue = queue.clone();
            async move { call.keep(&queue, |_| {}, |_| sender.send(()).expect("listened to")).await }
        });
        // The pauses: 100, 200, 400, 800, 1000 ms.
        for _ in 0..5 {
            timeout(Duration::from_secs(5), ends.recv()).await.expect("called in vain");
        }
        let listener = TcpListener::bind(address).await.expect("there again");
        queue.hurry();
        timeout(Duration::from_millis(500), listener.accept()).await.expect("at once").expect("called");
        calling.abort();
    }
}
