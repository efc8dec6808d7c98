//! Words for what was seen and decided: the log and `status` say the same.

use crate::config::Config;
use crate::datadir::Finding;
use crate::decide::{Begin, Decision, Heard, Holds, JoinNote, Start, Step};
use crate::membership::{Member, quorum};
use crate::observe::Look;

/// What was seen, in one line of `key=value`.
pub fn seen(look: &Look) -> String {
    let mut line = format!("data-dir={} cluster={}", data_dir(look), cluster(look));
    if let Some(quorate) = &look.seen.quorate {
        line += &format!(
            " members={:?} margin={}",
            members(&quorate.members),
            margin(look)
        );
    }
    if !look.seen.peers.is_empty() {
        let peers: Vec<String> = (look.seen.peers.iter())
            .map(|peer| format!("{} {}", peer.name, heard_short(&peer.heard)))
            .collect();
        line += &format!(" peers={:?}", peers.join(", "));
    }
    for note in notes(look) {
        line += &format!(" {note}");
    }
    line
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
pub fn cluster(look: &Look) -> &'static str {
    match (&look.seen.quorate, look.seen.views().next()) {
        (Some(_), _) => "quorate",
        (None, Some(_)) => "no-leader",
        (None, None) => "unreachable",
    }
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

/// Further failures that the cluster survives, as far as the peers answered.
pub fn margin(look: &Look) -> i64 {
    let Some(quorate) = &look.seen.quorate else {
        return 0;
    };
    let voters: Vec<&Member> = quorate
        .members
        .iter()
        .filter(|member| !member.learner)
        .collect();
    let healthy = voters.iter().filter(|member| answers(look, member)).count();
    healthy as i64 - quorum(voters.len()) as i64
}

/// Whether this member answered in this look.
pub fn answers(look: &Look, member: &Member) -> bool {
    let by_peer = look.seen.peers.iter().any(|peer| {
        matches!(peer.heard, Heard::Etcd { .. })
            && (peer.name == member.name || peer.name == member.id.to_string())
    });
    by_peer || (look.endpoints.first()).is_some_and(|url| member.client_urls.contains(url))
}

/// How a peer answered, in a few words.
pub fn heard_short(heard: &Heard) -> &'static str {
    match heard {
        Heard::Silent(_) => "silent",
        Heard::Etcd { .. } => "is etcd",
        Heard::Entrypoint {
            differs: Some(_), ..
        } => "was given other settings",
        Heard::Entrypoint {
            holds,
            differs: None,
        } => match holds {
            Holds::Empty => "is empty",
            Holds::Promised => "has promised",
            Holds::Own(_) => "has data",
            Holds::Damaged => "has damaged data",
            Holds::SetAside => "has data set aside",
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
                "is etcd of cluster {cluster}, lists {}",
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
    let seen = &look.seen;
    let mut notes = Vec::new();
    match seen.join_note {
        JoinNote::None => {}
        JoinNote::Unnamed => notes.push("join-note=unnamed".into()),
        JoinNote::Named(id) => notes.push(format!("join-note={id}")),
    }
    let flags = [
        (seen.promise, "promise"),
        (seen.given_up, "given-up"),
        (seen.left, "left"),
        (seen.leftovers, "leftovers"),
        (seen.stalled, "no-progress"),
        (seen.twin, "twin"),
    ];
    notes.extend(
        flags
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, name)| format!("{name}=yes")),
    );
    if seen.set_aside > 0 {
        notes.push(format!("set-aside={}", seen.set_aside));
    }
    notes
}

/// What is decided, as a sentence without its reason.
pub fn decision(config: &Config, decision: &Decision) -> String {
    match decision {
        Decision::Start(start, _) => start_words(start),
        Decision::Do(step, _) => step_words(config, step),
        Decision::Wait(_) => "waits".into(),
        Decision::Refuse(_) => "refuses to start".into(),
    }
}

fn start_words(start: &Start) -> String {
    let begin = match &start.begin {
        Begin::WithData => "with its data".into(),
        Begin::New => "as a new cluster".into(),
        Begin::Existing { id, .. } => format!("as new member {id} of the existing cluster"),
    };
    let how = if start.trial { ", on trial" } else { "" };
    format!("starts etcd {begin}{how}")
}

/// The step's name, as log and `--max-steps` have it.
pub fn step_name(step: &Step) -> &'static str {
    match step {
        Step::NoteJoin(_) => "note-join",
        Step::AddMember { .. } => "add-member",
        Step::RemoveMember(_) => "remove-member",
        Step::UpdatePeerUrls(_) => "update-peer-urls",
        Step::Quarantine => "quarantine",
        Step::SetAsideLeftovers => "set-aside-leftovers",
        Step::GiveUp => "give-up",
        Step::Promise => "promise",
        Step::DeleteSetAside { .. } => "delete-set-aside",
    }
}

fn step_words(config: &Config, step: &Step) -> String {
    match step {
        Step::NoteJoin(None) => "notes that nothing has run here since".into(),
        Step::NoteJoin(Some(id)) => format!("notes that the unstarted member {id} is ours"),
        Step::AddMember { learner: true } => "adds itself to the cluster as learner".into(),
        Step::AddMember { learner: false } => "adds itself to the cluster as voter".into(),
        Step::RemoveMember(id) => format!("removes its own old member {id} from the cluster"),
        Step::UpdatePeerUrls(_) => {
            format!(
                "publishes its peer URLs {}",
                config.policy.peer_urls.join(",")
            )
        }
        Step::Quarantine => "sets its data aside".into(),
        Step::SetAsideLeftovers => "sets leftovers aside".into(),
        Step::GiveUp => "gives this identity up".into(),
        Step::Promise => "promises to found a cluster with the others".into(),
        Step::DeleteSetAside { keep } => {
            format!("deletes what was set aside, but the newest {keep}")
        }
    }
}

/// Why, with the names that the row leaves out.
pub fn why(look: &Look, decision: &Decision) -> String {
    let mut text = decision.reason().row().when.to_string();
    let named = |wanted: &dyn Fn(&Heard) -> bool| -> Vec<String> {
        (look.seen.peers.iter())
            .filter(|peer| wanted(&peer.heard))
            .map(|peer| format!("{} {}", peer.name, heard(&peer.heard)))
            .collect()
    };
    use crate::decide::Reason;
    let names = match decision.reason() {
        Reason::NotAllHeard => {
            named(&|h| matches!(h, Heard::Silent(_) | Heard::Nonsense(_) | Heard::Refused(_)))
        }
        Reason::FirstStartPromise => named(&|h| {
            matches!(
                h,
                Heard::Entrypoint {
                    holds: Holds::Empty,
                    ..
                }
            )
        }),
        Reason::PeerHasData => named(&|h| {
            matches!(
                h,
                Heard::Entrypoint {
                    holds: Holds::Own(_) | Holds::Damaged,
                    ..
                }
            )
        }),
        Reason::PeersDisagree => named(&|h| {
            matches!(
                h,
                Heard::Entrypoint {
                    differs: Some(_),
                    ..
                }
            )
        }),
        Reason::DataSetAside => named(&|h| {
            matches!(
                h,
                Heard::Entrypoint {
                    holds: Holds::SetAside,
                    ..
                }
            )
        }),
        Reason::TwoClusters | Reason::OtherCluster => named(&|h| matches!(h, Heard::Etcd { .. })),
        Reason::NotAllowed => {
            let mut names = named(&|h| matches!(h, Heard::Refused(_)));
            names.extend(look.seen.refused.clone());
            names
        }
        Reason::DataLostNoLeader | Reason::NotListedNoLeader | Reason::DataDamagedNoQuorum => {
            look.failures.clone()
        }
        _ => Vec::new(),
    };
    if !names.is_empty() {
        text += &format!(" ({})", names.join("; "));
    }
    text
}
