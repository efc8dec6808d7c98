//! Serves the assembly resource on etcd's peer address, while no etcd runs there.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{PATH, Report, knock};
use crate::access::TlsFiles;
use crate::config::Config;
use crate::decide::Knock;
use crate::error::{Context, Error};
use crate::ports;
use crate::signals::Stop;
use crate::tls;

/// One request may take this long, handshake included.
const REQUEST_TIME: Duration = Duration::from_secs(2);
/// A request larger than this is none of ours.
const MAX_REQUEST: usize = 4096;
/// There are never that many members: with more askers at once, the one that takes longest is cut off.
const MAX_CONNECTIONS: usize = 32;
/// So many different knocks are remembered: nobody can fill our memory with them.
const MAX_KNOCKS: usize = 32;
/// Certificates get renewed while we wait: their files are read again after this.
const RENEWED: Duration = Duration::from_secs(1);
/// Where no connection can be accepted (no file descriptor is left), it is tried again after this.
const NO_ACCEPT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// The running server. Dropping it closes the port.
pub struct Server {
    shared: Arc<Board>,
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
        let shared = Arc::new(Board {
            report: Mutex::new(body(report)),
            knocks: Mutex::default(),
            unreadable: AtomicUsize::new(0),
        });
        let served = shared.clone();
        let thread = std::thread::Builder::new()
            .name("assembly".into())
            .spawn(move || serve(listeners, &woken, &served))
            .context(|| "cannot start a thread".into())?;
        Ok(Server {
            shared,
            wake,
            thread: Some(thread),
        })
    }

    /// What is answered from now on.
    pub fn update(&self, report: &Report) {
        *lock(&self.shared.report) = body(report);
    }

    /// Who has knocked here. `own` is how many questions of this very process have failed at our own peer
    /// URLs, or may have: each of them can be one of the knocks that could not be read.
    pub fn knocks(&self, own: usize) -> Vec<Knock> {
        let others = self.shared.unreadable.load(Ordering::SeqCst) > own;
        let knocks = lock(&self.shared.knocks);
        (knocks.iter())
            .filter(|knock| others || !matches!(knock, Knock::Unreadable(_)))
            .cloned()
            .collect()
    }
}

/// What those who ask are answered, and who has knocked.
struct Board {
    report: Mutex<Vec<u8>>,
    knocks: Mutex<BTreeSet<Knock>>,
    /// How many knocks could not be read.
    unreadable: AtomicUsize,
}

impl Board {
    fn knocked(&self, knock: Knock) {
        let mut knocks = lock(&self.knocks);
        let unreadable = matches!(knock, Knock::Unreadable(_));
        if knocks.len() < MAX_KNOCKS {
            knocks.insert(knock);
        }
        if unreadable {
            self.unreadable.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// What is kept behind these locks is whole at any time, also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

type PeerPort = (TcpListener, Option<PeerTls>);

/// How an https address is answered.
struct PeerTls {
    files: TlsFiles,
    client_auth: bool,
    config: Arc<ServerConfig>,
    read: Instant,
}

impl PeerTls {
    fn new(config: &Config) -> Result<PeerTls, Error> {
        let (files, client_auth) = (config.peer_tls.clone(), config.peer_client_auth);
        Ok(PeerTls {
            config: tls::server_config(&files, client_auth)?,
            files,
            client_auth,
            read: Instant::now(),
        })
    }

    /// As the files are now; while they cannot be read, as they were.
    fn config(&mut self) -> Arc<ServerConfig> {
        if self.read.elapsed() >= RENEWED {
            self.read = Instant::now();
            if let Ok(config) = tls::server_config(&self.files, self.client_auth) {
                self.config = config;
            }
        }
        self.config.clone()
    }
}

fn listen(config: &Config, url: &str, stop: &Stop) -> Result<Vec<PeerPort>, Error> {
    let (scheme, address) = url.split_once("://").unwrap_or(("http", url));
    let tls = || match scheme {
        "http" => Ok(None),
        "https" => PeerTls::new(config).map(Some),
        _ => Err(Error::new(format!(
            "cannot listen on {url}: only http and https peer URLs are supported"
        ))),
    };
    tls()?;
    let attempt = || format!("cannot listen on {url}");
    let addresses = ports::addresses(address.trim_end_matches('/'), stop).context(attempt)?;
    let mut listeners = Vec::new();
    let mut failed = None;
    for address in addresses {
        match ports::listen(address) {
            Ok(bound) => {
                for listener in bound {
                    listener.set_nonblocking(true).context(attempt)?;
                    listeners.push((listener, tls()?));
                }
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
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

fn serve(mut listeners: Vec<PeerPort>, woken: &UnixStream, shared: &Arc<Board>) {
    let askers = Askers::default();
    let mut pause = None;
    loop {
        let mut fds: Vec<PollFd> = vec![PollFd::new(woken, PollFlags::IN)];
        if pause.is_none() {
            fds.extend(
                listeners
                    .iter()
                    .map(|(listener, _)| PollFd::new(listener, PollFlags::IN)),
            );
        }
        match poll(&mut fds, pause.take()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
        if !fds[0].revents().is_empty() {
            return;
        }
        for (listener, tls) in &mut listeners {
            loop {
                match listener.accept() {
                    Ok((stream, from)) => {
                        let tls = tls.as_mut().map(PeerTls::config);
                        admitted(&askers, stream, from.ip(), tls, shared);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // Whoever waits there wakes us at once, again and again.
                    Err(_) => {
                        pause = Some(&NO_ACCEPT);
                        break;
                    }
                }
            }
        }
    }
}

/// Answers one of those who ask, in a thread of its own.
fn admitted(
    askers: &Askers,
    stream: TcpStream,
    from: IpAddr,
    tls: Option<Arc<ServerConfig>>,
    shared: &Arc<Board>,
) {
    let Some(asker) = askers.admit(&stream) else {
        return;
    };
    let shared = shared.clone();
    let answer = move || {
        // A peer that goes away in mid-request is its own affair.
        if let Err(Unanswered::Foreign(words)) = answer(stream, tls, &shared) {
            shared.knocked(Knock::Unreadable(format!("{from} {words}")));
        }
        drop(asker);
    };
    let builder = std::thread::Builder::new().stack_size(256 << 10);
    // No thread to be had: the asker's place is free again, and the peer asks again.
    let _ = builder.spawn(answer);
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
        lock(&self.0)
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        let Asker(askers, stream) = self;
        askers.all().retain(|other| !Arc::ptr_eq(other, stream));
    }
}

/// Why a request was not answered.
enum Unanswered {
    /// What came is not what this port speaks; in words.
    Foreign(String),
    /// It came too slowly, in part, or not at all.
    Broken,
}

impl From<io::Error> for Unanswered {
    fn from(error: io::Error) -> Self {
        match error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            Some(tls) => {
                let hint = match tls {
                    rustls::Error::AlertReceived(_) => {
                        ": it may not take this member's certificate"
                    }
                    _ => "",
                };
                Unanswered::Foreign(format!("failed in its TLS handshake here ({tls}{hint})"))
            }
            None => Unanswered::Broken,
        }
    }
}

fn answer(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    shared: &Board,
) -> Result<(), Unanswered> {
    let stream = Timed {
        stream,
        deadline: Instant::now() + REQUEST_TIME,
    };
    stream.stream.set_nonblocking(false)?;
    stream.stream.set_nodelay(true)?;
    let first = stream.first()?;
    match (first, tls) {
        // It was only looked whether somebody listens.
        (None, _) => Ok(()),
        (Some(first), None) if first.is_ascii_alphabetic() => Ok(http(stream, shared)?),
        (Some(HANDSHAKE), None) => Err(Unanswered::Foreign(
            "speaks TLS here, and this port is plain http".into(),
        )),
        (Some(_), None) => Err(Unanswered::Foreign("does not speak http here".into())),
        (Some(first), Some(_)) if first.is_ascii_alphabetic() => Err(Unanswered::Foreign(
            "speaks plain http here, and this port is https".into(),
        )),
        (Some(_), Some(config)) => {
            let connection = ServerConnection::new(config).map_err(io::Error::other)?;
            let mut stream = StreamOwned::new(connection, stream);
            http(&mut stream, shared)?;
            stream.conn.send_close_notify();
            Ok(stream.flush()?)
        }
    }
}

/// What a TLS connection begins with (RFC 8446, section 5.1: `handshake`).
const HANDSHAKE: u8 = 22;

fn http(mut stream: impl Read + Write, shared: &Board) -> io::Result<()> {
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let n = stream.read(&mut chunk)?;
        if n == 0 || request.len() + n > MAX_REQUEST {
            return Ok(());
        }
        request.extend_from_slice(&chunk[..n]);
    }
    if let Some(knock) = knock(&request) {
        shared.knocked(knock);
    }
    let wanted = format!("GET {PATH} ");
    let (status, body) = match request.starts_with(wanted.as_bytes()) {
        true => ("200 OK", lock(&shared.report).clone()),
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
    /// The first byte that comes, which stays to be read; none if none does.
    fn first(&self) -> io::Result<Option<u8>> {
        let mut first = [0];
        self.stream.set_read_timeout(self.left()?)?;
        let n = self.stream.peek(&mut first)?;
        Ok((n > 0).then_some(first[0]))
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        match self.deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buffer)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
