//! The commands: one function each.

pub mod defrag;
pub mod dispatch;
pub mod leave;
pub mod members;
mod other;
pub mod probe;
pub mod quarantine;
pub mod rove;
pub mod status;

pub use etcd_rejoin_host::exit::{Exit, print};

use crate::config::Config;

/// Says that there is no such data dir: its name is misspelt then, or its volume is not mounted.
fn must_exist(config: &Config) -> Result<(), Exit> {
    match std::fs::metadata(&config.data_dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let dir = config.data_dir.display();
            eprintln!(
                "etcd-rejoin: there is no data dir {dir}: is ETCD_DATA_DIR right, and its volume mounted?"
            );
            Err(Exit::FAILED)
        }
        Ok(_) | Err(_) => Ok(()),
    }
}
