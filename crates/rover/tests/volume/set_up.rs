//! Is each step of a set-up what we meant? `set_up.txt` says it in words.

use etcd_rejoin_rover::table::{OnDisk, SetUp, SetUpSeen, SoFar, set_up};

use crate::cases::{self, Meaning};
use crate::text;

#[test]
fn a_volume_is_set_up_step_by_step_and_nothing_that_holds_anything_is_touched() {
    let cases = cases::cases(include_str!("set_up.txt"), &Meaning { variant, any });
    let wrong = cases::wrong(&cases, |seen| match set_up(seen) {
        SetUp::Do(step) => format!("do {}", step.name()),
        SetUp::Wait(what) => format!("wait: {what}"),
        SetUp::Done(what) => format!("done: {what}"),
        SetUp::Refuse(why) => format!("refuse: {why}"),
        SetUp::Fail(why) => format!("fail: {why}"),
        SetUp::End => "end".into(),
    });
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn any(verb: &str) -> &'static str {
    match verb {
        "first" | "ending" => "yes | no",
        "on-disk" => "nothing | ext4 | fresh | data | unreadable",
        "inside" => "unknown | nothing | ext4 | unreadable",
        "made" => "no | yes | fails",
        verb => text::any(verb),
    }
}

fn on_disk(at: usize, words: &str) -> OnDisk {
    match words {
        "nothing" => OnDisk::Nothing,
        "ext4" => OnDisk::Something("TYPE=ext4".into()),
        "fresh" => OnDisk::Metadata { fresh: true },
        "data" => OnDisk::Metadata { fresh: false },
        "unreadable" => OnDisk::Unreadable("an I/O error".into()),
        _ => panic!("line {at}: {words:?} is on no disk"),
    }
}

fn variant(at: usize, lines: &[String]) -> SetUpSeen {
    let (mut first, mut ending, mut disk) = (false, false, OnDisk::Nothing);
    let (mut no_tool, mut so_far) = (String::new(), SoFar::default());
    let mut others = Vec::new();
    for line in lines {
        match line.split_once(' ').expect("a verb and words") {
            ("first", words) => first = words == "yes",
            ("ending", words) => ending = words == "yes",
            ("on-disk", words) => disk = on_disk(at, words),
            ("mkfs", "missing") => no_tool = "mkfs.ext4 is not found".into(),
            ("held", words) => so_far.held = words == "yes",
            ("inside", "unknown") => so_far.inside = None,
            ("inside", words) => so_far.inside = Some(on_disk(at, words)),
            ("made", words) => {
                so_far.made = match words {
                    "no" => None,
                    "yes" => Some(Ok(())),
                    "fails" => Some(Err("mkfs.ext4 ended with exit code 1".into())),
                    _ => panic!("line {at}: nothing is made {words:?}"),
                }
            }
            _ => others.push(line.clone()),
        }
    }
    let (_, seen) = text::variant(at, &others);
    SetUpSeen {
        first,
        ending,
        volume: seen.volume,
        on_disk: disk,
        no_tool,
        so_far,
    }
}
