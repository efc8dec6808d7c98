//! Settling what became of a lost machine, before this one goes on alone: it is asked first, and turned off
//! where that is allowed and needed. And what the kernel's handler makes of it. Pure: what was asked and what
//! was answered come in as values.

use std::fmt;
use std::time::Duration;

use super::{PeerFate, Resource, Role, handler_exit_code, may_ask_of_the_peer};

/// What the other machine answers when it is asked to outdate its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerAnswer {
    /// It has recorded that its disk is outdated.
    Outdated,
    /// It is Primary.
    Primary,
    /// Not now: it asks the same and goes first, or it has a reason that may pass.
    Busy(String),
    /// It cannot.
    Failed(String),
    /// Nothing that could be believed, and what stood in the way.
    Silent(String),
}

/// What there is to settle it with, and what came of that so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settling {
    /// The other machine can be asked.
    pub can_ask: bool,
    /// There is a fence command.
    pub can_turn_off: bool,
    /// What it has answered, once it was asked.
    pub answer: Option<PeerAnswer>,
    /// How the fence command has ended, once it was run: it confirms that the machine is off, or why not.
    pub turned_off: Option<Result<(), String>>,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settle {
    /// Ask the other machine to outdate its disk.
    Ask,
    /// Run the fence command.
    TurnOff,
    /// It is settled, as far as it can be.
    Settled(Settled),
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
    /// It answered: not now.
    Busy(String),
    /// It answered: it cannot be outdated.
    Refused(String),
    /// It said nothing that could be believed, and no fence command has confirmed anything.
    Silent(String),
}

impl Settled {
    /// As the table of the volume takes it.
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

/// What comes next, until it is settled.
///
/// A peer that answers as Primary is never turned off: it works. Nor is one that goes first.
pub fn settle(so_far: &Settling) -> Settle {
    let unsettled: (fn(String) -> Settled, &str) = match &so_far.answer {
        None if so_far.can_ask => return Settle::Ask,
        None => (Settled::Silent, "there is no REJOIN_FENCE_PEER to ask"),
        Some(PeerAnswer::Outdated) => return Settle::Settled(Settled::Outdated),
        Some(PeerAnswer::Primary) => return Settle::Settled(Settled::Primary),
        Some(PeerAnswer::Busy(why)) => return Settle::Settled(Settled::Busy(why.clone())),
        Some(PeerAnswer::Failed(why)) => (Settled::Refused, why),
        Some(PeerAnswer::Silent(why)) => (Settled::Silent, why),
    };
    let (how, first) = unsettled;
    Settle::Settled(match &so_far.turned_off {
        None if so_far.can_turn_off => return Settle::TurnOff,
        None => how(first.to_string()),
        Some(Ok(())) => Settled::Fenced,
        Some(Err(why)) => how(format!(
            "{first}; the fence command has confirmed nothing: {why}"
        )),
    })
}

/// How much of the time is for asking. A peer that lives answers once its own DRBD has noticed the loss, some
/// seconds later than ours: it is not turned off before that. The rest is for the fence command.
pub fn time_to_ask(all: Duration, can_turn_off: bool) -> Duration {
    match can_turn_off {
        true => all * 2 / 3,
        false => all,
    }
}

/// What the kernel's `fence-peer` handler does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandlerDecision {
    /// Settles what became of the peer.
    Settle,
    /// Asks once more, after a moment.
    AskAgain,
    /// Ends as unsettled, and asks nobody: nothing that becomes of the peer would prove our own data complete.
    Unproven,
    /// Ends with this, as DRBD reads it (`conn_try_outdate_peer` in drbd_nl.c).
    End(u8),
}

/// Decides for the handler on this machine. `time_left`: the peer can be asked once more.
pub fn decide_handler(
    own: &Resource,
    can_turn_off: bool,
    settled: Option<&Settled>,
    time_left: bool,
) -> HandlerDecision {
    let primary = match own.role {
        Role::Primary => true,
        Role::Secondary | Role::Unknown => false,
    };
    if !primary && !may_ask_of_the_peer(own) {
        return HandlerDecision::Unproven;
    }
    match settled {
        None => HandlerDecision::Settle,
        // It asks our rover the same at this moment, and hears that we are Primary: it gives way. A single no
        // would leave the kernel frozen for good. A Secondary that is refused is asked by its rover again; of
        // two that wait for each other here, neither would give way.
        Some(Settled::Busy(_)) if primary && time_left => HandlerDecision::AskAgain,
        // DRBD outdates this machine then.
        Some(Settled::Primary) => HandlerDecision::End(6),
        Some(settled) => HandlerDecision::End(handler_exit_code(own, settled.fate(), can_turn_off)),
    }
}
