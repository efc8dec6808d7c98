//! Asks the API server as its administrator, through `kubectl proxy`, which adds TLS and the token.

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

/// A patch that merges lists by the key that the server knows for them.
const PATCH: &str = "application/strategic-merge-patch+json";

/// A client of the API server.
#[derive(Clone)]
pub struct Api {
    agent: Agent,
    url: String,
}

/// What the server says beside 2xx: its status, and its body; 0 where it says nothing.
pub type Refused = (u16, String);

impl Api {
    /// Of the proxy at `url`, which adds who we are.
    pub fn new(url: &str) -> Api {
        let config = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(10)))
            .proxy(None)
            .http_status_as_error(false);
        Api {
            agent: config.build().into(),
            url: url.into(),
        }
    }

    /// Whether it answers, and is ready.
    pub fn is_ready(&self) -> bool {
        let answer = self.agent.get(format!("{}/readyz", self.url)).call();
        answer.is_ok_and(|answer| answer.status() == 200)
    }

    pub fn get(&self, path: &str) -> Result<Value, Refused> {
        self.send("GET", path, "application/json", None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Refused> {
        self.send("POST", path, "application/json", Some(body))
    }

    pub fn patch(&self, path: &str, body: &Value) -> Result<Value, Refused> {
        self.send("PATCH", path, PATCH, Some(body))
    }

    pub fn delete(&self, path: &str, body: &Value) -> Result<Value, Refused> {
        self.send("DELETE", path, "application/json", Some(body))
    }

    /// The items of a list; none where the server does not answer.
    pub fn list(&self, path: &str) -> Option<Vec<Value>> {
        self.get(path).ok()?.get("items")?.as_array().cloned()
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: Option<&Value>,
    ) -> Result<Value, Refused> {
        let silent = |error: ureq::Error| (0, format!("{method} {path}: {error}"));
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("Content-Type", kind);
        let request = request.body(body.map_or(String::new(), Value::to_string));
        let config = self.agent.configure_request(request.unwrap());
        let request = config.allow_non_standard_methods(true).build();
        let mut answer = self.agent.run(request).map_err(silent)?;
        let text = answer.body_mut().with_config().limit(64 << 20);
        let text = text.read_to_string().map_err(silent)?;
        match answer.status().is_success() {
            true => serde_json::from_str(&text).map_err(|error| (0, error.to_string())),
            false => Err((answer.status().as_u16(), format!("{method} {path}: {text}"))),
        }
    }
}

/// The text at a path of a value; empty where there is none.
pub fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
