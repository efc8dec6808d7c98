//! What is done about the volume: the steps, and the decisions that name them.

use super::reason::VolumeReason;
use VolumeDecision::{Do, End, Refuse, Serve, Wait};

/// One change of the world. Idempotent; may be killed at any instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VolumeStep {
    /// `drbdadm adjust`: attach the disk, connect to the peer.
    BringUp,
    /// Ask the peer over the second network whether it holds what we lack. Nothing is done to it.
    AskPeer,
    /// Ask the peer over the second network to outdate itself; if it is silent, run the fence command.
    FencePeer,
    /// As `FencePeer`, and on a yes `drbdadm resume-io` at once. One step, because a yes of before the
    /// last connection says nothing any more, and a look can miss a short connection.
    Thaw,
    /// `drbdadm primary`.
    Promote,
    /// `drbdadm primary --force`, for an operator who accepts the loss. Spends the permission.
    ForcePromote,
    /// Take the operator's word back: it was given in ignorance.
    DropWord,
    /// `e2fsck -p` where the superblock of ext4 records an error or a check is due; XFS has no such check.
    CheckFileSystem,
    /// Mount it.
    Mount,
    /// Start the member on it.
    StartChild,
    /// Ask the member to end (SIGTERM).
    StopChild,
    /// End it (SIGKILL).
    KillChild,
    /// Unmount it. Never lazily.
    Unmount,
    /// `drbdadm secondary`.
    Demote,
    /// Reboot this machine at once: the last way to stop writing.
    SelfFence,
}

impl VolumeStep {
    /// Every step, in the order of a takeover and a release.
    pub const ALL: &'static [VolumeStep] = &[
        VolumeStep::BringUp,
        VolumeStep::AskPeer,
        VolumeStep::FencePeer,
        VolumeStep::Thaw,
        VolumeStep::Promote,
        VolumeStep::ForcePromote,
        VolumeStep::DropWord,
        VolumeStep::CheckFileSystem,
        VolumeStep::Mount,
        VolumeStep::StartChild,
        VolumeStep::StopChild,
        VolumeStep::KillChild,
        VolumeStep::Unmount,
        VolumeStep::Demote,
        VolumeStep::SelfFence,
    ];

    /// Its name, as the log, the table and the tests have it.
    pub const fn name(self) -> &'static str {
        match self {
            VolumeStep::BringUp => "bring-up",
            VolumeStep::AskPeer => "ask-peer",
            VolumeStep::FencePeer => "fence-peer",
            VolumeStep::Thaw => "thaw",
            VolumeStep::Promote => "promote",
            VolumeStep::ForcePromote => "force-promote",
            VolumeStep::DropWord => "drop-word",
            VolumeStep::CheckFileSystem => "check-file-system",
            VolumeStep::Mount => "mount",
            VolumeStep::StartChild => "start-child",
            VolumeStep::StopChild => "stop-child",
            VolumeStep::KillChild => "kill-child",
            VolumeStep::Unmount => "unmount",
            VolumeStep::Demote => "demote",
            VolumeStep::SelfFence => "self-fence",
        }
    }
}

/// What to do about the volume now, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VolumeDecision {
    /// Take one step, then look again.
    Do(VolumeStep, VolumeReason),
    /// Look again later: it passes, or the world outside has to change.
    Wait(VolumeReason),
    /// Only a person can change it. Nothing is touched; look again later all the same.
    Refuse(VolumeReason),
    /// All is as wished: the member runs on its volume.
    Serve(VolumeReason),
    /// Nothing is held any more: end.
    End(VolumeReason),
}

impl VolumeDecision {
    /// The row.
    pub const fn reason(self) -> VolumeReason {
        match self {
            Do(_, reason) | Wait(reason) | Refuse(reason) | Serve(reason) | End(reason) => reason,
        }
    }

    /// What is decided in one word, as [`super::VolumeRow::decision`] has it.
    pub const fn name(self) -> &'static str {
        match self {
            Do(step, _) => step.name(),
            Wait(_) => "wait",
            Refuse(_) => "refuse",
            Serve(_) => "serve",
            End(_) => "end",
        }
    }
}
