//! May this member leave for good? A person asks, so there is no row: the answer is yes, or why not and what to do.

use super::Policy;
use super::entries::{is_anothers, own_id};
use crate::membership::{Member, MemberId, quorum};

/// Whether the others can go on without this member, which is the one that these settings name. etcd checks
/// their number too, unless it runs with `--strict-reconfig-check=false`.
pub fn may_leave(
    policy: &Policy,
    own: MemberId,
    members: &[Member],
    answering: impl Fn(&[&Member]) -> usize,
) -> Result<(), String> {
    let listed = members.iter().find(|member| member.id == own);
    match (listed, own_id(policy, members)) {
        (Some(entry), _) if is_anothers(policy, entry) => {
            return Err(format!(
                "this is the data of member {own}, which is {} in its cluster: give this member its own volume, or leave with the settings of that one",
                entry.name.escape_debug()
            ));
        }
        (None, Some(other)) => {
            return Err(format!(
                "member {own}, whose data this is, is not in the cluster any more, and {} is member {other} there: to take that out, run `etcdctl member remove {other}`",
                policy.name.escape_debug()
            ));
        }
        (Some(_), _) | (None, None) => {}
    }
    let voters = members.iter().filter(|m| m.id != own && !m.learner);
    let (all, voters) = (voters.clone().count(), voters.filter(|m| m.started()));
    let started: Vec<&Member> = voters.collect();
    match started.len() {
        _ if members.iter().all(|member| member.id == own) => {
            Err("it is the only member: to end this cluster, stop it".into())
        }
        0 => Err("no other member is a started voter yet; once one is (a learner has to be promoted), leave again".into()),
        _ if answering(&started) < quorum(all) => Err(
            "the others would have no quorum without this member: not enough of them answer at their peer URLs; bring them back, then leave again".into(),
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::{ClusterId, InitialCluster};
    use crate::{Bootstrap, JoinAs};

    #[test]
    fn only_this_member_leaves_and_only_where_the_others_go_on() {
        let initial = InitialCluster::parse("n1=http://a:1,n2=http://b:1,n3=http://c:1").unwrap();
        let policy = Policy {
            name: "n3".into(),
            peer_urls: vec!["http://c:1".into()],
            peer_urls_given: true,
            initial,
            static_id: MemberId(0),
            static_others: vec![],
            static_cluster: ClusterId(0),
            bootstrap: Bootstrap::All,
            join: JoinAs::Auto,
            joins_only: None,
            listens_wide: false,
            knows_others: false,
            keep: None,
        };
        let member = |id, host: &str| Member {
            id: MemberId(id),
            name: format!("n{id}"),
            peer_urls: vec![format!("http://{host}:1")],
            client_urls: vec![format!("http://{host}:2")],
            learner: false,
        };
        let all = [member(1, "a"), member(2, "b"), member(3, "c")];
        let leave = |own, members: &[Member], alive| {
            may_leave(&policy, MemberId(own), members, |others| {
                others.len().min(alive)
            })
        };
        assert_eq!(leave(3, &all, 2), Ok(()));
        // Gone already, and nobody has its place.
        assert_eq!(leave(3, &all[..2], 2), Ok(()));
        for (own, members, alive, words) in [
            (3, &all[..], 1, "no quorum"),
            (3, &all[2..], 0, "the only member"),
            (1, &all[..], 2, "which is n1 in its cluster"),
            (7, &all[..], 2, "n3 is member 3 there"),
        ] {
            let why = leave(own, members, alive).unwrap_err();
            assert!(why.contains(words), "{words}: {why}");
        }
        let unstarted = Member {
            client_urls: vec![],
            ..member(1, "a")
        };
        let why = leave(3, &[unstarted, member(3, "c")], 1).unwrap_err();
        assert!(why.contains("no other member is a started voter"), "{why}");
    }
}
