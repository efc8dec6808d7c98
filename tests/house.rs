//! Is the house built as CONTRIBUTING says? Imports go one way, a type's name means one thing, no function is long, and
//! what few may do is done by few. Read from the sources, as the compiler reads them.

#[path = "house/graph.rs"]
mod graph;
#[path = "house/sources.rs"]
mod sources;

use std::collections::BTreeMap;

use sources::{Source, sources};

/// No function is longer, without its signature.
const LONGEST_FUNCTION: usize = 100;

/// The floors of the program, from the top: a module imports from floors below its own.
const FLOORS: &[&[&str]] = &[
    &["main"],
    &["commands"],
    &["cli", "run"],
    &["explain", "act"],
    &["observe", "launch"],
    &["assembly", "handover"],
    &["ports", "kubernetes", "store"],
    &["config"],
    &["gateway", "datadir"],
    &["path", "first"],
];

/// Where programs begin and end.
const MAINS: &[&str] = &["src/main.rs", "crates/snapshot/src/main.rs"];

/// What decides names none of these: its `Cargo.toml` keeps it from other crates, and this from the standard library.
const DOES_SOMETHING: &[&str] = &[
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::net::ToSocketAddrs",
    "std::process",
    "std::env",
    "std::thread",
    "std::os",
    "std::io",
    "Instant",
    "SystemTime",
];

#[test]
fn no_files_import_each_other_in_a_circle() {
    let sources = sources();
    let circles = graph::circles(&sources);
    assert!(circles.is_empty(), "\n{}", circles.join("\n"));
}

/// What the test above looks for, it finds: also where the item is passed on by the file between.
#[test]
fn a_circle_is_found_through_what_a_module_passes_on() {
    let read = |file: &str, text: &str| Source::read(file.into(), text, "etcd_rejoin");
    let parent = "mod low; pub use low::Thing; mod high; fn calls() { high::calls() }";
    let high = "use super::Thing; pub fn calls() { super::calls() }";
    let files = |high: &str| {
        vec![
            read("src/lib.rs", "mod parent;"),
            read("src/parent/mod.rs", parent),
            read("src/parent/low.rs", "pub struct Thing;"),
            read("src/parent/high.rs", high),
        ]
    };
    let circles = graph::circles(&files(high));
    let told = "a circle:\n  src/parent/mod.rs -> src/parent/high.rs\n  src/parent/high.rs -> src/parent/mod.rs";
    assert_eq!(circles, [told]);
    let none = graph::circles(&files("use super::Thing; pub fn calls() {}"));
    assert!(none.is_empty(), "{none:?}");
}

#[test]
fn no_module_imports_upwards() {
    let sources = sources();
    let floor = |file: usize| {
        let source: &Source = &sources[file];
        let module = source.module.first()?;
        assert!(
            source.krate != "etcd_rejoin"
                || FLOORS.iter().any(|floor| floor.contains(&module.as_str())),
            "{module} has no floor"
        );
        let at = FLOORS
            .iter()
            .position(|floor| floor.contains(&module.as_str()));
        (source.krate == "etcd_rejoin").then(|| (at.expect("a floor"), module))
    };
    let mut upwards = Vec::new();
    for (file, imported) in graph::imports(&sources) {
        for other in imported {
            if let (Some(from), Some(to)) = (floor(file), floor(other))
                && from.1 != to.1
                && from.0 >= to.0
            {
                let name = |file: usize| sources[file].file.display();
                upwards.push(format!("{} -> {}", name(file), name(other)));
            }
        }
    }
    assert!(upwards.is_empty(), "\n{}", upwards.join("\n"));
}

#[test]
fn what_decides_can_do_nothing() {
    let mut named = Vec::new();
    for Source { file, paths, .. } in sources() {
        let file = file.display().to_string();
        if !file.starts_with("crates/decide/") && !file.starts_with("crates/rover/src/table/") {
            continue;
        }
        let does = |path: &&String| {
            let begins = DOES_SOMETHING.iter().any(|what| path.starts_with(what));
            begins
                || path.contains("::Instant")
                || path.contains("::SystemTime")
                || path.contains("etcd_rejoin_host")
        };
        named.extend(
            paths
                .iter()
                .filter(does)
                .map(|path| format!("{file}: {path}")),
        );
    }
    assert!(named.is_empty(), "\n{}", named.join("\n"));
}

#[test]
fn the_name_of_a_type_means_one_thing() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources() {
        for name in &source.types {
            let place = format!("{}", source.file.display());
            places.entry(name.clone()).or_default().push(place);
        }
    }
    let twice: Vec<String> = (places.iter())
        .filter(|(_, places)| places.len() > 1)
        .map(|(name, places)| format!("{name}: {}", places.join(", ")))
        .collect();
    assert!(twice.is_empty(), "\n{}", twice.join("\n"));
}

#[test]
fn no_function_is_long() {
    let sources = sources();
    let long: Vec<String> = (sources.iter())
        .flat_map(|source| {
            let long = source.functions.iter();
            let long = long.filter(|(_, lines)| *lines > LONGEST_FUNCTION);
            long.map(|(name, lines)| format!("{}: {name} has {lines} lines", source.file.display()))
        })
        .collect();
    assert!(long.is_empty(), "\n{}", long.join("\n"));
}

/// The files that name one of these paths, and are none of those that may.
fn named_elsewhere(paths: &[&str], may: &[&str]) -> Vec<String> {
    let mut elsewhere = Vec::new();
    for Source {
        file, paths: named, ..
    } in sources()
    {
        let file = file.display().to_string();
        if may.iter().any(|may| file.starts_with(may)) {
            continue;
        }
        for path in &named {
            if paths.iter().any(|wanted| path.ends_with(wanted)) {
                elsewhere.push(format!("{file}: {path}"));
            }
        }
    }
    elsewhere
}

#[test]
fn only_main_exits() {
    let elsewhere = named_elsewhere(&["process::exit", "process::abort"], MAINS);
    assert!(elsewhere.is_empty(), "\n{}", elsewhere.join("\n"));
}

#[test]
fn only_config_reads_the_environment() {
    let ways = ["env::var", "env::var_os", "env::vars", "env::vars_os"];
    let elsewhere = named_elsewhere(&ways, &["src/config/", "crates/snapshot/src/settings.rs"]);
    assert!(elsewhere.is_empty(), "\n{}", elsewhere.join("\n"));
}

#[test]
fn only_main_takes_arguments() {
    let elsewhere = named_elsewhere(&["env::args", "env::args_os"], MAINS);
    assert!(elsewhere.is_empty(), "\n{}", elsewhere.join("\n"));
}

#[test]
fn only_the_loop_hands_over_to_etcd() {
    // `etcd-rejoin PROGRAM` runs programs too.
    let may = ["src/run/", "src/handover/", "src/commands/other.rs"];
    let elsewhere = named_elsewhere(&["handover::exec", "handover::trial"], &may);
    assert!(elsewhere.is_empty(), "\n{}", elsewhere.join("\n"));
}
