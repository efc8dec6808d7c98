//! This program in the place of etcd: it says when its first instructions ran, and ends.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::bench::{Bench, Side};
use crate::support::Member;

/// Set for the program that stands in for etcd; it reaches it through us.
const ASKED: &str = "FIGURES_STAND_IN";

/// Its name, and behind it the version that it says: it is asked for that with an empty environment.
const NAMED: &str = "/stand-in-";

/// Says the time, if this process is etcd's stand-in; or its version, which we ask before a first start of it.
pub fn is_asked_for() -> bool {
    let mut words = std::env::args();
    let name = words.next().unwrap_or_default();
    if let Some((_, version)) = name.rsplit_once(NAMED)
        && words.eq(["--version"])
    {
        println!("etcd Version: {version}");
        return true;
    }
    let asked = std::env::var_os(ASKED).is_some();
    if asked {
        println!("{}", now().as_nanos());
    }
    asked
}

/// From the start of this member to the first instructions of what stands in for its etcd; `None`
/// if that did not come within the time.
pub fn time_to_etcd(
    bench: &Bench,
    side: Side,
    member: &Member,
    patience: Duration,
) -> Option<Duration> {
    let begin = now();
    let mut child = command(bench, side, member)
        .spawn()
        .expect("the program can be started");
    while child
        .try_wait()
        .expect("a child can be waited for")
        .is_none()
    {
        if now().saturating_sub(begin) > patience {
            child
                .kill()
                .and_then(|()| child.wait())
                .expect("a child can be killed");
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut said = String::new();
    let mut out = child.stdout.take().expect("it was piped");
    out.read_to_string(&mut said).expect("a pipe can be read");
    forget(member);
    let nanos: u64 = said.trim().parse().ok()?;
    Some(Duration::from_nanos(nanos).saturating_sub(begin))
}

/// Starts a member with this program as its etcd.
pub fn command(bench: &Bench, side: Side, member: &Member) -> Command {
    let ourselves = std::env::current_exe().expect("a program has a path");
    let named = format!("{}{}", NAMED.trim_start_matches('/'), bench.version);
    let etcd = member.volume.with_file_name(named);
    let _ = std::os::unix::fs::symlink(ourselves, &etcd);
    let mut command = bench.command(side, member, &etcd);
    command.env(ASKED, "1").stdout(Stdio::piped());
    command
}

/// What we note of a start would make the next one look like one without progress.
pub fn forget(member: &Member) {
    let _ = std::fs::remove_file(member.volume.join("member/rejoin-start"));
}

/// The wall clock: the one that two processes share.
fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
