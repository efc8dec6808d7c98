//! Which TLS files this member has for its peers, and which for clients.

use std::path::PathBuf;

use super::parse::Checker;
use super::raw::{EtcdSettings, RejoinSettings};
use crate::access::TlsFiles;

/// A variable and its value, if it has one.
type Given<'a> = (&'a str, &'a Option<String>);

/// The files of each of the three ways in which we speak TLS.
pub struct Certificates {
    /// How we answer at our peer URLs.
    pub peer: TlsFiles,
    /// How we speak to the peer URLs of others.
    pub peer_client: TlsFiles,
    /// How we speak to client URLs.
    pub client: TlsFiles,
}

impl Checker {
    /// All of them. `bundle` is the machine's own, where the environment names it.
    pub fn certificates(
        &mut self,
        etcd: &EtcdSettings,
        rejoin: &RejoinSettings,
        bundle: Option<PathBuf>,
    ) -> Certificates {
        // etcd ignores it where it was given certificates.
        let peer_auto = etcd.peer_cert_file.is_none() && etcd.peer_key_file.is_none();
        let client_auto =
            etcd.cert_file.is_none() && etcd.key_file.is_none() && rejoin.cacert.is_none();
        let peer = self.tls(
            [("ETCD_PEER_TRUSTED_CA_FILE", &etcd.peer_trusted_ca_file)],
            [("ETCD_PEER_CERT_FILE", &etcd.peer_cert_file)],
            [("ETCD_PEER_KEY_FILE", &etcd.peer_key_file)],
            ("ETCD_PEER_AUTO_TLS", &etcd.peer_auto_tls, peer_auto),
        );
        let peer_client = match (&etcd.peer_client_cert_file, &etcd.peer_client_key_file) {
            (None, None) => peer.clone(),
            (cert, key) => TlsFiles {
                ca: peer.ca.clone(),
                insecure: peer.insecure,
                ..self.tls(
                    [],
                    [("ETCD_PEER_CLIENT_CERT_FILE", cert)],
                    [("ETCD_PEER_CLIENT_KEY_FILE", key)],
                    ("ETCD_PEER_AUTO_TLS", &None, false),
                )
            },
        };
        let client = self.tls(
            [
                ("REJOIN_CACERT", &rejoin.cacert),
                ("ETCD_TRUSTED_CA_FILE", &etcd.trusted_ca_file),
            ],
            [
                ("REJOIN_CERT", &rejoin.cert),
                ("ETCD_CLIENT_CERT_FILE", &etcd.client_cert_file),
                ("ETCD_CERT_FILE", &etcd.cert_file),
            ],
            [
                ("REJOIN_KEY", &rejoin.key),
                ("ETCD_CLIENT_KEY_FILE", &etcd.client_key_file),
                ("ETCD_KEY_FILE", &etcd.key_file),
            ],
            ("ETCD_AUTO_TLS", &etcd.auto_tls, client_auto),
        );
        let [peer, peer_client, client] = [peer, peer_client, client].map(|files| TlsFiles {
            bundle: bundle.clone(),
            ..files
        });
        Certificates {
            peer,
            peer_client,
            client,
        }
    }

    /// TLS files: the first CA that is given, and the first pair of certificate and key.
    fn tls<const CAS: usize, const N: usize>(
        &mut self,
        ca: [Given; CAS],
        cert: [Given; N],
        key: [Given; N],
        (auto, value, counts): (&str, &Option<String>, bool),
    ) -> TlsFiles {
        let ca = self.file(ca);
        // A certificate and a key of different pairs fit each other by accident only.
        let pair = (cert.into_iter().zip(key))
            .find(|((_, cert), (_, key))| cert.is_some() || key.is_some());
        let (cert, key) = match pair {
            Some((cert, key)) => {
                let names = (cert.0, key.0);
                let (cert, key) = (self.file([cert]), self.file([key]));
                let half = match (&cert, &key) {
                    (Some(given), None) => Some((given, names.1)),
                    (None, Some(given)) => Some((given, names.0)),
                    (Some(_), Some(_)) | (None, None) => None,
                };
                if let Some(((variable, path), missing)) = half {
                    let why = format!("is half of a pair: set {missing} too");
                    self.mistake(variable, path, &why);
                }
                (cert, key)
            }
            None => (None, None),
        };
        let path = |given: Option<(&str, &str)>| given.map(|(_, path)| PathBuf::from(path));
        TlsFiles {
            bundle: None,
            ca: path(ca),
            cert: path(cert),
            key: path(key),
            insecure: self.boolean(auto, value.as_deref()) && counts,
        }
    }

    /// The first file that is given. It has to be readable.
    fn file<'a, const N: usize>(&mut self, given: [Given<'a>; N]) -> Option<(&'a str, &'a str)> {
        let (variable, path) =
            (given.into_iter()).find_map(|(name, path)| Some((name, path.as_deref()?)))?;
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_file() => {
                if let Err(error) = std::fs::File::open(path) {
                    self.mistake(variable, path, &format!("does not read: {error}"));
                }
            }
            Ok(_) => self.mistake(variable, path, "is not a regular file"),
            Err(error) => self.mistake(variable, path, &format!("does not read: {error}")),
        }
        Some((variable, path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_goes_with_its_own_key() {
        let mut check = Checker::default();
        let [one, two] = ["/etc/passwd", "/etc/group"].map(|path| Some(path.to_string()));
        let files = check.tls(
            [("CA", &None)],
            [("C1", &one), ("C2", &two)],
            [("K1", &None), ("K2", &two)],
            ("AUTO", &None, true),
        );
        assert_eq!(files.key, None);
        assert_eq!(
            check.mistakes,
            ["C1=/etc/passwd is half of a pair: set K1 too"]
        );
    }

    /// etcd ignores it then, and so it must not make us trust anybody.
    #[test]
    fn auto_tls_counts_where_no_certificates_were_given() {
        for counts in [true, false] {
            let yes = Some("true".to_string());
            let [ca, cert, key] = ["CA", "C", "K"].map(|name| [(name, &None)]);
            let files = Checker::default().tls(ca, cert, key, ("AUTO", &yes, counts));
            assert_eq!(files.insecure, counts);
        }
    }
}
