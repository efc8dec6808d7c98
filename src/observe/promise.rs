//! The founding promise, as this member's volume keeps it.

use crate::config::Config;
use crate::decide::{Bootstrap, Nonce};

/// The founding promise names the settings and the member that it was given for, and whether it was given
/// beside silence.
fn promise_digest(config: &Config) -> String {
    promise_of(config, config.policy.bootstrap == Bootstrap::Now)
}

/// The promise as it is noted: where there is a store it has a nonce, and keeps it when it is given again.
pub fn promise_note(config: &Config, nonce: Option<&Nonce>) -> String {
    let digest = promise_digest(config);
    nonce.map_or(digest.clone(), |nonce| format!("{digest} {}", nonce.0))
}

/// Whether a promise counts, and which one it is: where all have to be heard, one that was given under `now` proves
/// nothing.
pub(super) fn promised(config: &Config, note: &str) -> (bool, Option<Nonce>) {
    let (digest, nonce) = note
        .split_once(' ')
        .map_or((note, None), |(digest, nonce)| {
            (digest, Some(Nonce(nonce.into())))
        });
    let counts = digest == promise_of(config, false) || digest == promise_digest(config);
    (counts, nonce.filter(|_| counts))
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
            let nonce = Nonce("7e".into());
            let note = promise_note(&config("n1", mode), Some(&nonce));
            for (now, mode) in modes.iter().enumerate() {
                let counts = given <= now;
                let kept = counts.then(|| nonce.clone());
                assert_eq!(promised(&config("n1", mode), &note), (counts, kept));
                assert_eq!(promised(&config("n2", mode), &note), (false, None));
            }
            assert_eq!(promised(&config("n1", "never"), &note).0, given == 0);
            let without = promise_note(&config("n1", mode), None);
            assert_eq!(promised(&config("n1", mode), &without), (true, None));
        }
    }
}
