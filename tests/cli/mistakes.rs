//! Mistakes in the settings: all at once, each by the name that the user wrote, and no secret in any.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::support::addresses::Addresses;
use crate::{call, of_two};

const SECRET: &str = "geheim-4711";

#[test]
fn all_mistakes_are_named_at_once() {
    let wrong = [
        ("REJOIN_WAIT", "5"),
        ("REJOIN_TIMEOUT", "0s"),
        ("REJOIN_BOOTSTRAP", "maybe"),
        ("REJOIN_AS", "boss"),
        ("REJOIN_DATA", "rm"),
        ("REJOIN_STORE", "backup"),
        ("REJOIN_RECOVER", "maybe"),
        ("REJOIN_DATA_KEEP", "-1"),
        ("REJOIN_IGNORE", "data,/old"),
        ("REJOIN_LOG", "loud"),
        ("REJOIN_LOG_FORMAT", "xml"),
        ("REJOIN_USER", "root"),
        ("REJOIN_DRBD", "et,cd"),
        ("REJOIN_MOUNT", "volume"),
        ("REJOIN_ETCD_USER", "etcd"),
        ("REJOIN_GATE", "gate"),
        ("REJOIN_FENCE_PEER", "node2"),
        ("REJOIN_FENCE_LISTEN", "node1"),
        ("REJOIN_FENCE_KEY_FILE", "/nowhere/key"),
        ("REJOIN_FENCE_COMMAND", "fence"),
        ("REJOIN_FENCE_TIMEOUT", "0s"),
        ("REJOIN_DEMOTE_TIMEOUT", "20"),
        ("REJOIN_SELF_FENCE", "perhaps"),
        ("REJOIN_CACERT", "/nowhere/ca"),
        ("REJOIN_CERT", "/etc/passwd"),
        ("ETCD_PEER_KEY_FILE", "/etc/passwd"),
        ("ETCD_PEER_AUTO_TLS", "perhaps"),
        ("ETCD_INITIAL_CLUSTER", "n1"),
        ("ETCD_INITIAL_CLUSTER_STATE", "old"),
        ("ETCD_INITIAL_ADVERTISE_PEER_URLS", "n1:2380"),
        ("ETCD_LISTEN_PEER_URLS", "http://n1:2380"),
        ("ETCD_LISTEN_CLIENT_URLS", "http://0.0.0.0"),
        ("ETCD_ADVERTISE_CLIENT_URLS", "ftp://a:1"),
        ("ETCD_OTHER_PEERS_CLIENT_URLS", "http://a:1/x"),
        ("ETCD_DISCOVERY", "http://d"),
        ("ETCD_DISCOVERY_SRV", "d"),
        ("ETCD_DISCOVERY_SRV_NAME", "d"),
        ("ETCD_DISCOVERY_ENDPOINTS", "d"),
        ("ETCD_DISCOVERY_TOKEN", "d"),
        ("ETCD_PROXY", "on"),
        ("ETCD_FORCE_NEW_CLUSTER", "true"),
    ];
    for command in [
        &[][..],
        &["status"],
        &["leave"],
        &["probe"],
        &["quarantine", "list"],
    ] {
        let mut call = call(command);
        for (name, value) in wrong {
            call = call.env(name, value);
        }
        let said = call.run();
        said.ends_with(78);
        for (name, value) in wrong {
            said.has(&[&format!("{name}={value} ")]);
        }
        assert!(said.err.lines().count() >= wrong.len());
        assert!(
            said.err
                .lines()
                .all(|line| line.contains("configuration: "))
        );
        assert!(!call.data_dir().exists());
    }
}

#[test]
fn an_unknown_variable_is_a_mistake_with_the_nearest_name() {
    for (name, meant) in [
        ("REJOIN_TIMEUOT", "did you mean REJOIN_TIMEOUT?"),
        ("REJOIN_CA_CERT", "did you mean REJOIN_CACERT?"),
        ("REJOIN_NONSENSE", "--help"),
        ("REJOIN_FOO", "--help"),
    ] {
        call(&[])
            .env(name, "x")
            .run()
            .ends_with(78)
            .has(&[name, meant]);
    }
    // etcd ignores what it does not know; but this one was meant for us.
    let said = call(&["status"])
        .env("ETCD_OTHER_PEER_CLIENT_URLS", "http://a:1")
        .run();
    said.ends_with(0)
        .has(&["did you mean ETCD_OTHER_PEERS_CLIENT_URLS?"]);
}

#[test]
fn what_another_image_heeds_is_named_once_with_what_to_do() {
    let said = call(&["status"])
        .env("ALLOW_NONE_AUTHENTICATION", "yes")
        .env("ETCD_ON_K8S", "yes")
        .env("ETCD_DISASTER_RECOVERY", "no")
        .env("ETCD_INITIAL_CLUSTER_FILE", "/run/members")
        .env("ETCD_HEARTBEAT", "500")
        .env("BITNAMI_DEBUG", "true")
        .env("BITNAMI_APP_NAME", "etcd")
        .run();
    said.ends_with(0).has(&[
        "ALLOW_NONE_AUTHENTICATION has no effect here",
        "ETCD_ON_K8S has no effect here",
        "set ETCD_INITIAL_CLUSTER itself",
        "write ETCD_HEARTBEAT_INTERVAL",
        "BITNAMI_APP_NAME, BITNAMI_DEBUG: ",
    ]);
    assert_eq!(said.err.lines().count(), 5, "{}", said.err);
}

/// The store would be open, and nobody would know.
#[test]
fn a_root_password_that_nobody_sets_is_refused_and_never_shown() {
    for name in ["ETCD_ROOT_PASSWORD", "ETCD_ROOT_PASSWORD_FILE"] {
        for command in [&[][..], &["status"]] {
            let said = call(command).env(name, SECRET).stand_in().run();
            said.ends_with(78).has(&[
                name,
                "etcdctl auth enable",
                "REJOIN_IGNORE=ETCD_ROOT_PASSWORD",
            ]);
            assert!(!said.all().contains(SECRET));
        }
        let ignored = "/old, ETCD_ROOT_PASSWORD";
        let said = call(&[])
            .env(name, SECRET)
            .env("REJOIN_IGNORE", ignored)
            .stand_in()
            .run();
        said.ends_with(7);
        // etcd names what it does not know, and its value.
        assert!(!said.all().contains(SECRET) && !said.all().contains(name));
    }
}

#[test]
fn v3_discovery_is_refused_however_it_is_given() {
    for words in [
        "--discovery-token=x",
        "--discovery-endpoints=x",
        "--discovery-srv-name=x",
    ] {
        let said = call(&["status", "--", words]).run();
        said.ends_with(78)
            .has(&[&format!("{words} is not supported")]);
    }
    for text in ["discovery-config: {token: secret}", "discovery-srv-name: x"] {
        let said = call(&[])
            .file("ETCD_CONFIG_FILE", format!("name: n1\n{text}\n"))
            .run();
        said.ends_with(78)
            .has(&["is not supported: name the members"]);
        assert!(!said.all().contains("secret"));
    }
}

#[test]
fn a_flag_that_contradicts_its_variable_is_named_with_it() {
    for words in [
        &["--name=n2"][..],
        &["-name", "n2"],
        &["etcd", "--name", "n2"],
    ] {
        let said = call(words).env("ETCD_NAME", "n1").run();
        said.ends_with(78)
            .has(&["ETCD_NAME=n1 and --name=n2 contradict"]);
    }
    let said = call(&["status", "--", "--name=n2"])
        .env("ETCD_NAME", "n1")
        .run();
    said.ends_with(78)
        .has(&["ETCD_NAME=n1 and --name=n2 contradict"]);
}

#[test]
fn a_mistake_has_the_name_that_the_user_wrote() {
    let said = call(&["run", "--wait=5", "--", "--initial-cluster=x"]).run();
    said.ends_with(78)
        .has(&["--wait=5 is not", "--initial-cluster=x is wrong"]);
    let said = call(&[])
        .file("ETCD_CONFIG_FILE", "initial-cluster: x\n")
        .run();
    said.ends_with(78)
        .has(&["/file: initial-cluster=x is wrong"]);
}

#[test]
fn etcd_gets_a_flag_or_its_variable_and_never_both() {
    let said = call(&["--name=n1"]).env("ETCD_NAME", "n1").stand_in().run();
    said.ends_with(7).has(&["args: --name=n1\n"]);
    assert!(!said.out.contains("ETCD_NAME"));
}

#[test]
fn words_that_are_no_flags_are_refused() {
    for words in [
        &["etcd", "now"][..],
        &["--name"],
        &["--name=n1", "now"],
        &["---name"],
    ] {
        call(words).stand_in().run().ends_with(78);
    }
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    let mut call = call(&[]).stand_in().env("ETCD_NAME", "");
    for variable in etcd_rejoin::config::variables::VARIABLES {
        if variable.name != "REJOIN_ETCD" {
            call = call.env(variable.name, "");
        }
    }
    let said = call.run();
    said.ends_with(7);
    assert!(!said.out.contains("ETCD_NAME") && !said.out.contains("REJOIN"));
}

#[test]
fn bytes_that_are_no_text_are_refused_in_ours_and_passed_on_in_others() {
    let bytes = OsStr::from_bytes(b"a\xff\xfeb");
    for name in ["ETCD_NAME", "REJOIN_AS", "REJOIN_PASSWORD"] {
        let said = call(&[]).env(name, bytes).run();
        said.ends_with(78).has(&[&format!("{name} is not UTF-8")]);
    }
    let script = "test \"$UNRELATED\" = \"$(printf 'a\\377\\376b')\"";
    let path = "#!/bin/sh\nexport LC_ALL=C\n".to_string() + script + " && exit 3\n";
    let mut call = call(&[])
        .env("UNRELATED", bytes)
        .env("REJOIN_ETCD", "./etcd");
    crate::executable(call.dir(), "etcd", &path);
    call.run().ends_with(3);
    let said = crate::call(&[]).arg(bytes).run();
    said.ends_with(127);
    let said = crate::call(&["etcd"]).arg(bytes).run();
    said.ends_with(78).has(&["not UTF-8"]);
}

/// The kernel allows 128 KiB for one variable.
#[test]
fn huge_values_are_shown_by_their_beginning() {
    let huge = "x".repeat(120_000);
    let names = [
        "REJOIN_WAIT",
        "REJOIN_BOOTSTRAP",
        "ETCD_INITIAL_CLUSTER",
        "ETCD_PEER_CERT_FILE",
    ];
    let mut all = call(&["--name=n1"]).env("ETCD_NAME", &huge);
    for name in names {
        all = all.env(name, &huge);
    }
    let said = all.env(format!("REJOIN_{huge}"), "x").run();
    said.ends_with(78).has(&names).has(&["120000 bytes"]);
    assert!(said.err.len() < 4000, "{} bytes", said.err.len());
}

#[test]
fn no_secret_is_ever_printed() {
    let files = [
        SECRET.to_string(),
        format!("{SECRET}\n\n"),
        format!("{SECRET}\nx"),
    ];
    for file in files {
        for args in [
            &["status"][..],
            &["status", "--json"],
            &["leave"],
            &["probe"],
            &[],
        ] {
            let base = || {
                call(args)
                    .env("REJOIN_LOG", "debug")
                    .env("REJOIN_WAIT", "0s")
                    .env("REJOIN_USER", "root")
                    .env("ETCD_OTHER_PEERS_CLIENT_URLS", "http://127.0.0.1:1")
                    .stand_in()
            };
            let mut calls = [
                base().env("REJOIN_PASSWORD", SECRET),
                base()
                    .env("REJOIN_PASSWORD", SECRET)
                    .env("REJOIN_WAIT", "5"),
                base().env("REJOIN_PASSWORD", SECRET).unset("REJOIN_USER"),
                base().file("REJOIN_PASSWORD_FILE", &file),
                base()
                    .file("REJOIN_PASSWORD_FILE", &file)
                    .env("REJOIN_PASSWORD", SECRET),
                base().env("REJOIN_PASSWORDS", SECRET),
                base().env(
                    "ETCD_OTHER_PEERS_CLIENT_URLS",
                    format!("http://root:{SECRET}@b:2"),
                ),
            ];
            for call in &mut calls {
                let said = call.run();
                assert!(!said.all().contains("geheim"), "{args:?}: {said:#?}");
            }
        }
    }
}

/// A YAML block scalar ends in a newline: etcd minds none after a URL.
#[test]
fn a_newline_is_no_part_of_a_url_and_splits_no_message() {
    let cluster = "n1=http://a:2380,n2=http://b:2380\n";
    call(&["status"])
        .env("ETCD_NAME", "n1")
        .env("ETCD_INITIAL_CLUSTER", cluster)
        .run()
        .ends_with(0);
    let said = call(&["status"])
        .env("REJOIN_WAIT", "5\nsecond")
        .env("ETCD_INITIAL_CLUSTER", "n1=http://a:2380,\n")
        .run();
    said.ends_with(78).has(&[
        r"REJOIN_WAIT=5\nsecond is not a duration",
        r"ETCD_INITIAL_CLUSTER=n1=http://a:2380,\n is wrong",
    ]);
}

#[test]
fn half_of_the_credentials_is_a_mistake() {
    for (name, cure) in [
        ("REJOIN_USER", "set REJOIN_PASSWORD_FILE"),
        ("REJOIN_PASSWORD", "set REJOIN_USER"),
    ] {
        call(&[])
            .env(name, "x")
            .run()
            .ends_with(78)
            .has(&[name, cure]);
    }
    let empty = call(&[])
        .env("REJOIN_USER", "u")
        .file("REJOIN_PASSWORD_FILE", "\n")
        .run();
    empty
        .ends_with(78)
        .has(&["REJOIN_PASSWORD_FILE=", "is empty"]);
}

/// etcd takes no such URL, and says so only when it starts.
#[test]
fn what_etcd_takes_for_no_url_is_a_mistake() {
    for value in [
        "http://127.0.0.1:2379/",
        "http://127.0.0.1:2379,",
        ",http://127.0.0.1:2379",
        "http://127.0.0.1:+2379",
    ] {
        let variable = "ETCD_ADVERTISE_CLIENT_URLS";
        let said = call(&["status"]).env(variable, value).run();
        said.ends_with(78).has(&[&format!("{variable}={value} ")]);
    }
    // This one etcd does not get.
    let (name, value) = ("ETCD_OTHER_PEERS_CLIENT_URLS", "http://127.0.0.1:1/,");
    let said = call(&["status"]).env(name, value).run();
    assert!(!said.err.contains(name), "{}", said.err);
}

/// etcd empties its WAL dir before it makes a WAL there.
#[test]
fn a_wal_dir_around_the_data_dir_is_a_mistake() {
    let dir = tempfile::tempdir().unwrap();
    let (data, link) = (dir.path().join("data"), dir.path().join("link"));
    std::os::unix::fs::symlink(dir.path(), &link).unwrap();
    for wal in [dir.path(), &link, &data] {
        let said = call(&["status"])
            .env("ETCD_DATA_DIR", data.to_str().unwrap())
            .env("ETCD_WAL_DIR", wal.to_str().unwrap())
            .run();
        said.ends_with(78)
            .has(&["ETCD_WAL_DIR=", "holds the data dir"]);
    }
}

/// etcd ends at once with each of them, and a member with an empty disk would have been removed and added by then.
#[test]
fn a_value_that_etcd_does_not_read_is_a_mistake() {
    for (name, value) in [
        ("ETCD_HEARTBEAT_INTERVAL", "1s"),
        ("ETCD_ELECTION_TIMEOUT", "400"),
        ("ETCD_QUOTA_BACKEND_BYTES", "8GB"),
        ("ETCD_PRE_VOTE", "yes"),
        ("ETCD_CLIENT_CERT_AUTH", "on"),
        ("ETCD_GRPC_KEEPALIVE_TIMEOUT", "5"),
        ("ETCD_MAX_WALS", "-1"),
    ] {
        let said = call(&["status"]).env(name, value).run();
        said.ends_with(78).has(&[&format!("{name}={value} ")]);
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
        let flag = name.trim_start_matches("ETCD_").to_lowercase();
        let flag = format!("--{}={value}", flag.replace('_', "-"));
        let said = call(&["status", "--", &flag]).run();
        said.ends_with(78).has(&[&format!("{flag} ")]);
    }
    let swallowed = ["status", "--", "--max-wals", "--data-dir=/d"];
    let said = call(&swallowed).run();
    said.ends_with(78)
        .has(&["--max-wals=--data-dir=/d is not a whole number"]);
    for flag in ["--pre-vote=", "--max-wals=", "--force-new-cluster="] {
        call(&["status", "--", flag])
            .run()
            .ends_with(78)
            .has(&[flag]);
    }
    // etcd reads no variable beside its configuration file, but the flags, and the file's own times.
    let with_file = |text: &str| call(&["status"]).file("ETCD_CONFIG_FILE", text);
    let said = with_file("name: n1\n").env("ETCD_MAX_WALS", "x").run();
    said.ends_with(0);
    let said = with_file("name: n1\n").arg("--").arg("--max-wals=x").run();
    said.ends_with(78);
    let said = with_file("heartbeat-interval: 300\n").run();
    said.ends_with(78)
        .has(&["heartbeat-interval=300 does not fit"]);
}

/// etcd would end with such a name in ETCD_INITIAL_CLUSTER, after the member was removed and added.
#[test]
fn a_name_that_etcd_cannot_read_in_a_cluster_is_a_mistake() {
    for name in ["n,1", "n=1"] {
        let said = call(&["status"]).env("ETCD_NAME", name).run();
        said.ends_with(78)
            .has(&[&format!("ETCD_NAME={name} has a comma or =")]);
    }
}

/// etcd takes any other character, and so do we: but none of them makes a line of the log.
#[test]
fn a_name_with_a_newline_splits_no_line() {
    let addresses = Addresses::take();
    let cluster = |call| {
        let (one, two) = (addresses.host(1), addresses.host(2));
        of_two(call, &addresses).env(
            "ETCD_INITIAL_CLUSTER",
            format!("n1=http://{one}:2380,n\n\u{1b}2=http://{two}:2380"),
        )
    };
    let run = cluster(call(&[])).stand_in();
    let said = run.env("REJOIN_WAIT", "1s").run();
    said.ends_with(69).has(&[r"n\n\u{1b}2"]);
    assert!(
        said.err.lines().all(|line| line.starts_with("20")),
        "{said:#?}"
    );
    let said = cluster(call(&["status"])).run();
    said.ends_with(0).has(&[r"peer       n\n\u{1b}2 "]);
    assert!(!said.out.contains('\u{1b}'));
}

/// As for etcdctl, whose `--user` takes both.
#[test]
fn a_password_behind_the_user_is_not_shown() {
    for args in [&[][..], &["status"]] {
        let said = call(args).env("REJOIN_USER", "root:geheim").run();
        said.ends_with(78).has(&[
            "REJOIN_USER=root:***",
            "the name alone",
            "REJOIN_PASSWORD_FILE",
        ]);
        assert!(!said.all().contains("geheim"), "{said:?}");
    }
}
