//! How a person names the member that a command is about.

use std::ffi::OsString;
use std::path::PathBuf;

/// The file with the environment that the member is started with.
#[derive(Debug, Default, clap::Args)]
pub struct EnvFile {
    /// The member's environment, as lines NAME=VALUE, over the one of this call; a shell's `export` before a name
    /// is passed over
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
}

/// What follows `--`.
#[derive(Debug, Default, clap::Args)]
pub struct EtcdFlags {
    /// etcd's flags, after `--`, where etcd is configured by flags
    #[arg(last = true, allow_hyphen_values = true, value_name = "ETCD_FLAGS")]
    pub etcd_flags: Vec<OsString>,
}
