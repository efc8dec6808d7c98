//! Who knocks at the peer port of a member that is about to found a cluster: an etcd of a cluster that lists it
//! keeps it from that, and so does what cannot be read; nothing else does.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::askers::{ask, connect};
use crate::support::PATIENCE;
use crate::support::certs::{Ca, Cert, Key};
use crate::{Members, Started};

const HEADERS: &str = "Host: x\r\nX-Etcd-Cluster-Id: 3d0eb640f1c2a604\r\n\
    X-Raft-To: 9569906436302f02\r\nX-Server-From: 6bf3a94bdaf3fee0\r\n\r\n";

fn call(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\n{headers}").into_bytes()
}

fn stream() -> Vec<u8> {
    call("/raft/stream/message/6bf3a94bdaf3fee0", HEADERS)
}

/// It has founded nothing: no etcd ran, and its data dir holds nothing.
#[track_caller]
fn refuses(members: &Members, mut n1: Started) {
    assert_eq!(n1.process.wait(PATIENCE), 65, "{}", n1.log.text());
    let log = n1.log.text();
    assert!(n1.log.has_reason("called-by-a-cluster"), "{log}");
    assert!(
        log.contains(
            "member 6bf3a94bdaf3fee0 of cluster 3d0eb640f1c2a604 asks for member 9569906436302f02"
        ),
        "{log}"
    );
    assert!(!log.contains("STAND-IN"), "{log}");
    assert!(!members.data_dir(1).join("member").exists());
}

#[test]
fn a_lone_member_that_is_called_founds_nothing() {
    let members = Members::new(1);
    let mut n1 = members.start(1, &[]);
    n1.wait_reason("listening");
    let answer = ask(members.addresses.host(1), &stream());
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    refuses(&members, n1);
}

/// Where its machine was cut off the streams of the others stay half open, and only a probe comes in time.
#[test]
fn a_lone_member_that_is_probed_founds_nothing() {
    let members = Members::new(1);
    let mut n1 = members.start(1, &[]);
    n1.wait_reason("listening");
    ask(
        members.addresses.host(1),
        &call("/raft/probing", "Host: x\r\n\r\n"),
    );
    assert_eq!(n1.process.wait(PATIENCE), 65, "{}", n1.log.text());
    let log = n1.log.text();
    assert!(n1.log.has_reason("called-by-a-cluster"), "{log}");
    assert!(log.contains("a cluster that lists this address"), "{log}");
    assert!(!members.data_dir(1).join("member").exists());
}

/// The same with `now`, if something else keeps it from trying at once.
#[test]
fn a_lone_member_that_may_not_found_is_called_too() {
    let members = Members::new(1);
    let mut n1 = members.start(1, &[("ETCD_INITIAL_CLUSTER_STATE", "existing")]);
    n1.wait_reason("founding-forbidden");
    ask(members.addresses.host(1), &stream());
    refuses(&members, n1);
}

#[test]
fn hostile_calls_are_none() {
    let members = Members::new(1);
    let host = members.addresses.host(1);
    // A short REJOIN_WAIT is for what does not end by itself.
    let mut n1 = members.start(1, &[("REJOIN_WAIT", "1s")]);
    n1.wait_reason("listening");
    let long = format!("X: {}\r\n{HEADERS}", "x".repeat(1 << 20));
    let bytes: Vec<u8> = [
        &call("/raft/stream/message/1", "X: ")[..40],
        &[0xff; 200],
        b"\r\n\r\n",
    ]
    .concat();
    let requests = [
        call("/raft/probings", HEADERS),
        call("/raft/stream/message/6bf3a94bdaf3fee0", "Host: x\r\n\r\n"),
        call("/raft/stream/message/6bf3a94bdaf3fee0", &long),
        call(&format!("/raft/stream/{}", "a".repeat(1 << 20)), HEADERS),
        call(
            "/raft/stream/x",
            &HEADERS.replace("3d0e", "3d0eb640f1c2a6043d0e"),
        ),
        call("/raft/stream/x", &HEADERS.replace("6bf3", "zzzz")),
        call("/raft/stream/x", &HEADERS.replace(": ", ":\u{0}")),
        call("/members", HEADERS),
        bytes,
        stream()[..90].to_vec(),
    ];
    // The last one ends in its midst: it is cut off after a while.
    let asking = requests.map(|request| std::thread::spawn(move || ask(host, &request)));
    for thread in asking {
        let answer = thread.join().unwrap();
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    n1.wait_reason("first-start");
    n1.wait_log("STAND-IN");
}

/// A lone member behind TLS, whose own certificate is for this host.
fn behind_tls(named: &str) -> (Members, Started, Ca) {
    let mut members = Members::new(1);
    members.scheme = "https";
    let host = members.addresses.host(1).to_string();
    let ca = Ca::new(&members.dir.path().join("ca"), "ca");
    let own = ca.server("n1", &[if named.is_empty() { &host } else { named }]);
    let path = |path: &std::path::Path| path.display().to_string();
    let mut n1 = members.start(
        1,
        &[
            ("ETCD_PEER_CERT_FILE", &path(&own.cert)),
            ("ETCD_PEER_KEY_FILE", &path(&own.key)),
            ("ETCD_PEER_TRUSTED_CA_FILE", &path(&ca.cert())),
            ("ETCD_PEER_CLIENT_CERT_AUTH", "true"),
        ],
    );
    n1.wait_reason("listening");
    (members, n1, ca)
}

/// It refuses, and says what came that it could not read.
#[track_caller]
fn refuses_what_it_cannot_read(members: &Members, mut n1: Started, words: &str) {
    assert_eq!(n1.process.wait(PATIENCE), 65, "{}", n1.log.text());
    let log = n1.log.text();
    assert!(n1.log.has_reason("called-by-a-cluster"), "{log}");
    assert!(log.contains(words), "{words}: {log}");
    assert!(!log.contains("STAND-IN"), "{log}");
    assert!(!members.data_dir(1).join("member").exists());
}

/// The cluster that it was in speaks plain http, and its own settings are https now.
#[test]
fn a_plain_knock_at_a_tls_port_counts() {
    let (members, n1, _ca) = behind_tls("");
    // It is cut off in its midst, again and again, as etcd's is.
    for _ in 0..40 {
        ask(members.addresses.host(1), &stream());
    }
    refuses_what_it_cannot_read(
        &members,
        n1,
        "speaks plain http here, and this port is https",
    );
}

/// The other way round.
#[test]
fn a_tls_knock_at_a_plain_port_counts() {
    let members = Members::new(1);
    let mut n1 = members.start(1, &[]);
    n1.wait_reason("listening");
    ask(
        members.addresses.host(1),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    );
    refuses_what_it_cannot_read(&members, n1, "speaks TLS here, and this port is plain http");
}

/// Its peer CA was built anew, and the others still have certificates of the old one.
#[test]
fn a_knock_with_a_certificate_of_another_ca_counts() {
    let (members, n1, _ca) = behind_tls("");
    let old = Ca::new(&members.dir.path().join("old"), "old");
    let cert = old.server("n2", &["127.0.0.1"]);
    knocks_with(members, n1, &cert);
}

/// The key of a caller is of a kind that etcd knows, and we do not.
#[test]
fn a_knock_with_a_key_that_only_etcd_knows_counts() {
    let (members, n1, ca) = behind_tls("");
    let usage = "serverAuth,clientAuth";
    let cert = ca.sign("n2", None, &["127.0.0.1"], usage, Key::P521);
    knocks_with(members, n1, &cert);
}

fn knocks_with(members: Members, mut n1: Started, cert: &Cert) {
    for _ in 0..40 {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-connect"]);
        client.arg(format!("{}:2380", members.addresses.host(1)));
        client
            .arg("-cert")
            .arg(&cert.cert)
            .arg("-key")
            .arg(&cert.key);
        client.stdin(Stdio::null()).output().unwrap();
        if n1.process.code().is_some() {
            break;
        }
    }
    refuses_what_it_cannot_read(&members, n1, "failed in its TLS handshake here");
}

/// Only looking whether somebody listens is no knock, as load balancers and the kubelet do.
#[test]
fn a_connection_that_says_nothing_is_none() {
    let members = Members::new(1);
    let mut n1 = members.start(1, &[]);
    n1.wait_reason("listening");
    for _ in 0..10 {
        drop(connect(members.addresses.host(1)));
    }
    n1.wait_log("STAND-IN");
}

/// It asks at its own URL who answers there, and does not take the certificate: that is nobody else's knock.
#[test]
fn what_fails_between_us_and_ourselves_is_no_knock() {
    let (_members, mut n1, _ca) = behind_tls("elsewhere.example");
    n1.wait_reason("first-start");
    n1.wait_log("STAND-IN");
}

/// The others may have been given a cluster that has grown since: it asks for its first members.
#[test]
fn of_two_founders_neither_founds_while_a_cluster_asks_for_one() {
    let members = Members::new(2);
    let host = members.addresses.host(1);
    let mut n1 = members.start(1, &[]);
    n1.wait_reason("not-all-heard");
    ask(host, &stream());
    n1.wait_log("member 6bf3a94bdaf3fee0 of cluster 3d0eb640f1c2a604 asks for member");
    let mut n2 = members.start(2, &[]);
    n2.wait_reason("not-all-heard");
    refuses(&members, n1);
    assert_eq!(n2.process.code(), None);
    assert!(!n2.log.has_reason("first-start-promise"));
    assert!(!members.data_dir(2).join("member").exists());
}

/// Its peer is waiting for it as before: with it gone, nobody is left to found with.
#[test]
fn who_was_promised_a_first_start_hears_that_a_cluster_asks() {
    let members = Members::new(3);
    let host = members.addresses.host(1);
    let mut n1 = members.start(1, &[]);
    n1.wait_reason("not-all-heard");
    ask(host, &stream());
    let mut n2 = members.start(2, &[]);
    n2.wait_log("n1 waits to start, is asked for by a running cluster");
    assert!(n2.log.has_reason("not-all-heard"));
    assert_eq!(n1.process.code(), None);
}

/// Where nobody on another machine can call, nobody is waited for.
#[test]
fn on_localhost_nobody_is_waited_for() {
    let members = Members::new(1);
    let begin = Instant::now();
    let mut n1 = members.start(
        1,
        &[
            ("ETCD_INITIAL_ADVERTISE_PEER_URLS", "http://localhost:2380"),
            ("ETCD_INITIAL_CLUSTER", "n1=http://localhost:2380"),
        ],
    );
    n1.wait_log("STAND-IN");
    let took = begin.elapsed();
    assert!(
        !n1.log.has_reason("listening") && took < std::time::Duration::from_secs(5),
        "{took:?}"
    );
}

/// n2 is to join n1, whose own initial cluster names only itself: that is no quarrel about it.
#[test]
fn who_joins_a_lone_member_waits_for_it() {
    let members = Members::new(2);
    let alone = format!("n1={}", members.peer_url(1));
    let mut n1 = members.start(
        1,
        &[
            ("ETCD_INITIAL_CLUSTER", &alone),
            ("REJOIN_BOOTSTRAP", "never"),
        ],
    );
    n1.wait_reason("founding-forbidden");
    let mut n2 = members.start(2, &[]);
    n2.wait_log("n1 waits to start, is alone in its initial cluster");
    assert!(n2.log.has_reason("not-all-heard"));
    assert_eq!(n2.process.code(), None);
}
