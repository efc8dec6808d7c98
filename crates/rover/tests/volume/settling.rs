//! Is a lost machine settled as we meant it? `settling.txt` and `handler.txt` say it in words.

use etcd_rejoin_rover::table::{
    HandlerDecision, OutdateAnswer, Resource, Settle, Settled, Settling, VolumeState,
    decide_handler, settle,
};

use crate::cases::{self, Meaning};
use crate::text;

#[test]
fn a_lost_machine_is_asked_then_turned_off_then_settled() {
    let cases = cases::cases(include_str!("settling.txt"), &Meaning { variant, any });
    let wrong = cases::wrong(&cases, |so_far| match settle(so_far) {
        Settle::Ask => "ask".into(),
        Settle::Margin(margin) => format!("wait {margin:?}"),
        Settle::TurnOff => "turn off".into(),
        Settle::Settled(settled) => format!("settled: {settled}"),
    });
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn any(verb: &str) -> &'static str {
    match verb {
        "answer" => "none | outdated | primary | busy | failed | silent",
        "command" => "none | there | confirms | fails",
        "role" => "primary | secondary",
        _ => panic!("{verb:?} has no choices"),
    }
}

fn variant(at: usize, lines: &[String]) -> Settling {
    let mut so_far = Settling {
        primary: true,
        can_ask: true,
        can_turn_off: true,
        answer: None,
        elapsed: std::time::Duration::from_secs(2),
        turned_off: None,
    };
    for line in lines {
        let words = line.split_once(' ').expect("a verb and words");
        match words {
            ("peer", "nobody") => so_far.can_ask = false,
            ("role", "secondary") => so_far.primary = false,
            ("role", "primary") => so_far.primary = true,
            ("elapsed", "7s") => so_far.elapsed = std::time::Duration::from_secs(7),
            ("answer", words) => {
                so_far.answer = match words {
                    "none" => None,
                    "outdated" => Some(OutdateAnswer::Outdated),
                    "primary" => Some(OutdateAnswer::Primary),
                    "busy" => Some(OutdateAnswer::Busy("it goes first".into())),
                    "failed" => Some(OutdateAnswer::Failed("no disk".into())),
                    "silent" => Some(OutdateAnswer::Silent("no connection".into())),
                    _ => panic!("line {at}: {words:?} is no answer"),
                }
            }
            ("command", words) => {
                (so_far.can_turn_off, so_far.turned_off) = match words {
                    "none" => (false, None),
                    "there" => (true, None),
                    "confirms" => (true, Some(Ok(()))),
                    "fails" => (true, Some(Err("it ended with 1".into()))),
                    _ => panic!("line {at}: {words:?} is no fence command"),
                }
            }
            _ => panic!("line {at}: {line:?} is nothing of this file"),
        }
    }
    so_far
}

/// What the kernel's handler knows.
#[derive(Debug)]
struct Handler {
    own: Resource,
    can_turn_off: bool,
    settled: Option<Settled>,
    time_left: bool,
}

#[test]
fn the_kernels_handler_ends_as_drbd_has_to_hear_it() {
    let meaning = Meaning {
        variant: handler,
        any: any_of_a_handler,
    };
    let cases = cases::cases(include_str!("handler.txt"), &meaning);
    let wrong = cases::wrong(&cases, |seen| {
        let settled = seen.settled.as_ref();
        match decide_handler(&seen.own, seen.can_turn_off, settled, seen.time_left) {
            HandlerDecision::Settle => "settle".into(),
            HandlerDecision::AskAgain => "ask again".into(),
            HandlerDecision::Unproven => "unproven".into(),
            HandlerDecision::End(code) => format!("end {code}"),
        }
    });
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn any_of_a_handler(verb: &str) -> &'static str {
    match verb {
        "settled" => "no | outdated | fenced | primary | busy | refused | silent",
        "command" => "none | there",
        "time" => "left | over",
        verb => text::any(verb),
    }
}

fn handler(at: usize, lines: &[String]) -> Handler {
    let (mut can_turn_off, mut settled, mut time_left) = (false, None, true);
    let mut others = Vec::new();
    for line in lines {
        let why = || "why".to_string();
        match line.split_once(' ').expect("a verb and words") {
            ("settled", words) => {
                settled = match words {
                    "no" => None,
                    "outdated" => Some(Settled::Outdated),
                    "fenced" => Some(Settled::Fenced),
                    "primary" => Some(Settled::Primary),
                    "busy" => Some(Settled::Busy(why())),
                    "refused" => Some(Settled::Refused(why())),
                    "silent" => Some(Settled::Silent(why())),
                    _ => panic!("line {at}: nothing is settled {words:?}"),
                }
            }
            ("command", words) => can_turn_off = words == "there",
            ("time", words) => time_left = words == "left",
            _ => others.push(line.clone()),
        }
    }
    let (_, seen) = text::variant(at, &others);
    let VolumeState::Up(own) = seen.volume else {
        panic!("line {at}: the handler is of a resource that is up");
    };
    Handler {
        own,
        can_turn_off,
        settled,
        time_left,
    }
}
