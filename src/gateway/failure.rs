//! Why a call brought no answer, typed by what it proves: nothing, a refusal, or etcd's own no.

use std::{fmt, io};

use super::reply::HttpReply;

/// A call without the answer it was made for. Prints as the endpoint, then the server's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Refused, reset, timed out, unresolvable, not asked at all: no evidence of anything.
    Unreachable {
        /// Who was asked.
        endpoint: String,
        /// What stood in the way.
        why: String,
        /// The deadline was over. What was asked for may still happen.
        timed_out: bool,
    },
    /// It does not speak to us: TLS, user, password, certificate. With the cure in words.
    Refused(String),
    /// etcd said no.
    Rejected {
        /// The gRPC code. HTTP statuses differ between versions, codes do not.
        code: u32,
        /// etcd's words.
        message: String,
        /// Who said it.
        endpoint: String,
    },
    /// An etcd whose gateway is switched off or moved to another port. With the cure in words.
    GatewayOff(String),
    /// A hostile, malformed, huge or foreign answer. Counts as silence.
    NotEtcd {
        /// The HTTP status, if there was one: a 404 is also what an entrypoint says.
        status: Option<u16>,
        /// Who said what.
        what: String,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unreachable { endpoint, why, .. } => write!(f, "{endpoint}: {why}"),
            Failure::Rejected {
                code,
                message,
                endpoint,
            } => {
                write!(f, "{endpoint}: {message} (code {code})")?;
                if self.is_unhealthy_cluster() {
                    return write!(f, ": {NOT_YET}");
                }
                // The gateway's own words, not etcd's.
                match *code == code::UNAVAILABLE && !message.starts_with("etcdserver:") {
                    true => write!(f, ": {OWN_MEMBER}"),
                    false => Ok(()),
                }
            }
            Failure::Refused(what) | Failure::GatewayOff(what) => f.write_str(what),
            Failure::NotEtcd { status, what } => match status {
                Some(status) => write!(f, "{what} (status {status})"),
                None => f.write_str(what),
            },
        }
    }
}

impl std::error::Error for Failure {}

/// gRPC codes that etcd answers with. Source: `google.golang.org/grpc/codes`.
mod code {
    pub const INVALID_ARGUMENT: u32 = 3;
    pub const DEADLINE_EXCEEDED: u32 = 4;
    pub const NOT_FOUND: u32 = 5;
    pub const PERMISSION_DENIED: u32 = 7;
    pub const FAILED_PRECONDITION: u32 = 9;
    pub const UNAVAILABLE: u32 = 14;
    pub const UNAUTHENTICATED: u32 = 16;
}

/// The gateway dials its own member, with the server certificate as its client certificate.
const OWN_MEMBER: &str = "its gateway does not reach its own member: it may be about to stop, or, \
                          over https, the server certificate lacks clientAuth among its extended \
                          key usages";

/// What etcd means by an unhealthy cluster. Source: etcd `server/etcdserver/server.go`, `AddMember`.
const NOT_YET: &str =
    "it takes no change until it has been connected to every voter for five seconds";

/// How etcd's client port answers us where HTTP has a port of its own.
const GRPC_ALONE: &str =
    ": a port for gRPC alone does so, then name the URL of --listen-client-http-urls";

/// What usually stands behind a connection that ends without an answer.
fn with_hint(endpoint: &str, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::UnexpectedEof if endpoint.starts_with("http:") => ": is its URL https?",
        // A peer port looks for our address in our certificate once the handshake is over, and
        // closes without a word (etcd `client/pkg/transport/listener_tls.go`, `check`).
        io::ErrorKind::UnexpectedEof => {
            ": is its URL http? or is our address not among the names of our certificate?"
        }
        // A peer port serves HTTP always.
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe if endpoint.contains("/v3") => {
            GRPC_ALONE
        }
        _ => "",
    };
    format!("{error}{hint}")
}

// The messages are those of etcd's `api/v3rpc/rpctypes/error.go`.
impl Failure {
    fn says(&self, wanted: u32, part: &str) -> bool {
        matches!(self, Failure::Rejected { code, message, .. }
            if *code == wanted && message.contains(part))
    }

    /// An add, update or remove while the member asked is not connected to all voters for 5 s.
    pub fn is_unhealthy_cluster(&self) -> bool {
        self.says(code::UNAVAILABLE, "unhealthy cluster")
    }

    /// A clear no: nothing will come of what was asked for. All other codes, as "unavailable", "deadline exceeded" and
    /// "cancelled", say nothing about what was proposed before.
    pub fn is_clear_no(&self) -> bool {
        match self {
            Failure::Refused(_) => true,
            Failure::Rejected { code, .. } => {
                let clear = [
                    code::INVALID_ARGUMENT,
                    code::NOT_FOUND,
                    code::PERMISSION_DENIED,
                    code::FAILED_PRECONDITION,
                    code::UNAUTHENTICATED,
                ];
                clear.contains(code) || self.is_unhealthy_cluster()
            }
            Failure::Unreachable { .. } | Failure::GatewayOff(_) | Failure::NotEtcd { .. } => false,
        }
    }

    /// The change would leave fewer started members than a quorum.
    pub fn is_not_enough_started(&self) -> bool {
        matches!(self, Failure::Rejected { message, .. }
            if message.contains("not enough started members"))
    }

    /// The peer URLs of an add or update are none for etcd: it says so for ever.
    pub fn is_bad_url(&self) -> bool {
        self.says(code::INVALID_ARGUMENT, "given member URLs are invalid")
    }

    /// There is no member with this ID (any more).
    pub fn is_member_not_found(&self) -> bool {
        self.says(code::NOT_FOUND, "member not found")
    }

    /// A member with one of these peer URLs is listed already.
    ///
    /// Asked again within the same second, etcd says it of the ID, which is made of URLs and second.
    pub fn is_url_exists(&self) -> bool {
        ["Peer URLs already exists", "member ID already exist"]
            .iter()
            .any(|part| self.says(code::FAILED_PRECONDITION, part))
    }

    /// The learner has not caught up yet: ask again.
    pub fn is_not_in_sync(&self) -> bool {
        self.says(code::FAILED_PRECONDITION, "in sync with leader")
    }

    /// The member to promote is a voter already.
    pub fn is_not_learner(&self) -> bool {
        self.says(
            code::FAILED_PRECONDITION,
            "can only promote a learner member",
        ) && !self.is_not_in_sync()
    }

    /// All before this revision is forgotten already.
    pub fn is_compacted(&self) -> bool {
        matches!(self, Failure::Rejected { message, .. }
            if message.contains("required revision has been compacted"))
    }

    /// No more learners are allowed: one by default.
    pub fn is_too_many_learners(&self) -> bool {
        self.says(code::FAILED_PRECONDITION, "too many learner members")
    }

    /// etcd answers, but has no leader, or lost it under this call.
    pub fn is_no_leader(&self) -> bool {
        ["no leader", "leader changed", "request timed out"]
            .iter()
            .any(|part| self.says(code::UNAVAILABLE, part))
    }

    /// A learner was asked for what only voters answer: "unavailable" up to 3.5, "failed precondition" since
    /// (`ErrGRPCNotSupportedForLearner`).
    pub fn is_learner_refusal(&self) -> bool {
        [code::UNAVAILABLE, code::FAILED_PRECONDITION]
            .iter()
            .any(|code| self.says(*code, "not supported for learner"))
    }

    /// Our deadline or etcd's own was over. What was asked for may still be applied later.
    pub fn timed_out(&self) -> bool {
        matches!(
            self,
            Failure::Unreachable {
                timed_out: true,
                ..
            } | Failure::Rejected {
                code: code::DEADLINE_EXCEEDED,
                ..
            }
        ) || self.says(code::UNAVAILABLE, "request timed out")
    }

    /// The token is missing, old or unknown: a new one may help.
    pub(super) fn wants_token(&self) -> bool {
        self.says(code::UNAUTHENTICATED, "")
            || self.says(code::INVALID_ARGUMENT, "user name is empty")
            || self.says(code::INVALID_ARGUMENT, "revision of auth store is old")
    }

    /// Said by etcd's `Range` only after the linearizable read is over, so a leader is proven.
    ///
    /// Source: etcd `server/etcdserver/v3_server.go`, `Range`: `linearizableReadNotify` comes first,
    /// `doSerialize` checks the user after it.
    pub(super) fn is_after_read(&self) -> bool {
        self.wants_token() || self.says(code::PERMISSION_DENIED, "")
    }

    /// What concerns our user becomes a refusal with its cure.
    pub(super) fn with_cure(self, user: Option<&str>) -> Failure {
        let cure = if self.wants_token() && user.is_none() {
            "auth is on: give a user and its password".to_string()
        } else if self.says(code::PERMISSION_DENIED, "") || self.wants_token() {
            match user {
                Some(user) => format!("give the user {user:?} the role root"),
                None => "auth is on: give a user with the role root, and its password".into(),
            }
        } else if self.says(code::INVALID_ARGUMENT, "authentication failed") {
            "correct the user or its password".into()
        } else if self.says(code::UNAVAILABLE, "tls:")
            || self.says(code::UNAVAILABLE, "authentication handshake failed")
        {
            return Failure::Refused(self.to_string());
        } else {
            return self;
        };
        Failure::Refused(format!("{self}: {cure}"))
    }

    /// What a status that is not 200 says.
    pub(super) fn of_reply(endpoint: &str, reply: &HttpReply) -> Failure {
        if let Some((code, message)) = reply.rejection() {
            let endpoint = endpoint.to_string();
            return Failure::Rejected {
                code,
                message,
                endpoint,
            };
        }
        let words = reply.words();
        let cure = if words.contains("CommonName of client sending a request against gateway") {
            "with auth on, the gateway takes no client certificate that has a CN: use one without"
        } else if words.contains("HTTP request to an HTTPS server") {
            "its URL is https"
        } else if reply.status == 401 || reply.status == 403 {
            "it does not let us in"
        } else {
            return Failure::not_etcd(endpoint, Some(reply.status), &words);
        };
        let status = reply.status;
        Failure::Refused(format!("{endpoint}: {words} (status {status}): {cure}"))
    }

    pub(super) fn not_etcd(endpoint: &str, status: Option<u16>, why: &str) -> Failure {
        Failure::NotEtcd {
            status,
            what: format!("{endpoint}: not an answer of etcd: {why}"),
        }
    }

    /// What an error of the transport proves.
    pub(super) fn of_transport(endpoint: &str, error: ureq::Error) -> Failure {
        use ureq::Error;
        let unreachable = |why: String, timed_out| Failure::Unreachable {
            endpoint: endpoint.to_string(),
            why,
            timed_out,
        };
        match error {
            Error::Io(error) => match crate::tls::explain(&error) {
                Some(why) => Failure::Refused(format!("{endpoint}: {why}")),
                None => unreachable(with_hint(endpoint, &error), false),
            },
            Error::Timeout(_) => unreachable("no answer in time".into(), true),
            Error::HostNotFound => unreachable("its name has no address".into(), false),
            Error::BadUri(why) => unreachable(format!("not a URL: {why}"), false),
            Error::Http(why) => unreachable(format!("not a URL: {why}"), false),
            Error::ConnectionFailed => unreachable("no connection".into(), false),
            Error::Protocol(why) => {
                Failure::not_etcd(endpoint, None, &format!("{why}{GRPC_ALONE}"))
            }
            // Everything else is about bytes that arrived and make no sense.
            strange => Failure::not_etcd(endpoint, None, &strange.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_etcd_says_before_it_proposes_is_a_clear_no() {
        let rejected = |code, message: &str| Failure::Rejected {
            code,
            message: message.into(),
            endpoint: "http://a:1".into(),
        };
        let not_enough = "etcdserver: re-configuration failed due to not enough started members";
        for (code, message, clear) in [
            (5, "etcdserver: member not found", true),
            (9, not_enough, true),
            (14, "etcdserver: unhealthy cluster", true),
            (14, "etcdserver: request timed out", false),
            (4, "context deadline exceeded", false),
            (1, "context canceled", false),
            (2, "etcdserver: request cancelled", false),
            (13, "stream terminated by RST_STREAM", false),
        ] {
            assert_eq!(rejected(code, message).is_clear_no(), clear, "{message}");
        }
    }
}
