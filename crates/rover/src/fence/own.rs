//! What this very machine is: the handler has nobody else to ask.

use std::ffi::OsStr;
use std::time::Instant;

use crate::drbd;
use crate::table::{Resource, Role};
use etcd_rejoin_host::program;
use etcd_rejoin_host::text::one_line;

/// Asks the kernel. The error says why that is not known.
///
/// A Primary is asked one question only: its writes stand still meanwhile.
pub fn own(resource: &str, search: &OsStr, deadline: Instant) -> Result<Resource, String> {
    let said = ask(&["events2", "--now"], search, deadline)?;
    let Some(state) = drbd::parse::events(&said, resource)? else {
        return Err(format!("DRBD knows no resource {resource}"));
    };
    let settings = match state.role {
        Role::Primary => drbd::DEFAULTS,
        Role::Secondary | Role::Unknown => {
            drbd::parse::settings(&ask(&["show", resource], search, deadline)?, resource)?
        }
    };
    Ok(drbd::resource(state, settings))
}

fn ask(words: &[&str], search: &OsStr, deadline: Instant) -> Result<String, String> {
    let left = deadline.saturating_duration_since(Instant::now());
    let ran = program::find("drbdsetup", search).and_then(|tool| {
        let mut command = program::command(&tool, search);
        program::run_or_kill(command.args(words), left, &|| false)
    });
    let ran = ran.map_err(|why| format!("drbdsetup {why}"))?;
    match ran.code {
        0 => Ok(ran.out),
        code => {
            let said = one_line(&format!("{} {}", ran.out, ran.err), 200);
            Err(format!("drbdsetup {} ended with {code}: {said}", words[0]))
        }
    }
}
