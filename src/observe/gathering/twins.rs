//! Whether our own member runs somewhere, while it does not run here.

use std::time::Instant;

use super::{Gathering, News, Observer};
use crate::decide::{DataDir, Heard};
use crate::membership::{ClusterId, Member, MemberId, same_url};

/// Who runs at an address that is ours.
pub(in crate::observe) enum Running {
    Member(MemberId),
    ListsMembers(ClusterId, Vec<Member>),
}

impl Gathering<'_> {
    /// Asks who answers at one of our client URLs.
    pub(super) fn ask_twin(&mut self, url: &str) {
        self.ask_whether_we_run(url, |observer, url, deadline| {
            let status = observer.clients.status(url, deadline).ok()?;
            Some(Running::Member(status.member))
        });
    }

    /// Asks who answers at one of our peer URLs.
    pub(super) fn ask_twin_peer(&mut self, url: &str) {
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
        if !matches!(self.data, DataDir::Own(_)) {
            let ours = &self.observer.config.policy.peer_urls;
            let elsewhere = |url: &&String| !ours.iter().any(|own| same_url(own, url));
            for url in entry.peer_urls.iter().filter(elsewhere) {
                self.ask_twin_peer(url);
            }
        }
    }

    /// Whether our own member answers somewhere.
    pub(super) fn is_twin(&self) -> bool {
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
