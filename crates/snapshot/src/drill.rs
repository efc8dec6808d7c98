//! The etcd at hand: what restores a snapshot, and a throw-away etcd on loopback, which is asked what it holds. Touches
//! no cluster, and no data dir but those that it is given for that.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustls::ClientConfig;
use serde::Serialize;

use etcd_rejoin_host::access::Credentials;
use etcd_rejoin_host::error::{Context, Error};
use etcd_rejoin_host::{program, tied};

use crate::etcd::Endpoint;
use crate::etcd::messages::StatusResponse;
use crate::layout::HashKv;
use crate::stop::Stopping;

/// How long `etcdutl` may take: it copies the whole database, on a disk that may be slow.
const RESTORE: Duration = Duration::from_secs(3600);
/// How long the restored etcd may take until it has elected itself. It opens the database before.
const START: Duration = Duration::from_secs(120);
/// How long an etcd may take to end that was asked to.
const END: Duration = Duration::from_secs(20);

/// The programs of the etcd that is at hand.
#[derive(Clone, Debug)]
pub struct Tools {
    etcd: PathBuf,
    /// `etcdutl`; `etcdctl` before 3.5.
    restore: PathBuf,
    search: OsString,
    /// As `3.5.30`.
    pub version: String,
}

impl Tools {
    /// Finds `etcd` by its name or path, and what restores snapshots: beside it, else on the search path.
    pub fn find(etcd: &str, search: OsString) -> Result<Tools, Error> {
        let found = program::find(etcd, &search);
        let etcd = found.map_err(|why| {
            Error::new(format!(
                "etcd is needed for that, and {etcd} {why}: set REJOIN_ETCD"
            ))
        })?;
        let asked = program::run(
            program::command(&etcd, &search).arg("--version"),
            Duration::from_secs(10),
            &|| false,
        );
        let asked =
            asked.map_err(|why| Error::new(format!("{} --version {why}", etcd.display())))?;
        let version = asked
            .out
            .lines()
            .find_map(|line| line.strip_prefix("etcd Version: "));
        let version = version.map(|version| version.trim().to_string());
        let version = version
            .ok_or_else(|| Error::new(format!("{} does not say its version", etcd.display())))?;
        let name = if minor(&version) < Some((3, 5)) {
            "etcdctl"
        } else {
            "etcdutl"
        };
        let beside = etcd
            .parent()
            .map(|folder| folder.join(name))
            .filter(|path| path.exists());
        let restore = match beside {
            Some(path) => path,
            None => program::find(name, &search).map_err(|_| {
                let etcd = etcd.display();
                Error::new(format!(
                    "{name} restores snapshots, and is neither beside {etcd} nor on PATH"
                ))
            })?,
        };
        Ok(Tools {
            etcd,
            restore,
            search,
            version,
        })
    }

    /// Whether a snapshot of that version is one that this etcd may open: an older etcd must not, and may panic.
    pub fn may_open(&self, of: &str) -> Result<(), Error> {
        match (minor(&self.version), minor(of)) {
            (Some(ours), Some(its)) if ours < its => Err(Error::new(format!(
                "the snapshot is of etcd {of}, and {} is {}: take an etcd that is as new",
                self.etcd.display(),
                self.version
            ))),
            _ => Ok(()),
        }
    }

    /// Restores this `.db` into a new data dir, as a cluster of one. `bump`: by how much the revision rises, with all
    /// before it compacted, so that no client takes what it has seen for what comes.
    pub async fn restore(
        &self,
        db: &Path,
        data_dir: &Path,
        member: &NewMember,
        bump: Option<u64>,
        stopping: &Stopping,
    ) -> Result<(), Error> {
        let mut args: Vec<OsString> = vec!["snapshot".into(), "restore".into(), db.into()];
        args.extend(["--data-dir".into(), data_dir.into()]);
        args.extend(member.flags().into_iter().map(OsString::from));
        if let Some(bump) = bump {
            let help = ["snapshot", "restore", "--help"].map(OsString::from);
            let help = self.restorer(&help, stopping).await?;
            match help.contains("--bump-revision") {
                true => {
                    args.push(format!("--bump-revision={bump}").into());
                    args.push("--mark-compacted".into());
                }
                false => log::warn!(
                    "etcd {} cannot raise the revision of what it restores: clients that have seen a later one, and watch, have to start anew",
                    self.version
                ),
            }
        }
        self.restorer(&args, stopping).await.map(drop)
    }

    /// Runs what restores, to its end. What it printed.
    async fn restorer(&self, args: &[OsString], stopping: &Stopping) -> Result<String, Error> {
        let what = format!("{} snapshot restore", self.restore.display());
        let mut command = tied::command(&self.restore, &self.search);
        command.env("ETCDCTL_API", "3").args(args);
        let stopping = stopping.clone();
        // It waits for a program: the task of the signals has to go on beside it.
        let ran = tokio::task::spawn_blocking(move || {
            program::run(&mut command, RESTORE, &|| stopping.is_asked())
        })
        .await;
        let ran = ran
            .context(|| what.clone())?
            .map_err(|why| Error::new(format!("{what} {why}")))?;
        match ran.code {
            0 => Ok(ran.out),
            code => {
                let said = ran
                    .err
                    .lines()
                    .rev()
                    .find(|line| !line.trim().is_empty())
                    .unwrap_or_default();
                Err(Error::new(format!("{what} ended with {code}: {said}")))
            }
        }
    }

    /// Runs etcd on a data dir, as a cluster of itself alone: whoever else its data lists is gone from it then. Returns
    /// once it has elected itself, and applied all that was committed.
    pub async fn run_alone(
        &self,
        data_dir: &Path,
        log: &Path,
        speaks: Speaks,
        stopping: &Stopping,
    ) -> Result<RunningAlone, Error> {
        let [client, peer] = free_urls()?;
        let member = NewMember::throwaway(&peer);
        let flags = ["--force-new-cluster".to_string()];
        let mut etcd = self.start(data_dir, &client, &member, &flags, log)?;
        let (endpoint, status) = elected(&mut etcd, &client, speaks, stopping).await?;
        let revision = revision(&status).unwrap_or(0);
        Ok(RunningAlone {
            endpoint,
            revision,
            _etcd: etcd,
        })
    }

    /// Runs etcd on a data dir that was just restored, and lets it hold the clients that it will have.
    pub async fn hold(
        &self,
        data_dir: &Path,
        member: &NewMember,
        log: &Path,
        speaks: Speaks,
        stopping: &Stopping,
    ) -> Result<(), Error> {
        let [client, peer] = free_urls()?;
        // What it publishes of itself is in the data: its name stays.
        let member = NewMember {
            peer_urls: vec![peer],
            ..member.clone()
        };
        let mut etcd = self.start(data_dir, &client, &member, &[], log)?;
        let (endpoint, _) = elected(&mut etcd, &client, speaks, stopping).await?;
        endpoint.hold().await?;
        etcd.end().await
    }

    fn start(
        &self,
        data_dir: &Path,
        client: &str,
        member: &NewMember,
        flags: &[String],
        log: &Path,
    ) -> Result<Throwaway, Error> {
        let what = || format!("cannot start {}", self.etcd.display());
        let out = File::create(log).context(what)?;
        let err = out.try_clone().context(what)?;
        let mut command = tied::command(&self.etcd, &self.search);
        command.args(member.flags()).args(flags);
        for flag in ["listen-client-urls", "advertise-client-urls"] {
            command.arg(format!("--{flag}={client}"));
        }
        let peer = member.peer_urls.join(",");
        command.arg(format!("--listen-peer-urls={peer}"));
        command
            .arg("--data-dir")
            .arg(data_dir)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        Ok(Throwaway {
            child: command.spawn().context(what)?,
            log: log.into(),
        })
    }
}

/// The one member of what is restored.
#[derive(Clone, Debug)]
pub struct NewMember {
    /// Its name.
    pub name: String,
    /// Its peer URLs.
    pub peer_urls: Vec<String>,
    /// The token of its cluster.
    pub token: String,
}

impl NewMember {
    fn throwaway(peer: &str) -> NewMember {
        NewMember {
            name: "drill".into(),
            peer_urls: vec![peer.into()],
            token: "drill".into(),
        }
    }

    fn flags(&self) -> [String; 4] {
        let name = &self.name;
        let cluster: Vec<_> = (self.peer_urls.iter())
            .map(|url| format!("{name}={url}"))
            .collect();
        [
            format!("--name={name}"),
            format!("--initial-cluster={}", cluster.join(",")),
            format!("--initial-advertise-peer-urls={}", self.peer_urls.join(",")),
            format!("--initial-cluster-token={}", self.token),
        ]
    }
}

/// How we speak to etcd, and as whom.
pub type Speaks = (Arc<ClientConfig>, Option<Credentials>);

/// An etcd that runs on a copy of a member's data, until this value ends.
pub struct RunningAlone {
    /// It.
    pub endpoint: Endpoint,
    /// Its revision.
    pub revision: u64,
    _etcd: Throwaway,
}

/// Major and minor of `3.5.30`.
fn minor(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// An etcd that ends with this value.
struct Throwaway {
    child: Child,
    log: PathBuf,
}

impl Throwaway {
    /// An error once it has ended: with its last words.
    fn runs(&mut self) -> Result<(), Error> {
        let ended = self
            .child
            .try_wait()
            .context(|| "cannot wait for etcd".into())?;
        let Some(status) = ended else { return Ok(()) };
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(3).collect();
        let last: Vec<&str> = lines.into_iter().rev().collect();
        Err(Error::new(format!(
            "the restored etcd ended ({status}): {}",
            last.join(" | ")
        )))
    }
}

impl Throwaway {
    /// Ends well: what it has acknowledged is in its files.
    async fn end(mut self) -> Result<(), Error> {
        let end = Instant::now() + END;
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        while Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(Error::new(format!("etcd has not ended within {END:?}")))
    }
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        // Its data dir is thrown away: it need not end well. It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a restored etcd holds, or has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Holdings {
    /// Its revision; or the one that it has to have reached.
    pub revision: Option<u64>,
    /// How many keys it has.
    pub keys: Option<u64>,
    /// etcd's hash over all revisions since the last compaction.
    pub hashkv: Option<HashKv>,
}

impl Holdings {
    /// Compares what a restored etcd holds with what it has to hold: what was compared, and what of it differs.
    pub fn compare(&self, wanted: &Holdings) -> (Vec<&'static str>, Vec<String>) {
        let (mut compared, mut differs) = (Vec::new(), Vec::new());
        let mut pair = |what: &'static str, is: Option<u64>, wanted: Option<u64>| {
            let (Some(is), Some(wanted)) = (is, wanted) else {
                return;
            };
            compared.push(what);
            // What was written while the stream began may be in it.
            if is != wanted && !(is > wanted && what == "revision") {
                differs.push(format!("{what} is {is}, and has to be {wanted}"));
            }
        };
        pair("revision", self.revision, wanted.revision);
        pair("keys", self.keys, wanted.keys);
        // Hashes are of the same only since the same compaction.
        if let (Some(is), Some(wanted)) = (self.hashkv, wanted.hashkv)
            && is.compact_revision == wanted.compact_revision
        {
            pair("hashkv", Some(is.hash.into()), Some(wanted.hash.into()));
        }
        (compared, differs)
    }
}

/// Restores a plain `.db` below `scratch`, starts etcd on it, and says what it holds. `at`: the revision to ask about,
/// where it is known. An error is a snapshot that did not come back, or a machine on which nothing does: its words tell.
pub async fn restored(
    tools: &Tools,
    db: &Path,
    scratch: &Path,
    at: Option<u64>,
    speaks: Speaks,
    stopping: &Stopping,
) -> Result<Holdings, Error> {
    let [client, peer] = free_urls()?;
    let member = NewMember::throwaway(&peer);
    let data_dir = scratch.join("data");
    (tools.restore(db, &data_dir, &member, None, stopping)).await?;
    let mut etcd = tools.start(&data_dir, &client, &member, &[], &scratch.join("etcd.log"))?;
    let (endpoint, status) = elected(&mut etcd, &client, speaks, stopping).await?;
    let revision = revision(&status);
    let at = at.or(revision).unwrap_or(0);
    Ok(Holdings {
        revision,
        keys: endpoint.keys(at).await,
        hashkv: endpoint.hashkv(at).await,
    })
}

fn revision(status: &StatusResponse) -> Option<u64> {
    let header = status.header.as_ref()?;
    header.revision.try_into().ok()
}

/// Waits until it leads, and has applied what was committed.
async fn elected(
    etcd: &mut Throwaway,
    client: &str,
    (tls, who): Speaks,
    stopping: &Stopping,
) -> Result<(Endpoint, StatusResponse), Error> {
    let mut endpoint = Endpoint::new(client, tls)?;
    let end = Instant::now() + START;
    loop {
        etcd.runs()?;
        if stopping.is_asked() {
            return Err(Error::new("it was stopped"));
        }
        let answer = match &who {
            Some(who) => endpoint.authenticate(who).await,
            None => Ok(()),
        };
        let answer = match answer {
            Ok(()) => endpoint.status().await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(status) if status.leader != 0 && status.raft_applied_index >= status.raft_index => {
                return Ok((endpoint, status));
            }
            Ok(_) if Instant::now() < end => {}
            Ok(_) => {
                return Err(Error::new(format!(
                    "the restored etcd has no leader after {START:?}"
                )));
            }
            Err(error) if Instant::now() >= end || is_for_good(&error) => return Err(error),
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whether waiting changes nothing: from late 3.5 on etcd says not even how it is to whoever does not say who they are.
fn is_for_good(error: &Error) -> bool {
    // Our own words, behind etcd's; and etcd's of a password that is another one in the snapshot.
    let words = error.to_string();
    words.contains("authentication is on") || words.contains("authentication failed")
}

/// Two URLs on loopback that nobody listens at just now. Both are taken before one is let go: they are two.
fn free_urls() -> Result<[String; 2], Error> {
    let take = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        listener.context(|| "no free port on loopback".into())
    };
    let url = |listener: &TcpListener| {
        let address = listener.local_addr();
        let address = address.context(|| "no free port on loopback".into())?;
        Ok::<_, Error>(format!("http://{address}"))
    };
    let (one, other) = (take()?, take()?);
    Ok([url(&one)?, url(&other)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_and_what_nobody_knows_is_not_compared() {
        let hash = |hash, compact_revision| {
            Some(HashKv {
                hash,
                compact_revision,
            })
        };
        let holds = |revision, keys, hashkv| Holdings {
            revision,
            keys,
            hashkv,
        };
        let is = holds(Some(23), Some(7), hash(5, 9));
        for (wanted, compared, differs) in [
            (holds(None, None, None), vec![], ""),
            (
                holds(Some(23), Some(7), hash(5, 9)),
                vec!["revision", "keys", "hashkv"],
                "",
            ),
            // Compacted between the two questions: nothing to be held against each other.
            (holds(Some(23), None, hash(6, 8)), vec!["revision"], ""),
            (holds(Some(22), None, None), vec!["revision"], ""),
            (
                holds(Some(24), Some(7), None),
                vec!["revision", "keys"],
                "revision is 23, and has to be 24",
            ),
            (
                holds(Some(23), None, hash(6, 9)),
                vec!["revision", "hashkv"],
                "hashkv is 5, and has to be 6",
            ),
        ] {
            let (what, words) = is.compare(&wanted);
            assert_eq!((what, words.join("; ")), (compared, differs.to_string()));
        }
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert!(minor("3.10.0") > minor("3.9.1"));
        assert_eq!(minor("3.4.23"), Some((3, 4)));
        assert_eq!(minor("latest"), None);
    }
}
