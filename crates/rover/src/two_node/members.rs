//! The members' environments: the resident one of each machine, and the roving one on both.

use std::fmt::Write;
use std::net::IpAddr;

use super::plan::{ETC, Plan, WishChannel};

/// The member on a machine's own disk.
pub fn resident(plan: &Plan, this: usize) -> String {
    let machine = &plan.machines[this];
    let name = format!("etcd{}", this + 1);
    let mut text = format!(
        "# {ETC}/{name}.env on {}: the member on this machine's own disk.\n",
        machine.name
    );
    let loopback = match machine.lan {
        IpAddr::V4(_) => "127.0.0.1".parse(),
        IpAddr::V6(_) => "::1".parse(),
    }
    .expect("loopback is an address");
    let beside = plan.url(loopback, plan.ports.client);
    let dir = format!("/var/lib/etcd/{name}");
    text += &etcd(plan, &name, machine.lan, &dir, Some(&beside));
    text += &tls(plan, false);
    text
}

/// The member on the volume: it runs where keepalived is master.
pub fn roving(plan: &Plan, this: usize) -> String {
    let (machine, other) = (&plan.machines[this], &plan.machines[1 - this]);
    let mut text = format!(
        "# {ETC}/etcd3.env on {}: the roving member, on the volume and the virtual IP.\n",
        machine.name
    );
    let dir = format!("{}/data", plan.mount);
    text += &etcd(plan, "etcd3", plan.virtual_ip, &dir, None);
    text += &tls(plan, true);
    let what = match plan.wish {
        WishChannel::Script => "what `etcd-rejoin notify` writes",
        WishChannel::Fifo => "the FIFO that keepalived writes into",
    };
    let _ = write!(
        text,
        "REJOIN_DRBD={}\nREJOIN_MOUNT={}\n# {what}\nREJOIN_GATE={}\n",
        plan.resource, plan.mount, plan.gate
    );
    if plan.fences() {
        let _ = write!(
            text,
            "# the other machine, asked over the network that the replication does not use\n\
             REJOIN_FENCE_PEER={}\n\
             REJOIN_FENCE_LISTEN={}\n\
             REJOIN_FENCE_KEY_FILE={ETC}/fence.key\n\
             REJOIN_FENCE_TIMEOUT={}\n",
            plan.at(other.lan, plan.ports.fence),
            plan.at(machine.lan, plan.ports.fence),
            plan.fence_timeout()
        );
    }
    if let Some(command) = &plan.fence_command {
        let _ = writeln!(text, "REJOIN_FENCE_COMMAND={command}");
    }
    if plan.self_fence {
        text += "REJOIN_SELF_FENCE=reboot\n";
    }
    text
}

/// etcd's own variables. Each member listens at its own address only: two of them share a machine.
fn etcd(plan: &Plan, name: &str, address: IpAddr, dir: &str, beside: Option<&str>) -> String {
    let (peer, client) = (
        plan.url(address, plan.ports.peer),
        plan.url(address, plan.ports.client),
    );
    let [one, two] = &plan.machines;
    let cluster: Vec<String> = [one.lan, two.lan, plan.virtual_ip]
        .into_iter()
        .zip(1..)
        .map(|(address, n)| format!("etcd{n}={}", plan.url(address, plan.ports.peer)))
        .collect();
    let beside = beside.map_or(String::new(), |url| format!(",{url}"));
    format!(
        "ETCD_NAME={name}\n\
         ETCD_DATA_DIR={dir}\n\
         ETCD_INITIAL_CLUSTER={}\n\
         ETCD_INITIAL_CLUSTER_TOKEN={}\n\
         ETCD_INITIAL_ADVERTISE_PEER_URLS={peer}\n\
         ETCD_LISTEN_PEER_URLS={peer}\n\
         ETCD_ADVERTISE_CLIENT_URLS={client}\n\
         ETCD_LISTEN_CLIENT_URLS={client}{beside}\n",
        cluster.join(","),
        plan.token
    )
}

fn tls(plan: &Plan, roving: bool) -> String {
    let Some(tls) = &plan.tls else {
        return String::new();
    };
    let (cert, key) = match roving {
        true => (&tls.roving_cert, &tls.roving_key),
        false => (&tls.cert, &tls.key),
    };
    let mut text = String::new();
    for prefix in ["ETCD_PEER_", "ETCD_"] {
        let _ = write!(
            text,
            "{prefix}CLIENT_CERT_AUTH=true\n\
             {prefix}TRUSTED_CA_FILE={}\n\
             {prefix}CERT_FILE={cert}\n\
             {prefix}KEY_FILE={key}\n",
            tls.ca
        );
    }
    text
}
