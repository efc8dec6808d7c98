//! As much of protobuf as etcd's WAL and snapshot files need. Any bytes may come in.

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// A varint.
    Number(u64),
    /// This many bytes follow.
    Bytes(u64),
    /// A fixed number of bytes, not looked at.
    Fixed(u64),
}

/// The longest head that a field can have: a tag and a varint.
pub const MAX_HEAD: usize = 20;

/// Reads a varint at the start of `bytes`: its value, and how many bytes it took.
pub fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        if i == 9 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}

/// Reads a field's head at the start of `bytes`: its number, its kind, and how many bytes the head took.
pub fn head(bytes: &[u8]) -> Option<(u64, Field, usize)> {
    let (tag, tag_len) = varint(bytes)?;
    let number = tag >> 3;
    if number == 0 {
        return None;
    }
    match tag & 7 {
        0 => {
            let (value, len) = varint(&bytes[tag_len..])?;
            Some((number, Field::Number(value), tag_len + len))
        }
        1 => Some((number, Field::Fixed(8), tag_len)),
        2 => {
            let (value, len) = varint(&bytes[tag_len..])?;
            Some((number, Field::Bytes(value), tag_len + len))
        }
        5 => Some((number, Field::Fixed(4), tag_len)),
        _ => None,
    }
}

/// The varint fields of a small message, by number; 0 where one is missing. `None`: it does not read.
///
/// A message that was cut is read as far as it goes if `cut` is set.
pub fn numbers<const N: usize>(mut bytes: &[u8], cut: bool) -> Option<[u64; N]> {
    let mut found = [0; N];
    while !bytes.is_empty() {
        let Some((number, field, len)) = head(bytes) else {
            return cut.then_some(found);
        };
        bytes = &bytes[len..];
        let skip = match field {
            Field::Number(value) => {
                if let Some(slot) = (number as usize)
                    .checked_sub(1)
                    .and_then(|i| found.get_mut(i))
                {
                    *slot = value;
                }
                0
            }
            Field::Bytes(len) | Field::Fixed(len) => len,
        };
        match usize::try_from(skip)
            .ok()
            .and_then(|skip| bytes.get(skip..))
        {
            Some(rest) => bytes = rest,
            None => return cut.then_some(found),
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_read_and_overlong_ones_do_not() {
        assert_eq!(varint(&[0x96, 0x01, 9]), Some((150, 2)));
        let mut max = [0xff; 10];
        max[9] = 1;
        assert_eq!(varint(&max), Some((u64::MAX, 10)));
        assert_eq!(varint(&[0xff; 10]), None);
        assert_eq!(varint(&[0x80]), None);
        assert_eq!(varint(&[]), None);
    }

    #[test]
    fn a_message_is_read_by_field_numbers() {
        let bytes = [0x08, 5, 0x10, 7, 0x1a, 2, 1, 1];
        assert_eq!(numbers::<2>(&bytes, false), Some([5, 7]));
        assert_eq!(numbers::<2>(&bytes[..7], false), None);
        assert_eq!(numbers::<2>(&bytes[..7], true), Some([5, 7]));
    }
}
