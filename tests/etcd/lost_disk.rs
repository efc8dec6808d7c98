//! A lost disk: the member comes back by itself, whatever happens meanwhile.

use std::time::{Duration, Instant};

use etcd_rejoin::access::TlsFiles;
use etcd_rejoin::gateway::Client;

use crate::support::{Cluster, PATIENCE, Relay, Version, files, scenarios, wait_for};

const A_WHILE: Duration = Duration::from_millis(1500);

scenarios! {
    each:
        a_learner_that_knows_others_by_client_urls_is_promoted,
        a_lost_disk_is_filled_again,
        a_rejoin_is_told_in_ten_lines,
        killed_between_every_two_steps,
        the_leader_loses_its_disk,
        removed_by_an_operator_while_down,
        old_data_of_a_removed_and_added_member,
        two_of_five_lost_at_the_same_moment,
        a_third_member_is_known_to_both_before_it_starts,
        two_lost_their_wal_and_the_third_its_disk;
    both:
        ten_times_in_a_row,
        killed_while_the_quorum_is_lost,
        killed_in_the_midst_of_each_step,
        killed_before_the_add_is_noted,
        two_volumes_of_one_member,
        joining_as_a_learner,
        two_of_three_down_and_one_of_them_empty,
        state_existing_for_ever,
        external_wal_dir_lost_with_the_data,
        external_wal_dir_lost_alone,
        data_lost_beside_an_external_wal_dir,
        joining_forbidden_refuses,
        a_cluster_grows_by_itself,
        bootstrap_now_never_founds_beside_data,
        bootstrap_now_never_founds_beside_a_member_without_leader;
    newest:
        removed_while_it_ran_and_nobody_answers,
        adds_that_are_answered_to_nobody_end,
        a_learner_after_a_quarantine_that_was_killed_halfway,
        second_of_two_loses_its_disk;
}

fn a_lost_disk_is_filled_again(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let writer = cluster.writer(&[1, 2, 3]);
    for _ in 0..2 {
        let id = cluster.id(3);
        cluster.member(3).lose_disk();
        cluster.put_some();
        cluster.start(&[3]);
        cluster.wait_healthy();
        assert_ne!(
            cluster.id(3),
            id,
            "it came back under an ID that may have voted"
        );
    }
    writer.stop();
    cluster.verify();
    // And from now on it is an ordinary member.
    cluster.kill9(&[3]);
    cluster.start(&[3]);
    cluster.wait_healthy();
    assert!(cluster.member(3).is_etcd());
    assert_eq!(cluster.member(3).steps(), Vec::<String>::new());
}

/// As it is without any setting of the log. `--nocapture` shows the lines.
fn a_rejoin_is_told_in_ten_lines(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let old = cluster.id(3);
    cluster.member(3).unset("REJOIN_LOG").lose_disk();
    // It may have been the leader.
    cluster.wait_healthy_of(&[1, 2]);
    cluster.start(&[3]);
    cluster.wait_healthy();
    let lines = cluster.member(3).log.ours();
    eprintln!("{}", lines.join("\n"));
    assert!(lines.len() <= 10, "{} lines", lines.len());
    let told = lines.join("\n");
    let removes = format!("removes its own old member {old:x} from the cluster");
    for part in [
        "data-dir=empty",
        &removes,
        "reason=data-lost",
        "reason=not-listed",
        "starts etcd",
    ] {
        assert!(told.contains(part), "{part} is not told");
    }
    // The loss is a warning, and that the others were not ready for a step is none.
    let warned = lines.iter().filter(|line| !line.contains(" INFO "));
    let lost =
        |line: &String| line.contains(" WARN  removes its own") && line.contains("=data-lost");
    assert!(warned.clone().all(lost), "{told}");
    assert_eq!(warned.count(), 1, "{told}");
    let new = cluster.id(3);
    let last = lines.last().unwrap();
    assert!(
        last.contains("this member is back as voter, took "),
        "{last}"
    );
    assert!(last.ends_with(&format!("member={new:x}")), "{last}");
}

fn ten_times_in_a_row(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    for _ in 0..10 {
        cluster.member(2).lose_disk();
        cluster.put_some();
        cluster.start(&[2]);
        cluster.wait_healthy();
    }
    cluster.verify();
    let names: Vec<String> = cluster.members_of(1).into_iter().map(|m| m.name).collect();
    assert!(
        ["n1", "n2", "n3"]
            .iter()
            .all(|n| names.contains(&n.to_string()))
    );
}

/// For each N: ended after N steps with 75, then started again. Until N is more than it takes.
fn killed_between_every_two_steps(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let writer = cluster.writer(&[1, 2]);
    let mut steps = 0;
    loop {
        steps += 1;
        assert!(steps < 12, "a rejoin has no such number of steps");
        cluster.member(3).lose_disk();
        cluster.member(3).start_steps(steps);
        let (client, mut code) = (cluster.client(3), None);
        let member = cluster.member(3);
        wait_for("it ends or is healthy", PATIENCE, || {
            code = member.process().code();
            code.is_some() || client.linearizable_read().is_ok()
        });
        let Some(code) = code else { break };
        assert_eq!(code, 75);
        assert_eq!(cluster.member(3).steps().len(), steps);
        cluster.start(&[3]);
        cluster.wait_healthy_of(&[3]);
    }
    assert_eq!(steps, 4, "remove, add and settle are steps");
    writer.stop();
    cluster.verify();
}

/// With SIGKILL, as soon as the step has begun.
fn killed_in_the_midst_of_each_step(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let writer = cluster.writer(&[1, 2]);
    for step in ["remove-member", "add-member", "settle-join"] {
        cluster.member(3).lose_disk();
        cluster.start(&[3]);
        cluster.member(3).wait_log(&format!("step={step}"));
        cluster.kill9(&[3]);
        cluster.start(&[3]);
        cluster.wait_healthy_of(&[3]);
    }
    writer.stop();
    cluster.verify();
}

/// A relay stands in front of the client ports of n1 and n2.
fn behind_relays(version: Version) -> (Cluster, Vec<Relay>) {
    let mut cluster = Cluster::new(version, 3);
    let mut relays = Vec::new();
    for n in [1, 2] {
        let (from, to) = (cluster.addresses.host(100 + n), cluster.addresses.host(n));
        relays.push(Relay::start((from, 2379), (to, 2379)));
        let url = format!("http://{from}:2379");
        (cluster.member(n.into())).set("ETCD_ADVERTISE_CLIENT_URLS", &url);
    }
    cluster.run();
    (cluster, relays)
}

/// Each entry that cannot be told from another volume's is removed again, as long as is allowed.
fn adds_that_are_answered_to_nobody_end(version: Version) {
    let (mut cluster, relays) = behind_relays(version);
    cluster.member(3).set("REJOIN_WAIT", "15s").lose_disk();
    (relays.iter()).for_each(|relay| relay.keep_back(Some("/cluster/member/add")));
    cluster.start(&[3]);
    assert_eq!(cluster.member(3).wait_exit(PATIENCE), 69);
    assert!(cluster.member(3).log.has_reason("added-not-ours"));
    (relays.iter()).for_each(|relay| relay.keep_back(None));
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

/// The learner's note lies in `member/`, which was still to be moved.
fn a_learner_after_a_quarantine_that_was_killed_halfway(version: Version) {
    let (mut cluster, wal) = with_external_wal(version);
    cluster.run();
    let id = format!("{:x}", cluster.id(3));
    cluster.kill9(&[3]);
    cluster.operator(&["member", "remove", &id]);
    let name = format!("20261126T000000Z-{id:0>16}");
    let volume = cluster.member(3).volume.clone();
    let aside = wal.with_extension("quarantine").join(&name);
    std::fs::create_dir_all(volume.join("quarantine").join(&name)).unwrap();
    std::fs::create_dir_all(&aside).unwrap();
    std::fs::rename(&wal, aside.join("wal")).unwrap();
    cluster.member(3).set("REJOIN_AS", "learner");
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

/// The add is applied, and what it answers never arrives: the entry cannot be told from that of another
/// volume. It is removed, and another one is added.
fn killed_before_the_add_is_noted(version: Version) {
    let (mut cluster, relays) = behind_relays(version);
    for request in ["/cluster/member/add", "/cluster/member/update"] {
        cluster.member(3).lose_disk();
        cluster.put_some();
        (relays.iter()).for_each(|relay| relay.keep_back(Some(request)));
        cluster.start(&[3]);
        wait_for("the answer is kept back", PATIENCE, || {
            relays.iter().any(Relay::has_kept)
        });
        cluster.kill9(&[3]);
        (relays.iter()).for_each(|relay| relay.keep_back(None));
        let unstarted = cluster.members_of(1).into_iter().find(|m| !m.started);
        let unstarted = unstarted.expect("the add was applied").id;
        cluster.start(&[3]);
        cluster.wait_healthy();
        assert!(cluster.member(3).log.has_reason("added-not-ours"));
        assert_ne!(cluster.id(3), unstarted);
        cluster.verify();
    }
}

/// Each knows only what was added from it.
fn two_volumes_of_one_member(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let volumes = ["a", "b"].map(|name| {
        let volume = cluster.scratch().join(format!("volume-{name}"));
        std::fs::create_dir(&volume).unwrap();
        volume.display().to_string()
    });
    cluster.member(3).lose_disk();
    for volume in &volumes {
        cluster.member(3).set("ETCD_DATA_DIR", volume);
        // It is removed, added, and that is noted.
        cluster.member(3).start_steps(3);
        assert_eq!(cluster.member(3).wait_exit(PATIENCE), 75);
        assert!(cluster.members_of(1).iter().any(|m| !m.started));
    }
    for volume in &volumes {
        cluster.member(3).set("ETCD_DATA_DIR", volume);
        cluster.start(&[3]);
        cluster.wait_healthy();
        cluster.put_some();
        cluster.verify();
        cluster.kill9(&[3]);
    }
    assert!(cluster.member(3).log.has_reason("data-lost"));
    cluster.start(&[3]);
    cluster.verify();
}

/// After each step one of the two others dies too, and comes back later.
fn killed_while_the_quorum_is_lost(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    for steps in 1..=3 {
        cluster.member(3).lose_disk();
        cluster.member(3).start_steps(steps);
        assert_eq!(cluster.member(3).wait_exit(PATIENCE), 75);
        cluster.kill9(&[2]);
        cluster.start(&[3]);
        std::thread::sleep(A_WHILE);
        cluster.start(&[2]);
        cluster.wait_healthy();
        cluster.put_some();
    }
    cluster.verify();
}

fn the_leader_loses_its_disk(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let leader = cluster.leader();
    cluster.member(leader).lose_disk();
    cluster.start(&[leader]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

fn removed_by_an_operator_while_down(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let id = format!("{:x}", cluster.id(3));
    cluster.kill9(&[3]);
    cluster.operator(&["member", "remove", &id]);
    cluster.put_some();
    cluster.start(&[3]);
    cluster.wait_healthy();
    assert!(cluster.member(3).log.has_reason("removed"));
    // What it had is still there, set aside.
    assert!(set_aside(&mut cluster, 3));
    cluster.verify();
}

/// It has read of its removal, and knows so without asking. Started, its etcd would be let in by nobody.
fn removed_while_it_ran_and_nobody_answers(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let id = format!("{:x}", cluster.id(3));
    // With nothing in front, as after any start but the first.
    cluster.kill9(&[3]);
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.operator(&["member", "remove", &id]);
    let code = cluster.member(3).wait_exit(PATIENCE);
    // Since 3.5.18 one or the other: etcd itself does not know which comes first.
    assert!(matches!(code, 0 | 1), "etcd ended with {code}");
    cluster.put_some();
    cluster.kill9(&[1, 2]);
    cluster.start(&[3]);
    cluster.member(3).assert_waits("removed", A_WHILE);
    cluster.start(&[1, 2]);
    cluster.wait_healthy();
    assert!(set_aside(&mut cluster, 3));
    cluster.verify();
}

fn old_data_of_a_removed_and_added_member(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let (id, url) = (format!("{:x}", cluster.id(3)), cluster.member(3).peer_url());
    cluster.kill9(&[3]);
    cluster.operator(&["member", "remove", &id]);
    cluster.operator(&["member", "add", "n3", &format!("--peer-urls={url}")]);
    cluster.start(&[3]);
    cluster.wait_healthy();
    assert!(set_aside(&mut cluster, 3));
    cluster.put_some();
    cluster.verify();
}

/// Whether a WAL lies set aside on the volume.
fn set_aside(cluster: &mut Cluster, n: usize) -> bool {
    let volume = cluster.member(n).volume.clone();
    let tree = files::Tree::of(&volume);
    tree.files()
        .any(|file| !file.starts_with("member") && file.extension().is_some_and(|e| e == "wal"))
}

fn two_of_five_lost_at_the_same_moment(version: Version) {
    let mut cluster = Cluster::running(version, 5);
    cluster.member(4).lose_disk();
    cluster.member(5).lose_disk();
    cluster.put_some();
    cluster.start(&[4, 5]);
    cluster.wait_healthy();
    cluster.verify();
}

/// The other one waits for it without a leader, and holds every acknowledged write. It has half a minute to say that
/// there are three.
fn second_of_two_loses_its_disk(version: Version) {
    let mut cluster = Cluster::running(version, 2);
    cluster.member(2).lose_disk();
    cluster.start(&[2]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// Killed, a member may forget what it has committed last. If that were the third member, and the second one
/// lost its disk, it would start empty beside the first, and both without what the third one holds.
fn a_third_member_is_known_to_both_before_it_starts(version: Version) {
    let mut cluster = Cluster::running(version, 2);
    let third = cluster.grow();
    // It is added, and that is noted: now it may start.
    cluster.member(third).start_steps(2);
    assert_eq!(cluster.member(third).wait_exit(PATIENCE), 75);
    cluster.kill9(&[1, 2]);
    for n in [1, 2] {
        cluster.start(&[n]);
        let url = cluster.member(n).peer_url();
        let client = Client::new(&TlsFiles::default(), None).unwrap();
        wait_for(
            "it lists all three, once it has read its log",
            PATIENCE,
            || {
                let view = client.peer_members(&url, Instant::now() + A_WHILE);
                view.is_ok_and(|view| view.members.len() == 3)
            },
        );
        cluster.kill9(&[n]);
    }
    cluster.start(&[1, 2, third]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// Two databases without a WAL and an empty disk: no first start.
fn two_lost_their_wal_and_the_third_its_disk(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let client = cluster.client(1);
    for n in 0..40 {
        client
            .put(&format!("large-{n}"), &"x".repeat(4096))
            .unwrap();
    }
    cluster.kill9(&[1, 2, 3]);
    cluster.member(1).lose_disk();
    for n in [2, 3] {
        let wal = cluster.member(n).volume.join("member/wal");
        std::fs::remove_dir_all(wal).unwrap();
    }
    cluster.start(&[1, 2, 3]);
    for n in [2, 3] {
        cluster.member(n).assert_refuses("data-set-aside");
        assert!(cluster.member(n).volume.join("member/snap/db").exists());
    }
    // It has heard one of them, and neither founds anything.
    assert!(!cluster.member(1).is_etcd());
}

fn joining_as_a_learner(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.member(3).set("REJOIN_AS", "learner");
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster.wait_healthy();
    let new = cluster.id(3);
    cluster.member(3).wait_log("INFO  back as voter, took ");
    let last = cluster.member(3).log.lines("back as voter").join("\n");
    assert!(last.ends_with(&format!("member={new:x}")), "{last}");
    // What is listed is one thing; that its vote counts shows where nobody has a majority without it.
    cluster.kill9(&[1]);
    cluster.wait_healthy_of(&[2, 3]);
    cluster.put_some();
    cluster.start(&[1]);
    cluster.wait_healthy();
    cluster.verify();
}

/// Nothing may happen until one of them returns.
fn two_of_three_down_and_one_of_them_empty(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[2]);
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster
        .member(3)
        .assert_waits("data-lost-no-leader", A_WHILE);
    // While it may still be an election it is none.
    cluster
        .member(3)
        .wait_log(" ERROR waits: no leader, listed");
    let first = cluster.member(3).log.lines("data-lost-no-leader");
    assert!(first[0].contains(" INFO  waits"), "{first:?}");
    cluster.start(&[2]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

fn state_existing_for_ever(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.set("ETCD_INITIAL_CLUSTER_STATE", "existing");
    cluster.kill9(&[1, 2, 3]);
    cluster.start_all();
    cluster.wait_healthy();
    cluster.member(1).lose_disk();
    cluster.start(&[1]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

fn with_external_wal(version: Version) -> (Cluster, std::path::PathBuf) {
    let mut cluster = Cluster::new(version, 3);
    let wal = cluster.scratch().join("n3-wal");
    std::fs::create_dir(&wal).unwrap();
    cluster
        .member(3)
        .set("ETCD_WAL_DIR", &wal.display().to_string());
    cluster.start_all();
    cluster.wait_healthy();
    cluster.put_some();
    assert!(!files::wal_files(&wal).is_empty());
    (cluster, wal)
}

fn external_wal_dir_lost_with_the_data(version: Version) {
    let (mut cluster, wal) = with_external_wal(version);
    cluster.member(3).lose_disk();
    files::wipe(&wal);
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
    assert!(!files::wal_files(&wal).is_empty());
}

fn external_wal_dir_lost_alone(version: Version) {
    let (mut cluster, wal) = with_external_wal(version);
    cluster.kill9(&[3]);
    files::wipe(&wal);
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

fn data_lost_beside_an_external_wal_dir(version: Version) {
    let (mut cluster, _wal) = with_external_wal(version);
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster.wait_healthy_restarting(3);
    cluster.put_some();
    cluster.verify();
}

fn joining_forbidden_refuses(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let before = cluster.members_of(1);
    cluster.member(3).set("REJOIN_AS", "never");
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster.member(3).assert_refuses("joining-forbidden");
    assert_eq!(cluster.members_of(1), before);
    cluster.member(3).unset("REJOIN_AS");
    cluster.start(&[3]);
    cluster.verify();
}

/// One member, then two, then three: each new one adds itself.
fn a_cluster_grows_by_itself(version: Version) {
    let mut cluster = Cluster::running(version, 1);
    for _ in 0..2 {
        let n = cluster.grow();
        cluster.start(&[n]);
        cluster.wait_healthy();
        cluster.put_some();
        cluster.verify();
    }
}

/// The second is a learner at first; who may promote it, it knows by their client URLs alone.
fn a_learner_that_knows_others_by_client_urls_is_promoted(version: Version) {
    let mut cluster = Cluster::running(version, 1);
    let first = cluster.member(1).client_url();
    let n = cluster.grow();
    cluster.set_initial(&[n]);
    cluster
        .member(n)
        .set("ETCD_OTHER_PEERS_CLIENT_URLS", &first);
    cluster.start(&[n]);
    cluster.member(n).wait_log("promoted to voter");
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// It is known by its client URL alone, where it says that it has no leader.
fn bootstrap_now_never_founds_beside_a_member_without_leader(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[2]);
    cluster.member(3).lose_disk();
    cluster.set_initial(&[3]);
    let first = cluster.member(1).client_url();
    let member = cluster.member(3);
    member.set("ETCD_OTHER_PEERS_CLIENT_URLS", &first);
    member.set("REJOIN_BOOTSTRAP", "now");
    member.start();
    member.assert_waits("now-ruled-out", A_WHILE);
    cluster.start(&[2]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

fn bootstrap_now_never_founds_beside_data(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.set("REJOIN_BOOTSTRAP", "now");
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}
