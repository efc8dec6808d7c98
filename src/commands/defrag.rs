//! Defragments the members one after the other, followers first, the leader last. Clears NOSPACE where that has proved
//! room, and CORRUPT never.

use std::time::{Duration, Instant};

use super::Exit;
use super::members::{Enrolled, HELD, Roll};
use crate::config::Config;
use crate::decide::HELD_BY;
use crate::membership::MemberId;
use crate::signals::Stop;

/// etcd writes its database anew meanwhile, and answers nobody: about a second for 100 MB on a fast disk.
const DEFRAGMENTS: Duration = Duration::from_secs(1800);
/// So long a member has to be healthy again.
const RECOVERS: Duration = Duration::from_secs(60);
/// What gains less than a tenth is skipped.
const WORTH: u64 = 10;
/// Of ten parts of the quota so many may be used where NOSPACE is cleared: else it would be back at once.
const ROOM: u64 = 8;
/// etcd's own default. Source: etcd `server/storage/quota.go`, `DefaultQuotaBytes`.
const QUOTA: u64 = 2 << 30;

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub struct DefragWanted {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Forget all old revisions first: without that there may be nothing to gain.
    pub compact: bool,
}

/// Defragments, and says what it does.
pub fn defrag(config: &Config, wanted: DefragWanted, stop: &Stop) -> Exit {
    match done(config, wanted, stop) {
        Ok(exit) => exit,
        Err(why) => {
            eprintln!("etcd-rejoin: {why}");
            Exit::FAILED
        }
    }
}

fn done(config: &Config, wanted: DefragWanted, stop: &Stop) -> Result<Exit, String> {
    let mut roll = healthy(config)?;
    if wanted.compact {
        let latest = roll.members.iter().filter_map(Enrolled::status);
        let latest = latest
            .map(|status| status.revision)
            .max()
            .unwrap_or_default();
        match wanted.dry_run {
            true => println!("would compact up to revision {latest}"),
            false => {
                let deadline = Instant::now() + DEFRAGMENTS;
                let (_, url) = first(&roll)?;
                let compacted = roll.clients.compact(url, latest, deadline);
                match compacted {
                    Err(failure) if failure.is_compacted() => {}
                    compacted => compacted.map_err(|failure| failure.to_string())?,
                }
                println!("compacted up to revision {latest}");
                roll = compacted_everywhere(config, stop)?;
            }
        }
    }
    // Each once; the order is looked at anew, as the leader may change meanwhile.
    let mut done = Vec::new();
    while let Some(id) = order(&roll).into_iter().find(|id| !done.contains(id)) {
        done.push(id);
        if let Some(signal) = stop.raised() {
            return Ok(Exit::signal(signal));
        }
        let Some(one) = roll.members.iter().find(|one| one.member.id == id) else {
            return Err(format!("member {id} is gone: the rest was left as it is"));
        };
        let (name, (status, url)) = (one.member.label(), one.said.as_ref().map_err(Clone::clone)?);
        let (size, used) = (status.db_size, status.db_in_use);
        // What a compaction has freed is in use until the next write, and where the quota is full there is none.
        if !wanted.compact && !gains(size, used) {
            println!("{name}: skipped, {used} of {size} bytes are in use");
            continue;
        }
        if wanted.dry_run {
            println!("{name}: would be defragmented, {used} of {size} bytes are in use");
            continue;
        }
        let begun = Instant::now();
        let defragmented = roll.clients.defragment(url, begun + DEFRAGMENTS);
        defragmented.map_err(|failure| format!("{name}: {failure}: the rest was left as it is"))?;
        let took = begun.elapsed();
        roll = healthy_again(config, stop)?;
        let now = roll.members.iter().find(|one| one.member.id == id);
        let now = now
            .and_then(Enrolled::status)
            .map_or(0, |status| status.db_size);
        println!(
            "{name}: {size} bytes became {now}, took {:.1} s",
            took.as_secs_f64()
        );
    }
    clear_alarms(config, &roll, wanted.dry_run)?;
    Ok(Exit::OK)
}

/// The members, if all of them are healthy.
fn healthy(config: &Config) -> Result<Roll, String> {
    let roll = Roll::call(config)?;
    let ailing = roll
        .members
        .iter()
        .find_map(|one| Some((one.member.label(), one.ails()?)));
    match ailing {
        Some((name, why)) => Err(format!(
            "{name} is not healthy: {why}: nobody is defragmented beside it"
        )),
        None => Ok(roll),
    }
}

/// The same, once none of them frees space any more: only the one that was asked has ended its compaction with its
/// answer, the others go on by themselves.
fn compacted_everywhere(config: &Config, stop: &Stop) -> Result<Roll, String> {
    let used = |roll: &Roll| -> Vec<u64> {
        let statuses = roll.members.iter().filter_map(Enrolled::status);
        statuses.map(|status| status.db_in_use).collect()
    };
    let mut roll = healthy(config)?;
    let mut quiet = 0;
    let end = Instant::now() + RECOVERS;
    while quiet < 2 && Instant::now() < end {
        if let Some(signal) = stop.sleep_until(Instant::now() + Duration::from_secs(1)) {
            return Err(format!("stopped by signal {signal}"));
        }
        let before = used(&roll);
        roll = healthy(config)?;
        let shrinks = used(&roll)
            .iter()
            .zip(&before)
            .any(|(now, then)| now < then);
        quiet = if shrinks { 0 } else { quiet + 1 };
    }
    Ok(roll)
}

/// The same, once the one that was at it has caught up.
fn healthy_again(config: &Config, stop: &Stop) -> Result<Roll, String> {
    let end = Instant::now() + RECOVERS;
    loop {
        match healthy(config) {
            Ok(roll) => return Ok(roll),
            Err(why) if Instant::now() > end => return Err(why),
            Err(_) => {
                let pause = Instant::now() + Duration::from_millis(500);
                if let Some(signal) = stop.sleep_until(pause) {
                    return Err(format!("stopped by signal {signal}"));
                }
            }
        }
    }
}

/// Followers first, the leader last: it has the most to do.
fn order(roll: &Roll) -> Vec<MemberId> {
    let followers = roll.members.iter().filter(|one| !one.leads());
    let leader = roll.members.iter().filter(|one| one.leads());
    followers.chain(leader).map(|one| one.member.id).collect()
}

fn first(roll: &Roll) -> Result<(&Enrolled, &str), String> {
    let mut voters = roll.members.iter().filter(|one| !one.member.learner);
    let said = voters.find_map(|one| Some((one, one.said.as_ref().ok()?.1.as_str())));
    said.ok_or_else(|| "no voter answers".into())
}

fn gains(size: u64, used: u64) -> bool {
    size.saturating_sub(used) > size / WORTH
}

fn has_room(size: u64, quota: u64) -> bool {
    size < quota / 10 * ROOM
}

/// NOSPACE goes where each member has room now. One that is cleared without room comes back at the next write.
fn clear_alarms(config: &Config, roll: &Roll, dry_run: bool) -> Result<(), String> {
    let (_, url) = first(roll)?;
    let deadline = || Instant::now() + config.timeout;
    let alarms = roll
        .clients
        .alarms(url, deadline())
        .map_err(|failure| failure.to_string())?;
    let statuses = || {
        roll.members
            .iter()
            .filter_map(|one| Some((one, one.status()?)))
    };
    let full = statuses().find(|(_, status)| {
        let quota = status.quota.or(config.quota).filter(|quota| *quota > 0);
        !has_room(status.db_size, quota.unwrap_or(QUOTA))
    });
    for (member, alarm) in alarms {
        match (alarm.as_str(), full) {
            ("NOSPACE", None) if dry_run => println!("would clear NOSPACE of member {member}"),
            ("NOSPACE", None) => {
                let cleared = roll.clients.disarm(url, member, &alarm, deadline());
                cleared.map_err(|failure| failure.to_string())?;
                println!("cleared NOSPACE of member {member}");
            }
            ("NOSPACE", Some((one, status))) => println!(
                "NOSPACE of member {member} stays: {} has {} bytes, which is too near to the quota: delete keys, then run \
                 `etcd-rejoin defrag --compact`, or raise ETCD_QUOTA_BACKEND_BYTES",
                one.member.label(),
                status.db_size
            ),
            ("CORRUPT", _) if member == HELD_BY => println!("{HELD}"),
            _ => println!(
                "{alarm} of member {member} stays: only a person can tell which data is right"
            ),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gains_little_is_skipped_and_room_is_a_fifth_of_the_quota() {
        for (size, used, gain) in [
            (100, 89, true),
            (100, 90, false),
            (100, 100, false),
            (0, 0, false),
        ] {
            assert_eq!(gains(size, used), gain, "{size} {used}");
        }
        assert!(!gains(16, 20));
        assert!(has_room(79, 100) && !has_room(80, 100) && !has_room(1, 0));
    }
}
