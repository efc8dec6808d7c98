//! Where snapshots live: a directory or an object store, under one set of verbs. Knows nothing of what the objects say.

mod bucket;
mod directory;
mod object;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::ClientConfig;

use etcd_rejoin_host::error::Error;

use bucket::{Bucket, Parts};
pub use bucket::{BucketPlace, Credentialed};
use directory::{Directory, NewFile};
pub use object::{Creation, Listing, SMALL};

/// How long another's write of a small object may take, in steps.
const WRITING: &[Duration] = &[
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_millis(1000),
];

/// What `REJOIN_STORE` names.
#[derive(Clone, Debug)]
pub enum Place {
    /// A directory that exists.
    Directory(PathBuf),
    /// A bucket and a prefix in it.
    Bucket(BucketPlace),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Directory(path) => write!(f, "{}", path.display()),
            Place::Bucket(place) => write!(f, "s3://{}/{}", place.bucket, place.prefix),
        }
    }
}

/// A place for one cluster's snapshots.
#[derive(Debug)]
pub enum Store {
    /// A directory.
    Directory(Directory),
    /// A part of a bucket.
    Bucket(Box<Bucket>),
}

impl Store {
    /// Opens a place. `tls` is how we speak to an object store. Nobody is asked yet.
    pub fn open(place: &Place, tls: Arc<ClientConfig>) -> Result<Store, Error> {
        Ok(match place {
            Place::Directory(path) => Store::Directory(Directory::new(path)),
            Place::Bucket(place) => Store::Bucket(Box::new(Bucket::open(place, tls)?)),
        })
    }

    /// A small object, or none.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Store::Directory(directory) => directory.get(key),
            Store::Bucket(bucket) => bucket.get(key).await,
        }
    }

    /// Writes a small object, over one that is there.
    pub async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Error> {
        match self {
            Store::Directory(directory) => directory.put(key, &bytes),
            Store::Bucket(bucket) => bucket.put(key, bytes).await,
        }
    }

    /// Writes a small object if there is none of its name. Its bytes have to be of one writer alone: after an answer
    /// that was lost they tell who wrote it.
    pub async fn create(&self, key: &str, bytes: Vec<u8>) -> Result<Creation, Error> {
        for pause in WRITING {
            let created = match self {
                Store::Directory(directory) => directory.create(key, &bytes),
                Store::Bucket(bucket) => bucket.create(key, bytes.clone()).await,
            };
            let found = match created {
                Ok(Creation::Ours) => return Ok(Creation::Ours),
                // An answer that was lost, and the request sent again, looks like another's object.
                Ok(Creation::Others) => self.whose(key, &bytes).await?,
                Err(error) => return self.whose(key, &bytes).await.ok().flatten().ok_or(error),
            };
            if let Some(found) = found {
                return Ok(found);
            }
            // Somebody else writes it just now (409), and may not succeed.
            tokio::time::sleep(*pause).await;
        }
        Err(Error::new(format!(
            "{key} is there and is not: the store contradicts itself"
        )))
    }

    async fn whose(&self, key: &str, bytes: &[u8]) -> Result<Option<Creation>, Error> {
        let found = self.get(key).await?;
        Ok(found.map(|found| {
            if found == bytes {
                Creation::Ours
            } else {
                Creation::Others
            }
        }))
    }

    /// Whether a conditional create means something here: puts one name twice, and sees.
    pub async fn decides(&self, random: &str) -> Result<bool, Error> {
        let key = format!("probe/{random}.json");
        let mut seen = Vec::new();
        for word in ["first", "second"] {
            let bytes = format!("\"{word} {random}\"").into_bytes();
            seen.push(self.create(&key, bytes).await?);
        }
        self.delete(&key).await?;
        Ok(seen == [Creation::Ours, Creation::Others])
    }

    /// All objects below this folder. An empty one is an empty list; a place that does not answer is an error.
    pub async fn list(&self, folder: &str) -> Result<Vec<Listing>, Error> {
        let mut found = match self {
            Store::Directory(directory) => directory.list(folder),
            Store::Bucket(bucket) => bucket.list(folder).await,
        }?;
        found.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(found)
    }

    /// All objects of the place, also those that are not ours.
    pub async fn tree(&self) -> Result<Vec<Listing>, Error> {
        match self {
            Store::Directory(directory) => directory.tree(),
            Store::Bucket(bucket) => bucket.list("").await,
        }
    }

    /// Deletes an object. None there is success.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        match self {
            Store::Directory(directory) => directory.delete(key),
            Store::Bucket(bucket) => bucket.delete(key).await,
        }
    }

    /// Takes away what killed writers left in a folder, and nobody has written to for so long. A bucket has a rule for
    /// that.
    pub fn sweep(&self, folder: &str, age: Duration) -> Result<(), Error> {
        match self {
            Store::Directory(directory) => directory.sweep(folder, age),
            Store::Bucket(_) => Ok(()),
        }
    }

    /// How many bytes are free, where that can be known.
    pub fn free(&self) -> Result<Option<u64>, Error> {
        match self {
            Store::Directory(directory) => directory.free().map(Some),
            Store::Bucket(_) => Ok(None),
        }
    }

    /// Begins a large object of at most `expected` bytes. It is there once it is finished, and not before.
    pub async fn upload(&self, key: &str, expected: u64) -> Result<Upload, Error> {
        Ok(match self {
            Store::Directory(directory) => Upload::File(directory.upload(key)?),
            Store::Bucket(bucket) => Upload::Parts(Box::new(bucket.upload(key, expected).await?)),
        })
    }

    /// Begins to read a large object.
    pub async fn download(&self, key: &str) -> Result<Download, Error> {
        match self {
            Store::Directory(directory) => directory.download(key).map(Download::File),
            Store::Bucket(bucket) => bucket.download(key).await.map(Download::Body),
        }
    }
}

/// A large object that is being written. Dropped unfinished it is not there; `abort` also takes away what a store keeps
/// of it.
#[derive(Debug)]
pub enum Upload {
    /// A file beside its place.
    File(NewFile),
    /// Parts of an upload.
    Parts(Box<Parts>),
}

impl Upload {
    /// In what pieces it is best given.
    pub fn piece(&self) -> usize {
        match self {
            Upload::File(_) => 1 << 20,
            Upload::Parts(parts) => parts.piece(),
        }
    }

    /// Writes a piece; waits while too much is under way.
    pub async fn write(&mut self, piece: Bytes) -> Result<(), Error> {
        match self {
            Upload::File(file) => file.write(&piece),
            Upload::Parts(parts) => parts.write(piece).await,
        }
    }

    /// Makes it an object, durable when this returns.
    pub async fn finish(self) -> Result<(), Error> {
        match self {
            Upload::File(file) => file.finish(),
            Upload::Parts(parts) => parts.finish().await,
        }
    }

    /// Takes away what is there of it.
    pub async fn abort(self) {
        match self {
            Upload::File(file) => drop(file),
            Upload::Parts(parts) => parts.abort().await,
        }
    }
}

/// A large object that is being read.
pub enum Download {
    /// A file.
    File(directory::OpenFile),
    /// The body of an answer.
    Body(bucket::Body),
}

impl Download {
    /// The next piece; none at its end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        match self {
            Download::File(file) => file.next(),
            Download::Body(body) => body.next().await,
        }
    }
}
