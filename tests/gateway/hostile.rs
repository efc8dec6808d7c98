//! Answers that no etcd gives: none is believed, none costs more than its deadline.

use std::io::Write;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use etcd_rejoin::gateway::{Failure, parse_all};

use crate::replay::{Server, bodies, http, versions};
use crate::{client, kind};

const CLUSTER: &str = "X-Etcd-Cluster-Id: cafe";

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(3)
}

fn peer(headers: &str, body: &[u8]) -> String {
    peer_says(http("200", headers, body))
}

fn peer_says(reply: Vec<u8>) -> String {
    let server = Server::saying(reply);
    match client(None).peer_members(&server.url, soon()) {
        Ok(view) => format!("{} members", view.members.len()),
        Err(failure) => kind(&failure),
    }
}

#[test]
fn a_member_list_that_no_etcd_makes_is_not_believed() {
    let good = r#"{"id":7,"name":"a","peerURLs":["http://a:1"]}"#;
    assert_eq!(peer(CLUSTER, format!("[{good}]").as_bytes()), "1 members");
    assert_eq!(peer(CLUSTER, b"null"), "0 members");
    for body in [
        "",
        "[",
        "{}",
        "<html>",
        r#""members""#,
        r#"[{"name":"a","peerURLs":["http://a:1"]}]"#,
        r#"[{"id":0,"peerURLs":["http://a:1"]}]"#,
        r#"[{"id":-1,"peerURLs":["http://a:1"]}]"#,
        r#"[{"id":1.5,"peerURLs":["http://a:1"]}]"#,
        r#"[{"id":18446744073709551616,"peerURLs":["http://a:1"]}]"#,
        r#"[{"id":{},"peerURLs":["http://a:1"]}]"#,
        r#"[{"id":1,"peerURLs":"http://a:1"}]"#,
        r#"[{"id":1,"peerURLs":[7]}]"#,
        r#"[{"id":1,"peerURLs":[]}]"#,
        r#"[{"id":1}]"#,
        r#"[{"id":1,"peerURLs":["http://a:1,b=http://b:1"]}]"#,
        r#"[{"id":1,"peerURLs":["http://a:1"],"clientURLs":["http://a:1\n"]}]"#,
        r#"[{"id":1,"name":"a\u001b[2J","peerURLs":["http://a:1"]}]"#,
        r#"[{"id":1,"id":2,"peerURLs":["http://a:1"]}]"#,
        &format!("[{good},{good}]"),
        &"[".repeat(100_000),
    ] {
        assert_eq!(peer(CLUSTER, body.as_bytes()), "not-etcd 200", "{body:.80}");
    }
    assert_eq!(
        peer(CLUSTER, b"[{\"id\":1,\"name\":\"\xff\"}]"),
        "not-etcd 200"
    );
    for header in [
        "",
        "X-Etcd-Cluster-Id: 0",
        "X-Etcd-Cluster-Id: no",
        "X-Etcd-Cluster-Id: ",
    ] {
        assert_eq!(peer(header, b"[]"), "not-etcd 200", "{header}");
    }
}

#[test]
fn bytes_that_are_no_http_are_not_believed() {
    for reply in [
        b"\0\0\0\x04\0\0\0\0\0".to_vec(),
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec(),
        b"HTTP/1.1 9999 X\r\n\r\n".to_vec(),
        [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'a'; 1 << 20]].concat(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
    ] {
        let start = String::from_utf8_lossy(&reply[..9]).into_owned();
        let outcome = peer_says(reply);
        assert!(outcome.starts_with("not-etcd"), "{start}: {outcome}");
    }
}

#[test]
fn an_answer_is_read_up_to_its_limit_only() {
    let huge = format!("[{}]", " ".repeat(9 << 20));
    assert_eq!(peer(CLUSTER, huge.as_bytes()), "not-etcd");
    let endless =
        b"HTTP/1.1 200 OK\r\nX-Etcd-Cluster-Id: 1\r\nContent-Length: 99999999999\r\n\r\n[";
    assert!(peer_says(endless.to_vec()).starts_with("unreachable"));
    let server = Server::saying(http("200", "", &vec![b'a'; 300 << 10]));
    let failure = client(None).get(&server.url, soon()).unwrap_err();
    assert_eq!(kind(&failure), "not-etcd");
}

#[test]
fn a_redirect_is_not_followed() {
    let target = Server::saying(http("200", CLUSTER, b"[]"));
    let location = format!("Location: {}/members", target.url);
    assert_eq!(peer_says(http("302", &location, b"")), "not-etcd 302");
    assert!(target.seen.lock().unwrap().is_empty());
}

#[test]
fn the_status_of_a_foreign_answer_is_kept() {
    assert_eq!(
        peer_says(http("404", "", b"404 page not found")),
        "not-etcd 404"
    );
    assert_eq!(peer_says(http("500", "", b"")), "not-etcd 500");
    assert_eq!(peer_says(http("403", "", b"forbidden")), "refused");
    assert_eq!(peer_says(http("401", "", b"")), "refused");
    let server = Server::saying(http("404", "", b"none"));
    let found = client(None).get(&format!("{}/x", server.url), soon());
    assert_eq!(found, Ok((404, b"none".to_vec())));
}

#[test]
fn a_drip_of_bytes_does_not_outlast_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        while stream.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let begun = Instant::now();
    let failure = client(None)
        .peer_members(&url, begun + Duration::from_millis(150))
        .unwrap_err();
    assert_eq!(kind(&failure), "unreachable timed-out");
    // All of it would take 20 s.
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_handshake_that_hangs_does_not_outlast_the_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let begun = Instant::now();
    let failure = client(None)
        .status(&url, begun + Duration::from_millis(150))
        .unwrap_err();
    assert_eq!(kind(&failure), "unreachable timed-out");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn what_cannot_be_asked_is_no_evidence() {
    // No test takes an address of 127.11.
    let gone = "http://127.11.0.1:2379";
    for (url, words) in [
        (gone, "refused"),
        ("unix://localhost:1", "unix sockets are not asked"),
        ("unixs:///run/etcd.sock", "unix sockets are not asked"),
        ("localhost:2379", "not an http or https URL"),
        ("", "not an http or https URL"),
        ("http://", ""),
        ("http://a b:1", "not a URL"),
        ("http://127.0.0.1:99999", "not a URL"),
        ("http://no-such-host.invalid:1", ""),
    ] {
        let failure = client(None).local_members(url, soon()).unwrap_err();
        assert!(
            matches!(failure, Failure::Unreachable { .. }),
            "{failure:?}"
        );
        assert!(failure.to_string().contains(words), "{url}: {failure}");
    }
    let failure = client(None).status(gone, Instant::now()).unwrap_err();
    assert!(failure.timed_out());
}

#[test]
fn two_members_behind_one_url_prove_nothing() {
    let server = Server::answering(Box::new(|_, path, _| {
        let member = if path.ends_with("range") { 1 } else { 2 };
        let header = format!(r#""header":{{"cluster_id":"9","member_id":"{member}"}}"#);
        let members = r#""members":[{"ID":"1","peerURLs":["http://a:1"]}]"#;
        let body = format!("{{{header},{members}}}");
        Some(http("200", "", body.as_bytes()))
    }));
    let failure = client(None)
        .quorate_members(&server.url, soon())
        .unwrap_err();
    assert_eq!(kind(&failure), "not-etcd");
}

#[test]
fn no_damage_to_a_reply_makes_a_parser_panic() {
    for version in versions() {
        for body in bodies(&version) {
            for at in 0..body.len() {
                parse_all(&body[..at]);
                for byte in [0, b'"', b'{', b'-', 0xff] {
                    let mut damaged = body.clone();
                    damaged[at] = byte;
                    parse_all(&damaged);
                }
            }
        }
    }
}
