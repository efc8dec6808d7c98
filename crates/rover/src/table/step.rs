//! What is done about the volume: the steps, and the decisions that name them.

use super::reason::VolumeReason;
use VolumeDecision::{Do, End, Refuse, Serve, Wait};

macro_rules! steps {
    ($($variant:ident, $name:literal, $what:literal;)*) => {
        /// One change of the world. Idempotent; may be killed at any instruction.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum VolumeStep { $(#[doc = $what] $variant,)* }

        impl VolumeStep {
            /// Every step, in the order of a takeover and a release.
            pub const ALL: &'static [VolumeStep] = &[$(VolumeStep::$variant,)*];

            /// Its name, as the log, the table and the tests have it.
            pub const fn name(self) -> &'static str {
                match self { $(VolumeStep::$variant => $name,)* }
            }
        }
    };
}

steps! {
    BringUp, "bring-up", "`drbdadm adjust`: attach the disk, connect to the peer.";
    Thaw, "thaw", "What the kernel's handler does, once more; on a yes `drbdadm resume-io` at once. One step, because a yes of before the last connection says nothing any more, and a look can miss a short connection.";
    Promote, "promote", "`drbdadm primary`. A peer that is recorded as outdated is asked before: DRBD asks no handler then, and an operator may have let it go on since.";
    ForcePromote, "force-promote", "`drbdadm primary --force`, for an operator who accepts the loss, unless the peer answers that it goes on. Spends the permission.";
    CheckFileSystem, "check-file-system", "`e2fsck -p` where the superblock of ext4 records an error or a check is due; XFS has no such check.";
    Mount, "mount", "Mount it.";
    StartChild, "start-child", "Start the member on it.";
    StopChild, "stop-child", "Ask the member to end (SIGTERM).";
    KillChild, "kill-child", "End it (SIGKILL).";
    Unmount, "unmount", "Unmount it. Never lazily.";
    Demote, "demote", "`drbdadm secondary`.";
    SelfFence, "self-fence", "Reboot this machine at once: the last way to stop writing.";
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
