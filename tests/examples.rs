//! Every example does what it says. What needs docker, root or a service manager's tools is run by
//! `tests/run.sh examples`.

#[path = "support/docker.rs"]
mod docker;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use docker::{image, images, try_docker, wait_for};
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_etcd-rejoin");

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(example(name)).unwrap()
}

/// The folder with etcd and etcdctl of a Debian suite.
fn etcd(suite: &str) -> PathBuf {
    let cache = std::env::var_os("ETCD_REJOIN_CACHE").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| {
        PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/etcd-rejoin")
    });
    let dir = cache.join("etcd").join(suite);
    assert!(
        dir.join("etcd").exists(),
        "no etcd in {dir:?}: run tests/setup/etcd.sh"
    );
    dir
}

/// PATH with that folder in front.
fn path_with(dir: &Path) -> String {
    format!("{}:{}", dir.display(), std::env::var("PATH").unwrap())
}

/// What a command printed, if it ended well.
fn output(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("it runs");
    let (out, err) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    assert!(status.success(), "{command:?}: {status}\n{out}\n{err}");
    out.into_owned()
}

// ---- quickstart ---------------------------------------------------------------------------------

#[test]
fn the_quickstart_brings_a_member_back_and_leaves_nothing_behind() {
    let temp = tempfile::tempdir().unwrap();
    let shown = output(
        Command::new(example("quickstart.sh"))
            .env("PATH", path_with(&etcd("sid")))
            .env("ETCD_REJOIN", PROGRAM)
            .env("TMPDIR", temp.path()),
    );
    assert!(shown.contains("n3 is a voter again"), "{shown}");
    assert!(shown.contains("reason=data-lost"), "{shown}");
    assert!(
        !shown.contains('\x1b'),
        "colour without a terminal: {shown}"
    );
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    let left = Command::new("pgrep")
        .args(["-f", &temp.path().display().to_string()])
        .output();
    assert_eq!(String::from_utf8_lossy(&left.unwrap().stdout), "");
}

// ---- Docker -------------------------------------------------------------------------------------

#[test]
#[ignore = "needs docker"]
fn the_docker_run_script_brings_a_member_back_and_leaves_nothing_behind() {
    let name = format!("er{}-script", std::process::id());
    let shown = output(
        Command::new(example("docker-run.sh"))
            .env("IMAGE", image("sid"))
            .env("NAME", &name),
    );
    assert!(
        shown.contains("n3 holds: key/1 key/2 key/3 key/4 key/5"),
        "{shown}"
    );
    for list in [["ps", "--all"], ["volume", "ls"], ["network", "ls"]] {
        let left = docker::docker(&[
            list[0],
            list[1],
            "--quiet",
            "--filter",
            &format!("name={name}"),
        ]);
        assert_eq!(left, "", "{list:?}");
    }
}

#[test]
#[ignore = "needs docker"]
fn an_image_of_ones_own_takes_the_program_and_keeps_its_etcd() {
    let (ours, base) = images("bookworm");
    let lines = text("Dockerfile").replace("--from=etcd-rejoin ", &format!("--from={ours} "));
    let context = tempfile::tempdir().unwrap();
    fs::write(context.path().join("Dockerfile"), lines).unwrap();
    let tag = format!("etcd-rejoin-test/own:{}", std::process::id());
    output(
        Command::new("docker")
            .args(["build", "-q", "-t", &tag])
            .args(["--build-arg", &format!("ETCD_IMAGE={base}")])
            .arg(context.path()),
    );
    let says = |words: &[&str]| {
        let args = [&["run", "--rm", &tag], words].concat();
        String::from_utf8(try_docker(&args).stdout).unwrap()
    };
    let (version, etcd) = (says(&["--version"]), says(&["etcd", "--version"]));
    docker::docker(&["image", "rm", &tag]);
    assert!(version.starts_with("etcd-rejoin "), "{version}");
    assert!(etcd.starts_with("etcd Version: 3.4."), "{etcd}");
}

/// `docker compose`, or the program that it was before it was a plugin.
fn compose() -> Command {
    if !try_docker(&["compose", "version"]).status.success() {
        return Command::new("docker-compose");
    }
    let mut command = Command::new("docker");
    command.arg("compose");
    command
}

/// A compose project that goes down with its volumes.
struct Project {
    name: String,
    image: String,
    files: &'static [&'static str],
    env_file: Option<PathBuf>,
}

impl Project {
    fn compose(&self, args: &[&str]) -> Command {
        let mut command = compose();
        command.args(["-p", &self.name]);
        for file in self.files {
            command.arg("-f").arg(example(file));
        }
        if let Some(env_file) = &self.env_file {
            command.arg("--env-file").arg(env_file);
        }
        command.args(args).env("IMAGE", &self.image);
        command
    }

    fn etcdctl(&self, service: &str, args: &[&str]) -> Result<String, String> {
        let exec = ["exec", "-T", service, "etcdctl"];
        let output = self.compose(&[&exec, args].concat()).output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Waits until this member has the value of the key on its own disk.
    fn wait_for_key(&self, service: &str) {
        let read = ["get", "key", "--print-value-only", "--consistency=s"];
        wait_for("the key", || match self.etcdctl(service, &read)? {
            value if value.trim() == "value" => Ok(()),
            value => Err(value),
        });
    }

    fn voters(&self, service: &str) -> usize {
        let list = self.etcdctl(service, &["member", "list"]).unwrap();
        let lines = list.lines().map(str::trim_end);
        lines.filter(|line| line.ends_with("false")).count()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.compose(&["down", "--volumes"]).output();
    }
}

#[test]
#[ignore = "needs docker"]
fn the_compose_file_brings_a_member_back_unchanged() {
    let project = Project {
        name: format!("er{}-compose", std::process::id()),
        image: image("sid"),
        files: &["compose.yaml"],
        env_file: None,
    };
    output(&mut project.compose(&["up", "--detach"]));
    wait_for("n1 healthy", || {
        project.etcdctl("n1", &["endpoint", "health", "--cluster"])
    });
    project.etcdctl("n1", &["put", "key", "value"]).unwrap();
    // Word for word what the head of the file says.
    output(&mut project.compose(&["rm", "--stop", "--force", "n3"]));
    docker::docker(&["volume", "rm", &format!("{}_n3", project.name)]);
    output(&mut project.compose(&["up", "--detach"]));
    project.wait_for_key("n3");
    assert_eq!(project.voters("n1"), 3);
}

/// An image with nothing but SeaweedFS, which goes with the value.
struct S3Image(String);

impl S3Image {
    fn new() -> S3Image {
        let tag = format!("etcd-rejoin-test/s3:{}", std::process::id());
        let setup = example("../tests/setup/s3.sh");
        output(&mut Command::new(setup));
        let root = tempfile::tempdir().unwrap();
        let tools = etcd("sid").join("../../tools/bin");
        fs::copy(tools.join("weed"), root.path().join("weed")).unwrap();
        for folder in ["tmp", "data"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let script =
            "tar -C \"$1\" -c . | docker import --change 'ENTRYPOINT [\"/weed\"]' - \"$2\"";
        output(
            Command::new("sh")
                .args(["-ec", script, "sh"])
                .arg(root.path())
                .arg(&tag),
        );
        S3Image(tag)
    }
}

impl Drop for S3Image {
    fn drop(&mut self) {
        let _ = try_docker(&["image", "rm", &self.0]);
    }
}

#[test]
#[ignore = "needs docker"]
fn the_sidecar_saves_into_the_s3_server_beside_it() {
    let s3 = S3Image::new();
    let project = Project {
        name: format!("er{}-backup", std::process::id()),
        image: image("sid"),
        files: &["compose.yaml", "backup/compose.yaml"],
        env_file: None,
    };
    let run = |args: &[&str]| {
        let output = project.compose(args).env("S3_IMAGE", &s3.0).output();
        let Output {
            status,
            stdout,
            stderr,
        } = output.unwrap();
        let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        if status.success() {
            Ok(said)
        } else {
            Err(said)
        }
    };
    run(&["up", "--detach"]).unwrap();
    let snapshot = ["exec", "-T", "backup", "etcd-rejoin", "snapshot"];
    // Its first try may come before the server; the next one is a minute later.
    wait_for("a snapshot", || {
        let listed = run(&[&snapshot[..], &["list"]].concat())?;
        listed.contains("REVISION").then_some(()).ok_or(listed)
    });
    let drill = run(&[&snapshot[..], &["drill", "--scratch=/var/lib/etcd"]].concat()).unwrap();
    assert!(drill.contains("proven restorable at"), "{drill}");
    project.etcdctl("n1", &["put", "key", "value"]).unwrap();
    run(&["stop", "backup"]).unwrap();
    let log = run(&["logs", "--no-color", "backup"]).unwrap();
    assert_eq!(
        log.matches(" saved 0001-").count() + log.matches("\"saved 0001-").count(),
        2,
        "{log}"
    );
}

/// Here the three machines are three projects on this one, each with a loopback address of its own: the files as
/// they are, but for the addresses.
#[test]
#[ignore = "needs docker"]
fn the_compose_file_of_three_hosts_brings_a_member_back_unchanged() {
    let temp = tempfile::tempdir().unwrap();
    let net = format!("127.96.{}.", std::process::id() % 250 + 1);
    let hosts = [1, 2, 3].map(|n| {
        let variables = text(&format!("compose-three-hosts/n{n}.env")).replace("10.0.0.", &net);
        let env_file = temp.path().join(format!("n{n}.env"));
        fs::write(&env_file, variables).unwrap();
        Project {
            name: format!("er{}-host{n}", std::process::id()),
            image: image("sid"),
            files: &["compose-three-hosts/compose.yaml"],
            env_file: Some(env_file),
        }
    });
    let up = ["up", "--detach"];
    hosts
        .iter()
        .for_each(|host| drop(output(&mut host.compose(&up))));
    let [n1, _, n3] = &hosts;
    wait_for("n1 healthy", || {
        n1.etcdctl("etcd", &["endpoint", "health", "--cluster"])
    });
    n1.etcdctl("etcd", &["put", "key", "value"]).unwrap();
    // The machine is lost with its disk.
    output(&mut n3.compose(&["down", "--volumes"]));
    output(&mut n3.compose(&up));
    n3.wait_for_key("etcd");
    assert_eq!(n1.voters("etcd"), 3);
}

#[test]
#[ignore = "needs docker"]
fn the_roving_member_s_image_has_the_tools_that_it_calls() {
    let (ours, _) = images("bookworm");
    let bases = docker::docker(&[
        "image",
        "ls",
        "--format",
        "{{.Repository}}:{{.Tag}}",
        "etcd-rejoin-test/rust",
    ]);
    let base = bases.lines().next().expect("a Debian image");
    let tag = format!("etcd-rejoin-test/roving:{}", std::process::id());
    output(
        Command::new("docker")
            .args(["build", "-q", "--network", "host", "-t", &tag])
            .args(["--build-arg", &format!("ETCD_REJOIN={ours}")])
            .args(["--build-arg", &format!("BASE_IMAGE={base}")])
            .arg(example("two-nodes")),
    );
    let script =
        "set -e; for tool in drbdadm drbdsetup drbdmeta e2fsck mkfs.ext4 mkfs.xfs etcd etcdctl
        do command -v $tool; done; etcd-rejoin --version; ls -A /var/lib/etcd3";
    let said = try_docker(&["run", "--rm", "--entrypoint", "sh", &tag, "-c", script]);
    docker::docker(&["image", "rm", &tag]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let last = said.trim_end().lines().last().unwrap_or_default();
    assert!(last.starts_with("etcd-rejoin "), "{said}");
}

/// What it needs of a machine, DRBD and keepalived, is shown in virtual machines.
#[test]
#[ignore = "needs docker-compose"]
fn compose_understands_the_two_nodes() {
    let temp = tempfile::tempdir().unwrap();
    let lines = text("two-nodes/compose.yaml").replace(
        "env_file: /etc/etcd-rejoin/",
        &format!("env_file: {}/", example("two-nodes/node1").display()),
    );
    let file = temp.path().join("compose.yaml");
    fs::write(&file, lines).unwrap();
    let shown = output((compose().arg("-f").arg(&file).arg("config")).env("MEMBER", "etcd1"));
    for part in ["ETCD_NAME: etcd1", "ETCD_NAME: etcd3", "REJOIN_DRBD: etcd"] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
}

// ---- a static pod -------------------------------------------------------------------------------

/// An example that is YAML, as JSON.
fn yaml(name: &str) -> Value {
    fn json(yaml: &Yaml) -> Value {
        if let Some(map) = yaml.as_mapping() {
            let pairs = map
                .iter()
                .map(|(key, value)| (key.as_str().unwrap().into(), json(value)));
            Value::Object(pairs.collect())
        } else if let Some(list) = yaml.as_sequence() {
            list.iter().map(json).collect()
        } else if let Some(number) = yaml.as_integer() {
            number.into()
        } else {
            yaml.as_bool()
                .map_or_else(|| yaml.as_str().unwrap().into(), Value::Bool)
        }
    }
    json(&Yaml::load_from_str(&text(name)).unwrap()[0])
}

/// The pod, as JSON.
fn static_pod() -> Value {
    yaml("static-pod.yaml")
}

/// What its commands mean is asked of the program in `crates/snapshot/tests/backups/examples.rs`.
#[test]
fn the_cron_job_mounts_what_it_names() {
    let job = yaml("backup/cronjob.yaml");
    let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let containers = ["initContainers", "containers"].map(|kind| &pod[kind][0]);
    for container in containers {
        assert_eq!(container["args"][0], "snapshot");
        let mounts = container["volumeMounts"].as_array().unwrap();
        for mount in mounts {
            let volumes = pod["volumes"].as_array().unwrap();
            assert!(
                volumes.iter().any(|volume| volume["name"] == mount["name"]),
                "{mount}"
            );
        }
        let variables = container["env"].as_array().unwrap();
        assert!(
            variables
                .iter()
                .any(|variable| variable["name"] == "REJOIN_STORE")
        );
        for value in variables
            .iter()
            .filter_map(|variable| variable["value"].as_str())
        {
            let mounted = mounts
                .iter()
                .any(|mount| value.starts_with(mount["mountPath"].as_str().unwrap()));
            assert!(mounted || !value.starts_with('/'), "{value}");
        }
    }
}

#[test]
fn the_patch_for_kubeadm_makes_the_static_pod() {
    let page = fs::read_to_string(example("../docs/migrating.md")).unwrap();
    let block = page.split("```json\n").nth(1).expect("a patch");
    let patch: Value = serde_json::from_str(block.split("```").next().unwrap()).unwrap();
    let pod = static_pod();
    for operation in patch.as_array().unwrap() {
        let path = operation["path"].as_str().unwrap();
        assert_eq!(pod.pointer(path), Some(&operation["value"]), "{path}");
    }
}

#[test]
fn the_static_pod_s_flags_are_understood() {
    let pod = static_pod();
    let container = &pod["spec"]["containers"][0];
    let text = |value: &Value| value.as_str().unwrap().to_string();
    let command = container["command"].as_array().unwrap();
    let words: Vec<String> = command.iter().map(text).collect();
    assert_eq!(words[0], "etcd-rejoin");
    let has = |flag: String| words.contains(&flag);
    // What kubeadm looks for.
    let annotation =
        &pod["metadata"]["annotations"]["kubeadm.kubernetes.io/etcd.advertise-client-urls"];
    assert!(has(format!("--advertise-client-urls={}", text(annotation))));
    let port = &container["ports"][0];
    assert!(has(format!(
        "--listen-metrics-urls=http://127.0.0.1:{}",
        port["containerPort"]
    )));
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert_eq!(container[probe]["httpGet"]["port"], port["name"], "{probe}");
    }
    // What is mounted is what the flags name.
    let mounts = container["volumeMounts"].as_array().unwrap().iter();
    let mounts: Vec<String> = mounts.map(|mount| text(&mount["mountPath"])).collect();
    for file in words.iter().filter_map(|word| word.split_once("=/")) {
        let file = format!("/{}", file.1);
        assert!(mounts.iter().any(|mount| file.starts_with(mount)), "{file}");
    }
    let temp = tempfile::tempdir().unwrap();
    // Nobody shall be asked beyond this machine.
    let addresses = [1, 2, 3].map(|n| format!("127.99.0.{n}"));
    let pki = certificates(temp.path(), &addresses).join("n1");
    let here = |word: &String| {
        word.replace(
            "/var/lib/etcd",
            &temp.path().join("data").display().to_string(),
        )
        .replace("/etc/kubernetes/pki/etcd", &pki.display().to_string())
        .replace("10.0.0.", "127.99.0.")
    };
    let env = &container["env"][0];
    let shown = output(
        Command::new(PROGRAM)
            .env_clear()
            .env(text(&env["name"]), here(&text(&env["value"])))
            .args(["status", "--json", "--"])
            .args(words[1..].iter().map(here)),
    );
    let status: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(status["name"], "cp1");
    assert_eq!(status["data_dir"]["state"], "empty");
    // It knows of the others, and waits for them: it founds nothing.
    assert_eq!(status["reason"], "not-all-heard", "{shown}");
}

// ---- systemd ------------------------------------------------------------------------------------

#[test]
#[ignore = "needs systemd-analyze"]
fn systemd_understands_the_units() {
    let temp = tempfile::tempdir().unwrap();
    for name in [
        "etcd-rejoin.service",
        "two-nodes/node1/etcd-rejoin-roving.service",
        "two-nodes/node1/etcd-rejoin-resident.service",
        "two-nodes/node1/etcd-rejoin-drbd.service",
        "backup/etcd-snapshot.service",
        "backup/etcd-snapshot.timer",
        "backup/etcd-drill.service",
        "backup/etcd-drill.timer",
    ] {
        let unit = temp.path().join(example(name).file_name().unwrap());
        let here = format!("={PROGRAM}");
        let lines = text(name)
            .replace("=/usr/local/bin/etcd-rejoin", &here)
            .replace("=/usr/bin/etcd-rejoin", &here)
            .replace("=/usr/sbin/drbdadm", "=/bin/true");
        fs::write(&unit, lines).unwrap();
        let output = Command::new("systemd-analyze")
            .arg("verify")
            .arg(&unit)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
    }
}

/// The folder where the commands of `docs/tls-and-users.md` ran, word for word, but with these addresses of three
/// members. In `n1` to `n3` lies what each member gets.
fn certificates(parent: &Path, addresses: &[String]) -> PathBuf {
    let page = fs::read_to_string(example("../docs/tls-and-users.md")).unwrap();
    let block = page.split("```sh\n").nth(1).expect("the page has commands");
    let commands = block.split("```").next().unwrap();
    let commands = (1..=3).fold(commands.to_string(), |commands, n| {
        commands.replace(&format!("10.0.0.{n}\n"), &format!("{}\n", addresses[n - 1]))
    });
    let dir = parent.join("pki");
    fs::create_dir(&dir).unwrap();
    output((Command::new("sh").args(["-euc", &commands])).current_dir(&dir));
    dir
}

/// Stops what it holds.
struct Members(Vec<Child>);

impl Drop for Members {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn the_unit_s_settings_make_a_tls_cluster_that_says_when_it_is_ready() {
    let suite = etcd("sid");
    let temp = tempfile::tempdir().unwrap();
    let address = |n: usize| format!("127.98.{}.{n}", std::process::id() % 250 + 1);
    let pki = certificates(temp.path(), &[1, 2, 3].map(address));
    let unit = text("etcd-rejoin.service");
    let settings: Vec<(&str, &str)> = (unit.lines())
        .filter_map(|line| line.strip_prefix("Environment=")?.split_once('='))
        .collect();
    let mut members = Members(Vec::new());
    let mut ready = Vec::new();
    for n in 1..=3 {
        let data = temp.path().join(format!("n{n}"));
        let notify = temp.path().join(format!("notify{n}"));
        ready.push(UnixDatagram::bind(&notify).unwrap());
        let mut command = Command::new(PROGRAM);
        command
            .env_clear()
            .env("PATH", &suite)
            .env("NOTIFY_SOCKET", &notify);
        for (name, value) in &settings {
            // On each machine another name and other own URLs; all else is the same.
            let own = !name.starts_with("ETCD_INITIAL_CLUSTER");
            let value = match own {
                true => value
                    .replace("n1.example.com", &address(n))
                    .replace("0.0.0.0", &address(n)),
                false => (1..=3).fold(value.to_string(), |value, m| {
                    value.replace(&format!("n{m}.example.com"), &address(m))
                }),
            };
            let value = match *name {
                "ETCD_NAME" => format!("n{n}"),
                _ => value,
            };
            let files = pki.join(format!("n{n}"));
            let value = value.replace("/etc/etcd/pki", &files.display().to_string());
            command.env(
                name,
                value.replace("/var/lib/etcd/data", &data.display().to_string()),
            );
        }
        let log = fs::File::create(temp.path().join(format!("n{n}.log"))).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        members.0.push(command.spawn().unwrap());
    }
    for (n, socket) in ready.iter().enumerate() {
        socket
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut message = [0; 64];
        let length = socket.recv(&mut message).unwrap_or_else(|error| {
            let log = fs::read_to_string(temp.path().join(format!("n{}.log", n + 1))).unwrap();
            panic!("n{} was not ready: {error}\n{log}", n + 1)
        });
        let said = String::from_utf8_lossy(&message[..length]);
        assert!(said.contains("READY=1"), "{said}");
    }
    let file = |name: &str| pki.join("n1").join(name).display().to_string();
    let health = output(
        Command::new(suite.join("etcdctl"))
            .args([
                "--cacert",
                &file("ca.crt"),
                "--cert",
                &file("server.crt"),
                "--key",
                &file("server.key"),
            ])
            .args([
                "--endpoints",
                &format!("https://{}:2379", address(2)),
                "endpoint",
                "health",
            ]),
    );
    drop(health);
}
