//! Whoever stands on the second network without the secret: listens, repeats, changes, floods, waits.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use etcd_rejoin_rover::fence::{Answer, Asked, Key};

use crate::peer::{LONG, Peer, asks, key, nobody, outdate, silent};

/// A server for one connection; what it does is up to the test.
fn fake(serve: impl FnOnce(TcpStream) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let serving = std::thread::spawn(move || serve(listener.accept().unwrap().0));
    (at, serving)
}

fn line(from: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    let _ = from.read_line(&mut line);
    line
}

fn hello(machine: &str) -> String {
    format!("etcd-rejoin-fence 1 {machine} {}\n", "0".repeat(64))
}

/// Both lines that a client says, and both of the server's.
type Heard = Arc<Mutex<Vec<String>>>;

/// Stands in between, hears everything, and says it on as `change` makes it.
fn between(
    peer: &str,
    change: impl Fn(usize, String) -> String + Send + 'static,
) -> (String, JoinHandle<()>, Heard) {
    let (peer, heard) = (peer.to_string(), Heard::default());
    let list = heard.clone();
    let (at, serving) = fake(move |client| {
        let server = TcpStream::connect(peer).unwrap();
        let mut sides = [client, server].map(BufReader::new);
        for n in 0..4 {
            let said = line(&mut sides[n % 2]);
            list.lock().unwrap().push(said.clone());
            let changed = change(n, said);
            let _ = sides[(n + 1) % 2].get_mut().write_all(changed.as_bytes());
        }
    });
    (at, serving, heard)
}

#[test]
fn another_secret_gets_nothing() {
    let peer = Peer::answering(Answer::Outdated);
    let other = Key::new(b"another secret, which is long enough").unwrap();
    silent(
        asks(&peer.at(), &other, outdate(), LONG),
        "is its secret the same?",
    );
    assert_eq!(peer.deeds(), 0);
}

#[test]
fn who_cannot_prove_its_answer_is_not_believed() {
    for answer in [
        format!("outdated {}\n", "0".repeat(64)),
        "outdated\n".into(),
        "primary \n".into(),
        "\n".into(),
        "\u{1F600}\n".into(),
    ] {
        let (at, serving) = fake(move |stream| {
            let mut stream = BufReader::new(stream);
            line(&mut stream);
            let _ = stream.get_mut().write_all(hello("peer").as_bytes());
            line(&mut stream);
            let _ = stream.get_mut().write_all(answer.as_bytes());
        });
        silent(asks(&at, &key(), outdate(), LONG), "its proof is wrong");
        serving.join().unwrap();
    }
}

#[test]
fn a_recorded_talk_gets_nothing_again() {
    let peer = Peer::answering(Answer::Outdated);
    let (at, serving, heard) = between(&peer.at(), |_, said| said);
    assert_eq!(
        asks(&at, &key(), outdate(), LONG),
        Asked::Heard(Answer::Outdated)
    );
    serving.join().unwrap();
    let heard = heard.lock().unwrap().clone();
    assert!(heard[2].starts_with("outdate etcd ") && heard[3].starts_with("outdated "));

    // The asker's part, said again to the peer, line by line and at once.
    for pause in [true, false] {
        let mut stream = TcpStream::connect(peer.at()).unwrap();
        stream.write_all(heard[0].as_bytes()).unwrap();
        let mut from = BufReader::new(stream.try_clone().unwrap());
        if pause {
            assert_ne!(line(&mut from), heard[1], "a nonce has come again");
        }
        let _ = stream.write_all(heard[2].as_bytes());
        let mut rest = String::new();
        let _ = from.read_to_string(&mut rest);
        assert!(!rest.contains("outdated"), "{rest}");
    }
    assert_eq!(peer.deeds(), 1);

    // The peer's part, said again to an asker.
    let (at, serving) = fake(move |stream| {
        let mut stream = BufReader::new(stream);
        for n in [1, 3] {
            line(&mut stream);
            let _ = stream.get_mut().write_all(heard[n].as_bytes());
        }
    });
    silent(asks(&at, &key(), outdate(), LONG), "its proof is wrong");
    serving.join().unwrap();
}

#[test]
fn what_was_changed_on_the_way_gets_nothing() {
    let changes: [(usize, &str, &str); 5] = [
        (0, "asker", "other"),
        (1, "peer", "pear"),
        (2, "etcd", "otherres"),
        (2, "outdate", "outdated"),
        (3, "primary", "outdated"),
    ];
    for (which, from, to) in changes {
        let peer = Peer::answering(Answer::Primary);
        let (at, serving, _) = between(&peer.at(), move |n, said| match n == which {
            true => said.replacen(from, to, 1),
            false => said,
        });
        silent(asks(&at, &key(), outdate(), LONG), "");
        serving.join().unwrap();
        assert_eq!(peer.deeds(), usize::from(which == 3), "{from}");
    }
}

#[test]
fn what_we_said_ourselves_is_no_answer() {
    // All of it comes back.
    let (at, serving) = fake(|mut stream| {
        let mut back = stream.try_clone().unwrap();
        let _ = std::io::copy(&mut stream, &mut back);
    });
    silent(asks(&at, &key(), outdate(), LONG), "our own machine");
    serving.join().unwrap();
    // Our own proof comes back, with another greeting before it.
    let (at, serving) = fake(|stream| {
        let mut stream = BufReader::new(stream);
        line(&mut stream);
        let _ = stream.get_mut().write_all(hello("peer").as_bytes());
        let said = line(&mut stream);
        let proof = said.trim().rsplit(' ').next().unwrap();
        let _ = (stream.get_mut()).write_all(format!("outdated {proof}\n").as_bytes());
    });
    silent(asks(&at, &key(), outdate(), LONG), "its proof is wrong");
    serving.join().unwrap();
}

#[test]
fn a_machine_that_is_led_to_itself_gets_nothing() {
    // Our own server, greeted in another machine's name.
    let peer = Peer::of(crate::peer::machine("asker"), Answer::Outdated);
    let (at, serving, _) = between(&peer.at(), |n, said| match n {
        0 => said.replacen("asker", "other", 1),
        1 => said.replacen("asker", "other", 1),
        _ => said,
    });
    silent(asks(&at, &key(), outdate(), LONG), "");
    serving.join().unwrap();
    assert_eq!(peer.deeds(), 0);
}

#[test]
fn garbage_of_any_size_stops_nobody_else() {
    let peer = Peer::answering(Answer::Outdated);
    let huge = vec![b'x'; 1 << 20];
    let two = format!("{}{}", hello("a"), "y".repeat(5000));
    for bytes in [
        &b""[..],
        b"\n",
        b"\0\xff\n",
        b"GET / HTTP/1.1\r\n\r\n",
        &huge,
        two.as_bytes(),
    ] {
        let mut stream = TcpStream::connect(peer.at()).unwrap();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        assert!(said.len() < 1024);
    }
    let asked = asks(&peer.at(), &key(), outdate(), LONG);
    assert_eq!(asked, Asked::Heard(Answer::Outdated));
    assert_eq!(peer.deeds(), 1);
}

#[test]
fn who_speaks_byte_by_byte_has_no_more_time() {
    let peer = Peer::answering(Answer::Outdated);
    let mut stream = TcpStream::connect(peer.at()).unwrap();
    let start = Instant::now();
    while stream.write_all(b"e").is_ok() {
        assert!(start.elapsed() < LONG, "it may still speak");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(peer.deeds(), 0);
}

#[test]
fn a_crowd_that_proves_nothing_keeps_nobody_out() {
    let peer = Peer::answering(Answer::Outdated);
    let crowd: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(peer.at()).unwrap())
        .collect();
    let asked = asks(&peer.at(), &key(), outdate(), LONG);
    assert_eq!(asked, Asked::Heard(Answer::Outdated));
    drop(crowd);
}

#[test]
fn who_says_nothing_or_never_ends_is_silent_at_the_deadline() {
    let limit = Duration::from_millis(300);
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let never = held.local_addr().unwrap().to_string();
    let (drip, dripping) = fake(|mut stream| {
        while stream.write_all(b"e").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    // 192.0.2.0/24 is nobody's (RFC 5737).
    let nowhere = "192.0.2.1:7790".to_string();
    for at in [
        never,
        drip,
        nowhere,
        nobody().to_string(),
        "no.such.name.invalid:1".into(),
    ] {
        let start = Instant::now();
        silent(asks(&at, &key(), outdate(), limit), &at);
        assert!(start.elapsed() < LONG, "{at}");
    }
    dripping.join().unwrap();
}

#[test]
fn a_line_without_end_takes_no_memory() {
    let (at, serving) = fake(
        |mut stream| {
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        },
    );
    silent(asks(&at, &key(), outdate(), LONG), "its line has no end");
    serving.join().unwrap();
}
