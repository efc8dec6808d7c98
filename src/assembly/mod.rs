//! What entrypoints tell each other before any etcd runs: one read-only resource on the peer port.
//!
//! It gives away a name, what the data dir holds, whose it is, digests of two settings, and a random
//! text that is another one in each process; nothing else, and nothing can be changed through it. An
//! answer counts only if it reads well, is of the member that was asked for, and agrees with our own
//! initial cluster. Where there is a store of snapshots it says too what a restore has to know of each member.

mod knock;
mod server;

pub use knock::knock;
pub use server::Server;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::decide::{
    DataDir, Heard, Holds, Observation, SaidOfStore, StoreSeen, TABLE, data_elsewhere,
};
use crate::error::Error;
use crate::membership::{ClusterId, MemberId};
use crate::store::random_text;

/// The resource, below a peer URL.
pub const PATH: &str = "/etcd-rejoin/assembly";

/// No text in an answer is longer than this.
const MAX_TEXT: usize = 256;

/// Which process answers. Nothing secret: it tells two that bear the same name from each other, and
/// the answer that comes back to us from our own address from any other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instance(String);

impl Instance {
    /// Another one in each process.
    pub fn random() -> Result<Instance, Error> {
        random_text().map(Instance)
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The member's name.
    pub name: String,
    /// What its data dir holds.
    pub data: Data,
    /// Whose data it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberId>,
    /// Of which cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterId>,
    /// The term of the last entry of the data that is known to be committed, or an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// Its index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<u64>,
    /// A digest of the initial cluster that it was given.
    pub initial_cluster: String,
    /// A digest of the cluster token that it was given.
    pub token: String,
    /// Which process answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Instance>,
    /// What it says of the store of snapshots, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<SaidOfStore>,
}

/// What a data dir holds, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Data {
    /// Nothing.
    Empty,
    /// Nothing, and its initial cluster names itself alone.
    Alone,
    /// Nothing, and a founding promise.
    Promised,
    /// Data that reads well.
    Own,
    /// Data that does not.
    Damaged,
    /// Nothing, but data lies set aside.
    SetAside,
    /// Nothing, but a running cluster asks for it: it takes part in no first start.
    Called,
}

impl Report {
    /// Our own report about what was seen last.
    pub fn of(config: &Config, seen: &Observation, instance: &Instance) -> Report {
        let policy = config.policy.of_founding(seen);
        let (data, identity) = match seen.counts_as() {
            DataDir::Own(identity) => (Data::Own, Some(identity)),
            DataDir::Damaged { head } => (Data::Damaged, head),
            DataDir::Empty if seen.set_aside > 0 || seen.misplaced.is_some() => {
                (Data::SetAside, None)
            }
            DataDir::Empty if data_elsewhere(&policy, seen).is_some() => (Data::SetAside, None),
            DataDir::Empty if seen.knocks_of_a_cluster(&policy).next().is_some() => {
                (Data::Called, None)
            }
            DataDir::Empty if seen.promise => (Data::Promised, None),
            DataDir::Empty if config.policy.is_alone() => (Data::Alone, None),
            DataDir::Empty => (Data::Empty, None),
        };
        Report {
            name: config.policy.name.clone(),
            data,
            member: identity.map(|identity| identity.member),
            cluster: identity.map(|identity| identity.cluster),
            term: Some(seen.committed.term).filter(|term| *term > 0),
            commit: Some(seen.committed.index).filter(|index| *index > 0),
            initial_cluster: config.cluster_digest.clone(),
            token: config.token_digest.clone(),
            instance: Some(instance.clone()),
            store: config.store.as_ref().map(|_| said_of_store(config, seen)),
        }
    }
}

fn said_of_store(config: &Config, seen: &Observation) -> SaidOfStore {
    let marker = match &seen.store {
        Some(StoreSeen::Read(kept)) => kept.marker.as_ref(),
        Some(StoreSeen::Silent(_)) | None => None,
    };
    SaidOfStore {
        name: config.policy.name.clone(),
        recover: config.policy.recover,
        table: TABLE,
        marker: marker.map(|marker| marker.nonce.clone()),
        promise: seen.promise_nonce.clone(),
        waits_for: seen.order_note,
    }
}

/// Whether this answer at our own peer URL is of another process that bears our name. Our own answer
/// comes back there as a rule; one that does not read, or does not say whose it is, proves nothing.
pub fn is_another(config: &Config, own: &Instance, body: &[u8]) -> bool {
    parse(body).is_ok_and(|report| {
        report.name == config.policy.name && report.instance.is_some_and(|other| other != *own)
    })
}

/// The name of the entrypoint that answers so.
pub fn name(body: &[u8]) -> Option<String> {
    parse(body).ok().map(|report| report.name)
}

/// Reads a peer's answer, and what it says of the store; whatever is not exactly an answer of this peer is nonsense, and
/// named. One that is known by its URL alone may have any name.
pub fn heard(config: &Config, peer: &str, body: &[u8]) -> (Heard, Option<SaidOfStore>) {
    let mut said = None;
    let heard = match parse(body) {
        Err(why) => Heard::Nonsense(format!("its assembly answer does not read: {why}")),
        Ok(report) if report.name != peer && !peer.contains("://") => {
            Heard::Nonsense(format!("{} answers at the peer URL of {peer}", report.name))
        }
        // That its initial cluster is another one than ours is the whole of what it says.
        Ok(report) if report.data == Data::Alone => Heard::Entrypoint {
            holds: Holds::Alone,
            differs: None,
        },
        Ok(report) => {
            let differs = differs(config, &report);
            said = report.store.map(|said| SaidOfStore {
                name: peer.into(),
                ..said
            });
            let holds = match (report.data, report.cluster) {
                (Data::Empty, _) => Holds::Empty,
                (Data::Alone, _) => Holds::Alone,
                (Data::Promised, _) => Holds::Promised,
                (Data::SetAside, _) => Holds::SetAside,
                (Data::Called, _) => Holds::Called,
                (Data::Own, Some(cluster)) => Holds::Own(cluster),
                (Data::Own, None) | (Data::Damaged, _) => Holds::Damaged,
            };
            Heard::Entrypoint { holds, differs }
        }
    };
    (heard, said)
}

/// Reads the bytes of an answer.
pub fn parse(body: &[u8]) -> Result<Report, String> {
    // The reader's words may repeat the answer, which is as long and as hostile as its sender wants.
    let words = |error: serde_json::Error| -> String {
        let words = error.to_string();
        words
            .chars()
            .flat_map(char::escape_debug)
            .take(200)
            .collect()
    };
    let report: Report = serde_json::from_slice(body).map_err(words)?;
    let mut texts = vec![&report.name, &report.initial_cluster, &report.token];
    texts.extend(report.instance.as_ref().map(|Instance(text)| text));
    let store = report.store.iter();
    texts.extend(
        store
            .flat_map(|said| said.marker.iter().chain(&said.promise))
            .map(|it| &it.0),
    );
    match texts
        .iter()
        .any(|text| text.len() > MAX_TEXT || text.contains(char::is_control))
    {
        true => Err("a text in it is too long or not printable".into()),
        false => Ok(report),
    }
}

fn differs(config: &Config, report: &Report) -> Option<String> {
    let mut differs = Vec::new();
    if report.initial_cluster != config.cluster_digest {
        differs.push("ETCD_INITIAL_CLUSTER");
    }
    if report.token != config.token_digest {
        differs.push("ETCD_INITIAL_CLUSTER_TOKEN");
    }
    (!differs.is_empty()).then(|| format!("another {}", differs.join(" and another ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::{Nonce, Recover};

    fn config() -> Config {
        let env = [
            ("ETCD_NAME", "n1"),
            ("ETCD_INITIAL_CLUSTER", "n1=http://a:2380,n2=http://b:2380"),
            ("ETCD_INITIAL_ADVERTISE_PEER_URLS", "http://a:2380"),
        ];
        let env = env.map(|(name, value)| (name.into(), value.into()));
        Config::read(env, &[], &Default::default()).unwrap()
    }

    fn instance(text: &str) -> Instance {
        Instance(text.into())
    }

    fn answer(name: &str, token: &str) -> Vec<u8> {
        let report = Report {
            name: name.into(),
            token: token.into(),
            ..Report::of(&config(), &Observation::default(), &instance("n2's"))
        };
        serde_json::to_vec(&report).unwrap()
    }

    #[test]
    fn a_peers_answer_is_heard() {
        let token = config().token_digest;
        let (heard, _) = heard(&config(), "n2", &answer("n2", &token));
        assert_eq!(
            heard,
            Heard::Entrypoint {
                holds: Holds::Empty,
                differs: None
            }
        );
    }

    #[test]
    fn what_a_peer_says_of_the_store_is_heard_by_its_name() {
        let token = config().token_digest;
        let plain = String::from_utf8(answer("n2", &token)).unwrap();
        assert!(!plain.contains("store"), "{plain}");
        let store = r#","store":{"recover":"auto","table":1,"marker":"aa","waits_for":3}}"#;
        let told = plain[..plain.len() - 1].to_string() + store;
        let said = SaidOfStore {
            name: "n2".into(),
            recover: Recover::Auto,
            table: 1,
            marker: Some(Nonce("aa".into())),
            promise: None,
            waits_for: Some(3),
        };
        assert_eq!(
            heard(&config(), "n2", told.as_bytes()).1,
            Some(said.clone())
        );
        let again = serde_json::to_string(&said).unwrap();
        assert!(store.contains(&again), "{again}");
        // One that is known by its URL alone.
        let url = "http://b:2380";
        let (by_url, said) = heard(&config(), url, told.as_bytes());
        assert!(matches!(by_url, Heard::Entrypoint { .. }));
        assert_eq!(said.unwrap().name, url);
        let long = told.replace("aa", &"a".repeat(300));
        assert!(matches!(
            heard(&config(), "n2", long.as_bytes()),
            (Heard::Nonsense(_), None)
        ));
    }

    #[test]
    fn a_peer_with_another_token_says_so() {
        let (Heard::Entrypoint { differs, .. }, _) = heard(&config(), "n2", &answer("n2", "x"))
        else {
            panic!("not heard");
        };
        assert_eq!(differs.unwrap(), "another ETCD_INITIAL_CLUSTER_TOKEN");
    }

    #[test]
    fn answers_that_are_none_never_count() {
        let long = answer(&"n".repeat(1 << 16), "x");
        let wrong_name = answer("n3", "x");
        let variant = String::from_utf8(answer("n2", "x")).unwrap();
        let variant = variant
            .replace("empty", &"\\n".repeat(1 << 14))
            .into_bytes();
        let answers: [&[u8]; 7] = [
            b"",
            b"{}",
            b"[[[[",
            b"\xff\xfe",
            &long,
            &wrong_name,
            &variant,
        ];
        for body in answers {
            let (Heard::Nonsense(why), None) = heard(&config(), "n2", body) else {
                panic!("it counts");
            };
            assert!(why.len() < 300 && !why.contains('\n'), "{why}");
        }
    }

    #[test]
    fn another_process_of_our_name_is_told_from_ourselves() {
        let is_another = |own: &str, body: &[u8]| is_another(&config(), &instance(own), body);
        let token = config().token_digest;
        assert!(is_another("ours", &answer("n1", &token)));
        // Its settings may be others.
        assert!(is_another("ours", &answer("n1", "x")));
        let ours = answer("n1", &token);
        let text = String::from_utf8(ours.clone()).unwrap();
        let nameless = text.replace(r#","instance":"n2's""#, "");
        assert_ne!(nameless, text);
        let long = text.replace("n2's", &"x".repeat(300));
        assert!(!is_another("n2's", &ours));
        for nothing in [
            &answer("n2", &token)[..],
            nameless.as_bytes(),
            long.as_bytes(),
            text.replace("n2's", "\\n").as_bytes(),
            text.replace(r#""n2's""#, "7").as_bytes(),
            b"{}",
            b"",
        ] {
            assert!(!is_another("ours", nothing));
        }
    }

    #[test]
    fn each_process_has_an_instance_of_its_own() {
        let [one, other] = [Instance::random().unwrap(), Instance::random().unwrap()];
        assert_ne!(one, other);
        assert_eq!(one.to_string().len(), 32);
    }
}
