//! Programs that a test writes and then runs.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Puts a program there, whole or not at all. A process of its own writes it: what another test's thread
/// forks just then would hold our open file until it execs, and meanwhile the kernel does not run it
/// (ETXTBSY, `execve(2)`).
#[track_caller]
pub fn executable(path: &Path, program: impl AsRef<[u8]>) {
    let new = path.with_extension("new");
    let mut install = Command::new("install")
        .args(["-m", "755", "/dev/stdin"])
        .arg(&new)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = install.stdin.take().unwrap();
    stdin.write_all(program.as_ref()).unwrap();
    drop(stdin);
    assert!(install.wait().unwrap().success(), "{}", path.display());
    std::fs::rename(new, path).unwrap();
}
