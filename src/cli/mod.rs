//! The command line: arguments, subcommands, every sentence of `--help`.

mod member;
mod two_node;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};

pub use member::{EnvFile, EtcdFlags};
pub use two_node::TwoNodeAction;

use crate::config::Overrides;
use crate::config::variables::{EXIT_CODES, VARIABLES};
use crate::rover::commands::fence_peer::FencePeerArgs;
use crate::rover::settings;

/// A container entrypoint for etcd: a member that loses its disk comes back by itself.
///
/// Looks at the data dir and at the cluster, changes one thing at a time (remove and re-add of its own
/// member, old data set aside), then becomes etcd. Without a command, or with etcd's flags right after
/// the program name, it does what `run` does. Any other word is the program etcd-rejoin-WORD that lies beside
/// this one, else any program.
#[derive(Debug, Parser)]
#[command(name = "etcd-rejoin", version = crate::VERSION)]
#[command(
    override_usage = "etcd-rejoin [ETCD_FLAGS]...\n       etcd-rejoin <COMMAND> [OPTIONS]\n       etcd-rejoin <PROGRAM> [ARGUMENTS]..."
)]
#[command(after_help = "--help lists the variables and exit codes.", after_long_help = after_help())]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The main job: bring this member back if need be, then become etcd
    Run(RunArgs),
    /// Explain what is seen and what would be done now, without changing anything
    ///
    /// Ends with 0 whatever it sees, with 74 where it cannot look, and with 78 where the configuration is
    /// wrong. With --check it ends as a monitor wants it, and prints one line.
    #[command(after_long_help = STATUS_KEYS)]
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// For a monitor: one line, and 0, 1, 2 or 3 as exit code
        ///
        /// 0: etcd runs here and is healthy. 1, a warning: it does, but a voter of its cluster is down, or this
        /// member could not be started again, or not come back after a lost disk. 2, critical: etcd does not run
        /// here, or is not healthy. 3, unknown: it could not look, or the configuration is wrong.
        #[arg(long)]
        check: bool,
        /// What the member is started with.
        #[command(flatten)]
        file: EnvFile,
        /// Where etcd is configured by flags.
        #[command(flatten)]
        etcd: EtcdFlags,
    },
    /// Ask the etcd beside us for its health: exit code 0 if it is healthy, else 1
    ///
    /// Ends with 78 where the configuration is wrong: then nobody was asked. `startup`, `live` and `ready` are
    /// Kubernetes' three probes, with the same exit codes.
    #[command(args_conflicts_with_subcommands = true)]
    Probe {
        /// Ask for something else than etcd's health
        #[command(subcommand)]
        what: Option<Probed>,
        /// Where etcd is configured by flags.
        #[command(flatten)]
        etcd: EtcdFlags,
    },
    /// List the members: health, lag, version, size, and how many failures the cluster survives
    ///
    /// Each is asked itself. Ends with 74 where nobody lists them.
    Members {
        /// Print JSON: quorate, margin, and of each member name, id, role, state, why it is not healthy, version, lag in
        /// entries, bytes, bytes_in_use, peer_urls and client_urls
        #[arg(long)]
        json: bool,
        /// What the member is started with.
        #[command(flatten)]
        file: EnvFile,
        /// Where etcd is configured by flags.
        #[command(flatten)]
        etcd: EtcdFlags,
    },
    /// Defragment the members one after the other, the leader last, and clear NOSPACE where there is room then
    ///
    /// Only while all members are healthy. One that would gain less than a tenth of its size is skipped, unless --compact is given. NOSPACE is
    /// cleared once every member uses less than four fifths of its quota; CORRUPT never is. Ends with 74, and leaves
    /// the rest as it is, where a member is not healthy again after its turn.
    Defrag {
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        /// Forget all old revisions first: who watches or reads an old one is told that it is gone
        #[arg(long)]
        compact: bool,
        /// What the member is started with.
        #[command(flatten)]
        file: EnvFile,
        /// Where etcd is configured by flags.
        #[command(flatten)]
        etcd: EtcdFlags,
    },
    /// List data that was set aside, or put it back
    Quarantine {
        /// What to do with it
        #[command(subcommand)]
        action: QuarantineAction,
    },
    /// Leave the cluster for good: a stop is not a leave, this is
    ///
    /// Removes this member from the cluster, and notes in its data dir that it left: it refuses to start
    /// there (exit code 65) until `leave --undo`. Fails (exit code 74) and changes nothing where the others
    /// would have no quorum.
    Leave {
        /// Take it back: join again at the next start
        #[arg(long)]
        undo: bool,
        /// For the pre-stop of a StatefulSet's pod: leave only if the set does not want this member any more
        ///
        /// Asks the Kubernetes API server for the set. A drain, a restart and a set of no replicas are no leave (exit
        /// code 0); nor is it one where the answer is not known (exit code 74). Needs REJOIN_STATEFULSET.
        #[arg(long, conflicts_with = "undo")]
        if_scaled_down: bool,
        /// What the member is started with.
        #[command(flatten)]
        file: EnvFile,
        /// Where etcd is configured by flags.
        #[command(flatten)]
        etcd: EtcdFlags,
    },
    /// keepalived's notify script: note its latest wish in the gate file, and do nothing else
    ///
    /// In keepalived.conf: `notify "/usr/bin/etcd-rejoin notify --gate /run/etcd-rejoin/gate"`. An older
    /// event never replaces a newer one, in whatever order the scripts run.
    #[command(hide = true)]
    Notify {
        /// The gate file [env: REJOIN_GATE]
        #[arg(long, value_name = "PATH")]
        gate: Option<PathBuf>,
        /// The VRRP instance or group that counts; what others say is passed over
        ///
        /// The gate file holds one wish. Where several instances call this for one gate, each of them needs it.
        #[arg(long, value_name = "NAME")]
        instance: Option<String>,
        /// What keepalived appends: INSTANCE or GROUP, its name, the state, the priority
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "WORDS"
        )]
        words: Vec<OsString>,
    },
    /// DRBD's fence-peer handler: make the other machine harmless before this one goes on alone
    ///
    /// The kernel runs it on the host. In the resource's `handlers` section: `fence-peer
    /// "/usr/bin/etcd-rejoin fence-peer --peer HOST:PORT --key-file PATH";`. DRBD names the resource in
    /// DRBD_RESOURCE.
    #[command(after_help = FENCE_PEER_CODES, hide = true)]
    FencePeer(FencePeerArgs),
    /// A member that lives on two machines, with DRBD and keepalived: set it up, check it, ask it
    #[command(after_long_help = two_node_help())]
    TwoNode {
        /// What to do
        #[command(subcommand)]
        action: TwoNodeAction,
    },
    /// Print a shell's completions
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// Source: DRBD `drbd_nl.c`, `conn_try_outdate_peer`.
const FENCE_PEER_CODES: &str = "\
Exit codes, as DRBD reads them:
  4  the peer has recorded that its disk is outdated
  5  the peer is silent, there is no fence command, and this machine is Primary: it goes on
  6  the peer is Primary: DRBD outdates this machine
  7  the fence command confirms that the peer is off
  1  none of it: this machine is not promoted, or stays frozen";

/// What `probe` can ask for beside etcd's health.
#[derive(Debug, Subcommand)]
pub enum Probed {
    /// Does etcd answer? 0 once it does, leader or not, else 1, with what this member waits for
    Startup {
        /// Where etcd is configured by flags.
        #[command(flatten)]
        etcd: EtcdFlags,
    },
    /// Would a restart be of no use? 0 while etcd answers, leader or not, and while the entrypoint waits, else 1
    ///
    /// A lost quorum, a full quota (NOSPACE) and another damaged member (CORRUPT) are no reason to restart this one.
    Live {
        /// Where etcd is configured by flags.
        #[command(flatten)]
        etcd: EtcdFlags,
    },
    /// Can clients read and write here? 0 if this member is a voter of a cluster with a leader, else 1
    ///
    /// A full quota (NOSPACE) is passed over: it is read from and deleted from as before.
    Ready {
        /// Where etcd is configured by flags.
        #[command(flatten)]
        etcd: EtcdFlags,
    },
    /// Two machines: could this one take the volume now? 0 if so, else 1 and the reason
    ///
    /// For keepalived's vrrp_script: a machine that must not be promoted does not bid for the address.
    /// Asks the rover's last report beside the gate; where none runs, the answer is no.
    #[command(hide = true)]
    Promotable {
        /// The gate file [env: REJOIN_GATE]
        #[arg(long, value_name = "PATH")]
        gate: Option<PathBuf>,
    },
}

/// The keys of `status --json`. They stay; new ones may be added.
const STATUS_KEYS: &str = "\
Keys of --json, which stay as they are; new ones may come:
  name         ETCD_NAME
  set          of a member of a StatefulSet, else null: name, ordinal, service (in full), api: where its replicas
               are asked for, or null; derived: the variables that REJOIN_STATEFULSET has set
  data_dir     path; state: own, damaged or empty; damage: what is wrong, in words; version: the newer
               one of its storage version and its cluster's, or null; member_id and
               cluster_id of the data, in hex; committed: index and term up to which it is known
               to be committed, or null; notes; set_aside: how many data dirs lie set aside;
               held_by: the process that holds it
  etcd         program: its path, or null where it is not found; version: what it says; running:
               whether it holds the data dir; healthy: true, false, or null where it does not run
  peers        of each other member: name; heard, in a few words; words, in full; version: that of its
               etcd, or null
  cluster      state: quorate; listed (a peer lists this member, which is enough for a restart: nobody
               was asked for a leader); no-leader; leader-not-told (its gateway is off, or refuses us);
               unreachable; alone (there is nobody to ask); id; version, as a member says it; members; margin: how many more
               failures it survives, or null where not every voter was asked; reached: index and term
               of the member that proved the leader, or null where this volume holds no data
  store        what REJOIN_STORE holds, null without it: place, recover (REJOIN_RECOVER), words,
               and where it answers marker (of the founding), lineage (the newest), snapshots
               (how many), order (the newest to restore, unless it was cancelled)
  failures     what was asked in vain, and why
  volume       of a member on two machines, else null: `two-node status --help` has its keys; where the volume is
               not mounted, name and volume are all there is
  decision     start, do, wait or refuse; none: etcd runs here, there is nothing to decide
  step         what is done: the name of a step, or null
  action       the decision in words
  reason       the row of the decision table; beside an etcd that runs: running, or not-healthy
  why          its condition, as it holds here
  to_change    what would change that
  hindered     what would keep etcd from starting here, or this member from coming back if it lost its
               disk: a URL that is not ours, a disk that is full or not ours to write to, ...; or null
  took_ms      how long the look took";

/// Flags of `run`: each says the same as the variable that its help names.
#[derive(Debug, Default, clap::Args)]
pub struct RunArgs {
    /// Who must be heard before a new cluster is founded [env: REJOIN_BOOTSTRAP]
    ///
    /// `now` founds beside silence, not beside somebody who answers and is not empty too. It can lose
    /// acknowledged writes with one lost disk: only while nothing of value is stored.
    #[arg(long, value_enum, value_name = "WHO")]
    bootstrap: Option<BootstrapArg>,
    /// How to join a running cluster [env: REJOIN_AS]
    #[arg(long = "as", value_enum, value_name = "HOW")]
    join_as: Option<JoinArg>,
    /// How long to wait for others, such as 90s; `forever` is the default [env: REJOIN_WAIT]
    #[arg(long, value_name = "DURATION")]
    wait: Option<String>,
    /// How long one look at the cluster may take, such as 2s [env: REJOIN_TIMEOUT]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// The etcd program [env: REJOIN_ETCD]
    #[arg(long, value_name = "PROGRAM")]
    etcd: Option<String>,
    /// Take so many steps at most, then end with exit code 75
    #[arg(long, value_name = "N")]
    pub max_steps: Option<u32>,
    /// etcd's flags, after `--`
    #[arg(last = true, allow_hyphen_values = true, value_name = "ETCD_FLAGS")]
    pub etcd_flags: Vec<OsString>,
}

impl RunArgs {
    /// The etcd program, if it was said here.
    pub fn etcd(&self) -> Option<OsString> {
        self.etcd.as_ref().map(OsString::from)
    }

    /// With this etcd program.
    pub fn of(etcd: String) -> RunArgs {
        RunArgs {
            etcd: Some(etcd),
            ..RunArgs::default()
        }
    }

    /// The flags as the variables that they stand for.
    pub fn overrides(&self) -> Overrides {
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map(|value| value.get_name().to_string())
        };
        let bootstrap = self
            .bootstrap
            .and_then(|value| name(value.to_possible_value()));
        let join_as = self
            .join_as
            .and_then(|value| name(value.to_possible_value()));
        let all = [
            ("--bootstrap", "REJOIN_BOOTSTRAP", bootstrap),
            ("--as", "REJOIN_AS", join_as),
            ("--wait", "REJOIN_WAIT", self.wait.clone()),
            ("--timeout", "REJOIN_TIMEOUT", self.timeout.clone()),
            ("--etcd", "REJOIN_ETCD", self.etcd.clone()),
        ];
        let given = all
            .into_iter()
            .filter_map(|(flag, name, value)| Some((flag, name, value?)));
        Overrides(given.collect())
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BootstrapArg {
    All,
    Now,
    Never,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum JoinArg {
    Auto,
    Voter,
    Learner,
    Never,
}

/// What to do with data that was set aside.
#[derive(Debug, Subcommand)]
pub enum QuarantineAction {
    /// List what lies set aside in this data dir
    List {
        /// Print JSON: a list of name, path, wal, member_id, time, bytes, and counts (whether it holds data)
        #[arg(long)]
        json: bool,
        /// What the member is started with.
        #[command(flatten)]
        file: EnvFile,
        /// Where etcd is configured by flags.
        #[command(flatten)]
        etcd: EtcdFlags,
    },
    /// Move one back in its place, while no etcd runs here
    PutBack {
        /// Its name, as `list` prints it
        name: String,
        /// What the member is started with.
        #[command(flatten)]
        file: EnvFile,
        /// Where etcd is configured by flags.
        #[command(flatten)]
        etcd: EtcdFlags,
    },
}

/// What the words after the program name mean.
#[derive(Debug)]
pub enum Call {
    /// One of our commands.
    Ours(Box<Cli>),
    /// Become etcd with these flags.
    Etcd(Vec<OsString>),
    /// The same, and this is the etcd: an image that was made for plain etcd says it so.
    EtcdAt(String, Vec<OsString>),
    /// Run another program, as it is.
    Other(OsString, Vec<OsString>),
}

/// Reads the words after the program name. The error is clap's: help, version or usage.
pub fn parse(words: &[OsString]) -> Result<Call, clap::Error> {
    let first = words.first().and_then(|word| word.to_str());
    match first {
        None if words.is_empty() => Ok(Call::Etcd(Vec::new())),
        Some("-h" | "--help" | "-V" | "--version" | "help") => ours(words),
        Some(word) if word.starts_with('-') => Ok(Call::Etcd(words.to_vec())),
        Some(word) if is_etcd(word) && is_no_member(words.get(1)) => {
            Ok(Call::Other(words[0].clone(), words[1..].to_vec()))
        }
        Some("etcd") => Ok(Call::Etcd(words[1..].to_vec())),
        Some(word) if is_command(word) => ours(words),
        Some(word) if is_etcd(word) => Ok(Call::EtcdAt(word.into(), words[1..].to_vec())),
        None | Some(_) => Ok(Call::Other(words[0].clone(), words[1..].to_vec())),
    }
}

fn is_etcd(word: &str) -> bool {
    Path::new(word).file_name() == Some("etcd".as_ref())
}

/// etcd's own commands, which run no member (etcd `server/etcdmain/main.go`).
fn is_no_member(word: Option<&OsString>) -> bool {
    word.is_some_and(|word| word == "gateway" || word == "grpc-proxy")
}

fn ours(words: &[OsString]) -> Result<Call, clap::Error> {
    let name = OsString::from("etcd-rejoin");
    Cli::try_parse_from(std::iter::once(&name).chain(words)).map(|cli| Call::Ours(Box::new(cli)))
}

fn is_command(word: &str) -> bool {
    use clap::CommandFactory;
    Cli::command()
        .get_subcommands()
        .any(|command| command.get_name() == word)
}

/// Our command that is spelt nearly as this word.
pub fn nearest_command(word: &str) -> Option<String> {
    use clap::CommandFactory;
    let most = if word.len() < 5 { 1 } else { 2 };
    let program = Cli::command();
    let commands = program.get_subcommands().map(clap::Command::get_name);
    let near = commands.map(|name| (strsim::damerau_levenshtein(word, name), name.to_string()));
    near.filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, name)| name)
}

/// The manual page: the program, its commands, variables and exit codes.
pub fn manual() -> std::io::Result<Vec<u8>> {
    use clap::CommandFactory;
    let mut page = Vec::new();
    let mut program = Cli::command();
    program.build();
    let man = clap_mangen::Man::new(program.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    command_sections(&program, &mut page)?;
    man.render_extra_section(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// One section for each command; those of its own page become sub-sections of it.
fn command_sections(program: &clap::Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    for command in program.get_subcommands().filter(|c| c.get_name() != "help") {
        let name = command.get_bin_name().unwrap_or_default().to_uppercase();
        let man = clap_mangen::Man::new(command.clone());
        let mut sections = Vec::new();
        man.render_description_section(&mut sections)?;
        man.render_options_section(&mut sections)?;
        man.render_extra_section(&mut sections)?;
        let text = String::from_utf8_lossy(&sections);
        let text = text.replace(".SH DESCRIPTION\n", &format!(".SH \"{name}\"\n"));
        page.extend(
            text.replace(".SH OPTIONS", ".SS OPTIONS")
                .replace(".SH EXTRA\n", ".PP\n.nf\n")
                .into_bytes(),
        );
        command_sections(command, page)?;
    }
    Ok(())
}

fn after_help() -> String {
    let mut text = String::from("Variables, beside etcd's own ETCD_*:\n");
    text += &variables(|name| !settings::VARIABLES.contains(&name));
    text += "\nExit codes:\n";
    for (code, meaning) in EXIT_CODES {
        text += &format!("  {code:<6} {meaning}\n");
    }
    text
}

fn two_node_help() -> String {
    let variables = variables(|name| settings::VARIABLES.contains(&name));
    format!(
        "{}\nVariables of the roving member, beside all others:\n{variables}",
        two_node::HOOKS
    )
}

/// Those variables, one after the other.
fn variables(wanted: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    for v in VARIABLES.iter().filter(|v| wanted(v.name)) {
        text += &format!(
            "  {} [default: {}]\n      {}\n",
            v.name,
            v.default,
            v.meaning.replace('`', "")
        );
    }
    text
}
