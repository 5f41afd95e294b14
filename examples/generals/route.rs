//! The way to one other party: a bounded queue, and a thread that dials, writes, and dials again.

use crate::frames::{self, Party};
use logothete::Bytes;
use std::collections::VecDeque;
use std::io::{self, BufWriter, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Beyond this a message is dropped, as any network may: waiting for one slow receiver would stop all others.
const QUEUE_BYTES_MAX: usize = 16 << 20;
const QUEUE_FRAMES_MAX: usize = 16_384;
const REDIAL: Duration = Duration::from_millis(50);

#[derive(Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    bytes: usize,
    stream: Option<Arc<TcpStream>>,
    closed: bool,
}

pub struct Route {
    from: Party,
    to: SocketAddr,
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Route {
    pub fn new(from: Party, to: SocketAddr) -> Self {
        Self { from, to, queue: Mutex::default(), changed: Condvar::new() }
    }

    /// Queues a frame, or drops it if too much waits already.
    pub fn send(&self, frame: Bytes) {
        let mut queue = self.lock();
        if queue.bytes < QUEUE_BYTES_MAX && queue.frames.len() < QUEUE_FRAMES_MAX {
            queue.bytes += frame.len();
            queue.frames.push_back(frame);
            self.changed.notify_one();
        }
    }

    /// The writer thread: until the route is closed.
    pub fn serve(&self) {
        while !self.lock().closed {
            // What is written into a connection that breaks is lost, as on any network: the protocol says it again.
            if self.call().is_err() {
                let open = |queue: &mut Queue| !queue.closed;
                drop(self.changed.wait_timeout_while(self.lock(), REDIAL, open).unwrap_or_else(PoisonError::into_inner));
            }
        }
    }

    /// One connection, from dialing to its end.
    fn call(&self) -> io::Result<()> {
        let stream = Arc::new(TcpStream::connect(self.to)?);
        stream.set_nodelay(true)?;
        self.lock().stream = Some(stream.clone());
        let mut output = BufWriter::new(&*stream);
        frames::write_hello(&mut output, self.from)?;
        output.flush()?;
        while self.has_more() {
            if has_hung_up(&stream)? {
                // He was killed meanwhile: what waits is for his next life.
                return Ok(());
            }
            let waiting = self.take();
            for frame in &waiting {
                frames::write_frame(&mut output, frame)?;
            }
            output.flush()?;
        }
        Ok(())
    }

    /// Waits for something to write; false once closed.
    fn has_more(&self) -> bool {
        let idle = |queue: &mut Queue| !queue.closed && queue.frames.is_empty();
        let queue = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        !queue.closed
    }

    /// Takes all that waits.
    fn take(&self) -> VecDeque<Bytes> {
        let mut queue = self.lock();
        queue.bytes = 0;
        std::mem::take(&mut queue.frames)
    }

    /// Ends the writer thread, also in the middle of a write.
    pub fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        if let Some(stream) = queue.stream.take() {
            // It may have broken before; then there is nothing to end.
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has the other side closed the connection? Nothing else ever comes back over it.
fn has_hung_up(mut stream: &TcpStream) -> io::Result<bool> {
    stream.set_nonblocking(true)?;
    let read = stream.read(&mut [0]);
    stream.set_nonblocking(false)?;
    Ok(!read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock))
}
