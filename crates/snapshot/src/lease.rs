//! One uploader of several that could: a lease in the store. Two at once are harmless, as each snapshot has a name of
//! its own; the lease saves work, and nothing depends on it.

use std::time::Duration;

use etcd_rejoin_host::error::Error;

use crate::catalog::{json, parse, read_json};
use crate::layout::{FORMAT, Lease, Moment, UPLOADER};
use crate::random;
use crate::store::{Creation, Store};

/// Who we are, and for how long a lease counts.
#[derive(Debug)]
pub struct Uploader {
    holder: String,
    host: String,
    length: Duration,
}

impl Uploader {
    /// A process of its own.
    pub fn new(host: String, length: Duration) -> Uploader {
        Uploader {
            holder: random::nonce(),
            host,
            length,
        }
    }

    /// Takes the lease, or renews ours; the machine of another that has it.
    pub async fn take(&self, store: &Store) -> Result<Option<String>, Error> {
        let now = Moment::now();
        let until = Moment(now.0 + self.length);
        let ours = Lease {
            format: FORMAT,
            holder: self.holder.clone(),
            host: self.host.clone(),
            until,
        };
        // One that does not read holds nobody: nothing depends on it.
        let bytes = store.get(UPLOADER).await?;
        let lease = bytes.map(|bytes| parse::<Lease>(&bytes));
        let lease = match lease {
            Some(Err(error)) => {
                log::warn!("{UPLOADER}: {error}");
                store.delete(UPLOADER).await?;
                None
            }
            Some(Ok(lease)) => Some(lease),
            None => None,
        };
        match lease {
            Some(lease) if lease.holder == self.holder => {
                store.put(UPLOADER, json(&ours)).await?;
                return Ok(None);
            }
            // A time too far ahead is a wrong clock, and must not hold for ever.
            Some(lease) if now < lease.until && lease.until.0 < now.0 + 2 * self.length => {
                return Ok(Some(lease.host));
            }
            Some(_) => store.delete(UPLOADER).await?,
            None => {}
        }
        match store.create(UPLOADER, json(&ours)).await? {
            Creation::Ours => Ok(None),
            Creation::Others => {
                let other = read_json::<Lease>(store, UPLOADER).await?;
                Ok(Some(other.map_or_else(
                    || "another machine".into(),
                    |lease| lease.host,
                )))
            }
        }
    }

    /// Gives it back, if it is ours.
    pub async fn give_back(&self, store: &Store) -> Result<(), Error> {
        match read_json::<Lease>(store, UPLOADER).await? {
            Some(lease) if lease.holder == self.holder => store.delete(UPLOADER).await,
            Some(_) | None => Ok(()),
        }
    }
}
