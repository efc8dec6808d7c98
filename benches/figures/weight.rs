//! What we take: bytes of the program, memory in front of a trial, processes.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::bench::{Bench, Side};
use crate::stand_in;
use crate::support::{Cluster, PATIENCE, wait_for};
use crate::table::{Row, Samples};

const MIB: f64 = 1024.0 * 1024.0;

/// The program's size, and the memory of a trial's parent.
pub fn weight(bench: &Bench) -> Vec<Row> {
    let program = fs::read(&bench.program).expect("the program can be read");
    let mut size = Samples::default();
    size.push(program.len() as f64 / MIB);
    let ldd = Command::new("ldd").arg(&bench.program).output();
    let said = ldd.map_or_else(
        |e| e.to_string(),
        |o| {
            String::from_utf8_lossy(&[o.stdout, o.stderr].concat())
                .trim()
                .to_string()
        },
    );
    let is_static = said.contains("statically linked") || said.contains("not a dynamic");
    let mut rows = vec![
        Row::at_most("size of the program", &size, 4.0, "MiB"),
        Row::holds("libraries of the program", "none", said, is_static),
    ];
    let mut cluster = Cluster::new(bench.version, 3);
    cluster.set("REJOIN_LOG", "info");
    for n in cluster.all() {
        bench.start(Side::Ours, cluster.member(n));
    }
    cluster.wait_healthy();
    cluster.put_some();
    wait_for("the watchers have ended", PATIENCE, || {
        cluster
            .all()
            .iter()
            .all(|&n| children(cluster.member(n).process().pid()).len() == 1)
    });
    for (field, goal) in [
        ("VmRSS", 3.0),
        ("RssAnon", 1.0),
        ("RssFile", 3.0),
        ("Pss", 3.0),
    ] {
        let mut memory = Samples::default();
        for n in cluster.all() {
            memory.push(kib(cluster.member(n).process().pid(), field) / 1024.0);
        }
        rows.push(Row::at_most(
            &format!("in front of a trial: {field}"),
            &memory,
            goal,
            "MiB",
        ));
    }
    rows
}

/// What is left of us in the end, and what was forked on the way.
pub fn processes(bench: &Bench) -> Vec<Row> {
    let mut cluster = bench.cluster(false);
    cluster.kill9(&[3]);
    let forks = forks(bench, &mut cluster);
    bench.time_to_healthy(Side::Ours, cluster.member(3));
    let etcd = exe(cluster.member(3).process().pid());
    let of_etcd = etcd.as_deref() == fs::canonicalize(bench.version.etcd()).ok().as_deref();
    let ours = fs::canonicalize(&bench.program).expect("the program has a path");
    let left: Vec<u32> = all()
        .into_iter()
        .filter(|&pid| exe(pid).as_ref() == Some(&ours))
        .collect();
    let forks_row = match forks {
        Ok((forks, threads)) => Row::holds(
            "processes forked on the way to etcd",
            "0",
            format!("{forks} (threads: {threads})"),
            forks == 0,
        ),
        Err(why) => Row::holds("processes forked on the way to etcd", "0", why, false),
    };
    vec![
        forks_row,
        Row::holds(
            "our process after the exec",
            "is etcd",
            etcd.as_deref()
                .and_then(Path::file_name)
                .map_or("unknown".into(), |name| name.display().to_string()),
            of_etcd,
        ),
        Row::holds(
            "processes of ours left",
            "0",
            left.len().to_string(),
            left.is_empty(),
        ),
    ]
}

/// Processes and threads made between our start and etcd's, as strace counts them.
fn forks(bench: &Bench, cluster: &mut Cluster) -> Result<(usize, usize), String> {
    let trace = cluster.scratch().join("trace");
    let member = cluster.member(3);
    let plain = stand_in::command(bench, Side::Ours, member);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=clone,clone3,fork,vfork", "-o"]);
    command.arg(&trace).arg(&bench.program).env_clear();
    command.envs(
        plain
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let done = command.output().map_err(|e| format!("strace: {e}"))?;
    stand_in::forget(member);
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).trim().to_string());
    }
    let text = fs::read_to_string(&trace).map_err(|e| e.to_string())?;
    let begun = text.lines().filter(|line| !line.contains("resumed>"));
    let calls: Vec<&str> = begun.filter(|line| line.contains('(')).collect();
    let threads = calls
        .iter()
        .filter(|line| line.contains("CLONE_THREAD"))
        .count();
    Ok((calls.len() - threads, threads))
}

fn all() -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn exe(pid: u32) -> Option<std::path::PathBuf> {
    fs::read_link(Path::new("/proc").join(pid.to_string()).join("exe")).ok()
}

fn children(pid: u32) -> Vec<u32> {
    let parent = |child: &u32| field(&format!("/proc/{child}/status"), "PPid") == Some(pid.into());
    all().into_iter().filter(parent).collect()
}

fn kib(pid: u32, name: &str) -> f64 {
    let file = match name {
        "Pss" => "smaps_rollup",
        _ => "status",
    };
    field(&format!("/proc/{pid}/{file}"), name).map_or(f64::NAN, |kib| kib as f64)
}

fn field(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}
