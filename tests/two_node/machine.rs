//! A machine that has what `two-node config` wrote: its file system, in a folder. Tests spoil it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Said, call, read, two_node};

/// The machine node1.
pub(crate) struct Machine {
    dir: TempDir,
}

const DRBD: &str = "/etc/drbd.d/etcd.res";
const KEEPALIVED: &str = "/etc/keepalived/keepalived.conf";
const ENV: &str = "/etc/etcd-rejoin/etcd3.env";

impl Machine {
    /// As it should be, with the module of that version.
    pub(crate) fn with_drbd(version: &str) -> Self {
        Self::with(version, &[])
    }

    /// Written with these words on top.
    pub(crate) fn with(version: &str, more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // keepalived looks at every folder above a script.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let machine = Machine { dir };
        let written = machine.dir.path().join("written");
        let grammar = if version.starts_with('8') { "8.4" } else { "9" };
        two_node(&written, &[&["--drbd", grammar], more].concat()).ends_with(0);
        for (from, to) in [
            ("node1/etcd.res", DRBD),
            ("node1/keepalived.conf", KEEPALIVED),
            ("node1/etcd3.env", ENV),
        ] {
            machine.put(to, &read(&written, from));
        }
        machine.mode(DRBD, 0o600);
        let key = "/etc/etcd-rejoin/fence.key";
        machine.put(key, &"ke".repeat(32));
        machine.mode(key, 0o600);
        machine.put(
            "/etc/drbd.conf",
            "include \"drbd.d/global_common.conf\";\ninclude \"drbd.d/*.res\";\n",
        );
        machine.put(
            "/etc/drbd.d/global_common.conf",
            "global { usage-count no; }\ncommon { }\n",
        );
        for program in ["/usr/bin/etcd-rejoin", "/sbin/drbdadm"] {
            machine.put(program, "#!/bin/sh\n");
            machine.mode(program, 0o755);
        }
        machine.put("/sys/module/drbd/version", &format!("{version}\n"));
        let helper = "/sys/module/drbd/parameters/usermode_helper";
        machine.put(helper, "/sbin/drbdadm\n");
        machine
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }

    pub(crate) fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn remove(self, path: &str) -> Self {
        fs::remove_file(self.path(path)).unwrap();
        self
    }

    pub(crate) fn chmod(self, path: &str, mode: u32) -> Self {
        self.mode(path, mode);
        self
    }

    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        self.put(path, text);
        self
    }

    /// Puts other words in the place of words that are there.
    #[track_caller]
    fn instead(self, path: &str, from: &str, to: &str) -> Self {
        let text = read(Path::new("/"), self.path(path).to_str().unwrap());
        assert!(text.contains(from), "{from:?} is not in {text}");
        self.put(path, &text.replace(from, to));
        self
    }

    #[track_caller]
    pub(crate) fn drbd(self, from: &str, to: &str) -> Self {
        self.instead(DRBD, from, to)
    }

    #[track_caller]
    pub(crate) fn keepalived(self, from: &str, to: &str) -> Self {
        self.instead(KEEPALIVED, from, to)
    }

    #[track_caller]
    pub(crate) fn env(self, from: &str, to: &str) -> Self {
        self.instead(ENV, from, to)
    }

    /// `two-node check` of it.
    pub(crate) fn check(&self) -> Said {
        let root = self.dir.path().to_str().unwrap();
        call(&["two-node", "check", "--root", root])
    }

    /// It is a danger, so named, there, and said so.
    #[track_caller]
    pub(crate) fn danger(&self, place: &str, name: &str) -> Said {
        let said = self.check();
        said.ends_with(65)
            .has(&[&format!("danger: {place}: {name}: ")]);
        said
    }

    /// It is a warning, and nothing is worse.
    #[track_caller]
    pub(crate) fn warning(&self, place: &str, name: &str) -> Said {
        let said = self.check();
        said.ends_with(1)
            .has(&[&format!("warning: {place}: {name}: ")]);
        said
    }
}
