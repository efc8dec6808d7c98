mod build;
mod elsewhere;
mod hostile;
mod moves;
mod notes;
mod reading;
mod restore;
mod upgrades;

use super::*;
use crate::decide::MinorVersion;
use crate::membership::ClusterId;

/// A volume in a temporary directory.
struct Place {
    dir: tempfile::TempDir,
    volume: Volume,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::new(&dir.path().join("data"), None);
        Place { dir, volume }
    }

    fn external() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::new(&dir.path().join("data"), Some(&dir.path().join("wal")));
        Place { dir, volume }
    }

    fn both() -> [Place; 2] {
        [Place::new(), Place::external()]
    }

    fn write(&self, path: &Path, bytes: &[u8]) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn note_join(&self) {
        self.volume.before_join(false).unwrap();
        self.volume.note_join(OURS.member).unwrap();
    }

    fn wal(&self, name: &str, bytes: &[u8]) {
        self.write(&self.volume.wal.join(name), bytes);
    }

    fn snap(&self, name: &str, bytes: &[u8]) {
        self.write(&self.volume.snap.join(name), bytes);
    }

    fn look(&self) -> Contents {
        self.volume.inspect(Depth::Deep).unwrap()
    }

    /// What is found for an etcd of this version; none: it does not say it.
    fn found_for(&self, version: Option<(u64, u64)>) -> Finding {
        let etcd = || version.map(MinorVersion::from);
        let (known, now) = (Known::default(), std::time::SystemTime::now());
        let contents = self.volume.inspect_again(Depth::Deep, &known, now, &etcd);
        contents.unwrap().finding
    }

    /// Every file with its content, by its path; without what `skip` names.
    fn files(&self, skip: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut dirs = vec![self.dir.path().to_path_buf()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else if !path.to_str().unwrap().contains(skip) {
                    files.push((path.clone(), std::fs::read(&path).unwrap()));
                }
            }
        }
        files.sort();
        files
    }
}

const FIRST: &str = "0000000000000000-0000000000000000.wal";
const SECOND: &str = "0000000000000001-0000000000000005.wal";

const OURS: Identity = Identity {
    member: MemberId(0xb824_03f2_38c8_d7e8),
    cluster: ClusterId(0x8779_fee7_2b7a_ca24),
};

fn damage(contents: &Contents) -> (&Option<Identity>, &str) {
    match &contents.finding {
        Finding::Damaged { head, what } => (head, what),
        other => panic!("not damaged: {other:?}"),
    }
}

fn torn(contents: &Contents) -> bool {
    match &contents.finding {
        Finding::Own { torn, identity, .. } if *identity == OURS => *torn,
        other => panic!("not ours: {other:?}"),
    }
}
