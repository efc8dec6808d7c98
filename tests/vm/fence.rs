//! The fence device: a guest asks it to turn the other one off, and is answered when that is dead.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::guest::Guest;

/// How long it takes to turn a machine off.
const TAKES: Duration = Duration::from_secs(4);

/// Listens on the loopback address, which a guest reaches as 10.0.2.2.
#[derive(Debug)]
pub struct FenceDevice {
    /// Its port.
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    works: AtomicBool,
    used: AtomicUsize,
    guests: Mutex<Vec<Guest>>,
}

impl FenceDevice {
    /// Works from the start; it knows no guest yet.
    pub fn new() -> FenceDevice {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        shared.works.store(true, Ordering::SeqCst);
        let served = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = served.clone();
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        FenceDevice { port, shared }
    }

    /// Whom it can turn off.
    pub fn connect(&self, guests: &[Guest]) {
        *self.shared.guests.lock().unwrap() = guests.to_vec();
    }

    /// Whether it does what it is asked for.
    pub fn set_working(&self, works: bool) {
        self.shared.works.store(works, Ordering::SeqCst);
    }

    /// How often it has turned something off.
    pub fn used(&self) -> usize {
        self.shared.used.load(Ordering::SeqCst)
    }
}

impl Drop for FenceDevice {
    fn drop(&mut self) {
        self.set_working(false);
        self.connect(&[]);
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
        let mut line = String::new();
        let _ = BufReader::new(&stream).read_line(&mut line);
        // As real ones do, it takes its time, and serves whoever asks: of two machines that turn each other off at
        // the same moment both go.
        std::thread::sleep(TAKES);
        let guests = self.guests.lock().unwrap().clone();
        match guests
            .iter()
            .find(|guest| line.trim() == guest.n.to_string())
        {
            Some(guest) if self.works.load(Ordering::SeqCst) => {
                // Asked twice, it still turns off once.
                self.used.fetch_add(guest.is_on().into(), Ordering::SeqCst);
                guest.kill();
                let _ = stream.write_all(b"off\n");
            }
            Some(_) | None => {}
        }
    }
}
