//! A rover that answers, and whoever asks it.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use etcd_rejoin_rover::fence::{Answer, Asked, FenceServer, Key, Machine, Turn, ask};

pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Longer than anything here takes, on a busy machine too.
pub const LONG: Duration = Duration::from_secs(20);

pub fn key() -> Key {
    Key::new(SECRET.as_bytes()).unwrap()
}

pub fn machine(name: &str) -> Machine {
    Machine(name.into())
}

/// The resource that is to be outdated.
pub fn outdate() -> &'static str {
    "etcd"
}

/// A rover that answers the same to everybody, and counts what it was made to do.
pub struct Peer {
    pub server: FenceServer,
    pub turn: Arc<Turn>,
    deeds: Arc<AtomicUsize>,
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    pub fn answering(answer: Answer) -> Peer {
        Peer::of(machine("peer"), answer)
    }

    pub fn of(machine: Machine, answer: Answer) -> Peer {
        let (turn, deeds) = (Arc::new(Turn::default()), Arc::new(AtomicUsize::new(0)));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (count, list) = (deeds.clone(), asked.clone());
        let deed = move |resource: &str| {
            count.fetch_add(1, Ordering::SeqCst);
            list.lock().unwrap().push(resource.to_string());
            answer.clone()
        };
        let listen = "127.0.0.1:0".parse().unwrap();
        let server =
            FenceServer::start(listen, key(), machine, turn.clone(), Arc::new(deed)).unwrap();
        Peer {
            server,
            turn,
            deeds,
            asked,
        }
    }

    pub fn at(&self) -> String {
        self.server.address().to_string()
    }

    pub fn deeds(&self) -> usize {
        self.deeds.load(Ordering::SeqCst)
    }
}

pub fn asks(peer: &str, key: &Key, resource: &str, limit: Duration) -> Asked {
    ask(
        peer,
        key,
        &machine("asker"),
        resource,
        Instant::now() + limit,
    )
}

#[track_caller]
pub fn silent(asked: Asked, part: &str) {
    match asked {
        Asked::Silent(why) => assert!(why.contains(part), "{part:?} is not in {why:?}"),
        Asked::Heard(answer) => panic!("heard {answer:?}"),
    }
}

/// A loopback address that no other test has, so that nobody else takes a port of it.
fn own_host() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, 221 + high % 30, low, next)
}

/// Nobody listens there.
pub fn nobody() -> SocketAddr {
    (own_host(), 7790).into()
}
