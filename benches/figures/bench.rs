//! What is measured, with what, and how often.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use etcd_rejoin::access::TlsFiles;
use etcd_rejoin::gateway::Client;

use crate::support::certs::Ca;
use crate::support::{Cluster, Member, PATIENCE, Version};

/// The settings of a run.
pub struct Bench {
    /// Which etcd.
    pub version: Version,
    /// Its name on the command line.
    pub version_name: String,
    /// How often each side is measured; some figures take longer and are measured less often.
    pub times: usize,
    /// The program under test.
    pub program: PathBuf,
    wanted: Vec<String>,
}

/// The two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The entrypoint, which becomes etcd.
    Ours,
    /// etcd with the same settings and nothing in front.
    Bare,
}

impl Bench {
    /// Reads the command line.
    pub fn read<'a>(
        words: &[String],
        figures: impl Iterator<Item = &'a str>,
    ) -> Result<Self, String> {
        let figures: Vec<&str> = figures.collect();
        let newest = Version::newest();
        let mut bench = Bench {
            version: newest,
            version_name: newest.to_string(),
            times: 30,
            program: env!("CARGO_BIN_EXE_etcd-rejoin").into(),
            wanted: Vec::new(),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                // From `cargo bench`.
                "--bench" => {}
                "--etcd" => {
                    bench.version_name = value()?.clone();
                    bench.version = crate::version(&bench.version_name)
                        .ok_or("--etcd takes a version that is there, as 3.4 or 3.5.16")?;
                }
                "--times" => {
                    bench.times = value()?.parse().map_err(|_| "--times takes a number")?;
                }
                "--program" => bench.program = value()?.into(),
                name if figures.contains(&name) => bench.wanted.push(name.into()),
                other => return Err(format!("{other} is none of {}", figures.join(", "))),
            }
        }
        if std::env::var_os(crate::UPDATE).is_some() && !bench.wanted.is_empty() {
            return Err(format!("{} writes all figures: name none", crate::UPDATE));
        }
        Ok(bench)
    }

    /// Whether this figure is asked for.
    pub fn wants(&self, figure: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|name| name == figure)
    }

    /// A running cluster of three with small data, without or with TLS for clients and peers.
    pub fn cluster(&self, tls: bool) -> Cluster {
        let mut cluster = Cluster::new(self.version, 3);
        cluster.set("REJOIN_LOG", "info");
        if tls {
            secure(&mut cluster);
        }
        for n in cluster.all() {
            self.start(Side::Bare, cluster.member(n));
        }
        cluster.wait_healthy();
        cluster.put_some();
        cluster
    }

    /// Starts a member, as it is or through us.
    pub fn start(&self, side: Side, member: &mut Member) {
        match side {
            Side::Bare => member.start_etcd(&[]),
            Side::Ours => member.spawn(&self.program, &[], |_| true),
        }
    }

    /// Starts a member and waits until it is healthy; how long that took.
    pub fn time_to_healthy(&self, side: Side, member: &mut Member) -> Duration {
        let client = client(member);
        let url = member.client_url();
        let begin = Instant::now();
        self.start(side, member);
        // Refused while nobody listens; from then on the one question waits for its answer.
        loop {
            match client.health(&url, Instant::now() + Duration::from_secs(10)) {
                Ok(true) => return begin.elapsed(),
                Ok(false) | Err(_) => std::thread::sleep(Duration::from_micros(500)),
            }
            assert!(begin.elapsed() < PATIENCE, "{} is not healthy", member.name);
        }
    }

    /// The command that starts a member through us, or `etcd` as it is, with this program as etcd.
    pub fn command(&self, side: Side, member: &Member, etcd: &Path) -> Command {
        let mut command = Command::new(match side {
            Side::Ours => &self.program,
            Side::Bare => etcd,
        });
        command.env_clear().env("PATH", "/usr/bin:/bin");
        command.envs(&member.env).env("REJOIN_ETCD", etcd);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// Our own client of a member.
pub fn client(member: &Member) -> Client {
    let files = member.tls.as_ref().map(|tls| TlsFiles {
        ca: Some(tls.ca.clone()),
        cert: Some(tls.cert.clone()),
        key: Some(tls.key.clone()),
        ..TlsFiles::default()
    });
    Client::new(&files.unwrap_or_default(), None).expect("the certificates of the bench are good")
}

/// Client certificates are wanted on both ports.
fn secure(cluster: &mut Cluster) {
    let ca = Ca::new(&cluster.scratch().join("ca"), "ca");
    for n in cluster.all() {
        let host = cluster.addresses.host(n as u8);
        // On loopback every connection comes from 127.0.0.1, and etcd checks that.
        let cert = ca.server(&format!("n{n}"), &[&host.to_string(), "127.0.0.1"]);
        let member = cluster.member(n);
        member.move_to(host, "https");
        for side in ["ETCD", "ETCD_PEER"] {
            let mut set = |name: &str, path: &Path| {
                member.set(&format!("{side}_{name}"), &path.display().to_string());
            };
            set("CERT_FILE", &cert.cert);
            set("KEY_FILE", &cert.key);
            set("TRUSTED_CA_FILE", &ca.cert());
            set("CLIENT_CERT_AUTH", Path::new("true"));
        }
        member.tls = Some(crate::support::client::Tls {
            ca: ca.cert(),
            cert: cert.cert,
            key: cert.key,
        });
    }
    cluster.set_initial(&cluster.all());
}
