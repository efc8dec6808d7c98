//! The notes of a restore, and its data on the way into its place: after each kill the look says what is so.

use super::build::{Wal, db};
use super::*;
use crate::decide::Nonce;
use std::fs;
use std::time::{Duration, SystemTime};

const NOW: Duration = Duration::from_secs(1_795_252_265);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + NOW
}

fn nonce(text: &str) -> Nonce {
    Nonce(text.into())
}

const RESTORED: Identity = Identity {
    member: MemberId(77),
    cluster: ClusterId(78),
};

/// As a child makes it: whole, by one rename.
fn make(place: &Place) {
    let made = place
        .volume
        .to_be_made(&nonce("ab"), "try")
        .unwrap()
        .unwrap();
    let part = made.with_extension("part");
    let wal = part.join("member/wal").join(FIRST);
    place.write(&wal, &Wal::new(RESTORED).bytes);
    place.write(&part.join("member/snap/db"), &db(&[b"a"]));
    fs::rename(part, made).unwrap();
}

fn is_made(place: &Place) -> bool {
    let made = place.volume.to_be_made(&nonce("ab"), "again");
    made.unwrap().is_none()
}

/// With data of before, and the note of lineage 2.
fn begun() -> Place {
    let place = Place::new();
    place.wal(FIRST, &Wal::new(OURS).bytes);
    place.snap("db", &db(&[b"old"]));
    place.volume.note_lineage(2, &nonce("ab")).unwrap();
    place
}

#[test]
fn the_note_of_a_lineage_goes_with_the_rename_that_brings_its_data() {
    let place = begun();
    assert_eq!(place.look().restoring, Some((2, nonce("ab"))));
    make(&place);
    assert!(is_made(&place));
    assert_eq!(place.look().finding.identity(), Some(OURS));
    let aside = place
        .volume
        .bring((2, &nonce("ab")), now())
        .unwrap()
        .unwrap();
    assert!(aside.to_str().unwrap().ends_with("-for-2"), "{aside:?}");
    let seen = place.look();
    assert_eq!(seen.finding.identity(), Some(RESTORED));
    assert_eq!((seen.restoring, seen.set_aside), (None, 0));
    assert!(!place.volume.next().exists());
    assert!(place.volume.elsewhere("n1", &[]).is_empty());
}

/// Every prefix of what `bring` renames.
#[test]
fn a_bring_that_was_killed_is_finished() {
    for renames in 0..4 {
        let place = begun();
        make(&place);
        let next = place.volume.next();
        let (made, member) = (next.join("made-ab-try/member"), next.join("member"));
        let aside = place
            .volume
            .asides()
            .join("20261121T091105Z-b82403f238c8d7e8-for-2");
        fs::create_dir_all(&aside).unwrap();
        let all = [
            (made.join("snap"), member.join("snap")),
            (made.join("wal"), member.join("wal")),
            (place.volume.member.clone(), aside.join("member")),
        ];
        for (from, to) in &all[..renames] {
            fs::rename(from, to).unwrap();
        }
        let seen = place.look();
        assert_eq!(seen.restoring, Some((2, nonce("ab"))), "{renames}");
        assert_eq!(seen.set_aside, 0, "{renames}");
        assert!(seen.elsewhere.is_empty());
        assert!(is_made(&place), "{renames}");
        place.volume.bring((2, &nonce("ab")), now()).unwrap();
        let seen = place.look();
        assert_eq!(seen.finding.identity(), Some(RESTORED), "{renames}");
        assert_eq!(seen.restoring, None, "{renames}");
        let kept = place.volume.quarantined().unwrap();
        assert_eq!(kept.iter().filter(|it| it.counts).count(), 1, "{renames}");
    }
}

#[test]
fn a_note_keeps_its_nonce_and_another_lineage_begins_anew() {
    let place = begun();
    make(&place);
    place.volume.note_lineage(2, &nonce("ab")).unwrap();
    assert!(is_made(&place));
    place.volume.note_lineage(3, &nonce("cd")).unwrap();
    assert_eq!(place.look().restoring, Some((3, nonce("cd"))));
    assert!(!is_made(&place));
    assert!(
        place.volume.bring((3, &nonce("cd")), now()).is_err(),
        "nothing was made"
    );
    assert_eq!(place.look().finding.identity(), Some(OURS));
}

/// Who joins has no lineage of its own to begin, and nothing of it is left to be brought.
#[test]
fn who_joins_drops_the_note_of_a_lineage() {
    let place = Place::new();
    place.volume.note_lineage(2, &nonce("ab")).unwrap();
    make(&place);
    place.note_join();
    assert_eq!(place.look().restoring, None);
    place.volume.note_lineage(2, &nonce("ab")).unwrap();
    assert!(!is_made(&place));
}

#[test]
fn what_is_set_aside_for_a_lineage_is_kept_and_hinders_nothing() {
    for place in Place::both() {
        place.wal(FIRST, &Wal::new(OURS).bytes);
        place.volume.note_order(3).unwrap();
        let aside = place.volume.set_aside_for(3, now()).unwrap().unwrap();
        assert_eq!(place.volume.set_aside_for(3, now()).unwrap(), None);
        let seen = place.look();
        assert_eq!(seen.finding, Finding::Empty);
        assert_eq!((seen.set_aside, seen.order_note), (0, Some(3)));
        let listed = place.volume.quarantined().unwrap();
        assert_eq!(listed[0].lineage, Some(3));
        assert_eq!(listed[0].member, Some(OURS.member));
        assert!(place.volume.delete_set_aside(0).unwrap().is_empty());
        let name = aside.file_name().unwrap().to_str().unwrap().to_string();
        place.volume.put_back(&name, now()).unwrap();
        assert_eq!(place.look().finding.identity(), Some(OURS));
    }
}

#[test]
fn an_order_is_waited_for_until_the_note_is_gone() {
    let place = Place::new();
    assert_eq!(place.look().order_note, None);
    place.volume.note_order(7).unwrap();
    assert_eq!(place.look().order_note, Some(7));
    place.volume.forget_order().unwrap();
    place.volume.forget_order().unwrap();
    assert_eq!(place.look().order_note, None);
    // Somebody has said that it waits: nothing is started beside it.
    for bytes in [&b"seven\n"[..], b"", b"7"] {
        place.write(&place.volume.data.join("rejoin-order"), bytes);
        assert!(place.volume.inspect(Depth::Quick).is_err());
    }
}

#[test]
fn a_wal_dir_by_itself_is_no_place_for_a_restore() {
    let place = Place::external();
    let error = place.volume.note_lineage(2, &nonce("ab")).unwrap_err();
    assert!(error.to_string().contains("ETCD_WAL_DIR"), "{error}");
    assert!(!place.volume.next().exists());
}
