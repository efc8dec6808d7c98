//! SIGTERM and SIGINT, for work that ends in order: an upload is aborted, a lease given back.

use etcd_rejoin_host::error::{Context, Error};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Raised by SIGTERM or SIGINT.
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Installs the handlers. For a task inside a runtime.
    pub fn install() -> Result<Stopping, Error> {
        let what = || "cannot handle signals".into();
        let mut term = signal(SignalKind::terminate()).context(what)?;
        let mut int = signal(SignalKind::interrupt()).context(what)?;
        let (raise, raised) = watch::channel(false);
        tokio::spawn(async move {
            let (term, int) = (std::pin::pin!(term.recv()), std::pin::pin!(int.recv()));
            futures_util::future::select(term, int).await;
            // Nobody listens any more: all is done.
            let _ = raise.send(true);
            std::future::pending::<()>().await;
        });
        Ok(Stopping(raised))
    }

    /// Nobody asks.
    pub fn never() -> Stopping {
        let (raise, raised) = watch::channel(false);
        std::mem::forget(raise);
        Stopping(raised)
    }

    /// Raised after so long. For a task inside a runtime.
    pub fn after(limit: std::time::Duration) -> Stopping {
        let (raise, raised) = watch::channel(false);
        tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            // Nobody listens any more: all is done.
            let _ = raise.send(true);
        });
        Stopping(raised)
    }

    /// Whether we were asked to stop.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once we are asked to stop.
    pub async fn asked(&self) {
        let mut raised = self.0.clone();
        if raised.wait_for(|raised| *raised).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
