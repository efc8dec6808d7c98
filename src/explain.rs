//! What was seen and decided, as lines of the log. Their words are of `decide`.

use log::Level;

use crate::datadir::Finding;
use crate::decide::{Decision, Heard, Policy, StoreSeen, Urgency, in_one_line, to_go_on};
use crate::logging::Line;
use crate::observe::Look;

/// What was seen, in one line. That something is damaged is said here alone.
pub fn seen(policy: &Policy, look: &Look) -> Line {
    let (seen, finding) = (&look.seen, &look.contents.finding);
    let level = match finding {
        Finding::Damaged { .. } => Level::Warn,
        Finding::Empty | Finding::Own { .. } => Level::Info,
    };
    let mut line = Line::new(level, "saw").with("data-dir", finding.data_dir().word());
    if let Some(identity) = finding.identity() {
        line = line.with("member", identity.member);
    }
    match finding {
        Finding::Own { identity, .. } => line = line.with("cluster-id", identity.cluster),
        Finding::Damaged { what, .. } => line = line.with("damage", what),
        Finding::Empty => {}
    }
    line = line.with("cluster", seen.cluster_word(policy));
    if let Some(quorate) = &seen.quorate {
        line = line.with("members", in_one_line(&quorate.members));
    }
    if let Some(margin) = seen.margin(policy, None) {
        line = line.with("margin", margin);
    }
    if !seen.peers.is_empty() {
        let peers: Vec<String> = (seen.peers.iter())
            .map(|peer| match &peer.heard {
                // It may be no hindrance, and is then told nowhere else.
                Heard::Refused(_) => format!("{} {}", peer.name, peer.heard.words()),
                heard => format!("{} {}", peer.name, heard.short()),
            })
            .collect();
        line = line.with("peers", peers.join(", "));
    }
    if let Some(store) = &seen.store {
        line = line.with("store", store.words());
    }
    (seen.notes().into_iter()).fold(line, |line, (name, value)| line.with(name, value))
}

/// What is decided and why, in one line; what would change it too, where it is no step and no start.
pub fn line(decision: &Decision) -> Line {
    let mut words = format!("{}: {}", decision.sentence(), decision.because());
    if let Decision::Wait(_) | Decision::Refuse(_) = decision {
        words += "; ";
        words += &to_go_on(&decision.cure());
    }
    let level = match decision.urgency() {
        Urgency::Told => Level::Info,
        Urgency::Warning => Level::Warn,
        Urgency::Alarm => Level::Error,
    };
    Line::new(level, words).with("reason", decision.reason())
}

/// What a person cares about in it: a line is worth it when this changes. Members and notes change by
/// our own steps, which have lines of their own.
pub fn scene(policy: &Policy, look: &Look) -> String {
    let peers = (look.seen.peers.iter()).map(|peer| peer.heard.short());
    let peers: Vec<&str> = peers.collect();
    let cluster = look.seen.cluster_word(policy);
    // Why it is silent is said where it matters.
    let store = match &look.seen.store {
        Some(store @ StoreSeen::Read(_)) => store.words(),
        Some(StoreSeen::Silent(_)) | None => String::new(),
    };
    format!("{} {cluster} {} {store}", data_dir(look), peers.join(","))
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
