//! The rover's side of the gate: the latest wish. Never waits.

use std::path::{Path, PathBuf};

use super::{Wish, boot_id, read_wish};
use crate::table::Gate;

/// Reads keepalived's latest wish. Cheap: ask it 10 to 20 times a second.
#[derive(Debug)]
pub struct GateReader {
    path: PathBuf,
    boot: Result<String, String>,
    problem: String,
}

impl GateReader {
    /// Of this file, which may come into being later.
    pub fn open(path: &Path) -> GateReader {
        GateReader {
            path: path.into(),
            boot: boot_id().map_err(|error| error.to_string()),
            problem: String::new(),
        }
    }

    /// The latest wish.
    pub fn latest(&mut self) -> Gate {
        match self.wish() {
            Ok(gate) => {
                self.problem.clear();
                gate
            }
            Err(why) => {
                self.problem = why;
                Gate::Unknown
            }
        }
    }

    /// Why the wish is not known; empty where it is. For status and log.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    fn wish(&self) -> Result<Gate, String> {
        let shown = self.path.display();
        let wish: Wish = match read_wish(&self.path) {
            Ok(Some(wish)) => wish,
            Ok(None) => {
                return Err(format!(
                    "{shown} is not there yet: keepalived has said nothing"
                ));
            }
            Err(why) => return Err(format!("{shown} {why}")),
        };
        if wish.boot != *self.boot.as_ref()? {
            return Err(format!("{shown} was written in an earlier boot"));
        }
        Ok(wish.gate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wish_of_this_boot_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gate");
        let read = || {
            let mut reader = GateReader::open(&path);
            (reader.latest(), reader.problem().to_string())
        };
        assert!(read().1.contains("has said nothing"));
        let boot = boot_id().unwrap();
        std::fs::write(&path, format!("MASTER 7.1 {boot} VI 1\n")).unwrap();
        assert_eq!(read(), (Gate::Master, String::new()));
        for (text, why) in [
            ("MASTER 7.1 earlier etcd\n".to_string(), "an earlier boot"),
            (format!("MASTER 7.1 {boot} etcd"), "no wish"),
            ("\u{0}".into(), "no wish"),
            ("x".repeat(9999), "no wish"),
        ] {
            std::fs::write(&path, text).unwrap();
            let (gate, problem) = read();
            assert!(gate == Gate::Unknown && problem.contains(why), "{problem}");
        }
    }
}
