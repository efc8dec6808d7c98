//! `two-node init`: the first set-up of the two-node volume, by hand. Asks nothing, forces nothing, and
//! refuses where it finds anything.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::drbd::{Drbd, OnDisk, SetUp, set_up};
use crate::mount::{self, Blank, FileSystem};
use crate::table::{Disk, Volume};
use etcd_rejoin_host::error::{Context, Error};
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

/// Sets the volume up, one step after the other.
pub fn init(
    init: &InitArgs,
    env: impl IntoIterator<Item = (OsString, OsString)>,
    stop: &Stop,
) -> Exit {
    let Some(name) = &init.resource else {
        eprintln!("etcd-rejoin: which resource? Set REJOIN_DRBD, or say --resource NAME");
        return Exit::USAGE;
    };
    let mut drbd = match Drbd::new(name, env) {
        Ok(drbd) => drbd,
        Err(error) => {
            eprintln!("etcd-rejoin: {error}");
            return Exit::USAGE;
        }
    };
    let deadline = Instant::now() + init.wait;
    let mut waited_for = String::new();
    loop {
        if let Some(signal) = stop.raised() {
            return Exit::signal(signal);
        }
        let volume = drbd.look();
        let on_disk = on_disk(&drbd, &volume);
        let next = set_up(init.first, &volume, &on_disk);
        let step = match next {
            SetUp::Done(what) => return print(&format!("{name}: {what}\n")),
            SetUp::Refuse(why) => {
                eprintln!("etcd-rejoin: {name}: {why}; nothing was changed by this");
                return Exit::REFUSED;
            }
            SetUp::Fail(why) => {
                eprintln!("etcd-rejoin: {name}: {why}");
                return Exit::FAILED;
            }
            SetUp::LookAgain | SetUp::WaitForPeer(_) => {
                let what = match next {
                    SetUp::WaitForPeer(what) => what,
                    _ => "the disk is in transition".into(),
                };
                if init.dry_run {
                    return print(&format!("{name}: would wait: {what}\n"));
                }
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
            step => step,
        };
        let what = words(&step, name, init.fs);
        if init.dry_run {
            return print(&format!("{name}: would {what}\n"));
        }
        print(&format!("{name}: {what}\n"));
        let done = match &step {
            SetUp::TakeDown => drbd.take_down(COMMAND).map_err(caused),
            SetUp::CreateMetadata => drbd.create_metadata(COMMAND).map_err(caused),
            SetUp::BringUp => drbd.bring_up(COMMAND).map_err(caused),
            SetUp::FirstGeneration => first_generation(&mut drbd, stop),
            _ => match make_file_system(&drbd, init.fs) {
                Ok(None) => return print(&format!("{name}: the volume is ready\n")),
                Ok(Some(found)) => {
                    eprintln!("etcd-rejoin: {name}: the volume is not empty: {found}");
                    return Exit::REFUSED;
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = done {
            eprintln!("etcd-rejoin: {name}: {error}");
            return Exit::FAILED;
        }
    }
}

fn caused(failure: crate::drbd::Failure) -> Error {
    Error::new(failure.to_string())
}

fn words(step: &SetUp, name: &str, kind: FileSystem) -> String {
    match step {
        SetUp::TakeDown => format!("take the resource down, it has no disk: drbdadm down {name}"),
        SetUp::CreateMetadata => format!("create metadata: drbdadm create-md {name}"),
        SetUp::BringUp => format!("bring the resource up: drbdadm adjust {name}"),
        SetUp::FirstGeneration => format!(
            "declare both empty disks equal: drbdadm new-current-uuid --clear-bitmap {name}/0"
        ),
        _ => format!(
            "promote, make {} if the volume is empty, demote",
            kind.name()
        ),
    }
}

/// What is on the disk below DRBD, as far as the next step depends on it.
fn on_disk(drbd: &Drbd, volume: &Volume) -> OnDisk {
    match volume {
        Volume::Unusable(_) => return OnDisk::Nothing,
        Volume::Up(resource) if !matches!(resource.disk, Disk::Diskless | Disk::Inconsistent) => {
            return OnDisk::Nothing;
        }
        Volume::Down | Volume::Up(_) => {}
    }
    match drbd.metadata() {
        Ok(Some(metadata)) => return OnDisk::Metadata(metadata),
        Ok(None) => {}
        Err(failure) => return OnDisk::Unreadable(failure.to_string()),
    }
    let disks = match (drbd.backing_disk(), drbd.metadata_disk()) {
        (Ok(disk), Ok(metadata)) if disk == metadata => vec![disk],
        (Ok(disk), Ok(metadata)) => vec![disk, metadata],
        (Err(failure), _) | (_, Err(failure)) => return OnDisk::Unreadable(failure.to_string()),
    };
    for disk in disks {
        match mount::blank(&disk, drbd.search()) {
            Ok(Blank::Yes) => {}
            Ok(Blank::No(what)) => {
                return OnDisk::Something(format!("{} has {what}", disk.display()));
            }
            Err(error) => return OnDisk::Unreadable(error.to_string()),
        }
    }
    OnDisk::Nothing
}

/// Makes the first generation, and sees that the peer has taken it.
fn first_generation(drbd: &mut Drbd, stop: &Stop) -> Result<(), Error> {
    drbd.first_generation(COMMAND).map_err(caused)?;
    let both = |volume: &Volume| match volume {
        Volume::Up(resource) => {
            let mut peers = resource.peers.iter();
            resource.disk == Disk::UpToDate && peers.any(|peer| peer.disk == Disk::UpToDate)
        }
        Volume::Down | Volume::Unusable(_) => false,
    };
    match drbd.wait(TOLD, stop, both) {
        volume if both(&volume) => Ok(()),
        _ => Err(Error::new(
            "the peer has not taken the first generation: see `etcd-rejoin two-node status` on both machines",
        )),
    }
}

/// Promotes, makes the file system where there is nothing, and demotes in any case. What was found
/// instead.
fn make_file_system(drbd: &Drbd, kind: FileSystem) -> Result<Option<String>, Error> {
    // Seen from below, a volume in use need not be promoted to be refused.
    let below = drbd.backing_disk().map_err(caused)?;
    if let Some(found) = mount::file_system(&below)? {
        return Ok(Some(format!("it holds {}", found.name())));
    }
    let device = drbd.device().map_err(caused)?;
    let mkfs = program::find(&format!("mkfs.{}", kind.name()), drbd.search())
        .map_err(|why| Error::new(format!("mkfs.{} {why}", kind.name())))?;
    drbd.promote(COMMAND, &|| false).map_err(caused)?;
    let made = make(drbd, &mkfs, &device, kind);
    let demoted = drbd.demote(COMMAND).map_err(caused);
    let found = made?;
    demoted.context(|| "the volume is left Primary".into())?;
    Ok(found)
}

fn make(
    drbd: &Drbd,
    mkfs: &Path,
    device: &PathBuf,
    kind: FileSystem,
) -> Result<Option<String>, Error> {
    if let Blank::No(found) = mount::blank(device, drbd.search())? {
        return Ok(Some(found));
    }
    // Discarding says nothing that is not known of an empty disk, and takes long on some.
    let options: &[&str] = match kind {
        FileSystem::Ext4 => &["-q", "-E", "nodiscard"],
        FileSystem::Xfs => &["-q", "-K"],
    };
    let mut command = program::command(mkfs, drbd.search());
    command.args(options).arg(device);
    let name = mkfs.display();
    match program::run(&mut command, MKFS, &|| false) {
        Ok(ran) if ran.code == 0 => Ok(None),
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
