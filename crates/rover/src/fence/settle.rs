//! Makes the other machine harmless for a resource, as the table decides: asks it, runs the fence command.

use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::key::Key;
use super::wire::Answer;
use super::{Asked, Machine, ask};
use crate::table::{OutdateAnswer, Settle, Settled, Settling, settle, time_to_ask};
use etcd_rejoin_host::program;
use etcd_rejoin_host::text::one_line;

/// How long the question after the margin takes at least.
const ONCE_MORE: Duration = Duration::from_secs(1);

/// What there is to settle it with.
#[derive(Clone, Copy, Debug)]
pub struct Means<'a> {
    /// Where the other rover answers, and the secret.
    pub peer: Option<(&'a str, &'a Key)>,
    /// Who we are.
    pub machine: &'a Machine,
    /// We are Primary.
    pub primary: bool,
    /// The fence command; empty where there is none.
    pub command: &'a [String],
    /// Where programs are looked for.
    pub search: &'a OsStr,
    /// How long all of it may take.
    pub timeout: Duration,
}

impl Means<'_> {
    /// Makes the other machine harmless for this resource, or says why not. Ends within the time-out.
    pub fn settle(&self, resource: &str) -> Settled {
        let start = Instant::now();
        let mut so_far = Settling {
            primary: self.primary,
            can_ask: self.peer.is_some(),
            can_turn_off: !self.command.is_empty(),
            answer: None,
            elapsed: Duration::ZERO,
            turned_off: None,
        };
        loop {
            so_far.elapsed = start.elapsed();
            match settle(&so_far) {
                Settle::Ask => {
                    let time = start + time_to_ask(self.timeout, so_far.can_turn_off);
                    let deadline = time.max(Instant::now() + ONCE_MORE);
                    so_far.answer = Some(self.ask(resource, deadline));
                }
                Settle::Margin(margin) => {
                    std::thread::sleep(margin);
                    // The networks may be back: it is asked once more before it is turned off.
                    so_far.answer = None;
                }
                Settle::TurnOff => {
                    let left = self.timeout.saturating_sub(start.elapsed());
                    so_far.turned_off = Some(self.turn_off(resource, left));
                }
                Settle::Settled(settled) => return settled,
            }
        }
    }

    fn ask(&self, resource: &str, deadline: Instant) -> OutdateAnswer {
        let Some((peer, key)) = self.peer else {
            return OutdateAnswer::Silent("there is nobody to ask".into());
        };
        match ask(peer, key, self.machine, resource, deadline) {
            Asked::Heard(Answer::Outdated) => OutdateAnswer::Outdated,
            Asked::Heard(Answer::Primary) => OutdateAnswer::Primary,
            Asked::Heard(Answer::Busy(why)) => OutdateAnswer::Busy(why),
            Asked::Heard(Answer::Failed(why)) => OutdateAnswer::Failed(why),
            Asked::Silent(why) => OutdateAnswer::Silent(why),
        }
    }

    /// Runs the fence command. Only its exit code 0 says that the machine is off.
    fn turn_off(&self, resource: &str, limit: Duration) -> Result<(), String> {
        let Some((program, args)) = self.command.split_first() else {
            return Err("there is none".into());
        };
        let mut command = program::command(Path::new(program), self.search);
        command
            .args(args)
            .env("FENCE_RESOURCE", resource)
            .env("FENCE_PEER", self.peer.map_or("", |(peer, _)| peer));
        match program::run_or_kill(&mut command, limit, &|| false) {
            Ok(ran) if ran.code == 0 => Ok(()),
            Ok(ran) => {
                let said = one_line(&format!("{} {}", ran.out, ran.err), 200);
                Err(format!("{program} ended with {}: {said}", ran.code))
            }
            Err(why) => Err(format!("{program} {why}")),
        }
    }
}
