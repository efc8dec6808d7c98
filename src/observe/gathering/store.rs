//! The store of snapshots: asked beside the peers. Intact data waits for it only where nobody is there to wait for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Gathering;
use super::news::{Asking, News};
use crate::decide::{DataDir, KeptMember, StoreSeen, ToAsk, Wants};
use crate::store::ToProbe;

/// No store names more members that are asked.
const MOST: usize = 100;

impl Gathering<'_> {
    /// Asks the store, if there is one. Who leaves, or runs, does not.
    pub(in crate::observe) fn ask_store(&mut self, rejoins: bool) {
        let config = &self.observer.config;
        if config.store.is_none() || config.policy.wants != Wants::Start {
            return;
        }
        let words = "it had not answered by the end of the look";
        self.seen.store = Some(StoreSeen::Silent(words.into()));
        let over = Arc::default();
        self.store = Asking {
            open: true,
            over: Arc::clone(&over),
            rejoins,
        };
        // What decides once is probed where something may have to be decided, and not at each restart.
        let probe = match self.seen.counts_as() {
            DataDir::Own(_) => ToProbe::AnOrder,
            DataDir::Empty | DataDir::Damaged { .. } => ToProbe::Always,
        };
        self.ask(move |observer, deadline| {
            News::Store(observer.store_seen(probe, deadline, &over))
        });
    }

    /// Whether this look may not end without the store's word.
    ///
    /// Own data that others list starts without: an order never lowers the margin, and a restart is not to wait for an
    /// object store. Where no etcd answers there is time, and an order to restore may be why all were stopped. A rejoin
    /// of what the cluster lists, or has listed a moment ago, needs no store either.
    pub(super) fn waits_for_store(&self) -> bool {
        self.store.open
            && match (self.seen.counts_as(), &self.seen.quorate) {
                _ if self.observer.patient || self.seen.order_note.is_some() => true,
                (DataDir::Own(own), Some(quorate)) if quorate.cluster == own.cluster => false,
                (DataDir::Own(_), _) => matches!(self.to_ask(), ToAsk::Leader | ToAsk::Everybody),
                (DataDir::Damaged { .. } | DataDir::Empty, Some(quorate)) => {
                    !self.store.rejoins && self.own_id(&quorate.members).is_none()
                }
                (DataDir::Damaged { .. } | DataDir::Empty, None) => true,
            }
    }

    pub(super) fn heard_of_store(&mut self, store: StoreSeen) {
        self.store.open = false;
        if let StoreSeen::Read(kept) = &store {
            let own = matches!(self.seen.counts_as(), DataDir::Own(_));
            let ordered = self.seen.order_note.is_some() || kept.newest_order().is_some();
            if !own || ordered {
                self.ask_kept(&kept.members);
            }
        }
        self.seen.store = Some(store);
        (0..self.seen.peers.len()).for_each(|index| self.consider_view(index));
    }

    /// Asks the members that the store knows and the initial cluster does not: a cluster that has grown.
    fn ask_kept(&mut self, members: &[KeptMember]) {
        let config = self.observer.config.clone();
        for KeptMember {
            name, peer_urls, ..
        } in members.iter().take(MOST)
        {
            let is_asked = |url: &String| {
                let mut initial = config.policy.initial.iter();
                config.policy.peer_urls.contains(url) || initial.any(|(_, urls)| urls.contains(url))
            };
            if *name == config.policy.name || peer_urls.iter().any(is_asked) {
                continue;
            }
            match self.seen.peers.iter().position(|peer| peer.name == *name) {
                Some(index) => self.ask_peer(index, name, peer_urls),
                None => self.ask_another(name, peer_urls),
            }
        }
    }

    pub(super) fn end_asking_store(&mut self) {
        self.store.over.store(true, Ordering::Relaxed);
        if self.store.open && !self.waits_for_store() {
            self.seen.store = Some(StoreSeen::Silent("it was not waited for".into()));
        }
    }
}
