//! etcd's flags, read as etcd reads them: Go's flag package, one or two dashes, `=` or the next word.

use std::ffi::OsString;

use super::kinds;

/// One flag of etcd, with the words it was written as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Its name without dashes.
    pub name: String,
    /// Its value; `true` for a boolean flag without one.
    pub value: String,
    /// The words, to hand on unchanged.
    pub words: Vec<OsString>,
}

impl Flag {
    /// The variable that sets the same.
    ///
    /// Source: etcd `pkg/flags/flag.go`, `FlagToEnv`.
    pub fn variable(&self) -> String {
        variable(&self.name)
    }
}

/// `listen-peer-urls` as `ETCD_LISTEN_PEER_URLS`.
pub fn variable(flag: &str) -> String {
    format!("ETCD_{}", flag.to_uppercase().replace('-', "_"))
}

/// `ETCD_LISTEN_PEER_URLS` as `listen-peer-urls`.
pub fn of_variable(variable: &str) -> String {
    let flag = variable.trim_start_matches("ETCD_");
    flag.to_lowercase().replace('_', "-")
}

/// Flags that take no next word. Source: `etcd --help` of 3.4.23, 3.5.16, 3.5.30, 3.6.14 and 3.7.1, "true", "false".
const BOOLEAN: &[&str] = &[
    "auto-tls",
    "client-cert-auth",
    "debug",
    "discovery-insecure-skip-tls-verify",
    "discovery-insecure-transport",
    "enable-distributed-tracing",
    "enable-grpc-gateway",
    "enable-log-rotation",
    "enable-pprof",
    "enable-v2",
    "experimental-enable-distributed-tracing",
    "experimental-enable-lease-checkpoint",
    "experimental-enable-lease-checkpoint-persist",
    "experimental-initial-corrupt-check",
    "experimental-compact-hash-check-enabled",
    "experimental-memory-mlock",
    "experimental-peer-skip-client-san-verification",
    "experimental-set-member-localaddr",
    "experimental-stop-grpc-service-on-defrag",
    "experimental-txn-mode-write-with-shared-buffer",
    "force-new-cluster",
    "h",
    "help",
    "initial-election-tick-advance",
    "memory-mlock",
    "next-cluster-version-compatible",
    "peer-auto-tls",
    "peer-client-cert-auth",
    "peer-skip-client-san-verification",
    "pre-vote",
    "socket-reuse-address",
    "socket-reuse-port",
    "strict-reconfig-check",
    "unsafe-no-fsync",
    "version",
];

/// Reads etcd's command line. A word that is no flag ends it: etcd refuses such a word, so do we.
pub fn parse(words: &[OsString]) -> Result<Vec<Flag>, String> {
    let mut flags = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(text) = word.to_str() else {
            return Err(format!("{} is not UTF-8", word.display()));
        };
        let name = text.strip_prefix("--").or_else(|| text.strip_prefix('-'));
        let Some(name) = name.filter(|name| !name.is_empty() && !name.starts_with(['-', '=']))
        else {
            let word = crate::text::shorten(text);
            return Err(format!(
                "{word:?} is not a flag of etcd: write --NAME=VALUE"
            ));
        };
        // etcd has none, and ends with it: with --data_dir read as --data-dir, or not at all, an intact
        // member looks like one that has lost its disk.
        let bare = name.split_once('=').map_or(name, |(name, _)| name);
        if bare.contains('_') {
            let right = bare.replace('_', "-");
            return Err(format!("--{bare} is no flag of etcd: write --{right}"));
        }
        let (name, value, words) = match name.split_once('=') {
            Some((name, value)) => (name, value.to_string(), vec![word.clone()]),
            None if BOOLEAN.contains(&name) => (name, "true".to_string(), vec![word.clone()]),
            None => {
                let value = words.next().ok_or(format!("--{name} has no value"))?;
                let value_text = value
                    .to_str()
                    .ok_or(format!("the value of --{name} is not UTF-8"))?;
                // A boolean flag that is not known here would swallow the next one: with --data-dir
                // unread, an intact member looks like one that has lost its disk. So would a text that a shell
                // left out; as a number the next flag is a mistake anyway.
                let dashed = value_text.len() > 1 && value_text.starts_with('-');
                if dashed && !kinds::is_number(name) {
                    return Err(format!(
                        "--{name} is followed by {value_text:?}: write --{name}=VALUE"
                    ));
                }
                (
                    name,
                    value_text.to_string(),
                    vec![word.clone(), value.clone()],
                )
            }
        };
        flags.push(Flag {
            name: name.to_string(),
            value,
            words,
        });
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn flags_read_as_go_reads_them() {
        let flags = parse(&words(
            "--name=n1 -data-dir /d --client-cert-auth --pre-vote=false",
        ))
        .unwrap();
        let pairs: Vec<_> = flags
            .iter()
            .map(|f| (f.name.as_str(), f.value.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("name", "n1"),
                ("data-dir", "/d"),
                ("client-cert-auth", "true"),
                ("pre-vote", "false")
            ]
        );
        assert_eq!(flags[1].words.len(), 2);
        assert_eq!(flags[1].variable(), "ETCD_DATA_DIR");
    }

    #[test]
    fn a_number_may_begin_with_a_dash() {
        let flags = parse(&words(
            "--quota-backend-bytes -1 --grpc-keepalive-interval -1s",
        ))
        .unwrap();
        let values: Vec<_> = flags.iter().map(|flag| flag.value.as_str()).collect();
        assert_eq!(values, ["-1", "-1s"]);
    }

    #[test]
    fn words_that_are_no_flags_are_named() {
        for text in [
            "n1",
            "--name",
            "-- x",
            "---x",
            "--=x",
            "--new --data-dir=/d",
            "--name --data-dir=/d",
        ] {
            assert!(parse(&words(text)).is_err(), "{text}");
        }
    }
}
