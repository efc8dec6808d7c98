//! Whether keepalived may bid for the address here: would the volume be taken, if the gate were open?

use super::{
    AcceptLoss, Gate, PeerFate, VolumeDecision, VolumePolicy, VolumeReason, VolumeSeen, VolumeStep,
    decide_volume,
};

/// `Ok`: this machine could take the volume now, or as soon as the other one has let it go. `Err`: it
/// could not, whoever wishes it; a machine that becomes master with nothing behind it helps nobody.
pub fn may_bid(policy: &VolumePolicy, seen: &VolumeSeen) -> Result<VolumeReason, VolumeReason> {
    let mut open = seen.clone();
    open.gate = Gate::Master;
    // It counts for nothing, and is taken back once the gate is open.
    if open.accept_loss == AcceptLoss::Overtaken {
        open.accept_loss = AcceptLoss::No;
    }
    // The last no counts until something changes: else the address would come for the next question and
    // go with its answer, for ever. Under an operator's word it is asked once more.
    if open.fate == PeerFate::Unknown && open.accept_loss == AcceptLoss::No {
        open.fate = open.tried;
    }
    let decision = decide_volume(policy, &open);
    let reason = decision.reason();
    match decision {
        VolumeDecision::Serve(_) => Ok(reason),
        VolumeDecision::Do(step, _) => match step {
            VolumeStep::Promote
            | VolumeStep::ForcePromote
            | VolumeStep::AskPeer
            | VolumeStep::FencePeer
            | VolumeStep::Thaw
            | VolumeStep::CheckFileSystem
            | VolumeStep::Mount
            | VolumeStep::StartChild => Ok(reason),
            // Nothing is known of its data yet.
            VolumeStep::BringUp | VolumeStep::DropWord => Err(reason),
            VolumeStep::StopChild
            | VolumeStep::KillChild
            | VolumeStep::Unmount
            | VolumeStep::Demote
            | VolumeStep::SelfFence => match reason {
                // Released only to be taken again.
                VolumeReason::FoundHeld
                | VolumeReason::ChildEnded
                | VolumeReason::ChildStopping => Ok(reason),
                _ => Err(reason),
            },
        },
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
