//! Watches an etcd on trial: is it healthy, and has a learner caught up? Ends when both are so.
//!
//! Each of the two is asked for in a thread of its own: whoever does not answer the one holds the other up in nothing.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::images::{DONE, HEALTHY, Handed, NOT_FOR_PEOPLE};
use crate::config::Config;
use crate::datadir::{Depth, Volume};
use crate::decide::Begin;
use crate::gateway::{Client, Failure, PeerView};
use crate::membership::{Member, MemberId};
use crate::observe::Observer;
use crate::signals::Stop;
use etcd_rejoin_host::exit::Exit;

/// One question to our own etcd or to a voter.
const QUESTION: Duration = Duration::from_secs(1);
/// What stands in the way of a promotion is said again after this.
const REMIND: Duration = Duration::from_secs(60);
/// So many of such words are remembered.
const MOST_SAID: usize = 16;
/// So long one of them is asked alone, at the most: a promotion is an entry that both sides sync.
const MOMENT: Duration = Duration::from_millis(150);
/// The pause between two questions grows from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Watches until there is nothing left to watch, or nobody left who would listen.
pub fn watch(config: Config, stop: &Stop, handed: Handed) -> Exit {
    let (ended, first_end) = channel();
    let left_alone = ended.clone();
    // Our parent holds the other end for as long as it lives.
    let parent = std::thread::Builder::new().spawn(move || {
        let mut rest = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut rest);
        let _ = left_alone.send(Exit::OK);
    });
    let stop = stop.clone();
    let watching = std::thread::Builder::new().spawn(move || {
        let _ = ended.send(until_all_is_so(config, &stop, &handed));
    });
    match parent.and(watching) {
        Ok(_) => first_end.recv().unwrap_or(Exit::FAILED),
        Err(error) => {
            log::warn!("cannot watch whether etcd is healthy: {error}");
            Exit::FAILED
        }
    }
}

fn until_all_is_so(config: Config, stop: &Stop, handed: &Handed) -> Exit {
    let Some(start) = handed.memory.tried() else {
        log::error!("{NOT_FOR_PEOPLE}");
        return Exit::USAGE;
    };
    let config = Arc::new(config);
    let volume = Volume::new(&config.data_dir, config.wal_dir.as_deref());
    let observer = match Observer::new(config.clone(), volume.clone(), stop.clone()) {
        Ok(observer) => observer,
        Err(error) => {
            log::warn!("cannot watch whether etcd is healthy: {error}");
            return Exit::CONFIG;
        }
    };
    let watcher = Watcher {
        clients: observer.clients().clone(),
        peers: observer.peers().clone(),
        own: match &start.begin {
            Begin::New => Some(config.policy.static_id),
            Begin::Existing { id, .. } => Some(*id),
            Begin::WithData => identity(&volume),
        },
        volume,
        with_data: start.begin == Begin::WithData,
        config,
        healthy: AtomicBool::new(false),
        gateway_off: AtomicBool::new(false),
    };
    let all = std::thread::scope(|scope| {
        let promoted = scope.spawn(|| match start.promote {
            true => watcher.until_promoted(stop),
            false => Ok(()),
        });
        let healthy = watcher.until_healthy(stop);
        let promoted = promoted.join().unwrap_or(Err(Exit::FAILED));
        healthy.and(promoted)
    });
    match all {
        Ok(()) => {
            if let Some(line) = handed.rejoin.line(start, watcher.own) {
                line.log();
            }
            // Nobody listens any more: then etcd has ended, and so do we.
            let _ = writeln!(std::io::stdout(), "{DONE}");
            Exit::OK
        }
        Err(exit) => exit,
    }
}

/// Asks again and again, with a pause that grows.
fn until(stop: &Stop, mut is_so: impl FnMut() -> bool) -> Result<(), Exit> {
    let mut pause = PAUSES.0;
    while !is_so() {
        if let Some(signal) = stop.sleep_until(Instant::now() + pause) {
            return Err(Exit::signal(signal));
        }
        pause = (pause * 5 / 4).min(PAUSES.1);
    }
    Ok(())
}

/// Puts one question to all of these at once, each in a thread of its own, and ends at the first answer that is
/// wanted, or with the time for one question.
///
/// The next one is asked as soon as the last one has answered, or has not for a moment: mostly one is enough. All are
/// asked while half of the time is left.
fn first<T: Send + 'static, A>(
    questions: impl IntoIterator<Item = impl FnOnce(Instant) -> T + Send + 'static>,
    mut wanted: impl FnMut(T) -> Option<A>,
) -> Option<A> {
    let deadline = Instant::now() + QUESTION;
    let (tx, rx) = channel();
    let mut open = 0;
    let questions: Vec<_> = questions.into_iter().collect();
    let moment = MOMENT.min(QUESTION / 2 / questions.len().max(1) as u32);
    for question in questions {
        let tx = tx.clone();
        let asked = std::thread::Builder::new().spawn(move || {
            // Nobody listens any more: another one has answered.
            let _ = tx.send(question(deadline));
        });
        if let Err(error) = asked {
            log::warn!("cannot start a thread: {error}");
            continue;
        }
        open += 1;
        match rx.recv_timeout(moment) {
            Ok(answer) => {
                open -= 1;
                let answer = wanted(answer);
                if answer.is_some() {
                    return answer;
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
    while open > 0 {
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = wanted(rx.recv_timeout(left).ok()?);
        if answer.is_some() {
            return answer;
        }
        open -= 1;
    }
    None
}

struct Watcher {
    config: Arc<Config>,
    clients: Client,
    peers: Client,
    volume: Volume,
    /// The member that etcd starts as; unknown if the WAL cannot be read.
    own: Option<MemberId>,
    with_data: bool,
    /// Our etcd has been healthy once.
    healthy: AtomicBool,
    /// It was said that the gateway is off.
    gateway_off: AtomicBool,
}

impl Watcher {
    fn until_healthy(&self, stop: &Stop) -> Result<(), Exit> {
        until(stop, || self.is_healthy())?;
        self.healthy.store(true, Ordering::Relaxed);
        log::info!("etcd is healthy");
        // Nobody listens any more: then etcd has ended, and so do we.
        writeln!(std::io::stdout(), "{HEALTHY}").map_err(|_| Exit::OK)
    }

    fn until_promoted(&self, stop: &Stop) -> Result<(), Exit> {
        let mut said = StandsInTheWay::default();
        until(stop, || self.healthy.load(Ordering::Relaxed) || self.runs())?;
        until(stop, || self.is_promoted(&mut said))
    }

    /// Our etcd has answered through Raft, or the cluster has seen it publish itself.
    fn is_healthy(&self) -> bool {
        let deadline = Instant::now() + QUESTION;
        let urls = self.config.own_client_urls();
        if urls.iter().any(|url| self.answers(url, deadline)) {
            return true;
        }
        // With data it was published long ago: that proves nothing about this start.
        !self.with_data
            && self.config.policy.peer_urls.iter().any(|url| {
                let view = self.peers.peer_members(url, deadline);
                view.is_ok_and(|view| self.own(&view.members).is_some_and(Member::started))
            })
    }

    /// Whether our member answers at this client URL.
    ///
    /// An advertised one may lead to another member as well, and at a listen URL that etcd cannot have an
    /// older process may answer: what ours dies of would then be nobody's concern any more.
    fn answers(&self, url: &str, deadline: Instant) -> bool {
        let ours = |id| self.own.is_none_or(|own| own == id);
        match self.clients.quorate_members_by(url, deadline) {
            Ok((member, _)) => ours(member),
            Err(failure) if failure.is_learner_refusal() => {
                (self.clients.status(url, deadline)).is_ok_and(|status| ours(status.member))
            }
            // Without a gateway nobody says who it is.
            Err(Failure::GatewayOff(why)) => {
                if self.config.policy.has_others()
                    && !self.gateway_off.swap(true, Ordering::Relaxed)
                {
                    log::warn!("a member that loses its disk could not come back: {why}");
                }
                !self
                    .config
                    .advertise_client_urls
                    .iter()
                    .any(|known| known == url)
                    && self.clients.health(url, deadline).unwrap_or(false)
            }
            Err(_) => false,
        }
    }

    /// Whether an etcd that knows us answers at our own peer URL. A learner may have no client URL that can
    /// be asked from here: its certificate names others, or it is a unix socket.
    fn runs(&self) -> bool {
        let deadline = Instant::now() + QUESTION;
        self.config.policy.peer_urls.iter().any(|url| {
            let view = self.peers.peer_members(url, deadline);
            view.is_ok_and(|view| view.members.iter().any(|m| Some(m.id) == self.own))
        })
    }

    fn own<'a>(&self, members: &'a [Member]) -> Option<&'a Member> {
        let id = crate::decide::own_id(&self.config.policy, members)?;
        members.iter().find(|member| member.id == id)
    }

    /// Asks the voters to promote us, each of them once; true when there is nothing left to ask.
    fn is_promoted(&self, said: &mut StandsInTheWay) -> bool {
        let mut voters: Vec<String> = Vec::new();
        let mut learner = None;
        for members in self.lists() {
            let Some(own) = self.listed(&members) else {
                continue;
            };
            // A person may have done it; and no voter becomes a learner again. But as long as our etcd lists what it
            // was started with, it lists no client URLs, and no learners.
            if !own.learner && own.started() && self.own == Some(own.id) {
                return self.promoted();
            }
            learner = Some(own.id);
            let others = members.iter().filter(|m| !m.learner && m.started());
            voters.extend(others.flat_map(|voter| voter.client_urls.clone()));
        }
        let Some(own) = learner else {
            return false;
        };
        // What voters advertise may lead to nobody from here, as etcd's default does.
        voters.extend(self.config.other_client_urls.clone());
        if voters.is_empty() {
            said.say("no voter has published a client URL: ETCD_OTHER_PEERS_CLIENT_URLS names one");
        }
        let mut asked = BTreeSet::new();
        voters.retain(|url| asked.insert(url.clone()));
        let questions = voters.into_iter().map(|url| {
            let clients = self.clients.clone();
            move |deadline| clients.member_promote(&url, own, deadline)
        });
        let promoted = first(questions, |answer| match answer {
            Ok(()) => {
                log::info!(member:% = own; "caught up, promoted to voter");
                Some(())
            }
            Err(failure) if failure.is_not_learner() => Some(()),
            Err(failure) => {
                // To catch up takes its time. What else stands in the way may do so for ever.
                match failure.is_not_in_sync() {
                    true => log::debug!("not promoted yet: {failure}"),
                    false => said.say(&failure.to_string()),
                }
                None
            }
        });
        promoted.is_some() && self.promoted()
    }

    fn promoted(&self) -> bool {
        if let Err(error) = self.volume.forget_learner() {
            log::warn!("{error}");
        }
        true
    }

    /// The member lists that were heard before one that says who could promote us, and that one. The initial
    /// cluster may name only ourselves: but a learner answers `/members` at its own peer URL, and who was given by
    /// its client URL lists the members there.
    fn lists(&self) -> Vec<Vec<Member>> {
        type Question = Box<dyn FnOnce(Instant) -> Option<PeerView> + Send>;
        let others = self.config.other_members().flat_map(|(_, urls)| urls);
        let peers = (self.config.policy.peer_urls.iter())
            .chain(others)
            .map(|url| {
                let (peers, url) = (self.peers.clone(), url.clone());
                Box::new(move |deadline| peers.peer_members(&url, deadline).ok()) as Question
            });
        let clients = self.config.other_client_urls.iter().map(|url| {
            let (clients, url) = (self.clients.clone(), url.clone());
            Box::new(move |deadline| clients.local_members(&url, deadline).ok()) as Question
        });
        let mut lists = Vec::new();
        first(peers.chain(clients), |view| {
            let members = view?.members;
            let voters = members.iter().any(|m| !m.learner && m.started());
            let enough = voters && self.listed(&members).is_some();
            lists.push(members);
            enough.then_some(())
        });
        lists
    }

    /// Our own entry; one of our URLs under another ID is one of before.
    fn listed<'a>(&self, members: &'a [Member]) -> Option<&'a Member> {
        let ours = |entry: &&Member| self.own.is_none_or(|own| own == entry.id);
        self.own(members).filter(ours)
    }
}

/// What has been said of why we are no voter yet, and when.
#[derive(Default)]
struct StandsInTheWay(Vec<(String, Instant)>);

impl StandsInTheWay {
    /// Says what is new, and now and then what is not.
    fn say(&mut self, words: &str) {
        let known = (self.0.iter()).find(|(said, at)| said == words && at.elapsed() < REMIND);
        if known.is_some() {
            return;
        }
        log::info!("not promoted yet: {words}");
        self.0.retain(|(said, _)| said != words);
        self.0.truncate(MOST_SAID);
        self.0.insert(0, (words.into(), Instant::now()));
    }
}

/// Whose data lies here; etcd may write to it meanwhile.
fn identity(volume: &Volume) -> Option<MemberId> {
    let contents = volume.inspect(Depth::Quick).ok()?;
    contents.finding.identity().map(|identity| identity.member)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers after so many seconds, if there is so much time.
    fn after(seconds: u64) -> impl FnOnce(Instant) -> u64 + Send + 'static {
        move |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            std::thread::sleep(left.min(Duration::from_secs(seconds)));
            seconds
        }
    }

    #[test]
    fn whoever_is_silent_does_not_hold_up_the_others() {
        let begun = Instant::now();
        let found = first([9, 9, 9, 0, 9].map(after), |seconds| {
            (seconds == 0).then_some(())
        });
        assert_eq!(found, Some(()));
        assert!(begun.elapsed() < QUESTION / 2, "{:?}", begun.elapsed());
    }

    #[test]
    fn one_round_has_one_deadline_and_hears_everybody() {
        let (begun, mut heard) = (Instant::now(), 0);
        let found = first([9, 9, 0, 9, 0].map(after), |_| {
            heard += 1;
            None::<()>
        });
        assert_eq!(found, None);
        assert!(
            heard >= 2 && begun.elapsed() < 2 * QUESTION,
            "{heard} {:?}",
            begun.elapsed()
        );
    }

    #[test]
    fn one_that_answers_is_asked_alone() {
        let asked = first([0, 0].map(after), Some);
        assert_eq!(asked, Some(0));
    }
}
