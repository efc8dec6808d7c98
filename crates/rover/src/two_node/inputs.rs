//! What the flags of `two-node config` mean: every mistake is reported at once, by its flag and value.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::args::{Grammar, TwoNodeArgs};
use super::secrets::Secret;

/// A value longer than this is cut where it is shown.
const SHOWN: usize = 80;

/// What a machine is told by.
const KEYS: [&str; 5] = ["name", "lan", "replication", "disk", "interface"];

/// One of the two machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedMachine {
    /// Its host name.
    pub name: String,
    /// Its address on the network of the virtual IP.
    pub lan: IpAddr,
    /// Its address on the replication network.
    pub replication: IpAddr,
    /// The device below DRBD.
    pub disk: String,
    /// The interface of the virtual IP.
    pub interface: String,
}

/// What decides about a lost machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A program turns it off: its path.
    Fenced(String),
    /// Nothing does: a Primary goes on, and a lost Primary waits for a person.
    Unfenced,
    /// A third machine without data, by its name and address.
    TieBreaker(String, IpAddr),
}

/// Everything, checked.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The two machines.
    pub machines: [PlannedMachine; 2],
    /// The address that follows the roving member, and its network's prefix.
    pub virtual_ip: (IpAddr, u8),
    /// What is pinged to know that the LAN is well.
    pub gateway: Option<IpAddr>,
    /// The grammar of the resource file.
    pub grammar: Grammar,
    /// What decides about a lost machine.
    pub shape: Shape,
    /// The folder of the TLS files, if wanted.
    pub pki: Option<String>,
    /// What all other secrets come from.
    pub secret: Secret,
}

/// Collects mistakes instead of stopping at the first.
#[derive(Default)]
struct FlagCheck {
    mistakes: Vec<String>,
}

impl FlagCheck {
    fn mistake(&mut self, flag: &str, value: &str, why: &str) {
        let value: String = value.chars().take(SHOWN).collect();
        self.mistakes
            .push(format!("{flag}={} {why}", value.escape_debug()));
    }

    /// What was read of a flag's value, or nothing and one mistake more.
    fn read<T>(&mut self, flag: &str, value: &str, read: Result<T, String>) -> Option<T> {
        read.map_err(|why| self.mistake(flag, value, &why)).ok()
    }

    fn shape(&mut self, args: &TwoNodeArgs) -> Option<Shape> {
        match (&args.fence_command, &args.tie_breaker, args.without_fencing) {
            (Some(command), None, false) => {
                let read = path(command).map(|()| Shape::Fenced(command.clone()));
                self.read("--fence-command", command, read)
            }
            (None, Some(third), false) => {
                let read = tie_breaker(third, args.drbd);
                self.read("--tie-breaker", third, read)
            }
            (None, None, true) => Some(Shape::Unfenced),
            (_, _, _) => {
                self.mistakes.push(
                    "what decides about a lost machine? Give one of: --fence-command=PROGRAM (either machine may die), \
                     --tie-breaker=HOST=ADDRESS (any one of three, DRBD 9), --without-fencing (if the machine that \
                     runs the roving member dies, the other one waits for a person)"
                        .into(),
                );
                None
            }
        }
    }

    /// What fits only alone.
    fn together(&mut self, plan: &Plan) {
        let [one, two] = &plan.machines;
        let (virtual_ip, prefix) = plan.virtual_ip;
        let (third, witness) = match &plan.shape {
            Shape::TieBreaker(name, address) => (Some(name), Some(*address)),
            Shape::Fenced(_) | Shape::Unfenced => (None, None),
        };
        let names = [Some(&one.name), Some(&two.name), third];
        for name in twice(names.into_iter().flatten()) {
            self.mistake("--machine name", name, "is given to two machines");
        }
        let addresses = [
            one.lan,
            two.lan,
            virtual_ip,
            one.replication,
            two.replication,
        ];
        for address in twice(addresses.into_iter().chain(witness)) {
            self.mistake(
                "--machine",
                &address.to_string(),
                "is an address of two things",
            );
        }
        let network = format!("--virtual-ip={virtual_ip}/{prefix}");
        for machine in &plan.machines {
            if !same_network(machine.lan, virtual_ip, prefix) {
                let why = format!("is not in the network of {network}");
                self.mistake("--machine lan", &machine.lan.to_string(), &why);
            }
            if same_network(machine.replication, virtual_ip, prefix) {
                let why = format!(
                    "is in the network of {network}: the replication needs another one, or one cut cable looks like a dead machine"
                );
                self.mistake(
                    "--machine replication",
                    &machine.replication.to_string(),
                    &why,
                );
            }
        }
        if one.replication.is_ipv4() != two.replication.is_ipv4() {
            let why = "is of another family than the other machine's";
            self.mistake("--machine replication", &two.replication.to_string(), why);
        }
    }
}

/// Reads the flags; the errors are all mistakes there are.
pub fn plan(args: &TwoNodeArgs) -> Result<Plan, Vec<String>> {
    let mut check = FlagCheck::default();
    if args.machines.len() != 2 {
        check.mistakes.push(format!(
            "--machine is given {} times: give it twice, once for each machine",
            args.machines.len()
        ));
    }
    let mut machines = Vec::new();
    for value in args.machines.iter().take(2) {
        let read = machine(value, args.interface.as_deref());
        machines.extend(check.read("--machine", value, read));
    }
    let virtual_ip = check.read(
        "--virtual-ip",
        &args.virtual_ip,
        virtual_ip(&args.virtual_ip),
    );
    let gateway =
        (args.gateway.as_deref()).and_then(|value| check.read("--gateway", value, address(value)));
    let shape = check.shape(args);
    if let Some(pki) = &args.pki {
        check.read("--pki", pki, path(pki));
    }
    let secret = match &args.secret_file {
        Some(file) => check.read(
            "--secret-file",
            &file.display().to_string(),
            Secret::from_file(file),
        ),
        None => Secret::random()
            .map_err(|error| check.mistakes.push(error.to_string()))
            .ok(),
    };
    let machines = <[PlannedMachine; 2]>::try_from(machines).ok();
    if let (Some(machines), Some(virtual_ip), Some(grammar), Some(shape), Some(secret)) =
        (machines, virtual_ip, args.drbd, shape, secret)
    {
        let pki = args.pki.clone();
        let plan = Plan {
            machines,
            virtual_ip,
            gateway,
            grammar,
            shape,
            pki,
            secret,
        };
        check.together(&plan);
        if check.mistakes.is_empty() {
            return Ok(plan);
        }
    }
    Err(check.mistakes)
}

/// `name=HOST,lan=ADDRESS,...`
fn machine(value: &str, interface: Option<&str>) -> Result<PlannedMachine, String> {
    let mut parts = BTreeMap::new();
    for part in value.split(',') {
        let (key, what) =
            (part.split_once('=')).ok_or_else(|| format!("has {part:?}, which is no KEY=VALUE"))?;
        if !KEYS.contains(&key) {
            let known = KEYS.join(", ");
            return Err(format!("has the key {key:?}: there are {known}"));
        }
        if parts.insert(key, what).is_some() {
            return Err(format!("has {key} twice"));
        }
    }
    if let Some(interface) = interface {
        parts.entry("interface").or_insert(interface);
    }
    let lacks = KEYS.into_iter().filter(|key| !parts.contains_key(key));
    let lacks: Vec<&str> = lacks.collect();
    if !lacks.is_empty() {
        return Err(format!("lacks {}", lacks.join(", ")));
    }
    let (name, disk, interface) = (parts["name"], parts["disk"], parts["interface"]);
    let of = |key: &str, read: Result<_, String>| {
        read.map_err(|why| format!("has {key}={} that {why}", parts[key]))
    };
    of("name", host(name))?;
    of(
        "interface",
        word(
            interface,
            "-._@",
            15,
            "is no network interface: `ip link` lists them",
        ),
    )?;
    if !disk.starts_with("/dev/") || disk.starts_with("/dev/drbd") {
        return Err(format!(
            "has disk={disk} that is no disk, partition or logical volume below /dev, for DRBD to lie on"
        ));
    }
    of("disk", path(disk))?;
    let at = |key: &str| {
        address(parts[key]).map_err(|why| format!("has {key}={} that {why}", parts[key]))
    };
    Ok(PlannedMachine {
        name: name.into(),
        lan: at("lan")?,
        replication: at("replication")?,
        disk: disk.into(),
        interface: interface.into(),
    })
}

fn virtual_ip(value: &str) -> Result<(IpAddr, u8), String> {
    let (ip, prefix) = value
        .split_once('/')
        .ok_or("has no prefix: write it as 10.1.0.100/24, with that of its network")?;
    let ip = address(ip)?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    match prefix.parse() {
        Ok(prefix) if (1..=most).contains(&prefix) => Ok((ip, prefix)),
        Ok(_) | Err(_) => Err(format!("has no prefix between 1 and {most}")),
    }
}

fn tie_breaker(value: &str, drbd: Option<Grammar>) -> Result<Shape, String> {
    if drbd == Some(Grammar::V84) {
        return Err("needs --drbd=9: DRBD 8.4 has no quorum".into());
    }
    let (name, at) = value.split_once('=').ok_or("is not HOST=ADDRESS")?;
    host(name)?;
    Ok(Shape::TieBreaker(name.into(), address(at)?))
}

fn address(value: &str) -> Result<IpAddr, String> {
    match value.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() || address.is_loopback() => {
            Err("is no address that another machine reaches".into())
        }
        Ok(address) => Ok(address),
        Err(_) => Err("is not an IP address: DRBD and keepalived take no names".into()),
    }
}

fn host(value: &str) -> Result<(), String> {
    word(
        value,
        "-.",
        64,
        "is not a host name: write what `uname -n` prints there",
    )
}

/// A word that means nothing to any of the files it goes into.
fn word(value: &str, more: &str, most: usize, why: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
    let starts = value.starts_with(|c: char| c.is_ascii_alphanumeric());
    match starts && value.len() <= most && value.chars().all(good) {
        true => Ok(()),
        false => Err(why.into()),
    }
}

/// The plain path of one thing, in letters that every file can carry.
fn path(value: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "/._-+:=".contains(c);
    let plain = value.starts_with('/') && !value.ends_with('/') && !value.contains("..");
    match plain && value.len() <= 255 && value.chars().all(good) {
        true => Ok(()),
        false => Err("is not the plain path of one thing, from the root and without blanks: what needs arguments goes into a script".into()),
    }
}

/// Whether two addresses have the same network part. Different families never do.
fn same_network(one: IpAddr, two: IpAddr, prefix: u8) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    let shift = 128 - u32::from(prefix.clamp(1, 128));
    one.is_ipv4() == two.is_ipv4() && bits(one) >> shift == bits(two) >> shift
}

/// What occurs more than once, each once.
fn twice<T: Ord + Copy>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut counts = BTreeMap::new();
    for one in all {
        *counts.entry(one).or_insert(0) += 1;
    }
    let more = counts.into_iter().filter(|(_, count)| *count > 1);
    more.map(|(one, _)| one).collect()
}
