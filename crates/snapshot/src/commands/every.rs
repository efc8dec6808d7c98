//! `every`: snapshots for ever. A failure is said, and tried again; nothing of it ends the program.

use std::sync::Arc;
use std::time::Duration;

use etcd_rejoin_decide::Retention;
use etcd_rejoin_host::error::{Context as _, Error};
use etcd_rejoin_host::exit::Exit;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::at_hand::AtHand;
use super::prune::judge;
use super::save::{task, words};
use crate::NotDone;
use crate::cli::EveryArgs;
use crate::lease::Uploader;
use crate::metrics::{Figures, serve};
use crate::random;
use crate::save::Saved;
use crate::stop::Stopping;

/// How long after a failure the next try is; each further one twice as late, up to a minute.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_AT_MOST: Duration = Duration::from_secs(60);
/// How long the last snapshot may take: Kubernetes and Docker kill what has not ended after 30 and 10 seconds.
const LAST: Duration = Duration::from_secs(25);

/// Saves until we are asked to stop.
pub async fn every(
    around: &AtHand,
    args: &EveryArgs,
    stopping: &Stopping,
) -> Result<Exit, NotDone> {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let uploader = Uploader::new(host, args.interval + args.interval / 2);
    let told = Monitored::begin(args).await?;
    let mut next = Instant::now();
    let mut other = None;
    let mut again = AGAIN;
    while !stopping.is_asked() {
        let done = round(around, args, &uploader, &mut other, stopping).await;
        if !matches!(done, Err(NotDone::Stopped)) {
            told.tell(around, args, done.is_ok()).await;
        }
        let wait = match done {
            Ok(()) => {
                again = AGAIN;
                args.interval
            }
            Err(NotDone::Stopped) => break,
            Err(NotDone::Failed(error) | NotDone::Refused(error)) => {
                log::error!("no snapshot: {error}");
                // Another one's etcd may answer: the lease is free for its turn.
                let given = uploader.give_back(&around.store);
                if let Ok(Err(error)) = timeout(Duration::from_secs(5), given).await {
                    log::debug!("the lease is not given back: {error}");
                }
                let wait = again.min(args.interval);
                again = (again * 2).min(AGAIN_AT_MOST);
                wait
            }
        };
        // From beginning to beginning; never at once after one that took longer than the interval.
        next = (next + wait).max(Instant::now() + wait / 10) + jitter(wait);
        futures_util::future::select(
            std::pin::pin!(sleep_until(next)),
            std::pin::pin!(stopping.asked()),
        )
        .await;
    }
    if args.on_stop {
        // Raised before the end, so that the upload is aborted, and leaves no parts.
        let late = Stopping::after(LAST - Duration::from_secs(3));
        match timeout(LAST, round(around, args, &uploader, &mut other, &late)).await {
            Ok(Ok(())) => {}
            Ok(Err(NotDone::Failed(error) | NotDone::Refused(error))) => {
                log::error!("no last snapshot: {error}")
            }
            Ok(Err(NotDone::Stopped)) | Err(_) => {
                log::error!("no last snapshot: it took longer than {LAST:?}")
            }
        }
    }
    let given = timeout(Duration::from_secs(3), uploader.give_back(&around.store)).await;
    if let Ok(Err(error)) = given {
        log::warn!("the lease of the uploader stays until it ends: {error}");
    }
    Ok(Exit::OK)
}

/// What monitors are told, in a file or over HTTP.
struct Monitored(watch::Sender<Arc<Figures>>);

impl Monitored {
    /// Begins to answer.
    async fn begin(args: &EveryArgs) -> Result<Monitored, Error> {
        let (sender, receiver) = watch::channel(Arc::default());
        if let Some(address) = &args.metrics_listen {
            let listener = TcpListener::bind(address).await;
            let what = || format!("cannot listen at --metrics-listen={address}");
            tokio::spawn(serve(listener.context(what)?, receiver));
        }
        Ok(Monitored(sender))
    }

    /// After a round.
    async fn tell(&self, around: &AtHand, args: &EveryArgs, well: bool) {
        let file = args.save.metrics.metrics_file.as_ref();
        if file.is_none() && args.metrics_listen.is_none() {
            return;
        }
        let mut figures = Figures::clone(&self.0.borrow());
        figures.renew(&around.store, well).await;
        // The file counts by itself.
        let this = Figures {
            failures: u64::from(!well),
            ..figures.clone()
        };
        if let Some(Err(error)) = file.map(|file| this.write(file)) {
            log::error!("{error}");
        }
        self.0.send_replace(Arc::new(figures));
    }
}

/// One snapshot, if it is ours to save.
async fn round(
    around: &AtHand,
    args: &EveryArgs,
    uploader: &Uploader,
    other: &mut Option<String>,
    stopping: &Stopping,
) -> Result<(), NotDone> {
    let uploads = uploader.take(&around.store).await?;
    if let Some(host) = uploads {
        // Said when it changes.
        if other.as_ref() != Some(&host) {
            log::info!("{host} uploads; this one waits for its turn");
        }
        *other = Some(host);
        return Ok(());
    }
    *other = None;
    let saved = task(around, &args.save, stopping).save().await?;
    log::info!("{}", words(&saved));
    let rules = args.keep.rules();
    if matches!(saved, Saved::New(_)) && rules != Retention::default() {
        // The snapshot is saved, whatever becomes of older ones.
        match judge(around, &rules, false).await {
            Ok((_, kept)) => {
                let removed = kept.iter().filter(|why| why.is_empty()).count();
                log::info!("{removed} snapshots removed, {} left", kept.len() - removed);
            }
            Err(NotDone::Failed(error) | NotDone::Refused(error)) => {
                log::error!("not all is pruned: {error}");
            }
            Err(NotDone::Stopped) => return Err(NotDone::Stopped),
        }
    }
    Ok(())
}

/// Up to a twentieth: many that were started at once do not stay together.
fn jitter(of: Duration) -> Duration {
    let random = u32::from_str_radix(&random::text(), 16).unwrap_or(0);
    of.mul_f64(f64::from(random) / f64::from(u32::MAX) / 20.0)
}
