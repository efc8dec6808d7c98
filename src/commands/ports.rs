//! Could etcd listen at its URLs? Each is bound as etcd will bind it, and let go at once.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;

use crate::bind;
use crate::config::Config;
use crate::signals::Stop;

/// Tries every URL that etcd will listen at; the error says which one it could not.
///
/// `peer_ports` tries the peer URLs too; not while we listen there ourselves.
pub fn bindable(config: &Config, peer_ports: bool, stop: &Stop) -> Result<(), String> {
    let peer_urls = config.listen_peer_urls.iter().filter(|_| peer_ports);
    (config.listen_client_urls.iter())
        .chain(&config.listen_client_http_urls)
        .chain(&config.listen_metrics_urls)
        .chain(peer_urls)
        .try_for_each(|url| listen(url, stop))
}

fn listen(url: &str, stop: &Stop) -> Result<(), String> {
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
    let addresses = bind::addresses(authority.trim_end_matches('/'), stop).map_err(failed)?;
    let Some(address) = as_go_chooses(&addresses) else {
        return Err(format!("cannot listen on {url}: its host has no address"));
    };
    bind::listen(address).map(drop).map_err(failed)
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
    use std::net::TcpListener;

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
            let why = bindable(&config(variable, &url), true, &Stop::default()).unwrap_err();
            assert!(
                why.starts_with(&format!("cannot listen on {url}: ")),
                "{why}"
            );
        }
        let ours = config("ETCD_LISTEN_PEER_URLS", &url);
        assert_eq!(
            bindable(&ours, false, &Stop::default()),
            Ok(()),
            "we listen there ourselves"
        );
    }

    #[test]
    fn an_address_of_another_machine_hinders() {
        // An address of documentation: no machine has it.
        let why = listen("http://192.0.2.1:2379", &Stop::default()).unwrap_err();
        assert!(
            why.ends_with("no interface of this machine has the address"),
            "{why}"
        );
    }

    #[test]
    fn a_name_without_an_address_hinders() {
        let why = listen("http://nowhere.invalid:2379", &Stop::default()).unwrap_err();
        assert!(why.contains("http://nowhere.invalid:2379: "), "{why}");
    }

    /// Measured with etcd 3.5: `http://0.0.0.0:PORT` fails on what listens at `[::1]:PORT` alone.
    #[test]
    fn any_address_is_one_of_both_families() {
        let (_held, port) = held("::1");
        assert!(listen(&format!("http://0.0.0.0:{port}"), &Stop::default()).is_err());
        assert_eq!(
            listen(&format!("http://127.0.0.1:{port}"), &Stop::default()),
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
        assert_eq!(listen("unix://nowhere.invalid:0", &Stop::default()), Ok(()));
    }
}
