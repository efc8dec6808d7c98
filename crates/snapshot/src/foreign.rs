//! Snapshots that others have taken: etcd-manager's layout, and a bare `.db` of `etcdctl snapshot save`. Only read.
//!
//! etcd-manager (kops) keeps `<time>-<sequence>/etcd.backup.gz`, a gzip of the `.db`, and beside it, written last,
//! `_etcd_backup.meta` (its `docs/backupstructure.md`, and `BackupInfo` of `pkg/apis/etcd/etcdapi.proto`).

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use serde::Serialize;

use crate::layout::Moment;
use crate::manager::ManagerMeta;
use crate::store::Listing;
use crate::stream::DbHash;

/// What etcd-manager calls the data.
const MANAGER_DATA: &str = "etcd.backup.gz";
/// What it calls what it knows of them.
const MANAGER_META: &str = "_etcd_backup.meta";
/// What a database's size is a multiple of.
const PAGE: u64 = 512;
/// Where the first page of a bbolt database has its magic number, and which one it is.
const MAGIC: (usize, [u8; 4]) = (16, 0xED0C_DAED_u32.to_le_bytes());

/// A snapshot of another program's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OthersSnapshot {
    /// How it is called here: the key of its data.
    pub name: String,
    /// Where more is said of it.
    #[serde(skip)]
    pub meta: Option<String>,
    /// The bytes in the store.
    pub stored_size: u64,
    /// When it was taken; when it was stored, where nobody says it.
    pub taken: Moment,
    /// The version of etcd that it is for, where that is said.
    pub etcd_version: Option<String>,
}

/// Those among the objects of a place. What etcd-manager has not finished has no `_etcd_backup.meta`, and is none.
pub fn foreign(listings: &[Listing]) -> Vec<OthersSnapshot> {
    let mut found = Vec::new();
    for listing in listings {
        let (folder, file) = listing.key.rsplit_once('/').unwrap_or(("", &listing.key));
        let meta = format!("{folder}/{MANAGER_META}");
        let is_managers = file == MANAGER_DATA && listings.iter().any(|it| it.key == meta);
        if !is_managers && !file.ends_with(".db") {
            continue;
        }
        found.push(OthersSnapshot {
            name: listing.key.clone(),
            meta: is_managers.then_some(meta),
            stored_size: listing.size,
            taken: Moment(listing.modified),
            etcd_version: None,
        });
    }
    found
}

impl OthersSnapshot {
    /// With what its `_etcd_backup.meta` says.
    pub fn with_meta(self, bytes: &[u8]) -> Result<OthersSnapshot, String> {
        let ManagerMeta {
            etcd_version,
            taken,
        } = ManagerMeta::read(bytes)?;
        Ok(OthersSnapshot {
            etcd_version: Some(etcd_version),
            taken: taken.unwrap_or(self.taken),
            ..self
        })
    }
}

/// What a `.db` turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainFound {
    /// Its bytes, unpacked.
    pub size: u64,
    /// The hash that it ends with, if it is that of all before.
    pub sha256: String,
}

/// Passes a `.db` on, unpacked if it was gzip, and looks whether it is whole.
pub struct PlainCheck<W: Write> {
    way: Option<Way<W>>,
}

enum Way<W: Write> {
    /// Which of the two it is, the first bytes tell.
    Unknown(Hashed<W>, Vec<u8>),
    Plain(Hashed<W>),
    Packed(Box<MultiGzDecoder<Hashed<W>>>),
}

impl<W: Write> PlainCheck<W> {
    /// To this.
    pub fn new(to: W) -> PlainCheck<W> {
        let hashed = Hashed {
            to,
            hash: DbHash::default(),
            head: Vec::new(),
            size: 0,
        };
        PlainCheck {
            way: Some(Way::Unknown(hashed, Vec::new())),
        }
    }

    /// The end of the data. Says what is wrong with them, and what to do.
    pub fn finish(mut self) -> Result<(W, PlainFound), String> {
        let cut =
            |error: io::Error| format!("its gzip is damaged or cut: {error}; take another one");
        let hashed = match self.way.take().expect("it is taken at the end alone") {
            Way::Packed(packed) => packed.finish().map_err(cut)?,
            Way::Plain(plain) => plain,
            Way::Unknown(mut plain, head) => {
                plain.write_all(&head).map_err(|error| error.to_string())?;
                plain
            }
        };
        hashed.finish()
    }
}

impl<W: Write> Write for PlainCheck<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.way.take().expect("it is taken at the end alone") {
            Way::Unknown(mut hashed, mut head) => {
                head.extend_from_slice(bytes);
                self.way = Some(if head.len() < 2 {
                    Way::Unknown(hashed, head)
                } else if head.starts_with(&[0x1f, 0x8b]) {
                    let mut packed = Box::new(MultiGzDecoder::new(hashed));
                    packed.write_all(&head)?;
                    Way::Packed(packed)
                } else {
                    hashed.write_all(&head)?;
                    Way::Plain(hashed)
                });
            }
            Way::Plain(mut plain) => {
                plain.write_all(bytes)?;
                self.way = Some(Way::Plain(plain));
            }
            Way::Packed(mut packed) => {
                packed.write_all(bytes)?;
                self.way = Some(Way::Packed(packed));
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hashes what it passes on.
struct Hashed<W: Write> {
    to: W,
    hash: DbHash,
    head: Vec<u8>,
    size: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write_all(bytes)?;
        self.size += bytes.len() as u64;
        let wanted = (MAGIC.0 + MAGIC.1.len()).saturating_sub(self.head.len());
        self.head.extend(bytes.iter().take(wanted));
        self.hash.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<W: Write> Hashed<W> {
    fn finish(self) -> Result<(W, PlainFound), String> {
        if self.head.get(MAGIC.0..) != Some(&MAGIC.1) {
            return Err("it is no database of etcd: neither a .db nor a gzip of one".into());
        }
        if self.size.is_multiple_of(PAGE) {
            let words = "it has no hash: somebody copied it out of a data dir, and nobody can tell whether it is whole";
            return Err(format!("{words}; take one of `etcdctl snapshot save`"));
        }
        let (size, sha256) = self
            .hash
            .finish()
            .map_err(|error| format!("{error}; take another one"))?;
        Ok((self.to, PlainFound { size, sha256 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(key: &str) -> Listing {
        Listing {
            key: key.into(),
            size: 7,
            modified: std::time::SystemTime::UNIX_EPOCH,
        }
    }

    /// A file with a database's first page, as long as two pages, and its hash.
    fn db() -> Vec<u8> {
        let mut bytes = vec![0; 1024];
        bytes[MAGIC.0..][..4].copy_from_slice(&MAGIC.1);
        let hash = ring::digest::digest(&ring::digest::SHA256, &bytes);
        bytes.extend_from_slice(hash.as_ref());
        bytes
    }

    fn checked(bytes: &[u8]) -> Result<Vec<u8>, String> {
        // A byte at a time is the worst that a stream can do.
        let mut check = PlainCheck::new(Vec::new());
        for byte in bytes {
            check
                .write_all(&[*byte])
                .map_err(|error| error.to_string())?;
        }
        check.finish().map(|(to, found)| {
            assert_eq!(found.size, to.len() as u64);
            to
        })
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn a_db_is_whole_as_it_is_and_as_gzip() {
        assert_eq!(checked(&db()), Ok(db()));
        assert_eq!(checked(&gzip(&db())), Ok(db()));
    }

    #[test]
    fn what_is_not_whole_says_so() {
        for (bytes, words) in [
            (vec![], "no database"),
            (b"x".to_vec(), "no database"),
            (gzip(b"something else"), "no database"),
            (db()[..1024].to_vec(), "it has no hash"),
            (db()[..1055].to_vec(), "it is cut, or damaged"),
            (gzip(&db())[..40].to_vec(), "gzip is damaged or cut"),
            (
                [&db()[..1000], &[1], &db()[1001..]].concat(),
                "it is cut, or damaged",
            ),
        ] {
            let said = checked(&bytes).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn etcd_managers_are_found_when_they_are_finished_and_a_bare_db_always() {
        let keys = [
            "2026-01-30T01:02:03Z-000009/_etcd_backup.meta",
            "2026-01-30T01:02:03Z-000009/etcd.backup.gz",
            "2026-01-30T01:17:03Z-000010/etcd.backup.gz",
            "control/etcd-cluster-created",
            "daily/monday.db",
            "snapshot/0001-0000000000000000010-00c0ffee.db.zst",
        ];
        let found = foreign(&keys.map(listing));
        let names: Vec<&str> = found.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, [keys[1], keys[4]]);
        assert_eq!(found[0].meta.as_deref(), Some(keys[0]));
    }
}
