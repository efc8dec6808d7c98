//! The program. Its main job is the loop in `run`: look at the member and its cluster (`observe`), decide
//! one thing (`decide`), do it (`act`), and look again; at its end our place is etcd's (`handover`).

use std::process::exit;

use etcd_rejoin::commands::Exit;
use etcd_rejoin::commands::dispatch::Caller;
use etcd_rejoin::config::environment;
use etcd_rejoin::handover::{self, Called};
use etcd_rejoin::run::trial::{images, supervise};
use etcd_rejoin::signals::Stop;

fn main() {
    let mut words = std::env::args_os();
    let called = Called {
        name: words.next().unwrap_or_default(),
        words: words.collect(),
        env: environment::own(),
    };
    exit(end(&called).0)
}

/// What we end with, where nothing takes our place.
fn end(called: &Called) -> Exit {
    if let Some(code) = handover::hidden_main(called) {
        return Exit(code);
    }
    let failed = |error, exit| {
        eprintln!("etcd-rejoin: {error}");
        exit
    };
    // A PID 1 without a handler ignores SIGTERM: this comes first.
    let stop = match Stop::install() {
        Ok(stop) => stop,
        Err(error) => return failed(error, Exit::FAILED),
    };
    if let Some(exit) = supervise::supervise(called, &stop) {
        return exit;
    }
    match images::phase(&called.words) {
        Ok((phase, words)) => Caller {
            called,
            stop: &stop,
        }
        .dispatch(words, phase),
        Err(error) => failed(error, Exit::USAGE),
    }
}
