//! A proxy in front of an S3 server that does to chosen requests what networks and servers do to them.

#![allow(dead_code, reason = "no test file uses all of it")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It never reaches the server: this status, with S3's code and words for it.
    Says(u16, &'static str, &'static str),
    /// The connection ends when so many bytes of its body have passed.
    CutsRequest(usize),
    /// It is done, and the answer ends after so many bytes of its body.
    CutsAnswer(usize),
    /// This byte of the answer's body is another one.
    FlipsByte(usize),
    /// The answer's first byte comes so late.
    Delays(Duration),
}

/// Which requests, how many of them, and what happens to them.
#[derive(Clone, Debug)]
struct Rule {
    method: &'static str,
    part: &'static str,
    left: usize,
    fault: Fault,
}

/// Passes requests on until it is dropped.
pub struct Faults {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Faults {
    /// In front of that server.
    pub fn before(server: SocketAddr) -> Faults {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        listener.set_nonblocking(true).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let state = shared.clone();
        let thread = std::thread::spawn(move || {
            while !state.stop.load(Ordering::Relaxed) {
                let Ok((client, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                };
                let state = state.clone();
                // It ends with its connection; what went wrong is for the client to say.
                std::thread::spawn(move || {
                    let _ = client.set_nonblocking(false);
                    let _ = pass(client, server, &state);
                });
            }
        });
        Faults {
            address,
            shared,
            thread: Some(thread),
        }
    }

    /// From now on, to the next `times` requests of this method whose target has this part.
    pub fn to(&self, method: &'static str, part: &'static str, times: usize, fault: Fault) {
        let rule = Rule {
            method,
            part,
            left: times,
            fault,
        };
        lock(&self.shared.rules).push(rule);
    }

    /// No more faults.
    pub fn heal(&self) {
        lock(&self.shared.rules).clear();
    }

    /// What was asked, each as `METHOD target`.
    pub fn seen(&self) -> Vec<String> {
        lock(&self.shared.seen).clone()
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn fault(&self, line: &str) -> Option<Fault> {
        let mut words = line.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        lock(&self.seen).push(format!("{method} {target}"));
        let mut rules = lock(&self.rules);
        let fits =
            |rule: &&mut Rule| rule.left > 0 && rule.method == method && target.contains(rule.part);
        let rule = rules.iter_mut().find(fits)?;
        rule.left -= 1;
        Some(rule.fault.clone())
    }
}

/// The requests of one connection.
fn pass(client: TcpStream, server: SocketAddr, shared: &Shared) -> io::Result<()> {
    let mut from_client = BufReader::new(client.try_clone()?);
    let mut to_client = client;
    let mut to_server = TcpStream::connect(server)?;
    let mut from_server = BufReader::new(to_server.try_clone()?);
    while let Some(head) = Head::read(&mut from_client)? {
        let fault = shared.fault(&head.lines[0]);
        if let Some(Fault::Says(status, code, words)) = &fault {
            // The body is read, as a server reads it that answers behind it.
            head.copy_body(&mut from_client, &mut io::sink(), |_, _| Ok(()))?;
            let xml = format!("<Error><Code>{code}</Code><Message>{words}</Message></Error>");
            let xml = if head.is("HEAD") { String::new() } else { xml };
            write!(
                to_client,
                "HTTP/1.1 {status} Fault\r\nETag: \"none\"\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n{xml}",
                xml.len()
            )?;
            continue;
        }
        head.write(&mut to_server)?;
        let cut = |at: usize| {
            move |done: usize, bytes: &mut [u8]| match done + bytes.len() > at {
                true => Err(io::Error::other("cut")),
                false => Ok(()),
            }
        };
        let sent = match fault {
            Some(Fault::CutsRequest(at)) => {
                head.copy_body(&mut from_client, &mut to_server, cut(at))
            }
            _ => head.copy_body(&mut from_client, &mut to_server, |_, _| Ok(())),
        };
        if sent.is_err() {
            let _ = to_server.shutdown(Shutdown::Both);
            return to_client.shutdown(Shutdown::Both);
        }
        let Some(mut answer) = Head::read(&mut from_server)? else {
            return to_client.shutdown(Shutdown::Both);
        };
        answer.bodiless = head.is("HEAD");
        if let Some(Fault::Delays(time)) = fault {
            std::thread::sleep(time);
        }
        answer.write(&mut to_client)?;
        let flip = |at: usize| {
            move |done: usize, bytes: &mut [u8]| {
                if let Some(byte) = at.checked_sub(done).and_then(|at| bytes.get_mut(at)) {
                    *byte ^= 1;
                }
                Ok(())
            }
        };
        let passed = match fault {
            Some(Fault::CutsAnswer(at)) => {
                answer.copy_body(&mut from_server, &mut to_client, cut(at))
            }
            Some(Fault::FlipsByte(at)) => {
                answer.copy_body(&mut from_server, &mut to_client, flip(at))
            }
            _ => answer.copy_body(&mut from_server, &mut to_client, |_, _| Ok(())),
        };
        if passed.is_err() {
            return to_client.shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

/// The first lines of a request or an answer.
struct Head {
    lines: Vec<String>,
    bodiless: bool,
}

impl Head {
    fn read(from: &mut impl BufRead) -> io::Result<Option<Head>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let line = line.trim_end().to_string();
            if line.is_empty() {
                return Ok(Some(Head {
                    lines,
                    bodiless: false,
                }));
            }
            lines.push(line);
        }
    }

    fn is(&self, method: &str) -> bool {
        self.lines[0].starts_with(method)
    }

    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all((self.lines.join("\r\n") + "\r\n\r\n").as_bytes())
    }

    fn value(&self, name: &str) -> Option<&str> {
        (self.lines.iter().filter_map(|line| line.split_once(':')))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// Passes the body on; `look` sees each piece, with how many bytes came before it.
    fn copy_body(
        &self,
        from: &mut impl BufRead,
        to: &mut impl Write,
        look: impl Fn(usize, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut done = 0;
        let none = self.bodiless || self.is("HTTP/1.1 204") || self.is("HTTP/1.1 304");
        if none {
            return Ok(());
        }
        let chunked = self
            .value("transfer-encoding")
            .is_some_and(|it| it.eq_ignore_ascii_case("chunked"));
        if !chunked {
            let length = self
                .value("content-length")
                .and_then(|text| text.parse().ok());
            return copy(from, to, length.unwrap_or(0), &mut done, &look);
        }
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            to.write_all(line.as_bytes())?;
            let size = line.trim().split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            copy(from, to, size, &mut done, &look)?;
            let mut end = String::new();
            from.read_line(&mut end)?;
            to.write_all(end.as_bytes())?;
            if size == 0 {
                return Ok(());
            }
        }
    }
}

fn copy(
    from: &mut impl Read,
    to: &mut impl Write,
    length: usize,
    done: &mut usize,
    look: &impl Fn(usize, &mut [u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut left = length;
    let mut bytes = [0; 16 << 10];
    while left > 0 {
        let some = left.min(bytes.len());
        let count = from.read(&mut bytes[..some])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        look(*done, &mut bytes[..count])?;
        to.write_all(&bytes[..count])?;
        *done += count;
        left -= count;
    }
    Ok(())
}
