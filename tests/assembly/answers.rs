//! Who answers: whatever is no answer of this very member is named in the log, and never counted.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{PATIENCE, wait_for};
use crate::{Members, PATH};

pub(crate) type Answer = Box<dyn Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync>;

/// Plays a member: 404 to everything but the resource, for which `answer` writes all there is.
pub(crate) fn play(listener: TcpListener, answer: Answer) -> Arc<AtomicUsize> {
    let (asked, count) = (Arc::new(AtomicUsize::new(0)), Arc::new(answer));
    let counter = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (answer, counter) = (count.clone(), counter.clone());
            std::thread::spawn(move || one(stream, &answer, &counter));
        }
    });
    asked
}

fn one(mut stream: TcpStream, answer: &Answer, asked: &AtomicUsize) -> std::io::Result<()> {
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    loop {
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte)? == 0 {
                return Ok(());
            }
            request.extend(byte);
        }
        let ours = format!("GET {PATH} ");
        if request.starts_with(ours.as_bytes()) {
            asked.fetch_add(1, Ordering::Relaxed);
            return answer(&mut stream);
        }
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
    }
}

pub(crate) fn with_body(body: impl Into<Vec<u8>>) -> Answer {
    let body = body.into();
    Box::new(move |stream| {
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )?;
        stream.write_all(&body)
    })
}

fn raw(answer: &'static str) -> Answer {
    Box::new(move |stream| stream.write_all(answer.as_bytes()))
}

fn endless(head: &'static str) -> Answer {
    Box::new(move |stream| {
        stream.write_all(head.as_bytes())?;
        loop {
            stream.write_all(&[b' '; 4096])?;
        }
    })
}

/// n2 answers so; n1 says this about it, and waits on.
fn waits_beside(answer: Answer, said: &str) {
    let members = Members::new(2);
    let listener = TcpListener::bind((members.addresses.host(2), 2380)).unwrap();
    let asked = play(listener, answer);
    let mut n1 = members.start(1, &[]);
    n1.wait_reason("not-all-heard");
    wait_for("some looks", PATIENCE, || asked.load(Ordering::Relaxed) > 2);
    let log = n1.log.text();
    assert!(log.contains(said), "{said:?} is not in {log}");
    assert!(
        !log.contains("step=") && !log.contains("STAND-IN"),
        "it counted: {log}"
    );
    assert!(log.len() < 6000, "{} bytes of log", log.len());
    assert_eq!(n1.process.code(), None);
    let status = std::fs::read_to_string(format!("/proc/{}/status", n1.process.pid())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 64 << 10, "{peak} KiB of memory");
}

pub(crate) fn report(members: &Members, name: &str) -> String {
    let cluster = etcd_rejoin::membership::InitialCluster::parse(&members.initial()).unwrap();
    let token = etcd_rejoin::membership::digest("etcd-cluster");
    let digest = cluster.digest();
    format!(r#"{{"name":"{name}","data":"empty","initial_cluster":"{digest}","token":"{token}"}}"#)
}

#[test]
fn garbage_is_named() {
    waits_beside(with_body("\x00\x01garbage"), "n2 answers nonsense");
    waits_beside(with_body("{}"), "n2 answers nonsense");
    waits_beside(with_body("[".repeat(60_000)), "n2 answers nonsense");
    waits_beside(
        raw("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"),
        "n2 answers nonsense: HTTP status 500",
    );
    waits_beside(raw("220 smtp\r\n\r\n"), "n2 ");
    waits_beside(raw(""), "n2 ");
}

#[test]
fn too_much_is_named() {
    waits_beside(with_body(vec![b' '; 10 << 20]), "n2 answers nonsense");
    waits_beside(endless("HTTP/1.1 200 OK\r\n\r\n"), "n2 ");
    waits_beside(endless("HTTP/1.1 200 OK\r\nX: "), "n2 ");
    waits_beside(
        endless("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n"),
        "n2 ",
    );
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Members::new(1);
    let bait = TcpListener::bind((elsewhere.addresses.host(9), 2380)).unwrap();
    let followed = play(bait, with_body("{}"));
    let to = format!("http://{}:2380{PATH}", elsewhere.addresses.host(9));
    let answer = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    let answer: Answer = Box::new(move |stream| stream.write_all(answer.as_bytes()));
    waits_beside(answer, "n2 answers nonsense: HTTP status 302");
    assert_eq!(followed.load(Ordering::Relaxed), 0);
}

#[test]
fn another_members_answer_is_named() {
    let members = Members::new(2);
    waits_beside(
        with_body(report(&members, "n3")),
        "n3 answers at the peer URL of n2",
    );
    waits_beside(
        with_body(report(&members, "n1")),
        "n1 answers at the peer URL of n2",
    );
    let long = report(&members, &"n".repeat(5000));
    waits_beside(with_body(long), "too long or not printable");
}

/// However often it looks: one line says for whom, since when, and how to go on.
#[test]
fn a_wait_is_said_once_with_the_time_since_when() {
    let members = Members::new(3);
    let play_at = |n: u8, name: &str| {
        let listener = TcpListener::bind((members.addresses.host(n), 2380)).unwrap();
        play(listener, with_body(report(&members, name)))
    };
    let asked = play_at(2, "n2");
    let mut n1 = members.start(1, &[]);
    n1.wait_reason("not-all-heard");
    wait_for("some looks", PATIENCE, || asked.load(Ordering::Relaxed) > 4);
    let log = n1.log.text();
    let waits: Vec<&str> = log.lines().filter(|line| line.contains("waits")).collect();
    let [line] = waits[..] else {
        panic!("said more than once: {log}");
    };
    assert!(line.contains("(n3 silent: "), "{line}");
    assert!(line.contains("start the missing members reason=not-all-heard since="));
    // To the minute it is the time of the line itself.
    let (said, since) = (&line[..17], line.split("since=").nth(1).unwrap());
    assert_eq!(said, &since[..17], "{line}");
}

/// `now` founds beside silence; whatever answers rules it out until it is known what that is.
#[test]
fn nonsense_rules_out_founding_now() {
    let members = Members::new(2);
    let listener = TcpListener::bind((members.addresses.host(2), 2380)).unwrap();
    let asked = play(listener, with_body("garbage"));
    let now = [("REJOIN_BOOTSTRAP", "now")];
    let mut n1 = members.start(1, &now);
    n1.wait_log("n2 answers nonsense");
    n1.wait_reason("now-ruled-out");
    wait_for("some looks", PATIENCE, || asked.load(Ordering::Relaxed) > 2);
    let log = n1.log.text();
    assert!(!log.contains("step=") && !log.contains("STAND-IN"), "{log}");

    let members = Members::new(2);
    let mut n1 = members.start(1, &now);
    n1.wait_reason("first-start");
    n1.wait_log("STAND-IN");
}

/// The same answer under the right name counts: it is not the disguise that is refused above.
#[test]
fn an_answer_of_this_very_member_counts() {
    let members = Members::new(2);
    let listener = TcpListener::bind((members.addresses.host(2), 2380)).unwrap();
    let body = report(&members, "n2").replace("empty", "promised");
    play(listener, with_body(body));
    let mut n1 = members.start(1, &[]);
    n1.wait_reason("first-start");
    n1.wait_log("STAND-IN");
}
