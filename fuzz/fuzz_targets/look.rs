//! Whatever is read of a store of snapshots: no parser panics, and what came of it can be asked for all that is decided
//! by it.

#![no_main]

use etcd_rejoin::decide::StoreSeen;
use etcd_rejoin::store::kept;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    match kept(&text) {
        Ok(kept) => {
            assert!(kept.marker.is_none() || text.contains("marker"));
            let (next, order) = (kept.next_number(), kept.newest_order());
            assert!(order.is_none_or(|order| order.number < next));
            if let Some(base) = kept.base() {
                let good = kept.snapshots.iter().any(|it| it.name == base.name && !it.bad);
                assert!(good, "{} is bad", base.name);
            }
            let _ = kept.disagreement();
            let words = StoreSeen::Read(kept).words();
            assert_eq!(words.lines().count(), 1);
        }
        Err(why) => assert!(why.len() < 500 && why.lines().count() == 1, "{why}"),
    }
});
