//! Leaving on purpose: said explicitly, and final until said otherwise. The loop of a start, with another wish.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Exit, must_exist, print};
use crate::act::{Actor, Undone};
use crate::config::Config;
use crate::datadir::Volume;
use crate::decide::{Decision, Happened, Memory, Removal, Wants, decide, to_go_on};
use crate::observe::{Beside, NoLook, Observer};
use crate::signals::Stop;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// Removes this member from its cluster, and notes that it shall not come back by itself.
pub fn leave(mut config: Config, stop: &Stop) -> Exit {
    config.policy.wants = Wants::Leave;
    let config = Arc::new(config);
    let volume = Volume::new(&config.data_dir, config.wal_dir.as_deref());
    let observer = match Observer::new(config.clone(), volume.clone(), stop.clone()) {
        Ok(observer) => observer.patient(),
        Err(error) => {
            eprintln!("etcd-rejoin: {error}");
            return Exit::CONFIG;
        }
    };
    observer.ask_too(config.own_client_urls());
    let mut memory = Memory::default();
    loop {
        let look = match observer.look(&memory, Beside::Holder { etcd: true }) {
            Ok(look) => look,
            Err(NoLook::Stopped(signal)) => return Exit::signal(signal),
            Err(NoLook::Failed(error)) => {
                eprintln!("etcd-rejoin: {error}");
                return Exit::FAILED;
            }
        };
        let decision = decide(&config.policy, &look.seen);
        let step = match &decision {
            Decision::Do(step, _) => step,
            Decision::Done(_) => {
                let identity = look.contents.finding.identity();
                let member = identity.map_or_else(String::new, |own| format!(" {}", own.member));
                return print(&format!(
                    "member{member} has left; `etcd-rejoin leave --undo` lets it join again\n"
                ));
            }
            Decision::Wait(_) | Decision::Start(..) => {
                match stop.sleep_until(Instant::now() + PAUSE) {
                    Some(signal) => return Exit::signal(signal),
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
        let removal;
        let event = match Actor::new(&config, &volume, observer.clients(), stop).perform(
            step,
            &look.seen,
            &look.endpoints,
        ) {
            Ok(_) => Happened::Did(step, decision.reason(), None),
            Err(Undone::Changed) => Happened::NotTaken,
            Err(Undone::Refused(words) | Undone::NotNow(words)) => {
                removal = Removal::Refused(words);
                Happened::Asked(&removal)
            }
            Err(Undone::Cluster(words)) => {
                removal = Removal::Unsure(Some(words));
                Happened::Asked(&removal)
            }
            Err(Undone::Stopped(signal)) => return Exit::signal(signal),
            Err(Undone::Failed(error)) => {
                eprintln!("etcd-rejoin: {error}");
                return Exit::FAILED;
            }
        };
        let pause = match event {
            Happened::Did(..) => Duration::ZERO,
            _ => PAUSE,
        };
        memory = memory.after(event, observer.now());
        if let Some(signal) = stop.sleep_until(Instant::now() + pause) {
            return Exit::signal(signal);
        }
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
