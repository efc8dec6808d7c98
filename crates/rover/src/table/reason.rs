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
    GateStop, "gate-stop", "keepalived was stopped, or its instance deleted",
        "stop-child / kill-child / wait / unmount / demote", "start keepalived";
    GateUnknown, "gate-unknown", "keepalived has said nothing yet",
        "stop-child / kill-child / wait / unmount / demote", "start keepalived; its `notify` or `vrrp_notify_fifo` must reach REJOIN_GATE";
    ChildEnded, "child-ended", "the member has ended by itself; the volume is released, then we end as it ended",
        "unmount / demote / end", "see what it said last; the restart policy starts it again";
    FoundHeld, "found-held", "found Primary or mounted, and this process did not promote it: left behind by a crash",
        "unmount / demote", "nothing to do: it is released first, then taken in order";
    RoleLost, "role-lost", "mounted or running on a volume that is not Primary",
        "stop-child / kill-child / wait / unmount", "see the kernel's log: who has demoted it, or taken it down?";
    ReadOnly, "read-only", "the kernel has made the mount read-only after an error",
        "stop-child / kill-child / wait / unmount", "see the kernel's log for the I/O error";
    IoFailing, "io-failing", "its I/O was made to fail (`secondary --force`) and somebody still holds it",
        "stop-child / kill-child / wait / unmount / demote", "end whoever still has the device open";
    QuorumLost, "quorum-lost", "Primary without DRBD's quorum: its I/O fails, the others may go on",
        "stop-child / kill-child / wait / unmount / demote", "bring the replication links or the other nodes back";
    NoData, "no-data", "Primary, and neither our disk nor a connected peer's is UpToDate",
        "stop-child / kill-child / wait / unmount / demote", "see the kernel's log for the I/O error; replace the disk, or bring the peer back";
    NotWhole, "not-whole", "Primary, no member runs yet, and our disk is not UpToDate: a resync began just before the promotion",
        "unmount / demote", "nothing to do: it is promoted again once the resync has ended";
    MountLost, "mount-lost", "the member runs, and the volume is not mounted where it belongs",
        "stop-child / kill-child / wait", "find out who has unmounted it (`umount -l` hides a mount and keeps it)";
    MountPointTaken, "mount-point-taken", "something else is mounted at the mount point; it is not touched",
        "stop-child / kill-child / wait / demote / refuse", "unmount it, or give REJOIN_MOUNT a directory of its own";
    MountedElsewhere, "mounted-elsewhere", "our device is mounted at another place; that mount is not touched",
        "stop-child / kill-child / wait / refuse", "unmount it there";
    FileSystemBroken, "file-system-broken", "the check could not repair the file system",
        "demote / refuse", "promote and repair it by hand (`e2fsck`), with this process stopped on both machines";
    MountFails, "mount-fails", "the volume could not be mounted here for 30 s, and the connected peer has all that is on it: it is left to the peer, which is tried for five minutes at least",
        "demote / wait", "see what the log says of the mount or the check, and restart this process once that is mended; nothing is missing on the disk";
    StepUnderWay, "step-under-way", "a mount, an unmount or a read of the disk has not come back from the kernel; nothing else is touched meanwhile",
        "wait", "see the kernel's log: the disk hangs, or the volume's I/O is frozen";
    DemotionOverdue, "demotion-overdue", "what must be let go is still held after REJOIN_DEMOTE_TIMEOUT",
        "stop-child / kill-child / unmount / demote / wait / self-fence", "end the processes that hold the mount or the device; REJOIN_SELF_FENCE=reboot reboots this machine instead";
    Unusable, "unusable", "DRBD's tools give no answer: no kernel module, no tools, no such resource, or not in time; whatever runs goes on running",
        "wait / refuse", "load the module, install drbd-utils, or correct REJOIN_DRBD; the tool's own words say which";
    VolumeDown, "volume-down", "the resource is not up",
        "bring-up", "nothing to do: `drbdadm adjust` brings it up, so that it replicates on both machines";
    HalfUp, "half-up", "the resource is there without its disk and without a connection: what brought it up has failed half way",
        "bring-up", "nothing to do: `drbdadm adjust` is tried again; its own words say what is missing";
    ChildStopping, "child-stopping", "the member was told to stop and has not ended; the gate is open again",
        "kill-child / wait", "nothing to do: it is started again once it has ended";
    PeerPrimary, "peer-primary", "the peer is Primary",
        "wait", "nothing to do: it is promoted here once the peer has demoted itself; where both machines have the address, keepalived is dead on the other one: start it there";
    SyncTarget, "sync-target", "the resync to this machine has not ended",
        "wait", "nothing to do: it is promoted once it has ended";
    Diskless, "diskless", "no backing disk is attached here",
        "wait", "`drbdadm attach`, where the disk is there again; only where it is lost: replace it, `drbdadm create-md` on the new one, then attach that";
    DiskChanging, "disk-changing", "our disk is being attached or detached, or its state is not known",
        "wait", "nothing to do";
    DiskInconsistent, "disk-inconsistent", "a resync to this machine was cut off half way",
        "wait", "bring the peer back: the resync goes on by itself";
    DiskOutdated, "disk-outdated", "our disk is known to lack writes",
        "wait", "bring the peer back; only if it is lost: `etcd-rejoin two-node promote --accept-loss`";
    DiskConsistent, "disk-consistent", "since it was attached our disk has not heard whether the peer went on without it",
        "wait", "bring the peer back; only if it is lost: `etcd-rejoin two-node promote --accept-loss`";
    SplitBrain, "split-brain", "not Primary, and the connection is StandAlone: both sides may hold writes that the other lacks",
        "refuse", "choose the side to give up: there `drbdadm secondary`, `disconnect`, `connect --discard-my-data`; on the other `connect`";
    UnsafeConfig, "unsafe-config", "DRBD has neither fencing nor quorum: nothing tells a stale disk from the newest one",
        "refuse", "set `fencing resource-and-stonith` with a `fence-peer` handler, or DRBD 9's `quorum majority`, then `drbdadm adjust`";
    NoQuorum, "no-quorum", "DRBD's quorum is on, and this machine has none",
        "wait", "bring the replication links or the other nodes back";
    MayNotPromote, "may-not-promote", "DRBD says may_promote:no",
        "wait", "nothing to do: it passes when DRBD has settled what became of the peer";
    Quorate, "quorate", "DRBD's quorum is on and held, and it says may_promote:yes",
        "promote", "nothing to do";
    PeerSecondary, "peer-secondary", "the peer is connected, Secondary, and has its disk",
        "promote", "nothing to do";
    PeerLostItsDisk, "peer-lost-its-disk", "the peer is connected, Secondary, and lost its disk while all that it wrote was written here too",
        "promote", "replace the peer's disk: until then this machine has the only copy";
    PeerWithoutDisk, "peer-without-disk", "the peer has connected without a disk: our own may be older than what was lost with it",
        "wait", "attach the peer's disk; only if it is lost: `etcd-rejoin two-node promote --accept-loss`";
    PeerUnclear, "peer-unclear", "the peer is connected, and its role or its disk is not known yet",
        "wait", "nothing to do: it passes";
    PeerRecordedOutdated, "peer-recorded-outdated", "the peer is lost, and DRBD has recorded here that its disk lacks writes",
        "ask-peer / promote", "nothing to do: the peer is asked first, where it answers";
    PeerNotMet, "peer-not-met", "the peer is lost, and was not met since this process started: it may have gone on without us",
        "wait", "bring the peer back; only if it is lost: `etcd-rejoin two-node promote --accept-loss`";
    NotFrozen, "not-frozen", "the peer is lost, and without `fencing resource-and-stonith` it may have gone on before it could be stopped",
        "wait", "bring the peer back, and set `fencing resource-and-stonith`; only if it is lost: `etcd-rejoin two-node promote --accept-loss`";
    NoWayToFence, "no-way-to-fence", "the peer is lost, and there is no way to ask it or to turn it off",
        "wait", "bring the peer back; only if it is lost: `etcd-rejoin two-node promote --accept-loss`; set REJOIN_FENCE_PEER, and for a takeover without a person REJOIN_FENCE_COMMAND";
    PeerLost, "peer-lost", "the peer is lost; it froze then, and nothing is known of it since",
        "promote / fence-peer", "nothing to do: it is asked to outdate itself, else turned off; by DRBD's handler where that is ours";
    PeerAlive, "peer-alive", "the peer is cut off but answers: it is Primary, or holds writes that we may lack",
        "wait", "repair the replication link";
    PeerSilent, "peer-silent", "the peer is lost and does not answer, and no fence command has turned it off",
        "wait", "bring the peer back; only if it is surely off: `etcd-rejoin two-node promote --accept-loss`; REJOIN_FENCE_COMMAND does it without a person";
    PeerOutdatedItself, "peer-outdated-itself", "the peer froze when it was lost, and has outdated itself at our request",
        "promote", "nothing to do";
    PeerFenced, "peer-fenced", "the peer froze when it was lost, and was turned off since",
        "promote", "nothing to do";
    FencedInVain, "fenced-in-vain", "the peer is lost, was turned off, and DRBD refuses to promote all the same; it is not turned off again for five minutes",
        "wait", "see what DRBD said in the log: its handler, the key and the fence command have to be on this machine itself too (`etcd-rejoin two-node check`); or bring the peer back";
    LossAccepted, "loss-accepted", "an operator has said `two-node promote --accept-loss`; also on an Outdated or Consistent disk, and StandAlone",
        "fence-peer / force-promote", "nothing to do; it holds for this once";
    WordOvertaken, "word-overtaken", "an operator has said `two-node promote --accept-loss`, and since then this disk was outdated at the peer's request: the word does not count",
        "drop-word", "bring the peer back: it goes on alone, or did; only if what it wrote shall be lost, say it again: `etcd-rejoin two-node promote --accept-loss`";
    IoFrozen, "io-frozen", "Primary, and its I/O is frozen until it is settled what became of the peer",
        "thaw / wait", "bring the peer or the replication link back; with REJOIN_FENCE_COMMAND it goes on without a person";
    HandlerAsks, "handler-asks", "Primary, and its I/O is frozen since a moment: DRBD's own handler is asking what became of the peer",
        "wait", "nothing to do: where the handler has no answer, we ask once REJOIN_FENCE_TIMEOUT is over";
    FileSystemUnchecked, "file-system-unchecked", "just promoted",
        "check-file-system", "nothing to do";
    NotMounted, "not-mounted", "promoted, and the file system is clean",
        "mount", "nothing to do";
    Mounted, "mounted", "promoted and mounted, and no member runs",
        "start-child", "nothing to do";
    Serving, "serving", "the member runs, every write goes to both disks",
        "serve", "nothing to do";
    ServingUnwatched, "serving-unwatched", "the member runs, and keepalived is gone without a word (nobody has its FIFO open, or its check has not been run for a minute): its address may still be here, and the other machine becomes master too, and waits",
        "serve", "start keepalived here: it takes the old address away, and the member goes to the machine that is master";
    ServingAlone, "serving-alone", "the member runs, the peer has no complete copy",
        "serve", "bring the peer or the replication link back; until then a loss of this machine needs it";
    ServingDiskless, "serving-diskless", "the member runs on the peer's disk alone: ours is not UpToDate",
        "serve", "replace the disk, `drbdadm create-md` on the new one, then `drbdadm attach`";
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
