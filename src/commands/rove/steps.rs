//! Takes one step of the volume. Each is idempotent, bounded in time, and safe to be killed in.

use std::path::PathBuf;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Rove;
use super::report::Beat;
use crate::decide::volume::{Checked, PeerFate, VolumeStep};
use crate::drbd::{Failure, Kind};
use crate::error::Error;
use crate::fence::{Means, Turn, settle};
use crate::gate::accept_loss;
use crate::mount::{self, FileSystem, UnmountError};

/// How long DRBD may take to attach a disk and to connect.
const BRING_UP: Duration = Duration::from_secs(30);
/// How long a demotion itself may take; it is tried again.
const DEMOTE: Duration = Duration::from_secs(5);
/// How long the search for who holds the device may take.
const SEARCH: Duration = Duration::from_secs(2);
/// How long a check of the file system may take: a journal replay, not a scan of terabytes.
const CHECK: Duration = Duration::from_secs(600);

impl Rove<'_> {
    /// Takes it. The error says what stood in the way; the next look tells what is true.
    pub(super) fn take(&mut self, step: VolumeStep) -> Result<(), Error> {
        match step {
            VolumeStep::BringUp => self.drbd.bring_up(BRING_UP).map_err(said),
            VolumeStep::FencePeer => self.fence_peer(),
            VolumeStep::Thaw => self.thaw(),
            VolumeStep::Promote => {
                // The handler may ask the peer now: whoever asks is not outdated meanwhile.
                let turn = turn(&self.turn, self.settings.fence_timeout)?;
                let promoted = self.drbd.promote(self.promotion(), &|| false);
                drop(turn);
                self.promoted(promoted)
            }
            VolumeStep::ForcePromote => {
                // Before it is used: a word that outlives its promotion would be used twice.
                accept_loss::consume(&self.settings.gate)?;
                let promoted = self
                    .drbd
                    .admin("primary", &["--force"], self.promotion(), &|| false);
                self.promoted(promoted.map(drop)).map_err(|why| {
                    let again = "the operator's word is spent; to try again, say it again";
                    Error::new(format!("{why}; {again}: etcd-rejoin promote --accept-loss"))
                })
            }
            VolumeStep::CheckFileSystem => {
                let (device, kind) = self.file_system()?;
                let (checked, words) = mount::check(
                    &device,
                    kind,
                    self.memory.distrusted,
                    self.drbd.search(),
                    CHECK,
                    &|| false,
                )
                .map_err(|why| Error::new(format!("e2fsck {why}")))?;
                if checked == Checked::Broken {
                    log::error!("the file system needs a person: {words}");
                }
                self.memory.known.checked = checked;
                Ok(())
            }
            VolumeStep::Mount => {
                let (device, kind) = self.file_system()?;
                let mounted = mount::mount(&device, &self.settings.mount, kind);
                if mounted.is_err() {
                    // The superblock may look better than what lies behind it.
                    self.memory.distrusted = true;
                    self.memory.known.checked = Checked::No;
                }
                mounted
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
                let unmounted = mount::unmount(&self.settings.mount, device);
                self.memory.holders = match &unmounted {
                    Err(UnmountError::Busy(holders)) => holders.clone(),
                    Ok(()) | Err(UnmountError::Failed(_)) => Vec::new(),
                };
                unmounted.map_err(|why| {
                    let shown = self.settings.mount.display();
                    Error::new(format!("cannot unmount {shown}: {why}"))
                })
            }
            VolumeStep::Demote => {
                if let Err(failure) = self.drbd.demote(DEMOTE) {
                    return Err(self.not_demoted(failure));
                }
                self.memory.known.demote();
                self.memory.holders.clear();
                Ok(())
            }
            VolumeStep::SelfFence => self_fence(),
        }
    }

    /// A device that is held open: by a mount in another mount namespace, one that `umount -l` has hidden,
    /// or a program that has the device itself open. DRBD 8.4 does not say who.
    fn not_demoted(&mut self, failure: Failure) -> Error {
        if failure.kind != Kind::HeldOpen {
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
            VolumeStep::FencePeer | VolumeStep::Thaw => self.settings.fence_timeout,
            VolumeStep::Promote | VolumeStep::ForcePromote => self.promotion(),
            VolumeStep::CheckFileSystem => CHECK,
            // These end at once, or hang: then nobody shall think that all is well.
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

    fn promoted(&mut self, promoted: Result<(), Failure>) -> Result<(), Error> {
        match promoted {
            Ok(()) => {
                self.memory.known.promote();
                self.memory.distrusted = false;
                Ok(())
            }
            Err(failure) => {
                self.memory.known.refuse();
                self.settled.store(false, Ordering::SeqCst);
                Err(said(failure))
            }
        }
    }

    /// The frozen writes are acknowledged then: only once the peer can no longer go on without us.
    fn thaw(&mut self) -> Result<(), Error> {
        self.fence_peer()?;
        match self.memory.known.fate {
            PeerFate::Outdated | PeerFate::Fenced => {
                let resumed = self.drbd.admin("resume-io", &[], DEMOTE, &|| false);
                resumed.map(drop).map_err(said)
            }
            // Said already, and asked again later.
            PeerFate::Unknown | PeerFate::Alive | PeerFate::Silent => Ok(()),
        }
    }

    fn fence_peer(&mut self) -> Result<(), Error> {
        let turn = turn(&self.turn, self.settings.fence_timeout)?;
        let peer = (self.settings.fence.as_ref()).zip(self.key.as_ref());
        let means = Means {
            peer: peer.map(|(fence, key)| (fence.peer.as_str(), key)),
            machine: &self.machine,
            command: &self.settings.fence_command,
            timeout: self.settings.fence_timeout,
        };
        let settled = settle(&means, &self.settings.resource);
        self.memory.known.fate = settled.fate();
        self.memory.fate_at = Instant::now();
        let harmless = match self.memory.known.fate {
            PeerFate::Outdated | PeerFate::Fenced => true,
            PeerFate::Unknown | PeerFate::Alive | PeerFate::Silent => false,
        };
        // From here on a request to outdate ourselves is refused: the peer has lost its turn.
        self.settled.store(harmless, Ordering::SeqCst);
        drop(turn);
        match harmless {
            true => log::info!("{settled}"),
            false if self.said.news => log::warn!("{settled}"),
            false => log::debug!("{settled}"),
        }
        Ok(())
    }

    fn file_system(&mut self) -> Result<(PathBuf, FileSystem), Error> {
        let device = self.device()?;
        match mount::file_system(&device)? {
            Some(kind) => Ok((device, kind)),
            None => Err(Error::new(format!(
                "{} holds neither ext4 nor XFS: `etcd-rejoin volume init` makes a file system, once",
                device.display()
            ))),
        }
    }

    fn device(&mut self) -> Result<PathBuf, Error> {
        match &self.device {
            Some(device) => Ok(device.clone()),
            None => self.drbd.device().map_err(said),
        }
    }
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

fn said(failure: Failure) -> Error {
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
