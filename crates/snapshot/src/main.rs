//! The program: takes arguments and environment, and ends.

use clap::Parser as _;

use etcd_rejoin_host::tied;
use etcd_rejoin_snapshot::cli::SnapshotCli;
use etcd_rejoin_snapshot::commands;
use etcd_rejoin_snapshot::settings;

fn main() {
    if let Some(code) = tied::between(std::env::args_os()) {
        std::process::exit(code);
    }
    let cli = SnapshotCli::parse_from(std::env::args_os());
    std::process::exit(commands::run(cli, settings::own()).0)
}
