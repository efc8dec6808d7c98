//! What keeps etcd from starting here, or from joining. A full disk or a port in use is no reason to leave the cluster.

use super::surroundings::{Dir, Surroundings};
use super::versions::{MinorVersion, Misfit, joins, takes_over};
use super::{DataDir, JoinAs, Observation, Policy, Reason};
use crate::membership::MemberId;

/// etcd preallocates a WAL file of this size before it starts.
///
/// Source: etcd `server/storage/wal/wal.go`, `SegmentSizeBytes`.
const WAL_SIZE: u64 = 64 << 20;

/// What keeps etcd from starting here, or from joining the cluster, in words.
pub fn hindrance(seen: &Observation) -> Option<String> {
    let around = &seen.surroundings;
    client_url(around)
        .or_else(|| {
            around
                .flags_refused
                .as_ref()
                .map(|said| format!("etcd does not take its command line: {said}"))
        })
        .or_else(|| misfit(seen))
        .or_else(|| around.ports.first().cloned())
        .or_else(|| around.dirs.iter().find_map(no_room))
        .or_else(|| mount(seen))
}

/// Why this member could not come back if its data were lost or damaged, as far as that shows in these surroundings,
/// also beside an etcd that runs.
pub fn rejoin_fails(policy: &Policy, seen: &Observation, around: &Surroundings) -> Option<String> {
    if !policy.has_others() || policy.join == JoinAs::Never {
        return None;
    }
    if let Some(why) = &seen.refused {
        return Some(why.clone());
    }
    if !policy.peer_urls_given {
        return Some(Reason::PeerUrlsNotGiven.row().cure.into());
    }
    client_url(around).or_else(|| around.dirs.iter().find_map(no_room))
}

fn client_url(around: &Surroundings) -> Option<String> {
    around.advertises_no_client_url.then(|| "ETCD_ADVERTISE_CLIENT_URLS is missing, and etcd does not start without it beside ETCD_LISTEN_CLIENT_URLS: write the URLs at which clients reach this member".into())
}

/// Why etcd cannot join the cluster, or reads what looks damaged.
fn misfit(seen: &Observation) -> Option<String> {
    let mut versions = seen.surroundings.versions.clone();
    // What reads well has a row of its own, and an empty data dir has none.
    versions.data = (versions.data).filter(|_| matches!(seen.counts_as(), DataDir::Damaged { .. }));
    Some(misfits(seen, joins(&versions).err()?))
}

/// Why etcd would not take over this intact data, or, where there is none, not join the others.
pub(super) fn version_skip(seen: &Observation) -> Option<String> {
    let versions = &seen.surroundings.versions;
    match seen.counts_as() {
        DataDir::Own(_) => Some(misfits(seen, takes_over(versions).err()?)),
        DataDir::Empty | DataDir::Damaged { .. } => misfit(seen),
    }
}

fn misfits(seen: &Observation, misfit: Misfit) -> String {
    let etcd = &seen.surroundings.etcd;
    match misfit {
        Misfit::Data(version) => format!(
            "etcd {etcd} does not read data of version {version}: run one that is as new; a downgrade begins with `etcdctl downgrade enable` while that runs"
        ),
        Misfit::FarBehind(version) => format!(
            "the data is of version {version}, and etcd {etcd} is more than one minor version newer: run {} first, on every member, until the cluster is of that version",
            version.next()
        ),
        Misfit::Cluster(version) => format!(
            "etcd {etcd} does not join a cluster of version {version}: run one that is as new here too"
        ),
        Misfit::FarAhead(version) => format!(
            "the cluster is of version {version}, and etcd {etcd} is more than one minor version newer: run {version} or {} here",
            version.next()
        ),
        Misfit::Downgraded => format!(
            "the cluster is being downgraded, and no etcd joins it then: `etcdctl downgrade cancel` on one of the others, and go on with the downgrade once this member, with etcd {etcd}, is back"
        ),
        Misfit::OldRequest(index) => format!(
            "etcd {etcd} panics at requests of the v2 API, as 3.5 writes them, and the WAL has one at index {index}: run the version before it here until that has taken a snapshot behind it; with ETCD_SNAPSHOT_COUNT=100 a hundred writes will do"
        ),
        Misfit::V2Content => format!(
            "etcd {etcd} does not start on what was written by the v2 API: run 3.5 here, delete it with the v2 API or see `etcdutl check v2store`, and let 3.5 take a snapshot"
        ),
        Misfit::Removed(ids) => format!(
            "with etcd {etcd} members would come back that were removed: {}: run 3.5.32 or newer here first, which forgets them at its start; in 3.6 `etcdctl member remove` them",
            listed(&ids)
        ),
        Misfit::Promoted(ids) => format!(
            "with etcd {etcd} voters would be learners again: {}: run 3.6.11 or newer here first, which mends that at its start",
            listed(&ids)
        ),
        Misfit::Learners(count) => format!(
            "the data lists {count} learners, and etcd {etcd} does not start with so many: promote or remove them, or set ETCD_MAX_LEARNERS={count}"
        ),
    }
}

fn listed(ids: &[MemberId]) -> String {
    let ids: Vec<String> = ids.iter().map(MemberId::to_string).collect();
    ids.join(", ")
}

/// What lies there is set aside and kept, and the others send as much again.
fn no_room(dir: &Dir) -> Option<String> {
    let needed = dir.database + if dir.wal { WAL_SIZE } else { 0 };
    let beside = match dir.database > 0 {
        true => ", beside the old data, which is kept",
        false => "",
    };
    match &dir.free {
        Err(why) => Some(why.clone()),
        Ok(free) if *free < needed => Some(format!(
            "{} has {} MiB left, etcd needs {} to start{beside}",
            dir.path.display(),
            free >> 20,
            needed.div_ceil(1 << 20)
        )),
        Ok(_) => None,
    }
}

/// etcd makes its WAL beside its place, removes what is there, and renames it (etcd
/// `server/storage/wal/wal.go`, `renameWAL`). At a mount point it removes what is in it, the join note too,
/// and then ends with "device or resource busy": each start would remove and add the member again.
fn mount(seen: &Observation) -> Option<String> {
    let cure = "it is a mount point of its own: mount one level higher and use a folder in it";
    let Surroundings {
        wal_mount,
        member_mount,
        ..
    } = &seen.surroundings;
    // What lies there is set aside before there can be another WAL.
    let aside = member_mount
        .as_ref()
        .filter(|_| seen.data != DataDir::Empty);
    match (wal_mount, aside) {
        (Some(wal), _) => Some(format!(
            "etcd cannot make its WAL in {}: {cure}",
            wal.display()
        )),
        (None, Some(member)) => Some(format!("cannot set {} aside: {cure}", member.display())),
        (None, None) => None,
    }
}

/// What is said where an upgrade begins beside members that run too old a patch for it; etcd starts all the same, and
/// what these left behind in the data here is looked for ([`Traps`](super::Traps)).
///
/// Source: etcd's guides for the upgrades to 3.6 and to 3.7.
pub fn unready(around: &Surroundings) -> Option<String> {
    let (before, patch): (MinorVersion, u64) = match around.versions.etcd? {
        etcd if etcd == (3, 6).into() => ((3, 5).into(), 32),
        etcd if etcd == (3, 7).into() => ((3, 6).into(), 11),
        _ => return None,
    };
    let too_old = |version: &str| {
        let told = version
            .split('.')
            .nth(2)
            .and_then(|patch| patch.parse().ok());
        MinorVersion::read(version) == Some(before) && told.is_some_and(|told: u64| told < patch)
    };
    let old = around
        .running
        .iter()
        .filter(|(_, version)| too_old(version));
    let old: Vec<String> = old
        .map(|(name, version)| format!("{name} runs {version}"))
        .collect();
    (!old.is_empty()).then(|| {
        format!(
            "etcd {} begins beside members that are to run {before}.{patch} or newer before it, as etcd's upgrade guide says: {}; earlier ones may list removed members again, and voters as learners",
            around.etcd,
            old.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::Versions;
    use super::*;

    #[test]
    fn members_that_run_too_old_a_patch_for_an_upgrade_are_named() {
        let words = |etcd: &str, running: &[&str]| {
            unready(&Surroundings {
                etcd: format!("{etcd}.14"),
                versions: Versions {
                    etcd: MinorVersion::read(etcd),
                    ..Versions::default()
                },
                running: (running.iter())
                    .map(|version| ("n1".into(), version.to_string()))
                    .collect(),
                ..Surroundings::default()
            })
        };
        assert!(words("3.6", &["3.5.32", "3.6.0", "3.5.33"]).is_none());
        assert!(
            words("3.6", &["3.5.31"])
                .unwrap()
                .contains("n1 runs 3.5.31")
        );
        assert!(
            words("3.7", &["3.6.10"])
                .unwrap()
                .contains("3.6.11 or newer")
        );
        assert!(words("3.7", &["3.6.11", "3.5.1", "new"]).is_none());
        assert!(words("3.5", &["3.4.0"]).is_none());
    }
}
