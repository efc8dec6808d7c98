//! Does an etcd of this version take over this data, and join this cluster?

use std::fmt;

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

impl From<(u64, u64)> for MinorVersion {
    fn from((major, minor): (u64, u64)) -> MinorVersion {
        MinorVersion { major, minor }
    }
}

/// The versions that have to fit each other. Each is none where nobody says it, and then keeps us from nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Versions {
    /// The etcd program that would start here.
    pub etcd: Option<MinorVersion>,
    /// What its data was written for, where damaged data says so.
    pub damaged: Option<MinorVersion>,
    /// The cluster that it would join.
    pub cluster: Option<MinorVersion>,
    /// This cluster is being downgraded by one minor version.
    pub downgraded: bool,
}

/// What does not fit the etcd program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The data is of this version, and newer: the etcd does not read it, so what looks like damage may be none (etcd
    /// `server/storage/schema/migration.go`, `newPlan`).
    Data(MinorVersion),
    /// The cluster is of this version, and newer: the etcd does not join it (etcd `server/etcdserver/cluster_util.go`,
    /// `isCompatibleWithCluster`), and by then its member has been removed and added.
    Cluster(MinorVersion),
}

/// Whether the etcd program is new enough. A newer one joins; one that is a minor version older does in a downgrade.
pub fn fits(versions: &Versions) -> Result<(), Misfit> {
    let Some(etcd) = versions.etcd else {
        return Ok(());
    };
    if let Some(damaged) = versions.damaged.filter(|data| etcd < *data) {
        return Err(Misfit::Data(damaged));
    }
    let next = MinorVersion {
        minor: etcd.minor + 1,
        ..etcd
    };
    let too_new =
        |cluster: &MinorVersion| etcd < *cluster && !(versions.downgraded && *cluster == next);
    match versions.cluster.filter(too_new) {
        Some(cluster) => Err(Misfit::Cluster(cluster)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etcd_that_is_as_new_or_newer_fits() {
        let version = |text: &str| {
            let (major, minor) = text.split_once('.')?;
            Some((major.parse().ok()?, minor.parse().ok()?).into())
        };
        // etcd, damaged data, cluster: what does not fit
        for (etcd, damaged, cluster, downgraded, misfit) in [
            ("3.5", "-", "3.5", false, "-"),
            ("3.6", "-", "3.5", false, "-"),
            ("3.10", "-", "3.9", false, "-"),
            ("4.0", "-", "3.6", false, "-"),
            ("3.4", "-", "3.5", false, "cluster 3.5"),
            ("3.9", "-", "3.10", false, "cluster 3.10"),
            ("3.6", "-", "4.0", false, "cluster 4.0"),
            // Before its first leader has decided the cluster has none.
            ("3.4", "-", "0.0", false, "-"),
            ("3.5", "-", "3.6", true, "-"),
            ("3.4", "-", "3.6", true, "cluster 3.6"),
            ("3.5", "-", "3.5", true, "-"),
            ("3.5", "3.6", "-", false, "data 3.6"),
            ("3.5", "3.6", "3.6", true, "data 3.6"),
            ("3.6", "3.6", "3.6", false, "-"),
            ("3.7", "3.6", "-", false, "-"),
            // Nobody says it.
            ("-", "3.6", "3.6", false, "-"),
            ("3.4", "-", "-", false, "-"),
        ] {
            let found = fits(&Versions {
                etcd: version(etcd),
                damaged: version(damaged),
                cluster: version(cluster),
                downgraded,
            });
            let found = match found {
                Ok(()) => "-".into(),
                Err(Misfit::Data(version)) => format!("data {version}"),
                Err(Misfit::Cluster(version)) => format!("cluster {version}"),
            };
            assert_eq!(found, misfit, "{etcd} {damaged} {cluster} {downgraded}");
        }
    }
}
