//! `config`: the configurations of two machines, written or checked.

use std::collections::BTreeMap;
use std::path::Path;

use crate::two_node::args::{CheckArgs, TwoNodeArgs};
use crate::two_node::check::{Host, Sources, check as find};
use crate::two_node::tools::{self, Verdict};
use crate::two_node::{File, Plan, RESOURCE, files, plan, write};
use etcd_rejoin_host::env_file::variables;
use etcd_rejoin_host::exit::{Exit, print};

/// Writes what belongs together, and asks the real tools about it.
pub fn two_node(args: &TwoNodeArgs) -> Exit {
    let plan = match plan(args) {
        Ok(plan) => plan,
        Err(mistakes) => {
            for mistake in mistakes {
                eprintln!("etcd-rejoin: configuration: {mistake}");
            }
            return Exit::CONFIG;
        }
    };
    let files = files(&plan);
    let paths = match write(&args.dir, &files) {
        Ok(paths) => paths,
        Err(error) => {
            eprintln!("etcd-rejoin: {error}");
            return Exit::FAILED;
        }
    };
    let mut text = String::new();
    for path in &paths {
        text += &format!("wrote {}\n", path.display());
    }
    let mut refused = false;
    for (file, path) in files.iter().zip(&paths) {
        let Some((tool, verdict)) = asked(&plan, file, path) else {
            continue;
        };
        let shown = path.display();
        match verdict {
            Verdict::Accepts(_) => text += &format!("{tool} accepts {shown}\n"),
            Verdict::NotAsked(why) => {
                text += &format!("{tool} was not asked about {shown}: {why}\n");
            }
            Verdict::Refuses(words) => {
                refused = true;
                eprintln!("etcd-rejoin: {tool} refuses {shown}: {words}");
            }
        }
    }
    let next = args.dir.join("NEXT-STEPS.txt");
    text += &format!("next: {}\n", next.display());
    match (print(&text), refused) {
        (Exit::OK, true) => Exit::FAILED,
        (exit, _) => exit,
    }
}

/// The tool that this file is for, and what it says.
fn asked(plan: &Plan, file: &File, path: &Path) -> Option<(&'static str, Verdict)> {
    let (host, name) = file.path.split_once('/')?;
    let machine = plan.machines.iter().find(|machine| machine.name == host);
    match name {
        "keepalived.conf" => {
            let interfaces = machine.map(|machine| machine.interface.as_str());
            let verdict = tools::keepalived(path, interfaces.as_slice());
            Some(("keepalived", verdict))
        }
        name if name.ends_with(".res") => {
            let verdict = tools::drbd(path, plan.grammar, host, RESOURCE);
            Some(("drbdadm", verdict))
        }
        _ => None,
    }
}

/// Names what is dangerous in a machine's configuration. `mistakes` says what the entrypoint would refuse of an
/// environment.
pub fn check(
    args: &CheckArgs,
    mistakes: impl Fn(&BTreeMap<String, String>) -> Vec<String>,
) -> Exit {
    let host = Host::at(&args.root);
    let env: BTreeMap<_, _> = match host.read(&args.env_file) {
        Ok(text) => variables(&text).collect(),
        Err(error) => {
            let path = host.path(&args.env_file);
            eprintln!("etcd-rejoin: cannot read {}: {error}", path.display());
            return Exit::FAILED;
        }
    };
    let mistakes = mistakes(&env);
    let (findings, notes) = find(&Sources::new(args, host, env), &mistakes);
    let mut text = String::new();
    for (_, finding) in &findings {
        text += &format!("{finding}\n");
    }
    for note in notes {
        text += &format!("note: {note}\n");
    }
    let dangers = findings.iter().filter(|(danger, _)| *danger).count();
    text += &match findings.len() {
        0 => "nothing is dangerous here\n".to_string(),
        all => format!("dangers: {dangers}, warnings: {}\n", all - dangers),
    };
    match print(&text) {
        Exit::OK if dangers > 0 => Exit::REFUSED,
        Exit::OK if !findings.is_empty() => Exit::NOT_OK,
        exit => exit,
    }
}
