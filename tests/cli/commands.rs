//! Help, version, completions, the manual page, and what is passed on.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::addresses::Addresses;
use crate::support::{Version, scenarios};
use crate::{Said, call, executable};

scenarios! { newest: etcds_own_questions_reach_etcd; }

const COMMANDS: [&[&str]; 23] = [
    &["run"],
    &["status"],
    &["probe"],
    &["members"],
    &["defrag"],
    &["quarantine"],
    &["quarantine", "list"],
    &["quarantine", "put-back"],
    &["leave"],
    &["notify"],
    &["fence-peer"],
    &["probe", "startup"],
    &["probe", "live"],
    &["probe", "ready"],
    &["probe", "promotable"],
    &["two-node"],
    &["two-node", "config"],
    &["two-node", "check"],
    &["two-node", "init"],
    &["two-node", "promote"],
    &["two-node", "status"],
    &["completions"],
    &["man"],
];

#[test]
fn help_lists_commands_variables_and_exit_codes() {
    let said = call(&["--help"]).run();
    said.ends_with(0)
        .has(&["etcd-rejoin [ETCD_FLAGS]...", "quarantine", "128+n"]);
    let two_nodes = call(&["two-node", "--help"]).run();
    for variable in etcd_rejoin::config::variables::VARIABLES {
        let of_two = etcd_rejoin::rover::settings::VARIABLES.contains(&variable.name);
        let named = |help: &Said| help.out.contains(&format!("  {} [", variable.name));
        assert_eq!((named(&said), named(&two_nodes)), (!of_two, of_two));
    }
    assert_eq!(call(&["help"]).run().out, said.out);
    assert!(call(&["-h"]).run().out.lines().count() < 30);
}

/// What keepalived and the kernel call is nobody else's affair.
#[test]
fn the_help_names_the_hooks_of_two_machines_where_they_are_set_up_and_nowhere_else() {
    let (all, of_two) = (call(&["--help"]).run(), call(&["two-node", "--help"]).run());
    let probe = call(&["probe", "--help"]).run();
    for hook in ["notify", "promotable", "fence-peer"] {
        assert!(
            !all.out.contains(hook) && !probe.out.contains(hook),
            "{hook}"
        );
        of_two.has(&[hook]);
    }
}

#[test]
fn every_command_has_its_help() {
    for words in COMMANDS {
        let mut args = words.to_vec();
        args.push("--help");
        let said = call(&args).run();
        said.ends_with(0).has(&["Usage: etcd-rejoin", words[0]]);
        assert!(said.err.is_empty());
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    for flag in ["--version", "-V"] {
        let said = call(&[flag]).run();
        assert!(
            said.out
                .starts_with(concat!("etcd-rejoin ", env!("CARGO_PKG_VERSION")))
        );
        said.ends_with(0);
    }
}

#[test]
fn usage_errors_end_with_2() {
    let wrong: [&[&str]; 9] = [
        &["run", "--nonsense"],
        &["run", "--bootstrap=maybe"],
        &["run", "--max-steps=many"],
        &["status", "--jsno"],
        &["probe", "now"],
        &["quarantine"],
        &["quarantine", "put-back"],
        &["leave", "--now"],
        &["completions", "nosuch"],
    ];
    for words in wrong {
        let said = call(words).run();
        said.ends_with(2);
        assert!(
            said.out.is_empty() && !said.err.is_empty(),
            "{words:?}: {said:#?}"
        );
    }
}

#[test]
fn completions_are_scripts_of_their_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let said = call(&["completions", shell]).run();
        said.ends_with(0).has(&["etcd-rejoin", "put-back"]);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &said.out).unwrap();
        // A shell that the machine has not cannot check its script; bash is everywhere.
        let checked = Command::new(shell).arg("-n").arg(file.path()).status();
        match checked {
            Ok(status) => assert!(status.success(), "{shell} does not read its completions"),
            Err(_) => assert_ne!(shell, "bash", "bash is missing"),
        }
    }
}

#[test]
fn the_manual_page_has_every_command_and_variable() {
    let said = call(&["man"]).run();
    said.ends_with(0).has(&[
        ".TH etcd-rejoin",
        ".SH \"ETCD-REJOIN QUARANTINE PUT-BACK\"",
        ".SH \"ETCD-REJOIN PROBE\"",
        ".SH \"ETCD-REJOIN TWO-NODE INIT\"",
        ".SH \"ETCD-REJOIN FENCE-PEER\"",
        "REJOIN_BOOTSTRAP",
        "REJOIN_SELF_FENCE",
        "took_ms",
    ]);
    let groff = Command::new("groff")
        .args(["-man", "-Tutf8", "-ww"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    // Without groff its text above is all that can be checked.
    let Ok(mut groff) = groff else { return };
    std::io::Write::write_all(&mut groff.stdin.take().unwrap(), said.out.as_bytes()).unwrap();
    let output = groff.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(complaints.is_empty(), "{complaints}");
    assert!(output.stdout.len() > 5000);
}

#[test]
fn a_closed_output_is_no_failure_and_a_full_one_is() {
    for args in [
        &["man"][..],
        &["completions", "bash"],
        &["status"],
        &["--help"],
    ] {
        let ours = env!("CARGO_BIN_EXE_etcd-rejoin");
        let mut command = Command::new(ours);
        command.args(args).env_clear().stderr(Stdio::null());
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let code = command.stdout(writer).status().unwrap().code();
        assert_eq!(code, Some(0), "{args:?} into a closed pipe");
        let full = std::fs::File::create("/dev/full").unwrap();
        let code = command.stdout(full).status().unwrap().code();
        assert!(
            [Some(74), Some(0)].contains(&code),
            "{args:?} into a full disk: {code:?}"
        );
    }
}

fn etcds_own_questions_reach_etcd(version: Version) {
    let etcd = version.etcd();
    let dir = etcd.parent().unwrap();
    for args in [
        &["etcd", "--version"][..],
        &["etcd", "--help"],
        &["etcd", "-h"],
    ] {
        let said = call(args).env("PATH", dir).run();
        said.ends_with(0).has(&["etcd"]);
        assert!(!said.all().contains("etcd-rejoin"), "{said:#?}");
    }
    let said = call(&["etcdctl", "version"]).env("PATH", dir).run();
    said.ends_with(0)
        .has(&[&format!("etcdctl version: {version}")]);
}

#[test]
fn another_word_is_run_as_it_is() {
    let said = call(&["sh", "-c", "echo $REJOIN_X; exit 9"])
        .env("REJOIN_X", "kept")
        .run();
    assert_eq!(said.out, "kept\n");
    said.ends_with(9);
    let said = call(&["no-such-word"]).run();
    said.ends_with(127).has(&[
        "no-such-word",
        "--help",
        "no etcd-rejoin-no-such-word lies beside",
    ]);
    for (word, command) in [
        ("stauts", "status"),
        ("laeve", "leave"),
        ("two-nodes", "two-node"),
    ] {
        let said = call(&[word]).run();
        said.ends_with(127)
            .has(&[&format!("did you mean the command {command}?")]);
    }
    let said = call(&["quarantine", "lst"]).run();
    said.ends_with(2).has(&["'list'"]);
    assert!(
        !call(&["etcd", "--version"])
            .env("PATH", "/nowhere")
            .run()
            .ends_with(127)
            .err
            .contains("command of")
    );
    let said = call(&["/etc/passwd"]).run();
    said.ends_with(126).has(&["/etc/passwd"]);
}

/// As git and cargo do it; but ours come first.
#[test]
fn a_word_of_ours_is_the_program_beside_us_before_any_other() {
    let ours = Path::new(env!("CARGO_BIN_EXE_etcd-rejoin"));
    let dir = tempfile::tempdir_in(ours.parent().unwrap()).unwrap();
    let linked = dir.path().join("etcd-rejoin");
    std::fs::hard_link(ours, &linked).unwrap();
    for word in ["word", "status", "etcd", "__word"] {
        let script = "#!/bin/sh\necho \"beside: $* $REJOIN_X\"\nexit 9\n";
        executable(dir.path(), &format!("etcd-rejoin-{word}"), script);
        executable(
            dir.path(),
            word,
            "#!/bin/sh\necho \"on the path\"\nexit 8\n",
        );
    }
    std::fs::write(dir.path().join("etcd-rejoin-text"), "no program").unwrap();
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(&linked);
        command.args(words).env_clear().env("REJOIN_X", "kept");
        Said::from(command.env("PATH", dir.path()).output().unwrap())
    };
    let said = run(&["word", "--json", "a b"]);
    assert_eq!(said.ends_with(9).out, "beside: --json a b kept\n");
    run(&["text"]).ends_with(126).has(&["etcd-rejoin-text"]);
    run(&["status", "--help"]).ends_with(0);
    run(&["etcd", "--version"]).ends_with(8);
    // Hidden words, and what has a path, are other programs.
    run(&["__word"]).ends_with(8);
    run(&[dir.path().join("word").to_str().unwrap()]).ends_with(8);
    // A link in PATH is no other place.
    let link = crate::support::files::scratch();
    let link = link.path().join("rejoin");
    std::os::unix::fs::symlink(&linked, &link).unwrap();
    let mut command = std::process::Command::new(&link);
    let said = Said::from(command.arg("word").output().unwrap());
    said.ends_with(9);
}

#[test]
fn etcd_is_looked_for_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("text"), "no program").unwrap();
    let text = dir.path().join("text").display().to_string();
    let folder = dir.path().display().to_string();
    for (etcd, code) in [
        ("/nowhere/etcd", 127),
        ("etcd", 127),
        (&text, 126),
        (&folder, 126),
    ] {
        let mut call = call(&[]).env("REJOIN_ETCD", etcd).env("PATH", "/nowhere");
        call.run().ends_with(code).has(&["cannot run etcd", etcd]);
        assert!(!call.data_dir().exists(), "{etcd}: the data dir was made");
    }
}

#[test]
fn probe_says_every_exit_code_that_it_has() {
    let help = call(&["probe", "--help"]).run();
    help.has(&["0 if it is healthy, else 1", "78"]);
    let said = call(&["probe"]).env("REJOIN_WAIT", "5").run();
    said.ends_with(78);
}

/// As in an image where our program has taken etcd's place, or its name.
#[test]
fn our_own_program_is_no_etcd() {
    let ours = env!("CARGO_BIN_EXE_etcd-rejoin");
    let links: [fn(&str, &Path) -> std::io::Result<()>; 2] = [
        |ours, etcd| std::os::unix::fs::symlink(ours, etcd),
        |ours, etcd| std::fs::hard_link(ours, etcd),
    ];
    for link in links {
        // A hard link is of the same file system.
        let dir = tempfile::tempdir_in(Path::new(ours).parent().unwrap()).unwrap();
        link(ours, &dir.path().join("etcd")).unwrap();
        let mut call = call(&[]).env("PATH", dir.path());
        call.run()
            .ends_with(126)
            .has(&["etcd is etcd-rejoin itself", "REJOIN_ETCD"]);
        assert!(!call.data_dir().exists(), "the data dir was made");
    }
}

#[test]
fn a_relative_program_is_found_from_the_working_directory() {
    let mut call = call(&[]).env("REJOIN_ETCD", "./mine");
    executable(call.dir(), "mine", "#!/bin/sh\nexit 5\n");
    call.run().ends_with(5);
}

/// As an image that was made for plain etcd says it.
#[test]
fn a_path_to_etcd_is_no_other_program() {
    let dir = crate::support::files::scratch();
    let etcd = executable(dir.path(), "etcd", "#!/bin/sh\necho \"$*\"\nexit 5\n");
    let etcd = etcd.to_str().unwrap();
    let said = call(&[etcd, "--name=n1"]).run();
    said.ends_with(5)
        .has(&["reason=first-start", etcd, "--name=n1"]);
    call(&[etcd, "--version"])
        .run()
        .ends_with(5)
        .has(&["--version"]);
}

/// They have no data dir, and no member that could come back.
#[test]
fn a_gateway_of_etcd_is_started_as_it_is() {
    let dir = crate::support::files::scratch();
    let etcd = executable(dir.path(), "etcd", "#!/bin/sh\necho \"$*\"\nexit 5\n");
    for command in ["gateway", "grpc-proxy"] {
        for etcd in ["etcd", etcd.to_str().unwrap()] {
            let mut call =
                call(&[etcd, command, "start"]).env("PATH", dir.path().to_str().unwrap());
            call.run()
                .ends_with(5)
                .has(&[&format!("{command} start\n")]);
            assert!(!call.data_dir().exists());
        }
        let mut elsewhere = call(&["etcd", command]).env("REJOIN_ETCD", &etcd);
        elsewhere.run().ends_with(5).has(&[command]);
    }
}

#[test]
fn an_etcd_for_another_processor_is_named() {
    let mut call = call(&[]).env("REJOIN_ETCD", "./mine");
    // What no machine of ours is: 32 bits, big-endian, of an unknown kind.
    executable(call.dir(), "mine", "\x7fELF\x01\x02\x01             ~~");
    let said = call.run();
    said.ends_with(126)
        .has(&["mine", "another kind of processor"]);
    assert!(!call.data_dir().exists());
}

/// Read as if it were right, or passed over, it would make intact data look like a lost disk.
#[test]
fn a_flag_with_underscores_is_a_mistake() {
    let said = call(&["--data_dir=/d"]).stand_in().run();
    said.ends_with(78)
        .has(&["--data_dir is no flag of etcd: write --data-dir"]);
}

#[test]
fn what_kubernetes_says_of_a_service_is_no_mistake() {
    let call = call(&[]).stand_in();
    let mut call = call
        .env("REJOIN_SERVICE_HOST", "10.0.0.1")
        .env("REJOIN_PORT_2379_TCP", "tcp://10.0.0.1:2379")
        .env("REJOIN_ETCD_SERVICE_HOST", "10.0.0.2")
        .env("REJOIN_ETCD_SERVICE_PORT_CLIENT", "2379")
        .env("REJOIN_ETCD_PORT", "tcp://10.0.0.2:2379")
        .env("REJOIN_ETCD_PORT_2379_TCP_ADDR", "10.0.0.2");
    call.run().ends_with(7);
    let mut misspelt = crate::call(&[]).env("REJOIN_FENCE_PORT", "2390");
    misspelt.run().ends_with(78).has(&["REJOIN_FENCE_PORT"]);
}

/// etcd 3.4 cannot listen at one URL twice, and we could not either.
#[test]
fn a_url_that_is_given_twice_is_listened_at_once() {
    let addresses = Addresses::take();
    let url = format!("http://{}:2380", addresses.host(1));
    let mut call = call(&[])
        .stand_in()
        .env("ETCD_LISTEN_PEER_URLS", format!("{url},{url}"))
        .env("ETCD_INITIAL_ADVERTISE_PEER_URLS", format!("{url},{url}"))
        .env(
            "ETCD_INITIAL_CLUSTER",
            format!("default={url},default={url}"),
        );
    call.run().ends_with(7).has(&[
        &format!("ETCD_LISTEN_PEER_URLS={url}\n"),
        &format!("ETCD_INITIAL_ADVERTISE_PEER_URLS={url}\n"),
        &format!("ETCD_INITIAL_CLUSTER=default={url}\n"),
    ]);
}
