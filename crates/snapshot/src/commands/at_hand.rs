//! What every command has at hand: settings, the store, a way to answer.

use serde::Serialize;

use etcd_rejoin_host::error::Error;
use etcd_rejoin_host::exit::{Exit, print};

use crate::NotDone;
use crate::catalog::{Catalog, manifest, manifests};
use crate::cli::Which;
use crate::layout::Manifest;
use crate::settings::SnapshotSettings;
use crate::store::Store;

/// What every command has at hand.
pub struct AtHand {
    /// What is settled.
    pub settings: SnapshotSettings,
    /// The store.
    pub store: Store,
    /// Whether JSON is wanted.
    pub json: bool,
}

impl AtHand {
    /// The snapshot that is meant.
    pub async fn which(&self, which: &Which) -> Result<Manifest, NotDone> {
        if let Some(id) = &which.snapshot {
            return Ok(manifest(&self.store, id).await?);
        }
        let catalog = Catalog::read(&self.store).await?;
        let none = || Error::new(format!("{} has no snapshot", self.settings.place));
        let Some(at) = which.at else {
            let newest = catalog.snapshots.last().ok_or_else(none)?;
            return Ok(manifest(&self.store, newest).await?);
        };
        let (all, _) = manifests(&self.store, &catalog.snapshots).await?;
        let found = all.into_iter().rev().find(|manifest| manifest.taken <= at);
        Ok(found.ok_or_else(|| {
            Error::new(format!(
                "{} has no snapshot as old as {at}",
                self.settings.place
            ))
        })?)
    }

    /// JSON where it is wanted, else these words.
    pub fn answer(&self, value: &impl Serialize, words: impl FnOnce() -> String) -> Exit {
        match self.json {
            true => {
                let text = serde_json::to_string_pretty(value).expect("plain values are JSON");
                print(&format!("{text}\n"))
            }
            false => print(&words()),
        }
    }
}
