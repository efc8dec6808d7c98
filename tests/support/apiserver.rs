//! A stand-in for the Kubernetes API server: answers every request over TLS as it is told. What a real one
//! said (1.20: `GET /apis/apps/v1/namespaces/NS/statefulsets/NAME`) is recorded by tests/kube.rs.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::certs::Ca;

/// What it says to whoever asks; nothing is an end without a word.
type Said = Arc<Mutex<Option<Vec<u8>>>>;

/// The server.
pub struct ApiServer {
    said: Said,
    asked: Arc<Mutex<Vec<String>>>,
    dir: PathBuf,
    host: Ipv4Addr,
    port: u16,
}

impl ApiServer {
    /// Serves at this address; its CA and a token lie in `dir`.
    pub fn start(dir: &Path, host: Ipv4Addr) -> ApiServer {
        let ca = Ca::new(dir, "kubernetes");
        let cert = ca.server("apiserver", &[&host.to_string()]);
        std::fs::write(dir.join("token"), "a-token\n").unwrap();
        let chain = vec![CertificateDer::from_pem_file(&cert.cert).unwrap()];
        let key = PrivateKeyDer::from_pem_file(&cert.key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(chain, key);
        let config = Arc::new(config.unwrap());
        let listener = TcpListener::bind((host, 0)).unwrap();
        let server = ApiServer {
            said: Said::default(),
            asked: Arc::default(),
            dir: dir.into(),
            host,
            port: listener.local_addr().unwrap().port(),
        };
        let (said, asked) = (server.said.clone(), server.asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (said, asked, config) = (said.clone(), asked.clone(), config.clone());
                std::thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                    let tls = rustls::ServerConnection::new(config).unwrap();
                    let mut stream = rustls::StreamOwned::new(tls, stream);
                    let mut head = Vec::new();
                    let mut byte = [0];
                    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                        head.push(byte[0]);
                    }
                    asked
                        .lock()
                        .unwrap()
                        .push(String::from_utf8_lossy(&head).into());
                    let answer = said.lock().unwrap().clone().unwrap_or_default();
                    let _ = stream.write_all(&answer);
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                });
            }
        });
        server
    }

    /// The variables of a pod that may ask it.
    pub fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("REJOIN_SERVICE_ACCOUNT", self.dir.display().to_string()),
            ("KUBERNETES_SERVICE_HOST", self.host.to_string()),
            ("KUBERNETES_SERVICE_PORT", self.port.to_string()),
        ]
    }

    /// What it was asked for, head by head.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// From now on it answers this.
    pub fn answers(&self, status: &str, more: &str, body: &[u8]) {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{more}Content-Length: {length}\r\n\r\n"
        );
        *self.said.lock().unwrap() = Some([head.as_bytes(), body].concat());
    }

    /// From now on it ends each connection without an answer.
    pub fn says_nothing(&self) {
        *self.said.lock().unwrap() = None;
    }

    /// From now on the set wants so many.
    pub fn wants(&self, replicas: u32) {
        self.answers("200 OK", "", stateful_set(replicas, "").as_bytes());
    }
}

/// A StatefulSet as the API server shows it; `more` is further parts of its spec.
pub fn stateful_set(replicas: u32, more: &str) -> String {
    let (shown, wants) = (recorded(200), r#""spec":{"replicas":"#);
    assert!(shown.contains(&format!("{wants}0,")), "{shown}");
    shown.replace(&format!("{wants}0,"), &format!("{wants}{replicas},{more}"))
}

/// What a real one answered with this status.
pub fn recorded(status: u16) -> String {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/kubernetes");
    std::fs::read_to_string(format!("{dir}/{status}.json")).unwrap()
}
