//! A party's door: its listener, which stays for the whole run, so that nobody else gets the port while the party is dead. Who calls
//! then is hung up on.

use crate::frames::Party;
use crate::network::{HELLO_PATIENCE, Inbound, STACK_BYTES, Switch, Traffic};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope};

#[derive(Default)]
struct Inside {
    /// The post behind the door, while there is one.
    post: Option<Switch>,
    /// How many there have been.
    entered: u32,
    /// What went through those that are closed.
    past: Traffic,
    closed: bool,
}

pub struct Door {
    party: Party,
    listener: TcpListener,
    address: SocketAddr,
    inside: Mutex<Inside>,
}

impl Door {
    /// # Errors
    /// The machine's own.
    pub fn new(party: Party, listener: TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        Ok(Self { party, listener, address, inside: Mutex::default() })
    }

    pub fn party(&self) -> Party {
        self.party
    }

    /// How many posts there have been behind it.
    pub fn entered(&self) -> u32 {
        self.lock().entered
    }

    /// A new post behind the door. False if it is closed for good, and the post with it.
    pub fn enter(&self, post: Switch) -> bool {
        let mut inside = self.lock();
        if inside.closed {
            post.close();
            return false;
        }
        inside.entered += 1;
        inside.post = Some(post);
        true
    }

    /// Closes the post behind the door: all its connections end, at once.
    pub fn leave(&self) {
        let mut inside = self.lock();
        if let Some(post) = inside.post.take() {
            post.close();
            inside.past.add(&post.traffic());
        }
    }

    /// Closes it for good.
    pub fn close(&self) {
        self.lock().closed = true;
        self.leave();
        // The listener's thread waits for a caller: be one, so that it sees that all is closed.
        let _ = TcpStream::connect(self.address);
    }

    /// What has gone through it so far.
    pub fn traffic(&self) -> Traffic {
        let inside = self.lock();
        let mut traffic = inside.past.clone();
        inside.post.iter().for_each(|post| traffic.add(&post.traffic()));
        traffic
    }

    /// The listener's thread: until closed for good.
    pub fn serve<'scope>(&self, scope: &'scope Scope<'scope, '_>) {
        for stream in self.listener.incoming() {
            let inbound = {
                let inside = self.lock();
                if inside.closed {
                    return;
                }
                inside.post.as_ref().map(Switch::inbound)
            };
            match (stream, inbound) {
                (Ok(stream), Some(inbound)) => let_in(scope, &inbound, &Arc::new(stream)),
                // Nobody is there.
                (Ok(_), None) => {}
                // No more file descriptors, most likely: some may come free, and spinning would not help.
                (Err(_), _) => std::thread::sleep(HELLO_PATIENCE / 20),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives a caller a thread that reads what he says.
fn let_in<'scope>(scope: &'scope Scope<'scope, '_>, inbound: &Arc<Inbound>, stream: &Arc<TcpStream>) {
    let Some(number) = inbound.welcome(stream) else { return };
    let (reader, stream) = (inbound.clone(), stream.clone());
    let spawned = Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, move || reader.read(number, &stream));
    if spawned.is_err() {
        inbound.forget(number);
    }
}
