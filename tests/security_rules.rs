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

/// Rule 2. clippy, whose warnings fail `scripts/check`, wants a reason for each cast that can lose something.
#[test]
fn every_library_has_its_casts_looked_at() {
    const LINTS: [&str; 4] = ["possible_truncation", "possible_wrap", "precision_loss", "sign_loss"];
    let members = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    let ours = members.filter(|path| path.file_name().unwrap_or_default().to_string_lossy().starts_with("databases-"));
    let libraries: Vec<_> = ours.chain([root().to_owned()]).map(|path| path.join("src/lib.rs")).collect();
    assert_eq!(libraries.len(), 6);
    for library in libraries {
        let text = std::fs::read_to_string(&library).unwrap();
        let attribute = text.split("#![cfg_attr(\n    not(test),\n    warn(").nth(1).unwrap_or_default();
        let attribute = attribute.split(")]").next().unwrap_or_default();
        for lint in LINTS {
            assert!(attribute.contains(&format!("clippy::cast_{lint}")), "{}: cast_{lint} is off", library.display());
        }
    }
}

/// The lines of `file` before its tests that put SQL together: a literal that begins as a statement does and has a hole, or
/// something appended to a text of SQL.
fn sql_made_in(file: &Path) -> Vec<String> {
    const STATEMENTS: &[&str] = &[
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "REPLACE",
        "VALUES",
        "WITH",
        "SET",
        "RESET",
        "PRAGMA",
        "KILL",
        "BEGIN",
        "START",
        "SAVEPOINT",
        "RELEASE",
        "ROLLBACK",
        "COMMIT",
        "PREPARE",
        "EXECUTE",
        "DEALLOCATE",
        "DISCARD",
        "EXPLAIN",
        "ATTACH",
        "SHOW",
        "USE",
        "COPY",
        "LISTEN",
        "CALL",
        "CREATE",
        "ALTER",
        "DROP",
        "TRUNCATE",
    ];
    const APPENDED: &[&str] =
        &["sql.push", "sql +=", "sql.extend", "sql.insert_str", "(&mut sql", "(sql, \"", "text.push", "DEALLOCATE '"];
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    let makes = |line: &&str| {
        let begins = STATEMENTS.iter().any(|word| line.contains(&format!("\"{word} ")));
        !line.starts_with("//") && ((begins && line.contains('{')) || APPENDED.iter().any(|how| line.contains(how)))
    };
    text.lines().map(str::trim).filter(makes).map(str::to_owned).collect()
}

/// Rule 1. Whoever adds a line here says where what fills its hole comes from.
#[test]
fn every_place_that_puts_sql_together_is_known() {
    let known = include_str!("support/sql_made.txt");
    let known: BTreeSet<&str> = known.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let mut found = BTreeSet::new();
    for member in ["databases-core/src", "databases-postgres/src", "databases-mysql/src", "databases-sqlite/src", "src"]
    {
        let mut folders = vec![root().join(member)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                if name.contains("/conformance") || name.ends_with("tests.rs") || name.ends_with("/tests") {
                    continue;
                } else if path.is_dir() {
                    folders.push(path);
                } else if name.ends_with(".rs") {
                    found.extend(sql_made_in(&path).into_iter().map(|line| format!("{name}: {line}")));
                }
            }
        }
    }
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    let new: Vec<_> = found.difference(&known).collect();
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "not in tests/support/sql_made.txt: {new:#?}\nno longer in the sources: {gone:#?}"
    );
}
