//! A takeover that is refused, with the real program: keepalived's check says no for a while, and why.

use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_rejoin::rover::fence::{Answer, FenceServer, Turn};
use tempfile::TempDir;

use crate::executable::executable;
use crate::peer::{SECRET, key, machine, nobody};

const TOGETHER: &str = include_str!("../../crates/rover/tests/fixtures/drbd/8.4/connected.events2");

/// What DRBD 8.4 says where nobody confirms to it that the peer is outdated.
const REFUSED: &str = "#!/bin/sh\n\
    echo '0: State change failed: (-7) Refusing to be Primary while peer is not outdated' >&2\n\
    exit 11\n";

/// Longer than a peer that said no is left alone.
const LONG: Duration = Duration::from_secs(60);

/// A machine with a rover, and with stand-ins for DRBD's tools.
struct Rover {
    dir: TempDir,
    rover: Option<Child>,
}

impl Rover {
    /// Its peer answers there.
    fn start(peer: &str) -> Rover {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let tool = "#!/bin/sh\nd=${0%/*}\n[ \"$*\" = 'show etcd' ] && exec cat $d/show\n\
                    [ \"$*\" = 'events2 --now' ] && exec cat $d/state\n\
                    [ \"$1\" = primary ] && exec $d/primary\n\
                    [ \"$1\" = dump ] && exec cat $d/dump\nexit 20\n";
        executable(&path("primary"), REFUSED);
        for name in ["drbdsetup", "drbdadm"] {
            executable(&path(name), tool);
        }
        let show = include_str!("../../crates/rover/tests/fixtures/drbd/8.4/fencing.show");
        std::fs::write(path("show"), show).unwrap();
        let dump = include_str!("../../crates/rover/tests/fixtures/drbd/8.4/handler.dump");
        std::fs::write(path("dump"), dump).unwrap();
        std::fs::write(path("state"), TOGETHER).unwrap();
        std::fs::write(path("key"), SECRET).unwrap();
        let own = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path("key"), own).unwrap();
        std::fs::create_dir(path("mount")).unwrap();
        let rover = Command::new(env!("CARGO_BIN_EXE_etcd-rejoin"))
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()))
            .env("REJOIN_LOG_FORMAT", "text")
            .env("REJOIN_DRBD", "etcd")
            .env("REJOIN_GATE", path("gate"))
            .env("REJOIN_MOUNT", path("mount"))
            .env("ETCD_DATA_DIR", path("mount/data"))
            .env("REJOIN_FENCE_PEER", peer)
            .env("REJOIN_FENCE_LISTEN", nobody().to_string())
            .env("REJOIN_FENCE_KEY_FILE", path("key"))
            .env("REJOIN_FENCE_TIMEOUT", "2s")
            .spawn()
            .unwrap();
        Rover {
            dir,
            rover: Some(rover),
        }
    }

    fn loses_its_peer(&self) {
        let lost = TOGETHER
            .replace("Connected role:Secondary", "Connecting role:Unknown")
            .replace("Established peer-disk:UpToDate", "Off peer-disk:DUnknown");
        let new = self.dir.path().join("state.new");
        std::fs::write(&new, lost).unwrap();
        std::fs::rename(new, self.dir.path().join("state")).unwrap();
    }

    fn call(&self, words: &[&str], more: &[&str]) -> Output {
        let gate = self.dir.path().join("gate");
        let mut command = Command::new(env!("CARGO_BIN_EXE_etcd-rejoin"));
        command.args(words).arg("--gate").arg(gate).args(more);
        command.output().unwrap()
    }

    fn keepalived_says(&self, state: &str) {
        let said = self.call(&["notify"], &["INSTANCE", "etcd", state, "100"]);
        assert!(said.status.success(), "{said:?}");
    }

    /// Whether this machine may bid, and why.
    fn bids(&self) -> (bool, String) {
        let said = self.call(&["probe", "promotable"], &[]);
        let words = String::from_utf8_lossy(&said.stdout).into_owned();
        (said.status.success(), words)
    }

    fn reports(&self, part: &str) -> bool {
        let report = self.dir.path().join("gate.report");
        std::fs::read_to_string(report).is_ok_and(|text| text.contains(part))
    }
}

impl Drop for Rover {
    fn drop(&mut self) {
        if let Some(mut rover) = self.rover.take() {
            let _ = rover.kill();
            let _ = rover.wait();
        }
    }
}

#[track_caller]
fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_refused_takeover_is_tried_again_after_a_while_and_not_before() {
    let rover = Rover::start(&nobody().to_string());
    rover.keepalived_says("BACKUP");
    wait("the peer is met", || rover.reports("\"met_peer\":true"));
    assert!(rover.bids().0);
    rover.loses_its_peer();
    rover.keepalived_says("MASTER");
    wait("it is refused", || {
        let (bids, why) = rover.bids();
        !bids && why.contains("promotion-refused") && why.contains("(-7) Refusing")
    });
    // keepalived gives the address up.
    rover.keepalived_says("FAULT");
    wait("the gate is closed", || rover.reports("\"gate\":\"fault\""));
    assert!(!rover.bids().0);
    wait("it may be tried again", || rover.bids().0);
}

/// DRBD would promote here without a question; the peer serves by an operator's word since.
#[test]
fn a_peer_that_is_recorded_as_outdated_is_asked_before_a_takeover() {
    let peer = nobody();
    let deed = |_: &str| Answer::Primary;
    let turn = Arc::new(Turn::default());
    let _server = FenceServer::start(peer, key(), machine("peer"), turn, Arc::new(deed)).unwrap();
    let rover = Rover::start(&peer.to_string());
    let promoted = "#!/bin/sh\ntouch ${0%/*}/promoted\nexit 11\n";
    executable(&rover.dir.path().join("primary"), promoted);
    let state = rover.dir.path().join("state");
    rover.loses_its_peer();
    let lost = std::fs::read_to_string(&state).unwrap();
    let new = rover.dir.path().join("state.new");
    std::fs::write(
        &new,
        lost.replace("peer-disk:DUnknown", "peer-disk:Outdated"),
    )
    .unwrap();
    std::fs::rename(new, state).unwrap();
    rover.keepalived_says("MASTER");
    wait("the peer says no", || {
        rover.reports("the peer answers that it is Primary")
    });
    assert!(!rover.dir.path().join("promoted").exists());
}
