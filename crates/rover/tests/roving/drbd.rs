//! DRBD's own rules, as measured and as its source says. No judgement of ours.

use etcd_rejoin_rover::table::{Disk, Fencing, Role};

use crate::world::{Rover, Settings, World};

impl World {
    /// Off: everything but the disk is gone.
    pub fn power_off(&mut self, at: usize, settings: &Settings) {
        if self.last == Some(at as u8) {
            self.last_died |= self.machines[at].role == Role::Primary;
        }
        let machine = &mut self.machines[at];
        machine.on = false;
        machine.up = false;
        machine.role = Role::Secondary;
        machine.disk = Disk::Diskless;
        machine.stand_alone = false;
        machine.suspended = false;
        machine.handler = false;
        machine.quorum = false;
        machine.mounted = false;
        machine.promoting = false;
        machine.rover = Rover::GONE;
        machine.gate = false;
        self.lose_connection(settings);
        self.settle(settings);
    }

    /// `drbdadm down` of a Secondary. With fencing, a Primary lets it go only once its disk is recorded as
    /// outdated on both sides (`conn_try_disconnect` in drbd_nl.c).
    pub fn take_down(&mut self, at: usize, settings: &Settings) {
        let beside = self.connected && self.machines[1 - at].role == Role::Primary;
        let machine = &mut self.machines[at];
        if beside && settings.fencing != Fencing::DontCare {
            if machine.disk == Disk::UpToDate {
                machine.stored.state = Disk::Outdated;
            }
            self.machines[1 - at].stored.peer_outdated = true;
        }
        let machine = &mut self.machines[at];
        machine.up = false;
        machine.disk = Disk::Diskless;
        machine.stand_alone = false;
        machine.handler = false;
        machine.quorum = false;
        self.lose_connection(settings);
        self.settle(settings);
    }

    /// It would take the last copy from a Primary: DRBD refuses.
    pub fn can_take_down(&self, at: usize) -> bool {
        let (machine, peer) = (&self.machines[at], &self.machines[1 - at]);
        let needed = self.connected && peer.role == Role::Primary && peer.disk != Disk::UpToDate;
        machine.up && machine.role == Role::Secondary && !machine.promoting && !needed
    }

    /// `drbdadm adjust`: attach, and try to connect.
    pub fn bring_up(&mut self, at: usize, settings: &Settings) {
        let machine = &mut self.machines[at];
        machine.up = true;
        // 8.4 with fencing does not trust a disk whose peer may have gone on; without it does.
        let doubts = !settings.nine && settings.fencing != Fencing::DontCare;
        machine.disk = match machine.stored.state {
            Disk::UpToDate if doubts && !machine.stored.peer_outdated => Disk::Consistent,
            state => state,
        };
        self.settle(settings);
    }

    /// The connection is gone: each Primary freezes, goes on, or asks its handler.
    pub fn lose_connection(&mut self, settings: &Settings) {
        if !self.connected {
            return;
        }
        self.connected = false;
        self.source = None;
        for machine in &mut self.machines {
            // Heard of, however short it was.
            machine.rover.beside = false;
            if !machine.up || machine.role != Role::Primary || machine.disk == Disk::Diskless {
                continue;
            }
            let settled = machine.stored.peer_outdated;
            if settings.fencing != Fencing::DontCare && !settled {
                machine.handler = true;
                machine.suspended = settings.fencing == Fencing::ResourceAndStonith;
            }
            // A generation begins on an UpToDate disk alone.
            machine.stored.ahead |= !machine.suspended && machine.disk == Disk::UpToDate;
        }
    }

    pub fn can_connect(&self) -> bool {
        let ready = |at: usize| self.machines[at].up && !self.machines[at].stand_alone;
        self.link && !self.connected && ready(0) && ready(1)
    }

    /// The handshake: who has what the other lacks?
    pub fn connect(&mut self, settings: &Settings) {
        let [one, two] = self.machines;
        let with_disks = one.disk != Disk::Diskless && two.disk != Disk::Diskless;
        let source = match (with_disks, one.stored.ahead, two.stored.ahead) {
            (true, true, true) => {
                self.machines
                    .iter_mut()
                    .for_each(|machine| machine.stand_alone = true);
                return;
            }
            (true, true, false) => Some(0),
            (true, false, true) => Some(1),
            (true, false, false) | (false, _, _) => None,
        };
        // "Can only connect to data with current UUID": a Primary that lost its disk knows which it was.
        for (at, machine) in self.machines.iter_mut().enumerate() {
            let peer = [two, one][at];
            let stale = machine.stored.ahead || peer.stored.state != Disk::UpToDate;
            if machine.disk == Disk::Diskless && machine.role == Role::Primary && stale {
                machine.stand_alone = true;
                return;
            }
        }
        // "I shall become SyncTarget, but I am primary!"
        let target = source.map(|source| 1 - source);
        if let Some(at) = target.filter(|at| self.machines[*at].role == Role::Primary) {
            self.machines[at].stand_alone = true;
            return;
        }
        self.connected = true;
        self.source = source.map(|at| at as u8);
        for (at, machine) in self.machines.iter_mut().enumerate() {
            machine.suspended = false;
            machine.handler = false;
            machine.stored.peer_outdated = false;
            if machine.disk == Disk::Diskless {
                continue;
            }
            machine.disk = match source {
                // "D_CONSISTENT and D_OUTDATED vanish when we get connected", beside no disk too.
                None if machine.disk == Disk::Inconsistent => Disk::Inconsistent,
                None => Disk::UpToDate,
                Some(source) if source == at => {
                    // DRBD keeps "inconsistent" and "outdated" in one flag.
                    machine.stored.peer_outdated = true;
                    Disk::UpToDate
                }
                Some(_) => Disk::Inconsistent,
            };
            machine.stored.state = machine.disk;
        }
        self.begin_generation();
        self.settle(settings);
    }

    /// Whoever writes, a disk beside one that is gone begins a generation of its own.
    fn begin_generation(&mut self) {
        let writes = self
            .machines
            .iter()
            .any(|machine| machine.role == Role::Primary);
        let diskless = self.machines.map(|machine| machine.disk == Disk::Diskless);
        for (at, machine) in self.machines.iter_mut().enumerate() {
            machine.stored.ahead |= self.connected && writes && !diskless[at] && diskless[1 - at];
        }
    }

    /// The resync has ended.
    pub fn synced(&mut self, settings: &Settings) {
        let source = usize::from(self.source.expect("a resync runs"));
        self.source = None;
        self.machines[1 - source].stored.writes = self.machines[source].stored.writes;
        for machine in &mut self.machines {
            machine.disk = Disk::UpToDate;
            machine.stored.state = Disk::UpToDate;
            machine.stored.ahead = false;
            machine.stored.peer_outdated = false;
        }
        self.settle(settings);
    }

    /// The disk fails: detached.
    pub fn detach(&mut self, at: usize, settings: &Settings) {
        self.machines[at].disk = Disk::Diskless;
        if let Some(source) = self.source.take()
            && usize::from(source) != at
        {
            self.machines[1 - at].stored.peer_outdated = false;
        }
        self.begin_generation();
        self.settle(settings);
    }

    /// `drbdadm attach`: whether the peer went on without it only the peer can tell. DRBD 9 knows of one that was
    /// away beside a Primary that it lacks writes; this world's disks failed, and were told nothing.
    pub fn attach(&mut self, at: usize, settings: &Settings) {
        let trusts = settings.fencing == Fencing::DontCare;
        let machine = &mut self.machines[at];
        machine.disk = match machine.stored.state {
            Disk::UpToDate if !machine.stored.peer_outdated && !trusts => Disk::Consistent,
            state => state,
        };
        self.settle(settings);
    }

    /// `drbdadm outdate`: a Primary refuses, and so does who has no disk.
    pub fn outdate(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        let connected = self.connected;
        if machine.role == Role::Primary || connected {
            return;
        }
        if matches!(machine.disk, Disk::Consistent | Disk::UpToDate) {
            machine.disk = Disk::Outdated;
            machine.stored.state = Disk::Outdated;
        }
    }

    /// What would `drbdadm primary` say, before it asks any handler?
    pub fn refuses_primary(&self, at: usize, settings: &Settings) -> bool {
        let (machine, peer) = (&self.machines[at], &self.machines[1 - at]);
        let seen = self.connected || (settings.quorum && self.third == [true; 2]);
        // A yes of the handler makes a Consistent disk UpToDate (8.4.11 and 9.2.18).
        let may_become = machine.disk == Disk::Consistent && self.primary_asks(at, settings);
        !machine.up
            || !(self.has_data(at) || may_become)
            || (seen && peer.role == Role::Primary)
            || (settings.quorum && !machine.quorum)
    }

    /// Whether `drbdadm primary` asks the handler first.
    pub fn primary_asks(&self, at: usize, settings: &Settings) -> bool {
        let unsettled = !self.connected && !self.machines[at].stored.peer_outdated;
        settings.fencing != Fencing::DontCare && unsettled
    }

    pub fn become_primary(&mut self, at: usize, settings: &Settings) {
        let connected = self.connected;
        let machine = &mut self.machines[at];
        machine.role = Role::Primary;
        if machine.disk == Disk::Consistent {
            machine.disk = Disk::UpToDate;
        }
        machine.stored.ahead |= !connected && machine.disk != Disk::Diskless;
        self.begin_generation();
        self.settle(settings);
    }

    /// The handler has ended: the kernel records what it said, and thaws.
    pub fn handled(&mut self, at: usize, code: u8) {
        let machine = &mut self.machines[at];
        machine.handler = false;
        if code == 6 {
            // "Peer is primary, outdating myself."
            self.outdate(at);
        }
        let machine = &mut self.machines[at];
        if matches!(code, 4 | 5 | 7) && !self.connected {
            machine.stored.peer_outdated = true;
            machine.suspended = false;
            machine.stored.ahead |= machine.role == Role::Primary && machine.disk == Disk::UpToDate;
        }
    }

    /// A write is on every disk that must have it, and acknowledged.
    pub fn write(&mut self, at: usize) {
        let bit = 1 << (self.acked.count_ones() as u8);
        self.left.write -= 1;
        self.acked |= bit;
        let other = usize::from(self.last.unwrap_or(at as u8));
        if other != at && self.last_died {
            match self.machines[other].on {
                true => self.returns += 1,
                false => self.failovers += 1,
            }
        }
        self.last = Some(at as u8);
        self.last_died = false;
        if !self.machines[at].mounted {
            return;
        }
        let connected = self.connected;
        for (slot, machine) in self.machines.iter_mut().enumerate() {
            if (slot == at || connected) && machine.disk != Disk::Diskless {
                machine.stored.writes |= bit;
            }
        }
    }

    /// DRBD 9's quorum of two disks and a diskless third.
    pub fn settle(&mut self, settings: &Settings) {
        if !settings.quorum {
            return;
        }
        let (connected, third) = (self.connected, self.third);
        for (at, machine) in self.machines.iter_mut().enumerate() {
            // The third node only keeps a quorum, it never gives one.
            let kept = machine.quorum && (third[at] || machine.stored.peer_outdated);
            machine.quorum = machine.up && (connected || kept);
        }
        // It tells the one that the other writes.
        if !connected && third == [true; 2] {
            for at in 0..2 {
                let writes =
                    self.machines[1 - at].role == Role::Primary && self.machines[1 - at].quorum;
                if writes && self.machines[at].up {
                    self.outdate(at);
                }
            }
        }
    }
}
