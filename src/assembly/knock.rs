//! Who calls: the etcd of a cluster's member, which believes that we are a member of its cluster.
//!
//! Where nothing answers at a member's peer URL, the etcd of every other member dials it again and again,
//! for two streams, each after 100 ms (recorded from 3.4.23, 3.5.16 and 3.5.30; `streamReader.run` and
//! `.dial` in etcd's `rafthttp/stream.go`, `createPostRequest` in `rafthttp/util.go`):
//!
//! ```text
//! GET /raft/stream/message/6bf3a94bdaf3fee0 HTTP/1.1    (and .../msgapp/...)
//! X-Etcd-Cluster-Id: 3d0eb640f1c2a604                   its cluster
//! X-Server-From: 6bf3a94bdaf3fee0                       itself
//! X-Raft-To: 9569906436302f02                           whom it wants; not in a POST to /raft
//! ```
//!
//! All IDs are in hex. It asks only URLs that its own member list has.
//!
//! Where its machine vanished without a word, the streams stay half open until TCP gives them up, minutes later.
//! What comes all the same is a probe every four seconds, which says nothing of who asks (recorded from 3.5.30;
//! `rafthttp/probing_status.go`): `GET /raft/probing HTTP/1.1`.

use std::str::FromStr;

use crate::decide::Knock;

/// What etcd's prober asks for.
const PROBE: &str = "/raft/probing";

/// The knock, if this head of a request is of an etcd; `None` for whatever else it is.
pub fn knock(request: &[u8]) -> Option<Knock> {
    let head = std::str::from_utf8(request).ok()?;
    let mut lines = head.lines();
    let target = lines.next()?.split(' ').nth(1)?;
    if target == PROBE {
        return Some(Knock::Probe);
    }
    if target != "/raft" && !target.starts_with("/raft/stream/") {
        return None;
    }
    let headers: Vec<(&str, &str)> = lines
        .map_while(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    Some(Knock::Member {
        id: id(&headers, "X-Server-From")?,
        cluster: id(&headers, "X-Etcd-Cluster-Id")?,
        wants: id(&headers, "X-Raft-To"),
    })
}

fn id<T: FromStr>(headers: &[(&str, &str)], wanted: &str) -> Option<T> {
    let (_, value) = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
    value.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::{ClusterId, MemberId};

    /// As etcd 3.5.30 sent it.
    const STREAM: &str = "GET /raft/stream/msgapp/2262b2aa6d53997e HTTP/1.1\r\n\
        Host: 127.211.80.2:2380\r\n\
        User-Agent: Go-http-client/1.1\r\n\
        X-Etcd-Cluster-Id: d612fcd0939015ff\r\n\
        X-Min-Cluster-Version: 3.0.0\r\n\
        X-Peerurls: http://127.211.80.1:2380\r\n\
        X-Raft-To: 481eef0b56f9e2a4\r\n\
        X-Server-From: 2262b2aa6d53997e\r\n\
        X-Server-Version: 3.5.30\r\n\
        Accept-Encoding: gzip\r\n\r\n";

    #[test]
    fn a_member_that_asks_for_us_is_a_caller() {
        let of = |wants| Knock::Member {
            id: MemberId(0x2262b2aa6d53997e),
            cluster: ClusterId(0xd612fcd0939015ff),
            wants,
        };
        let known = of(Some(MemberId(0x481eef0b56f9e2a4)));
        assert_eq!(knock(STREAM.as_bytes()), Some(known.clone()));
        let post = STREAM
            .replace("GET /raft/stream/msgapp/2262b2aa6d53997e", "POST /raft")
            .replace("X-Raft-To: 481eef0b56f9e2a4\r\n", "");
        assert_eq!(knock(post.as_bytes()), Some(of(None)));
        let lower = STREAM.to_lowercase().replace("get", "GET");
        assert_eq!(knock(lower.as_bytes()), Some(known));
    }

    #[test]
    fn a_probe_is_a_call_of_somebody() {
        let probe = b"GET /raft/probing HTTP/1.1\r\nHost: 127.211.80.2:2380\r\n\r\n";
        assert_eq!(knock(probe), Some(Knock::Probe));
    }

    #[test]
    fn whoever_does_not_say_who_it_is_is_none() {
        for (part, instead) in [
            ("/raft/stream/", "/raft/probing/"),
            ("/raft/stream/msgapp/2262b2aa6d53997e", "/raft/probing?"),
            ("/raft/stream/", "/rafts/"),
            ("X-Server-From: 2262b2aa6d53997e\r\n", ""),
            ("X-Server-From: 2262b2aa6d53997e", "X-Server-From: -1"),
            ("X-Etcd-Cluster-Id: d612fcd0939015ff\r\n", ""),
            ("d612fcd0939015ff", "10000000000000000"),
            ("Host:", "\r\n\r\nHost:"),
            ("GET ", ""),
        ] {
            let request = STREAM.replace(part, instead);
            assert_ne!(request, STREAM);
            assert_eq!(knock(request.as_bytes()), None, "{request}");
        }
        for nothing in [&b""[..], b"\r\n\r\n", b"\xff\xfe GET /raft", b"GET /raft"] {
            assert_eq!(knock(nothing), None);
        }
    }
}
