//! `fetch` and `verify`: a snapshot is read wholly, and every hash is checked.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write, sink};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use etcd_rejoin_host::error::{Context as _, Error};
use etcd_rejoin_host::exit::Exit;

use super::at_hand::AtHand;
use crate::catalog::{Catalog, manifests};
use crate::cli::Which;
use crate::layout::{Manifest, SnapshotId};
use crate::progress::Bar;
use crate::store::Store;
use crate::stream::{Opener, Passed};
use crate::table::size;
use crate::{NotDone, random};

/// Reads a snapshot to a writer. The error says that it is damaged, or that it could not be read.
pub async fn open<W: Write>(store: &Store, manifest: &Manifest, to: W) -> Result<W, Flaw> {
    let mut download = store
        .download(&manifest.id.object())
        .await
        .map_err(Flaw::Unread)?;
    let mut opener = Opener::new(to).map_err(Flaw::Unread)?;
    let (progress, mut came) = (Bar::new("reading"), 0);
    while let Some(piece) = download.next().await.map_err(Flaw::Unread)? {
        came += piece.len() as u64;
        progress.of(
            manifest.stored_size.saturating_sub(came),
            piece.len() as u64,
        );
        let written = opener.write(&piece);
        // A full disk says nothing about the snapshot.
        written.map_err(|error| match opener.writer_failed() {
            true => Flaw::Unread(error),
            false => Flaw::Damaged(error),
        })?;
        if opener.size() > manifest.size {
            let words = "it is larger than its manifest says";
            return Err(Flaw::Damaged(Error::new(words)));
        }
    }
    let (passed, to) = opener.finish().map_err(Flaw::Damaged)?;
    let expected = Passed {
        size: manifest.size,
        sha256: manifest.sha256.clone(),
        stored_size: manifest.stored_size,
        stored_sha256: manifest.stored_sha256.clone(),
    };
    match passed == expected {
        true => Ok(to),
        false => Err(Flaw::Damaged(Error::new(
            "it is whole, and not what its manifest says",
        ))),
    }
}

/// Why a snapshot was not read.
pub enum Flaw {
    /// It is not what was saved.
    Damaged(Error),
    /// The store did not give it.
    Unread(Error),
}

impl Flaw {
    /// The error, with the snapshot's name.
    pub fn of(self, id: &SnapshotId) -> Error {
        match self {
            Flaw::Damaged(error) => Error::caused(format!("{id} is damaged"), error),
            Flaw::Unread(error) => Error::caused(format!("{id} is not read"), error),
        }
    }
}

/// Whether a snapshot is good, of ours or of another program.
#[derive(Serialize)]
pub struct Verified {
    /// Its name.
    pub snapshot: String,
    /// Whether it is.
    pub good: bool,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Reads one snapshot, or all.
pub async fn verify(around: &AtHand, which: &Which, all: bool) -> Result<Exit, NotDone> {
    let ids = match all {
        true => Catalog::read(&around.store).await?.snapshots,
        false => vec![around.which(which).await?.id],
    };
    let mut verified = Vec::new();
    for id in ids {
        let (found, unusable) = manifests(&around.store, std::slice::from_ref(&id)).await?;
        let read = match (found.first(), unusable.get(&id)) {
            (Some(manifest), _) => open(&around.store, manifest, sink()).await,
            (None, Some(why)) => Err(Flaw::Damaged(Error::new(why.clone()))),
            // Pruned meanwhile, it is none.
            (None, None) => continue,
        };
        let why = match read {
            Ok(_) => None,
            Err(Flaw::Damaged(error)) => Some(error.to_string()),
            // Not read is no verdict.
            Err(flaw @ Flaw::Unread(_)) => return Err(flaw.of(&id).into()),
        };
        verified.push(Verified {
            snapshot: id.to_string(),
            good: why.is_none(),
            why,
        });
    }
    let printed = around.answer(&verified, || {
        let line = |one: &Verified| match &one.why {
            None => format!("{} is good\n", one.snapshot),
            Some(why) => format!("{} is damaged: {why}\n", one.snapshot),
        };
        verified.iter().map(line).collect()
    });
    Ok(if verified.iter().all(|one| one.good) {
        printed
    } else {
        Exit::NOT_OK
    })
}

/// Writes a snapshot to a file that is not there yet; it is there wholly, or not at all.
pub async fn fetch(around: &AtHand, file: &Path, which: &Which) -> Result<Exit, NotDone> {
    let manifest = around.which(which).await?;
    let new = WholeFile::create(file)?;
    let mut to = open(&around.store, &manifest, new.writer()?)
        .await
        .map_err(|flaw| flaw.of(&manifest.id))?;
    to.flush().context(|| new.what())?;
    new.finish()?;
    Ok(around.answer(&manifest, || {
        format!(
            "wrote {}, {}, to {}\n",
            manifest.id,
            size(manifest.size),
            file.display()
        )
    }))
}

/// A file that gets its name when it is whole.
pub struct WholeFile {
    file: File,
    beside: PathBuf,
    path: PathBuf,
}

impl WholeFile {
    /// Begins it. What is there already is not written over.
    pub fn create(path: &Path) -> Result<WholeFile, Error> {
        if path.exists() {
            return Err(Error::new(format!(
                "{} exists: nothing is written over it",
                path.display()
            )));
        }
        let mut beside = path.as_os_str().to_owned();
        // Another one that writes to the same place has a file of its own.
        beside.push(format!(".part-{}", random::text()));
        let beside = PathBuf::from(beside);
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside);
        let file = file.context(|| format!("cannot write {}", beside.display()))?;
        Ok(WholeFile {
            file,
            beside,
            path: path.into(),
        })
    }

    /// What its bytes are written to.
    pub fn writer(&self) -> Result<BufWriter<File>, Error> {
        let file = self.file.try_clone().context(|| self.what())?;
        Ok(BufWriter::with_capacity(1 << 20, file))
    }

    /// The attempt, for an error.
    pub fn what(&self) -> String {
        format!("cannot write {}", self.path.display())
    }

    /// Gives it its name, durable.
    pub fn finish(self) -> Result<(), Error> {
        self.file.sync_all().context(|| self.what())?;
        std::fs::rename(&self.beside, &self.path).context(|| self.what())?;
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.context(|| format!("cannot sync {}", folder.display()))
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        // Renamed, it is not there any more.
        let _ = std::fs::remove_file(&self.beside);
    }
}
