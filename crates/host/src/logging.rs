//! Log lines on stderr: sentences with `key=value`, or JSON with etcd's own keys.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::SystemTime;

use log::kv::{self, Key, Source, Value, VisitSource};
use log::{Level, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::calendar::timestamp;
use crate::signals::Stop;

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The most detailed level that is printed.
    pub level: log::LevelFilter,
    /// etcd's JSON keys instead of text.
    pub json: bool,
}

impl LogConfig {
    /// Two words for the next image of this program.
    pub fn to_words(self) -> [String; 2] {
        let level = self.level.as_str().to_lowercase();
        [level, if self.json { "json" } else { "text" }.into()]
    }

    /// Reads them.
    pub fn from_words(level: &OsStr, format: &OsStr) -> Self {
        LogConfig {
            level: (level.to_str())
                .and_then(self::level)
                .unwrap_or(log::LevelFilter::Info),
            json: format == "json",
        }
    }
}

/// A log level by name.
pub fn level(text: &str) -> Option<log::LevelFilter> {
    match text {
        "error" => Some(log::LevelFilter::Error),
        "warn" => Some(log::LevelFilter::Warn),
        "info" => Some(log::LevelFilter::Info),
        "debug" => Some(log::LevelFilter::Debug),
        _ => None,
    }
}

/// How often a write that does not get on looks at the stop flag.
const TICK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};
/// A pipe that has room takes so much at once (pipe(7), `PIPE_BUF`).
const AT_ONCE: usize = 4096;

/// Stderr, which waits for its reader until we are asked to stop: a log that nobody reads must not hold that up.
struct Patient(Stop);

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr();
        loop {
            let ready = poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], Some(&TICK));
            match ready {
                Ok(0) if self.0.raised().is_some() => return Ok(bytes.len()),
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return stderr.write(&bytes[..bytes.len().min(AT_ONCE)]),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts logging. A second start changes nothing.
pub fn start(config: LogConfig, stop: &Stop) {
    let mut builder = env_logger::Builder::new();
    builder.filter_module("etcd_rejoin", config.level);
    builder.target(env_logger::Target::Pipe(Box::new(Patient(stop.clone()))));
    builder.format(move |out, record| {
        let line = match config.json {
            true => json(record),
            false => text(record),
        };
        writeln!(out, "{line}")
    });
    // Only a test starts it twice.
    let _ = builder.try_init();
}

/// A line of the log, where it is more than said once: a sentence, and the values that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    words: String,
    values: Vec<(&'static str, String)>,
}

impl Line {
    /// A sentence without values.
    pub fn new(level: Level, words: impl Into<String>) -> Line {
        Line {
            level,
            words: words.into(),
            values: Vec::new(),
        }
    }

    /// The same with one value more.
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Line {
        self.values.push((name, value.to_string()));
        self
    }

    /// The same with these words before it.
    pub fn after(mut self, words: &str) -> Line {
        self.words.insert_str(0, words);
        self
    }

    /// Says it.
    pub fn log(&self) {
        log::logger().log(
            &Record::builder()
                .level(self.level)
                .target(module_path!())
                .module_path_static(Some(module_path!()))
                .key_values(self)
                .args(format_args!("{}", self.words))
                .build(),
        );
    }
}

impl Source for Line {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), kv::Error> {
        (self.values.iter()).try_for_each(|(name, value)| {
            visitor.visit_pair(Key::from(*name), Value::from(&**value))
        })
    }
}

/// As a person reads it: the values come last, as `name=value`.
fn text(record: &Record) -> String {
    let (time, level) = (timestamp(SystemTime::now()), record.level());
    let mut line = format!("{time} {level:<5} {}", one_line(record.args().to_string()));
    for (name, value) in values(record) {
        // Writing to a text does not fail.
        let _ = match value.is_empty() || value.contains(needs_quotes) {
            true => write!(line, " {name}={value:?}"),
            false => write!(line, " {name}={value}"),
        };
    }
    line
}

fn needs_quotes(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '"' | '=')
}

/// As a program reads it, beside the lines of etcd: its own four keys, and one for each value.
fn json(record: &Record) -> String {
    let own = [
        ("level", record.level().as_str().to_lowercase()),
        ("ts", timestamp(SystemTime::now())),
        ("caller", "etcd-rejoin".into()),
        ("msg", record.args().to_string()),
    ];
    let own = own.map(|(name, value)| (name.to_string(), value));
    let keys = own.into_iter().chain(values(record));
    let keys = keys.map(|(name, value)| {
        let [name, value] = [name, value].map(serde_json::Value::from);
        format!("{name}:{value}")
    });
    format!("{{{}}}", keys.collect::<Vec<_>>().join(","))
}

fn values(record: &Record) -> Vec<(String, String)> {
    struct All(Vec<(String, String)>);
    impl VisitSource<'_> for All {
        fn visit_pair(&mut self, name: Key<'_>, value: Value<'_>) -> Result<(), kv::Error> {
            self.0.push((name.to_string(), value.to_string()));
            Ok(())
        }
    }
    let mut all = All(Vec::new());
    // Only a visitor fails, and this one does not.
    let _ = record.key_values().visit(&mut all);
    all.0
}

/// A text on one line: what others are named, or say, may have any character.
pub fn one_line(text: String) -> String {
    match text.contains(char::is_control) {
        true => (text.chars())
            .map(|c| match c.is_control() {
                true => c.escape_default().to_string(),
                false => c.into(),
            })
            .collect(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both formats of this record.
    fn both(line: &Line) -> (String, serde_json::Value) {
        let record = |format: fn(&Record) -> String| {
            format(
                &Record::builder()
                    .level(line.level)
                    .key_values(line)
                    .args(format_args!("{}", line.words))
                    .build(),
            )
        };
        let text = record(text);
        let (_, text) = text.split_once(' ').unwrap();
        let json = serde_json::from_str(&record(json)).unwrap();
        (text.into(), json)
    }

    #[test]
    fn values_follow_the_sentence_or_have_keys_of_their_own() {
        let line = Line::new(Level::Warn, "waits\nlong")
            .with("reason", "data-lost")
            .with("peers", "n2 silent, \"n3\"")
            .with("empty", "");
        let (text, json) = both(&line);
        assert_eq!(
            text,
            r#"WARN  waits\nlong reason=data-lost peers="n2 silent, \"n3\"" empty="""#
        );
        let keys: Vec<_> = ["level", "msg", "caller", "reason", "peers", "empty"]
            .map(|key| json[key].as_str().unwrap())
            .into();
        let said = "n2 silent, \"n3\"";
        assert_eq!(
            keys,
            ["warn", "waits\nlong", "etcd-rejoin", "data-lost", said, ""]
        );
    }
}
