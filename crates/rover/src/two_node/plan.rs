//! What the flags of `two-node config` mean: every mistake is reported at once, by its flag and value.

use std::net::IpAddr;

use super::args::TwoNodeArgs;
use super::inputs::Checker;
use super::secrets::{self, Secrets};

/// DRBD's two grammars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Grammar {
    /// The module of the ordinary kernel.
    #[value(name = "8.4")]
    V84,
    /// LINBIT's module.
    #[value(name = "9")]
    V9,
}

/// How keepalived says what it wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It calls `etcd-rejoin notify`. The gate file outlives a restart of the entrypoint.
    Script,
    /// It writes into a FIFO.
    Fifo,
}

/// One of the two machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
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
    /// keepalived's priority.
    pub priority: u8,
}

/// A third machine that only votes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TieBreaker {
    /// Its host name.
    pub name: String,
    /// Its address, which both machines reach.
    pub address: IpAddr,
}

/// TLS files, by their paths on the machines.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Tls {
    pub ca: String,
    pub cert: String,
    pub key: String,
    pub roving_cert: String,
    pub roving_key: String,
}

/// The ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Ports {
    pub drbd: u16,
    pub fence: u16,
    pub client: u16,
    pub peer: u16,
}

/// Everything, checked.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The two machines.
    pub machines: [Machine; 2],
    /// The address that follows the roving member.
    pub virtual_ip: IpAddr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// The grammar of the resource file.
    pub grammar: Grammar,
    /// A third machine that votes.
    pub tie_breaker: Option<TieBreaker>,
    /// The DRBD resource.
    pub resource: String,
    /// Its minor number.
    pub minor: u32,
    /// The ports.
    pub ports: Ports,
    /// The VRRP router ID.
    pub vrid: u8,
    /// The seconds between two announcements.
    pub advert_int: u8,
    /// Announced from address to address.
    pub unicast: bool,
    /// How keepalived says what it wishes.
    pub wish: Wish,
    /// Where.
    pub gate: String,
    /// Where the volume is mounted.
    pub mount: String,
    /// Our program on the machines.
    pub program: String,
    /// What turns the other machine off.
    pub fence_command: Option<String>,
    /// Reboot where the volume cannot be let go.
    pub self_fence: bool,
    /// The initial cluster's token.
    pub token: String,
    /// TLS, if wanted.
    pub tls: Option<Tls>,
    /// What only the machines may know.
    pub secrets: Secrets,
}

impl Plan {
    /// The machines fence each other. With quorum nobody has to: DRBD would call the handler on top of
    /// it, and a machine whose peer is dead would stay frozen although it has the majority.
    pub fn fences(&self) -> bool {
        self.tie_breaker.is_none()
    }

    /// `address:port`.
    pub fn at(&self, address: IpAddr, port: u16) -> String {
        std::net::SocketAddr::new(address, port).to_string()
    }

    /// The URL of a member.
    pub fn url(&self, address: IpAddr, port: u16) -> String {
        let scheme = match self.tls {
            Some(_) => "https",
            None => "http",
        };
        format!("{scheme}://{}", self.at(address, port))
    }

    /// How long settling a lost peer's fate may take: it answers once its own DRBD has noticed the loss,
    /// and turning a machine off takes longer still.
    pub fn fence_timeout(&self) -> &'static str {
        match self.fence_command {
            None => "8s",
            Some(_) => "20s",
        }
    }
}

/// Reads the flags; the errors are all mistakes there are.
pub fn plan(args: &TwoNodeArgs) -> Result<Plan, Vec<String>> {
    let mut check = Checker::default();
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
    let minor = check.number::<u32>("--minor", &args.minor, "is not a minor number");
    if minor.is_some_and(|minor| minor > 0xf_ffff) {
        check.mistake("--minor", &args.minor, "is beyond DRBD's 1048575");
    }
    let ports = Ports {
        drbd: check.port("--drbd-port", &args.drbd_port),
        fence: check.port("--fence-port", &args.fence_port),
        client: check.port("--client-port", &args.client_port),
        peer: check.port("--peer-port", &args.peer_port),
    };
    let vrid = vrid(&mut check, args.vrid.as_deref(), virtual_ip);
    let why = "is not a number of seconds from 1 to 40";
    let advert_int = check.number::<u8>("--advert-int", &args.advert_int, why);
    if advert_int.is_some_and(|seconds| !(1..=40).contains(&seconds)) {
        check.mistake("--advert-int", &args.advert_int, why);
    }
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
    let token = token(&mut check, args.cluster_token.as_ref());
    let secrets = check.secrets(args);
    let machines: Vec<Machine> = machines.into_iter().flatten().map(|(m, _)| m).collect();
    let whole = (<[Machine; 2]>::try_from(machines).ok()).zip(virtual_ip);
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
            true => Wish::Fifo,
            false => Wish::Script,
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

/// The token that is given, or a random one.
fn token(check: &mut Checker, given: Option<&String>) -> String {
    match given {
        Some(token) => {
            let why = "is not a token: letters, digits, - _ .";
            check.word("--cluster-token", token, "-_.", 64, why);
            token.clone()
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
fn vrid(check: &mut Checker, given: Option<&str>, virtual_ip: Option<(IpAddr, u8)>) -> Option<u8> {
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
