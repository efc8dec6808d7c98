//! Data that was set aside: list it, put it back.

use std::time::SystemTime;

use serde_json::json;

use super::{Exit, must_exist, print};
use crate::calendar::timestamp;
use crate::config::Config;
use crate::datadir::{LockError, SetAside, Volume};

fn volume(config: &Config) -> Volume {
    Volume::new(&config.data_dir, config.wal_dir.as_deref())
}

/// Prints what lies set aside, as text or as JSON.
pub fn list(config: &Config, as_json: bool) -> Exit {
    // "Nothing" where it is not mounted would tell somebody that the last copy is gone.
    if let Err(exit) = must_exist(config) {
        return exit;
    }
    match volume(config).quarantined() {
        Ok(all) if as_json => {
            let all: Vec<_> = all.iter().map(to_json).collect();
            print(&format!("{:#}\n", json!(all)))
        }
        Ok(all) if all.is_empty() => {
            let dir = config.data_dir.display();
            print(&format!("nothing is set aside in {dir}\n"))
        }
        Ok(all) => {
            let lines: Vec<String> = all.iter().map(|one| format!("{one}\n")).collect();
            print(&lines.concat())
        }
        Err(error) => {
            eprintln!("etcd-rejoin: {error}");
            Exit::FAILED
        }
    }
}

fn to_json(one: &SetAside) -> serde_json::Value {
    json!({
        "name": one.name,
        "path": one.path.display().to_string(),
        "wal": one.wal.as_ref().map(|wal| wal.display().to_string()),
        "member_id": one.member,
        "time": one.time.map(timestamp),
        "bytes": one.bytes,
        "counts": one.counts,
    })
}

/// Puts one back in its place.
pub fn put_back(config: &Config, name: &str) -> Exit {
    if let Err(exit) = must_exist(config) {
        return exit;
    }
    let volume = volume(config);
    let _lock = match volume.lock() {
        Ok(lock) => lock,
        Err(LockError::Held { holder }) => {
            eprintln!(
                "etcd-rejoin: {} is held by {holder}: stop it first",
                config.data_dir.display()
            );
            return Exit::REFUSED;
        }
        Err(LockError::Failed(error)) => {
            eprintln!("etcd-rejoin: {error}");
            return Exit::FAILED;
        }
    };
    match volume.put_back(name, SystemTime::now()) {
        Ok(()) => print(&format!(
            "put back {name}: the next start finds it in its place\n"
        )),
        Err(error) => {
            eprintln!("etcd-rejoin: {error}");
            Exit::FAILED
        }
    }
}
