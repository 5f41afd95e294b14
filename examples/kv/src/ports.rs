//! Ports of this machine that nobody else is given, for nodes that bind them later, and again after a crash: for benches and tests.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpSocket;

/// Bound, and never listened at. On Linux a server that sets `SO_REUSEADDR`, as tokio's and the standard library's do, may bind such a port by its number, while the
/// system gives it to nobody who asks for any port, nor to a connection that goes out. Elsewhere a second one can't bind it, so it is given back at once.
pub struct Ports {
    pub addresses: Vec<SocketAddr>,
    _kept: Vec<TcpSocket>,
}

impl Ports {
    /// # Errors
    /// The system has none.
    pub fn keep(count: usize) -> io::Result<Self> {
        let sockets = (0..count).map(|_| {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
            Ok(socket)
        });
        let mut sockets = sockets.collect::<io::Result<Vec<_>>>()?;
        let addresses = sockets.iter().map(TcpSocket::local_addr).collect::<io::Result<_>>()?;
        if cfg!(not(target_os = "linux")) {
            sockets.clear();
        }
        Ok(Self { addresses, _kept: sockets })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_kept_port_may_be_bound_by_its_number_again_and_again() {
        let ports = Ports::keep(1).expect("a port");
        let address = ports.addresses[0];
        assert_eq!(TcpStream::connect(address).expect_err("nobody is there").kind(), io::ErrorKind::ConnectionRefused);
        for _ in 0..3 {
            let listener = TcpListener::bind(address).expect("free for a server");
            let caller = TcpStream::connect(address).expect("connected");
            // Closed here first, so that it lingers.
            drop(listener.accept().expect("accepted"));
            drop((caller, listener));
        }
    }

    #[test]
    fn a_kept_port_is_given_to_nobody_who_asks_for_any() {
        let ports = Ports::keep(1).expect("a port");
        let address = ports.addresses[0];
        // There are some 28,000, and one is given by chance each time: were it free, it would come up.
        let comes_up = || {
            (0..200_000).any(|_| {
                TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).is_ok_and(|other| other.local_addr().is_ok_and(|other| other == address))
            })
        };
        assert!(!comes_up());
        drop(ports);
        assert!(comes_up(), "given back");
    }
}
