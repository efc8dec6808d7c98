//! Whether keepalived may bid for the address here: would the volume be taken, if the gate were open?

use std::time::Duration;

use super::{
    Gate, VolumeDecision, VolumePolicy, VolumeReason, VolumeSeen, VolumeStep, decide_volume,
};

/// A refusal counts so long: else the address would come for the next try and go with its answer, for ever.
const BID_AGAIN: Duration = Duration::from_secs(20);
/// Repeated in the same words it counts twice as long each time, up to this.
const BID_AT_LAST: Duration = Duration::from_secs(300);

fn bid_again(refusals: u32) -> Duration {
    let times = 2_u32.pow(refusals.saturating_sub(1).min(8));
    (BID_AGAIN * times).min(BID_AT_LAST)
}

/// `Ok`: this machine could take the volume now, or as soon as the other one has let it go. `Err`: it
/// could not, whoever wishes it; a machine that becomes master with nothing behind it helps nobody.
pub fn may_bid(policy: &VolumePolicy, seen: &VolumeSeen) -> Result<VolumeReason, VolumeReason> {
    let mut open = seen.clone();
    open.gate = Gate::Master;
    // Under an operator's word it is tried once more.
    if let Some((ago, _)) = &mut open.refused {
        *ago = match *ago < bid_again(seen.refusals) && !open.accept_loss {
            true => Duration::ZERO,
            false => BID_AGAIN,
        };
    }
    let decision = decide_volume(policy, &open);
    let reason = decision.reason();
    let may = match decision {
        VolumeDecision::Serve(_) => true,
        VolumeDecision::Do(step, _) => match step {
            VolumeStep::Promote
            | VolumeStep::ForcePromote
            | VolumeStep::Thaw
            | VolumeStep::CheckFileSystem
            | VolumeStep::Mount
            | VolumeStep::StartChild => true,
            // Nothing is known of its data yet.
            VolumeStep::BringUp => false,
            // Released only to be taken again.
            VolumeStep::StopChild
            | VolumeStep::KillChild
            | VolumeStep::Unmount
            | VolumeStep::Demote
            | VolumeStep::SelfFence => matches!(
                reason,
                VolumeReason::FoundHeld | VolumeReason::ChildEnded | VolumeReason::ChildStopping
            ),
        },
        VolumeDecision::Refuse(_) | VolumeDecision::End(_) => false,
        VolumeDecision::Wait(_) => matches!(
            reason,
            // The other machine works: this one is its standby.
            VolumeReason::PeerPrimary
            // These pass by themselves.
            | VolumeReason::ChildEnded
            | VolumeReason::ChildStopping
            | VolumeReason::InTransition
            // Primary already: to lose the address too would help nobody.
            | VolumeReason::IoFrozen
        ),
    };
    if may { Ok(reason) } else { Err(reason) }
}
