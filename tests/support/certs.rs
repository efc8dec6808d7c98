//! Certificates for tests, made with the `openssl` command: a CA, and what it signs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A CA in a directory of its own.
pub struct Ca {
    dir: PathBuf,
}

/// A certificate and its key, as files.
#[derive(Clone, Debug)]
pub struct Cert {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// How a key is written: what programs of different ages leave behind.
#[allow(dead_code)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// P-256 as PKCS#8.
    Pkcs8,
    /// P-256 as SEC1, behind its curve's parameters.
    Sec1,
    /// RSA as PKCS#1.
    Pkcs1,
    /// P-521, which etcd knows and we do not.
    P521,
}

#[allow(dead_code)]
impl Ca {
    /// Makes a CA in `dir`.
    pub fn new(dir: &Path, name: &str) -> Ca {
        self_signed(dir, &format!("/CN={name}"), &[]);
        Ca { dir: dir.into() }
    }

    /// A certificate that serves at `hosts` and is its own CA.
    pub fn alone(dir: &Path, hosts: &[&str]) -> (Ca, Cert) {
        let names = format!("subjectAltName={}", alternative_names(hosts));
        self_signed(dir, "/O=test", &["-addext", &names]);
        let cert = Cert {
            cert: dir.join("ca.crt"),
            key: dir.join("ca.key"),
        };
        (Ca::of(dir), cert)
    }

    /// The CA that was made in `dir`.
    pub fn of(dir: &Path) -> Ca {
        Ca { dir: dir.into() }
    }

    /// The CA's own certificate.
    pub fn cert(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// A certificate that serves at `hosts` (addresses or names) and is also good for clients.
    pub fn server(&self, file: &str, hosts: &[&str]) -> Cert {
        self.sign(file, None, hosts, "serverAuth,clientAuth", Key::Pkcs8)
    }

    /// A client's certificate, with or without a CN.
    pub fn client(&self, file: &str, cn: Option<&str>) -> Cert {
        self.sign(file, cn, &[], "clientAuth", Key::Pkcs8)
    }

    /// Any certificate.
    pub fn sign(
        &self,
        file: &str,
        cn: Option<&str>,
        hosts: &[&str],
        usage: &str,
        key: Key,
    ) -> Cert {
        let (key_file, csr) = (format!("{file}.key"), format!("{file}.csr"));
        let (ext, crt) = (format!("{file}.ext"), format!("{file}.crt"));
        let new = match key {
            Key::Pkcs8 => vec![
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ],
            Key::P521 => vec![
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-521",
            ],
            Key::Sec1 => vec!["ecparam", "-name", "prime256v1", "-genkey"],
            Key::Pkcs1 => vec!["genrsa", "-traditional"],
        };
        openssl(&self.dir, &[new.as_slice(), &["-out", &key_file]].concat());
        let subject = cn.map_or("/O=test".into(), |cn| format!("/O=test/CN={cn}"));
        openssl(
            &self.dir,
            &[
                "req", "-new", "-key", &key_file, "-subj", &subject, "-out", &csr,
            ],
        );
        let mut extensions = format!("basicConstraints=CA:FALSE\nextendedKeyUsage={usage}\n");
        if !hosts.is_empty() {
            extensions += &format!("subjectAltName={}\n", alternative_names(hosts));
        }
        fs::write(self.dir.join(&ext), extensions).unwrap();
        openssl(
            &self.dir,
            &[
                "x509",
                "-req",
                "-in",
                &csr,
                "-CA",
                "ca.crt",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-days",
                "2",
                "-extfile",
                &ext,
                "-out",
                &crt,
            ],
        );
        Cert {
            cert: self.dir.join(crt),
            key: self.dir.join(key_file),
        }
    }
}

/// What `openssl req -x509` makes: it may sign others.
fn self_signed(dir: &Path, subject: &str, more: &[&str]) {
    fs::create_dir_all(dir).unwrap();
    let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout ca.key -out ca.crt -subj";
    let words: Vec<&str> = words.split(' ').chain([subject]).collect();
    openssl(dir, &[words.as_slice(), more].concat());
}

fn alternative_names(hosts: &[&str]) -> String {
    let names: Vec<String> = (hosts.iter())
        .map(|host| match host.parse::<std::net::IpAddr>() {
            Ok(address) => format!("IP:{address}"),
            Err(_) => format!("DNS:{host}"),
        })
        .collect();
    names.join(",")
}

fn openssl(dir: &Path, args: &[&str]) {
    let output = Command::new("openssl").args(args).current_dir(dir).output();
    let output = output.expect("the tests make certificates with the openssl command");
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {args:?}: {why}");
}
