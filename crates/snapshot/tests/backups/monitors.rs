//! What Prometheus is told.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::etcd::{Etcd, Ours};
use crate::support::s3::free_port;

struct Sidecar(Child);

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn metrics(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

#[test]
fn a_sidecar_answers_and_a_failure_is_counted() {
    let etcd = Etcd::start("sid");
    etcd.fill();
    let store = tempfile::tempdir().unwrap();
    let ours = Ours::new(&etcd, store.path().to_str().unwrap());
    let port = free_port();
    let listen = format!("--metrics-listen=127.0.0.1:{port}");
    let mut command = ours.command(&["every", "1s", &listen]);
    let _sidecar = Sidecar(
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let until = |wanted: &str| {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let text = metrics(port).unwrap_or_default();
            if text.contains(wanted) {
                return text;
            }
            assert!(
                Instant::now() < end,
                "after 60s still not: {wanted} in {text}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let text = until("etcd_rejoin_snapshot_last_run_passed 1\n");
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("etcd_rejoin_snapshot_keys 7\n"),
        "{text}"
    );
    drop(etcd);
    let text = until("etcd_rejoin_snapshot_last_run_passed 0\n");
    // How old the newest one is, it still says.
    assert!(
        text.contains("etcd_rejoin_snapshot_newest_timestamp_seconds "),
        "{text}"
    );
    assert!(
        !text.contains("etcd_rejoin_snapshot_failures_total 0\n"),
        "{text}"
    );
}

#[test]
fn a_job_leaves_a_file_for_the_collector() {
    let etcd = Etcd::start("sid");
    etcd.fill();
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    fs::create_dir(&store).unwrap();
    let ours = Ours::new(&etcd, store.to_str().unwrap());
    let file = dir.path().join("etcd.prom");
    let option = format!("--metrics-file={}", file.display());
    ours.well(&["save", &option]);
    ours.well(&["drill"]);
    ours.well(&["save", "--if-changed", &option]);
    let text = fs::read_to_string(&file).unwrap();
    for line in [
        "keys 7",
        "drill_passed 1",
        "last_run_passed 1",
        "failures_total 0",
    ] {
        assert!(
            text.contains(&format!("etcd_rejoin_snapshot_{line}\n")),
            "{line} is not in {text}"
        );
    }
    fs::rename(&store, dir.path().join("unmounted")).unwrap();
    ours.fails(&["save", &option], 74, "create it, or mount it");
    let text = fs::read_to_string(&file).unwrap();
    for line in ["keys 7", "last_run_passed 0", "failures_total 1"] {
        assert!(
            text.contains(&format!("etcd_rejoin_snapshot_{line}\n")),
            "{line} is not in {text}"
        );
    }
}
