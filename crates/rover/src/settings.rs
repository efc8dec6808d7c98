//! The roving member's settings: what turns `run` into the owner of a DRBD volume. Checked, not acted on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use etcd_rejoin_host::text::duration;

use crate::drbd;
use crate::fence::{self, Key};

/// The variables that make a rover. Its child, the ordinary entrypoint, gets none of them.
pub const VARIABLES: &[&str] = &[
    "REJOIN_DRBD",
    "REJOIN_MOUNT",
    "REJOIN_ETCD_USER",
    "REJOIN_GATE",
    "REJOIN_FENCE_PEER",
    "REJOIN_FENCE_LISTEN",
    "REJOIN_FENCE_KEY_FILE",
    "REJOIN_FENCE_COMMAND",
    "REJOIN_FENCE_TIMEOUT",
    "REJOIN_DEMOTE_TIMEOUT",
    "REJOIN_SELF_FENCE",
];

/// What the variables say, all of it as text.
#[derive(Debug, Default)]
pub struct Variables(BTreeMap<&'static str, String>);

impl Variables {
    /// Ours among these.
    pub fn of_variables(values: &BTreeMap<String, String>) -> Variables {
        let value = |name: &&'static str| Some((*name, values.get(*name)?.clone()));
        Variables(VARIABLES.iter().filter_map(value).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// What does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The variable.
    pub variable: String,
    /// Its value, if it has one.
    pub value: Option<String>,
    /// Reads well after both.
    pub why: String,
}

/// Everything about the volume that is fixed for the life of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rover {
    /// The DRBD resource.
    pub resource: String,
    /// Where its file system belongs.
    pub mount: PathBuf,
    /// The user and group that the member runs as; `None`: as we do.
    pub etcd_user: Option<(u32, u32)>,
    /// The gate: a file that `etcd-rejoin notify` writes.
    pub gate: PathBuf,
    /// The other rover over the second network, where there is one.
    pub fence: Option<FencePeer>,
    /// The program that turns the peer off, and its arguments; empty where there is none.
    pub fence_command: Vec<String>,
    /// How long settling the peer's fate may take.
    pub fence_timeout: Duration,
    /// How long a demotion may take.
    pub demote_timeout: Duration,
    /// At that deadline this machine reboots itself.
    pub self_fence: bool,
    /// What DRBD's tools get of the environment.
    pub env: Vec<(OsString, OsString)>,
}

/// How the two rovers speak to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FencePeer {
    /// `host:port` of the other one.
    pub peer: String,
    /// Where we answer.
    pub listen: SocketAddr,
    /// The file with the secret that both share.
    pub key_file: PathBuf,
}

impl Rover {
    /// Whether there is a way to learn, or to settle, the peer's fate.
    pub fn can_fence(&self) -> bool {
        self.fence.is_some() || !self.fence_command.is_empty()
    }
}

/// What is wrong, and what is odd but no reason to stop.
#[derive(Debug, Default)]
pub struct Remarks {
    /// Each keeps the program from starting.
    pub mistakes: Vec<Mistake>,
    /// These do not.
    pub warnings: Vec<String>,
}

/// The rover's settings; `None` where `REJOIN_DRBD` is not set. `dirs` are the variables that name the
/// member's directories, `env` is the environment.
pub fn check(
    given: &Variables,
    dirs: [(&str, &Path); 2],
    env: &[(OsString, OsString)],
) -> (Option<Rover>, Remarks) {
    let mut remarks = Remarks::default();
    let mut rover = remarks.rover(given, dirs);
    if let Some(rover) = &mut rover {
        rover.env = env.to_vec();
    }
    (rover, remarks)
}

impl Remarks {
    fn mistake(&mut self, variable: &str, value: &str, why: &str) {
        self.mistakes.push(Mistake {
            variable: variable.into(),
            value: Some(value.into()),
            why: why.into(),
        });
    }

    fn rover(&mut self, given: &Variables, dirs: [(&str, &Path); 2]) -> Option<Rover> {
        let Some(resource) = given.get("REJOIN_DRBD") else {
            for (variable, value) in &given.0 {
                let why = "does nothing without REJOIN_DRBD: set that too";
                self.mistake(variable, value, why);
            }
            return None;
        };
        if !drbd::is_resource(resource) || resource == "all" {
            let why = "is no DRBD resource: letters, digits and -_.+ only, as in /etc/drbd.d, and not all of them";
            self.mistake("REJOIN_DRBD", resource, why);
        }
        let mount = self.path(given, "REJOIN_MOUNT");
        let gate = self.path(given, "REJOIN_GATE");
        if let Some(mount) = &mount {
            self.around_the_volume(mount, gate.as_deref(), dirs);
        }
        let fence = self.fence_peer(given);
        Some(Rover {
            resource: resource.into(),
            mount: mount.unwrap_or_default(),
            etcd_user: self.etcd_user(given.get("REJOIN_ETCD_USER")),
            gate: gate.unwrap_or_default(),
            fence,
            fence_command: self.fence_command(given.get("REJOIN_FENCE_COMMAND")),
            fence_timeout: self.positive(given, "REJOIN_FENCE_TIMEOUT", 30),
            demote_timeout: self.positive(given, "REJOIN_DEMOTE_TIMEOUT", 20),
            self_fence: match given.get("REJOIN_SELF_FENCE") {
                None | Some("never") => false,
                Some("reboot") => true,
                Some(other) => {
                    self.mistake("REJOIN_SELF_FENCE", other, "is neither reboot nor never");
                    false
                }
            },
            env: Vec::new(),
        })
    }

    fn path(&mut self, given: &Variables, variable: &str) -> Option<PathBuf> {
        let Some(text) = given.get(variable) else {
            self.mistakes.push(Mistake {
                variable: variable.into(),
                value: None,
                why: "is not set, and REJOIN_DRBD needs it".into(),
            });
            return None;
        };
        let path = Path::new(text);
        if !path.is_absolute() || climbs(path) || path == Path::new("/") {
            let why = "is not an absolute path below the root, without `..`: write it from / on";
            self.mistake(variable, text, why);
            return None;
        }
        // Without double or trailing slashes, as /proc/self/mountinfo has it.
        Some(path.components().collect())
    }

    /// Data that lies beside the volume stays behind when the volume moves: two histories of one member. And a
    /// gate on it could not be read before it is mounted.
    fn around_the_volume(&mut self, mount: &Path, gate: Option<&Path>, dirs: [(&str, &Path); 2]) {
        let shown = mount.display();
        for (variable, dir) in dirs {
            if !dir.as_os_str().is_empty() && (!dir.starts_with(mount) || climbs(dir)) {
                let why = format!(
                    "does not lie on the volume: write a directory under REJOIN_MOUNT={shown}, without `..`"
                );
                self.mistake(variable, &dir.display().to_string(), &why);
            }
        }
        if let Some(gate) = gate.filter(|gate| gate.starts_with(mount)) {
            let why = "lies on the volume, which is mounted on one machine only: put it on a tmpfs, such as /run/etcd-rejoin/gate";
            self.mistake("REJOIN_GATE", &gate.display().to_string(), why);
        }
    }

    fn fence_peer(&mut self, given: &Variables) -> Option<FencePeer> {
        let Some(peer) = given.get("REJOIN_FENCE_PEER") else {
            for variable in ["REJOIN_FENCE_LISTEN", "REJOIN_FENCE_KEY_FILE"] {
                if let Some(value) = given.get(variable) {
                    let why = "does nothing without REJOIN_FENCE_PEER: set that too";
                    self.mistake(variable, value, why);
                }
            }
            return None;
        };
        let port = fence::port(peer);
        if let Err(why) = &port {
            self.mistake("REJOIN_FENCE_PEER", peer, why);
        }
        let listen = match given.get("REJOIN_FENCE_LISTEN") {
            None => Some(SocketAddr::new(everywhere(peer), port.unwrap_or(0))),
            Some(text) => {
                let address = text.parse::<SocketAddr>().ok();
                let address = address.filter(|address| address.port() != 0);
                if address.is_none() {
                    let why = "is no address to listen on: write ADDRESS:PORT, with an IP address";
                    self.mistake("REJOIN_FENCE_LISTEN", text, why);
                }
                address
            }
        };
        let Some(key_file) = given.get("REJOIN_FENCE_KEY_FILE") else {
            let why = "needs the secret that both machines share: set REJOIN_FENCE_KEY_FILE";
            self.mistake("REJOIN_FENCE_PEER", peer, why);
            return None;
        };
        match Key::read(Path::new(key_file)) {
            Ok(_) => self.readable_by_others("REJOIN_FENCE_KEY_FILE", key_file),
            Err(why) => self.mistake("REJOIN_FENCE_KEY_FILE", key_file, &why),
        }
        Some(FencePeer {
            peer: peer.into(),
            listen: listen?,
            key_file: key_file.into(),
        })
    }

    /// A warning, no mistake: a Kubernetes secret is mounted so, in a file system of its own.
    fn readable_by_others(&mut self, variable: &str, path: &str) {
        let mode = std::fs::metadata(path).map_or(0, |meta| meta.permissions().mode());
        if mode & 0o007 != 0 {
            self.warnings.push(format!(
                "{variable}={path} is open to every user of this machine (mode {:04o}): chmod 0600",
                mode & 0o7777
            ));
        }
    }

    /// Numbers: a name may have another one on the other machine, and the volume has numbers.
    fn etcd_user(&mut self, value: Option<&str>) -> Option<(u32, u32)> {
        let number = |text: &str| text.parse().ok().filter(|number| *number != 0);
        let text = value?;
        let user = (text.split_once(':')).and_then(|(user, group)| number(user).zip(number(group)));
        if user.is_none() {
            let why = "is no user: write UID:GID, two numbers that are not 0";
            self.mistake("REJOIN_ETCD_USER", text, why);
        }
        user
    }

    fn fence_command(&mut self, value: Option<&str>) -> Vec<String> {
        let words: Vec<String> = (value.unwrap_or_default().split_whitespace())
            .map(String::from)
            .collect();
        // The handler of the kernel has another PATH than we have.
        if let Some(value) = value
            && !words
                .first()
                .is_some_and(|program| program.starts_with('/'))
        {
            let why = "does not begin with an absolute path: write the program from / on";
            self.mistake("REJOIN_FENCE_COMMAND", value, why);
        }
        words
    }

    fn positive(&mut self, given: &Variables, variable: &str, default: u64) -> Duration {
        let default = Duration::from_secs(default);
        let Some(value) = given.get(variable) else {
            return default;
        };
        let why = match duration(value) {
            Some(Duration::ZERO) => "leaves no time: write 500ms, 5s or 1m",
            Some(given) => return given,
            None => "is not a duration: write 500ms, 5s, 2m or 1h",
        };
        self.mistake(variable, value, why);
        default
    }
}

/// Every address of the peer's kind. A name counts as IPv4: where it stands for IPv6 alone,
/// REJOIN_FENCE_LISTEN has to say so.
fn everywhere(peer: &str) -> IpAddr {
    match peer.starts_with('[') {
        true => Ipv6Addr::UNSPECIFIED.into(),
        false => Ipv4Addr::UNSPECIFIED.into(),
    }
}

fn climbs(path: &Path) -> bool {
    path.components().any(|part| part == Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings and the warnings, or the mistakes.
    fn read(env: &[(&str, &str)]) -> Result<(Option<Rover>, Vec<String>), Vec<String>> {
        let value = |wanted: &str| {
            env.iter()
                .find(|(name, _)| *name == wanted)
                .map(|(_, v)| *v)
        };
        let given = (env.iter()).filter(|(_, value)| !value.is_empty());
        let given = given.map(|(name, value)| (name.to_string(), value.to_string()));
        let given = Variables::of_variables(&given.collect());
        let dirs = ["ETCD_DATA_DIR", "ETCD_WAL_DIR"];
        let dirs = dirs.map(|name| (name, Path::new(value(name).unwrap_or_default())));
        let (rover, remarks) = check(&given, dirs, &[]);
        let said = |m: &Mistake| match &m.value {
            Some(value) => format!("{}={value} {}", m.variable, m.why),
            None => format!("{} {}", m.variable, m.why),
        };
        match remarks.mistakes.is_empty() {
            true => Ok((rover, remarks.warnings)),
            false => Err(remarks.mistakes.iter().map(said).collect()),
        }
    }

    const ROVER: [(&str, &str); 4] = [
        ("REJOIN_DRBD", "etcd"),
        ("REJOIN_MOUNT", "/volume/"),
        ("REJOIN_GATE", "/run/etcd-rejoin/gate"),
        ("ETCD_DATA_DIR", "/volume/etcd"),
    ];

    fn with(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
        let changed = |name: &str| more.iter().any(|(other, _)| *other == name);
        let kept = ROVER.into_iter().filter(|(name, _)| !changed(name));
        kept.chain(more.iter().copied()).collect()
    }

    #[test]
    fn three_variables_make_a_rover() {
        let rover = read(&ROVER).unwrap().0.unwrap();
        assert_eq!(rover.resource, "etcd");
        assert_eq!(rover.mount.to_str(), Some("/volume"));
        assert_eq!(rover.demote_timeout, Duration::from_secs(20));
        assert!(!rover.self_fence && !rover.can_fence());
        assert_eq!(read(&[]).unwrap().0, None);
    }

    #[test]
    fn a_rover_has_one_resource() {
        let mistakes = read(&with(&[("REJOIN_DRBD", "all")])).unwrap_err();
        assert!(mistakes[0].contains("REJOIN_DRBD=all"), "{mistakes:?}");
    }

    #[test]
    fn the_peer_answers_at_the_same_port_unless_told_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        std::fs::write(&key, "0123456789abcdef0123456789abcdef\n").unwrap();
        let key: &'static str = key.to_str().unwrap().to_string().leak();
        for (peer, listen) in [
            ("10.1.0.2:7790", "0.0.0.0:7790"),
            ("node2:7790", "0.0.0.0:7790"),
            ("[fd00::2]:7791", "[::]:7791"),
        ] {
            let env = with(&[("REJOIN_FENCE_PEER", peer), ("REJOIN_FENCE_KEY_FILE", key)]);
            let (rover, warnings) = read(&env).unwrap();
            let fence = rover.unwrap().fence.unwrap();
            assert_eq!(fence.listen, listen.parse().unwrap());
            // The test's umask leaves it readable.
            assert!(warnings.iter().any(|w| w.contains("chmod 0600")));
        }
    }

    #[test]
    fn every_mistake_about_the_volume_is_named_at_once() {
        let wrong = [
            ("REJOIN_DRBD", "et cd"),
            ("REJOIN_MOUNT", "volume"),
            ("REJOIN_ETCD_USER", "etcd"),
            ("REJOIN_GATE", "/run/../gate"),
            ("REJOIN_FENCE_PEER", "node2"),
            ("REJOIN_FENCE_LISTEN", "node1:7790"),
            ("REJOIN_FENCE_COMMAND", "fence off"),
            ("REJOIN_FENCE_TIMEOUT", "0s"),
            ("REJOIN_DEMOTE_TIMEOUT", "20"),
            ("REJOIN_SELF_FENCE", "yes"),
        ];
        let mistakes = read(&with(&wrong)).unwrap_err();
        for (name, value) in wrong {
            let part = format!("{name}={value} ");
            assert!(
                mistakes.iter().any(|m| m.contains(&part)),
                "{part} {mistakes:?}"
            );
        }
    }

    #[test]
    fn the_data_lies_on_the_volume_and_the_gate_does_not() {
        for more in [
            ("ETCD_DATA_DIR", "/var/lib/etcd"),
            ("ETCD_DATA_DIR", "/volume/../etcd"),
            ("ETCD_DATA_DIR", "volume/etcd"),
            ("ETCD_WAL_DIR", "/var/wal"),
            ("REJOIN_GATE", "/volume/gate"),
        ] {
            let mistakes = read(&with(&[more])).unwrap_err().join("\n");
            assert!(
                mistakes.contains(&format!("{}={} ", more.0, more.1)),
                "{mistakes}"
            );
        }
        let mistakes = read(&with(&[("REJOIN_MOUNT", ""), ("REJOIN_GATE", "")])).unwrap_err();
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    }

    #[test]
    fn without_drbd_the_rest_is_a_mistake() {
        for name in VARIABLES.iter().filter(|name| **name != "REJOIN_DRBD") {
            let mistakes = read(&[(*name, "x")]).unwrap_err().join("\n");
            assert!(
                mistakes.contains(&format!("{name}=x does nothing")),
                "{mistakes}"
            );
        }
    }
}
