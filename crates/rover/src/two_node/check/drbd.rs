//! What is dangerous in DRBD's configuration, and in the module's parameters.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::findings::{CheckFindings, Sources};
use super::programs::{flag, key_file, program};
use crate::two_node::host::Host;
use crate::two_node::plan::Grammar;
use crate::two_node::statements::{At, Statement};
use crate::two_node::unit::{FOLDER, NAME};

/// DRBD's own default of `ping-int`, in seconds, and of `ping-timeout`, in tenths of one.
const DEFAULT_PING: (f64, f64) = (10.0, 5.0);

/// One option as it holds for a resource.
pub struct Setting<'a> {
    section: &'a str,
    name: &'a str,
    value: &'a str,
    at: &'a At,
}

/// One resource with what it inherits.
pub struct ResourceConf<'a> {
    pub name: &'a str,
    pub at: &'a At,
    settings: Vec<Setting<'a>>,
    hosts: Vec<&'a Statement>,
}

impl ResourceConf<'_> {
    /// The option that wins: the resource's own comes after the common one.
    pub fn get(&self, section: &str, name: &str) -> Option<&Setting<'_>> {
        let mut all = self.settings.iter().rev();
        all.find(|s| s.section == section && s.name == name)
    }

    fn value(&self, section: &str, name: &str) -> Option<&str> {
        self.get(section, name).map(|setting| setting.value)
    }

    /// The option, with a value that the resource should not have.
    fn is_not(&self, section: &str, name: &str, good: &[&str]) -> Option<&Setting<'_>> {
        let setting = self.get(section, name)?;
        (!good.contains(&setting.value)).then_some(setting)
    }

    fn number(&self, section: &str, name: &str) -> Option<f64> {
        self.value(section, name)?.parse().ok()
    }

    /// `fencing`: in `disk` on 8.4, in `net` on 9.
    pub fn fencing(&self) -> &str {
        let value = self.value("net", "fencing");
        (value.or_else(|| self.value("disk", "fencing"))).unwrap_or("dont-care")
    }

    /// As the member takes it: a number is none, whatever it is.
    pub fn quorum(&self) -> bool {
        ["majority", "all"].contains(&self.value("options", "quorum").unwrap_or("off"))
    }

    /// The kernel's handler.
    pub fn handler(&self) -> Option<(&str, &At)> {
        let setting = self.get("handlers", "fence-peer")?;
        Some((setting.value, setting.at))
    }

    /// Where the machines replicate, as far as addresses are given, and where that is said.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, &At)> {
        let hosts = self.hosts.iter();
        let lines = hosts.flat_map(|host| host.all("address"));
        lines.filter_map(|line| {
            let words = line.words.iter().map(String::as_str);
            let address = words.filter_map(|word| word.parse::<SocketAddr>().ok());
            Some((address.map(|address| address.ip()).next()?, &line.at))
        })
    }

    /// The seconds after which a silent peer counts as lost, and where that is set.
    pub fn noticed_after(&self) -> (f64, &At) {
        let seconds = self.number("net", "ping-int").unwrap_or(DEFAULT_PING.0)
            + self.number("net", "ping-timeout").unwrap_or(DEFAULT_PING.1) / 10.0;
        let at = self.get("net", "ping-int").map_or(self.at, |s| s.at);
        (seconds, at)
    }
}

/// The configuration, and the module's parameters.
pub struct DrbdConf<'a> {
    host: &'a Host,
    pub resources: Vec<ResourceConf<'a>>,
    pub grammar: Option<Grammar>,
    wanted: Option<&'a str>,
}

impl<'a> DrbdConf<'a> {
    pub fn new(host: &'a Host, sources: &'a Sources, statements: &'a [Statement]) -> Self {
        let wanted = sources.env.get("REJOIN_DRBD").map(String::as_str);
        let common: Vec<&Statement> = named(statements, "common").collect();
        let mut resources: Vec<ResourceConf> = named(statements, "resource")
            .filter(|statement| statement.value() != "template")
            .map(|statement| resource(statement, &common))
            .collect();
        let grammar = (sources.grammar)
            .or_else(|| module_version(host))
            .or_else(|| guessed(&resources));
        // Where one is ours, the others are not our business.
        if let Some(wanted) = wanted
            && resources.iter().any(|r| r.name == wanted)
        {
            resources.retain(|resource| resource.name == wanted);
        }
        DrbdConf {
            host,
            resources,
            grammar,
            wanted,
        }
    }

    pub fn check(&self, out: &mut CheckFindings) {
        if let Some(wanted) = self.wanted
            && !self
                .resources
                .iter()
                .any(|resource| resource.name == wanted)
        {
            let names: Vec<&str> = self.resources.iter().map(|r| r.name).collect();
            let known = match names.is_empty() {
                true => "none".into(),
                false => names.join(", "),
            };
            out.danger(
                "REJOIN_DRBD",
                "no-such-resource",
                format!("REJOIN_DRBD={wanted} is no configured resource; configured: {known}"),
                "give both the same name",
            );
        } else if self.resources.is_empty() {
            let what = "no resource is configured";
            let cure = "name the file with --drbd-conf, or write one with two-node config";
            out.danger("drbd.conf", "no-such-resource", what, cure);
        }
        for resource in &self.resources {
            self.evidence(resource, out);
            self.data(resource, out);
            times(resource, out);
        }
        self.module(out);
        self.service(out);
    }

    /// What lets one machine know about the other.
    fn evidence(&self, resource: &ResourceConf, out: &mut CheckFindings) {
        let (fencing, quorum) = (resource.fencing(), resource.quorum());
        let setting = resource
            .get("net", "fencing")
            .or(resource.get("disk", "fencing"));
        let at = setting.map_or(resource.at, |s| s.at);
        match (fencing, quorum) {
            ("dont-care", false) => out.danger(
                at,
                "no-fencing-no-quorum",
                format!(
                    "resource {} has neither fencing nor quorum: a machine that was left behind says UpToDate, and is promoted without the newest writes",
                    resource.name
                ),
                "set fencing resource-and-stonith with a fence-peer handler, or with DRBD 9 a third machine and quorum majority",
            ),
            ("resource-only", false) => out.danger(
                at,
                "fencing-does-not-freeze",
                "with fencing resource-only a Primary acknowledges writes between the loss of its peer and the handler's answer: a peer that is fenced proves nothing about them, and this program does not promote on it",
                "set fencing resource-and-stonith",
            ),
            ("resource-and-stonith", false) | (_, true) => {}
            (other, false) => out.danger(
                at,
                "no-fencing-no-quorum",
                format!("fencing {other} is none that DRBD has"),
                "set fencing resource-and-stonith",
            ),
        }
        let freezes = ["resource-only", "resource-and-stonith"].contains(&fencing);
        match resource.handler() {
            None if freezes => out.danger(
                at,
                "no-fence-handler",
                format!("fencing {fencing} has no fence-peer handler: after the loss of a peer nobody is promoted, and a Primary stays frozen"),
                "set handlers { fence-peer \"/usr/bin/etcd-rejoin fence-peer --peer HOST:PORT --key-file FILE\"; }",
            ),
            Some((line, at)) if freezes => {
                program(self.host, at, "the fence-peer handler", line, out);
                if let Some(key) = flag(line, "--key-file") {
                    key_file(self.host, at, key, out);
                }
            }
            Some(_) | None => {}
        }
        if let Some(s) = resource.is_not("options", "quorum", &["off", "majority", "all"]) {
            let what = format!(
                "with quorum {} that many machines have quorum, however many may write elsewhere: the member does not count it",
                s.value
            );
            out.danger(s.at, "quorum-by-number", what, "set quorum majority");
        }
        if let (true, Some(setting)) = (quorum, resource.get("options", "quorum"))
            && resource.hosts.len() < 3
        {
            out.warning(
                setting.at,
                "quorum-of-two",
                "with two machines, quorum needs both: the loss of either one stops the member",
                "add a third machine with disk none, or use fencing",
            );
        }
        // By default it freezes: `DRBD_ON_NO_QUORUM_DEF` in DRBD 9's drbd_limits.h.
        if quorum && resource.value("options", "on-no-quorum") != Some("io-error") {
            let at = (resource.get("options", "on-no-quorum"))
                .or(resource.get("options", "quorum"))
                .map_or(resource.at, |s| s.at);
            out.warning(
                at,
                "frozen-without-quorum",
                "a Primary that loses its quorum freezes: it can neither be unmounted nor demoted before the others are back, and the member stays away from both machines if it was the link that failed",
                "set options { on-no-quorum io-error; }",
            );
        }
        if self.grammar == Some(Grammar::V9)
            && !["no", "false"]
                .contains(&resource.value("options", "auto-promote").unwrap_or("yes"))
        {
            let at = resource
                .get("options", "auto-promote")
                .map_or(resource.at, |s| s.at);
            out.danger(
                at,
                "auto-promote-on",
                format!("auto-promote is on for {}: whoever opens or mounts the device promotes it, without any evidence", resource.name),
                "set options { auto-promote no; }",
            );
        }
    }

    /// What throws writes away.
    fn data(&self, resource: &ResourceConf, out: &mut CheckFindings) {
        if let Some(s) = resource.is_not("net", "protocol", &["C"]) {
            let what = format!(
                "protocol {} acknowledges a write before the peer's disk has it",
                s.value
            );
            out.danger(s.at, "protocol-not-c", what, "set net { protocol C; }");
        }
        for name in ["after-sb-0pri", "after-sb-1pri", "after-sb-2pri"] {
            if let Some(s) = resource.is_not("net", name, &["disconnect"]) {
                let what = format!(
                    "{name} {} throws one side's writes away after a split brain",
                    s.value
                );
                let cure = format!("set {name} disconnect: a person says which side's");
                out.danger(s.at, "split-brain-solved-by-itself", what, cure);
            }
        }
        if let Some(s) = resource.is_not("net", "rr-conflict", &["disconnect", "retry-connect"]) {
            let what = format!("rr-conflict {} overwrites the disk of a Primary", s.value);
            out.danger(s.at, "primary-overwritten", what, "remove it");
        }
        if let Some(s) = resource.is_not("net", "allow-two-primaries", &["no"]) {
            let what = "allow-two-primaries lets both machines write: no file system of this kind survives it";
            out.danger(s.at, "two-primaries", what, "remove it");
        }
        if let Some(s) = resource.get("startup", "become-primary-on") {
            let what = format!(
                "become-primary-on {} promotes at boot, without any evidence",
                s.value
            );
            out.danger(s.at, "promoted-at-boot", what, "remove it");
        }
        for name in ["disk-flushes", "md-flushes"] {
            if let Some(s) = resource.is_not("disk", name, &["yes"]) {
                let what = format!(
                    "{name} {}: a write that etcd synced may still be in the disk's cache when the power fails",
                    s.value
                );
                let cure = "remove it, unless the cache has a battery";
                out.warning(s.at, "no-flushes", what, cure);
            }
        }
        if let Some(s) = resource.is_not("disk", "on-io-error", &["detach"]) {
            let what = format!("on-io-error {} goes on with a broken disk", s.value);
            out.warning(
                s.at,
                "on-io-error",
                what,
                "set disk { on-io-error detach; }",
            );
        }
    }

    /// Who takes DRBD down at a shutdown. The services of drbd-utils (`scripts/drbd`, `drbd@.service`) do it in
    /// no order with the member; DRBD itself does not, and the peer is lost when the network goes.
    fn service(&self, out: &mut CheckFindings) {
        let wants = Path::new("/etc/systemd/system/multi-user.target.wants");
        let enabled = |name: &str| self.host.has_link(&wants.join(name));
        let of_resources = self.resources.iter().flat_map(|resource| {
            ["target", "service"].map(|kind| format!("drbd@{}.{kind}", resource.name))
        });
        for name in std::iter::once("drbd.service".into()).chain(of_resources) {
            if enabled(&name) {
                let what = format!(
                    "{name} is enabled: at a shutdown it may take DRBD down before the other machine was \
                     promoted, which then cannot tell this one from a dead one"
                );
                let cure = format!(
                    "systemctl disable {name}: the member brings the resource up by itself"
                );
                out.warning(wants.join(&name).display(), "drbd-service", what, cure);
            }
        }
        let systemd = self.host.metadata(Path::new(FOLDER)).is_ok();
        if systemd && !self.resources.is_empty() && !enabled(NAME) {
            let what = format!(
                "{NAME} is not enabled: at a shutdown DRBD stays up until the network is gone, and the other \
                 machine takes this one for dead, freezes, and turns it off where it can"
            );
            let cure = format!(
                "install what two-node config writes, and systemctl enable --now {NAME}; or take DRBD down \
                 yourself, after the member has ended and before the network"
            );
            out.warning(wants.join(NAME).display(), "drbd-stays-up", what, cure);
        }
    }

    /// The kernel module: what handlers run, if any.
    fn module(&self, out: &mut CheckFindings) {
        let place = "/sys/module/drbd/parameters/usermode_helper";
        let Ok(helper) = self.host.read(Path::new(place)) else {
            return;
        };
        let helper = helper.trim();
        if helper == "disabled" {
            let (what, cure) = match self.grammar {
                Some(Grammar::V9) => (
                    "the module runs no handlers, and DRBD 9 takes that for a fenced peer",
                    "load the module without usermode_helper=disabled",
                ),
                Some(Grammar::V84) | None => (
                    "the module runs no handlers: after the loss of a peer nobody is promoted",
                    "load the module without usermode_helper=disabled",
                ),
            };
            out.danger(place, "handlers-disabled", what, cure);
        } else {
            program(self.host, &place, "the module's helper", helper, out);
        }
    }
}

/// Times that do not fit each other.
fn times(resource: &ResourceConf, out: &mut CheckFindings) {
    let timeout = resource.number("net", "timeout").unwrap_or(60.0) / 10.0;
    let Some(setting) = resource
        .get("net", "timeout")
        .or(resource.get("net", "ping-int"))
    else {
        return;
    };
    for (name, default) in [("ping-int", DEFAULT_PING.0), ("connect-int", 10.0)] {
        let other = resource.number("net", name).unwrap_or(default);
        if timeout >= other {
            let what = format!(
                "timeout is {timeout} s, {name} is {other} s: DRBD wants the first below the second"
            );
            let cure = format!("set timeout (in tenths of a second) below {name}");
            out.warning(setting.at, "timeout-too-long", what, cure);
        }
    }
}

fn named<'a>(all: &'a [Statement], name: &'a str) -> impl Iterator<Item = &'a Statement> {
    all.iter().filter(move |statement| statement.name() == name)
}

/// A resource's options: the common ones first, then its own, those of its parts last.
fn resource<'a>(statement: &'a Statement, common: &[&'a Statement]) -> ResourceConf<'a> {
    let mut settings = Vec::new();
    for whole in common {
        collect(whole, &mut settings);
    }
    collect(statement, &mut settings);
    ResourceConf {
        name: statement.value(),
        at: &statement.at,
        settings,
        hosts: statement.all("on").collect(),
    }
}

fn collect<'a>(statement: &'a Statement, settings: &mut Vec<Setting<'a>>) {
    const SECTIONS: [&str; 6] = ["net", "disk", "options", "handlers", "startup", "syncer"];
    for section in &statement.block {
        if SECTIONS.contains(&section.name()) && !section.block.is_empty() {
            settings.extend(section.block.iter().map(|option| Setting {
                section: section.name(),
                name: option.name(),
                // A word without a value is a switch that is on.
                value: match option.value() {
                    "" => "yes",
                    value => value,
                },
                at: &option.at,
            }));
        } else if section.name() == "protocol" {
            // 8.3's place, still taken.
            settings.push(Setting {
                section: "net",
                name: "protocol",
                value: section.value(),
                at: &section.at,
            });
        }
    }
    for part in &statement.block {
        if ["connection", "connection-mesh", "on", "volume"].contains(&part.name()) {
            collect(part, settings);
        }
    }
}

/// The loaded module's version.
fn module_version(host: &Host) -> Option<Grammar> {
    let version = host.read(Path::new("/sys/module/drbd/version")).ok()?;
    match version.trim().split('.').next()? {
        "8" => Some(Grammar::V84),
        "9" => Some(Grammar::V9),
        _ => None,
    }
}

/// What the words say: each grammar has some that the other refuses.
fn guessed(resources: &[ResourceConf]) -> Option<Grammar> {
    let any = |test: &dyn Fn(&ResourceConf) -> bool| resources.iter().any(test);
    let ids = |r: &ResourceConf| r.hosts.iter().any(|host| host.last("node-id").is_some());
    let nine = |r: &ResourceConf| {
        ids(r)
            || r.get("net", "fencing").is_some()
            || r.get("options", "auto-promote").is_some()
            || r.get("options", "quorum").is_some()
    };
    if any(&nine) {
        Some(Grammar::V9)
    } else if any(&|r| r.get("disk", "fencing").is_some()) {
        Some(Grammar::V84)
    } else {
        None
    }
}
