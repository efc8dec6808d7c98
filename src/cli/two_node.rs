//! The words of `two-node`: what `--help` says of them.

use clap::Subcommand;

use super::member::{EnvFile, EtcdFlags};
use crate::rover::commands::init::InitArgs;
use crate::rover::two_node::args::{CheckArgs, TwoNodeArgs};

/// What to do about a member that lives on two machines.
#[derive(Debug, Subcommand)]
pub enum TwoNodeAction {
    /// Write DRBD's, keepalived's and the members' configuration for two machines
    ///
    /// Into a folder for each machine, with a text that says what to copy where. Secrets are random
    /// unless files hold them. `drbdadm` and `keepalived`, where they are installed, are asked whether
    /// they take what was written. Ends with 78 where a value is wrong, 74 where a file exists, does not
    /// write, or is refused.
    Config(Box<TwoNodeArgs>),
    /// Name what is dangerous in a machine's DRBD, keepalived and member configuration
    ///
    /// One finding a line: how bad, where, its name, what is so, and the cure. Changes nothing. Ends with
    /// 0 where nothing is found, 1 where there are warnings only, 65 where writes can be lost or a member
    /// can stay away unseen.
    Check(CheckArgs),
    /// Set up the volume: DRBD's metadata, then with --first the first generation and a file system
    ///
    /// Run it on both machines, then with --first on exactly one of them (or with --first at once on the
    /// one: it waits for the other). Asks nothing. Refuses (exit code 65) where it finds anything: a
    /// signature, a file system, DRBD's metadata with data, a peer with data. A fresh disk beside a peer
    /// with data only gets its metadata, and then receives that data.
    Init(InitArgs),
    /// Allow one promotion that may lose acknowledged writes, where no evidence allows it
    Promote {
        /// Yes: for this once, and within five minutes
        #[arg(long)]
        accept_loss: bool,
        /// What the member is started with.
        #[command(flatten)]
        file: EnvFile,
        /// Where etcd is configured by flags.
        #[command(flatten)]
        etcd: EtcdFlags,
    },
    /// Say what the volume is here, what the member's entrypoint makes of it, and why
    ///
    /// Changes nothing, and ends with 0 whatever it sees. `etcd-rejoin status` says the same, and about the
    /// member itself, where the volume is mounted.
    #[command(after_long_help = STATUS_KEYS)]
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// What the member is started with.
        #[command(flatten)]
        file: EnvFile,
        /// Where etcd is configured by flags.
        #[command(flatten)]
        etcd: EtcdFlags,
    },
}

/// The keys of `two-node status --json`. They stay; new ones may be added.
const STATUS_KEYS: &str = "\
Keys of --json, which stay as they are; new ones may come:
  name         ETCD_NAME
  volume       resource; state; mounted; mount, in words; split_brain: in words, with the way out, or null;
               promotable: whether this machine could take it, and why; rover: its last report (gate,
               decision, reason, ...), or no_rover: why there is none";

/// What others call on the machine.
pub const HOOKS: &str = "\
Hooks, which `two-node config` puts where they belong; each has its --help:
  etcd-rejoin notify            keepalived's notify script
  etcd-rejoin probe promotable  the check of keepalived's vrrp_script
  etcd-rejoin fence-peer        DRBD's fence-peer handler, which the kernel runs
";
