//! Does a snapshot come back, whatever happens on its way? The program as it is, beside real etcd and real S3 servers.

#[path = "backups/drills.rs"]
mod drills;
#[path = "backups/examples.rs"]
mod examples;
#[path = "backups/faults.rs"]
mod faults;
#[path = "backups/foreign.rs"]
mod foreign;
#[path = "backups/monitors.rs"]
mod monitors;
#[path = "backups/pruned.rs"]
mod pruned;
mod support;
