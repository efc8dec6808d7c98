//! The whole loop of a rover, beside DRBD's tools as they answer here.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::nine::stand_in;
use crate::{LONG, StandIn, recorded};

const PRIMARY: &str = "drbdadm primary etcd";
const SECONDARY: &str = "drbdadm secondary etcd";

/// A rover that keepalived has made master, beside these tools.
struct Rover(Child);

impl Rover {
    fn new(stand_in: &StandIn) -> Rover {
        let program = env!("CARGO_BIN_EXE_etcd-rejoin");
        let (gate, mount) = (stand_in.path("gate"), stand_in.path("mount"));
        fs::create_dir(&mount).unwrap();
        wish(stand_in, "MASTER");
        let mut run = Command::new(program);
        run.arg("run")
            .env_clear()
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", stand_in.path("").display()),
            )
            .env("ETCD_NAME", "etcd3")
            .env("ETCD_DATA_DIR", mount.join("data"))
            .env("REJOIN_DRBD", "etcd")
            .env("REJOIN_MOUNT", &mount)
            .env("REJOIN_GATE", &gate)
            .stderr(fs::File::create(stand_in.path("log")).unwrap())
            .stdout(Stdio::null());
        Rover(run.spawn().unwrap())
    }
}

/// What keepalived says.
fn wish(stand_in: &StandIn, state: &str) {
    let mut notify = Command::new(env!("CARGO_BIN_EXE_etcd-rejoin"));
    notify.args(["notify", "--gate"]).arg(stand_in.path("gate"));
    notify.args(["INSTANCE", "etcd", state, "100"]);
    assert!(notify.status().unwrap().success());
}

impl Drop for Rover {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn wait(what: &str, stand_in: &StandIn, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !holds() {
        let said = said(stand_in);
        assert!(Instant::now() < end, "not in time: {what}\n{said}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn said(stand_in: &StandIn) -> String {
    fs::read_to_string(stand_in.path("log")).unwrap_or_default()
}

fn called(stand_in: &StandIn, call: &str) -> bool {
    stand_in.calls().iter().any(|known| known == call)
}

/// The whole loop: it waits without quorum, and where it may not, and promotes once it may.
#[test]
fn a_rover_promotes_once_it_has_quorum_and_may() {
    let stand_in = stand_in("no-quorum");
    stand_in.answers("drbdadm primary", "exit 0");
    let _rover = Rover::new(&stand_in);
    let says = |reason: &str| said(&stand_in).contains(&format!("reason={reason}"));
    wait("no quorum", &stand_in, || says("no-quorum"));
    stand_in.put("state", &recorded("9/may-not-promote.events2"));
    wait("may not promote", &stand_in, || says("may-not-promote"));
    assert!(!called(&stand_in, PRIMARY), "{:?}", stand_in.calls());
    stand_in.put("state", &recorded("9/primary-lost.events2"));
    wait("promoted", &stand_in, || called(&stand_in, PRIMARY));
    assert!(says("quorate"));
    assert!(stand_in.calls().iter().all(|call| !call.contains("force")));
}

/// The handler may run for long. Whatever the kernel makes of the promotion then, a demotion comes after it.
fn promoting() -> (StandIn, Rover) {
    let stand_in = stand_in("primary-lost");
    stand_in.answers("drbdadm primary", "exec sleep 600");
    stand_in.answers("drbdadm secondary", "exit 0");
    let rover = Rover::new(&stand_in);
    wait("promoting", &stand_in, || called(&stand_in, PRIMARY));
    assert!(!called(&stand_in, SECONDARY));
    (stand_in, rover)
}

#[test]
fn a_promotion_that_is_not_wished_any_more_is_left_and_undone() {
    let (stand_in, _rover) = promoting();
    wish(&stand_in, "BACKUP");
    wait("demoted", &stand_in, || called(&stand_in, SECONDARY));
    wait("waiting", &stand_in, || said(&stand_in).contains("waits: "));
}

#[test]
fn a_stop_leaves_a_promotion_and_undoes_it_before_it_ends() {
    let (stand_in, mut rover) = promoting();
    stand_in.answers("drbdadm secondary", "[ -e settled ] || exit 11");
    let pid = nix::unistd::Pid::from_raw(rover.0.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    wait("demotes", &stand_in, || called(&stand_in, SECONDARY));
    assert_eq!(rover.0.try_wait().unwrap(), None);
    stand_in.put("settled", "");
    wait("ended", &stand_in, || rover.0.try_wait().unwrap().is_some());
}
