//! The notes in the WAL directory live exactly as long as they are true: real etcd removes them.

mod support;

#[path = "notes/etcd.rs"]
mod etcd;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use etcd::{Etcd, address, wait_for};
use etcd_rejoin::datadir::{Contents, Depth, Finding, Volume};
use etcd_rejoin::membership::MemberId;
use support::{Version, scenarios};

scenarios! {
    each:
        notes_survive_a_refused_start,
        notes_survive_a_start_that_is_killed_before_it_has_a_wal,
        etcds_creation_of_the_wal_removes_the_notes,
        a_killed_creation_leaves_the_notes_or_a_wal_and_never_both;
}

const NOTED: MemberId = MemberId(0x8e9e_05c5_2164_694d);

struct Place {
    _dir: tempfile::TempDir,
    data: PathBuf,
    wal: Option<PathBuf>,
    volume: Volume,
}

impl Place {
    fn noted(external: bool) -> Place {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let wal = external.then(|| dir.path().join("fast/wal"));
        let volume = Volume::new(&data, wal.as_deref());
        volume.before_join(false).unwrap();
        volume.note_join(NOTED).unwrap();
        volume.note_promise("0123456789abcdef").unwrap();
        Place {
            _dir: dir,
            data,
            wal,
            volume,
        }
    }

    fn start(&self, version: Version, others: &str, state: &str) -> Etcd {
        let wal_dir = self.wal.as_deref().map(Path::to_str).map(Option::unwrap);
        let mut more = vec!["--initial-cluster-state", state];
        more.extend(wal_dir.map(|wal| ["--wal-dir", wal]).iter().flatten());
        Etcd::start_at(version, &self.data, &address(), others, &more)
    }

    fn look(&self) -> Contents {
        self.volume.inspect(Depth::Deep).unwrap()
    }

    fn both_notes_are_there(&self) {
        let contents = self.look();
        assert_eq!(contents.finding, Finding::Empty);
        assert_eq!(contents.join_note, Some(NOTED));
        assert_eq!(contents.promise.as_deref(), Some("0123456789abcdef"));
    }
}

fn notes_survive_a_refused_start(version: Version) {
    for external in [false, true] {
        let place = Place::noted(external);
        let nobody = format!(",n2=http://{}:2380", address());
        let mut etcd = place.start(version, &nobody, "existing");
        assert_eq!(etcd.ended().code(), Some(1), "{version}: {}", etcd.log());
        place.both_notes_are_there();
        assert!(place.look().leftovers);

        place
            .volume
            .set_aside_leftovers(SystemTime::now())
            .unwrap()
            .unwrap();
        place.both_notes_are_there();
        // A refused start's database is nothing that a person may want.
        assert_eq!(place.look().set_aside, 0, "{version}");
        assert!(!etcd.log().contains("rejoin-"), "{version}: {}", etcd.log());
    }
}

fn notes_survive_a_start_that_is_killed_before_it_has_a_wal(version: Version) {
    for external in [false, true] {
        let place = Place::noted(external);
        // A peer that accepts and says nothing holds etcd between its database and its WAL.
        let silent = address();
        let listener = TcpListener::bind((silent.as_str(), 2380)).unwrap();
        let mut etcd = place.start(version, &format!(",n2=http://{silent}:2380"), "existing");
        let asked = listener.accept().unwrap();
        etcd.kill();
        drop(asked);
        place.both_notes_are_there();
        assert!(place.look().leftovers, "{version}");
    }
}

fn etcds_creation_of_the_wal_removes_the_notes(version: Version) {
    for external in [false, true] {
        let place = Place::noted(external);
        place.volume.note_learner(NOTED).unwrap();
        let mut etcd = place.start(version, "", "new").healthy();
        let identity = etcd.identity();
        etcd.kill();
        let contents = place.look();
        assert_eq!(contents.join_note, None, "{version}");
        assert_eq!(contents.promise, None, "{version}");
        assert_eq!(contents.added_learner, Some(NOTED), "{version}");
        let Finding::Own {
            identity: found,
            end,
            ..
        } = contents.finding
        else {
            panic!("{version}: {contents:?}");
        };
        assert_eq!(found, identity, "{version}");
        assert!(!etcd.log().contains("rejoin-"), "{version}: {}", etcd.log());

        // A start that does something is seen as progress.
        place.volume.note_start(&end).unwrap();
        place.volume.give_up(identity.member).unwrap();
        assert!(place.look().stalled && place.look().given_up);
        let mut etcd = place.start(version, "", "new").healthy();
        etcd.kill();
        assert!(!place.look().stalled, "{version}");
        assert!(!etcd.log().contains("rejoin-"), "{version}: {}", etcd.log());
    }
}

fn a_killed_creation_leaves_the_notes_or_a_wal_and_never_both(version: Version) {
    for external in [false, true] {
        for delay in 0..6 {
            let place = Place::noted(external);
            let wal = place.wal.clone().unwrap_or(place.data.join("member/wal"));
            let mut etcd = place.start(version, "", "new");
            wait_for("the new WAL", || {
                let coming = wal.with_extension("tmp").exists();
                (coming || !wal.join("rejoin-join").exists()).then_some(())
            });
            std::thread::sleep(std::time::Duration::from_micros(300 * delay));
            etcd.kill();
            let contents = place.look();
            let noted = contents.join_note.is_some() || contents.promise.is_some();
            let has_wal = contents.finding != Finding::Empty;
            assert!(!(noted && has_wal), "{version}: {contents:?}");
            if has_wal {
                assert!(
                    matches!(contents.finding, Finding::Own { .. }),
                    "{contents:?}"
                );
            }
        }
    }
}
