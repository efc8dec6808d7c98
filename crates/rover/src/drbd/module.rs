//! The kernel's module: which DRBD it is, and whether it asks a handler.

use std::fs;

/// Whether this rover knows the module that is loaded: 8.4, or 9 from 9.1 on. What cannot be read is not loaded,
/// or told by the tools.
pub fn module_is_safe() -> Result<(), String> {
    let version = fs::read_to_string("/sys/module/drbd/version").unwrap_or_default();
    match is_known(version.trim()) {
        true => Ok(()),
        false => Err(format!(
            "the module drbd is of version {}: 8.4, or 9.1 and later are understood",
            version.trim()
        )),
    }
}

fn is_known(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(8), Some(minor)) => minor >= 4,
        (Some(9), Some(minor)) => minor >= 1,
        (Some(major), _) => major > 9,
        (None, _) => true,
    }
}

/// Whether the kernel calls `drbdadm` for its handlers. Without it DRBD 9 takes every lost peer for fenced.
pub fn usermode_helper_is_on() -> bool {
    let helper = fs::read_to_string("/sys/module/drbd/parameters/usermode_helper");
    helper.map_or(true, |helper| helper.trim() != "disabled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_known_or_too_old() {
        for known in [
            "8.4.11",
            "9.1.23",
            "9.2.18",
            "9.3.3-1",
            "10.0",
            "",
            "srcversion",
        ] {
            assert!(is_known(known), "{known}");
        }
        for old in ["8.3.16", "9.0.32-1"] {
            assert!(!is_known(old), "{old}");
        }
    }
}
