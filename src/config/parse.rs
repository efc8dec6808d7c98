//! Single values from text: each mistake names its variable, its value and what to write instead.

use std::path::Path;
use std::time::Duration;

use crate::decide::{Bootstrap, JoinAs};
use crate::gateway::Credentials;
use crate::membership::{InitialCluster, check_url};

/// A password file larger than this is no password file.
const MAX_PASSWORD: u64 = 4096;

/// Collects mistakes instead of stopping at the first.
#[derive(Default)]
pub struct Checker {
    pub mistakes: Vec<String>,
    pub warnings: Vec<String>,
}

impl Checker {
    pub fn mistake(&mut self, variable: &str, value: &str, why: &str) {
        self.mistakes
            .push(format!("{variable}={} {why}", shorten(value)));
    }

    pub fn urls(&mut self, variable: &str, value: &str) -> Vec<String> {
        let mut urls = Vec::new();
        for url in value
            .split(',')
            .map(str::trim)
            .filter(|url| !url.is_empty())
        {
            match check_url(url) {
                Ok(()) => urls.push(url.to_string()),
                Err(why) => self.mistake(variable, value, &format!("is wrong: {}", shorten(&why))),
            }
        }
        urls
    }

    pub fn initial_cluster(&mut self, variable: &str, value: &str) -> Option<InitialCluster> {
        match InitialCluster::parse(value) {
            Ok(cluster) => Some(cluster),
            Err(why) => {
                self.mistake(variable, value, &format!("is wrong: {}", shorten(&why)));
                None
            }
        }
    }

    /// Whether we are not part of the initial cluster: then we can join, and never found.
    pub fn outside(&mut self, name: &str, peer_urls: &[String], initial: &InitialCluster) -> bool {
        let Some(ours) = initial.get(name) else {
            self.warnings.push(format!(
                "ETCD_NAME={name} is not in ETCD_INITIAL_CLUSTER={initial}: this member can join a running cluster, not found one"
            ));
            return true;
        };
        let same = ours.len() == peer_urls.len() && ours.iter().all(|url| peer_urls.contains(url));
        if !same {
            self.warnings.push(format!(
                "ETCD_INITIAL_CLUSTER has {name}={}, but ETCD_INITIAL_ADVERTISE_PEER_URLS={}: this member can join a running cluster, not found one",
                ours.join(","),
                peer_urls.join(",")
            ));
        }
        !same
    }

    pub fn boolean(&mut self, variable: &str, value: Option<&str>) -> bool {
        // Go's strconv.ParseBool, which etcd uses.
        match value {
            None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
            Some(other) => {
                self.mistake(variable, other, "is neither true nor false");
                false
            }
        }
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
            let why = "is not a duration: write 5s, 2m or 1h";
            self.mistake(variable, value.unwrap_or_default(), why);
        }
        parsed
    }

    pub fn bootstrap(&mut self, value: Option<&str>) -> Bootstrap {
        match value {
            None | Some("all") => Bootstrap::All,
            Some("quorum") => Bootstrap::Quorum,
            Some("now") => Bootstrap::Now,
            Some("never") => Bootstrap::Never,
            Some(other) => {
                self.mistake(
                    "REJOIN_BOOTSTRAP",
                    other,
                    "is none of all, quorum, now, never",
                );
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
        user: Option<String>,
        password: Option<String>,
        file: Option<&Path>,
    ) -> Option<Credentials> {
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
            (Some(user), None) if self.mistakes.is_empty() => {
                self.mistake(
                    "REJOIN_USER",
                    &user,
                    "has no password: set REJOIN_PASSWORD_FILE",
                );
                None
            }
            (None, Some(_)) => {
                (self.mistakes).push("a password is given without a user: set REJOIN_USER".into());
                None
            }
            (Some(_) | None, None) => None,
        }
    }
}

/// etcd's default initial cluster: ourselves alone.
pub fn alone(name: &str, peer_urls: &[String]) -> InitialCluster {
    let parts: Vec<String> = peer_urls
        .iter()
        .map(|url| format!("{name}={url}"))
        .collect();
    InitialCluster::parse(&parts.join(",")).unwrap_or_default()
}

/// `500ms`, `5s`, `2m`, `1h`.
pub fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
    // A year is for ever; more only overflows clocks.
    .filter(|duration| *duration <= Duration::from_secs(366 * 24 * 3600))
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

fn password_file(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|e| format!("does not read: {e}"))?;
    if size.len() > MAX_PASSWORD {
        return Err(format!("has {} bytes: that is no password", size.len()));
    }
    let text = std::fs::read_to_string(path).map_err(|e| format!("does not read: {e}"))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err("is empty".into()),
        password => Ok(password.to_string()),
    }
}

/// Values may be huge: a message shows their beginning.
fn shorten(value: &str) -> String {
    match value.char_indices().nth(200) {
        Some((end, _)) => format!("{}... ({} bytes)", &value[..end], value.len()),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_with_their_unit_only() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        for wrong in [
            "5",
            "s",
            "",
            "-1s",
            "1.5s",
            "99999999999999999999s",
            "9999999h",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_huge_value_is_shown_by_its_beginning() {
        let mut check = Checker::default();
        check.bootstrap(Some(&"x".repeat(1 << 20)));
        assert!(check.mistakes[0].len() < 300);
        assert!(check.mistakes[0].contains("1048576 bytes"));
    }
}
