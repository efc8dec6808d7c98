//! `recover`: who holds what, where the majority is lost; and an order to go on with a survivor's data. The members carry
//! it out.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;

use etcd_rejoin_host::error::Error;
use etcd_rejoin_host::exit::Exit;
use etcd_rejoin_host::tls;

use super::at_hand::AtHand;
use super::restore::{OrderAnswer, backup, ready, write};
use crate::catalog::{Catalog, json, manifests};
use crate::cli::RecoverArgs;
use crate::cluster::{Candidate, candidates};
use crate::layout::{FORMAT, MARKER, Manifest, Marker, Moment, OrderedWith, WrittenOrder};
use crate::orders::recorded;
use crate::survivors::{KnownMember, MemberHolds, asked, known};
use crate::table::table;
use crate::{NotDone, ask, random};

/// What was found.
struct Survey {
    catalog: Catalog,
    members: Vec<KnownMember>,
    newest: Option<Manifest>,
    /// Who answers as an etcd at its client URL.
    running: Vec<Candidate>,
}

/// What a member has that could go on.
struct Held<'a> {
    cluster: &'a str,
    /// The index up to which it knows the entries to be committed; none where an etcd waits for its first quorum.
    commit: Option<u64>,
}

/// Lists who holds what; orders to go on with a survivor's data where that is wanted.
pub async fn recover(around: &AtHand, args: &RecoverArgs) -> Result<Exit, NotDone> {
    let survey = survey(around, args).await?;
    let Some(wanted) = &args.from_survivor else {
        return Ok(around.answer(&survey.members, || survey.words()));
    };
    let (_, found) = ready(around).await?;
    let place = &around.settings.place;
    if survey.catalog.marker.is_none() && !survey.catalog.is_empty() {
        let words = format!("{place} has no marker: nobody can tell whose it is");
        return Err(refused(words));
    }
    survey.has_no_leader()?;
    let (member, held) = survey.survivor(wanted.as_deref())?;
    let destroyed = survey.destroyed(args, member)?;
    let loses = survey.losses(member, &held);
    eprint!("{}", survey.words());
    eprintln!("order: the cluster goes on with what {member} holds");
    for loss in &loses {
        eprintln!("lost: {loss}");
    }
    let others = destroyed.join(", ");
    let what = format!("{member} becomes the cluster, and what {others} had is given up");
    ask::yes(args.yes, &what)?;
    let mut catalog = survey.catalog.clone();
    if catalog.marker.is_none() {
        catalog = adopted(around, held.cluster.into()).await?;
    }
    let backup = backup(around).await;
    let with = OrderedWith::Survivor {
        member: member.into(),
        destroyed,
    };
    let order = write(around, (&catalog, &found), with).await?;
    let answer = OrderAnswer {
        order: &order,
        loses: &loses,
        backup,
    };
    Ok(around.answer(&answer, || survey.next_words(&order, member)))
}

fn refused(words: String) -> NotDone {
    NotDone::Refused(Error::new(words))
}

async fn survey(around: &AtHand, args: &RecoverArgs) -> Result<Survey, NotDone> {
    let store = &around.store;
    let catalog = Catalog::read(store).await?;
    // The newest that can be used.
    let newest: Vec<_> = catalog.snapshots.iter().rev().take(5).cloned().collect();
    let newest = manifests(store, &newest).await?.0.into_iter().next();
    let recorded = recorded(store).await?;
    let settings = &around.settings;
    let known = known(&settings.initial, newest.as_ref(), &recorded, &args.peers);
    if known.is_empty() {
        let words = "no member is known here: name their peer URLs by --peer";
        return Err(Error::new(words).into());
    }
    let tls = tls::client_config(&settings.peer_tls).map_err(tls::Unfit::into_error)?;
    let mut members = asked(&tls, known).await;
    let running = running(around, newest.as_ref()).await;
    for member in &mut members {
        if let MemberHolds::Runs(says) = &mut member.holds
            && let Some(status) = status_of(&running, newest.as_ref(), &member.name)
        {
            (says.term, says.commit) = (
                Some(status.status.raft_term),
                Some(status.status.raft_index),
            );
        }
    }
    Ok(Survey {
        catalog,
        members,
        newest,
        running,
    })
}

/// The etcds that answer at client URLs; not those that wait for their first quorum.
async fn running(around: &AtHand, newest: Option<&Manifest>) -> Vec<Candidate> {
    let mut access = around.settings.etcd.clone();
    let members = newest.iter().flat_map(|newest| &newest.members);
    let urls: BTreeSet<String> = members
        .flat_map(|member| member.client_urls.iter().cloned())
        .chain(access.endpoints)
        .collect();
    access.endpoints = urls.into_iter().collect();
    candidates(&access)
        .await
        .map_or(Vec::new(), |(found, _)| found)
}

/// What the member of this name answers, by its ID in the newest manifest.
fn status_of<'a>(
    running: &'a [Candidate],
    newest: Option<&Manifest>,
    name: &str,
) -> Option<&'a Candidate> {
    let newest = newest?;
    let member = newest.members.iter().find(|member| member.name == name)?;
    running.iter().find(|candidate| {
        candidate.cluster_id() == newest.cluster_id && candidate.member_id() == member.id
    })
}

/// Marks an empty store as the place of a cluster that is older than it.
async fn adopted(around: &AtHand, cluster_id: String) -> Result<Catalog, NotDone> {
    let marker = Marker {
        format: FORMAT,
        nonce: random::nonce(),
        cluster: String::new(),
        cluster_id: cluster_id.clone(),
        promises: Vec::new(),
        made: Moment::now(),
    };
    around.store.create(MARKER, json(&marker)).await?;
    let catalog = Catalog::read(&around.store).await?;
    match catalog.lineage_of(&cluster_id) {
        Some(_) => Ok(catalog),
        None => Err(refused(format!(
            "{} was marked as another cluster's meanwhile",
            around.settings.place
        ))),
    }
}

impl Survey {
    /// Whether this cluster is the one whose majority is lost: of the newest lineage.
    fn is_ours(&self, cluster: &str) -> bool {
        let newest = self.catalog.newest_lineage();
        newest.is_none() || self.catalog.lineage_of(cluster) == newest
    }

    /// A cluster that has a leader has lost no majority: whoever lacks a disk rejoins it.
    fn has_no_leader(&self) -> Result<(), NotDone> {
        let leads = |it: &&Candidate| it.status.leader != 0 && self.is_ours(&it.cluster_id());
        match self.running.iter().find(leads) {
            None => Ok(()),
            Some(candidate) => Err(refused(format!(
                "etcd at {} has a leader: its majority is not lost, and members without a disk rejoin it by themselves",
                candidate.endpoint.url
            ))),
        }
    }

    /// What a member has that could go on: data of the newest lineage.
    fn holds<'a>(&self, member: &'a KnownMember) -> Result<Held<'a>, String> {
        let name = &member.name;
        let (cluster, commit) = match &member.holds {
            MemberHolds::Entrypoint(says) => match &says.cluster {
                Some(cluster) if says.data == "own" => (cluster, says.commit),
                Some(_) | None => {
                    return Err(format!("{name} holds no data that reads: {}", says.data));
                }
            },
            MemberHolds::Runs(says) => (&says.cluster, says.commit),
            MemberHolds::Silent(why) => return Err(format!("{name} does not answer: {why}")),
        };
        match self.is_ours(cluster) {
            true => Ok(Held { cluster, commit }),
            false => Err(format!(
                "{name} holds data of cluster {cluster}, which is not of the newest lineage"
            )),
        }
    }

    /// Who goes on: the member that is named, else the one that knows most to be committed.
    fn survivor(&self, named: Option<&str>) -> Result<(&str, Held<'_>), NotDone> {
        if let Some(named) = named {
            let member = self.members.iter().find(|member| member.name == named);
            let member = member.ok_or_else(|| refused(format!("no member {named} is known")))?;
            let held = self.holds(member).map_err(refused)?;
            return Ok((&member.name, held));
        }
        let able = self.members.iter();
        let able = able.filter_map(|member| Some((member.name.as_str(), self.holds(member).ok()?)));
        let mut able: Vec<_> = able.collect();
        let clusters: BTreeSet<_> = able.iter().map(|(_, held)| held.cluster).collect();
        if clusters.len() > 1 {
            return Err(refused(
                "members hold data of different clusters: name the one that goes on".into(),
            ));
        }
        let unknown = able.iter().find(|(_, held)| held.commit.is_none());
        if let Some((name, _)) = unknown.filter(|_| able.len() > 1) {
            return Err(refused(format!(
                "{name} runs, and does not say how much it holds: name the one that goes on. Once all wait for the order, `recover` says what each has; an order can be cancelled, and another member named"
            )));
        }
        // Of several that have the same the first by name.
        able.sort_by_key(|(name, held)| (std::cmp::Reverse(held.commit), *name));
        able.into_iter().next().ok_or_else(|| {
            let why = self.members.iter().filter_map(|it| self.holds(it).err());
            let why: Vec<_> = why.collect();
            refused(format!("nobody can go on: {}", why.join("; ")))
        })
    }

    /// Whose data is destroyed, by a person's word: everybody else who does not answer.
    fn destroyed(&self, args: &RecoverArgs, survivor: &str) -> Result<Vec<String>, NotDone> {
        let answers = |name: &String| {
            let member = self.members.iter().find(|member| member.name == *name);
            member.is_some_and(|it| !matches!(it.holds, MemberHolds::Silent(_)))
        };
        if let Some(name) = args.destroyed.iter().find(|name| answers(name)) {
            return Err(refused(format!(
                "{name} answers, so it is not destroyed: nobody who may have more is passed over"
            )));
        }
        let mut destroyed: BTreeSet<String> = args.destroyed.iter().cloned().collect();
        let absent = (self.members.iter())
            .filter(|it| it.name != survivor && matches!(it.holds, MemberHolds::Silent(_)));
        let absent: Vec<_> = absent.map(|member| &member.name).collect();
        if let Some(url) = absent.iter().find(|name| name.contains("://")) {
            return Err(refused(format!(
                "nobody answers at {url}, and who that is is not known: leave --peer={url} out, and give its name to --destroyed"
            )));
        }
        let unnamed: Vec<_> = (absent.into_iter())
            .filter(|name| !destroyed.contains(name.as_str()))
            .cloned()
            .collect();
        if !unnamed.is_empty() && (args.yes || !std::io::stdin().is_terminal()) {
            let flags = unnamed.iter().map(|name| format!("--destroyed={name}"));
            let flags: Vec<_> = flags.collect();
            return Err(refused(format!(
                "{} does not answer, and may have more: bring it back; only if its data is lost for good: {}",
                unnamed.join(", "),
                flags.join(" ")
            )));
        }
        for name in unnamed {
            let question = format!(
                "{name} does not answer. If its data is destroyed for good, type its name: "
            );
            if ask::typed(&question)? != name {
                return Err(refused(format!("{name} is not said to be destroyed")));
            }
            destroyed.insert(name);
        }
        Ok(destroyed.into_iter().collect())
    }

    /// What may be lost, in words.
    fn losses(&self, member: &str, held: &Held) -> Vec<String> {
        let mut losses = vec![format!(
            "whatever was acknowledged, and {member} does not know to be committed"
        )];
        let Some(commit) = held.commit else {
            losses.push(format!(
                "how much {member} has is not known, as its etcd waits for a quorum; `recover` says it once it waits for the order"
            ));
            return losses;
        };
        for other in &self.members {
            let more = self.holds(other).ok().and_then(|held| held.commit);
            if let Some(more) = more.filter(|more| *more > commit) {
                let name = &other.name;
                losses.push(format!(
                    "{} entries that {name} has, and {member} has not: name {name} instead",
                    more - commit
                ));
            }
        }
        let newest = self.newest.as_ref();
        let newest = newest.filter(|newest| newest.cluster_id == held.cluster);
        if let Some(newest) = newest.filter(|newest| newest.index > commit) {
            losses.push(format!(
                "{} entries that the newest snapshot {} has, and {member} has not: `restore` loses less",
                newest.index - commit,
                newest.id
            ));
        }
        losses
    }

    /// Who holds what.
    fn words(&self) -> String {
        let number = |number: Option<u64>| number.map_or("-".into(), |number| number.to_string());
        let line = |member: &KnownMember| {
            let (what, cluster, term, commit, waits) = match &member.holds {
                MemberHolds::Entrypoint(says) => (
                    format!("data: {}", says.data),
                    says.cluster.clone(),
                    says.term,
                    says.commit,
                    says.store.as_ref().and_then(|store| store.waits_for),
                ),
                MemberHolds::Runs(says) => (
                    "runs, and hears no order until it is restarted".into(),
                    Some(says.cluster.clone()),
                    says.term,
                    says.commit,
                    None,
                ),
                MemberHolds::Silent(why) => {
                    (format!("does not answer: {why}"), None, None, None, None)
                }
            };
            let lineage = cluster
                .as_deref()
                .and_then(|id| self.catalog.lineage_of(id));
            vec![
                member.name.clone(),
                cluster.unwrap_or_else(|| "-".into()),
                number(lineage),
                number(term),
                number(commit),
                number(waits),
                what,
            ]
        };
        let lines: Vec<_> = self.members.iter().map(line).collect();
        let heading = [
            "MEMBER",
            "CLUSTER",
            "LINEAGE",
            "TERM",
            "COMMIT",
            "WAITS FOR",
            "WHAT",
        ];
        let mut text = table(&heading, &lines);
        if let Some(newest) = &self.newest {
            text += &format!(
                "newest snapshot: {}, of cluster {}, index {}, taken {}\n",
                newest.id, newest.cluster_id, newest.index, newest.taken
            );
        }
        text
    }

    fn next_words(&self, order: &WrittenOrder, member: &str) -> String {
        let n = order.n;
        let runs = self.members.iter();
        let runs = runs.filter(|it| matches!(it.holds, MemberHolds::Runs(_)));
        let runs: Vec<_> = runs.map(|it| it.name.as_str()).collect();
        let restart = match runs.is_empty() {
            true => "every member that is not destroyed has to run its entrypoint".into(),
            false => format!("restart the containers of {}", runs.join(", ")),
        };
        format!(
            "order {n} is written, and nothing has changed yet

next: {restart}. Once all of them wait for the order, {member} goes on with a copy of its data as lineage {n}; its own
      data stays, set aside. The others rejoin it, and so do the destroyed ones with empty disks
watch: `etcd-rejoin recover`, `etcd-rejoin restore list`, and the members' logs: restore-ordered, survivor-seeds
take it back: `etcd-rejoin restore cancel {n}`, until it is begun
"
        )
    }
}
