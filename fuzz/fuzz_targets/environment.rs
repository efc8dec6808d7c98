//! Any variables, flags and configuration file, and any answer of another entrypoint: no panic, and no
//! mistake that is told holds a secret.
//!
//! The input is cut at its zero bytes. A part that begins with `-` is a flag, one with `=` a variable, one
//! with `#` the configuration file, one with `{` an answer; others are words of the command line.

#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::LazyLock;

use etcd_rejoin::assembly;
use etcd_rejoin::config::{Config, Overrides, file};
use etcd_rejoin::decide::Heard;
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "geheim-4711";

/// Files of this process, overwritten for each input.
static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = std::env::temp_dir().join(format!("etcd-rejoin-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary directory can be made");
    dir
});

fuzz_target!(|input: &[u8]| {
    if String::from_utf8_lossy(input).contains("geheim") {
        return;
    }
    let mut env: Vec<(OsString, OsString)> = Vec::new();
    let mut words: Vec<OsString> = Vec::new();
    for part in input.split(|byte| *byte == 0) {
        match part.first() {
            Some(b'#') => {
                settings(part);
                let path = DIR.join("file");
                std::fs::write(&path, part).expect("a temporary file can be written");
                env.push(("ETCD_CONFIG_FILE".into(), path.into()));
            }
            Some(b'{') => answer(part),
            Some(b'-') | None => words.push(OsString::from_vec(part.to_vec())),
            Some(_) => match part.iter().position(|byte| *byte == b'=') {
                Some(at) => env.push((
                    OsString::from_vec(part[..at].to_vec()),
                    OsString::from_vec(part[at + 1..].to_vec()),
                )),
                None => words.push(OsString::from_vec(part.to_vec())),
            },
        }
    }
    let password = DIR.join("password");
    std::fs::write(&password, SECRET).expect("a temporary file can be written");
    let mut binary = SECRET.as_bytes().to_vec();
    binary.push(0xff);
    let secrets = [
        ("REJOIN_PASSWORD", OsString::from(SECRET)),
        ("REJOIN_PASSWORD", OsString::from_vec(binary)),
        ("REJOIN_PASSWORD_FILE", password.into()),
        ("REJOIN_PASSWROD", SECRET.into()),
    ];
    for (name, value) in secrets {
        let with = env.iter().cloned().chain([(name.into(), value)]);
        let told = match Config::read(with, &words, &Overrides::default()) {
            Ok(config) => {
                let to_etcd = format!("{:?}", config.passed_on);
                assert!(!to_etcd.contains("geheim"), "etcd gets a secret");
                config.warnings
            }
            Err(mistakes) => mistakes,
        };
        for line in told {
            assert!(!line.contains("geheim"), "a secret is told: {line}");
            assert!(line.len() < 20_000, "{} bytes: {line}", line.len());
        }
    }
});

/// A configuration file that reads also reads with our decision in it.
fn settings(part: &[u8]) {
    let Ok(map) = file::parse(&String::from_utf8_lossy(part)) else {
        return;
    };
    let _ = file::settings(&map);
    let copy = file::with_decision(&map, "existing", "n1=http://a:1");
    let copy = file::parse(&copy).expect("what was written reads");
    assert_eq!(copy["initial-cluster-state"], "existing");
    assert_eq!(copy["initial-cluster"], "n1=http://a:1");
    for (key, value) in &map {
        let ours = [
            "initial-cluster-state",
            "initial-cluster",
            "discovery",
            "discovery-srv",
        ];
        if !ours.contains(&key.as_str()) {
            assert_eq!(copy.get(key), Some(value), "{key}");
        }
    }
}

static TWO: LazyLock<Config> = LazyLock::new(|| {
    let env = [
        ("ETCD_NAME", "n1"),
        ("ETCD_INITIAL_CLUSTER", "n1=http://a:2380,n2=http://b:2380"),
        ("ETCD_INITIAL_ADVERTISE_PEER_URLS", "http://a:2380"),
    ];
    let env = env.map(|(name, value)| (name.into(), value.into()));
    Config::read(env, &[], &Overrides::default()).expect("a good configuration")
});

/// An answer counts only where it reads and has the right name.
fn answer(part: &[u8]) {
    let report = assembly::parse(part);
    match assembly::heard(&TWO, "n2", part).0 {
        Heard::Entrypoint { .. } => assert_eq!(report.expect("it read before").name, "n2"),
        Heard::Nonsense(why) => assert!(why.len() < 2000, "{} bytes", why.len()),
        other => panic!("no answer is {other:?}"),
    }
}
