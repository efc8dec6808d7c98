//! The rows of the volume's table by name: when each holds, what is decided, what would change it.
//!
//! The tables of `docs/`, `status` and the log are printed from here; `decide_volume` gives the row its
//! meaning.

use std::fmt;

/// A row of the volume's table, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeRow {
    /// The reason's name, as the log, `status --json` and the tests have it.
    pub name: &'static str,
    /// What is seen.
    pub when: &'static str,
    /// What is decided, one step at a time.
    pub decision: &'static str,
    /// What would change the decision, or how to go on.
    pub cure: &'static str,
}

macro_rules! reasons {
    ($($variant:ident, $name:literal, $when:literal, $decision:literal, $cure:literal;)*) => {
        /// The name of a row: why something was decided about the volume.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum VolumeReason { $(#[doc = $when] $variant,)* }

        impl VolumeReason {
            /// Every reason, in the order of the table.
            pub const ALL: &'static [VolumeReason] = &[$(VolumeReason::$variant,)*];

            /// The row behind the name.
            pub const fn row(self) -> VolumeRow {
                match self {
                    $(VolumeReason::$variant => VolumeRow {
                        name: $name, when: $when, decision: $decision, cure: $cure,
                    },)*
                }
            }
        }
    };
}

reasons! {
    Ending, "ending", "we were asked to end (SIGTERM); what is held is let go first",
        "stop-child / kill-child / wait / unmount / demote / end", "nothing to do";
    HandingOver, "handing-over", "we were asked to end, and have demoted the volume a moment ago: the connected peer is to be promoted before DRBD is taken down here",
        "wait", "nothing to do: it ends once the other machine is Primary, or after five seconds";
    GateBackup, "gate-backup", "keepalived says backup",
        "stop-child / kill-child / wait / unmount / demote", "nothing to do: the other machine is master";
    GateFault, "gate-fault", "keepalived says fault",
        "stop-child / kill-child / wait / unmount / demote", "see keepalived's log: its interface or one of its checks has failed";
    GateUnknown, "gate-unknown", "keepalived was stopped, or has said nothing yet",
        "stop-child / kill-child / wait / unmount / demote", "start keepalived; its `notify` script must reach REJOIN_GATE";
    ChildEnded, "child-ended", "the member has ended by itself; the volume is released, and taken again after a moment",
        "unmount / demote / wait", "see what it said last; after three such ends in a row the volume is left to the other machine";
    FoundHeld, "found-held", "found Primary or mounted, and this process did not promote it: left behind by a crash",
        "unmount / demote", "nothing to do: it is released first, then taken in order";
    VolumeLost, "volume-lost", "the member runs or the volume is mounted, and it is not Primary, or not mounted where it belongs",
        "stop-child / kill-child / wait / unmount", "see the kernel's log: who has demoted it, taken it down, or unmounted it (`umount -l` hides a mount and keeps it)?";
    IoFailing, "io-failing", "its I/O fails: the kernel has made the mount read-only after an error, or neither our disk nor a connected peer's is UpToDate; or it was made to fail (`secondary --force`) and somebody still holds it",
        "stop-child / kill-child / wait / unmount / demote", "see the kernel's log for the I/O error; replace the disk, bring the peer back, or end whoever still has the device open";
    QuorumLost, "quorum-lost", "Primary without DRBD's quorum: its I/O fails, the others may go on",
        "stop-child / kill-child / wait / unmount / demote", "bring the replication links or the other nodes back";
    NotWhole, "not-whole", "Primary, no member runs yet, and our disk is not UpToDate: a resync began just before the promotion",
        "unmount / demote", "nothing to do: it is promoted again once the resync has ended";
    MountPointTaken, "mount-point-taken", "something else is mounted at the mount point; it is not touched",
        "stop-child / kill-child / wait / demote / refuse", "unmount it, or give REJOIN_MOUNT a directory of its own";
    MountedElsewhere, "mounted-elsewhere", "our device is mounted at another place; that mount is not touched",
        "stop-child / kill-child / wait / refuse", "unmount it there";
    FileSystemBroken, "file-system-broken", "the check could not repair the file system",
        "demote / refuse", "promote and repair it by hand (`e2fsck`), with this process stopped on both machines";
    FailsHere, "fails-here", "the volume could not be mounted here for 30 s, or its member has ended by itself three times in a row, and the connected peer has all that is on it: it is left to the peer, which is tried for five minutes at least",
        "unmount / demote / wait", "see what the log says of the mount, the check or the member, and restart this process once that is mended; nothing is missing on the disk";
    StepUnderWay, "step-under-way", "a mount, an unmount or a read of the disk has not come back from the kernel; nothing else is touched meanwhile",
        "wait", "see the kernel's log: the disk hangs, or the volume's I/O is frozen";
    DemotionOverdue, "demotion-overdue", "what must be let go is still held after REJOIN_DEMOTE_TIMEOUT",
        "stop-child / kill-child / unmount / demote / wait / self-fence", "end the processes that hold the mount or the device; REJOIN_SELF_FENCE=reboot reboots this machine instead";
    Unusable, "unusable", "DRBD's tools give no answer: no kernel module, no tools, no such resource, or not in time; whatever runs goes on running",
        "wait / refuse", "load the module, install drbd-utils, or correct REJOIN_DRBD; the tool's own words say which";
    VolumeDown, "volume-down", "the resource is not up, or only half: without its disk and without a connection",
        "bring-up", "nothing to do: `drbdadm adjust` brings it up, so that it replicates on both machines; its own words say what is missing";
    ChildStopping, "child-stopping", "the member was told to stop and has not ended; the gate is open again",
        "kill-child / wait", "nothing to do: it is started again once it has ended";
    PeerPrimary, "peer-primary", "the peer is Primary",
        "wait", "nothing to do: it is promoted here once the peer has demoted itself; where both machines have the address, keepalived is dead on the other one, or one of them has lost the LAN without losing its carrier: start keepalived there, or mend the LAN";
    SyncTarget, "sync-target", "the resync to this machine has not ended, or was cut off half way",
        "wait", "nothing to do: it is promoted once it has ended; where the peer is lost, bring it back";
    Diskless, "diskless", "no backing disk is attached here",
        "wait", "`drbdadm attach`, where the disk is there again; only where it is lost: replace it, `drbdadm create-md` on the new one, then attach that";
    InTransition, "in-transition", "our disk is being attached or detached, or the connected peer's role or disk is not known yet",
        "wait", "nothing to do: it passes";
    DiskOutdated, "disk-outdated", "our disk is known to lack writes, or has not heard since it was attached whether the peer went on without it",
        "wait", "bring the peer back; only if it is lost: `etcd-rejoin two-node promote --accept-loss`";
    SplitBrain, "split-brain", "not Primary, and the connection is StandAlone: both sides may hold writes that the other lacks",
        "refuse", "choose the side to give up: there `drbdadm secondary`, `disconnect`, `connect --discard-my-data`; on the other `connect`";
    UnsafeConfig, "unsafe-config", "DRBD is set up in neither of the two ways that are safe: `fencing resource-and-stonith` with one peer and `etcd-rejoin fence-peer` as handler, or DRBD 9's `quorum majority` without `fencing`",
        "refuse", "set one of them, then `drbdadm adjust` (`etcd-rejoin two-node config` writes both)";
    NoQuorum, "no-quorum", "DRBD's quorum is on, and this machine has none",
        "wait", "bring the replication links or the other nodes back";
    Quorate, "quorate", "DRBD's quorum is on and held, our disk is UpToDate, and no Primary is seen",
        "promote", "nothing to do";
    PeerSecondary, "peer-secondary", "the peer is connected and Secondary, and has its disk, or lost it while all that it wrote was written here too",
        "promote", "nothing to do";
    PeerRecordedOutdated, "peer-recorded-outdated", "the peer is lost, and DRBD has recorded here that its disk lacks writes",
        "promote", "nothing to do: the peer is asked first, where it answers";
    PeerNotMet, "peer-not-met", "the peer is lost or has no disk, and was not met since this process started or our disk was attached: it may have gone on without us",
        "wait", "bring the peer and its disk back; only if they are lost: `etcd-rejoin two-node promote --accept-loss`";
    PeerLost, "peer-lost", "the peer is lost; it froze then, and nothing is known of it since",
        "promote", "nothing to do: DRBD's handler asks it to outdate itself, else turns it off";
    PromotionRefused, "promotion-refused", "the peer is lost, and the promotion was refused a moment ago, by DRBD or by the peer itself",
        "wait", "see the words beside it: mend the replication link where the peer goes on, bring the peer back where it is silent; only if it is surely off: `etcd-rejoin two-node promote --accept-loss`; REJOIN_FENCE_COMMAND does it without a person";
    LossAccepted, "loss-accepted", "an operator has said `two-node promote --accept-loss`; also on an Outdated or Consistent disk, and StandAlone",
        "force-promote", "nothing to do; it holds for this once, and not where the peer answers that it goes on";
    IoFrozen, "io-frozen", "Primary, and its I/O is frozen until it is settled what became of the peer",
        "thaw / wait", "bring the peer or the replication link back; DRBD's handler asks, and we ask again once REJOIN_FENCE_TIMEOUT is over";
    FrozenApart, "frozen-apart", "Primary, its I/O is frozen, and the connection is StandAlone: the other side was promoted meanwhile, and what hangs here is lost",
        "stop-child / kill-child / unmount / demote / wait / self-fence", "reboot this machine; it comes back as a copy of the other one (`two-node status` says how, if it does not by itself)";
    Promoted, "promoted", "promoted here, and no member runs yet",
        "check-file-system / mount / start-child", "nothing to do";
    Serving, "serving", "the member runs, every write goes to both disks",
        "serve", "nothing to do";
    ServingUnwatched, "serving-unwatched", "the member runs, and keepalived is gone without a word (its check has not been run for a minute): its address may still be here, and the other machine becomes master too, and waits",
        "serve", "start keepalived here: it takes the old address away, and the member goes to the machine that is master";
    ServingAlone, "serving-alone", "the member runs, and there is one complete copy, ours or the peer's",
        "serve", "bring the peer or the replication link back, or replace the disk here (`drbdadm create-md` on the new one, then `attach`); until then a loss of this machine or of its peer needs it";
    ServingSplitBrain, "serving-split-brain", "the member runs, and the connection is StandAlone: nothing replicates, and it does not come back by itself",
        "serve", "decide that the other side gives up its writes: there `drbdadm secondary`, `disconnect`, `connect --discard-my-data`; here `connect`";
}

impl fmt::Display for VolumeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)
    }
}

/// The volume's table as Markdown; the documentation holds it, a test keeps them equal.
pub fn volume_table() -> String {
    let mut text = String::from("| what is seen | decision | reason |\n|---|---|---|\n");
    for reason in VolumeReason::ALL {
        let row = reason.row();
        text += &format!("| {} | {} | `{}` |\n", row.when, row.decision, row.name);
    }
    text
}

/// What to do about each row, as Markdown; the documentation holds it, a test keeps them equal.
pub fn volume_cures_table() -> String {
    let mut text = String::from("| reason | what to do |\n|---|---|\n");
    for reason in VolumeReason::ALL {
        let row = reason.row();
        text += &format!("| `{}` | {} |\n", row.name, row.cure);
    }
    text
}
