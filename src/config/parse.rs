//! Single values from text: each mistake names its variable, its value and what to write instead.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::values::boolean;
use super::words::{level, read_text, shorten};
use crate::decide::{Bootstrap, JoinAs};
use crate::gateway::Credentials;
use crate::rover::settings::{Mistake, Remarks};
use crate::text::duration;
use crate::tls::TlsFiles;

/// A password file larger than this is no password file.
const MAX_PASSWORD: u64 = 4096;

/// What REJOIN_IGNORE may name beside paths.
pub const ROOT_PASSWORD: &str = "ETCD_ROOT_PASSWORD";

/// What REJOIN_IGNORE names.
pub fn ignored(value: Option<&str>) -> impl Iterator<Item = &str> {
    let words = value.unwrap_or_default().split(',').map(str::trim);
    words.filter(|word| !word.is_empty())
}

/// A variable and its value, if it has one.
pub type Given<'a> = (&'a str, Option<String>);

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

    /// TLS files: the first CA that is given, and the first pair of certificate and key.
    pub fn tls<const CAS: usize, const N: usize>(
        &mut self,
        ca: [Given; CAS],
        cert: [Given; N],
        key: [Given; N],
        (auto, value, counts): (&str, Option<&str>, bool),
    ) -> TlsFiles {
        let ca = self.file(ca);
        // A certificate and a key of different pairs fit each other by accident only.
        let pair = (cert.into_iter().zip(key))
            .find(|((_, cert), (_, key))| cert.is_some() || key.is_some());
        let (cert, key) = match pair {
            Some((cert, key)) => {
                let names = (cert.0, key.0);
                let (cert, key) = (self.file([cert]), self.file([key]));
                let half = match (&cert, &key) {
                    (Some(given), None) => Some((given, names.1)),
                    (None, Some(given)) => Some((given, names.0)),
                    (Some(_), Some(_)) | (None, None) => None,
                };
                if let Some(((variable, path), missing)) = half {
                    let why = format!("is half of a pair: set {missing} too");
                    self.mistake(variable, path, &why);
                }
                (cert, key)
            }
            None => (None, None),
        };
        let path = |given: Option<(&str, String)>| given.map(|(_, path)| PathBuf::from(path));
        TlsFiles {
            ca: path(ca),
            cert: path(cert),
            key: path(key),
            insecure: self.boolean(auto, value) && counts,
        }
    }

    /// The first file that is given. It has to be readable.
    fn file<'a, const N: usize>(&mut self, given: [Given<'a>; N]) -> Option<(&'a str, String)> {
        let (variable, path) = (given.into_iter()).find_map(|(name, path)| Some((name, path?)))?;
        match std::fs::metadata(&path) {
            Ok(meta) if meta.is_file() => {
                if let Err(error) = std::fs::File::open(&path) {
                    self.mistake(variable, &path, &format!("does not read: {error}"));
                }
            }
            Ok(_) => self.mistake(variable, &path, "is not a regular file"),
            Err(error) => self.mistake(variable, &path, &format!("does not read: {error}")),
        }
        Some((variable, path))
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
        for word in ignored(value) {
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
    fn a_certificate_goes_with_its_own_key() {
        let mut check = Checker::default();
        let given = |name, path: &str| (name, Some(path.to_string()));
        let files = check.tls(
            [("CA", None)],
            [given("C1", "/etc/passwd"), given("C2", "/etc/group")],
            [("K1", None), given("K2", "/etc/group")],
            ("AUTO", None, true),
        );
        assert_eq!(files.key, None);
        assert_eq!(
            check.mistakes,
            ["C1=/etc/passwd is half of a pair: set K1 too"]
        );
    }

    /// etcd ignores it then, and so it must not make us trust anybody.
    #[test]
    fn auto_tls_counts_where_no_certificates_were_given() {
        for counts in [true, false] {
            let auto = ("AUTO", Some("true"), counts);
            let files = Checker::default().tls([("CA", None)], [("C", None)], [("K", None)], auto);
            assert_eq!(files.insecure, counts);
        }
    }
}
