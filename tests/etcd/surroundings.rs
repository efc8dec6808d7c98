//! What stands around a member: disks, ports, settings, signals. None of it is a reason to touch data.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Cluster, PATIENCE, Tree, Version, addresses, files, scenarios};

scenarios! {
    each:
        port_in_use_beside_data,
        addresses_of_ipv6_and_several_urls;
    both:
        port_in_use_beside_a_lost_disk,
        an_address_that_is_gone_beside_a_lost_disk,
        flags_instead_of_variables,
        a_flag_that_etcd_does_not_know,
        an_etcd_of_another_version_beside_a_lost_disk,
        a_read_only_volume,
        a_full_disk_beside_a_lost_disk,
        a_full_disk_beside_damaged_data,
        a_note_that_cannot_be_written,
        client_urls_that_are_not_advertised,
        a_wal_dir_that_was_changed,
        a_wal_dir_that_was_forgotten,
        a_wal_dir_with_something_else_in_it,
        a_wal_dir_that_is_a_mount_point,
        damaged_data_on_a_mount_point,
        stopped_while_waiting,
        peer_url_changed_while_down,
        a_peer_url_that_leads_elsewhere_is_not_published,
        a_lost_disk_with_a_peer_url_that_leads_nowhere,
        peer_port_in_use,
        metrics_port_in_use_beside_a_lost_disk,
        a_url_that_another_member_lists_twice_beside_a_lost_disk,
        an_unresolvable_peer_beside_data,
        a_config_file,
        a_full_disk_beside_data,
        waited_as_long_as_allowed,
        mistakes_in_the_settings,
        status_says_what_would_be_done,
        etcd_that_does_not_exist;
}

/// Starts member 3 where it cannot run; nothing on its volume may change, nor in the cluster.
#[track_caller]
fn fails_untouched(cluster: &mut Cluster) -> i32 {
    let volume = cluster.member(3).volume.clone();
    let (before, members) = (Tree::of(&volume), cluster.members_of(1));
    cluster.start(&[3]);
    let code = cluster.member(3).wait_exit(PATIENCE);
    Tree::of(&volume).assert_is(&before);
    assert_eq!(cluster.members_of(1), members);
    code
}

/// etcd joins no cluster that is newer than itself; one that is newer by a minor version joins.
fn an_etcd_of_another_version_beside_a_lost_disk(version: Version) {
    let next = |other: &Version| other.minor() == version.minor() + 1;
    let other = match version == Version::oldest() {
        true => Version::all().into_iter().rfind(next).unwrap(),
        false => Version::oldest(),
    };
    let mut cluster = Cluster::running(version, 3);
    let (etcd, another) = [version, other]
        .map(|version| version.etcd().display().to_string())
        .into();
    cluster.member(3).lose_disk();
    cluster.member(3).set("REJOIN_ETCD", &another);
    if version == Version::oldest() {
        cluster.start(&[3]);
        cluster.wait_healthy();
        cluster.verify();
        return;
    }
    assert_eq!(fails_untouched(&mut cluster), 74);
    let log = &cluster.member(3).log;
    assert!(log.has_reason("cannot-start"));
    let [major, minor, _] = version.number();
    let why = format!(" does not join a cluster of version {major}.{minor}: ");
    assert!(log.text().contains(&why));
    assert!(cluster.member(3).ask(&["status"]).contains(&why));
    // It is so: what joins by hand ends.
    let peer_url = cluster.member(3).peer_url();
    let id = format!(
        "{:x}",
        cluster
            .members_of(1)
            .iter()
            .find(|m| m.name == "n3")
            .unwrap()
            .id
    );
    cluster.operator(&["member", "remove", &id]);
    cluster.operator(&["member", "add", "n3", &format!("--peer-urls={peer_url}")]);
    cluster
        .member(3)
        .set("ETCD_INITIAL_CLUSTER_STATE", "existing");
    let program = other.etcd();
    cluster
        .member(3)
        .spawn(&program, &[], |key| key.starts_with("ETCD_"));
    assert_eq!(cluster.member(3).wait_exit(PATIENCE), 1);
    let said = cluster.member(3).log.text();
    assert!(said.contains("incompatible with current running cluster"));
    files::wipe(&cluster.member(3).volume.clone());
    // With the etcd of the others all is well.
    cluster
        .member(3)
        .set("REJOIN_ETCD", &etcd)
        .set("ETCD_INITIAL_CLUSTER_STATE", "new");
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

fn port(cluster: &Cluster, n: u8, port: u16) -> TcpListener {
    TcpListener::bind((cluster.addresses.host(n), port)).unwrap()
}

fn addresses_of_ipv6_and_several_urls(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    let (_held, first) = addresses::ports_of_ipv6();
    for n in cluster.all() {
        let (peer, client) = (first + n as u16, first + 3 + n as u16);
        let host = cluster.addresses.host(n as u8);
        let (peer, client) = (
            format!("http://[::1]:{peer}"),
            format!("http://[::1]:{client}"),
        );
        let member = cluster.member(n);
        for (key, first, second) in [
            ("ETCD_LISTEN_PEER_URLS", &peer, 2380),
            ("ETCD_INITIAL_ADVERTISE_PEER_URLS", &peer, 2380),
            ("ETCD_LISTEN_CLIENT_URLS", &client, 2379),
        ] {
            member.set(key, &format!("{first},http://{host}:{second}"));
        }
        member.set("ETCD_ADVERTISE_CLIENT_URLS", &client);
    }
    let initial: Vec<String> = (cluster.all().into_iter())
        .flat_map(|n| {
            let member = cluster.member(n);
            let urls: Vec<String> = member.peer_url().split(',').map(String::from).collect();
            let name = member.name.clone();
            urls.into_iter().map(move |url| format!("{name}={url}"))
        })
        .collect();
    cluster.set("ETCD_INITIAL_CLUSTER", &initial.join(","));
    cluster.run();
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

fn port_in_use_beside_data(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[3]);
    let listener = port(&cluster, 3, 2379);
    let volume = cluster.member(3).volume.clone();
    let before = Tree::of(&volume);
    for _ in 0..2 {
        cluster.start(&[3]);
        assert_eq!(cluster.member(3).wait_exit(PATIENCE), 1, "etcd's own code");
        assert!(
            cluster
                .member(3)
                .log
                .text()
                .contains("address already in use")
        );
        assert_eq!(cluster.member(3).steps(), Vec::<String>::new());
    }
    // etcd itself may note its start in files of its own; the program's records are as they were.
    let now = Tree::of(&volume);
    assert!(
        before
            .files()
            .all(|file| now.files().any(|other| other == file))
    );
    addresses::free(listener);
    cluster.start(&[3]);
    cluster.wait_healthy();
    assert_eq!(cluster.member(3).steps(), Vec::<String>::new());
    cluster.verify();
}

/// What `status --json` of member 3 says.
#[track_caller]
fn status(cluster: &mut Cluster) -> serde_json::Value {
    // It may have been the leader.
    cluster.wait_healthy_of(&[1, 2]);
    let output = cluster.member(3).ask(&["status", "--json"]);
    serde_json::from_str(&output).unwrap()
}

/// Where etcd could not listen its place in the cluster stays; `status` says the same before and after.
#[track_caller]
fn hindered_beside_a_lost_disk(cluster: &mut Cluster, words: &[&str]) {
    let told = status(cluster);
    assert_eq!(told["reason"], "cannot-start", "{told}");
    assert_eq!(told["decision"], "refuse", "{told}");
    assert_eq!(fails_untouched(cluster), 74);
    let log = &cluster.member(3).log;
    assert!(log.has_reason("cannot-start"));
    for word in words {
        assert!(log.text().contains(word), "the log lacks {word}");
        assert!(told["why"].as_str().unwrap().contains(word), "{told}");
    }
}

/// With its surroundings in order it comes back, and its own etcd hinders nothing.
#[track_caller]
fn heals_unhindered(cluster: &mut Cluster) {
    assert_eq!(status(cluster)["reason"], "data-lost");
    cluster.start(&[3]);
    cluster.wait_healthy();
    let told = status(cluster);
    assert_eq!(told["decision"], "none", "{told}");
    assert_ne!(told["reason"], "cannot-start", "{told}");
    cluster.verify();
}

fn port_in_use_beside_a_lost_disk(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.member(3).lose_disk();
    let listener = port(&cluster, 3, 2379);
    hindered_beside_a_lost_disk(&mut cluster, &["2379", "in use"]);
    addresses::free(listener);
    heals_unhindered(&mut cluster);
}

/// The data is elsewhere, as the flag that should say so is misspelt: no reason to leave the cluster.
fn a_flag_that_etcd_does_not_know(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let volume = cluster.member(3).volume.clone();
    cluster.kill9(&[3]);
    let elsewhere = cluster.scratch().join("elsewhere").display().to_string();
    cluster.member(3).set("ETCD_DATA_DIR", &elsewhere);
    cluster.member(3).args = vec![format!("--datadir={}", volume.display())];
    assert_eq!(fails_untouched(&mut cluster), 74);
    let log = &cluster.member(3).log;
    assert!(log.has_reason("cannot-start") && log.text().contains("-datadir"));
    cluster.member(3).args = vec![format!("--data-dir={}", volume.display())];
    cluster.member(3).unset("ETCD_DATA_DIR");
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

/// No etcd joins then, and the member would have lost its place for nothing.
fn a_url_that_another_member_lists_twice_beside_a_lost_disk(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let (id, url) = (format!("{:x}", cluster.id(1)), cluster.member(1).peer_url());
    let update = |cluster: &mut Cluster, urls: &str| {
        cluster.operator(&["member", "update", &id, &format!("--peer-urls={urls}")])
    };
    update(&mut cluster, &format!("{url},{url}"));
    cluster.member(3).lose_disk();
    assert_eq!(status(&mut cluster)["reason"], "url-listed-twice");
    assert_eq!(fails_untouched(&mut cluster), 65);
    let cure = format!("run `etcdctl member update {id} --peer-urls={url}`");
    assert!(cluster.member(3).log.text().contains(&cure));
    update(&mut cluster, &url);
    heals_unhindered(&mut cluster);
}

fn metrics_port_in_use_beside_a_lost_disk(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    // As kubeadm has it.
    let url = format!("http://{}:2381", cluster.addresses.host(3));
    cluster.member(3).set("ETCD_LISTEN_METRICS_URLS", &url);
    cluster.run();
    cluster.member(3).lose_disk();
    let listener = port(&cluster, 3, 2381);
    hindered_beside_a_lost_disk(&mut cluster, &[&url, "in use"]);
    addresses::free(listener);
    heals_unhindered(&mut cluster);
}

/// The machine has another address since: etcd could not listen at the one in its settings.
fn an_address_that_is_gone_beside_a_lost_disk(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.member(3).lose_disk();
    let right = cluster.member(3).env["ETCD_LISTEN_CLIENT_URLS"].clone();
    let gone = "http://192.0.2.1:2379";
    cluster.member(3).set("ETCD_LISTEN_CLIENT_URLS", gone);
    hindered_beside_a_lost_disk(&mut cluster, &[gone, "no interface"]);
    cluster.member(3).set("ETCD_LISTEN_CLIENT_URLS", &right);
    heals_unhindered(&mut cluster);
}

fn peer_port_in_use(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.member(3).lose_disk();
    let listener = port(&cluster, 3, 2380);
    assert_eq!(fails_untouched(&mut cluster), 74);
    addresses::free(listener);
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

fn an_unresolvable_peer_beside_data(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[1, 3]);
    let initial = format!(
        "{},n4=http://nowhere.invalid:2380",
        cluster.initial(&[1, 2, 3])
    );
    cluster.member(3).set("ETCD_INITIAL_CLUSTER", &initial);
    cluster.start(&[1, 3]);
    cluster.wait_healthy();
    assert!(cluster.member(3).is_etcd());
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// The variables of etcd among the settings: the test still reads them, the member does not get them.
fn etcds_own(env: &BTreeMap<String, String>) -> Vec<String> {
    let keys = env.keys().filter(|key| key.starts_with("ETCD_"));
    keys.cloned().collect()
}

/// As kubeadm writes it: every setting is a flag, and none a variable.
fn flags_instead_of_variables(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    for n in cluster.all() {
        let member = cluster.member(n);
        member.args = vec!["etcd".into()];
        member.hidden = etcds_own(&member.env);
        for key in &member.hidden {
            let flag = key["ETCD_".len()..].to_lowercase().replace('_', "-");
            member.args.push(format!("--{flag}={}", member.env[key]));
        }
    }
    cluster.run();
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// etcd ignores every flag and variable beside a configuration file; so does the program. What etcd reads as
/// a boolean or a number is one in its private copy too.
fn a_config_file(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    for n in cluster.all() {
        let path = cluster.scratch().join(format!("n{n}.yaml"));
        let member = cluster.member(n);
        member.hidden = etcds_own(&member.env);
        let mut text =
            String::from("enable-grpc-gateway: yes\nquota-backend-bytes: 2_147_483_648\n");
        for key in &member.hidden {
            let name = key["ETCD_".len()..].to_lowercase().replace('_', "-");
            text += &format!("{name}: {}\n", member.env[key]);
        }
        std::fs::write(&path, text).unwrap();
        match n {
            1 => member.args = vec!["--config-file".into(), path.display().to_string()],
            _ => drop(member.set("ETCD_CONFIG_FILE", &path.display().to_string())),
        }
    }
    cluster.run();
    for n in [1, 3] {
        cluster.member(n).lose_disk();
        cluster.start(&[n]);
        cluster.wait_healthy();
    }
    cluster.put_some();
    cluster.verify();
}

/// A mount on a directory, gone with the value.
struct Mount(std::path::PathBuf);

impl Mount {
    fn new(at: &std::path::Path, args: &[&str]) -> Self {
        let done = Command::new("mount").args(args).arg(at).status().unwrap();
        assert!(done.success(), "mount {args:?}: these tests need root");
        Mount(at.to_path_buf())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// etcd removes what is in it, our notes too, and ends: each start would remove and add the member again.
fn a_wal_dir_that_is_a_mount_point(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.member(3).lose_disk();
    let wal = cluster.scratch().join("wal3");
    std::fs::create_dir(&wal).unwrap();
    let shown = wal.display().to_string();
    let mount = Mount::new(&wal, &["--bind", &shown]);
    cluster.member(3).set("ETCD_WAL_DIR", &shown);
    hindered_beside_a_lost_disk(&mut cluster, &["mount point", "wal3"]);
    let within = wal.join("n3").display().to_string();
    cluster.member(3).set("ETCD_WAL_DIR", &within);
    heals_unhindered(&mut cluster);
    cluster.kill9(&[3]);
    drop(mount);
}

/// Damaged data that cannot be set aside stays a member's: else each start would find it removed.
fn damaged_data_on_a_mount_point(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[3]);
    let member = cluster.member(3).volume.join("member");
    let wal = files::wal_files(&member.join("wal"));
    files::damage(&wal[0], files::Damage::FlippedHead);
    let mount = Mount::new(&member, &["--bind", &member.display().to_string()]);
    hindered_beside_a_lost_disk(&mut cluster, &["mount point", "aside"]);
    assert_eq!(cluster.members_of(1).len(), 3);
    drop(mount);
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

fn a_read_only_volume(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[3]);
    let volume = cluster.member(3).volume.clone();
    let mount = Mount::new(&volume, &["--bind", &volume.display().to_string()]);
    Command::new("mount")
        .args(["-o", "remount,ro,bind"])
        .arg(&volume)
        .status()
        .unwrap();
    let code = fails_untouched(&mut cluster);
    assert!([1, 74].contains(&code), "ended with {code}");
    let said = cluster.member(3).log.text().to_lowercase();
    assert!(
        said.contains("read-only file system"),
        "the cause is not named"
    );
    drop(mount);
    cluster.start(&[3]);
    cluster.wait_healthy();
    assert_eq!(cluster.member(3).steps(), Vec::<String>::new());
    cluster.verify();
}

fn a_full_disk_beside_a_lost_disk(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.member(3).lose_disk();
    let volume = cluster.member(3).volume.clone();
    let mount = Mount::new(&volume, &["-t", "tmpfs", "-o", "size=1m", "tmpfs"]);
    assert_eq!(fails_untouched(&mut cluster), 74);
    cluster.member(3).kill9();
    drop(mount);
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

/// etcd does not start without them, and says so only then.
fn client_urls_that_are_not_advertised(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.member(3).lose_disk();
    let url = cluster.member(3).client_url();
    cluster.member(3).unset("ETCD_ADVERTISE_CLIENT_URLS");
    let missing = "ETCD_ADVERTISE_CLIENT_URLS is missing";
    hindered_beside_a_lost_disk(&mut cluster, &[missing]);
    cluster.member(3).set("ETCD_ADVERTISE_CLIENT_URLS", &url);
    heals_unhindered(&mut cluster);
}

/// Nothing is added that could not be noted: no start could use it, and each would add another.
fn a_note_that_cannot_be_written(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.member(3).lose_disk();
    let volume = cluster.member(3).volume.clone();
    let in_the_way = volume.join("member/wal/rejoin-join.tmp");
    std::fs::create_dir_all(in_the_way.join("x")).unwrap();
    for _ in 0..2 {
        cluster.start(&[3]);
        assert_eq!(cluster.member(3).wait_exit(PATIENCE), 74);
        assert!(cluster.member(3).log.text().contains("rejoin-join"));
        assert_eq!(cluster.members_of(1).len(), 2);
    }
    std::fs::remove_dir_all(&in_the_way).unwrap();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

/// However little is in the database: the WAL lies where it lay before, and that is said.
fn a_wal_dir_that_was_changed(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[3]);
    let other = cluster.scratch().join("other").display().to_string();
    cluster.member(3).set("ETCD_WAL_DIR", &other);
    assert_eq!(fails_untouched(&mut cluster), 74);
    assert!(cluster.member(3).log.has_reason("wal-elsewhere"));
    assert!(cluster.member(3).log.text().contains("drop ETCD_WAL_DIR"));
    cluster.member(3).unset("ETCD_WAL_DIR");
    cluster.start(&[3]);
    cluster.wait_healthy();
    assert_eq!(cluster.member(3).steps(), Vec::<String>::new());
    cluster.verify();
}

/// Where the WAL lay is noted. Also without the note a database without its WAL founds nothing, however little
/// is in it.
fn a_wal_dir_that_was_forgotten(version: Version) {
    let mut cluster = Cluster::new(version, 1);
    let wal = cluster.scratch().join("wal").display().to_string();
    cluster.member(1).set("ETCD_WAL_DIR", &wal);
    cluster.run();
    cluster.kill9(&[1]);
    cluster.member(1).unset("ETCD_WAL_DIR");
    cluster.start(&[1]);
    assert_eq!(cluster.member(1).wait_exit(PATIENCE), 74);
    assert!(cluster.member(1).log.has_reason("wal-elsewhere"));
    let named = format!("set ETCD_WAL_DIR={wal}");
    assert!(cluster.member(1).log.text().contains(&named));
    let note = cluster.member(1).volume.join("member/rejoin-wal-dir");
    std::fs::remove_file(note).unwrap();
    cluster.start(&[1]);
    cluster.member(1).assert_refuses("data-set-aside");
    cluster.member(1).set("ETCD_WAL_DIR", &wal);
    cluster.start(&[1]);
    cluster.wait_healthy();
    cluster.verify();
}

/// etcd would delete it.
fn a_wal_dir_with_something_else_in_it(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.member(3).lose_disk();
    let wal = cluster.scratch().join("wal");
    std::fs::create_dir(&wal).unwrap();
    std::fs::write(wal.join("letter"), "dear").unwrap();
    let shown = wal.display().to_string();
    cluster.member(3).set("ETCD_WAL_DIR", &shown);
    assert_eq!(fails_untouched(&mut cluster), 74);
    assert!(cluster.member(3).log.has_reason("wal-dir-not-empty"));
    assert!(cluster.member(3).log.text().contains("letter"));
    assert!(wal.join("letter").exists());
    let own = wal.join("n3").display().to_string();
    cluster.member(3).set("ETCD_WAL_DIR", &own);
    cluster.start(&[3]);
    cluster.wait_healthy();
    assert!(wal.join("letter").exists());
    cluster.verify();
}

/// Its old data is kept, and the others send as much again: without room for both it keeps its place.
fn a_full_disk_beside_damaged_data(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    let volume = cluster.member(3).volume.clone();
    let mount = Mount::new(&volume, &["-t", "tmpfs", "-o", "size=300m", "tmpfs"]);
    cluster.run();
    for n in 0..40 {
        let value = "x".repeat(500_000);
        cluster
            .client(1)
            .put(&format!("large-{n}"), &value)
            .unwrap();
    }
    cluster.wait_healthy();
    cluster.kill9(&[3]);
    let wal = files::wal_files(&volume.join("member/wal")).remove(0);
    files::damage(&wal, files::Damage::FlippedMiddle);
    let filler = volume.join("filler");
    let free = || {
        let space = rustix::fs::statvfs(&volume).unwrap();
        (space.f_bavail * space.f_frsize) as usize
    };
    // Enough for a new member, and not for one with this database.
    std::fs::write(&filler, vec![1; free() - (70 << 20)]).unwrap();
    assert_eq!(fails_untouched(&mut cluster), 74);
    assert!(cluster.member(3).log.has_reason("cannot-start"));
    assert!(cluster.member(3).log.text().contains("beside the old data"));
    std::fs::remove_file(&filler).unwrap();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
    cluster.kill9(&[3]);
    drop(mount);
}

/// Without room a member stops or not, as etcd sees fit; with room it is itself again.
fn a_full_disk_beside_data(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    let volume = cluster.member(3).volume.clone();
    let mount = Mount::new(&volume, &["-t", "tmpfs", "-o", "size=160m", "tmpfs"]);
    cluster.run();
    let id = cluster.id(3);
    cluster.kill9(&[3]);
    let filler = volume.join("filler");
    let _ = std::fs::write(&filler, vec![1; 160 << 20]);
    for _ in 0..3 {
        if !cluster.member(3).is_running() {
            cluster.start(&[3]);
        }
        std::thread::sleep(Duration::from_millis(700));
        assert_eq!(cluster.member(3).steps(), Vec::<String>::new());
    }
    cluster.kill9(&[3]);
    std::fs::remove_file(&filler).unwrap();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.put_some();
    assert_eq!(cluster.id(3), id);
    cluster.verify();
    cluster.kill9(&[1, 2, 3]);
    drop(mount);
}

fn stopped_while_waiting(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    for _ in 0..2 {
        cluster.start(&[1]);
        cluster.member(1).wait_reason("not-all-heard");
        assert_eq!(cluster.member(1).sigterm(), 143);
    }
    // Also in the midst of a look at a peer that says nothing, for longer than we wait here.
    let silent = port(&cluster, 2, 2380);
    cluster.member(1).set("REJOIN_TIMEOUT", "10m");
    cluster.start(&[1]);
    let _asked = silent.accept().unwrap();
    assert_eq!(cluster.member(1).sigterm(), 143);
}

fn waited_as_long_as_allowed(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    cluster.member(1).set("REJOIN_WAIT", "1s");
    let begin = Instant::now();
    cluster.start(&[1]);
    assert_eq!(cluster.member(1).wait_exit(PATIENCE), 69);
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(900), "waited {took:?}");
    assert!(cluster.member(1).log.has_reason("not-all-heard"));
}

fn mistakes_in_the_settings(version: Version) {
    let mut cluster = Cluster::new(version, 1);
    let volume = cluster.member(1).volume.clone();
    let member = cluster.member(1);
    member.set("REJOIN_WAIT", "5");
    member.set("REJOIN_BOOTSTRAP", "maybe");
    member.set("ETCD_INITIAL_CLUSTER", "n1");
    member.start();
    assert_eq!(member.wait_exit(PATIENCE), 78);
    for name in [
        "REJOIN_WAIT=5",
        "REJOIN_BOOTSTRAP=maybe",
        "ETCD_INITIAL_CLUSTER=n1",
    ] {
        assert!(member.log.text().contains(name), "{name} is not named");
    }
    member.start_with(&["run".into(), "--no-such-flag".into()]);
    assert_eq!(member.wait_exit(PATIENCE), 2);
    assert_eq!(Tree::of(&volume).files().count(), 0);
}

fn etcd_that_does_not_exist(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.member(3).lose_disk();
    let right = cluster.member(3).env["REJOIN_ETCD"].clone();
    cluster.member(3).set("REJOIN_ETCD", "/nowhere/etcd");
    assert_eq!(fails_untouched(&mut cluster), 127);
    let volume = cluster.member(2).volume.display().to_string();
    cluster.member(3).set("REJOIN_ETCD", &volume);
    assert_eq!(fails_untouched(&mut cluster), 126);
    cluster.member(3).set("REJOIN_ETCD", &right);
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

fn peer_url_changed_while_down(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let id = cluster.id(3);
    cluster.kill9(&[3]);
    let host = cluster.addresses.host(33);
    cluster.member(3).move_to(host, "http");
    let initial = cluster.initial(&[1, 2, 3]);
    cluster.member(3).set("ETCD_INITIAL_CLUSTER", &initial);
    // If it was the leader: without a new one its data starts as it is, and the URL waits.
    cluster.wait_healthy_of(&[1, 2]);
    cluster.start(&[3]);
    // Killed in the midst of it, it is said again or has been done.
    cluster.member(3).wait_reason("peer-urls-changed");
    cluster.kill9(&[3]);
    cluster.start(&[3]);
    cluster.wait_healthy();
    assert_eq!(cluster.id(3), id);
    let url = cluster.member(3).peer_url();
    let is_listed = |cluster: &mut Cluster| {
        let members = cluster.members_of(1);
        members
            .iter()
            .any(|member| member.peer_urls == [url.clone()])
    };
    // Where nobody proved a leader in that moment, the URL waits for the next start.
    if !is_listed(&mut cluster) {
        cluster.kill9(&[3]);
        cluster.start(&[3]);
        cluster.wait_healthy();
    }
    assert!(is_listed(&mut cluster));
    cluster.put_some();
    cluster.verify();
    // The others' settings still have the old one.
    cluster.kill9(&[1]);
    cluster.start(&[1]);
    cluster.verify();
}

fn listed_urls(cluster: &mut Cluster) -> Vec<Vec<String>> {
    let mut urls: Vec<_> = (cluster.members_of(1).into_iter())
        .map(|member| member.peer_urls)
        .collect();
    urls.sort();
    urls
}

/// Nobody listens there, an etcd of another cluster, another member: the URL that has worked stays, and the data
/// starts.
fn a_peer_url_that_leads_elsewhere_is_not_published(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let mut stranger = Cluster::running(version, 1);
    let before = listed_urls(&mut cluster);
    let nowhere = format!("http://{}:2380", cluster.addresses.host(33));
    let of_a_stranger = stranger.member(1).peer_url();
    let of_another = cluster.member(2).peer_url();
    for (url, said) in [
        (nowhere, "connection refused, while this member listens"),
        (of_a_stranger, "answers there"),
        (of_another, "it is listed for n2"),
    ] {
        cluster.kill9(&[3]);
        cluster.wait_healthy_of(&[1, 2]);
        cluster
            .member(3)
            .set("ETCD_INITIAL_ADVERTISE_PEER_URLS", &url);
        let initial = cluster.initial(&[1, 2, 3]);
        cluster.member(3).set("ETCD_INITIAL_CLUSTER", &initial);
        cluster.start(&[3]);
        cluster.wait_healthy();
        let member = cluster.member(3);
        assert!(member.log.has_reason("peer-url-misleads"));
        let warned = member.log.lines("WARN");
        assert!(warned.iter().any(|line| line.contains(said)), "{warned:?}");
        assert_eq!(listed_urls(&mut cluster), before);
        cluster.put_some();
    }
    cluster.verify();
}

/// Nothing is removed that could not come back; with the right URL, or where a person knows better, it does.
fn a_lost_disk_with_a_peer_url_that_leads_nowhere(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let before = cluster.members_of(1);
    cluster.member(3).lose_disk();
    cluster.wait_healthy_of(&[1, 2]);
    let right = cluster.member(3).peer_url();
    let wrong = format!("http://{}:2380", cluster.addresses.host(33));
    cluster
        .member(3)
        .set("ETCD_INITIAL_ADVERTISE_PEER_URLS", &wrong);
    let initial = cluster.initial(&[1, 2, 3]);
    cluster.member(3).set("ETCD_INITIAL_CLUSTER", &initial);
    cluster.start(&[3]);
    let a_while = Duration::from_secs(1);
    (cluster.member(3)).assert_waits("peer-url-misleads", a_while);
    assert_eq!(cluster.members_of(1), before);
    cluster.member(3).sigterm();
    cluster.member(3).set("REJOIN_IGNORE", &wrong);
    cluster.member(3).start_steps(1);
    assert_eq!(cluster.member(3).wait_exit(PATIENCE), 75);
    assert!(cluster.member(3).log.has_reason("data-lost"));
    cluster.member(3).unset("REJOIN_IGNORE");
    cluster
        .member(3)
        .set("ETCD_INITIAL_ADVERTISE_PEER_URLS", &right);
    let initial = cluster.initial(&[1, 2, 3]);
    cluster.member(3).set("ETCD_INITIAL_CLUSTER", &initial);
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// `status` changes nothing, and gives the reason that `run` would give.
fn status_says_what_would_be_done(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.member(3).lose_disk();
    let volume = cluster.member(3).volume.clone();
    let told = status(&mut cluster);
    assert_eq!(told["reason"], "data-lost");
    assert!(told["decision"].is_string());
    assert_eq!(Tree::of(&volume).files().count(), 0);
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}
