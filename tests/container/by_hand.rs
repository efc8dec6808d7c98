//! What a person types: the README's own words, and no words at all.

use std::path::Path;
use std::process::Command;

use crate::docker::{LABEL, docker, image, images, try_docker, wait_for};

const README: &str = include_str!("../../README.md");

/// Containers and volumes of one name each, a network and an image; removed at the end.
struct Left {
    hosts: Vec<String>,
    network: Option<String>,
    image: Option<String>,
}

impl Drop for Left {
    fn drop(&mut self) {
        for host in &self.hosts {
            if std::thread::panicking() {
                eprintln!("---- {host}\n{}", crate::docker::logs(&["--tail=15", host]));
            }
            try_docker(&["rm", "--force", "--volumes", host]);
            try_docker(&["volume", "rm", "--force", host]);
        }
        if let Some(network) = &self.network {
            try_docker(&["network", "rm", network]);
        }
        if let Some(image) = &self.image {
            try_docker(&["image", "rm", image]);
        }
    }
}

/// The block of the README that begins with this line, without its fences.
fn block(first: &str) -> String {
    let start = README.find(first).expect("the README has it");
    let end = README[start..].find("```").expect("a block ends");
    README[start..start + end].into()
}

fn bash(script: &str) {
    let output = Command::new("bash")
        .args(["-euc", script])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{errors}");
}

/// `etcdctl ARGS` inside a member, once it succeeds.
fn etcdctl(host: &str, args: &[&str]) -> String {
    let all = [&["exec", "--env", "ETCDCTL_API=3", host, "etcdctl"], args].concat();
    wait_for(&format!("{args:?} in {host}"), || {
        let output = try_docker(&all);
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_string()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    })
}

/// The member's entry in the list that `from` has.
fn entry(from: &str, host: &str) -> String {
    let list = etcdctl(from, &["member", "list"]);
    let line = list
        .lines()
        .find(|line| line.contains(&format!("//{host}:2380")));
    line.unwrap_or_default().to_string()
}

/// In an image of one's own: it has no WORKDIR, so that without a data dir the data would lie elsewhere.
#[test]
#[ignore = "needs docker"]
fn the_readmes_commands_run_as_they_stand_in_the_image_of_three_lines() {
    let (ours, base) = images("sid");
    let pid = std::process::id();
    let (prefix, tag) = (
        format!("er{pid}-by-hand"),
        format!("etcd-rejoin-test/own:{pid}-hand"),
    );
    let host = |n: usize| format!("{prefix}-n{n}");
    let _left = Left {
        hosts: (1..=3).map(host).collect(),
        network: Some(prefix.clone()),
        image: Some(tag.clone()),
    };
    let lines = block("FROM your-etcd-image")
        .replace("your-etcd-image", &base)
        .replace("--from=etcd-rejoin ", &format!("--from={ours} "));
    let context = tempfile::tempdir().unwrap();
    std::fs::write(Path::new(context.path()).join("Dockerfile"), lines).unwrap();
    docker(&[
        "build",
        "-q",
        "-t",
        &tag,
        &context.path().display().to_string(),
    ]);

    let mut typed: String = (block("$ docker network create etcd").lines())
        .map(|line| format!("{}\n", line.trim_start_matches("$ ")))
        .collect();
    for n in 1..=3 {
        typed = typed.replace(&format!("n{n}"), &host(n));
    }
    let typed = typed
        .replace("network create etcd", &format!("network create {prefix}"))
        .replace(
            "--network etcd",
            &format!("--label {LABEL}={pid} --network {prefix}"),
        )
        .replace(" etcd-rejoin;", &format!(" {tag};"));
    let (function, end) = (
        typed.find("member()").unwrap(),
        typed.find("; }").unwrap() + 3,
    );
    let lost = typed.find("docker rm -f").unwrap();

    bash(&typed[..lost]);
    let first = host(1);
    etcdctl(&host(3), &["put", "key", "value"]);
    let old = entry(&first, &host(3));
    bash(&format!("{}\n{}", &typed[function..end], &typed[lost..]));
    let stale = ["get", "key", "--print-value-only", "--consistency=s"];
    wait_for("the data is back", || match etcdctl(&host(3), &stale) {
        value if value == "value" => Ok(()),
        other => Err(other),
    });
    let new = entry(&first, &host(3));
    assert_ne!(old, new);
    // The data lies in the volume: another container with it is the same member.
    bash(&format!(
        "{}\ndocker rm -f {name}; member {name}",
        &typed[function..end],
        name = host(3)
    ));
    etcdctl(&host(3), &stale);
    assert_eq!(entry(&first, &host(3)), new);
}

/// No variable and no flag: etcd's own defaults hold, and the image's.
#[test]
#[ignore = "needs docker"]
fn without_any_setting_it_is_a_healthy_cluster_of_one() {
    let host = format!("er{}-alone", std::process::id());
    let _left = Left {
        hosts: vec![host.clone()],
        network: None,
        image: None,
    };
    let label = format!("{LABEL}={}", std::process::id());
    docker(&[
        "run",
        "--detach",
        "--name",
        &host,
        "--label",
        &label,
        &image("sid"),
    ]);
    let healthy = || {
        let status = docker(&["inspect", "--format", "{{.State.Health.Status}}", &host]);
        if status == "healthy" {
            Ok(())
        } else {
            Err(status)
        }
    };
    wait_for("healthy", healthy);
    etcdctl(&host, &["put", "key", "value"]);
    // Its data is in the image's volume, and a restart is just a restart.
    docker(&["restart", &host]);
    wait_for("healthy again", healthy);
    assert_eq!(
        etcdctl(&host, &["get", "key", "--print-value-only"]),
        "value"
    );
    let logs = crate::docker::logs(&[&host]);
    assert!(logs.contains("default.etcd"), "{logs}");
    assert!(logs.contains("nobody-answers"), "{logs}");
}
