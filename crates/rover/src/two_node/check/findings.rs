//! Where to look, and what is found there: its words are in `findings.txt`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;

use super::host::Host;
use crate::two_node::args::CheckArgs;

/// The words of each finding.
const FINDINGS: &str = include_str!("findings.txt");

/// One finding: whether acknowledged writes can be lost or the member can stay away with nobody told, and its
/// words. What is no such danger works until something else fails.
pub type CheckFinding = (bool, String);

/// Where to look.
#[derive(Debug)]
pub struct Sources {
    pub(super) host: Host,
    pub(super) drbd_conf: PathBuf,
    pub(super) keepalived_conf: PathBuf,
    env: BTreeMap<String, String>,
    pub(super) env_from: String,
}

impl Sources {
    /// What `two-node check` is told, with the environment that it names.
    pub fn new(args: &CheckArgs, host: Host, env: BTreeMap<String, String>) -> Sources {
        Sources {
            host,
            drbd_conf: args.drbd_conf.clone(),
            keepalived_conf: args.keepalived_conf.clone(),
            env,
            env_from: args.env_file.display().to_string(),
        }
    }

    pub(super) fn env(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str)
    }
}

/// Collects the findings.
#[derive(Debug, Default)]
pub(super) struct CheckFindings(pub(super) Vec<CheckFinding>);

impl CheckFindings {
    /// Notes one in its words, with the values that they leave open.
    pub(super) fn add(&mut self, place: impl Display, name: &str, values: &[&dyn Display]) {
        let mut lines = FINDINGS.lines();
        let line = lines.find(|line| line.split(' ').nth(1) == Some(name));
        let mut words = line.expect("every finding has its words").splitn(3, ' ');
        let severity = words.next().unwrap_or_default();
        let mut what = words.nth(1).unwrap_or_default().to_string();
        for value in values {
            what = what.replacen("{}", &value.to_string(), 1);
        }
        self.say(severity, place, name, &what);
    }

    pub(super) fn say(&mut self, severity: &str, place: impl Display, name: &str, what: &str) {
        let name = name.split('/').next().unwrap_or_default();
        let words = format!("{severity}: {place}: {name}: {what}");
        self.0.push((severity == "danger", words));
    }
}

/// The value of a flag in a command line: `--flag value` or `--flag=value`.
pub(super) fn flag<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let mut words = line.split_whitespace();
    while let Some(word) = words.next() {
        match word.strip_prefix(name) {
            Some("") => return words.next(),
            Some(rest) if rest.starts_with('=') => return Some(&rest[1..]),
            Some(_) | None => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_found_in_both_ways() {
        assert_eq!(flag("x --gate /a b", "--gate"), Some("/a"));
        assert_eq!(flag("x --gate=/a b", "--gate"), Some("/a"));
        assert_eq!(flag("x --gates /a", "--gate"), None);
        assert_eq!(flag("x --gate", "--gate"), None);
    }
}
