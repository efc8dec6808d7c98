//! Who this member is, and with whom it would found a cluster.

use super::parse::Checker;
use super::passed_on::PassedOn;
use super::raw::EtcdSettings;
use super::urls::alone;
use crate::decide::JoinsOnly;
use crate::membership::InitialCluster;

/// This member by its settings.
pub struct Ourselves {
    pub name: String,
    /// The initial cluster's token.
    pub token: String,
    pub peer_urls: Vec<String>,
    /// The user said which they are.
    pub peer_urls_given: bool,
    pub initial: InitialCluster,
    /// Why it is none that we could found.
    pub outside: Option<JoinsOnly>,
}

impl Checker {
    /// Name, token, peer URLs and initial cluster. What etcd would take for another member by its own defaults, it
    /// is told.
    pub fn ourselves(&mut self, etcd: &EtcdSettings, passed_on: &mut PassedOn) -> Ourselves {
        let name = etcd.name.clone().unwrap_or("default".into());
        if name.contains([',', '=']) {
            let why = "has a comma or =: etcd reads neither in a name of ETCD_INITIAL_CLUSTER";
            self.mistake("ETCD_NAME", &name, why);
        }
        let token = etcd.initial_cluster_token.clone();
        let given = (etcd.initial_cluster.as_deref())
            .and_then(|text| self.initial_cluster("ETCD_INITIAL_CLUSTER", text));
        let advertised = etcd.initial_advertise_peer_urls.as_deref();
        let mut peer_urls = self.urls(
            "ETCD_INITIAL_ADVERTISE_PEER_URLS",
            advertised.unwrap_or("http://localhost:2380"),
        );
        let advertised = advertised.is_some();
        if peer_urls.is_empty() {
            let why = "names no URL: write http://HOST:PORT";
            self.mistake("ETCD_INITIAL_ADVERTISE_PEER_URLS", "", why);
        }
        let own_entry = given.as_ref().and_then(|cluster| cluster.get(&name));
        // The only value that can work: etcd would be fatal with its default beside this cluster.
        if let Some(ours) = own_entry
            && !advertised
            && passed_on.file.is_none()
            && ours != peer_urls
        {
            peer_urls = ours.to_vec();
            passed_on.say("ETCD_INITIAL_ADVERTISE_PEER_URLS", &peer_urls.join(","));
        }
        // Beside a configuration file etcd keeps its default, whatever the initial cluster says of us.
        let peer_urls_given = advertised || own_entry.is_some_and(|ours| ours == peer_urls);
        // etcd's own default cluster has our advertised URLs only under another name than `default`.
        if given.is_none() && advertised && passed_on.file.is_none() {
            let alone = alone(&name, &peer_urls).to_string();
            passed_on.say("ETCD_INITIAL_CLUSTER", &alone);
        }
        let initial = given.unwrap_or_else(|| alone(&name, &peer_urls));
        Ourselves {
            outside: self.outside(&name, &peer_urls, &initial),
            token: token.unwrap_or("etcd-cluster".into()),
            name,
            peer_urls,
            peer_urls_given,
            initial,
        }
    }
}
