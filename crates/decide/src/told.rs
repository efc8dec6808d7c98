//! A decision in words: what is done, why, and what would change that. Said from what `decide` returned; nothing is
//! worked out again.

use super::{
    Alone, Confirmed, Decision, Evidence, Founders, Gravity, Histories, Identity, Knock,
    Leaderless, Misleads, Misplaced, Nonce, Outlook, Peer, Progress, Step, StoreStep, Unheard,
    Whose, Why,
};
use crate::held::Rest;
use crate::membership::{Member, quorum};

/// How much a decision matters to whoever reads only what matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// It is told.
    Told,
    /// Something was lost, and is made up for.
    Warning,
    /// A person has to do something.
    Alarm,
}

/// The words of a row, as it holds here.
struct Told {
    because: String,
    /// Whom and what the row leaves out.
    named: Vec<String>,
    cure: String,
}

impl Told {
    /// The same row, for another reason.
    fn because(self, because: impl Into<String>) -> Told {
        let because = because.into();
        Told { because, ..self }
    }

    fn naming(self, named: impl IntoIterator<Item = String>) -> Told {
        let named = named.into_iter().collect();
        Told { named, ..self }
    }

    fn cured(self, cure: impl Into<String>) -> Told {
        let cure = cure.into();
        Told { cure, ..self }
    }
}

impl Decision {
    /// What is decided, as a sentence without its reason.
    pub fn sentence(&self) -> String {
        match self {
            // It is no new one: it begins empty where the other one has it all.
            Decision::Start(start, Why::SecondOfTwo) => start.words("empty, again as member"),
            Decision::Start(start, _) => start.words("as new member"),
            Decision::Do(Step::RemoveMember(id), Why::AddedNotOurs(_)) => {
                format!("removes its entry {id}, which this volume did not add, from the cluster")
            }
            Decision::Do(Step::UpdatePeerUrls(_), Why::PeerUrlsChanged(urls)) => {
                format!("publishes its peer URLs {}", urls.join(","))
            }
            Decision::Do(step, _) => step.words(),
            Decision::Wait(_) => "waits".into(),
            Decision::Refuse(why) if why.is_of_leaving() => "cannot leave the cluster".into(),
            Decision::Refuse(_) => "refuses to start".into(),
            Decision::Done(Why::StillWanted | Why::ScaledToZero) => "does not leave".into(),
            Decision::Done(_) => "has left the cluster".into(),
        }
    }

    /// Why: the row's condition, as it holds here, with the names that the row leaves out.
    pub fn because(&self) -> String {
        let told = self.told();
        match told.named.is_empty() {
            true => told.because,
            false => format!("{} ({})", told.because, told.named.join("; ")),
        }
    }

    /// What would change the decision, or how to go on.
    pub fn cure(&self) -> String {
        self.told().cure
    }

    /// How much it matters.
    pub fn urgency(&self) -> Urgency {
        match (self, self.reason().row().gravity) {
            (Decision::Refuse(_), _) => Urgency::Alarm,
            (Decision::Wait(why), Gravity::Loss | Gravity::NoMajority) if why.lasts() => {
                Urgency::Alarm
            }
            (_, Gravity::Loss) => Urgency::Warning,
            (_, Gravity::NoMajority | Gravity::Usual) => Urgency::Told,
        }
    }

    /// The words of the row; those of the table, where they say all.
    fn told(&self) -> Told {
        let row = self.reason().row();
        let row = Told {
            because: row.when.into(),
            named: Vec::new(),
            cure: row.cure.into(),
        };
        match (self.why(), self) {
            (Why::WalElsewhere(wal) | Why::WalDirNotEmpty(wal), _) => wal_words(wal, row),
            (Why::VolumeOfAnotherMember(Whose::ListedHere(entry)), _) => row.because(format!(
                "nobody answers, and the volume's own database says that it is {}, at {}",
                entry.name,
                entry.peer_urls.join(",")
            )),
            (Why::VolumeOfAnotherMember(Whose::Listed(peers)), _) => row
                .because("the cluster lists the volume's member under a name and peer URLs that are not ours")
                .naming(said(peers)),
            (Why::OtherCluster(peers) | Why::TwoClusters(peers), _)
            | (Why::PeerHasData(peers) | Why::DataSetAside(peers) | Why::PeersDisagree(peers), _) => {
                row.naming(said(peers))
            }
            (Why::OtherHistory(histories), _) => row
                .because("the others have this volume's cluster ID, and not its history: they were founded anew, or rolled back to an older copy")
                .naming(sides(histories)),
            (Why::CannotStart(words), _) => row.naming([words.clone()]),
            (Why::VersionSkip(words), _) => {
                row.because("this etcd does not fit").naming([words.clone()])
            }
            (Why::UrlListedTwice(members), _) => row.naming(members.iter().map(update)),
            (Why::GivenUp(None), _) => row.because("this identity was given up"),
            (Why::GivenUp(Some(held)), _) => row
                .because("this identity was given up, and no leader is proven")
                .naming(held.evidence.words()),
            (Why::Removed(Some(held)), _) => row
                .because("this member was removed, as its own database says, and no leader is proven")
                .naming(held.evidence.words())
                .cured("nothing to do: it joins again once the others have a leader; REJOIN_AS=never keeps it out"),
            (Why::Removed(None), _) => row.because("id not listed").cured(match self {
                Decision::Refuse(_) => "REJOIN_AS=auto lets it join again, and sets its data aside",
                Decision::Do(..)
                | Decision::Start(..)
                | Decision::Wait(_)
                | Decision::Done(_) => {
                    "nothing to do: it joins again; REJOIN_AS=never keeps it out"
                }
            }),
            (Why::PeerUrlMisleads(misleads), _) => row
                .because(match self {
                    Decision::Start(..) => "quorate, listed; its new peer URL leads nowhere, or to somebody else, and is not published",
                    Decision::Do(..) | Decision::Wait(_) | Decision::Refuse(_) | Decision::Done(_) => "the others would look for this member at its peer URL, and that leads nowhere, or to somebody else",
                })
                .naming(misleads.words())
                .cured(misleads.cure()),
            (Why::OwnData(confirmed), _) => row.because(match confirmed {
                Confirmed::ByLeader => "quorate, listed",
                Confirmed::ByPeer => {
                    "a peer lists this member just as it is here; no leader was waited for"
                }
            }),
            (Why::OwnLearner, Decision::Start(..)) => row.because("quorate, listed as learner"),
            (Why::NobodyAnswers(Alone(true)), _) => {
                row.because("there is no other member").cured("nothing to do")
            }
            (Why::DataDamaged, Decision::Do(Step::GiveUp | Step::RemoveMember(_), _)) => {
                row.because("quorate without it, listed")
            }
            (Why::DataDamaged, _) => row.because("quorate without it, and not listed"),
            (Why::AddedNotOurs(entry), _) if entry.learner => row.because(
                "quorate, listed as an unstarted learner that no note on this volume names: it may have run on a disk that is gone, and what it acknowledged there counts once it is promoted, so it joins under another ID, and promotes that itself; a tool that added this one cannot promote it any more",
            ),
            (Why::NoteAdded, Decision::Do(Step::SettleJoin(_), _)) => row.because(
                "quorate, listed as unstarted, as our add was answered, and the third voter: both others must know of it across a crash",
            ),
            (Why::NoteAdded, _) => {
                row.because("quorate, listed as unstarted, as our add was answered")
            }
            (Why::PeerLags(names), _) => row
                .because("added, not started; a peer does not list the members yet that the leader does, and etcd may take its list from there")
                .naming(names.clone()),
            (Why::DataDamagedNoQuorum(held), _) => row_of_damaged(held, row),
            (Why::DataLostNoLeader(held), _) if !held.noted => {
                no_leader(held, row.because("no leader, listed, no note on this volume"))
            }
            (Why::DataLostNoLeader(held) | Why::NotListedNoLeader(held), _) => no_leader(held, row),
            (Why::KeyUnfit(file), _) => row.naming([file.clone()]),
            (Why::NotAllowed(evidence) | Why::NowRuledOut(evidence), _) => {
                row.naming(evidence.words())
            }
            (why, _) if why.is_of_leaving() => told_of_leaving(self, why, row),
            (why, _) if why.is_of_store() => self.told_of_store(why, row),
            (why, _) => self.told_of_first_start(why, row),
        }
    }

    /// The rows of a first start.
    fn told_of_first_start(&self, why: &Why, row: Told) -> Told {
        match why {
            Why::FirstStart(founders) => row.because(match founders {
                Founders::Alone => "the initial cluster has no other member",
                Founders::All => "every other member has promised",
                Founders::Whoever => founders.without_the_others(),
            }),
            Why::FirstStartPromise(founders, unpromised) => row
                .because(match (self, founders) {
                    (Decision::Do(..), Founders::Whoever) => {
                        founders.without_the_others()
                    }
                    (Decision::Do(..), Founders::Alone | Founders::All) => {
                        "every other member was heard empty or promised in one look"
                    }
                    (
                        Decision::Start(..)
                        | Decision::Wait(_)
                        | Decision::Refuse(_)
                        | Decision::Done(_),
                        _,
                    ) => {
                        "not every other member has promised yet"
                    }
                })
                .naming(said(unpromised)),
            Why::Listening(Alone(false)) => row
                .because("all the others were heard; a running cluster that lists this member would ask for it now")
                .cured("nothing to do: it goes on in a second or two"),
            Why::CalledByACluster(knocks) => {
                let row = row.naming(knocks.iter().map(Knock::words));
                match self {
                    Decision::Wait(_) => row
                        .because("a first start is due, and an etcd looks whether this member is here, and has not said yet who it is")
                        .cured("nothing to do yet: it goes on when that etcd has said that it belongs to this first start, and refuses when it is of another cluster"),
                    Decision::Start(..)
                    | Decision::Do(..)
                    | Decision::Refuse(_)
                    | Decision::Done(_) => row.because(
                        "a first start is due, and a running cluster asks for this member at its peer URL",
                    ),
                }
            }
            Why::NotAllHeard(held) => not_all_heard(held, row),
            Why::DataElsewhere(data) => {
                let path = data.path.display();
                row.because("a first start is due, and etcd's data lies at another place that this member may have had")
                    .naming([match data.owner {
                        Some(Identity { member, cluster }) => {
                            format!("{path} holds data of member {member} of cluster {cluster}")
                        }
                        None => format!("{path} holds data whose head does not read"),
                    }])
                    .cured(format!(
                        "set ETCD_DATA_DIR={path} to start with that data; if this member shall begin without it, move it away, or set REJOIN_IGNORE={path}"
                    ))
            }
            Why::FoundingForbidden(forbids) => row
                .because(format!(
                    "all are empty, but no cluster is founded with {}",
                    forbids.what()
                ))
                .cured(format!(
                    "start the cluster that this member shall join, or {}",
                    forbids.cure()
                )),
            // The table says it all.
            _ => row,
        }
    }
}

impl Why {
    /// A row that holds for `leave` alone.
    fn is_of_leaving(&self) -> bool {
        matches!(
            self,
            Why::Leaving
                | Why::WouldCostQuorum(_)
                | Why::LeftToAnother(..)
                | Why::LeavingUnheard(..)
                | Why::LeavingRefused(_)
                | Why::LeavingUnsure(_)
                | Why::NoIdentity
                | Why::LeaderMovesFirst
                | Why::ReplicasUnknown(_)
                | Why::StillWanted
                | Why::ScaledToZero
        )
    }
}

impl Misleads {
    fn words(&self) -> Vec<String> {
        match self {
            Misleads::Seen(words) => vec![words.clone()],
            Misleads::NotInService(service) => vec![format!(
                "{service} has addresses, and none of this pod: another pod has its name by now, or it is not known yet"
            )],
            Misleads::Listed(members) => {
                let labels = members.iter().map(Member::label);
                labels
                    .map(|label| format!("it is listed for {label}"))
                    .collect()
            }
        }
    }

    fn cure(&self) -> &'static str {
        match self {
            Misleads::Seen(_) | Misleads::Listed(_) => {
                "correct ETCD_INITIAL_ADVERTISE_PEER_URLS; where the others do reach this member there, name the URL in REJOIN_IGNORE"
            }
            Misleads::NotInService(_) => {
                "where it stays so, delete this pod, or set publishNotReadyAddresses: true on the headless service"
            }
        }
    }
}

fn told_of_leaving(decision: &Decision, why: &Why, row: Told) -> Told {
    match why {
        Why::Leaving if matches!(decision, Decision::Wait(_)) => {
            row.because("what the entrypoint of this pod has sent may still add it")
        }
        Why::WouldCostQuorum(Rest { members: 0, .. }) => {
            row.because("it is the only member").cured("to end this cluster, stop it")
        }
        Why::WouldCostQuorum(Rest { voters: 0, .. }) => row
            .because("no other member is a voter yet")
            .cured("once one is (a learner has to be promoted), leave again"),
        Why::WouldCostQuorum(rest) => row
            .because(format!(
                "the others would have no quorum without this member: {} of {} other voters answer at their peer URLs, and {} have to",
                rest.answering,
                rest.voters,
                quorum(rest.voters)
            ))
            .cured("bring them back, then leave again"),
        Why::LeftToAnother(own, other) => row
            .because(format!(
                "member {own}, whose data this is, is not in the cluster any more, and member {other} has its place there"
            ))
            .cured(format!(
                "to take that one out, run `etcdctl member remove {other}`"
            )),
        Why::ReplicasUnknown(why) => row
            .because("it is not known how many replicas the StatefulSet wants")
            .naming([why.clone()]),
        Why::LeavingUnheard(own, peers) => row
            .because(format!("no leader of cluster {own} is proven"))
            .naming(said(peers)),
        Why::LeavingRefused(words) => row
            .because("the cluster did not remove it within ten seconds, and it stays a member")
            .naming(words.clone()),
        Why::LeavingUnsure(words) => row
            .because("it may be removed all the same, so it stays noted that it left")
            .naming(words.clone()),
        Why::Leaving => row.because("the others have a quorum without it"),
        Why::NoIdentity => row.because("nothing here says which member this is"),
        Why::StillWanted => row.because("the StatefulSet wants this member"),
        Why::ScaledToZero => row.because("the StatefulSet wants no replicas at all"),
        // The table says it all.
        _ => row,
    }
}

impl Why {
    /// A row that holds with a store of snapshots alone.
    fn is_of_store(&self) -> bool {
        matches!(
            self,
            Why::RestorePending(_)
                | Why::RestoreOrdered(..)
                | Why::RestoreBegun(..)
                | Why::SurvivorSeeds(..)
                | Why::OrderOver(_)
                | Why::Superseded(_)
                | Why::SupersededUnproven(..)
                | Why::StoreUnreachable(_)
                | Why::StoreDisagrees(_)
                | Why::MarkedWithoutSnapshot(_)
                | Why::TotalLoss(_)
                | Why::SeedRestores(_)
                | Why::TotalLossHeld(_)
                | Why::SettingsDiffer(_)
        )
    }
}

impl Decision {
    /// The rows of a restore.
    fn told_of_store(&self, why: &Why, row: Told) -> Told {
        let waits = matches!(self, Decision::Wait(_));
        match why {
            Why::RestorePending(number) => row.because(format!(
                "quorate, listed; order {number} to restore waits until the cluster is stopped"
            )),
            Why::RestoreOrdered(number, missing) if waits => row
                .because(format!("there is order {number} to restore, and not enough is known to begin it"))
                .naming(missing.clone()),
            Why::RestoreOrdered(number, _) => row.because(format!(
                "order {number} to restore, and nobody has a quorum of what it rolls back"
            )),
            Why::RestoreBegun(number, seed) if waits => {
                row.because(format!("order {number} to restore is begun, and {seed} restores"))
            }
            Why::RestoreBegun(number, _) => row.because(match self {
                Decision::Do(Step::Store(StoreStep::BeginOrder(_)), _) => format!(
                    "so many wait for order {number} that the rest is no quorum, and its snapshot is verified"
                ),
                _ => format!("order {number} to restore is begun"),
            }),
            Why::SurvivorSeeds(number, name) => row.because(match self {
                Decision::Do(Step::Store(StoreStep::BeginOrder(_)), _) => format!(
                    "order {number} goes on with what {name} has, and every other member waits for it, or is destroyed and silent"
                ),
                _ => format!("order {number} is begun: it goes on with what {name} has"),
            }),
            Why::OrderOver(number) => row.because(format!(
                "order {number}, for which this volume waits, was cancelled, or its lineage is here"
            )),
            Why::Superseded(number) => row.because(format!(
                "lineage {number} is quorate, and comes after this volume's by the store's chain"
            )),
            Why::SupersededUnproven(Some(number), peers) => row
                .because(format!("the store has lineage {number}, which comes after this volume's, and nobody proves a leader of it"))
                .naming(said(peers))
                .cured(format!("start the members of lineage {number}; if it has never run, remove it from the store by hand")),
            Why::SupersededUnproven(None, peers) => row
                .because("a member of the initial cluster is of another cluster, and the store does not say which one came after which")
                .naming(said(peers))
                .cured("let the store be read; a wrong member has to be stopped"),
            Why::StoreUnreachable(words) | Why::StoreDisagrees(words) => row.naming([words.clone()]),
            Why::MarkedWithoutSnapshot(Nonce(nonce)) => row.naming([format!("nonce {nonce}")]),
            Why::TotalLoss(base) => row.naming(
                (base.passed_over.iter()).map(|it| format!("passed over, as it is bad: {it}")),
            ),
            Why::SeedRestores(name) => row
                .because(format!("everybody was heard to hold nothing, and {name} restores"))
                .cured(format!("nothing to do: it joins when {name} has restored; if that one does not, see its log")),
            Why::TotalLossHeld(names) => row
                .because("everybody was heard to hold nothing, and not every member comes back by itself")
                .naming(names.iter().map(|name| format!("{name} has REJOIN_RECOVER=hold"))),
            Why::SettingsDiffer(words) => row.naming(words.clone()),
            // The table says it all.
            _ => row,
        }
    }
}

/// The cure as a part of a log line.
pub fn to_go_on(cure: &str) -> String {
    match cure.starts_with("nothing to do") {
        true => cure.into(),
        false => format!("to go on: {cure}"),
    }
}

fn wal_words(wal: &Misplaced, row: Told) -> Told {
    let row = row.naming([wal.to_string()]);
    match wal {
        Misplaced::WhereItWas { noted, .. } => row.cured(format!(
            "set ETCD_WAL_DIR={}, or move the files",
            noted.display()
        )),
        Misplaced::WithinDataDir { .. } => row.cured("drop ETCD_WAL_DIR, or move the files there"),
        Misplaced::Foreign { .. } => row,
    }
}

fn row_of_damaged(held: &Leaderless, row: Told) -> Told {
    let row = row.naming(held.evidence.words());
    match held.outlook {
        Outlook::Nobody => row.cured("restore a snapshot, or repair it by hand: no other member has this data, and it stays where it is"),
        Outlook::Election
        | Outlook::SecondOfTwo
        | Outlook::FirstStart
        | Outlook::OnlyTwo
        | Outlook::Others => row,
    }
}

fn no_leader(held: &Leaderless, row: Told) -> Told {
    let row = row.naming(held.evidence.words());
    match held.outlook {
        Outlook::Election => row.cured("nothing to do yet: the others may elect a leader"),
        Outlook::SecondOfTwo => row.cured("nothing to do yet: it starts again beside the other one of two once that has listed the same for thirty seconds"),
        // A silent member may hold what was acknowledged, and ours was lost: that is what `now` risks.
        Outlook::FirstStart => row.cured("start the members that are silent: a first start began without this one; where nothing of value is stored yet, REJOIN_BOOTSTRAP=now here too goes on with it"),
        Outlook::OnlyTwo => {
            let cure = format!("{}; where these two are all members that there are, name no others in ETCD_INITIAL_CLUSTER: it then goes on with what the other one has", row.cure);
            row.cured(cure)
        }
        Outlook::Others | Outlook::Nobody => row,
    }
}

fn not_all_heard(held: &Unheard, mut row: Told) -> Told {
    if held.alone {
        row = row.because("the initial cluster names only this member, and none of the others that are known shows a leader");
    }
    if let Some(forbids) = held.forbids {
        row.cure += &format!(
            "; with {} this one founds nothing, and only joins a cluster that runs",
            forbids.what()
        );
    }
    row.naming(held.evidence.words())
}

impl Why {
    /// Whether it has stayed so for longer than an election takes.
    fn lasts(&self) -> bool {
        match self {
            Why::GivenUp(Some(held))
            | Why::Removed(Some(held))
            | Why::DataDamagedNoQuorum(held)
            | Why::DataLostNoLeader(held)
            | Why::NotListedNoLeader(held) => held.outlook != Outlook::Election,
            Why::RestoreOrdered(..)
            | Why::SupersededUnproven(..)
            | Why::MarkedWithoutSnapshot(_)
            | Why::TotalLossHeld(_)
            | Why::SettingsDiffer(_) => true,
            _ => false,
        }
    }
}

impl Founders {
    fn without_the_others(self) -> &'static str {
        match self {
            Founders::Whoever => "REJOIN_BOOTSTRAP=now: whoever answers is in the same first start",
            Founders::Alone | Founders::All => "every other member was heard",
        }
    }
}

impl Evidence {
    fn words(&self) -> Vec<String> {
        let knocks = self.knocks.iter().map(Knock::words);
        let words = said(&self.peers).chain(self.words.iter().cloned());
        words.chain(knocks).collect()
    }
}

fn said(peers: &[Peer]) -> impl Iterator<Item = String> {
    (peers.iter()).map(|peer| format!("{} {}", peer.name, peer.heard.words()))
}

/// Which side holds what.
fn sides(histories: &Histories) -> Vec<String> {
    let mut sides = vec![format!("this volume has {}", histories.here.words())];
    let there = (histories.there).map(|there| format!("{} has {}", histories.at, there.words()));
    sides.extend(there);
    sides.extend((histories.founder).map(|founder| {
        format!(
            "they list member {founder}, as which this one was founded and which was removed since"
        )
    }));
    sides
}

impl Progress {
    fn words(self) -> String {
        let Progress { index, term } = self;
        match term {
            0 => format!("all up to index {index}"),
            _ => format!("all up to index {index} of term {term}"),
        }
    }
}

/// What a person has to run for a member that lists a peer URL twice.
fn update(member: &Member) -> String {
    let (label, id) = (member.label(), member.id);
    let urls = member.urls_listed_twice().unwrap_or_default().join(",");
    format!("{label}: run `etcdctl member update {id} --peer-urls={urls}`")
}

impl Knock {
    /// Without its data a member cannot tell what it was there: one that lost its disk, or one just added.
    fn words(&self) -> String {
        match self {
            Knock::Member { id, cluster, wants } => {
                let wants = wants.map_or("us".into(), |id| format!("member {id}"));
                format!(
                    "member {id} of cluster {cluster} asks for {wants} here: its data was here, or it was added there"
                )
            }
            Knock::Probe => {
                "the etcd of a cluster that lists this address looks whether its member is here"
                    .into()
            }
            Knock::Unreadable(words) => {
                format!("{words}: it may be the etcd of a cluster that lists this address")
            }
        }
    }
}
