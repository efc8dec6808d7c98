//! A member of a StatefulSet needs no settings of its own: name, URLs and initial cluster follow from its host name, the
//! headless service and the size that the set begins with. From environment to environment, in front of all else.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::flags::Flag;
use crate::text::shorten;

/// Where Kubernetes mounts what a pod may show to the API server.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// No cluster of etcd is larger.
const LARGEST: u32 = 15;

/// The StatefulSet that this member is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatefulSet {
    /// The set's name.
    pub name: String,
    /// Our ordinal.
    pub ordinal: u32,
    /// The full name of the headless service: `etcd.default.svc.cluster.local`.
    pub domain: String,
    /// `http` or `https`, for peers.
    pub scheme: &'static str,
    /// The pod's own addresses; none where /etc/hosts does not tell.
    pub addresses: Vec<IpAddr>,
    /// Where the API server is asked for the set; none where the pod has no token.
    pub api: Option<String>,
    /// The directory with token and CA.
    pub account: PathBuf,
    /// What was derived: variable and value.
    pub derived: Vec<(String, String)>,
}

impl StatefulSet {
    /// The name of the member with this ordinal.
    pub fn member(&self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.name)
    }

    /// Its peer URL.
    pub fn peer_url(&self, ordinal: u32) -> String {
        self.url_of(&self.host(ordinal))
    }

    /// Its host name.
    pub fn host(&self, ordinal: u32) -> String {
        format!("{}.{}", self.member(ordinal), self.domain)
    }

    /// The headless service, as it is looked up: the full name alone, and not the search domains first. One of them may
    /// answer to every name.
    pub fn looked_up(&self) -> String {
        match self.domain.split_once(".svc.") {
            Some(_) => format!("{}.", self.domain),
            None => self.domain.clone(),
        }
    }

    /// The peer URL at this host or address.
    pub fn url_of(&self, host: &str) -> String {
        format!("{}://{host}:{PEER}", self.scheme)
    }
}

/// etcd's ports, as IANA has them.
const PEER: u16 = 2380;
const CLIENT: u16 = 2379;

/// What a pod finds around it.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    /// The kernel's name of this machine: the pod's name, but on the host's network.
    pub node: String,
    /// `/etc/hosts`: the kubelet writes the pod's full name there.
    pub hosts: String,
    /// `/etc/resolv.conf`: the first of its search domains is `NAMESPACE.svc.DOMAIN`.
    pub resolv: String,
}

impl Pod {
    /// Reads them. What does not read is empty.
    pub fn around() -> Pod {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Pod {
            node: rustix::system::uname().nodename().to_string_lossy().into(),
            hosts: read("/etc/hosts"),
            resolv: read("/etc/resolv.conf"),
        }
    }

    /// The lines of `/etc/hosts` that have the full name of this pod: address, and what follows the pod's name.
    fn own<'a>(&'a self, pod: &str) -> Vec<(&'a str, &'a str)> {
        let own = |line: &'a str| {
            let mut words = line.split('#').next()?.split_whitespace();
            let address = words.next()?;
            let rest = words.find_map(|name| name.strip_prefix(pod)?.strip_prefix('.'))?;
            rest.contains(".svc.").then_some((address, rest))
        };
        self.hosts.lines().filter_map(own).collect()
    }

    fn search(&self) -> Option<&str> {
        let lines = self.resolv.lines();
        let search = lines.filter_map(|line| line.trim().strip_prefix("search"));
        let mut words = search.flat_map(str::split_whitespace);
        words.find(|word| word.contains(".svc."))
    }
}

/// PodVariables by name, none of them empty.
pub type PodVariables = BTreeMap<String, String>;

/// What REJOIN_STATEFULSET makes of this environment; none where it is not set. The error is what is wrong with it.
pub fn derive(
    env: &PodVariables,
    flags: &[Flag],
    around: impl FnOnce() -> Pod,
) -> Result<Option<StatefulSet>, String> {
    let Some(service) = env.get("REJOIN_STATEFULSET") else {
        return Ok(None);
    };
    let wrong = |why: String| Err(format!("REJOIN_STATEFULSET={} {why}", shorten(service)));
    let given = |variable: &str| -> Option<&str> {
        let flag = flags.iter().find(|flag| flag.variable() == variable);
        let value = flag.map(|flag| &flag.value).or(env.get(variable));
        value.map(String::as_str).filter(|value| !value.is_empty())
    };
    if given("ETCD_CONFIG_FILE").is_some() {
        return wrong(
            "sets variables, which etcd ignores beside a configuration file: leave one of them out"
                .into(),
        );
    }
    let around = around();
    let named = given("ETCD_NAME").or(env.get("HOSTNAME").map(String::as_str));
    let pod = named.unwrap_or(&around.node);
    let Some((name, ordinal)) = set_and_ordinal(pod) else {
        return wrong(format!(
            "wants the name of a pod of a StatefulSet, as etcd-0: {} is none; on the host's network set ETCD_NAME to the pod's name",
            shorten(pod)
        ));
    };
    let all = around.own(pod);
    let own = all.first().copied();
    let Some(domain) = domain(service, own.map(|(_, rest)| rest), around.search()) else {
        return wrong("does not tell the full name of the headless service, nor do /etc/hosts and /etc/resolv.conf: write SERVICE.NAMESPACE.svc.cluster.local".into());
    };
    if domain.split('.').any(|label| !is_label(label)) || !is_label(name) {
        return wrong(format!("leads to {}, which is no name", shorten(&domain)));
    }
    let has = |file: &str, auto: &str| match given(file).is_some() || given(auto) == Some("true") {
        true => "https",
        false => "http",
    };
    let mut set = StatefulSet {
        name: name.into(),
        ordinal,
        scheme: has("ETCD_PEER_CERT_FILE", "ETCD_PEER_AUTO_TLS"),
        account: env
            .get("REJOIN_SERVICE_ACCOUNT")
            .map_or(ACCOUNT, |dir| dir)
            .into(),
        api: None,
        addresses: (all.iter())
            .filter_map(|(address, _)| address.parse().ok())
            .collect(),
        domain,
        derived: Vec::new(),
    };
    set.api = api(env, &set);
    let here = match own.is_some_and(|(address, _)| address.contains(':')) {
        true => "[::]",
        false => "0.0.0.0",
    };
    let (peers, clients) = (set.scheme, has("ETCD_CERT_FILE", "ETCD_AUTO_TLS"));
    let mut all = vec![
        ("ETCD_NAME", set.member(ordinal)),
        ("ETCD_INITIAL_ADVERTISE_PEER_URLS", set.peer_url(ordinal)),
        ("ETCD_LISTEN_PEER_URLS", format!("{peers}://{here}:{PEER}")),
        (
            "ETCD_ADVERTISE_CLIENT_URLS",
            format!("{clients}://{}:{CLIENT}", set.host(ordinal)),
        ),
        (
            "ETCD_LISTEN_CLIENT_URLS",
            format!("{clients}://{here}:{CLIENT}"),
        ),
    ];
    if given("ETCD_INITIAL_CLUSTER").is_none() {
        let members = (0..size(env)?).map(|n| format!("{}={}", set.member(n), set.peer_url(n)));
        all.push((
            "ETCD_INITIAL_CLUSTER",
            members.collect::<Vec<_>>().join(","),
        ));
    }
    all.retain(|(variable, _)| given(variable).is_none());
    set.derived = (all.into_iter())
        .map(|(name, value)| (name.into(), value))
        .collect();
    Ok(Some(set))
}

/// With how many members the set began. Not how many it has: that changes, and the initial cluster must not.
fn size(env: &PodVariables) -> Result<u32, String> {
    let Some(given) = env.get("REJOIN_INITIAL_SIZE") else {
        return Err("REJOIN_STATEFULSET needs REJOIN_INITIAL_SIZE: with how many replicas the set began, which stays the same when it grows or shrinks".into());
    };
    let size = given
        .parse()
        .ok()
        .filter(|size| (1..=LARGEST).contains(size));
    size.ok_or_else(|| {
        format!(
            "REJOIN_INITIAL_SIZE={} is no number from 1 to {LARGEST}",
            shorten(given)
        )
    })
}

/// `etcd-0` as set and ordinal.
fn set_and_ordinal(pod: &str) -> Option<(&str, u32)> {
    let (set, number) = pod.rsplit_once('-')?;
    let ordinal: u32 = number.parse().ok()?;
    (ordinal.to_string() == number && !set.is_empty()).then_some((set, ordinal))
}

/// The full name of the service. `own`: what follows the pod's name in its full name.
fn domain(service: &str, own: Option<&str>, search: Option<&str>) -> Option<String> {
    let own = own.map(|own| own.trim_end_matches('.'));
    if service == "auto" {
        return own.map(String::from);
    }
    if service.contains('.') {
        return service
            .contains(".svc")
            .then(|| service.trim_end_matches('.').into());
    }
    match own.filter(|own| own.split('.').next() == Some(service)) {
        Some(own) => Some(own.into()),
        None => search.map(|search| format!("{service}.{}", search.trim_end_matches('.'))),
    }
}

/// Source: RFC 1123, as Kubernetes names pods and services.
fn is_label(label: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !label.is_empty() && label.len() <= 63 && label.chars().all(plain)
}

/// Where the set is asked for, if this pod has what it takes.
fn api(env: &PodVariables, set: &StatefulSet) -> Option<String> {
    let host = env.get("KUBERNETES_SERVICE_HOST")?;
    let port = env
        .get("KUBERNETES_SERVICE_PORT")
        .map_or("443", |port| port);
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.clone(),
    };
    let namespace = set.domain.split('.').nth(1)?;
    let has_token = Path::exists(&set.account.join("token"));
    has_token.then(|| {
        format!(
            "https://{host}:{port}/apis/apps/v1/namespaces/{namespace}/statefulsets/{}",
            set.name
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Pod {
        Pod {
            node: "etcd-1".into(),
            hosts: "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n10.244.1.7\tetcd-1.etcd.prod.svc.cluster.local\tetcd-1\n".into(),
            resolv: "nameserver 10.96.0.10\nsearch prod.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n".into(),
        }
    }

    fn read(env: &[(&str, &str)], flags: &[&str], pod: Pod) -> Result<StatefulSet, String> {
        let env = env
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        let words: Vec<_> = flags.iter().map(std::ffi::OsString::from).collect();
        let flags = super::super::flags::parse(&words).unwrap();
        derive(&env.collect(), &flags, || pod).map(|set| set.expect("a set"))
    }

    fn of(set: &StatefulSet, variable: &str) -> Option<String> {
        let mut all = set.derived.iter();
        all.find(|(name, _)| name == variable)
            .map(|(_, value)| value.clone())
    }

    const AUTO: [(&str, &str); 2] = [("REJOIN_STATEFULSET", "auto"), ("REJOIN_INITIAL_SIZE", "3")];

    #[test]
    fn all_follows_from_the_pod() {
        let set = read(&AUTO, &[], pod()).unwrap();
        assert_eq!((set.name.as_str(), set.ordinal), ("etcd", 1));
        assert_eq!(set.domain, "etcd.prod.svc.cluster.local");
        for (variable, value) in [
            ("ETCD_NAME", "etcd-1"),
            (
                "ETCD_INITIAL_ADVERTISE_PEER_URLS",
                "http://etcd-1.etcd.prod.svc.cluster.local:2380",
            ),
            ("ETCD_LISTEN_PEER_URLS", "http://0.0.0.0:2380"),
            (
                "ETCD_ADVERTISE_CLIENT_URLS",
                "http://etcd-1.etcd.prod.svc.cluster.local:2379",
            ),
            ("ETCD_LISTEN_CLIENT_URLS", "http://0.0.0.0:2379"),
            (
                "ETCD_INITIAL_CLUSTER",
                "etcd-0=http://etcd-0.etcd.prod.svc.cluster.local:2380,etcd-1=http://etcd-1.etcd.prod.svc.cluster.local:2380,etcd-2=http://etcd-2.etcd.prod.svc.cluster.local:2380",
            ),
        ] {
            assert_eq!(of(&set, variable).as_deref(), Some(value));
        }
        assert_eq!(set.derived.len(), 6);
        assert_eq!(set.api, None);
        assert_eq!(set.addresses, ["10.244.1.7".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn the_service_is_found_by_its_name_or_in_full() {
        let none = Pod {
            hosts: String::new(),
            ..pod()
        };
        for (service, around, domain) in [
            ("etcd", pod(), "etcd.prod.svc.cluster.local"),
            ("etcd", none.clone(), "etcd.prod.svc.cluster.local"),
            ("other", pod(), "other.prod.svc.cluster.local"),
            (
                "etcd.b.svc.example.org",
                Pod::default(),
                "etcd.b.svc.example.org",
            ),
        ] {
            let env = [
                ("REJOIN_STATEFULSET", service),
                ("REJOIN_INITIAL_SIZE", "1"),
                ("HOSTNAME", "etcd-1"),
            ];
            let set = read(&env, &[], around).unwrap();
            assert_eq!(set.domain, domain);
            assert_eq!(set.looked_up(), format!("{domain}."));
        }
        for (service, around) in [
            ("auto", none),
            ("etcd", Pod::default()),
            ("etcd.prod", pod()),
            ("ETCD.b.svc.cluster.local", pod()),
            ("etcd/../x.svc.y", pod()),
        ] {
            let env = [
                ("REJOIN_STATEFULSET", service),
                ("REJOIN_INITIAL_SIZE", "1"),
                ("HOSTNAME", "etcd-1"),
            ];
            let why = read(&env, &[], around).unwrap_err();
            assert!(
                why.starts_with(&format!("REJOIN_STATEFULSET={service} ")),
                "{why}"
            );
        }
    }

    #[test]
    fn what_is_given_stays() {
        let given = [
            ("ETCD_LISTEN_CLIENT_URLS", "http://127.0.0.1:2379"),
            ("ETCD_PEER_CERT_FILE", "/tls/peer.crt"),
            ("ETCD_INITIAL_CLUSTER", "etcd-5=http://a:2380"),
            ("REJOIN_STATEFULSET", "auto"),
        ];
        let set = read(&given, &["--advertise-client-urls=http://a:2379"], pod()).unwrap();
        for variable in [
            "ETCD_LISTEN_CLIENT_URLS",
            "ETCD_INITIAL_CLUSTER",
            "ETCD_ADVERTISE_CLIENT_URLS",
        ] {
            assert_eq!(of(&set, variable), None);
        }
        assert_eq!(set.scheme, "https");
        let listen = of(&set, "ETCD_LISTEN_PEER_URLS");
        assert_eq!(listen.as_deref(), Some("https://0.0.0.0:2380"));
    }

    #[test]
    fn a_pod_with_an_address_of_version_6_listens_on_both() {
        let hosts = pod().hosts.replace("10.244.1.7", "fd00::7");
        let set = read(&AUTO, &[], Pod { hosts, ..pod() }).unwrap();
        assert_eq!(
            of(&set, "ETCD_LISTEN_PEER_URLS").as_deref(),
            Some("http://[::]:2380")
        );
    }

    #[test]
    fn mistakes_have_name_value_and_cure() {
        let with = |name, value| [AUTO[0], AUTO[1], (name, value)];
        let size = |value| [AUTO[0], ("REJOIN_INITIAL_SIZE", value)];
        for (env, part) in [
            (&AUTO[..1], "needs REJOIN_INITIAL_SIZE"),
            (
                &size("0"),
                "REJOIN_INITIAL_SIZE=0 is no number from 1 to 15",
            ),
            (&size("16"), "REJOIN_INITIAL_SIZE=16"),
            (&size("three"), "REJOIN_INITIAL_SIZE=three"),
            (&with("HOSTNAME", "node7"), "node7 is none"),
            (&with("HOSTNAME", "etcd-01"), "etcd-01 is none"),
            (&with("HOSTNAME", "-1"), "-1 is none"),
            (
                &with("ETCD_CONFIG_FILE", "/etc/etcd.yml"),
                "beside a configuration file",
            ),
        ] {
            let why = read(env, &[], pod()).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
        assert_eq!(
            derive(&PodVariables::new(), &[], || panic!("not read")),
            Ok(None)
        );
    }

    #[test]
    fn the_api_server_is_asked_where_there_is_a_token() {
        let dir = tempfile::tempdir().unwrap();
        let account = dir.path().to_str().unwrap();
        let env = [
            AUTO[0],
            AUTO[1],
            ("REJOIN_SERVICE_ACCOUNT", account),
            ("KUBERNETES_SERVICE_HOST", "fd00::1"),
            ("KUBERNETES_SERVICE_PORT", "6443"),
        ];
        assert_eq!(read(&env, &[], pod()).unwrap().api, None);
        std::fs::write(dir.path().join("token"), "x").unwrap();
        let api = read(&env, &[], pod()).unwrap().api.unwrap();
        assert_eq!(
            api,
            "https://[fd00::1]:6443/apis/apps/v1/namespaces/prod/statefulsets/etcd"
        );
        assert_eq!(read(&env[..3], &[], pod()).unwrap().api, None);
    }
}
