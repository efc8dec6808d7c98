//! Something else answers at a peer's address: it founds no cluster, and holds nobody up.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{Cluster, PATIENCE, Version, addresses, scenarios, wait_for};

scenarios! {
    each: removed_and_the_only_peer_heard_knows_nothing_of_it;
    both: the_peer_that_etcd_asks_first_is_behind;
    oldest: garbage, an_answer_without_end, another_program_that_answers_politely;
    newest: an_answer_byte_by_byte, silence_after_the_connection, hostile_beside_data,
        a_peer_that_stays_behind, a_reused_address_refuses;
}

/// A server at one address that treats every connection the same way, until it is dropped.
struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<TcpListener>>,
}

impl Server {
    fn start<T>(cluster: &Cluster, n: u8, treat: T) -> Self
    where
        T: Fn(&mut TcpStream, &AtomicBool) -> std::io::Result<()> + Send + Clone + 'static,
    {
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
                let (stopped, treat) = (stopped.clone(), treat.clone());
                std::thread::spawn(move || {
                    let _ = stream.set_nonblocking(false);
                    let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
                    let _ = stream.read(&mut [0; 4096]);
                    // The other side may hang up at any time.
                    let _ = treat(&mut stream, &stopped);
                });
            }
            listener
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
        if let Ok(listener) = self.thread.take().unwrap().join() {
            addresses::free(listener);
        }
    }
}

/// n1 and n2 run our entrypoint, at n3's address sits the stranger: nobody may begin.
fn founds_nothing<T>(version: Version, treat: T)
where
    T: Fn(&mut TcpStream, &AtomicBool) -> std::io::Result<()> + Send + Clone + 'static,
{
    let mut cluster = Cluster::new(version, 3);
    let server = Server::start(&cluster, 3, treat);
    cluster.start(&[1, 2]);
    cluster.member(1).wait_reason("not-all-heard");
    cluster
        .member(2)
        .assert_waits("not-all-heard", Duration::from_secs(3));
    let memory = cluster.member(2).memory_kib();
    assert!(memory < 64 << 10, "it holds {memory} KiB");
    assert_eq!(cluster.member(2).sigterm(), 143);
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

/// n1 was replaced by n4, which the others' settings do not name. Where n1 was, a program wants a password.
fn a_reused_address_refuses(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let id = format!("{:x}", cluster.id(1));
    cluster.kill9(&[1]);
    cluster.operator(&["member", "remove", &id]);
    let fourth = cluster.grow();
    let initial = cluster.initial(&[2, 3, fourth]);
    cluster.member(fourth).set("ETCD_INITIAL_CLUSTER", &initial);
    cluster.start(&[fourth]);
    cluster.wait_healthy_of(&[2, 3, fourth]);
    let _reused = Server::start(&cluster, 1, |stream, _| {
        stream.write_all(
            b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        )
    });
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster.wait_healthy_of(&[2, 3, fourth]);
    cluster.member(3).wait_log("n1 refuses us");
    cluster.put_some();
    cluster.verify_of(&[2, 3, fourth]);
}

/// A member that is cut off lists us as we were. That list is enough for a restart, and etcd finds out by
/// itself that it was removed; the start after that asks for a leader.
fn removed_and_the_only_peer_heard_knows_nothing_of_it(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let id = format!("{:x}", cluster.id(3));
    cluster.kill9(&[3]);
    let before = members_as_answered(cluster.addresses.host(1));
    let _cut_off = Server::start(&cluster, 4, move |stream, _| stream.write_all(&before));
    cluster.operator(&["member", "remove", &id]);
    cluster.put_some();
    let cut_off = format!("n4=http://{}:2380", cluster.addresses.host(4));
    let initial = format!("{},{cut_off}", cluster.initial(&[3]));
    cluster.member(3).set("ETCD_INITIAL_CLUSTER", &initial);
    cluster.start(&[3]);
    // 0, or 1 with "server is stopping" where etcd 3.5 learns it before its listeners are up.
    let code = cluster.member(3).wait_exit(Duration::from_secs(30));
    assert!(matches!(code, 0 | 1), "etcd ended with {code}");
    assert!(cluster.member(3).log.has_reason("own-data"));
    cluster.start(&[3]);
    cluster.wait_healthy();
    assert!(cluster.member(3).log.has_reason("removed"));
    cluster.verify();
}

/// n4 is added and not started; one of the others, if it runs, has heard nothing of it.
fn added_unheard_by(version: Version, n: usize) -> (Cluster, Server) {
    let mut cluster = Cluster::running(version, 3);
    let behind = members_as_answered(cluster.addresses.host(n as u8));
    let fourth = cluster.grow();
    wait_for("etcd takes an add", PATIENCE, || {
        cluster.member(fourth).start_steps(2);
        assert_eq!(cluster.member(fourth).wait_exit(PATIENCE), 75);
        cluster.member(fourth).log.has_reason("note-added")
    });
    cluster.kill9(&[n]);
    let server = Server::start(&cluster, n as u8, move |stream, _| {
        stream.write_all(&behind)
    });
    cluster.start(&[fourth]);
    cluster.member(fourth).wait_reason("peer-lags");
    (cluster, server)
}

/// It would end with "member count is unequal".
fn the_peer_that_etcd_asks_first_is_behind(version: Version) {
    let (mut cluster, server) = added_unheard_by(version, 1);
    drop(server);
    cluster.start(&[1]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// As one that is cut off from its leader, perhaps for days.
fn a_peer_that_stays_behind(version: Version) {
    let (mut cluster, server) = added_unheard_by(version, 3);
    cluster.wait_healthy_of(&[1, 2, 4]);
    drop(server);
    cluster.start(&[3]);
    cluster.put_some();
    cluster.verify();
}

/// The whole reply of a member to `GET /members`.
fn members_as_answered(host: Ipv4Addr) -> Vec<u8> {
    let mut stream = TcpStream::connect((host, 2380)).unwrap();
    write!(
        stream,
        "GET /members HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    reply
}
