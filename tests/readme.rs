//! The README says what the code does: its tables are the code's own.
//!
//! `UPDATE_README=1 cargo test --test readme` writes them.

use etcd_rejoin::config::variables::{VARIABLES, exit_codes_table, variables_table};
use etcd_rejoin::decide::volume::{VolumeReason, volume_table};
use etcd_rejoin::decide::{Reason, table};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

fn replaced(readme: &str, name: &str, table: &str) -> String {
    let begin = format!("<!-- table:{name} -->\n");
    let start = readme
        .find(&begin)
        .expect("the README has the table's place")
        + begin.len();
    let end = start
        + readme[start..]
            .find("<!-- end -->")
            .expect("the table's place has an end");
    format!("{}{table}{}", &readme[..start], &readme[end..])
}

#[test]
fn the_readmes_tables_are_the_codes() {
    let readme = std::fs::read_to_string(README).unwrap();
    let mut wanted = replaced(&readme, "decisions", &table());
    wanted = replaced(&wanted, "volume", &volume_table());
    wanted = replaced(&wanted, "variables", &variables_table());
    wanted = replaced(&wanted, "exit-codes", &exit_codes_table());
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(README, &wanted).unwrap();
    }
    assert!(
        wanted == readme || std::env::var_os("UPDATE_README").is_some(),
        "the README's tables are old: UPDATE_README=1 cargo test --test readme"
    );
}

#[test]
fn reasons_and_variables_have_names_of_their_own() {
    let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.row().name).collect();
    names.extend(VolumeReason::ALL.iter().map(|reason| reason.row().name));
    names.extend(VARIABLES.iter().map(|variable| variable.name));
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}
