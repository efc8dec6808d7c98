//! keepalived's notify script.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::gate::{self, GateEvent, Stamp};
use etcd_rejoin_host::error::Error;
use etcd_rejoin_host::exit::Exit;
use etcd_rejoin_host::kmsg;

/// Notes what keepalived says. Quiet where all is well: it is nobody's terminal.
pub fn note(path: Option<PathBuf>, instance: Option<&str>, words: &[OsString]) -> Exit {
    let Some(path) = path.filter(|path| !path.as_os_str().is_empty()) else {
        kmsg::tell(
            "notify: no gate file is named: in keepalived.conf write `notify \"/usr/bin/etcd-rejoin notify \
             --gate PATH\"` with the rover's REJOIN_GATE, or set REJOIN_GATE in keepalived's environment",
        );
        return Exit::USAGE;
    };
    let event = match GateEvent::parse(words) {
        Ok(event) => event,
        Err(why) => {
            kmsg::tell(&format!("notify: {why}"));
            return Exit::USAGE;
        }
    };
    if let (Some(wanted), GateEvent::State { name, .. }) = (instance, &event)
        && name != wanted
    {
        return Exit::OK;
    }
    match Stamp::own().and_then(|stamp| gate::notify(&path, &event, stamp)) {
        Ok(_) => Exit::OK,
        Err(error) => failed(&event, &error),
    }
}

/// The gate still says what was wished before: somebody has to know.
fn failed(event: &GateEvent, error: &Error) -> Exit {
    let lost = match event {
        GateEvent::State { gate, name } => format!("{gate:?} of {name} is lost"),
        GateEvent::NoChange => "nothing is lost".into(),
    };
    kmsg::tell(&format!("notify: {error}: {lost}"));
    Exit::FAILED
}
