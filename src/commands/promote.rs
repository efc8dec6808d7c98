//! `promote --accept-loss`: an operator's word in place of evidence. Promotes nothing itself.

use super::{Exit, print};
use crate::config::Config;
use crate::decide::volume::Volume;
use crate::drbd::{Drbd, summary};
use crate::gate::accept_loss;

/// Gives the word for one promotion, or says what it would mean.
pub fn promote(config: &Config, accepted: bool) -> Exit {
    let Some(rover) = &config.rover else {
        eprintln!(
            "etcd-rejoin: REJOIN_DRBD is not set: this member does not rove, there is nothing to promote"
        );
        return Exit::CONFIG;
    };
    let resource = &rover.resource;
    let seen = match Drbd::new(resource, std::env::vars_os()).map(|mut drbd| drbd.look()) {
        Ok(Volume::Up(volume)) => summary(&volume),
        Ok(Volume::Down) => "it is not up".into(),
        Ok(Volume::Unusable(why)) => why,
        Err(error) => error.to_string(),
    };
    let said = print(&format!(
        "DRBD says of {resource}:\n{seen}\n{WHAT_IT_MEANS}\n"
    ));
    if !accepted {
        eprintln!(
            "etcd-rejoin: refused: where this is understood, say `etcd-rejoin promote --accept-loss`"
        );
        return Exit::REFUSED;
    }
    if let Err(error) = accept_loss::give(&rover.gate, resource) {
        eprintln!("etcd-rejoin: {error}");
        return Exit::FAILED;
    }
    let minutes = accept_loss::HOLDS.as_secs() / 60;
    print(&format!(
        "The next promotion of {resource} here needs no evidence. That holds for {minutes} minutes and for one\n\
         promotion, while keepalived wishes this machine to be master and the local disk is UpToDate.\n"
    ));
    said
}

const WHAT_IT_MEANS: &str = "\
What may be lost: every write that was acknowledged while the other machine was Primary and this one was
not connected to it. From here nobody can tell whether there were any: a disk that missed them says
UpToDate too. If the other machine still runs as Primary, both go on by themselves and one of the two
histories has to be thrown away by hand later (split brain).

First try what loses nothing: start the other machine, or bring the replication link back; where it is
gone for good, make sure that it is off and stays off.";
