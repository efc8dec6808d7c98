//! One member: its settings, its volume, its process and its log.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use super::client::Tls;
use super::process::{Log, Process};
use super::{Client, PATIENCE, Version, files, wait_for};

/// A member of a cluster, running or not.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its volume, which is its data dir.
    pub volume: PathBuf,
    /// Its settings; what is not set here is not set.
    pub env: BTreeMap<String, String>,
    /// Settings that only the test reads.
    pub hidden: Vec<String>,
    /// Arguments of every start.
    pub args: Vec<String>,
    /// What runs the program under test, which is its last argument; none, and it is run as it is.
    pub wrapper: Vec<String>,
    /// What it printed.
    pub log: Log,
    /// How clients reach it.
    pub tls: Option<Tls>,
    /// As whom clients speak to it.
    pub user: Option<(String, String)>,
    version: Version,
    process: Option<Process>,
}

impl Member {
    /// A member with an empty volume.
    pub fn new(version: Version, name: &str, host: Ipv4Addr, scratch: &Path) -> Self {
        let volume = scratch.join(name);
        std::fs::create_dir_all(&volume).unwrap();
        let mut member = Member {
            name: name.to_string(),
            log: Log::new(scratch.join(format!("{name}.log"))),
            volume,
            env: BTreeMap::new(),
            hidden: Vec::new(),
            args: Vec::new(),
            wrapper: Vec::new(),
            tls: None,
            user: None,
            version,
            process: None,
        };
        let etcd = version.etcd().display().to_string();
        let volume = member.volume.display().to_string();
        member.set("ETCD_NAME", name);
        member.set("ETCD_DATA_DIR", &volume);
        member.set("ETCD_INITIAL_CLUSTER_STATE", "new");
        member.set("REJOIN_ETCD", &etcd);
        member.set("REJOIN_LOG", "debug");
        member.move_to(host, "http");
        member
    }

    /// From its next start on, this etcd runs here.
    pub fn use_etcd(&mut self, version: Version) {
        self.version = version;
        self.set("REJOIN_ETCD", &version.etcd().display().to_string());
    }

    /// Gives it another address.
    pub fn move_to(&mut self, host: Ipv4Addr, scheme: &str) {
        let (peer, client) = (
            format!("{scheme}://{host}:2380"),
            format!("{scheme}://{host}:2379"),
        );
        self.set("ETCD_LISTEN_PEER_URLS", &peer);
        self.set("ETCD_INITIAL_ADVERTISE_PEER_URLS", &peer);
        self.set("ETCD_LISTEN_CLIENT_URLS", &client);
        self.set("ETCD_ADVERTISE_CLIENT_URLS", &client);
    }

    /// Sets a variable for its next start.
    pub fn set(&mut self, key: &str, value: &str) -> &mut Self {
        self.env.insert(key.into(), value.into());
        self
    }

    /// Takes a variable away.
    pub fn unset(&mut self, key: &str) -> &mut Self {
        self.env.remove(key);
        self
    }

    /// Its peer URL.
    pub fn peer_url(&self) -> String {
        self.env["ETCD_INITIAL_ADVERTISE_PEER_URLS"].clone()
    }

    /// Its client URL.
    pub fn client_url(&self) -> String {
        self.env["ETCD_ADVERTISE_CLIENT_URLS"].clone()
    }

    /// Its part of the initial cluster.
    pub fn initial(&self) -> String {
        format!("{}={}", self.name, self.peer_url())
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        match self.tls.is_some() || self.user.is_some() {
            true => self.etcdctl(&self.client_url()),
            false => Client::gateway(&self.client_url()),
        }
    }

    /// A client of these URLs over etcdctl.
    pub fn etcdctl(&self, urls: &str) -> Client {
        let etcdctl = self.version.etcdctl();
        Client::etcdctl(etcdctl, urls, self.tls.as_ref(), self.user.as_ref())
    }

    /// Starts the program under test as the entrypoint of this member.
    #[track_caller]
    pub fn start(&mut self) {
        let args = self.args.clone();
        self.start_with(&args);
    }

    /// Starts the program under test, which ends with 75 after this many steps.
    #[track_caller]
    pub fn start_steps(&mut self, steps: usize) {
        let limit = ["run".into(), "--max-steps".into(), steps.to_string()];
        let args: Vec<String> = limit.into_iter().chain(self.args.clone()).collect();
        self.start_with(&args);
    }

    /// Starts the program under test with these arguments.
    #[track_caller]
    pub fn start_with(&mut self, args: &[String]) {
        let program = env!("CARGO_BIN_EXE_etcd-rejoin").to_string();
        let words: Vec<String> = (self.wrapper.iter().cloned())
            .chain([program])
            .chain(args.to_vec())
            .collect();
        self.spawn(Path::new(&words[0]), &words[1..], |_| true);
    }

    /// What a command of the program prints, run beside whatever runs here.
    #[track_caller]
    pub fn ask(&self, args: &[&str]) -> String {
        let env = (self.env.iter()).filter(|(key, _)| !self.hidden.contains(key));
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_etcd-rejoin"))
            .args(args)
            .env_clear()
            .envs(env)
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The exit code of `probe`, in its environment.
    pub fn probe(&self) -> i32 {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_etcd-rejoin"));
        let probe = command.arg("probe").env_clear().envs(&self.env);
        probe.output().unwrap().status.code().unwrap()
    }

    /// Starts etcd alone, as a person would without the program under test.
    #[track_caller]
    pub fn start_etcd(&mut self, args: &[&str]) {
        let args: Vec<String> = args.iter().map(|arg| arg.to_string()).collect();
        self.spawn(&self.version.etcd(), &args, |key| key.starts_with("ETCD_"));
    }

    /// Starts any program with these arguments and the settings that are wanted.
    #[track_caller]
    pub fn spawn(&mut self, program: &Path, args: &[String], wanted: impl Fn(&str) -> bool) {
        assert!(!self.is_running(), "{} runs already", self.name);
        self.process = None;
        self.log.mark();
        let env = (self.env.iter()).filter(|(key, _)| wanted(key) && !self.hidden.contains(key));
        let setup = |command: &mut std::process::Command| {
            command.args(args).envs(env);
        };
        self.process = Some(Process::spawn(program, setup, &self.log.path));
    }

    /// The process of the last start.
    #[track_caller]
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it was started")
    }

    /// Whether it runs, as entrypoint or as etcd.
    pub fn is_running(&mut self) -> bool {
        (self.process.as_mut()).is_some_and(|process| process.code().is_none())
    }

    /// Whether etcd 3.4 died of its own: a linearizable read that fails while there is no leader logs
    /// through a logger that is not there (etcd issues 14402 and 17265). A restart policy heals it.
    pub fn fell_over_its_logger(&mut self) -> bool {
        self.process().code() == Some(2)
            && self.version.minor() == 4
            && self.log.text().contains("zap.(*Logger).check(0x0")
    }

    /// The process of the last start, by its number.
    pub fn pid(&mut self) -> u32 {
        self.process().pid()
    }

    /// Whether its process is etcd itself, with nothing in front.
    #[track_caller]
    pub fn is_etcd(&mut self) -> bool {
        self.process().comm() == "etcd"
    }

    /// How much memory its process has in use.
    pub fn memory_kib(&mut self) -> u64 {
        let path = format!("/proc/{}/status", self.process().pid());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.unwrap_or(0)
    }

    /// `kill -9`, then waits for the end. Does nothing where nothing runs.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGTERM, then waits for the end; the exit code.
    #[track_caller]
    pub fn sigterm(&mut self) -> i32 {
        self.process().signal(Signal::TERM);
        self.wait_exit(PATIENCE / 2)
    }

    /// SIGSTOP for all of it: it is there, and says nothing.
    pub fn pause(&mut self) {
        self.process().pause();
    }

    /// SIGCONT.
    pub fn resume(&mut self) {
        self.process().signal_group(Signal::CONT);
    }

    /// The disk is lost: the volume is empty, the member dead.
    pub fn lose_disk(&mut self) {
        self.kill9();
        files::wipe(&self.volume);
    }

    /// Waits for the end of the process; its exit code as a shell has it.
    #[track_caller]
    pub fn wait_exit(&mut self, timeout: Duration) -> i32 {
        self.process().wait(timeout)
    }

    /// Waits until a line since the last start gives this reason, while the process runs.
    #[track_caller]
    pub fn wait_reason(&mut self, reason: &str) {
        wait_for(
            &format!("{} logs reason={reason}", self.name),
            PATIENCE,
            || self.log.has_reason(reason) || self.fails_if_ended(reason),
        );
    }

    /// Waits until a line since the last start holds `part`, while the process runs.
    #[track_caller]
    pub fn wait_log(&mut self, part: &str) {
        wait_for(&format!("{} logs {part:?}", self.name), PATIENCE, || {
            self.log.text().contains(part) || self.fails_if_ended(part)
        });
    }

    #[track_caller]
    fn fails_if_ended(&mut self, awaited: &str) -> bool {
        if let Some(code) = self.process().code() {
            let said = self.log.text().contains(awaited);
            assert!(said, "{} ended with {code}, not with {awaited}", self.name);
            return true;
        }
        false
    }

    /// The program refuses: it ends with 65 and says this reason.
    #[track_caller]
    pub fn assert_refuses(&mut self, reason: &str) {
        let code = self.wait_exit(PATIENCE);
        assert_eq!(code, 65, "{} ended otherwise", self.name);
        assert!(
            self.log.has_reason(reason),
            "{} refused, but not with reason={reason}",
            self.name
        );
    }

    /// The program waits for this reason, and has not become etcd after `a_while`.
    #[track_caller]
    pub fn assert_waits(&mut self, reason: &str, a_while: Duration) {
        self.wait_reason(reason);
        std::thread::sleep(a_while);
        let code = self.process().code();
        assert_eq!(code, None, "{} ended while it should wait", self.name);
        assert!(!self.is_etcd(), "{} became etcd, or runs it", self.name);
        let steps = self.steps();
        assert!(
            steps.is_empty(),
            "{} changed something: {steps:?}",
            self.name
        );
    }

    /// The steps decided since the last start, by name.
    pub fn steps(&self) -> Vec<String> {
        let decided = self.log.lines(" step=").into_iter();
        let decided = decided.filter(|line| line.contains("reason="));
        let name = |line: String| {
            line.split(" step=")
                .nth(1)?
                .split_whitespace()
                .next()
                .map(str::to_string)
        };
        decided.filter_map(name).collect()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if std::thread::panicking() && self.process.is_some() {
            let state = match self.is_running() {
                true => "runs",
                false => "does not run",
            };
            let tail = self.log.tail();
            eprintln!("---- {} ({state}), its log:\n{tail}", self.name);
        }
    }
}
