//! Does real etcd agree with what is said about a data dir?

mod support;

#[path = "notes/etcd.rs"]
mod etcd;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use etcd::{Etcd, copy};
use etcd_rejoin::datadir::{Depth, Finding, Known, LockError, Volume, tree};
use support::{Version, scenarios};

scenarios! {
    each:
        healthy_data_is_never_called_damaged,
        data_that_is_killed_at_any_moment_is_never_called_damaged,
        a_log_of_several_files_is_read_and_needs_its_first_one_or_a_snapshot,
        real_etcd_agrees_about_damage,
        real_etcd_repairs_a_torn_write_across_the_end_of_a_segment,
        a_flipped_page_header_is_found,
        a_running_etcd_holds_the_data_dir,
        what_was_put_back_is_served_again;
}

fn look(data: &Path) -> Finding {
    Volume::new(data, None)
        .inspect(Depth::Deep)
        .unwrap()
        .finding
}

/// What is found for an etcd of this version.
fn look_for(version: Version, data: &Path) -> Finding {
    let [major, minor, _] = version.number().map(u64::from);
    let (known, now) = (Known::default(), SystemTime::now());
    Volume::new(data, None)
        .inspect_again(Depth::Deep, &known, now, &|| Some((major, minor).into()))
        .unwrap()
        .finding
}

fn is_own(data: &Path) -> bool {
    match look(data) {
        Finding::Own { .. } => true,
        Finding::Damaged { .. } | Finding::Empty => false,
    }
}

fn db(data: &Path) -> PathBuf {
    data.join("member/snap/db")
}

/// The files of a directory with this ending, sorted.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.retain(|path| path.to_str().unwrap().ends_with(ending));
    files.sort();
    files
}

/// Writes these bytes over a file's at an offset.
fn scribble(path: &Path, offset: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, offset).unwrap();
}

fn healthy_data_is_never_called_damaged(version: Version) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let more = ["--snapshot-count", "50"];
    for round in 0..3 {
        let mut etcd = Etcd::start(version, &data, &more).healthy();
        etcd.put(round * 3000, 3000, 20);
        etcd.put(20_000, 3, 700_000);
        // Killed in the middle of its writes, and looked at as it lies there.
        std::thread::scope(|scope| {
            scope.spawn(|| etcd.put(30_000, 500, 2000));
            etcd.delete(round * 3000 + 500, round * 3000 + 2500);
        });
        etcd.kill();
        assert!(is_own(&data), "{version}: {:?}", look(&data));
    }
    let mut etcd = Etcd::start(version, &data, &more).healthy();
    etcd.post("maintenance/defragment", &serde_json::json!({}));
    etcd.kill();
    assert!(is_own(&data), "{version}: {:?}", look(&data));
    assert!(!files(&data.join("member/snap"), ".snap").is_empty());
}

fn data_that_is_killed_at_any_moment_is_never_called_damaged(version: Version) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for round in 0..6 {
        let etcd = Etcd::start(version, &data, &["--snapshot-count", "20"]).healthy();
        let pid = rustix::process::Pid::from_raw(etcd.pid() as i32).unwrap();
        std::thread::scope(|scope| {
            // Its last request fails: it is killed under it.
            let writes = scope.spawn(|| {
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    etcd.put(round * 1000, 20_000, 300);
                }));
            });
            std::thread::sleep(std::time::Duration::from_millis(120 + 70 * round as u64));
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            writes.join().unwrap();
        });
        drop(etcd);
        assert!(is_own(&data), "{version}: {:?}", look(&data));
    }
}

fn a_log_of_several_files_is_read_and_needs_its_first_one_or_a_snapshot(version: Version) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let wal = data.join("member/wal");
    let mut etcd = Etcd::start(version, &data, &["--snapshot-count", "40"]).healthy();
    etcd.put(0, 190, 500_000);
    let identity = etcd.identity();
    etcd.kill();
    let wals = files(&wal, ".wal");
    assert!(wals.len() > 1, "{version}: {wals:?}");
    let Finding::Own {
        identity: found,
        end,
        ..
    } = look(&data)
    else {
        panic!("{version}: {:?}", look(&data));
    };
    assert_eq!(found, identity);
    assert_eq!(wal.join(end.file.to_string()), *wals.last().unwrap());

    // With a snapshot behind the second file's beginning the first one is not needed.
    let purged = dir.path().join("purged");
    copy(&data, &purged);
    fs::remove_file(purged.join("member/wal").join(wals[0].file_name().unwrap())).unwrap();
    assert!(is_own(&purged), "{version}: {:?}", look(&purged));
    agrees(version, &purged, "first file purged");
    // Without one it is, up to 3.6.
    for snap in files(&purged.join("member/snap"), ".snap") {
        fs::remove_file(snap).unwrap();
    }
    let finding = look_for(version, &purged);
    let own = matches!(finding, Finding::Own { .. });
    assert_eq!(own, version.minor() >= 7, "{version}: {finding:?}");
    agrees(version, &purged, "first file purged, no snapshot");
}

/// What is said about a data dir is what etcd makes of it.
fn agrees(version: Version, data: &Path, what: &str) {
    let finding = look_for(version, data);
    let volume = Volume::new(data, None);
    let own = matches!(finding, Finding::Own { .. });
    let mut etcd = Etcd::start(version, data, &["--snapshot-count", "40"]);
    let serves = etcd.serves();
    assert_eq!(
        own,
        serves,
        "{version}, {what}: {finding:?}\n{}",
        etcd.log()
    );
    drop(etcd);
    // Nothing that was called damaged is touched by looking.
    volume.inspect(Depth::Quick).unwrap();
}

fn real_etcd_agrees_about_damage(version: Version) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut etcd = Etcd::start(version, &data, &["--snapshot-count", "10"]).healthy();
    for n in 0..60 {
        etcd.put(n * 10, 10, 200);
    }
    etcd.kill();
    let Finding::Own { end, .. } = look(&data) else {
        panic!("{version}: {:?}", look(&data));
    };
    assert!(!files(&data.join("member/snap"), ".snap").is_empty());

    let fresh = dir.path().join("fresh");
    Etcd::start(version, &fresh, &[]).healthy().kill();

    type Damage<'a> = (&'a str, &'a dyn Fn(&Path));
    let wal = |data: &Path| files(&data.join("member/wal"), ".wal").remove(0);
    let remove = |data: &Path, ending: &str| {
        for path in files(&data.join("member/snap"), ending) {
            fs::remove_file(path).unwrap();
        }
    };
    let cases: [Damage; 17] = [
        ("nothing", &|_| {}),
        ("the WAL's last record cut", &|data| {
            let file = OpenOptions::new().write(true).open(wal(data)).unwrap();
            file.set_len(end.offset - 3).unwrap();
        }),
        ("a byte flipped in the middle of the WAL", &|data| {
            scribble(&wal(data), end.offset / 2, &[0xa5; 7]);
        }),
        ("the WAL empty", &|data| fs::write(wal(data), b"").unwrap()),
        ("the WAL's head overwritten", &|data| {
            scribble(&wal(data), 0, &[0xa5; 64])
        }),
        ("the WAL cut in its head", &|data| {
            let file = OpenOptions::new().write(true).open(wal(data)).unwrap();
            file.set_len(30).unwrap();
        }),
        ("the newest snapshot overwritten", &|data| {
            let snap = files(&data.join("member/snap"), ".snap").pop().unwrap();
            scribble(&snap, 10, &[0xa5; 20]);
        }),
        ("no snapshot", &|data| remove(data, ".snap")),
        ("no snapshot and no database", &|data| {
            remove(data, ".snap");
            remove(data, "db");
        }),
        ("no snapshot and an empty database", &|data| {
            remove(data, ".snap");
            fs::write(db(data), b"").unwrap();
        }),
        ("no snap directory", &|data| {
            fs::remove_dir_all(data.join("member/snap")).unwrap()
        }),
        ("no database", &|data| remove(data, "db")),
        ("an empty database", &|data| {
            fs::write(db(data), b"").unwrap()
        }),
        ("the first meta page overwritten", &|data| {
            scribble(&db(data), 0, &[0xa5; 80])
        }),
        ("the second meta page overwritten", &|data| {
            scribble(&db(data), 4096, &[0xa5; 80])
        }),
        ("a fresh database", &|data| {
            fs::copy(db(&fresh), db(data)).map(drop).unwrap()
        }),
        ("both meta pages overwritten", &|data| {
            scribble(&db(data), 0, &[0xa5; 80]);
            scribble(&db(data), 4096, &[0xa5; 80]);
        }),
    ];
    for (what, harm) in cases {
        let copied = dir.path().join("copy");
        copy(&data, &copied);
        harm(&copied);
        agrees(version, &copied, what);
        fs::remove_dir_all(&copied).unwrap();
    }
}

/// The last record of a segment makes its file longer. A machine that stops before that is on disk leaves the file as
/// it was made, with the beginning of the record in it.
fn real_etcd_repairs_a_torn_write_across_the_end_of_a_segment(version: Version) {
    const SEGMENT: u64 = 64_000_000;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut etcd = Etcd::start(version, &data, &[]).healthy();
    // 3.4 takes no record of more than 10 MiB for one.
    etcd.put(0, 120, 500_000);
    etcd.kill();
    let Finding::Own { end, torn, .. } = look(&data) else {
        panic!("{version}: {:?}", look(&data));
    };
    let left = SEGMENT - end.offset;
    assert!(!torn && left < 10 << 20, "{version}: {end:?}");
    let wal = files(&data.join("member/wal"), ".wal").remove(0);
    // Frame, type, checksum, and data in four bytes of length: a record of an entry, as long as what is left.
    let mut record = left.to_le_bytes().to_vec();
    record.extend([1 << 3, 2, 2 << 3, 0xf8, 0xac, 0xd1, 0x91, 0x01, 3 << 3 | 2]);
    let length = left - 13;
    record.extend((0..4).map(|at| (length >> (7 * at)) as u8 & 0x7f | u8::from(at < 3) << 7));
    scribble(&wal, end.offset, &record);
    assert_eq!(fs::metadata(&wal).unwrap().len(), SEGMENT);
    let finding = look(&data);
    assert!(
        matches!(finding, Finding::Own { torn: true, .. }),
        "{version}: {finding:?}"
    );
    agrees(version, &data, "torn across the end of its segment");
    let broken = files(&data.join("member/wal"), ".broken");
    assert_eq!(broken.len(), 1, "{version}: repaired");
}

fn a_flipped_page_header_is_found(version: Version) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut etcd = Etcd::start(version, &data, &[]).healthy();
    etcd.put(0, 2000, 100);
    etcd.put(5000, 2, 50_000);
    etcd.delete(0, 1000);
    etcd.kill();
    let mut bytes = fs::read(db(&data)).unwrap();
    assert_eq!(tree::check(bytes.as_slice()).unwrap(), None, "{version}");
    let pages = bytes.len() / 4096;
    let (mut used, mut unused) = (0, 0);
    for page in (2..pages).map(|page| page * 4096) {
        // An empty page says nothing; whether a page is in use, its ID tells.
        if bytes[page..page + 16] == [0; 16] {
            continue;
        }
        bytes[page] ^= 1;
        let reachable = tree::check(bytes.as_slice()).unwrap().is_some();
        bytes[page] ^= 1;
        match reachable {
            true => used += 1,
            false => unused += 1,
        }
        for at in page..page + 16 {
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                let found = tree::check(bytes.as_slice()).unwrap();
                // A leaf that holds nothing any more looks like one that was emptied.
                let emptied = bytes[page + 10..page + 12] == [0, 0];
                bytes[at] ^= 1 << bit;
                if !emptied {
                    assert_eq!(
                        found.is_some(),
                        reachable,
                        "{version}: byte {at:#x}, {found:?}"
                    );
                }
            }
        }
        if used > 40 {
            break;
        }
    }
    assert!(used > 10, "{version}: {used} pages in use, {unused} not");
}

/// Who holds it. What another test's thread forks holds a lock of ours until it execs: that passes.
fn holder(volume: &Volume) -> Option<String> {
    let us = format!("process {} (", std::process::id());
    for _ in 0..1000 {
        match volume.lock() {
            Err(LockError::Held { holder }) if holder.starts_with(&us) => {}
            Err(LockError::Held { holder }) => return Some(holder),
            Ok(_) => return None,
            Err(other) => panic!("{other:?}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("we hold it ourselves");
}

fn a_running_etcd_holds_the_data_dir(version: Version) {
    for external in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let wal = external.then(|| dir.path().join("wal"));
        let wal_dir = wal.as_ref().map(|wal| wal.to_str().unwrap());
        let more = wal_dir.map(|wal| ["--wal-dir", wal]);
        let more: Vec<&str> = more.iter().flatten().copied().collect();
        let mut etcd = Etcd::start(version, &data, &more).healthy();
        let volume = Volume::new(&data, wal.as_deref());
        let name = format!("process {} (etcd)", etcd.pid());
        assert_eq!(holder(&volume), Some(name.clone()));
        // Without its database it is known by its WAL.
        fs::rename(db(&data), dir.path().join("db")).unwrap();
        assert_eq!(holder(&volume), Some(name));
        fs::rename(dir.path().join("db"), db(&data)).unwrap();
        etcd.kill();
        assert_eq!(holder(&volume), None);
    }
}

fn what_was_put_back_is_served_again(version: Version) {
    for external in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let wal = external.then(|| dir.path().join("wal"));
        let wal_dir = wal.as_ref().map(|wal| wal.to_str().unwrap());
        let more = wal_dir.map(|wal| ["--wal-dir", wal]);
        let more: Vec<&str> = more.iter().flatten().copied().collect();
        let mut etcd = Etcd::start(version, &data, &more).healthy();
        etcd.put(0, 500, 20);
        let identity = etcd.identity();
        etcd.kill();
        let volume = Volume::new(&data, wal.as_deref());
        let before = volume.inspect(Depth::Deep).unwrap();
        volume.quarantine(SystemTime::now()).unwrap().unwrap();
        // A new member lives here in between.
        let mut etcd = Etcd::start(version, &data, &more).healthy();
        assert_eq!(etcd.count(), 0);
        etcd.kill();
        volume.quarantine(SystemTime::now()).unwrap().unwrap();
        let listed = volume.quarantined().unwrap();
        assert_eq!(listed.len(), 2);
        let mine = listed
            .iter()
            .find(|entry| entry.member == Some(identity.member))
            .unwrap();
        volume.put_back(&mine.name, SystemTime::now()).unwrap();
        let after = volume.inspect(Depth::Deep).unwrap();
        assert_eq!(after.finding, before.finding);
        let etcd = Etcd::start(version, &data, &more).healthy();
        assert_eq!((etcd.count(), etcd.identity()), (500, identity));
    }
}
