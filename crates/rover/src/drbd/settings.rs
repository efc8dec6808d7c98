//! What `drbdsetup show` says of one resource: the settings that decide whether a promotion loses
//! anything, as the kernel has them now. Pure; reads DRBD 8.4 and 9.

use crate::table::Fencing;

/// The settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What a Primary does when it loses its peer: the weakest of all connections.
    pub fencing: Fencing,
    /// DRBD 9's `quorum` option asks for at least a majority. It takes a number too (drbd.conf(5)): with
    /// `quorum 1` a machine that is alone has quorum.
    pub quorum_on: bool,
}

/// DRBD's defaults: no protection.
pub const DEFAULTS: Settings = Settings {
    fencing: Fencing::DontCare,
    quorum_on: false,
};

const DEEPEST: usize = 32;

/// Reads the output. A resource that is not in it has the defaults; the error names what is unknown.
///
/// DRBD 8.4 has `fencing` in `disk { }` of the volume, DRBD 9 in `net { }` of each connection; both
/// leave out what has its default value.
pub fn parse(text: &str, resource: &str) -> Result<Settings, String> {
    let mut of_disk = None;
    let mut of_connections: Vec<Option<Fencing>> = Vec::new();
    let mut quorum_on = false;
    for Piece {
        within,
        opens,
        words,
    } in pieces(text)?
    {
        if !ours(&within, resource) {
            continue;
        }
        match words.first().map(String::as_str) {
            Some("connection") if opens => of_connections.push(None),
            Some("fencing") if !opens => {
                let value = fencing(words.get(1))?;
                match of_connections.last_mut() {
                    Some(last) if is_in(&within, "connection") => *last = Some(value),
                    Some(_) | None => of_disk = Some(value),
                }
            }
            Some("quorum") if !opens && is_in(&within, "options") => {
                let value = words.get(1).map(String::as_str);
                quorum_on = matches!(value, Some("majority" | "all"));
            }
            Some(_) | None => {}
        }
    }
    // One connection without fencing is a peer that never learns that it is stale.
    let weakest = (of_connections.iter()).map(|said| said.unwrap_or(DEFAULTS.fencing));
    let fencing = weakest
        .min_by_key(|fencing| strength(*fencing))
        .or(of_disk)
        .unwrap_or(DEFAULTS.fencing);
    Ok(Settings { fencing, quorum_on })
}

/// Whether the `fence-peer` handler that `drbdadm dump` shows of the resource is `etcd-rejoin fence-peer`.
/// One of the section `common` is not shown, and does not count.
pub fn handler_is_ours(text: &str, resource: &str) -> bool {
    let Some(line) = handler(text, resource) else {
        return false;
    };
    let mut words = line.split_whitespace();
    let program = words.next().and_then(|program| program.rsplit('/').next());
    program == Some("etcd-rejoin") && words.next() == Some("fence-peer")
}

/// Whether that handler was given a fence command.
pub fn handler_turns_off(text: &str, resource: &str) -> bool {
    let of = |word: &str| word == "--fence-command" || word.starts_with("--fence-command=");
    handler(text, resource).is_some_and(|line| line.split_whitespace().any(of))
}

fn handler(text: &str, resource: &str) -> Option<String> {
    let handlers = |piece: &&Piece| {
        let name = piece.words.first().is_some_and(|name| name == "fence-peer");
        name && ours(&piece.within, resource) && is_in(&piece.within, "handlers")
    };
    let pieces = pieces(text).ok()?;
    let found = pieces.iter().find(handlers)?;
    found.words.get(1).cloned()
}

/// One statement, or the words before the brace of a block, with the blocks that it is in.
pub(crate) struct Piece {
    pub(crate) within: Vec<Vec<String>>,
    pub(crate) opens: bool,
    pub(crate) words: Vec<String>,
}

/// All statements of a text in DRBD's grammar.
pub(crate) fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut blocks: Vec<Vec<String>> = Vec::new();
    let mut statement: Vec<String> = Vec::new();
    let mut pieces = Vec::new();
    for word in words(text) {
        match word.as_str() {
            "{" | ";" => {
                let opens = word == "{";
                let words = std::mem::take(&mut statement);
                let within = blocks.clone();
                if opens {
                    if blocks.len() >= DEEPEST {
                        return Err("what DRBD said nests too deep".into());
                    }
                    blocks.push(words.clone());
                }
                pieces.push(Piece {
                    within,
                    opens,
                    words,
                });
            }
            "}" => {
                statement.clear();
                if blocks.pop().is_none() {
                    return Err("what DRBD said closes more blocks than it opens".into());
                }
            }
            _ => statement.push(word),
        }
    }
    match blocks.is_empty() {
        true => Ok(pieces),
        false => Err("what DRBD said has no end".into()),
    }
}

fn ours(blocks: &[Vec<String>], resource: &str) -> bool {
    let first: Vec<&str> = blocks.first().into_iter().flatten().map(|s| &**s).collect();
    first == ["resource", resource]
}

fn is_in(blocks: &[Vec<String>], name: &str) -> bool {
    (blocks.iter()).any(|block| block.first().is_some_and(|first| first == name))
}

fn strength(fencing: Fencing) -> u8 {
    match fencing {
        Fencing::DontCare => 0,
        Fencing::ResourceOnly => 1,
        Fencing::ResourceAndStonith => 2,
    }
}

fn fencing(word: Option<&String>) -> Result<Fencing, String> {
    match word.map(String::as_str) {
        Some("dont-care") => Ok(Fencing::DontCare),
        Some("resource-only") => Ok(Fencing::ResourceOnly),
        Some("resource-and-stonith") => Ok(Fencing::ResourceAndStonith),
        other => Err(format!(
            "drbdsetup show said fencing {:?}, which is unknown here",
            other.unwrap_or_default()
        )),
    }
}

/// Words, quoted words without their quotes, and the three signs. `#` starts a comment.
fn words(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for line in text.lines() {
        let mut word = String::new();
        let mut chars = line.chars();
        let end = |word: &mut String, all: &mut Vec<String>| {
            if !word.is_empty() {
                all.push(std::mem::take(word));
            }
        };
        while let Some(c) = chars.next() {
            match c {
                '#' => break,
                '{' | '}' | ';' => {
                    end(&mut word, &mut all);
                    all.push(c.to_string());
                }
                '"' => {
                    while let Some(c) = chars.next().filter(|c| *c != '"') {
                        word.push(if c == '\\' {
                            chars.next().unwrap_or(c)
                        } else {
                            c
                        });
                    }
                }
                c if c.is_whitespace() => end(&mut word, &mut all),
                c => word.push(c),
            }
        }
        end(&mut word, &mut all);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const EIGHT: &str = include_str!("../../tests/fixtures/drbd/8.4/fencing.show");
    const NINE: &str = include_str!("../../tests/fixtures/drbd/9/fencing.show");
    const QUORUM: &str = include_str!("../../tests/fixtures/drbd/9/quorum.show");

    #[test]
    fn fencing_is_of_the_disk_in_one_version_and_of_the_connection_in_the_other() {
        let eight = parse(EIGHT, "etcd").unwrap();
        assert_eq!(eight.fencing, Fencing::ResourceAndStonith);
        assert!(!eight.quorum_on);
        let nine = parse(NINE, "etcd").unwrap();
        assert_eq!(nine.fencing, Fencing::ResourceAndStonith);
        assert!(!nine.quorum_on && parse(QUORUM, "etcd").unwrap().quorum_on);
    }

    #[test]
    fn what_is_left_out_has_its_default_and_that_is_no_protection() {
        assert_eq!(parse("", "etcd"), Ok(DEFAULTS));
        assert_eq!(
            parse("# No currently configured DRBD found.\n", "etcd"),
            Ok(DEFAULTS)
        );
        assert_eq!(parse(NINE, "another"), Ok(DEFAULTS));
        for off in ["off; # default", "1;", "2;"] {
            let text = QUORUM.replace("majority;", off);
            assert!(!parse(&text, "etcd").unwrap().quorum_on, "{off}");
        }
        let all = QUORUM.replace("majority;", "all;");
        assert!(parse(&all, "etcd").unwrap().quorum_on);
    }

    #[test]
    fn a_handlers_fence_command_is_seen() {
        let with = |line: &str| {
            let text = format!("resource etcd {{ handlers {{ fence-peer \"{line}\"; }} }}");
            (
                handler_is_ours(&text, "etcd"),
                handler_turns_off(&text, "etcd"),
            )
        };
        assert_eq!(
            with("/usr/bin/etcd-rejoin fence-peer --peer a:1"),
            (true, false)
        );
        for command in ["--fence-command /off", "--fence-command=/off"] {
            let line = format!("/usr/bin/etcd-rejoin fence-peer {command}");
            assert_eq!(with(&line), (true, true));
        }
    }

    #[test]
    fn one_connection_without_fencing_is_none() {
        let end = NINE.trim_end().strip_suffix('}').unwrap();
        let second = format!("{end} connection {{ _peer_node_id 2; net {{ timeout 30; }} }} }}");
        assert_eq!(parse(&second, "etcd").unwrap().fencing, Fencing::DontCare);
    }

    #[test]
    fn what_is_cut_or_unknown_is_an_error() {
        let cut = &EIGHT[..EIGHT.len() / 2];
        assert!(parse(cut, "etcd").unwrap_err().contains("no end"));
        let odd = EIGHT.replace("resource-and-stonith", "perhaps");
        assert!(parse(&odd, "etcd").unwrap_err().contains("perhaps"));
        assert!(parse(&"a {".repeat(99), "etcd").is_err());
        assert!(parse("}", "etcd").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(resource etcd \\{)?[a-z{};\"#\\\\ \n]{0,80}") {
            let _ = parse(&text, "etcd");
        }
    }
}
