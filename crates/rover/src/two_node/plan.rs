//! What is written for two machines, as plain values.

use std::net::IpAddr;

use super::secrets::Secrets;

/// The folder of both machines where keys and environments lie.
pub const ETC: &str = "/etc/etcd-rejoin";

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
pub enum WishChannel {
    /// It calls `etcd-rejoin notify`. The gate file outlives a restart of the entrypoint.
    Script,
    /// It writes into a FIFO.
    Fifo,
}

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
    pub machines: [PlannedMachine; 2],
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
    pub wish: WishChannel,
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
