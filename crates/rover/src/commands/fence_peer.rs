//! The kernel's fence-peer handler. Frozen writes wait for it, so it ends in time whatever happens; and
//! whatever goes wrong ends with 1, which DRBD takes for "not settled".

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::drbd;
use crate::fence::{self, Key, Machine, Means};
use crate::table::{HandlerDecision, Role, Settled, decide_handler};
use etcd_rejoin_host::exit::Exit;
use etcd_rejoin_host::kmsg;
use etcd_rejoin_host::program;
use etcd_rejoin_host::text::duration;
use etcd_rejoin_host::work::Work;

/// How soon a peer that refused for now is asked again.
const AGAIN: Duration = Duration::from_millis(200);

/// What the handler is told in drbd.conf: the kernel gives it no environment of ours.
#[derive(Debug, Default, clap::Args)]
pub struct FencePeerArgs {
    /// Where the other machine's rover answers, over a network that is not the replication's
    #[arg(long, value_name = "HOST:PORT", requires = "key_file")]
    pub peer: Option<String>,
    /// The file with the secret that both rovers share
    #[arg(long, value_name = "PATH", requires = "peer")]
    pub key_file: Option<PathBuf>,
    /// A program, with its arguments, that surely turns the other machine off; in its environment are
    /// PATH, FENCE_RESOURCE and FENCE_PEER
    #[arg(long, value_name = "PROGRAM")]
    pub fence_command: Option<String>,
    /// How long all of it may take: the kernel holds back every write meanwhile
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub timeout: String,
}

/// Settles the peer's fate, says it in one line, and ends as DRBD wants to hear it.
///
/// Of the environment DRBD_RESOURCE and PATH are used.
pub fn fence_peer(args: FencePeerArgs, env: &[(OsString, OsString)]) -> Exit {
    let variable = |wanted: &str| env.iter().find(|(name, _)| name == wanted);
    let resource = variable("DRBD_RESOURCE").and_then(|(_, value)| value.to_str());
    let resource = resource.unwrap_or_default().to_string();
    let search = program::search_path(variable("PATH").map(|(_, path)| path.as_os_str()));
    let (exit, why) = match duration(&args.timeout) {
        Some(timeout) if !timeout.is_zero() => in_time(args, resource.clone(), search, timeout),
        Some(_) | None => {
            let why = format!(
                "--timeout={} is not a duration: write 5s or 500ms",
                args.timeout
            );
            (Exit::NOT_OK, why)
        }
    };
    let code = exit.0;
    kmsg::tell(&format!(
        "fence-peer: {why} resource={resource} exit={code}"
    ));
    exit
}

/// A disk or a name server that answers nobody may hold a thread for ever, but not the kernel.
fn in_time(
    args: FencePeerArgs,
    resource: String,
    search: OsString,
    timeout: Duration,
) -> (Exit, String) {
    let start = Instant::now();
    let settling = Work::begin(move || settled(&args, &resource, &search, start, timeout));
    let settling = match settling {
        Ok(settling) => settling,
        Err(error) => return (Exit::NOT_OK, format!("cannot start a thread: {error}")),
    };
    match settling.wait(timeout) {
        Ok(Ok(done)) => done,
        Ok(Err(why)) => (Exit::NOT_OK, why),
        Err(_) => {
            let why = format!("not settled within {timeout:?}");
            (Exit::NOT_OK, why)
        }
    }
}

fn settled(
    args: &FencePeerArgs,
    resource: &str,
    search: &OsStr,
    start: Instant,
    timeout: Duration,
) -> Result<(Exit, String), String> {
    if !drbd::is_resource(resource) {
        return Err(format!(
            "DRBD_RESOURCE={resource:?} names no resource: DRBD sets it where it runs this as its handler"
        ));
    }
    let command = args.fence_command.as_deref().unwrap_or_default();
    let command: Vec<String> = command.split_whitespace().map(String::from).collect();
    let key = match &args.key_file {
        None => None,
        Some(path) => {
            let shown = path.display();
            Some(Key::read(path).map_err(|why| format!("--key-file={shown} {why}"))?)
        }
    };
    let peer = match (&args.peer, &key) {
        (Some(peer), Some(key)) => {
            fence::port(peer).map_err(|why| format!("--peer={peer} {why}"))?;
            Some((peer.as_str(), key))
        }
        (None, _) | (_, None) => None,
    };
    if peer.is_none() && command.is_empty() {
        return Err("neither --peer nor --fence-command is given: nothing can be settled".into());
    }
    let machine = Machine::this().map_err(|error| error.to_string())?;
    // What follows needs time too: to ask for our own role, and to say how it went.
    let share = if command.is_empty() { 6 } else { 9 };
    let until = start + timeout * share / 10;
    let own = fence::own(resource, search, until)
        .map_err(|why| format!("our own role is not known: {why}"))?;
    let mut settled = None;
    loop {
        let time_left = Instant::now() + AGAIN * 2 < until;
        match decide_handler(&own, !command.is_empty(), settled.as_ref(), time_left) {
            HandlerDecision::Settle => {}
            HandlerDecision::AskAgain => std::thread::sleep(AGAIN),
            HandlerDecision::Unproven => {
                return Err(format!(
                    "nothing that becomes of the peer would prove our own data complete: {}",
                    drbd::summary(&own)
                ));
            }
            HandlerDecision::End(code) => {
                let words = settled.map_or(String::new(), |settled| {
                    ending(&settled, code, !command.is_empty())
                });
                return Ok((Exit(i32::from(code)), words));
            }
        }
        let means = Means {
            peer,
            machine: &machine,
            primary: own.role == Role::Primary,
            command: &command,
            search,
            timeout: until.saturating_duration_since(Instant::now()),
        };
        settled = Some(means.settle(resource));
    }
}

/// What became of the peer, and what follows.
fn ending(settled: &Settled, code: u8, has_command: bool) -> String {
    let more = match (settled, code) {
        (Settled::Primary, _) => ": DRBD outdates the disk of this machine",
        (Settled::Silent(_), 5) => ": this machine is Primary and goes on",
        (Settled::Silent(_), _) if !has_command => ": this machine is not Primary and waits",
        (_, _) => "",
    };
    format!("{settled}{more}")
}
