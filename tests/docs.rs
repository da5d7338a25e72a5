//! What docs/ claims of the sources: every test that is named there exists, and every fault has one or says why not.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All Rust files below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.map(|entry| entry.expect("it can be read").path()) {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

fn crates() -> Vec<PathBuf> {
    let members = ["databases-core", "databases-postgres", "databases-sqlite", "databases-mysql"];
    members.iter().map(|name| root().join(name)).chain([root().to_owned()]).collect()
}

/// The name of the function that a line begins.
fn function(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?;
    name.split(['(', '<']).next()
}

/// The names of all tests: functions under `#[test]`, and the cases of the conformance suite.
fn tests() -> BTreeSet<String> {
    let mut files = Vec::new();
    for folder in crates().iter().flat_map(|folder| [folder.join("src"), folder.join("tests")]) {
        sources(&folder, &mut files);
    }
    let mut names = BTreeSet::new();
    for file in files {
        let (text, mut is_test) = (read(&file), false);
        for line in text.lines() {
            let line = line.trim();
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if let Some(name) = function(line) {
                if std::mem::take(&mut is_test) {
                    names.insert(name.to_owned());
                }
            } else if file.ends_with("conformance/list.rs")
                && let Some((case, _)) = line.split_once(" [").filter(|_| line.ends_with("];"))
                && let Some((_, name)) = case.split_once("::")
            {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

/// The rows of all tables, as their cells.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let rows = text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---"));
    rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// What stands between backticks and has the form of a test's name: options and calls have fewer words.
fn named(cell: &str) -> impl Iterator<Item = &str> {
    let is_name = |text: &&str| {
        let plain = text.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
        plain && text.matches('_').count() >= 3
    };
    cell.split('`').skip(1).step_by(2).filter(is_name)
}

/// Cells that a test's name or an excuse must stand in are those from the second on.
fn check(document: &str, least_rows: usize) {
    let (text, tests) = (read(&root().join(document)), tests());
    let rows = rows(&text);
    assert!(rows.len() > least_rows, "{document} has {} rows", rows.len());
    let (width, mut wrong) = (rows[0].len(), Vec::new());
    for row in &rows {
        assert_eq!(row.len(), width, "{document}: {row:?}");
        if row[1..].iter().all(|cell| !cell.contains(['`', ':'])) {
            continue; // The head of a table.
        }
        for cell in &row[1..] {
            let excused = ["absent: ", "none: "].iter().any(|word| cell.starts_with(word) && cell.len() > 20);
            if !excused && named(cell).next().is_none() {
                wrong.push(format!("`{}` has a cell without a test or a reason: {cell}", row[0]));
            }
            wrong.extend(named(cell).filter(|name| !tests.contains(*name)).map(|name| format!("no test {name}")));
        }
    }
    assert!(wrong.is_empty(), "{document}:\n{}", wrong.join("\n"));
}

#[test]
fn every_fault_has_a_test_or_a_reason() {
    check("docs/faults.md", 35);
}

#[test]
fn every_finding_about_a_driver_has_a_shield() {
    check("docs/drivers.md", 10);
}

#[test]
fn all_that_works_with_a_pooler_has_a_test() {
    check("docs/poolers.md", 6);
}

/// Pools and timeouts go by the monotonic clock, which does not jump. The other is for values.
#[test]
fn no_wait_depends_on_the_clock_of_the_day() {
    let mut files = Vec::new();
    for folder in crates() {
        sources(&folder.join("src"), &mut files);
    }
    let of_values = ["types", "interop", "conformance"].map(|folder| root().join("databases-core/src").join(folder));
    files.retain(|file| !of_values.iter().any(|folder| file.starts_with(folder)));
    assert!(files.len() > 100, "{} files", files.len());
    for file in files {
        for clock in ["SystemTime", "UNIX_EPOCH", "Utc::now", "Timestamp::now"] {
            assert!(!read(&file).contains(clock), "{} has {clock}", file.display());
        }
    }
}
