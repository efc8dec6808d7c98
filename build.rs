//! Puts the commit into `--version`: `0.1.0 (1a2b3c4d5e6f)`, or `0.1.0` where it is not known.
//!
//! `ETCD_REJOIN_COMMIT` says it where there is no repository, as in an image build. No date goes in:
//! the same source gives the same program.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=ETCD_REJOIN_COMMIT");
    let version = var("CARGO_PKG_VERSION").unwrap_or_default();
    let commit = var("ETCD_REJOIN_COMMIT").or_else(from_git);
    let version = match commit {
        Some(commit) => format!("{version} ({commit})"),
        None => version,
    };
    println!("cargo::rustc-env=ETCD_REJOIN_VERSION={version}");
    pack_relocations();
    lay_out_release();
}

/// A position-independent program adjusts its pointers when it starts. Listed in the packed form they
/// take 128 KiB less, all of which each start would read.
///
/// A static program adjusts itself with the glibc that it was linked with, which has to be 2.36 or
/// newer: an older one would leave the pointers as they are. A linker that does not know the option
/// ignores it.
fn pack_relocations() {
    let native = var("HOST").is_some() && var("HOST") == var("TARGET");
    if native && glibc().is_some_and(|version| version >= (2, 36)) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// A release leaves out unwind tables: it ends by abort where it panics (`Cargo.toml`). Other builds unwind.
fn lay_out_release() {
    let script = Path::new("src/layout.ld");
    println!("cargo::rerun-if-changed={}", script.display());
    // The start-up files that Rust brings for musl need their own unwind table.
    let linux_x86 = var("CARGO_CFG_TARGET_OS").as_deref() == Some("linux")
        && var("CARGO_CFG_TARGET_ENV").as_deref() == Some("gnu")
        && var("CARGO_CFG_TARGET_ARCH").as_deref() == Some("x86_64");
    // Cargo names the directory of every profile that comes from `release` so.
    if let (true, Some("release"), Some(root)) = (
        linux_x86,
        var("PROFILE").as_deref(),
        var("CARGO_MANIFEST_DIR"),
    ) {
        let script = Path::new(&root).join(script);
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
        println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    }
}

/// The version of this machine's glibc, if that is what we build for.
fn glibc() -> Option<(u32, u32)> {
    if var("CARGO_CFG_TARGET_ENV")? != "gnu" {
        return None;
    }
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let text = String::from_utf8(output.ok()?.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    let minor = minor.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A variable that is set and not blank; one line, whatever it was.
fn var(name: &str) -> Option<String> {
    let value = std::env::var(name).ok()?;
    let line = value.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_string())
}

/// The commit of the repository that this package is the root of. Any failure means: not known.
fn from_git() -> Option<String> {
    let here = PathBuf::from(var("CARGO_MANIFEST_DIR")?);
    let root = PathBuf::from(git(&here, &["rev-parse", "--show-toplevel"])?);
    // A copy of the source inside somebody else's repository has another commit.
    if root.canonicalize().ok()? != here.canonicalize().ok()? {
        return None;
    }
    // A commit or a checkout moves one of these; a path that does not exist would rebuild each time.
    let branch = git(&here, &["symbolic-ref", "-q", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        let path = git(&here, &["rev-parse", "--git-path", name])?;
        let path = here.join(path);
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    git(&here, &["rev-parse", "--short=12", "HEAD"])
}

/// What git says, or nothing.
fn git(here: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(here)
        .args(args)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_string())
}
