//! Listening as Go does, which etcd is written in.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpStream};

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
