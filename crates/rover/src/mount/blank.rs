//! Whether a disk is free to be taken: nothing on it that anybody may want back. Reads only.

use std::ffi::OsStr;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use etcd_rejoin_host::error::{Context, Error};
use etcd_rejoin_host::program;

/// How much of both ends must be zero where nobody can tell us what is there.
const ENDS: u64 = 4 << 20;
/// How long `blkid` may read.
const LIMIT: Duration = Duration::from_secs(30);

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blank {
    /// Nothing.
    Yes,
    /// This.
    No(String),
}

/// Whether nothing is on the device: no file system, partition table, RAID, LVM, encryption or DRBD.
///
/// `blkid` knows their signatures; where its low-level probe is not at hand, only zeros at both ends
/// count as nothing.
pub fn blank(device: &Path, search: &OsStr) -> Result<Blank, Error> {
    let zeros = zeros(device).context(|| format!("cannot read {}", device.display()))?;
    let Ok(blkid) = program::find("blkid", search) else {
        return Ok(by_zeros(zeros));
    };
    let mut command = program::command(&blkid, search);
    // The cache must not answer: it remembers disks that were wiped, and not those that were written.
    command
        .args(["-p", "-c", "/dev/null", "-o", "export"])
        .arg(device);
    let ran = program::run(&mut command, LIMIT, &|| false)
        .map_err(|why| Error::new(format!("blkid {why}")))?;
    // blkid(8): 2 nothing found, 8 several things that exclude each other.
    match ran.code {
        0 => {
            let found = ran.out.lines().filter(|line| {
                ["TYPE=", "PTTYPE=", "USAGE=", "LABEL=", "UUID="]
                    .iter()
                    .any(|key| line.starts_with(key))
            });
            let found: Vec<&str> = found.collect();
            let found: String = found.join(" ").chars().take(200).collect();
            match found.is_empty() {
                true => Ok(by_zeros(zeros)),
                false => Ok(Blank::No(found)),
            }
        }
        2 if ran.out.trim().is_empty() && ran.err.trim().is_empty() => Ok(Blank::Yes),
        8 => Ok(Blank::No("several signatures".into())),
        // Another blkid, without that probe.
        _ => Ok(by_zeros(zeros)),
    }
}

fn by_zeros(zeros: bool) -> Blank {
    match zeros {
        true => Blank::Yes,
        false => Blank::No("bytes that are not zero, and no blkid that knows them".into()),
    }
}

fn zeros(device: &Path) -> io::Result<bool> {
    let mut file = super::uncached(device)?;
    let size = file.seek(SeekFrom::End(0))?;
    for from in [0, size.saturating_sub(ENDS)] {
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        (&mut file).take(ENDS).read_to_end(&mut bytes)?;
        if bytes.iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn disk(write: impl FnOnce(&mut Vec<u8>)) -> tempfile::NamedTempFile {
        let mut bytes = vec![0; 12 << 20];
        write(&mut bytes);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn without_blkid_only_zeros_at_both_ends_are_nothing() {
        let nowhere = OsStr::new("/nonexistent");
        let is_blank = |file: tempfile::NamedTempFile| blank(file.path(), nowhere).unwrap();
        assert_eq!(is_blank(disk(|_| ())), Blank::Yes);
        assert!(matches!(is_blank(disk(|b| b[70_000] = 1)), Blank::No(_)));
        let last = |b: &mut Vec<u8>| *b.last_mut().unwrap() = 1;
        assert!(matches!(is_blank(disk(last)), Blank::No(_)));
    }

    #[test]
    fn a_disk_that_cannot_be_read_is_not_free() {
        let error = blank(Path::new("/nonexistent"), OsStr::new("")).unwrap_err();
        assert!(
            error.to_string().contains("cannot read /nonexistent"),
            "{error}"
        );
    }
}
