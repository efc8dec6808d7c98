//! What `two-node config` writes.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{INPUTS, INPUTS_V6, call, read, two_node};

/// The value of a variable in an environment file.
fn variable(text: &str, name: &str) -> String {
    let line = |line: &&str| line.starts_with(&format!("{name}="));
    let line = text.lines().find(line);
    let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
    line[name.len() + 1..].to_string()
}

fn password(keepalived: &str) -> String {
    let line = keepalived.lines().find(|line| line.contains("auth_pass"));
    line.unwrap().trim().to_string()
}

#[test]
fn a_file_that_exists_is_never_written_over_and_then_nothing_is() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("node2")).unwrap();
    std::fs::write(dir.path().join("node2/etcd3.env"), "mine").unwrap();
    two_node(dir.path(), &["--drbd", "8.4"])
        .ends_with(74)
        .has(&["node2/etcd3.env exists", "nothing was written"]);
    assert_eq!(read(dir.path(), "node2/etcd3.env"), "mine");
    assert!(!dir.path().join("node1").exists());
}

#[test]
fn a_dangling_link_is_not_written_through() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("elsewhere");
    let out = dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    std::os::unix::fs::symlink(&target, out.join("NEXT-STEPS.txt")).unwrap();
    two_node(&out, &["--drbd", "8.4"])
        .ends_with(74)
        .has(&["NEXT-STEPS.txt exists"]);
    assert!(!target.exists());
}

#[test]
fn secrets_are_random_shared_by_the_machines_and_readable_by_their_owner_alone() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&one, &two] {
        two_node(dir.path(), &["--drbd", "8.4"]).ends_with(0);
    }
    let (one, two) = (one.path(), two.path());
    assert_ne!(read(one, "node1/fence.key"), read(two, "node1/fence.key"));
    assert_eq!(read(one, "node1/fence.key"), read(one, "node2/fence.key"));
    assert!(read(one, "node1/fence.key").trim().len() >= 32);
    let conf = |dir: &Path, node: &str| password(&read(dir, &format!("{node}/keepalived.conf")));
    assert_ne!(conf(one, "node1"), conf(two, "node1"));
    assert_eq!(conf(one, "node1"), conf(one, "node2"));
    let token = |dir| variable(&read(dir, "node1/etcd1.env"), "ETCD_INITIAL_CLUSTER_TOKEN");
    assert_ne!(token(one), token(two));
    for name in ["fence.key", "keepalived.conf"] {
        let meta = one.join("node2").join(name).metadata().unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn no_secret_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let said = two_node(dir.path(), &["--drbd", "8.4"]);
    let key = read(dir.path(), "node1/fence.key");
    let conf = read(dir.path(), "node1/keepalived.conf");
    let password = password(&conf).replace("auth_pass ", "");
    let next = read(dir.path(), "NEXT-STEPS.txt");
    for secret in [key.trim(), &password] {
        for text in [&said.out, &said.err, &next] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn secrets_come_from_files_where_they_are_given() {
    let dir = tempfile::tempdir().unwrap();
    let (password, key) = (dir.path().join("password"), dir.path().join("key"));
    std::fs::write(&password, "pass-123\n").unwrap();
    std::fs::write(&key, format!("{}\n", "ke".repeat(20))).unwrap();
    let files = [
        "--vrrp-password-file",
        password.to_str().unwrap(),
        "--fence-key-file",
        key.to_str().unwrap(),
    ];
    let out = dir.path().join("out");
    two_node(&out, &[&["--drbd", "9"], files.as_slice()].concat()).ends_with(0);
    assert!(read(&out, "node1/keepalived.conf").contains("auth_pass pass-123\n"));
    assert_eq!(
        read(&out, "node2/fence.key"),
        format!("{}\n", "ke".repeat(20))
    );
}

#[test]
fn the_router_id_comes_from_the_virtual_ip_unless_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    two_node(&dir.path().join("a"), &["--drbd", "9"]).ends_with(0);
    two_node(&dir.path().join("b"), &["--drbd", "9", "--vrid", "7"]).ends_with(0);
    let has = |name, id: &str| {
        let text = read(&dir.path().join(name), "node2/keepalived.conf");
        assert!(
            text.contains(&format!("virtual_router_id {id}\n")),
            "{text}"
        );
    };
    has("a", "100");
    has("b", "7");
}

#[test]
fn the_members_agree_on_the_cluster_and_share_no_address() {
    let dir = tempfile::tempdir().unwrap();
    two_node(dir.path(), &["--drbd", "8.4"]).ends_with(0);
    let files = [
        "node1/etcd1.env",
        "node2/etcd2.env",
        "node1/etcd3.env",
        "node2/etcd3.env",
    ];
    let all = files.map(|file| read(dir.path(), file));
    for name in ["ETCD_INITIAL_CLUSTER", "ETCD_INITIAL_CLUSTER_TOKEN"] {
        let values = all.clone().map(|text| variable(&text, name));
        assert_eq!(values, [(); 4].map(|()| values[0].clone()));
    }
    let cluster = variable(&all[0], "ETCD_INITIAL_CLUSTER");
    for text in &all {
        let (name, peer) = (
            variable(text, "ETCD_NAME"),
            variable(text, "ETCD_LISTEN_PEER_URLS"),
        );
        assert!(
            cluster
                .split(',')
                .any(|one| one == format!("{name}={peer}")),
            "{name} {peer}"
        );
    }
    // Two members share a machine and a port: neither may listen everywhere.
    assert!(all.iter().all(|text| !text.contains("0.0.0.0")));
    let roving = &all[2];
    assert_eq!(variable(roving, "REJOIN_DRBD"), "etcd");
    assert_eq!(variable(roving, "REJOIN_FENCE_PEER"), "10.1.0.2:7790");
    assert_eq!(variable(&all[3], "REJOIN_FENCE_PEER"), "10.1.0.1:7790");
    let mount = variable(roving, "REJOIN_MOUNT");
    assert!(variable(roving, "ETCD_DATA_DIR").starts_with(&format!("{mount}/")));
}

#[test]
fn what_the_kernel_and_keepalived_are_told_is_what_the_entrypoint_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let more = [
        "--drbd",
        "8.4",
        "--resource",
        "r1",
        "--gate",
        "/run/x/gate",
        "--fence-command",
        "/usr/local/sbin/off",
        "--self-fence",
    ];
    two_node(dir.path(), &more).ends_with(0);
    let env = read(dir.path(), "node1/etcd3.env");
    let resource = read(dir.path(), "node1/r1.res");
    let keepalived = read(dir.path(), "node1/keepalived.conf");
    assert!(resource.contains("--fence-command /usr/local/sbin/off"));
    let next = read(dir.path(), "NEXT-STEPS.txt");
    assert!(next.contains("The fence command /usr/local/sbin/off must be there twice"));
    assert_eq!(
        variable(&env, "REJOIN_FENCE_COMMAND"),
        "/usr/local/sbin/off"
    );
    assert_eq!(variable(&env, "REJOIN_SELF_FENCE"), "reboot");
    assert_eq!(variable(&env, "REJOIN_GATE"), "/run/x/gate");
    assert!(keepalived.contains("notify --gate /run/x/gate\""));
    assert!(keepalived.contains("probe promotable --gate /run/x/gate\""));
    let peer = variable(&env, "REJOIN_FENCE_PEER");
    assert!(resource.contains(&format!("--peer {peer} ")));
}

#[test]
fn with_a_third_machine_the_quorum_decides_and_nobody_fences() {
    let dir = tempfile::tempdir().unwrap();
    let third = ["--drbd", "9", "--tie-breaker", "node3=10.2.0.3"];
    two_node(dir.path(), &third).ends_with(0);
    for node in ["node1", "node2", "node3"] {
        let text = read(dir.path(), &format!("{node}/etcd.res"));
        assert!(text.contains("quorum majority;") && text.contains("on-no-quorum io-error;"));
        assert!(
            !text.contains("fencing") && !text.contains("fence-peer"),
            "{text}"
        );
    }
    assert!(!read(dir.path(), "node1/etcd3.env").contains("FENCE"));
    assert!(!dir.path().join("node1/fence.key").exists());
}

#[test]
fn with_tls_every_url_is_https_and_the_roving_member_has_its_own_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let tls = [
        "--drbd",
        "9",
        "--ca",
        "/p/ca.crt",
        "--cert",
        "/p/own.crt",
        "--key",
        "/p/own.key",
        "--roving-cert",
        "/p/vip.crt",
        "--roving-key",
        "/p/vip.key",
    ];
    two_node(dir.path(), &tls).ends_with(0);
    let (own, roving) = (
        read(dir.path(), "node1/etcd1.env"),
        read(dir.path(), "node1/etcd3.env"),
    );
    assert!(!own.contains("http://") && !roving.contains("http://"));
    assert_eq!(variable(&own, "ETCD_PEER_CERT_FILE"), "/p/own.crt");
    assert_eq!(variable(&roving, "ETCD_PEER_KEY_FILE"), "/p/vip.key");
    assert_eq!(variable(&roving, "ETCD_CLIENT_CERT_AUTH"), "true");
}

#[test]
fn ipv6_has_brackets_where_a_port_follows_and_no_vrrp_password() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let start = ["two-node", "config", "--dir", out.to_str().unwrap()];
    call(&[&start, INPUTS_V6, &["nosuch0"]].concat()).ends_with(0);
    assert!(read(&out, "a/etcd.res").contains("address ipv6 [fd00:2::1]:7789;"));
    let env = read(&out, "a/etcd3.env");
    assert_eq!(
        variable(&env, "ETCD_LISTEN_PEER_URLS"),
        "http://[fd00:1::64]:2380"
    );
    let keepalived = read(&out, "a/keepalived.conf");
    assert!(
        keepalived.contains("virtual_router_id 100\n"),
        "{keepalived}"
    );
    assert!(!keepalived.contains("auth_pass"));
}

#[test]
fn with_a_fifo_keepalived_writes_into_the_gate_itself() {
    let dir = tempfile::tempdir().unwrap();
    two_node(dir.path(), &["--drbd", "9", "--fifo"]).ends_with(0);
    let text = read(dir.path(), "node1/keepalived.conf");
    assert!(text.contains("vrrp_notify_fifo /run/etcd-rejoin/gate\n"));
    assert!(!text.contains("    notify "), "{text}");
}

#[test]
fn the_next_steps_name_every_file_and_its_place() {
    let dir = tempfile::tempdir().unwrap();
    two_node(dir.path(), &["--drbd", "8.4"]).ends_with(0);
    let text = read(dir.path(), "NEXT-STEPS.txt");
    for part in [
        "node1/etcd.res ",
        "/etc/drbd.d/etcd.res",
        "node2/fence.key",
        "/etc/etcd-rejoin/fence.key  (mode 600)",
        "two-node check --env-file",
        "two-node init --resource etcd --first",
        "waits for a person",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

/// `examples/two-nodes` is what our own command writes, with the placeholders of its `secrets` folder.
///
/// `UPDATE_EXAMPLES=1 cargo test --test two_node` writes it.
#[test]
fn the_example_is_what_the_command_writes() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/two-nodes");
    let secret = |name: &str| example.join("secrets").join(name).display().to_string();
    let (password, key) = (secret("vrrp-password"), secret("fence-key"));
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let given = [
        "--drbd",
        "8.4",
        "--cluster-token",
        "two-nodes-example",
        "--vrrp-password-file",
        &password,
        "--fence-key-file",
        &key,
    ];
    let inputs: Vec<&str> = INPUTS
        .iter()
        .map(|word| word.trim_end_matches("nosuch0"))
        .collect();
    let inputs: Vec<&str> = (inputs
        .iter()
        .map(|word| if word.is_empty() { "eth0" } else { word }))
    .collect();
    let words = ["two-node", "config", "--dir", out.to_str().unwrap()];
    let said = call(&[&words, inputs.as_slice(), &given].concat());
    said.ends_with(0);
    let mut names: Vec<String> = said
        .out
        .lines()
        .filter_map(|line| line.strip_prefix("wrote "))
        .map(|path| {
            Path::new(path)
                .strip_prefix(&out)
                .unwrap()
                .display()
                .to_string()
        })
        .collect();
    names.sort();
    assert_eq!(names.len(), 13, "{names:?}");
    for name in names {
        let wanted = read(&out, &name);
        let path = example.join(&name);
        if std::env::var_os("UPDATE_EXAMPLES").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &wanted).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == wanted,
            "examples/two-nodes/{name} is old: UPDATE_EXAMPLES=1 cargo test --test two_node"
        );
    }
}

#[test]
fn our_own_configuration_takes_the_written_environments() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let more = [
        "--drbd",
        "8.4",
        "--fence-command",
        "/bin/true",
        "--self-fence",
    ];
    two_node(&out, &more).ends_with(0);
    for name in ["node1/etcd1.env", "node2/etcd2.env", "node1/etcd3.env"] {
        let text = read(&out, name);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let env = lines.map(|line| line.split_once('=').unwrap());
        let key = out.join("node1/fence.key");
        let env = env.map(|(name, value)| match name {
            // Where it lies on the machine.
            "REJOIN_FENCE_KEY_FILE" => (name, key.to_str().unwrap()),
            _ => (name, value),
        });
        let output = assert_cmd::Command::new(env!("CARGO_BIN_EXE_etcd-rejoin"))
            .arg("status")
            .env_clear()
            .envs(env)
            .env("REJOIN_TIMEOUT", "50ms")
            .timeout(std::time::Duration::from_secs(30))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_ne!(output.status.code(), Some(78), "{name}: {said}");
        assert!(!said.contains("configuration:"), "{name}: {said}");
    }
}
