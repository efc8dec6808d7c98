//! The fencing between two rovers: what an honest peer gets, and that nobody else gets anything.

#[path = "fence/hostile.rs"]
mod hostile;
#[path = "fence/peer.rs"]
mod peer;
#[path = "fence/turns.rs"]
mod turns;

use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_rejoin_rover::fence::{Answer, Asked, FenceServer};

use peer::{LONG, Peer, asks, key, machine, nobody, outdate};

#[test]
fn a_peer_does_what_it_is_asked_once_and_says_so() {
    let peer = Peer::answering(Answer::Outdated);
    assert_eq!(
        asks(&peer.at(), &key(), outdate(), LONG),
        Asked::Heard(Answer::Outdated)
    );
    assert_eq!(*peer.asked.lock().unwrap(), [outdate().to_string()]);
    let named = format!("localhost:{}", peer.server.address().port());
    assert_eq!(
        asks(&named, &key(), outdate(), LONG),
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
        let asked = asks(&peer.at(), &key(), outdate(), LONG);
        assert_eq!(asked, Asked::Heard(answer));
    }
}

/// A rover that is being restarted is no dead machine.
#[test]
fn where_nobody_listens_is_asked_again_until_somebody_does() {
    let address = nobody();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| asks(&address.to_string(), &key(), outdate(), LONG));
        std::thread::sleep(Duration::from_millis(500));
        let deed = Arc::new(|_: &str| Answer::Outdated);
        let start = || FenceServer::start(address, key(), machine("peer"), Arc::default(), deed);
        let _server = start().unwrap();
        assert_eq!(asking.join().unwrap(), Asked::Heard(Answer::Outdated));
    });
}

#[test]
fn a_server_that_ends_gives_its_port_back() {
    let address = nobody();
    let start = || {
        let deed = Arc::new(|_: &str| Answer::Outdated);
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
