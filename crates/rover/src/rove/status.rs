//! The volume's part of `status`: what DRBD says now, and what the rover makes of it.

use std::fmt::Write;

use serde_json::{Value, json};

use super::look::policy;
use super::report::{VolumeReport, promotable, volume_words};
use crate::drbd::{self, Drbd};
use crate::mount;
use crate::settings::Rover;
use crate::table::{Mounted, VolumePolicy, VolumeSeen, VolumeState, may_bid};
use etcd_rejoin_host::exit::{Exit, print};

/// The volume as a person asks for it.
#[derive(Debug)]
pub struct VolumeStatus {
    resource: String,
    volume: VolumeState,
    mounted: Mounted,
    rover: Result<VolumeReport, String>,
    policy: VolumePolicy,
}

impl VolumeStatus {
    /// Looks, without changing anything. The gate is the rover's to read: its words are in the report.
    pub fn look(settings: &Rover) -> VolumeStatus {
        let drbd = Drbd::new(&settings.resource, settings.env.iter().cloned());
        let (volume, device) = match drbd {
            Ok(mut drbd) => (drbd.look(), drbd.device().ok()),
            Err(error) => (VolumeState::Unusable(error.to_string()), None),
        };
        let device = device.and_then(|device| mount::device(&device).ok());
        let mounted = mount::look(&settings.mount, device)
            .unwrap_or_else(|error| Mounted::SomethingElse(error.to_string()));
        let rover = VolumeReport::read(&settings.gate);
        VolumeStatus {
            resource: settings.resource.clone(),
            volume,
            mounted,
            rover,
            policy: policy(settings),
        }
    }

    /// Prints it.
    pub fn print(&self, name: &str, json: bool) -> Exit {
        print(&match json {
            true => self.whole_json(name),
            false => self.to_text(),
        })
    }

    /// As JSON, where it is all that can be said of the member of that name.
    pub fn whole_json(&self, name: &str) -> String {
        format!("{:#}\n", json!({"name": name, "volume": self.to_json()}))
    }

    /// Whether the member's data can be seen here. Else what lies below the mount point is not its data.
    pub fn is_here(&self) -> bool {
        match &self.mounted {
            Mounted::Yes | Mounted::ReadOnly => true,
            Mounted::No | Mounted::SomethingElse(_) | Mounted::Elsewhere(_) => false,
        }
    }

    /// Whether a rover runs here, and nothing needs a person.
    pub fn is_well(&self) -> bool {
        self.rover.is_ok() && self.split_brain().is_none()
    }

    /// One line.
    pub fn in_short(&self) -> String {
        let problem = self.split_brain().or(self.rover.as_ref().err().cloned());
        problem.unwrap_or_else(|| {
            let (mounted, promotable) = (self.mounted(), self.promotable());
            format!("the volume is {mounted}; promotable: {promotable}")
        })
    }

    fn mounted(&self) -> String {
        match &self.mounted {
            Mounted::Yes => "mounted here".into(),
            Mounted::ReadOnly => "mounted here, read-only after an error".into(),
            Mounted::No => match &self.rover {
                Ok(rover) if rover.decision == "serve" => {
                    "not mounted here: the rover serves, and has mounts of its own, as in a container".into()
                }
                Ok(_) | Err(_) => "not mounted here".into(),
            },
            Mounted::SomethingElse(what) => format!("not mounted here; in its place: {what}"),
            Mounted::Elsewhere(place) => format!("mounted at {place}, where it does not belong"),
        }
    }

    /// Which evidence allows or forbids that this machine takes the volume.
    fn promotable(&self) -> String {
        match &self.rover {
            Ok(rover) if rover.no_bid.is_empty() => format!("yes, {}", rover.bid),
            Ok(rover) => format!("no, {}", rover.no_bid),
            Err(_) => {
                let seen = VolumeSeen::by_a_stranger(self.volume.clone());
                let words = match may_bid(&self.policy, &seen) {
                    Ok(reason) => format!("yes, {}", promotable(reason)),
                    Err(reason) => format!("no, {reason}: {}", reason.row().when),
                };
                format!("no: no rover runs here. One that starts now: {words}")
            }
        }
    }

    fn split_brain(&self) -> Option<String> {
        match &self.volume {
            VolumeState::Up(resource) => drbd::split_brain(&self.resource, resource),
            VolumeState::Unusable(_) | VolumeState::Down => None,
        }
    }

    /// As text.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, what: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:<11}{what}");
        };
        line(
            "volume",
            &format!("{}: {}", self.resource, volume_words(&self.volume)),
        );
        line("", &self.mounted());
        match &self.rover {
            Ok(rover) => {
                line("gate", &rover.gate);
                line("rover", &rover.decision);
                line("because", &format!("{}: {}", rover.reason, rover.when));
                line("to change", &rover.to_change);
                if !rover.holders.is_empty() {
                    line("held by", &rover.holders.join(", "));
                }
                let met = match rover.met_peer {
                    true => "yes: both disks were UpToDate together since the rover started",
                    false => "no: not since the rover started",
                };
                line("met peer", met);
            }
            Err(why) => line("rover", why),
        }
        line("promotable", &self.promotable());
        for words in self.split_brain().iter().flat_map(|words| words.lines()) {
            line("", words);
        }
        text
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "resource": self.resource,
            "state": volume_words(&self.volume),
            "mounted": self.is_here(),
            "mount": self.mounted(),
            "split_brain": self.split_brain(),
            "promotable": self.promotable(),
            "rover": self.rover.as_ref().ok(),
            "no_rover": self.rover.as_ref().err(),
        })
    }
}
