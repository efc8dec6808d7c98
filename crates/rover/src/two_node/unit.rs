//! The unit that takes DRBD down at a shutdown. DRBD does not do it by itself: the connection would stay
//! until the network is gone, and the other machine could not tell that from a dead one.

use super::plan::Plan;

/// Its name.
pub const NAME: &str = "etcd-rejoin-drbd.service";
/// Where systemd looks for it.
pub const FOLDER: &str = "/etc/systemd/system";

/// Of a machine with a member: the member brings the resource up, and nothing is held when this stops,
/// as systemd stops in the reverse order of a start (systemd.unit(5), `Before=`).
pub fn of_a_machine(plan: &Plan) -> String {
    let resource = &plan.resource;
    format!(
        "# At a shutdown: DRBD goes down after the member, which may run in a container, and before the network.\n\
         [Unit]\n\
         Description=DRBD resource {resource} goes down in order\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         Before=etcd-rejoin-roving.service docker.service containerd.service kubelet.service\n\n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         ExecStart=/bin/true\n\
         ExecStop=/usr/sbin/drbdadm down {resource}\n\n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

/// Of a machine that runs DRBD alone.
pub fn of_a_tie_breaker(plan: &Plan) -> String {
    let resource = &plan.resource;
    format!(
        "[Unit]\n\
         Description=DRBD resource {resource}, to vote\n\
         Wants=network-online.target\n\
         After=network-online.target\n\n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         ExecStart=/usr/sbin/drbdadm adjust {resource}\n\
         ExecStop=/usr/sbin/drbdadm down {resource}\n\n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}
