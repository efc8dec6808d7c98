//! The server's side of our TLS: who is let in, and that our own client is.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use etcd_rejoin::access::TlsFiles;
use etcd_rejoin::gateway::{Client, Failure};
use etcd_rejoin::tls::server_config;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::certs::{Ca, Cert};

/// Answers every https request with `here`; its URL.
fn serve(config: Arc<ServerConfig>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/x", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tls = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(tls, stream);
            let mut head = [0; 4096];
            if stream.read(&mut head).is_ok_and(|read| read > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere");
            }
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    url
}

fn ask(files: &TlsFiles, url: &str) -> Result<(u16, Vec<u8>), Failure> {
    let client = Client::new(files, None).unwrap();
    client.get(url, Instant::now() + Duration::from_secs(5))
}

fn files(ca: Option<&Ca>, own: Option<&Cert>, insecure: bool) -> TlsFiles {
    TlsFiles {
        ca: ca.map(Ca::cert),
        cert: own.map(|own| own.cert.clone()),
        key: own.map(|own| own.key.clone()),
        insecure,
        ..TlsFiles::default()
    }
}

#[test]
fn we_serve_whom_etcd_would_serve() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::new(dir.path(), "test-ca");
    let (own, other) = (ca.server("own", &["127.0.0.1"]), ca.client("other", None));
    let here = Ok((200, b"here".to_vec()));
    let member = files(Some(&ca), Some(&other), false);
    let nobody = files(Some(&ca), None, false);

    // A CA means that clients show a certificate, asked for or not.
    for require in [true, false] {
        let url = serve(server_config(&files(Some(&ca), Some(&own), false), require).unwrap());
        assert_eq!(ask(&member, &url), here);
        assert!(matches!(ask(&nobody, &url), Err(Failure::Refused(_))));
    }
    let url = serve(server_config(&files(None, Some(&own), false), false).unwrap());
    assert_eq!(ask(&nobody, &url), here);
}

#[test]
fn automatic_tls_needs_no_files_and_trusts_everybody() {
    let automatic = files(None, None, true);
    let url = serve(server_config(&automatic, false).unwrap());
    assert_eq!(ask(&automatic, &url), Ok((200, b"here".to_vec())));
    let failure = ask(&TlsFiles::default(), &url).unwrap_err();
    assert!(matches!(failure, Failure::Refused(_)), "{failure:?}");
}

#[test]
fn mistakes_in_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::new(dir.path(), "test-ca");
    let (one, two) = (ca.client("one", None), ca.client("two", None));
    let mixed = Cert {
        cert: one.cert.clone(),
        key: two.key,
    };
    let half = TlsFiles {
        cert: Some(one.cert.clone()),
        ..TlsFiles::default()
    };
    let missing = TlsFiles {
        ca: Some(Path::new("/nowhere/ca.crt").into()),
        ..TlsFiles::default()
    };
    let no_pem = TlsFiles {
        ca: Some(one.key),
        ..TlsFiles::default()
    };
    for (files, words) in [
        (half, "without its key"),
        (missing, "/nowhere/ca.crt"),
        (no_pem, "one.key"),
        (files(None, Some(&mixed), false), "one.crt"),
    ] {
        let why = Client::new(&files, None).unwrap_err().to_string();
        assert!(why.contains(words), "{words}: {why}");
        assert!(server_config(&files, true).is_err());
    }
    assert!(server_config(&TlsFiles::default(), false).is_err());
}
