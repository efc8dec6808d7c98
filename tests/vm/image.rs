//! What a guest boots from: the kernel and the files of `tests/setup/vm.sh`, with our program and the
//! scripts of `tests/vm/guest` on top. Built once for each run of the tests.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// Kernel, files and QEMU.
#[derive(Debug)]
pub struct Image {
    /// The kernel.
    pub kernel: PathBuf,
    /// The first file system, as the kernel unpacks it.
    pub files: PathBuf,
    /// Starts QEMU.
    pub qemu: PathBuf,
    /// Holds `files`, and everything else of this run.
    pub dir: PathBuf,
    /// Takes the directory away when this program has ended, however it ended: a static is not dropped.
    _broom: Child,
}

/// The one of this run.
pub fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/setup/vm.sh");
        let cache = PathBuf::from(output(&mut Command::new(script), script));
        let dir = tempfile::tempdir().expect("a temporary directory").keep();
        let broom = Command::new("sh")
            .args(["-c", "cat; sleep 1; rm -rf \"$1\"", "broom"])
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell");
        let files = dir.join("initrd.img");
        let mut archive = fs::read(cache.join("guest.img")).expect("guest.img");
        archive.extend(fs::read(cache.join("etcd-bookworm.img")).expect("etcd-bookworm.img"));
        archive.resize(archive.len().next_multiple_of(4), 0);
        let (program, client) = programs();
        archive.extend(overlay(&program, &client));
        fs::write(&files, archive).expect("the guests' files are written");
        Image {
            kernel: cache.join("kernel"),
            files,
            qemu: cache.join("qemu/run"),
            dir,
            _broom: broom,
        }
    })
}

/// The release build: a guest is emulated, and a debug build is ten times as large. And the client of the guests'
/// cluster. `ETCD_REJOIN_VM_PROGRAM` names another program, with the client in `examples` beside it.
fn programs() -> (PathBuf, PathBuf) {
    if let Some(program) = std::env::var_os("ETCD_REJOIN_VM_PROGRAM") {
        let program = PathBuf::from(program);
        let client = program.with_file_name("examples/vm-client");
        return (program, client);
    }
    let built = Path::new(env!("CARGO_BIN_EXE_etcd-rejoin"));
    let target = built.parent().and_then(Path::parent).expect("target/debug");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--release", "--locked", "--quiet"])
        .args(["--bin", "etcd-rejoin", "--example", "vm-client"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    output(&mut cargo, "cargo build --release");
    let release = target.join("release");
    (
        release.join("etcd-rejoin"),
        release.join("examples/vm-client"),
    )
}

/// What a command prints; fails with its words.
fn output(command: &mut Command, what: &str) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{what}: {e}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

/// An archive with our program, the client and the guest's scripts. The kernel unpacks several in a row, packed or
/// not; one that is not packed begins at a multiple of four.
fn overlay(program: &Path, client: &Path) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut add = |name: &str, mode: u32, data: &[u8]| entry(&mut archive, name, mode, data);
    for dir in ["guest", "etc/drbd.d"] {
        add(dir, 0o40755, b"");
    }
    for (name, path) in [("usr/bin/etcd-rejoin", program), ("guest/client", client)] {
        add(name, 0o100755, &fs::read(path).expect("a program"));
    }
    let scripts = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vm/guest"));
    for file in fs::read_dir(scripts).expect("tests/vm/guest") {
        let path = file.expect("an entry").path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let data = fs::read(&path).expect("a guest's file");
        match name.strip_suffix(".res") {
            Some(_) => add(&format!("etc/drbd.d/{name}"), 0o100644, &data),
            None => add(&format!("guest/{name}"), 0o100755, &data),
        }
    }
    add("TRAILER!!!", 0, b"");
    archive
}

/// One entry in cpio's "new ASCII" format (Documentation/driver-api/early-userspace/buffer-format).
fn entry(archive: &mut Vec<u8>, name: &str, mode: u32, data: &[u8]) {
    let pad = |archive: &mut Vec<u8>| archive.resize(archive.len().next_multiple_of(4), 0);
    let (ino, size) = (archive.len() as u32, data.len() as u32);
    let fields = [
        ino,
        mode,
        0,
        0,
        1,
        0,
        size,
        0,
        0,
        0,
        0,
        name.len() as u32 + 1,
        0,
    ];
    archive.extend(b"070701");
    for field in fields {
        archive.extend(format!("{field:08x}").bytes());
    }
    archive.extend(name.bytes().chain([0]));
    pad(archive);
    archive.extend(data);
    pad(archive);
}
