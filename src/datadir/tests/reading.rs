use super::build::{self, Wal};
use super::*;
use crate::datadir::snap::SnapId;
use crate::decide::{ListedHere, Misplaced, Progress};
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_data_dir_that_does_not_exist_is_empty() {
    for place in Place::both() {
        let contents = place.look();
        assert_eq!(contents.finding, Finding::Empty);
        assert!(!contents.leftovers && !contents.stalled && !contents.given_up);
    }
}

#[test]
fn a_wal_says_whose_it_is_and_where_it_ends() {
    for place in Place::both() {
        let wal = Wal::new(OURS);
        place.wal(FIRST, &wal.preallocated(100_000));
        place.wal("0.tmp", &[0; 100]);
        let Finding::Own {
            identity,
            end,
            torn,
        } = place.look().finding
        else {
            panic!("not own");
        };
        assert_eq!(identity, OURS);
        assert!(!torn);
        assert_eq!(end.file.to_string(), FIRST);
        assert_eq!(end.offset, wal.bytes.len() as u64);
        assert_eq!(end.commit, 3);
    }
}

#[test]
fn a_wal_goes_on_in_the_next_file() {
    let place = Place::new();
    let first = Wal::new(OURS);
    let mut second = first.file(OURS);
    second.state(9);
    place.wal(FIRST, &first.bytes);
    place.wal(SECOND, &second.preallocated(5000));
    let Finding::Own { end, .. } = place.look().finding else {
        panic!("not own");
    };
    assert_eq!((end.file.to_string().as_str(), end.commit), (SECOND, 9));

    // A file that does not go on where the first one ended is damage.
    place.wal(SECOND, &Wal::new(OURS).file(OURS).preallocated(5000));
    assert!(!torn(&place.look()));
    let mut other = Wal::default().file(OURS);
    other.state(8);
    place.wal(SECOND, &other.file(OURS).bytes);
    let contents = place.look();
    let (head, what) = damage(&contents);
    assert_eq!(*head, Some(OURS));
    assert!(what.contains("what came before differs"), "{what}");
}

#[test]
fn what_is_known_is_read_again_once_a_file_has_changed() {
    const SIZE: usize = 8 << 20;
    let place = Place::new();
    let mut wal = Wal::new(OURS);
    wal.entry(&vec![7; SIZE]);
    wal.state(9);
    let last = *wal.starts.last().unwrap();
    wal.bytes[last + 12] ^= 1;
    place.wal(FIRST, &wal.bytes);
    let known = Known::default();
    let look = |later: u64| {
        let now = std::time::SystemTime::now() + std::time::Duration::from_secs(later);
        let before = read_by_this_thread();
        let contents = (place
            .volume
            .inspect_again(Depth::Quick, &known, now, &|| None))
        .unwrap();
        (contents, read_by_this_thread() - before > SIZE as u64)
    };
    // A file that has just changed may change again without a trace.
    for later in [0, 0, 60] {
        let (contents, read) = look(later);
        damage(&contents);
        assert!(read);
    }
    let (contents, read) = look(60);
    damage(&contents);
    assert!(!read, "nothing has changed");
    // Repaired in place: its name, size, and time of modification are what they were.
    let path = place.volume.wal.join(FIRST);
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    wal.bytes[last + 12] ^= 1;
    std::fs::write(&path, &wal.bytes).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(modified).unwrap();
    let (contents, read) = look(60);
    assert!(read && !torn(&contents));
    assert!(!look(60).1);
    // What lies beside it counts too, and to look more closely is to read more.
    let deep = || {
        place
            .volume
            .inspect_again(Depth::Deep, &known, std::time::SystemTime::now(), &|| None)
    };
    place.snap("db", b"no database");
    damage(&deep().unwrap());
    std::fs::remove_file(place.volume.snap.join("db")).unwrap();
    assert!(!torn(&deep().unwrap()));
}

fn read_by_this_thread() -> u64 {
    let io = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    let chars = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    chars.unwrap().parse().unwrap()
}

#[test]
fn a_missing_file_in_the_middle_is_damage() {
    let place = Place::new();
    let first = Wal::new(OURS);
    place.wal(FIRST, &first.bytes);
    place.wal(
        "0000000000000002-0000000000000009.wal",
        &first.file(OURS).bytes,
    );
    let contents = place.look();
    let (head, what) = damage(&contents);
    assert_eq!(*head, Some(OURS));
    assert!(what.contains("missing"), "{what}");
}

#[test]
fn a_cut_tail_is_torn_and_not_damage() {
    let mut wal = Wal::new(OURS);
    wal.entry(&[7; 3000]);
    let last = *wal.starts.last().unwrap();
    let place = Place::new();
    for cut in [
        last + 1,
        last + 7,
        last + 8,
        last + 100,
        wal.bytes.len() - 1,
    ] {
        place.wal(FIRST, &wal.bytes[..cut]);
        assert!(torn(&place.look()), "cut at {cut}");
    }
    // A sector of zeros in the last record: a write that did not finish.
    let mut zeros = wal.bytes.clone();
    let sector = (last / 512 + 2) * 512;
    zeros[sector..sector + 512].fill(0);
    place.wal(FIRST, &zeros);
    assert!(torn(&place.look()));
    // The beginning is missing, something behind it is not.
    let mut hole = wal.preallocated(4096);
    hole[last..last + 512].fill(0);
    place.wal(FIRST, &hole);
    assert!(torn(&place.look()));
}

/// etcd would cut off all that follows, and it was synced: entries that were acknowledged.
#[test]
fn a_wrong_length_in_the_middle_is_damage() {
    let mut wal = Wal::new(OURS);
    let middle = wal.bytes.len();
    for commit in 4..8 {
        wal.entry(&[7; 100]);
        wal.state(commit);
    }
    let place = Place::new();
    for (byte, to) in [(6, 1), (2, 1), (1, 9)] {
        let mut bytes = wal.preallocated(1 << 20);
        bytes[middle + byte] = to;
        place.wal(FIRST, &bytes);
        damage(&place.look());
        // Of the last record it is damage too, if its own head says so.
        let mut bytes = wal.preallocated(1 << 20);
        bytes[wal.starts.last().unwrap() + byte] = to;
        place.wal(FIRST, &bytes);
        damage(&place.look());
    }
    let mut bytes = wal.preallocated(1 << 20);
    bytes[middle..middle + 8].fill(0);
    place.wal(FIRST, &bytes);
    damage(&place.look());
}

/// The last record of a segment makes its file longer: torn, the file has the size that it was made with.
#[test]
fn a_torn_write_across_the_end_of_a_segment_is_torn() {
    const SEGMENT: u64 = 64_000_000;
    let place = Place::new();
    let wal = Wal::new(OURS);
    let offset = wal.bytes.len() as u64;
    let path = place.volume.wal.join(FIRST);
    let finding = |size: u64, claims: u64| {
        let mut torn = wal.clone();
        torn.begin(claims, SEGMENT - offset);
        place.wal(FIRST, &torn.bytes);
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(size).unwrap();
        place.look().finding
    };
    let own = finding(SEGMENT, SEGMENT - offset);
    let Finding::Own {
        end, torn: true, ..
    } = own
    else {
        panic!("{own:?}");
    };
    assert_eq!((end.offset, end.commit), (offset, 3));
    // Its head says another length, or the file is another one than etcd makes: what was behind may be lost.
    for (size, claims) in [
        (SEGMENT, SEGMENT),
        (SEGMENT, 100),
        (SEGMENT - 4096, SEGMENT - offset),
        (1 << 20, SEGMENT - offset),
    ] {
        assert!(matches!(finding(size, claims), Finding::Damaged { .. }));
    }
}

#[test]
fn a_garbled_head_is_damage_in_a_single_batch_too() {
    let mut wal = Wal::new(OURS);
    let middle = wal.bytes.len();
    for _ in 0..4 {
        wal.entry(&[7; 100]);
    }
    wal.state(5);
    let place = Place::new();
    for flipped in [8, 16, 64] {
        let mut bytes = wal.preallocated(1 << 20);
        bytes[middle..middle + flipped]
            .iter_mut()
            .for_each(|byte| *byte ^= 0xff);
        place.wal(FIRST, &bytes);
        damage(&place.look());
    }
}

#[test]
fn a_lost_block_is_damage_if_later_batches_are_there() {
    let mut wal = Wal::new(OURS);
    for commit in 4..8 {
        wal.entry(&[7; 3000]);
        wal.state(commit);
    }
    let place = Place::new();
    for (block, len) in [(1024, 512), (1024, 1024), (512, 4096)] {
        let mut bytes = wal.preallocated(1 << 20);
        bytes[block..block + len].fill(0);
        place.wal(FIRST, &bytes);
        damage(&place.look());
    }
    // In the last batch it is the trace of a crash.
    let end = wal.bytes.len();
    let mut bytes = wal.preallocated(1 << 20);
    let block = (end - 2000) / 512 * 512;
    bytes[block..block + 512].fill(0);
    place.wal(FIRST, &bytes);
    assert!(torn(&place.look()));
}

#[test]
fn a_cut_file_that_is_not_the_last_is_damage() {
    let place = Place::new();
    let first = Wal::new(OURS);
    place.wal(FIRST, &first.bytes[..first.bytes.len() - 4]);
    place.wal(SECOND, &first.file(OURS).bytes);
    assert_eq!(*damage(&place.look()).0, Some(OURS));
}

#[test]
fn a_flipped_byte_is_damage() {
    let mut wal = Wal::new(OURS);
    wal.entry(&[7; 3000]);
    let last = *wal.starts.last().unwrap();
    wal.bytes[last + 1000] ^= 1;
    let place = Place::new();
    place.wal(FIRST, &wal.preallocated(10_000));
    let contents = place.look();
    let (head, what) = damage(&contents);
    assert_eq!(*head, Some(OURS));
    assert!(what.contains("wrong checksum"), "{what}");
}

#[test]
fn a_first_file_without_a_head_says_nothing_about_its_owner() {
    let wal = Wal::new(OURS);
    let place = Place::new();
    let half = wal.starts[1] + 10;
    for bytes in [
        &b""[..],
        &[0; 5000],
        &wal.bytes[..half],
        b"garbage, and more than eight bytes of it",
    ] {
        place.wal(FIRST, bytes);
        assert_eq!(*damage(&place.look()).0, None);
    }
    std::fs::remove_file(place.volume.wal.join(FIRST)).unwrap();
    place.wal("odd.wal", b"");
    assert_eq!(*damage(&place.look()).0, None);
    std::fs::remove_file(place.volume.wal.join("odd.wal")).unwrap();
    std::fs::create_dir(place.volume.wal.join(FIRST)).unwrap();
    assert_eq!(*damage(&place.look()).0, None);
}

#[test]
fn a_later_file_without_a_head_is_damage_of_a_known_owner() {
    let place = Place::new();
    place.wal(FIRST, &Wal::new(OURS).bytes);
    place.wal(SECOND, b"");
    assert_eq!(*damage(&place.look()).0, Some(OURS));
}

#[test]
fn two_members_metadata_say_nothing_about_the_owner() {
    let place = Place::new();
    let other = Identity {
        member: MemberId(5),
        ..OURS
    };
    let first = Wal::new(OURS);
    place.wal(FIRST, &first.bytes);
    place.wal(SECOND, &first.file(other).bytes);
    let contents = place.look();
    let (head, what) = damage(&contents);
    assert_eq!(*head, None);
    assert!(what.contains("two members"), "{what}");
}

#[test]
fn a_wal_that_is_only_being_created_is_none() {
    for place in Place::both() {
        place.write(
            &place.volume.wal.with_file_name("wal.tmp").join(FIRST),
            &Wal::new(OURS).bytes,
        );
        let contents = place.look();
        assert_eq!(contents.finding, Finding::Empty);
        assert!(contents.leftovers);
    }
}

const OLD: SnapId = SnapId { term: 2, index: 3 };
const NEW: SnapId = SnapId { term: 2, index: 9 };

fn name(id: SnapId) -> String {
    format!("{:016x}-{:016x}.snap", id.term, id.index)
}

/// A log whose first file was purged: it begins at index 5 and knows the snapshot at 9.
fn purged(place: &Place) {
    let mut second = Wal::new(OURS).file(OURS);
    second.snapshot(OLD);
    second.snapshot(NEW);
    second.state(20);
    place.wal(SECOND, &second.preallocated(1000));
    place.snap("db", &build::db_at(NEW.index));
}

#[test]
fn a_purged_wal_needs_a_snapshot_that_reaches_its_beginning() {
    let place = Place::new();
    purged(&place);
    assert!(damage(&place.look()).1.contains("there is no snapshot"));
    place.snap(&name(OLD), &build::snap(OLD));
    assert!(damage(&place.look()).1.contains("no snapshot that reads"));
    place.snap(&name(NEW), &build::snap(NEW));
    assert!(!torn(&place.look()));
    let mut bad = build::snap(NEW);
    *bad.last_mut().unwrap() ^= 1;
    place.snap(&name(NEW), &bad);
    assert_eq!(*damage(&place.look()).0, Some(OURS));
}

/// Whether an etcd of each version starts, and one that does not say which it is.
fn starts(place: &Place) -> [bool; 4] {
    [Some((3, 5)), Some((3, 6)), Some((3, 7)), None]
        .map(|version| matches!(place.found_for(version), Finding::Own { .. }))
}

#[test]
fn since_3_7_etcd_begins_at_the_last_snapshot_that_the_wal_knows() {
    // No `.snap`, and a database that reaches beyond the WAL's record.
    let place = Place::new();
    purged(&place);
    assert_eq!(starts(&place), [false, false, true, false]);
    place.snap("db", &build::db_of_version_at(b"3.6.0", NEW.index));
    assert_eq!(starts(&place), [false, false, true, false]);
    place.snap("db", &build::db_of_version_at(b"3.7.0", NEW.index));
    assert_eq!(starts(&place), [false, false, true, true]);
    // A snapshot that is not committed is none.
    let mut wal = Wal::new(OURS).file(OURS);
    wal.snapshot(NEW);
    wal.snapshot(SnapId { term: 2, index: 21 });
    wal.state(20);
    place.wal(SECOND, &wal.preallocated(1000));
    assert_eq!(starts(&place), [false, false, true, true]);
    // An older database is none for it, whatever the older `.snap` says.
    place.snap(&name(OLD), &build::snap(OLD));
    let mut wal = Wal::new(OURS);
    wal.snapshot(OLD);
    wal.snapshot(NEW);
    wal.state(20);
    std::fs::remove_file(place.volume.wal.join(SECOND)).unwrap();
    place.wal(FIRST, &wal.preallocated(1000));
    place.snap("db", &build::db_at(NEW.index - 1));
    assert_eq!(starts(&place), [true, true, false, true]);
    place.snap(&format!("{:016x}.snap.db", NEW.index), b"as received");
    assert_eq!(starts(&place), [true; 4]);
}

#[test]
fn a_missing_database_is_made_again_from_the_whole_log_while_no_snapshot_stands_for_it() {
    let place = Place::new();
    let mut wal = Wal::new(OURS);
    place.wal(FIRST, &wal.bytes);
    assert_eq!(starts(&place), [true; 4]);
    wal.snapshot(OLD);
    wal.state(9);
    place.wal(FIRST, &wal.bytes);
    assert_eq!(starts(&place), [true, true, false, true]);
    place.snap(&name(OLD), &build::snap(OLD));
    assert_eq!(starts(&place), [false; 4]);
}

/// Index and term of what is proven to be committed.
fn committed(place: &Place) -> (u64, u64) {
    let Progress { index, term } = place.look().committed;
    (index, term)
}

#[test]
fn what_was_committed_is_told_with_its_term() {
    let place = Place::new();
    assert_eq!(committed(&place), (0, 0));
    let mut wal = Wal::default().file(OURS);
    for (term, index) in [(2, 1), (2, 2), (4, 3), (4, 4), (6, 5)] {
        wal.entry_at(term, index);
    }
    for (commit, term) in [(0, 0), (2, 2), (4, 4), (5, 6)] {
        wal.state(commit);
        place.wal(FIRST, &wal.preallocated(5000));
        assert_eq!(committed(&place), (commit, term));
    }
    // A later leader's entries replace those that were not committed.
    let mut wal = Wal::default().file(OURS);
    for (term, index) in [(2, 1), (3, 2), (4, 3), (5, 2), (5, 3)] {
        wal.entry_at(term, index);
    }
    wal.state(3);
    place.wal(FIRST, &wal.preallocated(5000));
    assert_eq!(committed(&place), (3, 5));
    // An entry in the next file, of a log whose beginning a snapshot stands for.
    let place = Place::new();
    purged(&place);
    place.snap(&name(NEW), &build::snap(NEW));
    assert_eq!(committed(&place), (20, NEW.term));
}

#[test]
fn damage_leaves_what_snapshots_and_database_prove() {
    let place = Place::new();
    let mut wal = Wal::new(OURS).bytes;
    let last = wal.len() - 20;
    wal[last] ^= 1;
    wal.extend(Wal::new(OURS).bytes);
    place.wal(FIRST, &wal);
    damage(&place.look());
    assert_eq!(committed(&place), (0, 0));
    place.snap(&name(NEW), &build::snap(NEW));
    assert_eq!(committed(&place), (NEW.index, NEW.term));
    place.snap("db", &build::db_at(70));
    assert_eq!(committed(&place), (70, NEW.term));
    place.snap("db", b"garbage");
    assert_eq!(committed(&place), (NEW.index, NEW.term));
    // Nor need the head read.
    place.wal(FIRST, b"garbage");
    assert_eq!(committed(&place), (NEW.index, NEW.term));
}

#[test]
fn a_database_says_for_which_version_it_was_written_if_it_does() {
    let version = |db: Vec<u8>| lookup::storage_version(db.as_slice()).unwrap();
    assert_eq!(version(build::db_of_version(b"3.6.0")), Ok(Some((3, 6))));
    assert_eq!(version(build::db_of_version(b"3.10.0")), Ok(Some((3, 10))));
    assert_eq!(version(build::db_at(7)), Ok(None));
    assert_eq!(version(build::db(&[b"key"])), Ok(None));
    assert!(version(build::db_of_version(b"new")).is_err());
    assert!(version(b"garbage".to_vec()).is_err());
}

#[test]
fn a_database_says_how_it_lists_the_member_whose_it_is() {
    let place = Place::new();
    place.wal(FIRST, &Wal::new(OURS).bytes);
    // In the order of their names, as bbolt has them.
    let database = |bucket: &[u8], id: &str, value: &str, state: &str| {
        let (one, state) = ([(id, value)], [("confState", state)]);
        let mut buckets = [(bucket, &one[..]), (&b"meta"[..], &state[..])];
        buckets.sort_by_key(|(name, _)| *name);
        place.snap("db", &build::db_with(&buckets));
        place.look().listed_here
    };
    let listed =
        |bucket: &[u8], id: &str, value: &str| database(bucket, id, value, r#"{"voters":[1,2]}"#);
    let ours = OURS.member.to_string();
    let json = r#"{"id":13268734741009979368,"peerURLs":["http://n2:2380"],"name":"n2"}"#;
    let ListedHere::As(member) = listed(b"members", &ours, json) else {
        panic!("not listed");
    };
    assert_eq!((member.id, member.name.as_str()), (OURS.member, "n2"));
    assert!(member.has_peer_url(&["http://n2:2380".into()]) && !member.learner);
    let learner = r#"{"id":1,"peerURLs":[],"isLearner":true,"clientURLs":["http://n2:2379"]}"#;
    let ListedHere::As(member) = listed(b"members", &ours, learner) else {
        panic!("not listed");
    };
    assert!(member.learner && member.started() && member.name.is_empty());
    assert_eq!(
        listed(b"members_removed", &ours, "removed"),
        ListedHere::Removed
    );
    // Restored by 3.4, as a member that has a removed one's ID; and data of 3.4, which does not say who is left.
    for state in [r#"{"voters":[13268734741009979368]}"#, ""] {
        let listed = database(b"members_removed", &ours, "removed", state);
        assert_eq!(listed, ListedHere::Unknown, "{state}");
    }
    for (bucket, id, value) in [
        (&b"members"[..], "1", json),
        (b"members", &ours, "no member"),
        (b"members", &ours, r#"{"name":"line\nbreak"}"#),
        (b"members_removed", "1", "removed"),
        (b"key", &ours, json),
    ] {
        assert_eq!(listed(bucket, id, value), ListedHere::Unknown, "{value}");
    }
    // Nor does one that is not there, or is damaged.
    place.snap("db", b"garbage");
    assert_eq!(place.look().listed_here, ListedHere::Unknown);
}

#[test]
fn a_snapshot_that_the_wal_does_not_know_is_not_used() {
    let place = Place::new();
    purged(&place);
    let unknown = SnapId { term: 3, index: 9 };
    place.snap(&name(unknown), &build::snap(unknown));
    damage(&place.look());
}

#[test]
fn a_bad_snapshot_is_harmless_while_the_wal_reaches_back() {
    let place = Place::new();
    place.wal(FIRST, &Wal::new(OURS).bytes);
    place.snap(&name(OLD), b"garbage");
    place.snap("0000.snap", b"");
    assert!(!torn(&place.look()));
}

#[test]
fn a_snapshot_needs_its_database() {
    let place = Place::new();
    purged(&place);
    place.snap(&name(NEW), &build::snap(NEW));
    place.snap("db", b"");
    assert!(damage(&place.look()).1.contains("missing or empty"));
    std::fs::remove_file(place.volume.snap.join("db")).unwrap();
    assert!(damage(&place.look()).1.contains("missing or empty"));
    // Received from the leader, not yet renamed: etcd finishes that.
    place.snap("0000000000000009.snap.db", &build::db(&[b"a"]));
    assert!(!torn(&place.look()));
}

#[test]
fn a_database_that_ends_before_the_snapshot_is_damage() {
    let place = Place::new();
    purged(&place);
    place.snap(&name(NEW), &build::snap(NEW));
    for db in [build::db_at(NEW.index - 1), build::db(&[b"a"])] {
        place.snap("db", &db);
        let quick = place.volume.inspect(Depth::Quick).unwrap();
        assert!(damage(&quick).1.contains("before the snapshot of 9"));
    }
    place.snap("0000000000000009.snap.db", &build::db_at(NEW.index));
    assert!(!torn(&place.look()));
}

#[test]
fn a_wal_without_database_and_snapshot_is_replayed() {
    let place = Place::new();
    place.wal(FIRST, &Wal::new(OURS).bytes);
    assert!(!torn(&place.look()));
    place.snap("db", b"");
    assert!(!torn(&place.look()));
}

#[test]
fn one_good_meta_page_is_enough() {
    let place = Place::new();
    place.wal(FIRST, &Wal::new(OURS).bytes);
    let good = build::db(&[b"a", b"b"]);
    for metas in [vec![], vec![0], vec![1], vec![0, 1]] {
        let mut db = good.clone();
        for meta in &metas {
            db[meta * 4096 + 20] ^= 1;
        }
        place.snap("db", &db);
        for depth in [Depth::Quick, Depth::Deep] {
            let finding = place.volume.inspect(depth).unwrap().finding;
            let damaged = matches!(finding, Finding::Damaged { .. });
            assert_eq!(damaged, metas.len() == 2, "{metas:?} {finding:?}");
        }
    }
}

#[test]
fn damage_in_a_page_is_found_where_it_is_looked_for() {
    let place = Place::new();
    place.wal(FIRST, &Wal::new(OURS).bytes);
    // A page's id, flags, count, size, an element's position; and a tail that is missing.
    for at in [0, 8, 10, 12, 16 + 4] {
        let mut db = build::db(&[b"a", b"b"]);
        db[2 * 4096 + at] ^= 1;
        place.snap("db", &db);
        damage(&place.look());
        let quick = place.volume.inspect(Depth::Quick).unwrap();
        assert!(!torn(&quick));
    }
    place.snap("db", &build::db(&[b"b", b"a"]));
    assert!(damage(&place.look()).1.contains("out of order"));
    place.snap("db", &build::db(&[b"a"])[..3 * 4096]);
    assert!(damage(&place.look()).1.contains("behind the end"));
}

#[test]
fn surroundings_are_errors_and_never_evidence() {
    let place = Place::new();
    place.write(&place.dir.path().join("data"), b"a file");
    let error = place.volume.inspect(Depth::Quick).unwrap_err().to_string();
    assert!(error.contains("is not a directory"), "{error}");
    let below = Volume::new(&place.dir.path().join("data/below"), None);
    below.inspect(Depth::Quick).unwrap_err();

    let place = Place::new();
    place.write(&place.volume.member, b"a file");
    place.volume.inspect(Depth::Quick).unwrap_err();

    if rustix::process::geteuid().is_root() {
        // Root reads everything; what it cannot follow is a link in a circle.
        let place = Place::new();
        std::fs::create_dir_all(&place.volume.wal).unwrap();
        let path = place.volume.wal.join(FIRST);
        std::os::unix::fs::symlink(&path, &path).unwrap();
        place.volume.inspect(Depth::Quick).unwrap_err();
    } else {
        let place = Place::new();
        place.wal(FIRST, &Wal::new(OURS).bytes);
        let closed = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(place.volume.wal.join(FIRST), closed).unwrap();
        place.volume.inspect(Depth::Quick).unwrap_err();
    }
}

#[test]
fn a_preallocated_file_is_read_no_further_than_its_records() {
    let place = Place::new();
    place.wal(FIRST, &Wal::new(OURS).bytes);
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(place.volume.wal.join(FIRST))
        .unwrap();
    file.set_len(1 << 40).unwrap();
    assert!(!torn(&place.look()));
}

#[test]
fn a_wal_dir_within_member_is_no_other_one() {
    for (data, wal, external) in [
        ("data", "data/member/wal", false),
        (".", "member/wal/", false),
        ("./data/", "data//member/./elsewhere", false),
        ("data", "data/wal", true),
        ("/data", "/wal/", true),
    ] {
        let volume = Volume::new(Path::new(data), Some(Path::new(wal)));
        assert_eq!(volume.external, external, "{data} {wal}");
    }
}

/// A disk that is not mounted.
#[test]
fn a_link_that_leads_nowhere_is_no_evidence() {
    let links: [fn(&Volume) -> &Path; 4] = [|v| &v.data, |v| &v.member, |v| &v.snap, |v| &v.wal];
    for link in links {
        for place in Place::both() {
            let link = link(&place.volume);
            std::fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink("/nowhere/at/all", link).unwrap();
            let error = place.volume.inspect(Depth::Quick).unwrap_err().to_string();
            assert!(error.contains("leads nowhere"), "{error}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", dir.path().join("disk")).unwrap();
    let volume = Volume::new(&dir.path().join("disk/etcd"), None);
    volume.inspect(Depth::Quick).unwrap_err();
}

/// Without its setting the WAL would look lost, and the member would be removed.
#[test]
fn a_wal_where_the_last_start_had_it_is_not_lost() {
    let place = Place::external();
    place.wal(FIRST, &Wal::new(OURS).bytes);
    place.volume.note_wal_dir().unwrap();
    assert_eq!(place.look().finding.identity(), Some(OURS));
    let elsewhere = place.dir.path().join("elsewhere");
    for wal in [None, Some(&*elsewhere)] {
        let volume = Volume::new(&place.volume.data, wal);
        let contents = volume.inspect(Depth::Quick).unwrap();
        let misplaced = Misplaced::WhereItWas {
            noted: place.volume.wal.clone(),
            wal_dir: volume.wal.clone(),
        };
        assert_eq!(contents.misplaced, Some(misplaced));
        assert_eq!(contents.finding, Finding::Empty);
    }
    // Moved, as it asks.
    std::fs::rename(&place.volume.wal, &elsewhere).unwrap();
    let volume = Volume::new(&place.volume.data, Some(&elsewhere));
    assert_eq!(
        volume.inspect(Depth::Quick).unwrap().finding.identity(),
        Some(OURS)
    );
    volume.note_wal_dir().unwrap();
    // Lost for good.
    std::fs::remove_dir_all(&elsewhere).unwrap();
    let volume = Volume::new(&place.volume.data, None);
    let contents = volume.inspect(Depth::Quick).unwrap();
    assert_eq!(
        (contents.finding, contents.misplaced),
        (Finding::Empty, None)
    );
}

#[test]
fn a_wal_dir_by_itself_hides_no_wal_and_takes_no_place_of_others() {
    let place = Place::external();
    let wal_dir = place.volume.wal.clone();
    // Our own notes, and what etcd makes its WAL from.
    place.note_join();
    place.write(&wal_dir.join("0.tmp"), b"");
    assert_eq!(place.look().misplaced, None);
    let letter = wal_dir.join("letter");
    place.write(&letter, b"dear");
    let name = "letter".to_string();
    assert_eq!(
        place.look().misplaced,
        Some(Misplaced::Foreign {
            name,
            wal_dir: wal_dir.clone()
        })
    );
    std::fs::remove_file(&letter).unwrap();
    let within = place.volume.member.join("wal");
    place.write(&within.join(FIRST), &Wal::new(OURS).bytes);
    assert_eq!(
        place.look().misplaced,
        Some(Misplaced::WithinDataDir {
            within,
            wal_dir: wal_dir.clone()
        })
    );
    place.write(&wal_dir.join(FIRST), &Wal::new(OURS).bytes);
    assert_eq!(place.look().misplaced, None);
}
