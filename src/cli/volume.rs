//! The words of `volume`: what `--help` says of them.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};

/// What to do with the volume.
#[derive(Debug, Subcommand)]
pub enum VolumeAction {
    /// First set-up: DRBD's metadata, then with --first the first generation and a file system
    ///
    /// Run it on both machines, then with --first on exactly one of them (or with --first at once on the
    /// one: it waits for the other). Asks nothing. Refuses (exit code 65) where it finds anything: a
    /// signature, a file system, DRBD's metadata with data, a peer with data. A fresh disk beside a peer
    /// with data only gets its metadata, and then receives that data.
    Init(VolumeInitArgs),
}

/// How the volume is set up.
#[derive(Debug, clap::Args)]
pub struct VolumeInitArgs {
    /// The DRBD resource, as configured on both machines [env: REJOIN_DRBD]
    #[arg(long, value_name = "NAME")]
    pub resource: Option<String>,
    /// Also make the first generation of the data, and a file system: on one machine only
    #[arg(long)]
    pub first: bool,
    /// Which file system
    #[arg(
        long,
        value_enum,
        value_name = "TYPE",
        default_value = "ext4",
        requires = "first"
    )]
    pub fs: FileSystemArg,
    /// How long to wait for the other machine, such as 5m
    #[arg(long, value_name = "DURATION", default_value = "2m", requires = "first",
          value_parser = wait_duration)]
    pub wait: Duration,
    /// Say what would be done first, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

fn wait_duration(text: &str) -> Result<Duration, String> {
    let hint = || "write 500ms, 5s, 2m or 1h".to_string();
    crate::text::duration(text).ok_or_else(hint)
}

/// A file system that can be made.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FileSystemArg {
    /// ext4
    Ext4,
    /// XFS; it needs at least 300 MB
    Xfs,
}
