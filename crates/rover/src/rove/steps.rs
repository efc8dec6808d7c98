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
use crate::fence::{Answer, Asked, Means, Request, Turn, ask};
use crate::gate::accept_loss;
use crate::mount::{self, FileSystem};
use crate::table::{AcceptLoss, Checked, PeerFate, VolumeStep};
use etcd_rejoin_host::error::Error;

/// How long the peer may take to say whether it holds what we lack. It does nothing for it.
const ASK: Duration = Duration::from_secs(3);
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
            VolumeStep::AskPeer => {
                self.ask_peer();
                Ok(())
            }
            VolumeStep::FencePeer => self.fence_peer(),
            VolumeStep::Thaw => self.thaw(),
            VolumeStep::Promote => {
                // The handler may ask the peer now: whoever asks is not outdated meanwhile.
                let turn = turn(&self.turn, self.settings.fence_timeout)?;
                let limit = self.promotion();
                let unwanted = unwanted(self.stop, &mut self.gate);
                let promoted = self.drbd.promote(limit, &unwanted);
                drop(unwanted);
                drop(turn);
                self.promoted(promoted)
            }
            VolumeStep::ForcePromote => {
                let turn = turn(&self.turn, self.settings.fence_timeout)?;
                // In our turn the peer can ask for nothing. What it has asked for since the look, counts.
                if self.accept_loss() != AcceptLoss::Yes {
                    return Err(Error::new("the operator's word does not hold any more"));
                }
                // Before it is used: a word that outlives its promotion would be used twice.
                accept_loss::consume(&self.settings.gate)?;
                let limit = self.promotion();
                let unwanted = unwanted(self.stop, &mut self.gate);
                let promoted = self.drbd.admin("primary", &["--force"], limit, &unwanted);
                drop(unwanted);
                drop(turn);
                self.promoted(promoted.map(drop)).map_err(|why| {
                    let again = "the operator's word is spent; to try again, say it again";
                    Error::new(format!(
                        "{why}; {again}: etcd-rejoin two-node promote --accept-loss"
                    ))
                })
            }
            VolumeStep::DropWord => accept_loss::consume(&self.settings.gate),
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
            VolumeStep::AskPeer | VolumeStep::FencePeer | VolumeStep::Thaw => {
                self.settings.fence_timeout
            }
            VolumeStep::Promote | VolumeStep::ForcePromote => self.promotion(),
            VolumeStep::CheckFileSystem => CHECK,
            // These end at once, or are left: then nobody shall think that all is well.
            VolumeStep::DropWord
            | VolumeStep::Mount
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

    fn promoted(&mut self, promoted: Result<(), DrbdFailure>) -> Result<(), Error> {
        match promoted {
            Ok(()) => {
                self.memory.known.promote();
                self.memory.unsettled = false;
                self.memory.distrusted = false;
                Ok(())
            }
            Err(failure) => {
                self.memory.unsettled |= is_unsettled(failure.kind);
                self.vain(failure.kind);
                self.memory.known.refuse();
                self.shared.settled.store(false, Ordering::SeqCst);
                Err(said(failure))
            }
        }
    }

    /// DRBD has refused this. What passes by itself is no refusal.
    fn vain(&mut self, kind: FailureKind) {
        let passes = matches!(kind, FailureKind::GivenUp | FailureKind::Passing);
        if self.memory.known.fate == PeerFate::Fenced && !passes {
            self.memory.in_vain = Some(Instant::now());
        }
    }

    /// The frozen writes are acknowledged then: only once the peer can no longer go on without us.
    fn thaw(&mut self) -> Result<(), Error> {
        self.fence_peer()?;
        match self.memory.known.fate {
            PeerFate::Outdated | PeerFate::Fenced => {
                let resumed = self.drbd.admin("resume-io", &[], DEMOTE, &|| false);
                match &resumed {
                    Ok(_) => self.shared.ahead.store(true, Ordering::SeqCst),
                    Err(failure) => self.vain(failure.kind),
                }
                resumed.map(drop).map_err(said)
            }
            // Said already, and asked again later.
            PeerFate::Unknown | PeerFate::Alive | PeerFate::Silent => Ok(()),
        }
    }

    /// A rover of before this question takes it for none, and counts as silent.
    fn ask_peer(&mut self) {
        let asked = (self.settings.fence.as_ref()).zip(self.key.as_ref());
        let asked = asked.map(|(fence, key)| {
            let request = Request::Without(self.settings.resource.clone());
            let deadline = Instant::now() + self.settings.fence_timeout.min(ASK);
            ask(&fence.peer, key, &self.machine, &request, deadline)
        });
        let (fate, words) = match asked {
            Some(Asked::Heard(Answer::Primary)) => (PeerFate::Alive, "it is Primary".into()),
            Some(Asked::Heard(Answer::Busy(why))) => (PeerFate::Alive, why),
            Some(Asked::Heard(_)) => (
                PeerFate::Silent,
                "it has nothing that this disk lacks".into(),
            ),
            Some(Asked::Silent(why)) => (PeerFate::Silent, why),
            None => (
                PeerFate::Silent,
                "there is no REJOIN_FENCE_PEER to ask".into(),
            ),
        };
        self.memory.known.fate = fate;
        self.memory.fate_at = Instant::now();
        match fate {
            PeerFate::Alive if self.said.news => {
                log::warn!("the peer is recorded as outdated, but says: {words}")
            }
            _ => log::debug!("the peer was asked: {words}"),
        }
    }

    fn fence_peer(&mut self) -> Result<(), Error> {
        let turn = turn(&self.turn, self.settings.fence_timeout)?;
        let peer = (self.settings.fence.as_ref()).zip(self.key.as_ref());
        let means = Means {
            peer: peer.map(|(fence, key)| (fence.peer.as_str(), key)),
            machine: &self.machine,
            command: &self.settings.fence_command,
            search: self.drbd.search(),
            timeout: self.settings.fence_timeout,
        };
        let settled = means.settle(&self.settings.resource);
        self.memory.known.fate = settled.fate();
        self.memory.fate_at = Instant::now();
        let harmless = match self.memory.known.fate {
            PeerFate::Outdated | PeerFate::Fenced => true,
            PeerFate::Unknown | PeerFate::Alive | PeerFate::Silent => false,
        };
        // From here on a request to outdate ourselves is refused: the peer has lost its turn.
        self.shared.settled.store(harmless, Ordering::SeqCst);
        drop(turn);
        match harmless {
            true => log::info!("{settled}"),
            false if self.said.news => log::warn!("{settled}"),
            false => log::debug!("{settled}"),
        }
        Ok(())
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

/// Whether the kernel may still carry it out: it cannot be killed while the handler runs.
fn is_unsettled(kind: FailureKind) -> bool {
    match kind {
        FailureKind::TimedOut | FailureKind::GivenUp => true,
        FailureKind::TwoPrimaries
        | FailureKind::NoUpToDateDisk
        | FailureKind::NoLocalDisk
        | FailureKind::PeerNotOutdated
        | FailureKind::HeldOpen
        | FailureKind::NoQuorum
        | FailureKind::Passing
        | FailureKind::Primary
        | FailureKind::LessThanOutdated
        | FailureKind::NotRecorded
        | FailureKind::NotConfigured
        | FailureKind::BadConfiguration
        | FailureKind::NotUp
        | FailureKind::NoMetadata
        | FailureKind::BackingDisk
        | FailureKind::NoModule
        | FailureKind::NoTool
        | FailureKind::Other => false,
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
