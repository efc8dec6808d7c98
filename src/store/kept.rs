//! What `etcd-rejoin-snapshot look --json` says, as a plain value. Fields that are not known are passed over; what is not
//! as it has to be makes the whole of it nonsense.

use serde_json::Value;

use crate::decide::{
    Kept, KeptLineage, KeptMarker, KeptMember, KeptOrder, KeptSnapshot, Nonce, OrderOutcome,
    Ordered,
};
use crate::membership::ClusterId;

/// No text of it is longer.
const LONGEST: usize = 512;
/// No lineage and no order has a larger number.
const LARGEST: u64 = u32::MAX as u64;

/// Reads it. The error says what is wrong with it.
pub fn kept(said: &str) -> Result<Kept, String> {
    let look: Value = serde_json::from_str(said)
        .map_err(|error| format!("what was read of the store is no JSON: {error}"))?;
    read(&look).map_err(|what| format!("what was read of the store has no usable {what}"))
}

/// What is missing, or is not as it has to be.
type Lacks = &'static str;

fn read(look: &Value) -> Result<Kept, Lacks> {
    let marker = some(look, "marker");
    let founding = marker.map(founding).transpose()?;
    let mut lineages: Vec<KeptLineage> = founding.into_iter().collect();
    for lineage in each(look, "lineages")? {
        lineages.push(restored(lineage)?);
    }
    let mut bad = texts(look, "bad")?;
    bad.extend(
        (some(look, "unusable").and_then(Value::as_object))
            .map_or(Vec::new(), |all| all.keys().cloned().collect()),
    );
    let snapshots = texts(look, "snapshots")?.into_iter();
    let snapshots = snapshots.map(|name| snapshot(name, &bad));
    let orders = each(look, "orders")?.iter().map(order);
    Ok(Kept {
        cannot_decide: some(look, "decides").and_then(Value::as_bool) == Some(false),
        marker: match marker {
            Some(marker) => Some(KeptMarker {
                nonce: Nonce(text(marker, "nonce")?),
                promises: texts(marker, "promises")?.into_iter().map(Nonce).collect(),
            }),
            None => None,
        },
        lineages,
        snapshots: snapshots.collect::<Result<_, _>>()?,
        orders: orders.collect::<Result<_, _>>()?,
        members: members(look)?,
    })
}

/// The first lineage, which the marker stands for.
fn founding(marker: &Value) -> Result<KeptLineage, Lacks> {
    Ok(KeptLineage {
        number: 1,
        nonce: Nonce(text(marker, "nonce")?),
        parent: None,
        cluster: cluster(marker)?,
        base: None,
    })
}

fn restored(lineage: &Value) -> Result<KeptLineage, Lacks> {
    Ok(KeptLineage {
        number: number(lineage, "n")?,
        nonce: Nonce(text(lineage, "nonce")?),
        parent: Some(Nonce(text(lineage, "parent")?)),
        cluster: cluster(lineage)?,
        base: some(lineage, "base").map(plain).transpose()?,
    })
}

/// A snapshot's name says its lineage and its revision: `0001-0000000000000000010-00c0ffee`.
fn snapshot(name: String, bad: &[String]) -> Result<KeptSnapshot, Lacks> {
    let mut parts = name.split('-').map(|part| part.parse().ok());
    let (Some(Some(lineage)), Some(Some(revision))) = (parts.next(), parts.next()) else {
        return Err("snapshots");
    };
    Ok(KeptSnapshot {
        lineage,
        revision,
        bad: bad.contains(&name),
        name,
    })
}

fn order(look: &Value) -> Result<KeptOrder, Lacks> {
    let order = some(look, "order").ok_or("order")?;
    let outcome = some(look, "outcome").map(|outcome| match &*text(outcome, "outcome")? {
        "begun" => Ok(OrderOutcome::Begun),
        "cancelled" => Ok(OrderOutcome::Cancelled),
        _ => Err("outcome"),
    });
    Ok(KeptOrder {
        number: number(look, "n")?,
        what: match &*text(order, "kind")? {
            "snapshot" => Ordered::Snapshot {
                name: text(order, "snapshot")?,
                verified: some(order, "verified").and_then(Value::as_bool) == Some(true),
            },
            "survivor" => Ordered::Survivor {
                name: text(order, "member")?,
                destroyed: texts(order, "destroyed")?,
            },
            _ => return Err("kind"),
        },
        outcome: outcome.transpose()?,
    })
}

/// The members of the newest manifest, and the recorded ones. One that has not said its name yet goes by its URL, unless
/// it was recorded.
fn members(look: &Value) -> Result<Vec<KeptMember>, Lacks> {
    let mut all = Vec::new();
    for recorded in each(look, "members")? {
        all.push(KeptMember {
            name: text(recorded, "name")?,
            peer_urls: texts(recorded, "peer_urls")?,
            voter: false,
        });
    }
    let (mut newest, mut listed) = (String::new(), &Value::Null);
    for manifest in each(look, "manifests")? {
        let id = text(manifest, "id")?;
        // Of a fixed width each: by name is by lineage, then by revision.
        if id > newest {
            (newest, listed) = (id, manifest);
        }
    }
    for member in each(listed, "members")? {
        let peer_urls = texts(member, "peer_urls")?;
        let recorded = |known: &KeptMember| known.peer_urls.iter().any(|it| peer_urls.contains(it));
        let name = match text(member, "name")? {
            name if !name.is_empty() => name,
            _ if all.iter().any(recorded) => continue,
            _ => peer_urls.first().ok_or("peer_urls")?.clone(),
        };
        let voter = some(member, "learner").and_then(Value::as_bool) != Some(true);
        match all.iter_mut().find(|known| known.name == name) {
            Some(known) => {
                known.peer_urls.extend(peer_urls);
                known.voter = voter;
            }
            None => all.push(KeptMember {
                name,
                peer_urls,
                voter,
            }),
        }
    }
    Ok(all)
}

/// The value of a key, if there is one.
fn some<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value.get(key).filter(|value| !value.is_null())
}

fn number(value: &Value, key: Lacks) -> Result<u64, Lacks> {
    let number = some(value, key).and_then(Value::as_u64);
    number.filter(|number| *number <= LARGEST).ok_or(key)
}

fn text(value: &Value, key: Lacks) -> Result<String, Lacks> {
    some(value, key).ok_or(key).and_then(plain).map_err(|_| key)
}

fn cluster(value: &Value) -> Result<ClusterId, Lacks> {
    let key = "cluster_id";
    text(value, key)?.parse().map_err(|_| key)
}

/// The elements of a list; none where there is none.
fn each(value: &Value, key: Lacks) -> Result<&[Value], Lacks> {
    some(value, key).map_or(Ok(&[]), |all| all.as_array().map(Vec::as_slice).ok_or(key))
}

fn texts(value: &Value, key: Lacks) -> Result<Vec<String>, Lacks> {
    let all = each(value, key)?.iter().map(plain);
    all.collect::<Result<_, _>>().map_err(|_| key)
}

/// A text that may stand in a line of the log.
fn plain(value: &Value) -> Result<String, Lacks> {
    let text = value.as_str().filter(|text| text.len() <= LONGEST);
    let text = text.filter(|text| !text.contains(char::is_control));
    text.map(String::from).ok_or("text")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look() -> String {
        let marker = r#"{"format":1,"nonce":"aa","cluster":"prod","cluster_id":"1f","promises":["p1","p2"],"made":"x"}"#;
        let lineage = r#"{"format":1,"n":2,"nonce":"bb","parent":"aa","cluster_id":"2f","base":"0001-0000000000000000010-00c0ffee","later":7}"#;
        let member = |name: &str, url: &str| {
            format!(r#"{{"id":"1","name":"{name}","peer_urls":["{url}"],"client_urls":[]}}"#)
        };
        let listed = [
            member("n1", "http://a"),
            member("", "http://b"),
            member("", "http://c"),
        ];
        let listed = listed.join(",");
        let manifests = format!(
            r#"[{{"id":"0002-0000000000000000030-00c0ffee","members":[{listed}]}},{{"id":"0001-0000000000000000010-00c0ffee","members":[{}]}}]"#,
            member("gone", "http://gone")
        );
        format!(
            r#"{{"marker":{marker},"lineages":[{lineage}],
            "snapshots":["0001-0000000000000000010-00c0ffee","0002-0000000000000000030-00c0ffee"],
            "manifests":{manifests},"unusable":{{}},"bad":["0002-0000000000000000030-00c0ffee"],
            "orders":[{{"n":3,"order":{{"kind":"snapshot","snapshot":"0001-0000000000000000010-00c0ffee","verified":true}},"outcome":{{"outcome":"cancelled"}}}},
                {{"n":4,"order":{{"kind":"survivor","member":"n1","destroyed":["n2"]}},"outcome":null}}],
            "members":[{{"name":"n2","peer_urls":["http://b"]}}],"decides":false,"later":{{}}}}"#
        )
    }

    #[test]
    fn a_look_is_read() {
        let read = kept(&look()).unwrap();
        assert!(read.cannot_decide);
        assert_eq!(read.disagreement(), None);
        let numbers: Vec<u64> = read.lineages.iter().map(|it| it.number).collect();
        assert_eq!(numbers, [1, 2]);
        assert_eq!(read.lineages[1].cluster, ClusterId(0x2f));
        let bad: Vec<bool> = read.snapshots.iter().map(|it| it.bad).collect();
        assert_eq!((bad, read.snapshots[1].revision), (vec![false, true], 30));
        assert_eq!(read.orders[0].outcome, Some(OrderOutcome::Cancelled));
        assert!(matches!(&read.orders[1].what, Ordered::Survivor { name, .. } if name == "n1"));
        let names: Vec<&str> = read.members.iter().map(|it| &*it.name).collect();
        assert_eq!(names, ["n2", "n1", "http://c"]);
    }

    #[test]
    fn an_empty_store_is_an_empty_look() {
        let read = kept(
            r#"{"marker":null,"lineages":[],"snapshots":[],"manifests":[],"unusable":{},"orders":[]}"#,
        );
        assert_eq!(read, Ok(Kept::default()));
    }

    #[test]
    fn what_is_not_as_it_has_to_be_is_nothing() {
        let good = look();
        for (from, to) in [
            (r#""cluster_id":"1f""#, r#""cluster_id":"x""#),
            (r#""nonce":"aa""#, r#""nonce":7"#),
            (r#""nonce":"aa""#, r#""nonce":"a\na""#),
            (r#""n":2"#, r#""n":-2"#),
            (r#""n":3"#, r#""n":18446744073709551615"#),
            (r#""kind":"survivor""#, r#""kind":"else""#),
            (r#""cancelled""#, r#""maybe""#),
            (r#""snapshots":["0001-"#, r#""snapshots":["latest-"#),
            (r#""bad":["#, r#""bad":[7,"#),
            ("\"later\":{}}", "\"later\":{}"),
        ] {
            let changed = good.replace(from, to);
            assert_ne!(changed, good, "{from}");
            let why = kept(&changed).unwrap_err();
            assert!(why.len() < 200, "{from}: {why}");
        }
        assert!(kept("").is_err() && kept("nonsense").is_err() && kept("[[[[[").is_err());
    }
}
