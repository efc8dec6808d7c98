//! One look in progress: who was asked, what was heard, and when it is enough.

use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use super::ask::{hear, prove, rank};
use super::{Look, Observer, promise_digest};
use crate::datadir::{Contents, Finding};
use crate::decide::{self, DataDir, Heard, Observation, Peer, Quorate, Trial};
use crate::gateway::Failure;
use crate::membership::{ClusterId, Member, MemberId, same_url};
use crate::signals::Ended;

/// Own data, listed by a peer: so long the proof of a leader may still arrive.
const GRACE_LEADER: Duration = Duration::from_millis(25);
/// Own data: so long the first gateway is asked alone. Every question is a round of Raft for the others.
const HEAD_START: Duration = Duration::from_millis(5);
/// A leader is proven: so long a twin may still answer.
const GRACE_TWIN: Duration = Duration::from_millis(20);
/// Empty or damaged, a leader is proven: so long the other peers may still contradict.
const GRACE_PEERS: Duration = Duration::from_millis(100);
/// A promised first start, a peer is etcd already: so long a leader may still show.
const GRACE_FOUNDING: Duration = Duration::from_millis(50);

pub(super) enum News {
    Peer(usize, Heard),
    Gateway(String, Result<Quorate, Failure>),
    Twin(Option<Running>),
}

/// Who runs at an address that is ours.
pub(super) enum Running {
    Member(MemberId),
    ListsMembers(ClusterId, Vec<Member>),
}

pub(super) struct Gathering<'a> {
    observer: &'a Observer,
    tx: Sender<News>,
    pub(super) deadline: Instant,
    serving: bool,
    data: DataDir,
    promise: bool,
    given_up: bool,
    peers: Vec<Peer>,
    unheard: Vec<usize>,
    gateways: Vec<String>,
    gateways_open: usize,
    /// Gateways that are asked once the first one has had its head start.
    spare: Vec<String>,
    spare_at: Instant,
    twins: Vec<String>,
    twins_open: usize,
    running: Vec<Running>,
    quorate: Option<(String, Quorate)>,
    /// Linearizable answers of another cluster than that one, by URL.
    strangers: Vec<(String, Quorate)>,
    refused: Option<String>,
    failures: Vec<String>,
    /// Since when the grace of this look runs.
    listed_at: Option<Instant>,
    quorate_at: Option<Instant>,
    founding_at: Option<Instant>,
}

impl<'a> Gathering<'a> {
    pub(super) fn new(
        observer: &'a Observer,
        tx: Sender<News>,
        deadline: Instant,
        serving: bool,
    ) -> Self {
        let peers: Vec<Peer> = (observer.config.other_members())
            .map(|(name, _)| Peer {
                name: name.to_string(),
                initial: true,
                heard: Heard::Silent("no answer in time".into()),
            })
            .collect();
        Gathering {
            observer,
            tx,
            deadline,
            serving,
            data: DataDir::Empty,
            promise: false,
            given_up: false,
            unheard: vec![0; peers.len()],
            peers,
            gateways: Vec::new(),
            gateways_open: 0,
            spare: Vec::new(),
            spare_at: deadline,
            twins: Vec::new(),
            twins_open: 0,
            running: Vec::new(),
            quorate: None,
            strangers: Vec::new(),
            refused: None,
            failures: Vec::new(),
            listed_at: None,
            quorate_at: None,
            founding_at: None,
        }
    }

    /// Runs a question in a thread of its own; a hanging one is left behind, it ends by its deadline.
    fn ask(&self, question: impl FnOnce(&Observer, Instant) -> News + Send + 'static) {
        let (tx, observer, deadline) = (self.tx.clone(), self.observer.clone(), self.deadline);
        let builder = std::thread::Builder::new().stack_size(512 << 10);
        let asked = builder.spawn(move || {
            // Nobody listens any more: the look was decided without this answer.
            let _ = tx.send(question(&observer, deadline));
        });
        if let Err(error) = asked {
            log::warn!("cannot start a thread: {error}");
        }
    }

    pub(super) fn ask_peers(&mut self) {
        let config = self.observer.config.clone();
        for (index, (name, urls)) in config.other_members().enumerate() {
            for url in urls {
                let (name, url) = (name.to_string(), url.clone());
                self.unheard[index] += 1;
                self.ask(move |observer, deadline| {
                    News::Peer(index, hear(observer, &name, &url, deadline))
                });
            }
        }
    }

    pub(super) fn ask_gateway(&mut self, url: &str) {
        if self.gateways.iter().any(|known| known == url) {
            return;
        }
        self.gateways.push(url.to_string());
        // What the first one proves is enough for own data, and for nothing else.
        if matches!(self.data, DataDir::Own(_)) && !self.observer.patient {
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

    /// Asks who answers at one of our client URLs.
    fn ask_twin(&mut self, url: &str) {
        self.ask_whether_we_run(url, |observer, url, deadline| {
            let status = observer.clients.status(url, deadline).ok()?;
            Some(Running::Member(status.member))
        });
    }

    /// Asks who answers at one of our peer URLs.
    fn ask_twin_peer(&mut self, url: &str) {
        self.ask_whether_we_run(url, |observer, url, deadline| {
            let view = observer.peers.peer_members(url, deadline).ok()?;
            Some(Running::ListsMembers(view.cluster, view.members))
        });
    }

    fn ask_whether_we_run(
        &mut self,
        url: &str,
        who: fn(&Observer, &str, Instant) -> Option<Running>,
    ) {
        if self.twins.iter().any(|known| known == url) {
            return;
        }
        self.twins.push(url.to_string());
        self.twins_open += 1;
        let url = url.to_string();
        self.ask(move |observer, deadline| News::Twin(who(observer, &url, deadline)));
    }

    /// The volume is known now: who could be running as this member?
    pub(super) fn know_volume(&mut self, contents: &Contents) {
        self.data = data_dir(&contents.finding);
        self.promise = contents.promise.as_ref() == Some(&promise_digest(&self.observer.config));
        self.given_up = contents.given_up;
        let config = self.observer.config.clone();
        if !matches!(self.data, DataDir::Empty) {
            for url in &config.advertise_client_urls {
                self.ask_twin(url);
            }
        }
        // While our own assembly answers there, nobody else can.
        if !self.serving {
            for url in &config.policy.peer_urls {
                self.ask_twin_peer(url);
            }
        }
        for index in 0..self.peers.len() {
            self.consider_view(index);
        }
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

    fn absorb(&mut self, news: News) {
        match news {
            News::Peer(index, heard) => {
                self.unheard[index] = self.unheard[index].saturating_sub(1);
                if rank(&heard) >= rank(&self.peers[index].heard) {
                    self.peers[index].heard = heard;
                }
                self.consider_view(index);
            }
            News::Gateway(url, Ok(quorate)) => {
                self.gateways_open -= 1;
                let better = match (&self.quorate, self.own_cluster()) {
                    (None, _) => true,
                    (Some((_, known)), Some(own)) => known.cluster != own && quorate.cluster == own,
                    (Some(_), None) => false,
                };
                self.ask_twins_of(&quorate.members.clone());
                if better {
                    self.quorate_at.get_or_insert_with(Instant::now);
                    let before = self.quorate.replace((url, quorate));
                    self.strangers.extend(before);
                } else if (self.quorate.as_ref())
                    .is_some_and(|(_, known)| known.cluster != quorate.cluster)
                {
                    self.strangers.push((url, quorate));
                }
                if self.quorate.as_ref().map(|(_, known)| known.cluster) != self.own_cluster() {
                    self.ask_spare();
                }
            }
            News::Gateway(_, Err(failure)) => {
                self.gateways_open -= 1;
                self.ask_spare();
                if let Failure::Refused(_) | Failure::GatewayOff(_) = &failure {
                    self.refused.get_or_insert(failure.to_string());
                }
                self.failures.push(failure.to_string());
            }
            News::Twin(running) => {
                self.twins_open -= 1;
                self.running.extend(running);
            }
        }
    }

    /// A peer that is etcd tells where the gateways are.
    fn consider_view(&mut self, index: usize) {
        let Heard::Etcd { cluster, members } = &self.peers[index].heard else {
            return;
        };
        let (cluster, members) = (*cluster, members.clone());
        let policy = &self.observer.config.policy;
        if let Some(own) = self.identity() {
            let listed = members.iter().find(|member| member.id == own.member);
            let ours = listed.is_some_and(|entry| {
                entry.name.is_empty()
                    || entry.name == policy.name
                    || entry.has_peer_url(&policy.peer_urls)
            });
            if cluster == own.cluster && ours {
                self.listed_at.get_or_insert_with(Instant::now);
            }
        }
        if cluster == policy.static_cluster && !members.iter().any(Member::started) {
            self.founding_at.get_or_insert_with(Instant::now);
        }
        self.ask_twins_of(&members);
        let own = self.own_id(&members);
        for member in members.iter().filter(|member| Some(member.id) != own) {
            for url in &member.client_urls {
                for url in self.gateway_urls(url) {
                    self.ask_gateway(&url);
                }
            }
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

    fn ask_twins_of(&mut self, members: &[Member]) {
        let Some(own) = self.own_id(members) else {
            return;
        };
        let Some(entry) = members.iter().find(|member| member.id == own) else {
            return;
        };
        for url in &entry.client_urls {
            self.ask_twin(url);
        }
        // An entry that has our name alone is perhaps another member's, which published `localhost`.
        if !matches!(self.data, DataDir::Own(_)) {
            let ours = &self.observer.config.policy.peer_urls;
            let elsewhere = |url: &&String| !ours.iter().any(|own| same_url(own, url));
            for url in entry.peer_urls.iter().filter(elsewhere) {
                self.ask_twin_peer(url);
            }
        }
    }

    fn own_id(&self, members: &[Member]) -> Option<MemberId> {
        match self.identity() {
            Some(identity) => Some(identity.member),
            None => decide::own_id(&self.observer.config.policy, members),
        }
    }

    fn identity(&self) -> Option<decide::Identity> {
        match &self.data {
            DataDir::Own(identity) => Some(*identity),
            DataDir::Damaged { head } => *head,
            DataDir::Empty => None,
        }
    }

    fn own_cluster(&self) -> Option<ClusterId> {
        self.identity().map(|identity| identity.cluster)
    }

    /// When this look is over, as far as can be told now.
    fn until(&self) -> Instant {
        let now = Instant::now();
        let peers_open = self.unheard.iter().any(|open| *open > 0);
        if !peers_open && self.gateways_open == 0 && self.twins_open == 0 {
            return now;
        }
        if self.observer.patient {
            return self.deadline;
        }
        let after = |since: Option<Instant>, grace: Duration| {
            since.map_or(self.deadline, |since| (since + grace).min(self.deadline))
        };
        let quorate = self.quorate.as_ref();
        match &self.data {
            DataDir::Own(own) if quorate.is_some_and(|(_, q)| q.cluster == own.cluster) => {
                match self.twins_open {
                    0 => now,
                    _ => after(self.quorate_at, GRACE_TWIN),
                }
            }
            DataDir::Own(_) if self.given_up => self.deadline,
            DataDir::Own(_) => match self.gateways_open + self.twins_open {
                0 if self.listed_at.is_some() => now,
                _ => after(self.listed_at, GRACE_LEADER),
            },
            DataDir::Damaged { .. } | DataDir::Empty if quorate.is_some() => {
                match (peers_open || self.gateways_open > 0, self.twins_open) {
                    (false, 0) => now,
                    (true, 0) => after(self.quorate_at, GRACE_PEERS),
                    // What follows may be a remove: a member that runs elsewhere has all the time.
                    _ => self.deadline,
                }
            }
            DataDir::Empty if self.promise => after(self.founding_at, GRACE_FOUNDING),
            DataDir::Damaged { .. } | DataDir::Empty => self.deadline,
        }
    }

    pub(super) fn into_look(mut self, contents: Contents, trial: Trial, begin: Instant) -> Look {
        let twin = self.is_twin();
        let mut endpoints: Vec<String> = self.quorate.iter().map(|(url, _)| url.clone()).collect();
        for url in std::mem::take(&mut self.gateways) {
            if !endpoints.contains(&url) {
                endpoints.push(url);
            }
        }
        for peer in &self.peers {
            match &peer.heard {
                Heard::Silent(why) | Heard::Refused(why) | Heard::Nonsense(why) => {
                    self.failures.push(format!("{}: {why}", peer.name));
                }
                Heard::Etcd { .. } | Heard::Entrypoint { .. } => {}
            }
        }
        // Whoever answers for another cluster is heard beside the peers, and never passed over.
        for (url, quorate) in self.strangers {
            if (self.quorate.as_ref()).is_some_and(|(_, known)| known.cluster != quorate.cluster) {
                self.peers.push(Peer {
                    name: url,
                    initial: false,
                    heard: Heard::Etcd {
                        cluster: quorate.cluster,
                        members: quorate.members,
                    },
                });
            }
        }
        let config = &self.observer.config;
        let seen = Observation {
            data: self.data,
            join_note: contents.join_note,
            promise: self.promise,
            given_up: contents.given_up,
            left: contents.left,
            set_aside: contents.set_aside,
            leftovers: contents.leftovers,
            in_use: false,
            stalled: contents.stalled,
            added_learner: contents.added_learner,
            trial,
            failed: None,
            peers: self.peers,
            // One gateway that refuses is no matter where another one answers.
            refused: self.refused.filter(|_| self.quorate.is_none()),
            quorate: self.quorate.map(|(_, quorate)| quorate),
            twin,
            waited: self.observer.started.elapsed() >= config.bootstrap_wait,
            no_chores: false,
        };
        Look {
            seen,
            contents,
            endpoints,
            failures: self.failures,
            took: begin.elapsed(),
        }
    }

    /// Whether our own member answers somewhere.
    fn is_twin(&self) -> bool {
        let mut ids: Vec<MemberId> = self
            .identity()
            .map(|identity| identity.member)
            .into_iter()
            .collect();
        let lists = (self.peers.iter())
            .filter_map(|peer| match &peer.heard {
                Heard::Etcd { members, .. } => Some(members),
                Heard::Silent(_)
                | Heard::Entrypoint { .. }
                | Heard::Refused(_)
                | Heard::Nonsense(_) => None,
            })
            .chain(self.quorate.iter().map(|(_, quorate)| &quorate.members));
        for members in lists {
            ids.extend(self.own_id(members));
        }
        self.running.iter().any(|running| match running {
            Running::Member(id) => ids.contains(id),
            // An etcd at our own peer URL, while none of ours runs here.
            Running::ListsMembers(cluster, members) => match self.identity() {
                Some(own) => own.cluster == *cluster && members.iter().any(|m| m.id == own.member),
                None => self.own_id(members).is_some(),
            },
        })
    }
}

fn data_dir(finding: &Finding) -> DataDir {
    match finding {
        Finding::Empty => DataDir::Empty,
        Finding::Own { identity, .. } => DataDir::Own(*identity),
        Finding::Damaged { head, .. } => DataDir::Damaged { head: *head },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::super::deadline_after_reading;
    use crate::config::Config;
    use crate::datadir::{Depth, Volume};
    use crate::signals::Stop;

    fn observer(dir: &std::path::Path) -> Observer {
        let env = [
            ("ETCD_NAME", "n1"),
            ("ETCD_INITIAL_CLUSTER", "n1=http://127.9.9.1:1"),
            ("ETCD_INITIAL_ADVERTISE_PEER_URLS", "http://127.9.9.1:1"),
        ];
        let env = env.map(|(name, value)| (name.into(), value.into()));
        let config = Config::read(env, &[], &Default::default()).unwrap();
        let volume = Volume::new(dir, None);
        Observer::new(Arc::new(config), volume, Stop::default()).unwrap()
    }

    fn gathering(observer: &Observer) -> (Gathering<'_>, Receiver<News>) {
        let (tx, rx) = channel();
        let deadline = Instant::now() + Duration::from_secs(60);
        (Gathering::new(observer, tx, deadline, true), rx)
    }

    fn quorate(cluster: u64) -> Quorate {
        let member = Member {
            id: MemberId(7),
            name: "n1".into(),
            peer_urls: vec!["http://127.9.9.1:1".into()],
            client_urls: vec!["http://127.9.9.1:2".into()],
            learner: false,
        };
        Quorate {
            cluster: ClusterId(cluster),
            members: vec![member],
        }
    }

    fn answers(gathering: &mut Gathering, url: &str, cluster: u64) {
        gathering.gateways_open += 1;
        gathering.absorb(News::Gateway(url.into(), Ok(quorate(cluster))));
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
        let look = gathering.into_look(contents, Trial::None, Instant::now());
        let decision = decide::decide(&observer.config.policy, &look.seen);
        assert_eq!(decision.reason(), decide::Reason::TwoClusters);
    }

    #[test]
    fn own_data_asks_one_gateway_and_the_others_when_that_fails() {
        let dir = tempfile::tempdir().unwrap();
        let observer = observer(dir.path());
        let (mut gathering, _news) = gathering(&observer);
        gathering.data = DataDir::Own(decide::Identity {
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

    #[test]
    fn nothing_is_decided_about_an_empty_volume_before_a_twin_could_answer() {
        let dir = tempfile::tempdir().unwrap();
        let observer = observer(dir.path());
        let (mut gathering, _news) = gathering(&observer);
        answers(&mut gathering, "http://a", 1);
        assert_eq!(gathering.twins, ["http://127.9.9.1:2"]);
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
        let asked = ["http://127.9.9.1:2", "http://127.9.9.3:1"];
        assert_eq!(gathering.twins, asked);
    }
}
