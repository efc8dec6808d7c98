//! Answering the other rover: who proves the secret may ask, everybody else takes little and ends soon.

use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::key::Key;
use super::wire::{Answer, Talk};
use super::{Machine, Turn};
use etcd_rejoin_host::error::{Context, Error};
use etcd_rejoin_host::work::thread;

/// How long somebody may take to prove the secret, and to take the answer.
const PROVE: Duration = Duration::from_secs(2);

/// How long a request to be outdated waits while we ask the same.
const WAIT_TURN: Duration = Duration::from_secs(3);

/// So many may be about to prove it. One more, and one of those goes that come from the busiest address.
const MAX_UNPROVEN: usize = 8;

/// So many talks there may be at all.
const MAX_TALKS: usize = 32;

/// How long we wait for one of them to have left.
const LEAVE: Duration = Duration::from_millis(500);

/// What is done for who has proven the secret: looks at the role, outdates the disk, says how it went.
///
/// Only one is under way at a time, in the [`Turn`] of this rover; it gets the resource. It never says
/// [`Answer::Outdated`] of a disk that DRBD does not record as outdated.
pub type Deed = dyn Fn(&str) -> Answer + Send + Sync;

/// Answers until it is dropped.
#[derive(Debug)]
pub struct FenceServer {
    address: SocketAddr,
    ending: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

struct Answering {
    key: Key,
    machine: Machine,
    turn: Arc<Turn>,
    deed: Arc<Deed>,
    talks: AtomicUsize,
    /// Those that have not proven anything yet, the oldest first.
    unproven: Mutex<Vec<(u64, IpAddr, TcpStream)>>,
}

impl FenceServer {
    /// Listens, and answers from now on.
    pub fn start(
        listen: SocketAddr,
        key: Key,
        machine: Machine,
        turn: Arc<Turn>,
        deed: Arc<Deed>,
    ) -> Result<FenceServer, Error> {
        let failed = || format!("cannot listen on {listen}");
        let listener = TcpListener::bind(listen).context(failed)?;
        listener.set_nonblocking(true).context(failed)?;
        let address = listener.local_addr().context(failed)?;
        let ending = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(Answering {
            key,
            machine,
            turn,
            deed,
            talks: AtomicUsize::new(0),
            unproven: Mutex::default(),
        });
        let end = ending.clone();
        let accepting = std::thread::Builder::new()
            .name("fence".into())
            .spawn(move || accept(&listener, &shared, &end))
            .context(|| "cannot start a thread".into())?;
        Ok(FenceServer {
            address,
            ending,
            accepting: Some(accepting),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for FenceServer {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Answering>, ending: &AtomicBool) {
    let tick = Timespec {
        tv_sec: 0,
        tv_nsec: 100_000_000,
    };
    for id in 0.. {
        let stream = loop {
            if ending.load(Ordering::Relaxed) {
                return;
            }
            let mut waiting = [PollFd::new(listener, PollFlags::IN)];
            let _ = poll(&mut waiting, Some(&tick));
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                // Out of file descriptors, most likely: that passes, or not, without our spinning.
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        };
        // Those that were told to go take a moment on a busy machine; the newest must not pay for it.
        let patience = Instant::now() + LEAVE;
        while shared.talks.load(Ordering::Relaxed) >= MAX_TALKS && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(2));
        }
        if shared.talks.load(Ordering::Relaxed) >= MAX_TALKS || !shared.admit(id, &stream) {
            continue;
        }
        shared.talks.fetch_add(1, Ordering::Relaxed);
        let ours = shared.clone();
        let started = thread(Box::new(move || {
            let from = stream.peer_addr();
            let said = ours.talk(id, stream);
            ours.forget(id);
            ours.talks.fetch_sub(1, Ordering::Relaxed);
            if let (Err(why), Ok(from)) = (said, from) {
                log::debug!("fence: {from}: {why}");
            }
        }));
        if started.is_err() {
            shared.forget(id);
            shared.talks.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Answering {
    /// Takes a new one in; whether that was possible. A crowd that proves nothing never keeps out the
    /// one that does.
    fn admit(&self, id: u64, stream: &TcpStream) -> bool {
        let (Ok(copy), Ok(from)) = (stream.try_clone(), stream.peer_addr()) else {
            return false;
        };
        if stream.set_nonblocking(false).is_err() {
            return false;
        }
        let mut unproven = self.unproven.lock().unwrap_or_else(PoisonError::into_inner);
        unproven.push((id, from.ip(), copy));
        if unproven.len() > MAX_UNPROVEN {
            let of = |address: IpAddr| unproven.iter().filter(move |(_, ip, _)| *ip == address);
            // The oldest of several; the newest has asked for nothing yet either.
            let most = unproven.iter().map(|(_, ip, _)| of(*ip).count()).max();
            let goes = (unproven.iter()).position(|(_, ip, _)| Some(of(*ip).count()) == most);
            let (_, _, gone) = unproven.remove(goes.unwrap_or_default());
            let _ = gone.shutdown(Shutdown::Both);
        }
        true
    }

    fn forget(&self, id: u64) {
        let mut unproven = self.unproven.lock().unwrap_or_else(PoisonError::into_inner);
        unproven.retain(|(other, ..)| *other != id);
    }

    fn talk(&self, id: u64, stream: TcpStream) -> Result<(), String> {
        let mut talk = Talk::new(stream, Instant::now() + PROVE);
        let other = talk.hear_hello()?;
        if other == self.machine {
            return Err(
                "our own machine asks us: REJOIN_FENCE_PEER has to name the other one".into(),
            );
        }
        talk.say_hello(&self.machine)?;
        let resource = talk.hear_request(&self.key)?;
        self.forget(id);
        let answer = self.outdate(&resource, &other, &talk)?;
        log::info!("fence: the other machine asks to outdate {resource}: answered {answer:?}");
        talk.until(Instant::now() + PROVE);
        talk.answer(&self.key, &answer)
    }

    fn outdate(&self, resource: &str, other: &Machine, talk: &Talk) -> Result<Answer, String> {
        let patience = match self.machine.0 < other.0 {
            true => Duration::ZERO,
            false => WAIT_TURN,
        };
        let Some(_turn) = self.turn.take(Instant::now() + patience) else {
            return Ok(Answer::Busy(
                "this machine asks the same, and goes first".into(),
            ));
        };
        // Who has given up gets nothing done any more: it may have changed its mind.
        match talk.is_closed() {
            true => Err("it has given up".into()),
            false => Ok((self.deed)(resource)),
        }
    }
}
