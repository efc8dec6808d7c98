//! The fencing between two rovers: what an honest peer gets, and that nobody else gets anything.

#[path = "fence/hostile.rs"]
mod hostile;
#[path = "fence/peer.rs"]
mod peer;
#[path = "fence/turns.rs"]
mod turns;

use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_rejoin_rover::fence::{Answer, Asked, FenceServer, Request};

use peer::{LONG, Peer, asks, key, machine, nobody, outdate, silent};

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
