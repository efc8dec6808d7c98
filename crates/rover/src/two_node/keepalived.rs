//! keepalived's configuration. It elects and carries the address; it mounts and promotes nothing.

use std::fmt::Write;

use super::plan::{Plan, WishChannel};

/// The configuration of machine `this`.
pub fn keepalived(plan: &Plan, this: usize) -> String {
    let (machine, other) = (&plan.machines[this], &plan.machines[1 - this]);
    let Plan {
        program,
        resource,
        gate,
        virtual_ip,
        prefix,
        ..
    } = plan;
    let (fifo, notify) = match plan.wish {
        WishChannel::Script => (
            String::new(),
            format!("    notify \"{program} notify --gate {gate}\"\n"),
        ),
        WishChannel::Fifo => (format!("    vrrp_notify_fifo {gate}\n"), String::new()),
    };
    let mut text = format!(
        "# /etc/keepalived/keepalived.conf on {name}: written by etcd-rejoin two-node config.\n\
         # It holds a password: mode 600.\n\
         global_defs {{\n\
         \x20   router_id {name}\n\
         \x20   script_user root\n\
         \x20   enable_script_security\n\
         \x20   umask 022\n\
         {fifo}}}\n\n\
         # A machine that must not be promoted does not bid for the address.\n\
         vrrp_script promotable {{\n\
         \x20   script \"{program} probe promotable --gate {gate}\"\n\
         \x20   interval 1\n\
         \x20   timeout 3\n\
         \x20   fall 2\n\
         \x20   rise 1\n\
         \x20   init_fail\n\
         }}\n\n\
         vrrp_instance {resource} {{\n\
         \x20   # Both begin as backup, and a machine that comes back leaves the member where it is.\n\
         \x20   state BACKUP\n\
         \x20   nopreempt\n\
         \x20   interface {interface}\n\
         \x20   virtual_router_id {vrid}\n\
         \x20   priority {priority}\n\
         \x20   advert_int {advert_int}\n",
        name = machine.name,
        interface = machine.interface,
        vrid = plan.vrid,
        priority = machine.priority,
        advert_int = plan.advert_int,
    );
    if plan.unicast {
        let _ = write!(
            text,
            "    unicast_src_ip {}\n    unicast_peer {{\n        {}\n    }}\n",
            machine.lan, other.lan
        );
    }
    // VRRP 3, which IPv6 needs, knows no password.
    if virtual_ip.is_ipv4() {
        let _ = write!(
            text,
            "    authentication {{\n        auth_type PASS\n        auth_pass {}\n    }}\n",
            plan.secrets.vrrp_password
        );
    }
    let _ = write!(
        text,
        "    virtual_ipaddress {{\n        {virtual_ip}/{prefix} dev {}\n    }}\n\
         \x20   track_script {{\n        promotable\n    }}\n{notify}}}\n",
        machine.interface
    );
    text
}
