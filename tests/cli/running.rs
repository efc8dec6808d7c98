//! The main job without a cluster: what etcd gets, what is logged, how it waits, and how it is stopped.

use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{PATIENCE, Version, addresses::Addresses, scenarios, wait_for};
use crate::{call, executable, of_two};

scenarios! { newest: without_configuration_it_is_an_etcd_of_one_member; }

/// Nothing is configured but what a test needs to be alone: addresses and a data dir.
fn without_configuration_it_is_an_etcd_of_one_member(version: Version) {
    let addresses = Addresses::take();
    let host = addresses.host(1);
    let dir = crate::support::files::scratch();
    let (peer, client) = (format!("http://{host}:2380"), format!("http://{host}:2379"));
    let mut running = Running::start(&dir, |command| {
        command
            .env("REJOIN_ETCD", version.etcd())
            .env("ETCD_LISTEN_PEER_URLS", &peer)
            .env("ETCD_INITIAL_ADVERTISE_PEER_URLS", &peer)
            .env("ETCD_LISTEN_CLIENT_URLS", &client)
            .env("ETCD_ADVERTISE_CLIENT_URLS", &client);
    });
    let probe = || {
        let mut call = call(&["probe"]).env("ETCD_LISTEN_CLIENT_URLS", &client);
        call.run().code
    };
    assert_eq!(probe(), 1);
    wait_for("etcd is healthy", PATIENCE, || probe() == 0);
    assert!(running.log().contains("reason=first-start"));
    assert_eq!(running.comm(), "etcd", "etcd has taken our place");
    running.signal(Signal::TERM);
    assert_eq!(running.wait(PATIENCE), 143);
}

#[test]
fn the_log_is_sentences_with_values_or_json_with_etcds_keys() {
    let addresses = Addresses::take();
    let waits = || {
        of_two(call(&[]), &addresses)
            .env("REJOIN_WAIT", "100ms")
            .stand_in()
    };
    let said = waits().run();
    said.ends_with(69).has(&[
        " INFO  etcd-rejoin 0.1.0",
        " INFO  saw data-dir=empty cluster=unreachable peers=\"n2 silent\"",
        " INFO  waits: some member",
        " ERROR gives up: waits: some member",
        "; to go on: start the missing members",
        "reason=not-all-heard since=20",
        "Z waited=",
    ]);
    assert_eq!(said.err.lines().count(), 4, "{said:#?}");
    // Of two members there is no majority without the other: nothing goes on without it.
    assert!(!said.err.contains("quorum"), "{said:#?}");

    let said = waits().env("REJOIN_LOG", "warn").run();
    assert_eq!(said.err.lines().count(), 1, "{said:#?}");
    let said = waits().env("REJOIN_LOG", "error").run();
    assert_eq!(said.err.lines().count(), 1, "{said:#?}");

    let said = waits()
        .env("REJOIN_LOG", "debug")
        .env("REJOIN_LOG_FORMAT", "json")
        .run();
    assert!(said.err.lines().count() >= 4);
    for line in said.err.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let line = line.as_object().unwrap();
        for key in ["level", "ts", "caller", "msg"] {
            assert!(line[key].is_string(), "{line:?}");
        }
        assert!(["info", "warn", "error", "debug"].contains(&line["level"].as_str().unwrap()));
        let words = line["msg"].as_str().unwrap();
        assert!(!words.contains("since="), "{words}");
        if words.starts_with("waits") {
            assert_eq!(line["reason"], "not-all-heard");
            assert!(line["since"].as_str().unwrap().ends_with('Z'));
        }
    }
    // As etcd's, where nothing else is said.
    let json = |call: crate::Call| {
        let said = { call }.run();
        serde_json::from_str::<Value>(said.err.lines().next().unwrap()).is_ok()
    };
    assert!(json(waits().unset("REJOIN_LOG_FORMAT")));
    assert!(!json(
        waits()
            .unset("REJOIN_LOG_FORMAT")
            .env("ETCD_LOG_FORMAT", "console")
    ));
    // Also where the rest is wrong.
    let said = call(&[])
        .env("REJOIN_LOG_FORMAT", "json")
        .env("REJOIN_AS", "boss\n")
        .run();
    said.ends_with(78);
    assert!(
        serde_json::from_str::<Value>(said.err.trim()).is_ok(),
        "{said:#?}"
    );
}

#[test]
fn a_wait_ends_when_it_is_over() {
    let addresses = Addresses::take();
    for allowed in ["0s", "400ms"] {
        let said = of_two(call(&["run", "--wait", allowed]), &addresses)
            .stand_in()
            .run();
        said.ends_with(69).has(&["REJOIN_WAIT="]);
    }
}

#[test]
fn no_setting_of_ours_reaches_etcd() {
    let said = call(&["--logger=zap"])
        .stand_in()
        .env("REJOIN_USER", "root")
        .env("REJOIN_PASSWORD", "geheim")
        .env("REJOIN_WAIT", "5s")
        .env("ETCD_LOG_LEVEL", "warn")
        .env("OTHER", "kept")
        .run();
    said.ends_with(7).has(&[
        "args: --logger=zap",
        "OTHER=kept",
        "ETCD_LOG_LEVEL=warn",
        "STATE=new",
    ]);
    assert!(
        !said.out.contains("REJOIN") && !said.all().contains("geheim"),
        "{said:#?}"
    );
}

#[test]
fn a_signal_ends_it_within_200_ms_wherever_it_is() {
    let addresses = Addresses::take();
    let hanging = TcpListener::bind((addresses.host(2), 2380)).unwrap();
    let dir = crate::support::files::scratch();
    let mut took = Vec::new();
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        // A peer that accepts and never answers: a look takes as long as REJOIN_TIMEOUT allows.
        for after in [20, 60, 150, 400, 800] {
            let mut running = Running::start(&dir, |command| {
                of_two_command(command, &addresses).env("REJOIN_TIMEOUT", "60s");
            });
            running.wait_for("etcd-rejoin 0.1.0");
            took.push(running.stops_at_once(signal, code, after));
        }
    }
    drop(hanging);
    for after in [0, 50, 300, 700] {
        let mut running = Running::start(&dir, |command| {
            of_two_command(command, &addresses);
        });
        running.wait_for("not-all-heard");
        took.push(running.stops_at_once(Signal::TERM, 143, after));
    }
    // Most of them: the machine may be busy with other tests.
    took.sort();
    assert!(
        took[took.len() / 2] < Duration::from_millis(200),
        "{took:?}"
    );
}

/// An etcd that says nothing when it is asked whether it knows its flags is not left behind either.
#[test]
fn a_signal_ends_it_while_etcd_is_asked() {
    let addresses = Addresses::take();
    let host = addresses.host(1);
    let dir = crate::support::files::scratch();
    let script = "#!/bin/sh\ntrap '' TERM\necho $$ >\"${0%/*}/asked\"\nwhile :; do sleep 1; done\n";
    let etcd = executable(dir.path(), "etcd", script);
    // Something to do before the start.
    let snap = dir.path().join("data/member/snap");
    std::fs::create_dir_all(&snap).unwrap();
    std::fs::write(snap.join("db"), "").unwrap();
    let mut running = Running::start(&dir, |command| {
        command
            .arg(format!("--listen-peer-urls=http://{host}:2380"))
            .arg(format!("--listen-client-urls=http://{host}:2379"))
            .arg(format!("--advertise-client-urls=http://{host}:2379"))
            .env("REJOIN_ETCD", etcd);
    });
    let asked = || std::fs::read_to_string(dir.path().join("asked")).unwrap_or_default();
    wait_for("it asks etcd", PATIENCE, || asked().ends_with('\n'));
    running.stops_at_once(Signal::TERM, 143, 0);
    assert!(!std::path::Path::new("/proc").join(asked().trim()).exists());
}

/// As with a log driver that is stuck.
#[test]
fn a_signal_ends_it_where_nobody_reads_its_log() {
    let addresses = Addresses::take();
    let dir = crate::support::files::scratch();
    let (_reader, writer) = rustix::pipe::pipe().unwrap();
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
    while rustix::io::write(&writer, &[b'x'; 4096]).is_ok() {}
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::empty()).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_etcd-rejoin"));
    command.env_clear().env("PATH", "/usr/bin:/bin");
    of_two_command(&mut command, &addresses).env("ETCD_DATA_DIR", dir.path().join("data"));
    let mut child = command.stderr(writer).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    wait_for("it handles SIGTERM", PATIENCE, || {
        let status = std::fs::read_to_string(&status).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        u64::from_str_radix(caught.unwrap().trim(), 16).unwrap() & 1 << 14 != 0
    });
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let end = Instant::now() + PATIENCE / 3;
    while child.try_wait().unwrap().is_none() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    // It has ended already, or it must not stay.
    let _ = child.kill();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn a_command_that_asks_ends_at_a_signal_too() {
    let addresses = Addresses::take();
    let _hanging = [2379, 2380].map(|port| TcpListener::bind((addresses.host(2), port)).unwrap());
    let _own = TcpListener::bind((addresses.host(1), 2379)).unwrap();
    let dir = crate::support::files::scratch();
    for args in [&["status"][..], &["probe"]] {
        let mut running = Running::start(&dir, |command| {
            of_two_command(command, &addresses)
                .args(args)
                .env("REJOIN_TIMEOUT", "60s");
        });
        running.stops_at_once(Signal::INT, 130, 300);
    }
}

#[test]
fn a_port_in_use_and_a_read_only_disk_change_nothing() {
    let addresses = Addresses::take();
    let held = TcpListener::bind((addresses.host(1), 2380)).unwrap();
    let said = of_two(call(&[]), &addresses).stand_in().run();
    said.ends_with(74)
        .has(&["in use", "2380", "nothing was changed"]);
    crate::support::addresses::free(held);
    for dir in ["/proc/data", "/sys/data", "/dev/null/data", "/etc/passwd"] {
        let said = of_two(call(&[]), &addresses)
            .stand_in()
            .env("ETCD_DATA_DIR", dir)
            .run();
        said.ends_with(74).has(&[dir]);
        assert!(!said.out.contains("args:"), "etcd was started");
    }
}

#[test]
fn a_link_to_nothing_is_no_place_for_data() {
    let addresses = Addresses::take();
    let call = of_two(call(&[]), &addresses).stand_in();
    let link = call.dir().join("link");
    std::os::unix::fs::symlink("/nowhere/at/all", &link).unwrap();
    let said = call.env("ETCD_DATA_DIR", link.join("data")).run();
    said.ends_with(74).has(&["cannot create", "link/data"]);
}

/// Beside an entrypoint that waits a person asks what it waits for.
#[test]
fn status_tells_what_the_waiting_entrypoint_sees() {
    let addresses = Addresses::take();
    let dir = crate::support::files::scratch();
    let running = Running::start(&dir, |command| {
        of_two_command(command, &addresses);
    });
    running.wait_for("not-all-heard");
    let data = dir.path().join("data");
    let beside = |args: &[&str]| {
        let call = of_two(call(args), &addresses).env("ETCD_DATA_DIR", &data);
        { call }.run()
    };
    let text = beside(&["status"]);
    text.ends_with(0).has(&[
        "(etcd-rejoin), which decides as below",
        "because    not-all-heard: ",
        "to change  start the missing members",
    ]);
    let status: Value = serde_json::from_str(&beside(&["status", "--json"]).out).unwrap();
    assert_eq!(status["etcd"]["running"], false);
    assert_eq!(
        (&status["decision"], &status["step"]),
        (&"wait".into(), &Value::Null)
    );
    beside(&["quarantine", "put-back", "x"])
        .ends_with(65)
        .has(&["is held by", "stop it first"]);
}

fn of_two_command<'a>(command: &'a mut Command, addresses: &Addresses) -> &'a mut Command {
    let (one, two) = (addresses.host(1), addresses.host(2));
    command
        .env("REJOIN_ETCD", "/bin/true")
        .env("ETCD_NAME", "n1")
        .env(
            "ETCD_INITIAL_CLUSTER",
            format!("n1=http://{one}:2380,n2=http://{two}:2380"),
        )
        .env("ETCD_LISTEN_PEER_URLS", format!("http://{one}:2380"))
        .env("ETCD_LISTEN_CLIENT_URLS", format!("http://{one}:2379"))
        .env("ETCD_OTHER_PEERS_CLIENT_URLS", format!("http://{two}:2379"))
}

/// Our program, running, with its log; killed when a test fails.
struct Running {
    child: Child,
    log: std::path::PathBuf,
}

impl Running {
    fn start(dir: &TempDir, setup: impl FnOnce(&mut Command)) -> Running {
        let log = dir.path().join("log");
        let file = File::create(&log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_etcd-rejoin"));
        command
            .env_clear()
            .env("ETCD_DATA_DIR", dir.path().join("data"))
            .env("PATH", "/usr/bin:/bin")
            .env("REJOIN_LOG_FORMAT", "text")
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        setup(&mut command);
        let child = command.spawn().unwrap();
        Running { child, log }
    }

    fn log(&self) -> String {
        let mut text = String::new();
        File::open(&self.log)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text
    }

    fn comm(&self) -> String {
        let path = format!("/proc/{}/comm", self.child.id());
        std::fs::read_to_string(path).unwrap().trim().to_string()
    }

    #[track_caller]
    fn wait_for(&self, part: &str) {
        wait_for(part, PATIENCE, || self.log().contains(part));
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    #[track_caller]
    fn wait(&mut self, timeout: Duration) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        let mut status = None;
        wait_for("it ends", timeout, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let status = status.unwrap();
        status.code().unwrap_or(128 + status.signal().unwrap_or(0))
    }

    /// Far sooner than whatever it waits for, which takes 60 s here; how long it took.
    #[track_caller]
    fn stops_at_once(&mut self, signal: Signal, code: i32, after: u64) -> Duration {
        std::thread::sleep(Duration::from_millis(after));
        let begin = Instant::now();
        self.signal(signal);
        let ended = self.wait(PATIENCE / 3);
        assert_eq!(ended, code, "{}", self.log());
        begin.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn steps_end_where_max_steps_says() {
    let mut call = call(&["run", "--max-steps=0"]).env("REJOIN_ETCD", "./etcd");
    executable(call.dir(), "etcd", "#!/bin/sh\nexit 4\n");
    // Nothing to do but start: no step is taken.
    call.run().ends_with(4);
}

/// Files that the failed etcd leaves are set aside each time; that is no reason to try again.
#[test]
fn a_start_that_fails_and_leaves_files_is_not_tried_for_ever() {
    let addresses = Addresses::take();
    let mut call = of_two(call(&[]), &addresses)
        .env("REJOIN_BOOTSTRAP", "now")
        .env("REJOIN_ETCD", "./etcd");
    let script = "#!/bin/sh\nmkdir -p data/member/snap\necho x > data/member/snap/db\nexit 9\n";
    executable(call.dir(), "etcd", script);
    call.run().ends_with(9).has(&["reason=start-failed"]);
}

#[test]
fn the_last_decision_is_left_as_figures() {
    let addresses = Addresses::take();
    let mut call = of_two(call(&[]), &addresses).env("REJOIN_WAIT", "100ms");
    let file = call.dir().join("etcd_rejoin.prom");
    call = call.env("REJOIN_METRICS_FILE", &file).stand_in();
    call.run().ends_with(69);
    let figures = std::fs::read_to_string(&file).unwrap();
    for line in [
        "etcd_rejoin_last_decision{name=\"n1\",decision=\"wait\",reason=\"not-all-heard\"} 1\n",
        "etcd_rejoin_rejoins_total{name=\"n1\"} 0\n",
        "etcd_rejoin_last_look_seconds{name=\"n1\"} ",
    ] {
        assert!(figures.contains(line), "{line} is not in\n{figures}");
    }
    let nowhere = call.env("REJOIN_METRICS_FILE", "/nowhere/figures").run();
    nowhere
        .ends_with(69)
        .has(&["cannot write /nowhere/figures"]);
}
