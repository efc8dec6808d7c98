//! Programs that the kernel or keepalived run as root, and the secrets they read.

use std::fmt::Display;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::findings::CheckFindings;
use super::host::{Host, Program};
use crate::fence::Key;

/// A command line's program: it is there, executable, and nobody but root can exchange it.
pub fn program(host: &Host, place: &dyn Display, whose: &str, line: &str, out: &mut CheckFindings) {
    let word = line.split_whitespace().next().unwrap_or_default();
    match host.program(word) {
        Program::Missing => out.add(place, "program-missing", &[&whose, &word]),
        Program::NotExecutable => out.add(place, "program-not-executable", &[&whose, &word]),
        Program::Fine(path) => {
            if let Some((part, why)) = host.exchangeable(&path) {
                let part = part.display();
                out.add(place, "program-exchangeable", &[&whose, &part, &why]);
            }
        }
    }
}

/// Whether two paths are written for one place: on today's systems `/var/run` is a link to `/run`.
pub fn is_one_path(one: &str, two: &str) -> bool {
    let run = |path: &str| match Path::new(path).strip_prefix("/var/run") {
        Ok(rest) => Path::new("/run").join(rest),
        Err(_) => Path::new(path).into(),
    };
    run(one) == run(two)
}

/// The secret that the entrypoints share.
pub fn key_file(host: &Host, place: &dyn Display, path: &str, out: &mut CheckFindings) {
    if let Err(why) = Key::read(&host.path(Path::new(path))) {
        return out.add(place, "key-file", &[&path, &why]);
    }
    let mode = (host.metadata(Path::new(path))).map_or(0, |meta| meta.mode() & 0o777);
    if mode & 0o077 != 0 {
        out.add(place, "key-file-readable", &[&path, &format!("{mode:o}")]);
    }
}

/// A fence command that carries a password is read by nobody but root.
pub fn password(host: &Host, command: &str, out: &mut CheckFindings) {
    let Ok(text) = host.read(Path::new(command)) else {
        return;
    };
    let text = text.to_lowercase();
    let carries = ["passw", "secret", "token", " -p "]
        .iter()
        .any(|word| text.contains(word));
    if carries && host.is_open_to_all(Path::new(command)) {
        out.add(command, "password-readable", &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_be_written_in_two_ways() {
        assert!(is_one_path("/run/a/gate", "/var/run/a//gate"));
        assert!(!is_one_path("/run/a/gate", "/run/b/gate"));
        assert!(!is_one_path("/runs/gate", "/var/runs/gate"));
    }
}
