//! The child that watches an etcd on trial, seen from the process that supervises it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::images::{DONE, HEALTHY};
use crate::handover::{Next, Watch};

/// One that ends sooner than this has ended at once.
const AT_ONCE: Duration = Duration::from_secs(10);
/// So often in a row it is started again.
const MOST_IN_VAIN: u32 = 5;

/// The child that watches.
pub(super) struct Watching {
    command: Command,
    /// Its process, once there was one.
    pub(super) running: Arc<Mutex<Option<Pid>>>,
    /// How often in a row it ended at once, with something left to watch.
    in_vain: u32,
}

impl Watching {
    pub(super) fn new(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Watching {
            command,
            running: Arc::default(),
            in_vain: 0,
        }
    }

    /// Lets a child watch, and hears what it says.
    pub(super) fn look_on(&mut self, watch: &mut Watch) -> Next {
        let begun = Instant::now();
        // Reaped by the trial, as all children are. It ends when its standard input does.
        let (_alive, said) = match self.command.spawn() {
            Ok(mut child) => {
                *running(&self.running) = Some(Pid::from_child(&child));
                (child.stdin.take(), child.stdout.take())
            }
            Err(error) => {
                log::warn!("cannot watch whether etcd is healthy: {error}");
                return Next::Done;
            }
        };
        let mut done = false;
        for line in said
            .map(BufReader::new)
            .into_iter()
            .flat_map(BufRead::lines)
        {
            match line.as_deref() {
                Ok(HEALTHY) => watch.healthy(),
                Ok(DONE) => done = true,
                Ok(_) | Err(_) => {}
            }
        }
        if done || watch.is_over() {
            return Next::Done;
        }
        self.in_vain = match begun.elapsed() < AT_ONCE {
            true => self.in_vain + 1,
            false => 1,
        };
        let go_on = self.in_vain < MOST_IN_VAIN;
        let then = match go_on {
            true => "it is started again",
            false => {
                "it ended at once again and again, so etcd runs on unwatched: a learner stays one until `etcdctl member promote`, or a restart"
            }
        };
        log::warn!("what watches whether etcd is healthy has ended: {then}");
        match go_on {
            true => Next::Again,
            false => Next::Done,
        }
    }
}

fn running(pid: &Mutex<Option<Pid>>) -> MutexGuard<'_, Option<Pid>> {
    pid.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the watcher where it still runs: whoever comes after us in this process would not reap it.
pub(super) fn bury(watcher: &Mutex<Option<Pid>>) {
    let Some(pid) = *running(watcher) else {
        return;
    };
    // Another process may have its number by now: only what is our child is ended.
    if let Ok(None) = waitpid(Some(pid), WaitOptions::NOHANG) {
        let _ = kill_process(pid, Signal::KILL);
        let _ = waitpid(Some(pid), WaitOptions::empty());
    }
}
