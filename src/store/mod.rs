//! The store of snapshots, as the first process sees it: it runs `etcd-rejoin-snapshot`, which speaks to the store, as a
//! child. Each run has a deadline and a bound on what it may say; one that does not end well has said nothing.

mod kept;

pub use kept::kept;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

use crate::config::StoreSettings;
use crate::decide::{Nonce, StoreSeen};
use crate::error::Error;
use crate::path::beside_us;
use crate::program::{NotRun, Ran, find, run as run_gently, run_or_kill_keeping};
use crate::text::one_line;

/// The program that speaks to a store.
const PROGRAM: &str = "etcd-rejoin-snapshot";
/// So much of what it says is read. A store of ten thousand snapshots is half a megabyte.
const MOST: usize = 8 << 20;
/// Nobody waits for a restore but us.
const AT_MOST: Duration = Duration::from_secs(7 * 24 * 3600);
/// No word of it is longer in a line of the log.
const LONGEST_WORDS: usize = 300;

/// A random text that nobody else has.
pub fn random_text() -> Result<String, Error> {
    let mut bytes = [0; 16];
    (SystemRandom::new().fill(&mut bytes))
        .map_err(|_| Error::new("cannot get random bytes from the system"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// What tells a promise, a founding or a lineage that begins now from every other.
pub fn new_nonce() -> Result<Nonce, Error> {
    random_text().map(Nonce)
}

/// Whether a conditional create means something in a store: to find out costs two writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToProbe {
    /// It is known, or does not matter.
    Nothing,
    /// It matters where an order is open.
    AnOrder,
    /// It matters.
    Always,
}

/// What the store holds.
pub fn look(
    store: &StoreSettings,
    within: Duration,
    probe: ToProbe,
    give_up: &dyn Fn() -> bool,
) -> StoreSeen {
    let asked = |decides: bool| {
        // What comes with the end of its time would not be heard.
        let own = within.saturating_sub(within / 8);
        let own = format!("{}ms", own.as_millis());
        let mut words = vec!["look", "--json", "--timeout", &own];
        words.extend(decides.then_some("--decides"));
        run(store, &words, Some(within), give_up).and_then(|said| kept(&said))
    };
    let read = match asked(probe == ToProbe::Always) {
        Ok(read)
            if probe == ToProbe::AnOrder
                && read.orders.iter().any(|order| order.outcome.is_none()) =>
        {
            asked(true)
        }
        read => read,
    };
    read.map_or_else(StoreSeen::Silent, StoreSeen::Read)
}

/// Runs the program: what it has said on standard output; else why nothing came of it, in a line.
///
/// `within`: it is killed then. Without that it moves a database, and may take as long as it does; given up, it is asked
/// to end, and ends what it runs itself.
pub fn run(
    store: &StoreSettings,
    words: &[&str],
    within: Option<Duration>,
    give_up: &dyn Fn() -> bool,
) -> Result<String, String> {
    let mut command = Command::new(program(store)?);
    command
        .env_clear()
        .envs(store.env.iter().map(|(name, value)| (name, value)))
        .args(words);
    said(match within {
        Some(within) => run_or_kill_keeping(&mut command, within, MOST, give_up),
        None => run_gently(&mut command, AT_MOST, give_up),
    })
}

fn said(ran: Result<Ran, NotRun>) -> Result<String, String> {
    match ran {
        Ok(ran) if ran.cut => Err(format!("{PROGRAM} said more than {} MiB", MOST >> 20)),
        Ok(ran) if ran.code == 0 => Ok(ran.out),
        Ok(ran) => {
            let last = ran.err.lines().rfind(|line| !line.trim().is_empty());
            let said = last.map(|line| line.strip_prefix(PROGRAM).unwrap_or(line));
            let said = said.map(|line| one_line(line.trim_start_matches(": "), LONGEST_WORDS));
            Err(said.unwrap_or_else(|| format!("{PROGRAM} ended with {}", ran.code)))
        }
        Err(why @ NotRun::TimedOut(_)) => Err(format!("{PROGRAM} {why}: the store hangs?")),
        Err(why) => Err(format!("{PROGRAM} {why}")),
    }
}

/// The program beside our own file, else the one on PATH.
fn program(store: &StoreSettings) -> Result<PathBuf, String> {
    let path = (store.env.iter()).find_map(|(name, value)| (name == "PATH").then_some(value));
    let on_path = || find(PROGRAM, path.map_or(OsStr::new(""), |path| path)).ok();
    beside_us(PROGRAM).or_else(on_path).ok_or_else(|| {
        format!("{PROGRAM} is neither beside etcd-rejoin nor on PATH, and speaks to REJOIN_STORE")
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt;
    use std::time::Instant;

    use super::*;

    const EMPTY: &str = r#"{"marker":null,"snapshots":[]}"#;

    /// What is seen of a store whose program is this script.
    fn seen(script: &str, within: Duration, give_up: &dyn Fn() -> bool) -> StoreSeen {
        let dir = tempfile::tempdir().unwrap();
        let mut file = std::fs::OpenOptions::new();
        let file = file.create(true).write(true).mode(0o755);
        let file = file.open(dir.path().join(PROGRAM));
        let script = format!("#!/bin/sh\n{script}\n");
        std::io::Write::write_all(&mut file.unwrap(), script.as_bytes()).unwrap();
        let path = format!("{}:/usr/bin:/bin", dir.path().display());
        let settings = StoreSettings {
            place: "/nowhere".into(),
            env: vec![("PATH".into(), path.into()), ("EMPTY".into(), EMPTY.into())],
        };
        look(&settings, within, ToProbe::AnOrder, give_up)
    }

    fn silent(script: &str, within: Duration) -> String {
        match seen(script, within, &|| false) {
            StoreSeen::Silent(why) => why,
            StoreSeen::Read(_) => panic!("{script} was read"),
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_it_prints_is_read() {
        let read = seen("test $3 = --timeout && echo $EMPTY", LONG, &|| false);
        assert_eq!(read, StoreSeen::Read(Default::default()));
    }

    /// An open order is to be begun by somebody: whether the store can decide is asked as well.
    #[test]
    fn an_open_order_asks_whether_the_store_decides() {
        let script = r#"case "$*" in *--decides*) decides=false;; *) decides=null;; esac
            echo '{"orders":[{"n":2,"order":{"kind":"survivor","member":"n1"}}],"decides":'$decides'}'"#;
        let StoreSeen::Read(read) = seen(script, LONG, &|| false) else {
            panic!("not read");
        };
        assert!(read.cannot_decide);
    }

    #[test]
    fn what_does_not_end_well_has_said_nothing() {
        let denied = "echo one >&2; echo 'etcd-rejoin-snapshot: access denied' >&2; exit 74";
        assert_eq!(silent(denied, LONG), "access denied");
        let killed = format!("{PROGRAM} ended with 137");
        assert_eq!(silent("echo $EMPTY; kill -9 $$", LONG), killed);
        assert!(silent("echo nonsense", LONG).contains("is no JSON"));
        assert!(silent("head -c 100000000 /dev/zero", LONG).contains("more than 8 MiB"));
        let hangs = silent(
            "trap '' TERM; echo $EMPTY; sleep 60 & wait",
            Duration::from_millis(200),
        );
        assert!(hangs.contains("had not ended"), "{hangs}");
        let settings = StoreSettings {
            place: "/nowhere".into(),
            env: Vec::new(),
        };
        let missing = look(&settings, LONG, ToProbe::Nothing, &|| false);
        assert!(matches!(missing, StoreSeen::Silent(why) if why.contains("nor on PATH")));
    }

    #[test]
    fn who_is_not_waited_for_ends_at_once() {
        let begun = Instant::now();
        let over = || begun.elapsed() > Duration::from_millis(50);
        assert!(matches!(
            seen("sleep 60", LONG, &over),
            StoreSeen::Silent(_)
        ));
        assert!(begun.elapsed() < LONG / 2);
    }
}
