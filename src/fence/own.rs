//! Whether this very machine is Primary: the handler has nobody else to ask.

use std::time::Instant;

use crate::decide::volume::Role;
use crate::{drbd, program};

/// Asks the kernel. The error says why that is not known.
///
/// One question only: while the kernel waits for its handler, other ones may wait for the kernel.
pub fn is_primary(resource: &str, deadline: Instant) -> Result<bool, String> {
    let search = program::search_path(std::env::var_os("PATH").as_deref());
    let left = deadline.saturating_duration_since(Instant::now());
    let ran = program::find("drbdsetup", &search).and_then(|tool| {
        let mut command = program::command(&tool, &search);
        program::run_or_kill(command.args(["events2", "--now"]), left)
    });
    let ran = ran.map_err(|why| format!("drbdsetup {why}"))?;
    if ran.code != 0 {
        let said = super::one_line(&format!("{} {}", ran.out, ran.err), 200);
        return Err(format!("drbdsetup events2 ended with {}: {said}", ran.code));
    }
    match drbd::parse::events(&ran.out, resource)? {
        Some(state) => Ok(match state.role {
            Role::Primary => true,
            Role::Secondary | Role::Unknown => false,
        }),
        None => Err(format!("DRBD knows no resource {resource}")),
    }
}
