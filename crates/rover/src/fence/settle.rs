//! What became of the other machine: asked first, turned off if that is allowed and needed.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::key::Key;
use super::wire::{Answer, Request};
use super::{Asked, Machine, ask};
use crate::table::PeerFate;
use etcd_rejoin_host::program;
use etcd_rejoin_host::text::one_line;

/// What there is to settle it with.
#[derive(Clone, Copy, Debug)]
pub struct Means<'a> {
    /// Where the other rover answers, and the secret.
    pub peer: Option<(&'a str, &'a Key)>,
    /// Who we are.
    pub machine: &'a Machine,
    /// The fence command; empty where there is none.
    pub command: &'a [String],
    /// How long all of it may take.
    pub timeout: Duration,
}

/// How it was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It has recorded that its disk is outdated.
    Outdated,
    /// The fence command says that it is off.
    Fenced,
    /// It answered: it is Primary.
    Primary,
    /// It answered: not now, it asks the same and goes first, or it has a reason that may pass.
    Busy(String),
    /// It answered: it cannot be outdated.
    Refused(String),
    /// It said nothing that could be believed, and no fence command has confirmed anything.
    Silent(String),
}

impl Settled {
    /// As the decision takes it.
    pub fn fate(&self) -> PeerFate {
        match self {
            Settled::Outdated => PeerFate::Outdated,
            Settled::Fenced => PeerFate::Fenced,
            Settled::Primary | Settled::Busy(_) | Settled::Refused(_) => PeerFate::Alive,
            Settled::Silent(_) => PeerFate::Silent,
        }
    }
}

impl fmt::Display for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Settled::Outdated => f.write_str("the peer has recorded that its disk is outdated"),
            Settled::Fenced => f.write_str("the fence command confirms that the peer is off"),
            Settled::Primary => f.write_str("the peer answers that it is Primary"),
            Settled::Busy(why) => write!(f, "the peer refuses for now: {why}"),
            Settled::Refused(why) => write!(f, "the peer is not outdated: {why}"),
            Settled::Silent(why) => write!(f, "the peer is silent: {why}"),
        }
    }
}

/// Makes the other machine harmless for this resource, or says why not. Ends within the time-out.
///
/// A peer that answers as Primary is never fenced: it works. Nor is one that goes first.
pub fn settle(means: &Means, resource: &str) -> Settled {
    let start = Instant::now();
    // A peer that lives answers once its own DRBD has noticed the loss, some seconds later than ours: it
    // is not turned off before that. The rest is for the fence command.
    let (share, of) = if means.command.is_empty() {
        (1, 1)
    } else {
        (2, 3)
    };
    let request = Request::Outdate(resource.into());
    let asked = means.peer.map(|(peer, key)| {
        let deadline = start + means.timeout * share / of;
        ask(peer, key, means.machine, &request, deadline)
    });
    let unsettled = match asked {
        Some(Asked::Heard(Answer::Outdated)) => return Settled::Outdated,
        Some(Asked::Heard(Answer::Primary)) => return Settled::Primary,
        Some(Asked::Heard(Answer::Busy(why))) => return Settled::Busy(why),
        Some(Asked::Heard(Answer::Failed(why) | Answer::State(why))) => Settled::Refused(why),
        // No answer to this question, and `ask` lets none through.
        Some(Asked::Heard(Answer::Would)) => Settled::Silent("it has outdated nothing".into()),
        Some(Asked::Silent(why)) => Settled::Silent(why),
        None => Settled::Silent("there is no REJOIN_FENCE_PEER to ask".into()),
    };
    if means.command.is_empty() {
        return unsettled;
    }
    let left = means.timeout.saturating_sub(start.elapsed());
    let why = match fence(means, resource, left) {
        Ok(()) => return Settled::Fenced,
        Err(why) => format!("the fence command has confirmed nothing: {why}"),
    };
    match unsettled {
        Settled::Refused(first) => Settled::Refused(format!("{first}; {why}")),
        Settled::Silent(first) => Settled::Silent(format!("{first}; {why}")),
        done @ (Settled::Outdated | Settled::Fenced | Settled::Primary | Settled::Busy(_)) => done,
    }
}

/// Runs the fence command. Only its exit code 0 says that the machine is off.
fn fence(means: &Means, resource: &str, limit: Duration) -> Result<(), String> {
    let Some((program, args)) = means.command.split_first() else {
        return Err("there is none".into());
    };
    let search = program::search_path(std::env::var_os("PATH").as_deref());
    let mut command = program::command(Path::new(program), &search);
    command
        .args(args)
        .env("FENCE_RESOURCE", resource)
        .env("FENCE_PEER", means.peer.map_or("", |(peer, _)| peer));
    match program::run_or_kill(&mut command, limit, &|| false) {
        Ok(ran) if ran.code == 0 => Ok(()),
        Ok(ran) => {
            let said = one_line(&format!("{} {}", ran.out, ran.err), 200);
            Err(format!("{program} ended with {}: {said}", ran.code))
        }
        Err(why) => Err(format!("{program} {why}")),
    }
}
