//! The command line: every sentence of `--help`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};
use etcd_rejoin_decide::Retention;

use crate::layout::{Moment, SnapshotId};
use crate::settings::{OwnVariables, VARIABLES};

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
    pub fn over(&self, env: &mut OwnVariables) {
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
    /// Where several run for one cluster, one of them uploads. With a rule of `prune` it removes after each new snapshot
    /// what no rule keeps; without one all stay.
    Every(EveryArgs),
    /// List the snapshots
    List {
        /// Those that other programs left below the place: etcd-manager's, and any .db
        #[arg(long)]
        foreign: bool,
    },
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
        /// Another program's: its name, as `list --foreign` has it
        #[arg(long, value_name = "NAME", conflicts_with_all = ["snapshot", "at", "all"])]
        foreign: Option<String>,
    },
    /// Write a snapshot into a file, checked, as `etcdutl snapshot restore` takes it
    Fetch {
        /// Where to; it must not exist
        file: PathBuf,
        /// Which
        #[command(flatten)]
        which: Which,
        /// Another program's: its name, as `list --foreign` has it
        #[arg(long, value_name = "NAME", conflicts_with_all = ["snapshot", "at"])]
        foreign: Option<String>,
    },
    /// Restore a snapshot into a throw-away etcd on loopback, and compare what it holds
    ///
    /// Writes down beside the snapshot that it is proven. Exit code 1 where it is not what was saved. Needs etcd, and the
    /// etcdutl that comes with it (etcdctl before 3.5), on PATH or where REJOIN_ETCD says.
    Drill(DrillArgs),
    /// Remove the snapshots that no rule keeps
    ///
    /// Never removed: the newest, the newest that a drill has proven, those that a restore began with or an order names, and
    /// those of earlier lineages.
    Prune(PruneArgs),
    /// Order the cluster to be restored from a snapshot; list the orders; take one back
    ///
    /// Says what will be lost, reads the snapshot wholly, saves one more where the cluster answers, and writes the order
    /// into the store. Nothing changes by that alone: once the members are stopped and started again, and more than half
    /// of them wait for it, they carry it out.
    #[command(args_conflicts_with_subcommands = true)]
    Restore {
        /// What else to do.
        #[command(subcommand)]
        action: Option<RestoreAction>,
        /// The order.
        #[command(flatten)]
        order: OrderArgs,
    },
    /// Say who holds what, where the majority of the cluster is lost; order the members to go on with a survivor's data
    ///
    /// Asks every member that the store knows of at its peer URLs. Alone it changes nothing. With --from-survivor it says
    /// what may be missing, wants every member that does not answer named as destroyed, and writes an order into the
    /// store. Nothing changes by that alone: once all others wait for it, that member goes on with a copy of its data, and
    /// the others rejoin it.
    Recover(RecoverArgs),
    /// Read the store once, for the entrypoint: the marker, lineages, snapshots, orders
    #[command(hide = true)]
    Look(LookArgs),
    /// A step of the entrypoint's
    ///
    /// Exit code 0: it is so now. 1: it is not, and the last line says why.
    #[command(hide = true)]
    Entrypoint(EntrypointArgs),
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

/// An order to restore.
#[derive(Debug, Args)]
pub struct OrderArgs {
    /// Which
    #[command(flatten)]
    pub which: Which,
    /// Do not ask: for scripts
    #[arg(long)]
    pub yes: bool,
}

/// Who holds what, and who goes on.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// Go on with the data of this member; of the one that has most, if none is named
    #[arg(long, value_name = "MEMBER", num_args = 0..=1)]
    pub from_survivor: Option<Option<String>>,
    /// The data of this member is destroyed for good; once for each that does not answer
    #[arg(long, value_name = "NAME", requires = "from_survivor")]
    pub destroyed: Vec<String>,
    /// A peer URL to ask, beside those that are known
    #[arg(long = "peer", value_name = "URL")]
    pub peers: Vec<String>,
    /// Do not ask: for scripts
    #[arg(long)]
    pub yes: bool,
}

/// What to do with orders.
#[derive(Debug, Subcommand)]
pub enum RestoreAction {
    /// List the orders, and what became of them
    List,
    /// Take an order back; one that is begun is refused
    Cancel {
        /// Its number
        number: u64,
    },
}

/// Options of `drill`.
#[derive(Debug, Args)]
pub struct DrillArgs {
    /// Which
    #[command(flatten)]
    pub which: Which,
    /// Another program's: its name, as `list --foreign` has it; nothing is written down beside it
    #[arg(long, value_name = "NAME", conflicts_with_all = ["snapshot", "at"])]
    pub foreign: Option<String>,
    /// Where the database may lie meanwhile, twice; the machine's folder for such if not given
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

impl DrillArgs {
    /// Where the database may lie meanwhile.
    pub fn scratch(&self) -> PathBuf {
        self.scratch.clone().unwrap_or_else(std::env::temp_dir)
    }
}

/// Which snapshots stay, in restic's words.
#[derive(Debug, Args)]
pub struct KeepArgs {
    /// Keep the last N
    #[arg(long, value_name = "N", value_parser = count())]
    keep_last: Option<u32>,
    /// Keep the newest of each of the last N hours that have one
    #[arg(long, value_name = "N", value_parser = count())]
    keep_hourly: Option<u32>,
    /// The same of days, in UTC
    #[arg(long, value_name = "N", value_parser = count())]
    keep_daily: Option<u32>,
    /// The same of weeks, which begin on Monday
    #[arg(long, value_name = "N", value_parser = count())]
    keep_weekly: Option<u32>,
    /// The same of months
    #[arg(long, value_name = "N", value_parser = count())]
    keep_monthly: Option<u32>,
}

impl KeepArgs {
    /// What they say.
    pub fn rules(&self) -> Retention {
        Retention {
            last: self.keep_last.unwrap_or(0),
            hourly: self.keep_hourly.unwrap_or(0),
            daily: self.keep_daily.unwrap_or(0),
            weekly: self.keep_weekly.unwrap_or(0),
            monthly: self.keep_monthly.unwrap_or(0),
        }
    }
}

/// Options of `prune`. At least one rule keeps something.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("rules")
    .args(["keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly"])
    .required(true)
    .multiple(true))]
pub struct PruneArgs {
    /// What stays.
    #[command(flatten)]
    pub keep: KeepArgs,
    /// Remove nothing, and say what would be removed
    #[arg(long)]
    pub dry_run: bool,
}

/// A rule that keeps nothing is none.
fn count() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

/// Where monitors find the figures.
#[derive(Debug, Args)]
pub struct MetricsArgs {
    /// Write figures for Prometheus into this file, for the node exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
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
    /// Write down etcd's hash of the revision, for drills; it costs the member asked a look at everything
    #[arg(long)]
    pub hashkv: bool,
    /// For monitors.
    #[command(flatten)]
    pub metrics: MetricsArgs,
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
    /// What stays.
    #[command(flatten)]
    pub keep: KeepArgs,
    /// Save a last one when asked to stop (SIGTERM), within 25 seconds
    #[arg(long)]
    pub on_stop: bool,
    /// Serve figures for Prometheus at http://HOST:PORT/metrics
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics_listen: Option<String>,
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

/// A step of the entrypoint's.
#[derive(Debug, Args)]
pub struct EntrypointArgs {
    /// How long it may take; a restore, and what goes on with data, end when they are done
    #[arg(long, global = true, value_parser = interval, default_value = "10s")]
    pub timeout: std::time::Duration,
    /// Which.
    #[command(subcommand)]
    pub step: EntrypointStep,
}

/// The steps of the entrypoint's that need the store.
#[derive(Debug, Subcommand)]
pub enum EntrypointStep {
    /// Mark the place as a founding's
    Mark {
        /// Which founding
        #[arg(long, value_name = "HEX")]
        nonce: String,
        /// How people call it
        #[arg(long, value_name = "NAME", default_value = "")]
        cluster: String,
        /// Its cluster ID
        #[arg(long, value_name = "HEX")]
        cluster_id: String,
        /// The promise of a founder
        #[arg(long = "promise", value_name = "HEX", required = true)]
        promises: Vec<String>,
    },
    /// Record the peer URLs of a member
    RecordUrl {
        /// Its name
        #[arg(long)]
        name: String,
        /// One of them
        #[arg(long = "peer-url", value_name = "URL", required = true)]
        peer_urls: Vec<String>,
    },
    /// Begin a lineage
    BeginLineage {
        /// Its number
        #[arg(long, value_name = "N")]
        number: u64,
        /// Which one it is
        #[arg(long, value_name = "HEX")]
        nonce: String,
        /// Which one it goes on with
        #[arg(long, value_name = "HEX")]
        parent: String,
        /// Its cluster ID
        #[arg(long, value_name = "HEX")]
        cluster_id: String,
        /// The snapshot that it begins with; none where it goes on with a survivor's data
        #[arg(long, value_name = "ID")]
        base: Option<SnapshotId>,
    },
    /// Begin an order, unless it is cancelled
    BeginOrder {
        /// Its number
        #[arg(long, value_name = "N")]
        number: u64,
    },
    /// Make a data dir from a snapshot
    Restore {
        /// Which
        #[arg(long, value_name = "ID")]
        snapshot: SnapshotId,
        /// What it becomes.
        #[command(flatten)]
        into: IntoArgs,
    },
    /// Make a data dir from a survivor's
    Continue {
        /// The survivor's data dir, at rest
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// What it becomes.
        #[command(flatten)]
        into: IntoArgs,
    },
}

/// A cluster of one, in a data dir that is not there yet.
#[derive(Debug, Args)]
pub struct IntoArgs {
    /// The data dir
    #[arg(long, value_name = "DIR")]
    pub into: PathBuf,
    /// The member's name
    #[arg(long)]
    pub name: String,
    /// One of its peer URLs
    #[arg(long = "peer-url", value_name = "URL", required = true)]
    pub peer_urls: Vec<String>,
    /// The cluster's token
    #[arg(long)]
    pub token: String,
    /// Nobody writes to it until a second voter has caught up
    #[arg(long)]
    pub hold: bool,
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
