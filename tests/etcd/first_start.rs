//! A new cluster: whoever comes in whatever order, and whoever is killed meanwhile.

use std::path::Path;
use std::time::Duration;

use crate::support::{Cluster, PATIENCE, Version, scenarios};

const A_WHILE: Duration = Duration::from_millis(1500);

scenarios! {
    each:
        members_started_at_once_form_one_cluster,
        members_in_any_order_form_one_cluster,
        a_first_start_survives_kills_between_all_steps,
        restart_with_intact_data_changes_nothing;
    both:
        kill_of_all_in_the_midst_of_a_first_start,
        one_member_founds_alone,
        two_members_found_together,
        bootstrap_now_founds_without_the_third,
        given_other_tokens_members_refuse,
        a_kill_of_one_after_all_promised,
        a_missing_member_holds_the_first_start,
        state_existing_forbids_founding,
        bootstrap_never_forbids_founding,
        five_members_form_one_cluster,
        a_changed_data_dir_founds_nothing,
        a_member_alone_founds_nothing_beside_its_data,
        a_disk_lost_within_the_first_start;
}

fn members_started_at_once_form_one_cluster(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    cluster.start_all();
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// All data lies one level higher, or beside. What was changed for one member alone is a lost disk, which heals.
fn a_changed_data_dir_founds_nothing(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[1, 2, 3]);
    let before = [1, 2, 3].map(|n| cluster.member(n).env["ETCD_DATA_DIR"].clone());
    let beside = cluster.scratch().join("beside").display().to_string();
    let changed = [
        format!("{}/data", before[0]),
        beside,
        format!("{}/data", before[2]),
    ];
    for n in cluster.all() {
        cluster.member(n).set("ETCD_DATA_DIR", &changed[n - 1]);
    }
    cluster.start_all();
    for n in cluster.all() {
        let member = cluster.member(n);
        member.assert_refuses("data-elsewhere");
        let said = format!("{} holds data of member ", before[n - 1]);
        assert!(member.log.text().contains(&said), "{}", member.log.text());
        assert!(!Path::new(&changed[n - 1]).join("member").exists());
    }
    for n in [1, 2] {
        cluster.member(n).set("ETCD_DATA_DIR", &before[n - 1]);
    }
    cluster.start_all();
    cluster.wait_healthy();
    assert!(cluster.member(3).steps().contains(&"remove-member".into()));
    cluster.put_some();
    cluster.verify();
}

fn a_member_alone_founds_nothing_beside_its_data(version: Version) {
    let mut cluster = Cluster::running(version, 1);
    cluster.put_some();
    let member = cluster.member(1);
    member.kill9();
    let before = member.env["ETCD_DATA_DIR"].clone();
    member.set("ETCD_DATA_DIR", &format!("{before}.new"));
    for token in ["etcd-cluster", "another"] {
        member.set("ETCD_INITIAL_CLUSTER_TOKEN", token);
        member.start();
        match token {
            "another" => member.wait_reason("first-start"),
            _ => member.assert_refuses("data-elsewhere"),
        }
        member.kill9();
    }
    member.unset("ETCD_INITIAL_CLUSTER_TOKEN");
    member.set("ETCD_DATA_DIR", &format!("{before}.newer"));
    member.set("REJOIN_IGNORE", &format!("/nowhere, {before}/"));
    member.start();
    cluster.wait_healthy();
    assert!(cluster.client(1).everything().unwrap().is_empty());
}

/// Each waits for those that are not there; the first is killed meanwhile, and comes last again.
fn members_in_any_order_form_one_cluster(version: Version) {
    for [first, second, third] in [
        [1, 2, 3],
        [1, 3, 2],
        [2, 1, 3],
        [2, 3, 1],
        [3, 1, 2],
        [3, 2, 1],
    ] {
        let mut cluster = Cluster::new(version, 3);
        cluster.member(first).start();
        cluster.member(first).wait_reason("not-all-heard");
        cluster.member(second).start();
        cluster.member(second).wait_reason("not-all-heard");
        cluster.member(first).kill9();
        std::thread::sleep(Duration::from_millis(300));
        cluster.member(third).start();
        cluster
            .member(third)
            .assert_waits("not-all-heard", Duration::from_millis(500));
        cluster.member(first).start();
        cluster.wait_healthy();
        cluster.put_some();
        cluster.verify();
    }
}

/// Every member in turn ends after its first step; then all of them at once.
fn a_first_start_survives_kills_between_all_steps(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    cluster.start(&[1, 2]);
    cluster.member(3).start_steps(1);
    assert_eq!(cluster.member(3).wait_exit(PATIENCE), 75);
    cluster.kill9(&[1, 2]);
    for n in cluster.all() {
        cluster.member(n).start_steps(1);
    }
    // Whoever has promised already, or is last, takes no step: it may wait, or be etcd by now.
    std::thread::sleep(A_WHILE);
    cluster.kill9(&[1, 2, 3]);
    cluster.start_all();
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

fn kill_of_all_in_the_midst_of_a_first_start(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    cluster.start_all();
    cluster.member(1).wait_reason("first-start-promise");
    cluster.kill9(&[1, 2, 3]);
    cluster.start_all();
    cluster.member(2).wait_log("reason=first-start");
    cluster.kill9(&[1, 2, 3]);
    cluster.start_all();
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// One is killed when all have promised; the others go on without it, and it follows them.
fn a_kill_of_one_after_all_promised(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    cluster.start_all();
    cluster.member(3).wait_reason("first-start-promise");
    cluster.kill9(&[3]);
    std::thread::sleep(Duration::from_millis(500));
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// The members are etcd itself afterwards, with the IDs and the processes' place as before.
fn restart_with_intact_data_changes_nothing(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let before = cluster.members_of(1);
    for n in [1, 2, 3] {
        let code = cluster.member(n).sigterm();
        assert!([0, 143].contains(&code), "etcd ended with {code}");
        cluster.start(&[n]);
        cluster.wait_healthy_of(&[n]);
        assert!(cluster.member(n).is_etcd());
        assert_eq!(cluster.member(n).steps(), Vec::<String>::new());
    }
    cluster.kill9(&[1, 2, 3]);
    cluster.start_all();
    cluster.wait_healthy();
    for n in [1, 2, 3] {
        assert!(cluster.member(n).is_etcd());
    }
    assert_eq!(cluster.members_of(1), before);
    cluster.put_some();
    cluster.verify();
}

fn one_member_founds_alone(version: Version) {
    let mut cluster = Cluster::running(version, 1);
    cluster.kill9(&[1]);
    cluster.start(&[1]);
    cluster.wait_healthy();
    assert!(cluster.member(1).is_etcd());
    cluster.verify();
}

fn two_members_found_together(version: Version) {
    let mut cluster = Cluster::running(version, 2);
    cluster.kill9(&[1, 2]);
    cluster.start_all();
    cluster.verify();
}

fn five_members_form_one_cluster(version: Version) {
    Cluster::running(version, 5).verify();
}

fn a_missing_member_holds_the_first_start(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    cluster.member(1).set("REJOIN_WAIT", "3s");
    cluster.start(&[1, 2]);
    cluster.member(2).assert_waits("not-all-heard", A_WHILE);
    assert_eq!(cluster.member(1).wait_exit(PATIENCE), 69);
    cluster.member(1).unset("REJOIN_WAIT");
    cluster.start_all();
    cluster.wait_healthy();
    cluster.verify();
}

fn state_existing_forbids_founding(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    cluster.set("ETCD_INITIAL_CLUSTER_STATE", "existing");
    cluster.start_all();
    for n in [1, 2, 3] {
        cluster
            .member(n)
            .assert_waits("founding-forbidden", Duration::from_millis(500));
    }
}

fn bootstrap_never_forbids_founding(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    cluster.set("REJOIN_BOOTSTRAP", "never");
    cluster.start_all();
    for n in [1, 2, 3] {
        cluster
            .member(n)
            .assert_waits("founding-forbidden", Duration::from_millis(500));
    }
}

fn bootstrap_now_founds_without_the_third(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    cluster.set("REJOIN_BOOTSTRAP", "now");
    cluster.start(&[1, 2]);
    cluster.wait_healthy_of(&[1, 2]);
    cluster.put_some();
    // The third comes when there is something to lose.
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

fn given_other_tokens_members_refuse(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    cluster
        .member(3)
        .set("ETCD_INITIAL_CLUSTER_TOKEN", "another");
    cluster.start_all();
    cluster.member(3).assert_refuses("peers-disagree");
    assert!(!cluster.member(3).log.lines("token").is_empty());
    for n in [1, 2] {
        cluster.member(n).kill9();
    }
    cluster.member(3).unset("ETCD_INITIAL_CLUSTER_TOKEN");
    cluster.start_all();
    cluster.wait_healthy();
    cluster.verify();
}

/// The third loses its disk just when the others have begun.
fn a_disk_lost_within_the_first_start(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    cluster.start_all();
    cluster.wait_healthy_of(&[1]);
    cluster.member(3).lose_disk();
    cluster.put_some();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}
