//! Serves the assembly resource on etcd's peer address, while no etcd runs there.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::caller::caller;
use super::{PATH, Report};
use crate::bind;
use crate::config::Config;
use crate::decide::Caller;
use crate::error::{Context, Error};
use crate::signals::Stop;
use crate::tls;

/// One request may take this long, handshake included.
const REQUEST_TIME: Duration = Duration::from_secs(2);
/// A request larger than this is none of ours.
const MAX_REQUEST: usize = 4096;
/// There are never that many members: with more askers at once, the one that takes longest is cut off.
const MAX_CONNECTIONS: usize = 32;

/// The running server. Dropping it closes the port.
pub struct Server {
    shared: Arc<Shared>,
    since: Instant,
    wake: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Binds every peer address. The error names the address: etcd would fail on it just so.
    pub fn start(config: &Config, report: &Report, stop: &Stop) -> Result<Server, Error> {
        let mut listeners = Vec::new();
        for url in &config.listen_peer_urls {
            listeners.extend(listen(config, url, stop)?);
        }
        let (wake, woken) = UnixStream::pair().context(|| "cannot make a socket pair".into())?;
        let shared = Arc::new(Shared {
            report: Mutex::new(body(report)),
            caller: OnceLock::new(),
        });
        let served = shared.clone();
        let thread = std::thread::Builder::new()
            .name("assembly".into())
            .spawn(move || serve(listeners, &woken, &served))
            .context(|| "cannot start a thread".into())?;
        Ok(Server {
            shared,
            since: Instant::now(),
            wake,
            thread: Some(thread),
        })
    }

    /// What is answered from now on.
    pub fn update(&self, report: &Report) {
        *self.shared.report() = body(report);
    }

    /// The first etcd that has asked for us here.
    pub fn caller(&self) -> Option<Caller> {
        self.shared.caller.get().copied()
    }

    /// How long it has listened.
    pub fn listened(&self) -> Duration {
        self.since.elapsed()
    }
}

/// What those who ask are answered, and what they have told.
struct Shared {
    report: Mutex<Vec<u8>>,
    /// A few numbers, set once: nobody can fill our memory with it.
    caller: OnceLock<Caller>,
}

impl Shared {
    fn report(&self) -> MutexGuard<'_, Vec<u8>> {
        self.report
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The port must be free when etcd starts; a server that is gone already needs no word.
        let _ = self.wake.write_all(b"x");
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn body(report: &Report) -> Vec<u8> {
    serde_json::to_vec(report).unwrap_or_default()
}

type Listener = (TcpListener, Option<Arc<ServerConfig>>);

fn listen(config: &Config, url: &str, stop: &Stop) -> Result<Vec<Listener>, Error> {
    let (scheme, address) = url.split_once("://").unwrap_or(("http", url));
    let tls = match scheme {
        "http" => None,
        "https" => Some(tls::server_config(
            &config.peer_tls,
            config.peer_client_auth,
        )?),
        _ => {
            return Err(Error::new(format!(
                "cannot listen on {url}: only http and https peer URLs are supported"
            )));
        }
    };
    let attempt = || format!("cannot listen on {url}");
    let addresses = bind::addresses(address.trim_end_matches('/'), stop).context(attempt)?;
    let mut listeners = Vec::new();
    let mut failed = None;
    for address in addresses {
        match bind::listen(address) {
            Ok(bound) => {
                for listener in bound {
                    listener.set_nonblocking(true).context(attempt)?;
                    listeners.push((listener, tls.clone()));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                return Err(Error::caused(attempt(), error));
            }
            Err(error) => failed = Some(error),
        }
    }
    // `localhost` may have an IPv6 address that this machine has not: one that works will do.
    match failed {
        Some(error) if listeners.is_empty() => Err(Error::caused(attempt(), error)),
        Some(_) | None => Ok(listeners),
    }
}

fn serve(listeners: Vec<Listener>, woken: &UnixStream, shared: &Arc<Shared>) {
    let askers = Askers::default();
    loop {
        let mut fds: Vec<PollFd> = vec![PollFd::new(woken, PollFlags::IN)];
        fds.extend(
            listeners
                .iter()
                .map(|(listener, _)| PollFd::new(listener, PollFlags::IN)),
        );
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
        if !fds[0].revents().is_empty() {
            return;
        }
        for (listener, tls) in &listeners {
            while let Ok((stream, _)) = listener.accept() {
                let Some(asker) = askers.admit(&stream) else {
                    continue;
                };
                let (shared, tls) = (shared.clone(), tls.clone());
                let answer = move || {
                    // A peer that goes away in mid-request is its own affair.
                    let _ = answer(stream, tls, &shared);
                    drop(asker);
                };
                let builder = std::thread::Builder::new().stack_size(256 << 10);
                // No thread to be had: the asker's place is free again, and the peer asks again.
                let _ = builder.spawn(answer);
            }
        }
    }
}

/// Who is being answered, longest first. Turning newcomers away instead would let a few slow ones keep
/// everybody else out.
#[derive(Clone, Default)]
struct Askers(Arc<Mutex<VecDeque<Arc<TcpStream>>>>);

/// One of them, until it is dropped.
struct Asker(Askers, Arc<TcpStream>);

impl Askers {
    fn admit(&self, stream: &TcpStream) -> Option<Asker> {
        let stream = Arc::new(stream.try_clone().ok()?);
        let mut all = self.all();
        if all.len() >= MAX_CONNECTIONS
            && let Some(longest) = all.pop_front()
        {
            // Its thread ends with an error.
            let _ = longest.shutdown(Shutdown::Both);
        }
        all.push_back(stream.clone());
        drop(all);
        Some(Asker(self.clone(), stream))
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<Arc<TcpStream>>> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        let Asker(askers, stream) = self;
        askers.all().retain(|other| !Arc::ptr_eq(other, stream));
    }
}

fn answer(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    shared: &Shared,
) -> std::io::Result<()> {
    let stream = Timed {
        stream,
        deadline: Instant::now() + REQUEST_TIME,
    };
    stream.stream.set_nonblocking(false)?;
    stream.stream.set_nodelay(true)?;
    match tls {
        None => http(stream, shared),
        Some(config) => {
            let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
            let mut stream = StreamOwned::new(connection, stream);
            http(&mut stream, shared)?;
            stream.conn.send_close_notify();
            stream.flush()
        }
    }
}

fn http(mut stream: impl Read + Write, shared: &Shared) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let n = stream.read(&mut chunk)?;
        if n == 0 || request.len() + n > MAX_REQUEST {
            return Ok(());
        }
        request.extend_from_slice(&chunk[..n]);
    }
    if let Some(caller) = caller(&request) {
        // The first one is enough.
        let _ = shared.caller.set(caller);
    }
    let wanted = format!("GET {PATH} ");
    let (status, body) = match request.starts_with(wanted.as_bytes()) {
        true => ("200 OK", shared.report().clone()),
        false => ("404 Not Found", b"no etcd runs here yet\n".to_vec()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)?;
    stream.flush()
}

/// A stream of which every read and write ends at one deadline: a slow asker holds nothing for long.
struct Timed {
    stream: TcpStream,
    deadline: Instant,
}

impl Timed {
    fn left(&self) -> std::io::Result<Option<Duration>> {
        match self.deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(std::io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buffer)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}
