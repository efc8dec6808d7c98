//! The words of `volume`: what `--help` says of them.

use clap::Subcommand;

use etcd_rejoin_rover::commands::volume::InitArgs;

/// What to do with the volume.
#[derive(Debug, Subcommand)]
pub enum VolumeAction {
    /// First set-up: DRBD's metadata, then with --first the first generation and a file system
    ///
    /// Run it on both machines, then with --first on exactly one of them (or with --first at once on the
    /// one: it waits for the other). Asks nothing. Refuses (exit code 65) where it finds anything: a
    /// signature, a file system, DRBD's metadata with data, a peer with data. A fresh disk beside a peer
    /// with data only gets its metadata, and then receives that data.
    Init(InitArgs),
}
