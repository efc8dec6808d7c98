//! `two-node promote --accept-loss`: an operator's word in place of evidence. Promotes nothing itself.

use crate::drbd::{Drbd, summary};
use crate::gate::tokens;
use crate::rove::VolumeReport;
use crate::settings::Rover;
use crate::table::{Connection, Disk, PeerVolume, Resource, VolumeSeen, VolumeState, Word, word};
use etcd_rejoin_host::exit::{Exit, print};

/// Gives the word for one promotion, or says what it would mean. Where it would change nothing it is not
/// given: it would lie in wait for the next failure.
pub fn promote(rover: &Rover, accepted: bool) -> Exit {
    let resource = &rover.resource;
    let volume = match Drbd::new(resource, rover.env.iter().cloned()) {
        Ok(mut drbd) => drbd.look(),
        Err(error) => VolumeState::Unusable(error.to_string()),
    };
    let seen = match &volume {
        VolumeState::Up(volume) => summary(volume),
        VolumeState::Down => "it is not up".into(),
        VolumeState::Unusable(why) => why.clone(),
    };
    let text = format!("DRBD says of {resource}:\n{seen}\n");
    let means = match means(rover, volume) {
        Ok(means) => means,
        Err(why) => {
            print(&text);
            eprintln!("etcd-rejoin: refused: {why}");
            return Exit::REFUSED;
        }
    };
    let said = print(&format!("{text}\n{means}\n{}\n", then(rover)));
    if !accepted {
        eprintln!(
            "etcd-rejoin: refused: where this is understood, say `etcd-rejoin two-node promote --accept-loss`"
        );
        return Exit::REFUSED;
    }
    if let Err(error) = tokens::accept_loss(&rover.gate, resource) {
        eprintln!("etcd-rejoin: {error}");
        return Exit::FAILED;
    }
    let minutes = tokens::HOLDS.as_secs() / 60;
    print(&format!(
        "The next promotion of {resource} here needs no evidence. That holds for {minutes} minutes and for one\n\
         promotion, while keepalived wishes this machine to be master.\n"
    ));
    said
}

/// What may be lost, as the volume is now; the error says why the word would change nothing.
fn means(rover: &Rover, volume: VolumeState) -> Result<String, String> {
    let mut seen = VolumeSeen::by_a_stranger(volume);
    seen.met_peer = VolumeReport::read(&rover.gate).is_ok_and(|report| report.met_peer);
    let resource = match &seen.volume {
        VolumeState::Up(resource) => resource,
        // Whatever it turns out to be.
        VolumeState::Down | VolumeState::Unusable(_) => return Ok(format!("{LOST}\n\n{FIRST}\n")),
    };
    let row = match word(&seen, resource) {
        Word::Primary => {
            return Err("it is Primary here already: there is nothing to promote".into());
        }
        Word::NotNeeded(reason) => {
            let when = reason.row().when;
            return Err(format!(
                "it needs no word: it is promoted here once keepalived makes this machine master \
                 ({reason}: {when})"
            ));
        }
        Word::Useless(reason) => {
            let row = reason.row();
            return Err(format!(
                "no word changes this ({reason}: {}); to go on: {}",
                row.when, row.cure
            ));
        }
        Word::Forces(reason) => reason.row(),
    };
    Ok(format!(
        "Without evidence it is not promoted here ({}: {}).\n{LOST}\n{}\n\n{FIRST}\n",
        row.name,
        row.when,
        here(resource)
    ))
}

/// What the disk here is known to be.
fn here(resource: &Resource) -> String {
    let mut text = String::from(match resource.disk {
        Disk::Outdated => {
            "The disk here is Outdated: DRBD knows that it lacks writes. They are lost for certain, unless the\n\
             other machine comes back and its side is chosen then."
        }
        Disk::Consistent => {
            "The disk here is Consistent: it has not heard since it was attached whether the other machine\n\
             went on. By force it counts as the newest."
        }
        Disk::UpToDate | Disk::Unknown | Disk::Diskless | Disk::Changing | Disk::Inconsistent => {
            "The disk here says UpToDate. From here nobody can tell whether it is: a disk that missed writes\n\
             says so too."
        }
    });
    let given_up = |peer: &PeerVolume| match peer.connection {
        Connection::StandAlone => true,
        Connection::Connecting | Connection::Connected => false,
    };
    if resource.peers.is_empty() || resource.peers.iter().any(given_up) {
        text += "\nThe connection is given up (StandAlone), and stays so: nothing replicates until one side is thrown\n\
                 away by hand.";
    }
    text
}

/// What the rover does with the word.
fn then(rover: &Rover) -> String {
    let asks = match rover.can_fence() {
        true => {
            "A machine that is not connected is first asked to outdate itself, or turned off by the fence\n\
             command; where it answers that it goes on, nothing is promoted here.\n"
        }
        false => "",
    };
    format!(
        "What is done: `drbdadm primary --force`, on an UpToDate, Consistent or Outdated disk. Not while the other\n\
         machine is seen as Primary, nor on half a resync.\n{asks}"
    )
}

const LOST: &str = "\
What may be lost: every write that was acknowledged while the other machine was Primary and this one was
not connected to it. If the other machine still runs as Primary, both go on by themselves and one of the
two histories has to be thrown away by hand later (split brain).";

const FIRST: &str = "\
First try what loses nothing: start the other machine, or bring the replication link back; where it is
gone for good, make sure that it is off and stays off.";
