//! The founding promise, as this member's volume keeps it.

use crate::config::Config;
use crate::decide::Bootstrap;

/// The founding promise names the settings and the member that it was given for, and whether it was given
/// beside silence.
pub fn promise_digest(config: &Config) -> String {
    promise_of(config, config.policy.bootstrap == Bootstrap::Now)
}

/// Whether a promise counts: where all have to be heard, one that was given under `now` proves nothing.
pub(super) fn is_promise(config: &Config, note: &str) -> bool {
    note == promise_of(config, false) || note == promise_digest(config)
}

fn promise_of(config: &Config, beside_silence: bool) -> String {
    let (cluster, token) = (&config.cluster_digest, &config.token_digest);
    let mode = if beside_silence { "-now" } else { "" };
    format!("{cluster}-{token}-{}{mode}", config.policy.static_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    fn config(name: &str, mode: &str) -> Config {
        let env = [
            ("ETCD_NAME", name),
            ("ETCD_INITIAL_CLUSTER", "n1=http://a:1,n2=http://b:1"),
            (
                "ETCD_INITIAL_ADVERTISE_PEER_URLS",
                if name == "n1" {
                    "http://a:1"
                } else {
                    "http://b:1"
                },
            ),
            ("REJOIN_BOOTSTRAP", mode),
        ];
        let env = env.map(|(name, value)| (name.into(), value.into()));
        Config::read(env, &[], &Overrides::default()).unwrap()
    }

    #[test]
    fn a_promise_counts_for_its_member_and_no_stricter_mode() {
        let modes = ["all", "now"];
        for (given, mode) in modes.iter().enumerate() {
            let note = promise_digest(&config("n1", mode));
            for (now, mode) in modes.iter().enumerate() {
                assert_eq!(is_promise(&config("n1", mode), &note), given <= now);
                assert!(!is_promise(&config("n2", mode), &note));
            }
            assert_eq!(is_promise(&config("n1", "never"), &note), given == 0);
        }
    }
}
