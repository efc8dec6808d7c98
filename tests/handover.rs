//! Is what etcd gets what we promise? Programs of the system stand in for etcd where it is about what a
//! process gets; etcd itself dies its own deaths.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::{Version, scenarios};

const OURS: &str = env!("CARGO_BIN_EXE_etcd-rejoin");
const WAYS: [&str; 2] = ["__exec", "__trial"];

/// `OURS way program name args..`, started through a prefix such as `env --ignore-signal`.
fn ours(prefix: &[&str], way: &str, args: &[&str]) -> Command {
    let words: Vec<&str> = [prefix, &[OURS, way], args].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

fn output(command: &mut Command) -> Output {
    command.output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A child that is killed when a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(command: &mut Command) -> Self {
        Running(command.stdout(Stdio::piped()).spawn().expect("it starts"))
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    fn signal(&self, signal: i32) {
        signal_to(self.pid(), signal);
    }

    /// The only child, once it is the program that is meant.
    fn etcd(&self, name: &str) -> i32 {
        let task = format!("/proc/{0}/task/{0}/children", self.pid());
        until(name, || {
            let children = fs::read_to_string(&task).ok()?;
            let child: i32 = children.trim().parse().ok()?;
            let comm = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
            (comm.trim() == name).then_some(child)
        })
    }

    /// The exit code, or 128 + n.
    fn code(&mut self) -> i32 {
        let status = until("the end", || self.0.try_wait().unwrap());
        status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap())
    }
}

fn signal_to(pid: i32, signal: i32) {
    let signal = Signal::from_named_raw(signal).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn status_field(pid: i32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_start_matches(':').trim().to_string())
}

#[test]
fn etcd_gets_its_name_its_arguments_and_exactly_its_environment() {
    for way in WAYS {
        let files = ["/proc/self/cmdline", "/proc/self/environ"];
        let mut command = ours(&[], way, &["/bin/cat", "my etcd", files[0], files[1], "--"]);
        command.env_clear().env("ETCD_NAME", "n1").env("B", "x = y");
        command
            .env("NOTIFY_SOCKET", "@n")
            .env("REJOIN_PASSWORD", "p");
        let seen = text(&output(&mut command).stdout);
        let given = format!("my etcd\0{}\0{}\0--\0", files[0], files[1]);
        let rest = seen.strip_prefix(&given).expect(&seen);
        let environ = rest
            .rsplit_once('\0')
            .unwrap()
            .0
            .split('\0')
            .collect::<BTreeSet<_>>();
        assert_eq!(
            environ,
            BTreeSet::from(["ETCD_NAME=n1", "B=x = y", "NOTIFY_SOCKET=@n"])
        );
    }
}

#[test]
fn etcd_gets_no_signal_ignored_and_none_blocked() {
    for way in WAYS {
        let prefix = ["env", "--ignore-signal", "--block-signal"];
        let args = ["/bin/cat", "cat", "/proc/self/status"];
        let seen = text(&output(&mut ours(&prefix, way, &args)).stdout);
        let mask = |name: &str| {
            let line = seen.lines().find_map(|line| line.strip_prefix(name));
            u64::from_str_radix(line.expect(name).trim(), 16).unwrap()
        };
        assert_eq!(mask("SigBlk:"), 0);
        // SIGILL, SIGFPE and SIGSEGV cannot be reached; the two of the C library neither, which this
        // test's own `posix_spawn` leaves ignored.
        let out_of_reach: u64 = [4, 8, 11, 32, 33].iter().map(|n| 1 << (n - 1)).sum();
        assert_eq!(mask("SigIgn:") & !out_of_reach, 0, "{way}");
    }
}

#[test]
fn etcd_gets_the_descriptors_that_were_inherited_and_none_of_ours() {
    let stray = "exec 7</dev/null 9>/dev/null; exec \"$@\"";
    let list = ["/bin/ls", "ls", "/proc/self/fd"];
    let bare = output(Command::new("sh").args(["-c", stray, "sh", "ls", "/proc/self/fd"]));
    let bare = text(&bare.stdout);
    assert!(bare.contains('7') && bare.contains('9'));
    for way in WAYS {
        let seen = text(&output(&mut ours(&["sh", "-c", stray, "sh"], way, &list)).stdout);
        assert!(seen.starts_with(&bare), "{way}: {seen}, bare: {bare}");
        let more = seen[bare.len()..].lines();
        assert!(more.into_iter().all(|line| line.starts_with("Outcome")));
    }
}

#[test]
fn a_program_that_cannot_run_ends_as_in_a_shell() {
    for way in WAYS {
        for (program, code) in [("/nonexistent", 127), ("/etc/passwd", 126), ("/etc", 126)] {
            let ended = output(&mut ours(&[], way, &[program, "etcd"]));
            assert_eq!(ended.status.code(), Some(code), "{way} {program}");
            let said = text(&ended.stderr);
            assert!(said.contains(&format!("cannot run {program}: ")), "{said}");
        }
    }
}

#[test]
fn we_end_as_etcd_ended() {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)] {
        for way in WAYS {
            let mut run = Running::start(&mut ours(&[], way, &["/bin/sh", "sh", "-c", script]));
            assert_eq!(run.code(), code, "{way} {script}");
        }
    }
}

#[test]
fn every_signal_that_can_be_is_forwarded() {
    // Not ours to forward: faults of a program itself, and what cannot be caught. Not fatal: 17 to 23, 28.
    for signal in [
        1, 2, 3, 5, 6, 10, 12, 14, 15, 16, 24, 25, 26, 27, 29, 30, 31,
    ] {
        let mut run = Running::start(&mut ours(&[], "__trial", &["/bin/sleep", "sleep", "60"]));
        run.etcd("sleep");
        run.signal(signal);
        assert_eq!(run.code(), 128 + signal);
        let mut said = String::new();
        run.0
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert!(said.contains(&format!("stop: Some({signal})")), "{said}");
    }
}

#[test]
fn signals_that_end_nobody_are_forwarded_too() {
    let script = "for s in URG WINCH CONT HUP; do trap \"echo $s\" $s; done; trap 'exit 3' TERM; \
                  echo ready; while :; do sleep 0.01; done";
    let mut run = Running::start(&mut ours(&[], "__trial", &["/bin/sh", "sh", "-c", script]));
    let mut stdout = run.0.stdout.take().unwrap();
    let mut line = || {
        let mut line = String::new();
        let mut byte = [0];
        while stdout.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            line.push(byte[0] as char);
        }
        line
    };
    assert_eq!(line(), "ready");
    for (signal, name) in [(23, "URG"), (28, "WINCH"), (18, "CONT"), (1, "HUP")] {
        run.signal(signal);
        assert_eq!(line(), name);
    }
    run.signal(15);
    assert_eq!(run.code(), 3);
}

#[test]
fn a_terminals_stop_stops_etcd_and_us_and_both_go_on() {
    for signal in [20, 21, 22] {
        let mut command = ours(&[], "__trial", &["/bin/sleep", "sleep", "60"]);
        // In an orphaned process group, as below a daemon, the kernel drops these (setpgid(2)): a group of its own
        // has a parent in this session.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut run = Running::start(&mut command);
        let etcd = run.etcd("sleep");
        let both = |state: char| {
            [run.pid(), etcd]
                .iter()
                .all(|pid| status_field(*pid, "State").is_some_and(|now| now.starts_with(state)))
        };
        run.signal(signal);
        until("both stopped", || both('T').then_some(()));
        run.signal(18);
        until("both going on", || both('S').then_some(()));
        run.signal(15);
        assert_eq!(run.code(), 143);
    }
}

#[test]
fn etcd_dies_with_a_parent_that_is_killed() {
    let mut run = Running::start(&mut ours(&[], "__trial", &["/bin/sleep", "sleep", "60"]));
    let etcd = run.etcd("sleep");
    run.signal(9);
    assert_eq!(run.code(), 137);
    until("the child's death", || {
        status_field(etcd, "State")
            .is_none_or(|state| state.starts_with(['Z', 'X']))
            .then_some(())
    });
}

#[test]
fn a_stop_at_any_moment_ends_the_program() {
    for way in WAYS {
        let mut took = Vec::new();
        for step in 0..40 {
            let mut run = Running::start(&mut ours(&[], way, &["/bin/sleep", "sleep", "60"]));
            std::thread::sleep(Duration::from_micros(step * 75));
            run.signal(15);
            let sent = Instant::now();
            assert_eq!(run.code(), 143, "{way} {step}");
            took.push(sent.elapsed());
        }
        // Most of them: the machine may be busy with other tests.
        took.sort();
        assert!(took[20] < Duration::from_millis(200), "{way}: {took:?}");
    }
}

#[test]
fn the_first_process_of_a_container_leaves_no_zombie() {
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do (sleep 0.0$i & sleep 0.1$i &); done; \
        for i in $(seq 500); do n=$(grep -l '^PPid:.1$' /proc/[0-9]*/status 2>/dev/null | wc -l); \
        [ $n = 1 ] && break; sleep 0.02; done; echo pid $PPID children $n; exit 9";
    let prefix = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let ended = output(&mut ours(
        &prefix,
        "__trial",
        &["/bin/sh", "sh", "-c", script],
    ));
    let said = text(&ended.stdout);
    assert!(
        said.starts_with("pid 1 children 1\n"),
        "{said}{}",
        text(&ended.stderr)
    );
    assert_eq!(ended.status.code(), Some(9));
}

#[test]
fn what_etcd_prints_arrives_as_it_came_and_whole() {
    // Far more than a pipe holds, no text, no newline at the end, and a reader that is slow.
    let script = "head -c 1500000 /dev/zero | tr '\\0' '\\377' >&2; printf end >&2; exit 4";
    let mut command = ours(&[], "__trial", &["/bin/sh", "sh", "-c", script]);
    let mut run = Running::start(command.stderr(Stdio::piped()));
    let mut stderr = run.0.stderr.take().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let mut seen = Vec::new();
    stderr.read_to_end(&mut seen).unwrap();
    assert_eq!(seen.len(), 1_500_003);
    assert!(seen[..1_500_000].iter().all(|byte| *byte == 0xff));
    assert!(seen.ends_with(b"end"));
    assert_eq!(run.code(), 4);
}

#[test]
fn etcd_outlives_a_closed_standard_error() {
    let script = "for i in 1 2 3 4 5; do head -c 100000 /dev/zero >&2; done; exit 5";
    let mut command = ours(&[], "__trial", &["/bin/sh", "sh", "-c", script]);
    let mut run = Running::start(command.stderr(Stdio::piped()));
    drop(run.0.stderr.take());
    assert_eq!(run.code(), 5);
}

#[test]
fn a_process_that_etcd_leaves_behind_does_not_hold_us_up() {
    let script = "sleep 30 & echo $!; echo said >&2; exit 6";
    let mut run = Running::start(&mut ours(&[], "__trial", &["/bin/sh", "sh", "-c", script]));
    let begin = Instant::now();
    assert_eq!(run.code(), 6);
    assert!(begin.elapsed() < Duration::from_secs(15));
    let mut said = String::new();
    let mut stdout = run.0.stdout.take().unwrap();
    let mut chunk = [0; 1024];
    while !said.contains("Outcome") {
        let n = stdout.read(&mut chunk).unwrap();
        said += &text(&chunk[..n]);
    }
    signal_to(said.lines().next().unwrap().parse().unwrap(), 9);
}

#[test]
fn a_healthy_trial_is_small_and_sleeps() {
    let mut command = ours(&[], "__trial", &["/bin/sleep", "sleep", "60"]);
    let mut run = Running::start(command.env("REJOIN_HEALTHY", "/"));
    run.etcd("sleep");
    let tasks = format!("/proc/{}/task", run.pid());
    let switches = || {
        let tasks = fs::read_dir(&tasks).unwrap();
        let pids = tasks.map(|task| task.unwrap().file_name().into_string().unwrap());
        pids.filter_map(|pid| status_field(pid.parse().unwrap(), "voluntary_ctxt_switches"))
            .map(|n| n.parse::<u64>().unwrap())
            .collect::<Vec<_>>()
    };
    // The watcher ends, and the others go to sleep for good.
    until("that it sleeps", || {
        let before = switches();
        std::thread::sleep(Duration::from_millis(1500));
        (before.len() == 2 && switches() == before).then_some(())
    });
    // What it takes for itself. Pages of the program's file come on top, shared by all that run it;
    // how many is the release build's affair: `cargo bench --bench figures` prints them.
    let size = status_field(run.pid(), "RssAnon").unwrap();
    println!("anonymous: {size}");
    let kib: u64 = size.trim_end_matches(" kB").parse().unwrap();
    assert!(kib <= 1024, "{size}");
    run.signal(15);
    assert_eq!(run.code(), 143);
}

scenarios! { each: etcds_own_words_tell_why_a_trial_failed; }

fn etcds_own_words_tell_why_a_trial_failed(version: Version) {
    let etcd = version.etcd();
    let etcd = etcd.to_str().unwrap();
    let ended = output(&mut ours(&[], "__trial", &[etcd, "etcd", "--nonsense"]));
    assert_eq!(ended.status.code(), Some(2));
    let said = text(&ended.stdout);
    assert!(
        said.contains("Surroundings(\"flag provided but not defined: -nonsense"),
        "{said}"
    );
    assert!(said.contains("healthy: false"), "{said}");
}
