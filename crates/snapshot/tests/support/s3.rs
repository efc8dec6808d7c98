//! Two S3 servers of different make on loopback, with signature checks on. Each ends with its value, and leaves nothing.

#![allow(dead_code, reason = "no test file uses all of it")]

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Who may use the servers.
pub const ACCESS_KEY: &str = "AKIDTEST";
/// The secret of [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "of-the-tests-alone";
/// The one bucket.
pub const BUCKET: &str = "backups";

/// A server that runs.
pub struct S3 {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where a file of the bucket is made without a signature: a folder, or SeaweedFS' filer.
    files: Files,
    /// What it leaves behind.
    sockets: Vec<PathBuf>,
    _dir: tempfile::TempDir,
}

enum Files {
    Folder(PathBuf),
    Filer(SocketAddr),
}

/// The folder with the tools that `tests/run.sh` makes once.
fn tools() -> PathBuf {
    let cache = std::env::var_os("ETCD_REJOIN_CACHE").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache/etcd-rejoin");
    cache.unwrap_or_else(home).join("tools/bin")
}

/// A port that nobody listens at, and that no connection takes for itself.
pub fn free_port() -> u16 {
    let first = 10_000 + (std::process::id() % 2000) as u16 * 10;
    (first..32_000)
        .chain(10_000..first)
        .find(|port| {
            static TAKEN: std::sync::Mutex<Vec<u16>> = std::sync::Mutex::new(Vec::new());
            let mut taken = TAKEN.lock().expect("no test panics here");
            let free =
                !taken.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
            free.then(|| taken.push(*port)).is_some()
        })
        .expect("a free port")
}

fn at(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Starts a program that the kernel kills when the test's thread ends.
fn start(program: &Path, dir: &Path, args: &[String]) -> Child {
    assert!(
        program.exists(),
        "{program:?} is missing: run `tests/run.sh test`, or tests/setup/s3.sh"
    );
    let log = fs::File::create(dir.join("log")).expect("a log");
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .args(args)
        .current_dir(dir)
        .env_clear()
        .env("TMPDIR", dir)
        .env("HOME", dir)
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("setpriv (util-linux) is needed")
}

impl S3 {
    /// `s3s-fs`: a bucket is a folder. Starts in a moment.
    pub fn s3s() -> S3 {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("data").join(BUCKET);
        fs::create_dir_all(&folder).expect("a bucket");
        let port = free_port();
        let args = format!(
            "--host 127.0.0.1 --port {port} --access-key {ACCESS_KEY} --secret-key {SECRET_KEY} data"
        );
        let args: Vec<String> = args.split(' ').map(String::from).collect();
        let child = start(&tools().join("s3s-fs"), dir.path(), &args);
        let server = S3 {
            child,
            address: at(port),
            files: Files::Folder(folder),
            sockets: Vec::new(),
            _dir: dir,
        };
        server.wait();
        server
    }

    /// SeaweedFS, in one process. Takes three seconds to start.
    pub fn seaweed() -> S3 {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("data")).expect("a folder");
        let mut args: Vec<String> = "-logtostderr=true server -dir=data -master.telemetry=false -ip=127.0.0.1 -ip.bind=127.0.0.1 -s3 \
            -s3.iam=false -s3.port.iceberg=0 -s3.port.lance=0 -s3.localSocket=s3.sock \
            -filer.localSocket=filer.sock -volume.max=8 -master.volumeSizeLimitMB=1024"
            .split_whitespace()
            .map(String::from)
            .collect();
        let mut sockets = Vec::new();
        let [port, filer, ..] = ["s3", "filer", "master", "volume"].map(|part| {
            let (port, grpc) = (free_port(), free_port());
            args.extend([
                format!("-{part}.port={port}"),
                format!("-{part}.port.grpc={grpc}"),
            ]);
            sockets.push(format!("/tmp/seaweedfs-{part}-grpc-{grpc}.sock").into());
            port
        });
        let child = start(&tools().join("weed"), dir.path(), &args);
        let server = S3 {
            child,
            address: at(port),
            files: Files::Filer(at(filer)),
            sockets,
            _dir: dir,
        };
        server.wait();
        server.make("", b"");
        server
    }

    fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(60);
        while answer(
            self.address,
            b"GET / HTTP/1.1\r\nHost: s3\r\nConnection: close\r\n\r\n",
        )
        .is_none()
        {
            assert!(
                Instant::now() < end,
                "after 60s still not: the S3 server answers"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the program has to be told to use this server, or a proxy in front of it.
    pub fn environment(&self, endpoint: SocketAddr) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.into()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.into()),
            ("AWS_REGION", "us-east-1".into()),
            ("AWS_ENDPOINT_URL", format!("http://{endpoint}")),
            ("REJOIN_STORE", format!("s3://{BUCKET}/prod")),
        ]
    }

    /// Makes an object, behind the back of the program under test and of the signature check.
    pub fn make(&self, key: &str, bytes: &[u8]) {
        match &self.files {
            Files::Folder(folder) => {
                let path = folder.join(key);
                fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
                fs::write(path, bytes).expect("an object");
            }
            Files::Filer(filer) => {
                // What has no name is the bucket itself.
                let head = format!(
                    "{} /buckets/{BUCKET}/{key} HTTP/1.1\r\nHost: filer\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    if key.is_empty() { "POST" } else { "PUT" },
                    bytes.len()
                );
                let answer = answer(*filer, &[head.as_bytes(), bytes].concat()).unwrap_or_default();
                assert!(answer.starts_with("HTTP/1.1 201"), "{key}: {answer}");
            }
        }
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for socket in &self.sockets {
            let _ = fs::remove_file(socket);
        }
    }
}

/// The whole answer to a request, as text.
fn answer(to: SocketAddr, request: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(to).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(request).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}
