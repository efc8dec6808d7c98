//! Loopback addresses that no other test uses, so that every member has the standard ports.

use std::net::{Ipv4Addr, TcpListener};
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
