//! A file of variables, one `NAME=VALUE` a line: what a member is started with, for a command that a person
//! types beside it.

use std::ffi::OsString;
use std::path::Path;

use super::words::read_text;

/// A larger file is no environment.
const MAX_SIZE: u64 = 1 << 20;

/// Lines `NAME=VALUE`, as systemd and docker read them.
pub fn variables(text: &str) -> impl Iterator<Item = (String, String)> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.starts_with(['#', ';']))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| {
            let name = name.trim().trim_start_matches("export ").trim();
            let value = value.trim().trim_matches(['"', '\'']);
            (name.to_string(), value.to_string())
        })
}

/// Our own environment, and over it what the file has. The error reads well after the path.
pub fn over(
    env: impl Iterator<Item = (OsString, OsString)>,
    path: &Path,
) -> Result<Vec<(OsString, OsString)>, String> {
    let text = read_text(path, MAX_SIZE, "file of variables")?;
    let file: Vec<(OsString, OsString)> = variables(&text)
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let hidden = |name: &OsString| file.iter().any(|(other, _)| other == name);
    let mut all: Vec<_> = env.filter(|(name, _)| !hidden(name)).collect();
    all.extend(file);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_file_is_read_as_systemd_reads_it() {
        let all: Vec<_> = variables("# a\nA=1\n export B = \"two\" \n\nC\nD=e=f\n").collect();
        let all: Vec<(&str, &str)> = all.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(all, [("A", "1"), ("B", "two"), ("D", "e=f")]);
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
