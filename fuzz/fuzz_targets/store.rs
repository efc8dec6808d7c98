//! Whatever lies in a store: no parser panics, and what was read is written so that it reads again.
//!
//! The files are taken as they are, without their crate: its runtime and its object store would be built for nothing.

#![no_main]

#[path = "../../crates/snapshot/src/layout.rs"]
#[allow(dead_code)]
mod layout;
#[path = "../../crates/snapshot/src/manager.rs"]
mod manager;
#[path = "../../crates/snapshot/src/says.rs"]
mod says;

use std::fmt::Debug;

use layout::{
    DrillRecord, Lease, Lineage, Manifest, Marker, Moment, RecordedMember, SnapshotId, WrittenOrder, WrittenOutcome,
};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|input: &[u8]| {
    reads_again::<Manifest>(input);
    reads_again::<Marker>(input);
    reads_again::<Lineage>(input);
    reads_again::<Lease>(input);
    reads_again::<DrillRecord>(input);
    reads_again::<WrittenOrder>(input);
    reads_again::<WrittenOutcome>(input);
    reads_again::<RecordedMember>(input);
    if let Ok(says) = says::EntrypointSays::read(input) {
        assert!(!says.name.contains(char::is_control));
        reads_again::<says::EntrypointSays>(input);
    }
    if let Ok(meta) = manager::ManagerMeta::read(input) {
        if let Some(taken) = meta.taken {
            assert_eq!(Moment::try_from(taken.to_string()), Ok(taken));
        }
    }
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(id) = text.parse::<SnapshotId>() {
        assert_eq!(id.to_string(), text, "one snapshot has one name");
    }
    for of in [SnapshotId::of_manifest, SnapshotId::of_object, SnapshotId::of_drill] {
        if let Some(id) = of(text) {
            assert!([id.manifest(), id.object(), id.drill()].iter().any(|key| key == text));
        }
    }
});

fn reads_again<T: Serialize + DeserializeOwned + PartialEq + Debug>(input: &[u8]) {
    if let Ok(read) = serde_json::from_slice::<T>(input) {
        let written = serde_json::to_vec(&read).expect("plain values are JSON");
        assert_eq!(serde_json::from_slice::<T>(&written).expect("what is written reads"), read);
    }
}
