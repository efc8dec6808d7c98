//! What is dangerous in DRBD's configuration as `drbdadm dump` shows it, and in the module's parameters.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::programs::{key_file, password, program};
use super::{CheckFindings, Piece, Severity, Sources, flag, pieces};
use crate::fence::Key;
use crate::two_node::args::Grammar;

/// The unit that `two-node config` writes, and where systemd notes what is enabled.
const UNIT: &str = "etcd-rejoin-drbd.service";
const ENABLED: &str = "/etc/systemd/system/multi-user.target.wants";

/// Which option is well with which values.
const OPTIONS: &str = include_str!("options.txt");

/// One resource, with what it inherits.
struct Resource<'a> {
    pieces: &'a [Piece],
    name: &'a str,
}

impl<'a> Resource<'a> {
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
        let of = |common| {
            let named = self.said(common).filter(|piece| {
                let last = piece.within.last().and_then(|block| block.first());
                last.is_some_and(|block| block == section)
                    && piece.words.first().is_some_and(|word| word == name)
            });
            named
                .map(|piece| piece.words.get(1).map_or("yes", String::as_str))
                .collect::<Vec<_>>()
        };
        match of(false) {
            own if own.is_empty() => of(true),
            own => own,
        }
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
        Err(why) => return out.danger(place, "not-readable", why, "nothing of DRBD was checked"),
    };
    let Some(name) = sources.env("REJOIN_DRBD") else {
        return;
    };
    let resource = Resource {
        pieces: &pieces,
        name,
    };
    if resource.said(false).next().is_none() {
        let what = format!("REJOIN_DRBD={name} is no configured resource");
        return out.danger(place, "no-such-resource", what, "give both the same name");
    }
    for rule in OPTIONS.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = rule.splitn(6, ' ').collect();
        let [bad, section, name, good, finding, does] = words[..] else {
            unreachable!("six words");
        };
        let good: Vec<&str> = good.split(',').collect();
        let severity = if bad == "danger" {
            Severity::Danger
        } else {
            Severity::Warning
        };
        let values = resource.values(section, name);
        if let Some(value) = values.iter().find(|value| !good.contains(value)) {
            let cure = match good[0] {
                "-" => "remove it".into(),
                good => format!("set {section} {{ {name} {good}; }}"),
            };
            out.add(
                severity,
                &place,
                finding,
                format!("{name} {value} {does}"),
                cure,
            );
        }
    }
    let nine = grammar == Some(Grammar::V9);
    if nine && resource.values("options", "auto-promote").is_empty() {
        let what = "auto-promote is on by default: whoever opens or mounts the device promotes it, without any evidence";
        out.danger(
            &place,
            "auto-promote-on",
            what,
            "set options { auto-promote no; }",
        );
    }
    shape(sources, &resource, &place, out);
    secret(sources, &resource, text, out);
    module(sources, out);
    service(sources, name, out);
}

/// One of the two shapes in which nothing is lost; the entrypoint refuses the others.
fn shape(sources: &Sources, resource: &Resource, place: &str, out: &mut CheckFindings) {
    let mut fencing = resource.values("net", "fencing");
    fencing.extend(resource.values("disk", "fencing"));
    let freezes =
        !fencing.is_empty() && fencing.iter().all(|value| *value == "resource-and-stonith");
    // A number of votes is none: with `quorum 1` a machine that is alone has quorum.
    let quorum = (resource.values("options", "quorum").iter())
        .any(|value| ["majority", "all"].contains(value));
    let (hosts, disks) = (
        resource.hosts().len(),
        resource.hosts().iter().filter(|disk| **disk).count(),
    );
    let mut unsafe_config = |what: &str, cure: &str| out.danger(place, "unsafe-config", what, cure);
    let quorate = "with DRBD 9, `quorum majority` and a third machine with `disk none`";
    match (quorum, freezes) {
        (true, _) if hosts < 3 => unsafe_config(
            "of two machines a quorum needs both: the loss of either one stops the member",
            "add a third machine with `disk none`, or use fencing",
        ),
        (true, _) if resource.values("options", "on-no-quorum").is_empty() => out.warning(
            place,
            "frozen-without-quorum",
            "a Primary without quorum freezes by default: it can neither be unmounted nor demoted before the others are back",
            "set options { on-no-quorum io-error; }",
        ),
        (true, _) => {}
        (false, false) => unsafe_config(
            "a machine that was left behind says UpToDate, and is promoted without the newest writes",
            &format!("set `fencing resource-and-stonith` with our handler; or {quorate}"),
        ),
        (false, true) if disks > 2 => unsafe_config(
            "of more than two machines with data the handler settles one, and another one may have gone on",
            &format!("two machines with data; or {quorate}"),
        ),
        (false, true) => handler(sources, resource, place, out),
    }
}

/// The kernel's handler is ours, and asks whom the other rover is.
fn handler(sources: &Sources, resource: &Resource, place: &str, out: &mut CheckFindings) {
    let lines = resource.values("handlers", "fence-peer");
    let ours = |line: &&&str| {
        let mut words = line.split_whitespace();
        let program = words
            .next()
            .is_some_and(|program| program.ends_with("/etcd-rejoin"));
        program && words.next() == Some("fence-peer")
    };
    let Some(line) = lines.iter().find(ours) else {
        let what = "the fence-peer handler is not ours: it may say of a machine that it is settled without asking what this program has to know";
        let cure = "set handlers { fence-peer \"/usr/bin/etcd-rejoin fence-peer --peer HOST:PORT --key-file FILE\"; }";
        return out.danger(place, "unsafe-config", what, cure);
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
            let what = format!(
                "the secret in {theirs} is not the one in REJOIN_FENCE_KEY_FILE: the other machine counts as silent"
            );
            out.danger(place, "fence-key-differs", what, "give both the same file");
        }
    }
    let Some(listen) = sources.env("REJOIN_FENCE_LISTEN") else {
        let what = "REJOIN_FENCE_LISTEN is not set: the entrypoint here does not answer the other machine's handler, which then cannot tell us from a dead machine";
        return out.danger(
            &sources.env_from,
            "no-fence-peer",
            what,
            "set REJOIN_FENCE_LISTEN and REJOIN_FENCE_KEY_FILE",
        );
    };
    let ip = |address: &str| {
        address
            .parse::<SocketAddr>()
            .ok()
            .map(|address| address.ip())
    };
    let Some(peer) = flag(line, "--peer").and_then(ip) else {
        return;
    };
    if ip(listen) == Some(peer) || peer.is_loopback() {
        let what = format!("{peer} is this machine itself, which never answers itself");
        out.danger(
            place,
            "fence-peer-is-us",
            what,
            "let --peer name the other machine",
        );
    }
    if resource.addresses().any(|address| address == peer) {
        let what = format!(
            "the handler asks {peer}, an address that is replicated over: one cut cable is the loss of the peer and its silence, and a fence command turns a healthy machine off"
        );
        out.warning(
            place,
            "fence-over-the-replication-link",
            what,
            "let --peer name an address of another network",
        );
    }
}

/// Who knows the replication's secret can write to the disk.
fn secret(sources: &Sources, resource: &Resource, text: &str, out: &mut CheckFindings) {
    if resource.values("net", "shared-secret").is_empty() {
        return;
    }
    let files = text
        .lines()
        .filter_map(|line| line.strip_prefix("# defined at ")?.rsplit_once(':'));
    for (file, _) in files {
        let below = sources.host.path(Path::new("/"));
        let file = Path::new("/").join(
            Path::new(file)
                .strip_prefix(below)
                .unwrap_or(Path::new(file)),
        );
        if sources.host.is_open_to_all(&file) {
            let what =
                "it holds the replication's secret, and every user of this machine can read it";
            out.warning(
                file.display(),
                "secret-readable",
                what,
                format!("chmod 600 {}", file.display()),
            );
        }
    }
}

/// The kernel module: what handlers run, if any.
fn module(sources: &Sources, out: &mut CheckFindings) {
    let place = "/sys/module/drbd/parameters/usermode_helper";
    match sources.host.read(Path::new(place)).as_deref().map(str::trim) {
        Ok("disabled") => out.danger(
            place,
            "unsafe-config",
            "the module runs no handlers; DRBD 9 takes that for a fenced peer, and 8.4 promotes nobody after a loss",
            "load the module without usermode_helper=disabled",
        ),
        Ok(helper) => program(&sources.host, &place, "the module's helper", helper, out),
        Err(_) => {}
    }
}

/// Who takes DRBD down at a shutdown. The services of drbd-utils do it in no order with the member; DRBD
/// itself does not, and the peer is lost when the network goes.
fn service(sources: &Sources, resource: &str, out: &mut CheckFindings) {
    let host = &sources.host;
    let enabled = |name: &str| host.has_link(&Path::new(ENABLED).join(name));
    let theirs = [
        "drbd.service".into(),
        format!("drbd@{resource}.target"),
        format!("drbd@{resource}.service"),
    ];
    for name in theirs.iter().filter(|name| enabled(name)) {
        let what = format!(
            "{name} is enabled: at a shutdown it may take DRBD down before the other machine was promoted, which then cannot tell this one from a dead one"
        );
        let cure = format!("systemctl disable {name}: the member brings the resource up by itself");
        out.warning(ENABLED, "drbd-service", what, cure);
    }
    if host.metadata(Path::new("/etc/systemd/system")).is_ok() && !enabled(UNIT) {
        let what = format!(
            "{UNIT} is not enabled: at a shutdown DRBD stays up until the network is gone, and the other machine takes this one for dead, freezes, and turns it off where it can"
        );
        let cure = format!(
            "systemctl enable --now {UNIT}; or take DRBD down yourself, after the member has ended and before the network"
        );
        out.warning(ENABLED, "drbd-stays-up", what, cure);
    }
}
