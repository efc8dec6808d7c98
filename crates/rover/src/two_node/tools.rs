//! The real tools, asked whether they would take a file: `drbdadm` as a dry run, `keepalived -t`.
//! Neither changes anything, nor needs a kernel module.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::args::Grammar;
use etcd_rejoin_host::program;

/// How long a tool may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a tool says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It takes it, and prints this.
    Accepts(String),
    /// It does not; its own words.
    Refuses(String),
    /// It cannot be asked here, and why.
    NotAsked(String),
}

/// Asks `drbdadm` to bring up the resource as that host would, without doing it.
pub fn drbd(file: &Path, grammar: Grammar, host: &str, resource: &str) -> Verdict {
    let Some(mut command) = drbdadm(file, Some(grammar)) else {
        return Verdict::NotAsked("drbdadm is not installed here".into());
    };
    command.args(["up", resource]).env("__DRBD_NODE__", host);
    verdict(command)
}

/// Asks `drbdadm` what it reads in a machine's whole configuration; without a grammar it takes that of the module.
pub fn drbd_dump(file: &Path, grammar: Option<Grammar>) -> Verdict {
    let Some(mut command) = drbdadm(file, grammar) else {
        return Verdict::NotAsked("drbdadm is not installed here".into());
    };
    command.arg("dump");
    verdict(command)
}

fn drbdadm(file: &Path, grammar: Option<Grammar>) -> Option<Command> {
    let mut command = tool("drbdadm")?;
    command.arg("-c").arg(whole(file)).arg("-d");
    let version = grammar.map(|grammar| match grammar {
        Grammar::V84 => "8.4.11",
        Grammar::V9 => "9.2.0",
    });
    command.envs(version.map(|version| ("DRBD_DRIVER_VERSION_OVERRIDE", version)));
    Some(command)
}

/// Asks `keepalived` whether it would take the file. It looks for the interfaces, too.
pub fn keepalived(file: &Path, interfaces: &[&str]) -> Verdict {
    let absent = |name: &&&str| !Path::new("/sys/class/net").join(name).exists();
    if let Some(name) = interfaces.iter().find(absent) {
        return Verdict::NotAsked(format!("there is no interface {name} here"));
    }
    let Some(mut command) = tool("keepalived") else {
        return Verdict::NotAsked("keepalived is not installed here".into());
    };
    command.arg("-t").arg("-f").arg(whole(file));
    match verdict(command) {
        // Our program may not be in its place yet, and a file can be right before that.
        Verdict::Refuses(words)
            if (words.split("; ")).all(|line| line.ends_with("since not found/accessible")) =>
        {
            Verdict::Accepts(words)
        }
        other => other,
    }
}

fn tool(name: &str) -> Option<Command> {
    let search = program::search_path(None);
    let path = program::find(name, &search).ok()?;
    Some(program::command(&path, &search))
}

fn verdict(mut command: Command) -> Verdict {
    let name = command.get_program().to_string_lossy().into_owned();
    match program::run(&mut command, PATIENCE, &|| false) {
        Ok(ran) if ran.code == 0 => Verdict::Accepts(ran.out),
        Ok(ran) => match spoken(&(ran.out + &ran.err)) {
            words if words.is_empty() => {
                Verdict::Refuses(format!("{name} ended with {}, without a word", ran.code))
            }
            words => Verdict::Refuses(words),
        },
        Err(error) => Verdict::NotAsked(format!("{name} {error}")),
    }
}

/// A path that holds in another folder, too.
fn whole(file: &Path) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf())
}

/// The lines that say something.
fn spoken(words: &str) -> String {
    let noise = ["found __DRBD_NODE__", "PRETENDING that I am", "modinfo"];
    let lines = words
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !noise.iter().any(|noise| line.contains(noise)));
    lines.take(20).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_left_out_and_much_is_cut() {
        let said = "\nsh: 1: modinfo: not found\n  etcd.res:3: Parse error\n\nsecond\n";
        assert_eq!(spoken(said), "etcd.res:3: Parse error; second");
        assert_eq!(spoken(&"x\n".repeat(1000)).len(), 20 * 3 - 2);
    }
}
