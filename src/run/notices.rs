//! What is left for those who do not read the log: the last decision in Kubernetes' termination message, and figures for
//! Prometheus. Nothing depends on them: what cannot be written is warned of once.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use crate::calendar::timestamp;
use crate::config::Config;
use crate::datadir::Volume;
use crate::decide::Decision;
use crate::observe::Look;
use crate::text::{one_line, read_text};

/// Where Kubernetes reads why a container has ended, if it made that file. It shows 4 KiB of it.
const TERMINATION: &str = "/dev/termination-log";
/// So much of a sentence.
const WORDS: usize = 1500;
/// While nothing changes the figures are written so often.
const EVERY: Duration = Duration::from_secs(5);
/// No file of figures is longer.
const LONGEST: u64 = 64 << 10;
/// How often this member was added; it goes on from the file.
const REJOINS: &str = "etcd_rejoin_rejoins_total";

pub(super) struct Notices {
    name: String,
    termination: Option<PathBuf>,
    metrics: Option<PathBuf>,
    rejoins: u64,
    said: String,
    written: Option<Instant>,
    warned: bool,
}

impl Notices {
    pub(super) fn new(config: &Config) -> Notices {
        let before = config.metrics_file.as_deref().and_then(rejoins_so_far);
        Notices {
            name: config.policy.name.clone(),
            termination: Some(PathBuf::from(TERMINATION)).filter(|path| path.is_file()),
            metrics: config.metrics_file.clone(),
            rejoins: before.unwrap_or_default(),
            said: String::new(),
            written: None,
            warned: false,
        }
    }

    /// This member was added to its cluster once more.
    pub(super) fn has_rejoined(&mut self) {
        self.rejoins += 1;
        self.written = None;
    }

    pub(super) fn decided(&mut self, decision: &Decision, look: &Look, volume: &Volume) {
        let (kind, words) = (decision.kind(), decision.because());
        let said = format!("{kind} {words}");
        let news = self.said != said;
        if news && let Some(path) = &self.termination {
            let message = json!({
                "name": self.name,
                "decision": kind,
                "reason": decision.reason().row().name,
                "why": one_line(&words, WORDS),
                "to_change": one_line(&decision.cure(), WORDS),
                "at": timestamp(SystemTime::now()),
                "version": crate::VERSION,
            });
            // It is a mount of its own: written in its place.
            let written = std::fs::write(path, format!("{message}\n"));
            self.warn(path.clone().as_path(), written);
        }
        let again = self.written.is_none_or(|at| at.elapsed() >= EVERY);
        if (news || again)
            && let Some(path) = self.metrics.clone()
        {
            let aside = match look.seen.set_aside {
                0 => Vec::new(),
                _ => volume.quarantined().unwrap_or_default(),
            };
            let bytes = aside.iter().map(|aside| aside.bytes).sum();
            let text = self.figures(kind, decision.reason().row().name, bytes, SystemTime::now());
            self.warn(&path, write_whole(&path, &text));
            self.written = Some(Instant::now());
        }
        self.said = said;
    }

    fn warn(&mut self, path: &Path, written: std::io::Result<()>) {
        if let Err(error) = written
            && !self.warned
        {
            log::warn!("cannot write {}: {error}", path.display());
            self.warned = true;
        }
    }

    /// Source: Prometheus' text format, version 0.0.4.
    fn figures(&self, kind: &str, reason: &str, set_aside: u64, now: SystemTime) -> String {
        let name = self.name.replace('\\', "\\\\").replace('"', "\\\"");
        let at = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let rejoins = self.rejoins;
        let mut text = String::new();
        for (metric, kind_of, help, labels, value) in [
            (
                "etcd_rejoin_last_decision",
                "gauge",
                "What was decided last, and the row of the decision table; etcd runs after a start.",
                format!(",decision=\"{kind}\",reason=\"{reason}\""),
                "1".to_string(),
            ),
            (
                "etcd_rejoin_last_look_seconds",
                "gauge",
                "When the entrypoint has looked last, in seconds since 1970; nothing of it runs beside etcd.",
                String::new(),
                at.as_secs().to_string(),
            ),
            (
                REJOINS,
                "counter",
                "How often this member was added to its cluster.",
                String::new(),
                rejoins.to_string(),
            ),
            (
                "etcd_rejoin_set_aside_bytes",
                "gauge",
                "How much data lies set aside on this volume.",
                String::new(),
                set_aside.to_string(),
            ),
        ] {
            text += &format!(
                "# HELP {metric} {help}\n# TYPE {metric} {kind_of}\n{metric}{{name=\"{name}\"{labels}}} {value}\n"
            );
        }
        text
    }
}

/// Whoever reads it sees the old file or the new one.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    std::fs::write(&new, text)?;
    std::fs::rename(&new, path)
}

fn rejoins_so_far(path: &Path) -> Option<u64> {
    let text = read_text(path, LONGEST, "file of figures").ok()?;
    let line = text.lines().find(|line| line.starts_with(REJOINS))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_read_as_prometheus_wants_them_and_rejoins_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etcd_rejoin.prom");
        let mut notices = Notices {
            name: "n\"1".into(),
            termination: None,
            metrics: None,
            rejoins: 2,
            said: String::new(),
            written: None,
            warned: false,
        };
        notices.has_rejoined();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(7);
        let text = notices.figures("wait", "not-all-heard", 5, at);
        for line in [
            "etcd_rejoin_last_decision{name=\"n\\\"1\",decision=\"wait\",reason=\"not-all-heard\"} 1\n",
            "etcd_rejoin_last_look_seconds{name=\"n\\\"1\"} 7\n",
            "# TYPE etcd_rejoin_rejoins_total counter\netcd_rejoin_rejoins_total{name=\"n\\\"1\"} 3\n",
            "etcd_rejoin_set_aside_bytes{name=\"n\\\"1\"} 5\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        write_whole(&path, &text).unwrap();
        assert_eq!(rejoins_so_far(&path), Some(3));
        std::fs::write(&path, "etcd_rejoin_rejoins_total{} many\n").unwrap();
        assert_eq!(rejoins_so_far(&path), None);
    }
}
