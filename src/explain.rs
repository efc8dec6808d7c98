//! Words for what was seen and decided: the log and `status` say the same.

mod cure;
mod why;

pub use cure::{cure, to_go_on};
pub use why::why;

use log::Level;

use crate::config::Config;
use crate::datadir::Finding;
use crate::decide::{
    Begin, Decision, Gravity, Heard, Holds, Peer, Policy, Start, Steady, Step, Why, is_settled,
    own_id,
};
use crate::logging::Line;
use crate::membership::{Member, MemberId, quorum};
use crate::observe::Look;

/// What was seen, in one line. That something is damaged is said here alone.
pub fn seen(policy: &Policy, look: &Look) -> Line {
    let finding = &look.contents.finding;
    let level = match finding {
        Finding::Damaged { .. } => Level::Warn,
        Finding::Empty | Finding::Own { .. } => Level::Info,
    };
    let mut line = Line::new(level, "saw").with("data-dir", data_dir_state(finding));
    if let Some(identity) = finding.identity() {
        line = line.with("member", identity.member);
    }
    match finding {
        Finding::Own { identity, .. } => line = line.with("cluster-id", identity.cluster),
        Finding::Damaged { what, .. } => line = line.with("damage", what),
        Finding::Empty => {}
    }
    line = line.with("cluster", cluster(policy, look));
    if let Some(quorate) = &look.seen.quorate {
        line = line.with("members", members(&quorate.members));
    }
    if let Some(margin) = margin(policy, look, None) {
        line = line.with("margin", margin);
    }
    if !look.seen.peers.is_empty() {
        let peers: Vec<String> = (look.seen.peers.iter())
            .map(|peer| match &peer.heard {
                // It may be no hindrance, and is then told nowhere else.
                Heard::Refused(_) => format!("{} {}", peer.name, heard(&peer.heard)),
                heard => format!("{} {}", peer.name, heard_short(heard)),
            })
            .collect();
        line = line.with("peers", peers.join(", "));
    }
    (noted(look).into_iter()).fold(line, |line, (name, value)| line.with(name, value))
}

/// How much a decision matters to whoever reads only what matters.
pub fn level(look: &Look, decision: &Decision) -> Level {
    match (decision, decision.reason().row().gravity) {
        (Decision::Refuse(_), _) => Level::Error,
        // Until then the others may elect a leader.
        (Decision::Wait(_), Gravity::Loss | Gravity::NoMajority)
            if look.seen.steady != Steady::No =>
        {
            Level::Error
        }
        (_, Gravity::Loss) => Level::Warn,
        (_, Gravity::NoMajority | Gravity::Usual) => Level::Info,
    }
}

/// What is decided and why, in one line; what would change it too, where it is no step and no start.
pub fn line(config: &Config, look: &Look, decision: &Decision) -> Line {
    let mut words = format!(
        "{}: {}",
        self::decision(config, decision),
        why(&config.policy, look, decision)
    );
    if let Decision::Wait(_) | Decision::Refuse(_) = decision {
        words += "; ";
        words += &to_go_on(&cure(&config.policy, look, decision));
    }
    Line::new(level(look, decision), words).with("reason", decision.reason())
}

/// What a person cares about in it: a line is worth it when this changes. Members and notes change by
/// our own steps, which have lines of their own.
pub fn scene(policy: &Policy, look: &Look) -> String {
    let peers = (look.seen.peers.iter()).map(|peer| heard_short(&peer.heard));
    let peers: Vec<&str> = peers.collect();
    let cluster = cluster(policy, look);
    format!("{} {cluster} {}", data_dir(look), peers.join(","))
}

/// The data dir in one word.
pub fn data_dir_state(finding: &Finding) -> &'static str {
    match finding {
        Finding::Empty => "empty",
        Finding::Own { .. } => "own",
        Finding::Damaged { .. } => "damaged",
    }
}

/// The data dir in a few words.
pub fn data_dir(look: &Look) -> String {
    match &look.contents.finding {
        Finding::Empty => "empty".into(),
        Finding::Own { identity, .. } => {
            format!(
                "own member={} cluster-id={}",
                identity.member, identity.cluster
            )
        }
        Finding::Damaged { head, what } => match head {
            Some(head) => format!("damaged member={} damage={what:?}", head.member),
            None => format!("damaged damage={what:?}"),
        },
    }
}

/// The cluster in one word.
pub fn cluster(policy: &Policy, look: &Look) -> &'static str {
    match (&look.seen.quorate, look.seen.views().next()) {
        (Some(_), _) => "quorate",
        (None, Some(_)) if is_settled(policy, &look.seen) => "listed",
        (None, Some(_)) if look.seen.is_refused() => "leader-not-told",
        (None, Some(_)) => "no-leader",
        (None, None) if is_alone(look) => "alone",
        (None, None) => "unreachable",
    }
}

/// There was nobody to ask.
fn is_alone(look: &Look) -> bool {
    look.seen.peers.is_empty() && look.endpoints.is_empty()
}

/// The member list in one line.
pub fn members(members: &[Member]) -> String {
    let members: Vec<String> = members.iter().map(member).collect();
    members.join(", ")
}

fn member(member: &Member) -> String {
    let name = if member.name.is_empty() {
        "(no name)"
    } else {
        &member.name
    };
    let state = match (member.started(), member.learner) {
        (true, false) => "",
        (true, true) => " learner",
        (false, false) => " unstarted",
        (false, true) => " unstarted learner",
    };
    format!("{name} {}{state}", member.id)
}

/// Further failures that the cluster survives, as far as the peers answered. `own` runs here, and well.
///
/// None where no leader is proven, or some other voter was not asked: it may well be healthy.
pub fn margin(policy: &Policy, look: &Look, own: Option<MemberId>) -> Option<i64> {
    let quorate = look.seen.quorate.as_ref()?;
    let ourselves = match look.contents.finding.identity() {
        Some(identity) => Some(identity.member),
        None => own_id(policy, &quorate.members),
    };
    let (mut voters, mut healthy) = (0, 0);
    for member in quorate.members.iter().filter(|member| !member.learner) {
        voters += 1;
        if own == Some(member.id) || answers(look, member) {
            healthy += 1;
        } else if member.started() && ourselves != Some(member.id) && !was_asked(look, member) {
            return None;
        }
    }
    Some(healthy - quorum(voters) as i64)
}

/// Whether this member answered in this look.
fn answers(look: &Look, member: &Member) -> bool {
    let ours = look.seen.quorate.as_ref().map(|quorate| quorate.cluster);
    // An etcd of another cluster, or one that does not know of this member, is somebody else there.
    let by_peer = asked(look, member).any(|peer| match &peer.heard {
        Heard::Etcd { cluster, members } => {
            ours == Some(*cluster) && members.iter().any(|listed| listed.id == member.id)
        }
        _ => false,
    });
    by_peer || (look.endpoints.first()).is_some_and(|url| member.client_urls.contains(url))
}

fn was_asked(look: &Look, member: &Member) -> bool {
    asked(look, member).next().is_some()
}

fn asked<'a>(look: &'a Look, member: &'a Member) -> impl Iterator<Item = &'a Peer> {
    (look.seen.peers.iter())
        .filter(|peer| peer.name == member.name || peer.name == member.id.to_string())
}

/// How a peer answered, in a few words.
pub fn heard_short(heard: &Heard) -> &'static str {
    match heard {
        Heard::Silent(_) => "silent",
        Heard::Etcd { .. } => "runs etcd",
        Heard::Entrypoint {
            differs: Some(_), ..
        } => "was given other settings",
        Heard::Entrypoint {
            holds,
            differs: None,
        } => match holds {
            Holds::Empty => "is empty",
            Holds::Alone => "is alone in its initial cluster",
            Holds::Promised => "has promised",
            Holds::Own(_) => "has data",
            Holds::Damaged => "has damaged data",
            Holds::SetAside => "has data set aside",
            Holds::Called => "is asked for by a running cluster",
        },
        Heard::Refused(_) => "refuses us",
        Heard::Nonsense(_) => "answers nonsense",
    }
}

/// How a peer answered, with its words.
pub fn heard(heard: &Heard) -> String {
    match heard {
        Heard::Silent(why) | Heard::Refused(why) | Heard::Nonsense(why) => {
            format!("{}: {why}", heard_short(heard))
        }
        Heard::Etcd { cluster, members } => {
            format!(
                "runs etcd of cluster {cluster}, lists {}",
                self::members(members)
            )
        }
        Heard::Entrypoint {
            differs: Some(differs),
            ..
        } => {
            format!("waits to start, and was given {differs}")
        }
        Heard::Entrypoint { .. } => format!("waits to start, {}", heard_short(heard)),
    }
}

/// The notes on this volume.
pub fn notes(look: &Look) -> Vec<String> {
    let noted = noted(look).into_iter();
    noted
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

fn noted(look: &Look) -> Vec<(&'static str, String)> {
    let seen = &look.seen;
    let mut notes = Vec::new();
    notes.extend(seen.join_note.map(|id| ("join-note", id.to_string())));
    let flags = [
        (seen.promise, "promise"),
        (seen.given_up, "given-up"),
        (seen.left, "left"),
        (seen.leftovers, "leftovers"),
        (seen.stalled, "no-progress"),
        (seen.twin, "twin"),
    ];
    let set = flags.iter().filter(|(on, _)| *on);
    notes.extend(set.map(|(_, name)| (*name, "yes".into())));
    if seen.set_aside > 0 {
        notes.push(("set-aside", seen.set_aside.to_string()));
    }
    notes
}

/// What is decided, as a sentence without its reason.
pub fn decision(config: &Config, decision: &Decision) -> String {
    match decision {
        // It is no new one: it begins empty where the other one has it all.
        Decision::Start(start, Why::SecondOfTwo) => {
            start_words(start).replace("as new member", "empty, again as member")
        }
        Decision::Start(start, _) => start_words(start),
        Decision::Do(Step::RemoveMember(id), Why::AddedNotOurs(_)) => {
            format!("removes its entry {id}, which this volume did not add, from the cluster")
        }
        Decision::Do(step, _) => step_words(config, step),
        Decision::Wait(_) => "waits".into(),
        Decision::Refuse(_) => "refuses to start".into(),
    }
}

fn start_words(start: &Start) -> String {
    let begin = match &start.begin {
        Begin::WithData => "with its data".into(),
        Begin::New => "as a new cluster".into(),
        Begin::Existing { id, .. } => format!("as new member {id}, which the others fill"),
    };
    let how = if start.trial { ", on trial" } else { "" };
    format!("starts etcd {begin}{how}")
}

/// Whether what came of this step is more than what was said before it.
pub fn tells_more(step: &Step) -> bool {
    match step {
        Step::AddMember { .. }
        | Step::Quarantine
        | Step::SetAsideLeftovers
        | Step::DeleteSetAside { .. } => true,
        Step::NoteJoin(_)
        | Step::SettleJoin(_)
        | Step::RemoveMember(_)
        | Step::UpdatePeerUrls(_)
        | Step::GiveUp
        | Step::Promise => false,
    }
}

/// The member that a step is about.
pub fn whose(look: &Look, step: &Step) -> Option<MemberId> {
    match step {
        Step::NoteJoin(id)
        | Step::SettleJoin(id)
        | Step::RemoveMember(id)
        | Step::UpdatePeerUrls(id) => Some(*id),
        Step::Quarantine | Step::GiveUp | Step::DeleteSetAside { .. } => own(look),
        Step::AddMember { .. } | Step::SetAsideLeftovers | Step::Promise => None,
    }
}

/// The member that etcd starts as, where that is known by its ID.
pub fn starts_as(look: &Look, start: &Start) -> Option<MemberId> {
    match &start.begin {
        Begin::WithData => own(look),
        Begin::Existing { id, .. } => Some(*id),
        Begin::New => None,
    }
}

fn own(look: &Look) -> Option<MemberId> {
    let identity = look.contents.finding.identity();
    identity.map(|identity| identity.member)
}

fn step_words(config: &Config, step: &Step) -> String {
    match step {
        Step::NoteJoin(id) => format!("notes on its volume that it is the new member {id}"),
        Step::SettleJoin(id) => format!(
            "notes on its volume that it is the new member {id}, once both others have that written down"
        ),
        Step::AddMember { learner: true } => "adds itself to the cluster as learner".into(),
        Step::AddMember { learner: false } => "adds itself to the cluster as voter".into(),
        Step::RemoveMember(id) => format!("removes its own old member {id} from the cluster"),
        Step::UpdatePeerUrls(_) => {
            format!(
                "publishes its peer URLs {}",
                config.policy.peer_urls.join(",")
            )
        }
        Step::Quarantine => "sets its data aside, where it is kept".into(),
        Step::SetAsideLeftovers => "sets files aside that no etcd needs".into(),
        Step::GiveUp => "gives this member up: it is never started again".into(),
        Step::Promise => "promises to found a cluster with the others".into(),
        Step::DeleteSetAside { keep } => {
            format!("deletes what was set aside, all but the newest {keep}")
        }
    }
}
