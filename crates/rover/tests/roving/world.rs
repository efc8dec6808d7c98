//! What the world is: two machines, what is between them, and ghosts.

use etcd_rejoin_rover::table::{Disk, Fencing, Role};

/// What one machine's disk keeps when the machine is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stored {
    /// Which writes it holds, a bit each.
    pub writes: u8,
    /// What DRBD's metadata says of it: `UpToDate`, `Outdated` or `Inconsistent`.
    pub state: Disk,
    /// DRBD's metadata says that the peer's disk lacks writes.
    pub peer_outdated: bool,
    /// A generation of its own since both were last in sync (its UUIDs).
    pub ahead: bool,
}

/// One machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    pub stored: Stored,
    /// It is on.
    pub on: bool,
    /// The resource is up.
    pub up: bool,
    pub role: Role,
    pub disk: Disk,
    /// Given up after a split brain.
    pub stand_alone: bool,
    /// Frozen until fencing is settled.
    pub suspended: bool,
    /// The kernel has called the `fence-peer` handler, which has not ended.
    pub handler: bool,
    /// DRBD 9's quorum.
    pub quorum: bool,
    pub mounted: bool,
    /// A promotion that the rover has left, and that the kernel has not ended.
    pub promoting: bool,
    pub rover: Rover,
    /// keepalived says master.
    pub gate: bool,
}

/// A rover's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rover {
    pub runs: bool,
    pub child: bool,
    pub promoted: bool,
    pub checked: bool,
    pub met: bool,
    pub beside: bool,
    /// It has decided to promote, and has not done it yet.
    pub promoting: bool,
    /// It has left a promotion before its end was known.
    pub unsettled: bool,
}

impl Rover {
    pub const GONE: Rover = Rover {
        runs: false,
        child: false,
        promoted: false,
        checked: false,
        met: false,
        beside: false,
        promoting: false,
        unsettled: false,
    };
}

/// How often a fault may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub write: u8,
    /// A machine loses its power. Being fenced is no fault.
    pub crash: u8,
    pub cut_link: u8,
    pub cut_lan: u8,
    /// The link between a machine and the tie-breaker.
    pub cut_third: u8,
    pub kill_rover: u8,
    /// A disk fails and is detached; a boot brings it back, or an attach.
    pub detach: u8,
    /// A resource is taken down in order, its rover stopped before.
    pub take_down: u8,
    /// A rover leaves a promotion that it has begun.
    pub give_up: u8,
}

/// The two machines' settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    pub fencing: Fencing,
    /// DRBD 9's quorum with a diskless third node.
    pub quorum: bool,
    /// DRBD 9: a disk of which nobody has said otherwise is UpToDate after a boot.
    pub nine: bool,
    /// There is a fence command.
    pub command: bool,
}

impl Settings {
    /// What we recommend without a fence command.
    pub const FROZEN: Settings = Settings {
        fencing: Fencing::ResourceAndStonith,
        quorum: false,
        nine: false,
        command: false,
    };

    /// What we recommend.
    pub const STONITH: Settings = Settings {
        command: true,
        ..Settings::FROZEN
    };

    /// DRBD's default.
    pub const DEFAULT: Settings = Settings {
        fencing: Fencing::DontCare,
        ..Settings::FROZEN
    };

    pub const RESOURCE_ONLY: Settings = Settings {
        fencing: Fencing::ResourceOnly,
        ..Settings::FROZEN
    };

    pub const QUORUM: Settings = Settings {
        fencing: Fencing::DontCare,
        quorum: true,
        nine: true,
        command: false,
    };

    pub fn nine(self) -> Settings {
        Settings { nine: true, ..self }
    }

    pub fn with_command(self) -> Settings {
        Settings {
            command: true,
            ..self
        }
    }
}

/// The whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub machines: [Machine; 2],
    /// The replication link carries.
    pub link: bool,
    /// The second network carries.
    pub lan: bool,
    /// The links to the tie-breaker carry.
    pub third: [bool; 2],
    /// The two resources are connected.
    pub connected: bool,
    /// A resync runs, from this machine.
    pub source: Option<u8>,
    pub left: Budget,
    /// The acknowledged writes, a bit each.
    pub acked: u8,
    /// Who has acknowledged last.
    pub last: Option<u8>,
    /// That one has lost its power since, as Primary.
    pub last_died: bool,
    /// How often the other machine has acknowledged first after a death, while the dead one was off.
    pub failovers: u8,
    /// The same, when it was on again.
    pub returns: u8,
}

impl World {
    /// Both machines are on, in sync, Secondary; both rovers have just started; both gates are closed.
    pub fn healthy(budget: Budget) -> World {
        let machine = Machine {
            stored: Stored {
                writes: 0,
                state: Disk::UpToDate,
                peer_outdated: false,
                ahead: false,
            },
            on: true,
            up: true,
            role: Role::Secondary,
            disk: Disk::UpToDate,
            stand_alone: false,
            suspended: false,
            handler: false,
            quorum: true,
            mounted: false,
            promoting: false,
            rover: Rover {
                runs: true,
                ..Rover::GONE
            },
            gate: false,
        };
        World {
            machines: [machine; 2],
            link: true,
            lan: true,
            third: [true; 2],
            connected: true,
            source: None,
            left: budget,
            acked: 0,
            last: None,
            last_died: false,
            failovers: 0,
            returns: 0,
        }
    }

    /// A write of the client could be acknowledged here.
    pub fn can_write(&self, at: usize, settings: &Settings) -> bool {
        let machine = &self.machines[at];
        if !machine.on || !machine.rover.child {
            return false;
        }
        // Started on the bare directory, etcd writes to a disk that nobody replicates.
        !machine.mounted
            || (machine.role == Role::Primary
                && !machine.suspended
                && (!settings.quorum || machine.quorum)
                && self.has_data(at))
    }

    pub fn has_data(&self, at: usize) -> bool {
        let peer = &self.machines[1 - at];
        self.machines[at].disk == Disk::UpToDate || (self.connected && peer.disk == Disk::UpToDate)
    }

    /// What a client reads here.
    pub fn reads(&self, at: usize) -> u8 {
        let machine = &self.machines[at];
        match (machine.mounted, machine.disk) {
            (false, _) => 0,
            (true, Disk::UpToDate) => machine.stored.writes,
            (true, _) => self.machines[1 - at].stored.writes,
        }
    }
}
