//! Several real processes: they found a cluster together, or say what keeps them from it.

use std::time::Duration;

use crate::Members;
use crate::support::{
    Cluster, PATIENCE, Version, addresses::ports_of_ipv6, certs::Ca, scenarios, wait_for,
};

scenarios! {
    oldest: three_processes_found_one_cluster_over_mutual_tls;
    newest: three_processes_found_one_cluster_over_http;
}

/// etcd binds the very port on which the assembly has answered.
fn three_processes_found_one_cluster_over_http(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    cluster.start_all();
    founded_once(&mut cluster);
}

fn three_processes_found_one_cluster_over_mutual_tls(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    let ca = Ca::new(&cluster.scratch().join("ca"), "ca");
    for n in cluster.all() {
        let host = cluster.addresses.host(n as u8);
        // Loopback connections come from the address they go to, or from 127.0.0.1.
        let cert = ca.server(&format!("n{n}"), &[&host.to_string(), "127.0.0.1"]);
        let member = cluster.member(n);
        let peer = format!("https://{host}:2380");
        for (name, value) in [
            ("ETCD_LISTEN_PEER_URLS", peer.clone()),
            ("ETCD_INITIAL_ADVERTISE_PEER_URLS", peer),
            ("ETCD_PEER_CERT_FILE", cert.cert.display().to_string()),
            ("ETCD_PEER_KEY_FILE", cert.key.display().to_string()),
            ("ETCD_PEER_TRUSTED_CA_FILE", ca.cert().display().to_string()),
            ("ETCD_PEER_CLIENT_CERT_AUTH", "true".into()),
        ] {
            member.set(name, &value);
        }
    }
    cluster.set_initial(&[1, 2, 3]);
    cluster.start_all();
    founded_once(&mut cluster);
}

fn founded_once(cluster: &mut Cluster) {
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
    assert_eq!(cluster.members_of(1).len(), 3);
    for n in cluster.all() {
        assert_eq!(cluster.member(n).steps(), ["promise"], "n{n}");
    }
}

/// As etcd does, of which the address is one of both families.
#[test]
fn who_listens_on_any_address_is_heard_over_ipv6() {
    let members = Members::new(2);
    let (_held, first) = ports_of_ipv6();
    let ports = [first + 1, first + 2];
    let urls = ports.map(|port| format!("http://[::1]:{port}"));
    let initial = format!("n1={},n2={}", urls[0], urls[1]);
    let mut started = [1, 2].map(|n: u8| {
        let (url, port) = (&urls[n as usize - 1], ports[n as usize - 1]);
        members.start(
            n,
            &[
                ("ETCD_INITIAL_CLUSTER", &initial),
                ("ETCD_INITIAL_ADVERTISE_PEER_URLS", url),
                ("ETCD_LISTEN_PEER_URLS", &format!("http://0.0.0.0:{port}")),
            ],
        )
    });
    for member in &mut started {
        member.wait_reason("first-start-promise");
    }
}

#[test]
fn members_that_were_told_different_things_both_refuse() {
    for (name, value, named) in [
        (
            "ETCD_INITIAL_CLUSTER_TOKEN",
            "another",
            "another ETCD_INITIAL_CLUSTER_TOKEN",
        ),
        ("ETCD_INITIAL_CLUSTER", "", "another ETCD_INITIAL_CLUSTER"),
    ] {
        let members = Members::new(2);
        let initial = members
            .initial()
            .replace("n2=", "n2=http://127.0.0.1:1,n2=");
        let value = if value.is_empty() { &initial } else { value };
        let more = [(
            "ETCD_INITIAL_ADVERTISE_PEER_URLS",
            &*format!("http://127.0.0.1:1,{}", members.peer_url(2)),
        )];
        let mut n1 = members.start(1, &[]);
        n1.wait_reason("not-all-heard");
        let mut second = vec![(name, value)];
        if name == "ETCD_INITIAL_CLUSTER" {
            second.extend(more);
        }
        let mut n2 = members.start(2, &second);
        for member in [&mut n1, &mut n2] {
            assert_eq!(member.process.wait(PATIENCE), 65, "{}", member.log.text());
            assert!(member.log.has_reason("peers-disagree"));
            assert!(member.log.text().contains(named), "{}", member.log.text());
            assert!(!member.log.text().contains("STAND-IN"));
        }
    }
}

#[test]
fn two_that_start_at_the_same_time_see_each_other() {
    let members = Members::new(2);
    let mut both = [members.start(1, &[]), members.start(2, &[])];
    // A stand-in does not answer as etcd: the one that promises last may wait for the other then.
    for member in &mut both {
        member.wait_log("step=promise");
    }
    wait_for("one starts", Duration::from_secs(20), || {
        both.iter()
            .any(|member| member.log.text().contains("STAND-IN"))
    });
}

/// Names get their addresses late, as in a container network that is just being made.
#[test]
#[ignore = "needs user and mount namespaces"]
fn a_peer_whose_name_resolves_late_is_heard_then() {
    let members = Members::new(2);
    let hosts = members.dir.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    let two = members.peer_url(2);
    let named = "http://late-peer.test:2380";
    let initial = members.initial().replace(&two, named);
    let script = format!(
        "mount --bind {} /etc/hosts && exec {}",
        hosts.display(),
        env!("CARGO_BIN_EXE_etcd-rejoin")
    );
    let words = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        &script,
    ];
    let mut env = members.env(1);
    env.insert("ETCD_INITIAL_CLUSTER".into(), initial.clone());
    let mut n1 = members.start_in(&words, 1, &env);
    n1.wait_reason("not-all-heard");
    n1.wait_log("n2 silent");
    let more = [
        ("ETCD_INITIAL_CLUSTER", &*initial),
        ("ETCD_INITIAL_ADVERTISE_PEER_URLS", named),
    ];
    // n2 asks only n1, by its address.
    let n2 = members.start(2, &more);
    let line = format!(
        "127.0.0.1 localhost\n{} late-peer.test\n",
        members.addresses.host(2)
    );
    std::fs::write(&hosts, line).unwrap();
    n1.wait_log("step=promise");
    drop(n2);
}
