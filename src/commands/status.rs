//! Explains, without changing anything: what is seen, what would be done now and why, and what would
//! change that.

use std::sync::Arc;

use serde_json::json;

use super::Exit;
use crate::config::Config;
use crate::datadir::{LockError, Volume};
use crate::decide::{Decision, decide};
use crate::explain;
use crate::observe::{Look, NoLook, Observer, Verdict};
use crate::signals::Stop;

/// Looks once and prints, as text or as JSON.
pub fn status(config: Config, stop: &Stop, as_json: bool) -> Exit {
    let config = Arc::new(config);
    let volume = Volume::new(&config.data_dir, config.wal_dir.as_deref());
    let observer = match Observer::new(config.clone(), volume.clone(), stop.clone()) {
        Ok(observer) => observer,
        Err(error) => {
            eprintln!("etcd-rejoin: {error}");
            return Exit::CONFIG;
        }
    };
    let holder = match volume.holder() {
        Ok(()) => None,
        Err(LockError::Held { holder }) => Some(holder),
        Err(LockError::Failed(error)) => {
            eprintln!("etcd-rejoin: {error}");
            None
        }
    };
    let mut look = match observer.look(Verdict::default(), holder.is_some()) {
        Ok(look) => look,
        Err(NoLook::Stopped(signal)) => return Exit::signal(signal),
        Err(NoLook::Failed(error)) => {
            eprintln!("etcd-rejoin: {error}");
            return Exit::FAILED;
        }
    };
    if holder.is_some() {
        // What answers as our member is the one that holds the data dir.
        look.seen.twin = false;
        look.seen.in_use = true;
    }
    let decision = decide(&config.policy, &look.seen);
    match as_json {
        true => println!("{}", to_json(&config, &look, &decision, holder.as_deref())),
        false => print!("{}", to_text(&config, &look, &decision, holder.as_deref())),
    }
    Exit::OK
}

fn to_text(config: &Config, look: &Look, decision: &Decision, holder: Option<&str>) -> String {
    let mut text = format!("member     {}\n", config.policy.name);
    text += &format!(
        "data dir   {}: {}\n",
        config.data_dir.display(),
        explain::data_dir(look)
    );
    if let Some(holder) = holder {
        text += &format!("           held by {holder}\n");
    }
    for note in explain::notes(look) {
        text += &format!("           {note}\n");
    }
    for peer in &look.seen.peers {
        text += &format!("peer       {} {}\n", peer.name, explain::heard(&peer.heard));
    }
    text += &format!("cluster    {}", explain::cluster(look));
    match &look.seen.quorate {
        Some(quorate) => {
            text += &format!(
                " {}, survives {} more failures\n",
                quorate.cluster,
                explain::margin(look)
            );
            for member in &quorate.members {
                text += &format!(
                    "member     {} {}\n",
                    explain::members(std::slice::from_ref(member)),
                    member.peer_urls.join(",")
                );
            }
        }
        None => text += "\n",
    }
    for failure in &look.failures {
        text += &format!("no answer  {failure}\n");
    }
    let row = decision.reason().row();
    text += &format!("decision   {}\n", explain::decision(config, decision));
    text += &format!(
        "because    {}: {}\n",
        row.name,
        explain::why(look, decision)
    );
    text += &format!("to change  {}\n", row.cure);
    text
}

fn to_json(config: &Config, look: &Look, decision: &Decision, holder: Option<&str>) -> String {
    let seen = &look.seen;
    let kind = match decision {
        Decision::Start(..) => "start",
        Decision::Do(..) => "do",
        Decision::Wait(_) => "wait",
        Decision::Refuse(_) => "refuse",
    };
    let step = match decision {
        Decision::Do(step, _) => Some(explain::step_name(step)),
        Decision::Start(..) | Decision::Wait(_) | Decision::Refuse(_) => None,
    };
    let identity = match &seen.data {
        crate::decide::DataDir::Own(identity) => Some(*identity),
        crate::decide::DataDir::Damaged { head } => *head,
        crate::decide::DataDir::Empty => None,
    };
    let state = match &seen.data {
        crate::decide::DataDir::Own(_) => "own",
        crate::decide::DataDir::Damaged { .. } => "damaged",
        crate::decide::DataDir::Empty => "empty",
    };
    let peers: Vec<_> = (seen.peers.iter())
        .map(|peer| json!({"name": peer.name, "heard": explain::heard_short(&peer.heard), "words": explain::heard(&peer.heard)}))
        .collect();
    let row = decision.reason().row();
    let value = json!({
        "name": config.policy.name,
        "data_dir": {
            "path": config.data_dir.display().to_string(),
            "state": state,
            "member_id": identity.map(|identity| identity.member),
            "cluster_id": identity.map(|identity| identity.cluster),
            "notes": explain::notes(look),
            "set_aside": seen.set_aside,
            "held_by": holder,
        },
        "peers": peers,
        "cluster": {
            "state": explain::cluster(look),
            "id": seen.quorate.as_ref().map(|quorate| quorate.cluster),
            "members": seen.quorate.as_ref().map(|quorate| &quorate.members),
            "margin": seen.quorate.as_ref().map(|_| explain::margin(look)),
        },
        "failures": look.failures,
        "decision": kind,
        "step": step,
        "action": explain::decision(config, decision),
        "reason": row.name,
        "why": explain::why(look, decision),
        "to_change": row.cure,
        "took_ms": look.took.as_secs_f64() * 1000.0,
    });
    format!("{value:#}")
}
