//! TLS with client certificates, and users: what the program may not see, it says, and touches nothing.

use crate::support::certs::{Ca, Key};
use crate::support::client::Tls;
use crate::support::{Cluster, Tree, Version, scenarios};

scenarios! {
    each:
        a_lost_disk_behind_tls,
        a_lost_disk_with_users,
        a_lost_disk_with_users_behind_tls;
    both:
        a_certificate_of_a_stranger,
        without_a_user,
        own_data_starts_without_a_user,
        a_certificate_of_a_stranger_beside_data,
        a_lone_first_member_is_called_behind_tls
}

/// Client certificates are wanted on both ports.
fn secured(version: Version) -> Cluster {
    let mut cluster = Cluster::new(version, 3);
    let ca = Ca::new(&cluster.scratch().join("ca"), "ca");
    for n in cluster.all() {
        let host = cluster.addresses.host(n as u8);
        // etcd also compares a client's address with its certificate: on loopback that is 127.0.0.1.
        let hosts = [&host.to_string(), "127.0.0.1"];
        let name = format!("n{n}");
        // With a CN, as most have one: with users it must not be taken for one of them.
        let usage = "serverAuth,clientAuth";
        let cert = ca.sign(&name, Some(&name), &hosts, usage, Key::Pkcs8);
        let client = ca.client(&format!("client{n}"), None);
        let member = cluster.member(n);
        member.move_to(host, "https");
        for (variable, path) in [
            ("ETCD_CERT_FILE", &cert.cert),
            ("ETCD_KEY_FILE", &cert.key),
            ("ETCD_TRUSTED_CA_FILE", &ca.cert()),
            ("ETCD_PEER_CERT_FILE", &cert.cert),
            ("ETCD_PEER_KEY_FILE", &cert.key),
            ("ETCD_PEER_TRUSTED_CA_FILE", &ca.cert()),
        ] {
            member.set(variable, &path.display().to_string());
        }
        member.set("ETCD_CLIENT_CERT_AUTH", "true");
        member.set("ETCD_PEER_CLIENT_CERT_AUTH", "true");
        member.tls = Some(Tls {
            ca: ca.cert(),
            cert: client.cert,
            key: client.key,
        });
    }
    cluster.set_initial(&[1, 2, 3]);
    cluster
}

fn a_lost_disk_behind_tls(version: Version) {
    let mut cluster = secured(version);
    cluster.run();
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.kill9(&[1]);
    cluster.start(&[1]);
    cluster.wait_healthy();
    assert!(cluster.member(1).is_etcd());
    cluster.put_some();
    cluster.verify();
}

/// Grown from one, whose initial cluster still names itself alone when its disk is lost.
fn a_lone_first_member_is_called_behind_tls(version: Version) {
    let mut cluster = secured(version);
    for n in [1, 2, 3] {
        let known: Vec<usize> = (1..=n).collect();
        let initial = cluster.initial(&known);
        cluster.member(n).set("ETCD_INITIAL_CLUSTER", &initial);
        cluster.start(&[n]);
        cluster.wait_healthy_of(&known);
    }
    cluster.put_some();
    cluster.member(1).lose_disk();
    cluster.start(&[1]);
    cluster.member(1).assert_refuses("called-by-a-cluster");
    let all = cluster.initial(&[1, 2, 3]);
    cluster.member(1).set("ETCD_INITIAL_CLUSTER", &all);
    cluster.start(&[1]);
    cluster.wait_healthy();
    cluster.verify();
}

/// n3's certificates are of another CA from now on; what it had is kept for later.
fn estrange(cluster: &mut Cluster) -> Vec<(String, String)> {
    let ca = Ca::new(&cluster.scratch().join("strange"), "strange");
    let host = cluster.addresses.host(3).to_string();
    let cert = ca.server("n3", &[&host, "127.0.0.1"]);
    let member = cluster.member(3);
    let right = member.env.clone().into_iter().collect();
    for variable in ["ETCD_CERT_FILE", "ETCD_PEER_CERT_FILE"] {
        member.set(variable, &cert.cert.display().to_string());
    }
    for variable in ["ETCD_KEY_FILE", "ETCD_PEER_KEY_FILE"] {
        member.set(variable, &cert.key.display().to_string());
    }
    right
}

fn a_certificate_of_a_stranger(version: Version) {
    let mut cluster = secured(version);
    cluster.run();
    let before = cluster.members_of(1);
    cluster.member(3).lose_disk();
    let right = estrange(&mut cluster);
    cluster.start(&[3]);
    cluster.member(3).assert_refuses("not-allowed");
    assert_eq!(cluster.members_of(1), before);
    assert_eq!(
        Tree::of(&cluster.member(3).volume.clone()).files().count(),
        0
    );
    cluster.member(3).env = right.into_iter().collect();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

/// Own data starts: an expired certificate must not turn a restart into a rejoin.
fn a_certificate_of_a_stranger_beside_data(version: Version) {
    let mut cluster = secured(version);
    cluster.run();
    let id = cluster.id(3);
    cluster.kill9(&[3]);
    let right = estrange(&mut cluster);
    cluster.start(&[3]);
    cluster.member(3).wait_reason("nobody-answers");
    assert_eq!(cluster.member(3).steps(), Vec::<String>::new());
    cluster.kill9(&[3]);
    cluster.member(3).env = right.into_iter().collect();
    cluster.start(&[3]);
    cluster.wait_healthy();
    assert_eq!(cluster.id(3), id);
    cluster.verify();
}

/// Authentication is on, root's password is a secret in a file.
fn with_users(mut cluster: Cluster) -> Cluster {
    cluster.run();
    cluster.operator(&["user", "add", "root:secret"]);
    cluster.etcdctl(&["role", "add", "root"]);
    cluster.operator(&["user", "grant-role", "root", "root"]);
    cluster.operator(&["auth", "enable"]);
    for n in cluster.all() {
        cluster.member(n).user = Some(("root".into(), "secret".into()));
    }
    cluster.put_some();
    cluster
}

fn a_lost_disk_with_users(version: Version) {
    heals_with_users(Cluster::new(version, 3));
}

/// With users, etcd's gateway refuses a client certificate that has a CN: ours has none.
fn a_lost_disk_with_users_behind_tls(version: Version) {
    let mut cluster = secured(version);
    let member = cluster.member(3);
    let client = member.tls.clone().unwrap();
    member.set("REJOIN_CERT", &client.cert.display().to_string());
    member.set("REJOIN_KEY", &client.key.display().to_string());
    heals_with_users(cluster);
}

fn heals_with_users(cluster: Cluster) {
    let mut cluster = with_users(cluster);
    let file = cluster.scratch().join("password");
    std::fs::write(&file, "secret\n").unwrap();
    cluster.set("REJOIN_USER", "root");
    cluster.set("REJOIN_PASSWORD_FILE", &file.display().to_string());
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
    let log = cluster.member(3).log.text();
    assert!(!log.contains("secret"), "the password stands in the log");
}

fn without_a_user(version: Version) {
    let mut cluster = with_users(Cluster::new(version, 3));
    let before = cluster.members_of(1);
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster.member(3).assert_refuses("not-allowed");
    assert!(cluster.member(3).log.text().contains("REJOIN_USER"));
    assert_eq!(cluster.members_of(1), before);
    // A wrong password is no better.
    cluster.member(3).set("REJOIN_USER", "root");
    cluster.member(3).set("REJOIN_PASSWORD", "wrong");
    cluster.start(&[3]);
    cluster.member(3).assert_refuses("not-allowed");
    assert_eq!(cluster.members_of(1), before);
    cluster.member(3).set("REJOIN_PASSWORD", "secret");
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

/// Also where its peer URL has changed, and it may not publish that.
fn own_data_starts_without_a_user(version: Version) {
    let mut cluster = with_users(Cluster::new(version, 3));
    let id = cluster.id(3);
    cluster.kill9(&[3]);
    cluster.start(&[3]);
    cluster.wait_healthy();
    assert!(cluster.member(3).is_etcd());
    cluster.kill9(&[3]);
    let host = cluster.addresses.host(33);
    cluster.member(3).move_to(host, "http");
    let initial = cluster.initial(&[1, 2, 3]);
    cluster.member(3).set("ETCD_INITIAL_CLUSTER", &initial);
    cluster.start(&[3]);
    cluster.wait_healthy();
    assert_eq!(cluster.id(3), id);
    cluster.put_some();
    cluster.verify();
}
