//! Hears when DRBD has something to say, so that it need not be asked over and over. What it says is
//! not read for its meaning: that is what a look is for.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A line longer than this is none of DRBD's; it counts as several.
const LONGEST: u64 = 64 << 10;
/// How soon one that has ended is started again.
const AGAIN: Duration = Duration::from_secs(10);

/// `drbdsetup events2`, and what it has said.
///
/// It writes each event at once, into a pipe too, and says `destroy resource` when one is taken down (seen
/// with drbd-utils 9.22 on DRBD 8.4.11). If we are killed with `-9` it ends at the next event.
#[derive(Debug)]
pub struct Follower {
    command: Option<Command>,
    marker: String,
    running: Option<Following>,
    started: Option<Instant>,
}

#[derive(Debug)]
struct Following {
    child: Child,
    heard: Arc<Overheard>,
}

#[derive(Debug, Default)]
struct Overheard {
    /// A line about our resource came since it was last looked at.
    news: AtomicBool,
    /// The resource was taken down.
    gone: AtomicBool,
    /// A connection of it was lost.
    parted: AtomicBool,
    /// Nothing more will come.
    over: AtomicBool,
}

impl Follower {
    /// Of this resource, by this command; `None` if the tool is not there. Starts nothing yet.
    pub(super) fn new(resource: &str, command: Option<Command>) -> Follower {
        Follower {
            command,
            marker: format!("name:{resource}"),
            running: None,
            started: None,
        }
    }

    /// To be called before a look: what comes from now on is news.
    pub fn listen(&mut self) {
        if self.runs() {
            if let Some(running) = &self.running {
                running.heard.news.store(false, Ordering::SeqCst);
            }
        } else if self.started.is_none_or(|at| at.elapsed() >= AGAIN) {
            self.started = Some(Instant::now());
            self.running = self.start();
        }
    }

    /// It runs, and has said nothing since `listen`: what was seen then is so still.
    pub fn is_quiet(&self) -> bool {
        let quiet = |running: &Following| !running.heard.news.load(Ordering::SeqCst);
        self.runs() && self.running.as_ref().is_some_and(quiet)
    }

    /// The resource was taken down since this was asked last, even if it has come up again.
    pub fn was_down(&self) -> bool {
        let gone = |running: &Following| running.heard.gone.swap(false, Ordering::SeqCst);
        self.running.as_ref().is_some_and(gone)
    }

    /// A connection was lost since this was asked last, even if it is there again. Who does not listen
    /// does not know.
    pub fn was_parted(&self) -> bool {
        let parted = |running: &Following| running.heard.parted.swap(false, Ordering::SeqCst);
        !self.runs() || self.running.as_ref().is_none_or(parted)
    }

    /// It runs.
    pub fn runs(&self) -> bool {
        let over = |running: &Following| running.heard.over.load(Ordering::SeqCst);
        self.running.as_ref().is_some_and(|running| !over(running))
    }

    /// It begins by saying what is, which is news.
    fn start(&mut self) -> Option<Following> {
        let command = self.command.as_mut()?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0);
        let mut child = command.spawn().ok()?;
        let heard = Arc::new(Overheard::default());
        heard.news.store(true, Ordering::SeqCst);
        let (said, marker, hears) = (child.stdout.take(), self.marker.clone(), heard.clone());
        let reading = std::thread::Builder::new()
            .name("events".into())
            .spawn(move || {
                if let Some(said) = said {
                    hear(said, &marker, &hears);
                }
                hears.over.store(true, Ordering::SeqCst);
            });
        if reading.is_err() {
            heard.over.store(true, Ordering::SeqCst);
        }
        Some(Following { child, heard })
    }
}

fn hear(said: impl Read, marker: &str, heard: &Overheard) {
    let mut said = BufReader::new(said);
    let mut line = Vec::new();
    loop {
        line.clear();
        match said.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let mut words = line.split(u8::is_ascii_whitespace);
                if !words.any(|word| word == marker.as_bytes()) {
                    continue;
                }
                if line.starts_with(b"destroy resource ") {
                    heard.gone.store(true, Ordering::SeqCst);
                }
                if is_parting(&line) {
                    heard.parted.store(true, Ordering::SeqCst);
                }
                heard.news.store(true, Ordering::SeqCst);
            }
        }
    }
}

/// `change connection name:etcd ... connection:Unconnected`, or its end.
fn is_parting(line: &[u8]) -> bool {
    let state = |word: &[u8]| {
        word.strip_prefix(b"connection:")
            .map(|state| state == b"Connected")
    };
    let mut words = line.split(u8::is_ascii_whitespace);
    let event = [words.next(), words.next()];
    match event {
        [Some(b"destroy"), Some(b"connection")] => true,
        [Some(b"change"), Some(b"connection")] => words.find_map(state) == Some(false),
        _ => false,
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // Once it is over, its number may be another's.
        if self.runs()
            && let Some(running) = &mut self.running
        {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn following(script: &str) -> Follower {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let mut follower = Follower::new("etcd", Some(command));
        follower.listen();
        follower
    }

    #[track_caller]
    fn wait(mut holds: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < end);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn only_lines_of_our_resource_are_news() {
        let news = |line: &str| {
            let heard = Overheard::default();
            hear(line.as_bytes(), "name:etcd", &heard);
            let [news, gone, parted] =
                [heard.news, heard.gone, heard.parted].map(AtomicBool::into_inner);
            assert_eq!(
                parted,
                line.contains("NetworkFailure") || line.contains("y connection")
            );
            (news, gone)
        };
        let change = "change connection name:etcd peer-node-id:0 conn-name:node2";
        for state in [
            "connection:Connected role:Secondary",
            "role:Primary",
            "connection:NetworkFailure",
        ] {
            assert_eq!(news(&format!("{change} {state}\n")), (true, false));
        }
        assert_eq!(news(""), (false, false));
        assert_eq!(news("exists -\n"), (false, false));
        assert_eq!(
            news("change resource name:other role:Primary\n"),
            (false, false)
        );
        assert_eq!(news("destroy resource name:etcd2\n"), (false, false));
        assert_eq!(
            news("change resource name:etcd role:Primary\n"),
            (true, false)
        );
        assert_eq!(
            news("destroy connection name:etcd peer-node-id:0\n"),
            (true, false)
        );
        assert_eq!(news("destroy resource name:etcd\n"), (true, true));
        let endless = "x".repeat(3 * LONGEST as usize);
        assert_eq!(news(&endless), (false, false));
    }

    #[test]
    fn what_it_says_is_news_until_it_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let go = dir.path().join("go");
        let script = format!(
            "while [ ! -e {} ]; do sleep 0.01; done
             echo 'destroy resource name:etcd'; exec sleep 60",
            go.display()
        );
        let mut follower = following(&script);
        assert!(follower.runs() && !follower.is_quiet(), "it has just begun");
        follower.listen();
        assert!(follower.is_quiet() && !follower.was_down());
        std::fs::write(&go, "").unwrap();
        wait(|| !follower.is_quiet());
        follower.listen();
        assert!(follower.is_quiet());
        assert!(follower.was_down() && !follower.was_down());
    }

    #[test]
    fn one_that_has_ended_is_never_quiet() {
        let mut follower = following("exit 0");
        wait(|| !follower.runs());
        follower.listen();
        assert!(!follower.is_quiet());
        let mut none = Follower::new("etcd", None);
        none.listen();
        assert!(!none.is_quiet() && !none.runs());
    }
}
