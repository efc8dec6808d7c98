//! A client of one member: what etcd itself says, asked without the program under test.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;

/// The files of a client's TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Who signs the servers' certificates.
    pub ca: PathBuf,
    /// The client's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// An entry of a member list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// In decimal.
    pub id: u64,
    /// Empty until published.
    pub name: String,
    /// Its peer URLs.
    pub peer_urls: Vec<String>,
    /// Whether it has published client URLs.
    pub started: bool,
    /// Whether it is no voter.
    pub learner: bool,
}

/// Speaks to one member: over its JSON gateway, or through etcdctl where TLS or a user is needed.
#[derive(Clone, Debug)]
pub enum Client {
    /// The gateway costs no process for each question.
    Gateway(Agent, String),
    /// etcdctl with these arguments in front.
    Etcdctl(PathBuf, Vec<String>),
}

enum Question<'a> {
    Put(&'a str, &'a str),
    Everything,
    Read,
    Status,
    Members,
}

impl Client {
    /// A client of the member at `url`.
    pub fn gateway(url: &str) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(2)))
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false);
        Client::Gateway(config.build().into(), url.to_string())
    }

    /// A client of the members at `urls`, over etcdctl.
    pub fn etcdctl(
        etcdctl: PathBuf,
        urls: &str,
        tls: Option<&Tls>,
        user: Option<&(String, String)>,
    ) -> Self {
        let mut args = vec![
            format!("--endpoints={urls}"),
            "--command-timeout=3s".into(),
            "--dial-timeout=2s".into(),
        ];
        if let Some(tls) = tls {
            args.push(format!("--cacert={}", tls.ca.display()));
            args.push(format!("--cert={}", tls.cert.display()));
            args.push(format!("--key={}", tls.key.display()));
        }
        if let Some((name, password)) = user {
            args.push(format!("--user={name}:{password}"));
        }
        Client::Etcdctl(etcdctl, args)
    }

    fn ask(&self, question: &Question) -> Result<Value, String> {
        match self {
            Client::Gateway(agent, url) => ask_gateway(agent, url, question),
            Client::Etcdctl(etcdctl, args) => ask_etcdctl(etcdctl, args, question),
        }
    }

    /// Writes; `Ok` means that etcd has acknowledged it.
    pub fn put(&self, key: &str, value: &str) -> Result<(), String> {
        self.ask(&Question::Put(key, value)).map(|_| ())
    }

    /// Everything that this member holds itself, both in base64.
    pub fn everything(&self) -> Result<BTreeMap<String, String>, String> {
        let answer = self.ask(&Question::Everything)?;
        let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
        let kvs = answer["kvs"].as_array().cloned().unwrap_or_default();
        Ok(kvs
            .iter()
            .map(|kv| (text(&kv["key"]), text(&kv["value"])))
            .collect())
    }

    /// The revision that it has come to.
    pub fn revision(&self) -> Result<u64, String> {
        let answer = self.ask(&Question::Status)?;
        Ok(number(&answer["header"]["revision"]))
    }

    /// A linearizable read: a quorum and a leader are there, and this member takes part.
    pub fn linearizable_read(&self) -> Result<(), String> {
        self.ask(&Question::Read).map(|_| ())
    }

    /// This member's own ID and its leader's, 0 if there is none.
    pub fn id_and_leader(&self) -> Result<(u64, u64), String> {
        let answer = self.ask(&Question::Status)?;
        let id = number(&answer["header"]["member_id"]);
        Ok((id, number(&answer["leader"])))
    }

    /// The members as this member sees them, sorted by ID.
    pub fn members(&self) -> Result<Vec<Listed>, String> {
        let answer = self.ask(&Question::Members)?;
        let list = answer["members"].as_array().cloned().unwrap_or_default();
        let mut members: Vec<Listed> = list
            .iter()
            .map(|member| Listed {
                id: number(&member["ID"]),
                name: member["name"].as_str().unwrap_or_default().into(),
                peer_urls: (member["peerURLs"].as_array().into_iter().flatten())
                    .filter_map(|url| url.as_str().map(str::to_string))
                    .collect(),
                started: (member["clientURLs"].as_array()).is_some_and(|urls| !urls.is_empty()),
                learner: member["isLearner"].as_bool() == Some(true),
            })
            .collect();
        members.sort();
        Ok(members)
    }
}

fn ask_gateway(agent: &Agent, url: &str, question: &Question) -> Result<Value, String> {
    let (path, body) = match question {
        Question::Put(key, value) => (
            "kv/put",
            json!({"key": base64(key), "value": base64(value)}),
        ),
        Question::Everything => (
            "kv/range",
            json!({"key": "AA==", "range_end": "AA==", "serializable": true}),
        ),
        Question::Read => ("kv/range", json!({"key": base64("health")})),
        Question::Status => ("maintenance/status", json!({})),
        Question::Members => ("cluster/member/list", json!({})),
    };
    let mut response = agent
        .post(format!("{url}/v3/{path}"))
        .content_type("application/json")
        .send(body.to_string())
        .map_err(|e| e.to_string())?;
    let status = response.status();
    let text = response
        .body_mut()
        .with_config()
        .limit(64 << 20)
        .read_to_string()
        .map_err(|e| e.to_string())?;
    match status.is_success() {
        true => serde_json::from_str(&text).map_err(|e| format!("{e}: {text}")),
        false => Err(format!("{status}: {text}")),
    }
}

fn ask_etcdctl(etcdctl: &PathBuf, args: &[String], question: &Question) -> Result<Value, String> {
    let words: &[&str] = match question {
        Question::Put(key, value) => &["put", key, value],
        Question::Everything => &["get", "", "--prefix", "--consistency=s"],
        Question::Read => &["get", "health"],
        Question::Status => &["endpoint", "status"],
        Question::Members => &["member", "list"],
    };
    let done = Command::new(etcdctl)
        .env_clear()
        .env("ETCDCTL_API", "3")
        .args(args)
        .args(words)
        .args(["-w", "json"])
        .output()
        .map_err(|e| e.to_string())?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into_owned());
    }
    let answer: Value = serde_json::from_slice(&done.stdout).map_err(|e| e.to_string())?;
    match question {
        Question::Status => Ok(answer[0]["Status"].clone()),
        _ => Ok(answer),
    }
}

/// The gateway writes 64-bit numbers as text, etcdctl as numbers.
fn number(value: &Value) -> u64 {
    let text = value.as_str().and_then(|s| s.parse().ok());
    text.or(value.as_u64()).unwrap_or(0)
}

/// Base64, as the gateway wants keys and values.
pub fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            match i <= chunk.len() {
                true => out.push(DIGITS[(bits >> (18 - 6 * i)) as usize & 63] as char),
                false => out.push('='),
            }
        }
    }
    out
}
