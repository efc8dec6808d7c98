//! The command line: arguments, subcommands, every sentence of `--help`.

use std::ffi::OsString;

use clap::{Parser, Subcommand, ValueEnum};

use crate::config::Overrides;
use crate::config::variables::{EXIT_CODES, VARIABLES};

/// A container entrypoint for etcd: a member that loses its disk comes back by itself.
///
/// Looks at the data dir and at the cluster, changes one thing at a time (remove and re-add of its own
/// member, old data set aside), then becomes etcd. Without a command, or with etcd's flags right after
/// the program name, it does what `run` does. Any other word is run as a program.
#[derive(Debug, Parser)]
#[command(name = "etcd-rejoin", version = crate::VERSION, disable_help_subcommand = false)]
#[command(after_long_help = after_help())]
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
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// etcd's flags, if it is configured by flags
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "ETCD_FLAGS"
        )]
        etcd_flags: Vec<OsString>,
    },
    /// Ask the etcd beside us for its health: exit code 0 if it is healthy, else 1
    Probe {
        /// etcd's flags, if it is configured by flags
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "ETCD_FLAGS"
        )]
        etcd_flags: Vec<OsString>,
    },
    /// List data that was set aside, or put it back
    Quarantine {
        /// What to do with it
        #[command(subcommand)]
        action: QuarantineAction,
    },
    /// Leave the cluster for good: a stop is not a leave, this is
    Leave {
        /// Take it back: join again at the next start
        #[arg(long)]
        undo: bool,
    },
    /// Print a shell's completions
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// Flags of `run`: each says the same as the variable that its help names.
#[derive(Debug, Default, clap::Args)]
pub struct RunArgs {
    /// Who must be heard before a new cluster is founded [env: REJOIN_BOOTSTRAP]
    ///
    /// `quorum` and `now` can lose acknowledged writes with one lost disk: only while nothing of value
    /// is stored.
    #[arg(long, value_enum)]
    bootstrap: Option<BootstrapArg>,
    /// How to join a running cluster [env: REJOIN_AS]
    #[arg(long = "as", value_enum)]
    join_as: Option<JoinArg>,
    /// How long to wait for others, such as 90s; `forever` is the default [env: REJOIN_WAIT]
    #[arg(long)]
    wait: Option<String>,
    /// How long one look at the cluster may take, such as 2s [env: REJOIN_TIMEOUT]
    #[arg(long)]
    timeout: Option<String>,
    /// The etcd program [env: REJOIN_ETCD]
    #[arg(long)]
    etcd: Option<String>,
    /// Take so many steps at most, then end with exit code 75
    #[arg(long, value_name = "N")]
    pub max_steps: Option<u32>,
    /// etcd's flags, after `--`
    #[arg(last = true, allow_hyphen_values = true, value_name = "ETCD_FLAGS")]
    pub etcd_flags: Vec<OsString>,
}

impl RunArgs {
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
            ("REJOIN_BOOTSTRAP", bootstrap),
            ("REJOIN_AS", join_as),
            ("REJOIN_WAIT", self.wait.clone()),
            ("REJOIN_TIMEOUT", self.timeout.clone()),
            ("REJOIN_ETCD", self.etcd.clone()),
        ];
        let given = all
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        Overrides(given.collect())
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BootstrapArg {
    All,
    Quorum,
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
    List,
    /// Move one back in its place, while no etcd runs here
    PutBack {
        /// Its name, as `list` prints it
        name: String,
    },
}

/// What the words after the program name mean.
#[derive(Debug)]
pub enum Call {
    /// One of our commands.
    Ours(Box<Cli>),
    /// Become etcd with these flags.
    Etcd(Vec<OsString>),
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
        Some("etcd") => Ok(Call::Etcd(words[1..].to_vec())),
        Some(word) if is_command(word) => ours(words),
        None | Some(_) => Ok(Call::Other(words[0].clone(), words[1..].to_vec())),
    }
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

fn after_help() -> String {
    let mut text = String::from("Variables, beside etcd's own ETCD_*:\n");
    for v in VARIABLES {
        text += &format!(
            "  {} [default: {}]\n      {}\n",
            v.name,
            v.default,
            v.meaning.replace('`', "")
        );
    }
    text += "\nExit codes:\n";
    for (code, meaning) in EXIT_CODES {
        text += &format!("  {code:<6} {meaning}\n");
    }
    text
}
