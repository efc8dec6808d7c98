//! `save`: one snapshot now.

use serde_json::json;

use etcd_rejoin_host::exit::Exit;

use super::at_hand::AtHand;
use crate::NotDone;
use crate::cli::SaveArgs;
use crate::metrics::Figures;
use crate::save::{Saved, Task};
use crate::stop::Stopping;
use crate::table::size;

/// Saves, and says what was saved.
pub async fn save(around: &AtHand, args: &SaveArgs, stopping: &Stopping) -> Result<Exit, NotDone> {
    let saved = task(around, args, stopping).save().await;
    if let Some(file) = &args.metrics.metrics_file
        && !matches!(saved, Err(NotDone::Stopped))
    {
        let mut figures = Figures::default();
        figures.renew(&around.store, saved.is_ok()).await;
        // The snapshot is saved, whatever monitors hear of it.
        if let Err(error) = figures.write(file) {
            log::error!("{error}");
        }
    }
    let saved = saved?;
    Ok(match &saved {
        Saved::New(manifest) => around.answer(manifest, || format!("{}\n", words(&saved))),
        Saved::Unchanged(id) => around.answer(&json!({ "unchanged": id }), || {
            format!("{}\n", words(&saved))
        }),
    })
}

/// What is to be saved.
pub fn task<'a>(around: &'a AtHand, args: &'a SaveArgs, stopping: &'a Stopping) -> Task<'a> {
    Task {
        store: &around.store,
        place: &around.settings.place,
        etcd: &around.settings.etcd,
        name: args.name.as_deref(),
        if_changed: args.if_changed,
        hashkv: args.hashkv,
        stopping,
    }
}

/// What was saved, in a sentence.
pub fn words(saved: &Saved) -> String {
    match saved {
        Saved::New(manifest) => format!(
            "saved {}: {} as {}, from member {}, in {:.1} s",
            manifest.id,
            size(manifest.size),
            size(manifest.stored_size),
            manifest.member,
            manifest.took_ms as f64 / 1000.0
        ),
        Saved::Unchanged(id) => format!("nothing has changed since {id}"),
    }
}
