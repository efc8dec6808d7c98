//! DRBD's tools as they were recorded.

#![allow(dead_code, reason = "each test file uses a part of it")]

#[path = "../../../../tests/support/executable.rs"]
mod executable;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use etcd_rejoin_rover::drbd::Drbd;

pub const LONG: Duration = Duration::from_secs(60);

/// The recorded output of this name.
pub fn recorded(name: &str) -> String {
    let path = format!("{}/{name}", crate::FIXTURES);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// DRBD's tools, as far as they matter here: programs that write down how they were called, and do
/// what they were told to.
pub struct StandIn {
    dir: tempfile::TempDir,
}

pub const PROGRAM: &str = "#!/bin/sh
here=${0%/*} me=${0##*/}
echo \"$me $*\" >> \"$here/calls\"
cd \"$here\" || exit 98
[ -e \"$me.$1\" ] || { echo \"$me $1: not foreseen\" >&2; exit 99; }
. \"./$me.$1\"
";

impl StandIn {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stand_in = StandIn { dir };
        for tool in ["drbdadm", "drbdsetup"] {
            stand_in.program(tool, PROGRAM);
        }
        stand_in.answers("drbdadm sh-dev", "echo /dev/drbd0");
        stand_in.answers("drbdadm sh-minor", "echo 0");
        stand_in.answers("drbdadm dump", "cat dump");
        stand_in.put("dump", &recorded("8.4/handler.dump"));
        stand_in.answers("drbdsetup show", "cat show");
        stand_in.answers("drbdsetup events2", "cat state");
        stand_in.put("show", &recorded("8.4/fencing.show"));
        stand_in.put("state", &recorded("8.4/connected.events2"));
        stand_in
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn put(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn program(&self, name: &str, text: &str) {
        executable::executable(&self.path(name), text);
    }

    /// What `tool verb` does from now on, in shell.
    pub fn answers(&self, call: &str, script: &str) {
        self.put(&call.replace(' ', "."), script);
    }

    /// `tool verb` says this on standard error, and ends so.
    pub fn fails(&self, call: &str, code: i32, words: &str) {
        self.answers(call, &format!("cat >&2 <<'END'\n{words}\nEND\nexit {code}"));
    }

    /// The calls that change something, in their order.
    pub fn changes(&self) -> Vec<String> {
        let all = self.calls().into_iter();
        let asks = ["events2", "show", "sh-", "get-gi", "dump"];
        all.filter(|call| !asks.iter().any(|ask| call.contains(ask)))
            .collect()
    }

    pub fn calls(&self) -> Vec<String> {
        let all = fs::read_to_string(self.path("calls")).unwrap_or_default();
        all.lines().map(String::from).collect()
    }

    pub fn env(&self) -> [(OsString, OsString); 1] {
        [("PATH".into(), self.dir.path().into())]
    }

    pub fn drbd(&self) -> Drbd {
        Drbd::new("etcd", self.env()).unwrap()
    }
}

/// DRBD 9, set up so, in this recorded state.
pub fn nine(set_up: &str, state: &str) -> StandIn {
    let stand_in = StandIn::new();
    stand_in.put("show", &recorded(&format!("9/{set_up}.show")));
    stand_in.put("state", &recorded(&format!("9/{state}.events2")));
    stand_in
}
