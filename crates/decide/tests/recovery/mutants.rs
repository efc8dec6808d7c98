//! Each rule of a restore, broken on purpose, is caught.

use etcd_rejoin_decide::{
    Begin, DataDir, Decision, Founders, Kept, Observation, Ordered, Policy, Recover, Start, Step,
    StoreSeen, StoreStep, TABLE, Why, decide,
};

use Decision::{Do, Refuse, Wait};

use crate::caught::is_caught;
use crate::cluster::{
    AS_DESIGNED, Cluster, NO_LOSS, NOT_BROUGHT_BACK, NOT_FOREIGN, NOT_ROLLED_BACK, OBEYED,
    ONE_LINEAGE, Rules,
};
use crate::look::Decide;
use crate::runs::{
    LOST, ORDERED, disks_return, grown, old_majority, order_then_loss, passed_over, stuck,
};
use crate::world::{Budget, World};

/// What lies in the store is taken for this.
fn with_kept(policy: &Policy, seen: &Observation, change: impl Fn(&mut Kept)) -> Decision {
    let mut seen = seen.clone();
    if let Some(StoreSeen::Read(kept)) = &mut seen.store {
        change(kept);
    }
    decide(policy, &seen)
}

fn found() -> Decision {
    let start = Start {
        begin: Begin::New,
        trial: true,
        promote: false,
    };
    Decision::Start(start, Why::FirstStart(Founders::All))
}

fn with_data(why: Why) -> Decision {
    let start = Start {
        begin: Begin::WithData,
        trial: false,
        promote: false,
    };
    Decision::Start(start, why)
}

fn strands<const N: usize>(name: &str, model: &Cluster<N>) {
    let Some((stuck, states, trace)) = stuck(model) else {
        panic!("{name}: nothing is stuck");
    };
    println!("{name}: {stuck} of {states} states are stuck, first after:\n{trace}");
}

/// Everybody is the initial cluster: nobody else is asked.
fn the_store_names_nobody(policy: &Policy, seen: &Observation) -> Decision {
    let mut seen = seen.clone();
    seen.peers.retain(|peer| peer.initial);
    with_kept(policy, &seen, |kept| kept.members.clear())
}

#[test]
fn everybody_is_more_than_the_initial_cluster() {
    let grown = Cluster::new(grown()).with(the_store_names_nobody);
    is_caught("initial cluster only", NOT_ROLLED_BACK, grown);
}

/// Whoever does not answer has lost its disk too.
fn silence_is_loss(policy: &Policy, seen: &Observation) -> Decision {
    use etcd_rejoin_decide::{Heard, Holds, SaidOfStore};
    let mut seen = seen.clone();
    let marker = match &seen.store {
        Some(StoreSeen::Read(kept)) => kept.marker.as_ref().map(|it| it.nonce.clone()),
        Some(StoreSeen::Silent(_)) | None => None,
    };
    for peer in &mut seen.peers {
        if matches!(peer.heard, Heard::Silent(_)) {
            peer.heard = Heard::Entrypoint {
                holds: Holds::Empty,
                differs: None,
            };
            seen.said.push(SaidOfStore {
                name: peer.name.clone(),
                recover: Recover::Auto,
                table: TABLE,
                marker: marker.clone(),
                promise: None,
                waits_for: None,
            });
        }
    }
    decide(policy, &seen)
}

#[test]
fn silence_is_no_loss() {
    let lost = World::<3>::running(LOST);
    is_caught(
        "silence",
        NOT_ROLLED_BACK,
        Cluster::new(lost).with(silence_is_loss),
    );
}

#[test]
fn waiting_is_durable() {
    let rules = Rules {
        waits_durably: false,
        ..AS_DESIGNED
    };
    let ordered = World::<3>::running(ORDERED);
    let in_memory = Cluster::new(ordered).held().silent().under(rules);
    is_caught("waiting in memory", ONE_LINEAGE, in_memory);
}

#[test]
fn an_order_is_begun_or_cancelled() {
    let rules = Rules {
        conditional: false,
        ..AS_DESIGNED
    };
    let budget = Budget {
        cancel: 1,
        late: 1,
        ..ORDERED
    };
    let racing = Cluster::new(World::<3>::running(budget))
        .held()
        .under(rules);
    is_caught("cancel races begin", OBEYED, racing);
}

/// An order is begun as soon as somebody waits for it.
fn nobody_has_to_wait(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Wait(Why::RestoreOrdered(number, missing))
            if missing.iter().all(|it| it.starts_with('n')) =>
        {
            let begin = StoreStep::BeginOrder(number);
            Do(
                Step::Store(begin),
                Why::RestoreBegun(number, policy.name.clone()),
            )
        }
        decision => decision,
    }
}

#[test]
fn an_order_waits_until_the_rest_is_no_quorum() {
    let ordered = Cluster::new(World::<3>::running(ORDERED))
        .held()
        .with(nobody_has_to_wait);
    is_caught("begun at once", ONE_LINEAGE, ordered);
}

/// An order restores the newest snapshot.
fn orders_restore_the_newest(policy: &Policy, seen: &Observation) -> Decision {
    with_kept(policy, seen, |kept| {
        let newest = kept.snapshots.iter().max_by_key(|it| it.revision);
        let newest = newest.map(|it| it.name.clone());
        for order in &mut kept.orders {
            if let Ordered::Snapshot { name, .. } = &mut order.what {
                name.clone_from(newest.as_ref().unwrap());
            }
        }
    })
}

#[test]
fn an_order_restores_what_it_names() {
    let ordered = Cluster::new(order_then_loss())
        .held()
        .with(orders_restore_the_newest);
    is_caught("newest", OBEYED, ordered);
}

/// After a total loss the snapshot of the largest revision is restored, whatever its lineage.
fn any_lineage_is_restored(policy: &Policy, seen: &Observation) -> Decision {
    let (decision, kept) = match (decide(policy, seen), &seen.store) {
        (decision, Some(StoreSeen::Read(kept))) => (decision, kept),
        (decision, _) => return decision,
    };
    let newest = kept.snapshots.iter().max_by_key(|it| it.revision);
    match (decision, newest) {
        (
            Do(Step::Store(StoreStep::BeginLineage { number, .. }), why @ Why::TotalLoss(_)),
            Some(newest),
        ) => {
            let base = Some(newest.name.clone());
            Do(Step::Store(StoreStep::BeginLineage { number, base }), why)
        }
        (
            Do(Step::Store(StoreStep::Restore { number, hold, .. }), why @ Why::TotalLoss(_)),
            Some(newest),
        ) => {
            let base = newest.name.clone();
            Do(Step::Store(StoreStep::Restore { number, base, hold }), why)
        }
        (decision, _) => decision,
    }
}

#[test]
fn what_was_rolled_back_is_past_the_base() {
    let lost = Cluster::new(order_then_loss()).with(any_lineage_is_restored);
    is_caught("past the base", NOT_BROUGHT_BACK, lost);
}

#[test]
fn no_other_cluster_has_our_id() {
    let rules = Rules {
        nonce_in_token: false,
        ..AS_DESIGNED
    };
    let budget = Budget { foreign: 1, ..LOST };
    let shared = Cluster::new(World::<3>::running(budget)).under(rules);
    is_caught("another environment", NOT_FOREIGN, shared);
}

/// Where the store is silent intact data starts, whoever else runs.
fn silence_proves_nothing_newer(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Wait(Why::SupersededUnproven(None, _)) => with_data(Why::NoLeader),
        decision => decision,
    }
}

/// A later lineage in the store is no matter, where nobody of it is heard.
fn unheard_is_never_begun(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Wait(Why::SupersededUnproven(Some(_), _)) => with_data(Why::NoLeader),
        decision => decision,
    }
}

#[test]
fn an_old_majority_does_not_start_again() {
    let silent = Cluster::new(old_majority())
        .silent()
        .with(silence_proves_nothing_newer);
    is_caught("silent store", ONE_LINEAGE, silent);
    let killed = World {
        left: Budget {
            kill: 2,
            ..old_majority().left
        },
        ..old_majority()
    };
    let read = Cluster::new(killed).with(unheard_is_never_begun);
    is_caught("later lineage", ONE_LINEAGE, read);
}

/// The clients of a seed alone are served.
fn nobody_is_held(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Do(Step::Store(StoreStep::Restore { number, base, .. }), why) => {
            let hold = false;
            Do(Step::Store(StoreStep::Restore { number, base, hold }), why)
        }
        decision => decision,
    }
}

/// Two disks come back between the seed's look and its restore.
#[test]
fn a_seed_alone_serves_nobody() {
    let unheld = Cluster::new(disks_return()).silent().with(nobody_is_held);
    is_caught("held clients", ONE_LINEAGE, unheld);
}

/// Another cluster's ID is another cluster, whatever the store says.
fn other_cluster_comes_first(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Do(_, Why::Superseded(_)) => Refuse(Why::OtherCluster(Vec::new())),
        decision => decision,
    }
}

#[test]
fn superseded_comes_before_other_cluster_and_other_history() {
    strands(
        "other cluster",
        &Cluster::new(passed_over()).with(other_cluster_comes_first),
    );
}

/// The store is marked by the first who sees it empty.
fn marked_before_promised(policy: &Policy, seen: &Observation) -> Decision {
    let empty = match &seen.store {
        Some(StoreSeen::Read(kept)) => kept.is_empty(),
        Some(StoreSeen::Silent(_)) | None => false,
    };
    match decide(policy, seen) {
        Do(Step::Promise, _) if empty => {
            let promises = Vec::new();
            Do(
                Step::Store(StoreStep::Mark { promises }),
                Why::FirstStartMarked,
            )
        }
        decision => decision,
    }
}

/// Whose promises the marker lists does not matter.
fn any_marker_is_ours(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Wait(Why::MarkedWithoutSnapshot(_)) if seen.promise => found(),
        Wait(Why::MarkedWithoutSnapshot(_)) => {
            let why = Why::FirstStartPromise(Founders::All, Vec::new());
            Do(Step::Promise, why)
        }
        decision => decision,
    }
}

/// A store that does not answer is an empty one, and needs no marker.
fn a_silent_store_is_empty(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Wait(Why::StoreUnreachable(_)) if seen.promise => found(),
        Wait(Why::StoreUnreachable(_)) => {
            let why = Why::FirstStartPromise(Founders::All, Vec::new());
            Do(Step::Promise, why)
        }
        decision => decision,
    }
}

#[test]
fn everybody_promises_before_the_store_is_marked() {
    let budget = Budget {
        wipe: 0,
        kill: 0,
        ..LOST
    };
    let nothing = World::<3>::nothing(budget);
    strands(
        "marked too early",
        &Cluster::new(nothing).with(marked_before_promised),
    );
}

#[test]
fn a_marker_of_other_promises_founds_nothing() {
    let budget = Budget {
        kill: 0,
        write: 1,
        ..LOST
    };
    let nothing = || World::<3>::nothing(budget);
    for (name, mutant) in [
        ("any marker", any_marker_is_ours as Decide),
        ("silent store", a_silent_store_is_empty),
    ] {
        is_caught(name, NO_LOSS, Cluster::new(nothing()).silent().with(mutant));
    }
}

/// Whoever finds the newest lineage restores it, on whatever volume.
fn lineages_are_repeated(policy: &Policy, seen: &Observation) -> Decision {
    let mut seen = seen.clone();
    if let (Some(StoreSeen::Read(kept)), DataDir::Empty) = (&seen.store, &seen.data) {
        let newest = kept.newest().filter(|newest| newest.number > 1);
        seen.restoring = newest.map(|newest| (newest.number, newest.nonce.clone()));
    }
    decide(policy, &seen)
}

#[test]
fn a_lineage_that_may_have_run_is_not_begun_again() {
    let budget = Budget {
        wipe: 4,
        kill: 0,
        write: 1,
        ..LOST
    };
    let rules = Rules {
        noted: false,
        ..AS_DESIGNED
    };
    let one = World::<1>::running(budget);
    let again = Cluster::new(one).with(lineages_are_repeated).under(rules);
    is_caught("again", NO_LOSS, again);
}
