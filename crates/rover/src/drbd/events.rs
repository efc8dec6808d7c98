//! What `drbdsetup events2 --now` says of one resource. Pure; reads DRBD 8.4 and 9.

use crate::table::{Connection, Disk, PeerVolume, Replication, Role};

/// The resource as the kernel has it, without its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrbdState {
    /// Our role.
    pub role: Role,
    /// Our disk. A resource without a volume has none.
    pub disk: Disk,
    /// The peers, in the kernel's order.
    pub peers: Vec<PeerVolume>,
    /// DRBD 9's `quorum`, where it says one.
    pub quorum: Option<bool>,
    /// I/O is suspended.
    pub suspended: bool,
    /// I/O fails after `secondary --force`.
    pub failing: bool,
}

/// One peer while its lines come in, by the key that they share.
struct PeerKeys {
    key: String,
    connected: Option<(String, Connection, Role)>,
    device: Option<(Disk, Replication, bool)>,
}

/// Reads the output. `None`: the kernel has no such resource. The error names what is no output of
/// DRBD's, or what we cannot use.
///
/// Keys that are new to us are passed over: DRBD adds some with every version. A state that is new to
/// us is an error, because everything is decided from states.
pub fn parse(text: &str, resource: &str) -> Result<Option<DrbdState>, String> {
    let mut state: Option<DrbdState> = None;
    let mut peers: Vec<PeerKeys> = Vec::new();
    let mut volumes: Vec<String> = Vec::new();
    let mut disk = Disk::Diskless;
    let mut quorum = None;
    let mut ended = false;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_ascii_whitespace();
        let (event, object) = (words.next(), words.next());
        let (Some("exists"), Some(object)) = (event, object) else {
            return Err(format!("drbdsetup events2 said {}", quoted(line)));
        };
        if object == "-" {
            ended = true;
            continue;
        }
        let keys = Keys(line);
        if keys.get("name") != Some(resource) {
            continue;
        }
        match object {
            "resource" => {
                state = Some(DrbdState {
                    role: role(keys.need("role")?)?,
                    disk: Disk::Diskless,
                    peers: Vec::new(),
                    quorum: None,
                    suspended: keys.get("suspended").is_some_and(|why| why != "no"),
                    failing: keys.yes_no("force-io-failures")?.unwrap_or(false),
                });
            }
            "device" => {
                volumes.push(keys.get("volume").unwrap_or("?").to_string());
                disk = disk_state(keys.need("disk")?)?;
                quorum = keys.yes_no("quorum")?;
            }
            "connection" => {
                let connected = (
                    keys.get("conn-name").unwrap_or("peer").to_string(),
                    connection(keys.need("connection")?)?,
                    role(keys.get("role").unwrap_or("Unknown"))?,
                );
                peer(&mut peers, &keys).connected = Some(connected);
            }
            "peer-device" => {
                let device = (
                    disk_state(keys.need("peer-disk")?)?,
                    replication(keys.get("replication").unwrap_or("Off")),
                    keys.yes_no("peer-client")?.unwrap_or(false),
                );
                peer(&mut peers, &keys).device = Some(device);
            }
            // Paths, helpers, and what later versions tell of.
            _ => {}
        }
    }
    if !ended {
        return Err("what drbdsetup events2 said has no end".into());
    }
    let Some(mut state) = state else {
        return Ok(None);
    };
    if volumes.len() > 1 {
        let all = volumes.join(", ");
        return Err(format!(
            "resource {resource} has several volumes ({all}): one is what is understood here"
        ));
    }
    state.disk = disk;
    state.quorum = quorum;
    state.peers = peers.into_iter().filter_map(PeerKeys::finish).collect();
    Ok(Some(state))
}

impl PeerKeys {
    /// A peer device without a connection is none: the lines of a connection that ends now.
    fn finish(self) -> Option<PeerVolume> {
        let (name, connection, role) = self.connected?;
        let unknown = (Disk::Unknown, Replication::Off, false);
        let (disk, replication, witness) = self.device.unwrap_or(unknown);
        Some(PeerVolume {
            name,
            connection,
            role,
            disk,
            replication,
            witness,
        })
    }
}

fn peer<'a>(peers: &'a mut Vec<PeerKeys>, keys: &Keys) -> &'a mut PeerKeys {
    let key = keys.get("peer-node-id").unwrap_or_default();
    let found = peers.iter().position(|peer| peer.key == key);
    let index = found.unwrap_or_else(|| {
        peers.push(PeerKeys {
            key: key.to_string(),
            connected: None,
            device: None,
        });
        peers.len() - 1
    });
    &mut peers[index]
}

/// The `key:value` words of a line.
struct Keys<'a>(&'a str);

impl<'a> Keys<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        let pairs = self.0.split_ascii_whitespace().skip(2);
        pairs
            .filter_map(|word| word.split_once(':'))
            .find_map(|(name, value)| (name == key).then_some(value))
    }

    fn need(&self, key: &str) -> Result<&'a str, String> {
        self.get(key)
            .ok_or_else(|| format!("drbdsetup events2 names no {key} in {}", quoted(self.0)))
    }

    fn yes_no(&self, key: &str) -> Result<Option<bool>, String> {
        match self.get(key) {
            None => Ok(None),
            Some("yes") => Ok(Some(true)),
            Some("no") => Ok(Some(false)),
            Some(other) => Err(unknown(key, other)),
        }
    }
}

fn role(word: &str) -> Result<Role, String> {
    match word {
        "Primary" => Ok(Role::Primary),
        "Secondary" => Ok(Role::Secondary),
        "Unknown" => Ok(Role::Unknown),
        other => Err(unknown("role", other)),
    }
}

fn disk_state(word: &str) -> Result<Disk, String> {
    match word {
        "Diskless" => Ok(Disk::Diskless),
        "Attaching" | "Detaching" | "Failed" | "Negotiating" => Ok(Disk::Changing),
        "Inconsistent" => Ok(Disk::Inconsistent),
        "Outdated" => Ok(Disk::Outdated),
        "DUnknown" => Ok(Disk::Unknown),
        "Consistent" => Ok(Disk::Consistent),
        "UpToDate" => Ok(Disk::UpToDate),
        other => Err(unknown("disk", other)),
    }
}

/// DRBD 8.4 has one word for connection and replication; its tools tell them apart, all but a few.
fn connection(word: &str) -> Result<Connection, String> {
    match word {
        // Disconnecting is a command on its way to StandAlone.
        "StandAlone" | "Disconnecting" => Ok(Connection::StandAlone),
        "Unconnected" | "Timeout" | "BrokenPipe" | "NetworkFailure" | "ProtocolError"
        | "TearDown" | "Connecting" | "WFConnection" | "WFReportParams" => {
            Ok(Connection::Connecting)
        }
        "Connected" => Ok(Connection::Connected),
        other => Err(unknown("connection", other)),
    }
}

fn replication(word: &str) -> Replication {
    match word {
        "Off" => Replication::Off,
        "Established" => Replication::Established,
        "SyncSource" => Replication::SyncSource,
        "SyncTarget" => Replication::SyncTarget,
        _ => Replication::Other,
    }
}

fn unknown(what: &str, word: &str) -> String {
    format!(
        "drbdsetup events2 said {what}:{}, which is unknown here",
        quoted(word)
    )
}

fn quoted(text: &str) -> String {
    let short: String = text.chars().take(120).collect();
    format!("{short:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NINE: &str = include_str!("../../tests/fixtures/drbd/9/connected.events2");
    const EIGHT: &str = include_str!("../../tests/fixtures/drbd/8.4/connecting.events2");

    #[test]
    fn both_versions_are_read() {
        let nine = parse(NINE, "etcd").unwrap().unwrap();
        assert_eq!(nine.role, Role::Secondary);
        assert_eq!(nine.disk, Disk::UpToDate);
        assert_eq!(nine.quorum, Some(true));
        assert_eq!(nine.peers[0].name, "node2");
        assert_eq!(nine.peers[0].replication, Replication::Established);
        let eight = parse(EIGHT, "etcd").unwrap().unwrap();
        assert_eq!(eight.disk, Disk::Inconsistent);
        assert_eq!(eight.quorum, None);
        assert_eq!(eight.peers[0].connection, Connection::Connecting);
        assert_eq!(eight.peers[0].disk, Disk::Unknown);
    }

    #[test]
    fn another_resource_is_not_ours() {
        assert_eq!(parse(NINE, "etc"), Ok(None));
        assert_eq!(parse("exists -\n", "etcd"), Ok(None));
    }

    #[test]
    fn two_resources_do_not_mix() {
        let other = NINE
            .replace("name:etcd", "name:other")
            .replace("UpToDate", "Failed");
        let both = format!("{}{}", other.replace("exists -\n", ""), NINE);
        assert_eq!(parse(&both, "etcd"), parse(NINE, "etcd"));
    }

    #[test]
    fn output_without_its_end_is_no_answer() {
        let cut = NINE.replace("exists -\n", "");
        assert!(parse(&cut, "etcd").unwrap_err().contains("no end"));
    }

    #[test]
    fn a_state_that_is_unknown_is_named_and_a_key_is_passed_over() {
        let odd = NINE.replace("disk:UpToDate client", "disk:Splendid client");
        assert!(parse(&odd, "etcd").unwrap_err().contains("Splendid"));
        let new = NINE.replace("suspended:no", "suspended:no brand-new:7");
        assert_eq!(parse(&new, "etcd"), parse(NINE, "etcd"));
        assert!(
            parse("Segmentation fault", "etcd")
                .unwrap_err()
                .contains("Segm")
        );
    }

    #[test]
    fn several_volumes_are_refused() {
        let two = NINE.replace(
            "exists -\n",
            "exists device name:etcd volume:1 minor:1 disk:UpToDate\nexists -\n",
        );
        assert!(
            parse(&two, "etcd")
                .unwrap_err()
                .contains("several volumes (0, 1)")
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(exists|change)?( (resource|device|connection|-))?( name:etcd)?( [a-z-]{0,9}:?.{0,9}){0,4}\n.*") {
            let _ = parse(&text, "etcd");
        }
    }
}
