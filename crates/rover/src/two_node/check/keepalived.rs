//! What is dangerous in keepalived's configuration. A script that it cannot run it only logs, and
//! becomes master with nothing behind it (measured with keepalived 2.2.7).

use std::path::Path;

use super::findings::CheckFindings;
use super::programs::{flag, is_one_path, program};
use crate::two_node::host::Host;
use crate::two_node::statements::{At, Statement};

/// keepalived's default priority.
const PRIORITY: u8 = 100;

/// What is called on each change.
const NOTIFY: [&str; 7] = [
    "notify",
    "notify_master",
    "notify_backup",
    "notify_fault",
    "notify_stop",
    "notify_deleted",
    "notify_master_rx_lower_pri",
];

/// One configuration.
pub struct Keepalived<'a> {
    file: &'a Path,
    globals: Vec<&'a Statement>,
    scripts: Vec<&'a Statement>,
    pub instances: Vec<&'a Statement>,
    groups: Vec<&'a Statement>,
}

impl<'a> Keepalived<'a> {
    pub fn new(statements: &'a [Statement], file: &'a Path) -> Self {
        let named = |name: &str| statements.iter().filter(|s| s.name() == name).collect();
        Keepalived {
            file,
            globals: named("global_defs"),
            scripts: named("vrrp_script"),
            instances: named("vrrp_instance"),
            groups: named("vrrp_sync_group"),
        }
    }

    fn global(&self, name: &'a str) -> Option<&'a Statement> {
        self.globals
            .iter()
            .rev()
            .find_map(|global| global.last(name))
    }

    /// The interfaces that it wants.
    pub fn interfaces(&self) -> Vec<&'a str> {
        let interfaces = self.instances.iter().filter_map(|i| i.last("interface"));
        interfaces.map(Statement::value).collect()
    }

    /// The FIFO that it writes into.
    pub fn fifo(&self) -> Option<&'a Statement> {
        self.global("vrrp_notify_fifo")
            .or(self.global("notify_fifo"))
    }

    /// What it calls on each change, and where that is said.
    pub fn notify(&self) -> Vec<&'a Statement> {
        let all = self.instances.iter().chain(&self.groups);
        all.flat_map(|one| one.block.iter().filter(|s| NOTIFY.contains(&s.name())))
            .collect()
    }

    /// The lines that run our probe.
    pub fn probes(&self) -> impl Iterator<Item = &'a Statement> {
        let lines = self.scripts.iter().filter_map(|s| s.last("script"));
        lines.filter(|line| line.value().contains("probe promotable"))
    }

    /// The gates that `etcd-rejoin notify` is told.
    pub fn gates(&self) -> Vec<(&'a str, &'a At)> {
        let notify = self.notify().into_iter();
        notify
            .filter_map(|s| Some((flag(s.value(), "--gate")?, &s.at)))
            .chain(self.fifo().map(|fifo| (fifo.value(), &fifo.at)))
            .collect()
    }

    /// Instances and groups whose `notify` writes this gate file, whatever they are called.
    pub fn tellers<'b>(&'b self, gate: &'b str) -> impl Iterator<Item = (&'a str, &'a At)> + 'b {
        let all = self.instances.iter().chain(&self.groups);
        let tells = move |line: &str| {
            flag(line, "--gate").is_some_and(|told| is_one_path(told, gate))
                && flag(line, "--instance").is_none()
        };
        all.filter_map(move |one| {
            let notify = one.last("notify").filter(|s| tells(s.value()))?;
            Some((one.value(), &notify.at))
        })
    }

    /// The names of all instances and groups.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        let all = self.instances.iter().chain(&self.groups);
        all.map(|one| one.value())
    }

    /// The seconds from a master's last word to the election of the other one.
    pub fn election(&self) -> f64 {
        let seconds = |instance: &&Statement| {
            let number = |name| instance.last(name)?.value().parse::<f64>().ok();
            let advert_int = number("advert_int").unwrap_or(1.0);
            let priority = number("priority").unwrap_or(f64::from(PRIORITY));
            3.0 * advert_int + (256.0 - priority) / 256.0 * advert_int
        };
        let all = self.instances.iter().map(seconds);
        all.fold(None, |least: Option<f64>, one| {
            Some(least.map_or(one, |l| l.min(one)))
        })
        .unwrap_or(3.6)
    }

    pub fn check(&self, host: &Host, out: &mut CheckFindings) {
        let file = self.file.display();
        if self.instances.is_empty() {
            let what = "no vrrp_instance is configured";
            let cure = "name the file with --keepalived-conf, or write one with two-node config";
            out.danger(&file, "no-instance", what, cure);
            return;
        }
        self.security(host, out);
        let notify = self.notify();
        if notify.is_empty() && self.fifo().is_none() {
            out.danger(
                &self.instances[0].at,
                "no-gate",
                "nothing tells the entrypoint what keepalived wishes: it becomes master with nothing behind it",
                "set notify \"/usr/bin/etcd-rejoin notify --gate PATH\", or vrrp_notify_fifo PATH",
            );
        }
        for statement in notify {
            program(
                host,
                &statement.at,
                "the notify script",
                statement.value(),
                out,
            );
            if statement.name() != "notify" && statement.value().contains("etcd-rejoin") {
                out.danger(
                    &statement.at,
                    "notify-of-one-state",
                    format!("{} does not say which state it means: etcd-rejoin notify needs the words that keepalived adds to notify alone", statement.name()),
                    "use notify, without a suffix",
                );
            }
        }
        for name in ["vrrp_notify_fifo_script", "notify_fifo_script"] {
            if let Some(script) = self.global(name) {
                let what = format!(
                    "{name} is ended before keepalived writes STOP: it never sees the last word"
                );
                let cure = "remove it: the entrypoint reads the FIFO itself";
                out.danger(&script.at, "fifo-script", what, cure);
            }
        }
        for script in &self.scripts {
            if let Some(line) = script.last("script") {
                program(host, &line.at, "the vrrp_script", line.value(), out);
            }
        }
        for instance in &self.instances {
            self.instance(instance, out);
        }
    }

    fn security(&self, host: &Host, out: &mut CheckFindings) {
        let file = self.file.display();
        if self.global("enable_script_security").is_none() {
            let what = "keepalived runs scripts as root even where others can exchange them";
            let cure = "set enable_script_security in global_defs";
            out.warning(&file, "no-script-security", what, cure);
        }
        match self.global("script_user") {
            Some(user) if user.value() != "root" => {
                let what = format!(
                    "scripts run as {}: that user can neither ask DRBD nor write the gate",
                    user.value()
                );
                out.danger(&user.at, "script-user", what, "set script_user root");
            }
            Some(_) => {}
            None => {
                let users = host.read(Path::new("/etc/passwd")).unwrap_or_default();
                let there = users
                    .lines()
                    .any(|line| line.starts_with("keepalived_script:"));
                let what = match there {
                    true => {
                        "scripts run as the user keepalived_script, who can neither ask DRBD nor write the gate"
                    }
                    false => {
                        "without script_user keepalived wants a user keepalived_script, whom this machine does not have"
                    }
                };
                out.danger(
                    &file,
                    "script-user",
                    what,
                    "set script_user root in global_defs",
                );
            }
        }
    }

    fn instance(&self, instance: &Statement, out: &mut CheckFindings) {
        let name = instance.value();
        let nopreempt = instance.last("nopreempt");
        let master = instance.last("state").filter(|s| s.value() == "MASTER");
        match (nopreempt, master) {
            (Some(_), Some(state)) => out.danger(
                &state.at,
                "nopreempt-with-master",
                format!("{name} has nopreempt and state MASTER: keepalived ignores nopreempt then"),
                "set state BACKUP on both machines",
            ),
            (None, Some(state)) => out.warning(
                &state.at,
                "state-master",
                format!("{name} claims the address at each start, before it has heard anybody"),
                "set state BACKUP and nopreempt on both machines",
            ),
            (None, None) => out.warning(
                &instance.at,
                "preempts",
                format!("{name} takes the member back when this machine returns: a failover that nobody needs"),
                "set nopreempt on both machines",
            ),
            (Some(_), None) => {}
        }
        self.probe(instance, out);
        match instance
            .last("virtual_ipaddress")
            .or(instance.last("virtual_ipaddress_excluded"))
        {
            Some(addresses) if !addresses.block.is_empty() => {}
            Some(_) | None => out.danger(
                &instance.at,
                "no-virtual-ip",
                format!("{name} carries no address: the roving member's URLs lead nowhere"),
                "set virtual_ipaddress { ADDRESS/PREFIX }",
            ),
        }
    }

    /// The probe keeps a machine that must not be promoted from bidding.
    fn probe(&self, instance: &Statement, out: &mut CheckFindings) {
        let tracked = instance.all("track_script").flat_map(|track| &track.block);
        let tracked: Vec<&Statement> = tracked
            .filter(|track| {
                let script = self
                    .scripts
                    .iter()
                    .find(|script| script.value() == track.name());
                let line = script.and_then(|script| script.last("script"));
                line.is_some_and(|line| line.value().contains("probe promotable"))
            })
            .collect();
        if tracked.is_empty() {
            out.warning(
                &instance.at,
                "no-probe",
                format!("{} bids for the address where the volume must not be promoted: master, and nothing served", instance.value()),
                "track a vrrp_script that runs etcd-rejoin probe promotable",
            );
        }
        for track in tracked {
            let script = self
                .scripts
                .iter()
                .find(|script| script.value() == track.name());
            let own = script.and_then(|script| script.last("weight"));
            let weight = track.words.iter().position(|word| word == "weight");
            let (weight, at) = match (weight, own) {
                (Some(n), _) => (track.words.get(n + 1).map_or("", String::as_str), &track.at),
                (None, Some(own)) => (own.value(), &own.at),
                (None, None) => continue,
            };
            if weight != "0" {
                out.warning(
                    at,
                    "probe-with-weight",
                    format!("a weight of {weight} only changes the priority: a machine that must not be promoted still bids"),
                    "remove the weight: without one the machine is in FAULT",
                );
            }
        }
    }

    /// What does not fit the other machine's configuration.
    pub fn beside(&self, other: &Keepalived, out: &mut CheckFindings) {
        for ours in &self.instances {
            let name = ours.value();
            let Some(theirs) = other.instances.iter().find(|i| i.value() == name) else {
                let what = format!("{name} is not in {}", other.file.display());
                let cure = "give the instance one name on both machines";
                out.warning(&ours.at, "only-here", what, cure);
                continue;
            };
            let value = |instance: &Statement, name: &str| -> Option<String> {
                Some(instance.last(name)?.value().to_string())
            };
            let password = |instance: &Statement| {
                let authentication = instance.last("authentication")?;
                let password = authentication.last("auth_pass")?.value();
                Some(password.chars().take(8).collect::<String>())
            };
            let mut differ = Vec::new();
            for (key, default) in [
                ("virtual_router_id", ""),
                ("advert_int", "1"),
                ("version", ""),
            ] {
                let [one, two] = [ours, theirs].map(|i| value(i, key).unwrap_or(default.into()));
                if one != two {
                    differ.push(format!("{key} ({one:?} and {two:?})"));
                }
            }
            if password(ours) != password(theirs) {
                differ.push("auth_pass".into());
            }
            let cast = |i: &Statement| i.last("unicast_peer").is_some();
            if cast(ours) != cast(theirs) {
                differ.push("unicast_peer (one of them only)".into());
            }
            if !differ.is_empty() {
                let what = format!(
                    "{name} differs between the machines in {}: they do not hear each other, and both become master",
                    differ.join(", ")
                );
                out.danger(&ours.at, "machines-differ", what, "give both the same");
            }
            let priority = |i: &Statement| {
                value(i, "priority")
                    .and_then(|p| p.parse::<u8>().ok())
                    .unwrap_or(PRIORITY)
            };
            let nopreempt = |i: &Statement| i.last("nopreempt").is_some();
            if priority(ours) == priority(theirs) && !(nopreempt(ours) && nopreempt(theirs)) {
                let at = ours.last("priority").map_or(&ours.at, |s| &s.at);
                let what = format!(
                    "{name} has priority {} on both machines, and not nopreempt on both: the higher address takes the member over each time",
                    priority(ours)
                );
                out.warning(
                    at,
                    "equal-priorities",
                    what,
                    "set nopreempt on both, or two priorities",
                );
            }
        }
    }
}
