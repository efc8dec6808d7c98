//! Who asks: only one question is answered, to anybody who may ask it, however rude the others are.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{PATIENCE, certs::Ca, wait_for};
use crate::{Members, PATH};

pub(crate) fn connect(host: Ipv4Addr) -> TcpStream {
    let stream = TcpStream::connect((host, 2380)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

/// Sends these bytes; what comes back until the end.
pub(crate) fn ask(host: Ipv4Addr, request: &[u8]) -> String {
    let mut stream = connect(host);
    let mut answer = Vec::new();
    // Being cut off is an answer too.
    let _ = stream.write_all(request);
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

fn report(host: Ipv4Addr) -> Option<Value> {
    let answer = ask(host, &get(PATH));
    let body = answer
        .strip_prefix("HTTP/1.1 200 OK\r\n")?
        .split_once("\r\n\r\n")?
        .1;
    serde_json::from_str(body).ok()
}

#[test]
fn only_one_resource_answers_and_gives_nothing_else_away() {
    let members = Members::new(2);
    let host = members.addresses.host(1);
    let secrets = [
        ("REJOIN_USER", "root"),
        ("REJOIN_PASSWORD", "geheim"),
        ("ETCD_INITIAL_CLUSTER_TOKEN", "token-4711"),
    ];
    let mut n1 = members.start(1, &secrets);
    n1.wait_reason("not-all-heard");
    let report = report(host).expect("an answer");
    let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["data", "initial_cluster", "instance", "name", "token"]
    );
    assert_eq!(
        (&report["name"], &report["data"]),
        (&"n1".into(), &"empty".into())
    );
    let text = report.to_string();
    for secret in ["geheim", "token-4711", "2380", "data1"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let other = [
        "/",
        "/members",
        "/version",
        "/health",
        "/metrics",
        "/v3/cluster/member/list",
        "//",
        "..",
    ];
    let longer = [
        format!("{PATH}/"),
        format!("{PATH}/x"),
        format!("{PATH}?x"),
        format!("/x{PATH}"),
    ];
    for path in other.iter().map(|path| path.to_string()).chain(longer) {
        let answer = ask(host, &get(&path));
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
    for method in ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "get", "CONNECT"] {
        let answer = ask(
            host,
            format!("{method} {PATH} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(),
        );
        assert!(answer.starts_with("HTTP/1.1 404 "), "{method}: {answer}");
        assert!(!answer.contains("initial_cluster"), "{method}: {answer}");
    }
}

#[test]
fn damaged_data_is_told_as_such() {
    let members = Members::new(2);
    let wal = members.data_dir(1).join("member/wal");
    std::fs::create_dir_all(&wal).unwrap();
    std::fs::write(wal.join("0000000000000000-0000000000000000.wal"), "garbage").unwrap();
    let mut n1 = members.start(1, &[]);
    n1.wait_reason("data-damaged-no-quorum");
    assert_eq!(
        report(members.addresses.host(1)).unwrap()["data"],
        "damaged"
    );
}

#[test]
fn rude_askers_keep_no_one_else_out() {
    let members = Members::new(2);
    let host = members.addresses.host(1);
    let mut n1 = members.start(1, &[]);
    n1.wait_reason("not-all-heard");
    let garbage: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    for request in [
        &garbage[..],
        &[b'x'; 1 << 20],
        b"\r\n\r\n",
        b"GET",
        b"\0",
        &get(&"a".repeat(9999)),
    ] {
        let answer = ask(host, request);
        assert!(!answer.contains("200 OK"), "{answer}");
        assert!(report(host).is_some());
    }
    // A byte now and then, a hundred at once; then as many that say nothing at all.
    let mut slow: Vec<TcpStream> = (0..100).map(|_| connect(host)).collect();
    for round in 0..5 {
        for stream in &mut slow {
            let _ = stream.write_all(b"G");
        }
        assert!(report(host).is_some(), "round {round}");
    }
    let silent: Vec<TcpStream> = (0..100).map(|_| connect(host)).collect();
    assert!(report(host).is_some());
    let answered: Vec<_> = (0..20)
        .map(|_| std::thread::spawn(move || (0..5).filter(|_| report(host).is_some()).count()))
        .collect();
    let answered: usize = answered
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    assert!(answered > 90, "{answered} of 100");
    assert_eq!(n1.process.code(), None);
    // None of them is held for long, and no thread stays behind.
    drop(silent);
    let tasks = format!("/proc/{}/task", n1.process.pid());
    wait_for("all threads of askers have ended", PATIENCE, || {
        std::fs::read_dir(&tasks).unwrap().count() < 8
    });
}

#[test]
fn behind_tls_only_members_are_answered() {
    let mut members = Members::new(2);
    members.scheme = "https";
    let host = members.addresses.host(1);
    let ca = Ca::new(&members.dir.path().join("ca"), "ca");
    let own = ca.server("n1", &[&host.to_string()]);
    let client = ca.client("client", None);
    let other = Ca::new(&members.dir.path().join("other"), "other");
    let stranger = other.server("x", &["127.0.0.1"]);
    let path = |path: &std::path::Path| path.display().to_string();
    let (cert, key, root) = (path(&own.cert), path(&own.key), path(&ca.cert()));
    let mut n1 = members.start(
        1,
        &[
            ("ETCD_PEER_CERT_FILE", &cert),
            ("ETCD_PEER_KEY_FILE", &key),
            ("ETCD_PEER_TRUSTED_CA_FILE", &root),
            ("ETCD_PEER_CLIENT_CERT_AUTH", "true"),
        ],
    );
    n1.wait_reason("not-all-heard");
    let ask_as = |cert: Option<&crate::support::certs::Cert>| {
        let files = etcd_rejoin::access::TlsFiles {
            ca: Some(ca.cert()),
            cert: cert.map(|cert| cert.cert.clone()),
            key: cert.map(|cert| cert.key.clone()),
            ..Default::default()
        };
        let client = etcd_rejoin::gateway::Client::new(&files, None).unwrap();
        let url = format!("https://{host}:2380{PATH}");
        client.get(&url, Instant::now() + Duration::from_secs(5))
    };
    assert_eq!(ask_as(Some(&own)).unwrap().0, 200);
    assert!(ask_as(None).is_err(), "no certificate");
    assert!(ask_as(Some(&stranger)).is_err(), "a stranger's certificate");
    // As etcd does: one whose names do not hold the address it comes from is no member.
    let _ = ask_as(Some(&client));
    assert!(!ask(host, &get(PATH)).contains("200 OK"), "plain text");
    assert_eq!(ask_as(Some(&own)).unwrap().0, 200);
    // While it waits, the CA is replaced: its file holds both for some time.
    let both = [ca.cert(), other.cert()].map(|file| std::fs::read(file).unwrap());
    std::fs::write(ca.cert(), both.concat()).unwrap();
    wait_for("the file is read again", PATIENCE, || {
        ask_as(Some(&stranger)).is_ok_and(|(status, _)| status == 200)
    });
}
