//! The examples say what the program understands.

use std::fs;
use std::path::Path;

use crate::support::etcd::{Etcd, Ours};

fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples/backup")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every command line of an example, without the program's name.
fn commands() -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for name in ["etcd-snapshot.service", "etcd-drill.service"] {
        let text = text(name);
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/etcd-rejoin snapshot "));
        found.extend(lines.map(|line| line.split(' ').map(String::from).collect()));
    }
    for name in ["compose.yaml", "cronjob.yaml"] {
        let text = text(name);
        let lines = text
            .lines()
            .filter_map(|line| line.split_once(": [snapshot, ")?.1.strip_suffix(']'));
        found.extend(lines.map(|line| {
            line.split(", ")
                .map(|word| word.trim_matches('"').into())
                .collect()
        }));
    }
    found
}

#[test]
fn every_command_of_the_examples_is_understood() {
    let etcd = Etcd::start("sid");
    let ours = Ours::new(&etcd, "/no-such-store");
    assert_eq!(commands().len(), 6, "{:?}", commands());
    for command in commands().iter().filter(|command| command[0] != "every") {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let words: Vec<&str> = words
            .into_iter()
            .filter(|word| !word.starts_with("--metrics-file"))
            .collect();
        // It gets as far as the store.
        ours.fails(&words, 74, "REJOIN_STORE=/no-such-store does not open");
    }
    let every = commands()
        .into_iter()
        .find(|command| command[0] == "every")
        .unwrap();
    let words: Vec<&str> = every.iter().map(String::as_str).collect();
    let help = ours.run(&[&words[..], &["--help"]].concat());
    for word in words[2..]
        .iter()
        .map(|word| word.split('=').next().unwrap())
    {
        assert!(help.out.contains(word), "{word}: {help:?}");
    }
}

#[test]
fn alerts_are_about_what_is_told() {
    let etcd = Etcd::start("sid");
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    fs::create_dir(&store).unwrap();
    let ours = Ours::new(&etcd, store.to_str().unwrap());
    let file = dir.path().join("etcd.prom");
    ours.well(&["save"]);
    ours.well(&["drill"]);
    ours.well(&["save", &format!("--metrics-file={}", file.display())]);
    let told = fs::read_to_string(file).unwrap();
    let alerts = text("alerts.yaml");
    let mut names = 0;
    for part in alerts.split("etcd_rejoin_snapshot_").skip(1) {
        let name: String = part
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || *c == '_')
            .collect();
        assert!(
            told.contains(&format!("\netcd_rejoin_snapshot_{name} ")),
            "{name} is not in {told}"
        );
        names += 1;
    }
    assert!(names >= 6);
}
