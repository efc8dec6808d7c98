//! Our own variables: names, defaults and meanings; `--help`, the documentation and the checks read this table.

use crate::decide::{Ending, Reason};

/// One variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its full name.
    pub name: &'static str,
    /// What holds where it is not set.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

macro_rules! variables {
    ($($name:literal, $default:literal, $meaning:literal;)*) => {
        /// Every variable of ours.
        pub const VARIABLES: &[Variable] = &[$(Variable {
            name: $name, default: $default, meaning: $meaning,
        },)*];
    };
}

variables! {
    "ETCD_OTHER_PEERS_CLIENT_URLS", "from the peers", "client URLs of other members, comma-separated; etcd does not get it";
    "REJOIN_STATEFULSET", "none", "in Kubernetes: the headless service of this pod's StatefulSet (`SERVICE`, `SERVICE.NAMESPACE.svc.DOMAIN`, or `auto`, which finds it in /etc/hosts). Name, URLs and initial cluster are derived; what is given by its own variable or flag stays";
    "REJOIN_INITIAL_SIZE", "none", "with how many replicas the StatefulSet began: the initial cluster. It stays the same when the set grows or shrinks";
    "REJOIN_SERVICE_ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount", "the directory with `token` and `ca.crt` for the Kubernetes API server, which is asked how many replicas the StatefulSet wants";
    "REJOIN_BOOTSTRAP", "all", "who must be heard before a new cluster is founded: `all`; with `now` nobody, but whoever answers must be empty too: that can lose acknowledged writes with one lost disk, so only while nothing of value is stored; `never` only joins";
    "REJOIN_AS", "auto", "how to join a running cluster: `voter`, `learner` (promoted once caught up), `auto` by margin, or `never`: the membership is never changed";
    "REJOIN_DATA", "quarantine", "`quarantine` keeps what was set aside; `delete` deletes it at a later start, once this member is a caught-up voter again";
    "REJOIN_DATA_KEEP", "1", "how many set-aside data dirs `delete` keeps";
    "REJOIN_IGNORE", "none", "what this member may start beside, comma-separated: `ETCD_ROOT_PASSWORD`, which sets no password here, paths of old data that shall stay where it is (`data-elsewhere`), and a peer URL of ours that does not lead here from here (`peer-url-misleads`)";
    "REJOIN_WAIT", "forever", "how long to wait for others before giving up with exit code 69";
    "REJOIN_TIMEOUT", "2s", "how long one look at the cluster may take";
    "REJOIN_CACERT", "ETCD_TRUSTED_CA_FILE, else SSL_CERT_FILE, else the machine's bundle", "the CA that the client URLs of other members are checked with";
    "REJOIN_CERT", "ETCD_CLIENT_CERT_FILE, else ETCD_CERT_FILE", "our certificate for client URLs of other members";
    "REJOIN_KEY", "ETCD_CLIENT_KEY_FILE, else ETCD_KEY_FILE", "the key of REJOIN_CERT";
    "REJOIN_USER", "none", "the etcd user that we are, where authentication is on; it needs the root role";
    "REJOIN_PASSWORD", "none", "the password of REJOIN_USER";
    "REJOIN_PASSWORD_FILE", "none", "a file that holds the password of REJOIN_USER";
    "REJOIN_ETCD", "etcd", "the etcd program: a path, or a name on PATH";
    "REJOIN_LOG", "info", "how much to log: `error`, `warn`, `info`, `debug`";
    "REJOIN_LOG_FORMAT", "as etcd's", "`text`, or `json` with etcd's own keys and a key for each value; by default text on a terminal, else what etcd writes: what `--log-format` says, or json (etcd 3.4 writes text unless it has `--logger=zap`: say it here)";
    "REJOIN_STORE", "none", "where `etcd-rejoin snapshot` keeps snapshots, and a member that lost its data looks for them: an absolute path, or `s3://BUCKET/PREFIX`; one cluster's alone, the same on every member";
    "REJOIN_STORE_CACERT", "AWS_CA_BUNDLE, else the machine's bundle", "the CA of the object store's certificate";
    "REJOIN_RECOVER", "hold", "whether a cluster of which every member lost its data comes back by itself, from the newest good snapshot of REJOIN_STORE: `auto` on every member, else it waits for `etcd-rejoin restore`";
    "REJOIN_METRICS_FILE", "none", "a file with figures as Prometheus' node exporter collects them: the last decision and its reason, the time of the last look, rejoins, bytes set aside";
    "REJOIN_DRBD", "none", "the DRBD resource that this member roves on between two machines; `run` then owns its role, its mount and etcd";
    "REJOIN_MOUNT", "none", "where the volume's file system is mounted: an absolute path; the data dir lies in it";
    "REJOIN_ETCD_USER", "the entrypoint's", "`UID:GID` that the member on the volume runs as; all that lies there is given to it at each start";
    "REJOIN_GATE", "none", "where keepalived's wish is found: a file that `etcd-rejoin notify` writes";
    "REJOIN_FENCE_PEER", "none", "`host:port` of the rover on the other machine, over a network that is not the replication's";
    "REJOIN_FENCE_LISTEN", "0.0.0.0 (`[::]` beside an IPv6 address), the port of REJOIN_FENCE_PEER", "`address:port` where we answer the other rover";
    "REJOIN_FENCE_KEY_FILE", "none", "a file with the secret that both rovers share: at least 32 bytes, the same on both machines";
    "REJOIN_FENCE_COMMAND", "none", "a program, with its arguments, that surely turns the other machine off: exit code 0 says that it is off";
    "REJOIN_FENCE_TIMEOUT", "30s", "how long settling the other machine's fate may take; with REJOIN_FENCE_COMMAND at most 8 seconds of it are for asking";
    "REJOIN_DEMOTE_TIMEOUT", "20s", "how long a demotion may take";
    "REJOIN_SELF_FENCE", "never", "what happens at the end of REJOIN_DEMOTE_TIMEOUT: `reboot` reboots this machine at once, `never` holds and shouts";
}

/// The exit codes, as help and documentation print them.
pub const EXIT_CODES: &[(&str, &str)] = &[
    (
        "1",
        "etcd has left its cluster unasked (its own exit code is 0); `probe`, `two-node check`: no; `status --check`: a warning",
    ),
    (
        "2",
        "usage: the command line is wrong; `status --check`: etcd does not run here, or is not healthy",
    ),
    ("3", "`status --check`: it could not look"),
    ("65", "refused: only a person can tell; the log says why"),
    ("69", "waited as long as REJOIN_WAIT allows"),
    (
        "74",
        "a step failed, or something around us: disk, port, permission",
    ),
    ("75", "`run --max-steps` has taken its last step"),
    ("78", "configuration: every mistake is listed"),
    ("126", "etcd is not executable"),
    ("127", "etcd is not found"),
    (
        "128+n",
        "ended by signal n before etcd ran, or etcd ended by it",
    ),
    ("other", "etcd's own"),
];

/// The variables as Markdown; the documentation holds it, a test keeps them equal.
pub fn variables_table() -> String {
    let mut text = String::from("| variable | default | meaning |\n|---|---|---|\n");
    for v in VARIABLES {
        text += &format!("| `{}` | {} | {} |\n", v.name, v.default, v.meaning);
    }
    text
}

/// The exit codes as Markdown; the documentation holds it, a test keeps them equal.
pub fn exit_codes_table() -> String {
    let mut text = String::from("| code | meaning |\n|---|---|\n");
    for (code, meaning) in EXIT_CODES {
        let ending = match *code {
            "74" => Some(Ending::Surroundings),
            "78" => Some(Ending::Configuration),
            _ => None,
        };
        let rows = Reason::ALL.iter().map(|reason| reason.row());
        let rows = rows.filter(|row| Some(row.ending) == ending);
        let names: Vec<_> = rows.map(|row| format!("`{}`", row.name)).collect();
        let refused = match names.is_empty() {
            true => String::new(),
            false => format!("; refused: {}", names.join(", ")),
        };
        text += &format!("| {code} | {meaning}{refused} |\n");
    }
    text
}

/// Whether Kubernetes made this variable: every container gets the addresses of each Service, under names that
/// begin with `REJOIN_` where the Service is `rejoin` or `rejoin-...`.
///
/// Source: Kubernetes `pkg/kubelet/envvars/envvars.go`, `FromServices` and `makeLinkVariables`.
pub fn of_a_service(name: &str, value: &str) -> bool {
    let mut ends = name.match_indices('_').map(|(at, _)| &name[at + 1..]);
    name.starts_with("REJOIN_") && ends.any(|end| ends_a_service(end, value))
}

fn ends_a_service(end: &str, value: &str) -> bool {
    if let Some(port) = end.strip_prefix("SERVICE_PORT_") {
        return !port.is_empty();
    }
    let link: Vec<&str> = end.split('_').collect();
    match link.as_slice() {
        ["SERVICE", "HOST" | "PORT"] => true,
        ["PORT"] => value.contains("://"),
        ["PORT", port, "TCP" | "UDP" | "SCTP", rest @ ..] => {
            port.parse::<u16>().is_ok() && matches!(rest, [] | ["ADDR" | "PORT" | "PROTO"])
        }
        _ => false,
    }
}

/// The known name nearest to a mistyped one; a short one has fewer mistakes in it.
pub fn nearest(name: &str) -> Option<&'static str> {
    if name.len() > 64 {
        return None;
    }
    let most = (name.chars().count().saturating_sub("REJOIN_".len()) / 2).clamp(1, 4);
    (VARIABLES.iter())
        .map(|variable| {
            (
                strsim::damerau_levenshtein(name, variable.name),
                variable.name,
            )
        })
        .min()
        .filter(|(distance, _)| *distance <= most)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_makes_of_a_service_is_known_by_its_pattern() {
        for service in ["REJOIN", "REJOIN_ETCD", "REJOIN_ETCD_2_B"] {
            for (end, value) in [
                ("SERVICE_HOST", "10.0.0.1"),
                ("SERVICE_PORT", "2379"),
                ("SERVICE_PORT_CLIENT_2", "2379"),
                ("PORT", "tcp://10.0.0.1:2379"),
                ("PORT_2379_TCP", "tcp://10.0.0.1:2379"),
                ("PORT_2379_TCP_ADDR", "10.0.0.1"),
                ("PORT_2379_UDP_PORT", "2379"),
                ("PORT_2379_SCTP_PROTO", "sctp"),
            ] {
                let name = format!("{service}_{end}");
                assert!(of_a_service(&name, value), "{name}");
            }
        }
        for (name, value) in [
            ("ETCD_SERVICE_HOST", "10.0.0.1"),
            ("REJOINER_SERVICE_HOST", "10.0.0.1"),
            ("REJOIN_FENCE_PORT", "2390"),
            ("REJOIN_PORTS", "tcp://10.0.0.1:2379"),
            ("REJOIN_SERVICE_PORT_", "2379"),
            ("REJOIN_SERVICE_NAME", "x"),
            ("REJOIN_PORT_X_TCP", "tcp://10.0.0.1:2379"),
            ("REJOIN_PORT_2379_TCP_X", "x"),
        ] {
            assert!(!of_a_service(name, value), "{name}");
        }
        for ours in VARIABLES {
            assert!(
                !of_a_service(ours.name, "tcp://10.0.0.1:2379"),
                "{}",
                ours.name
            );
        }
    }

    #[test]
    fn a_typing_mistake_finds_its_variable() {
        assert_eq!(nearest("REJOIN_TIMEUOT"), Some("REJOIN_TIMEOUT"));
        assert_eq!(nearest("REJOIN_BOOTSTRP"), Some("REJOIN_BOOTSTRAP"));
        for other in ["REJOIN_SOMETHING_ELSE", "REJOIN_FOO", "REJOIN_"] {
            assert_eq!(nearest(other), None);
        }
    }
}
