//! Containers for tests: a network, volumes and members of its own for each test, removed at its end.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a container may take to reach a state: two cores, a dozen containers.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Carries the process ID of the test program; what a killed one left behind is found by it.
pub const LABEL: &str = "etcd-rejoin-test";

/// Runs `docker ARGS`, whatever comes of it.
pub fn try_docker(args: &[&str]) -> Output {
    Command::new("docker")
        .args(args)
        .output()
        .expect("docker is on PATH")
}

/// Runs `docker ARGS` and returns what it printed.
pub fn docker(args: &[&str]) -> String {
    let output = try_docker(args);
    let text = String::from_utf8_lossy(&output.stdout).trim().to_string();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {args:?}: {text} {errors}");
    text
}

/// `docker logs ARGS`, both streams.
pub fn logs(args: &[&str]) -> String {
    let output = try_docker(&[&["logs"], args].concat());
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The image with the etcd of a Debian suite, built from docker/Dockerfile if it is not there yet; or the one that
/// ETCD_REJOIN_IMAGE names.
pub fn image(suite: &str) -> String {
    std::env::var("ETCD_REJOIN_IMAGE").unwrap_or_else(|_| images(suite).0)
}

/// That image, and the one with nothing but etcd that it is made from.
pub fn images(suite: &str) -> (String, String) {
    static BUILT: OnceLock<String> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        sweep();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/setup/images.sh");
        let output = Command::new(script).output().expect("images.sh runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tests/setup/images.sh: {errors}");
        String::from_utf8(output.stdout).unwrap()
    });
    let mut lines = built
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let line = lines.find(|line| line[0] == suite).unwrap();
    (line[1].to_string(), line[2].to_string())
}

/// Waits until `holds` gives a value; after [`PATIENCE`] fails with what it said last.
pub fn wait_for<T>(what: &str, mut holds: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match holds() {
            Ok(value) => return value,
            Err(why) if begun.elapsed() > PATIENCE => panic!("{what}: not in time: {why}"),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// What a member is run with beside its name and URLs.
#[derive(Clone, Default)]
pub struct Options {
    /// Of `docker run`, before the image.
    pub run: Vec<&'static str>,
    /// How many members the cluster has.
    pub members: usize,
}

/// Members on one user-defined network, each with a named volume.
pub struct Cluster {
    prefix: String,
    image: String,
    options: Options,
}

impl Cluster {
    /// A network; no container yet.
    pub fn new(suite: &'static str, options: Options) -> Cluster {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let image = image(suite);
        let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let prefix = format!("er{pid}-{count}");
        let label = format!("{LABEL}={pid}");
        docker(&["network", "create", "--label", &label, &prefix]);
        Cluster {
            prefix,
            image,
            options,
        }
    }

    /// Three members, running and healthy.
    pub fn three(suite: &'static str, run: &[&'static str]) -> Cluster {
        let run = run.to_vec();
        let cluster = Cluster::new(suite, Options { run, members: 3 });
        (1..=3).for_each(|n| cluster.run(n));
        (1..=3).for_each(|n| cluster.wait_healthy(n));
        cluster
    }

    /// The name of a container, of its volume, and of its host on the network.
    pub fn host(&self, n: usize) -> String {
        format!("{}-n{n}", self.prefix)
    }

    /// The `docker run` of this member: the same words each time.
    pub fn run(&self, n: usize) {
        let host = self.host(n);
        let initial: Vec<String> = (1..=self.options.members)
            .map(|m| format!("n{m}=http://{}:2380", self.host(m)))
            .collect();
        let label = format!("{LABEL}={}", std::process::id());
        docker(&["volume", "create", "--label", &label, &host]);
        let env = [
            format!("ETCD_NAME=n{n}"),
            format!("ETCD_INITIAL_CLUSTER={}", initial.join(",")),
            format!("ETCD_INITIAL_ADVERTISE_PEER_URLS=http://{host}:2380"),
            "ETCD_LISTEN_PEER_URLS=http://0.0.0.0:2380".to_string(),
            "ETCD_LISTEN_CLIENT_URLS=http://0.0.0.0:2379".to_string(),
            format!("ETCD_ADVERTISE_CLIENT_URLS=http://{host}:2379"),
        ];
        let volume = format!("{host}:/var/lib/etcd");
        let mut args = vec!["run", "--detach", "--name", &host, "--label", &label];
        args.extend(["--network", &self.prefix, "--volume", &volume]);
        env.iter().for_each(|pair| args.extend(["--env", pair]));
        args.extend(&self.options.run);
        args.push(&self.image);
        docker(&args);
    }

    /// Removes a container at once, and its volume.
    pub fn lose(&self, n: usize) {
        docker(&["rm", "--force", &self.host(n)]);
        docker(&["volume", "rm", &self.host(n)]);
    }

    /// `etcdctl ARGS` inside a member, against itself.
    pub fn etcdctl(&self, n: usize, args: &[&str]) -> Result<String, String> {
        let host = self.host(n);
        let mut all = vec!["exec", "--env", "ETCDCTL_API=3", &host, "etcdctl"];
        all.extend(args);
        let output = try_docker(&all);
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_string()),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_string()),
        }
    }

    /// Writes `count` keys below `prefix`.
    pub fn write(&self, n: usize, prefix: &str, count: usize) {
        for i in 0..count {
            let key = format!("{prefix}/{i:03}");
            wait_for("a write", || self.etcdctl(n, &["put", &key, "value"]));
        }
    }

    /// How many keys the member itself holds, without asking the others.
    pub fn keys(&self, n: usize) -> usize {
        let args = ["get", "", "--prefix", "--keys-only", "--consistency=s"];
        let text = wait_for("a local read", || self.etcdctl(n, &args));
        text.lines().filter(|line| !line.is_empty()).count()
    }

    /// Waits until the member answers a linearizable read.
    ///
    /// Not by `etcdctl endpoint health`: in the seconds after it, a stop of etcd takes up to 5 s
    /// (measured with 3.5.30, without etcd-rejoin too).
    pub fn wait_healthy(&self, n: usize) {
        wait_for(&format!("n{n} healthy"), || {
            self.etcdctl(n, &["get", "health"])
        });
    }

    /// The member's entries in the list that `from` has: how many, and the last one's line.
    pub fn entry(&self, from: usize, n: usize) -> Result<String, String> {
        let list = self.etcdctl(from, &["member", "list"])?;
        let url = format!("http://{}:2380", self.host(n));
        let lines: Vec<&str> = list.lines().filter(|line| line.contains(&url)).collect();
        match lines[..] {
            [line] => Ok(line.to_string()),
            _ => Err(format!("{} entries for n{n}:\n{list}", lines.len())),
        }
    }

    /// Waits until the member is a started voter under its name; returns its ID.
    pub fn wait_voter(&self, from: usize, n: usize) -> String {
        let name = format!("n{n}");
        wait_for(&format!("n{n} a voter"), || {
            let line = self.entry(from, n)?;
            let words: Vec<&str> = line.split(", ").collect();
            match words[..] {
                [id, "started", word, _, _, "false"] if word == name => Ok(id.to_string()),
                _ => Err(line),
            }
        })
    }

    /// A field of `docker inspect`.
    pub fn inspect(&self, n: usize, field: &str) -> String {
        let format = format!("{{{{.{field}}}}}");
        docker(&["inspect", "--format", &format, &self.host(n)])
    }

    /// The programs inside a member, by process ID as the host sees it.
    pub fn processes(&self, n: usize) -> Vec<(String, String)> {
        let table = docker(&["top", &self.host(n), "-o", "pid,comm"]);
        let lines = table.lines().skip(1).map(str::split_whitespace);
        lines
            .map(|mut words| (words.next().unwrap().into(), words.next().unwrap().into()))
            .collect()
    }

    /// What a member has logged.
    pub fn logs(&self, n: usize) -> String {
        logs(&[&self.host(n)])
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for n in 1..=self.options.members {
            if std::thread::panicking() {
                let logs = self.logs(n);
                let lines: Vec<String> = logs
                    .lines()
                    .map(|line| line.chars().take(200).collect())
                    .collect();
                let tail = lines[lines.len().saturating_sub(15)..].join("\n");
                eprintln!("---- the end of what n{n} logged\n{tail}");
            }
            try_docker(&["rm", "--force", "--volumes", &self.host(n)]);
            try_docker(&["volume", "rm", "--force", &self.host(n)]);
        }
        try_docker(&["network", "rm", &self.prefix]);
    }
}

/// Removes what test programs that no longer run have left behind.
fn sweep() {
    let filter = format!("label={LABEL}");
    let format = format!("{{{{.Label \"{LABEL}\"}}}}");
    let left = |list: &[&str], id: &str| -> Vec<String> {
        let shown = format!("{id} {format}");
        let args = [list, &["--filter", &filter, "--format", &shown]].concat();
        let text = docker(&args);
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let dead = lines.filter(|(_, pid)| !std::path::Path::new(&format!("/proc/{pid}")).exists());
        dead.map(|(id, _)| id.to_string()).collect()
    };
    for id in left(&["ps", "--all"], "{{.ID}}") {
        try_docker(&["rm", "--force", "--volumes", &id]);
    }
    for id in left(&["volume", "ls"], "{{.Name}}") {
        try_docker(&["volume", "rm", &id]);
    }
    for id in left(&["network", "ls"], "{{.ID}}") {
        try_docker(&["network", "rm", &id]);
    }
}
