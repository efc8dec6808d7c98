use super::build::Wal;
use super::*;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use std::fs::{self, File, OpenOptions};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

/// 2026-11-21 09:11:05 UTC.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_252_265)
}

const NAME: &str = "20261121T091105Z-b82403f238c8d7e8";

fn with_data() -> [Place; 2] {
    let places = Place::both();
    for place in &places {
        place.wal(FIRST, &Wal::new(OURS).bytes);
        place.snap("db", &super::build::db(&[b"a"]));
        place.volume.give_up(OURS.member).unwrap();
    }
    places
}

#[test]
fn quarantine_moves_everything_and_leaves_nothing_to_start_from() {
    for place in with_data() {
        let before = place.files("none");
        let path = place.volume.quarantine(now()).unwrap().unwrap();
        assert_eq!(path, place.volume.data.join("quarantine").join(NAME));
        let contents = place.look();
        assert_eq!(contents.finding, Finding::Empty);
        assert_eq!(contents.set_aside, 1);
        assert!(!contents.given_up && !contents.leftovers);
        assert!(!place.volume.member.exists());
        assert_eq!(place.files("none").len(), before.len());
        // Already moved is success.
        assert_eq!(place.volume.quarantine(now()).unwrap(), None);
    }
}

#[test]
fn a_move_that_fails_leaves_no_trail() {
    let [place, _] = with_data();
    // Nothing can be moved into itself.
    let inside = place.volume.member.join("inside");
    fs::create_dir(&inside).unwrap();
    std::os::unix::fs::symlink(&inside, place.volume.data.join("quarantine")).unwrap();
    let error = place.volume.quarantine(now()).unwrap_err().to_string();
    assert!(error.starts_with("cannot move "), "{error}");
    assert_eq!(fs::read_dir(&inside).unwrap().count(), 0);
    assert!(!torn(&place.look()));
}

#[test]
fn put_back_restores_exactly() {
    for place in with_data() {
        let before = place.files("none");
        place.volume.quarantine(now()).unwrap();
        // A join in between leaves notes, and a refused start a database.
        place.note_join();
        place.snap("db", &super::build::db(&[]));
        place.volume.put_back(NAME, now()).unwrap();
        assert_eq!(place.files("leftovers"), before);
        let contents = place.look();
        assert_eq!(contents.set_aside, 0);
        assert_eq!(contents.join_note, None);
        let error = place.volume.put_back(NAME, now()).unwrap_err().to_string();
        assert!(error.contains("there is data"), "{error}");
    }
}

#[test]
fn what_is_not_there_is_not_put_back() {
    let place = Place::new();
    for name in ["nothing", "../data", "", "."] {
        place.volume.put_back(name, now()).unwrap_err();
    }
}

#[test]
fn a_quarantine_that_was_killed_halfway_is_finished() {
    let [_, place] = with_data();
    let before = place.files("none");
    // What a kill after the first of the two renames leaves.
    let aside = place.volume.data.join("quarantine").join(NAME);
    let wal_aside = place.dir.path().join("wal.quarantine").join(NAME);
    fs::create_dir_all(&aside).unwrap();
    fs::create_dir_all(&wal_aside).unwrap();
    fs::rename(&place.volume.wal, wal_aside.join("wal")).unwrap();
    let contents = place.look();
    assert_eq!(contents.finding, Finding::Empty);
    assert!(contents.leftovers);
    assert_eq!(contents.set_aside, 1);
    place.note_join();
    let finished = place.volume.set_aside_leftovers(now()).unwrap();
    assert_eq!(finished, Some(aside));
    let contents = place.look();
    assert!(!contents.leftovers);
    assert_eq!(contents.join_note, Some(OURS.member));
    place.volume.put_back(NAME, now()).unwrap();
    assert_eq!(place.files("leftovers"), before);
}

#[test]
fn a_put_back_that_was_killed_halfway_can_be_repeated() {
    let [_, place] = with_data();
    let before = place.files("none");
    let aside = place.volume.quarantine(now()).unwrap().unwrap();
    fs::rename(aside.join("member"), &place.volume.member).unwrap();
    assert_eq!(place.look().finding, Finding::Empty);
    place.volume.put_back(NAME, now()).unwrap();
    assert_eq!(place.files("none"), before);
}

#[test]
fn leftovers_are_set_aside_and_notes_stay() {
    for place in Place::both() {
        place.volume.note_promise("digest").unwrap();
        place.snap("db", &super::build::db(&[]));
        place.write(&place.volume.wal.with_file_name("wal.tmp").join(FIRST), b"");
        assert!(place.look().leftovers);
        let path = place.volume.set_aside_leftovers(now()).unwrap().unwrap();
        assert!(path.ends_with("20261121T091105Z-leftovers"));
        let contents = place.look();
        assert!(!contents.leftovers);
        assert_eq!(contents.promise.as_deref(), Some("digest"));
        // A refused start's database is nothing that a person may want.
        assert_eq!(contents.set_aside, 0);
        assert_eq!(place.volume.quarantined().unwrap().len(), 1);
        assert_eq!(place.volume.set_aside_leftovers(now()).unwrap(), None);
    }
}

#[test]
fn leftovers_with_something_in_them_count() {
    let place = Place::new();
    place.snap("0000000000000002-0000000000000003.snap", b"x");
    place.volume.set_aside_leftovers(now()).unwrap();
    assert_eq!(place.look().set_aside, 1);
    place.snap("db", &[7; 100_000]);
    place.volume.set_aside_leftovers(now()).unwrap();
    assert_eq!(place.look().set_aside, 2);
    let names: Vec<_> = place.volume.quarantined().unwrap();
    assert_eq!(names[1].name, "20261121T091105Z-leftovers-2");
}

#[test]
fn data_is_never_taken_for_leftovers() {
    for place in with_data() {
        assert_eq!(place.volume.set_aside_leftovers(now()).unwrap(), None);
        assert!(!torn(&place.look()));
    }
}

#[test]
fn a_listed_entry_says_whose_it_was_and_when() {
    for place in with_data() {
        place.volume.quarantine(now()).unwrap();
        let [entry] = &place.volume.quarantined().unwrap()[..] else {
            panic!("not one");
        };
        assert_eq!(entry.name, NAME);
        assert_eq!(entry.member, Some(OURS.member));
        assert_eq!(entry.time, Some(now()));
        assert!(entry.counts);
        assert!(entry.bytes >= 4096);
    }
}

#[test]
fn names_do_not_clash() {
    for place in with_data() {
        place.volume.quarantine(now()).unwrap();
        place.wal(FIRST, &Wal::new(OURS).bytes);
        let second = place.volume.quarantine(now()).unwrap().unwrap();
        assert!(second.ends_with(format!("{NAME}-2")));
        place.wal(FIRST, b"");
        let unknown = place.volume.quarantine(now()).unwrap().unwrap();
        assert!(unknown.ends_with("20261121T091105Z-unknown"));
        let entries = place.volume.quarantined().unwrap();
        let members: Vec<_> = entries.iter().map(|entry| entry.member).collect();
        assert_eq!(members, [Some(OURS.member), Some(OURS.member), None]);
    }
}

#[test]
fn only_the_oldest_are_deleted() {
    for place in Place::both() {
        let mut names = Vec::new();
        for n in 0..4 {
            place.wal(FIRST, &Wal::new(OURS).bytes);
            let path = place
                .volume
                .quarantine(now() + Duration::from_secs(n))
                .unwrap();
            names.push(
                path.unwrap()
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_string(),
            );
        }
        place.snap("db", &super::build::db(&[]));
        place.volume.set_aside_leftovers(now()).unwrap();
        let gone = place.volume.delete_set_aside(2).unwrap();
        assert!(gone.contains(&names[0]) && gone.contains(&names[1]));
        assert_eq!(gone.len(), 3);
        let left = place.volume.quarantined().unwrap();
        let left: Vec<_> = left.into_iter().map(|entry| entry.name).collect();
        assert_eq!(left, names[2..]);
        assert_eq!(place.look().set_aside, 2);
        assert!(place.volume.delete_set_aside(2).unwrap().is_empty());
        assert_eq!(place.volume.delete_set_aside(0).unwrap(), names[2..]);
        assert!(place.files("none").is_empty());
    }
}

#[test]
fn a_second_lock_names_the_holder_and_creates_no_file() {
    let place = Place::new();
    let lock = place.volume.lock().unwrap();
    let Err(LockError::Held { holder }) = place.volume.lock() else {
        panic!("locked twice");
    };
    assert!(
        holder.contains(&format!("process {} (", std::process::id())),
        "{holder}"
    );
    assert!(place.files("none").is_empty());
    drop(lock);
    // What another test's thread forks just then holds the lock until it execs.
    let free = |_| match place.volume.lock() {
        Ok(_) => true,
        Err(_) => {
            std::thread::sleep(std::time::Duration::from_millis(10));
            false
        }
    };
    assert!((0..1000).any(free));
}

/// etcd tries to lock its WAL once (`TryLockFile`), and ends where it cannot.
#[test]
fn an_etcd_that_starts_while_it_is_asked_for_locks_its_wal() {
    let place = Place::new();
    place.wal(FIRST, &Wal::new(OURS).bytes);
    let path = place.volume.wal.join(FIRST);
    let (over, seen) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                let held = place.volume.held_by_etcd().unwrap().is_some();
                seen.fetch_add(usize::from(held), Relaxed);
            }
        });
        // Often, and until the lock was seen at all.
        let refused = (0..10_000_000)
            .take_while(|times| *times < 20_000 || seen.load(Relaxed) == 0)
            .find_map(|_| {
                let file = OpenOptions::new().write(true).open(&path).unwrap();
                let refused = lock_as_etcd(&file, libc::F_WRLCK).err();
                // Closing it is not enough: what another test's thread forks just then holds it too, until it execs.
                lock_as_etcd(&file, libc::F_UNLCK).unwrap();
                refused
            });
        over.store(true, Relaxed);
        assert_eq!(refused, None);
    });
    assert!(seen.load(Relaxed) > 0, "the lock was never seen");
}

/// etcd `client/pkg/fileutil/lock_linux.go`.
fn lock_as_etcd(file: &File, how: libc::c_int) -> nix::Result<i32> {
    let lock = libc::flock {
        l_type: how as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_SETLK(&lock))
}

#[test]
fn a_data_dir_that_cannot_be_made_is_not_held() {
    let place = Place::new();
    place.write(&place.dir.path().join("data"), b"");
    let below = Volume::new(&place.dir.path().join("data/below"), None);
    assert!(matches!(below.lock(), Err(LockError::Failed(_))));
}

/// What lies set aside matters for founding and for deleting, not for data that reads well.
#[test]
fn own_data_reads_beside_something_odd_that_was_set_aside() {
    let place = Place::new();
    place.write(&place.volume.data.join("quarantine/x/member/snap"), b"");
    assert!(place.volume.inspect(Depth::Quick).is_err());
    place.wal(FIRST, &Wal::new(OURS).bytes);
    assert!(matches!(place.look().finding, Finding::Own { .. }));
}

#[test]
fn a_clock_that_was_set_back_makes_nothing_old() {
    for place in with_data() {
        place.volume.quarantine(now()).unwrap();
        let hour = Duration::from_secs(3600);
        for back in [hour, hour * 24 * 400, Duration::ZERO] {
            place.wal(FIRST, &Wal::new(OURS).bytes);
            place.snap("db", &super::build::db(&[b"a"]));
            let path = place.volume.quarantine(now() - back).unwrap().unwrap();
            let names = place.volume.quarantined().unwrap();
            let latest = &names.last().unwrap().name;
            assert!(
                path.ends_with(latest),
                "{path:?} is not the latest of {names:?}"
            );
        }
        assert_eq!(place.volume.quarantined().unwrap().len(), 4);
    }
}

/// A WAL that was moved to a faster disk behind etcd's back goes where the link to it goes.
#[test]
fn a_link_to_the_wal_is_set_aside_and_put_back_with_the_rest() {
    for relative in [false, true] {
        let place = Place::new();
        let fast = place.dir.path().join("fast");
        place.write(&fast.join(FIRST), &Wal::new(OURS).bytes);
        place.write(&place.volume.snap.join("db"), &super::build::db(&[]));
        let target = match relative {
            true => PathBuf::from("../../fast"),
            false => fast.clone(),
        };
        std::os::unix::fs::symlink(target, &place.volume.wal).unwrap();
        let volume = Volume::new(&place.volume.data, None);
        volume.quarantine(now()).unwrap();
        assert!(volume.quarantined().unwrap()[0].counts);
        let contents = volume.inspect(Depth::Quick).unwrap();
        assert_eq!((contents.finding, contents.set_aside), (Finding::Empty, 1));
        assert!(fast.join(FIRST).exists());
        volume.put_back(NAME, now()).unwrap();
        assert!(volume.inspect(Depth::Quick).unwrap().finding.identity() == Some(OURS));
    }
}

#[test]
fn nothing_is_put_back_without_its_wal() {
    let [_, place] = with_data();
    place.volume.quarantine(now()).unwrap();
    let before = place.files("none");
    let without = Volume::new(&place.volume.data, None);
    let error = without.put_back(NAME, now()).unwrap_err().to_string();
    assert!(error.contains("ETCD_WAL_DIR"), "{error}");
    assert_eq!(place.files("none"), before);
    // What never had one is put back as it is.
    let [_, place] = Place::both();
    place.snap("db", &super::build::db(&[b"a"]));
    place.volume.set_aside_leftovers(now()).unwrap();
    let name = "20261121T091105Z-leftovers";
    place.volume.put_back(name, now()).unwrap();
}
