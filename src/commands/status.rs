//! Explains, without changing anything: what is seen, what would be done now and why, and what would
//! change that.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::probe;
use super::{Exit, print};
use crate::config::Config;
use crate::datadir::{Finding, Volume};
use crate::decide::{
    Decision, Heard, Kept, Memory, Observation, Progress, Reason, StoreSeen, decide, hindrance,
    in_one_line,
};
use crate::error::Error;
use crate::explain;
use crate::logging::one_line;
use crate::membership::{Member, MemberId, quorum};
use crate::observe::{Beside, Look, NoLook, Observer};
use crate::rover::rove::VolumeStatus;
use crate::run::due::Due;
use crate::run::preflight;
use crate::run::versions::{self, Met};
use crate::signals::Stop;

/// What is printed, and what the exit code says.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// JSON, else text.
    pub json: bool,
    /// The exit code says how this member is doing, and the text is one line.
    pub check: bool,
}

/// How a member is doing: the exit codes of a monitor's plugin (Nagios and all that came after it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Well = 0,
    Warning = 1,
    Critical = 2,
    Unknown = 3,
}

impl Doing {
    fn word(self) -> &'static str {
        match self {
            Doing::Well => "OK",
            Doing::Warning => "WARNING",
            Doing::Critical => "CRITICAL",
            Doing::Unknown => "UNKNOWN",
        }
    }
}

impl Wanted {
    /// Ends a status that could not look.
    pub fn unknown(self, exit: Exit) -> Exit {
        match self.check && matches!(exit, Exit::CONFIG | Exit::FAILED) {
            true => Exit(Doing::Unknown as i32),
            false => exit,
        }
    }

    fn print(self, text: &str, doing: Doing) -> Exit {
        match print(text) {
            Exit::OK if self.check => Exit(doing as i32),
            exit => exit,
        }
    }
}

/// Looks once and prints.
pub fn status(config: Config, stop: &Stop, wanted: Wanted) -> Exit {
    let config = Arc::new(config);
    for warning in &config.warnings {
        eprintln!("etcd-rejoin: {warning}");
    }
    let roving = config.rover.as_ref().map(VolumeStatus::look);
    if let Some(roving) = roving.as_ref().filter(|roving| !roving.is_here()) {
        let doing = match roving.is_well() {
            true => Doing::Well,
            false => Doing::Critical,
        };
        let text = match wanted.json {
            true => roving.whole_json(&config.policy.name),
            false if wanted.check => format!("{}: {}\n", doing.word(), roving.in_short()),
            false => roving.to_text(),
        };
        return wanted.print(&text, doing);
    }
    let volume = Volume::new(&config.data_dir, config.wal_dir.as_deref());
    let observer = match Observer::new(
        config.clone(),
        volume.clone(),
        stop.clone(),
        versions::minor_version,
    ) {
        Ok(observer) => observer.patient(),
        Err(error) => {
            eprintln!("etcd-rejoin: {error}");
            return Exit::CONFIG;
        }
    };
    let mut holders = match Holders::of(&volume) {
        Ok(holders) => holders,
        Err(error) => {
            eprintln!("etcd-rejoin: {error}");
            return Exit::FAILED;
        }
    };
    let health = holders.any().is_some().then(|| probe::health(&config));
    if matches!(health, Some(Ok(()))) && holders.etcd.is_none() {
        // It may have started meanwhile.
        holders.etcd = volume.held_by_etcd().unwrap_or_default();
    }
    let beside = match holders.any() {
        Some(_) => Beside::Holder {
            etcd: holders.etcd.is_some(),
        },
        None => Beside::Nothing,
    };
    let mut look = match observer.look(&Memory::default(), beside) {
        Ok(look) => look,
        Err(NoLook::Stopped(signal)) => return Exit::signal(signal),
        Err(NoLook::Failed(error)) => {
            eprintln!("etcd-rejoin: {error}");
            return Exit::FAILED;
        }
    };
    let due = Due {
        config: &config,
        observer: &observer,
        stop,
    };
    let decision = match holders.any() {
        // What holds the data dir holds the ports too, and has looked for itself.
        Some(_) => decide(&config.policy, &look.seen),
        // A person's question answers nobody.
        None => match due.decide(&mut look, |_| Ok(false)) {
            Ok(decision) => decision,
            Err(exit) => return exit,
        },
    };
    let status = Shown {
        decision,
        rejoin_fails: preflight::rejoin_fails(&config, &look.seen),
        program: preflight::program(&config).map_err(|(_, why)| why),
        versions: Met::of(&config, &look.seen, observer.peers(), stop),
        config: &config,
        look,
        holders,
        health,
        roving,
    };
    let doing = status.doing();
    let text = match wanted.json {
        true => format!("{:#}\n", status.to_json()),
        false if wanted.check => format!("{}: {}\n", doing.word(), status.in_short()),
        false => status.to_text(),
    };
    wanted.print(&text, doing)
}

/// The processes that hold the data dir, by the locks that they hold: names tell nothing.
struct Holders {
    /// An entrypoint: before etcd runs, or in front of an etcd on trial.
    entrypoint: Option<String>,
    /// The etcd that runs here.
    etcd: Option<String>,
}

impl Holders {
    fn of(volume: &Volume) -> Result<Holders, Error> {
        Ok(Holders {
            entrypoint: volume.held_by_entrypoint()?,
            etcd: volume.held_by_etcd()?,
        })
    }

    fn any(&self) -> Option<&str> {
        self.entrypoint.as_deref().or(self.etcd.as_deref())
    }

    fn to_text(&self) -> Option<String> {
        match (&self.entrypoint, &self.etcd) {
            (Some(entrypoint), Some(etcd)) => Some(format!(
                "held by {entrypoint}, which has started {etcd} on trial"
            )),
            (Some(entrypoint), None) => {
                Some(format!("held by {entrypoint}, which decides as below"))
            }
            (None, Some(etcd)) => Some(format!("held by {etcd}")),
            (None, None) => None,
        }
    }
}

struct Shown<'a> {
    config: &'a Config,
    look: Look,
    decision: Decision,
    /// Why this member could not come back if it lost its data.
    rejoin_fails: Option<String>,
    /// Who holds the data dir.
    holders: Holders,
    /// What our own etcd says, where something holds the data dir.
    health: Option<Result<(), String>>,
    /// The volume of a roving member.
    roving: Option<VolumeStatus>,
    /// Where etcd is.
    program: Result<std::path::PathBuf, String>,
    versions: Met,
}

/// What is decided, for people and for programs.
struct Words {
    kind: &'static str,
    action: String,
    why: String,
    to_change: String,
}

impl Shown<'_> {
    fn words(&self) -> Words {
        match (&self.health, self.holders.etcd.as_deref()) {
            (Some(Ok(())), Some(holder)) => {
                let why =
                    format!("{holder} holds the data dir, and etcd answers at its client URL");
                // As with etcd 3.4 beside a configuration file: said while every disk is there.
                let unhealed = (self.rejoin_fails.as_ref()).map_or("nothing to do".into(), |why| {
                    format!("nothing to do here, but a member that loses its disk could not come back: {why}")
                });
                let refused = self.refused();
                Words {
                    kind: "none",
                    action: "nothing to do: etcd runs here and is healthy".into(),
                    why: why + refused.as_ref().map_or("", |(why, _)| why),
                    to_change: refused.map_or(unhealed, |(_, cure)| cure),
                }
            }
            (Some(Err(why)), Some(holder)) => {
                let (refused, to_change) = self.refused().unwrap_or((
                    String::new(),
                    "see etcd's own log; it may wait for the other members".into(),
                ));
                Words {
                    kind: "none",
                    action: "nothing to do here: etcd runs, and is not healthy".into(),
                    why: format!("{holder} holds the data dir; {why}{refused}"),
                    to_change,
                }
            }
            (None, _) | (Some(_), None) => Words {
                kind: self.decision.kind(),
                action: self.decision.sentence(),
                why: self.decision.because(),
                to_change: self.decision.cure(),
            },
        }
    }

    /// Why this etcd would not be started again, if it would not, and the cure: one that waits for ever never
    /// comes to its next start, and one of another cluster may be well.
    fn refused(&self) -> Option<(String, String)> {
        let stopped = Observation {
            in_use: false,
            ..self.look.seen.clone()
        };
        let decision = decide(&self.config.policy, &stopped);
        let why = decision.because();
        let cure = match decision {
            Decision::Refuse(_) => format!("stop it; {}", decision.cure()),
            Decision::Do(..) if !self.is_healthy() => {
                let next = decision.sentence();
                format!("restart it: it then {next}")
            }
            Decision::Do(..) | Decision::Start(..) | Decision::Wait(_) | Decision::Done(_) => {
                return None;
            }
        };
        Some((format!("; {}: {why}", decision.reason()), cure))
    }

    /// The name of the row; beside an etcd that runs nothing is decided.
    fn reason(&self) -> &'static str {
        match (&self.health, self.is_running()) {
            (Some(Ok(())), true) => "running",
            (Some(Err(_)), true) => "not-healthy",
            (_, _) => self.decision.reason().row().name,
        }
    }

    fn doing(&self) -> Doing {
        let warned = self.rejoin_fails.is_some() || self.refused().is_some() || self.lacks_voters();
        match (self.is_healthy(), warned) {
            (false, _) => Doing::Critical,
            (true, true) => Doing::Warning,
            (true, false) => Doing::Well,
        }
    }

    /// The cluster survives less than its size allows.
    fn lacks_voters(&self) -> bool {
        let members = self
            .look
            .seen
            .quorate
            .iter()
            .flat_map(|quorate| &quorate.members);
        let voters = members.filter(|member| !member.learner).count();
        let margin = (self.look.seen).margin(&self.config.policy, self.healthy());
        margin.is_some_and(|margin| margin < voters as i64 - quorum(voters) as i64)
    }

    /// What the cluster survives, where that is known.
    fn survives(&self) -> Option<String> {
        let margin = (self.look.seen).margin(&self.config.policy, self.healthy());
        Some(match margin? {
            ..=-1 => "survives nothing: members are down".into(),
            0 => "survives no further failure".into(),
            1 => "survives 1 more failure".into(),
            more => format!("survives {more} more failures"),
        })
    }

    /// What stands in the way of a start or of a rejoin, where the decision says nothing of it.
    fn hindered(&self) -> Option<String> {
        match self.decision.reason() {
            Reason::CannotStart => None,
            _ => hindrance(&self.look.seen)
                .or(self.rejoin_fails.clone().filter(|_| !self.is_healthy())),
        }
    }

    /// One line.
    fn in_short(&self) -> String {
        let words = self.words();
        let survives = self
            .survives()
            .map(|words| format!("; the cluster {words}"));
        let to_change = match words.to_change.as_str() {
            "nothing to do" => String::new(),
            to_change => format!("; {to_change}"),
        };
        let (action, why, survives) = (words.action, words.why, survives.unwrap_or_default());
        one_line(format!(
            "{action} ({}: {why}){survives}{to_change}",
            self.reason()
        ))
    }

    fn is_running(&self) -> bool {
        self.holders.etcd.is_some()
    }

    fn is_healthy(&self) -> bool {
        self.is_running() && matches!(self.health, Some(Ok(())))
    }

    /// Our own member, where it runs and is healthy: then it counts for the margin.
    fn healthy(&self) -> Option<MemberId> {
        let own = self.look.contents.finding.identity();
        own.filter(|_| self.is_healthy()).map(|own| own.member)
    }

    /// A peer that sees what stands below anyway says so in short.
    fn peer(&self, heard: &Heard) -> String {
        let ids = |members: &[Member]| -> BTreeSet<MemberId> {
            members.iter().map(|member| member.id).collect()
        };
        match (heard, &self.look.seen.quorate) {
            (Heard::Etcd { cluster, members }, Some(quorate))
                if *cluster == quorate.cluster && ids(members) == ids(&quorate.members) =>
            {
                heard.short().into()
            }
            _ => heard.words(),
        }
    }

    fn to_text(&self) -> String {
        let (config, look, words) = (self.config, &self.look, self.words());
        let mut text = self
            .roving
            .as_ref()
            .map_or(String::new(), VolumeStatus::to_text);
        let mut line =
            |name: &str, what: String| text += &format!("{name:<11}{}\n", one_line(what));
        line("member", config.policy.name.clone());
        if let Some(set) = &config.set {
            line(
                "set",
                format!("ordinal {} of {} at {}", set.ordinal, set.name, set.domain),
            );
            for (name, value) in &set.derived {
                line("", format!("{name}={value}"));
            }
        }
        let data = explain::data_dir(look);
        line("data dir", format!("{}: {data}", config.data_dir.display()));
        if let Some(held) = self.holders.to_text() {
            line("", held);
        }
        for (name, value) in look.seen.notes() {
            line("", format!("{name}={value}"));
        }
        match &self.program {
            Ok(_) => line("versions", self.versions.to_text()),
            Err(why) => line("etcd", why.clone()),
        }
        for peer in &look.seen.peers {
            let runs = self.versions.runs(&peer.name);
            let runs = runs.map_or(String::new(), |version| format!(", version {version}"));
            line(
                "peer",
                format!("{} {}{runs}", peer.name, self.peer(&peer.heard)),
            );
        }
        if let (Some(settings), Some(store)) = (&config.store, &look.seen.store) {
            line("store", format!("{}: {}", settings.place, store.words()));
        }
        match &look.seen.quorate {
            Some(quorate) => {
                let survives = self.survives().map(|words| format!(", {words}"));
                let survives = survives.unwrap_or_default();
                let (state, id) = (look.seen.cluster_word(&self.config.policy), quorate.cluster);
                line("cluster", format!("{state} {id}{survives}"));
                for member in &quorate.members {
                    let shown = in_one_line(std::slice::from_ref(member));
                    line("", format!("{shown} {}", member.peer_urls.join(",")));
                }
            }
            None => line(
                "cluster",
                look.seen.cluster_word(&self.config.policy).into(),
            ),
        }
        // Peers have said theirs above.
        let said = |failure: &&String| {
            let peers = look.seen.peers.iter();
            !peers
                .map(|peer| &peer.name)
                .any(|name| failure.starts_with(&format!("{name}: ")))
        };
        for failure in look.seen.failures.iter().filter(said) {
            line("no answer", failure.clone());
        }
        line("decision", words.action);
        line("because", format!("{}: {}", self.reason(), words.why));
        line("to change", words.to_change);
        if let Some(why) = self.hindered() {
            line("hindered", why);
        }
        text
    }

    fn to_json(&self) -> serde_json::Value {
        let (config, look, words) = (self.config, &self.look, self.words());
        let seen = &look.seen;
        let step = match &self.decision {
            Decision::Do(step, _) => Some(step.name()),
            Decision::Start(..) | Decision::Wait(_) | Decision::Refuse(_) | Decision::Done(_) => {
                None
            }
        };
        let identity = look.contents.finding.identity();
        let damage = match &look.contents.finding {
            Finding::Damaged { what, .. } => Some(what),
            Finding::Own { .. } | Finding::Empty => None,
        };
        let peers: Vec<_> = (seen.peers.iter())
            .map(|peer| {
                let (short, full) = (peer.heard.short(), peer.heard.words());
                let version = self.versions.runs(&peer.name);
                json!({"name": peer.name, "heard": short, "words": full, "version": version})
            })
            .collect();
        let notes = seen.notes().into_iter();
        let notes: Vec<_> = notes
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let quorate = seen.quorate.as_ref();
        json!({
            "name": config.policy.name,
            "set": config.set.as_ref().map(|set| json!({
                "name": set.name,
                "ordinal": set.ordinal,
                "service": set.domain,
                "api": set.api,
                "derived": set.derived.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
            })),
            "data_dir": {
                "path": config.data_dir.display().to_string(),
                "state": seen.data.word(),
                "damage": damage,
                "version": self.versions.data,
                "member_id": identity.map(|identity| identity.member),
                "cluster_id": identity.map(|identity| identity.cluster),
                "committed": progress(seen.committed),
                "notes": notes,
                "set_aside": seen.set_aside,
                "held_by": self.holders.any(),
            },
            "etcd": {
                "program": self.program.as_ref().ok().map(|path| path.display().to_string()),
                "version": self.versions.etcd,
                "running": self.is_running(),
                "healthy": self.is_running().then_some(self.is_healthy()),
            },
            "peers": peers,
            "cluster": {
                "state": look.seen.cluster_word(&self.config.policy),
                "id": quorate.map(|quorate| quorate.cluster),
                "version": self.versions.cluster(),
                "members": quorate.map(|quorate| &quorate.members),
                "margin": seen.margin(&config.policy, self.healthy()),
                "reached": quorate.and_then(|quorate| progress(quorate.reached?)),
            },
            "store": seen.store.as_ref().map(|store| self.store_json(store)),
            "failures": look.seen.failures,
            "volume": self.roving.as_ref().map(VolumeStatus::to_json),
            "decision": words.kind,
            "step": step,
            "action": words.action,
            "reason": self.reason(),
            "why": words.why,
            "to_change": words.to_change,
            "hindered": hindrance(seen).or(self.rejoin_fails.clone()),
            "took_ms": look.took.as_secs_f64() * 1000.0,
        })
    }
}

impl Shown<'_> {
    fn store_json(&self, store: &StoreSeen) -> serde_json::Value {
        let kept = match store {
            StoreSeen::Read(kept) => Some(kept),
            StoreSeen::Silent(_) => None,
        };
        let marker = kept.and_then(|kept| kept.marker.as_ref());
        json!({
            "place": self.config.store.as_ref().map(|settings| &settings.place),
            "recover": self.config.policy.recover,
            "words": store.words(),
            "marker": marker.map(|marker| &marker.nonce),
            "lineage": kept.and_then(Kept::newest).map(|lineage| lineage.number),
            "snapshots": kept.map(|kept| kept.snapshots.len()),
            "order": kept.and_then(Kept::newest_order).map(|order| order.number),
        })
    }
}

/// How far a history goes, where that is known.
fn progress(progress: Progress) -> Option<serde_json::Value> {
    let Progress { index, term } = progress;
    (index > 0).then(|| json!({"index": index, "term": term}))
}
