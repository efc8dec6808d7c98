//! A learner is promoted by whoever can be asked, and its watch does not end before that.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Cluster, Listed, PATIENCE, Version, files, scenarios, wait_for};

scenarios! {
    each:
        voters_that_advertise_nothing_of_use;
    both:
        a_learner_that_another_tool_added,
        etcd_promotes_a_learner_whose_disk_is_gone,
        a_watch_that_is_killed;
}

/// As with etcd's default, `localhost`, on several machines.
fn advertising_nothing_of_use(version: Version) -> Cluster {
    let mut cluster = Cluster::new(version, 3);
    let urls = [1, 2].map(|n| cluster.member(n).client_url());
    for n in [1, 2] {
        let member = cluster.member(n);
        member.hidden.push("ETCD_ADVERTISE_CLIENT_URLS".into());
        (member.args).push("--advertise-client-urls=http://127.0.0.1:1".into());
    }
    cluster.run();
    let urls = urls.join(",");
    let member = cluster.member(3);
    member.set("ETCD_OTHER_PEERS_CLIENT_URLS", &urls);
    member.set("REJOIN_AS", "learner");
    cluster
}

pub(crate) fn is_learner(cluster: &mut Cluster) -> bool {
    cluster.members_of(1).iter().any(|member| member.learner)
}

/// Member 3 loses its disk, joins as a learner, and is killed as soon as etcd has a WAL: from then on it starts with
/// data, and is a learner still. With one of two voters down nobody can promote it meanwhile.
pub(crate) fn killed_as_a_learner(cluster: &mut Cluster) {
    let wal = cluster.member(3).volume.join("member/wal");
    cluster.member(3).lose_disk();
    cluster.member(3).start_steps(3);
    assert_eq!(cluster.member(3).wait_exit(PATIENCE), 75);
    cluster.kill9(&[2]);
    cluster.start(&[3]);
    cluster.member(3).wait_log("added-not-started");
    wait_for("it has a WAL", PATIENCE, || {
        wal.exists() && !files::wal_files(&wal).is_empty()
    });
    cluster.kill9(&[3]);
    cluster.start(&[2]);
    cluster.wait_healthy_of(&[1, 2]);
    assert!(is_learner(cluster));
}

fn voters_that_advertise_nothing_of_use(version: Version) {
    let mut cluster = advertising_nothing_of_use(version);
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster.wait_healthy();
    wait_for("it is a voter", PATIENCE, || !is_learner(&mut cluster));
    cluster.put_some();
    cluster.verify();
}

/// n3 has lost its disk, and somebody has added it as a learner, as `kubeadm join` does; the ID of that.
fn added_by_another_tool(cluster: &mut Cluster) -> u64 {
    let (old, url) = (cluster.id(3), cluster.member(3).peer_url());
    cluster.member(3).lose_disk();
    cluster.operator(&["member", "remove", &format!("{old:x}")]);
    let urls = format!("--peer-urls={url}");
    cluster.operator(&["member", "add", "n3", "--learner", &urls]);
    learner(cluster).unwrap().id
}

fn learner(cluster: &mut Cluster) -> Option<Listed> {
    let members = cluster.members_of(1);
    members.into_iter().find(|member| member.learner)
}

/// That it never ran is not to be seen.
fn a_learner_that_another_tool_added(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let added = added_by_another_tool(&mut cluster);
    cluster.start(&[3]);
    cluster.wait_healthy();
    assert_ne!(cluster.id(3), added);
    let told = cluster.member(3).log.lines("reason=added-not-ours");
    assert!(told[0].contains("cannot promote it any more"), "{told:?}");
    cluster.put_some();
    cluster.verify();
}

/// The leader promotes by what it remembers: this is why no entry that was added elsewhere is started.
fn etcd_promotes_a_learner_whose_disk_is_gone(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let added = format!("{:x}", added_by_another_tool(&mut cluster));
    let member = cluster.member(3);
    member.set("ETCD_INITIAL_CLUSTER_STATE", "existing");
    member.start_etcd(&[]);
    wait_for("the learner is published", PATIENCE, || {
        learner(&mut cluster).is_some_and(|learner| learner.started)
    });
    cluster.put_some();
    cluster.member(3).lose_disk();
    cluster.operator(&["member", "promote", &added]);
    assert!(learner(&mut cluster).is_none());
    cluster.member(3).start_etcd(&[]);
    assert_eq!(cluster.member(3).wait_exit(PATIENCE), 2);
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

fn a_watch_that_is_killed(version: Version) {
    let mut cluster = advertising_nothing_of_use(version);
    killed_as_a_learner(&mut cluster);
    // From here on nobody can be asked.
    let urls = "http://127.0.0.1:1";
    cluster.member(3).set("ETCD_OTHER_PEERS_CLIENT_URLS", urls);
    cluster.start(&[3]);
    cluster.member(3).wait_log("not promoted yet");
    let supervisor = cluster.member(3).pid();
    let killed = watch_of(supervisor).unwrap();
    kill_process(Pid::from_raw(killed).unwrap(), Signal::KILL).unwrap();
    cluster.member(3).wait_log("it is started again");
    wait_for("another one watches", PATIENCE, || {
        watch_of(supervisor).is_some_and(|pid| pid != killed)
    });
    let id = cluster.id(3);
    cluster.operator(&["member", "promote", &format!("{id:x}")]);
    wait_for("nobody watches any more", PATIENCE, || {
        watch_of(supervisor).is_none()
    });
    cluster.verify();
}

/// The process that watches for this one.
fn watch_of(supervisor: u32) -> Option<i32> {
    // By the thread that started them (proc(5)).
    let threads = fs::read_dir(format!("/proc/{supervisor}/task")).ok()?;
    let children = threads
        .flatten()
        .map(|thread| thread.path().join("children"));
    let children: String = children
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    let mut pids = children.split_whitespace();
    let pid = pids.find(|pid| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words
            .split(|byte| *byte == 0)
            .any(|word| word == b"__watch")
    })?;
    pid.parse().ok()
}
