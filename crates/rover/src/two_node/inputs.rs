//! What the flags of `two-node config` mean: every mistake is reported at once, by its flag and value.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::args::TwoNodeArgs;
use super::plan::{Grammar, Plan, PlannedMachine, Ports, TieBreaker, Tls, WishChannel};
use super::secrets::{self, Secrets};
use super::values::FlagCheck;
use crate::fence::Key;

/// Reads the flags; the errors are all mistakes there are.
pub fn plan(args: &TwoNodeArgs) -> Result<Plan, Vec<String>> {
    let mut check = FlagCheck::default();
    let interface = args.interface.as_deref();
    if args.machines.len() != 2 {
        check.mistakes.push(format!(
            "--machine is given {} times: give it twice, once for each machine",
            args.machines.len()
        ));
    }
    let machines: Vec<_> = (args.machines.iter().take(2).zip([100, 90]))
        .map(|(value, priority)| check.machine(value, interface, priority))
        .collect();
    let inherited = machines.iter().flatten().any(|(_, own)| !own);
    if let (Some(interface), true) = (interface, inherited) {
        check.interface("--interface", interface);
    }
    let virtual_ip = check.virtual_ip(&args.virtual_ip);
    check.word(
        "--resource",
        &args.resource,
        "-_.",
        64,
        "is not the name of a resource: letters, digits, - _ .",
    );
    if ["all", "none", "common"].contains(&args.resource.as_str()) {
        check.mistake("--resource", &args.resource, "is a word of DRBD's own");
    }
    let minor = minor(&mut check, &args.minor);
    let ports = Ports {
        drbd: check.port("--drbd-port", &args.drbd_port),
        fence: check.port("--fence-port", &args.fence_port),
        client: check.port("--client-port", &args.client_port),
        peer: check.port("--peer-port", &args.peer_port),
    };
    let vrid = vrid(&mut check, args.vrid.as_deref(), virtual_ip);
    let advert_int = advert_int(&mut check, &args.advert_int);
    for (flag, path) in [
        ("--gate", Some(&args.gate)),
        ("--mount", Some(&args.mount)),
        ("--program", Some(&args.program)),
        ("--fence-command", args.fence_command.as_ref()),
    ] {
        if let Some(path) = path {
            check.path(flag, path);
        }
    }
    let tls = check.tls(args);
    let tie_breaker = check.tie_breaker(args);
    let token = token(&mut check, args.cluster_token.as_deref());
    let secrets = check.secrets(args);
    let machines: Vec<PlannedMachine> = machines.into_iter().flatten().map(|(m, _)| m).collect();
    let whole = (<[PlannedMachine; 2]>::try_from(machines).ok()).zip(virtual_ip);
    let Some((((machines, (virtual_ip, prefix)), grammar), vrid)) = whole.zip(args.drbd).zip(vrid)
    else {
        return Err(check.mistakes);
    };
    let plan = Plan {
        machines,
        virtual_ip,
        prefix,
        grammar,
        tie_breaker,
        resource: args.resource.clone(),
        minor: minor.unwrap_or_default(),
        ports,
        vrid,
        advert_int: advert_int.unwrap_or(1),
        unicast: !args.multicast,
        wish: match args.fifo {
            true => WishChannel::Fifo,
            false => WishChannel::Script,
        },
        gate: args.gate.clone(),
        mount: args.mount.clone(),
        program: args.program.clone(),
        fence_command: args.fence_command.clone(),
        self_fence: args.self_fence,
        token,
        tls,
        secrets,
    };
    check.together(&plan);
    match check.mistakes.is_empty() {
        true => Ok(plan),
        false => Err(check.mistakes),
    }
}

fn minor(check: &mut FlagCheck, value: &str) -> Option<u32> {
    let minor = check.number::<u32>("--minor", value, "is not a minor number");
    if minor.is_some_and(|minor| minor > 0xf_ffff) {
        check.mistake("--minor", value, "is beyond DRBD's 1048575");
    }
    minor
}

fn advert_int(check: &mut FlagCheck, value: &str) -> Option<u8> {
    let why = "is not a number of seconds from 1 to 40";
    let advert_int = check.number::<u8>("--advert-int", value, why);
    if advert_int.is_some_and(|seconds| !(1..=40).contains(&seconds)) {
        check.mistake("--advert-int", value, why);
    }
    advert_int
}

/// The token: as given, else random.
fn token(check: &mut FlagCheck, given: Option<&str>) -> String {
    match given {
        Some(token) => {
            let why = "is not a token: letters, digits, - _ .";
            check.word("--cluster-token", token, "-_.", 64, why);
            token.into()
        }
        None => match secrets::random(12) {
            Ok(random) => format!("two-nodes-{random}"),
            Err(error) => {
                check.mistakes.push(error.to_string());
                String::new()
            }
        },
    }
}

/// The router ID: as given, else from the virtual IP, so that two pairs on one network differ as
/// their addresses do.
fn vrid(
    check: &mut FlagCheck,
    given: Option<&str>,
    virtual_ip: Option<(IpAddr, u8)>,
) -> Option<u8> {
    let why = "is not a VRRP router ID: write 1 to 255";
    match given {
        Some(value) => match check.number("--vrid", value, why)? {
            0 => {
                check.mistake("--vrid", value, why);
                None
            }
            vrid => Some(vrid),
        },
        None => {
            let last = match virtual_ip?.0 {
                IpAddr::V4(address) => address.octets()[3],
                IpAddr::V6(address) => address.octets()[15],
            };
            Some(if last == 0 { 255 } else { last })
        }
    }
}

impl FlagCheck {
    /// `name=HOST,lan=ADDRESS,...`
    fn machine(
        &mut self,
        value: &str,
        interface: Option<&str>,
        priority: u8,
    ) -> Option<(PlannedMachine, bool)> {
        let flag = "--machine";
        let mut parts = BTreeMap::new();
        for part in value.split(',').filter(|part| !part.is_empty()) {
            let Some((key, what)) = part.split_once('=') else {
                self.mistake(flag, value, &format!("has {part:?}, which is no KEY=VALUE"));
                continue;
            };
            if !["name", "lan", "replication", "disk", "interface"].contains(&key) {
                let why = format!(
                    "has the key {key:?}: there are name, lan, replication, disk, interface"
                );
                self.mistake(flag, value, &why);
            } else if parts.insert(key, what).is_some() {
                self.mistake(flag, value, &format!("has {key} twice"));
            }
        }
        let own_interface = parts.contains_key("interface");
        if let (Some(interface), false) = (interface, own_interface) {
            parts.insert("interface", interface);
        }
        for key in ["name", "lan", "replication", "disk", "interface"] {
            if parts.contains_key(key) {
                continue;
            }
            let cure = match key {
                "interface" => "has no interface=NAME, and --interface is not given",
                "name" => "has no name=HOST",
                "lan" => "has no lan=ADDRESS",
                "replication" => "has no replication=ADDRESS",
                _ => "has no disk=DEVICE",
            };
            self.mistake(flag, value, cure);
        }
        let part = |key| parts.get(key).copied();
        if let Some(name) = part("name") {
            self.host("--machine name", name);
        }
        if let Some(disk) = part("disk") {
            self.disk(disk);
        }
        if let (Some(interface), true) = (part("interface"), own_interface) {
            self.interface("--machine interface", interface);
        }
        let lan = part("lan").map(|lan| self.address("--machine lan", lan));
        let replication = part("replication");
        let replication = replication.map(|at| self.address("--machine replication", at));
        let machine = PlannedMachine {
            name: part("name")?.to_string(),
            lan: lan??,
            replication: replication??,
            disk: part("disk")?.to_string(),
            interface: part("interface")?.to_string(),
            priority,
        };
        if machine.lan == machine.replication {
            let why = "is also the replication address: put the replication on a network of its own, or one cut cable looks like a dead machine";
            self.mistake("--machine lan", machine.lan, why);
        }
        Some((machine, own_interface))
    }

    fn virtual_ip(&mut self, value: &str) -> Option<(IpAddr, u8)> {
        let flag = "--virtual-ip";
        let Some((address, prefix)) = value.split_once('/') else {
            self.mistake(
                flag,
                value,
                "has no prefix: write it as 10.1.0.100/24, with that of its network",
            );
            return None;
        };
        let address = self.address(flag, address)?;
        let most = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        match prefix.parse() {
            Ok(prefix) if (1..=most).contains(&prefix) => Some((address, prefix)),
            Ok(_) | Err(_) => {
                self.mistake(flag, value, &format!("has no prefix between 1 and {most}"));
                None
            }
        }
    }

    fn tls(&mut self, args: &TwoNodeArgs) -> Option<Tls> {
        let all = [
            ("--ca", &args.ca),
            ("--cert", &args.cert),
            ("--key", &args.key),
            ("--roving-cert", &args.roving_cert),
            ("--roving-key", &args.roving_key),
        ];
        for (flag, path) in &all {
            if let Some(path) = path {
                self.path(flag, path);
            }
        }
        let given = all
            .iter()
            .find_map(|(flag, path)| path.as_ref().map(|path| (*flag, path)));
        let (flag, path) = given?;
        let missing = all[..3].iter().filter(|(_, path)| path.is_none());
        let missing: Vec<&str> = missing.map(|(flag, _)| *flag).collect();
        if !missing.is_empty() {
            let why = format!("is not enough for TLS: set {} too", missing.join(" and "));
            self.mistake(flag, path, &why);
        }
        if args.roving_cert.is_some() != args.roving_key.is_some() {
            self.mistake(
                flag,
                path,
                "goes with --roving-cert and --roving-key together, or neither",
            );
        }
        let (ca, cert, key) = (args.ca.clone()?, args.cert.clone()?, args.key.clone()?);
        Some(Tls {
            roving_cert: args.roving_cert.clone().unwrap_or_else(|| cert.clone()),
            roving_key: args.roving_key.clone().unwrap_or_else(|| key.clone()),
            ca,
            cert,
            key,
        })
    }

    fn tie_breaker(&mut self, args: &TwoNodeArgs) -> Option<TieBreaker> {
        let (flag, value) = ("--tie-breaker", args.tie_breaker.as_deref()?);
        if args.drbd == Some(Grammar::V84) {
            self.mistake(flag, value, "needs --drbd=9: DRBD 8.4 has no quorum");
        }
        if let Some(command) = &args.fence_command {
            self.mistake(
                "--fence-command",
                command,
                "is not used with --tie-breaker: there the quorum decides",
            );
        }
        let Some((name, address)) = value.split_once('=') else {
            self.mistake(flag, value, "is not HOST=ADDRESS");
            return None;
        };
        self.host(flag, name);
        let address = self.address(flag, address)?;
        Some(TieBreaker {
            name: name.to_string(),
            address,
        })
    }

    fn secrets(&mut self, args: &TwoNodeArgs) -> Secrets {
        let mut secret = |flag: &str, file: &Option<std::path::PathBuf>, letters| {
            let (value, named) = match file {
                Some(path) => (secrets::from_file(path), path.display().to_string()),
                None => (secrets::random(letters), String::new()),
            };
            match value {
                Ok(value) => Some(value),
                Err(error) => {
                    self.mistake(flag, named, &format!("does not read: {error}"));
                    None
                }
            }
        };
        let password = secret("--vrrp-password-file", &args.vrrp_password_file, 8);
        let key = secret("--fence-key-file", &args.fence_key_file, 64);
        if let (Some(file), Some(password)) = (&args.vrrp_password_file, &password)
            && let Some(why) = secrets::password_mistake(password)
        {
            let why = format!("holds a password that {why}");
            self.mistake("--vrrp-password-file", file.display(), &why);
        }
        if let (Some(file), Some(key)) = (&args.fence_key_file, &key)
            && let Err(why) = Key::new(key.as_bytes())
        {
            self.mistake("--fence-key-file", file.display(), &why);
        }
        Secrets {
            vrrp_password: password.unwrap_or_default(),
            fence_key: key.unwrap_or_default() + "\n",
        }
    }

    /// What fits only alone.
    fn together(&mut self, plan: &Plan) {
        let [one, two] = &plan.machines;
        let third = plan.tie_breaker.as_ref();
        let names = [Some(&one.name), Some(&two.name), third.map(|t| &t.name)];
        let addresses = [
            Some(one.lan),
            Some(two.lan),
            Some(plan.virtual_ip),
            Some(one.replication),
            Some(two.replication),
        ];
        for name in twice(names.into_iter().flatten()) {
            self.mistake("--machine name", name, "is given to two machines");
        }
        for address in twice(addresses.into_iter().flatten()) {
            // A machine whose two addresses are the same was told so already.
            if one.lan != one.replication && two.lan != two.replication {
                self.mistake("--machine", address, "is an address of two things");
            }
        }
        let families = [one.lan, two.lan, plan.virtual_ip].map(|a| a.is_ipv4());
        if families != [families[0]; 3] {
            let why = "is of another family than the LAN addresses: all IPv4, or all IPv6";
            self.mistake("--virtual-ip", plan.virtual_ip, why);
        } else {
            for machine in &plan.machines {
                if !same_network(machine.lan, plan.virtual_ip, plan.prefix) {
                    let why = format!(
                        "is not in the network of --virtual-ip={}/{}",
                        plan.virtual_ip, plan.prefix
                    );
                    self.mistake("--machine lan", machine.lan, &why);
                }
            }
        }
        for machine in &plan.machines {
            if same_network(machine.replication, plan.virtual_ip, plan.prefix) {
                let why = format!(
                    "is in the network of --virtual-ip={}/{}: the replication needs another one, or one cut cable looks like a dead machine",
                    plan.virtual_ip, plan.prefix
                );
                self.mistake("--machine replication", machine.replication, &why);
            }
        }
        if one.replication.is_ipv4() != two.replication.is_ipv4() {
            let why = "is of another family than the other machine's";
            self.mistake("--machine replication", two.replication, why);
        }
        let Ports {
            drbd,
            fence,
            client,
            peer,
        } = plan.ports;
        let ports = [drbd, fence, client, peer].into_iter().filter(|p| *p != 0);
        for port in twice(ports) {
            let flags = "--drbd-port, --fence-port, --client-port, --peer-port";
            self.mistake(flags, port, "is one port for two things");
        }
        if plan.gate.starts_with(&format!("{}/", plan.mount)) || plan.gate == plan.mount {
            self.mistake(
                "--gate",
                &plan.gate,
                "lies on the volume that it decides about",
            );
        }
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
