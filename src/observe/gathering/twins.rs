//! Whether our own member runs somewhere, while it does not run here.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::all;
use super::super::ask::is_another;
use super::news::{News, WhoRuns};
use super::{Gathering, Listening, Observer};
use crate::decide::{DataDir, Heard};
use crate::gateway::{Failure, connect};
use crate::membership::{Member, MemberId, same_url};

/// An entrypoint of our name is asked again after this: one that is just being replaced is gone then.
const MOMENT: Duration = Duration::from_millis(500);
/// And again, if nobody answers: on its way from entrypoint to etcd it is silent for a while, too.
const AGAIN: Duration = Duration::from_millis(200);

impl Gathering<'_> {
    /// Asks who answers at one of our client URLs.
    pub(super) fn ask_twin(&mut self, url: &str) {
        self.ask_whether_we_run(url, |observer, url, deadline| {
            let status = observer.clients.status(url, deadline).ok()?;
            Some(WhoRuns::Member(status.member))
        });
    }

    /// Asks who answers at one of our peer URLs.
    pub(super) fn ask_twin_peer(&mut self, url: &str) {
        match self.seen.counts_as() {
            // An entrypoint that holds nothing is no rival of what an etcd has written here.
            DataDir::Own(_) => self.ask_whether_we_run(url, |observer, url, deadline| {
                lists_members(observer, url, deadline).ok()
            }),
            DataDir::Damaged { .. } | DataDir::Empty => {
                self.ask_whether_we_run(url, |observer, url, deadline| {
                    match lists_members(observer, url, deadline) {
                        Ok(running) => Some(running),
                        Err(Failure::NotEtcd {
                            status: Some(404), ..
                        }) => match is_another(observer, url, deadline) {
                            Some(true) => Some(WhoRuns::Entrypoint(url.into())),
                            Some(false) | None => None,
                        },
                        Err(_) => None,
                    }
                });
            }
        }
    }

    /// Asks who answers at our own peer URLs while our assembly serves: we do, or nobody whom we can
    /// reach, or another machine that was given our name and our URLs. Two of one name that are both
    /// empty would else found one cluster with both of them, and vote twice as the same member.
    pub(in crate::observe) fn ask_own_urls(&mut self) {
        if self.listening != Listening::Assembly {
            return;
        }
        for url in self.observer.config.policy.peer_urls.clone() {
            self.own_urls_open += 1;
            // Two connections at the most.
            (self.observer.own_unanswered).fetch_add(2, Ordering::SeqCst);
            // The entrypoint first: this is one question less than the peers are asked, and a look ends
            // when these were heard.
            self.ask(move |observer, deadline| {
                let another = is_another(observer, &url, deadline);
                let running = match another {
                    Some(true) => Some(WhoRuns::Entrypoint(url.clone())),
                    Some(false) => None,
                    None => lists_members(observer, &url, deadline).ok(),
                };
                if another.is_some() || running.is_some() {
                    (observer.own_unanswered).fetch_sub(2, Ordering::SeqCst);
                }
                if running.is_some() {
                    all(&observer.strange).push(url);
                }
                News::OwnUrl(running)
            });
        }
    }

    /// Somebody answered at an address that is ours.
    pub(super) fn answered_as_us(&mut self, running: Option<WhoRuns>) {
        match running {
            // It may be on its way out. Only one that stays is a reason to refuse.
            Some(WhoRuns::Entrypoint(url)) if !matches!(self.seen.counts_as(), DataDir::Own(_)) => {
                self.doubts_open += 1;
                self.ask(move |observer, deadline| {
                    let left = deadline.saturating_duration_since(Instant::now());
                    std::thread::sleep(MOMENT.min(left / 2));
                    let stays = stays(observer, &url, deadline);
                    if stays {
                        let name = &observer.config.policy.name;
                        log::warn!("another process named {name} answers at {url}");
                    }
                    News::Stays(stays)
                });
            }
            Some(WhoRuns::Entrypoint(_)) | None => {}
            Some(running) => self.running.push(running),
        }
    }

    fn ask_whether_we_run(
        &mut self,
        url: &str,
        who: fn(&Observer, &str, Instant) -> Option<WhoRuns>,
    ) {
        if self.twins.iter().any(|known| known == url) {
            return;
        }
        self.twins.push(url.to_string());
        // The address is this machine's own, and mostly nobody is there: no need of a thread then.
        if connect::is_refused(url) {
            return;
        }
        self.twins_open += 1;
        let url = url.to_string();
        self.ask(move |observer, deadline| News::Twin(who(observer, &url, deadline)));
    }

    pub(super) fn ask_twins_of(&mut self, members: &[Member]) {
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
        if !matches!(self.seen.counts_as(), DataDir::Own(_)) {
            let ours = &self.observer.config.policy.peer_urls;
            let elsewhere = |url: &&String| !ours.iter().any(|own| same_url(own, url));
            for url in entry.peer_urls.iter().filter(elsewhere) {
                self.ask_twin_peer(url);
            }
        }
    }

    /// Whether our own member answers somewhere.
    pub(super) fn is_twin(&self) -> bool {
        if self.another {
            return true;
        }
        let mut ids: Vec<MemberId> = self
            .identity()
            .map(|identity| identity.member)
            .into_iter()
            .collect();
        let lists = (self.seen.peers.iter())
            .filter_map(|peer| match &peer.heard {
                Heard::Etcd { members, .. } => Some(members),
                Heard::Silent(_)
                | Heard::Entrypoint { .. }
                | Heard::Refused(_)
                | Heard::Nonsense(_) => None,
            })
            .chain(self.seen.quorate.iter().map(|quorate| &quorate.members));
        for members in lists {
            ids.extend(self.own_id(members));
        }
        self.running.iter().any(|running| match running {
            WhoRuns::Member(id) => ids.contains(id),
            // An etcd at our own peer URL, while none of ours runs here.
            WhoRuns::ListsMembers(url, cluster, members) => match self.identity() {
                // Another member that is listed with this URL, which we were given by mistake, is no twin.
                Some(own) => {
                    let url = std::slice::from_ref(url);
                    let anothers = |m: &Member| m.id != own.member && m.has_peer_url(url);
                    own.cluster == *cluster
                        && members.iter().any(|m| m.id == own.member)
                        && !members.iter().any(anothers)
                }
                None => self.own_id(members).is_some(),
            },
            WhoRuns::Entrypoint(_) => false,
        })
    }
}

/// Whether the entrypoint that was heard at this URL is still there, or the etcd that it has become.
fn stays(observer: &Observer, url: &str, deadline: Instant) -> bool {
    loop {
        match is_another(observer, url, deadline) {
            Some(stays) => return stays,
            None if lists_members(observer, url, deadline).is_ok() => return true,
            None if Instant::now() + 2 * AGAIN < deadline => std::thread::sleep(AGAIN),
            None => return false,
        }
    }
}

fn lists_members(observer: &Observer, url: &str, deadline: Instant) -> Result<WhoRuns, Failure> {
    let view = observer.peers.peer_members(url, deadline)?;
    Ok(WhoRuns::ListsMembers(
        url.into(),
        view.cluster,
        view.members,
    ))
}
