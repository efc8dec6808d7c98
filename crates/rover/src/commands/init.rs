//! `two-node init`: the first set-up of the two-node volume, by hand. Asks nothing, forces nothing, and
//! refuses where it finds anything.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::drbd::{Drbd, DrbdFailure};
use crate::mount::{self, Blank, FileSystem};
use crate::table::{Disk, OnDisk, Role, SetUp, SetUpSeen, SetUpStep, SoFar, VolumeState, set_up};
use etcd_rejoin_host::error::Error;
use etcd_rejoin_host::exit::{Exit, print};
use etcd_rejoin_host::program;
use etcd_rejoin_host::signals::Stop;
use etcd_rejoin_host::text::duration;

/// How long one command of DRBD's may take: creating metadata writes the bitmap of the whole disk.
const COMMAND: Duration = Duration::from_secs(300);
/// How long making a file system may take.
const MKFS: Duration = Duration::from_secs(900);
/// How often we look while something has to happen elsewhere.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the peer may take to learn of the first generation.
const TOLD: Duration = Duration::from_secs(10);

/// How the volume is set up.
#[derive(Clone, Debug, clap::Args)]
pub struct InitArgs {
    /// The DRBD resource, as configured on both machines [env: REJOIN_DRBD]
    #[arg(long, value_name = "NAME")]
    pub resource: Option<String>,
    /// Also make the first generation of the data, and a file system: on one machine only
    #[arg(long)]
    pub first: bool,
    /// Which file system
    #[arg(
        long,
        value_enum,
        value_name = "TYPE",
        default_value = "ext4",
        requires = "first"
    )]
    pub fs: FileSystem,
    /// How long to wait for the other machine, such as 5m
    #[arg(long, value_name = "DURATION", default_value = "2m", requires = "first",
          value_parser = wait_duration)]
    pub wait: Duration,
    /// Say what would be done first, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

fn wait_duration(text: &str) -> Result<Duration, String> {
    let hint = || "write 500ms, 5s, 2m or 1h".to_string();
    duration(text).ok_or_else(hint)
}

/// Sets the volume up: looks, decides, takes one step, looks again.
pub fn init(
    init: &InitArgs,
    env: impl IntoIterator<Item = (OsString, OsString)>,
    stop: &Stop,
) -> Exit {
    let Some(name) = &init.resource else {
        eprintln!("etcd-rejoin: which resource? Set REJOIN_DRBD, or say --resource NAME");
        return Exit::USAGE;
    };
    let drbd = match Drbd::new(name, env) {
        Ok(drbd) => drbd,
        Err(error) => {
            eprintln!("etcd-rejoin: {error}");
            return Exit::USAGE;
        }
    };
    let mut under_way = UnderSetUp {
        drbd,
        name,
        first: init.first,
        file_system: init.fs,
        so_far: SoFar::default(),
    };
    let deadline = Instant::now() + init.wait;
    let mut waited_for = String::new();
    loop {
        let step = match set_up(&under_way.look(stop)) {
            SetUp::Do(step) => step,
            SetUp::Done(what) => return print(&format!("{name}: {what}\n")),
            SetUp::Refuse(why) => {
                eprintln!("etcd-rejoin: {name}: {why}; nothing was changed by this");
                return Exit::REFUSED;
            }
            SetUp::Fail(why) => {
                eprintln!("etcd-rejoin: {name}: {why}");
                return Exit::FAILED;
            }
            SetUp::End => return stop.raised().map_or(Exit::FAILED, Exit::signal),
            SetUp::Wait(what) if init.dry_run => {
                return print(&format!("{name}: would wait: {what}\n"));
            }
            SetUp::Wait(what) => {
                if Instant::now() >= deadline {
                    eprintln!("etcd-rejoin: {name}: waited for {:?}: {what}", init.wait);
                    return Exit::WAITED;
                }
                if what != waited_for {
                    print(&format!("{name}: waits: {what}\n"));
                    waited_for = what;
                }
                stop.sleep_until(Instant::now() + LOOK_EVERY);
                continue;
            }
        };
        let what = under_way.words(step);
        if init.dry_run {
            return print(&format!("{name}: would {what}\n"));
        }
        print(&format!("{name}: {what}\n"));
        if let Err(error) = under_way.take(step, stop) {
            eprintln!("etcd-rejoin: {name}: {error}");
            return Exit::FAILED;
        }
    }
}

/// A volume, and what was done with it so far.
struct UnderSetUp<'a> {
    drbd: Drbd,
    name: &'a str,
    first: bool,
    file_system: FileSystem,
    so_far: SoFar,
}

impl UnderSetUp<'_> {
    fn look(&mut self, stop: &Stop) -> SetUpSeen {
        let volume = self.drbd.look();
        SetUpSeen {
            first: self.first,
            ending: stop.raised().is_some(),
            on_disk: self.on_disk(&volume),
            no_tool: self.mkfs().err().unwrap_or_default(),
            so_far: self.so_far.clone(),
            volume,
        }
    }

    /// What is on the disk below DRBD, as far as the next step depends on it.
    fn on_disk(&self, volume: &VolumeState) -> OnDisk {
        match volume {
            VolumeState::Unusable(_) => OnDisk::Nothing,
            VolumeState::Down => self.on_a_disk_of_our_own(),
            VolumeState::Up(resource) => match resource.disk {
                Disk::Diskless | Disk::Inconsistent => self.on_a_disk_of_our_own(),
                Disk::UpToDate if self.first && resource.role != Role::Primary => self.below(),
                Disk::Changing
                | Disk::Outdated
                | Disk::Unknown
                | Disk::Consistent
                | Disk::UpToDate => OnDisk::Nothing,
            },
        }
    }

    fn on_a_disk_of_our_own(&self) -> OnDisk {
        match self.drbd.metadata() {
            Ok(Some(metadata)) => {
                let fresh = metadata.fresh;
                return OnDisk::Metadata { fresh };
            }
            Ok(None) => {}
            Err(failure) => return OnDisk::Unreadable(failure.to_string()),
        }
        let disks = match (self.drbd.backing_disk(), self.drbd.metadata_disk()) {
            (Ok(disk), Ok(metadata)) if disk == metadata => vec![disk],
            (Ok(disk), Ok(metadata)) => vec![disk, metadata],
            (Err(failure), _) | (_, Err(failure)) => {
                return OnDisk::Unreadable(failure.to_string());
            }
        };
        for disk in disks {
            match mount::blank(&disk, self.drbd.search()) {
                Ok(Blank::Yes) => {}
                Ok(Blank::No(what)) => {
                    return OnDisk::Something(format!("{} has {what}", disk.display()));
                }
                Err(error) => return OnDisk::Unreadable(error.to_string()),
            }
        }
        OnDisk::Nothing
    }

    /// A file system that can be seen from below, without a promotion.
    fn below(&self) -> OnDisk {
        let found =
            (self.drbd.backing_disk().map_err(caused)).and_then(|below| mount::file_system(&below));
        match found {
            Ok(Some(found)) => OnDisk::Something(format!("it holds {}", found.name())),
            Ok(None) => OnDisk::Nothing,
            Err(error) => OnDisk::Unreadable(error.to_string()),
        }
    }

    fn inside(&self) -> OnDisk {
        let found = (self.drbd.device().map_err(caused))
            .and_then(|device| mount::blank(&device, self.drbd.search()));
        match found {
            Ok(Blank::Yes) => OnDisk::Nothing,
            Ok(Blank::No(found)) => OnDisk::Something(found),
            Err(error) => OnDisk::Unreadable(error.to_string()),
        }
    }

    fn words(&self, step: SetUpStep) -> String {
        let (name, kind) = (self.name, self.file_system.name());
        match step {
            SetUpStep::TakeDown => {
                format!("take the resource down, it has no disk: drbdadm down {name}")
            }
            SetUpStep::CreateMetadata => format!("create metadata: drbdadm create-md {name}"),
            SetUpStep::BringUp => format!("bring the resource up: drbdadm adjust {name}"),
            SetUpStep::FirstGeneration => format!(
                "declare both empty disks equal: drbdadm new-current-uuid --clear-bitmap {name}/0"
            ),
            SetUpStep::Promote => {
                format!("promote it, to make {kind} if the volume is empty: drbdadm primary {name}")
            }
            SetUpStep::LookInside => "look whether the volume is empty".into(),
            SetUpStep::MakeFileSystem => format!("make {kind}"),
            SetUpStep::Demote => format!("demote it: drbdadm secondary {name}"),
        }
    }

    /// Takes it. What is to come to an end by a demotion is remembered, not returned.
    fn take(&mut self, step: SetUpStep, stop: &Stop) -> Result<(), Error> {
        match step {
            SetUpStep::TakeDown => self.drbd.take_down(COMMAND).map_err(caused),
            SetUpStep::CreateMetadata => self.drbd.create_metadata(COMMAND).map_err(caused),
            SetUpStep::BringUp => self.drbd.bring_up(COMMAND).map_err(caused),
            SetUpStep::FirstGeneration => self.first_generation(stop),
            SetUpStep::Promote => {
                self.drbd
                    .promote(false, COMMAND, &|| false)
                    .map_err(caused)?;
                self.so_far.held = true;
                Ok(())
            }
            SetUpStep::LookInside => {
                self.so_far.inside = Some(self.inside());
                Ok(())
            }
            SetUpStep::MakeFileSystem => {
                self.so_far.made = Some(self.make_file_system().map_err(|why| why.to_string()));
                Ok(())
            }
            SetUpStep::Demote => {
                let before = match &self.so_far.made {
                    Some(Err(why)) => format!("{why}; "),
                    Some(Ok(())) | None => String::new(),
                };
                self.drbd.demote(COMMAND).map_err(|failure| {
                    Error::new(format!("{before}the volume is left Primary: {failure}"))
                })?;
                self.so_far.held = false;
                Ok(())
            }
        }
    }

    /// Makes the first generation, and sees that the peer has taken it.
    fn first_generation(&mut self, stop: &Stop) -> Result<(), Error> {
        self.drbd.first_generation(COMMAND).map_err(caused)?;
        let both = |volume: &VolumeState| match volume {
            VolumeState::Up(resource) => {
                let mut peers = resource.peers.iter();
                resource.disk == Disk::UpToDate && peers.any(|peer| peer.disk == Disk::UpToDate)
            }
            VolumeState::Down | VolumeState::Unusable(_) => false,
        };
        match self.drbd.wait(TOLD, stop, both) {
            volume if both(&volume) => Ok(()),
            _ => Err(Error::new(
                "the peer has not taken the first generation: see `etcd-rejoin two-node status` on both machines",
            )),
        }
    }

    /// The program that makes the file system; else why there is none.
    fn mkfs(&self) -> Result<PathBuf, String> {
        let name = format!("mkfs.{}", self.file_system.name());
        program::find(&name, self.drbd.search()).map_err(|why| format!("{name} {why}"))
    }

    fn make_file_system(&self) -> Result<(), Error> {
        let mkfs = self.mkfs().map_err(Error::new)?;
        let device = self.drbd.device().map_err(caused)?;
        // Discarding says nothing that is not known of an empty disk, and takes long on some.
        let options: &[&str] = match self.file_system {
            FileSystem::Ext4 => &["-q", "-E", "nodiscard"],
            FileSystem::Xfs => &["-q", "-K"],
        };
        let mut command = program::command(&mkfs, self.drbd.search());
        command.args(options).arg(device);
        let name = mkfs.display();
        match program::run(&mut command, MKFS, &|| false) {
            Ok(ran) if ran.code == 0 => Ok(()),
            Ok(ran) => {
                let said: String = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
                let said: String = said.chars().take(300).collect();
                Err(Error::new(format!(
                    "{name} ended with exit code {}: {said}",
                    ran.code
                )))
            }
            Err(why) => Err(Error::new(format!("{name} {why}"))),
        }
    }
}

fn caused(failure: DrbdFailure) -> Error {
    Error::new(failure.to_string())
}
