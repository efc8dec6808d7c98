//! The client of the cluster in the virtual machines: one key after another through the virtual address,
//! and a line for each that was acknowledged. Costs an emulated machine next to nothing, so that what is
//! measured is not the client.
//!
//! `vm-client PREFIX`; ends when nobody reads what it says.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The roving member's client address.
const CLUSTER: ([u8; 4], u16) = ([10, 1, 0, 100], 2379);
/// A packet for an address that nobody has, or no more, is not waited for.
const CONNECT: Duration = Duration::from_millis(200);
/// A write that is not acknowledged by then is tried anew, as the next one.
const ANSWER: Duration = Duration::from_secs(2);
/// Between two writes.
const PAUSE: Duration = Duration::from_millis(100);

fn main() {
    let prefix = std::env::args().nth(1).expect("a prefix");
    let mut out = std::io::stdout();
    for i in 1.. {
        let key = format!("{prefix}{i:06}");
        let what = match put(&key) {
            Ok(true) => "acknowledged",
            Ok(false) | Err(_) => "failed",
        };
        if writeln!(out, "{what} {key}")
            .and_then(|()| out.flush())
            .is_err()
        {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Whether the write was acknowledged.
fn put(key: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(CLUSTER), CONNECT)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_nodelay(true)?;
    let key = base64(key.as_bytes());
    let body = format!("{{\"key\":\"{key}\",\"value\":\"{key}\"}}");
    let length = body.len();
    let head = "POST /v3/kv/put HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n";
    write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}")?;
    let mut answer = Vec::new();
    stream.take(1 << 16).read_to_end(&mut answer)?;
    // The head alone is no acknowledgement: the body has to have come, too.
    Ok(answer.starts_with(b"HTTP/1.1 200 ") && answer.trim_ascii_end().ends_with(b"}"))
}

/// RFC 4648.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let three = [
            chunk[0],
            *chunk.get(1).unwrap_or(&0),
            *chunk.get(2).unwrap_or(&0),
        ];
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i)) as usize & 63];
            text.push(if i <= chunk.len() { digit.into() } else { '=' });
        }
    }
    text
}
