//! A certificate that is its own CA, as `openssl req -x509` makes one: a server and a client may show it.
//!
//! Go, which etcd is written in, takes any certificate that stands in the CA file itself
//! (`crypto/x509/verify.go`, `Verify`). webpki refuses one that may sign others (`CaUsedAsEndEntity`), after it
//! has found that the certificate is valid now, and before it looks at names.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

/// Asks another verifier, and takes what is trusted by itself.
#[derive(Debug)]
pub(super) struct OwnCa<V: ?Sized> {
    verifier: Arc<V>,
    trusted: Vec<CertificateDer<'static>>,
}

impl<V: ?Sized> OwnCa<V> {
    /// Those are trusted by themselves.
    pub(super) fn new(verifier: Arc<V>, trusted: Vec<CertificateDer<'static>>) -> Arc<Self> {
        Arc::new(OwnCa { verifier, trusted })
    }

    /// Nothing but that it may sign others is wrong with it, and it is trusted by itself.
    fn trusts(&self, shown: &CertificateDer<'_>, why: Error) -> Result<(), Error> {
        match may_sign(&why) {
            true if self.trusted.iter().any(|trusted| trusted == shown) => Ok(()),
            true => Err(CertificateError::UnknownIssuer.into()),
            false => Err(why),
        }
    }
}

/// Whether webpki refuses a certificate because it may sign others. rustls hands on what it has no word for as it is.
fn may_sign(why: &Error) -> bool {
    match why {
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            let why = other.0.downcast_ref();
            matches!(why, Some(webpki::Error::CaUsedAsEndEntity))
        }
        _ => false,
    }
}

/// How the key's owner signed is no business of a CA.
macro_rules! the_signatures_are_checked_by_the_other {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            shown: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.verifier.verify_tls12_signature(message, shown, signed)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            shown: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.verifier.verify_tls13_signature(message, shown, signed)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.verifier.supported_verify_schemes()
        }
    };
}

impl ServerCertVerifier for OwnCa<WebPkiServerVerifier> {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = (self.verifier).verify_server_cert(shown, chain, name, ocsp, now);
        found.or_else(|why| {
            self.trusts(shown, why)?;
            verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
            Ok(ServerCertVerified::assertion())
        })
    }

    the_signatures_are_checked_by_the_other!();
}

impl ClientCertVerifier for OwnCa<dyn ClientCertVerifier> {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let found = self.verifier.verify_client_cert(shown, chain, now);
        found.or_else(|why| {
            self.trusts(shown, why)?;
            Ok(ClientCertVerified::assertion())
        })
    }

    the_signatures_are_checked_by_the_other!();
}
