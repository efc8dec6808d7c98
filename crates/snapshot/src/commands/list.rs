//! `list` and `show`: what is there.

use std::collections::BTreeMap;

use serde::Serialize;

use etcd_rejoin_host::exit::Exit;

use super::at_hand::AtHand;
use crate::NotDone;
use crate::catalog::{Catalog, manifests};
use crate::cli::Which;
use crate::layout::{Manifest, Marker, Moment, SnapshotId};
use crate::table::{age, size, table};

#[derive(Serialize)]
struct ListedSnapshots<'a> {
    marker: Option<&'a Marker>,
    snapshots: &'a [Manifest],
    unusable: &'a BTreeMap<SnapshotId, String>,
}

/// All snapshots, the newest last.
pub async fn list(around: &AtHand) -> Result<Exit, NotDone> {
    let catalog = Catalog::read(&around.store).await?;
    let (snapshots, unusable) = manifests(&around.store, &catalog.snapshots).await?;
    for (id, why) in &unusable {
        log::warn!("{id} cannot be used: {why}");
    }
    let listed = ListedSnapshots {
        marker: catalog.marker.as_ref(),
        snapshots: &snapshots,
        unusable: &unusable,
    };
    Ok(around.answer(&listed, || {
        words(&snapshots, &around.settings.place.to_string())
    }))
}

fn words(snapshots: &[Manifest], place: &str) -> String {
    if snapshots.is_empty() {
        return format!("no snapshots in {place}\n");
    }
    let now = Moment::now();
    let line = |manifest: &Manifest| {
        vec![
            manifest.id.to_string(),
            manifest.revision.to_string(),
            age(manifest.taken.0, now.0),
            size(manifest.size),
            size(manifest.stored_size),
            manifest
                .keys
                .map_or_else(|| "-".into(), |keys| keys.to_string()),
            manifest.etcd_version.clone(),
        ]
    };
    let lines: Vec<_> = snapshots.iter().map(line).collect();
    table(
        &[
            "SNAPSHOT", "REVISION", "TAKEN", "SIZE", "STORED", "KEYS", "ETCD",
        ],
        &lines,
    )
}

/// One snapshot.
pub async fn show(around: &AtHand, which: &Which) -> Result<Exit, NotDone> {
    let manifest = around.which(which).await?;
    Ok(around.answer(&manifest, || shown(&manifest)))
}

fn shown(manifest: &Manifest) -> String {
    let line = |name: &str, value: String| vec![name.to_string(), value];
    let mut lines = vec![
        line("lineage", manifest.id.lineage.to_string()),
        line("cluster", manifest.cluster_id.clone()),
        line("revision", manifest.revision.to_string()),
        line(
            "term, index",
            format!("{}, {}", manifest.term, manifest.index),
        ),
        line(
            "taken",
            format!("{}, in {} ms", manifest.taken, manifest.took_ms),
        ),
        line("from member", manifest.member.clone()),
        line("etcd", manifest.etcd_version.clone()),
        line(
            "storage",
            manifest
                .storage_version
                .clone()
                .unwrap_or_else(|| "-".into()),
        ),
        line(
            "keys",
            manifest
                .keys
                .map_or_else(|| "-".into(), |keys| keys.to_string()),
        ),
        line("size", size(manifest.size)),
        line("sha256", manifest.sha256.clone()),
        line("stored", size(manifest.stored_size)),
        line("stored sha256", manifest.stored_sha256.clone()),
    ];
    for member in &manifest.members {
        let kind = if member.learner { "learner" } else { "member" };
        lines.push(line(
            kind,
            format!(
                "{} {} {}",
                member.id,
                member.name,
                member.peer_urls.join(",")
            ),
        ));
    }
    table(&["SNAPSHOT", &manifest.id.to_string()], &lines)
}
