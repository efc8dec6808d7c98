//! How to log: it is known where the rest of the configuration is wrong, too.

use super::raw::{EtcdSettings, Raw};
use crate::logging::{LogConfig, level};

/// Takes `REJOIN_LOG`, `REJOIN_LOG_FORMAT`, and what etcd is told of its log; wrong values count as unset here,
/// and are reported where all is checked.
pub fn log_config(raw: &Raw, terminal: bool) -> LogConfig {
    LogConfig {
        level: (raw.rejoin.log.as_deref())
            .and_then(level)
            .unwrap_or(log::LevelFilter::Info),
        json: match raw.rejoin.log_format.as_deref() {
            Some("json") => true,
            Some("text") => false,
            None | Some(_) => !terminal && etcd_logs_json(&raw.etcd),
        },
    }
}

/// Both write one log, and who collects it reads one format.
///
/// `--log-format` is new in 3.6; before it the logger alone decides: capnslog, which 3.5 has no more, writes text
/// (etcd `client/pkg/logutil/log_format.go`, `DefaultLogFormat`; `etcd --help` of 3.4.23 and 3.5.30). Which etcd it is shows
/// too late: that 3.4 takes capnslog where nothing is said is not known here.
fn etcd_logs_json(etcd: &EtcdSettings) -> bool {
    etcd.log_format.as_deref() != Some("console") && etcd.logger.as_deref() != Some("capnslog")
}

#[cfg(test)]
mod tests {
    use super::super::raw;
    use super::*;
    use std::ffi::OsString;

    fn read(env: &[(&str, &str)], words: &[&str], terminal: bool) -> LogConfig {
        let env = env.iter().map(|(name, value)| (name.into(), value.into()));
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        log_config(&raw::read(env, &words), terminal)
    }

    #[test]
    fn the_format_is_etcds_but_for_a_person_at_a_terminal() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("etcd.yml");
        std::fs::write(&file, "log-format: console\n").unwrap();
        let file = format!("--config-file={}", file.display());
        let json = |env: &[(&str, &str)], words: &[&str]| {
            assert!(!read(env, words, true).json);
            read(env, words, false).json
        };
        assert!(json(&[], &[]));
        assert!(json(&[("ETCD_LOG_FORMAT", "json")], &["--logger=zap"]));
        assert!(!json(&[("ETCD_LOG_FORMAT", "console")], &[]));
        assert!(!json(&[], &["--log-format", "console"]));
        assert!(!json(&[], &["--logger=capnslog"]));
        assert!(!json(&[], &[&file]));
        for terminal in [true, false] {
            let format = |format| read(&[("REJOIN_LOG_FORMAT", format)], &[], terminal).json;
            assert!(format("json") && !format("text"));
            assert_eq!(format("xml"), !terminal);
        }
    }

    #[test]
    fn the_next_image_logs_as_this_one() {
        for level in ["error", "warn", "info", "debug"] {
            for format in ["json", "text"] {
                let env = [("REJOIN_LOG", level), ("REJOIN_LOG_FORMAT", format)];
                let log = read(&env, &[], false);
                let [level, format] = log.to_words().map(OsString::from);
                assert_eq!(LogConfig::from_words(&level, &format), log);
            }
        }
    }
}
