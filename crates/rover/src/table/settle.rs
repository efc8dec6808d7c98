//! Settling what became of a lost machine, before this one goes on alone: it is asked first, and turned off
//! where that is allowed and needed. And what the kernel's handler makes of it. Pure: what was asked and what
//! was answered come in as values.

use std::fmt;
use std::time::Duration;

use super::{Resource, Role, proves};

/// What the other machine answers when it is asked to outdate its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutdateAnswer {
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
    /// This machine is Primary.
    pub primary: bool,
    /// The other machine can be asked.
    pub can_ask: bool,
    /// There is a fence command.
    pub can_turn_off: bool,
    /// What it has answered, once it was asked.
    pub answer: Option<OutdateAnswer>,
    /// For how long all this goes on.
    pub elapsed: Duration,
    /// How the fence command has ended, once it was run: it confirms that the machine is off, or why not.
    pub turned_off: Option<Result<(), String>>,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settle {
    /// Ask the other machine to outdate its disk.
    Ask,
    /// Wait for so long, then ask once more: it may be Primary, and turn us off.
    Margin(Duration),
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

/// How long a machine that is not Primary waits, from its first question on, before it turns a silent one off.
///
/// Both may have lost sight of each other. The Primary notices that first, by 0.7 to 3 s (measured: DRBD's ping
/// against keepalived's election), finds nobody within 1.5 s, and its fence command needs seconds itself: if both
/// ran at once, both machines would be off. So a command may take some 6 s.
pub const MARGIN: Duration = Duration::from_secs(7);

/// What comes next, until it is settled.
///
/// A peer that answers as Primary is never turned off: it works. Nor is one that goes first.
pub fn settle(so_far: &Settling) -> Settle {
    let silent = |why: &str| (Settled::Silent as fn(String) -> Settled, why.to_string());
    let (how, first) = match &so_far.answer {
        None if so_far.can_ask => return Settle::Ask,
        None => silent("there is no peer to ask"),
        Some(OutdateAnswer::Outdated) => return Settle::Settled(Settled::Outdated),
        Some(OutdateAnswer::Primary) => return Settle::Settled(Settled::Primary),
        Some(OutdateAnswer::Busy(why)) => return Settle::Settled(Settled::Busy(why.clone())),
        Some(OutdateAnswer::Failed(why)) => {
            (Settled::Refused as fn(String) -> Settled, why.clone())
        }
        Some(OutdateAnswer::Silent(why)) => silent(why),
    };
    let lives = matches!(so_far.answer, Some(OutdateAnswer::Failed(_)));
    let margin = MARGIN.saturating_sub(so_far.elapsed);
    Settle::Settled(match &so_far.turned_off {
        None if so_far.can_turn_off && !so_far.primary && !lives && !margin.is_zero() => {
            return Settle::Margin(margin);
        }
        None if so_far.can_turn_off => return Settle::TurnOff,
        None => how(first),
        Some(Ok(())) => Settled::Fenced,
        Some(Err(why)) => how(format!(
            "{first}; the fence command has confirmed nothing: {why}"
        )),
    })
}

/// How much of the time is for asking. A peer that lives answers once its own DRBD has noticed the loss, some
/// seconds later than ours, and a rover that is being restarted comes back: it is not turned off before that.
/// The rest is for the fence command.
pub fn time_to_ask(all: Duration, can_turn_off: bool) -> Duration {
    let share = if can_turn_off { all * 2 / 3 } else { all };
    share.min(Duration::from_secs(8))
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
    /// Ends with this, as DRBD reads it (`conn_try_outdate_peer` in drbd_nl.c): 4 the peer has outdated itself, 5
    /// it is assumed dead, 6 it is Primary, 7 it was turned off, 1 nothing is settled.
    End(u8),
}

/// Decides for the handler on this machine. `time_left`: the peer can be asked once more.
///
/// It is asked when a Primary loses its peer, and by `drbdadm primary` on a Secondary. There DRBD takes a
/// 4 or 7 for enough, and nobody else looks between our decision and the promotion: so a Secondary gets
/// one only where a Primary that was lost meanwhile is frozen. What becomes of one peer says nothing of another.
pub fn decide_handler(
    own: &Resource,
    can_turn_off: bool,
    settled: Option<&Settled>,
    time_left: bool,
) -> HandlerDecision {
    let primary = own.role == Role::Primary;
    if own.peers.len() > 1 || !primary && !proves(own) {
        return HandlerDecision::Unproven;
    }
    let Some(settled) = settled else {
        return HandlerDecision::Settle;
    };
    HandlerDecision::End(match settled {
        // It asks for the same at this moment, and hears that we are Primary: it gives way. A single no would
        // leave the kernel frozen for good. A Secondary is asked again by its rover; of two that wait for each
        // other here, neither would give way.
        Settled::Busy(_) if primary && time_left => return HandlerDecision::AskAgain,
        Settled::Outdated => 4,
        // Two machines that cannot fence cannot tell a dead peer from a cut cable: whoever writes goes on, and
        // the other one waits for a person.
        Settled::Silent(_) if primary && !can_turn_off => 5,
        // DRBD outdates this machine then.
        Settled::Primary => 6,
        Settled::Fenced => 7,
        Settled::Busy(_) | Settled::Refused(_) | Settled::Silent(_) => 1,
    })
}
