//! A volume's state in words, for `status` and the log. Pure.

use crate::table::{Connection, Disk, Fencing, PeerVolume, Replication, Resource};

/// The resource in one line: what an operator looks for first.
pub fn summary(resource: &Resource) -> String {
    let mut text = format!("{:?} {:?}", resource.role, resource.disk);
    if resource.suspended {
        text += ", writes frozen";
    }
    if resource.failing {
        text += ", writes failing since it was demoted by force";
    }
    for peer in &resource.peers {
        text += &format!("; {}", peer_words(peer));
    }
    if resource.peers.is_empty() {
        text += "; no peer";
    }
    let fencing = match resource.fencing {
        Fencing::DontCare => "fencing off",
        Fencing::ResourceOnly => "fencing resource-only",
        Fencing::ResourceAndStonith => "fencing resource-and-stonith",
    };
    text += &format!("; {fencing}");
    if resource.quorum_on {
        text += if resource.quorum {
            ", has quorum"
        } else {
            ", no quorum"
        };
    }
    text
}

fn peer_words(peer: &PeerVolume) -> String {
    let name = &peer.name;
    match peer.connection {
        Connection::StandAlone => format!("{name} given up (StandAlone)"),
        Connection::Connecting => match peer.disk {
            Disk::Outdated => format!("{name} not connected, recorded as outdated"),
            _ => format!("{name} not connected"),
        },
        Connection::Connected => {
            let resync = match peer.replication {
                Replication::SyncSource => ", receives from us",
                Replication::SyncTarget => ", we receive from it",
                Replication::Off | Replication::Established | Replication::Other => "",
            };
            format!("{name} {:?} {:?}{resync}", peer.role, peer.disk)
        }
    }
}

/// What to do about a connection that was given up; `None` where none was.
///
/// DRBD says StandAlone after a split brain and after `drbdadm disconnect`, and tells them apart in the
/// kernel's log alone. The first command is right for both: after a split brain DRBD gives up again.
pub fn split_brain(name: &str, resource: &Resource) -> Option<String> {
    let given_up = (resource.peers.iter()).find(|peer| peer.connection == Connection::StandAlone);
    if given_up.is_none() && !resource.peers.is_empty() {
        return None;
    }
    Some(format!(
        "DRBD has given up the connection of {name}: somebody disconnected it, or both machines have \
         written what the other lacks (split brain).\n\
         1. On both machines: drbdadm connect {name}. If they connect, that was all.\n\
         2. If they do not, the kernel's log says \"Split-Brain detected\". Decide which machine's writes \
         since then are lost: the member's data on it is thrown away.\n\
         3. There, with the member stopped: drbdadm secondary {name}; drbdadm disconnect {name}; \
         drbdadm connect --discard-my-data {name} (where \"disconnect\" says \"unknown connection\", it was \
         given up already: go on)\n\
         4. On the other one: drbdadm connect {name}"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, parse};
    use super::*;

    fn resource(text: &str) -> Resource {
        let state = parse::events(text, "etcd").unwrap().unwrap();
        let settings = Settings {
            fencing: Fencing::ResourceOnly,
            quorum_on: false,
        };
        super::super::tool::resource(state, settings)
    }

    const CONNECTING: &str = include_str!("../../tests/fixtures/drbd/8.4/connecting.events2");

    #[test]
    fn a_summary_names_both_disks() {
        let nine = include_str!("../../tests/fixtures/drbd/9/connected.events2");
        assert_eq!(
            summary(&resource(nine)),
            "Secondary UpToDate; node2 Secondary UpToDate; fencing resource-only"
        );
        let outdated = CONNECTING.replace("peer-disk:DUnknown", "peer-disk:Outdated");
        assert_eq!(
            summary(&resource(&outdated)),
            "Secondary Inconsistent; peer not connected, recorded as outdated; fencing resource-only"
        );
    }

    #[test]
    fn only_a_connection_that_was_given_up_is_a_split_brain() {
        assert_eq!(split_brain("etcd", &resource(CONNECTING)), None);
        let given_up = CONNECTING.replace("connection:Connecting", "connection:StandAlone");
        let words = split_brain("etcd", &resource(&given_up)).unwrap();
        assert!(words.contains("connect --discard-my-data etcd"), "{words}");
    }
}
