//! The same client against real etcd of each version, on addresses and in directories of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use etcd_rejoin::access::{Credentials, TlsFiles};
use etcd_rejoin::gateway::{Client, Failure};
use etcd_rejoin::membership::InitialCluster;
use tempfile::TempDir;

use crate::support::certs::{Ca, Cert, Key};
use crate::support::{Version, scenarios};
use crate::{client, kind, listed, root};

scenarios! {
    each:
        a_member_is_added_promoted_and_removed,
        a_cluster_with_auth_on_is_changed_by_root_only,
        a_user_is_refused_only_after_the_read,
        both_ports_are_asked_over_mutual_tls,
        a_certificate_may_be_its_own_ca,
        a_gateway_that_is_off_or_moved_is_named,
        automatic_tls_is_asked_without_trust;
}

/// One running member, killed at the end.
struct Member {
    child: Child,
    dir: TempDir,
    command: Vec<String>,
    url: String,
    peer: String,
}

impl Member {
    fn start(version: Version, address: &str, schemes: [&str; 2], args: &[&str]) -> Member {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("{}://{address}:2379", schemes[0]);
        let peer = format!("{}://{address}:2380", schemes[1]);
        let data = dir.path().join("data").display().to_string();
        let mut command: Vec<String> = vec![
            version.etcd().display().to_string(),
            format!("--name=m{address}"),
            format!("--data-dir={data}"),
            format!("--listen-client-urls={url}"),
            format!("--advertise-client-urls={url}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
        ];
        if !args.iter().any(|arg| arg.starts_with("--initial-cluster=")) {
            command.push(format!("--initial-cluster=m{address}={peer}"));
        }
        command.extend(args.iter().map(|arg| arg.to_string()));
        let child = spawn(&command, dir.path());
        Member {
            child,
            dir,
            command,
            url,
            peer,
        }
    }

    fn http(version: Version, last: usize, args: &[&str]) -> Member {
        let address = format!("127.42.{}.{last}", version.place() + 1);
        let member = Member::start(version, &address, ["http", "http"], args);
        member.wait(&client(None));
        member
    }

    fn wait(&self, client: &Client) {
        eventually(|| {
            client
                .health(&self.url, soon())
                .map_err(|why| format!("{why}; etcd said {}", self.log()))
        });
    }

    fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.command, self.dir.path());
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        log.lines().rev().take(3).collect::<Vec<_>>().join("\n")
    }

    /// A call that the client has no word for.
    fn post(&self, path: &str, body: &str) {
        let mut reply = ureq::post(format!("{}{path}", self.url))
            .send(body)
            .unwrap();
        reply.body_mut().read_to_string().unwrap();
    }

    fn auth_on(&self) {
        self.post(
            "/v3/auth/user/add",
            r#"{"name":"root","password":"secret"}"#,
        );
        self.post(
            "/v3/auth/user/add",
            r#"{"name":"plain","password":"secret"}"#,
        );
        self.post("/v3/auth/role/add", r#"{"name":"root"}"#);
        self.post("/v3/auth/user/grant", r#"{"user":"root","role":"root"}"#);
        self.post("/v3/auth/enable", "{}");
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &[String], dir: &Path) -> Child {
    Command::new(&command[0])
        .args(&command[1..])
        .env_clear()
        .stdout(Stdio::null())
        .stderr(File::create(dir.join("log")).unwrap())
        .spawn()
        .unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

/// Tries again until it works, for 30 s.
fn eventually<T, E: std::fmt::Display>(mut attempt: impl FnMut() -> Result<T, E>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(why) => assert!(Instant::now() < end, "never happened: {why}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn a_member_is_added_promoted_and_removed(version: Version) {
    let client = client(None);
    let first = Member::http(version, 1, &[]);
    let status = client.status(&first.url, soon()).unwrap();
    assert_eq!(status.leader, Some(status.member));
    let (reached, leader) = client.reached(&first.url, status.member, soon()).unwrap();
    assert_eq!(leader, status.leader);
    assert!(reached.index >= status.raft_index, "{reached:?}");
    assert!(status.raft_index > 0 && reached.term > 0, "{reached:?}");
    let other = client.reached(&first.url, etcd_rejoin::membership::MemberId(1), soon());
    assert!(other.unwrap_err().to_string().contains("in turn"));
    assert!(client.health(&first.url, soon()).unwrap());
    let alone = client.quorate_members(&first.url, soon()).unwrap();
    assert_eq!(alone.cluster, status.cluster);
    assert_eq!(alone.members[0].id, status.member);

    let address = format!("127.42.{}.2", version.place() + 1);
    let urls = [format!("http://{address}:2380")];
    let id = client.member_add(&first.url, &urls, true, soon()).unwrap();
    let again = client.member_add(&first.url, &urls, true, soon());
    assert!(again.unwrap_err().is_url_exists());
    let early = client.member_promote(&first.url, id, soon()).unwrap_err();
    assert!(early.is_not_in_sync(), "{early}");

    let list = client.quorate_members(&first.url, soon()).unwrap().members;
    let cluster = InitialCluster::of(&list, id, &format!("m{address}"));
    let cluster = format!("--initial-cluster={cluster}");
    let second = Member::start(
        version,
        &address,
        ["http", "http"],
        &[&cluster, "--initial-cluster-state=existing"],
    );
    eventually(|| match client.local_members(&second.url, soon()) {
        Err(failure) if failure.is_learner_refusal() => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let learner = client.status(&second.url, soon()).unwrap();
    assert!(learner.learner && learner.member == id);
    eventually(|| client.member_promote(&first.url, id, soon()));
    // A voter that lags behind is at first told what a learner is told.
    eventually(|| match client.member_promote(&first.url, id, soon()) {
        Err(failure) if failure.is_not_learner() => Ok(()),
        other => Err(format!("{other:?}")),
    });

    let list = client.quorate_members(&second.url, soon()).unwrap();
    let names = format!("members m127.42.{0}.1 m127.42.{0}.2", version.place() + 1);
    assert_eq!(listed(&list.members), names);
    let view = client.peer_members(&second.peer, soon()).unwrap();
    assert_eq!((view.cluster, view.members.len()), (list.cluster, 2));
    client.member_update(&first.url, id, &urls, soon()).unwrap();

    eventually(|| client.member_remove(&first.url, id, soon()));
    let gone = client.member_remove(&first.url, id, soon()).unwrap_err();
    assert!(gone.is_member_not_found(), "{gone}");
}

fn a_cluster_with_auth_on_is_changed_by_root_only(version: Version) {
    let mut member = Member::http(version, 3, &[]);
    let urls = [format!("http://127.42.{}.4:2380", version.place() + 1)];
    let user = |name: &str, password: &str| {
        client(Some(Credentials {
            user: name.into(),
            password: password.into(),
        }))
    };
    let early = user("root", "secret");
    early.quorate_members(&member.url, soon()).unwrap();
    member.auth_on();
    early.quorate_members(&member.url, soon()).unwrap();
    for (who, cure) in [
        (client(None), "give a user"),
        (user("plain", "secret"), "role root"),
        (user("root", "wrong"), "correct the user or its password"),
    ] {
        let failure = who
            .member_add(&member.url, &urls, true, soon())
            .unwrap_err();
        assert!(matches!(failure, Failure::Refused(_)), "{failure:?}");
        assert!(failure.to_string().contains(cure), "{failure}");
    }
    let plain = user("plain", "secret").quorate_members(&member.url, soon());
    assert_eq!(plain.unwrap().members.len(), 1);

    let root = client(Some(root("secret")));
    root.quorate_members(&member.url, soon()).unwrap();
    root.status(&member.url, soon()).unwrap();
    // A restart forgets its tokens: one more is fetched.
    member.restart();
    member.wait(&root);
    let id = root.member_add(&member.url, &urls, true, soon()).unwrap();
    root.member_remove(&member.url, id, soon()).unwrap();
}

/// `is_after_read` stands on this: without a leader, nobody is told that it has no user.
fn a_user_is_refused_only_after_the_read(version: Version) {
    let member = Member::http(version, 5, &[]);
    member.auth_on();
    let root = client(Some(root("secret")));
    // A second voter that never starts takes the quorum away.
    let urls = [format!("http://127.42.{}.6:2380", version.place() + 1)];
    root.member_add(&member.url, &urls, false, soon()).unwrap();
    eventually(|| match root.status(&member.url, soon()) {
        Ok(status) if status.leader.is_none() => Ok(()),
        other => Err(format!("{other:?}")),
    });
    for who in [client(None), root] {
        let deadline = Instant::now() + Duration::from_secs(1);
        let failure = who.quorate_members(&member.url, deadline).unwrap_err();
        assert!(failure.timed_out() || failure.is_no_leader(), "{failure}");
    }
}

fn files(ca: &Ca, cert: Option<&Cert>) -> TlsFiles {
    TlsFiles {
        ca: Some(ca.cert()),
        cert: cert.map(|own| own.cert.clone()),
        key: cert.map(|own| own.key.clone()),
        ..TlsFiles::default()
    }
}

fn both_ports_are_asked_over_mutual_tls(version: Version) {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::new(&dir.path().join("ca"), "test-ca");
    let stranger = Ca::new(&dir.path().join("stranger"), "stranger");
    let address = format!("127.42.{}.7", version.place() + 1);
    let other = format!("127.42.{}.8", version.place() + 1);
    let server = ca.server(&format!("server{version}"), &[&address]);
    let member = tls_member(version, &address, &ca, &server);
    let nameless = ca.client(&format!("client{version}"), None);
    let named = ca.client(&format!("named{version}"), Some("somebody"));
    let ask = |files: &TlsFiles| Client::new(files, None).unwrap();

    let good = ask(&files(&ca, Some(&nameless)));
    member.wait(&good);
    assert_eq!(
        good.quorate_members(&member.url, soon())
            .unwrap()
            .members
            .len(),
        1
    );
    assert_eq!(
        good.peer_members(&member.peer, soon())
            .unwrap()
            .members
            .len(),
        1
    );
    for (key, name) in [(Key::Pkcs1, "pkcs1"), (Key::Sec1, "sec1")] {
        let own = ca.sign(&format!("{name}-{version}"), None, &[], "clientAuth", key);
        let client = ask(&files(&ca, Some(&own)));
        client.peer_members(&member.peer, soon()).unwrap();
    }
    // A bundle: the CA that counts is not the first in the file.
    let bundle = dir.path().join("bundle.crt");
    let both = [stranger.cert(), ca.cert()].map(|path| fs::read_to_string(path).unwrap());
    fs::write(&bundle, both.concat()).unwrap();
    let bundled = TlsFiles {
        ca: Some(bundle),
        ..files(&ca, Some(&nameless))
    };
    ask(&bundled).peer_members(&member.peer, soon()).unwrap();
    // Nobody is authenticated, but we still are.
    let insecure = TlsFiles {
        ca: None,
        insecure: true,
        ..files(&ca, Some(&nameless))
    };
    ask(&insecure).peer_members(&member.peer, soon()).unwrap();

    let anonymous = files(&ca, None);
    let wrong_ca = files(&stranger, Some(&nameless));
    let foreign = stranger.client(&format!("foreign{version}"), None);
    let foreign = files(&ca, Some(&foreign));
    let refused = |files: &TlsFiles, url: &str, words: &str| {
        let failure = ask(files).local_members(url, soon()).unwrap_err();
        assert!(
            matches!(failure, Failure::Refused(_)),
            "{words}: {failure:?}"
        );
        assert!(failure.to_string().contains(words), "{words}: {failure}");
    };
    refused(&anonymous, &member.url, "client certificate");
    refused(&foreign, &member.url, "client certificate");
    refused(&wrong_ca, &member.url, "the CA of its certificate");
    // The peer port wants our address among the names of our certificate, if it has any.
    let elsewhere = ca.server(&format!("elsewhere{version}"), &["127.0.0.77"]);
    let failure = ask(&files(&ca, Some(&elsewhere))).peer_members(&member.peer, soon());
    let failure = failure.unwrap_err();
    assert!(failure.to_string().contains("our certificate"), "{failure}");

    let plain = member.url.replace("https", "http");
    let failure = good.local_members(&plain, soon()).unwrap_err();
    assert!(
        failure.to_string().contains("is its URL https?"),
        "{failure}"
    );

    member_elsewhere(version, &other, &ca, &server, |url| {
        refused(
            &files(&ca, Some(&nameless)),
            url,
            "subject alternative name",
        );
    });
    let plain = Member::http(version, 9, &[]);
    let over_tls = plain.url.replace("http", "https");
    let failure = good.local_members(&over_tls, soon()).unwrap_err();
    assert!(
        failure.to_string().contains("is its URL http?"),
        "{failure}"
    );

    // With auth on, a certificate with a CN shuts the gateway.
    let root = Client::new(&files(&ca, Some(&nameless)), Some(root("secret"))).unwrap();
    auth_on_over_tls(&member, &ca, &nameless);
    root.quorate_members(&member.url, soon()).unwrap();
    assert_eq!(
        root.quorate_members(&member.url, soon())
            .unwrap()
            .members
            .len(),
        1
    );
    refused(&files(&ca, Some(&named)), &member.url, "use one without");
    ask(&files(&ca, Some(&named)))
        .peer_members(&member.peer, soon())
        .unwrap();
}

/// As one `openssl req -x509` makes it: etcd takes it, and so do we.
fn a_certificate_may_be_its_own_ca(version: Version) {
    let dir = tempfile::tempdir().unwrap();
    let [address, other] = [41, 42].map(|last| format!("127.42.{}.{last}", version.place() + 1));
    let own = |name: &str| {
        Ca::alone(
            &dir.path().join(format!("{name}{version}")),
            &[&address, "127.0.0.1"],
        )
    };
    let (ca, own_ca) = own("own");
    let (stranger, _) = own("stranger");
    let member = tls_member(version, &address, &ca, &own_ca);
    let ask = |files: &TlsFiles| Client::new(files, None).unwrap();
    let good = ask(&files(&ca, Some(&own_ca)));
    member.wait(&good);
    good.peer_members(&member.peer, soon()).unwrap();
    let refused = |files: &TlsFiles, url: &str, words: &str| {
        let failure = ask(files).local_members(url, soon()).unwrap_err();
        assert!(failure.to_string().contains(words), "{words}: {failure}");
    };
    let foreign = files(&stranger, Some(&own_ca));
    refused(&foreign, &member.url, "the CA of its certificate");
    member_elsewhere(version, &other, &ca, &own_ca, |url| {
        refused(&files(&ca, Some(&own_ca)), url, "subject alternative name");
    });
}

fn tls_member(version: Version, address: &str, ca: &Ca, server: &Cert) -> Member {
    let path = |path: &Path| path.display().to_string();
    let args: Vec<String> = ["", "peer-"]
        .iter()
        .flat_map(|port| {
            [
                format!("--{port}cert-file={}", path(&server.cert)),
                format!("--{port}key-file={}", path(&server.key)),
                format!("--{port}trusted-ca-file={}", path(&ca.cert())),
                format!("--{port}client-cert-auth"),
            ]
        })
        .collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Member::start(version, address, ["https", "https"], &args)
}

/// A member whose certificate names another address than its own.
fn member_elsewhere(version: Version, address: &str, ca: &Ca, server: &Cert, check: impl Fn(&str)) {
    let member = tls_member(version, address, ca, server);
    let client = client(None);
    eventually(|| match client.health(&member.url, soon()) {
        Err(Failure::Refused(_)) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    check(&member.url);
}

fn auth_on_over_tls(member: &Member, ca: &Ca, own: &Cert) {
    let etcdctl = PathBuf::from(&member.command[0]).with_file_name("etcdctl");
    for args in [
        &["user", "add", "root:secret"][..],
        &["role", "add", "root"],
        &["user", "grant-role", "root", "root"],
        &["auth", "enable"],
    ] {
        let output = Command::new(&etcdctl)
            .env_clear()
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={}", member.url))
            .arg(format!("--cacert={}", ca.cert().display()))
            .arg(format!("--cert={}", own.cert.display()))
            .arg(format!("--key={}", own.key.display()))
            .args(args)
            .output()
            .unwrap();
        let why = String::from_utf8_lossy(&output.stderr);
        // The root role may exist already.
        assert!(
            output.status.success() || why.contains("already exists"),
            "{args:?}: {why}"
        );
    }
}

fn a_gateway_that_is_off_or_moved_is_named(version: Version) {
    let member = Member::http(version, 10, &["--enable-grpc-gateway=false"]);
    let failure = client(None)
        .quorate_members(&member.url, soon())
        .unwrap_err();
    assert_eq!(kind(&failure), "gateway-off");
    if version.minor() == 4 {
        return;
    }
    // 3.5 can serve HTTP on other URLs; gRPC's port then says no word of HTTP/1.
    let address = format!("127.42.{}.11", version.place() + 1);
    let moved = format!("http://{address}:2381");
    let http = format!("--listen-client-http-urls={moved}");
    let member = Member::start(version, &address, ["http", "http"], &[&http]);
    eventually(|| client(None).health(&moved, soon()));
    let failure = client(None)
        .quorate_members(&member.url, soon())
        .unwrap_err();
    assert!(["unreachable", "not-etcd"].contains(&kind(&failure).as_str()));
    assert!(
        failure.to_string().contains("--listen-client-http-urls"),
        "{failure}"
    );
}

fn automatic_tls_is_asked_without_trust(version: Version) {
    let address = format!("127.42.{}.12", version.place() + 1);
    let args = ["--auto-tls", "--peer-auto-tls"];
    let member = Member::start(version, &address, ["https", "https"], &args);
    let files = TlsFiles {
        insecure: true,
        ..TlsFiles::default()
    };
    let trusting = Client::new(&files, None).unwrap();
    member.wait(&trusting);
    trusting.peer_members(&member.peer, soon()).unwrap();
    trusting.quorate_members(&member.url, soon()).unwrap();
    let failure = client(None).peer_members(&member.peer, soon()).unwrap_err();
    assert!(matches!(failure, Failure::Refused(_)), "{failure:?}");
}
