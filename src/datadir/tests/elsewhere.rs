//! Looking for data at other places.

use super::build::Wal;
use super::*;

/// A data dir of etcd at this path.
fn lies_at(place: &Place, dir: &Path, identity: Identity) {
    let wal = Wal::new(identity).preallocated(1 << 20);
    place.write(&dir.join("member/wal").join(FIRST), &wal);
}

/// What was found within the place: relative path, whether its owner reads, whether it is near.
fn found(place: &Place, ignored: &[PathBuf]) -> Vec<(String, bool, bool)> {
    let all = place.volume.elsewhere("n1", ignored).into_iter();
    let within = all.filter_map(|data| {
        let path = data.path.strip_prefix(place.dir.path()).ok()?;
        let owner = data.owner == Some(OURS);
        Some((path.display().to_string(), owner, data.near))
    });
    let mut within: Vec<_> = within.collect();
    within.sort();
    within
}

#[test]
fn data_is_found_around_the_data_dir() {
    let place = Place::new();
    let dir = place.dir.path();
    assert_eq!(found(&place, &[]), []);
    for path in ["", "data/default.etcd", "old", "n1.etcd", "too/deep"] {
        lies_at(&place, &dir.join(path), OURS);
    }
    // What is set aside is told otherwise, and a folder without a WAL is none.
    lies_at(&place, &place.volume.asides(), OURS);
    std::fs::create_dir_all(dir.join("other/member/wal")).unwrap();
    let is = |path: &str, near| (path.to_string(), true, near);
    assert_eq!(
        found(&place, &[]),
        [
            is("", true),
            is("data/default.etcd", true),
            is("n1.etcd", true),
            is("old", false)
        ]
    );
    let ignored = ["old/", "n1.etcd/../n1.etcd"].map(|path| dir.join(path));
    assert_eq!(
        found(&place, &ignored),
        [is("", true), is("data/default.etcd", true)]
    );
}

#[test]
fn data_is_found_where_the_data_dir_is_not_there_yet_or_a_link() {
    let place = Place::new();
    let dir = place.dir.path();
    lies_at(&place, &dir.join("old"), OURS);
    std::os::unix::fs::symlink("old", dir.join("link")).unwrap();
    assert_eq!(found(&place, &[]).len(), 1, "it is one and the same");
    let linked = Volume::new(&dir.join("link"), None);
    let here = |data: &crate::decide::Elsewhere| data.path.starts_with(dir);
    assert!(!linked.elsewhere("n1", &[]).iter().any(here));
}

#[test]
fn a_head_that_does_not_read_is_of_nobody_and_nothing_is_read_behind_it() {
    let place = Place::new();
    let wal = place.dir.path().join("old/member/wal").join(FIRST);
    for bytes in [&b""[..], b"nonsense", &[0xff; 1 << 16]] {
        place.write(&wal, bytes);
        assert_eq!(found(&place, &[]), [("old".into(), false, false)]);
    }
    let mut bytes = Wal::new(OURS).bytes;
    bytes.resize(8192, 0xff);
    place.write(&wal, &bytes);
    assert_eq!(found(&place, &[]), [("old".into(), true, false)]);
}

#[test]
fn what_a_process_runs_on_is_held() {
    let place = Place::new();
    let dir = place.dir.path().join("n1.etcd");
    lies_at(&place, &dir, OURS);
    let is_held = || {
        let all = place.volume.elsewhere("n1", &[]);
        let one = all.iter().find(|data| data.path == dir).unwrap();
        assert!(one.near);
        one.held
    };
    let held = Volume::new(&dir, None).lock().unwrap();
    assert!(is_held());
    drop(held);
    assert!(!is_held());
}

#[test]
fn a_folder_full_of_others_costs_no_more_than_some() {
    let place = Place::new();
    let dir = place.dir.path();
    for n in 0..20_000 {
        std::fs::write(dir.join(format!("file-{n}")), b"").unwrap();
    }
    let began = std::time::Instant::now();
    found(&place, &[]);
    assert!(began.elapsed() < std::time::Duration::from_millis(500));
}
