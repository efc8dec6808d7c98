//! Programs that the kernel or keepalived run as root, and the secrets they read.

use std::fmt::Display;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::CheckFindings;
use super::host::{Host, Program};
use crate::fence::Key;

/// A command line's program: it is there, executable, and nobody but root can exchange it.
pub fn program(host: &Host, place: &dyn Display, whose: &str, line: &str, out: &mut CheckFindings) {
    let word = line.split_whitespace().next().unwrap_or_default();
    match host.program(word) {
        Program::Missing => out.danger(
            place,
            "program-missing",
            format!("{whose} is {word:?}, which is not on this machine: it fails unseen"),
            "install it on the machine itself, not only in a container",
        ),
        Program::NotExecutable => out.danger(
            place,
            "program-not-executable",
            format!("{whose} is {word:?}, which is not an executable file: it fails unseen"),
            format!("chmod 755 {word}"),
        ),
        Program::Fine(path) => {
            if let Some((part, why)) = host.exchangeable(&path) {
                let part = part.display();
                out.danger(
                    place,
                    "program-exchangeable",
                    format!(
                        "{whose} runs as root, and {part} {why}: keepalived disables such a script and becomes master without it"
                    ),
                    format!("chown root:root {part}; chmod go-w {part}"),
                );
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
        let what = format!("the key file {path} {why}");
        let cure =
            "copy the same secret to both machines: without it no machine can fence the other";
        return out.danger(place, "key-file", what, cure);
    }
    let mode = (host.metadata(Path::new(path))).map_or(0, |meta| meta.mode() & 0o777);
    if mode & 0o077 != 0 {
        let what = format!(
            "the key file {path} has mode {mode:o}: others than its owner can use it, and with it outdate this machine's disk"
        );
        out.danger(
            place,
            "key-file-readable",
            what,
            format!("chmod 600 {path}"),
        );
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
        let what = "the fence command seems to carry a password, and every user of this machine can read it";
        out.warning(
            command,
            "password-readable",
            what,
            format!("chmod 700 {command}"),
        );
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
