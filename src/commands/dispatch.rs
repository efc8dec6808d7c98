//! From a command line to the command that it names. Decides nothing else.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

use clap::CommandFactory;

use super::defrag::DefragWanted;
use super::{Exit, defrag, leave, members, other, print, probe, quarantine, rove, status};
use crate::cli::{
    self, Call, Cli, Command, EnvFile, EtcdFlags, Probed, QuarantineAction, RunArgs, TwoNodeAction,
};
use crate::config::{Config, Overrides, environment};
use crate::handover::Called;
use crate::kmsg;
use crate::logging;
use crate::rover::commands::{config, fence_peer, init, notify, promote};
use crate::rover::rove::VolumeStatus;
use crate::rover::settings::Rover;
use crate::run;
use crate::run::trial::health;
use crate::run::trial::images::Phase;
use crate::signals::Stop;

/// Who called us, and how we are told to end.
pub struct Caller<'a> {
    /// Name, words and environment.
    pub called: &'a Called,
    /// Raised where we are asked to stop.
    pub stop: &'a Stop,
}

impl Caller<'_> {
    /// Does what these words say. Returns only where nothing takes our place.
    pub fn dispatch(&self, words: &[OsString], phase: Phase) -> Exit {
        match cli::parse(words) {
            Ok(Call::Ours(cli)) => self.command(*cli, phase),
            Ok(Call::Etcd(flags)) => self.become_etcd(flags, &RunArgs::default(), phase),
            Ok(Call::EtcdAt(etcd, flags)) => self.become_etcd(flags, &RunArgs::of(etcd), phase),
            Ok(Call::Other(program, args)) if program == "etcd" => {
                let program = self.variable("REJOIN_ETCD").unwrap_or(&program);
                let hint = ": set REJOIN_ETCD to where it is";
                other::exec(program.into(), args, self.called, self.stop, hint)
            }
            // In need one word is enough.
            Ok(Call::Other(word, args)) if word == "restore" || word == "recover" => {
                let args = std::iter::once(word).chain(args).collect();
                other::run("snapshot".into(), args, self.called, self.stop)
            }
            Ok(Call::Other(word, args)) => other::run(word, args, self.called, self.stop),
            Err(error) => {
                // Help and version are no mistakes; a closed stdout is nobody's loss.
                let _ = error.print();
                // Who calls these two shows nobody what they print.
                let called = words.first().and_then(|word| word.to_str());
                if error.use_stderr()
                    && let Some(name @ ("notify" | "fence-peer")) = called
                {
                    kmsg::tell(&format!("{name}: {error}"));
                }
                Exit(error.exit_code())
            }
        }
    }

    fn command(&self, cli: Cli, phase: Phase) -> Exit {
        match cli.command {
            Command::Run(args) => self.become_etcd(args.etcd_flags.clone(), &args, phase),
            Command::Status {
                json,
                check,
                file,
                etcd,
            } => self.status(status::Wanted { json, check }, &file, &etcd),
            Command::Probe {
                what: Some(Probed::Promotable { gate }),
                ..
            } => probe::promotable(self.or_variable(gate, "REJOIN_GATE")),
            Command::Probe { what, etcd } => {
                let (asked, etcd) = match what {
                    Some(Probed::Startup { etcd }) => (probe::startup as fn(&Config) -> Exit, etcd),
                    Some(Probed::Live { etcd }) => (probe::live as _, etcd),
                    Some(Probed::Ready { etcd }) => (probe::ready as _, etcd),
                    Some(Probed::Promotable { .. }) | None => (probe::probe as _, etcd),
                };
                self.at_once(&EnvFile::default(), &etcd, |config| asked(&config))
            }
            Command::Members { json, file, etcd } => {
                self.at_once(&file, &etcd, |config| members::members(&config, json))
            }
            Command::Defrag {
                dry_run,
                compact,
                file,
                etcd,
            } => {
                let wanted = DefragWanted { dry_run, compact };
                self.with_config(&file, &etcd.etcd_flags, |config| {
                    defrag::defrag(&config, wanted, self.stop)
                })
            }
            Command::Quarantine { action } => match action {
                QuarantineAction::List { json, file, etcd } => {
                    self.at_once(&file, &etcd, |config| quarantine::list(&config, json))
                }
                QuarantineAction::PutBack { name, file, etcd } => {
                    self.at_once(&file, &etcd, |config| quarantine::put_back(&config, &name))
                }
            },
            Command::Leave {
                undo: true,
                file,
                etcd,
                ..
            } => self.at_once(&file, &etcd, |config| leave::undo(&config)),
            Command::Leave {
                undo: false,
                if_scaled_down,
                file,
                etcd,
            } => self.with_config(&file, &etcd.etcd_flags, |config| {
                leave::leave(config, if_scaled_down, self.stop)
            }),
            Command::Notify {
                gate,
                instance,
                words,
            } => {
                let gate = self.or_variable(gate, "REJOIN_GATE");
                notify::note(gate, instance.as_deref(), &words)
            }
            Command::FencePeer(args) => fence_peer::fence_peer(args, &self.called.env),
            Command::TwoNode { action } => self.two_node(action),
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "etcd-rejoin", &mut script);
                print(&String::from_utf8_lossy(&script))
            }
            Command::Man => match cli::manual() {
                Ok(page) => print(&String::from_utf8_lossy(&page)),
                Err(error) => {
                    eprintln!("etcd-rejoin: cannot write the manual page: {error}");
                    Exit::FAILED
                }
            },
        }
    }

    fn two_node(&self, action: TwoNodeAction) -> Exit {
        // The set-up of the volume is not left half way by a signal; all others end at once.
        if !matches!(action, TwoNodeAction::Init(_))
            && let Ok(Some(signal)) = self.stop.end_at_once()
        {
            return Exit::signal(signal);
        }
        match action {
            TwoNodeAction::Config(args) => config::two_node(&args),
            TwoNodeAction::Check(args) => config::check(&args, config_mistakes),
            TwoNodeAction::Init(mut args) => {
                let named = || self.variable("REJOIN_DRBD");
                let named = || named().map(|name| name.to_string_lossy().into());
                args.resource = args.resource.or_else(named);
                init::init(&args, self.called.env.iter().cloned(), self.stop)
            }
            TwoNodeAction::Promote {
                accept_loss,
                file,
                etcd,
            } => self.with_rover(&file, &etcd, |rover, _| {
                promote::promote(rover, accept_loss)
            }),
            TwoNodeAction::Status { json, file, etcd } => {
                self.with_rover(&file, &etcd, |rover, name| {
                    VolumeStatus::look(rover).print(name, json)
                })
            }
        }
    }

    fn become_etcd(&self, flags: Vec<OsString>, args: &RunArgs, phase: Phase) -> Exit {
        let (called, stop) = (self.called, self.stop);
        // `etcd --version` and `etcd --help` are etcd's own affair.
        let asks = |word: &OsString| {
            matches!(
                word.to_str(),
                Some("--version" | "-version" | "--help" | "-help" | "-h")
            )
        };
        if flags.iter().any(asks) {
            let program = args
                .etcd()
                .or_else(|| self.variable("REJOIN_ETCD").cloned());
            let program = program.unwrap_or_else(|| "etcd".into());
            return other::exec(program, flags, called, stop, "");
        }
        let terminal = std::io::stderr().is_terminal();
        let env = called.env.iter().cloned();
        let (log, config) = Config::read_with_log(env, &flags, &args.overrides(), terminal);
        logging::start(log, stop);
        let steps = args.max_steps;
        match config {
            Ok(config) => match phase {
                Phase::First if config.rover.is_some() => self.rove(&config),
                Phase::First => run::run(config, log, called, stop, steps, None),
                Phase::Again(handed) => run::run(config, log, called, stop, steps, Some(handed)),
                Phase::Watch(handed) => health::watch(config, stop, handed),
            },
            Err(mistakes) => {
                for mistake in mistakes {
                    log::error!("configuration: {mistake}");
                }
                Exit::CONFIG
            }
        }
    }

    /// Owns the volume of a roving member; the member itself is a child.
    fn rove(&self, config: &Config) -> Exit {
        for warning in &config.warnings {
            log::warn!("{warning}");
        }
        match &config.rover {
            Some(rover) => rove::run(rover, self.called, self.stop),
            None => Exit::CONFIG,
        }
    }

    fn status(&self, wanted: status::Wanted, file: &EnvFile, etcd: &EtcdFlags) -> Exit {
        let mut names = self.called.env.iter().map(|(name, _)| name);
        let is_about_nobody = file.env_file.is_none()
            && etcd.etcd_flags.is_empty()
            && !names.any(|name| name.as_encoded_bytes().starts_with(b"ETCD_"));
        if is_about_nobody {
            eprintln!(
                "etcd-rejoin: no ETCD_* variable is set here: this is about a member with etcd's defaults"
            );
        }
        wanted.unknown(self.with_config(file, &etcd.etcd_flags, |config| {
            status::status(config, self.stop, wanted)
        }))
    }

    /// What is given, else what the variable says.
    fn or_variable(&self, given: Option<PathBuf>, name: &str) -> Option<PathBuf> {
        given.or_else(|| self.variable(name).map(PathBuf::from))
    }

    fn variable(&self, name: &str) -> Option<&OsString> {
        let mut all = self.called.env.iter();
        all.find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Reads the configuration for a command that talks to a person.
    fn with_config(
        &self,
        file: &EnvFile,
        flags: &[OsString],
        command: impl FnOnce(Config) -> Exit,
    ) -> Exit {
        let own = self.called.env.iter().cloned();
        let env = match &file.env_file {
            None => own.collect(),
            Some(path) => match environment::over(own, path) {
                Ok(env) => env,
                Err(why) => {
                    eprintln!("etcd-rejoin: --env-file={} {why}", path.display());
                    return Exit::CONFIG;
                }
            },
        };
        match Config::read(env, flags, &Overrides::default()) {
            Ok(config) => command(config),
            Err(mistakes) => {
                for mistake in mistakes {
                    eprintln!("etcd-rejoin: configuration: {mistake}");
                }
                Exit::CONFIG
            }
        }
    }

    /// The same, for what is about the volume: of a member that roves, and by its name.
    fn with_rover(
        &self,
        file: &EnvFile,
        etcd: &EtcdFlags,
        command: impl FnOnce(&Rover, &str) -> Exit,
    ) -> Exit {
        self.with_config(file, &etcd.etcd_flags, |config| match &config.rover {
            Some(rover) => command(rover, &config.policy.name),
            None => {
                eprintln!(
                    "etcd-rejoin: REJOIN_DRBD is not set: this member does not live on two machines. Name the \
                     environment file of the one that does (--env-file /etc/etcd-rejoin/etcd3.env), or say it in \
                     its container"
                );
                Exit::CONFIG
            }
        })
    }

    /// For commands that wait for nothing of their own: a signal ends them at once.
    fn at_once(
        &self,
        file: &EnvFile,
        etcd: &EtcdFlags,
        command: impl FnOnce(Config) -> Exit,
    ) -> Exit {
        if let Ok(Some(signal)) = self.stop.end_at_once() {
            return Exit::signal(signal);
        }
        self.with_config(file, &etcd.etcd_flags, command)
    }
}

/// What `run` would refuse of this environment.
fn config_mistakes(env: &BTreeMap<String, String>) -> Vec<String> {
    let env = env.iter();
    let env = env.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let read = Config::read(env, &[], &Overrides::default());
    read.err().unwrap_or_default()
}
