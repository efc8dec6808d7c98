//! A cluster of members on addresses of their own, and what must hold for it in the end.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::addresses::Addresses;
use super::writer::{Acked, Writer};
use super::{Client, Listed, Member, PATIENCE, Version, files, wait_for};

/// Some members, and every write that they acknowledged.
#[derive(Debug)]
pub struct Cluster {
    /// Which etcd.
    pub version: Version,
    /// The acknowledged writes.
    pub acked: Acked,
    /// Where they listen.
    pub addresses: Addresses,
    members: Vec<Member>,
    puts: usize,
    scratch: TempDir,
}

impl Cluster {
    /// `n` members with empty volumes, none of them started.
    pub fn new(version: Version, n: usize) -> Self {
        let mut cluster = Cluster {
            version,
            acked: Acked::default(),
            addresses: Addresses::take(),
            members: Vec::new(),
            puts: 0,
            scratch: files::scratch(),
        };
        for _ in 0..n {
            cluster.grow();
        }
        let all: Vec<usize> = (1..=n).collect();
        cluster.set_initial(&all);
        cluster
    }

    /// `n` members that run, with some acknowledged writes.
    pub fn running(version: Version, n: usize) -> Self {
        let mut cluster = Cluster::new(version, n);
        cluster.run();
        cluster
    }

    /// Starts all, and writes something.
    pub fn run(&mut self) {
        self.start_all();
        self.wait_healthy();
        self.put_some();
    }

    /// One more member, not started; its initial cluster is that of all. The others' stay.
    pub fn grow(&mut self) -> usize {
        let n = self.members.len() + 1;
        let host = self.addresses.host(n as u8);
        let name = format!("n{n}");
        let member = Member::new(self.version, &name, host, self.scratch.path());
        self.members.push(member);
        let initial = self.initial(&(1..=n).collect::<Vec<_>>());
        self.member(n).set("ETCD_INITIAL_CLUSTER", &initial);
        n
    }

    /// The initial cluster of these members.
    pub fn initial(&self, who: &[usize]) -> String {
        let parts: Vec<String> = who.iter().map(|&n| self.members[n - 1].initial()).collect();
        parts.join(",")
    }

    /// Another process with the settings of member `n`, and an empty volume of its own.
    pub fn twin_of(&self, n: usize) -> Member {
        let host = self.addresses.host(n as u8);
        let scratch = self.scratch.path();
        let mut twin = Member::new(self.version, &format!("twin-of-n{n}"), host, scratch);
        let volume = twin.env["ETCD_DATA_DIR"].clone();
        twin.env = self.members[n - 1].env.clone();
        twin.set("ETCD_DATA_DIR", &volume);
        twin
    }

    /// Gives these members an initial cluster of themselves.
    pub fn set_initial(&mut self, who: &[usize]) {
        let initial = self.initial(who);
        for &n in who {
            self.member(n).set("ETCD_INITIAL_CLUSTER", &initial);
        }
    }

    /// Sets a variable for every member.
    pub fn set(&mut self, key: &str, value: &str) {
        for member in &mut self.members {
            member.set(key, value);
        }
    }

    /// A directory of the test's own, beside the volumes.
    pub fn scratch(&self) -> &std::path::Path {
        self.scratch.path()
    }

    /// Member `n`, from 1 on.
    pub fn member(&mut self, n: usize) -> &mut Member {
        &mut self.members[n - 1]
    }

    /// The numbers of all members.
    pub fn all(&self) -> Vec<usize> {
        (1..=self.members.len()).collect()
    }

    /// Starts every member that does not run.
    pub fn start_all(&mut self) {
        self.start(&self.all());
    }

    /// Starts these members, unless they run.
    pub fn start(&mut self, who: &[usize]) {
        for &n in who {
            if !self.member(n).is_running() {
                self.member(n).start();
            }
        }
    }

    /// `kill -9` for these members.
    pub fn kill9(&mut self, who: &[usize]) {
        for &n in who {
            self.member(n).kill9();
        }
    }

    /// Clients of the members that run.
    pub fn clients(&mut self) -> Vec<Client> {
        let running = self.members.iter_mut().filter_map(|member| {
            let running = member.is_running();
            running.then(|| member.client())
        });
        running.collect()
    }

    /// A client of member `n`.
    pub fn client(&self, n: usize) -> Client {
        self.members[n - 1].client()
    }

    /// Waits until every member serves linearizable reads. None may end meanwhile.
    #[track_caller]
    pub fn wait_healthy(&mut self) {
        self.wait_healthy_of(&self.all());
    }

    /// Waits until these members serve linearizable reads. None of them may end meanwhile.
    #[track_caller]
    pub fn wait_healthy_of(&mut self, who: &[usize]) {
        for &n in who {
            let client = self.client(n);
            let member = self.member(n);
            wait_for(&format!("n{n} is healthy"), PATIENCE, || {
                if member.fell_over_its_logger() {
                    member.start();
                }
                let code = member.process().code();
                assert_eq!(code, None, "n{n} ended before it was healthy");
                client.linearizable_read().is_ok()
            });
        }
    }

    /// Waits until member `n` is healthy, starting it again whenever it ends, as Docker does.
    ///
    /// Ends that say "a person must look", or that the settings are wrong, fail at once.
    #[track_caller]
    pub fn wait_healthy_restarting(&mut self, n: usize) {
        let client = self.client(n);
        let member = self.member(n);
        let mut restarts = 0;
        wait_for(&format!("n{n} is healthy"), PATIENCE, || {
            if let Some(code) = member.process().code() {
                // 2 is a panic of etcd here.
                assert!(![65, 69, 78].contains(&code), "n{n} ended with {code}");
                restarts += 1;
                assert!(restarts <= 6, "n{n} keeps ending, now with {code}");
                member.start();
            }
            client.linearizable_read().is_ok()
        });
    }

    /// Writes a few keys that etcd acknowledges; several tries each, while elections go on.
    #[track_caller]
    pub fn put_some(&mut self) {
        let clients = self.clients();
        for _ in 0..10 {
            self.puts += 1;
            let (key, value) = (format!("key-{}", self.puts), format!("value-{}", self.puts));
            let acked = self.acked.clone();
            wait_for("a write is acknowledged", PATIENCE, || {
                acked.put(&clients, &key, &value).is_ok()
            });
        }
    }

    /// Writes in the background through these members, until stopped.
    pub fn writer(&self, who: &[usize]) -> Writer {
        let clients = who.iter().map(|&n| self.client(n)).collect();
        Writer::start(self.acked.clone(), clients, &format!("bg-{}", self.puts))
    }

    /// The leader among the running members.
    #[track_caller]
    pub fn leader(&mut self) -> usize {
        let mut leader = None;
        wait_for("there is a leader", PATIENCE, || {
            for n in self.all() {
                if self.member(n).is_running()
                    && let Ok((id, of)) = self.client(n).id_and_leader()
                    && id == of
                {
                    leader = Some(n);
                }
            }
            leader.is_some()
        });
        leader.expect("it was found")
    }

    /// The member list as member `n` has it.
    #[track_caller]
    pub fn members_of(&mut self, n: usize) -> Vec<Listed> {
        self.client(n).members().unwrap()
    }

    /// The ID of member `n`, as it says itself.
    #[track_caller]
    pub fn id(&self, n: usize) -> u64 {
        self.client(n).id_and_leader().unwrap().0
    }

    /// Runs etcdctl against the members that run, as a person would.
    pub fn etcdctl(&mut self, args: &[&str]) -> Output {
        let who: Vec<usize> = self.all();
        let running = who.into_iter().filter(|&n| self.member(n).is_running());
        let running: Vec<usize> = running.collect();
        self.etcdctl_at(&running, args)
    }

    /// Runs etcdctl against these members.
    pub fn etcdctl_at(&self, who: &[usize], args: &[&str]) -> Output {
        let urls: Vec<String> = who
            .iter()
            .map(|&n| self.members[n - 1].client_url())
            .collect();
        let first = &self.members[who.first().map_or(0, |n| n - 1)];
        let Client::Etcdctl(etcdctl, options) = first.etcdctl(&urls.join(",")) else {
            unreachable!("it is etcdctl that was asked for");
        };
        let mut command = Command::new(etcdctl);
        command.env_clear().env("ETCDCTL_API", "3");
        command.args(options).args(args).output().unwrap()
    }

    /// Runs etcdctl, which must succeed within a while (etcd refuses changes for some seconds).
    #[track_caller]
    pub fn operator(&mut self, args: &[&str]) -> String {
        let (mut out, mut tries) = (String::new(), 0);
        wait_for(&format!("etcdctl {args:?} succeeds"), PATIENCE, || {
            let done = self.etcdctl(args);
            out = String::from_utf8_lossy(&done.stdout).into_owned();
            tries += 1;
            // A leader that is removed may end before it answers; an add may be done after its five seconds.
            let said = String::from_utf8_lossy(&done.stderr);
            let before =
                |done: &[&str], words| tries > 1 && args.starts_with(done) && said.contains(words);
            done.status.success()
                || before(&["member", "remove"], "member not found")
                || before(&["member", "add"], "Peer URLs already exists")
        });
        out
    }

    /// What must hold in the end for all members; see `verify_of`.
    #[track_caller]
    pub fn verify(&mut self) {
        self.verify_of(&self.all());
    }

    /// These members, and no others, are started voters of one cluster; every acknowledged write is
    /// on each of them by its own account, and all of them hold the same.
    #[track_caller]
    pub fn verify_of(&mut self, who: &[usize]) {
        let end = Instant::now() + PATIENCE;
        self.wait_healthy_of(who);
        loop {
            match self.flaw(who) {
                None => return,
                Some(flaw) => assert!(Instant::now() < end, "still wrong: {flaw}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn flaw(&mut self, who: &[usize]) -> Option<String> {
        let acked = self.acked.all();
        let first = self.client(who[0]).members();
        for &n in who {
            let members = match self.client(n).members() {
                Ok(members) => members,
                Err(error) => return Some(format!("n{n} does not list members: {error}")),
            };
            if members.len() != who.len() {
                return Some(format!("n{n} lists other members: {members:?}"));
            }
            if let Some(member) = members.iter().find(|m| !m.started || m.learner) {
                return Some(format!("n{n} lists no started voter: {member:?}"));
            }
            if first.as_ref() != Ok(&members) {
                return Some(format!("n{n} lists other members: {members:?}"));
            }
            let held = match self.client(n).everything() {
                Ok(held) => held,
                Err(error) => return Some(format!("n{n} cannot be read: {error}")),
            };
            let lost: Vec<_> = acked
                .iter()
                .filter(|(key, value)| held.get(*key) != Some(value))
                .collect();
            if !lost.is_empty() {
                return Some(format!("n{n} lost acknowledged writes: {lost:?}"));
            }
        }
        self.hashes_differ(who)
    }

    fn hashes_differ(&self, who: &[usize]) -> Option<String> {
        let done = self.etcdctl_at(who, &["endpoint", "hashkv", "-w", "json"]);
        let answer: Value = match serde_json::from_slice(&done.stdout) {
            Ok(answer) => answer,
            Err(_) => return Some(String::from_utf8_lossy(&done.stderr).into_owned()),
        };
        let hashes: Vec<&Value> = (answer.as_array().into_iter().flatten())
            .map(|one| &one["HashKV"]["hash"])
            .collect();
        let same = hashes.len() == who.len()
            && hashes
                .iter()
                .all(|hash| hash.is_u64() && *hash == hashes[0]);
        (!same).then(|| format!("the hashes differ: {hashes:?}"))
    }
}
