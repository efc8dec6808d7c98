//! The words of `two-node config` and `two-node check`.

use std::path::PathBuf;

/// DRBD's two grammars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Grammar {
    /// The module of the ordinary kernel.
    #[value(name = "8.4")]
    V84,
    /// LINBIT's module.
    #[value(name = "9")]
    V9,
}

/// What `two-node config` is told. Values are checked later, all at once.
#[derive(Debug, Default, clap::Args)]
pub struct TwoNodeArgs {
    /// Where to write: a folder for each machine, with what to copy there. No file is ever overwritten
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// A machine, given twice: name=HOST,lan=ADDRESS,replication=ADDRESS,disk=DEVICE[,interface=NAME]
    ///
    /// HOST is what `uname -n` prints there. The lan address is on the network of the virtual IP; the
    /// replication address is on another network, so that one cut cable is not both.
    #[arg(long = "machine", value_name = "KEY=VALUE,...", required = true)]
    pub machines: Vec<String>,
    /// The address that follows the roving member, with its prefix: 10.1.0.100/24
    ///
    /// Its last byte is the VRRP router ID: two pairs of machines on one network need two of them.
    #[arg(long, value_name = "ADDRESS/PREFIX")]
    pub virtual_ip: String,
    /// The network interface of the virtual IP, where both machines call it the same
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// An address that answers a ping as long as the LAN is well: who does not reach it lets the member go
    ///
    /// Where neither machine reaches it, the roving member stops until one does.
    #[arg(long, value_name = "ADDRESS")]
    pub gateway: Option<String>,
    /// Which DRBD the machines have: `cat /sys/module/drbd/version`
    #[arg(long, value_enum, value_name = "VERSION", required = true)]
    pub drbd: Option<Grammar>,
    /// Either machine may die: the path of a program or script, without arguments, that surely turns the other
    /// one off. Exit code 0 means that it is off
    #[arg(long, value_name = "PROGRAM")]
    pub fence_command: Option<String>,
    /// Any one of three machines may die: the third one, HOST=ADDRESS, has no data and gives one side the
    /// quorum. DRBD 9 only
    #[arg(long, value_name = "HOST=ADDRESS")]
    pub tie_breaker: Option<String>,
    /// Only the machine that does not run the roving member may die; the loss of the other one waits for a person
    #[arg(long)]
    pub without_fencing: bool,
    /// With it everything is TLS: the folder of ca.crt, peer.crt and peer.key on the machines
    #[arg(long, value_name = "DIR")]
    pub pki: Option<String>,
    /// The file `secret` of an earlier call, to write the same once more [default: a new one]
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
}

/// What `two-node check` is told.
#[derive(Debug, Default, clap::Args)]
pub struct CheckArgs {
    /// DRBD's configuration
    #[arg(long, value_name = "FILE", default_value = "/etc/drbd.conf")]
    pub drbd_conf: PathBuf,
    /// keepalived's configuration
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/keepalived/keepalived.conf"
    )]
    pub keepalived_conf: PathBuf,
    /// The roving member's environment, as lines NAME=VALUE
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/etcd-rejoin/etcd3.env"
    )]
    pub env_file: PathBuf,
    /// Where the machine's file system is seen from here: /host in a container that has it there. All files
    /// that are named are looked for below it
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}
