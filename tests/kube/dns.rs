//! A cluster's DNS: what the Endpoints of the API server say, and what a test makes of it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};

use serde_json::Value;

use super::api::text;

/// How the names of a namespace are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// There are none.
    Gone,
    /// Nobody answers.
    Silent,
}

/// The addresses of each name.
pub type Zone = BTreeMap<String, Vec<Ipv4Addr>>;

/// The end of each service's name.
pub const DOMAIN: &str = "svc.cluster.local";

/// The names that these Endpoints give: of the service, and of each pod that has one.
pub fn zone(endpoints: &[Value]) -> Zone {
    let mut zone = Zone::new();
    for object in endpoints {
        let (service, namespace) = (
            text(object, "/metadata/name"),
            text(object, "/metadata/namespace"),
        );
        let service = format!("{service}.{namespace}.{DOMAIN}");
        let subsets = object["subsets"].as_array().into_iter().flatten();
        for address in
            subsets.flat_map(|subset| subset["addresses"].as_array().into_iter().flatten())
        {
            let Ok(ip) = text(address, "/ip").parse() else {
                continue;
            };
            zone.entry(service.clone()).or_default().push(ip);
            let host = text(address, "/hostname");
            if !host.is_empty() {
                zone.entry(format!("{host}.{service}"))
                    .or_default()
                    .push(ip);
            }
        }
    }
    zone
}

/// Answers at this address until `over`.
pub fn serve(
    socket: &UdpSocket,
    over: impl Fn() -> bool,
    zone: impl Fn() -> Zone,
    how: impl Fn(&str) -> Option<Names>,
) {
    let timeout = std::time::Duration::from_millis(200);
    socket.set_read_timeout(Some(timeout)).unwrap();
    let mut packet = [0; 1500];
    while !over() {
        let Ok((length, from)) = socket.recv_from(&mut packet) else {
            continue;
        };
        let Some((name, kind, end)) = question(&packet[..length]) else {
            continue;
        };
        let namespace = name.strip_suffix(&format!(".{DOMAIN}")).unwrap_or_default();
        let namespace = namespace.rsplit('.').next().unwrap_or_default();
        let found = match how(namespace) {
            Some(Names::Silent) => continue,
            Some(Names::Gone) => None,
            None => zone().remove(&name),
        };
        let _ = socket.send_to(&answer(&packet[..end], kind, found), from);
    }
}

/// The name that is asked for, in small letters, the type, and where the question ends.
fn question(packet: &[u8]) -> Option<(String, u16, usize)> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*packet.get(at)?);
        if length == 0 {
            break;
        }
        let label = packet.get(at + 1..at + 1 + length)?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += 1 + length;
    }
    let kind = u16::from_be_bytes([*packet.get(at + 1)?, *packet.get(at + 2)?]);
    (packet.len() >= at + 5).then(|| (labels.join("."), kind, at + 5))
}

/// RFC 1035: the question, and an A record for each address. Each is good for this moment only.
fn answer(question: &[u8], kind: u16, found: Option<Vec<Ipv4Addr>>) -> Vec<u8> {
    const A: u16 = 1;
    let no_such_name = if found.is_none() { 3 } else { 0 };
    let addresses = found.filter(|_| kind == A).unwrap_or_default();
    let mut out = question[..2].to_vec();
    out.extend([
        0x85,
        0x80 | no_such_name,
        0,
        1,
        0,
        addresses.len() as u8,
        0,
        0,
        0,
        0,
    ]);
    out.extend(&question[12..]);
    for address in addresses {
        out.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        out.extend(address.octets());
    }
    out
}
