//! What etcd-manager (kops) writes down beside a snapshot.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::layout::Moment;

/// What etcd-manager knows of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagerMeta {
    /// The version of etcd that it ran.
    pub etcd_version: String,
    /// When.
    pub taken: Option<Moment>,
}

impl ManagerMeta {
    /// Reads `_etcd_backup.meta`: JSON of a protobuf message, whose 64-bit numbers are text, and whose names come in
    /// either spelling.
    pub fn read(bytes: &[u8]) -> Result<ManagerMeta, String> {
        let json: Value =
            serde_json::from_slice(bytes).map_err(|error| format!("it is no JSON: {error}"))?;
        let etcd_version = json
            .get("etcdVersion")
            .or_else(|| json.get("etcd_version"))
            .and_then(Value::as_str);
        let etcd_version = etcd_version.ok_or("it names no etcdVersion")?.to_string();
        let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
        let seconds = json
            .get("timestamp")
            .and_then(number)
            .filter(|seconds| *seconds > 0);
        let taken = seconds
            .and_then(|it| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(it)))
            .map(Moment);
        // A year of five digits is no time of a backup.
        let taken = taken
            .filter(|it| it.to_string().len() == Moment(SystemTime::UNIX_EPOCH).to_string().len());
        Ok(ManagerMeta {
            etcd_version,
            taken,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcd_managers_metadata_are_read() {
        let text =
            r#"{"etcdVersion":"3.5.9","timestamp":"1517274123","clusterSpec":{"memberCount":3}}"#;
        let meta = ManagerMeta::read(text.as_bytes()).unwrap();
        assert_eq!(meta.etcd_version, "3.5.9");
        assert_eq!(meta.taken.unwrap().to_string(), "2018-01-30T01:02:03.000Z");
        for (text, taken) in [
            (r#"{"etcd_version":"3.4.3","timestamp":1517274123}"#, true),
            (r#"{"etcdVersion":"3.4.3"}"#, false),
            (
                r#"{"etcdVersion":"3.4.3","timestamp":"18446744073709551615"}"#,
                false,
            ),
        ] {
            assert_eq!(
                ManagerMeta::read(text.as_bytes()).unwrap().taken.is_some(),
                taken,
                "{text}"
            );
        }
        for text in ["", "{}", "[]", r#"{"etcdVersion":3}"#] {
            assert!(ManagerMeta::read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
