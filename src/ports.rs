//! Listening as Go does, which etcd is written in; and whether etcd could listen at its URLs: each is bound as etcd will
//! bind it, and let go at once.

use std::io::{self, Error, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use crate::config::Config;
use crate::signals::Stop;

/// Listens at an address. Any address of IPv4 is one of both families, where the machine has IPv6.
///
/// Source: Go `net/ipsock_posix.go`, `favoriteAddrFamily`.
pub fn listen(address: SocketAddr) -> io::Result<Vec<TcpListener>> {
    if address.ip() != IpAddr::from([0; 4]) {
        return Ok(vec![TcpListener::bind(address)?]);
    }
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, address.port())) {
        // By default it is one socket for both (Linux `net.ipv6.bindv6only`).
        Ok(both) => match TcpListener::bind(both.local_addr().map(|it| (address.ip(), it.port()))?)
        {
            Ok(ipv4) => Ok(vec![both, ipv4]),
            Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(vec![both]),
            Err(error) => Err(error),
        },
        Err(error) if error.kind() == ErrorKind::AddrInUse => Err(error),
        Err(_) => Ok(vec![TcpListener::bind(address)?]),
    }
}

/// The addresses of `HOST:PORT`. A name is looked up by the system, which may take its time, but not that of a stop.
pub fn addresses(authority: &str, stop: &Stop) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = authority.parse() {
        return Ok(vec![address]);
    }
    let name = authority.to_string();
    let found = stop.wait_for(move || name.to_socket_addrs().map(Iterator::collect));
    found.unwrap_or_else(|_| Err(ErrorKind::Interrupted.into()))
}

/// Tries every URL that etcd will listen at: those where it could not, in words.
///
/// `peer_ports` tries the peer URLs too; not while we listen there ourselves.
pub fn unbindable(config: &Config, peer_ports: bool, stop: &Stop) -> Vec<String> {
    let peer_urls = config.listen_peer_urls.iter().filter(|_| peer_ports);
    (config.listen_client_urls.iter())
        .chain(&config.listen_client_http_urls)
        .chain(&config.listen_metrics_urls)
        .chain(peer_urls)
        .filter_map(|url| try_url(url, stop).err())
        .collect()
}

fn try_url(url: &str, stop: &Stop) -> Result<(), String> {
    let Some(("http" | "https", authority)) = url.split_once("://") else {
        // A unix socket is a file: etcd removes what lies in its place.
        return Ok(());
    };
    let failed = |error: Error| {
        let hint = match error.kind() {
            ErrorKind::AddrNotAvailable => ": no interface of this machine has the address",
            _ => "",
        };
        format!("cannot listen on {url}: {error}{hint}")
    };
    let addresses = addresses(authority.trim_end_matches('/'), stop).map_err(failed)?;
    let Some(address) = as_go_chooses(&addresses) else {
        return Err(format!("cannot listen on {url}: its host has no address"));
    };
    listen(address).map(drop).map_err(failed)
}

/// Of the addresses of a name, Go listens at one: the first of IPv4, else the first.
///
/// `localhost` may have an IPv6 address that the machine has not.
/// Source: Go `net/ipsock.go`, `addrList.forResolve`.
fn as_go_chooses(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    let ipv4 = addresses.iter().find(|address| address.is_ipv4());
    ipv4.or(addresses.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpStream};

    /// A port that is held, and its number.
    fn held(host: &str) -> (TcpListener, u16) {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    fn config(variable: &str, url: &str) -> Config {
        let free = "http://127.0.0.1:0";
        let env = [
            ("ETCD_LISTEN_PEER_URLS", free),
            ("ETCD_LISTEN_CLIENT_URLS", free),
            (variable, url),
        ];
        let env = env.map(|(name, value)| (name.into(), value.into()));
        Config::read(env, &[], &Default::default()).unwrap()
    }

    #[test]
    fn a_port_in_use_hinders_whatever_etcd_serves_there() {
        let (_held, port) = held("127.0.0.1");
        let url = format!("http://127.0.0.1:{port}");
        for variable in [
            "ETCD_LISTEN_PEER_URLS",
            "ETCD_LISTEN_CLIENT_URLS",
            "ETCD_LISTEN_CLIENT_HTTP_URLS",
            "ETCD_LISTEN_METRICS_URLS",
        ] {
            let why = unbindable(&config(variable, &url), true, &Stop::default());
            let [why] = &why[..] else {
                panic!("{variable}: {why:?}");
            };
            assert!(
                why.starts_with(&format!("cannot listen on {url}: ")),
                "{why}"
            );
        }
        let ours = config("ETCD_LISTEN_PEER_URLS", &url);
        assert_eq!(
            unbindable(&ours, false, &Stop::default()),
            Vec::<String>::new(),
            "we listen there ourselves"
        );
    }

    #[test]
    fn an_address_of_another_machine_hinders() {
        // An address of documentation: no machine has it.
        let why = try_url("http://192.0.2.1:2379", &Stop::default()).unwrap_err();
        assert!(
            why.ends_with("no interface of this machine has the address"),
            "{why}"
        );
    }

    #[test]
    fn a_name_without_an_address_hinders() {
        let why = try_url("http://nowhere.invalid:2379", &Stop::default()).unwrap_err();
        assert!(why.contains("http://nowhere.invalid:2379: "), "{why}");
    }

    /// Measured with etcd 3.5: `http://0.0.0.0:PORT` fails on what listens at `[::1]:PORT` alone.
    #[test]
    fn any_address_is_one_of_both_families() {
        let (_held, port) = held("::1");
        assert!(try_url(&format!("http://0.0.0.0:{port}"), &Stop::default()).is_err());
        assert_eq!(
            try_url(&format!("http://127.0.0.1:{port}"), &Stop::default()),
            Ok(())
        );
    }

    #[test]
    fn of_a_name_one_address_is_enough() {
        let of = |texts: &[&str]| {
            let all: Vec<SocketAddr> = texts.iter().map(|text| text.parse().unwrap()).collect();
            as_go_chooses(&all).map(|address| address.to_string())
        };
        assert_eq!(
            of(&["[::1]:1", "127.0.0.1:1"]).as_deref(),
            Some("127.0.0.1:1")
        );
        assert_eq!(of(&["[::1]:1"]).as_deref(), Some("[::1]:1"));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_unix_socket_is_not_tried() {
        assert_eq!(
            try_url("unix://nowhere.invalid:0", &Stop::default()),
            Ok(())
        );
    }

    #[test]
    fn any_address_is_reached_by_both_families() {
        let listeners = listen((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
        let port = listeners[0].local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
        }
        for taken in [IpAddr::from([0; 4]), Ipv4Addr::LOCALHOST.into()] {
            let error = listen((taken, port).into()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
        }
    }
}
