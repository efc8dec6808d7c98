//! How bytes reach a server: name lookup, TCP, TLS with one shared configuration. Knows no HTTP.
//!
//! ureq's own TLS connector builds a new configuration for each connection whose request has its own
//! timeout, and its resolver starts a thread even for an address. Both would cost more than the call.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::config::{AutoHeaderValue, Config};
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::time::{Duration, Instant};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, TcpConnector,
    Transport, TransportAdapter,
};
use ureq::{Agent, Error};

use etcd_rejoin_host::work::Work;

/// ureq fills both buffers of a connection with zeros, and by default each has 128 KiB: most of the
/// memory that a look would touch. It holds the head of a request or of an answer at once, no more.
const BUFFER: usize = 16 << 10;

/// By this header etcd knows its gateway, which calls it with the server's own certificate. Without it the
/// CN of that certificate would be the user (etcd `server/auth/store.go`, `AuthInfoFromTLS`).
const ACCEPT: &str = "*/*";

/// How long a machine takes to refuse a connection to itself, at the most.
const AT_ONCE: std::time::Duration = std::time::Duration::from_millis(1);

/// An agent without proxy and redirects, that takes every status as an answer.
///
/// Connections are kept and used again. Each request sets its own deadline.
pub fn agent(tls: Option<Arc<ClientConfig>>) -> Agent {
    let config = Config::builder()
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(AutoHeaderValue::None)
        .accept(ACCEPT)
        .accept_encoding(AutoHeaderValue::None)
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        // Below the buffer: one that is full looks like a closed connection.
        .max_response_header_size(BUFFER / 2)
        .max_idle_connections(32)
        .max_idle_connections_per_host(2)
        .build();
    let connector = ().chain(TcpConnector::default());
    let connector = connector.chain(WithTls(tls));
    Agent::with_parts(config, connector, Lookup)
}

/// Answers for addresses at once; names are looked up by the system, on a thread for the deadline.
#[derive(Debug)]
struct Lookup;

impl Resolver for Lookup {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let host = bare_host(uri)?;
        let port = port(uri)?;
        let mut found = self.empty();
        if let Ok(address) = host.parse::<IpAddr>() {
            found.push(SocketAddr::new(address, port));
            return Ok(found);
        }
        let name = host.to_string();
        let lookup = Work::begin(move || {
            let answer = (name.as_str(), port).to_socket_addrs();
            answer.map(|addresses| addresses.take(8).collect::<Vec<_>>())
        })?;
        let answer = lookup.wait(*timeout.after);
        let addresses = answer.map_err(|_| Error::Timeout(timeout.reason))??;
        for address in addresses {
            found.push(address);
        }
        match found.is_empty() {
            true => Err(Error::HostNotFound),
            false => Ok(found),
        }
    }
}

fn bare_host(uri: &Uri) -> Result<&str, Error> {
    let host = uri.host().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| Error::BadUri("it has no host".into()))?;
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    Ok(bare.unwrap_or(host))
}

/// A port that is none, such as 99999, must not become the scheme's own.
fn port(uri: &Uri) -> Result<u16, Error> {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let given = authority.rsplit(['@', ']']).next().unwrap_or_default();
    match (uri.port_u16(), given.contains(':'), uri.scheme_str()) {
        (Some(port), _, _) => Ok(port),
        (None, true, _) => Err(Error::BadUri("its port is none".into())),
        (None, false, Some("https")) => Ok(443),
        (None, false, _) => Ok(80),
    }
}

/// Whether this machine says at once that nothing listens at the address in this URL. Not known, as with
/// a name, is no.
pub fn is_refused(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else {
        return false;
    };
    let (Ok(host), Ok(port)) = (bare_host(&uri), port(&uri)) else {
        return false;
    };
    let Ok(address) = host.parse::<IpAddr>() else {
        return false;
    };
    let tried = TcpStream::connect_timeout(&SocketAddr::new(address, port), AT_ONCE);
    tried.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Wraps connections to https URLs in TLS.
#[derive(Debug)]
struct WithTls(Option<Arc<ClientConfig>>);

impl<In: Transport> Connector<In> for WithTls {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let (Some(transport), true) = (&chained, details.needs_tls()) else {
            return Ok(chained.map(Either::A));
        };
        let (Some(config), false) = (&self.0, transport.is_tls()) else {
            return Ok(chained.map(Either::A));
        };
        let host = bare_host(details.uri)?.to_string();
        let name = ServerName::try_from(host).map_err(|why| Error::BadUri(why.to_string()))?;
        let mut tls = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        let Some(transport) = chained else {
            return Ok(None);
        };
        let mut socket = TransportAdapter::new(
            Box::new(transport) as Box<dyn Transport>,
            details.current_time.clone(),
        );
        socket.set_timeout(rest_of(details));
        tls.complete_io(&mut socket)?;
        Ok(Some(Either::B(TlsTransport {
            buffers: LazyBuffers::new(
                details.config.input_buffer_size(),
                details.config.output_buffer_size(),
            ),
            stream: StreamOwned::new(tls, socket),
        })))
    }
}

/// What connecting has left of the time; without this, a handshake could take all of it again.
fn rest_of(details: &ConnectionDetails) -> NextTimeout {
    let mut timeout = details.timeout;
    let now = (details.current_time)();
    if let (Duration::Exact(after), Instant::Exact(begun), Instant::Exact(now)) =
        (timeout.after, details.now, now)
    {
        timeout.after = Duration::Exact(after.saturating_sub(now.duration_since(begun)));
    }
    timeout
}

/// One TLS connection.
struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl TlsTransport {
    /// A server that does not take our certificate says so and closes. Where the close was noticed
    /// first, what it said is still there to be read.
    fn last_words(&mut self) -> Option<io::Error> {
        let StreamOwned { conn, sock } = &mut self.stream;
        while conn.read_tls(sock).ok()? > 0 {
            if let Err(error) = conn.process_new_packets() {
                return Some(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
        None
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.get_mut().set_timeout(timeout);
        let sent = self.stream.write_all(&self.buffers.output()[..amount]);
        let sent = sent.and_then(|()| self.stream.flush());
        Ok(sent.map_err(|error| self.last_words().unwrap_or(error))?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.get_mut().set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::is_refused;
    use std::net::TcpListener;

    #[test]
    fn only_an_address_where_nobody_listens_refuses_at_once() {
        let listens = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listens.local_addr().unwrap().port();
        assert!(!is_refused(&format!("http://127.0.0.1:{port}")));
        // No test listens at an address of 127.11.
        for url in ["http://127.11.0.1:2380", "https://127.11.0.1:2380/"] {
            assert!(is_refused(url), "{url}");
        }
        for unknown in [
            format!("http://localhost:{port}"),
            "http://127.0.0.1:99999".into(),
            "unix://socket".into(),
            String::new(),
        ] {
            assert!(!is_refused(&unknown), "{unknown}");
        }
    }
}
