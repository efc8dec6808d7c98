//! The program: parse, start logging, run a command, map the outcome to an exit code.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::exit;

use clap::CommandFactory;
use etcd_rejoin::cli::{
    self, Call, Cli, Command, ConfigAction, EnvFile, EtcdFlags, Probed, QuarantineAction, RunArgs,
    VolumeAction,
};
use etcd_rejoin::commands::supervise::{self, Phase};
use etcd_rejoin::commands::{Exit, leave, print, probe, quarantine, rove, run, status, watch};
use etcd_rejoin::config::{Config, Overrides, env_file};
use etcd_rejoin::handover;
use etcd_rejoin::kmsg;
use etcd_rejoin::logging;
use etcd_rejoin::rover::commands::{config, fence_peer, notify, promote, volume};
use etcd_rejoin::signals::Stop;

fn main() {
    if let Some(code) = handover::hidden_main(std::env::args_os().skip(1)) {
        exit(code);
    }
    // A PID 1 without a handler ignores SIGTERM: this comes first.
    let stop = match Stop::install() {
        Ok(stop) => stop,
        Err(error) => {
            eprintln!("etcd-rejoin: {error}");
            exit(Exit::FAILED.0);
        }
    };
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(Exit(code)) = supervise::supervise(&words, &stop) {
        exit(code);
    }
    let (phase, words) = match supervise::phase(&words) {
        Ok(phase) => phase,
        Err(error) => {
            eprintln!("etcd-rejoin: {error}");
            exit(Exit::USAGE.0);
        }
    };
    let Exit(code) = match cli::parse(words) {
        Ok(Call::Ours(cli)) => command(*cli, phase, &stop),
        Ok(Call::Etcd(flags)) => become_etcd(flags, &RunArgs::default(), phase, &stop),
        Ok(Call::EtcdAt(etcd, flags)) => become_etcd(flags, &RunArgs::of(etcd), phase, &stop),
        Ok(Call::Other(program, args)) if program == "etcd" => {
            let program = std::env::var_os("REJOIN_ETCD").unwrap_or(program);
            exec(program, args, &stop, ": set REJOIN_ETCD to where it is")
        }
        Ok(Call::Other(program, args)) => {
            let nearest = program.to_str().and_then(cli::nearest_command);
            let hint = match nearest {
                Some(name) => format!(" (did you mean the command {name}?)"),
                None => " (nor is it a command of etcd-rejoin: see --help)".into(),
            };
            exec(program, args, &stop, &hint)
        }
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
    };
    exit(code)
}

fn command(cli: Cli, phase: Phase, stop: &Stop) -> Exit {
    match cli.command {
        Command::Run(args) => become_etcd(args.etcd_flags.clone(), &args, phase, stop),
        Command::Status {
            json,
            check,
            file,
            etcd,
        } => {
            if is_about_nobody(&file, &etcd) {
                eprintln!(
                    "etcd-rejoin: no ETCD_* variable is set here: this is about a member with etcd's defaults"
                );
            }
            let wanted = status::Wanted { json, check };
            wanted.unknown(with_config(&file, &etcd.etcd_flags, |config| {
                status::status(config, stop, wanted)
            }))
        }
        Command::Probe {
            what: Some(Probed::Promotable { gate }),
            ..
        } => probe::promotable(gate),
        Command::Probe { what: None, etcd } => {
            at_once(stop, &EnvFile::default(), &etcd, |config| {
                probe::probe(&config)
            })
        }
        Command::Quarantine { action } => match action {
            QuarantineAction::List { json, file, etcd } => {
                at_once(stop, &file, &etcd, |config| quarantine::list(&config, json))
            }
            QuarantineAction::PutBack { name, file, etcd } => {
                at_once(stop, &file, &etcd, |config| {
                    quarantine::put_back(&config, &name)
                })
            }
        },
        Command::Leave {
            undo: true,
            file,
            etcd,
        } => at_once(stop, &file, &etcd, |config| leave::undo(&config)),
        Command::Leave {
            undo: false,
            file,
            etcd,
        } => at_once(stop, &file, &etcd, leave::leave),
        Command::Notify {
            gate,
            instance,
            words,
        } => notify::note(gate, instance.as_deref(), &words),
        Command::FencePeer(args) => fence_peer::fence_peer(args),
        Command::Promote {
            accept_loss,
            file,
            etcd,
        } => {
            if let Ok(Some(signal)) = stop.end_at_once() {
                return Exit::signal(signal);
            }
            with_config(&file, &etcd.etcd_flags, |config| {
                promote::promote(config.rover.as_ref(), accept_loss)
            })
        }
        Command::Config { action } => {
            if let Ok(Some(signal)) = stop.end_at_once() {
                return Exit::signal(signal);
            }
            match action {
                ConfigAction::TwoNode(args) => config::two_node(&args),
                ConfigAction::Check(args) => {
                    config::check(&args, utf8_environment(), config_mistakes)
                }
            }
        }
        Command::Volume {
            action: VolumeAction::Init(mut args),
        } => {
            let named = || std::env::var_os("REJOIN_DRBD");
            let named = || named().map(|name| name.to_string_lossy().into());
            args.resource = args.resource.or_else(named);
            volume::init(&args, std::env::vars_os(), stop)
        }
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

fn become_etcd(flags: Vec<OsString>, args: &RunArgs, phase: Phase, stop: &Stop) -> Exit {
    // `etcd --version` and `etcd --help` are etcd's own affair.
    let asks = |word: &OsString| {
        matches!(
            word.to_str(),
            Some("--version" | "-version" | "--help" | "-help" | "-h")
        )
    };
    if flags.iter().any(asks) {
        let program = args.etcd().or_else(|| std::env::var_os("REJOIN_ETCD"));
        let program = program.unwrap_or_else(|| "etcd".into());
        return exec(program, flags, stop, "");
    }
    let terminal = std::io::stderr().is_terminal();
    let overrides = args.overrides();
    let (log, config) = Config::read_with_log(std::env::vars_os(), &flags, &overrides, terminal);
    logging::start(log, stop);
    match config {
        Ok(config) => match phase {
            Phase::First if config.rover.is_some() => rove(&config, stop),
            Phase::First => run::run(config, log, stop, args.max_steps, None),
            Phase::Again(handed) => run::run(config, log, stop, args.max_steps, Some(handed)),
            Phase::Watch(handed) => watch::watch(config, stop, &handed),
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
fn rove(config: &Config, stop: &Stop) -> Exit {
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
    match &config.rover {
        Some(rover) => rove::run(rover, stop),
        None => Exit::CONFIG,
    }
}

/// The environment's readable part.
fn utf8_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// What `run` would refuse of this environment.
fn config_mistakes(env: &BTreeMap<String, String>) -> Vec<String> {
    let env = env.iter();
    let env = env.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let read = Config::read(env, &[], &Overrides::default());
    read.err().unwrap_or_default()
}

/// Reads the configuration for a command that talks to a person.
fn with_config(file: &EnvFile, flags: &[OsString], command: impl FnOnce(Config) -> Exit) -> Exit {
    let env = match &file.env_file {
        None => std::env::vars_os().collect::<Vec<_>>(),
        Some(path) => match env_file::over(std::env::vars_os(), path) {
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

/// For commands that wait for nothing of their own: a signal ends them at once.
fn at_once(
    stop: &Stop,
    file: &EnvFile,
    etcd: &EtcdFlags,
    command: impl FnOnce(Config) -> Exit,
) -> Exit {
    if let Ok(Some(signal)) = stop.end_at_once() {
        return Exit::signal(signal);
    }
    with_config(file, &etcd.etcd_flags, command)
}

/// Whether nothing says which member is meant.
fn is_about_nobody(file: &EnvFile, etcd: &EtcdFlags) -> bool {
    let mut names = std::env::vars_os().map(|(name, _)| name);
    file.env_file.is_none()
        && etcd.etcd_flags.is_empty()
        && !names.any(|name| name.as_encoded_bytes().starts_with(b"ETCD_"))
}

/// Becomes this program.
fn exec(program: OsString, args: Vec<OsString>, stop: &Stop, hint: &str) -> Exit {
    let other = handover::Etcd {
        program: program.clone().into(),
        arg0: program,
        args,
        env: std::env::vars_os().collect(),
    };
    // Without the handlers a signal in the next instant is lost; no reason not to run the program.
    if let Ok(Some(signal)) = stop.end_at_once() {
        return Exit::signal(signal);
    }
    let error = handover::exec(&other);
    eprintln!("etcd-rejoin: {error}{hint}");
    Exit(error.exit_code())
}
