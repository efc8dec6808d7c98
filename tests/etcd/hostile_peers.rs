//! Something else answers at a peer's address: it founds no cluster, and holds nobody up.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Cluster, Version, scenarios};

scenarios! {
    each: ;
    V34: garbage, an_answer_without_end, another_program_that_answers_politely;
    V3530: an_answer_byte_by_byte, silence_after_the_connection, hostile_beside_data
}

/// A server at one address that treats every connection the same way, until it is dropped.
struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

type Treat = fn(&mut TcpStream, &AtomicBool) -> std::io::Result<()>;

impl Server {
    fn start(cluster: &Cluster, n: u8, treat: Treat) -> Self {
        let listener = TcpListener::bind((cluster.addresses.host(n), 2380)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let Ok((mut stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(10));
                    continue;
                };
                let stopped = stopped.clone();
                std::thread::spawn(move || {
                    let _ = stream.set_nonblocking(false);
                    let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
                    let _ = stream.read(&mut [0; 4096]);
                    // The other side may hang up at any time.
                    let _ = treat(&mut stream, &stopped);
                });
            }
        });
        Server {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// n1 and n2 run our entrypoint, at n3's address sits the stranger: nobody may begin.
fn founds_nothing(version: Version, treat: Treat) {
    let mut cluster = Cluster::new(version, 3);
    let server = Server::start(&cluster, 3, treat);
    let begin = Instant::now();
    cluster.start(&[1, 2]);
    cluster.member(1).wait_reason("not-all-heard");
    // REJOIN_TIMEOUT is 2 s.
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
    cluster
        .member(2)
        .assert_waits("not-all-heard", Duration::from_secs(3));
    let memory = cluster.member(2).memory_kib();
    assert!(memory < 64 << 10, "it holds {memory} KiB");
    let begin = Instant::now();
    assert_eq!(cluster.member(2).sigterm(), 143);
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "{:?}",
        begin.elapsed()
    );
    drop(server);
    cluster.start_all();
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

fn garbage(version: Version) {
    founds_nothing(version, |stream, _| stream.write_all(&[0xff; 4096]));
}

fn an_answer_without_end(version: Version) {
    founds_nothing(version, |stream, stop| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nX-Etcd-Cluster-Id: 1\r\n\r\n[")?;
        while !stop.load(Ordering::Relaxed) {
            stream.write_all(&[b'{'; 65536])?;
        }
        Ok(())
    });
}

fn an_answer_byte_by_byte(version: Version) {
    founds_nothing(version, |stream, stop| {
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
            .iter()
            .cycle()
        {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            stream.write_all(&[*byte])?;
            std::thread::sleep(Duration::from_millis(300));
        }
        Ok(())
    });
}

fn silence_after_the_connection(version: Version) {
    founds_nothing(version, |_, stop| {
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    });
}

/// A web server with a page for everything: not etcd, and not an empty entrypoint.
fn another_program_that_answers_politely(version: Version) {
    founds_nothing(version, |stream, _| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\nConnection: close\r\n\r\n<html>hi</html>")
    });
}

/// Own data starts beside it, a lost disk comes back beside it.
fn hostile_beside_data(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[2]);
    let server = Server::start(&cluster, 2, |stream, stop| {
        while !stop.load(Ordering::Relaxed) {
            stream.write_all(b"[")?;
            std::thread::sleep(Duration::from_millis(300));
        }
        Ok(())
    });
    cluster.kill9(&[3]);
    cluster.start(&[3]);
    cluster.wait_healthy_of(&[1, 3]);
    assert!(cluster.member(3).is_etcd());
    cluster.put_some();
    drop(server);
    cluster.start(&[2]);
    cluster.wait_healthy();
    cluster.verify();
}
