use super::build::{self, Wal};
use super::*;
use crate::datadir::snap::SnapId;
use crate::decide::Traps;
use crate::membership::MemberId;

const PUBLISH: &str = "/0/members/3/attributes";

fn traps(wal: &Wal, db: &[u8]) -> Traps {
    let place = Place::new();
    place.wal(FIRST, &wal.preallocated(1000));
    place.snap("db", db);
    place.volume.traps(1).unwrap()
}

fn in_wal(write: impl Fn(&mut Wal)) -> Traps {
    let mut wal = Wal::new(OURS);
    write(&mut wal);
    traps(&wal, &build::db_at(3))
}

#[test]
fn requests_of_the_v2_api_count_behind_the_last_committed_snapshot() {
    let snapshot = |index| SnapId { term: 2, index };
    let old = in_wal(|wal| {
        wal.old_request(2, 4, "PUT", PUBLISH);
        wal.old_request(2, 5, "PUT", "/0/version");
        wal.entry_of(2, 6, b"");
        wal.state(6);
    });
    assert_eq!((old.old_request, old.v2_content), (Some(5), false));
    let behind = in_wal(|wal| {
        wal.old_request(2, 4, "PUT", PUBLISH);
        wal.entry_at(2, 5);
        wal.state(5);
        wal.snapshot(snapshot(5));
        wal.entry_at(2, 6);
    });
    assert_eq!(behind, Traps::default());
    // What the log does not know as committed is not started from.
    let ahead = in_wal(|wal| {
        wal.old_request(2, 4, "PUT", PUBLISH);
        wal.state(4);
        wal.snapshot(snapshot(5));
    });
    assert_eq!(ahead.old_request, Some(4));
}

#[test]
fn an_old_request_that_a_later_leader_has_replaced_is_none() {
    let replaced = in_wal(|wal| {
        wal.old_request(2, 4, "PUT", PUBLISH);
        wal.entry_of(3, 4, b"");
        wal.entry_at(3, 5);
    });
    assert_eq!(replaced.old_request, None);
}

#[test]
fn a_request_of_a_user_of_the_v2_api_is_content() {
    for (method, path) in [
        ("PUT", "/1/foo"),
        ("DELETE", "/1/foo"),
        ("SYNC", ""),
        ("PUT", "/2/users/root"),
    ] {
        let found = in_wal(|wal| wal.old_request(2, 4, method, path));
        assert!(found.v2_content, "{method} {path}");
    }
}

#[test]
fn whom_the_database_lists_is_held_against_who_has_a_part_in_raft() {
    let listed = |members: &[(&str, &str)], state: &str| {
        let state = state.replace("[1", &format!("[{},1", OURS.member.0));
        let meta = [("confState", state.as_str())];
        let db = build::db_with(&[(b"members", members), (b"meta", &meta[..])]);
        traps(&Wal::new(OURS), &db)
    };
    let voter = ("1", r#"{"id":1,"peerURLs":["http://n1"],"name":"n1"}"#);
    let learner = ("2", r#"{"id":2,"peerURLs":["http://n2"],"isLearner":true}"#);
    let another = ("3", r#"{"id":3,"peerURLs":["http://n3"],"isLearner":true}"#);
    let whole = listed(&[voter, learner], r#"{"voters":[1],"learners":[2]}"#);
    assert_eq!(whole, Traps::default());
    let removed = listed(&[voter, learner], r#"{"voters":[1],"auto_leave":false}"#);
    assert_eq!(removed.removed, [MemberId(2)]);
    let promoted = listed(
        &[voter, learner, another],
        r#"{"voters":[1,2],"learners":[3]}"#,
    );
    assert_eq!(promoted.promoted, [MemberId(2)]);
    assert_eq!(promoted.learners, None);
    let many = listed(
        &[voter, learner, another],
        r#"{"voters":[1],"learners":[2,3]}"#,
    );
    assert_eq!(many.learners, Some(2));
    // The saved cluster's, behind a restore that made new members.
    let restored = listed(&[voter, learner], r#"{"voters":[9]}"#);
    assert_eq!(restored, Traps::default());
    // 3.4 does not write who has a part.
    assert_eq!(listed(&[voter, learner], "-"), Traps::default());
}

#[test]
fn the_newer_one_of_storage_and_cluster_version_counts() {
    let place = Place::new();
    let written_for = |cluster: &[(&str, &str)], meta: &[(&str, &str)]| {
        place.snap(
            "db",
            &build::db_with(&[(b"cluster", cluster), (b"meta", meta)]),
        );
        place
            .volume
            .written_for()
            .map(|version| version.to_string())
    };
    let cluster = |version| [("clusterVersion", version)];
    assert_eq!(written_for(&cluster("3.5.0"), &[]).as_deref(), Some("3.5"));
    let storage = [("storageVersion", "3.6.0")];
    assert_eq!(
        written_for(&cluster("3.5.0"), &storage).as_deref(),
        Some("3.6")
    );
    assert_eq!(
        written_for(&cluster("3.7.0"), &storage).as_deref(),
        Some("3.7")
    );
    assert_eq!(written_for(&[], &[]), None);
    place.snap("db", b"garbage");
    assert_eq!(place.volume.written_for(), None);
}
