//! Orders, what became of them, and the members that were recorded. What is decided once is a conditional create.

use etcd_rejoin_host::error::Error;

use crate::catalog::{json, read_json};
use crate::layout::{
    FORMAT, MEMBERS, Moment, ORDERS, OrderEnd, RecordedMember, WrittenOrder, WrittenOutcome,
    order_key, order_of, outcome_key,
};
use crate::random;
use crate::store::{Creation, Store};

/// An order, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundOrder {
    /// Its number.
    pub n: u64,
    /// What is wanted.
    pub order: WrittenOrder,
    /// What became of it, once decided.
    pub outcome: Option<WrittenOutcome>,
}

impl FoundOrder {
    /// What became of it, in one word.
    pub fn end(&self) -> Option<OrderEnd> {
        self.outcome.as_ref().map(|outcome| outcome.outcome)
    }
}

/// All orders, by number. One that cannot be read is an error: whoever passes over it may start what it ends.
pub async fn orders(store: &Store) -> Result<Vec<FoundOrder>, Error> {
    let listed = store.list(ORDERS).await?;
    let mut numbers: Vec<u64> = listed.iter().filter_map(|it| order_of(&it.key)).collect();
    numbers.sort_unstable();
    let mut found = Vec::new();
    for n in numbers {
        found.extend(order(store, n).await?);
    }
    Ok(found)
}

/// The order of this number.
pub async fn order(store: &Store, n: u64) -> Result<Option<FoundOrder>, Error> {
    let Some(order) = read_json(store, &order_key(n)).await? else {
        return Ok(None);
    };
    let outcome = read_json(store, &outcome_key(n)).await?;
    Ok(Some(FoundOrder { n, order, outcome }))
}

/// Decides an order, unless it was decided before. What became of it.
pub async fn decide(store: &Store, n: u64, outcome: OrderEnd) -> Result<OrderEnd, Error> {
    let ours = WrittenOutcome {
        format: FORMAT,
        outcome,
        nonce: random::nonce(),
        made: Moment::now(),
    };
    let key = outcome_key(n);
    match store.create(&key, json(&ours)).await? {
        Creation::Ours => Ok(outcome),
        Creation::Others => {
            let theirs = read_json::<WrittenOutcome>(store, &key).await?;
            let gone = || Error::new(format!("{key} was there, and is gone"));
            Ok(theirs.ok_or_else(gone)?.outcome)
        }
    }
}

/// The members that were recorded before they were added.
pub async fn recorded(store: &Store) -> Result<Vec<RecordedMember>, Error> {
    let mut found = Vec::new();
    for listing in store.list(MEMBERS).await? {
        if listing.key.ends_with(".json") {
            found.extend(read_json(store, &listing.key).await?);
        }
    }
    Ok(found)
}
