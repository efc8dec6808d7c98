//! Stands before an etcd, and cuts or holds what it sends.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Passes connections on. Its threads end with their connections.
pub struct Relay {
    /// Where it listens.
    pub url: String,
    rule: Arc<Mutex<Rule>>,
}

#[derive(Clone, Copy)]
enum Rule {
    Pass,
    /// A connection ends after so many bytes, so many times.
    Cut(usize, usize),
    /// Nothing more comes after so many bytes.
    Hold(usize),
}

impl Relay {
    /// Before this URL.
    pub fn to(url: &str) -> Relay {
        let target = url.strip_prefix("http://").unwrap().to_string();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let rule = Arc::new(Mutex::new(Rule::Pass));
        let shared = rule.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&target)) else {
                    continue;
                };
                let (up, down) = (
                    (client.try_clone().unwrap(), server.try_clone().unwrap()),
                    (server, client),
                );
                let rule = shared.clone();
                std::thread::spawn(move || pass(up.0, up.1, None));
                std::thread::spawn(move || pass(down.0, down.1, Some(rule)));
            }
        });
        Relay { url, rule }
    }

    /// The next connections that send so much are cut then.
    pub fn cut_after(&self, bytes: usize, times: usize) {
        *self.rule.lock().unwrap() = Rule::Cut(bytes, times);
    }

    /// After so many bytes nothing comes, for a while.
    pub fn hold_after(&self, bytes: usize) {
        *self.rule.lock().unwrap() = Rule::Hold(bytes);
    }

    /// All passes.
    pub fn go_on(&self) {
        *self.rule.lock().unwrap() = Rule::Pass;
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, rule: Option<Arc<Mutex<Rule>>>) {
    let (mut buffer, mut passed) = (vec![0; 1 << 16], 0);
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        passed += read;
        if let Some(rule) = &rule {
            let mut held = rule.lock().unwrap();
            if let Rule::Cut(bytes, times) = &mut *held
                && passed > *bytes
                && *times > 0
            {
                *times -= 1;
                break;
            }
            drop(held);
            while matches!(*rule.lock().unwrap(), Rule::Hold(bytes) if passed > bytes) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
