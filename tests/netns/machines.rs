//! Two machines with keepalived, a cable between them, and one virtual address.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use etcd_rejoin::rover::gate::GateReader;
use etcd_rejoin::rover::table::Gate;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::process::{Log, Process, is_stopped};
use crate::support::{executable, wait_for};

/// keepalived elects within a second here; a busy machine takes its time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// How keepalived tells the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// `notify`, our program itself.
    Script,
    /// `notify`, a script that waits before some states and then becomes our program.
    SlowScript(&'static str),
}

/// One machine.
pub(crate) struct Machine {
    netns: String,
    address: &'static str,
    priority: u8,
    by: By,
    dir: PathBuf,
    pub(crate) gate: PathBuf,
    pub(crate) log: Log,
    keepalived: Option<Process>,
}

/// Both. The first one has the higher priority.
pub(crate) struct Machines {
    pub(crate) one: Machine,
    pub(crate) two: Machine,
    _dir: TempDir,
}

#[track_caller]
fn ip(words: &[&str]) {
    let done = Command::new("ip")
        .args(words)
        .output()
        .expect("ip is needed");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ip {}: {said}", words.join(" "));
}

impl Machines {
    /// Both with their cable plugged in; keepalived does not run yet.
    pub(crate) fn new(by: By) -> Machines {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = tempfile::Builder::new()
            .prefix("etcd-rejoin-")
            .tempdir()
            .unwrap();
        let machine = |number: usize, address, priority| {
            let netns = format!("rejoin-{}-{n}-{number}", std::process::id());
            ip(&["netns", "add", &netns]);
            let dir = dir.path().join(number.to_string());
            fs::create_dir(&dir).unwrap();
            Machine {
                netns,
                address,
                priority,
                by,
                gate: dir.join("gate"),
                log: Log::new(dir.join("keepalived.log")),
                keepalived: None,
                dir,
            }
        };
        let machines = Machines {
            one: machine(1, "10.77.0.1/24", 100),
            two: machine(2, "10.77.0.2/24", 90),
            _dir: dir,
        };
        let (one, two) = (&machines.one.netns, &machines.two.netns);
        let cable = ["link", "add", "lan", "netns", one, "type", "veth"];
        ip(&[&cable[..], &["peer", "name", "lan", "netns", two]].concat());
        for machine in [&machines.one, &machines.two] {
            machine.ip(&["addr", "add", machine.address, "dev", "lan"]);
            machine.ip(&["link", "set", "lo", "up"]);
            machine.ip(&["link", "set", "lan", "up"]);
        }
        machines
    }

    /// Both run, and have agreed.
    pub(crate) fn running(by: By) -> Machines {
        let mut machines = Machines::new(by);
        machines.one.start();
        machines.two.start();
        machines.one.becomes(Gate::Master);
        machines.two.becomes(Gate::Backup);
        machines
    }
}

impl Machine {
    pub(crate) fn ip(&self, words: &[&str]) {
        ip(&[&["-n", &self.netns], words].concat());
    }

    fn has(&self, what: &[&str], part: &str) -> bool {
        let shown = Command::new("ip")
            .args(["-n", &self.netns])
            .args(what)
            .output();
        String::from_utf8_lossy(&shown.unwrap().stdout).contains(part)
    }

    /// Whether it holds the virtual address.
    pub(crate) fn has_address(&self) -> bool {
        self.has(&["-o", "addr", "show", "dev", "lan"], "10.77.0.100/")
    }

    /// Starts keepalived.
    pub(crate) fn start(&mut self) {
        let program = env!("CARGO_BIN_EXE_etcd-rejoin");
        let gate = self.gate.display();
        let notify = match self.by {
            By::Script => format!("notify \"{program} notify --gate {gate}\""),
            By::SlowScript(slow) => {
                let script = self.dir.join("notify");
                let log = self.dir.join("notify.log");
                let text = format!(
                    "#!/bin/sh\necho \"$3 $$\" >>{}\ncase $3 in {slow}) sleep 1;; esac\nexec {program} notify --gate {gate} \"$@\"\n",
                    log.display()
                );
                executable(&script, text);
                format!("notify {}", script.display())
            }
        };
        let config = self.dir.join("keepalived.conf");
        let text = format!(
            "global_defs {{\n  router_id {}\n  script_user root\n  vrrp_version 3\n}}\n\
             vrrp_instance etcd {{\n  state BACKUP\n  interface lan\n  virtual_router_id 51\n  \
             priority {}\n  advert_int 0.2\n  virtual_ipaddress {{ 10.77.0.100/24 dev lan }}\n  {notify}\n}}\n",
            self.netns, self.priority
        );
        fs::write(&config, text).unwrap();
        let netns = format!("--net=/run/netns/{}", self.netns);
        let pid = |name: &str| self.dir.join(name).display().to_string();
        let (main, vrrp) = (pid("main.pid"), pid("vrrp.pid"));
        let keepalived = |command: &mut Command| {
            command.args([
                &netns,
                "keepalived",
                "--dont-fork",
                "--log-console",
                "--log-detail",
            ]);
            command.args(["--vrrp", "-f"]).arg(&config);
            command.args(["-p", &main, "-r", &vrrp]);
            command.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
        };
        let nsenter = Path::new("nsenter");
        self.keepalived = Some(Process::spawn(nsenter, keepalived, &self.log.path));
        wait_for("keepalived runs", PATIENCE, || {
            self.pid("vrrp.pid").is_some()
        });
    }

    /// Tells keepalived to end, and waits for that.
    pub(crate) fn stop(&mut self) {
        let mut keepalived = self.keepalived.take().expect("it runs");
        keepalived.signal(Signal::TERM);
        keepalived.wait(PATIENCE);
    }

    /// A process of keepalived, by the name of its pid file.
    pub(crate) fn pid(&self, file: &str) -> Option<Pid> {
        let text = fs::read_to_string(self.dir.join(file)).ok()?;
        let pid = Pid::from_raw(text.trim().parse().ok()?)?;
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (comm.trim() == "keepalived").then_some(pid)
    }

    /// Kills the process that speaks VRRP; its parent starts another one.
    pub(crate) fn kill_child(&self) {
        let old = self.pid("vrrp.pid").expect("it runs");
        kill_process(old, Signal::KILL).unwrap();
        wait_for("another child runs", PATIENCE, || {
            self.pid("vrrp.pid").is_some_and(|new| new != old)
        });
    }

    /// Kills the parent alone.
    pub(crate) fn kill_parent(&mut self) {
        let child = self.pid("vrrp.pid").expect("it runs");
        kill_process(self.pid("main.pid").expect("it runs"), Signal::KILL).unwrap();
        self.keepalived.as_mut().expect("it runs").wait(PATIENCE);
        let path = format!("/proc/{child}");
        wait_for("its child has ended too", PATIENCE, || {
            !Path::new(&path).exists()
        });
        self.keepalived = None;
    }

    /// Kills both at once: neither can react to the other's end.
    ///
    /// The child comes first. At the end of a stopped parent the kernel would wake it (SIGHUP and SIGCONT for a
    /// process group that is orphaned), and send it SIGTERM as keepalived asks: it would say STOP.
    pub(crate) fn kill_both(&mut self) {
        let [parent, child] = ["main.pid", "vrrp.pid"].map(|file| self.pid(file).expect("it runs"));
        kill_process(parent, Signal::STOP).unwrap();
        let process = PathBuf::from(format!("/proc/{parent}"));
        wait_for("it is stopped", PATIENCE, || is_stopped(&process));
        kill_process(child, Signal::KILL).unwrap();
        let process = PathBuf::from(format!("/proc/{child}"));
        wait_for("its child is dead", PATIENCE, || is_stopped(&process));
        kill_process(parent, Signal::KILL).unwrap();
        self.keepalived.as_mut().expect("it runs").wait(PATIENCE);
        wait_for("both are gone", PATIENCE, || self.pid("vrrp.pid").is_none());
        self.keepalived = None;
    }

    /// What a reader that begins now sees.
    pub(crate) fn gate(&self) -> Gate {
        GateReader::open(&self.gate).latest()
    }

    /// Loses its cable and the address five times, and gets both back.
    pub(crate) fn flap(&self) {
        for _ in 0..5 {
            self.ip(&["link", "set", "lan", "down"]);
            wait_for("the address is gone", PATIENCE, || !self.has_address());
            self.ip(&["link", "set", "lan", "up"]);
            wait_for("the address is back", PATIENCE, || self.has_address());
        }
    }

    #[track_caller]
    pub(crate) fn becomes(&self, gate: Gate) {
        let end = Instant::now() + PATIENCE;
        while self.gate() != gate {
            let (netns, log) = (&self.netns, self.log.tail());
            assert!(
                Instant::now() < end,
                "the gate of {netns} never says {gate:?}:\n{log}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for file in ["main.pid", "vrrp.pid"] {
            if let Some(pid) = self.pid(file) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        self.keepalived = None;
        let _ = Command::new("ip")
            .args(["netns", "del", &self.netns])
            .output();
    }
}
