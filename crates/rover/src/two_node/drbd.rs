//! The DRBD resource file, in the grammar of 8.4 or of 9.
//!
//! The times are below VRRP's: a lost peer is noticed after `ping-int` and `ping-timeout`, 3 s, and
//! keepalived elects after `3 * advert_int` and a bit. `timeout` has to be below `ping-int` and
//! `connect-int` (drbd.conf(5)).

use std::fmt::Write;
use std::net::IpAddr;

use super::plan::{ETC, Grammar, Plan};

/// The resource file of machine `this`, or of the tie-breaker.
pub fn resource(plan: &Plan, this: Option<usize>) -> String {
    let Plan { resource, .. } = plan;
    let host = match (this, &plan.tie_breaker) {
        (Some(this), _) => &plan.machines[this].name,
        (None, Some(third)) => &third.name,
        (None, None) => "nobody",
    };
    let mut text = format!(
        "# /etc/drbd.d/{resource}.res on {host}: written by etcd-rejoin two-node config.\n\
         # The same on every machine, but for the address in the handler.\n\
         resource {resource} {{\n"
    );
    let fencing = match (plan.fences(), plan.grammar) {
        (true, Grammar::V84) => ("        fencing resource-and-stonith;\n", ""),
        (true, Grammar::V9) => ("", "        fencing resource-and-stonith;\n"),
        (false, Grammar::V84 | Grammar::V9) => ("", ""),
    };
    if plan.grammar == Grammar::V9 {
        text += options(plan.tie_breaker.is_some());
    }
    let _ = write!(
        text,
        "    net {{\n\
         \x20       # A write is acknowledged when both disks have it.\n\
         \x20       protocol C;\n\
         \x20       # A lost peer is noticed after 3 s: before keepalived elects.\n\
         \x20       ping-int 2;\n\
         \x20       ping-timeout 10;\n\
         \x20       timeout 15;\n\
         \x20       connect-int 3;\n\
         \x20       # Which side's writes are thrown away is for a person to say.\n\
         \x20       after-sb-0pri disconnect;\n\
         \x20       after-sb-1pri disconnect;\n\
         \x20       after-sb-2pri disconnect;\n\
         {}    }}\n\
         \x20   disk {{\n\
         \x20       on-io-error detach;\n\
         \x20       # A machine that came back cannot take over before it is in sync; by default DRBD begins\n\
         \x20       # with 250 KiB/s, and stays there beside writes.\n\
         \x20       resync-rate 100M;\n\
         {}    }}\n",
        freezes(fencing.1),
        freezes(fencing.0),
    );
    if let (true, Some(this)) = (plan.fences(), this) {
        let _ = write!(
            text,
            "    handlers {{\n\
             \x20       # The kernel runs it on the machine itself, never in a container.\n\
             \x20       fence-peer \"{}\";\n\
             \x20   }}\n",
            handler(plan, this)
        );
    }
    for (id, machine) in plan.machines.iter().enumerate() {
        text += &on(
            plan,
            id,
            &machine.name,
            machine.replication,
            Some(&machine.disk),
        );
    }
    if let Some(third) = &plan.tie_breaker {
        text += &on(plan, 2, &third.name, third.address, None);
        let [one, two] = &plan.machines;
        let _ = write!(
            text,
            "    connection-mesh {{\n        hosts {} {} {};\n    }}\n",
            one.name, two.name, third.name
        );
    }
    text + "}\n"
}

/// `fencing`, with its reason.
fn freezes(line: &str) -> String {
    match line {
        "" => String::new(),
        line => format!(
            "        # A Primary that loses its peer acknowledges nothing until the handler has answered.\n{line}"
        ),
    }
}

/// Options that only DRBD 9 has.
fn options(quorum: bool) -> &'static str {
    match quorum {
        true => {
            "    options {\n\
             \x20       # A mount never promotes.\n\
             \x20       auto-promote no;\n\
             \x20       # Two of three machines decide, and nobody writes without them.\n\
             \x20       quorum majority;\n\
             \x20       on-no-quorum io-error;\n\
             \x20       on-no-data-accessible io-error;\n\
             \x20       on-suspended-primary-outdated force-secondary;\n\
             \x20   }\n"
        }
        false => {
            "    options {\n\
             \x20       # A mount never promotes.\n\
             \x20       auto-promote no;\n\
             \x20       on-no-data-accessible io-error;\n\
             \x20       # A frozen Primary that learns that the other side went on gives up.\n\
             \x20       on-suspended-primary-outdated force-secondary;\n\
             \x20   }\n"
        }
    }
}

/// The kernel's question about a lost peer: asked over the network that the replication does not use.
fn handler(plan: &Plan, this: usize) -> String {
    let peer = plan.at(plan.machines[1 - this].lan, plan.ports.fence);
    let mut line = format!(
        "{} fence-peer --peer {peer} --key-file {ETC}/fence.key",
        plan.program
    );
    if let Some(command) = &plan.fence_command {
        let _ = write!(line, " --fence-command {command}");
    }
    let _ = write!(line, " --timeout {}", plan.fence_timeout());
    line
}

/// One machine.
fn on(plan: &Plan, id: usize, name: &str, address: IpAddr, disk: Option<&str>) -> String {
    let family = match address {
        IpAddr::V4(_) => "",
        IpAddr::V6(_) => "ipv6 ",
    };
    let mut text = format!("    on {name} {{\n");
    if plan.grammar == Grammar::V9 {
        let _ = writeln!(text, "        node-id {id};");
    }
    let _ = write!(
        text,
        "        address {family}{};\n        device /dev/drbd{minor} minor {minor};\n",
        plan.at(address, plan.ports.drbd),
        minor = plan.minor
    );
    match disk {
        Some(disk) => {
            let _ = write!(text, "        disk {disk};\n        meta-disk internal;\n");
        }
        None => text += "        disk none;\n",
    }
    text + "    }\n"
}
