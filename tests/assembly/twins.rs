//! Who answers at our own peer URL: ourselves, nobody whom we can reach, or another process of our name.

use crate::answers::{Answer, play, report, with_body};
use crate::support::PATIENCE;
use crate::{Members, Started};
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

/// n2 is empty or has promised; n1 listens on an address that its peer URL does not lead to.
fn away(members: &Members, two: &str) -> Started {
    away_with(members, two, "500ms")
}

fn away_with(members: &Members, two: &str, timeout: &str) -> Started {
    let listener = TcpListener::bind((members.addresses.host(2), 2380)).unwrap();
    play(
        listener,
        with_body(report(members, "n2").replace("empty", two)),
    );
    let listen = format!("http://{}:2380", members.addresses.host(11));
    let env = [
        ("ETCD_LISTEN_PEER_URLS", &*listen),
        ("REJOIN_TIMEOUT", timeout),
    ];
    members.start(1, &env)
}

fn at_our_url(members: &Members) -> TcpListener {
    TcpListener::bind((members.addresses.host(1), 2380)).unwrap()
}

fn of_instance(report: &str, instance: &str) -> String {
    report.replace('}', &format!(r#","instance":"{instance}"}}"#))
}

#[test]
fn another_process_of_our_name_at_our_url_is_a_twin() {
    let members = Members::new(2);
    let ours = of_instance(&report(&members, "n1"), "another");
    play(at_our_url(&members), with_body(ours));
    let mut n1 = away(&members, "promised");
    assert_eq!(n1.process.wait(PATIENCE), 65, "{}", n1.log.text());
    assert!(n1.log.has_reason("twin-alive"));
    let log = n1.log.text();
    assert!(!log.contains("step="), "it changed something: {log}");
    assert!(log.contains("another process named n1"), "{log}");
}

/// It comes after us: at first nobody answers at our URL.
#[test]
fn a_twin_that_comes_later_is_noticed_while_we_wait() {
    let members = Members::new(2);
    let listen = format!("http://{}:2380", members.addresses.host(11));
    let mut n1 = members.start(1, &[("ETCD_LISTEN_PEER_URLS", &listen)]);
    n1.wait_reason("not-all-heard");
    let ours = of_instance(&report(&members, "n1"), "another");
    play(at_our_url(&members), with_body(ours));
    assert_eq!(n1.process.wait(PATIENCE), 65, "{}", n1.log.text());
    assert!(n1.log.has_reason("twin-alive"));
}

/// A container that is being replaced answers once more, and is gone.
#[test]
fn one_that_goes_away_is_no_twin() {
    let members = Members::new(2);
    let ours = of_instance(&report(&members, "n1"), "another");
    let once = Mutex::new(Some(with_body(ours)));
    let answer: Answer = Box::new(move |stream| match once.lock().unwrap().take() {
        Some(answer) => answer(stream),
        None => Ok(()),
    });
    let asked = play(at_our_url(&members), answer);
    let mut n1 = away(&members, "promised");
    n1.wait_log("STAND-IN");
    assert!(asked.load(Ordering::Relaxed) >= 2);
}

#[test]
fn what_proves_nothing_at_our_url_is_passed_over() {
    let members = Members::new(2);
    let ours = report(&members, "n1");
    let long = of_instance(&ours, &"x".repeat(300));
    let two = of_instance(&report(&members, "n2"), "another");
    for body in [ours, long, two, "garbage".into(), "{}".into()] {
        let members = Members::new(2);
        let asked = play(at_our_url(&members), with_body(body));
        let mut n1 = away(&members, "promised");
        n1.wait_log("STAND-IN");
        assert!(asked.load(Ordering::Relaxed) > 0);
    }
}

/// The first look hears everybody out; those that follow do not wait long for our own URL.
#[test]
fn packets_to_our_url_that_are_swallowed_never_cost_a_later_look_its_whole_time() {
    let members = Members::new(2);
    // Connections are made, and never answered.
    let _silent = at_our_url(&members);
    let mut n1 = away_with(&members, "promised", "5s");
    n1.wait_log("STAND-IN");
    let started = n1.log.lines("reason=first-start ");
    let took = started[0].split_once("took=").unwrap().1;
    let took: u64 = took.split_once("ms").unwrap().0.parse().unwrap();
    assert!(took < 4000, "took {took}ms of 5000ms: {}", n1.log.text());
}

/// Both at once, each at an address of its own; the peer URL leads to one of them.
#[test]
fn of_two_that_start_at_once_the_one_at_the_url_stays() {
    let members = Members::new(2);
    let mut right = members.start(1, &[]);
    let mut env = members.env(1);
    let elsewhere = members.dir.path().join("elsewhere").display().to_string();
    let listen = format!("http://{}:2380", members.addresses.host(11));
    env.insert("ETCD_DATA_DIR".into(), elsewhere);
    env.insert("ETCD_LISTEN_PEER_URLS".into(), listen);
    let mut wrong = members.start_in(&[env!("CARGO_BIN_EXE_etcd-rejoin")], 11, &env);
    assert_eq!(wrong.process.wait(PATIENCE), 65, "{}", wrong.log.text());
    assert!(wrong.log.has_reason("twin-alive"));
    right.wait_reason("not-all-heard");
    assert_eq!(right.process.code(), None);
}
