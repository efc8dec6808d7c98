//! What is dangerous in DRBD's configuration as `drbdadm dump` shows it, and in the module's parameters.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::findings::{CheckFindings, Sources, flag};
use super::programs::{key_file, password, program};
use crate::drbd::{Piece, pieces};
use crate::fence::Key;
use crate::two_node::args::Grammar;

/// The unit that `two-node config` writes, and where systemd notes what is enabled.
const UNIT: &str = "etcd-rejoin-drbd.service";
const ENABLED: &str = "/etc/systemd/system/multi-user.target.wants";

/// Which option is well with which values.
const OPTIONS: &str = include_str!("options.txt");

/// One resource, with what it inherits.
struct ResourceConf<'a> {
    pieces: &'a [Piece],
    name: &'a str,
}

impl<'a> ResourceConf<'a> {
    /// What is said within this resource, then in the common section.
    fn said(&self, common: bool) -> impl Iterator<Item = &'a Piece> {
        let name = self.name;
        self.pieces
            .iter()
            .filter(move |piece| match (piece.within.first(), common) {
                (Some(first), false) => {
                    first.first().is_some_and(|word| word == "resource")
                        && first.get(1).is_some_and(|word| word == name)
                }
                (Some(first), true) => first.first().is_some_and(|word| word == "common"),
                (None, _) => false,
            })
    }

    /// All values of an option; a word without a value is a switch that is on.
    fn values(&self, section: &str, name: &str) -> Vec<&'a str> {
        match self.values_in(false, section, name) {
            own if own.is_empty() => self.values_in(true, section, name),
            own => own,
        }
    }

    /// Those of the resource itself, or of the section `common`.
    fn values_in(&self, common: bool, section: &str, name: &str) -> Vec<&'a str> {
        let named = self.said(common).filter(|piece| {
            let last = piece.within.last().and_then(|block| block.first());
            last.is_some_and(|block| block == section)
                && piece.words.first().is_some_and(|word| word == name)
        });
        named
            .map(|piece| piece.words.get(1).map_or("yes", String::as_str))
            .collect()
    }

    /// The hosts, each with whether it has a disk.
    fn hosts(&self) -> Vec<bool> {
        let all = self
            .said(false)
            .filter(|piece| piece.opens && piece.words.first().is_some_and(|word| word == "on"));
        all.map(|host| {
            let inside = self
                .said(false)
                .filter(|piece| piece.within.contains(&host.words));
            inside
                .filter(|piece| {
                    piece.words.first().is_some_and(|word| word == "disk") && !piece.opens
                })
                .any(|piece| piece.words.get(1).is_some_and(|disk| disk != "none"))
        })
        .collect()
    }

    /// Where the machines replicate.
    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let lines = self
            .said(false)
            .filter(|piece| piece.words.first().is_some_and(|word| word == "address"));
        lines.filter_map(|line| Some(line.words.last()?.parse::<SocketAddr>().ok()?.ip()))
    }
}

/// Looks at the resource of the roving member.
pub fn check(sources: &Sources, grammar: Option<Grammar>, text: &str, out: &mut CheckFindings) {
    let place = sources.drbd_conf.display().to_string();
    let pieces = match pieces(text) {
        Ok(pieces) => pieces,
        Err(why) => return out.add(place, "not-readable", &[&why]),
    };
    let Some(name) = sources.env("REJOIN_DRBD") else {
        return;
    };
    let resource = ResourceConf {
        pieces: &pieces,
        name,
    };
    if resource.said(false).next().is_none() {
        return out.add(place, "no-such-resource", &[&name]);
    }
    for rule in OPTIONS.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = rule.splitn(6, ' ').collect();
        let [severity, section, name, good, finding, does] = words[..] else {
            unreachable!("a rule has six words");
        };
        let good: Vec<&str> = good.split(',').collect();
        let values = resource.values(section, name);
        if let Some(value) = values.iter().find(|value| !good.contains(value)) {
            let cure = match good[0] {
                "-" => "remove it".into(),
                good => format!("set {section} {{ {name} {good}; }}"),
            };
            out.say(
                severity,
                &place,
                finding,
                &format!("{name} {value} {does}; {cure}"),
            );
        }
    }
    if grammar == Some(Grammar::V9) && resource.values("options", "auto-promote").is_empty() {
        out.add(&place, "auto-promote-on", &[]);
    }
    shape(sources, &resource, &place, out);
    secret(sources, &resource, text, out);
    module(sources, out);
    service(sources, name, out);
}

/// One of the two shapes in which nothing is lost; the entrypoint refuses the others.
fn shape(sources: &Sources, resource: &ResourceConf, place: &str, out: &mut CheckFindings) {
    let mut fencing = resource.values("net", "fencing");
    fencing.extend(resource.values("disk", "fencing"));
    let stonith = |value: &&str| *value == "resource-and-stonith";
    let freezes = !fencing.is_empty() && fencing.iter().all(stonith);
    let fences = fencing.iter().any(|value| *value != "dont-care");
    // A number of votes is none: with `quorum 1` a machine that is alone has quorum.
    let quorum = resource.values("options", "quorum");
    let quorum = (quorum.iter()).any(|value| ["majority", "all"].contains(value));
    let hosts = resource.hosts();
    let disks = hosts.iter().filter(|disk| **disk).count();
    match (quorum, freezes) {
        (true, _) if hosts.len() < 3 => out.add(place, "unsafe-config/two", &[]),
        (true, _) if fences => out.add(place, "unsafe-config/both", &[]),
        (true, _) if resource.values("options", "on-no-quorum").is_empty() => {
            out.add(place, "frozen-without-quorum", &[]);
        }
        (true, _) => {}
        (false, false) => out.add(place, "unsafe-config/neither", &[]),
        (false, true) if disks > 2 => out.add(place, "unsafe-config/many", &[]),
        (false, true) => handler(sources, resource, place, out),
    }
}

/// The kernel's handler is ours, and asks whom the other rover is.
fn handler(sources: &Sources, resource: &ResourceConf, place: &str, out: &mut CheckFindings) {
    // The entrypoint counts none of the section `common`: `drbdadm dump` does not show it with the resource.
    let lines = resource.values_in(false, "handlers", "fence-peer");
    let ours = |line: &&&str| {
        let mut words = line.split_whitespace();
        let program = words
            .next()
            .is_some_and(|program| program.ends_with("/etcd-rejoin"));
        program && words.next() == Some("fence-peer")
    };
    let Some(line) = lines.iter().find(ours) else {
        return out.add(place, "unsafe-config/handler", &[]);
    };
    let host = &sources.host;
    program(host, &place, "the fence-peer handler", line, out);
    if let Some(command) = flag(line, "--fence-command") {
        program(host, &place, "the fence command", command, out);
        password(host, command, out);
    }
    if let Some(theirs) = flag(line, "--key-file") {
        key_file(host, &place, theirs, out);
        let read = |path: &str| Key::read(&host.path(path.as_ref())).ok();
        let ours = sources.env("REJOIN_FENCE_KEY_FILE");
        if let (Some(one), Some(two)) = (ours.and_then(read), read(theirs))
            && !one.is(&two)
        {
            out.add(place, "fence-key-differs", &[&theirs]);
        }
    }
    let Some(listen) = sources.env("REJOIN_FENCE_LISTEN") else {
        return out.add(&sources.env_from, "no-fence-peer", &[]);
    };
    let ip = |address: &str| Some(address.parse::<SocketAddr>().ok()?.ip());
    let Some(peer) = flag(line, "--peer").and_then(ip) else {
        return;
    };
    if ip(listen) == Some(peer) || peer.is_loopback() {
        out.add(place, "fence-peer-is-us", &[&peer]);
    }
    if resource.addresses().any(|address| address == peer) {
        out.add(place, "fence-over-the-replication-link", &[&peer]);
    }
}

/// Who knows the replication's secret can write to the disk.
fn secret(sources: &Sources, resource: &ResourceConf, text: &str, out: &mut CheckFindings) {
    if resource.values("net", "shared-secret").is_empty() {
        return;
    }
    let root = sources.host.path(Path::new("/"));
    let defined = |line: &str| {
        Some(Path::new(line.strip_prefix("# defined at ")?.rsplit_once(':')?.0).to_path_buf())
    };
    for file in text.lines().filter_map(defined) {
        let file = Path::new("/").join(file.strip_prefix(&root).unwrap_or(&file));
        if sources.host.is_open_to_all(&file) {
            out.add(file.display(), "secret-readable", &[]);
        }
    }
}

/// The kernel module: what handlers run, if any.
fn module(sources: &Sources, out: &mut CheckFindings) {
    let place = "/sys/module/drbd/parameters/usermode_helper";
    match sources
        .host
        .read(Path::new(place))
        .as_deref()
        .map(str::trim)
    {
        Ok("disabled") => out.add(place, "unsafe-config/helper", &[]),
        Ok(helper) => program(&sources.host, &place, "the module's helper", helper, out),
        Err(_) => {}
    }
}

/// Who takes DRBD down at a shutdown. The services of drbd-utils do it in no order with the member; DRBD
/// itself does not, and the peer is lost when the network goes.
fn service(sources: &Sources, resource: &str, out: &mut CheckFindings) {
    let host = &sources.host;
    let enabled = |name: &str| host.has_link(&Path::new(ENABLED).join(name));
    let of_drbd = ["target", "service"].map(|kind| format!("drbd@{resource}.{kind}"));
    for name in of_drbd.iter().map(String::as_str).chain(["drbd.service"]) {
        if enabled(name) {
            out.add(ENABLED, "drbd-service", &[&name]);
        }
    }
    if host.metadata(Path::new("/etc/systemd/system")).is_ok() && !enabled(UNIT) {
        out.add(ENABLED, "drbd-stays-up", &[&UNIT]);
    }
}
