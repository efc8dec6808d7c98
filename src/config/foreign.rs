//! Variables that other images of etcd heed, and nobody here: what each meant there, and what to do instead.
//!
//! Source: Bitnami's image of etcd, its README and `scripts/etcd-env.sh` (3.5 and 3.6).

/// The root password: it is no mistake that may be passed over, as the store would be open.
const ROOT_PASSWORD: [&str; 2] = ["ETCD_ROOT_PASSWORD", "ETCD_ROOT_PASSWORD_FILE"];

/// What is not etcd's own among the variables that Bitnami's image also reads from the file that `NAME_FILE` names.
const FROM_A_FILE: [&str; 13] = [
    "ETCD_NAME",
    "ETCD_LOG_LEVEL",
    "ETCD_LISTEN_CLIENT_URLS",
    "ETCD_ADVERTISE_CLIENT_URLS",
    "ETCD_INITIAL_CLUSTER",
    "ETCD_INITIAL_CLUSTER_TOKEN",
    "ETCD_LISTEN_PEER_URLS",
    "ETCD_INITIAL_ADVERTISE_PEER_URLS",
    "ETCD_AUTO_TLS",
    "ETCD_PEER_AUTO_TLS",
    "ETCD_CLIENT_CERT_AUTH",
    "ETCD_CLUSTER_DOMAIN",
    "ETCD_INIT_SNAPSHOT_FILENAME",
];

const MEMBERS: &str = "name the members in ETCD_INITIAL_CLUSTER";
const RESTORE: &str = "restore it with `etcdutl snapshot restore` into the data dir, by hand";
const SAVE: &str = "take snapshots with `etcd-rejoin snapshot`, into REJOIN_STORE";
const LEAVE: &str = "take it out: a stop is no leave here, `etcd-rejoin leave` is";

/// Name, what it did there (nothing: people write it for another name), and what to do here.
const VARIABLES: &[(&str, &str, &str)] = &[
    (
        "ALLOW_NONE_AUTHENTICATION",
        "allowed a store without a password",
        "take it out: authentication is off until `etcdctl auth enable`",
    ),
    (
        "ETCD_ON_K8S",
        "found a pod's members in DNS",
        "write REJOIN_STATEFULSET=auto and REJOIN_INITIAL_SIZE: name, URLs and members follow from them",
    ),
    ("ETCD_CLUSTER_DOMAIN", "found the members in DNS", MEMBERS),
    ("ETCD_START_FROM_SNAPSHOT", "began with a snapshot", RESTORE),
    (
        "ETCD_INIT_SNAPSHOT_FILENAME",
        "named the snapshot to begin with",
        RESTORE,
    ),
    (
        "ETCD_INIT_SNAPSHOTS_DIR",
        "named the folder of the snapshot to begin with",
        RESTORE,
    ),
    (
        "ETCD_DISASTER_RECOVERY",
        "restored a snapshot where a majority was lost",
        "see docs/lost-majority.md of etcd-rejoin: a person decides there",
    ),
    ("ETCD_SNAPSHOTS_DIR", "named the folder of snapshots", SAVE),
    (
        "ETCD_SNAPSHOT_HISTORY_LIMIT",
        "said how many snapshots are kept",
        SAVE,
    ),
    (
        "ETCD_PREUPGRADE_START_DELAY",
        "delayed an upgrade's first step",
        "take it out",
    ),
    (
        "ETCD_DISABLE_PRESTOP",
        "kept a pod that stops in the member list",
        LEAVE,
    ),
    (
        "ETCD_DISABLE_STORE_MEMBER_ID",
        "kept no note of the member's ID",
        "take it out: the ID is read from the data",
    ),
    (
        "ETCD_EXTRA_AUTH_FLAGS",
        "went to etcdctl",
        "say who we are to the others in REJOIN_USER and REJOIN_PASSWORD_FILE",
    ),
    (
        "ETCD_CONF_FILE",
        "named etcd's configuration file",
        "write ETCD_CONFIG_FILE",
    ),
    ("ETCD_VOLUME_DIR", "named the volume", "write ETCD_DATA_DIR"),
    (
        "ETCD_DAEMON_USER",
        "named the user that etcd runs as",
        "start the container, or the unit, as that user",
    ),
    (
        "ETCD_DAEMON_GROUP",
        "named the group that etcd runs as",
        "start the container, or the unit, as that group",
    ),
    (
        "ETCD_HEARTBEAT",
        "",
        "write ETCD_HEARTBEAT_INTERVAL, in milliseconds",
    ),
    (
        "ETCD_ELECTION",
        "",
        "write ETCD_ELECTION_TIMEOUT, in milliseconds",
    ),
];

/// What was found of them.
#[derive(Debug, Default)]
pub struct Foreign {
    named: Vec<String>,
    bitnami: Vec<String>,
    passwords: Vec<&'static str>,
}

impl Foreign {
    /// Whether this is one of them. Those of etcd's kind are nothing for etcd: it would name them with their value,
    /// and that may be a password.
    pub fn takes(&mut self, name: &str, value: &str) -> bool {
        let off = matches!(value.to_lowercase().as_str(), "" | "no" | "false" | "0");
        if let Some(password) = ROOT_PASSWORD.into_iter().find(|known| *known == name) {
            if !value.is_empty() {
                self.passwords.push(password);
            }
        } else if name.starts_with("BITNAMI_") {
            self.bitnami.push(name.into());
        } else if let Some((_, did, instead)) = VARIABLES.iter().find(|(known, ..)| *known == name)
        {
            let meant = match *did {
                "" => "etcd knows no such variable".into(),
                did => format!("in Bitnami's image it {did}"),
            };
            if !off {
                (self.named).push(format!("{name} has no effect here: {meant}; {instead}"));
            }
        } else if let Some(known) = from_a_file(name) {
            self.named.push(format!(
                "{name} has no effect here: in Bitnami's image it named a file with the value of {known}; set {known} itself"
            ));
        } else {
            return false;
        }
        true
    }

    /// What is said of them, each once; and what is refused, unless it may be ignored.
    pub fn said(mut self, ignored: impl Fn(&str) -> bool) -> (Vec<String>, Vec<String>) {
        self.bitnami.sort();
        if !self.bitnami.is_empty() {
            let names = self.bitnami.join(", ");
            self.named.push(format!(
                "{names}: no effect here: Bitnami's scripts, which read them, do not run; for more log lines set REJOIN_LOG=debug and ETCD_LOG_LEVEL=debug"
            ));
        }
        self.named.sort();
        let open = ROOT_PASSWORD[0];
        self.passwords.retain(|_| !ignored(open));
        let mistakes = self.passwords.iter().map(|name| {
            format!(
                "{name} sets no password here, and the store would be open: create the user with `etcdctl user add root`, then `etcdctl auth enable`, and take {name} out; or set REJOIN_IGNORE={open}"
            )
        });
        (self.named, mistakes.collect())
    }
}

/// All of them as Markdown; the documentation holds it, a test keeps them equal.
pub fn foreign_table() -> String {
    let mut text = String::from("| variable | in Bitnami's image | here |\n|---|---|---|\n");
    let mut row = |name: &str, did: &str, here: &str| {
        text += &format!("| `{name}` | {did} | {here} |\n");
    };
    let open = ROOT_PASSWORD[0];
    let mistake = format!(
        "a mistake: create the user with `etcdctl user add root`, then `etcdctl auth enable`, and take it out; or set REJOIN_IGNORE={open}"
    );
    for name in ROOT_PASSWORD {
        row(name, "set the password of root", &mistake);
    }
    for (name, did, instead) in VARIABLES {
        match *did {
            "" => row(name, "etcd knows no such variable", instead),
            did => row(name, did, instead),
        }
    }
    for known in FROM_A_FILE {
        row(
            &format!("{known}_FILE"),
            &format!("named a file with the value of {known}"),
            &format!("set {known} itself"),
        );
    }
    row(
        "BITNAMI_*",
        "spoke to its scripts",
        "take it out; for more log lines set REJOIN_LOG=debug and ETCD_LOG_LEVEL=debug",
    );
    text
}

fn from_a_file(name: &str) -> Option<&'static str> {
    let bare = name.strip_suffix("_FILE")?;
    FROM_A_FILE.into_iter().find(|known| *known == bare)
}

#[cfg(test)]
mod tests {
    use super::super::flags::of_variable;
    use super::super::kinds::of_flag;
    use super::*;

    #[test]
    fn nothing_of_etcds_own_is_foreign() {
        for (name, ..) in VARIABLES {
            assert!(of_flag(&of_variable(name)).is_none(), "{name}");
        }
        for name in [
            "ETCD_CONFIG_FILE",
            "ETCD_CERT_FILE",
            "ETCD_PEER_CERT_FILE",
            "ETCD_SNAPSHOT_COUNT",
            "ETCD_NAME",
        ] {
            assert!(!Foreign::default().takes(name, "x"), "{name}");
        }
    }

    #[test]
    fn what_is_off_is_not_worth_a_word() {
        let mut foreign = Foreign::default();
        for (name, value) in [
            ("ETCD_ON_K8S", "no"),
            ("ETCD_DISASTER_RECOVERY", "False"),
            ("ETCD_ROOT_PASSWORD", ""),
        ] {
            assert!(foreign.takes(name, value), "{name}");
        }
        assert_eq!(foreign.said(|_| false), (vec![], vec![]));
    }
}
