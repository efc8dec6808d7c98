//! The rover's side of the gate: the latest wish, from the file or from the FIFO. Never waits.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::notify::is_no_change;
use super::{Stamp, Wish, beside, boot_id, gate, missing, read_wish, write};
use crate::decide::volume::Gate;

/// A line without an end is no line of keepalived.
const MAX_LINE: usize = 1024;

/// How much a FIFO holds, where the kernel does not say.
const PIPE: usize = 65_536;

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

/// An open FIFO, and the beginning of a line that has not ended yet.
#[derive(Debug)]
struct Fifo {
    file: File,
    id: (u64, u64),
    partial: Vec<u8>,
    room: usize,
    /// Nobody has it open for writing: keepalived does not run.
    no_writer: bool,
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

    /// keepalived does not run: nobody has the FIFO open. Of a file nobody knows.
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
                        "{shown} is about {}, and REJOIN_GATE_INSTANCE={instance}",
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

impl Fifo {
    /// For reading only: then an empty FIFO tells whether anybody has it open for writing (fifo(7)).
    fn open(path: &Path) -> std::io::Result<Fifo> {
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nonblock)
            .open(path)?;
        let meta = file.metadata()?;
        if !meta.file_type().is_fifo() {
            return Err(ErrorKind::NotFound.into());
        }
        let room = rustix::pipe::fcntl_getpipe_size(&file).unwrap_or(PIPE);
        Ok(Fifo {
            id: (meta.dev(), meta.ino()),
            file,
            partial: Vec::new(),
            room,
            no_writer: false,
        })
    }

    /// The whole lines that wait, and whether it was so full that later ones may be lost.
    fn lines(&mut self) -> std::io::Result<(Vec<String>, bool)> {
        let mut lines = Vec::new();
        let mut read = 0;
        let mut buffer = [0; 4096];
        // As much as it holds, no more: a writer without end must not keep us here.
        while read <= self.room {
            match self.file.read(&mut buffer) {
                Ok(0) => {
                    self.no_writer = true;
                    self.partial.clear();
                    break;
                }
                Ok(n) => {
                    read += n;
                    self.no_writer = false;
                    for byte in &buffer[..n] {
                        match byte {
                            b'\n' => {
                                let line = std::mem::take(&mut self.partial);
                                lines.push(String::from_utf8_lossy(&line).into_owned());
                            }
                            // The end of an endless line is no line either: it stays too long.
                            byte if self.partial.len() <= MAX_LINE => self.partial.push(*byte),
                            _ => {}
                        }
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.no_writer = false;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        lines.retain(|line| line.len() <= MAX_LINE);
        // A page at its end may be too small for one more line.
        Ok((lines, read + 4096 > self.room))
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
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use tempfile::TempDir;

    pub(crate) fn make_fifo(path: &Path) {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    }

    /// A FIFO that keepalived has open, as it opens it.
    fn fifo() -> (TempDir, PathBuf, File) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gate");
        make_fifo(&path);
        let keepalived = keepalived(&path);
        (dir, path, keepalived)
    }

    fn keepalived(path: &Path) -> File {
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let mut options = OpenOptions::new();
        (options
            .read(true)
            .write(true)
            .custom_flags(nonblock)
            .open(path))
        .unwrap()
    }

    fn say(mut to: &File, text: &str) {
        to.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn lines_wait_for_a_late_reader_and_the_last_one_counts() {
        let (_dir, path, keepalived) = fifo();
        let said = "INSTANCE \"etcd\" BACKUP 100\nINSTANCE \"etcd\" MASTER 100\n";
        say(&keepalived, said);
        let mut reader = GateReader::open(&path, None);
        assert_eq!(reader.latest(), Gate::Master);
        say(
            &keepalived,
            "INSTANCE \"etcd\" FAULT 100\nINSTANCE \"etcd\" BACKUP 100\nGROUP \"g\" MASTER 0\n",
        );
        assert_eq!(reader.latest(), Gate::Backup);
        assert_eq!(reader.problem(), None);
    }

    #[test]
    fn half_a_line_waits_for_its_other_half() {
        let (_dir, path, keepalived) = fifo();
        let mut reader = GateReader::open(&path, None);
        say(&keepalived, "INSTANCE \"etcd\" MAS");
        assert_eq!(reader.latest(), Gate::Unknown);
        say(&keepalived, "TER 100\nINSTANCE \"etcd\" BACK");
        assert_eq!(reader.latest(), Gate::Master);
    }

    #[test]
    fn what_changes_no_state_is_not_heard() {
        let (_dir, path, keepalived) = fifo();
        let mut reader = GateReader::open(&path, None);
        say(&keepalived, "INSTANCE \"etcd\" MASTER 100\n");
        say(
            &keepalived,
            "INSTANCE \"etcd\" MASTER_RX_LOWER_PRI 100\nINSTANCE \"etcd\" MASTER_PRIORITY 90\ngarbage\n\n\u{ff}\n",
        );
        assert_eq!(reader.latest(), Gate::Master);
        say(&keepalived, "INSTANCE \"etcd\" SOMETHING 100\n");
        assert_eq!(reader.latest(), Gate::Unknown);
    }

    #[test]
    fn several_instances_need_a_name() {
        let (_dir, path, keepalived) = fifo();
        let mut reader = GateReader::open(&path, None);
        let mut named = GateReader::open(&path, Some("other"));
        say(
            &keepalived,
            "INSTANCE \"etcd\" MASTER 100\nINSTANCE \"other\" BACKUP 100\n",
        );
        assert_eq!(reader.latest(), Gate::Unknown);
        assert!(reader.problem().unwrap().contains("REJOIN_GATE_INSTANCE"));
        say(
            &keepalived,
            "INSTANCE \"etcd\" MASTER 100\nGROUP \"other\" FAULT 0\n",
        );
        assert_eq!(named.latest(), Gate::Fault);
    }

    #[test]
    fn a_restarted_reader_knows_the_last_wish_while_keepalived_runs() {
        let (_dir, path, keepalived) = fifo();
        say(&keepalived, "INSTANCE \"etcd\" MASTER 100\n");
        assert_eq!(GateReader::open(&path, None).latest(), Gate::Master);
        assert_eq!(GateReader::open(&path, None).latest(), Gate::Master);
        assert_eq!(GateReader::open(&path, Some("x")).latest(), Gate::Unknown);
        drop(keepalived);
        let mut reader = GateReader::open(&path, None);
        assert_eq!(reader.latest(), Gate::Unknown);
        assert!(reader.keepalived_gone());
    }

    #[test]
    fn a_restarted_reader_hears_what_came_meanwhile() {
        let (_dir, path, keepalived) = fifo();
        say(&keepalived, "INSTANCE \"etcd\" MASTER 100\n");
        assert_eq!(GateReader::open(&path, None).latest(), Gate::Master);
        say(&keepalived, "INSTANCE \"etcd\" STOP 100\n");
        assert_eq!(GateReader::open(&path, None).latest(), Gate::Stop);
    }

    #[test]
    fn a_dead_keepalived_leaves_its_last_wish() {
        let (_dir, path, old) = fifo();
        let mut reader = GateReader::open(&path, None);
        say(&old, "INSTANCE \"etcd\" MASTER 100\n");
        assert_eq!(
            (reader.latest(), reader.keepalived_gone()),
            (Gate::Master, false)
        );
        drop(old);
        assert_eq!(
            (reader.latest(), reader.keepalived_gone()),
            (Gate::Master, true)
        );
        let new = keepalived(&path);
        say(&new, "INSTANCE \"etcd\" BACKUP 100\n");
        assert_eq!(
            (reader.latest(), reader.keepalived_gone()),
            (Gate::Backup, false)
        );
    }

    #[test]
    fn a_fifo_that_keepalived_removed_and_made_again_is_found() {
        let (_dir, path, old) = fifo();
        let mut reader = GateReader::open(&path, None);
        say(&old, "INSTANCE \"etcd\" MASTER 100\n");
        assert_eq!(reader.latest(), Gate::Master);
        say(&old, "INSTANCE \"etcd\" STOP 100\n");
        drop(old);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(reader.latest(), Gate::Stop);
        make_fifo(&path);
        say(&keepalived(&path), "nothing of use\n");
        assert_eq!(reader.latest(), Gate::Stop);
        let new = keepalived(&path);
        say(&new, "INSTANCE \"etcd\" MASTER 100\n");
        assert_eq!(reader.latest(), Gate::Master);
    }

    #[test]
    fn a_full_fifo_has_lost_its_end() {
        let (_dir, path, mut keepalived) = fifo();
        while keepalived.write(b"INSTANCE \"etcd\" MASTER 100\n").is_ok() {}
        let mut reader = GateReader::open(&path, None);
        assert_eq!(reader.latest(), Gate::Unknown);
        assert!(reader.problem().unwrap().contains("was full"));
        say(&keepalived, "INSTANCE \"etcd\" MASTER 100\n");
        assert_eq!(reader.latest(), Gate::Master);
    }

    #[test]
    fn an_endless_line_takes_no_memory() {
        let (_dir, path, keepalived) = fifo();
        let mut reader = GateReader::open(&path, None);
        for _ in 0..40 {
            say(&keepalived, &"x".repeat(60_000));
            assert_eq!(reader.latest(), Gate::Unknown);
        }
        say(&keepalived, "\nINSTANCE \"etcd\" MASTER 100\n");
        assert_eq!(reader.latest(), Gate::Master);
    }

    #[test]
    fn a_gate_file_counts_in_its_own_boot_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gate");
        let mut reader = GateReader::open(&path, None);
        let mut other = GateReader::open(&path, Some("other"));
        assert_eq!(reader.latest(), Gate::Unknown);
        let boot = boot_id().unwrap();
        for (text, gate) in [
            (format!("MASTER 1.1 {boot} etcd\n"), Gate::Master),
            ("MASTER 1.1 earlier etcd\n".into(), Gate::Unknown),
            (format!("STOP 1.1 {boot} etcd\n"), Gate::Stop),
            ("garbage".into(), Gate::Unknown),
            ("x".repeat(1 << 20), Gate::Unknown),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(reader.latest(), gate);
            assert_eq!(reader.problem().is_some(), gate == Gate::Unknown);
            assert_eq!(other.latest(), Gate::Unknown);
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(reader.latest(), Gate::Unknown);
        std::fs::create_dir(&path).unwrap();
        assert_eq!(reader.latest(), Gate::Unknown);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in ".*") {
            let _ = parse(&line);
        }
    }
}
