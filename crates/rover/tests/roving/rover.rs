//! The rover: what it sees, what it does, and what it answers.

use std::time::Duration;

use etcd_rejoin_rover::table::{
    Checked, Child, Connection, Disk, Gate, HandlerDecision, MARGIN, Mounted, OutdateAnswer,
    PeerVolume, Remembered, Replication, Reply, Resource, Role, Settle, Settled, Settling,
    VolumePolicy, VolumeSeen, VolumeState, VolumeStep, is_recorded_outdated, settle,
};

use crate::cluster::Cluster;
use crate::world::{Rover, Settings, World};

pub fn policy() -> VolumePolicy {
    VolumePolicy {
        fence_timeout: Duration::from_secs(8),
        demote_timeout: Duration::from_secs(20),
        self_fence: false,
    }
}

impl World {
    /// What `drbdsetup` says.
    pub fn resource(&self, at: usize, settings: &Settings) -> Resource {
        let (machine, peer) = (&self.machines[at], &self.machines[1 - at]);
        let lost = match machine.stored.peer_outdated {
            true => Disk::Outdated,
            false => Disk::Unknown,
        };
        let replication = match self.source {
            _ if !self.connected => Replication::Off,
            None => Replication::Established,
            Some(source) if usize::from(source) == at => Replication::SyncSource,
            Some(_) => Replication::SyncTarget,
        };
        let connection = match (self.connected, machine.stand_alone) {
            (true, _) => Connection::Connected,
            (false, true) => Connection::StandAlone,
            (false, false) => Connection::Connecting,
        };
        let mut peers = vec![PeerVolume {
            name: "peer".into(),
            connection,
            role: if self.connected {
                peer.role
            } else {
                Role::Unknown
            },
            disk: if self.connected { peer.disk } else { lost },
            replication,
            witness: false,
        }];
        if settings.quorum {
            let (connection, role, disk) = match self.third[at] {
                true => (Connection::Connected, Role::Secondary, Disk::Diskless),
                false => (Connection::Connecting, Role::Unknown, Disk::Unknown),
            };
            peers.push(PeerVolume {
                name: "third".into(),
                connection,
                role,
                disk,
                replication: Replication::Off,
                witness: true,
            });
        }
        Resource {
            role: machine.role,
            disk: machine.disk,
            peers,
            fencing: settings.fencing,
            quorum_on: settings.quorum,
            quorum: machine.quorum,
            suspended: machine.suspended,
            failing: false,
        }
    }

    pub fn seen(&self, at: usize, settings: &Settings) -> VolumeSeen {
        let machine = &self.machines[at];
        VolumeSeen {
            gate: if machine.gate {
                Gate::Master
            } else {
                Gate::Backup
            },
            keepalived_gone: false,
            ending: false,
            volume: match machine.up {
                true => VolumeState::Up(self.resource(at, settings)),
                false => VolumeState::Down,
            },
            mounted: if machine.mounted {
                Mounted::Yes
            } else {
                Mounted::No
            },
            child: if machine.rover.child {
                Child::Running
            } else {
                Child::None
            },
            promoted: machine.rover.promoted,
            met_peer: machine.rover.met,
            handler_ours: true,
            // To wait longer than the others loses nothing.
            refused: None,
            refusals: 0,
            checked: if machine.rover.checked {
                Checked::Clean
            } else {
                Checked::No
            },
            accept_loss: false,
            // It only makes a machine leave the volume to the other one.
            failed_here: None,
            // The kernel's handler has had its say.
            frozen_for: machine.suspended.then_some(Duration::from_secs(60)),
            under_way: None,
            unsettled: machine.rover.unsettled,
            demoting_for: None,
            // Ending later is ending, in a world without time.
            demoted_for: None,
            holders: Vec::new(),
        }
    }

    /// What a look does to the rover's memory.
    pub fn remember(&mut self, at: usize, settings: &Settings) {
        let seen = self.seen(at, settings);
        let known = Remembered {
            promoted: seen.promoted,
            met_peer: seen.met_peer,
            beside: self.machines[at].rover.beside,
            checked: seen.checked,
        };
        let known = known.after(seen.gate, &seen.volume);
        let rover = &mut self.machines[at].rover;
        rover.promoted = known.promoted;
        (rover.met, rover.beside) = (known.met_peer, known.beside);
        rover.checked = known.checked == Checked::Clean;
    }
}

impl Cluster {
    /// Asks the other rover over the second network to outdate its disk; turns it off if it is silent.
    fn ask(&self, world: &mut World, at: usize, command: bool, command_works: bool) -> Settled {
        let mut so_far = Settling {
            primary: world.machines[at].role == Role::Primary,
            can_ask: true,
            can_turn_off: command,
            answer: None,
            elapsed: MARGIN,
            turned_off: None,
        };
        loop {
            match settle(&so_far) {
                Settle::Ask => so_far.answer = Some(self.answer(world, 1 - at)),
                Settle::Margin(_) => unreachable!("it is over"),
                Settle::TurnOff => {
                    if command_works && world.machines[1 - at].on {
                        world.power_off(1 - at, &self.settings);
                    }
                    let failed = "it fails".to_string();
                    so_far.turned_off = Some(command_works.then_some(()).ok_or(failed));
                }
                Settle::Settled(settled) => return settled,
            }
        }
    }

    /// What this machine answers when it is asked to outdate its disk. What its rover remembers of a thaw, this
    /// world leaves out: the less it knows, the more may be lost.
    fn answer(&self, world: &mut World, asked: usize) -> OutdateAnswer {
        if !world.lan || !world.machines[asked].rover.runs {
            return OutdateAnswer::Silent("no answer".into());
        }
        let volume = match world.machines[asked].up {
            true => VolumeState::Up(world.resource(asked, &self.settings)),
            false => VolumeState::Down,
        };
        match (self.asked_to_outdate)(&volume, false) {
            Reply::Grant => {
                world.outdate(asked);
                // Its answer is its disk, read again.
                match world.machines[asked].disk {
                    Disk::Outdated | Disk::Inconsistent => OutdateAnswer::Outdated,
                    _ => OutdateAnswer::Busy("not recorded".into()),
                }
            }
            Reply::Primary => OutdateAnswer::Primary,
            Reply::NotNow if self.fences_who_refuses => OutdateAnswer::Failed("it cannot".into()),
            Reply::NotNow => OutdateAnswer::Busy("not now".into()),
            Reply::Cannot => OutdateAnswer::Failed("it cannot".into()),
        }
    }

    /// The kernel's handler: `etcd-rejoin fence-peer`.
    pub fn handler(&self, world: &mut World, at: usize, command_works: bool) {
        let own = world.resource(at, &self.settings);
        let command = self.settings.command;
        let code = match (self.decide_handler)(&own, command, None, false) {
            HandlerDecision::Settle => {
                let settled = self.ask(world, at, command, command_works);
                match (self.decide_handler)(&own, command, Some(&settled), false) {
                    HandlerDecision::End(code) => code,
                    other => panic!("{other:?}"),
                }
            }
            HandlerDecision::End(code) => code,
            HandlerDecision::AskAgain | HandlerDecision::Unproven => 1,
        };
        world.handled(at, code);
    }

    /// `drbdadm primary`. A peer that is recorded as outdated is asked before.
    pub fn promote(&self, world: &mut World, at: usize, command_works: bool) {
        world.machines[at].rover.promoting = false;
        let volume = VolumeState::Up(world.resource(at, &self.settings));
        if is_recorded_outdated(&volume)
            && let Settled::Primary | Settled::Busy(_) = self.ask(world, at, false, false)
        {
            return;
        }
        if self.kernel_promotes(world, at, command_works) {
            let rover = &mut world.machines[at].rover;
            (rover.promoted, rover.checked, rover.unsettled) = (true, false, false);
        }
    }

    /// Whoever waits for it, or nobody any more.
    pub fn kernel_promotes(&self, world: &mut World, at: usize, command_works: bool) -> bool {
        world.machines[at].promoting = false;
        let becomes = !world.refuses_primary(at, &self.settings)
            && (!world.primary_asks(at, &self.settings) || {
                self.handler(world, at, command_works);
                world.machines[at].stored.peer_outdated
            });
        if becomes {
            world.become_primary(at, &self.settings);
        }
        becomes
    }

    /// SIGTERM: the member, the mount, the role, then the rover itself.
    pub fn stop_rover(world: &mut World, at: usize) {
        let machine = &mut world.machines[at];
        machine.mounted = false;
        machine.role = Role::Secondary;
        machine.rover = Rover::GONE;
    }

    /// Nothing of it hangs, in a frozen volume or in a promotion that was left.
    pub fn can_stop(world: &World, at: usize) -> bool {
        let machine = &world.machines[at];
        machine.rover.runs && !machine.suspended && !machine.promoting && !machine.rover.promoting
    }

    pub fn act(&self, world: &mut World, at: usize, step: VolumeStep, command_works: bool) {
        let machine = &mut world.machines[at];
        match step {
            VolumeStep::BringUp => world.bring_up(at, &self.settings),
            VolumeStep::Thaw => {
                let settled = match self.thaws_unasked {
                    true => Settled::Outdated,
                    false => self.ask(world, at, self.settings.command, command_works),
                };
                let machine = &mut world.machines[at];
                let yes = matches!(settled, Settled::Outdated | Settled::Fenced);
                if machine.suspended && yes {
                    machine.suspended = false;
                    machine.stored.ahead = true;
                }
            }
            VolumeStep::Promote => machine.rover.promoting = true,
            VolumeStep::CheckFileSystem => machine.rover.checked = true,
            // A Secondary refuses (EMEDIUMTYPE).
            VolumeStep::Mount => machine.mounted = machine.role == Role::Primary,
            VolumeStep::StartChild => machine.rover.child = true,
            // Frozen, etcd hangs in its write, and so does the mount.
            VolumeStep::StopChild => machine.rover.child &= machine.suspended,
            VolumeStep::Unmount => machine.mounted &= machine.suspended,
            VolumeStep::Demote => {
                // The kernel takes roles one after the other.
                if !machine.mounted && !machine.promoting {
                    machine.role = Role::Secondary;
                    (machine.suspended, machine.handler) = (false, false);
                    machine.rover.unsettled = false;
                    (machine.rover.promoted, machine.rover.checked) = (false, false);
                }
            }
            VolumeStep::KillChild | VolumeStep::ForcePromote | VolumeStep::SelfFence => {
                unreachable!("{step:?} is not in this world")
            }
        }
    }

    /// Killed with `-9`: the member dies with it (PR_SET_PDEATHSIG), the rest stays.
    pub fn kill_rover(world: &mut World, at: usize) {
        world.machines[at].rover = Rover::GONE;
    }
}
