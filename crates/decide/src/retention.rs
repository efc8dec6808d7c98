//! Which snapshots stay, and why. What is removed here was taken by this lineage, and nobody may want it back.
//!
//! The rules are restic's: each keeps the newest snapshot of the last N hours, days, weeks or months that have one, and
//! the oldest of all while it has kept fewer than N. Whatever any rule keeps stays.

use std::collections::BTreeSet;
use std::fmt;

/// How many snapshots each rule keeps. All 0: no rule, and nothing is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The newest.
    pub last: u32,
    /// The newest of each hour.
    pub hourly: u32,
    /// The newest of each day, in UTC.
    pub daily: u32,
    /// The newest of each week, which begins on Monday.
    pub weekly: u32,
    /// The newest of each month.
    pub monthly: u32,
}

/// What is known of a snapshot when it is judged. The list must be whole: never after a failed listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prunable {
    /// The number of its lineage in this store.
    pub lineage: u64,
    /// etcd's revision in it.
    pub revision: u64,
    /// When it was taken, in seconds since 1970 by the clock of whoever took it.
    pub taken: u64,
    /// The month of that time, in UTC, counted from any year.
    pub month: u64,
    /// It was restored by a drill, or read back with the hash that its manifest names.
    pub verified: bool,
    /// A lineage was restored from it, or an order names it.
    pub bound: bool,
}

/// Why a snapshot stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeptFor {
    /// One of the last N.
    Last,
    /// The newest of its hour.
    Hourly,
    /// The newest of its day.
    Daily,
    /// The newest of its week.
    Weekly,
    /// The newest of its month.
    Monthly,
    /// Nothing newer is here.
    Newest,
    /// Nothing newer is proven.
    NewestVerified,
    /// A lineage or an order stands on it.
    Bound,
    /// Another lineage took it: it is not ours to remove.
    OtherLineage,
    /// Its time has not come: some clock is wrong, so it fills no place of another one.
    InTheFuture,
    /// No rule was given.
    NoRule,
}

impl fmt::Display for KeptFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeptFor::Last => "last",
            KeptFor::Hourly => "hourly",
            KeptFor::Daily => "daily",
            KeptFor::Weekly => "weekly",
            KeptFor::Monthly => "monthly",
            KeptFor::Newest => "newest",
            KeptFor::NewestVerified => "newest verified",
            KeptFor::Bound => "a lineage or an order needs it",
            KeptFor::OtherLineage => "of another lineage",
            KeptFor::InTheFuture => "its time lies in the future",
            KeptFor::NoRule => "no rule",
        })
    }
}

/// For each snapshot, in the order given, why it stays; an empty list: it is removed.
///
/// `own` is the lineage that serves now, `now` in seconds since 1970. Newer is the higher lineage, then the higher
/// revision, never the later time; a rule that counts hours looks at the time, and only at those of `own`.
pub fn retain(
    rules: &Retention,
    own: u64,
    now: u64,
    snapshots: &[Prunable],
) -> Vec<BTreeSet<KeptFor>> {
    let mut kept = vec![BTreeSet::new(); snapshots.len()];
    // From the newest. Two of one revision: the later one first, so that the order is the same in each run.
    let mut order: Vec<usize> = (0..snapshots.len()).collect();
    order.sort_by_key(|at| {
        let it = &snapshots[*at];
        std::cmp::Reverse((it.lineage, it.revision, it.taken))
    });
    if let Some(newest) = order.first() {
        kept[*newest].insert(KeptFor::Newest);
    }
    if let Some(newest) = order.iter().find(|at| snapshots[**at].verified) {
        kept[*newest].insert(KeptFor::NewestVerified);
    }
    for (at, it) in snapshots.iter().enumerate() {
        let why = [
            (it.bound, KeptFor::Bound),
            (it.lineage != own, KeptFor::OtherLineage),
            (it.taken > now, KeptFor::InTheFuture),
            (*rules == Retention::default(), KeptFor::NoRule),
        ];
        kept[at].extend(why.iter().filter(|(holds, _)| *holds).map(|(_, why)| *why));
    }
    // What lies in the future takes no place of another one, of no rule.
    order.retain(|at| snapshots[*at].lineage == own && snapshots[*at].taken <= now);
    let newest: Vec<usize> = order.iter().take(rules.last as usize).copied().collect();
    for at in newest {
        kept[at].insert(KeptFor::Last);
    }
    for (count, why, place) in [
        (rules.hourly, KeptFor::Hourly, hour as fn(&Prunable) -> u64),
        (rules.daily, KeptFor::Daily, day),
        (rules.weekly, KeptFor::Weekly, week),
        (rules.monthly, KeptFor::Monthly, |it| it.month),
    ] {
        let mut places = BTreeSet::new();
        let mut firsts: Vec<(u64, usize)> = Vec::new();
        for at in &order {
            let place = place(&snapshots[*at]);
            if places.insert(place) {
                firsts.push((place, *at));
            }
        }
        // By time: where a clock went back, the order by revision is another one.
        firsts.sort_by_key(|first| std::cmp::Reverse(*first));
        let room = (count as usize).saturating_sub(firsts.len());
        let oldest = order.last().filter(|_| room > 0).copied();
        let firsts = firsts.into_iter().take(count as usize).map(|(_, at)| at);
        for at in firsts.chain(oldest) {
            kept[at].insert(why);
        }
    }
    kept
}

fn hour(it: &Prunable) -> u64 {
    it.taken / 3600
}

fn day(it: &Prunable) -> u64 {
    it.taken / 86_400
}

/// 1970 began on a Thursday.
fn week(it: &Prunable) -> u64 {
    (day(it) + 3) / 7
}
