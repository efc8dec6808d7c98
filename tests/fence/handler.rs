//! `etcd-rejoin fence-peer`: what DRBD reads from its exit code, and that it ends in time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use etcd_rejoin::rover::fence::Answer;
use tempfile::TempDir;

use crate::executable::executable;
use crate::peer::{LONG, Peer, SECRET, nobody};

/// A machine with a handler: a key, and stand-ins for DRBD's tool and for the fence command.
struct Handler {
    dir: TempDir,
    args: Vec<String>,
    timeout: &'static str,
    resource: Option<&'static str>,
}

impl Handler {
    fn new(peer: &str) -> Handler {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), SECRET).unwrap();
        let key = dir.path().join("key").display().to_string();
        let args = ["--peer", peer, "--key-file", &key].map(String::from);
        Handler {
            dir,
            args: args.into(),
            timeout: "2s",
            resource: Some("etcd"),
        }
        .role("Primary")
    }

    fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        executable(&path, format!("#!/bin/sh\n{text}\n"));
        path
    }

    /// DRBD says this role of ours.
    fn role(self, role: &str) -> Self {
        let text = format!(
            "[ \"$*\" = 'show etcd' ] && cat ${{0%/*}}/show && exit\n\
             [ \"$*\" = 'events2 --now' ] || exit 20\n\
             echo 'exists resource name:other role:Primary suspended:no'\n\
             echo 'exists resource name:etcd role:{role} suspended:no'\n\
             echo 'exists connection name:etcd peer-node-id:0 conn-name:peer connection:Connecting role:Unknown'\n\
             echo 'exists device name:etcd volume:0 minor:0 disk:UpToDate'\n\
             echo 'exists peer-device name:etcd peer-node-id:0 conn-name:peer volume:0 replication:Off peer-disk:DUnknown resync-suspended:no'\n\
             echo 'exists -'"
        );
        self.script("drbdsetup", &text);
        let show = include_str!("../../crates/rover/tests/fixtures/drbd/8.4/fencing.show");
        std::fs::write(self.path().join("show"), show).unwrap();
        self
    }

    fn fencing_by(mut self, text: &str) -> Self {
        let path = self.script("fence", text);
        self.args.push("--fence-command".into());
        self.args.push(format!("{} off", path.display()));
        self
    }

    fn within(self, timeout: &'static str) -> Self {
        Handler { timeout, ..self }
    }

    fn arg(mut self, words: &[&str]) -> Self {
        self.args.extend(words.iter().map(|word| word.to_string()));
        self
    }

    fn file(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.dir.path().join(name)).ok()
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    #[track_caller]
    fn ends_with(&self, code: i32, part: &str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etcd-rejoin"));
        command.arg("fence-peer").args(&self.args).env_clear();
        command.args(["--timeout", self.timeout]);
        command.env("PATH", format!("{}:/usr/bin:/bin", self.path().display()));
        if let Some(resource) = self.resource {
            command.env("DRBD_RESOURCE", resource);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(part), "{part:?} is not in {said}");
        assert!(code == 2 || said.lines().count() == 1, "{said}");
    }
}

#[test]
fn the_peers_answer_is_drbds_code() {
    for (answer, code, part) in [
        (Answer::Outdated, 4, "outdated"),
        (Answer::Primary, 6, "DRBD outdates the disk of this machine"),
        (Answer::Busy("it goes first".into()), 1, "it goes first"),
        (Answer::Failed("no disk".into()), 1, "no disk"),
    ] {
        let peer = Peer::answering(answer);
        // Being Primary changes nothing about what a living peer says.
        Handler::new(&peer.at())
            .role("Primary")
            .ends_with(code, part);
    }
}

/// Measured with DRBD 8.4.11: it promotes a Consistent disk when its handler says 7.
#[test]
fn a_secondary_fences_nobody_unless_it_proves_its_own_data() {
    let nobody = nobody().to_string();
    let told = "echo off >${0%/*}/told";
    let good = Handler::new(&nobody).role("Secondary").fencing_by(told);
    let asked = Instant::now();
    good.within("20s").ends_with(7, "confirms");
    // The other one may be Primary, and turn us off.
    assert!(asked.elapsed() >= etcd_rejoin::rover::table::MARGIN);
    let stale = Handler::new(&nobody).role("Secondary").fencing_by(told);
    let text = std::fs::read_to_string(stale.path().join("drbdsetup")).unwrap();
    stale.script(
        "drbdsetup",
        &text.replace("disk:UpToDate", "disk:Consistent"),
    );
    let soft = Handler::new(&nobody).role("Secondary").fencing_by(told);
    let show = std::fs::read_to_string(soft.path().join("show")).unwrap();
    let show = show.replace("resource-and-stonith", "resource-only");
    std::fs::write(soft.path().join("show"), show).unwrap();
    for handler in [stale, soft] {
        handler.ends_with(1, "would prove our own data complete");
        assert_eq!(handler.file("told"), None);
    }
}

#[test]
fn a_silent_peer_is_assumed_dead_by_a_primary_only() {
    let nobody = nobody().to_string();
    Handler::new(&nobody)
        .role("Primary")
        .ends_with(5, "goes on");
    Handler::new(&nobody)
        .role("Secondary")
        .ends_with(1, "waits");
    Handler::new(&nobody).role("Unknown").ends_with(1, "waits");
    let of_another = Handler {
        resource: Some("third"),
        ..Handler::new(&nobody).role("Primary")
    };
    of_another.ends_with(1, "DRBD knows no resource third");
    let without_tool = Handler::new(&nobody);
    without_tool.script("drbdsetup", "exit 20");
    without_tool.ends_with(1, "our own role is not known");
    let failing = Handler::new(&nobody);
    failing.script("drbdsetup", "echo 'Failed to modprobe drbd'; exit 20");
    failing.ends_with(1, "Failed to modprobe drbd");
}

#[test]
fn a_peer_with_another_secret_counts_as_silent() {
    let peer = Peer::answering(Answer::Outdated);
    let handler = Handler::new(&peer.at()).role("Secondary");
    std::fs::write(
        handler.path().join("key"),
        "another secret, which is long enough",
    )
    .unwrap();
    handler.ends_with(1, "is its secret the same?");
    assert_eq!(peer.deeds(), 0);
}

#[test]
fn with_a_fence_command_nobody_assumes() {
    let nobody = nobody().to_string();
    let told = "echo $1 $FENCE_RESOURCE $FENCE_PEER >${0%/*}/told";
    let handler = Handler::new(&nobody).role("Primary").fencing_by(told);
    handler.ends_with(7, "confirms that the peer is off");
    assert_eq!(handler.file("told"), Some(format!("off etcd {nobody}\n")));
    let handler = Handler::new(&nobody)
        .role("Primary")
        .fencing_by("echo no BMC; exit 3");
    handler.ends_with(1, "no BMC");
    let missing = ["--fence-command", "/nowhere/fence"];
    Handler::new(&nobody)
        .role("Primary")
        .arg(&missing)
        .ends_with(1, "/nowhere/fence");
    // A peer that lives and cannot do it is turned off too.
    let peer = Peer::answering(Answer::Failed("no disk".into()));
    Handler::new(&peer.at())
        .fencing_by("exit 0")
        .ends_with(7, "off");
}

#[test]
fn a_peer_that_works_or_goes_first_is_never_turned_off() {
    for (answer, code) in [
        (Answer::Outdated, 4),
        (Answer::Primary, 6),
        (Answer::Busy("it goes first".into()), 1),
    ] {
        let peer = Peer::answering(answer);
        let handler = Handler::new(&peer.at()).fencing_by("touch ${0%/*}/fenced");
        handler.ends_with(code, "");
        assert_eq!(handler.file("fenced"), None);
    }
}

#[test]
fn it_ends_within_its_time_whatever_hangs() {
    let hangs = "sleep 300";
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    let nobody = nobody().to_string();
    let no_role = Handler::new(&nobody).within("1s");
    no_role.script("drbdsetup", hangs);
    let pipe = Handler::new(&nobody).within("1s");
    let key = pipe.path().join("key");
    std::fs::remove_file(&key).unwrap();
    let made = Command::new("mkfifo").arg(&key).status().unwrap();
    assert!(made.success());
    for handler in [
        Handler::new(&silent).role("Secondary").within("1s"),
        Handler::new("192.0.2.1:7790")
            .role("Secondary")
            .within("1s"),
        Handler::new(&nobody).within("1s").fencing_by(hangs),
        no_role,
        pipe,
    ] {
        let start = Instant::now();
        handler.ends_with(1, "");
        assert!(start.elapsed() < LONG);
    }
}

#[test]
fn a_silent_peer_leaves_time_to_ask_for_our_own_role() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    let handler = Handler::new(&silent).role("Primary").within("5s");
    handler.ends_with(5, "goes on");
}

#[test]
fn a_peer_that_gives_way_is_asked_again() {
    // It asks us just now, and would go first; then it hears that we are Primary.
    let peer = Peer::of(crate::peer::machine("0"), Answer::Outdated);
    let turn = peer.turn.take(Instant::now()).unwrap();
    let handler = Handler::new(&peer.at()).within("10s");
    std::thread::scope(|scope| {
        scope.spawn(|| handler.ends_with(4, "outdated"));
        // It is asked in vain meanwhile.
        std::thread::sleep(Duration::from_millis(500));
        drop(turn);
    });
    assert_eq!(peer.deeds(), 1);
}

/// Of two Secondaries whose promotions wait for each other's rover neither would ever give way.
#[test]
fn a_secondary_that_is_refused_for_now_is_refused() {
    let peer = Peer::of(crate::peer::machine("0"), Answer::Outdated);
    let _turn = peer.turn.take(Instant::now()).unwrap();
    let handler = Handler::new(&peer.at()).role("Secondary");
    let asked = Instant::now();
    handler.within("60s").ends_with(1, "goes first");
    assert!(asked.elapsed() < LONG / 2);
}

#[test]
fn what_is_set_wrongly_is_never_an_assumption() {
    let nobody = nobody().to_string();
    let wrong = |handler: Handler, part: &str| handler.role("Primary").ends_with(1, part);
    wrong(
        Handler {
            resource: None,
            ..Handler::new(&nobody)
        },
        "DRBD_RESOURCE",
    );
    wrong(
        Handler {
            resource: Some("a b"),
            ..Handler::new(&nobody)
        },
        "DRBD_RESOURCE",
    );
    wrong(Handler::new(&nobody).within("5"), "--timeout=5");
    wrong(Handler::new("node2"), "--peer=node2");
    wrong(
        Handler {
            args: vec![],
            ..Handler::new(&nobody)
        },
        "neither",
    );
    let short = Handler::new(&nobody);
    std::fs::write(short.path().join("key"), "short").unwrap();
    wrong(short, "5 bytes");
    Handler::new(&nobody)
        .role("Primary")
        .arg(&["--nonsense"])
        .ends_with(2, "--nonsense");
}
