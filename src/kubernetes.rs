//! What the Kubernetes API server says of the StatefulSet that this member is of: one GET. What is no clear answer is
//! none, and changes nothing.
//!
//! Token and CA are read anew for each question: the kubelet renews them.

use std::time::Instant;

use serde_json::Value;

use crate::access::TlsFiles;
use crate::config::StatefulSet;
use crate::decide::SetWants;
use crate::gateway::Client;
use crate::text::{one_line, read_text};

/// A larger file is no token.
const MAX_TOKEN: u64 = 64 << 10;
/// So much of the server's own words is shown.
const WORDS: usize = 200;

/// What the API server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAnswer {
    /// How many members the set wants.
    pub wants: SetWants,
    /// One pod after the other is made, each once the one before it is ready (`podManagementPolicy: OrderedReady`).
    pub in_order: bool,
    /// The claims of pods that it does not want are deleted (`persistentVolumeClaimRetentionPolicy`).
    pub deletes: bool,
}

/// Asks for the set. Without a token nobody is asked.
pub fn ask(set: &StatefulSet, deadline: Instant) -> SetAnswer {
    let none = |wants| SetAnswer {
        wants,
        in_order: false,
        deletes: false,
    };
    match &set.api {
        None => none(SetWants::NotAsked),
        Some(url) => get(set, url, deadline)
            .unwrap_or_else(|why| none(SetWants::Unknown(one_line(&why, WORDS)))),
    }
}

fn get(set: &StatefulSet, url: &str, deadline: Instant) -> Result<SetAnswer, String> {
    let token = set.account.join("token");
    let token = read_text(&token, MAX_TOKEN, "token")
        .map_err(|why| format!("{} {why}", token.display()))?;
    let files = TlsFiles {
        ca: Some(set.account.join("ca.crt")),
        ..TlsFiles::default()
    };
    let client = Client::new(&files, None).map_err(|error| error.to_string())?;
    let (status, body) = client
        .get_as(url, &format!("Bearer {}", token.trim()), deadline)
        .map_err(|failure| failure.to_string())?;
    let (url, _) = url.split_once("/apis/").unwrap_or((url, ""));
    match status {
        200 => read(&body, &set.name).map_err(|why| format!("{url}: {why}")),
        _ => Err(format!("{url} answers {status}: {}", message(&body))),
    }
}

/// Source: Kubernetes `staging/src/k8s.io/api/apps/v1/types.go`, `StatefulSetSpec`; the server fills `replicas` in.
fn read(body: &[u8], name: &str) -> Result<SetAnswer, String> {
    let none = |why: &str| format!("its answer is no StatefulSet: {why}");
    let object: Value = serde_json::from_slice(body).map_err(|why| none(&why.to_string()))?;
    let text = |path| {
        object
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (kind, named) = (text("/kind"), text("/metadata/name"));
    if kind != "StatefulSet" || named != name {
        return Err(none(&format!(
            "it is {kind} {named}, not StatefulSet {name}"
        )));
    }
    let number = |path| {
        object
            .pointer(path)
            .map(|value| value.as_u64()?.try_into().ok())
    };
    let Some(Some(replicas)) = number("/spec/replicas") else {
        return Err(none("its spec.replicas is no number"));
    };
    let Some(start) = number("/spec/ordinals/start").unwrap_or(Some(0)) else {
        return Err(none("its spec.ordinals.start is no number"));
    };
    Ok(SetAnswer {
        wants: SetWants::Replicas { start, replicas },
        in_order: text("/spec/podManagementPolicy") == "OrderedReady",
        deletes: text("/spec/persistentVolumeClaimRetentionPolicy/whenScaled") == "Delete",
    })
}

/// What a `Status` object says, else the answer's own words.
fn message(body: &[u8]) -> String {
    let status: Option<Value> = serde_json::from_slice(body).ok();
    let message = status
        .as_ref()
        .and_then(|status| status.get("message")?.as_str());
    match (message, body) {
        (Some(message), _) => message.into(),
        (None, b"") => "an empty answer".into(),
        (None, _) => String::from_utf8_lossy(body).into_owned(),
    }
}
