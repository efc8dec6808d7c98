//! Every file of a plan: templates, filled in. A line that begins with `?WORD+WORD:` is there where all words
//! hold, and `@name@` stands for a value.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use super::args::Grammar;
use super::inputs::{Plan, PlannedMachine, Shape};
use super::write::File;

/// The files of a machine. The first line of each says what has to hold for it, its mode, and its place there.
const TEMPLATES: &[&str] = &[
    include_str!("templates/etcd.res"),
    include_str!("templates/keepalived.conf"),
    include_str!("templates/restart.conf"),
    include_str!("templates/fence.key"),
    include_str!("templates/fence-other"),
    include_str!("templates/etcdN.env"),
    include_str!("templates/etcd3.env"),
    include_str!("templates/drbd.service"),
    include_str!("templates/resident.service"),
    include_str!("templates/roving.service"),
];

/// Every file of a plan.
pub fn files(plan: &Plan) -> Vec<File> {
    let [one, two] = &plan.machines;
    let mut files = of_a_host(plan, &one.name, Some((0, one, two)));
    files.extend(of_a_host(plan, &two.name, Some((1, two, one))));
    if let Shape::TieBreaker(name, _) = &plan.shape {
        files.extend(of_a_host(plan, name, None));
    }
    let width = files.iter().map(|file| file.path.len()).max().unwrap_or(0);
    let mut list = String::new();
    for file in &files {
        let (path, place, mode) = (&file.path, &file.place, file.mode);
        let _ = writeln!(list, "     {path:width$}  {place}  (mode {mode:o})");
    }
    let mut values = shared(plan);
    values.push(("files", list));
    let at_home = |path: &str, mode, text| File {
        path: path.into(),
        place: String::new(),
        mode,
        text,
    };
    let next = include_str!("templates/NEXT-STEPS.txt");
    let next = fill(next, &words(plan), &values);
    files.push(at_home("NEXT-STEPS.txt", 0o644, next));
    let secret = format!("{}\n", plan.secret.text());
    files.push(at_home("secret", 0o600, secret));
    files
}

/// Those of one host: of a machine with data, which has a number and another one beside it, or of the third one.
fn of_a_host(
    plan: &Plan,
    name: &str,
    machine: Option<(usize, &PlannedMachine, &PlannedMachine)>,
) -> Vec<File> {
    let mut words = words(plan);
    let mut values = shared(plan);
    values.push(("node", name.into()));
    match machine {
        Some((number, machine, other)) => {
            words.push("data");
            values.extend([
                ("other", other.name.clone()),
                ("own", format!("etcd{}", number + 1)),
                ("at", url_host(machine.lan)),
                ("lan", machine.lan.to_string()),
                ("other-lan", other.lan.to_string()),
                ("listen", at(machine.lan, 7790)),
                ("peer", at(other.lan, 7790)),
                ("interface", machine.interface.clone()),
                ("priority", (100 - 10 * number).to_string()),
            ]);
        }
        None => words.push("third"),
    }
    let file = |template: &&str| {
        let text = fill(template, &words, &values);
        let (head, text) = text.split_once('\n')?;
        let mut head = head.splitn(3, ' ');
        let (wanted, mode, place) = (head.next()?, head.next()?, head.next()?);
        let last = place.rsplit('/').next().unwrap_or_default();
        (wanted == "all" || words.contains(&wanted)).then(|| File {
            path: format!("{name}/{last}"),
            place: place.into(),
            mode: u32::from_str_radix(mode, 8).expect("a template's mode is a number"),
            text: text.into(),
        })
    };
    TEMPLATES.iter().filter_map(file).collect()
}

/// What holds for a plan.
fn words(plan: &Plan) -> Vec<&'static str> {
    let mut words = vec![match plan.grammar {
        Grammar::V84 => "8.4",
        Grammar::V9 => "9",
    }];
    words.extend(match plan.shape {
        Shape::Fenced(_) => ["handler", "command"],
        Shape::Unfenced => ["handler", "unfenced"],
        // DRBD would call the handler on top of the quorum, and a machine whose peer is dead would stay frozen
        // although it has the majority.
        Shape::TieBreaker(..) => ["quorum", "quorum"],
    });
    let more = [
        ("tls", plan.pki.is_some()),
        ("gateway", plan.gateway.is_some()),
        // VRRP 3, which IPv6 needs, knows no password.
        ("v4", plan.virtual_ip.0.is_ipv4()),
    ];
    words.extend(
        more.into_iter()
            .filter(|(_, holds)| *holds)
            .map(|(word, _)| word),
    );
    words
}

/// The values that are the same on every host.
fn shared(plan: &Plan) -> Vec<(&'static str, String)> {
    let [one, two] = &plan.machines;
    let (virtual_ip, prefix) = plan.virtual_ip;
    let scheme = if plan.pki.is_some() { "https" } else { "http" };
    let last = match virtual_ip {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    let cluster = [one.lan, two.lan, virtual_ip].into_iter().zip(1..);
    let cluster = cluster.map(|(address, n)| format!("etcd{n}={scheme}://{}", at(address, 2380)));
    let (command, third) = match &plan.shape {
        Shape::Fenced(command) => (command.clone(), None),
        Shape::Unfenced => (String::new(), None),
        Shape::TieBreaker(name, address) => (String::new(), Some((name, *address))),
    };
    let replicates = |address: IpAddr| match address {
        IpAddr::V4(_) => at(address, 7789),
        IpAddr::V6(_) => format!("ipv6 {}", at(address, 7789)),
    };
    let (c, witness) = third.map_or_else(Default::default, |(name, address)| {
        (name.clone(), replicates(address))
    });
    let secret = |purpose: &str, length| plan.secret.derived(purpose, length);
    vec![
        ("a", one.name.clone()),
        ("b", two.name.clone()),
        ("c", c),
        ("address-a", replicates(one.replication)),
        ("address-b", replicates(two.replication)),
        ("address-c", witness),
        ("lan-a", one.lan.to_string()),
        ("lan-b", two.lan.to_string()),
        ("disk-a", one.disk.clone()),
        ("disk-b", two.disk.clone()),
        ("virtual-ip", virtual_ip.to_string()),
        ("virtual", url_host(virtual_ip)),
        ("prefix", prefix.to_string()),
        (
            "router-id",
            (if last == 0 { 255 } else { last }).to_string(),
        ),
        (
            "loopback",
            if virtual_ip.is_ipv4() {
                "127.0.0.1"
            } else {
                "[::1]"
            }
            .into(),
        ),
        (
            "gateway",
            plan.gateway.map_or_else(String::new, |at| at.to_string()),
        ),
        ("scheme", scheme.into()),
        ("pki", plan.pki.clone().unwrap_or_default()),
        ("cluster", cluster.collect::<Vec<_>>().join(",")),
        ("command", command),
        (
            "token",
            format!("two-nodes-{}", secret("cluster token", 12)),
        ),
        ("replication-secret", secret("replication", 32)),
        ("fence-key", secret("fence key", 32)),
        ("vrrp-password", secret("vrrp password", 8)),
    ]
}

/// `address:port`.
fn at(address: IpAddr, port: u16) -> String {
    SocketAddr::new(address, port).to_string()
}

/// An address as a URL has it.
fn url_host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn fill(template: &str, words: &[&str], values: &[(&str, String)]) -> String {
    let mut text = String::new();
    for line in template.lines() {
        let line = match line.strip_prefix('?').and_then(|line| line.split_once(':')) {
            Some((wanted, line)) if wanted.split('+').all(|word| words.contains(&word)) => line,
            Some(_) => continue,
            None => line,
        };
        text += line;
        text += "\n";
    }
    for (name, value) in values {
        text = text.replace(&format!("@{name}@"), value);
    }
    text
}
