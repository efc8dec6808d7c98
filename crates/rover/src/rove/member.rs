//! The member on the volume: our own program again, without what makes it a rover, as a child.

use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait, waitpid};

use crate::table::Child;
use etcd_rejoin_host::error::Error;

/// What starts the member.
pub type StartMember = Box<dyn Fn() -> Result<Pid, Error>>;

/// The member, and whether it runs.
pub struct MemberProcess {
    start: StartMember,
    running: Option<(Pid, bool)>,
    ended: Option<i32>,
    /// Held while another thread waits for children of its own.
    waiting: Arc<Mutex<()>>,
}

impl MemberProcess {
    /// It does not run yet.
    pub fn new(start: StartMember) -> MemberProcess {
        MemberProcess {
            start,
            running: None,
            ended: None,
            waiting: Arc::default(),
        }
    }

    /// What another thread holds while it waits for children of its own: nobody takes their status then.
    pub fn waiting(&self) -> Arc<Mutex<()>> {
        self.waiting.clone()
    }

    /// As the decision sees it. Reaps what has ended; as the first process of a container, orphans too.
    pub fn look(&mut self) -> Child {
        self.reap();
        match (self.running, self.ended) {
            (Some((_, true)), _) => Child::Stopping,
            (Some((_, false)), _) => Child::Running,
            (None, Some(code)) => Child::Ended(code),
            (None, None) => Child::None,
        }
    }

    /// This thread's own children have all been waited for by now, but for the member.
    fn reap(&mut self) {
        let waiting = self.waiting.clone();
        if let Ok(_alone) = waiting.try_lock() {
            while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
                self.bury(pid, status);
            }
        } else if let Some((running, _)) = self.running
            && let Ok(Some((pid, status))) = waitpid(Some(running), WaitOptions::NOHANG)
        {
            self.bury(pid, status);
        }
    }

    fn bury(&mut self, pid: Pid, status: WaitStatus) {
        let Some((_, asked)) = self.running.filter(|(running, _)| *running == pid) else {
            return;
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

    /// Starts it. It dies with us.
    pub fn start(&mut self) -> Result<(), Error> {
        self.ended = None;
        self.running = Some(((self.start)()?, false));
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
