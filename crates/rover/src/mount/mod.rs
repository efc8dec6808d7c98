//! The file system on the volume: seen, checked, mounted, unmounted. Never made, never forced, never
//! unmounted lazily: that hides a mount and leaves the device in use.

mod blank;
mod ext4;
mod holders;
mod info;

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{Advice, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

pub use blank::{Blank, blank};
pub use holders::holders;
pub use info::mounted;

use crate::table::{Checked, Mounted};
use etcd_rejoin_host::error::{Context, Error};
use etcd_rejoin_host::mounts::{self, Device};
use etcd_rejoin_host::program::{self, NotRun};

/// How long the search for holders may take.
const SEARCH: Duration = Duration::from_secs(2);

/// A file system that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum FileSystem {
    /// ext4
    Ext4,
    /// XFS; it needs at least 300 MB
    Xfs,
}

impl FileSystem {
    /// Its name, as the kernel has it.
    pub fn name(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "ext4",
            FileSystem::Xfs => "xfs",
        }
    }

    fn options(self) -> Option<&'static std::ffi::CStr> {
        match self {
            // After an error a file system must not go on writing what it thinks.
            FileSystem::Ext4 => Some(c"errors=remount-ro"),
            FileSystem::Xfs => None,
        }
    }
}

/// The numbers of a block device.
pub fn device(path: &Path) -> Result<Device, Error> {
    let meta = fs::metadata(path).context(|| format!("cannot see {}", path.display()))?;
    if !meta.file_type().is_block_device() {
        return Err(Error::new(format!(
            "{} is not a block device",
            path.display()
        )));
    }
    Ok(Device {
        major: rustix::fs::major(meta.rdev()),
        minor: rustix::fs::minor(meta.rdev()),
    })
}

/// What is mounted at `point` in our mount namespace, and whether it is `device`.
pub fn look(point: &Path, device: Option<Device>) -> Result<Mounted, Error> {
    Ok(mounted(&mounts::own()?, &mounts::real(point), device))
}

/// Which file system the device holds; `None` if none that we know. Readable on a Primary alone.
pub fn file_system(device: &Path) -> Result<Option<FileSystem>, Error> {
    let failed = || format!("cannot read {}", device.display());
    let mut file = uncached(device).context(failed)?;
    let mut magic = |at: u64, wanted: &[u8]| -> io::Result<bool> {
        let mut found = vec![0; wanted.len()];
        file.seek(SeekFrom::Start(at))?;
        match file.read_exact(&mut found) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            read => read.map(|()| found == wanted),
        }
    };
    if magic(0, b"XFSB").context(failed)? {
        return Ok(Some(FileSystem::Xfs));
    }
    // `s_magic` of the superblock, which starts at 1024.
    match magic(1080, &0xEF53u16.to_le_bytes()).context(failed)? {
        true => Ok(Some(FileSystem::Ext4)),
        false => Ok(None),
    }
}

/// Opens a device for what is on it now: what was read of a disk below DRBD stays cached while DRBD
/// writes past the cache.
fn uncached(device: &Path) -> io::Result<fs::File> {
    let file = fs::File::open(device)?;
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    Ok(file)
}

/// Checks the file system of a device that is not mounted; the words behind `Broken`.
///
/// ext4: `e2fsck -p`, which replays the journal and repairs what is safe to repair. One that has no error
/// on record is taken at its word, unless it is distrusted: e2fsck would only replay the journal, and so
/// does a mount. XFS replays its log
/// when it is mounted, and `xfs_repair` refuses a log that was not replayed: there is nothing to do.
pub fn check(
    device: &Path,
    kind: FileSystem,
    distrusted: bool,
    search: &OsStr,
    limit: Duration,
    give_up: &dyn Fn() -> bool,
) -> Result<(Checked, String), NotRun> {
    match kind {
        FileSystem::Xfs => return Ok((Checked::Clean, String::new())),
        FileSystem::Ext4 if !distrusted && says_clean(device, kind) => {
            return Ok((Checked::Clean, String::new()));
        }
        FileSystem::Ext4 => {}
    }
    let e2fsck = program::find("e2fsck", search)?;
    let mut command = program::command(&e2fsck, search);
    let ran = program::run(command.arg("-p").arg(device), limit, give_up)?;
    let said: Vec<&str> = (ran.out.lines().chain(ran.err.lines()))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let said: String = said.join("; ").chars().take(400).collect();
    // e2fsck(8): 1 corrected, 2 corrected and a reboot is wanted, 4 left uncorrected, 8 and more: failed.
    match ran.code {
        0 | 1 => Ok((Checked::Clean, said)),
        code => Ok((
            Checked::Broken,
            format!("e2fsck ended with exit code {code}: {said}"),
        )),
    }
}

/// Nobody else has claimed the device: no mount, and no check that is not dead yet.
pub fn unclaimed(device: &Path) -> Result<(), Error> {
    let exclusive = OFlags::EXCL.bits().cast_signed();
    let opened = fs::File::options()
        .read(true)
        .custom_flags(exclusive)
        .open(device);
    (opened.map(drop)).context(|| format!("cannot have {} to ourselves", device.display()))
}

/// Whether the file system says of itself that it needs no check. A superblock that cannot be read says
/// nothing.
pub fn says_clean(device: &Path, kind: FileSystem) -> bool {
    match kind {
        FileSystem::Xfs => return true,
        FileSystem::Ext4 => {}
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    match (superblock(device), now) {
        (Ok(block), Ok(now)) => ext4::is_clean(&block, now.as_secs()),
        (_, _) => false,
    }
}

fn superblock(device: &Path) -> io::Result<[u8; ext4::LENGTH]> {
    let mut block = [0; ext4::LENGTH];
    let mut file = uncached(device)?;
    file.seek(SeekFrom::Start(ext4::AT))?;
    file.read_exact(&mut block)?;
    Ok(block)
}

/// Mounts the device. Something mounted there already is an error: look first. One that shows an error
/// once it is mounted is unmounted again.
pub fn mount(device: &Path, point: &Path, kind: FileSystem) -> Result<(), Error> {
    try_mount(device, point, kind)?;
    let shows_error = match kind {
        FileSystem::Ext4 => superblock(device).is_ok_and(|block| ext4::has_error(&block)),
        FileSystem::Xfs => false,
    };
    if !shows_error {
        return Ok(());
    }
    // Nobody has begun to use it.
    if let Err(error) = rustix::mount::unmount(point, UnmountFlags::NOFOLLOW) {
        log::warn!("cannot unmount {}: {error}", point.display());
    }
    Err(Error::new(format!(
        "the file system on {} has recorded an error",
        device.display()
    )))
}

fn try_mount(device: &Path, point: &Path, kind: FileSystem) -> Result<(), Error> {
    let flags = MountFlags::NOATIME | MountFlags::NODEV | MountFlags::NOSUID;
    rustix::mount::mount(device, point, kind.name(), flags, kind.options()).context(|| {
        format!(
            "cannot mount {} as {} at {}",
            device.display(),
            kind.name(),
            point.display()
        )
    })
}

/// Why something is still mounted.
#[derive(Debug)]
pub enum UnmountError {
    /// Somebody holds it: who, as far as we can see.
    Busy(Vec<String>),
    /// Anything else.
    Failed(Error),
}

impl std::fmt::Display for UnmountError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            UnmountError::Busy(holders) if holders.is_empty() => {
                f.write_str("it is busy, and nobody is seen who holds it")
            }
            UnmountError::Busy(holders) => write!(f, "it is held by {}", holders.join("; ")),
            UnmountError::Failed(error) => error.fmt(f),
        }
    }
}

/// Unmounts what is mounted at `point`, if it is the device. Not mounted is success.
pub fn unmount(point: &Path, device: Device) -> Result<(), UnmountError> {
    let point = mounts::real(point);
    match look(&point, Some(device)).map_err(UnmountError::Failed)? {
        Mounted::Yes | Mounted::ReadOnly => {}
        Mounted::No | Mounted::Elsewhere(_) => return Ok(()),
        Mounted::SomethingElse(what) => {
            return Err(UnmountError::Failed(Error::new(format!(
                "{} is not ours to unmount: {what}",
                point.display()
            ))));
        }
    }
    match rustix::mount::unmount(&point, UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(()),
        Err(Errno::BUSY) => Err(UnmountError::Busy(holders(device, SEARCH))),
        Err(error) => Err(UnmountError::Failed(Error::caused(
            format!("cannot unmount {}", point.display()),
            error,
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_told_by_its_magic() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        let of = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            file_system(&path).unwrap()
        };
        assert_eq!(of(b""), None);
        assert_eq!(of(&[0; 4096]), None);
        assert_eq!(of(b"XFSB"), Some(FileSystem::Xfs));
        let mut ext4 = [0; 4096];
        ext4[1080..1082].copy_from_slice(&[0x53, 0xEF]);
        assert_eq!(of(&ext4), Some(FileSystem::Ext4));
        let missing = file_system(&dir.path().join("none")).unwrap_err();
        assert!(missing.to_string().contains("cannot read"), "{missing}");
    }

    #[test]
    fn only_a_block_device_has_numbers_to_mount_by() {
        let error = device(Path::new("/dev/null")).unwrap_err().to_string();
        assert!(error.contains("not a block device"), "{error}");
    }

    #[test]
    fn nothing_is_mounted_where_nothing_is() {
        let dir = tempfile::tempdir().unwrap();
        let device = Device {
            major: 4095,
            minor: 1,
        };
        assert_eq!(look(dir.path(), Some(device)).unwrap(), Mounted::No);
        assert!(unmount(dir.path(), device).is_ok());
        let other = look(Path::new("/proc"), Some(device)).unwrap();
        assert!(matches!(other, Mounted::SomethingElse(_)));
    }
}
