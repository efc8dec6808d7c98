//! The files beside the written ones in `examples/two-nodes` agree with them.

use std::path::PathBuf;

use saphyr::{LoadableYamlNode, Yaml};

use super::read;

fn example() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/two-nodes")
}

fn environment() -> Vec<(String, String)> {
    let text = read(&example(), "node1/etcd3.env");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.split_once('=').unwrap())
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

#[test]
fn the_static_pod_has_the_written_environment() {
    let text = read(&example(), "etcd3-pod.yaml");
    let documents = Yaml::load_from_str(&text).unwrap();
    let container = &documents[0]["spec"]["containers"][0];
    let env = container["env"].as_sequence().unwrap();
    let string = |yaml: &Yaml| yaml.as_str().unwrap().to_string();
    let given: Vec<_> = (env.iter())
        .map(|one| (string(&one["name"]), string(&one["value"])))
        .collect();
    assert_eq!(given, environment());
    assert_eq!(
        container["securityContext"]["privileged"].as_bool(),
        Some(true)
    );
}

/// A bind mount there would look like somebody else's file system on the mount point.
#[test]
fn nothing_is_put_on_the_mount_point() {
    let env = environment();
    let mount = env.iter().find(|(name, _)| name == "REJOIN_MOUNT");
    let (_, mount) = mount.unwrap();
    for name in ["etcd3-pod.yaml", "compose.yaml"] {
        let text = read(&example(), name);
        let lines = text.lines().filter(|line| !line.trim().starts_with('#'));
        let mut lines = lines.filter(|line| !line.contains("ETCD_") && !line.contains("value:"));
        assert!(!lines.any(|line| line.contains(mount)), "{name}");
    }
    assert!(read(&example(), "Dockerfile").contains(&format!("mkdir -p {mount}\n")));
}

#[test]
fn the_compose_file_and_the_unit_read_the_written_environments() {
    let text = read(&example(), "compose.yaml");
    let documents = Yaml::load_from_str(&text).unwrap();
    let roving = &documents[0]["services"]["roving"];
    assert_eq!(
        roving["env_file"].as_str(),
        Some("/etc/etcd-rejoin/etcd3.env")
    );
    assert_eq!(roving["network_mode"].as_str(), Some("host"));
    let next = read(&example(), "NEXT-STEPS.txt");
    for unit in ["roving", "resident"] {
        let unit = read(&example(), &format!("node1/etcd-rejoin-{unit}.service"));
        let lines = || unit.lines();
        let file = lines().find_map(|line| line.strip_prefix("EnvironmentFile="));
        assert!(next.contains(file.unwrap()));
        // What the file does not say nobody says: an example's TLS would end with 78 beside it.
        assert!(!lines().any(|line| line.starts_with("Environment=")));
        let program = lines().find_map(|line| line.strip_prefix("ExecStart="));
        assert!(next.contains(program.unwrap()));
    }
}

/// The README names the call that writes this folder; the other test makes it.
#[test]
fn the_readme_s_command_has_the_words_of_the_test() {
    let readme = read(&example(), "README.md");
    for word in super::INPUTS.iter().filter(|word| **word != "nosuch0") {
        assert!(readme.contains(word), "{word}");
    }
}
