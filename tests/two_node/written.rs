//! What `two-node config` writes.

use std::collections::BTreeMap;
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

/// Everything that was written, by its path.
fn written(dir: &Path) -> BTreeMap<String, (u32, String)> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        if path.is_dir() {
            let inside = written(&path).into_iter();
            all.extend(inside.map(|(below, file)| (format!("{name}/{below}"), file)));
        } else {
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            all.insert(name, (mode, std::fs::read_to_string(&path).unwrap()));
        }
    }
    all
}

/// What a line of a file says after these words.
fn after<'a>(text: &'a str, words: &str) -> &'a str {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(words));
    line.unwrap_or_else(|| panic!("no {words} in {text}"))
}

#[test]
fn every_secret_comes_from_one_and_is_shared_by_the_machines() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two, again] = ["one", "two", "again"].map(|name| dir.path().join(name));
    for out in [&one, &two] {
        two_node(out, &["--drbd", "8.4"]).ends_with(0);
    }
    let secret = one.join("secret");
    let same = ["--drbd", "8.4", "--secret-file", secret.to_str().unwrap()];
    two_node(&again, &same).ends_with(0);
    assert_eq!(written(&one), written(&again));
    assert_eq!(read(&one, "node1/fence.key"), read(&one, "node2/fence.key"));
    assert!(read(&one, "node1/fence.key").trim().len() >= 32);
    for (name, words) in [
        ("keepalived.conf", "auth_pass "),
        ("etcd.res", "shared-secret "),
        ("etcd3.env", "ETCD_INITIAL_CLUSTER_TOKEN="),
        ("fence.key", ""),
    ] {
        let said = |dir: &Path, node: &str| {
            after(&read(dir, &format!("{node}/{name}")), words).to_string()
        };
        assert_eq!(said(&one, "node1"), said(&one, "node2"), "{name}");
        assert_ne!(said(&one, "node1"), said(&two, "node1"), "{name}");
    }
}

#[test]
fn a_secret_is_for_its_owner_alone_and_is_not_printed() {
    let dir = tempfile::tempdir().unwrap();
    let said = two_node(dir.path(), &["--drbd", "8.4"]);
    let all = written(dir.path());
    let res = &all["node1/etcd.res"].1;
    let conf = &all["node1/keepalived.conf"].1;
    let secrets = [
        all["secret"].1.trim(),
        all["node1/fence.key"].1.trim(),
        after(res, "shared-secret ").trim_matches(['"', ';']),
        after(conf, "auth_pass "),
    ];
    for secret in secrets {
        assert!(!said.all().contains(secret));
        let holders = all.iter().filter(|(_, (_, text))| text.contains(secret));
        let open = holders.filter(|(_, (mode, _))| mode & 0o077 != 0);
        assert_eq!(open.count(), 0, "{secret}");
    }
}

/// Nothing of a template is left, whatever was asked for.
#[test]
fn every_template_is_filled() {
    for more in [
        &["--drbd", "8.4"][..],
        &[
            "--drbd",
            "8.4",
            "--fence-command",
            "/off",
            "--gateway",
            "10.1.0.254",
        ],
        &[
            "--drbd",
            "9",
            "--tie-breaker",
            "node3=10.2.0.3",
            "--pki",
            "/p",
        ],
    ] {
        let dir = tempfile::tempdir().unwrap();
        two_node(dir.path(), more).ends_with(0);
        for (name, (_, text)) in written(dir.path()) {
            assert!(
                !text.contains("\n?") && !text.starts_with('?'),
                "{name}: {text}"
            );
            let rest = text.replace("\"$@\"", "");
            let words = rest
                .split('@')
                .skip(1)
                .filter(|word| !word.contains(char::is_whitespace));
            assert_eq!(words.count(), 0, "{name}: {text}");
        }
    }
}

#[test]
fn the_router_id_comes_from_the_virtual_ip() {
    let dir = tempfile::tempdir().unwrap();
    two_node(dir.path(), &["--drbd", "9"]).ends_with(0);
    let text = read(dir.path(), "node2/keepalived.conf");
    assert_eq!(after(&text, "virtual_router_id "), "100");
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
    let command = "/usr/local/sbin/off";
    two_node(dir.path(), &["--drbd", "8.4", "--fence-command", command]).ends_with(0);
    let env = read(dir.path(), "node1/etcd3.env");
    let resource = read(dir.path(), "node1/etcd.res");
    let keepalived = read(dir.path(), "node1/keepalived.conf");
    assert!(resource.contains("--fence-command /usr/local/sbin/off"));
    let gate = variable(&env, "REJOIN_GATE");
    assert!(keepalived.contains(&format!("notify --gate {gate}\"")));
    assert!(keepalived.contains(&format!("probe promotable --gate {gate}\"")));
    let peer = variable(&read(dir.path(), "node2/etcd3.env"), "REJOIN_FENCE_LISTEN");
    assert!(resource.contains(&format!("--peer {peer} ")));
}

/// It would say of a machine that it is off, and that machine would go on.
#[test]
fn the_sample_of_a_fence_command_never_says_that_a_machine_is_off() {
    let dir = tempfile::tempdir().unwrap();
    two_node(
        dir.path(),
        &["--drbd", "8.4", "--fence-command", "/sbin/off"],
    )
    .ends_with(0);
    let sample = dir.path().join("node1/off");
    assert_eq!(
        sample.metadata().unwrap().permissions().mode() & 0o777,
        0o700
    );
    let output = std::process::Command::new(&sample).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    // Filled in, and the BMC answers: on, on, off.
    let text = read(dir.path(), "node1/off").replace("bmc=\n", "bmc=10.0.0.1\n");
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let asked = dir.path().join("asked");
    let ipmitool = format!(
        "#!/bin/sh\necho \"$*\" >> {0}\n[ $(grep -c status {0}) -gt 2 ] && echo 'Chassis Power is off' || echo 'Chassis Power is on'\n",
        asked.display()
    );
    for (path, text) in [(&sample, text), (&bin.join("ipmitool"), ipmitool)] {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let output = std::process::Command::new(&sample)
        .env("PATH", path)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let asked = std::fs::read_to_string(&asked).unwrap();
    assert!(
        asked.contains("-H 10.0.0.1") && asked.matches("power off").count() == 2,
        "{asked}"
    );
    assert!(asked.trim_end().ends_with("power status"), "{asked}");
    // A device that does not answer is not waited for: the machine may work again when it does.
    let silent = "#!/bin/sh\nexit 1\n";
    std::fs::write(bin.join("ipmitool"), silent).unwrap();
    let output = std::process::Command::new(&sample)
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_gateway_that_is_gone_lets_the_member_go() {
    let dir = tempfile::tempdir().unwrap();
    two_node(dir.path(), &["--drbd", "8.4", "--gateway", "10.1.0.254"]).ends_with(0);
    let text = read(dir.path(), "node1/keepalived.conf");
    assert!(text.contains("/usr/bin/ping -q -c 1 -W 1 10.1.0.254\""));
    assert!(
        text.contains("        promotable\n        gateway\n"),
        "{text}"
    );
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
fn with_tls_every_url_is_https() {
    let dir = tempfile::tempdir().unwrap();
    two_node(dir.path(), &["--drbd", "9", "--pki", "/etc/pki"]).ends_with(0);
    for name in ["node1/etcd1.env", "node1/etcd3.env"] {
        let env = read(dir.path(), name);
        assert!(!env.contains("http://"));
        assert_eq!(variable(&env, "ETCD_PEER_CERT_FILE"), "/etc/pki/peer.crt");
        assert_eq!(variable(&env, "ETCD_KEY_FILE"), "/etc/pki/peer.key");
        assert_eq!(variable(&env, "ETCD_CLIENT_CERT_AUTH"), "true");
    }
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
fn the_next_steps_name_every_file_and_its_place() {
    let dir = tempfile::tempdir().unwrap();
    two_node(dir.path(), &["--drbd", "8.4"]).ends_with(0);
    let text = read(dir.path(), "NEXT-STEPS.txt");
    for part in [
        "node1/etcd.res ",
        "/etc/drbd.d/etcd.res",
        "node2/fence.key",
        "/etc/etcd-rejoin/fence.key  (mode 600)",
        "/etc/systemd/system/etcd-rejoin-roving.service  (mode 644)",
        "two-node check --env-file",
        "two-node init --resource etcd --first",
        "waits for a person",
        "Trials, before you trust it",
        "A machine that is gone for good is replaced",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

/// `examples/two-nodes` is what our own command writes, with the placeholder `secret`.
///
/// `UPDATE_EXAMPLES=1 cargo test --test two_node` writes it.
#[test]
fn the_example_is_what_the_command_writes() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/two-nodes");
    let secret = example.join("secret").display().to_string();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let given = [
        "--drbd",
        "8.4",
        "--fence-command",
        "/usr/local/sbin/fence-other",
        "--secret-file",
        &secret,
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
    assert_eq!(names.len(), 22, "{names:?}");
    for name in names {
        let wanted = read(&out, &name);
        let path = example.join(&name);
        if std::env::var_os("UPDATE_EXAMPLES").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &wanted).unwrap();
            if name.ends_with("fence-other") {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
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
    let more = ["--drbd", "8.4", "--fence-command", "/bin/true"];
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
