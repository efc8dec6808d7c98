//! What `/proc/self/mountinfo` says of our device and of the place where it belongs. Pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::decide::volume::Mounted;

/// A device by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    /// Its driver: 147 is DRBD's.
    pub major: u32,
    /// Which one.
    pub minor: u32,
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl std::str::FromStr for Device {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (major, minor) = text.split_once(':').ok_or(())?;
        Ok(Device {
            major: major.parse().map_err(drop)?,
            minor: minor.parse().map_err(drop)?,
        })
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Its number.
    pub id: u32,
    /// The device.
    pub device: Device,
    /// Which folder of the file system is mounted.
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
    /// The file system's type.
    pub kind: String,
    /// What is mounted, as it was said.
    pub source: PathBuf,
    /// Read-only, or made so after an error.
    pub read_only: bool,
}

/// The mounts in their order: of several on one point the last is seen. Lines that are none are left out.
pub fn mounts(mountinfo: &[u8]) -> Vec<Mount> {
    mountinfo
        .split(|&byte| byte == b'\n')
        .filter_map(mount)
        .collect()
}

/// See `proc_pid_mountinfo(5)`: `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE SUPER`.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line
        .split(|&byte| byte == b' ')
        .filter(|field| !field.is_empty());
    let mut text = || {
        fields
            .next()
            .map(|field| String::from_utf8_lossy(field).into_owned())
    };
    let id = text()?.parse().ok()?;
    let device = text().and_then(|_parent| text())?.parse().ok()?;
    let root = path(fields.next()?);
    let point = path(fields.next()?);
    let options = fields.next()?;
    fields.find(|field| *field == b"-")?;
    let kind = String::from_utf8_lossy(fields.next()?).into_owned();
    let source = path(fields.next()?);
    let of_super = fields.next().unwrap_or_default();
    // Newer kernels do not make ext4 read-only after an error; they say so by these words instead.
    let stuck: [&[u8]; 3] = [b"ro", b"emergency_ro", b"shutdown"];
    let mut all = options
        .split(|&b| b == b',')
        .chain(of_super.split(|&b| b == b','));
    Some(Mount {
        id,
        device,
        root,
        point,
        kind,
        source,
        read_only: all.any(|option| stuck.contains(&option)),
    })
}

/// Undoes the kernel's escapes: space, tab, newline, backslash and `#` are `\` and three octal digits.
fn path(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let octal = |bytes: &[u8]| -> Option<u8> {
            let digits = bytes.get(..3)?;
            let value = digits.iter().try_fold(0u16, |value, digit| {
                (b'0'..=b'7')
                    .contains(digit)
                    .then(|| value * 8 + u16::from(digit - b'0'))
            })?;
            u8::try_from(value).ok()
        };
        match (first, octal(after)) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsStr::from_bytes(&bytes))
}

/// What is mounted at `point`, and whether it is `device`. `None`: our device is not known, so nothing
/// that is mounted there can be ours.
pub fn mounted(mounts: &[Mount], point: &Path, device: Option<Device>) -> Mounted {
    let ours = |mount: &&Mount| device == Some(mount.device);
    if let Some(top) = mounts.iter().rev().find(|mount| mount.point == point) {
        if ours(&top) && top.root == Path::new("/") {
            return match top.read_only {
                true => Mounted::ReadOnly,
                false => Mounted::Yes,
            };
        }
        let (source, root) = (top.source.display(), top.root.display());
        return Mounted::SomethingElse(format!(
            "{source} ({}, {root} of device {})",
            top.kind, top.device
        ));
    }
    match mounts.iter().rev().find(ours) {
        Some(elsewhere) => Mounted::Elsewhere(elsewhere.point.display().to_string()),
        None => Mounted::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRBD: Device = Device {
        major: 147,
        minor: 0,
    };
    const ROOT: &str = "1 0 254:0 / / rw - ext4 /dev/root rw\n";
    /// As recorded in a guest with DRBD 8.4.11.
    const OURS: &str = "27 1 147:0 / /mnt rw,relatime - ext4 /dev/drbd0 rw\n";

    fn at(text: &str, point: &str) -> Mounted {
        mounted(&mounts(text.as_bytes()), Path::new(point), Some(DRBD))
    }

    #[test]
    fn our_device_is_told_by_its_numbers() {
        let text = format!("{ROOT}{OURS}");
        assert_eq!(at(&text, "/mnt"), Mounted::Yes);
        assert_eq!(at(ROOT, "/mnt"), Mounted::No);
        assert_eq!(at(&text, "/data"), Mounted::Elsewhere("/mnt".into()));
        let alias = text.replace("/dev/drbd0", "/dev/drbd/by-res/etcd/0");
        assert_eq!(at(&alias, "/mnt"), Mounted::Yes);
        let other = text.replace("147:0", "147:1");
        assert!(
            matches!(at(&other, "/mnt"), Mounted::SomethingElse(what) if what.contains("147:1"))
        );
        assert!(matches!(
            mounted(&mounts(text.as_bytes()), Path::new("/mnt"), None),
            Mounted::SomethingElse(_)
        ));
    }

    #[test]
    fn of_several_mounts_on_one_point_the_last_counts() {
        let over = "28 27 0:40 / /mnt rw - tmpfs tmpfs rw\n";
        assert!(matches!(
            at(&format!("{OURS}{over}"), "/mnt"),
            Mounted::SomethingElse(_)
        ));
        assert_eq!(at(&format!("{over}{OURS}"), "/mnt"), Mounted::Yes);
    }

    #[test]
    fn a_part_of_our_file_system_is_not_it() {
        let bind = OURS.replace(" / /mnt", " /sub /mnt");
        assert!(matches!(at(&bind, "/mnt"), Mounted::SomethingElse(what) if what.contains("/sub")));
    }

    #[test]
    fn read_only_is_seen_in_both_options_and_in_new_words() {
        for text in [
            OURS.replace("rw,relatime", "ro,relatime"),
            OURS.replace("drbd0 rw", "drbd0 ro,errors=remount-ro"),
            OURS.replace("drbd0 rw", "drbd0 rw,emergency_ro"),
        ] {
            assert_eq!(at(&text, "/mnt"), Mounted::ReadOnly, "{text}");
        }
        let named = OURS.replace("drbd0 rw", "drbd0 rw,errors=remount-ro");
        assert_eq!(at(&named, "/mnt"), Mounted::Yes);
    }

    #[test]
    fn tags_and_escapes_are_read() {
        let odd = "27 1 147:0 / /a\\040b\\134c rw shared:1 master:2 - ext4 /dev/drbd0 rw\n";
        assert_eq!(at(odd, "/a b\\c"), Mounted::Yes);
        let not_octal = "27 1 147:0 / /a\\9zz rw - ext4 /dev/drbd0 rw\n";
        assert_eq!(at(not_octal, "/a\\9zz"), Mounted::Yes);
    }

    #[test]
    fn what_is_no_line_is_left_out() {
        assert_eq!(
            mounts(b"\n\xff\xfe 1\n27 1 x / / rw - a b c\n27 1 147:0 / /mnt rw\n"),
            []
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = mounts(&bytes);
            let _ = path(&bytes);
        }
    }
}
