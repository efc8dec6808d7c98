//! What the mounts say of our device and of the place where it belongs. Pure.

use std::path::Path;

use etcd_rejoin_host::mounts::{Device, Mount};

use crate::table::Mounted;

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
    use etcd_rejoin_host::mounts::mounts;

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
}
