//! A relay in front of a member that keeps back what etcd answers to one kind of request.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Relays connections until it is dropped.
#[derive(Debug)]
pub struct Relay {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    /// Answers to requests that hold these words are kept back.
    words: Mutex<Option<String>>,
    /// One was kept back.
    kept: AtomicBool,
    stop: AtomicBool,
}

impl Relay {
    /// From one address to another.
    pub fn start(from: impl Into<SocketAddr>, to: impl Into<SocketAddr>) -> Relay {
        let (listener, to) = (TcpListener::bind(from.into()).unwrap(), to.into());
        listener.set_nonblocking(true).unwrap();
        let state = Arc::new(State::default());
        let shared = state.clone();
        let thread = std::thread::spawn(move || {
            while !shared.stop.load(Ordering::Relaxed) {
                let Ok((client, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                };
                let state = shared.clone();
                std::thread::spawn(move || relay(client, to, &state));
            }
        });
        Relay {
            state,
            thread: Some(thread),
        }
    }

    /// From now on keeps back the answers to requests with these words, or to none.
    pub fn keep_back(&self, words: Option<&str>) {
        self.state.kept.store(false, Ordering::Relaxed);
        *self.state.words() = words.map(String::from);
    }

    /// Whether an answer was kept back since.
    pub fn has_kept(&self) -> bool {
        self.state.kept.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        // A thread that panicked has said so already.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl State {
    fn words(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn relay(client: TcpStream, to: SocketAddr, state: &Arc<State>) {
    let Ok(server) = TcpStream::connect(to) else {
        return;
    };
    client.set_nonblocking(false).unwrap();
    let keeps = Arc::new(AtomicBool::new(false));
    let (Ok(answers), Ok(back)) = (server.try_clone(), client.try_clone()) else {
        return;
    };
    let (shared, keeping) = (state.clone(), keeps.clone());
    let down = std::thread::spawn(move || {
        pass(answers, back, &shared, |answer| {
            // What was refused was not done.
            let refused = answer.starts_with(b"HTTP") && !answer.starts_with(b"HTTP/1.1 200");
            let keeps = keeping.fetch_and(!refused, Ordering::Relaxed) && !refused;
            shared.kept.fetch_or(keeps, Ordering::Relaxed);
            !keeps
        });
    });
    pass(client, server, state, |request| {
        if let Some(words) = &*state.words() {
            let has = String::from_utf8_lossy(request).contains(words.as_str());
            keeps.fetch_or(has, Ordering::Relaxed);
        }
        true
    });
    // Either side may have hung up first.
    let _ = down.join();
}

/// Passes bytes on as they come, those that are wanted, until one side ends or the relay does.
fn pass(mut from: TcpStream, mut to: TcpStream, state: &State, wanted: impl Fn(&[u8]) -> bool) {
    let mut bytes = [0; 16 << 10];
    let moment = Some(Duration::from_millis(100));
    from.set_read_timeout(moment).unwrap();
    while !state.stop.load(Ordering::Relaxed) {
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) if wanted(&bytes[..count]) => {
                if to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    // The other direction ends with it.
    let _ = to.shutdown(Shutdown::Both);
}
