//! Are objects that were written once read for ever? One file of each kind and format, which never changes.

use etcd_rejoin_snapshot::catalog::{json, parse};
use etcd_rejoin_snapshot::layout::{
    DrillRecord, Lease, Lineage, Manifest, Marker, RecordedMember, WrittenOrder, WrittenOutcome,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads it, and writes the same.
#[track_caller]
fn same<T: Serialize + DeserializeOwned>(text: &str) -> T {
    let read: T = parse(text.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(json(&read)).unwrap(), text);
    read
}

#[test]
fn what_format_1_has_written_is_read_and_written_alike() {
    let marker: Marker = same(include_str!("golden/marker-1.json"));
    let lineage: Lineage = same(include_str!("golden/lineage-1.json"));
    let _: Lease = same(include_str!("golden/lease-1.json"));
    let _: DrillRecord = same(include_str!("golden/drill-1.json"));
    let survivors: Lineage = same(include_str!("golden/lineage-survivor-1.json"));
    assert_eq!(survivors.base, None);
    let _: WrittenOrder = same(include_str!("golden/order-snapshot-1.json"));
    let _: WrittenOrder = same(include_str!("golden/order-survivor-1.json"));
    let _: WrittenOutcome = same(include_str!("golden/outcome-1.json"));
    let _: RecordedMember = same(include_str!("golden/member-1.json"));
    let manifest: Manifest = same(include_str!("golden/manifest-1.json"));
    assert_eq!(
        (manifest.marker, manifest.lineages),
        (marker, vec![lineage])
    );
}

#[test]
fn a_field_of_the_future_is_passed_over_and_a_format_of_the_future_is_not_read() {
    let text = include_str!("golden/marker-1.json");
    let more = text.replacen('{', "{ \"colour\": \"blue\",", 1);
    assert!(parse::<Marker>(more.as_bytes()).is_ok());
    let newer = text.replace("\"format\": 1", "\"format\": 2");
    let error = parse::<Marker>(newer.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("use a newer one"), "{error}");
}

#[test]
fn what_is_cut_or_not_ours_is_an_error_that_says_so() {
    let text = include_str!("golden/manifest-1.json");
    for end in (0..text.trim_end().len()).step_by(7) {
        assert!(parse::<Manifest>(&text.as_bytes()[..end]).is_err(), "{end}");
    }
    let other = parse::<Manifest>(b"{\"cluster\": 1}")
        .unwrap_err()
        .to_string();
    assert!(other.contains("it is not ours"), "{other}");
}
