//! The whole loop of a rover, beside DRBD's tools as they answer here.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::stand_in::{LONG, StandIn, nine, recorded};

const PRIMARY: &str = "drbdadm primary etcd";
const SECONDARY: &str = "drbdadm secondary etcd";

/// A rover that keepalived has made master, beside these tools.
struct Rover(Child);

impl Rover {
    fn new(stand_in: &StandIn) -> Rover {
        Rover::wished(stand_in, "MASTER", &[])
    }

    fn wished(stand_in: &StandIn, state: &str, more: &[(&str, &Path)]) -> Rover {
        fs::create_dir(stand_in.path("mount")).unwrap();
        wish(stand_in, state);
        Rover::start(stand_in, more)
    }

    fn start(stand_in: &StandIn, more: &[(&str, &Path)]) -> Rover {
        let program = env!("CARGO_BIN_EXE_etcd-rejoin");
        let (gate, mount) = (stand_in.path("gate"), stand_in.path("mount"));
        let mut run = Command::new(program);
        run.arg("run")
            .env_clear()
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", stand_in.path("").display()),
            )
            .env("REJOIN_LOG_FORMAT", "text")
            .env("ETCD_NAME", "etcd3")
            .env("ETCD_DATA_DIR", mount.join("data"))
            .env("REJOIN_DRBD", "etcd")
            .env("REJOIN_MOUNT", &mount)
            .env("REJOIN_GATE", &gate)
            .envs(more.iter().copied())
            .stderr(fs::File::create(stand_in.path("log")).unwrap())
            .stdout(Stdio::null());
        Rover(run.spawn().unwrap())
    }

    fn is_told_to_end(&self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
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

/// The whole loop: it waits without quorum, and beside a Primary, and promotes once it may.
#[test]
fn a_rover_promotes_once_it_has_quorum() {
    let stand_in = nine("quorum", "no-quorum");
    stand_in.answers("drbdadm primary", "exit 0");
    let _rover = Rover::new(&stand_in);
    let says = |reason: &str| said(&stand_in).contains(&format!("reason={reason}"));
    wait("no quorum", &stand_in, || says("no-quorum"));
    stand_in.put("state", &recorded("9/beside-a-primary.events2"));
    wait("beside a Primary", &stand_in, || says("peer-primary"));
    assert!(!called(&stand_in, PRIMARY), "{:?}", stand_in.calls());
    stand_in.put("state", &recorded("9/primary-lost.events2"));
    wait("promoted", &stand_in, || called(&stand_in, PRIMARY));
    assert!(says("quorate"));
    assert!(stand_in.calls().iter().all(|call| !call.contains("force")));
}

/// The handler may run for long. Whatever the kernel makes of the promotion then, a demotion comes after it.
fn promoting() -> (StandIn, Rover) {
    let stand_in = nine("quorum", "primary-lost");
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
    rover.is_told_to_end();
    wait("demotes", &stand_in, || called(&stand_in, SECONDARY));
    assert!(!rover.has_ended());
    stand_in.put("settled", "");
    wait("ended", &stand_in, || rover.has_ended());
}

/// As on a machine that is busy with its shutdown.
#[test]
fn a_stop_demotes_what_was_promoted_also_where_drbd_does_not_say_what_is() {
    let stand_in = StandIn::new();
    let primary = "sed -i s/role:Secondary/role:Primary/ state";
    stand_in.answers("drbdadm primary", primary);
    stand_in.answers("drbdadm secondary", "[ -e lets-go ] || exit 11");
    let mut rover = Rover::new(&stand_in);
    // There is no /dev/drbd0 here.
    let checks = || said(&stand_in).contains("reason=promoted");
    wait("promoted", &stand_in, checks);
    stand_in.put("state", "no answer");
    rover.is_told_to_end();
    wait("demotes", &stand_in, || called(&stand_in, SECONDARY));
    assert!(!rover.has_ended());
    stand_in.put("lets-go", "");
    wait("ended", &stand_in, || rover.has_ended());
}

/// As where the backing disk comes late after a boot.
#[test]
fn a_bring_up_that_has_failed_half_way_is_tried_again() {
    let stand_in = StandIn::new();
    stand_in.put("up", &recorded("8.4/connected.events2"));
    stand_in.put("half", &recorded("8.4/half-up.events2"));
    stand_in.put("state", "exists -\n");
    let adjust =
        "if [ -e disk ]; then cat up > state; else cat half > state; echo no disk >&2; exit 1; fi";
    stand_in.answers("drbdadm adjust", adjust);
    let _rover = Rover::wished(&stand_in, "BACKUP", &[]);
    let adjusts = || {
        let calls = stand_in.calls();
        (calls.iter().filter(|call| call.contains("adjust"))).count()
    };
    wait("tried again", &stand_in, || adjusts() > 2);
    assert!(said(&stand_in).contains("reason=volume-down"));
    stand_in.put("disk", "");
    let waits = || said(&stand_in).contains("reason=gate-backup");
    wait("brought up", &stand_in, waits);
    let tried = adjusts();
    wish(&stand_in, "FAULT");
    wait("heard", &stand_in, || {
        said(&stand_in).contains("reason=gate-fault")
    });
    assert_eq!(adjusts(), tried);
}

/// DRBD may show no peer at all of a connection that was given up.
#[test]
fn under_an_operators_word_a_peer_is_turned_off_once() {
    let stand_in = StandIn::new();
    let alone = "exists resource name:etcd role:Secondary suspended:no write-ordering:flush\n\
        exists device name:etcd volume:0 minor:0 disk:UpToDate\nexists -\n";
    stand_in.put("state", alone);
    stand_in.program("off", "#!/bin/sh\necho off >> \"${0%/*}/calls\"\n");
    stand_in.answers(
        "drbdadm primary",
        "sed -i s/role:Secondary/role:Primary/ state",
    );
    let off = stand_in.path("off");
    let _rover = Rover::wished(&stand_in, "MASTER", &[("REJOIN_FENCE_COMMAND", &off)]);
    let says = |reason: &str| said(&stand_in).contains(&format!("reason={reason}"));
    wait("it waits", &stand_in, || says("split-brain"));
    let mut promote = Command::new(env!("CARGO_BIN_EXE_etcd-rejoin"));
    promote
        .args(["two-node", "promote", "--accept-loss"])
        .env_clear()
        .env("REJOIN_DRBD", "etcd")
        .env("REJOIN_MOUNT", stand_in.path("mount"))
        .env("ETCD_DATA_DIR", stand_in.path("mount/data"))
        .env("REJOIN_GATE", stand_in.path("gate"))
        .env(
            "PATH",
            format!("{}:/usr/bin:/bin", stand_in.path("").display()),
        )
        .stdout(Stdio::null());
    assert!(promote.status().unwrap().success());
    wait("promoted", &stand_in, || {
        called(&stand_in, "drbdadm primary --force etcd")
    });
    let turned_off = stand_in
        .calls()
        .iter()
        .filter(|call| *call == "off")
        .count();
    assert_eq!(turned_off, 1);
}

/// Not at the takeover.
#[test]
fn a_mount_point_is_made_and_what_cannot_be_one_is_said_at_the_start() {
    let stand_in = StandIn::new();
    wish(&stand_in, "BACKUP");
    let rover = Rover::start(&stand_in, &[]);
    wait("it waits", &stand_in, || said(&stand_in).contains("waits:"));
    assert!(stand_in.path("mount").is_dir());
    drop(rover);
    let stand_in = StandIn::new();
    stand_in.put("mount", "");
    let mut rover = Rover::start(&stand_in, &[]);
    assert_eq!(rover.0.wait().unwrap().code(), Some(74));
    let said = said(&stand_in);
    assert!(said.contains("REJOIN_MOUNT="), "{said}");
}

/// A handler that is not ours would be asked what only ours can answer.
#[test]
fn a_set_up_in_which_writes_can_be_lost_is_refused_at_the_start() {
    let refused = |stand_in: &StandIn, why: &str| {
        wish(stand_in, "BACKUP");
        let mut rover = Rover::start(stand_in, &[]);
        assert_eq!(rover.0.wait().unwrap().code(), Some(78));
        let said = said(stand_in);
        assert!(
            said.contains(why) && said.contains("two-node config"),
            "{said}"
        );
        assert!(stand_in.changes().is_empty(), "{:?}", stand_in.changes());
    };
    let foreign = StandIn::new();
    let dump = recorded("8.4/handler.dump");
    foreign.put(
        "dump",
        &dump.replace("etcd-rejoin fence-peer", "crm-fence-peer.sh"),
    );
    refused(&foreign, "another program is DRBD's handler");
    for fencing in ["resource-only", "dont-care"] {
        let soft = StandIn::new();
        let show = recorded("8.4/fencing.show");
        soft.put("show", &show.replace("resource-and-stonith", fencing));
        refused(&soft, "fencing");
    }
    let two_peers = nine("fencing", "three-nodes");
    refused(&two_peers, "node3");
}

/// And keepalived hears that this machine must not have the address.
#[test]
fn a_takeover_that_drbd_refuses_is_said_in_its_words() {
    let stand_in = nine("fencing", "connected");
    let _rover = Rover::wished(&stand_in, "BACKUP", &[]);
    wait("met", &stand_in, || said(&stand_in).contains("gate-backup"));
    let words = "etcd: State change failed: (-7) Refusing to be Primary while peer is not outdated";
    stand_in.fails("drbdadm primary", 11, words);
    stand_in.put("state", &recorded("9/two-primary-lost.events2"));
    wish(&stand_in, "MASTER");
    let report = || fs::read_to_string(stand_in.path("gate.report")).unwrap_or_default();
    wait("refused", &stand_in, || {
        report().contains("promotion-refused")
    });
    assert!(
        report().contains("(-7) Refusing to be Primary"),
        "{}",
        report()
    );
}
