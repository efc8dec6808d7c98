//! Do we understand what etcd answers? Recorded replies of each version, hostile ones, and real etcd.
//!
//! `tests/setup/record-gateway.sh` records again.

mod support;

#[path = "gateway/hostile.rs"]
mod hostile;
#[path = "gateway/live.rs"]
mod live;
#[path = "gateway/replay.rs"]
mod replay;

#[path = "gateway/serve.rs"]
mod serve;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use etcd_rejoin::access::{Credentials, TlsFiles};
use etcd_rejoin::gateway::{Client, Failure};
use etcd_rejoin::membership::{Member, MemberId};
use serde_json::Value;

use replay::{Recorded, Server, versions};

/// call, `+user` with the right password, `+wrong` with a wrong one | what is replayed | outcome | words of the failure | only this version
///
/// `?` is unstarted, `*` a learner. A failure lists every question that it answers with yes.
const TABLE: &str = "
peer         | peer-members-fresh                | members n1? n2? n3?      | |
peer         | peer-members                      | members n1 n2 n3         | |
peer         | peer-members-unstarted            | members ?* n1 n2 n3      | |
peer         | peer-members-learner              | members n1 n2 n3 n4*     | |
peer         | lost-peer-members                 | members n1 n2 n3         | |
peer         | auth-peer-members                 | members one              | |
local        | list                              | members n1 n2 n3         | |
local        | list-unstarted                    | members ?* n1 n2 n3      | |
local        | lost-list                         | members n1 n2 n3         | |
local        | list-before-quorum                | unreachable timed-out    | no answer in time |
quorate      | range list-linearizable           | members n1 n2 n3         | |
quorate      | lost-range                        | rejected 14 no-leader timed-out | request timed out |
quorate      | range lost-list-linearizable      | rejected 14 no-leader timed-out | request timed out | 3.5 3.6 3.7
versioned    | peer-members version list-linearizable | members n1 n2 n3    | | 3.5 3.6 3.7
versioned    | peer-members version range list-linearizable | members n1 n2 n3 | | 3.4
versioned    | peer-members peer-version-fresh range list-linearizable | members n1 n2 n3 | |
versioned    | auth-peer-members version list-linearizable range list-linearizable | members n1 n2 n3 | | 3.5 3.6 3.7
quorate      | learner-range                     | rejected 14 learner-refusal | not supported for learner | 3.4 3.5
quorate      | learner-range                     | rejected 9 learner-refusal | not supported for learner | 3.6 3.7
local        | learner-list                      | rejected 14 learner-refusal | not supported for learner | 3.4 3.5
local        | learner-list                      | rejected 9 learner-refusal | not supported for learner | 3.6 3.7
promote      | learner-promote                   | rejected 14 learner-refusal | not supported for learner | 3.4 3.5
promote      | learner-promote                   | rejected 9 learner-refusal | not supported for learner | 3.6 3.7
status       | learner-status                    | status learner leader    | |
status       | status                            | status leader            | |
status       | lost-status                       | status no leader: etcdserver: no leader | |
health       | health                            | true                     | |
health       | learner-health                    | true                     | |
health       | lost-health                       | false                    | |
health       | health-before-quorum              | unreachable timed-out    | no answer in time |
add          | add-learner                       | added                    | |
add          | add-voter                         | added                    | |
add          | add-unhealthy                     | rejected 14 unhealthy-cluster | unhealthy cluster |
add          | lost-add                          | rejected 14 unhealthy-cluster | unhealthy cluster |
add          | add-url-exists                    | rejected 9 url-exists    | Peer URLs already exists |
add          | add-id-exists                     | rejected 9 url-exists    | member ID already exist |
add          | add-too-many-learners             | rejected 9 too-many-learners | too many learner members |
add          | add-invalid-url                   | rejected 3 bad-url       | given member URLs are invalid |
add          | add-no-url                        | rejected 3 bad-url       | given member URLs are invalid |
remove       | remove                            | done                     | |
remove       | remove-not-found                  | rejected 5 member-not-found | member not found |
remove       | remove-last                       | rejected 2 not-enough-started | not enough started members |
remove       | lost-remove                       | unreachable timed-out    | no answer in time |
update       | update                            | done                     | |
update       | update-not-found                  | rejected 5 member-not-found | member not found |
update       | update-url-exists                 | rejected 9 url-exists    | Peer URLs already exists |
promote      | promote                           | done                     | |
promote      | promote-not-found                 | rejected 5 member-not-found | member not found |
promote      | promote-not-learner               | rejected 9 not-learner   | can only promote a learner |
promote      | promote-not-in-sync               | rejected 9 not-in-sync   | in sync with leader |
local        | off-list off-version              | gateway-off              | --enable-grpc-gateway |
health       | off-health                        | true                     | |
local        | http-to-https                     | unreachable              | is its URL https? |
local        | cn-list                           | refused                  | use one without |
quorate+user | auth-range-anonymous cn-authenticate | refused               | use one without |
local        | one-way-list                      | refused or rejected 14   | clientAuth |
health       | one-way-health                    | true                     | |
local        | health                            | not-etcd 404             | no gateway |
quorate      | auth-range-anonymous auth-list-anonymous | members one       | | 3.4 3.5.16
quorate      | auth-range-anonymous auth-list-anonymous | refused           | auth is on | 3.5.30 3.6 3.7
quorate+user | auth-range-anonymous authenticate auth-range-root auth-list-root | members one | |
quorate+user | auth-range-bad-token authenticate auth-range-root auth-list-root | members one | |
quorate+user | auth-range-plain auth-list-plain  | members one              | |
quorate+wrong| auth-range-anonymous authenticate-bad | refused              | correct the user |
status       | auth-status-anonymous             | status leader            | | 3.4 3.5.16
status       | auth-status-anonymous             | refused                  | auth is on | 3.5.30 3.6 3.7
add          | auth-add-anonymous                | refused                  | auth is on |
add+user     | auth-add-plain                    | refused                  | role root |
add+user     | auth-add-bad-token authenticate auth-add-plain | refused     | role root |
add+user     | auth-add-bad-token authenticate   | refused                  | invalid auth token |
add+user     | auth-add-anonymous authenticate-off | rejected 9             | not enabled |
";

#[test]
fn every_recorded_reply_is_understood() {
    let rows: Vec<Row> = TABLE.lines().filter_map(Row::parse).collect();
    let versions = versions();
    let minors: BTreeSet<&str> = (versions.iter())
        .filter_map(|version| Some(version.rsplit_once('.')?.0))
        .collect();
    assert_eq!(minors, BTreeSet::from(["3.4", "3.5", "3.6", "3.7"]));
    let wrong: Vec<String> = (versions.iter())
        .flat_map(|version| rows.iter().filter_map(move |row| row.check(version)))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Up to 3.5, whoever changes a learner's peer URLs makes it a voter in the list, and a learner for ever in
/// Raft: it can never be promoted after that, only removed.
#[test]
fn an_update_forgets_that_a_member_is_a_learner() {
    for version in versions() {
        let reply = Recorded::load(&version, "update-learner").reply.unwrap();
        let reply = String::from_utf8(reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
        let forgets = version.starts_with("3.4.") || version.starts_with("3.5.");
        assert_eq!(!reply.contains("isLearner"), forgets, "{version}: {reply}");
    }
}

#[test]
fn a_password_is_never_printed() {
    let printed = format!("{:?}", client(Some(root("hunter2"))));
    assert!(
        printed.contains("root") && !printed.contains("hunter2"),
        "{printed}"
    );
}

#[test]
fn a_client_is_shared_between_threads() {
    fn shared<T: Clone + Send + Sync + 'static>(_: T) {}
    shared(client(None));
}

struct Row {
    call: String,
    password: Option<&'static str>,
    scene: Vec<String>,
    outcome: String,
    words: String,
    only: String,
}

impl Row {
    fn parse(line: &str) -> Option<Row> {
        let mut columns = line.split('|').map(str::trim).map(str::to_string);
        let call = columns.next().filter(|call| !call.is_empty())?;
        let mut next = || columns.next().unwrap_or_default();
        Some(Row {
            password: match call.split_once('+') {
                Some((_, "user")) => Some("secret"),
                Some(_) => Some("wrong"),
                None => None,
            },
            call: call.split('+').next()?.into(),
            scene: next().split_whitespace().map(str::to_string).collect(),
            outcome: next(),
            words: next(),
            only: next(),
        })
    }

    /// What is wrong with it, if anything.
    fn check(&self, version: &str) -> Option<String> {
        let mut only = self.only.split_whitespace();
        if !self.only.is_empty() && !only.any(|only| version.starts_with(only)) {
            return None;
        }
        let load = |name: &String| Recorded::load(version, name);
        let scene: Vec<Recorded> = self.scene.iter().map(load).collect();
        let asked = scene[0].asked();
        let silent = scene.iter().any(|one| one.reply.is_none());
        let server = Server::replaying(scene);
        let patience = Duration::from_millis(if silent { 200 } else { 5000 });
        let client = client(self.password.map(root));
        let result = call(
            &client,
            &self.call,
            &server.url,
            &asked,
            Instant::now() + patience,
        );
        let (outcome, words) = match result {
            Ok(outcome) => (outcome, String::new()),
            Err(failure) => (kind(&failure), failure.to_string()),
        };
        let fits =
            self.outcome.split(" or ").any(|one| one == outcome) && words.contains(&self.words);
        (!fits).then(|| {
            format!(
                "{version} {} {:?}: {outcome} | {words}",
                self.call, self.scene
            )
        })
    }
}

fn client(credentials: Option<Credentials>) -> Client {
    Client::new(&TlsFiles::default(), credentials).unwrap()
}

fn root(password: &str) -> Credentials {
    Credentials {
        user: "root".into(),
        password: password.into(),
    }
}

fn call(
    client: &Client,
    call: &str,
    url: &str,
    asked: &Value,
    deadline: Instant,
) -> Result<String, Failure> {
    let id = MemberId(asked["ID"].as_str().map_or(0, |id| id.parse().unwrap()));
    let urls: Vec<String> = serde_json::from_value(asked["peerURLs"].clone()).unwrap_or_default();
    let learner = asked["isLearner"].as_bool().unwrap_or(false);
    Ok(match call {
        "peer" => listed(&client.peer_members(url, deadline)?.members),
        "local" => listed(&client.local_members(url, deadline)?.members),
        "quorate" => listed(&client.quorate_members(url, deadline)?.members),
        "versioned" => {
            let view = client.peer_members(url, deadline)?;
            if client.lists_are_linearizable(url, deadline)? {
                client.trust_lists_of(view.cluster);
            }
            listed(&client.quorate_members(url, deadline)?.members)
        }
        "add" => {
            assert_ne!(client.member_add(url, &urls, learner, deadline)?.0, 0);
            "added".into()
        }
        "remove" => done(client.member_remove(url, id, deadline)?),
        "update" => done(client.member_update(url, id, &urls, deadline)?),
        "promote" => done(client.member_promote(url, id, deadline)?),
        "health" => client.health(url, deadline)?.to_string(),
        "status" => {
            let status = client.status(url, deadline)?;
            assert!(status.raft_index > 0 && status.db_size > 0 && status.member.0 != 0);
            assert!(status.version.starts_with("3."), "{status:?}");
            let learner = if status.learner { "learner " } else { "" };
            match status.leader {
                Some(_) => format!("status {learner}leader"),
                None => format!("status {learner}no leader: {}", status.errors.join(", ")),
            }
        }
        unknown => panic!("no call {unknown}"),
    })
}

fn done(_: ()) -> String {
    "done".into()
}

fn listed(members: &[Member]) -> String {
    let mut names: Vec<String> = (members.iter())
        .map(|member| {
            let unstarted = if member.started() { "" } else { "?" };
            let learner = if member.learner { "*" } else { "" };
            format!("{}{unstarted}{learner}", member.name)
        })
        .collect();
    names.sort();
    format!("members {}", names.join(" "))
}

/// The kind of a failure, and every question that it answers with yes.
fn kind(failure: &Failure) -> String {
    let kind = match failure {
        Failure::Unreachable { .. } => "unreachable".to_string(),
        Failure::Refused(_) => "refused".into(),
        Failure::Rejected { code, .. } => format!("rejected {code}"),
        Failure::GatewayOff(_) => "gateway-off".into(),
        Failure::NotEtcd { status, .. } => match status {
            Some(status) => format!("not-etcd {status}"),
            None => "not-etcd".into(),
        },
    };
    let questions = BTreeMap::from([
        ("unhealthy-cluster", failure.is_unhealthy_cluster()),
        ("not-enough-started", failure.is_not_enough_started()),
        ("bad-url", failure.is_bad_url()),
        ("member-not-found", failure.is_member_not_found()),
        ("url-exists", failure.is_url_exists()),
        ("not-in-sync", failure.is_not_in_sync()),
        ("not-learner", failure.is_not_learner()),
        ("too-many-learners", failure.is_too_many_learners()),
        ("no-leader", failure.is_no_leader()),
        ("learner-refusal", failure.is_learner_refusal()),
        ("timed-out", failure.timed_out()),
    ]);
    let yes = questions.iter().filter(|(_, yes)| **yes);
    let yes = yes.map(|(question, _)| format!(" {question}"));
    kind + &yes.collect::<String>()
}
