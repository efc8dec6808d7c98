//! Snapshots that other programs left in a place: listed, verified, fetched. Never changed.

use std::io::{Write, sink};
use std::path::Path;

use etcd_rejoin_host::error::{Context as _, Error};
use etcd_rejoin_host::exit::Exit;
use serde_json::json;

use super::at_hand::AtHand;
use super::fetch::{Flaw, Verified, WholeFile};
use crate::NotDone;
use crate::foreign::{OthersSnapshot, PlainCheck, PlainFound, foreign};
use crate::layout::Moment;
use crate::progress::Bar;
use crate::table::{age, size, table};

/// All of them.
pub async fn list(around: &AtHand) -> Result<Exit, NotDone> {
    let mut found = Vec::new();
    for one in foreign(&around.store.tree().await?) {
        found.push(with_meta(around, one).await?);
    }
    found.sort_by_key(|one| one.taken);
    Ok(around.answer(&found, || {
        let now = Moment::now();
        let line = |one: &OthersSnapshot| {
            let version = one.etcd_version.clone().unwrap_or_else(|| "-".into());
            vec![
                one.name.clone(),
                age(one.taken.0, now.0),
                size(one.stored_size),
                version,
            ]
        };
        let lines: Vec<_> = found.iter().map(line).collect();
        match lines.is_empty() {
            true => format!(
                "no snapshots of other programs in {}\n",
                around.settings.place
            ),
            false => table(&["SNAPSHOT", "TAKEN", "STORED", "ETCD"], &lines),
        }
    }))
}

/// The one of this name.
pub async fn named(around: &AtHand, name: &str) -> Result<OthersSnapshot, NotDone> {
    let found = foreign(&around.store.tree().await?)
        .into_iter()
        .find(|one| one.name == name);
    let none = || {
        Error::new(format!(
            "{} has no {name}: `list --foreign` has them",
            around.settings.place
        ))
    };
    with_meta(around, found.ok_or_else(none)?).await
}

async fn with_meta(around: &AtHand, one: OthersSnapshot) -> Result<OthersSnapshot, NotDone> {
    let Some(key) = &one.meta else { return Ok(one) };
    let bytes = around.store.get(key).await?.unwrap_or_default();
    match one.clone().with_meta(&bytes) {
        Ok(one) => Ok(one),
        Err(why) => {
            log::warn!("{key}: {why}");
            Ok(one)
        }
    }
}

/// Reads one wholly, unpacked, to a writer. The error says what is wrong with it.
pub async fn open<W: Write>(
    around: &AtHand,
    one: &OthersSnapshot,
    to: W,
) -> Result<(W, PlainFound), Error> {
    opened(around, one, to).await.map_err(|flaw| match flaw {
        Flaw::Damaged(error) | Flaw::Unread(error) => error,
    })
}

/// The same, told apart: what is damaged, and what was not read.
async fn opened<W: Write>(
    around: &AtHand,
    one: &OthersSnapshot,
    to: W,
) -> Result<(W, PlainFound), Flaw> {
    let download = around.store.download(&one.name).await;
    let mut download = download.map_err(Flaw::Unread)?;
    let mut check = PlainCheck::new(to);
    let (progress, mut came) = (Bar::new("reading"), 0);
    while let Some(piece) = download.next().await.map_err(Flaw::Unread)? {
        came += piece.len() as u64;
        progress.of(one.stored_size.saturating_sub(came), piece.len() as u64);
        let written = check.write_all(&piece).context(|| one.name.clone());
        written.map_err(Flaw::Damaged)?;
    }
    check
        .finish()
        .map_err(|why| Flaw::Damaged(Error::new(format!("{}: {why}", one.name))))
}

/// Reads one wholly.
pub async fn verify(around: &AtHand, name: &str) -> Result<Exit, NotDone> {
    let one = named(around, name).await?;
    let (why, words) = match opened(around, &one, sink()).await {
        Ok((_, found)) => (None, format!("{name} is good: {}\n", size(found.size))),
        // Not read is no verdict.
        Err(Flaw::Unread(error)) => return Err(error.into()),
        Err(Flaw::Damaged(error)) => (Some(error.to_string()), format!("{error}\n")),
    };
    let verified = Verified {
        snapshot: name.into(),
        good: why.is_none(),
        why,
    };
    let good = verified.good;
    let printed = around.answer(&[verified], || words);
    Ok(if good { printed } else { Exit::NOT_OK })
}

/// Writes one, unpacked, to a file.
pub async fn fetch(around: &AtHand, file: &Path, name: &str) -> Result<Exit, NotDone> {
    let one = named(around, name).await?;
    let new = WholeFile::create(file)?;
    let (mut to, found) = open(around, &one, new.writer()?).await?;
    to.flush().context(|| new.what())?;
    new.finish()?;
    Ok(around.answer(
        &json!({ "id": name, "size": found.size, "sha256": found.sha256 }),
        || {
            format!(
                "wrote {name}, {}, to {}\n",
                size(found.size),
                file.display()
            )
        },
    ))
}
