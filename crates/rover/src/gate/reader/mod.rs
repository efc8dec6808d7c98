//! The rover's side of the gate: the latest wish, from the file or from the FIFO. Never waits.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::fifo::Fifo;
use super::notify::is_no_change;
use super::{Stamp, Wish, beside, boot_id, gate, missing, read_wish, write};
use crate::table::Gate;

/// Reads keepalived's latest wish. Cheap: ask it 10 to 20 times a second.
#[derive(Debug)]
pub struct GateReader {
    path: PathBuf,
    instance: Option<String>,
    boot: Result<String, String>,
    fifo: Option<Fifo>,
    gate: Gate,
    /// Who said it: a FIFO carries the lines of all instances.
    said_by: Option<String>,
    /// Another instance has spoken, and nobody told us which one counts.
    ambiguous: bool,
    problem: Option<String>,
}

impl GateReader {
    /// Of this file or FIFO, which may come into being later. With an instance's or group's name, only
    /// its lines count.
    pub fn open(path: &Path, instance: Option<&str>) -> GateReader {
        GateReader {
            path: path.into(),
            instance: instance.map(String::from),
            boot: boot_id().map_err(|error| error.to_string()),
            fifo: None,
            gate: Gate::Unknown,
            said_by: None,
            ambiguous: false,
            problem: None,
        }
    }

    /// The latest wish. Several may have come since the last look; only the last one counts.
    pub fn latest(&mut self) -> Gate {
        self.problem = None;
        // First what the FIFO still holds: keepalived writes STOP, then removes the FIFO that it made.
        self.drain();
        match std::fs::metadata(&self.path) {
            Ok(meta) if meta.file_type().is_fifo() => self.look_at_fifo(&meta),
            Ok(_) => {
                self.fifo = None;
                self.look_at_file();
            }
            // A FIFO that is gone takes nothing back; a file that is gone says nothing.
            Err(error) if missing(&error) && self.fifo.is_some() => {}
            Err(error) => {
                self.gate = Gate::Unknown;
                self.problem = Some(match missing(&error) {
                    true => format!(
                        "{} is not there yet: keepalived has said nothing",
                        self.path.display()
                    ),
                    false => format!("cannot look at {}: {error}", self.path.display()),
                });
            }
        }
        let gate = match self.ambiguous {
            true => Gate::Unknown,
            false => self.gate,
        };
        if gate == Gate::Unknown && self.problem.is_none() {
            let shown = self.path.display();
            self.problem = Some(format!("keepalived has said nothing yet at {shown}"));
        }
        gate
    }

    /// Why the wish is not known, or what else is odd; for status and log.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// keepalived does not run: nobody has the FIFO open. A file does not tell.
    ///
    /// For status and log only. Its virtual address may still be there, and a child of keepalived that
    /// was killed comes back within a second or two: the last wish stands.
    pub fn keepalived_gone(&self) -> bool {
        self.fifo.as_ref().is_some_and(|fifo| fifo.no_writer)
    }

    fn look_at_file(&mut self) {
        let shown = self.path.display();
        match (read_wish(&self.path), &self.boot) {
            (Ok(Some(wish)), Ok(boot)) if wish.boot != *boot => {
                self.gate = Gate::Unknown;
                self.problem = Some(format!("{shown} was written in an earlier boot"));
            }
            (Ok(Some(wish)), Ok(_)) => match &self.instance {
                Some(instance) if wish.name != *instance => {
                    self.gate = Gate::Unknown;
                    self.problem = Some(format!(
                        "{shown} is about {}, and REJOIN_GATE_INSTANCE={instance}: let `notify --instance \
                         {instance}` pass over the others",
                        wish.name
                    ));
                }
                Some(_) | None => self.gate = wish.gate,
            },
            (Ok(None), _) => self.gate = Gate::Unknown,
            (Err(why), _) => {
                self.gate = Gate::Unknown;
                self.problem = Some(format!("{shown} {why}"));
            }
            (_, Err(why)) => {
                self.gate = Gate::Unknown;
                self.problem = Some(why.clone());
            }
        }
    }

    fn look_at_fifo(&mut self, meta: &Metadata) {
        let id = (meta.dev(), meta.ino());
        if self.fifo.as_ref().is_none_or(|fifo| fifo.id != id) {
            let first = self.fifo.is_none() && self.said_by.is_none();
            match Fifo::open(&self.path) {
                Ok(fifo) => self.fifo = Some(fifo),
                Err(error) => {
                    self.gate = Gate::Unknown;
                    self.problem = Some(format!("cannot open {}: {error}", self.path.display()));
                    return;
                }
            }
            let heard = self.drain();
            if first && !heard {
                self.recall();
            }
        }
        if self.keepalived_gone() {
            self.problem = Some(format!(
                "nobody writes to {}: keepalived does not run, its last word stands",
                self.path.display()
            ));
        }
        if self.ambiguous {
            self.problem = Some(format!(
                "{} carries several VRRP instances: name ours in REJOIN_GATE_INSTANCE",
                self.path.display()
            ));
        }
    }

    /// Whoever read the FIFO before us has taken the lines with it, and noted the last one beside it.
    /// That holds as long as the keepalived that said it runs: a new one begins with BACKUP, in the FIFO.
    fn recall(&mut self) {
        if self.keepalived_gone() {
            return;
        }
        let Ok(Some(wish)) = read_wish(&beside(&self.path, ".last")) else {
            return;
        };
        let ours = (self.instance.as_ref()).is_none_or(|instance| *instance == wish.name);
        if ours && self.boot.as_ref() == Ok(&wish.boot) {
            self.gate = wish.gate;
            self.said_by = Some(wish.name);
        }
    }

    /// Reads what waits in the FIFO; whether a line of ours was in it.
    fn drain(&mut self) -> bool {
        let Some(fifo) = &mut self.fifo else {
            return false;
        };
        let (lines, lost) = match fifo.lines() {
            Ok(read) => read,
            Err(error) => {
                self.problem = Some(format!("cannot read {}: {error}", self.path.display()));
                return false;
            }
        };
        let before = (self.gate, self.said_by.clone());
        let mut heard = false;
        for line in lines {
            heard |= self.hear(&line);
        }
        if lost {
            // keepalived drops what a full FIFO does not take, without a word. Its last line may be one.
            self.gate = Gate::Unknown;
            self.problem = Some(format!("{} was full: its end is lost", self.path.display()));
        }
        if heard && before != (self.gate, self.said_by.clone()) {
            self.note();
        }
        heard || lost
    }

    /// One line: `INSTANCE "etcd" MASTER 100`. Whether it was for us.
    fn hear(&mut self, line: &str) -> bool {
        let Some((kind, name, word)) = parse(line) else {
            return false;
        };
        let ours = match &self.instance {
            Some(instance) => name == instance,
            None => kind == "INSTANCE",
        };
        if !ours || is_no_change(word) {
            return false;
        }
        if self.instance.is_none() && self.said_by.as_deref().is_some_and(|other| other != name) {
            self.ambiguous = true;
        }
        self.gate = gate(word).unwrap_or(Gate::Unknown);
        self.said_by = Some(name.into());
        true
    }

    /// For the next reader. Where that fails, the next one waits for keepalived's next word.
    fn note(&mut self) {
        let (Ok(boot), Some(name)) = (&self.boot, &self.said_by) else {
            return;
        };
        let stamp = Stamp {
            ticks: 0,
            pid: std::process::id(),
        };
        let (gate, boot, name) = (self.gate, boot.clone(), name.clone());
        let wish = Wish {
            gate,
            stamp,
            boot,
            name,
        };
        if let Err(error) = write(&beside(&self.path, ".last"), &wish.to_string()) {
            self.problem = Some(error.to_string());
        }
    }
}

/// Kind, name and state of a line. Names are quoted, and may hold blanks.
fn parse(line: &str) -> Option<(&str, &str, &str)> {
    let (kind, rest) = line.split_once(" \"")?;
    let (name, rest) = rest.rsplit_once("\" ")?;
    let state = rest.split(' ').next()?;
    let known = matches!(kind, "INSTANCE" | "GROUP") && !state.is_empty();
    known.then_some((kind, name, state))
}

#[cfg(test)]
pub(super) mod tests;
