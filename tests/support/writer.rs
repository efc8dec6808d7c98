//! Writes in the background, and remembers what etcd acknowledged.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Client;
use super::client::base64;

/// The acknowledged writes, both in base64.
#[derive(Clone, Debug, Default)]
pub struct Acked(Arc<Mutex<BTreeMap<String, String>>>);

impl Acked {
    /// Writes through one of `clients`, the first that acknowledges it.
    pub fn put(&self, clients: &[Client], key: &str, value: &str) -> Result<(), String> {
        let mut why = String::from("no member runs");
        for client in clients {
            match client.put(key, value) {
                Ok(()) => {
                    let mut acked = self.0.lock().unwrap();
                    acked.insert(base64(key), base64(value));
                    return Ok(());
                }
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// What was acknowledged so far.
    pub fn all(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap().clone()
    }
}

/// A thread that writes until it is stopped or dropped.
#[derive(Debug)]
pub struct Writer {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Writes `name-0`, `name-1`, ... through any of `clients`.
    pub fn start(acked: Acked, clients: Vec<Client>, name: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let written = Arc::new(AtomicUsize::new(0));
        let (stopped, count, name) = (stop.clone(), written.clone(), name.to_string());
        let thread = std::thread::spawn(move || {
            let mut n = 0;
            while !stopped.load(Ordering::Relaxed) {
                let mut order = clients.clone();
                order.rotate_left(n % clients.len());
                if acked.put(&order, &format!("{name}-{n}"), "value").is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                n += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Writer {
            stop,
            written,
            thread: Some(thread),
        }
    }

    /// How many writes were acknowledged.
    pub fn written(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }

    /// Ends it after the write under way; at least one must have been acknowledged.
    pub fn stop(mut self) {
        self.end();
        assert!(self.written() > 0, "no write was acknowledged meanwhile");
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}
