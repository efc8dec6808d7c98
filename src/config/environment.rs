//! The environment of this process, which nobody else reads; and a file of variables over it, for a command that a
//! person types beside a member.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use crate::env_file::variables;

use crate::text::read_text;

/// A larger file is no environment.
const MAX_SIZE: u64 = 1 << 20;

/// Our own environment.
pub fn own() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}

/// An environment, and over it what the file has. The error reads well after the path.
pub fn over(
    env: impl Iterator<Item = (OsString, OsString)>,
    path: &Path,
) -> Result<Vec<(OsString, OsString)>, String> {
    let text = read_text(path, MAX_SIZE, "file of variables")?;
    // Of two lines for one name the last one counts.
    let file: BTreeMap<OsString, OsString> = variables(&text)
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let mut all: Vec<_> = env.filter(|(name, _)| !file.contains_key(name)).collect();
    all.extend(file);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_two_lines_counts() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "A=1\nA=2\n").unwrap();
        let all = over(std::iter::empty(), file.path()).unwrap();
        assert_eq!(all, [("A".into(), "2".into())]);
    }

    #[test]
    fn the_file_goes_over_the_environment() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "A=file\n").unwrap();
        let env = [("A", "own"), ("B", "own")].map(|(a, b)| (a.into(), b.into()));
        let all = over(env.into_iter(), file.path()).unwrap();
        let is = |a: &str, b: &str| all.contains(&(a.into(), b.into()));
        assert!(
            all.len() == 2 && is("A", "file") && is("B", "own"),
            "{all:?}"
        );
        let none = over(std::iter::empty(), Path::new("/nonexistent")).unwrap_err();
        assert!(none.contains("does not read"), "{none}");
    }
}
