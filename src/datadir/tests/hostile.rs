use super::build::{self, Wal};
use super::*;
use crate::datadir::{bolt, lookup, snap, tree, wal};
use proptest::prelude::*;

fn read(files: &[Vec<u8>]) -> wal::Reading {
    let names: Vec<wal::WalName> = (0..files.len() as u64)
        .map(|seq| wal::WalName { seq, index: seq })
        .collect();
    let open = |name: wal::WalName| Ok(files[name.seq as usize].as_slice());
    wal::read(&names, &[], open).unwrap()
}

fn sample() -> Vec<u8> {
    let mut wal = Wal::new(OURS);
    wal.entry(&[0; 1200]);
    wal.entry(b"more");
    wal.state(4);
    wal.preallocated(600)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        read(std::slice::from_ref(&bytes));
        read(&[sample(), bytes.clone()]);
        snap::read(bytes.as_slice()).unwrap();
        bolt::meta(bytes.as_slice()).unwrap();
        tree::check(bytes.as_slice()).unwrap();
    }

    #[test]
    fn any_change_of_a_database_is_read_without_panic(
        changes in prop::collection::vec((8192usize..16384, any::<u8>()), 1..40),
        cut in 8192usize..16384,
    ) {
        let mut db = build::db_at(7);
        for (at, byte) in changes {
            // Most of a page is nothing: change what means something.
            db[at / 4096 * 4096 + at % 120] = byte;
        }
        tree::check(db.as_slice()).unwrap();
        let _ = lookup::consistent_index(db.as_slice()).unwrap();
        let _ = lookup::has_applied(db.as_slice()).unwrap();
        let _ = lookup::pairs(db.as_slice(), b"meta").unwrap();
        tree::check(&db[..cut]).unwrap();
    }

    #[test]
    fn a_flipped_bit_never_makes_it_anothers(bit in 0..sample().len() * 8) {
        let mut bytes = sample();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let reading = read(&[bytes]);
        prop_assert!(reading.head.is_none_or(|head| head == OURS));
        prop_assert!(reading.head.is_some() || reading.broken.is_some());
    }

    #[test]
    fn a_cut_wal_never_makes_it_anothers(len in 0..sample().len()) {
        let reading = read(&[sample()[..len].to_vec()]);
        prop_assert!(reading.head.is_none_or(|head| head == OURS));
        prop_assert!(reading.head.is_some() || reading.broken.is_some());
    }

    #[test]
    fn a_flipped_bit_never_makes_it_another_snapshot(bit in 0..40 * 8usize) {
        let id = snap::SnapId { term: 2, index: 9 };
        let mut bytes = build::snap(id);
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let read = snap::read(bytes.as_slice()).unwrap();
        prop_assert!(read.is_none_or(|read| read == id));
    }
}

#[test]
fn a_length_is_never_believed() {
    for length in [u64::MAX, 1 << 55, (1 << 56) - 1, 1 << 63, 9] {
        let mut bytes = Wal::new(OURS).bytes;
        bytes.extend(length.to_le_bytes());
        assert!(read(&[bytes]).torn || length == 1 << 63);
    }
}
