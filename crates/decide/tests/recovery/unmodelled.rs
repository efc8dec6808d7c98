//! Rules of a restore that the modelled world cannot judge, broken on purpose: a case of `recovery.txt` shows each.

use etcd_rejoin_decide::{
    Decision, Kept, Observation, Ordered, Policy, Recover, StoreSeen, TABLE, decide,
};

use crate::look::Decide;
use crate::words;

fn with(policy: &Policy, seen: &Observation, change: impl Fn(&mut Observation)) -> Decision {
    let mut seen = seen.clone();
    change(&mut seen);
    decide(policy, &seen)
}

fn with_kept(policy: &Policy, seen: &Observation, change: impl Fn(&mut Kept)) -> Decision {
    with(policy, seen, |seen| {
        if let Some(StoreSeen::Read(kept)) = &mut seen.store {
            change(kept);
        }
    })
}

fn all_versions_are_one(policy: &Policy, seen: &Observation) -> Decision {
    with(policy, seen, |seen| {
        seen.said.iter_mut().for_each(|said| said.table = TABLE);
    })
}

fn all_read_our_store(policy: &Policy, seen: &Observation) -> Decision {
    let marker = match &seen.store {
        Some(StoreSeen::Read(kept)) => kept.marker.as_ref().map(|marker| marker.nonce.clone()),
        Some(StoreSeen::Silent(_)) | None => None,
    };
    with(policy, seen, |seen| {
        let said = seen.said.iter_mut();
        said.for_each(|said| said.marker.clone_from(&marker));
    })
}

fn nobody_is_asked_for_a_word(policy: &Policy, seen: &Observation) -> Decision {
    let policy = Policy {
        recover: Recover::Auto,
        ..policy.clone()
    };
    with(&policy, seen, |seen| {
        let said = seen.said.iter_mut();
        said.for_each(|said| said.recover = Recover::Auto);
    })
}

fn who_has_no_store_agrees(policy: &Policy, seen: &Observation) -> Decision {
    let Some(said) = seen.said.first().cloned() else {
        return decide(policy, seen);
    };
    with(policy, seen, |seen| {
        for peer in &seen.peers {
            if seen.said.iter().all(|said| said.name != peer.name) {
                let mut other = said.clone();
                other.name.clone_from(&peer.name);
                seen.said.push(other);
            }
        }
    })
}

fn set_aside_is_nothing(policy: &Policy, seen: &Observation) -> Decision {
    with(policy, seen, |seen| seen.set_aside = 0)
}

fn nobody_asks_for_us(policy: &Policy, seen: &Observation) -> Decision {
    with(policy, seen, |seen| seen.knocks.clear())
}

fn nobody_listens(policy: &Policy, seen: &Observation) -> Decision {
    with(policy, seen, |seen| seen.listened = true)
}

fn nothing_lies_elsewhere(policy: &Policy, seen: &Observation) -> Decision {
    with(policy, seen, |seen| seen.elsewhere.clear())
}

fn every_store_decides(policy: &Policy, seen: &Observation) -> Decision {
    with_kept(policy, seen, |kept| kept.cannot_decide = false)
}

fn every_snapshot_is_verified(policy: &Policy, seen: &Observation) -> Decision {
    with_kept(policy, seen, |kept| {
        for order in &mut kept.orders {
            if let Ordered::Snapshot { verified, .. } = &mut order.what {
                *verified = true;
            }
        }
    })
}

fn every_snapshot_is_good(policy: &Policy, seen: &Observation) -> Decision {
    with_kept(policy, seen, |kept| {
        kept.snapshots.iter_mut().for_each(|it| it.bad = false);
    })
}

fn no_url_is_new(policy: &Policy, seen: &Observation) -> Decision {
    with(policy, seen, |seen| seen.rejoins = true)
}

fn numbers_are_used_again(policy: &Policy, seen: &Observation) -> Decision {
    with_kept(policy, seen, |kept| {
        let open = |order: &etcd_rejoin_decide::KeptOrder| order.outcome.is_none();
        kept.orders.retain(open);
    })
}

#[test]
fn what_the_model_of_a_restore_does_not_know_is_shown_by_a_case() {
    let cases = words::cases(include_str!("../recovery.txt"));
    for (name, mutant) in [
        ("version of the rows", all_versions_are_one as Decide),
        ("marker", all_read_our_store),
        ("hold", nobody_is_asked_for_a_word),
        ("no store", who_has_no_store_agrees),
        ("set aside", set_aside_is_nothing),
        ("knock", nobody_asks_for_us),
        ("listening", nobody_listens),
        ("elsewhere", nothing_lies_elsewhere),
        ("conditional create", every_store_decides),
        ("verified", every_snapshot_is_verified),
        ("bad", every_snapshot_is_good),
        ("new URL", no_url_is_new),
        ("number", numbers_are_used_again),
    ] {
        let red: Vec<usize> = (cases.iter())
            .filter(|case| {
                let decided = |(policy, seen): &(Policy, Observation)| mutant(policy, seen);
                let mut all = case.variants.iter().map(decided);
                all.any(|decided| words::in_words(&decided) != case.expected)
            })
            .map(|case| case.line)
            .collect();
        println!("{name}: lines {red:?} of recovery.txt");
        assert!(!red.is_empty(), "{name}: no case of recovery.txt shows it");
    }
}
