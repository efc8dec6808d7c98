//! Snapshots of an etcd cluster in a directory or an object store, and back. Beside any etcd: as a sidecar, a service,
//! a job.
//!
//! A snapshot goes from etcd's gRPC call through SHA-256 and zstd into the store, in constant memory; its manifest is
//! written last. What lies where: [`layout`].

pub mod ask;
pub mod catalog;
pub mod cli;
pub mod cluster;
pub mod commands;
pub mod drill;
pub mod drills;
pub mod etcd;
pub mod foreign;
pub mod http;
pub mod layout;
pub mod lease;
pub mod manager;
pub mod metrics;
pub mod orders;
pub mod progress;
pub mod random;
pub mod restore;
pub mod save;
pub mod says;
pub mod settings;
pub mod stop;
pub mod store;
pub mod stream;
pub mod survivors;
pub mod table;

use etcd_rejoin_host::error::Error;

/// Why a command did not do its work.
#[derive(Debug)]
pub enum NotDone {
    /// Only a person can tell: exit code 65.
    Refused(Error),
    /// An attempt failed: exit code 74.
    Failed(Error),
    /// We were asked to stop.
    Stopped,
}

impl From<Error> for NotDone {
    fn from(error: Error) -> NotDone {
        NotDone::Failed(error)
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "../../../tests/support/book.rs"]
mod book;

#[cfg(test)]
mod tests {
    use super::book::replaced;

    /// `UPDATE_DOCS=1 cargo test -p etcd-rejoin-snapshot --lib tables` writes them.
    #[test]
    fn the_tables_of_the_book_are_the_codes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/backups.md");
        let is = std::fs::read_to_string(path).unwrap();
        let wanted = replaced(&is, "snapshot-metrics", &crate::metrics::metrics_table());
        let wanted = replaced(&wanted, "snapshot-variables", &crate::settings::table());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &wanted).unwrap();
        } else {
            assert!(
                wanted == is,
                "docs/backups.md is old: run it with UPDATE_DOCS=1"
            );
        }
    }
}
