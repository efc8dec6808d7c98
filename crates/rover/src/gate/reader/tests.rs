use super::*;
use proptest::prelude::*;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
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

/// keepalived is gone. What another test's thread forks just then has the FIFO open too, until it execs.
fn closed(keepalived: File, path: &Path) {
    use std::io::{ErrorKind, Read};
    drop(keepalived);
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let mut options = OpenOptions::new();
    let mut reader = (options.read(true).custom_flags(nonblock).open(path)).unwrap();
    for _ in 0..1000 {
        match reader.read(&mut [0; 1]) {
            Ok(0) => return,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            other => panic!("something is left in the FIFO: {other:?}"),
        }
    }
    panic!("somebody has the FIFO open");
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
    closed(keepalived, &path);
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
    closed(old, &path);
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
