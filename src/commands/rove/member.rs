//! The member on the volume: our own program again, without what makes it a rover, as a child.

use std::ffi::OsString;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

use crate::config::rover::VARIABLES;
use crate::decide::volume::Child;
use crate::error::Error;
use crate::handover::{self, Etcd};

/// The member, and whether it runs.
#[derive(Debug, Default)]
pub struct Member {
    running: Option<(Pid, bool)>,
    ended: Option<i32>,
}

impl Member {
    /// As the decision sees it. Reaps what has ended, orphans included.
    ///
    /// Every other child is waited for by whoever started it, on this very thread, before it comes here.
    pub fn look(&mut self) -> Child {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let Some((_, asked)) = self.running.filter(|(running, _)| *running == pid) else {
                continue;
            };
            let signal = status.terminating_signal().map(|signal| 128 + signal);
            let code = status.exit_status().or(signal).unwrap_or(1);
            self.running = None;
            if asked {
                log::info!("the member has ended with exit code {code}");
            } else {
                log::warn!("the member has ended by itself with exit code {code}");
                self.ended = Some(code);
            }
        }
        match (self.running, self.ended) {
            (Some((_, true)), _) => Child::Stopping,
            (Some((_, false)), _) => Child::Running,
            (None, Some(code)) => Child::Ended(code),
            (None, None) => Child::None,
        }
    }

    /// Starts it. It dies with us.
    pub fn start(&mut self) -> Result<(), Error> {
        let mut words = std::env::args_os();
        let name = words.next().unwrap_or_default();
        let program = Etcd {
            program: PathBuf::from("/proc/self/exe"),
            arg0: name,
            args: words.collect(),
            env: std::env::vars_os().filter(passed_on).collect(),
        };
        self.ended = None;
        self.running = Some((handover::spawn(&program, None)?, false));
        Ok(())
    }

    /// Asks it to end.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Ends it.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
    }

    /// Its end was nobody's wish and is settled now.
    pub fn forget(&mut self) {
        self.ended = None;
    }

    fn signal(&mut self, signal: Signal) {
        if let Some((pid, asked)) = &mut self.running {
            *asked = true;
            // Not reaped yet, so the number is still this child's.
            if let Err(error) = kill_process(*pid, signal) {
                log::warn!("cannot signal the member: {error}");
            }
        }
    }
}

/// What the ordinary entrypoint on the volume gets of our environment.
fn passed_on((name, _): &(OsString, OsString)) -> bool {
    !VARIABLES.iter().any(|ours| name == ours)
}
