//! Loopback addresses that no other test uses, so that every member has the standard ports.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU8, Ordering};

/// The addresses 127.X.Y.1 to 127.X.Y.250, held as long as this value lives.
#[derive(Debug)]
pub struct Addresses {
    x: u8,
    y: u8,
    // The lock: another process that tries the same addresses cannot bind it.
    _held: TcpListener,
}

static NEXT: AtomicU8 = AtomicU8::new(0);

impl Addresses {
    /// Takes a free /24 of 127/8. Starts from the process ID, so that parallel runs seldom meet.
    pub fn take() -> Self {
        // Not 127.0, where other programs listen.
        let first = (std::process::id() % 200) as u8;
        for step in 0..200 {
            let x = 20 + (first + step) % 200;
            for _ in 0..255 {
                let y = NEXT.fetch_add(1, Ordering::Relaxed);
                if let Ok(held) = TcpListener::bind((Ipv4Addr::new(127, x, y, 254), 2379)) {
                    return Addresses { x, y, _held: held };
                }
            }
        }
        panic!("every loopback address is taken");
    }

    /// One of them.
    pub fn host(&self, n: u8) -> Ipv4Addr {
        assert!((1..=250).contains(&n));
        Ipv4Addr::new(127, self.x, self.y, n)
    }
}

/// Ten ports of the IPv6 loopback address: the first is held, so that no other test takes them, and
/// none is one that a connection takes for itself.
pub fn ports_of_ipv6() -> (TcpListener, u16) {
    for first in (10_000..32_000).step_by(10) {
        match TcpListener::bind((Ipv6Addr::LOCALHOST, first)) {
            Ok(held) => return (held, first),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => panic!("this machine has no IPv6 loopback address: {error}"),
        }
    }
    panic!("every port of the IPv6 loopback address is taken");
}

/// Stops listening. What another test's thread forks just then holds the socket until it execs: this waits
/// for that, or else a program that is started next would find the port in use.
#[track_caller]
pub fn free(listener: TcpListener) {
    let address = listener.local_addr().unwrap();
    drop(listener);
    super::wait_for("the port is free", super::PATIENCE, || {
        !is_listened_at(address)
    });
}

/// By the kernel's own list: to try it would be to hold it.
fn is_listened_at(address: SocketAddr) -> bool {
    let SocketAddr::V4(address) = address else {
        panic!("{address} is not of IPv4");
    };
    let ip = u32::from_ne_bytes(address.ip().octets());
    let local = format!("{ip:08X}:{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some(&local) && words.nth(1) == Some("0A")
    })
}
