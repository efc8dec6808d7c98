//! What a monitor wants to know of the snapshots: as Prometheus reads it, in a file or over HTTP.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch::Receiver;

use etcd_rejoin_host::error::{Context, Error};

use crate::catalog::{Catalog, manifests};
use crate::drills::drills;
use crate::layout::{DrillRecord, Manifest};
use crate::store::Store;

/// All names begin with it.
const PREFIX: &str = "etcd_rejoin_snapshot_";
/// The name of the one that counts on where a file has it from the run before.
const FAILURES: &str = "failures_total";
/// How long a monitor may take with its question, and with our answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// The newest snapshot of the place whose time is not in the future: a clock that is ahead makes nothing fresh.
    pub newest: Option<Manifest>,
    /// The newest drill of any snapshot.
    pub drill: Option<DrillRecord>,
    /// How many runs have failed.
    pub failures: u64,
    /// When a run last went well.
    pub current: Option<SystemTime>,
    /// Whether the last run went well; none before the first has ended.
    pub well: Option<bool>,
}

/// A metric: its name, its kind, what it says, and its value.
struct Metric(&'static str, &'static str, &'static str, Option<f64>);

impl Figures {
    /// After a run: counts it, and reads the store. What cannot be read stays as it was known.
    pub async fn renew(&mut self, store: &Store, well: bool) {
        self.well = Some(well);
        if well {
            self.current = Some(SystemTime::now());
        }
        self.failures += u64::from(!well);
        if let Err(error) = self.read(store).await {
            // After a failed run it is the same error once more.
            let level = if well {
                log::Level::Warn
            } else {
                log::Level::Debug
            };
            log::log!(level, "the figures for monitors stay as they were: {error}");
        }
    }

    async fn read(&mut self, store: &Store) -> Result<(), Error> {
        let Catalog {
            snapshots: ids,
            drilled,
            ..
        } = Catalog::read(store).await?;
        let now = SystemTime::now();
        // A few: the newest may be of a clock that is ahead.
        let few = ids.len().saturating_sub(5);
        // All of one revision: which of them is the newest, their names do not tell.
        let from = ids.get(few).map_or(0, |first| {
            ids.partition_point(|id| (id.lineage, id.revision) < (first.lineage, first.revision))
        });
        let (read, _) = manifests(store, &ids[from..]).await?;
        let read = read.into_iter().filter(|it| it.taken.0 <= now);
        self.newest = read.max_by_key(|it| (it.id.lineage, it.revision, it.taken));
        let drills = drills(store, &drilled).await?;
        self.drill = drills.into_values().max_by_key(|it| it.at);
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        let of = |value: fn(&Manifest) -> Option<f64>| self.newest.as_ref().and_then(value);
        let drill = self.drill.as_ref();
        let flag = |holds: bool| if holds { 1.0 } else { 0.0 };
        vec![
            Metric(
                "newest_timestamp_seconds",
                "gauge",
                "When the newest snapshot in the store was begun.",
                of(|it| Some(seconds(it.taken.0))),
            ),
            Metric(
                "size_bytes",
                "gauge",
                "Its size, as etcd restores it.",
                of(|it| Some(it.size as f64)),
            ),
            Metric(
                "stored_size_bytes",
                "gauge",
                "Its size in the store.",
                of(|it| Some(it.stored_size as f64)),
            ),
            Metric(
                "duration_seconds",
                "gauge",
                "How long it took to save it.",
                of(|it| Some(it.took_ms as f64 / 1000.0)),
            ),
            Metric(
                "revision",
                "gauge",
                "Its revision.",
                of(|it| Some(it.revision as f64)),
            ),
            Metric(
                "keys",
                "gauge",
                "How many keys it has.",
                of(|it| it.keys.map(|keys| keys as f64)),
            ),
            Metric(
                "drill_timestamp_seconds",
                "gauge",
                "When a snapshot was last restored into a throw-away etcd.",
                drill.map(|it| seconds(it.at.0)),
            ),
            Metric(
                "drill_passed",
                "gauge",
                "Whether it was whole then.",
                drill.map(|it| flag(it.passed)),
            ),
            Metric(
                "last_run_passed",
                "gauge",
                "Whether the last save went well.",
                self.well.map(flag),
            ),
            Metric(
                "current_timestamp_seconds",
                "gauge",
                "When a save last went well: all was saved then, or was saved already.",
                self.current.map(seconds),
            ),
            Metric(
                FAILURES,
                "counter",
                "How many saves have failed.",
                Some(self.failures as f64),
            ),
        ]
    }

    /// The text that Prometheus reads. What is not known has no line.
    pub fn text(&self) -> String {
        self.text_after(&BTreeMap::new())
    }

    /// The same, with what was known before where nothing is known now; failures are counted on.
    fn text_after(&self, before: &BTreeMap<String, f64>) -> String {
        let mut text = String::new();
        for Metric(name, kind, help, value) in self.metrics() {
            let old = before.get(&format!("{PREFIX}{name}"));
            let value = match (value, old) {
                (Some(value), Some(old)) if name == FAILURES => value + old,
                (Some(value), _) => value,
                (None, Some(old)) => *old,
                (None, None) => continue,
            };
            let _ = write!(
                text,
                "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}\n{PREFIX}{name} {value}\n"
            );
        }
        text
    }

    /// Writes the text for the node exporter's textfile collector, which must never read half of it. The file is also
    /// what a run knows of the one before.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let what = || format!("cannot write --metrics-file={}", path.display());
        let before = values(&fs::read_to_string(path).unwrap_or_default());
        let mut beside = path.as_os_str().to_os_string();
        beside.push(format!(".{}", std::process::id()));
        let written = fs::File::create(&beside)
            .and_then(|mut file| file.write_all(self.text_after(&before).as_bytes()))
            .and_then(|()| fs::rename(&beside, path));
        if written.is_err() {
            // It may not be there.
            let _ = fs::remove_file(&beside);
        }
        written.context(what)
    }
}

/// The table of the book.
pub fn metrics_table() -> String {
    let mut table = String::from("| metric | meaning |\n|---|---|\n");
    for Metric(name, _, help, _) in Figures::default().metrics() {
        let _ = writeln!(table, "| {PREFIX}{name} | {} |", help.trim_end_matches('.'));
    }
    table
}

/// What a text of ours tells.
fn values(text: &str) -> BTreeMap<String, f64> {
    let ours = text.lines().filter(|line| line.starts_with(PREFIX));
    let pairs = ours.filter_map(|line| line.split_once(' '));
    pairs
        .filter_map(|(name, value)| Some((name.into(), value.trim().parse().ok()?)))
        .collect()
}

fn seconds(time: SystemTime) -> f64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    since.as_millis() as f64 / 1000.0
}

/// Answers whoever asks for `/metrics`, until the program ends. Nobody who asks can hold up another for long.
pub async fn serve(listener: TcpListener, figures: Receiver<Arc<Figures>>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let text = figures.borrow().text();
                // One that hangs up has its answer already, or wants none.
                let _ = tokio::time::timeout(PATIENCE, answer(stream, &text)).await;
            }
            // Out of files, perhaps: not at once again.
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

async fn answer(mut stream: TcpStream, text: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let read = stream.read(&mut piece).await?;
        if read == 0 || head.len() > 8 << 10 {
            return Ok(());
        }
        head.extend_from_slice(&piece[..read]);
    }
    let (status, body) = match head.starts_with(b"GET /metrics ") {
        true => ("200 OK", text),
        false => ("404 Not Found", "/metrics is here\n"),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_has_no_line() {
        let figures = Figures {
            well: Some(false),
            failures: 1,
            ..Figures::default()
        };
        let text = figures.text();
        assert!(
            text.contains("etcd_rejoin_snapshot_last_run_passed 0\n"),
            "{text}"
        );
        assert!(
            text.contains("# TYPE etcd_rejoin_snapshot_failures_total counter\n"),
            "{text}"
        );
        assert!(
            !text.contains("newest") && !text.contains("drill"),
            "{text}"
        );
    }

    #[test]
    fn failures_are_counted_on_from_run_to_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etcd.prom");
        let failed = Figures {
            failures: 1,
            well: Some(false),
            ..Figures::default()
        };
        failed.write(&path).unwrap();
        failed.write(&path).unwrap();
        Figures {
            well: Some(true),
            ..Figures::default()
        }
        .write(&path)
        .unwrap();
        let failures =
            || values(&fs::read_to_string(&path).unwrap())["etcd_rejoin_snapshot_failures_total"];
        assert_eq!(failures(), 2.0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::write(&path, "of somebody else").unwrap();
        failed.write(&path).unwrap();
        assert_eq!(failures(), 1.0);
    }

    /// A store that does not answer is no reason to forget how old the newest snapshot is: the alert is about that.
    #[test]
    fn what_was_known_stays_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etcd.prom");
        fs::write(
            &path,
            "etcd_rejoin_snapshot_newest_timestamp_seconds 1795989358.5\n",
        )
        .unwrap();
        Figures::default().write(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.contains("newest_timestamp_seconds 1795989358.5\n"),
            "{text}"
        );
    }
}
