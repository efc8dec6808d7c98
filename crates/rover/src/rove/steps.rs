//! Takes one step of the volume. Each is idempotent, bounded in time, and safe to be killed in.
//!
//! On the way up, SIGTERM and a wish that has changed end the wait. What was given up may still be done:
//! a mount, which the kernel then shows, or a promotion, which a demotion undoes, as the kernel takes one
//! after the other (`adm_mutex` in drbd_nl.c).

use std::path::{Path, PathBuf};
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::kernel::unwanted;
use super::parts::Rove;
use super::report::Beat;
use super::under_way::KernelAnswer;
use crate::drbd::{DrbdFailure, FailureKind};
use crate::fence::{Means, Turn};
use crate::gate::tokens;
use crate::mount::{self, FileSystem};
use crate::table::{
    Checked, HandlerDecision, Settled, VolumeState, VolumeStep, decide_handler,
    is_recorded_outdated,
};
use etcd_rejoin_host::error::Error;

/// How long DRBD may take to attach a disk and to connect.
const BRING_UP: Duration = Duration::from_secs(30);
/// How long a demotion itself may take; it is tried again.
const DEMOTE: Duration = Duration::from_secs(5);
/// How long the search for who holds the device may take.
const SEARCH: Duration = Duration::from_secs(2);
/// How long a check of the file system may take: a journal replay, not a scan of terabytes.
const CHECK: Duration = Duration::from_secs(600);
/// How long a mount is waited for before anything else is looked at: it may have a log to replay.
const MOUNT: Duration = Duration::from_secs(10);
/// The same of an unmount, with its search for holders, and of a read.
const SHORT: Duration = Duration::from_secs(3);

impl Rove<'_> {
    /// Takes it. The error says what stood in the way; the next look tells what is true.
    pub(super) fn take(&mut self, step: VolumeStep) -> Result<(), Error> {
        match step {
            VolumeStep::BringUp => self.drbd.bring_up(BRING_UP).map_err(said),
            VolumeStep::Thaw => self.thaw(),
            VolumeStep::Promote => self.promote(false),
            VolumeStep::ForcePromote => self.promote(true),
            VolumeStep::CheckFileSystem => self.check_file_system(),
            VolumeStep::Mount => {
                let (device, point) = (self.device()?, self.settings.mount.clone());
                let mount = move || {
                    file_system(&device).and_then(|kind| mount::mount(&device, &point, kind))
                };
                let done = self.in_kernel(step, MOUNT, move || KernelAnswer::Mounted(mount()))?;
                self.done(done)
            }
            VolumeStep::StartChild => self.member.start(),
            VolumeStep::StopChild => {
                self.member.stop();
                Ok(())
            }
            VolumeStep::KillChild => {
                self.member.kill();
                Ok(())
            }
            VolumeStep::Unmount => {
                let device = mount::device(&self.device()?)?;
                let point = self.settings.mount.clone();
                let unmount = move || mount::unmount(&point, device);
                let done =
                    self.in_kernel(step, SHORT, move || KernelAnswer::Unmounted(unmount()))?;
                self.done(done)
            }
            VolumeStep::Demote => {
                if let Err(failure) = self.drbd.demote(DEMOTE) {
                    return Err(self.not_demoted(failure));
                }
                self.memory.known.demote();
                self.memory.demoted = Some(Instant::now());
                self.memory.unsettled = false;
                self.memory.holders.clear();
                Ok(())
            }
            VolumeStep::SelfFence => self_fence(),
        }
    }

    /// A device that is held open: by a mount in another mount namespace, one that `umount -l` has hidden,
    /// or a program that has the device itself open. DRBD 8.4 does not say who.
    fn not_demoted(&mut self, failure: DrbdFailure) -> Error {
        if failure.kind != FailureKind::HeldOpen {
            return said(failure);
        }
        let device = self.device().and_then(|device| mount::device(&device));
        let holders = device.map(|device| mount::holders(device, SEARCH));
        self.memory.holders = holders.unwrap_or_default();
        Error::new(held_open(&failure.to_string(), &self.memory.holders))
    }

    /// Keeps the report fresh while this step is under way, for as long as it may take.
    pub(super) fn beat(&self, step: VolumeStep) -> Option<Beat> {
        let limit = match step {
            VolumeStep::BringUp => BRING_UP,
            VolumeStep::Thaw => self.settings.fence_timeout,
            VolumeStep::Promote | VolumeStep::ForcePromote => self.promotion(),
            VolumeStep::CheckFileSystem => CHECK,
            // These end at once, or are left: then nobody shall think that all is well.
            VolumeStep::Mount
            | VolumeStep::StartChild
            | VolumeStep::StopChild
            | VolumeStep::KillChild
            | VolumeStep::Unmount
            | VolumeStep::Demote
            | VolumeStep::SelfFence => return None,
        };
        let (_, report) = self.reported.as_ref()?;
        Some(Beat::start(report.clone(), &self.settings.gate, limit))
    }

    /// DRBD calls its handler up to four times.
    fn promotion(&self) -> Duration {
        self.settings.fence_timeout * 4 + Duration::from_secs(10)
    }

    /// The handler may ask the peer now: whoever asks is not outdated meanwhile.
    fn promote(&mut self, force: bool) -> Result<(), Error> {
        let shared = self.turn.clone();
        let turn = turn(&shared, self.settings.fence_timeout)?;
        // These the kernel asks no handler about, or not for its consent.
        let volume = self.memory.volume.as_ref().map(|(_, volume)| volume);
        if force || volume.is_some_and(is_recorded_outdated) {
            self.ask_first(force)?;
        }
        if force {
            // In our turn the peer can ask for nothing. What it has asked for since the look, counts.
            if !tokens::is_loss_accepted(&self.settings.gate, &self.settings.resource) {
                return Err(Error::new("the operator's word does not hold any more"));
            }
            // Before it is used: a word that outlives its promotion would be used twice.
            tokens::take_word(&self.settings.gate)?;
        }
        let limit = self.promotion();
        let unwanted = unwanted(self.stop, &mut self.gate);
        let promoted = self.drbd.promote(force, limit, &unwanted);
        drop(unwanted);
        drop(turn);
        let Err(failure) = promoted else {
            self.memory.known.promote();
            self.memory.unsettled = false;
            self.memory.distrusted = false;
            return Ok(());
        };
        // The kernel may still carry it out: it cannot be killed while the handler runs.
        self.memory.unsettled |=
            matches!(failure.kind, FailureKind::TimedOut | FailureKind::GivenUp);
        let again = match force {
            true => {
                "; the operator's word is spent; to try again, say it again: etcd-rejoin two-node promote --accept-loss"
            }
            false => "",
        };
        let words = format!("{failure}{again}");
        match failure.kind {
            FailureKind::GivenUp | FailureKind::Passing => Err(Error::new(words)),
            _ => Err(self.refused(words)),
        }
    }

    /// It is said in the row, too, until the peer is back.
    fn refused(&mut self, words: String) -> Error {
        self.memory.refuse(words.clone());
        Error::new(words)
    }

    /// A peer that goes on is no lost one.
    fn ask_first(&mut self, force: bool) -> Result<(), Error> {
        let asked = match &self.memory.volume {
            Some((_, VolumeState::Up(resource))) => {
                // A connected one is seen.
                let lost = (resource.peers.iter()).any(|peer| peer.is_lost());
                lost || resource.peers.is_empty()
            }
            Some(_) | None => true,
        };
        if !asked {
            return Ok(());
        }
        let settled = self.settled(false, force);
        log::info!("{settled}");
        match settled {
            Settled::Primary | Settled::Busy(_) => Err(self.refused(settled.to_string())),
            Settled::Refused(_) if force => Err(self.refused(settled.to_string())),
            Settled::Outdated | Settled::Fenced | Settled::Refused(_) | Settled::Silent(_) => {
                Ok(())
            }
        }
    }

    /// What DRBD's handler would make of the peer now.
    fn settled(&self, primary: bool, turn_off: bool) -> Settled {
        let peer = (self.settings.fence.as_ref()).zip(self.key.as_ref());
        let command: &[String] = if turn_off {
            &self.settings.fence_command
        } else {
            &[]
        };
        let means = Means {
            peer: peer.map(|(fence, key)| (fence.peer.as_str(), key)),
            machine: &self.machine,
            primary,
            command,
            search: self.drbd.search(),
            timeout: self.settings.fence_timeout,
        };
        means.settle(&self.settings.resource)
    }

    /// The frozen writes are acknowledged then: only where the kernel's handler would let them go on now.
    fn thaw(&mut self) -> Result<(), Error> {
        let own = match &self.memory.volume {
            Some((_, VolumeState::Up(resource))) => resource.clone(),
            Some(_) | None => return Err(Error::new("what DRBD says is not known")),
        };
        // A handler that can turn the other machine off takes no silence for its death.
        let can_turn_off = !self.settings.fence_command.is_empty()
            || self.drbd.handler_turns_off().map_err(said)?;
        let shared = self.turn.clone();
        let turn = turn(&shared, self.settings.fence_timeout)?;
        let settled = self.settled(true, true);
        drop(turn);
        match decide_handler(&own, can_turn_off, Some(&settled), false) {
            HandlerDecision::End(4 | 5 | 7) => log::info!("{settled}"),
            HandlerDecision::End(_)
            | HandlerDecision::Settle
            | HandlerDecision::AskAgain
            | HandlerDecision::Unproven => return Err(self.refused(settled.to_string())),
        }
        match self.drbd.admin("resume-io", &[], DEMOTE, &|| false) {
            Ok(_) => {
                self.ahead.store(true, Ordering::SeqCst);
                Ok(())
            }
            Err(failure) => Err(self.refused(failure.to_string())),
        }
    }

    fn check_file_system(&mut self) -> Result<(), Error> {
        let device = self.device()?;
        let of = device.clone();
        let read = move || {
            let kind = file_system(&of)?;
            // A check that was given up and has not died: a second one would take that for a damage.
            mount::unclaimed(&of)?;
            Ok((kind, mount::says_clean(&of, kind)))
        };
        let done = self.in_kernel(VolumeStep::CheckFileSystem, SHORT, move || {
            KernelAnswer::Read(read())
        })?;
        let (kind, clean) = match done {
            KernelAnswer::Read(read) => read?,
            done @ (KernelAnswer::Mounted(_) | KernelAnswer::Unmounted(_)) => {
                return self.done(done);
            }
        };
        if clean && !self.memory.distrusted {
            self.memory.known.checked = Checked::Clean;
            return Ok(());
        }
        let unwanted = unwanted(self.stop, &mut self.gate);
        let (checked, words) =
            mount::check(&device, kind, true, self.drbd.search(), CHECK, &unwanted)
                .map_err(|why| Error::new(format!("e2fsck {why}")))?;
        if checked == Checked::Broken {
            log::error!("the file system needs a person: {words}");
        }
        self.memory.known.checked = checked;
        Ok(())
    }

    fn device(&mut self) -> Result<PathBuf, Error> {
        match &self.device {
            Some(device) => Ok(device.clone()),
            None => self.drbd.device().map_err(said),
        }
    }
}

fn file_system(device: &Path) -> Result<FileSystem, Error> {
    mount::file_system(device)?.ok_or_else(|| {
        let shown = device.display();
        Error::new(format!(
            "{shown} holds neither ext4 nor XFS: `etcd-rejoin two-node init` makes a file system, once"
        ))
    })
}

/// Ours, for as long as it is held.
fn turn(turn: &Turn, patience: Duration) -> Result<MutexGuard<'_, ()>, Error> {
    let asked = || Error::new("the peer is asking us to be outdated at this moment");
    turn.take(Instant::now() + patience).ok_or_else(asked)
}

fn held_open(failure: &str, holders: &[String]) -> String {
    match holders.is_empty() {
        true => format!(
            "{failure}; nobody is seen who holds it: perhaps a mount that `umount -l` has hidden, or a \
             process outside of this container"
        ),
        false => format!("{failure}; it is held by {}", holders.join("; ")),
    }
}

fn said(failure: DrbdFailure) -> Error {
    Error::new(failure.to_string())
}

/// Reboots this machine at once, without a sync: nothing that is still to be written may be.
fn self_fence() -> Result<(), Error> {
    log::error!(
        "reboots this machine: REJOIN_SELF_FENCE=reboot, and the volume could not be let go"
    );
    log::logger().flush();
    // In a container without the right to reboot, the trigger may still be there.
    let trigger = std::fs::write("/proc/sysrq-trigger", "b");
    let reboot = rustix::system::reboot(rustix::system::RebootCommand::Restart);
    Err(Error::new(format!(
        "cannot reboot this machine: /proc/sysrq-trigger: {}; reboot: {}",
        trigger
            .err()
            .map_or("no effect".into(), |error| error.to_string()),
        reboot
            .err()
            .map_or("no effect".into(), |error| error.to_string())
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_held_open_names_who_holds_it() {
        let failure = "drbdadm secondary: (-12) Device is held open by someone";
        let holders = [
            "7 (tail): has /dev/drbd0 open".into(),
            "8 (sh): works in it".into(),
        ];
        let said = held_open(failure, &holders);
        assert!(
            said.starts_with(failure) && said.contains("7 (tail): has /dev/drbd0 open; 8 (sh)")
        );
        assert!(held_open(failure, &[]).contains("umount -l"));
    }
}
