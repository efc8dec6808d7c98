//! Single values of `two-node config`: each mistake is named by its flag and value.

use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;

/// A value longer than this is cut where it is shown.
const SHOWN: usize = 80;

/// Collects mistakes instead of stopping at the first.
#[derive(Default)]
pub(super) struct FlagCheck {
    pub(super) mistakes: Vec<String>,
}

impl FlagCheck {
    pub(super) fn mistake(&mut self, flag: &str, value: impl Display, why: &str) {
        let value: String = value.to_string().chars().take(SHOWN).collect();
        self.mistakes
            .push(format!("{flag}={} {why}", value.escape_debug()));
    }

    pub(super) fn number<T: FromStr>(&mut self, flag: &str, value: &str, why: &str) -> Option<T> {
        let number = value.parse().ok();
        if number.is_none() {
            self.mistake(flag, value, why);
        }
        number
    }

    pub(super) fn port(&mut self, flag: &str, value: &str) -> u16 {
        let why = "is not a port: write 1 to 65535";
        match self.number(flag, value, why) {
            Some(0) => {
                self.mistake(flag, value, why);
                0
            }
            Some(port) => port,
            None => 0,
        }
    }

    pub(super) fn address(&mut self, flag: &str, value: &str) -> Option<IpAddr> {
        match value.parse::<IpAddr>() {
            Ok(address) if address.is_unspecified() || address.is_loopback() => {
                self.mistake(flag, value, "is no address that another machine reaches");
                None
            }
            Ok(address) => Some(address),
            Err(_) => {
                self.mistake(
                    flag,
                    value,
                    "is not an IP address: DRBD and keepalived take no names",
                );
                None
            }
        }
    }

    /// A word that means nothing to any of the files it goes into.
    pub(super) fn word(&mut self, flag: &str, value: &str, more: &str, most: usize, why: &str) {
        let good = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        let first = value.chars().next();
        let starts = first.is_some_and(|c| c.is_ascii_alphanumeric());
        if !starts || value.len() > most || !value.chars().all(good) {
            self.mistake(flag, value, why);
        }
    }

    pub(super) fn path(&mut self, flag: &str, value: &str) {
        let good = |c: char| c.is_ascii_alphanumeric() || "/._-+:@=".contains(c);
        if !value.starts_with('/') {
            self.mistake(flag, value, "is not a path from the root");
        } else if flag == "--fence-command" && value.contains(' ') {
            self.mistake(
                flag,
                value,
                "has a blank: what needs arguments goes into a script",
            );
        } else if value.len() > 255 || !value.chars().all(good) {
            self.mistake(
                flag,
                value,
                "has characters that DRBD's and keepalived's files cannot carry",
            );
        } else if value.split('/').any(|part| part == "..") || value.ends_with('/') {
            self.mistake(flag, value, "is not the plain path of one thing");
        }
    }

    pub(super) fn host(&mut self, flag: &str, value: &str) {
        self.word(
            flag,
            value,
            "-.",
            64,
            "is not a host name: write what `uname -n` prints there",
        );
    }

    pub(super) fn interface(&mut self, flag: &str, value: &str) {
        let why =
            "is not the name of a network interface: `ip link` lists them, at most 15 characters";
        self.word(flag, value, "-._@", 15, why);
        if value == "lo" {
            self.mistake(flag, value, "is the loopback: VRRP does not run there");
        }
    }

    pub(super) fn disk(&mut self, disk: &str) {
        let flag = "--machine disk";
        if !disk.starts_with("/dev/") {
            self.mistake(flag, disk, "is no device below /dev");
        } else if disk.starts_with("/dev/drbd") {
            let why =
                "is a DRBD device: name the disk, partition or logical volume that goes below it";
            self.mistake(flag, disk, why);
        } else {
            self.path(flag, disk);
        }
    }
}
