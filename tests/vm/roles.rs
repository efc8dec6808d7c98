//! Which machine was Primary, and when, on the host's clock. The kernel says each change of a role on the
//! console, in the moment in which it happens; what a machine said before it was killed is not lost.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How often the consoles are read.
const TICK: Duration = Duration::from_millis(20);
/// Where the processors are busy, the end of one and the beginning of the other are read that late.
const TOLERANCE: Duration = Duration::from_secs(1);

/// The times in which a machine was Primary.
#[derive(Clone, Debug, Default)]
pub struct Roles(Arc<Mutex<Times>>);

#[derive(Debug, Default)]
struct Times {
    since: [Option<Instant>; 2],
    over: Vec<(usize, Instant, Instant)>,
}

impl Roles {
    /// Reads the console of machine `n` while this process is that machine. Killed, it is no Primary.
    pub fn follow(&self, n: usize, process: u32, console: &Path) {
        let (mut read, mut line) = (0, Vec::new());
        loop {
            let lives = lives(process);
            for byte in news(console, &mut read) {
                match byte {
                    b'\n' => self.hear(n, &std::mem::take(&mut line), Instant::now()),
                    byte => line.push(byte),
                }
            }
            if !lives {
                return self.set(n, false, Instant::now());
            }
            std::thread::sleep(TICK);
        }
    }

    fn hear(&self, n: usize, line: &[u8], at: Instant) {
        let line = String::from_utf8_lossy(line);
        if let Some((_, change)) = line.split_once(" role( ")
            && let Some((_, to)) = change.split_once(" -> ")
        {
            self.set(n, to.starts_with("Primary"), at);
        }
    }

    fn set(&self, n: usize, primary: bool, at: Instant) {
        let mut times = self.0.lock().unwrap();
        match (times.since[n - 1], primary) {
            (None, true) => times.since[n - 1] = Some(at),
            (Some(since), false) => {
                times.since[n - 1] = None;
                times.over.push((n, since, at));
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    /// Never were both Primary; and this one is now, as far as we heard.
    #[track_caller]
    pub fn check(&self, serving: Option<usize>) {
        let times = self.0.lock().unwrap();
        if let Some(n) = serving {
            assert!(
                times.since[n - 1].is_some(),
                "machine {n} became Primary unheard"
            );
        }
        let now = Instant::now();
        let running = [1, 2].map(|n| times.since[n - 1].map(|since| (n, since, now)));
        let all: Vec<_> = (times.over.iter().copied())
            .chain(running.into_iter().flatten())
            .collect();
        let of = |n: usize| all.iter().filter(move |(at, ..)| *at == n);
        let both = of(1).flat_map(|one| {
            of(2).map(|two| {
                let (from, to) = (one.1.max(two.1), one.2.min(two.2));
                to.saturating_duration_since(from)
            })
        });
        let longest = both.max().unwrap_or_default();
        println!("Primary {} times, at once for {longest:.0?}", all.len());
        assert!(
            longest < TOLERANCE,
            "two machines were Primary for {longest:?}: {all:?}"
        );
    }
}

/// What was written to it since it was read last.
fn news(console: &Path, read: &mut u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(mut file) = fs::File::open(console)
        && file.seek(SeekFrom::Start(*read)).is_ok()
        && let Ok(more) = file.read_to_end(&mut bytes)
    {
        *read += more as u64;
    }
    bytes
}

/// A zombie is dead.
fn lives(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !"ZX".contains(state))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel of a guest says, the first machine's word and the second's so much later.
    fn told(later: Duration) -> Roles {
        let roles = Roles::default();
        let begun = Instant::now() - Duration::from_secs(60);
        let up = b"[   12.3] block drbd0: role( Secondary -> Primary ) ";
        let down = b"[   20.1] block drbd0: role( Primary -> Secondary ) ";
        roles.hear(1, up, begun);
        roles.hear(
            1,
            b"[   13.0] block drbd0: peer( Secondary -> Unknown ) ",
            begun,
        );
        roles.hear(2, up, begun + later);
        roles.hear(1, down, begun + Duration::from_secs(10));
        roles
    }

    #[test]
    fn one_after_the_other_is_well() {
        told(Duration::from_secs(10)).check(Some(2));
    }

    #[test]
    #[should_panic(expected = "two machines were Primary for 5s")]
    fn two_primaries_are_noticed() {
        told(Duration::from_secs(5)).check(Some(2));
    }

    #[test]
    #[should_panic(expected = "machine 1 became Primary unheard")]
    fn a_primary_that_was_not_heard_of_is_noticed() {
        told(Duration::from_secs(10)).check(Some(1));
    }
}
