//! Programs that the kernel or keepalived run as root, and the secrets they read.

use std::fmt::Display;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::findings::CheckFindings;
use crate::fence::Key;
use crate::two_node::host::{Host, Program};

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

/// The value of a flag in a command line: `--flag value` or `--flag=value`.
pub fn flag<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let mut words = line.split_whitespace();
    while let Some(word) = words.next() {
        match word.strip_prefix(name) {
            Some("") => return words.next(),
            Some(rest) if rest.starts_with('=') => return Some(&rest[1..]),
            Some(_) | None => {}
        }
    }
    None
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
    let meta = match host.metadata(Path::new(path)) {
        Ok(meta) if meta.is_file() => meta,
        Ok(_) => {
            let what = format!("the key file {path} is not a regular file");
            out.danger(place, "key-file", what, "put the shared secret there");
            return;
        }
        Err(error) => {
            let what = format!("the key file {path} does not read: {error}");
            let cure =
                "copy the same secret to both machines: without it no machine can fence the other";
            out.danger(place, "key-file", what, cure);
            return;
        }
    };
    if meta.mode() & 0o077 != 0 {
        let what = format!(
            "the key file {path} has mode {:o}: others than its owner can use it, and with it outdate this machine's disk",
            meta.mode() & 0o777
        );
        out.danger(
            place,
            "key-file-readable",
            what,
            format!("chmod 600 {path}"),
        );
    }
    if meta.size() < 32 {
        let what = format!("the key file {path} has {} bytes", meta.size());
        let cure = "at least 32 make a secret: head -c 48 /dev/urandom | base64";
        out.danger(place, "key-file-short", what, cure);
    } else if let Err(why) = Key::read(&host.path(Path::new(path))) {
        let cure = "the entrypoint takes it for no secret: head -c 48 /dev/urandom | base64";
        out.danger(
            place,
            "key-file",
            format!("the key file {path} {why}"),
            cure,
        );
    }
}

/// A duration as our variables have it: 500ms, 5s, 2m, 1h.
pub fn seconds(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    match unit {
        "ms" => Some(number / 1000.0),
        "s" => Some(number),
        "m" => Some(number * 60.0),
        "h" => Some(number * 3600.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_found_in_both_ways() {
        assert_eq!(flag("x --gate /a b", "--gate"), Some("/a"));
        assert_eq!(flag("x --gate=/a b", "--gate"), Some("/a"));
        assert_eq!(flag("x --gates /a", "--gate"), None);
        assert_eq!(flag("x --gate", "--gate"), None);
    }

    #[test]
    fn a_path_may_be_written_in_two_ways() {
        assert!(is_one_path("/run/a/gate", "/var/run/a//gate"));
        assert!(!is_one_path("/run/a/gate", "/run/b/gate"));
        assert!(!is_one_path("/runs/gate", "/var/runs/gate"));
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(seconds("500ms"), Some(0.5));
        assert_eq!(seconds("2m"), Some(120.0));
        assert_eq!(seconds("5"), None);
        assert_eq!(seconds("s"), None);
    }
}
