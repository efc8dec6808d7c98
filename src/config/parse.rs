//! Single values from text: each mistake names its variable, its value and what to write instead.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::values::{boolean, milliseconds};
use crate::access::Credentials;
use crate::decide::{Bootstrap, JoinAs};
use crate::logging::level;
use crate::rover::settings::{Mistake, Remarks};
use crate::text::{duration, listed, read_text, shorten};

/// etcd's own, in milliseconds. Source: etcd `server/embed/config.go`.
const HEARTBEAT: u64 = 100;
const ELECTION: u64 = 1000;
const LONGEST_ELECTION: u64 = 50_000;

/// A password file larger than this is no password file.
const MAX_PASSWORD: u64 = 4096;

/// What REJOIN_IGNORE may name beside paths.
pub const ROOT_PASSWORD: &str = "ETCD_ROOT_PASSWORD";

/// Collects mistakes instead of stopping at the first.
#[derive(Default)]
pub struct Checker {
    pub mistakes: Vec<String>,
    pub warnings: Vec<String>,
    /// How the user named what a variable stands for: a flag, or a key of the configuration file.
    pub named: BTreeMap<String, String>,
    /// Settings that etcd gets otherwise than given: each URL once, and no blanks around names.
    pub restated: Vec<(String, String)>,
}

impl Checker {
    pub fn mistake(&mut self, variable: &str, value: &str, why: &str) {
        let named = self.named(variable);
        let mistake = format!("{named}={} {why}", shorten(value));
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    /// What is wrong and odd about two machines.
    pub fn remarks(&mut self, remarks: Remarks) {
        for Mistake {
            variable,
            value,
            why,
        } in remarks.mistakes
        {
            match value {
                Some(value) => self.mistake(&variable, &value, &why),
                None => self.mistakes.push(format!("{variable} {why}")),
            }
        }
        self.warnings.extend(remarks.warnings);
    }

    /// What the user calls this variable.
    pub fn named(&self, variable: &str) -> String {
        self.named
            .get(variable)
            .map_or(variable, |name| name)
            .into()
    }

    /// How long a look may take.
    pub fn timeout(&mut self, value: Option<&str>) -> Duration {
        let timeout = self.duration("REJOIN_TIMEOUT", value);
        let timeout = timeout.unwrap_or(Duration::from_secs(2));
        if timeout.is_zero() {
            let why = "hears nobody: write 500ms, 2s or 1m";
            self.mistake("REJOIN_TIMEOUT", value.unwrap_or_default(), why);
        }
        timeout
    }

    pub fn boolean(&mut self, variable: &str, value: Option<&str>) -> bool {
        let Some(value) = value else {
            return false;
        };
        boolean(value).unwrap_or_else(|| {
            self.mistake(variable, value, "is neither true nor false");
            false
        })
    }

    pub fn number(&mut self, variable: &str, value: Option<&str>, default: usize) -> usize {
        match value.map(str::parse) {
            None => default,
            Some(Ok(number)) => number,
            Some(Err(_)) => {
                self.mistake(variable, value.unwrap_or_default(), "is not a whole number");
                default
            }
        }
    }

    pub fn duration(&mut self, variable: &str, value: Option<&str>) -> Option<Duration> {
        let parsed = duration(value?);
        if parsed.is_none() {
            let why = "is not a duration: write 500ms, 5s, 2m or 1h";
            self.mistake(variable, value.unwrap_or_default(), why);
        }
        parsed
    }

    /// The paths and the URLs of REJOIN_IGNORE. What else may stand there is asked where it matters.
    pub fn ignored(&mut self, value: Option<&str>) -> (Vec<PathBuf>, Vec<String>) {
        let (mut paths, mut urls) = (Vec::new(), Vec::new());
        for word in listed(value) {
            match word {
                ROOT_PASSWORD => {}
                path if path.starts_with('/') => paths.push(path.into()),
                url if url.contains("://") => urls.push(url.into()),
                other => {
                    let why = format!(
                        "names {other:?}, which is neither {ROOT_PASSWORD} nor an absolute path nor a URL"
                    );
                    self.mistake("REJOIN_IGNORE", value.unwrap_or_default(), &why);
                }
            }
        }
        (paths, urls)
    }

    pub fn bootstrap(&mut self, value: Option<&str>) -> Bootstrap {
        match value {
            None | Some("all") => Bootstrap::All,
            Some("now") => Bootstrap::Now,
            Some("never") => Bootstrap::Never,
            Some(other) => {
                self.mistake("REJOIN_BOOTSTRAP", other, "is none of all, now, never");
                Bootstrap::Never
            }
        }
    }

    pub fn join_as(&mut self, value: Option<&str>) -> JoinAs {
        match value {
            None | Some("auto") => JoinAs::Auto,
            Some("voter") => JoinAs::Voter,
            Some("learner") => JoinAs::Learner,
            Some("never") => JoinAs::Never,
            Some(other) => {
                self.mistake("REJOIN_AS", other, "is none of auto, voter, learner, never");
                JoinAs::Never
            }
        }
    }

    /// The times of Raft, as they are given; how long an election waits.
    ///
    /// Source: etcd `server/embed/config.go`, `Validate`.
    pub fn intervals(&mut self, heartbeat: Option<&str>, election: Option<&str>) -> Duration {
        let variables = ("ETCD_HEARTBEAT_INTERVAL", "ETCD_ELECTION_TIMEOUT");
        let read = |value: Option<&str>, default| value.map_or(Some(default), milliseconds);
        // What does not read is a mistake already.
        let (Some(beat), Some(elects)) = (read(heartbeat, HEARTBEAT), read(election, ELECTION))
        else {
            return Duration::from_millis(ELECTION);
        };
        let (beats, timeout) = (self.named(variables.0), self.named(variables.1));
        if beat == 0 {
            let why = "is no interval: write milliseconds, from 1 on";
            self.mistake(variables.0, heartbeat.unwrap_or_default(), why);
        } else if elects < beat.saturating_mul(5) {
            let (variable, value, other) = match election {
                Some(value) => (variables.1, value, format!("{beats} is {beat}")),
                None => (
                    variables.0,
                    heartbeat.unwrap_or_default(),
                    format!("{timeout} is {elects}"),
                ),
            };
            let why = format!(
                "does not fit: {other}, and etcd wants an election timeout of at least 5 heartbeat intervals"
            );
            self.mistake(variable, value, &why);
        } else if elects > LONGEST_ELECTION {
            let why = format!("is too long for etcd: at most {LONGEST_ELECTION}");
            self.mistake(variables.1, election.unwrap_or_default(), &why);
        }
        Duration::from_millis(elects)
    }

    pub fn log(&mut self, wanted: Option<&str>, format: Option<&str>) {
        if let Some(wanted) = wanted
            && level(wanted).is_none()
        {
            self.mistake("REJOIN_LOG", wanted, "is none of error, warn, info, debug");
        }
        if let Some(format) = format
            && !matches!(format, "text" | "json")
        {
            self.mistake("REJOIN_LOG_FORMAT", format, "is neither text nor json");
        }
    }

    pub fn credentials(
        &mut self,
        (user, password): (Option<String>, Option<String>),
        file: Option<&Path>,
    ) -> Option<Credentials> {
        let given = password.is_some() || file.is_some();
        let password = match (password, file) {
            (Some(_), Some(_)) => {
                let why = "REJOIN_PASSWORD and REJOIN_PASSWORD_FILE are both set: give one of them";
                self.mistakes.push(why.into());
                None
            }
            (Some(password), None) => Some(password),
            (None, Some(file)) => match password_file(file) {
                Ok(password) => Some(password),
                Err(why) => {
                    let file = file.display().to_string();
                    self.mistake("REJOIN_PASSWORD_FILE", &file, &why);
                    None
                }
            },
            (None, None) => None,
        };
        match (user, password) {
            (Some(user), Some(password)) => Some(Credentials { user, password }),
            (Some(user), None) if !given => {
                // What stands behind a colon is a password, as for etcdctl.
                let (shown, why) = match user.split_once(':') {
                    Some((name, _)) => (
                        format!("{name}:***"),
                        "is more than a user: write the name alone, and the password into REJOIN_PASSWORD_FILE",
                    ),
                    None => (user, "has no password: set REJOIN_PASSWORD_FILE"),
                };
                self.mistake("REJOIN_USER", &shown, why);
                None
            }
            (None, Some(_)) => {
                let named = if file.is_some() {
                    "REJOIN_PASSWORD_FILE"
                } else {
                    "REJOIN_PASSWORD"
                };
                (self.mistakes).push(format!("{named} is given without a user: set REJOIN_USER"));
                None
            }
            (Some(_) | None, None) => None,
        }
    }
}

fn password_file(path: &Path) -> Result<String, String> {
    match read_text(path, MAX_PASSWORD, "password")?.trim_end_matches(['\r', '\n']) {
        "" => Err("is empty".into()),
        password => Ok(password.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_value_is_shown_by_its_beginning() {
        let mut check = Checker::default();
        check.bootstrap(Some(&"x".repeat(1 << 20)));
        assert!(check.mistakes[0].len() < 300);
        assert!(check.mistakes[0].contains("1048576 bytes"));
    }

    #[test]
    fn the_times_of_raft_fit_each_other() {
        let said = |heartbeat, election| {
            let mut check = Checker::default();
            check.intervals(heartbeat, election);
            check.mistakes.join("; ")
        };
        for (heartbeat, election) in [
            (None, None),
            (Some("200"), None),
            (Some("0xc8"), Some("1e3")),
            (None, Some("500")),
            (None, Some("50000")),
            (Some("x"), Some("1")),
        ] {
            assert_eq!(said(heartbeat, election), "");
        }
        for (heartbeat, election, part) in [
            (Some("0"), None, "ETCD_HEARTBEAT_INTERVAL=0 is no interval"),
            (
                Some("250"),
                None,
                "ETCD_HEARTBEAT_INTERVAL=250 does not fit",
            ),
            (None, Some("400"), "ETCD_ELECTION_TIMEOUT=400 does not fit"),
            (
                None,
                Some("50001"),
                "ETCD_ELECTION_TIMEOUT=50001 is too long",
            ),
        ] {
            let said = said(heartbeat, election);
            assert!(said.contains(part), "{said}");
        }
    }
}
