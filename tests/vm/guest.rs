//! One guest: started, asked to run scripts, cut off from a network, killed. It never outlives the test
//! program.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use super::image::image;
use super::roles::Roles;

/// How long a boot may take: an idle machine needs 7 s, two busy cores 45.
const BOOT: Duration = Duration::from_secs(180);
/// How long a script may take that has no other limit.
pub const SCRIPT: Duration = Duration::from_secs(60);

/// The networks between the guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    /// The members', with the virtual address; the rovers ask each other here too.
    Lan,
    /// DRBD's.
    Repl,
}

impl Net {
    /// Its name in the guest.
    pub fn name(self) -> &'static str {
        match self {
            Net::Lan => "lan",
            Net::Repl => "repl",
        }
    }
}

/// The loopback ports of a pair, taken from the free ones.
#[derive(Clone, Debug)]
pub struct Ports {
    control: [u16; 2],
    lan: [u16; 2],
    repl: [u16; 2],
}

impl Ports {
    /// Some that nobody uses now.
    pub fn free() -> Ports {
        let held: Vec<_> = (0..2)
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"))
            .collect();
        let udp: Vec<_> = (0..4)
            .map(|_| UdpSocket::bind("127.0.0.1:0").expect("a free port"))
            .collect();
        let tcp = |n: usize| held[n].local_addr().unwrap().port();
        let udp = |n: usize| udp[n].local_addr().unwrap().port();
        Ports {
            control: [tcp(0), tcp(1)],
            lan: [udp(0), udp(1)],
            repl: [udp(2), udp(3)],
        }
    }
}

/// An empty disk, of which what is never written costs nothing. XFS needs 300 MB, and a case writes a gigabyte.
fn new_disk(path: &Path) {
    let file = fs::File::create(path).expect("a disk");
    file.set_len(1400 << 20).expect("a disk of 1400 MB");
}

/// What a script printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Said {
    /// Both streams.
    pub text: String,
    /// Its exit code.
    pub code: i32,
}

/// A guest, running or not. Clones are the same guest.
#[derive(Clone, Debug)]
pub struct Guest {
    /// 1 or 2.
    pub n: usize,
    dir: PathBuf,
    ports: Ports,
    fence: u16,
    roles: Roles,
    qemu: Arc<Mutex<Option<Child>>>,
}

impl Guest {
    /// Not started yet. `dir` is its own; `fence` is the port of the fence device; `roles` hears of its role.
    pub fn new(n: usize, dir: &Path, ports: &Ports, fence: u16, roles: &Roles) -> Guest {
        fs::create_dir_all(dir).expect("the guest's directory");
        for disk in ["volume", "own"] {
            new_disk(&dir.join(disk));
        }
        Guest {
            n,
            dir: dir.to_path_buf(),
            ports: ports.clone(),
            fence,
            roles: roles.clone(),
            qemu: Arc::default(),
        }
    }

    /// Powers it on. Its disks are as they were.
    pub fn start(&self) {
        let image = image();
        let (at, other) = (self.n - 1, 2 - self.n);
        let shown = |name: &str| self.dir.join(name).display().to_string();
        let card = |net: usize| {
            let mac = format!("52:54:00:00:{net:02}:{:02}", self.n);
            format!("virtio-net-pci,netdev=net{net},id=card{net},mac={mac},romfile=")
        };
        let wire = |net: usize, ports: [u16; 2]| {
            let (local, remote) = (ports[at], ports[other]);
            format!(
                "dgram,id=net{net},local.type=inet,local.host=127.0.0.1,local.port={local},\
                 remote.type=inet,remote.host=127.0.0.1,remote.port={remote}"
            )
        };
        let disk = |name: &str| {
            let file = shown(name);
            format!("if=none,id={name},file={file},format=raw,cache=unsafe")
        };
        let _ = fs::remove_file(self.dir.join("console"));
        let _ = fs::remove_file(self.dir.join("monitor"));
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&image.qemu);
        // A guest that reboots or panics ends its QEMU.
        command
            .args("-M q35 -accel tcg,thread=multi,tb-size=256 -cpu max -smp 1 -m 512".split(' '));
        command.args("-nodefaults -no-user-config -display none -no-reboot".split(' '));
        command.arg("-kernel").arg(&image.kernel);
        command.arg("-initrd").arg(&image.files);
        command.arg("-append").arg(format!(
            "console=ttyS0 panic=-1 quiet loglevel=4 mitigations=off no_timer_check rdinit=/guest/init node={} fence={}",
            self.n, self.fence
        ));
        for name in ["volume", "own"] {
            command.arg("-drive").arg(disk(name));
            command
                .arg("-device")
                .arg(format!("virtio-blk-pci,drive={name}"));
        }
        let control = self.ports.control[at];
        let slirp = format!("user,id=net0,hostfwd=tcp:127.0.0.1:{control}-:2222");
        let wires = [slirp, wire(1, self.ports.lan), wire(2, self.ports.repl)];
        for (net, wire) in wires.iter().enumerate() {
            command.arg("-netdev").arg(wire);
            command.arg("-device").arg(card(net));
        }
        command
            .arg("-serial")
            .arg(format!("file:{}", shown("console")));
        command
            .arg("-monitor")
            .arg(format!("unix:{},server=on,wait=off", shown("monitor")));
        let log = fs::File::create(self.dir.join("qemu")).expect("a log");
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        // It dies with the thread that started it: that must not be the one of a single test.
        let (send, receive) = mpsc::channel();
        let (n, roles, console) = (self.n, self.roles.clone(), self.dir.join("console"));
        std::thread::spawn(move || {
            let child = command.spawn();
            let process = child.as_ref().map_or(0, Child::id);
            if send.send(child).is_ok() {
                roles.follow(n, process, &console);
            }
        });
        let child = receive
            .recv()
            .unwrap()
            .expect("setpriv (util-linux) starts QEMU");
        *self.qemu.lock().unwrap() = Some(child);
    }

    /// Waits until it runs scripts.
    pub fn wait_up(&self) {
        let end = Instant::now() + BOOT;
        let mark = format!("guest {} is up", self.n);
        while !self.console().contains(&mark) {
            let log = fs::read_to_string(self.dir.join("qemu")).unwrap_or_default();
            assert!(
                self.is_on(),
                "guest {} ended: {log}\n{}",
                self.n,
                self.console()
            );
            let console = self.console();
            assert!(
                Instant::now() < end,
                "guest {} is not up: {log}\n{console}",
                self.n
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Whether its QEMU runs.
    pub fn is_on(&self) -> bool {
        let mut qemu = self.qemu.lock().unwrap();
        (qemu.as_mut()).is_some_and(|child| child.try_wait().expect("a child").is_none())
    }

    /// Power off, at once. It is dead when this returns.
    pub fn kill(&self) {
        if let Some(mut child) = self.qemu.lock().unwrap().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Puts a new disk in the place of the one below DRBD. The machine is off.
    pub fn lose_volume(&self) {
        new_disk(&self.dir.join("volume"));
    }

    /// Another machine in its place, with new disks. It is off.
    pub fn replace(&self) {
        self.lose_volume();
        new_disk(&self.dir.join("own"));
    }

    /// What its console shows.
    pub fn console(&self) -> String {
        let bytes = fs::read(self.dir.join("console")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Runs a script of bash there.
    pub fn try_run(&self, script: &str, limit: Duration) -> Result<Said, String> {
        let failed = |why: &str, e: std::io::Error| format!("guest {}: {why}: {e}", self.n);
        let mut stream = self.send(script, limit)?;
        let end = Instant::now() + limit;
        let mut text = Vec::new();
        let mut part = [0; 8192];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let text = String::from_utf8_lossy(&text);
                return Err(format!("guest {}: no end after {limit:?}: {text}", self.n));
            }
            stream
                .set_read_timeout(Some(left))
                .map_err(|e| failed("time limit", e))?;
            match stream.read(&mut part) {
                Ok(0) => break,
                Ok(n) => text.extend(&part[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(failed("reading", e)),
            }
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        let (text, code) = (text.rsplit_once("\n__exit="))
            .ok_or_else(|| format!("guest {}: no exit code: {text}", self.n))?;
        let code = code
            .trim()
            .parse()
            .map_err(|_| format!("exit code {code}"))?;
        Ok(Said {
            text: text.trim_end().to_string(),
            code,
        })
    }

    /// Runs a script that must succeed; returns what it printed.
    #[track_caller]
    pub fn run(&self, script: &str) -> String {
        let said = self
            .try_run(script, SCRIPT)
            .unwrap_or_else(|e| panic!("{e}\n{script}"));
        assert_eq!(said.code, 0, "guest {}: {script}\n{}", self.n, said.text);
        said.text
    }

    /// What a script printed; empty where it could not run, or failed.
    pub fn ask(&self, script: &str) -> String {
        match self.try_run(script, Duration::from_secs(20)) {
            Ok(said) if said.code == 0 => said.text,
            Ok(_) | Err(_) => String::new(),
        }
    }

    /// The lines that a script prints, as they come, until it or the guest ends.
    pub fn lines(&self, script: &str) -> Result<impl Iterator<Item = String> + use<>, String> {
        let stream = self.send(script, SCRIPT)?;
        stream.set_read_timeout(None).map_err(|e| e.to_string())?;
        Ok(BufReader::new(stream).lines().map_while(Result::ok))
    }

    fn send(&self, script: &str, limit: Duration) -> Result<TcpStream, String> {
        let failed = |e: std::io::Error| format!("guest {}: {e}", self.n);
        let port = self.ports.control[self.n - 1];
        let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(failed)?;
        stream.set_write_timeout(Some(limit)).map_err(failed)?;
        let text = format!("{}\n{script}", script.len());
        stream.write_all(text.as_bytes()).map_err(failed)?;
        Ok(stream)
    }

    /// Pulls a cable, or puts it back: the guest sees the carrier go.
    pub fn set_link(&self, net: Net, on: bool) {
        let card = match net {
            Net::Lan => "card1",
            Net::Repl => "card2",
        };
        self.monitor(&format!(
            "set_link {card} {}",
            if on { "on" } else { "off" }
        ));
    }

    /// Loses every packet that it sends in these networks, with the carrier as it was. It may be turned
    /// off for that before this returns.
    pub fn lose_packets(&self, nets: &[Net]) {
        let commands = nets.iter().map(|net| {
            let net = net.name();
            format!("tc qdisc replace dev {net} root netem loss 100%\n")
        });
        let said = self.try_run(&commands.collect::<String>(), SCRIPT);
        let done = said.as_ref().is_ok_and(|said| said.code == 0);
        assert!(done || !self.is_on(), "guest {}: {said:?}", self.n);
    }

    /// That ends.
    pub fn keep_packets(&self) {
        self.run("for net in lan repl; do tc qdisc del dev $net root 2> /dev/null; done; true");
    }

    fn monitor(&self, command: &str) {
        let mut stream = UnixStream::connect(self.dir.join("monitor")).expect("QEMU's monitor");
        let limit = Some(Duration::from_secs(20));
        stream.set_read_timeout(limit).expect("a time limit");
        let mut until_prompt = |what: &str| {
            let mut said = Vec::new();
            let mut byte = [0];
            while !said.ends_with(b"(qemu) ") {
                assert_eq!(stream.read(&mut byte).expect(what), 1, "{what}");
                said.push(byte[0]);
            }
            stream.try_clone().expect("a stream")
        };
        let mut write = until_prompt("QEMU's greeting");
        writeln!(write, "{command}").expect("QEMU takes a command");
        until_prompt(command);
    }
}
