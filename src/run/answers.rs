//! Answers the entrypoints of the other members, while no etcd runs here.

use crate::assembly::Server;
use crate::decide::{Happened, Memory};
use crate::observe::Look;
use etcd_rejoin_host::exit::Exit;

use super::due::{Due, stopped};

/// Nobody is answered at first.
#[derive(Default)]
pub(super) struct Answers(Option<Server>);

impl Answers {
    pub(super) fn server(&self) -> Option<&Server> {
        self.0.as_ref()
    }

    /// Answers from now on with what was seen last, unless this member keeps to itself. Whether it answers.
    pub(super) fn serve(
        &mut self,
        look: &Look,
        due: &Due,
        memory: &mut Memory,
    ) -> Result<bool, Exit> {
        if !look.seen.tells_the_others() {
            return Ok(self.0.is_some());
        }
        let report = due.observer.report(&look.seen);
        if let Some(server) = &self.0 {
            server.update(&report);
            return Ok(true);
        }
        match Server::start(due.config, &report, due.stop) {
            Ok(server) => self.0 = Some(server),
            Err(error) => {
                if let Some(signal) = due.stop.raised() {
                    return Err(stopped(signal));
                }
                log::error!("{error}; nothing was changed");
                return Err(Exit::FAILED);
            }
        }
        *memory = std::mem::take(memory).after(Happened::Listens, due.observer.now());
        Ok(true)
    }

    /// The port must be free for etcd.
    pub(super) fn end(&mut self) {
        self.0 = None;
    }
}
