//! `recover`: who holds what is asked, nobody who may have more is passed over unnamed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use crate::support::etcd::{Etcd, Ours};

/// An entrypoint, as far as it is asked here. It listens until the test's process ends.
fn entrypoint(name: &str, data: &str, commit: u64) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let cluster = match data {
        "own" => r#""cluster":"ab12","term":3,"#,
        _ => "",
    };
    let report = format!(
        r#"{{"name":"{name}","data":"{data}",{cluster}"commit":{commit},"initial_cluster":"x","token":"y"}}"#
    );
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever asked may have gone.
            let _ = answer(stream, &report);
        }
    });
    address
}

fn answer(mut stream: TcpStream, report: &str) -> std::io::Result<()> {
    let mut request = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while request.read_line(&mut line)? > 2 && !line.ends_with("\r\n\r\n") {}
    let (status, body) = match line.starts_with("GET /etcd-rejoin/assembly ") {
        true => ("200 OK", report),
        false => ("404 Not Found", ""),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// Three members, of which the last one does not answer.
fn members(first: SocketAddr, second: SocketAddr) -> String {
    format!("n1=http://{first},n2=http://{second},n3=http://127.99.99.99:9")
}

#[test]
fn the_one_that_has_most_goes_on_once_the_absent_are_named() {
    let store = tempfile::tempdir().unwrap();
    let ours = Ours::alone(store.path().to_str().unwrap());
    let (n1, n2) = (entrypoint("n1", "own", 40), entrypoint("n2", "own", 42));
    let ours = ours.with("ETCD_INITIAL_CLUSTER", &members(n1, n2));
    let listed = ours.well(&["recover"]);
    assert!(
        listed.contains("data: own") && listed.contains("n3"),
        "{listed}"
    );
    // A look writes nothing.
    assert_eq!(std::fs::read_dir(store.path()).unwrap().count(), 0);
    let recover = ["recover", "--yes", "--from-survivor"];
    ours.fails(&recover, 65, "--destroyed=n3");
    let named = |name: &'static str| [&recover[..], &["--destroyed", name]].concat();
    ours.fails(&named("n1"), 65, "n1 answers, so it is not destroyed");
    let said = ours.run(&named("n3"));
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.err.contains("no snapshot before"), "{said:?}");
    let look = ours.json(&["look"]);
    // The store was empty: it is the survivors' now.
    assert_eq!(look["marker"]["cluster_id"], "ab12");
    let order = &look["orders"][0]["order"];
    assert_eq!(
        (
            &order["n"],
            &order["kind"],
            &order["member"],
            order["destroyed"].to_string()
        ),
        (
            &2.into(),
            &"survivor".into(),
            &"n2".into(),
            r#"["n3"]"#.into()
        )
    );
    ours.well(&["restore", "cancel", "2"]);
    let less = ours.run(&["recover", "--yes", "--from-survivor=n1", "--destroyed=n3"]);
    assert!(
        less.code == 0 && less.err.contains("2 entries that n2 has, and n1 has not"),
        "{less:?}"
    );
}

#[test]
fn who_holds_nothing_or_belongs_elsewhere_does_not_go_on() {
    let store = tempfile::tempdir().unwrap();
    let ours = Ours::alone(store.path().to_str().unwrap());
    let (n1, n2) = (entrypoint("n1", "empty", 0), entrypoint("n2", "damaged", 0));
    let ours = ours.with("ETCD_INITIAL_CLUSTER", &members(n1, n2));
    let recover = |who: &'static str| ["recover", "--yes", who, "--destroyed=n3"];
    ours.fails(&recover("--from-survivor"), 65, "nobody can go on");
    ours.fails(
        &recover("--from-survivor=n1"),
        65,
        "n1 holds no data that reads: empty",
    );
    ours.fails(&recover("--from-survivor=n9"), 65, "no member n9 is known");
    // Another process answers there.
    let other = entrypoint("n7", "own", 1).to_string();
    let ours = ours.with("ETCD_INITIAL_CLUSTER", &format!("n1=http://{other}"));
    ours.fails(
        &["recover", "--yes", "--from-survivor=n1"],
        65,
        "n7 answers there",
    );
}

#[test]
fn a_cluster_with_a_leader_has_lost_no_majority() {
    let etcd = Etcd::start("sid");
    let store = tempfile::tempdir().unwrap();
    let ours = Ours::new(&etcd, store.path().to_str().unwrap());
    ours.well(&["save"]);
    let listed = ours.well(&["recover"]);
    assert!(listed.contains("runs, and hears no order"), "{listed}");
    ours.fails(&["recover", "--yes", "--from-survivor"], 65, "has a leader");
    let look = ours.json(&["look"]);
    assert_eq!(look["orders"], serde_json::Value::Array(Vec::new()));
}
