//! A lost disk, beside a person who has removed and added the member before etcd starts.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::bench::{Bench, Side};
use crate::support::{Cluster, PATIENCE, files, wait_for};
use crate::table::{Row, Samples};

const OURS: usize = 3;
/// etcd refuses to add a member while another one has been connected for less than five seconds
/// (`etcdserver/server.go`, `isConnectedFullySince`): the same for both sides, so it is waited for.
pub const CONNECTED: Duration = Duration::from_millis(6500);

/// The member is empty, and the cluster lists it.
pub fn lost_disk(bench: &Bench) -> Vec<Row> {
    let mut cluster = bench.cluster(false);
    let (mut ours, mut bare) = (Samples::default(), Samples::default());
    let (mut manual, mut voter) = (Samples::default(), Samples::default());
    for i in 0..bench.times.div_ceil(3) {
        let mut sides = [(Side::Ours, &mut ours), (Side::Bare, &mut bare)];
        sides.rotate_left(i % 2);
        for (side, samples) in sides {
            sleep(CONNECTED);
            cluster.member(OURS).lose_disk();
            // It may have been the leader: an election is nobody's cost, and takes a second.
            wait_for("the others have a leader", PATIENCE, || {
                cluster.client(1).linearizable_read().is_ok()
            });
            if side == Side::Bare {
                let begin = Instant::now();
                replace(&mut cluster);
                manual.add(begin.elapsed());
                cluster
                    .member(OURS)
                    .set("ETCD_INITIAL_CLUSTER_STATE", "existing");
            }
            let begin = Instant::now();
            samples.add(bench.time_to_healthy(side, cluster.member(OURS)));
            cluster
                .member(OURS)
                .set("ETCD_INITIAL_CLUSTER_STATE", "new");
            wait_for("it is a voter", Duration::from_secs(30), || {
                is_voter(&cluster)
            });
            if side == Side::Ours {
                voter.add(begin.elapsed());
            }
        }
    }
    let name = "lost disk: start to healthy, beside etcd right after remove and add by hand";
    let mut row = Row::ratio(name, &ours, &bare, 1.3);
    row.measured += &format!(
        "; by hand {:.0} ms more; ours a voter after {:.0} ms",
        manual.median(),
        voter.median()
    );
    vec![row]
}

fn is_voter(cluster: &Cluster) -> bool {
    let members = cluster.client(1).members().unwrap_or_default();
    members.len() == 3 && members.iter().all(|m| m.started && !m.learner)
}

/// What a person does.
fn replace(cluster: &mut Cluster) {
    let url = cluster.member(OURS).peer_url();
    let members = cluster.members_of(1);
    let ours = members.iter().find(|m| m.peer_urls.contains(&url));
    let id = format!("{:x}", ours.expect("it is listed").id);
    cluster.operator(&["member", "remove", &id]);
    cluster.operator(&["member", "add", "n3", &format!("--peer-urls={url}")]);
    files::wipe(&cluster.member(OURS).volume);
}
