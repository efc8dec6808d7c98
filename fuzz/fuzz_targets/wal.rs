//! Any bytes as WAL, snapshot and database: no panic, no endless loop, no memory that a length asks for.
//!
//! The input is cut in two at its first two bytes, so that the second WAL file follows a first one.

#![no_main]

use etcd_rejoin::datadir::{bolt, lookup, snap, tree, wal};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _ = snap::read(input).expect("bytes in memory can be read");
    let meta = bolt::meta(input).expect("bytes in memory can be read");
    let wrong = tree::check(input).expect("bytes in memory can be read");
    let index = lookup::consistent_index(input).expect("bytes in memory can be read");
    let applied = lookup::has_applied(input).expect("bytes in memory can be read");
    let _ = lookup::pairs(input, b"members").expect("bytes in memory can be read");
    if meta.is_none() {
        assert!(wrong.is_some() && index.is_err() && applied.is_err());
    }

    let Some((cut, files)) = input.split_first_chunk::<2>() else {
        return;
    };
    let (first, second) = files.split_at(usize::from(u16::from_le_bytes(*cut)).min(files.len()));
    let names = [0, 1].map(|seq| wal::WalName { seq, index: seq });
    let open = |name: wal::WalName| Ok([first, second][name.seq as usize]);
    let alone = wal::read(&names[..1], &[], open).expect("bytes in memory can be read");
    let both = wal::read(&names, &[], open).expect("bytes in memory can be read");
    wal::old_requests(&names, open).expect("bytes in memory can be read");
    // What the first file says about its owner, the second one can only take back.
    if both.head.is_some() && alone.broken.is_none() {
        assert_eq!(both.head, alone.head);
    }
    assert!(alone.head.is_some() || alone.broken.is_some());
});
