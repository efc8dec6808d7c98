//! The main job: look, decide, take one step, look again; then become etcd.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use log::Level;

use super::Exit;
use super::preflight;
use super::rejoin::Rejoin;
use super::said::Said;
use super::supervise::{self, Handed};
use crate::act::{Actor, Undone};
use crate::assembly::{Report, Server};
use crate::config::Config;
use crate::datadir::{Finding, Lock, LockError, Volume};
use crate::decide::{
    Begin, DataDir, Decision, OwnUrl, Reason, Start, Steady, Step, Trial, decide, listens,
};
use crate::explain;
use crate::handover::{self, Called};
use crate::launch;
use crate::logging::{Line, LogConfig};
use crate::membership::{ClusterId, Member, MemberId};
use crate::observe::{Listening, Look, NoLook, Observer};
use crate::signals::Stop;

/// The pause between two looks while we wait grows from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// In a first start each one waits for the next: who has just gone silent is about to listen as etcd, and is asked
/// again after this.
const SOON: Duration = Duration::from_millis(20);
/// For so long after something has changed.
const CHANGING: Duration = Duration::from_secs(5);
/// The pause after a step that the cluster refused grows to this. etcd refuses an add while a member
/// has been connected for less than five seconds: a longer pause only adds to that.
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// How long what the others list without a leader has to stay the same before it counts for what it
/// leaves out. A member of etcd reads its log within that, and takes part in elections only then.
const STEADY: Duration = Duration::from_secs(3);
/// The same where a start empty follows that no note allows. A restart with 325 MB takes about a second on a fast
/// disk (measured with 3.4 and 3.5), and many times that on a slow one.
const LONG_STEADY: Duration = Duration::from_secs(30);
/// Own data starts without a step that it can do without, when the cluster has not taken it so often.
const MAX_CHORE_TRIES: u32 = 3;
/// A refusal that concerns the others is shown to them for so long; they look twice in it.
const SHOWN: Duration = Duration::from_secs(1);

/// Runs the entrypoint. Returns only where etcd does not take our place.
///
/// `again` is what a trial of etcd has left behind, if one ran.
pub fn run(
    config: Config,
    log: LogConfig,
    called: &Called,
    stop: &Stop,
    max_steps: Option<u32>,
    again: Option<Handed>,
) -> Exit {
    if again.is_none() {
        Line::new(Level::Info, format!("etcd-rejoin {}", crate::VERSION))
            .with("name", &config.policy.name)
            .with("data-dir", config.data_dir.display())
            .with("initial-cluster", &config.policy.initial)
            .log();
        for warning in &config.warnings {
            log::warn!("{warning}");
        }
    }
    let program = match preflight::program(&config) {
        Ok(program) => program,
        Err((exit, why)) => {
            log::error!("{why}");
            return exit;
        }
    };
    let config = Arc::new(config);
    let volume = Volume::new(&config.data_dir, config.wal_dir.as_deref());
    let observer = match Observer::new(config.clone(), volume.clone(), stop.clone()) {
        Ok(observer) => observer,
        Err(error) => {
            log::error!("{error}");
            return Exit::CONFIG;
        }
    };
    let outdated = again.as_ref().map_or(0, |handed| handed.outdated);
    let mut run = Run {
        called,
        log,
        config,
        volume,
        unfit: observer.unfit().map(String::from),
        observer,
        stop,
        program,
        version: None,
        steps_left: again.as_ref().map_or(max_steps, |handed| handed.steps_left),
        server: None,
        trial: again.as_ref().map_or(Trial::None, |handed| handed.trial),
        outdated,
        warned: again.is_some(),
        rejoin: (again.as_ref()).map_or_else(Rejoin::begin, |handed| handed.rejoin.clone()),
        failed: again.and_then(|handed| Some((handed.start, Exit(handed.failed?)))),
        denied: None,
        added: None,
        refusals: 0,
        pause: if outdated > 0 { PAUSES.1 } else { PAUSES.0 },
        changed: Instant::now(),
        views: (Vec::new(), Instant::now()),
        said: Said::default(),
    };
    let _lock = match run.lock() {
        Ok(lock) => lock,
        Err(exit) => return exit,
    };
    run.version = preflight::ask_version(&run.config, stop);
    if run.outdated > 0
        && let Err(exit) = run.pause(PAUSES.1)
    {
        return exit;
    }
    loop {
        if let Err(exit) = run.round() {
            return exit;
        }
    }
}

struct Run<'a> {
    called: &'a Called,
    config: Arc<Config>,
    log: LogConfig,
    volume: Volume,
    observer: Observer,
    /// Why nobody can be asked over https; said once.
    unfit: Option<String>,
    stop: &'a Stop,
    program: PathBuf,
    /// Asks etcd for its version.
    version: Option<JoinHandle<()>>,
    steps_left: Option<u32>,
    /// Answers other entrypoints while no etcd runs here.
    server: Option<Server>,
    /// What the last trial died of.
    trial: Trial,
    /// So many trials in a row took an old list of members from another one.
    outdated: u8,
    /// The start that just failed on trial, and how.
    failed: Option<(Start, Exit)>,
    /// It was said why a rejoin would fail here.
    warned: bool,
    /// What is said of a rejoin at its end.
    rejoin: Rejoin,
    /// The step that the cluster does not allow us.
    denied: Option<(Step, String)>,
    /// The entry that an add of this run was answered with.
    added: Option<MemberId>,
    /// How often in a row a step was not taken.
    refusals: u32,
    pause: Duration,
    /// When what was seen has changed last.
    changed: Instant,
    /// What the others listed without a leader, and since when.
    views: (Vec<(ClusterId, Vec<Member>)>, Instant),
    said: Said,
}

impl Run<'_> {
    /// Waits until the data dir is ours alone.
    fn lock(&mut self) -> Result<Lock, Exit> {
        loop {
            match self.volume.lock() {
                Ok(lock) => return Ok(lock),
                Err(LockError::Failed(error)) => {
                    log::error!("{error}");
                    return Err(Exit::FAILED);
                }
                Err(LockError::Held { holder }) => {
                    let row = Reason::DataDirInUse.row();
                    let words = format!(
                        "waits: {} ({holder}); {}",
                        row.when,
                        explain::to_go_on(row.cure),
                    );
                    self.wait(Line::new(Level::Info, words).with("reason", row.name))?;
                }
            }
        }
    }

    /// One look, one decision, at most one step. The error ends the program.
    fn round(&mut self) -> Result<(), Exit> {
        let listening = match self.server {
            Some(_) => Listening::Assembly,
            None => Listening::Nothing,
        };
        let mut look = match self.observer.look(self.trial, listening) {
            Ok(look) => look,
            Err(NoLook::Stopped(signal)) => return Err(self.stopped(signal)),
            Err(NoLook::Failed(error)) => {
                log::error!("{error}");
                return Err(Exit::FAILED);
            }
        };
        look.seen.no_chores = self.refusals >= MAX_CHORE_TRIES;
        look.seen.failed = self.failed.as_ref().map(|(start, _)| start.clone());
        look.seen.denied.clone_from(&self.denied);
        look.seen.added = self.added;
        if let Some(server) = &self.server {
            look.seen.knocks = server.knocks(self.observer.own_unanswered());
            look.seen.listened = server.listened() >= self.listens();
        }
        let views = look.seen.views();
        let views: Vec<_> = views.map(|(id, members)| (id, members.to_vec())).collect();
        if self.views.0 != views {
            self.views = (views, Instant::now());
        }
        look.seen.steady = match self.views.1.elapsed() {
            same if same >= LONG_STEADY => Steady::HalfAMinute,
            same if same >= STEADY => Steady::Seconds,
            _ => Steady::No,
        };
        self.saw(&look);
        if let Some(why) = self.unfit.take() {
            match look.seen.counts_as() {
                // etcd may know the key. All that is given up is to be told of a removal beforehand.
                DataDir::Own(_) => log::warn!("asks nobody over https: {why}"),
                DataDir::Damaged { .. } | DataDir::Empty => {
                    log::error!("configuration: {why}");
                    return Err(Exit::CONFIG);
                }
            }
        }
        let mut decision = decide(&self.config.policy, &look.seen);
        if let Decision::Do(step, _) = &decision
            && self.steps_left != Some(0)
        {
            let asks = step.counts_on_our_url();
            // Answering the others comes before the promise, and shows that the peer port is free.
            self.serve(&look)?;
            let ports = self.server.is_none();
            let peers = self.observer.peers();
            look.seen.surroundings = preflight::surroundings(
                &self.config,
                &look.seen,
                &decision,
                peers,
                ports,
                self.stop,
            );
            if let Some(signal) = self.stop.raised() {
                return Err(self.stopped(signal));
            }
            if asks {
                look.seen.own_urls = self.own_urls(&look);
            }
            decision = decide(&self.config.policy, &look.seen);
        }
        if decision.reason() == Reason::PeerUrlMisleads {
            self.said
                .warn(explain::why(&self.config.policy, &look, &decision));
        }
        match &decision {
            Decision::Start(start, _) => self.start(start, &look, &decision),
            Decision::Do(step, _) => self.step(step, &look, &decision),
            Decision::Wait(Reason::Listening) => {
                self.serve(&look)?;
                self.said.say(self.line(&look, &decision));
                // It ends by itself: REJOIN_WAIT is for what does not.
                let since = self
                    .server
                    .as_ref()
                    .map_or(Duration::ZERO, Server::listened);
                self.pause(PAUSES.1.min(self.listens().saturating_sub(since)))
            }
            Decision::Wait(_) => {
                if look.seen.promise && self.changed.elapsed() < CHANGING {
                    self.pause = SOON;
                }
                self.serve(&look)?;
                self.wait(self.line(&look, &decision))
            }
            Decision::Refuse(reason) => {
                self.line(&look, &decision).log();
                Err(match (reason, &self.failed) {
                    (Reason::StartFailed, Some((_, exit))) => *exit,
                    (Reason::CannotStart | Reason::WalElsewhere | Reason::WalDirNotEmpty, _) => {
                        Exit::FAILED
                    }
                    (Reason::PeerUrlsNotGiven, _) => Exit::CONFIG,
                    (reason, _) => self.last_report(*reason, &look).unwrap_or(Exit::REFUSED),
                })
            }
        }
    }

    /// For so long our assembly listens before a cluster is founded.
    fn listens(&self) -> Duration {
        listens(&self.config.policy, self.config.election_timeout)
    }

    /// Where our own peer URLs lead. Own data, which answers nobody, answers for this moment.
    fn own_urls(&mut self, look: &Look) -> Vec<OwnUrl> {
        if self.server.is_some() {
            return self.observer.own_urls(true);
        }
        let report = Report::of(&self.config, &look.seen, self.observer.instance());
        // Where the port is not free, etcd will say so.
        let server = Server::start(&self.config, &report, self.stop);
        self.observer.own_urls(server.is_ok())
    }

    /// A refusal that concerns the others too: they shall hear what we hold, not only that we are gone.
    /// The exit code, if a signal ends us meanwhile.
    fn last_report(&mut self, reason: Reason, look: &Look) -> Option<Exit> {
        let (Reason::PeersDisagree
        | Reason::DataSetAside
        | Reason::DataElsewhere
        | Reason::CalledByACluster) = reason
        else {
            return None;
        };
        if let Err(exit) = self.serve(look) {
            return Some(exit);
        }
        let signal = self.stop.sleep_until(Instant::now() + SHOWN)?;
        Some(self.stopped(signal))
    }

    /// Says what was seen, when it has changed.
    fn saw(&mut self, look: &Look) {
        if self.said.is_news(explain::scene(&self.config.policy, look)) {
            self.changed = Instant::now();
            explain::seen(&self.config.policy, look).log();
        }
    }

    fn line(&self, look: &Look, decision: &Decision) -> Line {
        explain::line(&self.config, look, decision)
    }

    fn step(&mut self, step: &Step, look: &Look, decision: &Decision) -> Result<(), Exit> {
        if self.steps_left == Some(0) {
            log::info!(
                step = step.name();
                "has taken as many steps as --max-steps allows, and would take another one"
            );
            return Err(Exit::STEPS_TAKEN);
        }
        let name = step.name();
        let mut line = self.line(look, decision).with("step", name);
        if let Some(member) = explain::whose(look, step) {
            line = line.with("member", member);
        }
        // The same step again, because the cluster was not ready for it, is no news.
        self.said.say(line);
        let actor = Actor::new(
            &self.config,
            &self.volume,
            self.observer.clients(),
            self.stop,
        );
        match actor.perform(step, look) {
            Ok(done) => {
                let level = match explain::tells_more(step) {
                    true => log::Level::Info,
                    false => log::Level::Debug,
                };
                log::log!(level, step = name; "{}", done.words);
                self.rejoin.has_done(decision, done.set_aside);
                self.added = done.added.or(self.added);
                // To undo an add that was answered to nobody brings us nowhere.
                if decision.reason() != Reason::AddedNotOurs {
                    self.pause = PAUSES.0;
                    self.said.done();
                    self.refusals = 0;
                }
                if step.changes_what_starts() {
                    self.failed = None;
                }
                self.denied = None;
                self.trial = Trial::None;
                self.steps_left = self.steps_left.map(|left| left - 1);
                if self.steps_left == Some(0) {
                    log::info!("has taken as many steps as --max-steps allows");
                    return Err(Exit::STEPS_TAKEN);
                }
                Ok(())
            }
            // A balancer that leads somewhere else each time must not be asked without a pause.
            Err(Undone::Changed) => self.pause(PAUSES.1),
            Err(Undone::Stopped(signal)) => Err(self.stopped(signal)),
            Err(Undone::Failed(error)) if step.is_chore() => self.without(step, &error.to_string()),
            Err(Undone::Refused(words)) if step.is_chore() => self.without(step, &words),
            Err(Undone::Failed(error)) => {
                log::error!(step = name; "{error}");
                Err(Exit::FAILED)
            }
            Err(Undone::Refused(words)) => {
                self.denied = Some((step.clone(), words));
                Ok(())
            }
            Err(Undone::Cluster(words)) => self.not_taken(step, &words),
        }
    }

    /// Own data does without this step in this run.
    fn without(&mut self, step: &Step, why: &str) -> Result<(), Exit> {
        let name = step.name();
        log::warn!(step = name; "{why}; starts without it");
        self.refusals = MAX_CHORE_TRIES;
        Ok(())
    }

    /// The cluster was not ready for the step. It was no change, or one whose outcome is unknown: the
    /// next look tells.
    fn not_taken(&mut self, step: &Step, words: &str) -> Result<(), Exit> {
        self.refusals += 1;
        // Which endpoint said so is no news.
        let said = words.split_once(": ").map_or(words, |(_, said)| said);
        let name = step.name();
        if let Some(level) = self.said.refused(said) {
            log::log!(
                level,
                step = name;
                "the cluster did not take the step; looks again, then tries again: {words}"
            );
        }
        let waited = self.said.waited();
        if let Some(allowed) = self.config.wait
            && waited >= allowed
        {
            log::error!(step = name; "{words}; REJOIN_WAIT is over");
            return Err(Exit::WAITED);
        }
        self.pause(MAX_BACKOFF)
    }

    fn start(&mut self, start: &Start, look: &Look, decision: &Decision) -> Result<(), Exit> {
        if let Some(asking) = self.version.take() {
            // What became of it does not matter here.
            let _ = asking.join();
        }
        let mut line = self.line(look, decision);
        if let Some(why) = preflight::rejoin_fails(&self.config, &look.seen)
            && matches!(start.begin, Begin::WithData)
            && !self.warned
        {
            log::warn!("if its data were lost or damaged, this member could not come back: {why}");
            self.warned = true;
        }
        // The port must be free for etcd.
        self.server = None;
        let etcd = match launch::etcd(&self.config, &self.program, &start.begin) {
            Ok(etcd) => etcd,
            Err(error) => {
                log::error!("{error}");
                return Err(Exit::FAILED);
            }
        };
        if let Finding::Own { end, .. } = &look.contents.finding
            && let Err(error) = self.volume.note_start(end)
        {
            // Not needed for this start; etcd itself will say what is wrong with the disk.
            log::debug!("{error}");
        }
        if let Err(error) = self.volume.note_wal_dir() {
            log::debug!("{error}");
        }
        let member = explain::starts_as(look, start);
        if let Some(member) = member {
            line = line.with("member", member);
        }
        line = line.with("took", format!("{}ms", look.took.as_millis()));
        if look.seen.set_aside > 0 {
            line = line.with("set-aside", look.seen.set_aside);
        }
        line.with("etcd", self.program.display()).log();
        // A start that goes with a loss, without a step before it: the second of two.
        self.rejoin.has_done(decision, 0);
        if !start.trial {
            // Nothing of us is left to say it once it is so.
            if let Some(line) = self.rejoin.line(start, member) {
                line.after("hands over to etcd; once it has caught up this member is ")
                    .log();
            }
            log::logger().flush();
            match self.stop.end_at_once() {
                Ok(None) => {}
                Ok(Some(signal)) => return Err(self.stopped(signal)),
                Err(error) => log::warn!("{error}"),
            }
            let error = handover::exec(&etcd);
            log::error!("{error}");
            return Err(Exit(error.exit_code()));
        }
        let handed = Handed {
            start: start.clone(),
            steps_left: self.steps_left,
            trial: self.trial,
            failed: None,
            outdated: self.outdated,
            rejoin: self.rejoin.clone(),
        };
        // In a process image of its own: what looked at the cluster takes memory that a parent needs not.
        let exit = supervise::hand_over(
            &self.config,
            self.log,
            &handed,
            &etcd,
            self.called,
            self.stop,
        );
        Err(exit)
    }

    /// Answers other entrypoints from now on, with what was seen last.
    fn serve(&mut self, look: &Look) -> Result<(), Exit> {
        // Own data starts at once; only where it was given up does it wait with the others.
        if matches!(look.seen.counts_as(), DataDir::Own(_)) && !look.seen.given_up {
            return Ok(());
        }
        let report = Report::of(&self.config, &look.seen, self.observer.instance());
        match &self.server {
            Some(server) => server.update(&report),
            None => match Server::start(&self.config, &report, self.stop) {
                Ok(server) => self.server = Some(server),
                Err(error) => {
                    if let Some(signal) = self.stop.raised() {
                        return Err(self.stopped(signal));
                    }
                    log::error!("{error}; nothing was changed");
                    return Err(Exit::FAILED);
                }
            },
        }
        Ok(())
    }

    /// Waits for others. The line says since when: a time, which stays the same at each look.
    fn wait(&mut self, line: Line) -> Result<(), Exit> {
        let mut line = self.said.with_since(line);
        let waited = self.said.waited();
        if let Some(allowed) = self.config.wait
            && waited >= allowed
        {
            let (waited, allowed) = (waited.as_millis(), allowed.as_millis());
            line.level = Level::Error;
            (line.after("gives up: "))
                .with("waited", format!("{waited}ms"))
                .with("REJOIN_WAIT", format!("{allowed}ms"))
                .log();
            return Err(Exit::WAITED);
        }
        self.said.say_or_remind(line, waited);
        self.pause(PAUSES.1)
    }

    fn pause(&mut self, most: Duration) -> Result<(), Exit> {
        let mut until = Instant::now() + self.pause;
        let given_up = (self.config.wait).and_then(|allowed| self.said.waited_until(allowed));
        until = given_up.map_or(until, |given_up| until.min(given_up));
        self.pause = (self.pause * 2).min(most);
        match self.stop.sleep_until(until) {
            Some(signal) => Err(self.stopped(signal)),
            None => Ok(()),
        }
    }

    fn stopped(&self, signal: i32) -> Exit {
        log::info!("stopped by signal {signal} before etcd ran");
        Exit::signal(signal)
    }
}
