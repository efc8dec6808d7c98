//! What DRBD says of this very machine, for the handler that has nobody else to ask.

use std::time::Instant;

use super::command::run;

/// The lines of `drbdsetup events2 --now` about a resource. 8.4 and 9 both know that form.
pub fn events(resource: &str, deadline: Instant) -> Result<Vec<String>, String> {
    let words = ["drbdsetup", "events2", "--now"].map(String::from);
    let ran = run(&words, &[], deadline);
    let said = super::one_line(&ran.said, 200);
    match ran.code {
        Ok(0) => Ok((ran.said.lines())
            .filter(|line| field(line, "name") == Some(resource))
            .map(String::from)
            .collect()),
        Ok(code) => Err(format!("drbdsetup events2 --now ended with {code}: {said}")),
        Err(why) => Err(format!("drbdsetup events2 --now: {why}")),
    }
}

/// Whether this machine is Primary. The error says why that is not known.
pub fn is_primary(resource: &str, deadline: Instant) -> Result<bool, String> {
    let lines = events(resource, deadline)?;
    let own = lines
        .iter()
        .find(|line| line.starts_with("exists resource "));
    let role = own.and_then(|line| field(line, "role"));
    match role {
        Some("Primary") => Ok(true),
        Some(_) => Ok(false),
        None => Err(format!("DRBD knows no resource {resource}")),
    }
}

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let mut words = line.split_whitespace();
    words.find_map(|word| word.strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let line = "exists connection name:etcd peer-node-id:0 conn-name:peer role:Unknown";
        assert_eq!(field(line, "name"), Some("etcd"));
        assert_eq!(field(line, "role"), Some("Unknown"));
        assert_eq!(field(line, "id"), None);
    }
}
