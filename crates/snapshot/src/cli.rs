//! The command line: every sentence of `--help`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::layout::{Moment, SnapshotId};
use crate::settings::{VARIABLES, Variables};

/// Snapshots of an etcd cluster in a directory or an object store, and back.
///
/// Beside any etcd. `etcd-rejoin snapshot` is the same program.
#[derive(Debug, Parser)]
#[command(name = "etcd-rejoin-snapshot", version, after_long_help = after_help())]
pub struct SnapshotCli {
    /// What to do.
    #[command(subcommand)]
    pub command: SnapshotCommand,
    /// Where everything is.
    #[command(flatten)]
    pub common: Common,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Common {
    /// Where snapshots live: an absolute path, or s3://BUCKET/PREFIX [env: REJOIN_STORE]
    #[arg(long, global = true, value_name = "PLACE")]
    pub store: Option<String>,
    /// Client URLs of etcd, comma-separated [env: ETCDCTL_ENDPOINTS, ETCD_ADVERTISE_CLIENT_URLS]
    #[arg(long, global = true, value_name = "URLS")]
    pub endpoints: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

impl Common {
    /// Puts over the variables what the command line says.
    pub fn over(&self, env: &mut Variables) {
        for (name, value) in [
            ("REJOIN_STORE", &self.store),
            ("ETCDCTL_ENDPOINTS", &self.endpoints),
        ] {
            if let Some(value) = value {
                env.insert(name.into(), value.clone());
            }
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Save a snapshot now
    Save(SaveArgs),
    /// Save snapshots for ever, one each interval: a sidecar or a service
    ///
    /// Where several run for one cluster, one of them uploads.
    Every(EveryArgs),
    /// List the snapshots
    List,
    /// Show all that is known of a snapshot
    Show {
        /// Which
        #[command(flatten)]
        which: Which,
    },
    /// Read a snapshot wholly, and check every hash
    ///
    /// Exit code 1 where it is damaged.
    Verify {
        /// Which
        #[command(flatten)]
        which: Which,
        /// All of them
        #[arg(long, conflicts_with = "snapshot")]
        all: bool,
    },
    /// Write a snapshot into a file, checked, as `etcdutl snapshot restore` takes it
    Fetch {
        /// Where to; it must not exist
        file: PathBuf,
        /// Which
        #[command(flatten)]
        which: Which,
    },
    /// Read the store once, for the entrypoint: the marker, lineages, snapshots, orders
    #[command(hide = true)]
    Look(LookArgs),
}

/// Which snapshot.
#[derive(Debug, Args)]
pub struct Which {
    /// Its ID; the newest one of the newest lineage if not given
    #[arg(long = "snapshot", value_name = "ID")]
    pub snapshot: Option<SnapshotId>,
    /// The newest one that was taken no later than this, as in 2026-11-21T09:30:00Z
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "snapshot")]
    pub at: Option<Moment>,
}

fn moment(text: &str) -> Result<Moment, String> {
    text.to_string().try_into()
}

/// Options of `save`.
#[derive(Debug, Args)]
pub struct SaveArgs {
    /// Save nothing where the newest snapshot has the same revision
    #[arg(long)]
    pub if_changed: bool,
    /// How people call the cluster; written down when its first snapshot is saved
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// Options of `every`.
#[derive(Debug, Args)]
pub struct EveryArgs {
    /// How long from one snapshot to the next: 30s, 15m, 6h
    #[arg(value_parser = interval)]
    pub interval: std::time::Duration,
    /// As for one snapshot.
    #[command(flatten)]
    pub save: SaveArgs,
    /// Save a last one when asked to stop (SIGTERM), within 25 seconds
    #[arg(long)]
    pub on_stop: bool,
}

fn interval(text: &str) -> Result<std::time::Duration, String> {
    let read = etcd_rejoin_host::text::duration(text).filter(|interval| !interval.is_zero());
    read.ok_or_else(|| "write 30s, 15m or 6h".into())
}

/// Options of `look`.
#[derive(Debug, Args)]
pub struct LookArgs {
    /// How long it may take
    #[arg(long, value_parser = interval, default_value = "5s")]
    pub timeout: std::time::Duration,
    /// Of how many of the newest snapshots the manifests are read
    #[arg(long, default_value_t = 10)]
    pub manifests: usize,
    /// Also see whether a conditional create means something there: writes an object twice, and deletes it
    #[arg(long)]
    pub decides: bool,
}

fn after_help() -> String {
    let mut text = String::from("Variables:\n");
    for (names, meaning) in VARIABLES {
        text += &format!("  {names}\n          {}\n", meaning.replace('`', ""));
    }
    text += "\nExit codes: 0; 1 a snapshot is damaged; 2 usage; 65 refused, only a person can tell; 74 a step failed, the store or etcd does not answer; 78 configuration";
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        SnapshotCli::command().debug_assert();
    }
}
