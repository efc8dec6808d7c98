//! What is mounted in our mount namespace, as `/proc/self/mountinfo` has it.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Context, Error};

/// How much of mountinfo is read: machines with many containers have thousands of lines.
const MOUNTINFO: u64 = 16 << 20;

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

/// The mounts of our own mount namespace.
pub fn own() -> Result<Vec<Mount>, Error> {
    let path = "/proc/self/mountinfo";
    let mut text = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(MOUNTINFO).read_to_end(&mut text))
        .context(|| format!("cannot read {path}"))?;
    Ok(mounts(&text))
}

/// Whether something is mounted at this very place.
pub fn is_mount_point(path: &Path) -> Result<bool, Error> {
    let path = real(path);
    Ok(own()?.iter().any(|mount| mount.point == path))
}

/// The kernel names a mount point without symbolic links. One that cannot be resolved stays as it is.
pub fn real(point: &Path) -> PathBuf {
    fs::canonicalize(point).unwrap_or_else(|_| point.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

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
