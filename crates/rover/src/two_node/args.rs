//! The words of `two-node config` and `two-node check`.

use std::path::PathBuf;

use super::plan::Grammar;

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
    #[arg(long, value_name = "ADDRESS/PREFIX")]
    pub virtual_ip: String,
    /// The network interface of the virtual IP, where both machines call it the same
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// Which DRBD the machines have: `cat /sys/module/drbd/version`
    #[arg(long, value_enum, value_name = "VERSION", required = true)]
    pub drbd: Option<Grammar>,
    /// A third machine without data, HOST=ADDRESS, that gives one side the quorum: DRBD 9 only
    ///
    /// With it the loss of any one of the three machines is survived without fencing.
    #[arg(long, value_name = "HOST=ADDRESS")]
    pub tie_breaker: Option<String>,
    /// The path of a program or script, without arguments, that surely turns the other machine off: exit code 0
    /// means that it is off
    #[arg(long, value_name = "PROGRAM")]
    pub fence_command: Option<String>,
    /// Reboot a machine that cannot let go of the volume in time (REJOIN_SELF_FENCE=reboot)
    #[arg(long)]
    pub self_fence: bool,
    /// The name of the DRBD resource
    #[arg(long, value_name = "NAME", default_value = "etcd")]
    pub resource: String,
    /// The minor number of the DRBD device
    #[arg(long, value_name = "N", default_value = "0")]
    pub minor: String,
    /// The VRRP router ID, 1 to 255 [default: the last byte of the virtual IP]
    ///
    /// Two pairs of machines on one network need two of them.
    #[arg(long, value_name = "N")]
    pub vrid: Option<String>,
    /// The seconds between two VRRP announcements
    #[arg(long, value_name = "SECONDS", default_value = "1")]
    pub advert_int: String,
    /// Announce by multicast, not from address to address
    #[arg(long)]
    pub multicast: bool,
    /// keepalived writes its wishes into a FIFO at the gate's path, instead of calling `notify`
    #[arg(long)]
    pub fifo: bool,
    /// Where keepalived's wish is kept, on a file system that a reboot empties
    #[arg(long, value_name = "PATH", default_value = "/run/etcd-rejoin/gate")]
    pub gate: String,
    /// Where the volume is mounted
    #[arg(long, value_name = "DIR", default_value = "/var/lib/etcd3")]
    pub mount: String,
    /// Where this program lies on the machines themselves: keepalived and the kernel call it there
    #[arg(long, value_name = "PATH", default_value = "/usr/bin/etcd-rejoin")]
    pub program: String,
    /// The port of the replication
    #[arg(long, value_name = "PORT", default_value = "7789")]
    pub drbd_port: String,
    /// The port at which the two entrypoints answer each other
    #[arg(long, value_name = "PORT", default_value = "7790")]
    pub fence_port: String,
    /// etcd's port for clients
    #[arg(long, value_name = "PORT", default_value = "2379")]
    pub client_port: String,
    /// etcd's port for members
    #[arg(long, value_name = "PORT", default_value = "2380")]
    pub peer_port: String,
    /// The initial cluster's token [default: random]
    #[arg(long, value_name = "TOKEN")]
    pub cluster_token: Option<String>,
    /// The CA of members and clients: its path on the machines. With it everything is TLS
    #[arg(long, value_name = "PATH")]
    pub ca: Option<String>,
    /// The machine's certificate: its path on the machines
    #[arg(long, value_name = "PATH")]
    pub cert: Option<String>,
    /// The key of that certificate
    #[arg(long, value_name = "PATH")]
    pub key: Option<String>,
    /// The roving member's certificate, for the virtual IP [default: the machine's]
    #[arg(long, value_name = "PATH")]
    pub roving_cert: Option<String>,
    /// The key of that certificate
    #[arg(long, value_name = "PATH")]
    pub roving_key: Option<String>,
    /// A file with the VRRP password, 1 to 8 characters [default: random]
    #[arg(long, value_name = "FILE")]
    pub vrrp_password_file: Option<PathBuf>,
    /// A file with the secret that the entrypoints share, at least 32 bytes [default: random]
    #[arg(long, value_name = "FILE")]
    pub fence_key_file: Option<PathBuf>,
}

/// What `two-node check` is told.
#[derive(Debug, Default, clap::Args)]
pub struct CheckArgs {
    /// DRBD's configuration
    #[arg(long, value_name = "FILE", default_value = "/etc/drbd.conf")]
    pub drbd_conf: PathBuf,
    /// keepalived's configuration; given twice, the second is the other machine's
    #[arg(
        long = "keepalived-conf",
        value_name = "FILE",
        default_value = "/etc/keepalived/keepalived.conf"
    )]
    pub keepalived_conf: Vec<PathBuf>,
    /// The roving member's environment, as lines NAME=VALUE [default: REJOIN_* of this call]
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// Where the machine's file system is seen from here: /host in a container that has it there. All files
    /// that are named are looked for below it
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Which DRBD the machine has, where neither module nor grammar tells
    #[arg(long, value_enum, value_name = "VERSION")]
    pub drbd: Option<Grammar>,
}
