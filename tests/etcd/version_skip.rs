//! An etcd that does not take over the data: the member is left as it is, and what etcd would do to it is not seen.

use crate::support::{Cluster, PATIENCE, Tree, Version, scenarios, wait_for};

scenarios! { newest: data_of_each_other_version, requests_that_are_not_replayed; }

/// Member 3 does not start with this etcd, is left as it is, and starts again with the one that it had.
#[track_caller]
fn is_told_and_left(cluster: &mut Cluster, with: Version, why: &str) {
    let volume = cluster.member(3).volume.clone();
    let before = Tree::of(&volume);
    cluster
        .member(3)
        .set("REJOIN_ETCD", &with.etcd().display().to_string());
    cluster.start(&[3]);
    assert_eq!(cluster.member(3).wait_exit(PATIENCE), 74);
    Tree::of(&volume).assert_is(&before);
    let log = &cluster.member(3).log;
    assert!(
        log.has_reason("version-skip") && log.text().contains(why),
        "{}",
        log.text()
    );
    assert_eq!(cluster.member(3).steps(), Vec::<String>::new());
    let status = cluster.member(3).ask(&["status"]);
    assert!(
        status.contains(why) && status.contains(&format!("etcd {with} here")),
        "{status}"
    );
}

/// The leader decides the cluster's version some seconds after a change, and the database has it a moment later.
fn wait_until_data_is_of(cluster: &mut Cluster, minor: u32) {
    let said = format!("data of 3.{minor}, cluster of 3.{minor}");
    let member = cluster.member(3);
    wait_for(&said, PATIENCE, || member.ask(&["status"]).contains(&said));
}

/// One minor version up is taken over; more than one, or down, is not.
fn data_of_each_other_version(version: Version) {
    for other in Version::all() {
        if other == version {
            continue;
        }
        let mut cluster = Cluster::running(other, 3);
        cluster.put_some();
        wait_until_data_is_of(&mut cluster, other.minor());
        cluster.kill9(&[3]);
        let (minor, data) = (version.minor(), other.minor());
        let is_next = [data, data + 1].contains(&minor);
        if !is_next {
            let why = match minor < data {
                true => format!("etcd {version} does not read data of version 3.{data}"),
                false => format!("is of version 3.{data}, and etcd {version} is more than one"),
            };
            is_told_and_left(&mut cluster, version, &why);
        }
        let fits = if is_next { version } else { other };
        cluster
            .member(3)
            .set("REJOIN_ETCD", &fits.etcd().display().to_string());
        cluster.start(&[3]);
        cluster.wait_healthy();
        cluster.verify();
    }
}

/// What 3.5 has written as requests of the v2 API, 3.6 takes for what it is, and 3.7 panics at: the steps whose etcds
/// are there.
fn requests_that_are_not_replayed(_: Version) {
    let of = |minor| {
        Version::all()
            .into_iter()
            .rfind(|version| version.minor() == minor)
    };
    let Some(old) = of(5) else {
        panic!("no etcd 3.5 is there");
    };
    let mut cluster = Cluster::running(old, 3);
    cluster.put_some();
    for minor in [6, 7] {
        let Some(next) = of(minor) else {
            break;
        };
        let program = next.etcd().display().to_string();
        if minor == 7 {
            wait_until_data_is_of(&mut cluster, 6);
            cluster.kill9(&[3]);
            is_told_and_left(&mut cluster, next, "panics at requests of the v2 API");
            let last = of(6).unwrap().etcd().display().to_string();
            cluster.member(3).set("REJOIN_ETCD", &last);
            cluster.start(&[3]);
            cluster.wait_healthy();
            break;
        }
        for n in cluster.all() {
            cluster.kill9(&[n]);
            cluster.member(n).set("REJOIN_ETCD", &program);
            cluster.start(&[n]);
            cluster.wait_healthy();
        }
    }
    cluster.verify();
}
