use super::*;
use crate::gateway::Status;
use std::sync::Arc;
use std::sync::mpsc::channel;

use super::super::deadline_after_reading;
use crate::config::Config;
use crate::datadir::{Depth, Volume};
use crate::signals::Stop;

/// Our own address is a name: what asks there is not answered at once.
fn observer(dir: &std::path::Path) -> Observer {
    observer_of(dir, "n1=http://n1.invalid:1")
}

fn observer_of(dir: &std::path::Path, initial: &str) -> Observer {
    observer_with(dir, initial, "")
}

/// `store`: none where it is empty.
fn observer_with(dir: &std::path::Path, initial: &str, store: &str) -> Observer {
    let env = [
        ("ETCD_NAME", "n1"),
        ("ETCD_INITIAL_CLUSTER", initial),
        ("ETCD_INITIAL_ADVERTISE_PEER_URLS", "http://n1.invalid:1"),
        ("REJOIN_STORE", store),
        ("PATH", "/nowhere"),
    ];
    let env = env.map(|(name, value)| (name.into(), value.into()));
    let config = Config::read(env, &[], &Default::default()).unwrap();
    let volume = Volume::new(dir, None);
    Observer::new(Arc::new(config), volume, Stop::default(), |_, _| None).unwrap()
}

fn gathering(observer: &Observer) -> (Gathering<'_>, Receiver<News>) {
    let (tx, rx) = channel();
    let deadline = Instant::now() + Duration::from_secs(60);
    (
        Gathering::new(observer, tx, deadline, Listening::Assembly),
        rx,
    )
}

fn quorate(cluster: u64) -> Quorate {
    let member = Member {
        id: MemberId(7),
        name: "n1".into(),
        peer_urls: vec!["http://n1.invalid:1".into()],
        client_urls: vec!["http://n1.invalid:2".into()],
        learner: false,
    };
    Quorate {
        leader: None,
        cluster: ClusterId(cluster),
        members: vec![member],
        reached: Some(decide::Progress::default()),
        at: String::new(),
    }
}

fn answers(gathering: &mut Gathering, url: &str, cluster: u64) {
    answers_as(gathering, url, cluster, MemberId(9));
}

fn answers_as(gathering: &mut Gathering, url: &str, cluster: u64, member: MemberId) {
    gathering.gateways_open += 1;
    let answer = Ok((member, quorate(cluster)));
    gathering.absorb(News::Gateway(url.into(), answer));
}

/// It would be asked to remove itself.
#[test]
fn our_own_member_that_proves_a_leader_is_a_twin() {
    for (member, twin) in [(MemberId(7), true), (MemberId(9), false)] {
        let dir = tempfile::tempdir().unwrap();
        let observer = observer(dir.path());
        let (mut gathering, _news) = gathering(&observer);
        answers_as(&mut gathering, "http://balancer", 1, member);
        assert_eq!(gathering.is_twin(), twin);
    }
}

/// Our own certificate may be wrong: then all of them refuse us.
#[test]
fn one_that_refuses_us_gives_the_others_all_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let all = "n1=http://n1.invalid:1,n2=http://127.9.9.2:1,n3=http://127.9.9.3:1";
    let observer = observer_of(dir.path(), all);
    let (mut gathering, _news) = gathering(&observer);
    gathering.unheard = vec![1, 1];
    answers(&mut gathering, "http://a", 1);
    gathering.absorb(News::Twin(None));
    assert!(gathering.until() < gathering.deadline);
    let refuses = Heard::Refused("403".into());
    gathering.absorb(News::Peer(0, refuses.into(), Duration::ZERO));
    assert_eq!(gathering.until(), gathering.deadline);
}

#[test]
fn a_slow_disk_leaves_the_others_time_to_answer() {
    let (begin, second) = (Instant::now(), Duration::from_secs(1));
    let end = |read| deadline_after_reading(begin, begin + read, 2 * second);
    assert_eq!(end(second / 100), begin + 2 * second);
    assert_eq!(end(3 * second), begin + 5 * second);
}

#[test]
fn an_answer_of_another_cluster_is_never_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let observer = observer(dir.path());
    let (mut gathering, _news) = gathering(&observer);
    answers(&mut gathering, "http://a", 1);
    answers(&mut gathering, "http://b", 2);
    let contents = observer.volume.inspect(Depth::Quick).unwrap();
    let look = gathering.into_look(contents, Instant::now());
    let decision = decide::decide(&observer.config.policy, &look.seen);
    assert_eq!(decision.reason(), decide::Reason::TwoClusters);
}

#[test]
fn own_data_asks_one_gateway_and_the_others_when_that_fails() {
    let dir = tempfile::tempdir().unwrap();
    let observer = observer(dir.path());
    let (mut gathering, _news) = gathering(&observer);
    gathering.seen.data = DataDir::Own(decide::Identity {
        member: MemberId(7),
        cluster: ClusterId(1),
    });
    for url in [
        "http://127.9.9.2:2",
        "http://127.9.9.3:2",
        "http://127.9.9.4:2",
    ] {
        gathering.ask_gateway(url);
    }
    assert_eq!((gathering.gateways_open, gathering.spare.len()), (1, 2));
    let silent = Failure::GatewayOff("silent".into());
    gathering.absorb(News::Gateway("http://127.9.9.2:2".into(), Err(silent)));
    assert_eq!((gathering.gateways_open, gathering.spare.len()), (2, 0));
    // Somebody else's leader proves nothing for our data.
    gathering.spare.push("http://127.9.9.5:2".into());
    answers(&mut gathering, "http://127.9.9.3:2", 2);
    assert!(gathering.spare.is_empty());
}

/// As it is here, a voter that has published: then nobody is asked for a leader.
#[test]
fn a_plain_restart_asks_nobody_for_a_leader() {
    type Change = fn(&mut Observation, &mut Member);
    let changes: [(&str, bool, Change); 10] = [
        ("as it is", true, |_, _| {}),
        ("learner", false, |_, entry| entry.learner = true),
        ("unstarted", false, |_, entry| entry.client_urls.clear()),
        ("renamed", false, |_, entry| entry.name = "n2".into()),
        ("moved", false, |_, entry| {
            entry.peer_urls = vec!["http://127.9.9.3:1".into()]
        }),
        ("not listed", false, |_, entry| entry.id = MemberId(8)),
        ("given up", false, |seen, _| seen.given_up = true),
        ("removed", false, |seen, _| {
            seen.listed_here = decide::ListedHere::Removed
        }),
        ("stalled", false, |seen, _| seen.stalled = true),
        ("on trial", false, |seen, _| seen.trial = Trial::Behind),
    ];
    for (what, plain, change) in changes {
        let dir = tempfile::tempdir().unwrap();
        let all = "n1=http://n1.invalid:1,n2=http://127.9.9.2:1";
        let observer = observer_of(dir.path(), all);
        let (mut gathering, _news) = gathering(&observer);
        gathering.seen.data = DataDir::Own(decide::Identity {
            member: MemberId(7),
            cluster: ClusterId(1),
        });
        let mut members = quorate(1).members;
        let mut other = members[0].clone();
        (other.id, other.name) = (MemberId(9), "n2".into());
        other.client_urls = vec!["http://127.9.9.2:2".into()];
        change(&mut gathering.seen, &mut members[0]);
        members.push(other);
        let cluster = ClusterId(1);
        gathering.unheard[0] = 1;
        gathering.absorb(News::Peer(
            0,
            Heard::Etcd { cluster, members }.into(),
            Duration::from_secs(1),
        ));
        // A restart like any other does not wait for the version of its peers.
        if !plain {
            assert!(gathering.gateways.is_empty(), "{what}");
            while gathering.twins_open > 0 {
                gathering.absorb(News::Twin(None));
            }
            assert!(gathering.until() > Instant::now(), "{what}");
            gathering.absorb(News::Version(0));
        }
        assert_eq!(gathering.gateways.is_empty(), plain, "{what}");
        if plain {
            let listed = gathering.listed_at.unwrap();
            assert_eq!(gathering.far, ["http://127.9.9.2:2"]);
            assert!(gathering.until() < listed + Duration::from_secs(1));
            gathering.absorb(News::Far(None));
            // It was asked only now, and the way is long.
            assert_eq!(gathering.until(), listed + Duration::from_secs(2));
        }
        while gathering.twins_open > 0 {
            gathering.absorb(News::Twin(None));
        }
        let ends = gathering.until();
        match what {
            "as it is" => assert!(ends <= Instant::now()),
            "given up" | "stalled" | "on trial" => assert_eq!(ends, gathering.deadline, "{what}"),
            _ => {}
        }
        let contents = observer.volume.inspect(Depth::Quick).unwrap();
        let look = gathering.into_look(contents, Instant::now());
        let policy = &observer.config.policy;
        assert_eq!(decide::is_settled(policy, &look.seen), plain, "{what}");
    }
}

/// A member that lists us just as we are here, and has come less far: a leader has to say what is committed.
#[test]
fn a_restart_beside_one_that_has_come_less_far_asks_for_a_leader() {
    let far = |index, term, leader: Option<u64>| Status {
        cluster: ClusterId(1),
        member: MemberId(9),
        version: "3.5.30".into(),
        leader: leader.map(MemberId),
        raft_index: index,
        raft_term: term,
        applied_index: None,
        learner: false,
        db_size: 0,
        db_in_use: 0,
        quota: None,
        revision: 1,
        errors: Vec::new(),
    };
    for (status, plain, patient) in [
        (far(10, 3, Some(9)), true, false),
        (far(9, 3, Some(9)), false, true),
        (far(10, 2, Some(9)), false, true),
        // What follows us, as we were before this start, or nobody, waits for us perhaps.
        (far(9, 3, Some(7)), false, false),
        (far(9, 3, None), false, false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let observer = observer_of(dir.path(), "n1=http://n1.invalid:1,n2=http://127.9.9.2:1");
        let (mut gathering, _news) = gathering(&observer);
        gathering.seen.data = DataDir::Own(decide::Identity {
            member: MemberId(7),
            cluster: ClusterId(1),
        });
        gathering.seen.committed = decide::Progress { index: 10, term: 3 };
        let mut members = quorate(1).members;
        let mut other = members[0].clone();
        (other.id, other.name) = (MemberId(9), "n2".into());
        other.client_urls = vec!["http://127.9.9.2:2".into()];
        members.push(other);
        let cluster = ClusterId(1);
        gathering.unheard[0] = 1;
        let heard = Heard::Etcd { cluster, members };
        gathering.absorb(News::Peer(0, heard.into(), Duration::ZERO));
        gathering.absorb(News::Version(0));
        while gathering.twins_open > 0 {
            gathering.absorb(News::Twin(None));
        }
        gathering.absorb(News::Far(Some(status)));
        assert_eq!(gathering.gateways.is_empty(), plain);
        assert_eq!(gathering.until() == gathering.deadline, patient);
        assert_eq!(gathering.until() <= Instant::now(), plain);
    }
}

#[test]
fn nothing_is_decided_about_an_empty_volume_before_a_twin_could_answer() {
    let dir = tempfile::tempdir().unwrap();
    let observer = observer(dir.path());
    let (mut gathering, _news) = gathering(&observer);
    answers(&mut gathering, "http://a", 1);
    assert_eq!(gathering.twins, ["http://n1.invalid:2"]);
    assert_eq!(gathering.until(), gathering.deadline);
    gathering.absorb(News::Twin(None));
    assert!(gathering.until() <= Instant::now());
}

#[test]
fn an_entry_that_has_only_our_name_is_asked_where_it_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let observer = observer(dir.path());
    let (mut gathering, _news) = gathering(&observer);
    let mut members = quorate(1).members;
    members[0].peer_urls = vec!["http://127.9.9.3:1".into()];
    gathering.ask_twins_of(&members);
    let asked = ["http://n1.invalid:2", "http://127.9.9.3:1"];
    assert_eq!(gathering.twins, asked);
}

/// What follows may be a founding, or else nothing that two could do in one name.
#[test]
fn only_a_look_that_may_found_waits_for_our_own_url_and_not_for_long() {
    let dir = tempfile::tempdir().unwrap();
    let observer = observer(dir.path());
    let (mut gathering, _news) = gathering(&observer);
    gathering.ask_own_urls();
    assert!(gathering.until() > Instant::now());
    assert!(gathering.until() < gathering.deadline);
    gathering.absorb(News::OwnUrl(None));
    assert!(gathering.until() <= Instant::now(), "it was heard");
    gathering.ask_own_urls();
    gathering.seen.quorate = Some(quorate(1));
    assert!(gathering.until() <= Instant::now(), "a leader is proven");
}

#[test]
fn an_entrypoint_of_our_name_counts_only_if_it_stays() {
    for (stays, data, twin) in [
        (true, DataDir::Empty, true),
        (true, DataDir::Damaged { head: None }, true),
        (false, DataDir::Empty, false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let observer = observer(dir.path());
        let (mut gathering, _news) = gathering(&observer);
        gathering.seen.data = data;
        let heard = WhoRuns::Entrypoint("http://n1.invalid:1".into());
        gathering.absorb(News::OwnUrl(Some(heard)));
        assert_eq!(gathering.until(), gathering.deadline);
        assert!(!gathering.is_twin());
        gathering.absorb(News::Stays(stays));
        assert!(gathering.until() <= Instant::now());
        assert_eq!(gathering.is_twin(), twin);
    }
}

/// Not even for the grace of a first start that goes on: it would end in a second vote.
#[test]
fn a_promised_first_start_waits_for_an_entrypoint_of_our_name() {
    let dir = tempfile::tempdir().unwrap();
    let observer = observer(dir.path());
    let (mut gathering, _news) = gathering(&observer);
    gathering.seen.promise = true;
    let mut members = quorate(1).members;
    members[0].client_urls.clear();
    gathering.seen.peers.push(Peer {
        name: "n2".into(),
        initial: true,
        heard: Heard::Etcd {
            cluster: observer.config.policy.static_cluster,
            members,
        },
    });
    gathering.note_time();
    gathering.gateways_open = 1;
    assert!(gathering.until() < gathering.deadline);
    let heard = WhoRuns::Entrypoint("http://n1.invalid:1".into());
    gathering.absorb(News::OwnUrl(Some(heard)));
    assert_eq!(gathering.until(), gathering.deadline);
}

#[test]
fn own_data_does_not_mind_an_entrypoint_of_our_name() {
    let dir = tempfile::tempdir().unwrap();
    let observer = observer(dir.path());
    let (mut gathering, _news) = gathering(&observer);
    gathering.seen.data = DataDir::Own(decide::Identity {
        member: MemberId(7),
        cluster: ClusterId(1),
    });
    let heard = WhoRuns::Entrypoint("http://n1.invalid:1".into());
    gathering.absorb(News::OwnUrl(Some(heard)));
    assert_eq!(gathering.doubts_open, 0);
    assert!(!gathering.is_twin());
}

/// It was an entrypoint when we began, and has gone on to etcd since.
#[test]
fn an_etcd_at_our_own_url_is_noticed_while_we_serve() {
    let dir = tempfile::tempdir().unwrap();
    let observer = observer(dir.path());
    let (mut gathering, _news) = gathering(&observer);
    let lists = WhoRuns::ListsMembers("http://me:2380".into(), ClusterId(1), quorate(1).members);
    gathering.absorb(News::OwnUrl(Some(lists)));
    assert!(gathering.is_twin());
}

/// Whoever was heard too late for one look is waited for in the next.
#[test]
fn somebody_else_at_our_own_url_is_asked_again_by_the_next_look() {
    let dir = tempfile::tempdir().unwrap();
    let observer = observer(dir.path());
    all(&observer.strange).push("http://n1.invalid:1".into());
    let (mut gathering, _news) = gathering(&observer);
    let contents = observer.volume.inspect(Depth::Quick).unwrap();
    gathering.know_volume(&contents, Trial::None);
    assert_eq!(gathering.twins, ["http://n1.invalid:1"]);
    assert_eq!(gathering.until(), gathering.deadline);
    assert!(all(&observer.strange).is_empty());
}

/// A line that changes is printed again: one that depends on who fails first would fill the log.
#[test]
fn what_is_said_of_failures_does_not_depend_on_their_order() {
    let said = |order: [usize; 2]| {
        let dir = tempfile::tempdir().unwrap();
        let observer = observer_of(dir.path(), "n1=http://n1.invalid:1,n2=http://127.9.9.2:1");
        let (mut gathering, _news) = gathering(&observer);
        for index in order {
            let words = ["first: connection refused", "second: no route to host"][index];
            let silent = Heard::Silent(words.into());
            gathering.absorb(News::Peer(0, silent.into(), Duration::ZERO));
            gathering.gateways_open += 1;
            let failure = Failure::GatewayOff(format!("gateway {words}"));
            gathering.absorb(News::Gateway("http://127.9.9.2:2".into(), Err(failure)));
        }
        let contents = observer.volume.inspect(Depth::Quick).unwrap();
        let look = gathering.into_look(contents, Instant::now());
        (look.seen.peers, look.seen.refused, look.seen.failures)
    };
    let (peers, refused, failures) = said([0, 1]);
    assert_eq!(
        peers[0].heard,
        Heard::Silent("first: connection refused".into())
    );
    assert_eq!(
        refused.as_deref(),
        Some("gateway first: connection refused")
    );
    assert_eq!(failures.len(), 3);
    assert_eq!((peers, refused, failures), said([1, 0]));
}

/// Own data is waited for where nobody else is; what is empty, unless the cluster lists it.
#[test]
fn a_store_is_waited_for_where_it_may_decide() {
    let own = DataDir::Own(decide::Identity {
        member: MemberId(7),
        cluster: ClusterId(1),
    });
    let listed = || Heard::Etcd {
        cluster: ClusterId(1),
        members: quorate(1).members,
    };
    let waits = |data: &DataDir, heard: Option<Heard>, leads: bool, rejoins: bool| {
        let dir = tempfile::tempdir().unwrap();
        let all = "n1=http://n1.invalid:1,n2=http://127.9.9.2:1";
        let observer = observer_with(dir.path(), all, "/nowhere");
        let (mut gathering, _news) = gathering(&observer);
        gathering.seen.data = data.clone();
        gathering.ask_store(rejoins);
        gathering.unheard[0] = 1;
        let silent = Heard::Silent("refused".into());
        gathering.absorb(News::Peer(
            0,
            heard.unwrap_or(silent).into(),
            Duration::ZERO,
        ));
        if leads {
            answers(&mut gathering, "http://a", 1);
        }
        let waits = gathering.waits_for_store();
        gathering.absorb(News::Store(decide::StoreSeen::Silent("none".into())));
        assert!(!gathering.waits_for_store());
        waits
    };
    assert!(waits(&own, None, false, false));
    assert!(!waits(&own, Some(listed()), false, false));
    assert!(!waits(&own, None, true, false));
    assert!(waits(&DataDir::Empty, None, false, false));
    // It is listed by its URL: what follows is a rejoin.
    assert!(!waits(&DataDir::Empty, None, true, false));
    assert!(waits(&DataDir::Damaged { head: None }, None, false, false));
}

#[test]
fn members_that_only_the_store_knows_are_asked() {
    let dir = tempfile::tempdir().unwrap();
    let all = "n1=http://n1.invalid:1,n2=http://127.9.9.2:1";
    let observer = observer_with(dir.path(), all, "/nowhere");
    let (mut gathering, _news) = gathering(&observer);
    gathering.ask_store(false);
    let member = |name: &str, url: &str| decide::KeptMember {
        name: name.into(),
        peer_urls: vec![url.into()],
        voter: true,
    };
    let kept = decide::Kept {
        members: vec![
            member("n1", "http://n1.invalid:1"),
            member("n2", "http://127.9.9.2:1"),
            member("n4", "http://127.9.9.4:1"),
        ],
        ..decide::Kept::default()
    };
    gathering.absorb(News::Store(decide::StoreSeen::Read(kept)));
    let asked = gathering
        .seen
        .peers
        .iter()
        .map(|peer| (&*peer.name, peer.initial));
    assert_eq!(asked.collect::<Vec<_>>(), [("n2", true), ("n4", false)]);
}
