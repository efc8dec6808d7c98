//! What DRBD has recorded on its disk: `drbdadm get-gi`. Pure; reads DRBD 8.4 and 9.

/// The generation and the flags that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Created, and no data ever: no generation of writes.
    pub fresh: bool,
    /// It was up to date when that was last recorded.
    pub up_to_date: bool,
}

/// The generation of metadata that was only created (`UUID_JUST_CREATED` in `drbd.h`).
const JUST_CREATED: u64 = 4;

/// Reads `CURRENT:BITMAP:HISTORY:HISTORY:FLAG:FLAG:...`. DRBD 9 adds flags at the end, and prints a line
/// for each peer of several: the own generation and the first two flags are the same in all.
pub fn parse(text: &str) -> Result<Metadata, String> {
    let fields = |line: &str| -> Option<(u64, Vec<bool>)> {
        let mut fields = line.trim().split(':');
        let current = u64::from_str_radix(fields.next()?, 16).ok()?;
        let flags = fields.skip(3).map(|flag| match flag {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        });
        let flags: Option<Vec<bool>> = flags.collect();
        flags
            .filter(|flags| flags.len() >= 7)
            .map(|flags| (current, flags))
    };
    let Some((current, flags)) = text.lines().find_map(fields) else {
        let short: String = text.chars().take(120).collect();
        return Err(format!("said {short:?}, which is no generation"));
    };
    Ok(Metadata {
        // The lowest bit tells a Primary.
        fresh: current & !1 == JUST_CREATED,
        up_to_date: flags[1],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_disk_an_outdated_one_and_one_that_outdated_its_peer_are_told_apart() {
        let zeros = "0000000000000000:0000000000000000:0000000000000000";
        let fresh = parse(&format!("0000000000000004:{zeros}:0:0:0:0:0:0:0\n")).unwrap();
        assert!(fresh.fresh && !fresh.up_to_date);
        let nine = parse(&format!(
            "0000000000000004:{zeros}:0:0:0:0:1:0:0:0:0:0:0:0\n"
        ));
        assert!(nine.unwrap().fresh);
        let used = format!("14E465D0A683C8EB:{zeros}:1:0:0:0:0:1:0\n");
        let used = parse(&used).unwrap();
        assert!(!used.fresh && !used.up_to_date);
    }

    /// A crashed Primary of 9.2.18, and the disk that was outdated meanwhile.
    #[test]
    fn recorded_flags_are_read() {
        let said = include_str!("../../tests/fixtures/drbd/9/flags.get-gi");
        let read: Vec<_> = said.lines().map(|line| parse(line).unwrap()).collect();
        assert!(read.iter().all(|disk| !disk.fresh));
        assert_eq!(
            read.iter().map(|disk| disk.up_to_date).collect::<Vec<_>>(),
            [true, false]
        );
    }

    #[test]
    fn anything_else_is_named() {
        for text in [
            "",
            "No such resource",
            "4:0:0:0:1:1",
            "4:0:0:0:1:2:0:0:0:0:0",
        ] {
            assert!(parse(text).unwrap_err().contains("no generation"), "{text}");
        }
    }
}
