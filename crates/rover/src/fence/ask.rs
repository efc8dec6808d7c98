//! Asking the other rover to outdate its disk.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::Machine;
use super::key::Key;
use super::wire::{Answer, Talk};
use etcd_rejoin_host::work::Work;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It answered, provably.
    Heard(Answer),
    /// Nothing came that could be believed, and what stood in the way.
    Silent(String),
}

/// Who lives accepts within a moment, a lost packet included (the kernel sends another after 1 s). A dead
/// machine must not cost all the time that a living one may take to answer: writes are frozen meanwhile.
const CONNECT: Duration = Duration::from_millis(1500);

/// How soon a machine that lives is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// Asks the rover at `host:port` to record that its disk of this resource is outdated. Ends at the deadline.
pub fn ask(peer: &str, key: &Key, machine: &Machine, resource: &str, deadline: Instant) -> Asked {
    match try_ask(peer, key, machine, resource, deadline) {
        Ok(answer) => Asked::Heard(answer),
        Err(why) => Asked::Silent(format!("{peer}: {why}")),
    }
}

fn try_ask(
    peer: &str,
    key: &Key,
    machine: &Machine,
    resource: &str,
    deadline: Instant,
) -> Result<Answer, String> {
    let mut talk = Talk::new(connect(peer, deadline)?, deadline);
    talk.say_hello(machine)?;
    let other = talk.hear_hello()?;
    // With its own secret a machine proves everything to itself.
    if other == *machine {
        return Err("this is our own machine: it has to be the other one".into());
    }
    talk.ask(key, resource)?;
    talk.hear_answer(key)
}

/// Where a machine lives and nobody listens, its rover is being restarted, most likely: it is tried until the
/// deadline.
fn connect(peer: &str, deadline: Instant) -> Result<TcpStream, String> {
    let mut last = "it has no address".to_string();
    loop {
        let mut lives = false;
        for address in resolve(peer, deadline)? {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(last);
            }
            match TcpStream::connect_timeout(&address, left.min(CONNECT)) {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    lives |= error.kind() == ErrorKind::ConnectionRefused;
                    last = format!("no connection: {error}");
                }
            }
        }
        if !lives || Instant::now() + AGAIN >= deadline {
            return Err(last);
        }
        std::thread::sleep(AGAIN);
    }
}

/// A resolver knows no deadline, and its server may be on the network that is gone: a name is looked up
/// by a thread that nobody waits for longer than that.
fn resolve(peer: &str, deadline: Instant) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = peer.parse() {
        return Ok(vec![address]);
    }
    let name = peer.to_string();
    let lookup = move || name.to_socket_addrs().map(Iterator::collect::<Vec<_>>);
    let lookup = Work::begin(lookup).map_err(|error| format!("cannot start a thread: {error}"))?;
    let left = deadline.saturating_duration_since(Instant::now());
    match lookup.wait(left) {
        Ok(Ok(mut addresses)) => {
            addresses.sort_by_key(|address| matches!(address.ip(), IpAddr::V6(_)));
            Ok(addresses)
        }
        Ok(Err(error)) => Err(format!("its name does not resolve: {error}")),
        Err(_) => Err("its name did not resolve in time".into()),
    }
}
