use super::build::Wal;
use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_join_note_is_read_back_and_comes_after_the_promise() {
    for place in Place::both() {
        let volume = &place.volume;
        volume.note_promise("0123456789abcdef").unwrap();
        assert_eq!(place.look().promise.as_deref(), Some("0123456789abcdef"));
        volume.before_join(false).unwrap();
        assert_eq!(place.look().join_note, None);
        assert!(place.look().adding);
        assert_eq!(place.look().promise, None);
        volume.note_join(OURS.member).unwrap();
        assert_eq!(place.look().join_note, Some(OURS.member));
        assert!(!place.look().adding);
        // Before another add it is one no more, and neither is that of a learner.
        volume.note_learner(OURS.member).unwrap();
        volume.before_join(true).unwrap();
        assert_eq!(place.look().join_note, None);
        assert_eq!(place.look().added_learner, None);
        volume.note_join(MemberId(7)).unwrap();
        assert_eq!(place.look().join_note, Some(MemberId(7)));
        assert_eq!(place.look().finding, Finding::Empty);
        assert!(!place.look().leftovers);
    }
}

#[test]
fn directories_that_a_note_needs_are_private() {
    for place in Place::both() {
        place.note_join();
        for dir in [&place.volume.data, &place.volume.member, &place.volume.wal] {
            let mode = fs::metadata(dir).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o700, "{}", dir.display());
        }
    }
}

#[test]
fn a_note_that_does_not_read_is_taken_the_safe_way() {
    let place = Place::new();
    let wal = Wal::new(OURS);
    let volume = &place.volume;
    let huge = vec![b'a'; 100_000];
    for junk in [
        &b""[..],
        b"\n",
        b"no line end",
        b"two\nlines\n",
        b"\xff\xfe\n",
        b"\0\0\0\0",
        b"12x\n",
        b"not added yet\n",
        &huge,
    ] {
        place.write(&volume.wal.join("rejoin-join"), junk);
        place.write(&volume.wal.join("rejoin-promise"), junk);
        place.write(&volume.member.join("rejoin-give-up"), junk);
        place.write(&volume.member.join("rejoin-learner"), junk);
        place.write(&volume.member.join("rejoin-start"), junk);
        let contents = place.look();
        assert_eq!(contents.join_note, None);
        if junk != b"12x\n" && junk != b"not added yet\n" {
            assert_eq!(contents.promise, None);
        }
        place.wal(FIRST, &wal.bytes);
        let contents = place.look();
        fs::remove_file(place.volume.wal.join(FIRST)).unwrap();
        assert!(contents.given_up);
        assert_eq!(contents.added_learner, None);
        assert!(!contents.stalled);
    }
    // Half an ID is another ID.
    for half in [
        "b82403f238c8d7e8",
        "b82403f2",
        "0b82403f238c8d7e8\n",
        "B82403F238C8D7E8\n",
        "+5\n",
    ] {
        place.write(&volume.wal.join("rejoin-join"), half.as_bytes());
        assert_eq!(place.look().join_note, None, "{half}");
    }
}

#[test]
fn a_note_beside_a_wal_is_neither_written_nor_believed() {
    for place in Place::both() {
        place.volume.note_promise("digest").unwrap();
        place.note_join();
        place.wal(FIRST, &Wal::new(OURS).bytes);
        assert_eq!(place.look().join_note, None);
        assert_eq!(place.look().promise, None);
        place.volume.note_promise("digest").unwrap_err();
        place.volume.before_join(false).unwrap_err();
        let error = place.volume.note_join(MemberId(5)).unwrap_err().to_string();
        assert!(error.contains("there is a WAL"), "{error}");
    }
}

#[test]
fn a_give_up_note_is_for_one_identity() {
    let place = Place::new();
    place.wal(FIRST, &Wal::new(OURS).bytes);
    place.volume.give_up(MemberId(5)).unwrap();
    assert!(!place.look().given_up);
    place.volume.give_up(OURS.member).unwrap();
    assert!(place.look().given_up);
}

#[test]
fn a_start_without_progress_is_seen_until_the_wal_moves() {
    let place = Place::new();
    let mut wal = Wal::new(OURS);
    place.wal(FIRST, &wal.preallocated(1000));
    assert!(!place.look().stalled);
    let Finding::Own { end, .. } = place.look().finding else {
        panic!("not own");
    };
    place.volume.note_start(&end).unwrap();
    assert!(place.look().stalled);
    wal.state(4);
    place.wal(FIRST, &wal.preallocated(1000));
    assert!(!place.look().stalled);
}

#[test]
fn notes_about_learner_and_leaving_come_and_go() {
    let place = Place::new();
    let volume = &place.volume;
    volume.forget_learner().unwrap();
    volume.forget_left().unwrap();
    volume.note_learner(MemberId(7)).unwrap();
    volume.note_left(false).unwrap();
    assert_eq!(place.look().added_learner, Some(MemberId(7)));
    assert!(place.look().left);
    volume.forget_learner().unwrap();
    volume.forget_left().unwrap();
    assert_eq!(place.look().added_learner, None);
    assert!(!place.look().left);
}

#[test]
fn a_note_that_would_not_read_back_is_refused() {
    let place = Place::new();
    for digest in ["", "two\nlines", &"a".repeat(5000)] {
        place.volume.note_promise(digest).unwrap_err();
    }
    assert_eq!(place.look().promise, None);
}

#[test]
fn a_step_that_fails_names_its_path() {
    let place = Place::new();
    place.write(&place.dir.path().join("data"), b"a file");
    let error = place.volume.before_join(false).unwrap_err().to_string();
    assert!(error.contains("data/member"), "{error}");
}

/// Another file, or the same one written again, is asked anew.
#[test]
fn the_etcd_that_was_started_here_is_known_while_its_file_stays_as_it_is() {
    let place = Place::new();
    let etcd = place.dir.path().join("etcd");
    std::fs::write(&etcd, "one").unwrap();
    let volume = &place.volume;
    volume.note_etcd(&etcd, "3.7.1").unwrap();
    assert!(!volume.data.exists(), "a note is no data");
    std::fs::create_dir_all(&volume.member).unwrap();
    volume.note_etcd(&etcd, "3.7.1").unwrap();
    assert_eq!(volume.noted_etcd(&etcd).as_deref(), Some("3.7.1"));
    let other = place.dir.path().join("other");
    std::fs::copy(&etcd, &other).unwrap();
    assert_eq!(volume.noted_etcd(&other), None);
    std::fs::write(&etcd, "two, longer").unwrap();
    assert_eq!(volume.noted_etcd(&etcd), None);
    std::fs::remove_file(&etcd).unwrap();
    assert_eq!(volume.noted_etcd(&etcd), None);
    for junk in ["", " ", "3.7.1", "1 2 3 3.7.1"] {
        place.write(&volume.member.join("rejoin-etcd"), junk.as_bytes());
        assert_eq!(volume.noted_etcd(&other), None, "{junk:?}");
    }
}
