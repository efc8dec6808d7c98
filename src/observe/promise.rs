//! The founding promise, as this member's volume keeps it.

use crate::config::Config;
use crate::decide::Bootstrap;

/// The founding promise names the settings and the member that it was given for, and the mode, if it asks for
/// less than that all were heard.
pub fn promise_digest(config: &Config) -> String {
    promise_under(config, asks_for(config.policy.bootstrap))
}

/// Whether a promise counts: under a mode that asks for more than the one it was given under it proves nothing.
pub(super) fn is_promise(config: &Config, note: &str) -> bool {
    let mode = MODES
        .iter()
        .position(|mode| *mode == asks_for(config.policy.bootstrap));
    let mut enough = MODES.iter().take(mode.map_or(0, |mode| mode + 1));
    enough.any(|mode| note == promise_under(config, mode))
}

/// What a promise ends with, the strictest mode first.
const MODES: [&str; 3] = ["", "-quorum", "-now"];

fn asks_for(bootstrap: Bootstrap) -> &'static str {
    match bootstrap {
        Bootstrap::All | Bootstrap::Never => MODES[0],
        Bootstrap::Quorum => MODES[1],
        Bootstrap::Now => MODES[2],
    }
}

fn promise_under(config: &Config, mode: &str) -> String {
    let (cluster, token) = (&config.cluster_digest, &config.token_digest);
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
        let modes = ["all", "quorum", "now"];
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
