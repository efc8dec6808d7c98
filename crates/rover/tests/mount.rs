//! Does a real file system on a real block device agree? Loop devices, ext4 and XFS, as root.

#[path = "../../../tests/support/executable.rs"]
mod executable;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use etcd_rejoin_host::mounts::Device;
use etcd_rejoin_host::program;
use etcd_rejoin_rover::mount::{self, Blank, FileSystem, UnmountError};
use etcd_rejoin_rover::table::{Checked, Mounted};
use executable::executable;

const LONG: Duration = Duration::from_secs(120);

fn search() -> OsString {
    program::search_path(None)
}

fn tool(name: &str, args: &[&str]) -> String {
    let program = program::find(name, &search()).unwrap_or_else(|why| panic!("{name} {why}"));
    let output = Command::new(program).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim().to_string();
    assert!(output.status.success(), "{name} {args:?}: {output:?}");
    said
}

/// A loop device, and a place to mount it; both go with it.
struct Disk {
    dir: tempfile::TempDir,
    path: PathBuf,
    device: Device,
}

impl Disk {
    fn new(megabytes: u64) -> Disk {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        fs::File::create(&image)
            .unwrap()
            .set_len(megabytes << 20)
            .unwrap();
        let path = PathBuf::from(tool("losetup", &["-f", "--show", image.to_str().unwrap()]));
        fs::create_dir(dir.path().join("a b")).unwrap();
        let device = mount::device(&path).unwrap();
        Disk { dir, path, device }
    }

    fn with(kind: FileSystem) -> Disk {
        let path = |disk: &Disk| disk.path.to_str().unwrap().to_string();
        match kind {
            FileSystem::Ext4 => {
                let disk = Disk::new(32);
                tool("mkfs.ext4", &["-q", &path(&disk)]);
                disk
            }
            FileSystem::Xfs => {
                let disk = Disk::new(320);
                tool("mkfs.xfs", &["-q", &path(&disk)]);
                disk
            }
        }
    }

    /// A mount point with a space in its name, as the kernel escapes it.
    fn point(&self) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap().join("a b")
    }

    fn look(&self) -> Mounted {
        mount::look(&self.point(), Some(self.device)).unwrap()
    }

    fn unmount(&self) -> Result<(), UnmountError> {
        mount::unmount(&self.point(), self.device)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for _ in 0..3 {
            if self.look() == Mounted::No {
                break;
            }
            let point = match self.look() {
                Mounted::Elsewhere(point) => PathBuf::from(point),
                _ => self.point(),
            };
            let _ = Command::new("umount").arg(point).status();
        }
        tool("losetup", &["-d", self.path.to_str().unwrap()]);
    }
}

/// A process that ends with its test.
struct Holder(Child);

impl Holder {
    fn shell(script: &str) -> Holder {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It says a line once it holds.
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).unwrap();
        assert_eq!(line, "holds\n", "{script}");
        Holder(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs root"]
fn each_file_system_is_found_checked_mounted_and_unmounted() {
    for kind in [FileSystem::Ext4, FileSystem::Xfs] {
        let disk = Disk::with(kind);
        assert_eq!(mount::file_system(&disk.path).unwrap(), Some(kind));
        let (checked, _) =
            mount::check(&disk.path, kind, false, &search(), LONG, &|| false).unwrap();
        assert_eq!(checked, Checked::Clean);
        assert_eq!(disk.look(), Mounted::No);
        mount::mount(&disk.path, &disk.point(), kind).unwrap();
        assert_eq!(disk.look(), Mounted::Yes);
        let elsewhere = mount::look(Path::new("/nowhere"), Some(disk.device)).unwrap();
        assert_eq!(
            elsewhere,
            Mounted::Elsewhere(disk.point().display().to_string())
        );
        disk.unmount().unwrap();
        assert_eq!(disk.look(), Mounted::No);
        disk.unmount().unwrap();
    }
}

#[test]
#[ignore = "needs root"]
fn a_broken_file_system_is_broken_and_never_repaired_by_force() {
    let disk = Disk::with(FileSystem::Ext4);
    // The group descriptors and bitmaps, behind the superblock.
    let mut bytes = fs::read(&disk.path).unwrap();
    bytes[4096..1 << 20].fill(0xa5);
    fs::write(&disk.path, bytes).unwrap();
    let check = |distrusted| {
        let search = search();
        mount::check(
            &disk.path,
            FileSystem::Ext4,
            distrusted,
            &search,
            LONG,
            &|| false,
        )
        .unwrap()
    };
    // Its superblock says that all is well; the kernel knows better, and then it is distrusted.
    assert_eq!(check(false).0, Checked::Clean);
    assert!(mount::mount(&disk.path, &disk.point(), FileSystem::Ext4).is_err());
    let (checked, why) = check(true);
    assert_eq!(checked, Checked::Broken);
    assert!(why.contains("exit code"), "{why}");
}

/// A check that was given up is done again; one that is not dead yet keeps the next one away.
#[test]
#[ignore = "needs root"]
fn a_check_that_is_given_up_is_no_damage() {
    let disk = Disk::with(FileSystem::Ext4);
    let search = search();
    let check = |give_up: bool| {
        mount::check(&disk.path, FileSystem::Ext4, true, &search, LONG, &|| {
            give_up
        })
    };
    assert_eq!(check(true), Err(program::NotRun::GivenUp));
    assert_eq!(check(false).unwrap().0, Checked::Clean);
    mount::unclaimed(&disk.path).unwrap();
    mount::mount(&disk.path, &disk.point(), FileSystem::Ext4).unwrap();
    let claimed = mount::unclaimed(&disk.path).unwrap_err().to_string();
    assert!(claimed.contains("to ourselves"), "{claimed}");
    disk.unmount().unwrap();
}

/// A mount replays the journal; what the journal or the superblock says of errors is for e2fsck.
#[test]
#[ignore = "needs root"]
fn an_error_on_record_is_checked_and_never_mounted() {
    let disk = Disk::with(FileSystem::Ext4);
    let debugfs = program::find("debugfs", &search()).unwrap();
    let record = ["-w", "-R", "set_super_value state 3"];
    let done = std::process::Command::new(debugfs)
        .args(record)
        .arg(&disk.path)
        .output();
    assert!(done.unwrap().status.success());
    let error = mount::mount(&disk.path, &disk.point(), FileSystem::Ext4).unwrap_err();
    assert!(error.to_string().contains("recorded an error"), "{error}");
    assert_eq!(disk.look(), Mounted::No);
    let checked = mount::check(
        &disk.path,
        FileSystem::Ext4,
        false,
        &search(),
        LONG,
        &|| false,
    );
    assert_eq!(checked.unwrap().0, Checked::Clean);
    mount::mount(&disk.path, &disk.point(), FileSystem::Ext4).unwrap();
    disk.unmount().unwrap();
}

#[test]
#[ignore = "needs root"]
fn who_holds_the_mount_is_named_in_every_way_of_holding() {
    let disk = Disk::with(FileSystem::Ext4);
    mount::mount(&disk.path, &disk.point(), FileSystem::Ext4).unwrap();
    let point = disk.point();
    let point = point.to_str().unwrap();
    let sleep = program::find("sleep", &search()).unwrap();
    executable(&disk.point().join("sleep"), fs::read(sleep).unwrap());
    for (script, how) in [
        (
            format!("cd '{point}' && echo holds && exec sleep 600"),
            "works in it",
        ),
        (
            format!("exec 3>'{point}/file' && echo holds && exec sleep 600"),
            "/file open",
        ),
        (
            format!("echo holds; exec '{point}/sleep' 600"),
            "runs a program of it",
        ),
        (
            format!(
                "echo holds; exec 3<'{}' && exec sleep 600",
                disk.path.display()
            ),
            "open",
        ),
    ] {
        let holder = Holder::shell(&script);
        let pid = holder.0.id();
        let named = |all: &[String]| {
            let own = format!("{pid} (");
            all.iter()
                .any(|one| one.starts_with(&own) && one.contains(how))
        };
        let deadline = std::time::Instant::now() + LONG;
        while !named(&mount::holders(disk.device, LONG)) {
            assert!(
                std::time::Instant::now() < deadline,
                "{how}: {:?}",
                mount::holders(disk.device, LONG)
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        if how != "open" {
            match disk.unmount() {
                Err(UnmountError::Busy(holders)) => assert!(named(&holders), "{holders:?}"),
                other => panic!("{how}: {other:?}"),
            }
        }
        assert_eq!(disk.look(), Mounted::Yes);
    }
    disk.unmount().unwrap();
    assert_eq!(disk.look(), Mounted::No);
}

#[test]
#[ignore = "needs root"]
fn a_mount_in_another_namespace_is_named() {
    let disk = Disk::with(FileSystem::Ext4);
    mount::mount(&disk.path, &disk.point(), FileSystem::Ext4).unwrap();
    let holder = Holder::shell("exec unshare -m sh -c 'echo holds; exec sleep 600'");
    disk.unmount().unwrap();
    let all = mount::holders(disk.device, LONG);
    let own = format!("{} (", holder.0.id());
    let found = all
        .iter()
        .any(|one| one.starts_with(&own) && one.contains("where it runs"));
    assert!(found, "{all:?}");
}

#[test]
#[ignore = "needs root"]
fn what_lies_over_our_mount_is_not_taken_for_it() {
    let disk = Disk::with(FileSystem::Ext4);
    mount::mount(&disk.path, &disk.point(), FileSystem::Ext4).unwrap();
    tool(
        "mount",
        &["-t", "tmpfs", "none", disk.point().to_str().unwrap()],
    );
    assert!(matches!(disk.look(), Mounted::SomethingElse(_)));
    assert!(matches!(disk.unmount(), Err(UnmountError::Failed(_))));
    tool("umount", &[disk.point().to_str().unwrap()]);
    tool(
        "mount",
        &["-o", "remount,ro", disk.point().to_str().unwrap()],
    );
    assert_eq!(disk.look(), Mounted::ReadOnly);
    disk.unmount().unwrap();
}

#[test]
#[ignore = "needs root"]
fn a_disk_is_free_only_while_nothing_is_on_it() {
    let disk = Disk::new(32);
    assert_eq!(mount::blank(&disk.path, &search()).unwrap(), Blank::Yes);
    let path = disk.path.to_str().unwrap();
    tool("mkfs.ext4", &["-q", path]);
    let found = mount::blank(&disk.path, &search()).unwrap();
    assert!(
        matches!(&found, Blank::No(what) if what.contains("ext4")),
        "{found:?}"
    );
    let mut bytes = vec![0; 32 << 20];
    fs::write(&disk.path, &bytes).unwrap();
    assert_eq!(mount::blank(&disk.path, &search()).unwrap(), Blank::Yes);
    // A partition table with nothing in it.
    bytes.truncate(512);
    bytes[446..462].copy_from_slice(&[0x80, 1, 1, 0, 0x83, 2, 2, 2, 0, 8, 0, 0, 0, 64, 0, 0]);
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(&disk.path, &bytes).unwrap();
    let found = mount::blank(&disk.path, &search()).unwrap();
    assert!(matches!(found, Blank::No(_)), "{found:?}");
}
