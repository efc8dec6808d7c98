//! Certificates from files to what rustls wants: for asking other members, and for answering them.
//!
//! Roots are the given CA file, else the machine's own bundle; none are compiled in. Keys are PKCS#8,
//! PKCS#1 or SEC1 in PEM. *ring* knows RSA from 2048 bits, P-256, P-384 and Ed25519, not P-521.

mod auto;
mod own_ca;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};

use crate::access::TlsFiles;
use crate::error::{Context, Error};
use own_ca::OwnCa;

/// Where systems keep their CA bundle, in the order in which Go looks, which etcd is written in.
///
/// Source: Go `crypto/x509/root_linux.go`.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why TLS files are not used.
#[derive(Debug)]
pub enum Unfit {
    /// They cannot be read, or do not belong together: etcd could not use them either.
    Files(Error),
    /// A key of a kind that is not known here. etcd may well know it.
    Key(Error),
}

impl Unfit {
    /// What is wrong.
    pub fn into_error(self) -> Error {
        match self {
            Unfit::Files(error) | Unfit::Key(error) => error,
        }
    }
}

impl From<Error> for Unfit {
    fn from(error: Error) -> Self {
        Unfit::Files(error)
    }
}

/// A certificate that rustls does not take for us.
fn unfit(path: &Path, why: rustls::Error) -> Unfit {
    let attempt = format!("cannot use the certificate {}", path.display());
    match why {
        // What *ring* makes of a key that it cannot read (rustls `crypto/ring/sign.rs`, `any_supported_type`).
        rustls::Error::General(_) => {
            let known = "its key may be of a kind that is not known here: known are ECDSA on P-256 and P-384, Ed25519, RSA of 2048 bits and more";
            Unfit::Key(Error::caused(format!("{attempt}: {known}"), why))
        }
        _ => Unfit::Files(Error::caused(attempt, why)),
    }
}

/// How we speak to servers: their CA, and our client certificate if there is one.
pub fn client_config(files: &TlsFiles) -> Result<Arc<ClientConfig>, Unfit> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .context(|| "cannot set up TLS".into())?;
    let builder = match files.insecure {
        true => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(algorithms))),
        false => {
            let trusted = trusted(files)?;
            let roots = Arc::new(roots(files.ca.as_deref(), &trusted)?);
            // A machine may have no CA at all: the handshake then says that the issuer is unknown.
            match roots.is_empty() {
                true => builder.with_root_certificates(roots),
                false => {
                    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
                        .build()
                        .context(|| "cannot check certificates".into())?;
                    builder
                        .dangerous()
                        .with_custom_certificate_verifier(OwnCa::new(verifier, trusted))
                }
            }
        }
    };
    let config = match own_certificate(files)? {
        Some(Own { chain, key, path }) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|why| unfit(path, why))?,
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// How we answer others with the files that etcd will answer them with.
///
/// Like etcd, a given CA means that clients must show a certificate of it
/// (etcd `client/pkg/transport/listener.go`, `ServerConfig`). Automatic TLS without a file gets a
/// certificate made in memory.
pub fn server_config(
    files: &TlsFiles,
    require_client_cert: bool,
) -> Result<Arc<ServerConfig>, Error> {
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .context(|| "cannot set up TLS".into())?;
    let builder = match (require_client_cert || files.ca.is_some()) && !files.insecure {
        true => {
            let trusted = trusted(files)?;
            let roots = Arc::new(roots(files.ca.as_deref(), &trusted)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                .build()
                .context(|| "cannot check client certificates: no CA is known".into())?;
            builder.with_client_cert_verifier(OwnCa::new(verifier, trusted))
        }
        false => builder.with_no_client_auth(),
    };
    let config = match own_certificate(files)? {
        Some(Own { chain, key, path }) => builder
            .with_single_cert(chain, key)
            .map_err(|why| unfit(path, why).into_error())?,
        None if files.insecure => {
            let (certificate, key) = auto::certificate()?;
            builder
                .with_single_cert(vec![certificate], key)
                .context(|| "cannot use a certificate for automatic TLS".into())?
        }
        None => {
            return Err(Error::new(
                "cannot answer https: no certificate file is given",
            ));
        }
    };
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

struct Own<'a> {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    path: &'a Path,
}

fn own_certificate(files: &TlsFiles) -> Result<Option<Own<'_>>, Error> {
    let (cert, key) = match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => (cert, key),
        (None, None) => return Ok(None),
        (Some(cert), None) => return Err(half("certificate", cert, "key")),
        (None, Some(key)) => return Err(half("key", key, "certificate")),
    };
    let chain = certificates(cert)?;
    let text = fs::read(key).context(|| format!("cannot read the key {}", key.display()))?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|why| bad_pem("key", key, &why))?;
    Ok(Some(Own {
        chain,
        key,
        path: cert,
    }))
}

fn half(given: &str, path: &Path, missing: &str) -> Error {
    let path = path.display();
    Error::new(format!("the {given} {path} is given without its {missing}"))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let what = || format!("cannot read the certificates {}", path.display());
    let text = fs::read(path).context(what)?;
    let found = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|why| bad_pem("certificates", path, &why))?;
    match found.is_empty() {
        true => Err(bad_pem("certificates", path, &pem::Error::NoItemsFound)),
        false => Ok(found),
    }
}

fn bad_pem(what: &str, path: &Path, why: &pem::Error) -> Error {
    Error::new(format!("cannot read the {what} {}: {why}", path.display()))
}

/// The certificates of the CA file, or of the machine's own bundle. A machine without one is no mistake yet.
fn trusted(files: &TlsFiles) -> Result<Vec<CertificateDer<'static>>, Error> {
    match (&files.ca, usual_bundle(files)) {
        (Some(path), _) => certificates(path),
        (None, Some(bundle)) => certificates(&bundle),
        (None, None) => Ok(Vec::new()),
    }
}

fn roots(ca: Option<&Path>, trusted: &[CertificateDer<'static>]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(trusted.iter().cloned());
    match (added, ca) {
        (0, Some(path)) => {
            let path = path.display();
            Err(Error::new(format!("no certificate in {path} can be a CA")))
        }
        _ => Ok(roots),
    }
}

/// The machine's CA bundle: `SSL_CERT_FILE` as everywhere, else the first usual place that exists.
fn usual_bundle(files: &TlsFiles) -> Option<PathBuf> {
    let usual = || BUNDLES.iter().map(PathBuf::from).find(|path| path.exists());
    files.bundle.clone().or_else(usual)
}

/// Accepts every certificate and every signature, as etcd's automatic TLS does.
///
/// Of which the keys are on P-521 (etcd `client/pkg/transport/listener.go`, `SelfCert`), which *ring*
/// does not know: it could not check a signature, and without a name none is worth a check.
#[derive(Debug)]
struct Anyone(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.0.supported_schemes();
        schemes.push(SignatureScheme::ECDSA_NISTP521_SHA512);
        schemes
    }
}

/// What a failed handshake means in words, with the cure where there is one; `None` if it is not TLS.
pub fn explain(error: &io::Error) -> Option<String> {
    use rustls::{AlertDescription as Alert, CertificateError as Bad, Error as Tls};
    let tls = error.get_ref()?.downcast_ref::<Tls>()?;
    let cure = match tls {
        Tls::InvalidCertificate(Bad::UnknownIssuer) => {
            "the CA file does not hold the CA of its certificate"
        }
        Tls::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            "its certificate needs this host or address as subject alternative name"
        }
        Tls::InvalidCertificate(
            Bad::Expired
            | Bad::ExpiredContext { .. }
            | Bad::NotValidYet
            | Bad::NotValidYetContext { .. },
        ) => "renew its certificate, or correct the clock",
        Tls::AlertReceived(Alert::CertificateRequired) => {
            "it wants a client certificate and none is given"
        }
        Tls::AlertReceived(
            Alert::BadCertificate
            | Alert::UnknownCA
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::UnsupportedCertificate
            | Alert::AccessDenied,
        ) => "it does not accept our client certificate, or wants one and none is given",
        Tls::AlertReceived(Alert::HandshakeFailure) => {
            "no kind of key or cipher is known to both: P-521 keys are not known here"
        }
        Tls::InvalidMessage(_) => "it does not speak TLS: is its URL http?",
        _ => return Some(format!("TLS: {tls}")),
    };
    Some(format!("TLS: {tls}: {cure}"))
}
