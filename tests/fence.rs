//! The fencing between two rovers, and the kernel's handler: what an honest peer gets, and that nobody
//! else gets anything.

#[path = "support/executable.rs"]
mod executable;
#[path = "fence/handler.rs"]
mod handler;
#[path = "fence/hostile.rs"]
mod hostile;
#[path = "fence/takeover.rs"]
mod takeover;
#[path = "fence/turns.rs"]
mod turns;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use etcd_rejoin::rover::fence::{Answer, Asked, FenceServer, Key, Machine, Request, Turn, ask};

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Longer than anything here takes, on a busy machine too.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) fn key() -> Key {
    Key::new(SECRET.as_bytes()).unwrap()
}

pub(crate) fn machine(name: &str) -> Machine {
    Machine(name.into())
}

pub(crate) fn outdate() -> Request {
    Request::Outdate("etcd".into())
}

/// A rover that answers the same to everybody, and counts what it was made to do.
pub(crate) struct Peer {
    pub(crate) server: FenceServer,
    pub(crate) turn: Arc<Turn>,
    deeds: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Peer {
    pub(crate) fn answering(answer: Answer) -> Peer {
        Peer::of(machine("peer"), answer)
    }

    pub(crate) fn of(machine: Machine, answer: Answer) -> Peer {
        let (turn, deeds) = (Arc::new(Turn::default()), Arc::new(AtomicUsize::new(0)));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (count, list) = (deeds.clone(), asked.clone());
        let deed = move |request: &Request| {
            count.fetch_add(1, Ordering::SeqCst);
            list.lock().unwrap().push(request.clone());
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

    pub(crate) fn at(&self) -> String {
        self.server.address().to_string()
    }

    pub(crate) fn deeds(&self) -> usize {
        self.deeds.load(Ordering::SeqCst)
    }
}

pub(crate) fn asks(peer: &str, key: &Key, request: &Request, limit: Duration) -> Asked {
    ask(
        peer,
        key,
        &machine("asker"),
        request,
        Instant::now() + limit,
    )
}

#[track_caller]
pub(crate) fn silent(asked: Asked, part: &str) {
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
pub(crate) fn nobody() -> SocketAddr {
    (own_host(), 7790).into()
}

#[test]
fn a_peer_does_what_it_is_asked_once_and_says_so() {
    let peer = Peer::answering(Answer::Outdated);
    assert_eq!(
        asks(&peer.at(), &key(), &outdate(), LONG),
        Asked::Heard(Answer::Outdated)
    );
    assert_eq!(*peer.asked.lock().unwrap(), [outdate()]);
    let named = format!("localhost:{}", peer.server.address().port());
    assert_eq!(
        asks(&named, &key(), &outdate(), LONG),
        Asked::Heard(Answer::Outdated)
    );
}

#[test]
fn a_refusal_arrives_in_its_own_words() {
    for answer in [
        Answer::Primary,
        Answer::Busy("later".into()),
        Answer::Failed("drbdadm outdate ended with 17".into()),
    ] {
        let peer = Peer::answering(answer.clone());
        let asked = asks(&peer.at(), &key(), &outdate(), LONG);
        assert_eq!(asked, Asked::Heard(answer));
    }
}

#[test]
fn a_peer_says_what_it_would_do_and_that_is_no_deed() {
    let request = Request::Would("etcd".into());
    for answer in [Answer::Would, Answer::Primary, Answer::Busy("later".into())] {
        let peer = Peer::answering(answer.clone());
        let asked = asks(&peer.at(), &key(), &request, LONG);
        assert_eq!(asked, Asked::Heard(answer));
    }
    let would = Peer::answering(Answer::Would);
    silent(
        asks(&would.at(), &key(), &outdate(), LONG),
        "another question",
    );
    let outdated = Peer::answering(Answer::Outdated);
    silent(
        asks(&outdated.at(), &key(), &request, LONG),
        "another question",
    );
}

#[test]
fn a_state_is_words_for_a_person() {
    let request = Request::State("etcd".into());
    let answer = Answer::State("role=Secondary disk=UpToDate".into());
    let peer = Peer::answering(answer.clone());
    assert_eq!(
        asks(&peer.at(), &key(), &request, LONG),
        Asked::Heard(answer)
    );
    let peer = Peer::answering(Answer::Outdated);
    silent(asks(&peer.at(), &key(), &request, LONG), "another question");
}

#[test]
fn a_server_that_ends_gives_its_port_back() {
    let address = nobody();
    let start = || {
        let deed = Arc::new(|_: &Request| Answer::Outdated);
        FenceServer::start(address, key(), machine("peer"), Arc::default(), deed)
    };
    drop(start().unwrap());
    // What another test's thread forks just then holds the socket until it execs.
    let end = Instant::now() + LONG;
    while let Err(error) = start() {
        assert!(Instant::now() < end, "{error}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
