//! The members of the cluster, each by its own account: health, lag, version and size. Changes nothing.

use std::fmt::Write;
use std::sync::mpsc::channel;
use std::time::Instant;

use serde_json::{Value, json};

use super::{Exit, print};
use crate::config::Config;
use crate::decide::is_held;
use crate::gateway::{Client, Status};
use crate::membership::{Member, quorum};

/// What CORRUPT means of the member that no cluster has.
pub(super) const HELD: &str = "a restore holds its clients until a second voter has caught up";

/// The cluster, as its members tell it.
pub(super) struct Roll {
    pub(super) clients: Client,
    /// The members as committed; where no leader is proven, as one of them lists them.
    pub(super) members: Vec<Enrolled>,
    /// A leader is proven.
    quorate: bool,
}

/// A member, and what it says of itself.
pub(super) struct Enrolled {
    pub(super) member: Member,
    /// What it says, and at which URL; else why it says nothing.
    pub(super) said: Result<(Status, String), String>,
}

impl Enrolled {
    pub(super) fn leads(&self) -> bool {
        self.status()
            .is_some_and(|status| status.leader == Some(status.member))
    }

    pub(super) fn status(&self) -> Option<&Status> {
        self.said.as_ref().ok().map(|(status, _)| status)
    }

    /// Why it is not healthy, but for alarms, of which each member tells.
    pub(super) fn ails(&self) -> Option<String> {
        match &self.said {
            Err(why) => Some(why.clone()),
            Ok((status, _)) if status.leader.is_none() => Some("it has no leader".into()),
            Ok((status, _)) => {
                let mut errors = status.errors.iter();
                let error = errors.find(|error| !error.contains("alarm:NOSPACE"))?;
                Some(match is_held(error) {
                    true => HELD.into(),
                    false => error.clone(),
                })
            }
        }
    }

    fn role(&self) -> &'static str {
        match (self.member.learner, self.leads()) {
            (true, _) => "learner",
            (false, true) => "leader",
            (false, false) => "voter",
        }
    }

    /// What takes it out, if it may be one that nobody ever starts: it keeps the next learner out, or costs a vote.
    fn orphan_s_end(&self) -> Option<String> {
        let silent = self.said.is_err() && (!self.member.started() || self.member.learner);
        silent.then(|| {
            format!(
                "if nobody is to start it any more, take it out: etcdctl member remove {}",
                self.member.id
            )
        })
    }

    /// In one word; what ails it stands below the table.
    fn state(&self) -> &'static str {
        match (&self.said, self.ails()) {
            (Err(_), _) if !self.member.started() => "unstarted",
            (Err(_), _) => "silent",
            (Ok(_), Some(_)) => "unhealthy",
            (Ok((status, _)), None) if !status.errors.is_empty() => "no-space",
            (Ok(_), None) => "healthy",
        }
    }
}

impl Roll {
    /// Asks one member for the list, then each for itself.
    pub(super) fn call(config: &Config) -> Result<Roll, String> {
        let clients = Client::new(&config.client_tls, config.credentials.clone())
            .map_err(|error| error.to_string())?;
        let (listed, quorate) = listed(config, &clients)?;
        // By name.
        let mut members: Vec<Member> = Vec::new();
        for member in listed {
            let before = members.iter().filter(|other| other.name <= member.name);
            members.insert(before.count(), member);
        }
        let deadline = Instant::now() + config.timeout;
        let (tx, rx) = channel();
        for (at, member) in members.iter().enumerate() {
            let (tx, clients, member) = (tx.clone(), clients.clone(), member.clone());
            let asked = std::thread::Builder::new().spawn(move || {
                // Nobody listens any more: the time is over.
                let _ = tx.send((at, ask(&clients, &member, deadline)));
            });
            asked.map_err(|error| format!("cannot start a thread: {error}"))?;
        }
        drop(tx);
        let silent = |member: Member| Enrolled {
            said: Err("no answer in time".into()),
            member,
        };
        let mut members: Vec<Enrolled> = members.into_iter().map(silent).collect();
        for (at, said) in rx {
            members[at].said = said;
        }
        Ok(Roll {
            clients,
            members,
            quorate,
        })
    }

    /// Further failures that the cluster survives; less than none where it has no quorum.
    fn margin(&self) -> i64 {
        let voters = self.members.iter().filter(|one| !one.member.learner);
        let healthy = voters.clone().filter(|one| one.ails().is_none()).count();
        healthy as i64 - quorum(voters.count()) as i64
    }

    fn head(&self) -> u64 {
        let indexes = self.members.iter().filter_map(Enrolled::status);
        indexes
            .map(|status| status.raft_index)
            .max()
            .unwrap_or_default()
    }

    fn to_text(&self) -> String {
        let head = self.head();
        let mut rows = vec![
            [
                "NAME", "ID", "ROLE", "STATE", "VERSION", "LAG", "SIZE", "IN USE",
            ]
            .map(String::from),
        ];
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        for one in &self.members {
            let of = |what: &dyn Fn(&Status) -> String| one.status().map_or("-".into(), what);
            rows.push([
                one.member.label(),
                one.member.id.to_string(),
                one.role().into(),
                one.state().into(),
                of(&|status| status.version.clone()),
                of(&|status| (head - status.raft_index).to_string()),
                of(&|status| mib(status.db_size)),
                of(&|status| mib(status.db_in_use)),
            ]);
        }
        let mut text = table(&rows);
        for one in &self.members {
            let said = [one.ails(), one.orphan_s_end()];
            for words in said.into_iter().flatten() {
                let _ = writeln!(text, "{}: {words}", one.member.label());
            }
        }
        let leader = match self.quorate {
            true => "",
            false => "no leader is proven; ",
        };
        let _ = match self.margin() {
            ..0 => writeln!(text, "{leader}the voters that are healthy are no quorum"),
            0 => writeln!(text, "{leader}survives no further failure"),
            1 => writeln!(text, "{leader}survives 1 more failure"),
            more => writeln!(text, "{leader}survives {more} more failures"),
        };
        text
    }

    fn to_json(&self) -> Value {
        let head = self.head();
        let members = self.members.iter().map(|one| {
            let status = one.status();
            json!({
                "name": one.member.name,
                "id": one.member.id,
                "role": one.role(),
                "state": one.state(),
                "why": one.ails(),
                "version": status.map(|status| &status.version),
                "lag": status.map(|status| head - status.raft_index),
                "bytes": status.map(|status| status.db_size),
                "bytes_in_use": status.map(|status| status.db_in_use),
                "peer_urls": one.member.peer_urls,
                "client_urls": one.member.client_urls,
            })
        });
        json!({
            "quorate": self.quorate,
            "margin": self.margin(),
            "members": members.collect::<Vec<_>>(),
        })
    }
}

/// Prints them, as a table or as JSON.
pub fn members(config: &Config, as_json: bool) -> Exit {
    match Roll::call(config) {
        Ok(roll) if as_json => print(&format!("{:#}\n", roll.to_json())),
        Ok(roll) => print(&roll.to_text()),
        Err(why) => {
            eprintln!("etcd-rejoin: {why}");
            Exit::FAILED
        }
    }
}

/// The list of whoever proves a leader, else of whoever has one.
fn listed(config: &Config, clients: &Client) -> Result<(Vec<Member>, bool), String> {
    let urls = config
        .own_client_urls()
        .into_iter()
        .chain(config.other_client_urls.clone());
    let mut why = Vec::new();
    let mut stale = None;
    for url in urls {
        match clients.quorate_members(&url, Instant::now() + config.timeout) {
            Ok(quorate) => return Ok((quorate.members, true)),
            Err(failure) => why.push(failure.to_string()),
        }
        let deadline = Instant::now() + config.timeout;
        stale = stale.or(clients.local_members(&url, deadline).ok());
    }
    match stale {
        Some(view) => Ok((view.members, false)),
        None => Err(format!("nobody lists the members: {}", why.join("; "))),
    }
}

fn ask(client: &Client, member: &Member, deadline: Instant) -> Result<(Status, String), String> {
    let mut why = String::from("it has published no client URL");
    for url in &member.client_urls {
        match client.status(url, deadline) {
            Ok(status) if status.member == member.id => return Ok((status, url.clone())),
            Ok(status) => why = format!("{url}: member {} answers there", status.member),
            Err(failure) => why = failure.to_string(),
        }
    }
    Err(why)
}

/// Columns of the width of their longest word.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate();
        let cells = cells.map(|(at, cell)| {
            let width = width(at).unwrap_or_default();
            format!("{cell:<width$}")
        });
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}
