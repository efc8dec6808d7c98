//! What the Kubernetes API server says of the StatefulSet that this member is of: one GET. What is no clear answer is
//! none, and changes nothing.
//!
//! Token and CA are read anew for each question: the kubelet renews them.

use std::time::Instant;

use serde::Deserialize;

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
}

/// Asks for the set. Without a token nobody is asked.
pub fn ask(set: &StatefulSet, deadline: Instant) -> SetAnswer {
    let none = |wants| SetAnswer {
        wants,
        in_order: false,
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
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Object {
        kind: String,
        metadata: Metadata,
        spec: Spec,
    }
    #[derive(Deserialize)]
    struct Metadata {
        name: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Spec {
        replicas: u32,
        #[serde(default)]
        ordinals: Ordinals,
        #[serde(default)]
        pod_management_policy: String,
    }
    #[derive(Default, Deserialize)]
    struct Ordinals {
        #[serde(default)]
        start: u32,
    }
    let object: Object = serde_json::from_slice(body)
        .map_err(|why| format!("its answer is no StatefulSet: {why}"))?;
    if object.kind != "StatefulSet" || object.metadata.name != name {
        let (kind, other) = (object.kind, object.metadata.name);
        return Err(format!(
            "its answer is {kind} {other}, not StatefulSet {name}"
        ));
    }
    Ok(SetAnswer {
        wants: SetWants::Replicas {
            start: object.spec.ordinals.start,
            replicas: object.spec.replicas,
        },
        in_order: object.spec.pod_management_policy == "OrderedReady",
    })
}

/// What a `Status` object says, else the answer's own words.
fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Status {
        message: String,
    }
    match serde_json::from_slice::<Status>(body) {
        Ok(status) => status.message,
        Err(_) if body.is_empty() => "an empty answer".into(),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    }
}
