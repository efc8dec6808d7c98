//! Reads `decisions.txt`: cases in words, each with one or several observations. The words are
//! explained at the top of that file.

use crate::cases::Meaning;

use etcd_rejoin_decide::membership::{ClusterId, InitialCluster, Member, MemberId};
use etcd_rejoin_decide::{
    Begin, Bootstrap, DataDir, Decision, Dir, Elsewhere, FoundThere, Heard, Holds, Identity,
    JoinAs, JoinsOnly, Kept, KeptLineage, KeptMarker, KeptMember, KeptOrder, KeptSnapshot, Knock,
    ListedHere, MemberProgress, Misplaced, Nonce, Observation, OrderOutcome, Ordered, OwnUrl, Peer,
    Policy, Progress, Quorate, Recover, Removal, SaidOfStore, SetWants, Start, Steady, Step,
    StoreSeen, StoreStep, Surroundings, TABLE, ToAsk, Trial, Wants, decide, without_passed_over,
};

pub type Case = crate::cases::Case<(Policy, Observation)>;

pub fn cases(text: &str) -> Vec<Case> {
    let any = |verb: &str| panic!("{verb:?} has no choices");
    crate::cases::cases(text, &Meaning { variant, any })
}

fn variant(at: usize, lines: &[String]) -> (Policy, Observation) {
    let mut policy = policy("n1,n2,n3");
    let mut seen = Observation {
        listened: true,
        ..Observation::default()
    };
    // The policy comes first: who the peers are depends on it.
    for line in lines {
        if let Some(words) = line.strip_prefix("policy ") {
            read_policy(at, &mut policy, words);
        }
    }
    seen.peers = peers(&policy, |_| Heard::Silent("timed out".into()));
    for line in lines {
        let (verb, words) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "policy" => {}
            "data-dir" => read_data_dir(at, &mut seen, words),
            "notes" => read_notes(at, &mut seen, words),
            "cluster" => read_cluster(at, &policy, &mut seen, words),
            "peer" => read_peer(at, &mut seen, words),
            "also" => read_also(at, &mut seen, words),
            "store" => seen.store = Some(store(at, words)),
            "said" => seen.said = words.split(' ').map(|word| said(at, word)).collect(),
            _ => panic!("line {at}: {verb:?} is no verb of this file"),
        }
    }
    let mut seen = without_passed_over(seen);
    let same = |line: &String| line.starts_with("also ") && line.contains("failed=same");
    if lines.iter().any(same) {
        let mut before = seen.clone();
        before.leftovers = false;
        if let Decision::Start(start, _) = decide(&policy, &before) {
            seen.failed = Some(start);
        }
    }
    let denied = |line: &String| line.starts_with("also ") && line.contains("denied=same");
    let mut before = seen.clone();
    before.surroundings = Surroundings::default();
    if lines.iter().any(denied)
        && let Decision::Do(step, _) = decide(&policy, &before)
    {
        seen.denied = Some((step, "403".into()));
    }
    (policy, seen)
}

fn new_on_trial() -> Start {
    Start {
        begin: Begin::New,
        trial: true,
        promote: false,
    }
}

/// We are always n3, of the cluster that the policy names.
pub fn policy(initial: &str) -> Policy {
    let urls: Vec<String> = (initial.split(','))
        .map(|name| format!("{name}={}", url(name)))
        .collect();
    Policy {
        name: "n3".into(),
        peer_urls: vec![url("n3")],
        initial: InitialCluster::parse(&urls.join(",")).unwrap(),
        static_id: id("n3"),
        static_others: initial
            .split(',')
            .filter(|name| *name != "n3")
            .map(id)
            .collect(),
        static_cluster: ClusterId(1),
        ..Policy::default()
    }
}

fn read_policy(at: usize, policy: &mut Policy, words: &str) {
    for word in words.split_whitespace() {
        match word.split_once('=').unwrap_or((word, "")) {
            ("vote", "") => policy.wants = Wants::Vote,
            ("leave", "") => policy.wants = Wants::Leave,
            ("if-scaled-down", "") => policy.if_scaled_down = true,
            ("ordinal", number) => policy.ordinal = Some(number.parse().unwrap()),
            ("name", name) => policy.name = name.into(),
            ("initial", names) => {
                let of = self::policy(names);
                (policy.initial, policy.static_others) = (of.initial, of.static_others);
            }
            ("bootstrap", "all") => policy.bootstrap = Bootstrap::All,
            ("bootstrap", "now") => policy.bootstrap = Bootstrap::Now,
            ("bootstrap", "never") => policy.bootstrap = Bootstrap::Never,
            ("join", "auto") => policy.join = JoinAs::Auto,
            ("join", "voter") => policy.join = JoinAs::Voter,
            ("join", "learner") => policy.join = JoinAs::Learner,
            ("join", "never") => policy.join = JoinAs::Never,
            ("state", "existing") => policy.joins_only = Some(JoinsOnly::State),
            ("outside", "") => policy.joins_only = Some(JoinsOnly::Outside),
            ("shared-url", "") => policy.joins_only = Some(JoinsOnly::SharedUrl),
            ("knows-others", "") => policy.knows_others = true,
            ("listens-wide", "") => policy.listens_wide = true,
            ("url-not-given", "") => {
                policy.peer_urls = vec!["http://localhost:2380".into()];
                policy.peer_urls_given = false;
            }
            ("url", url) => policy.peer_urls = vec![url.into()],
            ("recover", "auto") => policy.recover = Recover::Auto,
            ("recover", "hold") => policy.recover = Recover::Hold,
            ("keep", number) => policy.keep = Some(number.parse().unwrap()),
            _ => panic!("line {at}: {word:?} is no policy"),
        }
    }
}

fn read_data_dir(at: usize, seen: &mut Observation, words: &str) {
    let mut words: Vec<&str> = words.split(' ').collect();
    let cluster = match words.as_slice() {
        [.., "of", cluster] => {
            let cluster = self::cluster(at, cluster);
            words.truncate(words.len() - 2);
            cluster
        }
        _ => ClusterId(1),
    };
    let identity = |member| Identity {
        member: id(member),
        cluster,
    };
    seen.data = match words[..] {
        ["empty"] => DataDir::Empty,
        ["own", member] => DataDir::Own(identity(member)),
        ["torn", member] => {
            seen.torn = true;
            DataDir::Own(identity(member))
        }
        ["damaged"] => DataDir::Damaged { head: None },
        ["damaged", member] => DataDir::Damaged {
            head: Some(identity(member)),
        },
        _ => panic!("line {at}: {words:?} is no data dir"),
    };
}

fn read_notes(at: usize, seen: &mut Observation, words: &str) {
    for word in words.split(' ') {
        match word.split_once('=').unwrap_or((word, "")) {
            ("none", "") => {}
            ("join", entry) => seen.join_note = Some(id(entry)),
            ("adding", "") => seen.adding = true,
            ("promise", "") => seen.promise = true,
            ("promise", nonce) => {
                (seen.promise, seen.promise_nonce) = (true, Some(Nonce(nonce.into())));
            }
            ("order", number) => seen.order_note = Some(number.parse().unwrap()),
            ("restoring", words) => {
                let (number, nonce) = words.split_once('/').expect("NUMBER/NONCE");
                seen.restoring = Some((number.parse().unwrap(), Nonce(nonce.into())));
            }
            ("given-up", "") => seen.given_up = true,
            ("left", "") => seen.left = true,
            ("left-scaled", "") => (seen.left, seen.left_scaled) = (true, true),
            ("added", entry) => seen.added = Some(id(entry)),
            ("added-learner", entry) => seen.added_learner = Some(id(entry)),
            _ => panic!("line {at}: {word:?} is no note"),
        }
    }
}

fn read_cluster(at: usize, policy: &Policy, seen: &mut Observation, words: &str) {
    let (kind, rest) = words.split_once(' ').unwrap_or((words, ""));
    match kind {
        "silent" => {}
        "assembly" => {
            for word in rest.split(' ') {
                let (name, holds) = word.split_once('=').expect("NAME=WHAT IT HOLDS");
                hear(at, seen, name, entrypoint(at, holds));
            }
        }
        "no-leader" => {
            let etcd = etcd(at, rest);
            seen.peers = peers(policy, |_| etcd.clone());
        }
        "quorate" => {
            let etcd = etcd(at, rest);
            let Heard::Etcd { cluster, members } = etcd.clone() else {
                unreachable!("etcd() is etcd");
            };
            seen.peers = peers(policy, |_| etcd.clone());
            seen.quorate = Some(Quorate {
                cluster,
                members,
                reached: Some(Progress::default()),
                leader: None,
                at: "http://leader:2379".into(),
            });
        }
        _ => panic!("line {at}: {kind:?} is no cluster"),
    }
}

fn read_peer(at: usize, seen: &mut Observation, words: &str) {
    let (name, rest) = words.split_once(' ').expect("a name and an answer");
    let (kind, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let heard = match kind {
        "silent" => Heard::Silent("timed out".into()),
        "refuses" => Heard::Refused("401".into()),
        "nonsense" => Heard::Nonsense("<html>".into()),
        "etcd" => etcd(at, rest),
        holds => entrypoint(at, holds),
    };
    hear(at, seen, name, heard);
}

fn read_also(at: usize, seen: &mut Observation, words: &str) {
    for word in words.split(' ') {
        match word.split_once('=').unwrap_or((word, "")) {
            ("nothing", "") => {}
            ("in-use", "") => seen.in_use = true,
            ("leftovers", "") => seen.leftovers = true,
            ("stalled", "") => seen.stalled = true,
            ("no-chores", "") => seen.no_chores = true,
            ("heard-out", "") => seen.heard_out = true,
            ("far", words) => seen.progress.push(far(at, words)),
            ("not-listened", "") => seen.listened = false,
            ("steady", "") => seen.steady = Steady::Seconds,
            ("steady", "long") => seen.steady = Steady::HalfAMinute,
            ("called", by) => seen.knocks.push(caller(at, by)),
            ("probed", "") => seen.knocks.push(Knock::Probe),
            ("unreadable", "") => seen.knocks.push(Knock::Unreadable("TLS".into())),
            ("twin", "") => seen.twin = true,
            ("key-unfit", "") => seen.unfit = Some("the key is of another certificate".into()),
            ("gateway-unclear", "") => seen.unclear = Some("no leader".into()),
            ("gateway-refuses", "") => seen.refused = Some("403".into()),
            ("trial", "behind") => seen.trial = Trial::Behind,
            ("trial", "unreadable") => seen.trial = Trial::Unreadable,
            ("trial", "old-list") => seen.trial = Trial::OldList,
            ("old-lists", times) => seen.old_lists = times.parse().unwrap(),
            ("trial", "other") => seen.trial = Trial::Other,
            ("failed", "new") => seen.failed = Some(new_on_trial()),
            ("failed", "same") | ("denied", "same") => {}
            ("denied", "promise") => seen.denied = Some((Step::Promise, "403".into())),
            ("around", words) => read_surroundings(at, &mut seen.surroundings, words),
            ("misplaced", what) => seen.misplaced = Some(misplaced(at, what)),
            ("elsewhere", words) => seen.elsewhere.push(elsewhere(at, words)),
            ("committed", what) => seen.committed = progress(what),
            ("reached", what) => {
                if let Some(quorate) = &mut seen.quorate {
                    quorate.reached = Some(progress(what));
                }
            }
            ("here", "removed") => seen.listed_here = ListedHere::Removed,
            ("here", entry) => seen.listed_here = ListedHere::As(member(at, entry)),
            ("own-url", found) => seen.own_urls.push(own_url(at, found)),
            ("removal", "refused") => seen.removal = Removal::Refused("unhealthy".into()),
            ("removal", "unsure") => seen.removal = Removal::Unsure(Some("no answer".into())),
            ("removal", "of-an-earlier-run") => seen.removal = Removal::Unsure(None),
            ("removal", "done") => seen.removal = Removal::Done,
            ("over", "") => seen.over = true,
            ("leads", member) => {
                if let Some(quorate) = &mut seen.quorate {
                    quorate.leader = Some(id(member));
                }
            }
            ("asked-to-move", "") => seen.asked_to_move = true,
            ("set", words) => seen.set = set(words),
            ("rejoins", "") => seen.rejoins = true,
            ("set-aside", number) => seen.set_aside = number.parse().unwrap(),
            _ => panic!("line {at}: {word:?} is nothing else"),
        }
    }
}

/// `5`, or `3+5`: so many, from this ordinal on; `unknown`.
fn set(words: &str) -> SetWants {
    let (start, replicas) = words.split_once('+').unwrap_or(("0", words));
    match words {
        "unknown" => SetWants::Unknown("403".into()),
        _ => SetWants::Replicas {
            start: start.parse().unwrap(),
            replicas: replicas.parse().unwrap(),
        },
    }
}

/// What lies in the store: each lineage goes on with the one before it.
fn store(at: usize, words: &str) -> StoreSeen {
    let mut kept = Kept::default();
    if words == "silent" {
        return StoreSeen::Silent("timed out".into());
    }
    let nonce = |text: &str| Nonce(text.into());
    for word in words.split(' ') {
        let (kind, rest) = word.split_once('=').unwrap_or((word, ""));
        let mut parts = rest.split('/');
        let mut part = || parts.next().filter(|part| !part.is_empty());
        match kind {
            "empty" => {}
            "cannot-decide" => kept.cannot_decide = true,
            // The nonce, and the promises.
            "marker" => {
                kept.marker = Some(KeptMarker {
                    nonce: nonce(part().unwrap_or("m")),
                    promises: part().map_or(Vec::new(), |all| all.split(',').map(nonce).collect()),
                });
            }
            // The number, the cluster and the base.
            "lineage" => {
                let number: u64 = part().unwrap().parse().unwrap();
                let older = kept.lineages.last().map(|it| it.nonce.clone());
                kept.lineages.push(KeptLineage {
                    number,
                    nonce: nonce(
                        &(if number == 1 {
                            "m".into()
                        } else {
                            format!("l{number}")
                        }),
                    ),
                    parent: older,
                    cluster: cluster(at, part().expect("a cluster")),
                    base: part().map(String::from),
                });
            }
            // Lineage and revision; it is its name too.
            "snapshot" | "bad-snapshot" => {
                let name = part().expect("a snapshot");
                let (lineage, revision) = name.split_once('-').expect("LINEAGE-REVISION");
                kept.snapshots.push(KeptSnapshot {
                    name: name.into(),
                    lineage: lineage.parse().unwrap(),
                    revision: revision.parse().unwrap(),
                    bad: kind == "bad-snapshot",
                });
            }
            // The number, the snapshot, and what is known of it.
            "order" => {
                let number = part().unwrap().parse().unwrap();
                let what = part().expect("a snapshot, or survivor:NAME");
                let rest: Vec<&str> = std::iter::from_fn(part).collect();
                let destroyed = rest.iter().find_map(|it| it.strip_prefix("destroyed:"));
                kept.orders.push(KeptOrder {
                    number,
                    what: match what.strip_prefix("survivor:") {
                        Some(name) => Ordered::Survivor {
                            name: name.into(),
                            destroyed: destroyed.map_or(Vec::new(), |all| {
                                all.split(',').map(String::from).collect()
                            }),
                        },
                        None => Ordered::Snapshot {
                            name: what.into(),
                            verified: rest.contains(&"verified"),
                        },
                    },
                    outcome: match rest.last() {
                        Some(&"begun") => Some(OrderOutcome::Begun),
                        Some(&"cancelled") => Some(OrderOutcome::Cancelled),
                        Some(_) | None => None,
                    },
                });
            }
            "member" | "voter" => kept.members.push(KeptMember {
                name: part().expect("a name").into(),
                peer_urls: vec![url(part().unwrap_or(rest))],
                voter: word == "voter",
            }),
            _ => panic!("line {at}: {word:?} is nothing that a store holds"),
        }
    }
    StoreSeen::Read(kept)
}

/// `n1=auto,p1,waits:2`: what an entrypoint says of the store.
fn said(at: usize, words: &str) -> SaidOfStore {
    let (name, words) = words.split_once('=').expect("NAME=WHAT IT SAYS");
    let mut said = SaidOfStore {
        name: name.into(),
        recover: Recover::Hold,
        table: TABLE,
        marker: Some(Nonce("m".into())),
        promise: None,
        waits_for: None,
    };
    for word in words.split(',') {
        match word.split_once(':').unwrap_or((word, "")) {
            ("auto", "") => said.recover = Recover::Auto,
            ("hold", "") => said.recover = Recover::Hold,
            ("waits", number) => said.waits_for = Some(number.parse().unwrap()),
            ("unmarked", "") => said.marker = None,
            ("other-marker", "") => said.marker = Some(Nonce("x".into())),
            ("other-rows", "") => said.table = TABLE + 1,
            (promise, "") if promise.starts_with('p') => said.promise = Some(Nonce(promise.into())),
            _ => panic!("line {at}: {word:?} is nothing that is said of a store"),
        }
    }
    said
}

/// `n4`, or `n4:c2` of another cluster; without a word it is one that no initial cluster names.
fn caller(at: usize, words: &str) -> Knock {
    let (name, cluster) = words.split_once(':').unwrap_or((words, "c1"));
    Knock::Member {
        id: id(if name.is_empty() { "n4-added" } else { name }),
        cluster: self::cluster(at, cluster),
        wants: Some(id("n3")),
    }
}

/// `n3/c2/near/held`: whose data it is, of which cluster (c1, unless said), whether its place is near, and whether a
/// process runs on it.
fn elsewhere(at: usize, words: &str) -> Elsewhere {
    let (words, held) = match words.strip_suffix("/held") {
        Some(words) => (words, true),
        None => (words, false),
    };
    let (words, near) = match words.strip_suffix("/near") {
        Some(words) => (words, true),
        None => (words, false),
    };
    let (member, cluster) = words.split_once('/').unwrap_or((words, "c1"));
    let owner = (member != "unreadable").then(|| Identity {
        member: id(member),
        cluster: self::cluster(at, cluster),
    });
    Elsewhere {
        path: "/old".into(),
        owner,
        near,
        held,
    }
}

fn misplaced(at: usize, words: &str) -> Misplaced {
    let wal_dir = "/wal".into();
    match words {
        "where-it-was" => Misplaced::WhereItWas {
            noted: "/old".into(),
            wal_dir,
        },
        "within-data-dir" => Misplaced::WithinDataDir {
            within: "/data/member/wal".into(),
            wal_dir,
        },
        "foreign" => Misplaced::Foreign {
            name: "letter".into(),
            wal_dir,
        },
        _ => panic!("line {at}: {words:?} is no place of a WAL"),
    }
}

/// `INDEX@TERM`
fn progress(words: &str) -> Progress {
    let (index, term) = words.split_once('@').expect("INDEX@TERM");
    Progress {
        index: index.parse().unwrap(),
        term: term.parse().unwrap(),
    }
}

fn read_surroundings(at: usize, around: &mut Surroundings, words: &str) {
    const MIB: u64 = 1 << 20;
    let dir = |free, database| Dir {
        path: "/data".into(),
        free,
        wal: true,
        database,
    };
    let version = |text: &str| {
        let (major, minor) = text.split_once('.').expect("MAJOR.MINOR");
        Some((major.parse().unwrap(), minor.parse().unwrap()).into())
    };
    match words.split_once(':').unwrap_or((words, "")) {
        ("port-in-use", "") => around.ports.push("the port is in use".into()),
        ("room", free) => {
            let (free, database) = free.split_once('/').unwrap_or((free, "0"));
            let [free, database] = [free, database].map(|mib| mib.parse::<u64>().unwrap() * MIB);
            around.dirs.push(dir(Ok(free), database));
        }
        ("read-only", "") => around.dirs.push(dir(Err("read-only".into()), 0)),
        ("flags-refused", "") => around.flags_refused = Some("unknown flag".into()),
        ("no-client-url", "") => around.advertises_no_client_url = true,
        ("wal-mount", "") => around.wal_mount = Some("/data/member/wal".into()),
        ("member-mount", "") => around.member_mount = Some("/data/member".into()),
        ("etcd", text) => around.versions.etcd = version(text),
        ("written-for", text) => around.versions.data = version(text),
        ("downgraded", "") => around.versions.downgraded = true,
        ("with-next", "") => around.versions.with_next = true,
        ("old-request", index) => around.versions.traps.old_request = index.parse().ok(),
        ("v2-content", "") => around.versions.traps.v2_content = true,
        ("removed", member) => around.versions.traps.removed.push(id(member)),
        ("promoted", member) => around.versions.traps.promoted.push(id(member)),
        ("learners", count) => around.versions.traps.learners = count.parse().ok(),
        ("cluster", text) => around.versions.cluster = version(text),
        _ => panic!("line {at}: {words:?} is nothing around us"),
    }
}

/// Who is found at our peer URL: an entrypoint by its name, `etcd`, `nobody`, ...
fn own_url(at: usize, found: &str) -> OwnUrl {
    let refused = |ip: &str| FoundThere::Refused(vec![ip.parse().unwrap()]);
    let found = match found {
        "nobody" => FoundThere::Nobody,
        "vouched" => FoundThere::Vouched,
        "no-such-name" => FoundThere::NoSuchName("not known".into()),
        "etcd" => FoundThere::Etcd(ClusterId(1)),
        "not-in-service" => FoundThere::NotInService("etcd.default.svc".into()),
        "refused" => refused("192.0.2.3"),
        "refused-by-loopback" => refused("127.0.1.1"),
        name if name.starts_with('n') => FoundThere::Entrypoint(name.into()),
        _ => panic!("line {at}: {found:?} is nobody who is found at a URL"),
    };
    OwnUrl {
        url: url("n3"),
        found,
    }
}

/// `n1/9@3/n2`: n1 has come to 9@3, and follows n2; without that it follows nobody.
fn far(at: usize, words: &str) -> MemberProgress {
    let mut words = words.split('/');
    let mut word = || words.next();
    let (member, reached) = (word().map(id), word().map(progress));
    MemberProgress {
        of: Identity {
            member: member.unwrap_or_else(|| panic!("line {at}: who has come so far?")),
            cluster: ClusterId(1),
        },
        reached: reached.unwrap_or_else(|| panic!("line {at}: how far has it come?")),
        leader: word().map(id),
    }
}

fn peers(policy: &Policy, heard: impl Fn(&str) -> Heard) -> Vec<Peer> {
    (policy.initial.iter())
        .filter(|(name, _)| *name != policy.name)
        .map(|(name, _)| Peer {
            name: name.into(),
            initial: true,
            heard: heard(name),
        })
        .collect()
}

fn hear(at: usize, seen: &mut Observation, name: &str, heard: Heard) {
    match seen.peers.iter_mut().find(|peer| peer.name == name) {
        Some(peer) => peer.heard = heard,
        None if name == "n3" => panic!("line {at}: n3 is ourselves"),
        None => seen.peers.push(Peer {
            name: name.into(),
            initial: false,
            heard,
        }),
    }
}

fn entrypoint(at: usize, words: &str) -> Heard {
    let (holds, differs) = match words.strip_suffix(",differs") {
        Some(holds) => (holds, Some("another token".to_string())),
        None => (words, None),
    };
    let holds = match holds {
        "empty" => Holds::Empty,
        "alone" => Holds::Alone,
        "promised" => Holds::Promised,
        "own" => Holds::Own(ClusterId(1)),
        "other" => Holds::Own(ClusterId(2)),
        "damaged" => Holds::Damaged,
        "set-aside" => Holds::SetAside,
        "called" => Holds::Called,
        _ => panic!("line {at}: {words:?} is nothing that an entrypoint says"),
    };
    Heard::Entrypoint { holds, differs }
}

/// `n1 n2 n3-added(unstarted) of c2`
fn etcd(at: usize, words: &str) -> Heard {
    let (list, cluster) = match words.rsplit_once(" of ") {
        Some((list, cluster)) => (list, self::cluster(at, cluster)),
        None => (words, ClusterId(1)),
    };
    let members = list.split(' ').map(|word| member(at, word)).collect();
    Heard::Etcd { cluster, members }
}

fn cluster(at: usize, word: &str) -> ClusterId {
    let number = word.strip_prefix('c').and_then(|text| text.parse().ok());
    ClusterId(number.unwrap_or_else(|| panic!("line {at}: {word:?} is no cluster")))
}

fn member(at: usize, word: &str) -> Member {
    let (label, words) = match word.split_once('(') {
        Some((label, words)) => (label, words.strip_suffix(')').expect("a closing bracket")),
        None => (word, ""),
    };
    let added = label.contains('-');
    let name = label.split('-').next().expect("a name");
    let mut member = Member {
        id: id(label),
        name: name.into(),
        peer_urls: vec![url(name)],
        client_urls: vec![format!("http://{name}:2379")],
        learner: false,
    };
    for word in words.split(',').filter(|word| !word.is_empty()) {
        match word.split_once('=').unwrap_or((word, "")) {
            ("unstarted", "") => {
                member.client_urls.clear();
                if added {
                    member.name.clear();
                }
            }
            ("learner", "") => member.learner = true,
            ("name", name) => member.name = name.into(),
            ("twice", "") => member.peer_urls.push(url(name)),
            ("at", name) => member.peer_urls = vec![url(name)],
            _ => panic!("line {at}: {word:?} is nothing that a member is"),
        }
    }
    member
}

fn url(name: &str) -> String {
    format!("http://{name}:2380")
}

const ADDED: u64 = 0x10;
const AGAIN: u64 = 0x20;

/// `n3` is the static ID, `n3-added` and `n3-again` come from adds.
fn id(label: &str) -> MemberId {
    let (name, base) = match label.split_once('-') {
        Some((name, "added")) => (name, ADDED),
        Some((name, "again")) => (name, AGAIN),
        Some(_) => panic!("{label:?} is no member"),
        None => (label, 0),
    };
    let number = name.strip_prefix('n').and_then(|n| n.parse::<u64>().ok());
    MemberId(base + number.unwrap_or_else(|| panic!("{label:?} is no member")))
}

fn label(id: MemberId) -> String {
    match id.0 {
        n @ ..ADDED => format!("n{n}"),
        n @ ADDED..AGAIN => format!("n{}-added", n - ADDED),
        n => format!("n{}-again", n - AGAIN),
    }
}

/// What is still to be asked, in the words of `enough.txt`. Who is silent there may still answer.
pub fn still_to_ask(policy: &Policy, seen: &Observation) -> String {
    let silent = |peer: &Peer| matches!(peer.heard, Heard::Silent(_));
    let open = seen.peers.iter().any(silent);
    let words = match etcd_rejoin_decide::still_to_ask(policy, seen, open) {
        ToAsk::Everybody => "everybody",
        ToAsk::HowFar => "how far one of the others has come",
        ToAsk::TwinBesideListed => "a twin, and no leader is needed",
        ToAsk::TwinBesideLeader => "a twin, and a leader is proven",
        ToAsk::LeaderForAMoment => "a leader, for a moment",
        ToAsk::Leader => "a leader",
        ToAsk::Contradiction => "who contradicts the leader",
        ToAsk::FirstStart => "a leader among those that have left the first start",
    };
    words.into()
}

/// A decision in the words of the file.
pub fn in_words(decision: &Decision) -> String {
    let reason = decision.reason();
    let what = match decision {
        Decision::Start(start, _) => {
            let begin = match &start.begin {
                Begin::WithData => "start with-data".into(),
                Begin::New => "start new".into(),
                Begin::Existing { id, .. } => format!("start existing {}", label(*id)),
            };
            let trial = if start.trial { " on-trial" } else { "" };
            let promote = if start.promote { " promote" } else { "" };
            format!("{begin}{trial}{promote}")
        }
        Decision::Do(step, _) => match step {
            Step::NoteJoin(id) => format!("do note-join {}", label(*id)),
            Step::SettleJoin(id) => format!("do settle-join {}", label(*id)),
            Step::AddMember { learner: false } => "do add-member voter".into(),
            Step::AddMember { learner: true } => "do add-member learner".into(),
            Step::RemoveMember(id) => format!("do remove-member {}", label(*id)),
            Step::UpdatePeerUrls(id) => format!("do update-peer-urls {}", label(*id)),
            Step::Quarantine => "do quarantine".into(),
            Step::SetAsideLeftovers => "do set-aside-leftovers".into(),
            Step::GiveUp => "do give-up".into(),
            Step::Promise => "do promise".into(),
            Step::MoveLeadership(id) => format!("do move-leadership {}", label(*id)),
            Step::DeleteSetAside { keep } => format!("do delete-set-aside keep={keep}"),
            Step::PromoteMember(id) => format!("do promote-member {}", label(*id)),
            Step::Store(step) => match step {
                StoreStep::Mark { promises } => {
                    let promises: Vec<&str> = promises.iter().map(|it| it.0.as_str()).collect();
                    format!("do mark-store {}", promises.join(","))
                }
                StoreStep::RecordUrl => "do record-url".into(),
                StoreStep::BeginLineage { number, base } => {
                    let base = base.as_deref().unwrap_or("own-data");
                    format!("do begin-lineage {number} {base}")
                }
                StoreStep::Restore { number, base, hold } => {
                    let hold = if *hold { " held" } else { "" };
                    format!("do restore-snapshot {number} {base}{hold}")
                }
                StoreStep::Continue { number, hold } => {
                    let hold = if *hold { " held" } else { "" };
                    format!("do continue-lineage {number}{hold}")
                }
                StoreStep::NoteOrder(number) => format!("do note-order {number}"),
                StoreStep::ForgetOrder(number) => format!("do forget-order {number}"),
                StoreStep::BeginOrder(number) => format!("do begin-order {number}"),
                StoreStep::SetAsideFor(number) => format!("do set-aside-for {number}"),
            },
            Step::ForgetLearner | Step::NoteLeft | Step::ForgetLeft => {
                format!("do {}", step.name())
            }
        },
        Decision::Wait(_) => "wait".into(),
        Decision::Refuse(_) => "refuse".into(),
        Decision::Done(_) => "done".into(),
    };
    format!("{what} ({reason})")
}
