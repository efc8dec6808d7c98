//! Whether keepalived may bid for the address here: would the volume be taken, if the gate were open?

use super::{Gate, VolumeDecision, VolumePolicy, VolumeReason, VolumeSeen, decide_volume};

/// `Ok`: this machine could take the volume now, or as soon as the other one has let it go. `Err`: it
/// could not, whoever wishes it; a machine that becomes master with nothing behind it helps nobody.
pub fn may_bid(policy: &VolumePolicy, seen: &VolumeSeen) -> Result<VolumeReason, VolumeReason> {
    let mut open = seen.clone();
    open.gate = Gate::Master;
    open.ending = false;
    let decision = decide_volume(policy, &open);
    let reason = decision.reason();
    match decision {
        VolumeDecision::Do(..) | VolumeDecision::Serve(_) => Ok(reason),
        VolumeDecision::Refuse(_) | VolumeDecision::End(_) => Err(reason),
        VolumeDecision::Wait(_) => match reason {
            // The other machine works: this one is its standby.
            VolumeReason::PeerPrimary
            // These pass by themselves.
            | VolumeReason::ChildStopping
            | VolumeReason::PeerUnclear
            | VolumeReason::MayNotPromote
            // Primary already: to lose the address too would help nobody.
            | VolumeReason::HandlerAsks
            | VolumeReason::IoFrozen => Ok(reason),
            _ => Err(reason),
        },
    }
}
