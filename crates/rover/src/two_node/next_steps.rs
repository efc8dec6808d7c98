//! What to do with the written files, in order, for the person who does it.

use std::fmt::Write;

use super::plan::{ETC, Plan, WishChannel};
use super::unit::NAME;
use super::write::File;

/// The text of `NEXT-STEPS.txt`.
pub fn next_steps(plan: &Plan, files: &[File]) -> String {
    let [one, two] = &plan.machines;
    let program = &plan.program;
    let (resource, mount, virtual_ip) = (&plan.resource, &plan.mount, plan.virtual_ip);
    let mut text = format!(
        "Two machines, {one} and {two}, three members of etcd:\n\n\
         \x20 etcd1 on {one}'s own disk, etcd2 on {two}'s own disk, and etcd3, which roves: its data lies\n\
         \x20 on the DRBD resource {resource}, its URLs are on {virtual_ip}, and it runs on the machine that\n\
         \x20 keepalived made master.\n\n\
         1. On both machines: drbd-utils and the DRBD module, keepalived, and the program as {program},\n\
         \x20  owned by root, mode 755. It must be there on the machine itself, also where etcd runs in\n\
         \x20  containers: the kernel calls it when a peer is lost, keepalived calls it on each change.\n\n\
         2. As root, copy each file to its place. Those with a secret keep mode 600.\n\n",
        one = one.name,
        two = two.name,
    );
    let width = files.iter().map(|file| file.path.len()).max().unwrap_or(0);
    for file in files {
        if let Some(place) = &file.place {
            let mode = if file.secret { "600" } else { "644" };
            let _ = writeln!(text, "     {:width$}  {place}  (mode {mode})", file.path);
        }
    }
    text += &format!(
        "\n   Then, with systemd: `systemctl enable --now {NAME}`, and keep drbd.service\n\
         \x20  disabled. etcd3 brings the resource up; at a shutdown DRBD has to go down after etcd3 has ended,\n\
         \x20  and before the network: else the other machine takes this one for dead, freezes, and turns it\n\
         \x20  off where it can.\n"
    );
    let ports = match plan.fences() {
        true => format!(
            "{} (replication), {} (fencing, between {} and {})",
            plan.ports.drbd, plan.ports.fence, one.lan, two.lan
        ),
        false => format!("{} (replication)", plan.ports.drbd),
    };
    let _ = write!(
        text,
        "\n3. Let through between the machines: VRRP (IP protocol 112), TCP {ports},\n\
         \x20  {} and {} (etcd).\n\n\
         4. On each machine, until it finds nothing:\n\n\
         \x20    etcd-rejoin two-node check --env-file {ETC}/etcd3.env\n\n",
        plan.ports.client, plan.ports.peer
    );
    let third = match &plan.tie_breaker {
        None => String::new(),
        Some(third) => format!(
            "   {}, which runs DRBD 9 alone, has it up by then; without systemd `drbdadm up {resource}` at each\n\
             \x20  boot. ",
            third.name
        ),
    };
    let _ = write!(
        text,
        "5. The volume. On both machines:\n\n\
         \x20    etcd-rejoin two-node init --resource {resource}\n\n\
         {third}Then on one of the two, once: etcd-rejoin two-node init --resource {resource} --first\n\
         \x20  Both refuse where they find anything: a file system, a signature, metadata with data.\n\n",
        third = if third.is_empty() { "   " } else { &third },
    );
    let wish = match plan.wish {
        WishChannel::Script => String::new(),
        WishChannel::Fifo => format!(
            "   keepalived makes the FIFO {} where there is none: mkdir -p its folder at boot.\n",
            plan.gate
        ),
    };
    let _ = write!(
        text,
        "6. On both machines start the members: etcd1 or etcd2 with its environment, and etcd3 with\n\
         \x20  {ETC}/etcd3.env. Both machines run an etcd3: the one that may not have the volume waits. In\n\
         \x20  a container it needs the machine's network, /dev and the right to mount (privileged), and\n\
         \x20  {mount} as an empty folder of its own image.\n\n\
         7. Last, keepalived on both machines.\n{wish}\n\
         `etcd-rejoin two-node status --env-file {ETC}/etcd3.env` says on either machine who is what, and why.\n"
    );
    text + &what_to_mind(plan)
}

/// What this plan asks for beside all that.
fn what_to_mind(plan: &Plan) -> String {
    let mut text = String::new();
    if let Some(command) = &plan.fence_command {
        let program = command.split_whitespace().next().unwrap_or(command);
        let _ = write!(
            text,
            "\nThe fence command {program} must be there twice, on both machines: on the machine itself, where the\n\
             kernel's handler runs it, and where etcd3 runs, also in its container (build it into the image, or\n\
             mount it), with all that it calls. `two-node check` looks on the machine only. Try both before you\n\
             need it: it ends with 0 only when the other machine is off.\n"
        );
    }
    if let Some(tls) = &plan.tls {
        let _ = write!(
            text,
            "\nTLS: each machine's {} is valid for its own addresses and 127.0.0.1, and {} on both\n\
             machines is valid for {}. Peer certificates need both extended key usages.\n",
            tls.cert, tls.roving_cert, plan.virtual_ip
        );
    }
    if plan.tie_breaker.is_none() && plan.fence_command.is_none() {
        text += "\nWithout a program that turns a machine off (--fence-command) and without a third machine\n\
                 (--tie-breaker), nobody can tell a dead machine from a cut cable: if the machine that runs\n\
                 etcd3 dies, the other one waits for a person. If the other one dies, it goes on.\n";
    }
    text
}
