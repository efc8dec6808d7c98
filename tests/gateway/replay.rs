//! Recorded replies of real etcd, and a server on loopback that gives them.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// The versions that were recorded.
pub fn versions() -> Vec<String> {
    let mut versions: Vec<String> = fs::read_dir(fixtures())
        .expect("tests/setup/record-gateway.sh has recorded")
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    versions.sort();
    versions
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gateway")
}

/// A reply of each kind that `version` gave, as a body.
pub fn bodies(version: &str) -> Vec<Vec<u8>> {
    [
        "list",
        "status",
        "add-learner",
        "add-unhealthy",
        "authenticate",
        "health",
        "peer-members",
    ]
    .map(|name| {
        let path = fixtures().join(version).join(format!("{name}.txt"));
        let text = fs::read_to_string(path).unwrap();
        let (_, reply) = text.split_once("\n----\n").unwrap();
        reply.split_once("\n\n").unwrap().1.into()
    })
    .into()
}

/// One recorded call.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub name: String,
    pub method: String,
    pub path: String,
    pub body: String,
    /// The reply as it goes over the wire; `None` where none came, nothing where it was closed.
    pub reply: Option<Vec<u8>>,
}

impl Recorded {
    pub fn load(version: &str, name: &str) -> Recorded {
        let path = fixtures().join(version).join(format!("{name}.txt"));
        let text = fs::read_to_string(&path).unwrap_or_else(|why| panic!("{path:?}: {why}"));
        let (request, reply) = text.split_once("\n----\n").unwrap();
        let (line, body) = request.split_once('\n').unwrap();
        let (method, path) = line.split_once(' ').unwrap();
        Recorded {
            name: name.into(),
            method: method.into(),
            path: path.into(),
            body: body.into(),
            reply: match reply.trim_end() {
                "no reply" => None,
                "closed" => Some(Vec::new()),
                _ => {
                    let (status, rest) = reply.split_once('\n').unwrap();
                    let (headers, body) = match rest.strip_prefix('\n') {
                        Some(body) => ("", body),
                        None => rest.split_once("\n\n").unwrap(),
                    };
                    Some(http(status, headers, body.as_bytes()))
                }
            },
        }
    }

    /// What was asked, as JSON.
    pub fn asked(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

/// A reply on the wire. `headers` are lines, without a last line break.
///
/// One that announces a trailer is sent in chunks, as 3.4 sends its errors.
pub fn http(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let trailer = headers
        .lines()
        .find_map(|line| line.strip_prefix("Trailer: "));
    let length = match trailer {
        Some(_) => "Transfer-Encoding: chunked".into(),
        None => format!("Content-Length: {}", body.len()),
    };
    let mut reply = format!("HTTP/1.1 {status} X\r\n{length}\r\n");
    for header in headers.lines() {
        reply += &format!("{header}\r\n");
    }
    reply += "\r\n";
    let mut reply = reply.into_bytes();
    match trailer {
        Some(trailer) => {
            reply.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
            reply.extend_from_slice(body);
            reply.extend_from_slice(format!("\r\n0\r\n{trailer}: x\r\n\r\n").as_bytes());
        }
        None => reply.extend_from_slice(body),
    }
    reply
}

/// What is answered to a request: `Some(bytes)`, or silence on an open connection.
type Answer = Box<dyn FnMut(&str, &str, &str) -> Option<Vec<u8>> + Send>;

/// A server on loopback, for as long as the test runs.
pub struct Server {
    pub url: String,
    /// Each request: method and path.
    pub seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers with what was recorded. Several for one path come in turn, the last one stays.
    ///
    /// What is asked must be what was asked when it was recorded.
    pub fn replaying(scene: Vec<Recorded>) -> Server {
        let mut left = scene;
        Server::answering(Box::new(move |method, path, body| {
            let fits = |one: &Recorded| one.method == method && one.path == path;
            let Some(at) = left.iter().position(fits) else {
                return Some(http(
                    "404",
                    "Content-Type: text/plain",
                    b"404 page not found\n",
                ));
            };
            let one = match left.iter().filter(|one| fits(one)).count() {
                1 => left[at].clone(),
                _ => left.remove(at),
            };
            if method == "POST" {
                let asked: Value = serde_json::from_str(body).unwrap();
                if asked != one.asked() {
                    let why = format!("{}: asked {asked}, recorded {}", one.name, one.body);
                    return Some(http("500", "", why.as_bytes()));
                }
            }
            one.reply
        }))
    }

    /// Answers every request with these bytes.
    pub fn saying(reply: Vec<u8>) -> Server {
        Server::answering(Box::new(move |_, _, _| Some(reply.clone())))
    }

    pub fn answering(answer: Answer) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (seen.clone(), Arc::new(Mutex::new(answer)));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (log.clone(), answer.clone());
                thread::spawn(move || {
                    let mut stream = stream;
                    while let Some((method, path, body)) = request(&mut stream) {
                        log.lock().unwrap().push(format!("{method} {path}"));
                        let reply = answer.lock().unwrap()(&method, &path, &body);
                        match reply {
                            Some(reply) if reply.is_empty() => return,
                            Some(reply) => match stream.write_all(&reply) {
                                Ok(()) => {}
                                Err(_) => return,
                            },
                            None => thread::sleep(Duration::from_secs(5)),
                        }
                    }
                });
            }
        });
        Server { url, seen }
    }
}

/// Reads one request: method, path, body.
fn request(stream: &mut TcpStream) -> Option<(String, String, String)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let named = name.eq_ignore_ascii_case("content-length");
        named.then(|| value.trim().parse::<usize>().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    let mut words = head.split(' ');
    let (method, path) = (words.next()?.to_string(), words.next()?.to_string());
    Some((method, path, String::from_utf8(body).ok()?))
}
