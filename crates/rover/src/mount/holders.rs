//! Who holds a file system or a block device, found in `/proc` by hand. Ends no process.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use etcd_rejoin_host::mounts::{self, Device};

/// How many are named.
const NAMED: usize = 16;
/// How much of one file of `/proc` is read.
const READ: u64 = 4 << 20;

/// The holders of a device: `pid (comm): how`. Looks for so long at most; at most 16.
///
/// A mount in another mount namespace counts: it keeps a device open that nobody seems to hold.
pub fn holders(device: Device, limit: Duration) -> Vec<String> {
    let deadline = Instant::now() + limit;
    let mut all = BTreeSet::new();
    above(device, &mut all);
    let own_namespace = fs::read_link("/proc/self/ns/mnt").ok();
    let mut namespaces: BTreeSet<_> = own_namespace.into_iter().collect();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if all.len() >= NAMED || Instant::now() >= deadline {
            break;
        }
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let path = process.path();
        let mut how = how(&path, device, deadline);
        let namespace = fs::read_link(path.join("ns/mnt")).ok();
        if namespace.is_some_and(|namespace| namespaces.insert(namespace)) {
            let text = read(&path.join("mountinfo"));
            let there = mounts::mounts(&text)
                .into_iter()
                .find(|m| m.device == device);
            how.extend(there.map(|m| format!("mounted at {} where it runs", m.point.display())));
        }
        if !how.is_empty() {
            let comm = String::from_utf8_lossy(&read(&path.join("comm"))).into_owned();
            let comm: String = (comm.trim().chars())
                .map(|c| if c.is_control() { '?' } else { c })
                .collect();
            all.insert(format!("{pid} ({comm}): {}", how.join(", ")));
        }
    }
    all.into_iter().collect()
}

/// Devices on top of it: device mapper, loop devices, RAID.
fn above(device: Device, all: &mut BTreeSet<String>) {
    let holders = format!("/sys/dev/block/{device}/holders");
    for holder in fs::read_dir(holders)
        .into_iter()
        .flatten()
        .flatten()
        .take(NAMED)
    {
        all.insert(format!(
            "the device {} on top of it",
            holder.file_name().display()
        ));
    }
}

/// The ways in which a process holds it.
fn how(process: &Path, device: Device, deadline: Instant) -> Vec<String> {
    let mut ways = Vec::new();
    for (link, way) in [
        ("cwd", "works in it"),
        ("root", "has its root in it"),
        ("exe", "runs a program of it"),
    ] {
        if on(&process.join(link), device) {
            ways.push(way.to_string());
        }
    }
    for open in fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .flatten()
    {
        if Instant::now() >= deadline {
            break;
        }
        if on(&open.path(), device) {
            let what = fs::read_link(open.path()).unwrap_or_default();
            ways.push(format!("has {} open", what.display()));
            break;
        }
    }
    if ways.is_empty() && maps(&read(&process.join("maps")), device) {
        ways.push("has a file of it mapped".into());
    }
    ways
}

/// Whether what the link of `/proc` leads to lies on the device, or is the device. Does not ask a file
/// system over the network: that may hang.
fn on(link: &Path, device: Device) -> bool {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let Ok(found) = statx(CWD, link, flags, StatxFlags::TYPE) else {
        return false;
    };
    let is = |major, minor| Device { major, minor } == device;
    let block = u32::from(found.stx_mode) & 0o170000 == 0o060000;
    is(found.stx_dev_major, found.stx_dev_minor)
        || (block && is(found.stx_rdev_major, found.stx_rdev_minor))
}

/// See `proc_pid_maps(5)`: `FROM-TO PERMISSIONS OFFSET MAJOR:MINOR INODE PATH`, the device in hex.
fn maps(text: &[u8], device: Device) -> bool {
    let wanted = format!("{:02x}:{:02x}", device.major, device.minor);
    text.split(|&byte| byte == b'\n').any(|line| {
        let mut fields = line
            .split(|&byte| byte == b' ')
            .filter(|field| !field.is_empty());
        fields.nth(3) == Some(wanted.as_bytes())
    })
}

fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A process that has ended meanwhile has nothing to tell.
    if let Ok(file) = fs::File::open(path) {
        let _ = file.take(READ).read_to_end(&mut bytes);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn we_hold_the_file_that_we_have_open() {
        let file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
        let dev = file.as_file().metadata().unwrap().dev();
        let device = Device {
            major: rustix::fs::major(dev),
            minor: rustix::fs::minor(dev),
        };
        // All who hold it may be more than are named.
        let deadline = Instant::now() + Duration::from_secs(60);
        let ours = how(Path::new("/proc/self"), device, deadline);
        let open = |way: &String| way.starts_with("has /dev/shm/");
        assert!(ours.iter().any(open), "{ours:?}");
        assert!(!holders(device, Duration::from_secs(60)).is_empty());
    }

    #[test]
    fn nobody_holds_a_device_that_is_not_there() {
        let device = Device {
            major: 4095,
            minor: 1,
        };
        assert_eq!(
            holders(device, Duration::from_secs(10)),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_mapped_file_is_found_by_its_device_in_hex() {
        let line = b"7f00-7f01 r-xp 00000000 93:0a 131 /mnt/lib.so\n";
        let device = |minor| Device { major: 147, minor };
        assert!(maps(line, device(10)));
        assert!(!maps(line, device(0)));
    }
}
