//! README and `docs/` say what the code does: their tables are the code's own, and no link leads nowhere.
//!
//! `UPDATE_DOCS=1 cargo test --test readme` writes the tables.

#[path = "support/book.rs"]
mod book;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use book::replaced;
use etcd_rejoin::config::foreign_table;
use etcd_rejoin::config::variables::{VARIABLES, exit_codes_table, variables_table};
use etcd_rejoin::decide::{Reason, cures_table, recovery_table, table};
use etcd_rejoin::rover::table::{VolumeReason, volume_cures_table, volume_table};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_tables_are_the_codes() {
    let update = std::env::var_os("UPDATE_DOCS").is_some();
    for (page, name, table) in [
        ("decisions", "decisions", table()),
        ("recovery", "recovery", recovery_table()),
        ("promotion", "volume", volume_table()),
        ("reasons", "cures", cures_table()),
        ("reasons", "volume-cures", volume_cures_table()),
        ("settings", "variables", variables_table()),
        ("exit-codes", "exit-codes", exit_codes_table()),
        ("migrating", "foreign", foreign_table()),
    ] {
        let path = root().join(format!("docs/{page}.md"));
        let is = read(&path);
        let wanted = replaced(&is, name, &table);
        if update {
            fs::write(&path, &wanted).unwrap();
        }
        assert!(
            wanted == is || update,
            "docs/{page}.md is old: UPDATE_DOCS=1 cargo test --test readme"
        );
    }
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

// ---- size ---------------------------------------------------------------------------------------

/// What is read in five minutes. More belongs into `docs/`.
const README_BYTES: usize = 10_000;

#[test]
fn the_readme_is_read_in_five_minutes() {
    let bytes = read(&root().join("README.md")).len();
    assert!(
        bytes <= README_BYTES,
        "README.md has {bytes} bytes, and may have {README_BYTES}"
    );
}

#[test]
fn the_readme_begins_with_the_quickstart_and_all_tests() {
    let readme = read(&root().join("README.md"));
    let commands: Vec<&str> = (readme.lines())
        .filter_map(|line| line.strip_prefix("$ "))
        .collect();
    assert_eq!(
        commands[..2],
        ["./examples/quickstart.sh", "./tests/run.sh"]
    );
}

#[test]
fn the_readme_names_the_oldest_rust() {
    let cargo = read(&root().join("Cargo.toml"));
    let version = (cargo.lines())
        .find_map(|line| line.strip_prefix("rust-version = "))
        .expect("Cargo.toml names it");
    let words = format!("Rust {}", version.trim_matches('"'));
    assert!(read(&root().join("README.md")).contains(&words), "{words}");
}

/// Whoever copies any of these gets the etcd that `docker/Dockerfile` takes.
#[test]
fn one_etcd_image_is_named_everywhere() {
    const UPSTREAM: &str = "quay.io/coreos/etcd:";
    let dockerfile = read(&root().join("docker/Dockerfile"));
    let argument = (dockerfile.lines()).find_map(|line| line.strip_prefix("ARG ETCD_IMAGE="));
    let wanted = argument.expect("the Dockerfile has a default");
    for page in [
        "README.md",
        "docs/starting.md",
        "docs/limits.md",
        "examples/Dockerfile",
        "examples/compose.yaml",
    ] {
        let text = read(&root().join(page));
        let named = text.split(UPSTREAM).skip(1);
        let tags: BTreeSet<&str> = named
            .map(|rest| rest.split(|c: char| !(c.is_alphanumeric() || ".-_".contains(c))))
            .map(|mut words| words.next().unwrap_or_default().trim_end_matches('.'))
            .collect();
        let tags: Vec<String> = tags.iter().map(|tag| format!("{UPSTREAM}{tag}")).collect();
        assert_eq!(tags, [wanted], "{page}");
    }
}

#[test]
fn the_picture_shows_the_quickstart_of_today() {
    let script = read(&root().join("examples/quickstart.sh"));
    let picture = read(&root().join("docs/quickstart.svg"));
    let titles: Vec<&str> = (script.lines())
        .filter_map(|line| line.strip_prefix("title \"")?.strip_suffix('"'))
        .filter(|title| title.starts_with(char::is_numeric))
        .collect();
    assert_eq!(titles.len(), 5);
    for title in titles {
        let line = format!(">{title}</text>");
        assert!(
            picture.contains(&line),
            "{title} is not in the picture: docs/record-quickstart.sh"
        );
    }
    assert!(picture.contains("reason=data-lost") && picture.contains("n3 is a voter again"));
}

// ---- links --------------------------------------------------------------------------------------

/// Every page of ours that is Markdown.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![root().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(".md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

/// The text without blocks of code, split at its backticks: prose and spans of code, in turn.
fn parts(text: &str) -> Vec<String> {
    let mut in_block = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        in_block ^= fence;
        !in_block && !fence
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    text.split('`').map(String::from).collect()
}

/// The text without code, which holds no links.
fn prose(text: &str) -> String {
    parts(text).into_iter().step_by(2).collect()
}

/// The spans of code.
fn spans(text: &str) -> Vec<String> {
    parts(text).into_iter().skip(1).step_by(2).collect()
}

/// The targets of `[words](target)`.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let behind = prose.split("](").skip(1);
    behind
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_string())
        .collect()
}

/// The anchors of a page, as mdBook and GitHub make them of its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut in_block = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        in_block ^= line.starts_with("```");
        if let Some(heading) = line.strip_prefix('#').filter(|_| !in_block) {
            let words = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                _ => None,
            });
            found.insert(kept.collect());
        }
    }
    found
}

/// What is wrong with a link, if anything.
fn dead(page: &Path, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = match path {
        "" => page.to_path_buf(),
        path => page.parent().unwrap().join(path),
    };
    let Ok(file) = file.canonicalize() else {
        return Some("leads to no file");
    };
    let book = root().join("docs").canonicalize().unwrap();
    if page.canonicalize().unwrap().starts_with(&book) && !file.starts_with(&book) {
        return Some("leads out of the book, where the built book has nothing");
    }
    (!anchor.is_empty() && !anchors(&read(&file)).contains(anchor)).then_some("names no heading")
}

#[test]
fn every_link_leads_somewhere() {
    let mut found = Vec::new();
    let mut seen = 0;
    for page in pages() {
        for target in links(&read(&page)) {
            seen += 1;
            if let Some(why) = dead(&page, &target) {
                found.push(format!("{}: {target} {why}", page.display()));
            }
        }
    }
    assert!(seen > 30, "only {seen} links were seen");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_dead_link_is_noticed() {
    let page = root().join("docs/decisions.md");
    let dead = |target: &str| dead(&page, target);
    assert_eq!(dead("reasons.md"), None);
    assert_eq!(dead("#three-notes"), None);
    assert_eq!(dead("limits.md#versions-of-etcd"), None);
    assert!(dead("no-such-page.md").is_some());
    assert!(dead("#no-such-heading").is_some());
    assert!(dead("limits.md#no-such-heading").is_some());
    assert!(dead("../README.md").is_some());
    let text = "[a](b.md) `[c](d.md)`\n```\n[e](f.md)\n```\n[g\nh](i.md#j)";
    assert_eq!(links(text), ["b.md", "i.md#j"]);
}

/// The text of every test.
fn tests() -> String {
    let mut text = String::new();
    let mut folders = vec![root().join("tests"), root().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                text += &read(&path);
            }
        }
    }
    text
}

/// A claim names the test that backs it, and a page the file that it speaks of.
#[test]
fn every_file_and_test_that_is_named_exists() {
    let tests = tests();
    let mut missing = Vec::new();
    let (mut files, mut names) = (0, 0);
    for page in pages() {
        for span in spans(&read(&page)) {
            let word = span.split(' ').next().unwrap_or_default();
            let of_ours = [
                "tests/",
                "examples/",
                "docker/",
                "benches/",
                "src/",
                "crates/",
                "docs/",
            ];
            let is_test = word.matches('_').count() >= 3
                && (word.chars()).all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            let exists = if of_ours.iter().any(|folder| word.starts_with(folder)) {
                files += 1;
                word.contains('*') || root().join(word).exists()
            } else if is_test {
                names += 1;
                tests.contains(&format!("fn {word}("))
            } else {
                true
            };
            if !exists {
                missing.push(format!("{}: {span}", page.display()));
            }
        }
    }
    assert!(files > 30 && names > 2, "{files} files and {names} tests");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Who reads the log has no links: the program names the page itself.
#[test]
fn the_pages_that_the_program_names_exist() {
    let said = cures_table() + &volume_cures_table() + &foreign_table();
    let words = said.split(|c: char| !(c.is_alphanumeric() || "/.-_".contains(c)));
    let pages: Vec<&str> = words.filter(|word| word.starts_with("docs/")).collect();
    assert!(!pages.is_empty());
    for page in pages {
        assert!(root().join(page).exists(), "{page}");
    }
}

#[test]
fn the_contents_name_every_page_once() {
    let summary = read(&root().join("docs/SUMMARY.md"));
    let mut listed = links(&summary);
    listed.sort();
    let mut pages: Vec<String> = (fs::read_dir(root().join("docs")).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".md") && name != "SUMMARY.md")
        .collect();
    pages.sort();
    assert_eq!(listed, pages);
}
