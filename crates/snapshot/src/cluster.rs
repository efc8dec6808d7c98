//! The cluster that is saved: whom to ask, and who its members are.

use std::sync::Arc;

use futures_util::future::join_all;
use rustls::ClientConfig;

use etcd_rejoin_host::error::Error;
use etcd_rejoin_host::tls;

use crate::etcd::messages::{MemberMessage, StatusResponse};
use crate::etcd::{Endpoint, choose};
use crate::layout::SavedMember;
use crate::settings::EtcdAccess;

/// A member that can be asked for a snapshot.
#[derive(Debug)]
pub struct Candidate {
    /// Where it is.
    pub endpoint: Endpoint,
    /// How it is.
    pub status: StatusResponse,
}

impl Candidate {
    /// Its cluster's ID: hexadecimal, as etcd prints it.
    pub fn cluster_id(&self) -> String {
        id(self
            .status
            .header
            .as_ref()
            .map_or(0, |header| header.cluster_id))
    }

    /// Its own ID.
    pub fn member_id(&self) -> String {
        id(self
            .status
            .header
            .as_ref()
            .map_or(0, |header| header.member_id))
    }

    /// Its revision.
    pub fn revision(&self) -> u64 {
        let revision = self
            .status
            .header
            .as_ref()
            .map_or(0, |header| header.revision);
        revision.try_into().unwrap_or(0)
    }
}

/// An ID as etcd prints it.
fn id(number: u64) -> String {
    format!("{number:x}")
}

/// The members that answer, the best to ask first, and the member list.
pub async fn candidates(access: &EtcdAccess) -> Result<(Vec<Candidate>, Vec<SavedMember>), Error> {
    let tls = tls::client_config(&access.tls).map_err(tls::Unfit::into_error)?;
    let given = endpoints(access, &access.endpoints, &tls).await;
    let first = given.iter().find_map(|given| given.as_ref().ok());
    let Some((endpoint, _)) = first else {
        let errors: Vec<String> = given
            .into_iter()
            .filter_map(|given| given.err())
            .map(|error| error.to_string())
            .collect();
        return Err(Error::new(errors.join("; ")));
    };
    let members = endpoint.members().await?.members;
    let known: Vec<String> = given
        .iter()
        .flatten()
        .map(|(endpoint, _)| endpoint.url.clone())
        .collect();
    let asked: Vec<u64> = given
        .iter()
        .flatten()
        .filter_map(|(_, status)| Some(status.header.as_ref()?.member_id))
        .collect();
    // A member of which no URL was given may be the follower to ask.
    let others = members.iter().filter(|member| !asked.contains(&member.id));
    let others: Vec<String> = others
        .filter_map(|member| member.client_urls.first().cloned())
        .collect();
    let others: Vec<String> = others
        .into_iter()
        .filter(|url| !known.contains(url))
        .collect();
    let more = endpoints(access, &others, &tls).await;
    let mut all: Vec<_> = given.into_iter().chain(more).flatten().map(Some).collect();
    let statuses: Vec<_> = all
        .iter()
        .map(|one| one.as_ref().map(|(_, status)| status.clone()))
        .collect();
    let ordered = choose::in_order(&statuses)
        .into_iter()
        .filter_map(|at| all[at].take());
    let candidates = ordered
        .map(|(endpoint, status)| Candidate { endpoint, status })
        .collect();
    Ok((candidates, members.into_iter().map(saved).collect()))
}

fn saved(member: MemberMessage) -> SavedMember {
    SavedMember {
        id: id(member.id),
        name: member.name,
        peer_urls: member.peer_urls,
        client_urls: member.client_urls,
        learner: member.is_learner,
    }
}

/// Asks all of these how they are, at once.
async fn endpoints(
    access: &EtcdAccess,
    urls: &[String],
    tls: &Arc<ClientConfig>,
) -> Vec<Result<(Endpoint, StatusResponse), Error>> {
    join_all(urls.iter().map(|url| async move {
        let mut endpoint = Endpoint::new(url, tls.clone())?;
        if let Some(user) = &access.user {
            endpoint.authenticate(user).await?;
        }
        let status = endpoint.status().await?;
        Ok((endpoint, status))
    }))
    .await
}
