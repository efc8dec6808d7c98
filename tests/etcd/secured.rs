//! TLS with client certificates, and users: what the program may not see, it says, and touches nothing.

use std::fs;
use std::time::Duration;

use crate::promoted::{is_learner, killed_as_a_learner};
use crate::support::certs::{Ca, Cert, Key};
use crate::support::client::Tls;
use crate::support::{Cluster, PATIENCE, Tree, Version, executable, files, scenarios, wait_for};

scenarios! {
    each:
        a_lost_disk_behind_tls,
        a_lost_disk_with_users,
        a_lost_disk_with_users_behind_tls;
    both:
        a_certificate_of_a_stranger,
        a_lost_disk_beside_a_peer_with_a_strange_certificate,
        one_certificate_that_is_its_own_ca,
        peers_go_from_http_to_https_one_at_a_time,
        without_a_user,
        own_data_starts_without_a_user,
        a_certificate_of_a_stranger_beside_data,
        a_key_that_only_etcd_knows,
        another_member_at_an_advertised_url_is_not_ours,
        a_learner_without_a_client_url_of_its_own_is_promoted,
        a_lone_first_member_is_called_behind_tls,
        a_lone_first_member_is_called_in_words_that_it_cannot_read;
}

/// Client certificates are wanted on both ports.
fn secured(version: Version) -> Cluster {
    let cluster = Cluster::new(version, 3);
    let ca = Ca::new(&cluster.scratch().join("ca"), "ca");
    secured_by(cluster, &ca, |name, hosts| {
        // With a CN, as most have one: with users it must not be taken for one of them.
        let usage = "serverAuth,clientAuth";
        ca.sign(name, Some(name), hosts, usage, Key::Pkcs8)
    })
}

/// With the certificate that each member is given for its name and addresses.
fn secured_by(
    mut cluster: Cluster,
    ca: &Ca,
    certificate: impl Fn(&str, &[&str]) -> Cert,
) -> Cluster {
    for n in cluster.all() {
        let host = cluster.addresses.host(n as u8);
        // etcd also compares a client's address with its certificate: on loopback that is 127.0.0.1.
        let hosts = [&host.to_string(), "127.0.0.1"];
        let cert = certificate(&format!("n{n}"), &hosts);
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
    heals(secured(version));
}

/// Word for word what `docs/tls-and-users.md` says, beside a client that writes.
fn peers_go_from_http_to_https_one_at_a_time(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let ca = Ca::new(&cluster.scratch().join("ca"), "ca");
    let writer = cluster.writer(&[1, 2, 3]);
    let restart = |cluster: &mut Cluster, n: usize| {
        cluster.member(n).sigterm();
        cluster.start(&[n]);
        cluster.wait_healthy();
    };
    // Everybody can show a certificate, and knows the CA, before anybody asks for one.
    for n in [1, 2, 3] {
        let host = cluster.addresses.host(n as u8).to_string();
        let usage = "serverAuth,clientAuth";
        let hosts = [&*host, "127.0.0.1"];
        let cert = ca.sign(&format!("n{n}"), None, &hosts, usage, Key::Pkcs8);
        for (variable, path) in [
            ("ETCD_PEER_CERT_FILE", &cert.cert),
            ("ETCD_PEER_KEY_FILE", &cert.key),
            ("ETCD_PEER_TRUSTED_CA_FILE", &ca.cert()),
        ] {
            cluster.member(n).set(variable, &path.display().to_string());
        }
        restart(&mut cluster, n);
    }
    for n in [1, 2, 3] {
        for variable in ["ETCD_LISTEN_PEER_URLS", "ETCD_INITIAL_ADVERTISE_PEER_URLS"] {
            let url = cluster.member(n).env[variable].replace("http://", "https://");
            cluster.member(n).set(variable, &url);
        }
        let initial = cluster.initial(&[1, 2, 3]);
        cluster.member(n).set("ETCD_INITIAL_CLUSTER", &initial);
        restart(&mut cluster, n);
        cluster.member(n).wait_log("peer-urls-changed");
    }
    cluster.set_initial(&[1, 2, 3]);
    for n in [1, 2, 3] {
        cluster.member(n).set("ETCD_PEER_CLIENT_CERT_AUTH", "true");
        restart(&mut cluster, n);
    }
    writer.stop();
    let listed = cluster.etcdctl(&["member", "list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.matches("https://").count(), 3, "{listed}");
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

/// One file is certificate and CA of all: what a person makes who wants just TLS.
fn one_certificate_that_is_its_own_ca(version: Version) {
    let cluster = Cluster::new(version, 3);
    let hosts = [1, 2, 3].map(|n| cluster.addresses.host(n).to_string());
    let hosts: Vec<&str> = (hosts.iter().map(String::as_str))
        .chain(["127.0.0.1"])
        .collect();
    let (ca, cert) = Ca::alone(&cluster.scratch().join("ca"), &hosts);
    heals(secured_by(cluster, &ca, |_, _| cert.clone()));
}

fn heals(mut cluster: Cluster) {
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

/// Three members behind TLS; the initial cluster of the first names itself alone.
fn grown_from_one(version: Version) -> Cluster {
    let mut cluster = secured(version);
    for n in [1, 2, 3] {
        let known: Vec<usize> = (1..=n).collect();
        let initial = cluster.initial(&known);
        cluster.member(n).set("ETCD_INITIAL_CLUSTER", &initial);
        cluster.start(&[n]);
        cluster.wait_healthy_of(&known);
    }
    cluster.put_some();
    cluster
}

/// Its initial cluster still names itself alone when its disk is lost.
fn a_lone_first_member_is_called_behind_tls(version: Version) {
    let mut cluster = grown_from_one(version);
    cluster.member(1).lose_disk();
    cluster.start(&[1]);
    cluster.member(1).assert_refuses("called-by-a-cluster");
    let all = cluster.initial(&[1, 2, 3]);
    cluster.member(1).set("ETCD_INITIAL_CLUSTER", &all);
    cluster.start(&[1]);
    cluster.wait_healthy();
    cluster.verify();
}

/// The same with a peer CA that was built anew, and with http where the others have https.
fn a_lone_first_member_is_called_in_words_that_it_cannot_read(version: Version) {
    let mut cluster = grown_from_one(version);
    let right = cluster.member(1).env.clone();
    let ca = Ca::new(&cluster.scratch().join("new"), "new");
    let host = cluster.addresses.host(1).to_string();
    let usage = "serverAuth,clientAuth";
    let cert = ca.sign("new", None, &[&host, "127.0.0.1"], usage, Key::Pkcs8);
    let member = cluster.member(1);
    member.lose_disk();
    for (variable, path) in [
        ("ETCD_PEER_CERT_FILE", &cert.cert),
        ("ETCD_PEER_KEY_FILE", &cert.key),
        ("ETCD_PEER_TRUSTED_CA_FILE", &ca.cert()),
    ] {
        member.set(variable, &path.display().to_string());
    }
    cluster.start(&[1]);
    cluster.member(1).assert_refuses("called-by-a-cluster");
    let log = cluster.member(1).log.text();
    assert!(log.contains("failed in its TLS handshake here"), "{log}");
    let plain = format!("http://{host}:2380");
    let member = cluster.member(1);
    for variable in ["ETCD_LISTEN_PEER_URLS", "ETCD_INITIAL_ADVERTISE_PEER_URLS"] {
        member.set(variable, &plain);
    }
    member.set("ETCD_INITIAL_CLUSTER", &format!("n1={plain}"));
    for file in [
        "CERT_FILE",
        "KEY_FILE",
        "TRUSTED_CA_FILE",
        "CLIENT_CERT_AUTH",
    ] {
        member.unset(&format!("ETCD_PEER_{file}"));
    }
    cluster.start(&[1]);
    cluster.member(1).assert_refuses("called-by-a-cluster");
    let log = cluster.member(1).log.text();
    assert!(
        log.contains("speaks TLS here, and this port is plain http"),
        "{log}"
    );
    cluster.member(1).env = right;
    cluster.set_initial(&[1, 2, 3]);
    cluster.start(&[1]);
    cluster.wait_healthy();
    cluster.verify();
}

/// n3's certificates are of another CA from now on; what it had is kept for later.
fn estrange(cluster: &mut Cluster) -> Vec<(String, String)> {
    let ca = Ca::new(&cluster.scratch().join("strange"), "strange");
    certify(cluster, &ca, Key::Pkcs8)
}

/// n3 has another certificate from now on; what it had is kept for later.
fn certify(cluster: &mut Cluster, ca: &Ca, key: Key) -> Vec<(String, String)> {
    let host = cluster.addresses.host(3).to_string();
    let usage = "serverAuth,clientAuth";
    let cert = ca.sign("other", None, &[&host, "127.0.0.1"], usage, key);
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

/// Its connections to the others stay, as after its certificate has expired; nobody makes a new one.
fn a_lost_disk_beside_a_peer_with_a_strange_certificate(version: Version) {
    let mut cluster = secured(version);
    let strange = Ca::new(&cluster.scratch().join("strange"), "strange");
    // etcd reads these at each handshake; those of the client port stay.
    let files: Vec<_> = [1, 2, 3]
        .map(|n| {
            let member = cluster.member(n);
            let copy = |variable: &str| {
                let to = member.volume.with_extension(variable);
                fs::copy(&member.env[variable], &to).unwrap();
                to
            };
            let files = ["ETCD_PEER_CERT_FILE", "ETCD_PEER_KEY_FILE"].map(copy);
            member.set("ETCD_PEER_CERT_FILE", &files[0].display().to_string());
            member.set("ETCD_PEER_KEY_FILE", &files[1].display().to_string());
            files
        })
        .into();
    cluster.run();
    let leader = cluster.leader();
    let others: Vec<usize> = (1..=3).filter(|n| *n != leader).collect();
    let (refuses, lost) = (others[0], others[1]);
    let host = cluster.addresses.host(refuses as u8).to_string();
    let usage = "serverAuth,clientAuth";
    let cert = strange.sign("peer", None, &[&host, "127.0.0.1"], usage, Key::Pkcs8);
    let [own_cert, own_key] = &files[refuses - 1];
    let right = [own_cert, own_key].map(|path| fs::read(path).unwrap());
    fs::copy(&cert.cert, own_cert).unwrap();
    fs::copy(&cert.key, own_key).unwrap();
    cluster.member(lost).lose_disk();
    cluster.start(&[lost]);
    cluster.wait_healthy();
    let said = format!("n{refuses} refuses us: https://{host}:2380");
    cluster.member(lost).wait_log(&said);
    assert!(cluster.member(lost).log.has_reason("data-lost"));
    let status = cluster.member(lost).ask(&["status"]);
    assert!(status.contains(&said), "{status}");
    cluster.put_some();
    fs::write(own_cert, &right[0]).unwrap();
    fs::write(own_key, &right[1]).unwrap();
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

/// etcd knows it, so own data starts; but nobody can be asked with it, so nothing else is done.
fn a_key_that_only_etcd_knows(version: Version) {
    let mut cluster = secured(version);
    cluster.run();
    let id = cluster.id(3);
    cluster.kill9(&[3]);
    let ca = Ca::of(&cluster.scratch().join("ca"));
    let right = certify(&mut cluster, &ca, Key::P521);
    cluster.start(&[3]);
    cluster.wait_healthy();
    assert_eq!(cluster.id(3), id);
    cluster.put_some();
    let before = cluster.members_of(1);
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    assert_eq!(cluster.member(3).wait_exit(Duration::from_secs(10)), 78);
    cluster.member(3).wait_log("known are ECDSA on P-256");
    assert_eq!(cluster.members_of(1), before);
    cluster.member(3).env = right.into_iter().collect();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

/// As behind a balancer: what n1 answers there says nothing of an etcd on trial that is about to end.
fn another_member_at_an_advertised_url_is_not_ours(version: Version) {
    let mut cluster = secured(version);
    cluster.run();
    // A leader remembers how far its followers were; a follower that leads forgets it in the election.
    let n = if cluster.leader() == 3 { 2 } else { 3 };
    cluster.kill9(&[n]);
    let volume = cluster.member(n).volume.clone();
    let copy = cluster.scratch().join("old");
    files::copy(&volume, &copy);
    cluster.start(&[n]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.kill9(&[n]);
    files::wipe(&volume);
    files::copy(&copy, &volume);
    let urls = [
        cluster.member(n).client_url(),
        cluster.member(1).client_url(),
    ]
    .join(",");
    // With a large database etcd takes that long, and n1 has answered before.
    let slow = cluster.scratch().join("slow-etcd");
    let etcd = cluster.member(n).env["REJOIN_ETCD"].clone();
    let script = format!("#!/bin/sh\nsleep 0.7\nexec {etcd} \"$@\"\n");
    executable(&slow, script);
    let member = cluster.member(n);
    member.set("ETCD_ADVERTISE_CLIENT_URLS", &urls);
    member.set("REJOIN_ETCD", &slow.display().to_string());
    cluster.start(&[n]);
    let member = cluster.member(n);
    wait_for("it sees what etcd died of", PATIENCE, || {
        if member.process().code().is_some() {
            member.start();
        }
        member.log.has_reason("data-behind")
    });
    // For the questions of this test; its etcd has got both.
    let own = member.initial().replace("2380", "2379");
    let (_, own) = own.split_once('=').unwrap();
    member.set("ETCD_ADVERTISE_CLIENT_URLS", own);
    cluster.wait_healthy();
    cluster.verify();
}

/// Its certificate names another host than the one that it listens at, and nothing leads there from here.
fn a_learner_without_a_client_url_of_its_own_is_promoted(version: Version) {
    let mut cluster = secured(version);
    cluster.run();
    let ca = Ca::of(&cluster.scratch().join("ca"));
    let elsewhere = cluster.addresses.host(99).to_string();
    let usage = "serverAuth,clientAuth";
    let cert = ca.sign(
        "elsewhere",
        None,
        &[&elsewhere, "127.0.0.1"],
        usage,
        Key::Pkcs8,
    );
    let member = cluster.member(3);
    let right = member.env.clone();
    member.set("ETCD_CERT_FILE", &cert.cert.display().to_string());
    member.set("ETCD_KEY_FILE", &cert.key.display().to_string());
    let url = format!("https://{elsewhere}:2379");
    member.set("ETCD_ADVERTISE_CLIENT_URLS", &url);
    member.set("REJOIN_AS", "learner");
    killed_as_a_learner(&mut cluster);
    cluster.start(&[3]);
    wait_for("it is a voter", PATIENCE, || !is_learner(&mut cluster));
    assert!(cluster.member(3).log.has_reason("own-learner"));
    cluster.kill9(&[3]);
    cluster.member(3).env = right;
    cluster.start(&[3]);
    cluster.wait_healthy();
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
