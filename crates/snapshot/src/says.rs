//! What an entrypoint answers at its peer URL, as far as `recover` needs it. Asks nobody.

use serde::{Deserialize, Serialize};

/// What an entrypoint says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntrypointSays {
    /// Its name.
    pub name: String,
    /// What its data dir holds, in a word.
    pub data: String,
    /// Of which cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The term of its last entry that is known to be committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// Its index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<u64>,
    /// What it says of the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreWords>,
}

/// What an entrypoint says of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreWords {
    /// It waits for this order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<u64>,
}

impl EntrypointSays {
    /// Reads an answer.
    pub fn read(bytes: &[u8]) -> Result<EntrypointSays, String> {
        let read: EntrypointSays = serde_json::from_slice(bytes)
            .map_err(|error| format!("its answer does not read: {error}"))?;
        // Whoever answers there may be anybody: what is shown on a terminal is plain.
        let texts = [Some(&read.name), Some(&read.data), read.cluster.as_ref()];
        let plain = |text: &String| text.len() <= 256 && !text.contains(char::is_control);
        let plain = texts.into_iter().flatten().all(plain);
        match plain {
            true => Ok(read),
            false => Err("a text in its answer is too long or not printable".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_answer_of_an_entrypoint_is_none() {
        let whole = r#"{"name":"n1","data":"own","cluster":"ab12","commit":7,"new":1}"#;
        let read = EntrypointSays::read(whole.as_bytes()).unwrap();
        assert_eq!((read.commit, read.store), (Some(7), None));
        let (long, escaped) = ("n".repeat(300), "\\u001b[2J");
        for other in [
            "".into(),
            "{}".into(),
            whole.replace("n1", &long),
            whole.replace("own", escaped),
        ] {
            assert!(EntrypointSays::read(other.as_bytes()).is_err(), "{other}");
        }
    }
}
