//! What was seen of the two-node volume, as plain values: the input of `decide_volume`.

use std::time::Duration;

use super::step::VolumeStep;

/// What keepalived wishes last. A hint, never a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gate {
    /// This machine shall run the member.
    Master,
    /// The other machine shall.
    Backup,
    /// keepalived sees a fault here.
    Fault,
    /// keepalived ends, or its instance was deleted.
    Stop,
    /// It has said nothing yet, or something that is no state.
    Unknown,
}

/// A DRBD role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// May write.
    Primary,
    /// Receives.
    Secondary,
    /// Not known: the peer is not connected.
    Unknown,
}

/// A DRBD disk state, from the least to the most useful.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disk {
    /// No backing device: never attached, detached, or lost by an I/O error.
    Diskless,
    /// On its way: attaching, detaching, failed, negotiating.
    Changing,
    /// A resync has not ended.
    Inconsistent,
    /// Consistent, and known to lack writes.
    Outdated,
    /// The peer's disk, not connected, and nothing is recorded of it.
    Unknown,
    /// Consistent; whether it lacks writes only the peer can tell.
    Consistent,
    /// The newest data that this machine knows of. A stale disk that was never told so says it too.
    UpToDate,
}

/// A DRBD connection to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Connection {
    /// Given up: after a split brain, or by command. It does not come back by itself.
    StandAlone,
    /// Not there, DRBD goes on trying.
    Connecting,
    /// There.
    Connected,
}

/// What replicates between two connected disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Replication {
    /// Nothing: not connected.
    Off,
    /// Every write goes to both.
    Established,
    /// We send what the peer lacks.
    SyncSource,
    /// We receive what we lack.
    SyncTarget,
    /// Comparing, paused, or anything else that passes.
    Other,
}

/// One peer of the resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerVolume {
    /// Its name, where DRBD knows it.
    pub name: String,
    /// The connection.
    pub connection: Connection,
    /// Its role.
    pub role: Role,
    /// Its disk, as recorded here. A diskless tie-breaker has none.
    pub disk: Disk,
    /// What replicates.
    pub replication: Replication,
    /// It never has a disk: DRBD 9's tie-breaker, which only votes.
    pub witness: bool,
}

impl PeerVolume {
    /// It is not connected.
    pub fn is_lost(&self) -> bool {
        self.connection != Connection::Connected
    }
}

/// What a Primary does when it loses its peer (DRBD's `fencing`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fencing {
    /// It goes on, and the peer never learns that it is stale. DRBD's default.
    DontCare,
    /// It goes on, and asks the handler to outdate the peer.
    ResourceOnly,
    /// It freezes its writes until the handler has said what became of the peer.
    ResourceAndStonith,
}

/// The resource as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    /// Our role.
    pub role: Role,
    /// Our disk.
    pub disk: Disk,
    /// The peers: one, or two where DRBD 9 has a diskless tie-breaker.
    pub peers: Vec<PeerVolume>,
    /// DRBD's `fencing`.
    pub fencing: Fencing,
    /// Whether DRBD 9's `quorum` option is on. It says `quorum:yes` of itself when it is off, too.
    pub quorum_on: bool,
    /// DRBD 9's `quorum`; true on 8.4, which has none.
    pub quorum: bool,
    /// I/O is suspended: frozen until fencing or quorum is settled.
    pub suspended: bool,
    /// I/O was made to fail by `secondary --force`: the volume must be let go.
    pub failing: bool,
}

/// The volume.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VolumeState {
    /// No kernel module, no tools, no such resource configured: the tool's own words.
    Unusable(String),
    /// Configured, not up.
    Down,
    /// As the kernel has it.
    Up(Resource),
}

/// What `/proc/self/mountinfo` says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Mounted {
    /// Nothing is mounted there, and our device is mounted nowhere that we can see.
    No,
    /// Our device is mounted where it belongs.
    Yes,
    /// Our device is mounted where it belongs, and the kernel has made it read-only after an error.
    ReadOnly,
    /// Something else is mounted there.
    SomethingElse(String),
    /// Our device is mounted at this other place.
    Elsewhere(String),
}

/// Our child: the ordinary entrypoint on the mounted volume, which becomes etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Child {
    /// None runs.
    None,
    /// It runs.
    Running,
    /// It was told to stop and has not ended.
    Stopping,
    /// It has ended by itself, with this status. It stays so until the volume is released and a moment is over.
    /// One that was told to stop becomes `None` at once.
    Ended(i32),
}

/// The outcome of the file system check since the last promotion. `Broken` stays until the gate has
/// been closed: else a broken file system would be promoted and released for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Checked {
    /// Not done since.
    #[default]
    No,
    /// Clean, or repaired as a journal replay is.
    Clean,
    /// It needs a person.
    Broken,
}

/// Everything that was seen of the volume in one look.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VolumeSeen {
    /// The latest wish.
    pub gate: Gate,
    /// keepalived is gone and has not said so: it was killed, and its check is not run any more. Its last wish
    /// stands.
    pub keepalived_gone: bool,
    /// SIGTERM or SIGINT asked us to end.
    pub ending: bool,
    /// The volume.
    pub volume: VolumeState,
    /// The mount.
    pub mounted: Mounted,
    /// The child.
    pub child: Child,
    /// This rover has promoted the volume, and has not demoted it since. A Primary that it did not
    /// promote was left behind by a crash, or is somebody else's.
    pub promoted: bool,
    /// Since we started our disk was UpToDate beside a connected peer whose disk was UpToDate too, and has been
    /// UpToDate ever since: what it says of itself is true up to the moment the connection was lost. Forgotten
    /// when a peer connects without a disk: beside it DRBD 8.4 calls an outdated disk UpToDate
    /// (`sanitize_state` in drbd_state.c: "D_CONSISTENT and D_OUTDATED vanish when we get connected"). One that
    /// loses its disk while it is connected has written all of it here.
    pub met_peer: bool,
    /// DRBD's `fence-peer` handler is our own, as the configuration says.
    pub handler_ours: bool,
    /// How long ago a takeover was refused since the peer was lost, and DRBD's words or the peer's.
    pub refused: Option<(Duration, String)>,
    /// How often in a row it was refused in these words.
    pub refusals: u32,
    /// The file system check.
    pub checked: Checked,
    /// How long ago the volume was of no use here: it could not be mounted for 30 s, or its member has ended by
    /// itself three times in a row. `None` if it was since.
    pub failed_here: Option<Duration>,
    /// An operator has said that one promotion may lose acknowledged writes (`two-node promote --accept-loss`).
    pub accept_loss: bool,
    /// How long our writes have been frozen; `None` while they are not.
    pub frozen_for: Option<Duration>,
    /// A mount, an unmount or a read that the kernel has not come back from: it can neither be hurried nor
    /// be taken back, and nothing else may touch the mount or the device meanwhile.
    pub under_way: Option<VolumeStep>,
    /// A promotion was left before its end was known: the kernel may still carry it out. It takes roles one
    /// after the other, so a demotion that succeeds comes after it.
    pub unsettled: bool,
    /// How long something that must be let go ([`super::letting_go`]) has been held, a child that was told to
    /// stop included; `None` while there is nothing of the kind.
    pub demoting_for: Option<Duration>,
    /// How long ago this rover has demoted the volume; `None` if it did not.
    pub demoted_for: Option<Duration>,
    /// Who holds the mount or the device, after a busy answer.
    pub holders: Vec<String>,
}

impl VolumeSeen {
    /// What somebody sees who remembers nothing and holds nothing, with the gate open.
    pub fn by_a_stranger(volume: VolumeState) -> VolumeSeen {
        VolumeSeen {
            gate: Gate::Master,
            keepalived_gone: false,
            ending: false,
            volume,
            mounted: Mounted::No,
            child: Child::None,
            promoted: false,
            met_peer: false,
            handler_ours: true,
            refused: None,
            refusals: 0,
            checked: Checked::No,
            failed_here: None,
            accept_loss: false,
            frozen_for: None,
            under_way: None,
            unsettled: false,
            demoting_for: None,
            demoted_for: None,
            holders: Vec::new(),
        }
    }
}

/// What the user wants of the volume.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VolumePolicy {
    /// How long settling what became of the peer may take (`REJOIN_FENCE_TIMEOUT`).
    pub fence_timeout: Duration,
    /// How long a demotion may take (`REJOIN_DEMOTE_TIMEOUT`).
    pub demote_timeout: Duration,
    /// `REJOIN_SELF_FENCE=reboot`: at that deadline this machine reboots itself.
    pub self_fence: bool,
}
