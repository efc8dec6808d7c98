//! Leaving on purpose: said explicitly, and final until said otherwise. The loop of a start, with another wish.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Exit, must_exist, print};
use crate::act::{Actor, Undone};
use crate::config::Config;
use crate::datadir::Volume;
use crate::decide::{Decision, Happened, Memory, Reason, Removal, Step, Wants, decide, to_go_on};
use crate::error::Error;
use crate::observe::{Beside, Look, NoLook, Observer};
use crate::signals::Stop;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// Removes this member from its cluster, and notes that it shall not come back by itself.
///
/// `if_scaled_down`: as the pre-stop of a StatefulSet's pod. A stop is no leave: only if the set does not want it.
pub fn leave(mut config: Config, if_scaled_down: bool, stop: &Stop) -> Exit {
    config.policy.wants = Wants::Leave;
    config.policy.if_scaled_down = if_scaled_down;
    if if_scaled_down && config.set.is_none() {
        eprintln!(
            "etcd-rejoin: --if-scaled-down needs REJOIN_STATEFULSET: which StatefulSet is this member of?"
        );
        return Exit::CONFIG;
    }
    let config = Arc::new(config);
    let volume = Volume::new(&config.data_dir, config.wal_dir.as_deref());
    let observer = match Observer::new(
        config.clone(),
        volume.clone(),
        stop.clone(),
        crate::run::versions::minor_version,
    ) {
        Ok(observer) => observer.patient(),
        Err(error) => {
            eprintln!("etcd-rejoin: {error}");
            return Exit::CONFIG;
        }
    };
    let mut memory = Memory::default();
    let mut noted = false;
    loop {
        observer.ask_too(config.own_client_urls());
        let look = match observer.look(&memory, Beside::Holder { etcd: true }) {
            Ok(look) => look,
            Err(NoLook::Stopped(signal)) => return stopped(signal, noted),
            Err(NoLook::Failed(error)) => return failed(&error, noted),
        };
        noted = look.seen.left;
        let decision = decide(&config.policy, &look.seen);
        let step = match &decision {
            Decision::Do(step, _) => step,
            Decision::Done(_) => return over(&decision, &look),
            Decision::Wait(_) | Decision::Start(..) => {
                match stop.sleep_until(Instant::now() + PAUSE) {
                    Some(signal) => return stopped(signal, noted),
                    None => continue,
                }
            }
            Decision::Refuse(_) => {
                eprintln!(
                    "etcd-rejoin: {}: {}; {}",
                    decision.sentence(),
                    decision.because(),
                    to_go_on(&decision.cure())
                );
                return Exit::FAILED;
            }
        };
        let actor = Actor::new(&config, &volume, observer.clients(), stop);
        let done = actor.perform(step, &look.seen, &look.endpoints);
        noted |= *step == Step::NoteLeft;
        let removal;
        let event = match done {
            Err(Undone::Stopped(signal)) => return stopped(signal, noted),
            done if matches!(step, Step::MoveLeadership(_)) => {
                if let Err(undone) = done {
                    eprintln!("etcd-rejoin: leaves as the leader: {undone}");
                }
                Happened::AskedToMove
            }
            Ok(_) if matches!(step, Step::RemoveMember(_)) => Happened::Asked(&Removal::Done),
            Ok(_) => Happened::Did(step, decision.reason(), None),
            Err(undone) => {
                removal = match undone {
                    // Behind a balancer: nothing was asked for there.
                    Undone::Changed => Removal::Refused("another cluster answers by now".into()),
                    Undone::Refused(words) | Undone::NotNow(words) => Removal::Refused(words),
                    Undone::Cluster(words) => Removal::Unsure(Some(words)),
                    Undone::Stopped(signal) => return stopped(signal, noted),
                    Undone::Failed(error) => return failed(&error, noted),
                };
                Happened::Asked(&removal)
            }
        };
        let pause = match event {
            Happened::Did(..) | Happened::AskedToMove | Happened::Asked(Removal::Done) => {
                Duration::ZERO
            }
            _ => PAUSE,
        };
        memory = memory.after(event, observer.now());
        if let Some(signal) = stop.sleep_until(Instant::now() + pause) {
            return stopped(signal, noted);
        }
    }
}

/// Nothing is left to do.
fn over(decision: &Decision, look: &Look) -> Exit {
    if decision.reason() != Reason::Left {
        return print(&format!(
            "{}: {}\n",
            decision.sentence(),
            decision.because()
        ));
    }
    let identity = look.contents.finding.identity();
    let member = identity.map_or_else(String::new, |own| format!(" {}", own.member));
    print(&format!(
        "member{member} has left; `etcd-rejoin leave --undo` lets it join again\n"
    ))
}

fn stopped(signal: i32, noted: bool) -> Exit {
    tell_of_the_note(noted);
    Exit::signal(signal)
}

fn failed(error: &Error, noted: bool) -> Exit {
    eprintln!("etcd-rejoin: {error}");
    tell_of_the_note(noted);
    Exit::FAILED
}

/// Ended before its time. Where it is noted that the member left, a person has to know.
fn tell_of_the_note(noted: bool) {
    if noted {
        eprintln!(
            "etcd-rejoin: it stays noted that this member left: run `etcd-rejoin leave` again, or \
             `etcd-rejoin leave --undo` to stay: until then its next start refuses (reason=left)"
        );
    }
}

/// Takes it back: from the next start on this member joins again.
pub fn undo(config: &Config) -> Exit {
    if let Err(exit) = must_exist(config) {
        return exit;
    }
    let volume = Volume::new(&config.data_dir, config.wal_dir.as_deref());
    match volume.forget_left() {
        Ok(()) => print("this member may join again: it does at its next start\n"),
        Err(error) => {
            eprintln!("etcd-rejoin: {error}");
            Exit::FAILED
        }
    }
}
