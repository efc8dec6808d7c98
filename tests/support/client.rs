//! A client of one member: what etcd itself says, asked without the program under test.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

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

/// Speaks to the JSON gateway of one member.
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    url: String,
    user: Option<(String, String)>,
}

impl Client {
    /// A client of the member at `url`.
    pub fn new(url: &str, tls: Option<&Tls>, user: Option<(String, String)>) -> Self {
        let mut config = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(2)))
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false);
        if let Some(tls) = tls {
            let read = |path| std::fs::read(path).unwrap();
            let ca = Certificate::from_pem(&read(&tls.ca)).unwrap();
            let cert = Certificate::from_pem(&read(&tls.cert)).unwrap();
            let key = PrivateKey::from_pem(&read(&tls.key)).unwrap();
            let tls = TlsConfig::builder()
                .root_certs(RootCerts::new_with_certs(&[ca]))
                .client_cert(Some(ClientCert::new_with_certs(&[cert], key)))
                .build();
            config = config.tls_config(tls);
        }
        Client {
            agent: config.build().into(),
            url: url.to_string(),
            user,
        }
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        let token = match &self.user {
            Some((name, password)) => {
                let body = json!({"name": name, "password": password});
                let answer = self.send("/v3/auth/authenticate", &body, None)?;
                answer["token"].as_str().map(str::to_string)
            }
            None => None,
        };
        self.send(path, body, token.as_deref())
    }

    fn send(&self, path: &str, body: &Value, token: Option<&str>) -> Result<Value, String> {
        let mut request = self.agent.post(format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.header("Authorization", token);
        }
        let mut response = request
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

    /// Writes; `Ok` means that etcd has acknowledged it.
    pub fn put(&self, key: &str, value: &str) -> Result<(), String> {
        let body = json!({"key": base64(key), "value": base64(value)});
        self.post("/v3/kv/put", &body).map(|_| ())
    }

    /// Everything that this member holds itself, both in base64.
    pub fn everything(&self) -> Result<BTreeMap<String, String>, String> {
        let body = json!({"key": "AA==", "range_end": "AA==", "serializable": true});
        let answer = self.post("/v3/kv/range", &body)?;
        let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
        let kvs = answer["kvs"].as_array().cloned().unwrap_or_default();
        Ok(kvs
            .iter()
            .map(|kv| (text(&kv["key"]), text(&kv["value"])))
            .collect())
    }

    /// A linearizable read: a quorum and a leader are there, and this member takes part.
    pub fn linearizable_read(&self) -> Result<(), String> {
        let body = json!({"key": base64("health")});
        self.post("/v3/kv/range", &body).map(|_| ())
    }

    /// This member's own ID and its leader's, 0 if there is none.
    pub fn id_and_leader(&self) -> Result<(u64, u64), String> {
        let answer = self.post("/v3/maintenance/status", &json!({}))?;
        let id = number(&answer["header"]["member_id"]);
        Ok((id, number(&answer["leader"])))
    }

    /// The members as this member sees them, sorted by ID.
    pub fn members(&self) -> Result<Vec<Listed>, String> {
        let answer = self.post("/v3/cluster/member/list", &json!({}))?;
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

fn number(value: &Value) -> u64 {
    value.as_str().and_then(|s| s.parse().ok()).unwrap_or(0)
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
