//! Whatever the tools of a machine print, whatever lies in a gate, whoever calls: no parser panics, and
//! none makes good news of it.
//!
//! The input is cut at its first zero byte: what `events2` said, then what `show` said.

#![no_main]

use etcd_rejoin::assembly::knock;
use etcd_rejoin::env_file;
use etcd_rejoin::decide::Knock;
use etcd_rejoin::rover::table::{Disk, Fencing};
use etcd_rejoin::rover::drbd::{DEFAULTS, parse, resource, split_brain, summary};
use etcd_rejoin::rover::gate::Wish;
use etcd_rejoin::mounts;
use libfuzzer_sys::fuzz_target;

/// The resource of the fixtures.
const NAME: &str = "etcd";

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let (events, show) = text.split_once('\0').unwrap_or((&text, ""));
    let settings = match parse::settings(show, NAME) {
        Ok(settings) => {
            assert!(settings.fencing == Fencing::DontCare || show.contains("fencing"));
            assert!(!settings.quorum_on || show.contains("quorum"));
            settings
        }
        Err(why) => {
            is_short(&why);
            DEFAULTS
        }
    };
    match parse::events(events, NAME) {
        Ok(Some(state)) => {
            assert!(state.disk != Disk::UpToDate || events.contains("UpToDate"));
            assert!(state.quorum != Some(true) || events.contains("quorum:yes"));
            let resource = resource(state, settings);
            assert_eq!(summary(&resource).lines().count(), 1);
            let _ = split_brain(NAME, &resource);
        }
        Ok(None) => {}
        Err(why) => is_short(&why),
    }
    if let Err(why) = parse::metadata(&text) {
        is_short(&why);
    }
    if parse::handler_is_ours(&text, NAME) {
        assert!(text.contains("fence-peer"));
    }
    for mount in mounts::mounts(input) {
        assert!(!mount.kind.contains(' '));
    }
    if let Some(wish) = Wish::parse(&text) {
        let again = Wish::parse(&wish.to_string());
        assert_eq!(again.as_ref(), Some(&wish), "what is written reads");
    }
    for (name, _) in env_file::variables(&text) {
        assert!(!name.contains('='));
    }
    if let Some(Knock::Member { wants: Some(_), .. }) = knock(input) {
        assert!(text.to_lowercase().contains("x-raft-to"));
    }
});

/// An error is one that a person reads.
fn is_short(why: &str) {
    assert!(why.len() < 2000, "{} bytes: {why}", why.len());
}
