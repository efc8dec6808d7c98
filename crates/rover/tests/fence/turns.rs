//! Two machines that want the same at the same time.

use std::time::{Duration, Instant};

use etcd_rejoin_rover::fence::{Answer, Asked, ask};

use crate::peer::{LONG, Peer, asks, key, machine, outdate, silent};

#[test]
fn of_two_that_ask_at_once_the_lower_one_goes_first() {
    // The peer asks us just now, and is the lower one: it refuses.
    let peer = Peer::of(machine("a"), Answer::Outdated);
    let turn = peer.turn.take(Instant::now()).unwrap();
    let asked = ask(
        &peer.at(),
        &key(),
        &machine("b"),
        outdate(),
        Instant::now() + LONG,
    );
    assert!(matches!(asked, Asked::Heard(Answer::Busy(_))), "{asked:?}");
    assert_eq!(peer.deeds(), 0);
    drop(turn);

    // It is the higher one: it waits until its own attempt has ended, then does what it is asked.
    let peer = Peer::of(machine("b"), Answer::Outdated);
    let turn = peer.turn.take(Instant::now()).unwrap();
    let at = peer.at();
    std::thread::scope(|scope| {
        let asking =
            scope.spawn(move || ask(&at, &key(), &machine("a"), outdate(), Instant::now() + LONG));
        // It cannot have ended: nothing is done while the turn is taken.
        assert_eq!(peer.deeds(), 0);
        drop(turn);
        assert_eq!(asking.join().unwrap(), Asked::Heard(Answer::Outdated));
    });
    assert_eq!(peer.deeds(), 1);
}

#[test]
fn who_has_given_up_gets_nothing_done() {
    let peer = Peer::of(machine("b"), Answer::Outdated);
    let turn = peer.turn.take(Instant::now()).unwrap();
    let soon = Instant::now() + Duration::from_millis(300);
    silent(
        ask(&peer.at(), &key(), &machine("a"), outdate(), soon),
        "in time",
    );
    drop(turn);
    // The one that had waited takes its turn before the server ends, or never.
    let asked = asks(&peer.at(), &key(), outdate(), LONG);
    assert_eq!(asked, Asked::Heard(Answer::Outdated));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(peer.deeds(), 1);
}

#[test]
fn a_machine_never_outdates_itself() {
    let peer = Peer::of(machine("asker"), Answer::Outdated);
    let asked = asks(&peer.at(), &key(), outdate(), LONG);
    silent(asked, "");
    assert_eq!(peer.deeds(), 0);
}
