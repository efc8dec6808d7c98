//! One look in progress: who was asked, what was heard, and when it is enough.

mod news;
mod patience;
mod set;
mod store;
mod twins;

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use super::ask::{Answered, NO_ANSWER, hear, learn_version, prove, tells_more};
use super::{Listening, Look, Observer, all, promised};
use crate::datadir::{Contents, Finding};
use crate::decide::{
    self, DataDir, Heard, Identity, MemberProgress, Observation, Peer, Quorate, SetWants, ToAsk,
    Trial, Wants,
};
use crate::gateway::Failure;
use crate::membership::{ClusterId, Member, MemberId};
use crate::signals::Ended;
use news::{Asking, News, WhoRuns};

/// Own data: so long the first gateway is asked alone. Every question is a round of Raft for the others.
const HEAD_START: Duration = Duration::from_millis(5);

pub(super) struct Gathering<'a> {
    observer: &'a Observer,
    tx: Sender<News>,
    pub(super) deadline: Instant,
    begun: Instant,
    listening: Listening,
    /// What was seen so far; how gateways fail is added at the end.
    seen: Observation,
    /// The members that are asked how far they have come: their URLs.
    far: Vec<String>,
    far_open: usize,
    unheard: Vec<usize>,
    /// Of each peer: URLs that have answered, and whose version is still to come. A restart like any other
    /// does not wait for it.
    unversioned: Vec<usize>,
    gateways: Vec<String>,
    gateways_open: usize,
    /// Gateways that are asked once the first one has had its head start.
    spare: Vec<String>,
    spare_at: Instant,
    twins: Vec<String>,
    twins_open: usize,
    running: Vec<WhoRuns>,
    /// Questions at our own peer URLs while our assembly serves.
    own_urls_open: usize,
    /// Our StatefulSet is asked for what it wants.
    set_open: bool,
    /// The store is asked for what it holds.
    store: Asking,
    /// Entrypoints of our name that were heard once, and are asked again.
    doubts_open: usize,
    /// One of them stays.
    another: bool,
    /// The URL where the leader was proven.
    prover: Option<String>,
    /// Linearizable answers of another cluster than that one, by URL.
    strangers: Vec<(String, Quorate)>,
    refused: Option<String>,
    unclear: Option<String>,
    /// How long the slowest answer of a peer took so far.
    way: Duration,
    /// Since when only so much has been missing that it is not waited for long.
    listed_at: Option<Instant>,
    quorate_at: Option<Instant>,
    founding_at: Option<Instant>,
}

impl<'a> Gathering<'a> {
    pub(super) fn new(
        observer: &'a Observer,
        tx: Sender<News>,
        deadline: Instant,
        listening: Listening,
    ) -> Self {
        let peers: Vec<Peer> = (observer.config.other_members())
            .map(|(name, _)| Peer {
                name: name.to_string(),
                initial: true,
                heard: Heard::Silent(NO_ANSWER.into()),
            })
            .collect();
        Gathering {
            observer,
            tx,
            deadline,
            begun: Instant::now(),
            listening,
            unheard: vec![0; peers.len()],
            unversioned: vec![0; peers.len()],
            seen: Observation {
                peers,
                heard_out: observer.patient,
                ..Observation::default()
            },
            far: Vec::new(),
            far_open: 0,
            gateways: Vec::new(),
            gateways_open: 0,
            spare: Vec::new(),
            spare_at: deadline,
            twins: Vec::new(),
            twins_open: 0,
            running: Vec::new(),
            own_urls_open: 0,
            set_open: false,
            store: Asking::default(),
            doubts_open: 0,
            another: false,
            prover: None,
            strangers: Vec::new(),
            refused: None,
            unclear: None,
            way: Duration::ZERO,
            listed_at: None,
            quorate_at: None,
            founding_at: None,
        }
    }

    /// Runs a question in a thread of its own; a hanging one is left behind, it ends by its deadline.
    fn ask(&self, question: impl FnOnce(&Observer, Instant) -> News + Send + 'static) {
        self.ask_on(|observer, deadline, tx| {
            // Nobody listens any more: the look was decided without this answer.
            let _ = tx.send(question(observer, deadline));
        });
    }

    /// The same for questions that tell several things.
    fn ask_on(&self, questions: impl FnOnce(&Observer, Instant, &Sender<News>) + Send + 'static) {
        let (tx, observer, deadline) = (self.tx.clone(), self.observer.clone(), self.deadline);
        let builder = std::thread::Builder::new().stack_size(512 << 10);
        // Boxed: what starts a thread is some kilobytes of code for each kind of work.
        let ask: Box<dyn FnOnce() + Send> = Box::new(move || questions(&observer, deadline, &tx));
        let asked = builder.spawn(ask);
        if let Err(error) = asked {
            log::warn!("cannot start a thread: {error}");
        }
    }

    pub(super) fn ask_peers(&mut self) {
        let config = self.observer.config.clone();
        for (index, (name, urls)) in config.other_members().enumerate() {
            self.ask_peer(index, name, urls);
        }
    }

    /// Asks the other members where they are listed, unless they were asked there: are they there, without us?
    fn ask_listed(&mut self, members: &[Member]) {
        let own = self.own_id(members);
        let config = self.observer.config.clone();
        let was_asked = |member: &Member| {
            let mut named = config.other_members();
            let id = member.id.to_string();
            named.any(|(name, urls)| name == member.name && member.has_peer_url(urls))
                || self.seen.peers.iter().any(|peer| peer.name == id)
        };
        let others = members.iter().filter(|member| Some(member.id) != own);
        let unasked: Vec<Member> = others.filter(|it| !was_asked(it)).cloned().collect();
        for member in unasked {
            self.ask_another(&member.id.to_string(), &member.peer_urls);
        }
    }

    /// Asks a peer that the initial cluster does not name.
    fn ask_another(&mut self, name: &str, urls: &[String]) {
        let index = self.seen.peers.len();
        self.seen.peers.push(Peer {
            name: name.into(),
            initial: false,
            heard: Heard::Silent(NO_ANSWER.into()),
        });
        self.unheard.push(0);
        self.unversioned.push(0);
        self.ask_peer(index, name, urls);
    }

    fn ask_peer(&mut self, index: usize, name: &str, urls: &[String]) {
        for url in urls {
            let (name, url) = (name.to_string(), url.clone());
            self.unheard[index] += 1;
            self.ask_on(move |observer, deadline, tx| {
                let asked = Instant::now();
                let answer = hear(observer, &name, &url, deadline);
                let cluster = cluster_of(&answer.heard);
                // As above: perhaps nobody listens any more.
                let _ = tx.send(News::Peer(index, answer, asked.elapsed()));
                if let Some(cluster) = cluster {
                    if !observer.clients.trusts_lists() {
                        learn_version(observer, &url, cluster, deadline);
                    }
                    let _ = tx.send(News::Version(index));
                }
            });
        }
    }

    pub(super) fn ask_gateway(&mut self, url: &str) {
        if self.gateways.iter().any(|known| known == url) {
            return;
        }
        self.gateways.push(url.to_string());
        if self.to_ask() == ToAsk::TwinBesideLeader {
            return;
        }
        // What the first one proves is enough for own data, and for nothing else.
        if matches!(self.seen.counts_as(), DataDir::Own(_)) && !self.observer.patient {
            match self.gateways_open {
                0 => self.spare_at = Instant::now() + HEAD_START,
                _ => return self.spare.push(url.to_string()),
            }
        }
        self.prove(url.to_string());
    }

    fn prove(&mut self, url: String) {
        self.gateways_open += 1;
        self.ask(move |observer, deadline| {
            let answer = prove(observer, &url, deadline);
            News::Gateway(url, answer)
        });
    }

    fn ask_spare(&mut self) {
        for url in std::mem::take(&mut self.spare) {
            self.prove(url);
        }
    }

    /// The volume is known now: who could be running as this member?
    pub(super) fn know_volume(&mut self, contents: &Contents, trial: Trial) {
        let config = self.observer.config.clone();
        let (promise, promise_nonce) =
            (contents.promise.as_deref()).map_or((false, None), |note| promised(&config, note));
        self.seen = Observation {
            data: contents.finding.data_dir(),
            torn: matches!(contents.finding, Finding::Own { torn: true, .. }),
            committed: contents.committed,
            listed_here: contents.listed_here.clone(),
            join_note: contents.join_note,
            adding: contents.adding,
            promise,
            promise_nonce,
            given_up: contents.given_up,
            left: contents.left,
            left_scaled: contents.left_scaled,
            set_aside: contents.set_aside,
            order_note: contents.order_note,
            restoring: contents.restoring.clone(),
            elsewhere: contents.elsewhere.clone(),
            misplaced: contents.misplaced.clone(),
            leftovers: contents.leftovers,
            stalled: contents.stalled,
            added_learner: contents.added_learner,
            trial,
            ..std::mem::take(&mut self.seen)
        };
        let holds_data = self.seen.data != DataDir::Empty;
        (self.observer.holds_data).store(holds_data, Ordering::Relaxed);
        if holds_data {
            for url in &config.advertise_client_urls {
                self.ask_twin(url);
            }
        }
        let strange = std::mem::take(&mut *all(&self.observer.strange));
        let open = match self.listening {
            Listening::Nothing => &config.policy.peer_urls,
            Listening::Assembly => &strange,
            Listening::Holder => &Vec::new(),
        };
        for url in open {
            self.ask_twin_peer(url);
        }
        for index in 0..self.seen.peers.len() {
            self.consider_view(index);
        }
        self.ask_set();
        self.note_time();
    }

    pub(super) fn listen(&mut self, rx: &Receiver<News>) -> Result<(), i32> {
        loop {
            let until = self.until();
            let spared = !self.spare.is_empty() && self.spare_at < until;
            let wake = if spared { self.spare_at } else { until };
            match self.observer.stop.receive(rx, wake) {
                Ok(news) => self.absorb(news),
                Err(Ended::Stopped(signal)) => return Err(signal),
                Err(Ended::Deadline) if spared => self.ask_spare(),
                Err(Ended::Deadline | Ended::Closed) => return Ok(()),
            }
        }
    }

    /// What this look still has to ask.
    fn to_ask(&self) -> ToAsk {
        decide::still_to_ask(&self.observer.config.policy, &self.seen, self.peers_open())
    }

    fn peers_open(&self) -> bool {
        self.unheard.iter().any(|open| *open > 0)
    }

    fn absorb(&mut self, news: News) {
        match news {
            News::Peer(index, Answered { heard, said }, took) => {
                self.way = self.way.max(took);
                match cluster_of(&heard) {
                    Some(_) => self.unversioned[index] += 1,
                    None => self.unheard[index] = self.unheard[index].saturating_sub(1),
                }
                if tells_more(&heard, &self.seen.peers[index].heard) {
                    let peer = &mut self.seen.peers[index];
                    peer.heard = heard;
                    self.seen.said.retain(|known| known.name != peer.name);
                    self.seen.said.extend(said);
                }
                self.consider_view(index);
            }
            News::Version(index) => {
                self.unheard[index] = self.unheard[index].saturating_sub(1);
                self.unversioned[index] -= 1;
                self.consider_view(index);
            }
            News::Gateway(url, answer) => {
                self.gateways_open -= 1;
                match answer {
                    Ok((member, quorate)) => self.proven(url, member, quorate),
                    Err(failure) => self.unproven(&failure),
                }
            }
            News::Far(status) => {
                self.far_open = self.far_open.saturating_sub(1);
                self.seen
                    .progress
                    .extend(status.map(|status| MemberProgress {
                        of: Identity {
                            member: status.member,
                            cluster: status.cluster,
                        },
                        reached: status.reached(),
                        leader: status.leader,
                    }));
                // Who has come less far may make a leader necessary.
                (0..self.seen.peers.len()).for_each(|index| self.consider_view(index));
            }
            News::Twin(running) => {
                self.twins_open -= 1;
                self.answered_as_us(running);
            }
            News::OwnUrl(running) => {
                self.own_urls_open = self.own_urls_open.saturating_sub(1);
                self.answered_as_us(running);
            }
            News::Store(store) => self.heard_of_store(store),
            News::Set(answer, strangers) => self.heard_of_set(answer, strangers),
            News::Stays(stays) => {
                self.doubts_open -= 1;
                self.another |= stays;
            }
        }
        self.note_time();
    }

    /// A member has proven a leader.
    fn proven(&mut self, url: String, member: MemberId, quorate: Quorate) {
        // Behind a balancer, or where our own URLs are among those of the others, it may be ourselves.
        self.running.push(WhoRuns::Member(member));
        self.ask_twins_of(&quorate.members);
        let leaves = self.observer.config.policy.wants == Wants::Leave;
        if leaves && self.own_cluster() == Some(quorate.cluster) {
            self.ask_listed(&quorate.members);
        }
        let known = self.seen.quorate.as_ref().map(|known| known.cluster);
        let better = match (known, self.own_cluster()) {
            (None, _) => true,
            (Some(known), Some(own)) => known != own && quorate.cluster == own,
            (Some(_), None) => false,
        };
        if better {
            let before = self.prover.replace(url).zip(self.seen.quorate.take());
            self.strangers.extend(before);
            self.seen.quorate = Some(quorate);
        } else if known != Some(quorate.cluster) {
            self.strangers.push((url, quorate));
        }
        if self.seen.quorate.as_ref().map(|known| known.cluster) != self.own_cluster() {
            self.ask_spare();
        }
    }

    fn unproven(&mut self, failure: &Failure) {
        self.ask_spare();
        let words = failure.to_string();
        let slot = match failure {
            Failure::Refused(_) | Failure::GatewayOff(_) => Some(&mut self.refused),
            Failure::Rejected { .. } | Failure::NotEtcd { .. } => Some(&mut self.unclear),
            Failure::Unreachable { .. } => None,
        };
        // The first by name, not by arrival: what is said stays the same.
        if let Some(said) = slot
            && said.as_ref().is_none_or(|known| words < *known)
        {
            *said = Some(words.clone());
        }
        self.seen.failures.push(words);
    }

    /// A peer that is etcd tells where the gateways are.
    fn consider_view(&mut self, index: usize) {
        let Heard::Etcd { members, .. } = &self.seen.peers[index].heard else {
            return;
        };
        let members = members.clone();
        self.ask_twins_of(&members);
        match self.to_ask() {
            ToAsk::HowFar | ToAsk::TwinBesideListed => return self.ask_how_far(&members),
            ToAsk::Everybody
            | ToAsk::TwinBesideLeader
            | ToAsk::LeaderForAMoment
            | ToAsk::Leader
            | ToAsk::Contradiction
            | ToAsk::FirstStart => {}
        }
        if self.unversioned[index] > 0 {
            return;
        }
        let own = self.own_id(&members);
        for member in members.iter().filter(|member| Some(member.id) != own) {
            for url in &member.client_urls {
                for url in self.gateway_urls(url) {
                    self.ask_gateway(&url);
                }
            }
        }
    }

    /// No round of Raft: a member says it of itself.
    fn ask_how_far(&mut self, members: &[Member]) {
        let own = self.own_id(members);
        let others = members.iter().filter(|member| Some(member.id) != own);
        let urls = others.flat_map(|member| &member.client_urls);
        let urls: Vec<String> = urls.flat_map(|url| self.gateway_urls(url)).collect();
        for url in urls {
            if self.far.contains(&url) {
                continue;
            }
            self.far.push(url.clone());
            self.far_open += 1;
            self.ask(move |observer, deadline| {
                News::Far(observer.clients.status(&url, deadline).ok())
            });
        }
    }

    /// Where a member's gateway may be: at its client URL, or moved as ours is.
    fn gateway_urls(&self, client_url: &str) -> Vec<String> {
        let moved = self
            .observer
            .config
            .listen_client_http_urls
            .iter()
            .filter_map(|ours| {
                let (scheme, ours) = ours.split_once("://")?;
                let port = ours.rsplit_once(':')?.1;
                let host = client_url.split_once("://")?.1.rsplit_once(':')?.0;
                Some(format!("{scheme}://{host}:{port}"))
            });
        std::iter::once(client_url.to_string())
            .chain(moved)
            .collect()
    }

    fn own_id(&self, members: &[Member]) -> Option<MemberId> {
        match self.identity() {
            Some(identity) => Some(identity.member),
            None => decide::own_id(&self.observer.config.policy, members),
        }
    }

    fn identity(&self) -> Option<Identity> {
        match &self.seen.data {
            DataDir::Own(identity) => Some(*identity),
            DataDir::Damaged { head } => *head,
            DataDir::Empty => None,
        }
    }

    fn own_cluster(&self) -> Option<ClusterId> {
        self.identity().map(|identity| identity.cluster)
    }

    pub(super) fn into_look(mut self, mut contents: Contents, begin: Instant) -> Look {
        if let (DataDir::Own(_), DataDir::Damaged { head }) =
            (&self.seen.data, self.seen.counts_as())
        {
            let what = "the end of the WAL does not read, and etcd could not repair it".into();
            contents.finding = Finding::Damaged { head, what };
        }
        if self.seen.data != DataDir::Empty {
            // Asked while the volume was taken for an empty one: no proof that it has what lies here.
            let without = |quorate: &mut Quorate| quorate.reached.is_none();
            if self.seen.quorate.take_if(without).is_some() {
                self.prover = None;
            }
        }
        self.end_asking_store();
        if self.set_open {
            self.seen.set =
                SetWants::Unknown(
                    "the Kubernetes API server, or DNS for the headless service, has not answered in time".into(),
                );
        }
        let twin = self.is_twin();
        let mut endpoints: Vec<String> = self.prover.take().into_iter().collect();
        for url in std::mem::take(&mut self.gateways) {
            if !endpoints.contains(&url) {
                endpoints.push(url);
            }
        }
        // In the order in which they failed the same words would be news in every look.
        self.seen.failures.sort_unstable();
        for peer in &self.seen.peers {
            match &peer.heard {
                Heard::Silent(why) | Heard::Refused(why) | Heard::Nonsense(why) => {
                    self.seen.failures.push(format!("{}: {why}", peer.name));
                }
                Heard::Etcd { .. } | Heard::Entrypoint { .. } => {}
            }
        }
        let known = self.seen.quorate.as_ref().map(|known| known.cluster);
        // Whoever answers for another cluster is heard beside the peers, and never passed over.
        for (url, quorate) in self.strangers {
            if known.is_some_and(|known| known != quorate.cluster) {
                self.seen.peers.push(Peer {
                    name: url,
                    initial: false,
                    heard: Heard::Etcd {
                        cluster: quorate.cluster,
                        members: quorate.members,
                    },
                });
            }
        }
        let seen = Observation {
            // One gateway that refuses is no matter where another one answers.
            refused: self.refused.filter(|_| known.is_none()),
            unclear: self.unclear.filter(|_| known.is_none()),
            twin,
            ..self.seen
        };
        Look {
            seen,
            contents,
            endpoints,
            took: begin.elapsed(),
        }
    }
}

/// The cluster of a peer that runs etcd.
fn cluster_of(heard: &Heard) -> Option<ClusterId> {
    match heard {
        Heard::Etcd { cluster, .. } => Some(*cluster),
        Heard::Entrypoint { .. } | Heard::Refused(_) | Heard::Nonsense(_) | Heard::Silent(_) => {
            None
        }
    }
}

#[cfg(test)]
mod tests;
