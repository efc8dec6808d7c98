//! Does an etcd of this version take over this data, and join this cluster?

use std::fmt;

use crate::membership::MemberId;

/// A minor version of etcd, as 3.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MinorVersion {
    /// 3
    pub major: u64,
    /// 5
    pub minor: u64,
}

impl fmt::Display for MinorVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl MinorVersion {
    /// Reads `3.5`, `3.5.30` or `3.8.0-alpha.0`.
    pub fn read(text: &str) -> Option<MinorVersion> {
        let mut numbers = text.split('.').map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next()??).into())
    }

    /// The one that comes right behind it.
    pub fn next(self) -> MinorVersion {
        let minor = self.minor + 1;
        MinorVersion { minor, ..self }
    }
}

impl From<(u64, u64)> for MinorVersion {
    fn from((major, minor): (u64, u64)) -> MinorVersion {
        MinorVersion { major, minor }
    }
}

/// The versions that have to fit each other. Each is none where nobody says it, and then keeps us from nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Versions {
    /// The etcd program that would start here.
    pub etcd: Option<MinorVersion>,
    /// What the data here was written for: the newer one of its storage version and of the version of its cluster.
    pub data: Option<MinorVersion>,
    /// What lies in intact data. Looked for where a newer etcd than the data's would start.
    pub traps: Traps,
    /// The cluster that it would join.
    pub cluster: Option<MinorVersion>,
    /// A downgrade of this cluster by one minor version is enabled.
    pub downgraded: bool,
    /// The etcd is told `--next-cluster-version-compatible`.
    pub with_next: bool,
}

impl Versions {
    /// 3.4 that is told so starts on data of 3.5, and joins its cluster: the way down from there (etcd 3.4
    /// `etcdserver/api/membership/cluster.go`). No other version knows the flag.
    fn goes_down_to(&self, etcd: MinorVersion, newer: MinorVersion) -> bool {
        self.with_next && etcd == (3, 4).into() && newer == etcd.next()
    }
}

/// What lies in data that a newer etcd than the one that wrote it does not get over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Traps {
    /// The last entry that is a request of the v2 API, and that etcd would replay.
    pub old_request: Option<u64>,
    /// What was written by the v2 API lies in the newest snapshot, or would be replayed.
    pub v2_content: bool,
    /// Members that the database lists, and that have no part in Raft: they were removed.
    pub removed: Vec<MemberId>,
    /// Members that the database lists as learners, and that have a vote.
    pub promoted: Vec<MemberId>,
    /// How many learners it lists, if they are more than etcd is told to allow.
    pub learners: Option<usize>,
}

/// What does not fit the etcd program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The data is of this version, and newer: the etcd does not read it, so what looks like damage may be none (etcd
    /// `server/storage/schema/migration.go`, `newPlan`); nor does it start in a newer cluster
    /// (`server/etcdserver/version/downgrade.go`, `MustDetectDowngrade`).
    Data(MinorVersion),
    /// The data is of this version, and older by more than one minor.
    FarBehind(MinorVersion),
    /// The cluster is of this version, and newer: the etcd does not join it (etcd `server/etcdserver/cluster_util.go`,
    /// `isCompatibleWithCluster`), and by then its member has been removed and added.
    Cluster(MinorVersion),
    /// The cluster is of this version, and older by more than one minor.
    FarAhead(MinorVersion),
    /// The cluster is being downgraded: nobody joins it then, as etcd wants a cluster that is newer than itself by one
    /// minor version, and the cluster's goes down at once (etcd `server/etcdserver/cluster_util.go`,
    /// `allowedVersionRange`; measured with 3.6 and 3.7).
    Downgraded,
    /// This entry cannot be replayed (etcd 3.7 `server/etcdserver/apply/apply.go`, `Apply`).
    OldRequest(u64),
    /// 3.6 does not start on what the v2 API wrote (etcd 3.6 `server/storage/util.go`, `AssertNoV2StoreContent`, and
    /// `server/etcdserver/apply_v2.go`).
    V2Content,
    /// From 3.6 on the database says who the members are: these would be members again.
    Removed(Vec<MemberId>),
    /// From 3.7 on it says who votes (etcd 3.7 `server/etcdserver/bootstrap.go`, `buildConfStateFromV3store`): these
    /// would vote no more.
    Promoted(Vec<MemberId>),
    /// From 3.6 on it says how many learners there are, and etcd does not start with so many
    /// (`server/etcdserver/api/membership/cluster.go`, `ValidateMaxLearnerConfig`).
    Learners(usize),
}

/// A version that says something: a cluster has 0.0 before its first leader has decided, and 3.0 until that has heard
/// all members.
fn decided(version: Option<MinorVersion>) -> Option<MinorVersion> {
    version.filter(|version| version.minor > 0 || version.major > 3)
}

/// Whether `newer` comes right behind `older`, or is the same.
fn next_to(older: MinorVersion, newer: MinorVersion) -> bool {
    newer <= older || newer == older.next()
}

/// Whether the etcd program takes over this intact data. It goes up by one minor version at a time, as etcd's own
/// guides say, and never down: where a cluster is downgraded, its version goes down first.
pub fn takes_over(versions: &Versions) -> Result<(), Misfit> {
    let (Some(etcd), Some(data)) = (versions.etcd, decided(versions.data)) else {
        return Ok(());
    };
    if etcd < data {
        return match versions.goes_down_to(etcd, data) {
            true => Ok(()),
            false => Err(Misfit::Data(data)),
        };
    }
    if !next_to(data, etcd) {
        return Err(Misfit::FarBehind(data));
    }
    let traps = &versions.traps;
    let since = |minor| etcd.major > 3 || etcd.minor >= minor;
    match traps {
        Traps {
            old_request: Some(index),
            ..
        } if since(7) => Err(Misfit::OldRequest(*index)),
        Traps { promoted, .. } if since(7) && !promoted.is_empty() => {
            Err(Misfit::Promoted(promoted.clone()))
        }
        Traps {
            v2_content: true, ..
        } if since(6) => Err(Misfit::V2Content),
        Traps { removed, .. } if since(6) && !removed.is_empty() => {
            Err(Misfit::Removed(removed.clone()))
        }
        Traps {
            learners: Some(learners),
            ..
        } if since(6) => Err(Misfit::Learners(*learners)),
        Traps { .. } => Ok(()),
    }
}

/// Whether the etcd program is new enough for what looks damaged, and joins this cluster. A newer one joins, by one
/// minor version.
pub fn joins(versions: &Versions) -> Result<(), Misfit> {
    let Some(etcd) = versions.etcd else {
        return Ok(());
    };
    let newer = decided(versions.data).filter(|data| etcd < *data);
    if let Some(data) = newer.filter(|data| !versions.goes_down_to(etcd, *data)) {
        return Err(Misfit::Data(data));
    }
    let Some(cluster) = decided(versions.cluster) else {
        return Ok(());
    };
    match etcd < cluster {
        // 3.4 does not ask.
        _ if versions.downgraded && etcd > (3, 4).into() => match cluster == etcd.next() {
            true => Ok(()),
            false => Err(Misfit::Downgraded),
        },
        true if versions.goes_down_to(etcd, cluster) => Ok(()),
        true => Err(Misfit::Cluster(cluster)),
        false if next_to(cluster, etcd) => Ok(()),
        false => Err(Misfit::FarAhead(cluster)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Option<MinorVersion> {
        let (major, minor) = text.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?).into())
    }

    fn said(found: Result<(), Misfit>) -> String {
        match found {
            Ok(()) => "-".into(),
            Err(Misfit::Data(version)) => format!("data {version}"),
            Err(Misfit::FarBehind(version)) => format!("far behind {version}"),
            Err(Misfit::Cluster(version)) => format!("cluster {version}"),
            Err(Misfit::FarAhead(version)) => format!("far ahead {version}"),
            Err(trap) => format!("{trap:?}"),
        }
    }

    #[test]
    fn an_etcd_joins_that_is_as_new_or_a_minor_version_newer() {
        // etcd, damaged data, cluster: what does not fit
        for (etcd, data, cluster, downgraded, misfit) in [
            ("3.5", "-", "3.5", false, "-"),
            ("3.6", "-", "3.5", false, "-"),
            ("3.10", "-", "3.9", false, "-"),
            ("3.7", "-", "3.5", false, "far ahead 3.5"),
            ("4.0", "-", "3.6", false, "far ahead 3.6"),
            ("3.4", "-", "3.5", false, "cluster 3.5"),
            ("3.9", "-", "3.10", false, "cluster 3.10"),
            ("3.6", "-", "4.0", false, "cluster 4.0"),
            // Before its first leader has decided the cluster has none, and a low one until that has heard all.
            ("3.4", "-", "0.0", false, "-"),
            ("3.5", "3.0", "3.0", false, "-"),
            ("3.5", "-", "3.6", true, "-"),
            ("3.4", "-", "3.6", true, "cluster 3.6"),
            ("3.6", "-", "3.5", true, "Downgraded"),
            ("3.5", "-", "3.5", true, "Downgraded"),
            ("3.5", "-", "-", true, "-"),
            ("3.5", "3.6", "-", false, "data 3.6"),
            ("3.5", "3.6", "3.6", true, "data 3.6"),
            ("3.6", "3.6", "3.6", false, "-"),
            // It is set aside.
            ("3.7", "3.4", "3.6", false, "-"),
            // Nobody says it.
            ("-", "3.6", "3.6", false, "-"),
            ("3.4", "-", "-", false, "-"),
        ] {
            let found = joins(&Versions {
                etcd: version(etcd),
                data: version(data),
                cluster: version(cluster),
                downgraded,
                traps: Traps::default(),
                ..Versions::default()
            });
            assert_eq!(said(found), misfit, "{etcd} {data} {cluster} {downgraded}");
        }
    }

    #[test]
    fn intact_data_is_taken_over_from_the_same_version_or_the_one_before() {
        for (etcd, data, misfit) in [
            ("3.5", "3.5", "-"),
            ("3.5", "3.4", "-"),
            ("3.7", "3.6", "-"),
            ("3.5", "3.6", "data 3.6"),
            ("3.6", "3.4", "far behind 3.4"),
            ("3.7", "3.5", "far behind 3.5"),
            ("4.0", "3.7", "far behind 3.7"),
            ("3.5", "3.0", "-"),
            ("3.5", "-", "-"),
            ("-", "3.6", "-"),
        ] {
            let found = takes_over(&Versions {
                etcd: version(etcd),
                data: version(data),
                ..Versions::default()
            });
            assert_eq!(said(found), misfit, "{etcd} {data}");
        }
    }

    #[test]
    fn what_lies_in_data_counts_from_the_version_on_that_falls_over_it() {
        let ids = vec![MemberId(1)];
        let traps = [
            (
                Traps {
                    old_request: Some(7),
                    ..Traps::default()
                },
                7,
            ),
            (
                Traps {
                    v2_content: true,
                    ..Traps::default()
                },
                6,
            ),
            (
                Traps {
                    removed: ids.clone(),
                    ..Traps::default()
                },
                6,
            ),
            (
                Traps {
                    promoted: ids,
                    ..Traps::default()
                },
                7,
            ),
            (
                Traps {
                    learners: Some(2),
                    ..Traps::default()
                },
                6,
            ),
        ];
        for (traps, since) in traps {
            for minor in [5, 6, 7, 8] {
                let found = takes_over(&Versions {
                    etcd: Some((3, minor).into()),
                    data: Some((3, minor - 1).into()),
                    traps: traps.clone(),
                    ..Versions::default()
                });
                assert_eq!(found.is_err(), minor >= since, "3.{minor} {traps:?}");
            }
        }
    }
}
