//! What the entrypoint costs, beside etcd without it: `cargo bench --bench figures`.
//!
//! Both sides are measured in one run, in turn, and compared by their medians. Everything runs in
//! network and process namespaces of its own, on loopback, with data in memory.
//!
//! `cargo bench --bench figures -- [--etcd VERSION] [--times N] [--program PATH] [FIGURE..]`
//!
//! `UPDATE_DOCS=1 cargo bench --bench figures` writes all of them into `docs/benchmarks.md`, too.

mod bench;
mod blackhole;
#[path = "../../tests/support/book.rs"]
mod book;
mod growing;
mod healing;
mod restart;
mod stand_in;
mod table;
mod weight;

#[allow(unused, reason = "the tests use the rest")]
#[path = "../../tests/support/mod.rs"]
mod support;

use std::os::unix::process::CommandExt;
use std::process::Command;

use bench::Bench;
use support::Version;

/// Set within the namespaces: "1" for their process 1, "2" for the one that measures.
const INSIDE: &str = "FIGURES_INSIDE";
/// As for the other tables of the book.
const UPDATE: &str = "UPDATE_DOCS";

/// Measures one figure, or some that belong together.
type Figure = fn(&Bench) -> Vec<table::Row>;

/// Every figure by the name that selects it.
const FIGURES: &[(&str, Figure)] = &[
    ("restart", restart::intact),
    ("restart-tls", restart::intact_tls),
    ("restart-store", restart::intact_store),
    ("lost-disk", healing::lost_disk),
    ("fourth-member", growing::fourth_member),
    ("leader-leaves", growing::leader_leaves),
    ("last-of-quorum", restart::last_of_quorum),
    ("black-hole", blackhole::black_hole),
    ("weight", weight::weight),
    ("processes", weight::processes),
];

fn main() {
    if stand_in::is_asked_for() {
        return;
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let bench = match Bench::read(&words, FIGURES.iter().map(|(name, _)| *name)) {
        Ok(bench) => bench,
        Err(why) => {
            eprintln!("figures: {why}");
            std::process::exit(2);
        }
    };
    match std::env::var(INSIDE).as_deref() {
        Ok("2") => {}
        Ok(_) => std::process::exit(reap_all(&words)),
        Err(_) => {
            let error = enter_namespaces(&words);
            eprintln!("figures: cannot run unshare (util-linux): {error}");
            std::process::exit(1);
        }
    }
    run("ip", &["link", "set", "lo", "up"]);
    let mut page = table::head(&bench);
    print!("{page}");
    for (name, figure) in FIGURES {
        if bench.wants(name) {
            for row in figure(&bench) {
                println!("{row}");
                page += &format!("{row}\n");
            }
        }
    }
    if std::env::var_os(UPDATE).is_some() {
        write(&page);
    }
}

/// Writes the table into the book.
fn write(table: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks.md");
    let page = std::fs::read_to_string(path).expect("the page can be read");
    let page = book::replaced(&page, "figures", table);
    std::fs::write(path, page).expect("the page can be written");
}

/// What process 1 does: it starts the one that measures, and takes the status of every orphan.
#[expect(
    clippy::zombie_processes,
    reason = "every child is waited for, this one too"
)]
fn reap_all(words: &[String]) -> i32 {
    let ourselves = std::env::current_exe().expect("a program has a path");
    let child = Command::new(ourselves).args(words).env(INSIDE, "2").spawn();
    let child = child.expect("this program can be started");
    let child = rustix::process::Pid::from_child(&child);
    while let Ok(ended) = rustix::process::wait(rustix::process::WaitOptions::empty()) {
        if let Some((pid, status)) = ended
            && pid == child
        {
            return status.exit_status().unwrap_or(1);
        }
    }
    1
}

/// This program again, with a network of its own and as process 1: nothing outlives it.
fn enter_namespaces(words: &[String]) -> std::io::Error {
    let ourselves = std::env::current_exe().unwrap_or_default();
    let mut command = Command::new("unshare");
    command.args(["--net", "--pid", "--fork", "--mount-proc", "--kill-child"]);
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.arg("--").arg(ourselves).args(words);
    command.env(INSIDE, "1").exec()
}

/// Runs a small program, which must succeed.
fn run(program: &str, args: &[&str]) {
    let done = Command::new(program).args(args).status();
    let done = done.unwrap_or_else(|e| panic!("cannot run {program}: {e}"));
    assert!(done.success(), "{program} {args:?} failed");
}

/// The version of this name: a whole number, or the beginning of one.
fn version(name: &str) -> Option<Version> {
    let named = |version: &Version| {
        let number = version.to_string();
        number == name || number.starts_with(&format!("{name}."))
    };
    Version::all().into_iter().find(named)
}
