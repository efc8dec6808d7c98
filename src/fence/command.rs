//! A program with a time limit: the fence command, and what tells our own role.

use std::io::{PipeReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// More of what it prints is read and forgotten.
const MAX_SAID: usize = 64 << 10;

/// How long to wait for the end of its output, or for its death, when there is nothing else to wait for.
const GRACE: Duration = Duration::from_millis(200);

/// How a program ended, and what it printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; the error says how else it ended, or why it did not start.
    pub code: Result<i32, String>,
    /// The beginning of what it printed.
    pub said: String,
}

/// Runs a program, with its arguments, and with `env` in addition to ours. At the deadline it is killed
/// with all that it started.
pub fn run(words: &[String], env: &[(&str, &str)], deadline: Instant) -> Ran {
    let failed = |why: String| Ran {
        code: Err(why),
        said: String::new(),
    };
    let Some((program, args)) = words.split_first() else {
        return failed("no program is named".into());
    };
    let pipes =
        std::io::pipe().and_then(|(reader, writer)| Ok((reader, writer.try_clone()?, writer)));
    let (reader, out, err) = match pipes {
        Ok(pipes) => pipes,
        Err(error) => return failed(format!("no pipe for its output: {error}")),
    };
    let mut command = Command::new(program);
    command
        .args(args)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0);
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return failed(format!("cannot run {program}: {error}")),
    };
    // It holds the writing ends of the pipe.
    drop(command);
    let said = listen(reader);
    let code = wait(child, deadline);
    let until = Instant::now() + GRACE;
    let mut text = Vec::new();
    while let Ok(part) = said.recv_timeout(until.saturating_duration_since(Instant::now())) {
        text.extend(part);
    }
    Ran {
        code,
        said: String::from_utf8_lossy(&text).trim().into(),
    }
}

fn wait(mut child: Child, deadline: Instant) -> Result<i32, String> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return ended(status),
            Ok(None) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(None) => break,
            Err(error) => return Err(format!("cannot wait for it: {error}")),
        }
    }
    if let Ok(id) = i32::try_from(child.id())
        && let Some(group) = Pid::from_raw(id)
    {
        let _ = kill_process_group(group, Signal::KILL);
    }
    // Frozen in the kernel it does not even die; then nobody waits for it.
    let until = Instant::now() + GRACE;
    while Instant::now() < until && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(5));
    }
    Err("it did not end in time and was killed".into())
}

fn ended(status: ExitStatus) -> Result<i32, String> {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ok(code),
        (None, Some(signal)) => Err(format!("ended by signal {signal}")),
        (None, None) => Err(format!("ended as {status}")),
    }
}

/// Reads what it prints, to the end: a full pipe would stop it.
fn listen(mut from: PipeReader) -> Receiver<Vec<u8>> {
    let (tx, rx) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut buffer, mut room) = ([0; 4096], MAX_SAID);
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            let kept = n.min(room);
            room -= kept;
            if kept > 0 {
                let _ = tx.send(buffer[..kept].to_vec());
            }
        }
    });
    rx
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Ran {
        let words = ["/bin/sh", "-c", script].map(String::from);
        run(&words, &[("GIVEN", "value")], Instant::now() + limit)
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn it_says_its_code_and_what_was_printed() {
        let ran = sh("echo out $GIVEN; echo err >&2; exit 7", LONG);
        assert_eq!(ran.code, Ok(7));
        assert_eq!(ran.said, "out value\nerr");
        assert!(
            sh("kill -9 $$", LONG)
                .code
                .unwrap_err()
                .contains("signal 9")
        );
        let missing = run(&["/nowhere/x".into()], &[], Instant::now() + LONG);
        assert!(missing.code.unwrap_err().contains("/nowhere/x"));
        assert!(run(&[], &[], Instant::now() + LONG).code.is_err());
    }

    #[test]
    fn it_ends_at_its_deadline_with_all_that_it_started() {
        let start = Instant::now();
        let ran = sh(
            "trap '' TERM; sleep 300 & echo $!; wait",
            Duration::from_millis(300),
        );
        assert!(ran.code.unwrap_err().contains("in time"));
        assert!(start.elapsed() < Duration::from_secs(10));
        let started: i32 = ran.said.parse().unwrap();
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{started}/stat"));
            stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z "))
        };
        let end = Instant::now() + LONG;
        while !gone() {
            assert!(Instant::now() < end, "{started} still runs");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn whoever_keeps_its_output_open_keeps_nobody_waiting() {
        let start = Instant::now();
        let ran = sh("sleep 30 & echo $!", LONG);
        assert_eq!(ran.code, Ok(0));
        assert!(start.elapsed() < Duration::from_secs(10));
        let left = Pid::from_raw(ran.said.parse().unwrap()).unwrap();
        let _ = rustix::process::kill_process(left, Signal::KILL);
    }

    #[test]
    fn endless_output_takes_no_memory_and_stops_nothing() {
        let ran = sh("head -c 3000000 /dev/zero | tr '\\0' x; exit 3", LONG);
        assert_eq!((ran.code, ran.said.len()), (Ok(3), MAX_SAID));
    }
}
