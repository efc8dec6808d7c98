//! The superblock of ext4, as far as a check asks for it. Pure.

/// Where it is, and how long what is read of it is.
pub const AT: u64 = 1024;
/// Its length.
pub const LENGTH: usize = 1024;

/// Whether `e2fsck -p` would do nothing but replay the journal, as a mount does: a journal, no error
/// recorded, no check due.
///
/// The same questions as e2fsck's own (`e2fsck/unix.c`, `check_if_skip`). Two things e2fsck sees besides:
/// group descriptors that make no sense, with which a mount fails, and an error that was recorded in the
/// journal alone, which a mount copies into the superblock (`fs/ext4/super.c`, `ext4_clear_journal_err`):
/// so it is looked at again after the mount ([`has_error`]).
/// Fields: `Documentation/filesystems/ext4/super.rst`. `now` is in seconds since 1970.
pub fn is_clean(block: &[u8; LENGTH], now: u64) -> bool {
    const HAS_JOURNAL: u32 = 0x4;
    const VALID: u16 = 0x1;
    let (magic, state) = (u16_at(block, 0x38), u16_at(block, 0x3A));
    let (mounts, most_mounts) = (u16_at(block, 0x34), u16_at(block, 0x36) as i16);
    let (checked, interval) = (
        u64::from(u32_at(block, 0x40)),
        u64::from(u32_at(block, 0x44)),
    );
    let due = (most_mounts > 0 && i32::from(mounts) >= i32::from(most_mounts))
        // A clock that stands before the last check says nothing.
        || (interval > 0 && (now < checked || now >= checked + interval));
    magic == 0xEF53
        && state & VALID != 0
        && !has_error(block)
        && u32_at(block, 0x5C) & HAS_JOURNAL != 0
        && !due
}

/// Whether an error is recorded.
pub fn has_error(block: &[u8; LENGTH]) -> bool {
    const ERROR: u16 = 0x2;
    u16_at(block, 0x3A) & ERROR != 0 || u32_at(block, 0x194) != 0
}

fn u16_at(block: &[u8; LENGTH], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

fn u32_at(block: &[u8; LENGTH], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_790_000_000;

    fn clean() -> [u8; LENGTH] {
        let mut block = [0; LENGTH];
        block[0x38..0x3A].copy_from_slice(&0xEF53u16.to_le_bytes());
        block[0x3A] = 1;
        block[0x36..0x38].copy_from_slice(&(-1i16).to_le_bytes());
        block[0x5C] = 0x3C;
        block[0x60] = 0xC2;
        block
    }

    #[test]
    fn whatever_e2fsck_would_look_at_is_not_clean() {
        assert!(is_clean(&clean(), NOW));
        let mut crashed = clean();
        crashed[0x60] = 0xC6;
        assert!(is_clean(&crashed, NOW), "a journal to replay");
        assert!(!is_clean(&[0; LENGTH], NOW));
        for (at, byte, what) in [
            (0x38, 0, "no ext4"),
            (0x3A, 0, "not unmounted cleanly"),
            (0x3A, 3, "an error is recorded"),
            (0x194, 1, "errors were counted"),
            (0x5C, 0x38, "no journal"),
        ] {
            let mut block = clean();
            block[at] = byte;
            assert!(!is_clean(&block, NOW), "{what}");
        }
    }

    #[test]
    fn a_check_that_is_due_is_made() {
        let mut block = clean();
        block[0x34] = 29;
        block[0x36..0x38].copy_from_slice(&30i16.to_le_bytes());
        assert!(is_clean(&block, NOW));
        block[0x34] = 30;
        assert!(!is_clean(&block, NOW));
        let mut block = clean();
        let checked = (NOW - 100) as u32;
        block[0x40..0x44].copy_from_slice(&checked.to_le_bytes());
        for (interval, is) in [(101u32, true), (100, false)] {
            block[0x44..0x48].copy_from_slice(&interval.to_le_bytes());
            assert_eq!(is_clean(&block, NOW), is);
        }
        assert!(!is_clean(&block, NOW - 200), "the clock was set back");
    }
}
