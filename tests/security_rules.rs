//! docs/security.md promises tests: each is there. And the floor of dependencies is kept.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of all functions in Rust files below `folder`.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            functions(&path, found);
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split_once('('));
            found.extend(names.map(|(name, _)| name.to_owned()));
        }
    }
}

#[test]
fn every_rule_names_tests_that_are_there() {
    let document = std::fs::read_to_string(root().join("docs/security.md")).unwrap();
    let mut found = BTreeSet::new();
    functions(root(), &mut found);
    let mut rules = 0;
    for row in document.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Rule")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        rules += 1;
        assert!(cells[0].starts_with(&format!("| {rules}. ")), "the rules are counted: {}", cells[0]);
        let tests: Vec<&str> = cells[2].split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test: {}", cells[0]);
        for test in tests {
            assert!(found.contains(test), "{}: there is no test `{test}`", cells[0]);
        }
    }
    assert_eq!(rules, 15);
}

#[test]
fn the_floor_of_dependencies_is_kept() {
    let run = Command::new(root().join("scripts/dependency-floor")).output().expect("the script runs");
    assert!(run.status.success(), "{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
}
