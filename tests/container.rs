//! The `docker run` story: PID 1, stop, restart and a lost volume, with the image as docker/Dockerfile
//! makes it. Run by `tests/run.sh container`.

#[path = "container/by_hand.rs"]
mod by_hand;
#[path = "support/docker.rs"]
mod docker;

use std::time::{Duration, Instant};

use docker::{Cluster, Options, docker, image, try_docker, wait_for};

/// etcd 3.5 and 3.4, by the Debian suite that has them.
const ETCD_3_5: &str = "sid";
const ETCD_3_4: &str = "bookworm";

/// Loses the volume of one member after the other; the same command brings each back.
fn lost_volumes_come_back(suite: &'static str, run: &[&'static str]) {
    let cluster = Cluster::three(suite, run);
    cluster.write(1, "before", 20);
    let mut keys = 20;
    for n in [3, 1, 3] {
        let from = 2;
        let old = cluster.wait_voter(from, n);
        cluster.lose(n);
        cluster.write(from, &format!("without-{n}-{keys}"), 5);
        keys += 5;
        cluster.run(n);
        let new = wait_for("a new identity", || match cluster.wait_voter(from, n) {
            id if id == old => Err(format!("still {old}")),
            id => Ok(id),
        });
        assert_ne!(old, new);
        cluster.wait_healthy(n);
        wait_for("all keys", || match cluster.keys(n) {
            all if all == keys => Ok(()),
            some => Err(format!("{some} keys of {keys}")),
        });
        let list = cluster.etcdctl(from, &["member", "list"]).unwrap();
        assert_eq!(list.lines().count(), 3, "{list}");
    }
}

#[test]
#[ignore = "needs docker"]
fn a_member_whose_volume_is_gone_comes_back_with_the_same_command() {
    lost_volumes_come_back(ETCD_3_5, &[]);
}

#[test]
#[ignore = "needs docker"]
fn a_member_of_etcd_3_4_whose_volume_is_gone_comes_back_with_the_same_command() {
    lost_volumes_come_back(ETCD_3_4, &[]);
}

#[test]
#[ignore = "needs docker"]
fn any_user_can_run_it_on_a_read_only_root_without_capabilities() {
    let run = [
        "--user=12345:12345",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
    ];
    lost_volumes_come_back(ETCD_3_5, &run);
}

/// Stops a running member, with one of these exit codes and without being killed, and starts it again.
///
/// Within two seconds, in one of three tries: the machine may be busy, or etcd itself slow (a client
/// that has just gone can hold it up for 5 s). A signal that gets lost is slow, and a kill, every time.
fn stops_in_time(cluster: &Cluster, n: usize, codes: &[&str], running: impl Fn()) {
    let mut took = Vec::new();
    while !took.iter().any(|took| *took < Duration::from_secs(2)) {
        assert!(took.len() < 3, "not within two seconds: {took:?}");
        let begun = Instant::now();
        docker(&["stop", "--time=10", &cluster.host(n)]);
        took.push(begun.elapsed());
        let code = cluster.inspect(n, "State.ExitCode");
        assert!(
            codes.contains(&code.as_str()),
            "{code}\n{}",
            cluster.logs(n)
        );
        docker(&["start", &cluster.host(n)]);
        running();
    }
}

#[test]
#[ignore = "needs docker"]
fn docker_stop_ends_etcd_within_two_seconds_and_keeps_its_place() {
    let cluster = Cluster::three(ETCD_3_5, &[]);
    cluster.write(1, "key", 5);
    let id = cluster.wait_voter(1, 2);
    let back = || {
        let logs = cluster.logs(2);
        assert!(logs.contains("closed etcd server"), "{logs}");
        // A stop is not a leave: the entry stays, and the data is started as it is.
        cluster.wait_healthy(2);
        assert_eq!(cluster.wait_voter(1, 2), id);
        assert_eq!(cluster.keys(2), 5);
    };
    // First as a child of the first start, then as PID 1.
    stops_in_time(&cluster, 2, &["0", "143"], back);
    stops_in_time(&cluster, 2, &["0"], back);
}

#[test]
#[ignore = "needs docker"]
fn docker_stop_ends_a_wait_within_two_seconds() {
    let members = Options {
        members: 3,
        ..Options::default()
    };
    let cluster = Cluster::new(ETCD_3_5, members);
    cluster.run(1);
    let waits = || {
        wait_for("it waits", || {
            let since = cluster.inspect(1, "State.StartedAt");
            match docker::logs(&["--since", &since, &cluster.host(1)]) {
                logs if logs.contains("not-all-heard") => Ok(()),
                logs => Err(logs),
            }
        })
    };
    waits();
    let probe = try_docker(&["exec", &cluster.host(1), "etcd-rejoin", "probe"]);
    assert_ne!(probe.status.code(), Some(0));
    stops_in_time(&cluster, 1, &["143"], waits);
}

/// Kills PID 1 of a member from outside, as the kernel would.
fn kill(cluster: &Cluster, n: usize) {
    let pid = cluster.inspect(n, "State.Pid");
    let status = std::process::Command::new("kill")
        .args(["-9", &pid])
        .status();
    assert!(status.unwrap().success());
}

/// Crashes of intact members under a restart policy: etcd is PID 1 again, under its old ID.
fn crashes_are_restarted(policy: &'static str) {
    let cluster = Cluster::three(ETCD_3_5, &[policy]);
    cluster.write(1, "key", 5);
    for (round, n) in [(1, 2), (1, 3), (2, 2)] {
        let id = cluster.wait_voter(1, n);
        kill(&cluster, n);
        wait_for("the restart", || match cluster.inspect(n, "RestartCount") {
            count if count == round.to_string() => Ok(()),
            count => Err(format!("{count} restarts of {round}")),
        });
        cluster.wait_healthy(n);
        assert_eq!(cluster.wait_voter(1, n), id);
        assert_eq!(cluster.keys(n), 5);
        // Nothing stands in front of etcd, and nothing stays beside it.
        let pid = cluster.inspect(n, "State.Pid");
        wait_for("etcd alone", || match cluster.processes(n) {
            all if all == [(pid.clone(), "etcd".to_string())] => Ok(()),
            all => Err(format!("{all:?}, PID 1 is {pid}")),
        });
    }
}

#[test]
#[ignore = "needs docker"]
fn a_crash_is_restarted_as_pid_1_with_restart_on_failure() {
    crashes_are_restarted("--restart=on-failure");
}

#[test]
#[ignore = "needs docker"]
fn a_crash_is_restarted_as_pid_1_with_restart_always() {
    crashes_are_restarted("--restart=always");
}

#[test]
#[ignore = "needs docker"]
fn a_member_that_was_removed_joins_again_with_restart_always() {
    let cluster = Cluster::three(ETCD_3_5, &["--restart=always"]);
    cluster.write(1, "key", 5);
    let old = cluster.wait_voter(1, 3);
    wait_for("the removal", || {
        cluster.etcdctl(1, &["member", "remove", &old])
    });
    let new = cluster.wait_voter(1, 3);
    assert_ne!(old, new);
    cluster.wait_healthy(3);
    assert_eq!(cluster.keys(3), 5);
}

#[test]
#[ignore = "needs docker"]
fn a_command_of_the_image_is_run_as_it_is() {
    let output = docker(&["run", "--rm", &image(ETCD_3_5), "etcdctl", "version"]);
    assert!(output.starts_with("etcdctl version: 3.5."), "{output}");
    let output = docker(&["run", "--rm", &image(ETCD_3_5), "etcd", "--version"]);
    assert!(output.starts_with("etcd Version: 3.5."), "{output}");
    let ended = try_docker(&["run", "--rm", &image(ETCD_3_5), "no-such-program"]);
    assert_eq!(ended.status.code(), Some(127));
}

#[test]
#[ignore = "needs docker"]
fn the_health_check_needs_no_shell_and_turns_healthy() {
    let cluster = Cluster::new(
        ETCD_3_5,
        Options {
            members: 1,
            ..Options::default()
        },
    );
    cluster.run(1);
    wait_for("healthy", || {
        match cluster.inspect(1, "State.Health.Status") {
            status if status == "healthy" => Ok(()),
            status => Err(status),
        }
    });
    let shell = try_docker(&["exec", &cluster.host(1), "sh", "-c", "true"]);
    assert!(
        !shell.status.success(),
        "the image that this is tested with has no shell"
    );
}
