//! SQLite itself as the judge of the scanner: it reads `:name` too, so what it finds in a text must be what the scanner finds.
//!
//! The texts are made of a seed. `DATABASES_SCANNER_CASES` says how many there are.

mod common;

use common::connect;
use databases_core::sql::{Dialect, scan};
use databases_core::{Effect, ErrorKind, Params, params};
use databases_sqlite::rusqlite::Connection;

/// Columns whose names hold what a scanner could stumble over.
const TABLE: &str = r#"CREATE TABLE t (a, "x:y", [p:q], `r:s`, "say "":a""", "it's")"#;

const ATOMS: &[&str] = &[
    ":a",
    ":b",
    ":c_1",
    ":имя",
    ":a",
    "1",
    "2.5e3",
    "x'0A'",
    "NULL",
    "'text'",
    "':a'",
    "'it''s :a'",
    "'-- :a'",
    "'/* :a'",
    "'\\'",
    "'{\"k\":1}'",
    "a",
    "t.a",
    "\"x:y\"",
    "t.\"x:y\"",
    "[p:q]",
    "`r:s`",
    "t.[p:q]",
    "\"say \"\":a\"\"\"",
    "\"it's\"",
];

const OPERATORS: &[&str] = &[
    "+", "-", "*", "/", "%", "||", "=", "<>", "<", ">=", "<<", "&", "|", "->", "->>", "AND", "OR", "IS", "IS NOT",
    "LIKE",
];

const GAPS: &[&str] = &[" ", "\n", "\t ", " /* :c */ ", "/*:c' */", " -- :c ' \" [\n", "--:c\r\n", " /* /* :c */"];

/// What is put into a text to break it.
const PIECES: &[&str] = &[
    "'", "\"", "[", "]", "`", "--", "/*", "*/", ":", "::", ":a", "?", "?2", "@v", "$v", "#", "(", ")", "\\", "\\:",
    "é", ";",
];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit as u64).expect("it is below a usize")
    }

    fn of(&mut self, from: &[&'static str]) -> &'static str {
        from[self.below(from.len())]
    }
}

/// Appends the tokens of an expression.
fn expression(random: &mut Random, depth: usize, out: &mut Vec<&'static str>) {
    let mut part = |random: &mut Random, before: &[&'static str], after: &[&'static str]| {
        out.extend(before);
        expression(random, depth - 1, out);
        out.extend(after);
    };
    match if depth == 0 { 9 } else { random.below(10) } {
        0 => part(random, &["("], &[")"]),
        1 => part(random, &["(", "SELECT"], &["FROM", "t", ")"]),
        2 => part(random, &["CAST", "("], &["AS", "TEXT", ")"]),
        3 => {
            part(random, &["CASE", "WHEN"], &[]);
            part(random, &["THEN"], &["END"]);
        }
        4 => {
            part(random, &["coalesce", "("], &[]);
            part(random, &[","], &[")"]);
        }
        5 => {
            part(random, &["("], &[")", "IN"]);
            part(random, &["("], &[]);
            part(random, &[","], &[")"]);
        }
        6 | 7 => {
            part(random, &[], &[]);
            let operator = [random.of(OPERATORS)];
            part(random, &operator, &[]);
        }
        _ => out.push(random.of(ATOMS)),
    }
}

/// A statement: its tokens with gaps between them, or none where both may touch.
fn statement(random: &mut Random) -> String {
    let mut tokens = vec!["SELECT"];
    expression(random, 4, &mut tokens);
    tokens.extend(["FROM", "t"]);
    if random.below(2) == 0 {
        tokens.push("WHERE");
        expression(random, 3, &mut tokens);
    }
    let mut sql = String::new();
    for token in tokens {
        let may_touch = |c: Option<char>| c.is_some_and(|c| "(),+-*/%=<>|&".contains(c));
        let touches = may_touch(sql.chars().last()) || may_touch(token.chars().next());
        if !(sql.is_empty() || touches && random.below(2) == 0) {
            sql.push_str(random.of(GAPS));
        }
        sql.push_str(token);
    }
    sql
}

/// What the scanner makes of a text: its names by first appearance, and the native text with how many arguments it takes.
fn rewritten(sql: &str) -> Option<(Vec<String>, String, usize)> {
    let template = scan(sql, Dialect::SQLITE).ok()?;
    let names: Vec<String> = template.names().map(str::to_owned).collect();
    let params = names.iter().fold(Params::new(), |params, name| params.with(name.clone(), 1));
    let (native, args) = params.bind(&template, false).ok()?;
    Some((names, native.to_string(), args.len()))
}

#[test]
fn sqlite_finds_the_parameters_that_the_scanner_finds() {
    let cases = std::env::var("DATABASES_SCANNER_CASES").ok();
    let cases: usize = cases.map_or(10_000, |cases| cases.parse().expect("DATABASES_SCANNER_CASES is a number"));
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(TABLE).unwrap();
    let mut random = Random(20_260);
    let (mut taken, mut broken_and_taken) = (0, 0);
    for _ in 0..cases {
        let sql = statement(&mut random);
        let found = rewritten(&sql);
        if let Ok(judge) = db.prepare(&sql) {
            taken += 1;
            let names = (1..=judge.parameter_count()).filter_map(|index| judge.parameter_name(index));
            let names: Vec<String> = names.map(|name| name.trim_start_matches(':').to_owned()).collect();
            let Some((ours, native, count)) = found else { panic!("the scanner refuses {sql:?}") };
            assert_eq!(ours, names, "{sql:?}");
            let judged = db.prepare(&native).unwrap_or_else(|error| panic!("{sql:?} became {native:?}: {error}"));
            assert_eq!(judged.parameter_count(), count, "{sql:?} became {native:?}");
        } else if let Some((names, native, _)) = found {
            let is_taken = !names.is_empty() && db.prepare(&native).is_ok();
            assert!(!is_taken, "{sql:?}, which SQLite refuses, became {native:?}");
        }

        // Broken somewhere: the scanner may refuse it, but never leaves a placeholder without an argument.
        let at = random.below(sql.chars().count());
        let at = sql.char_indices().nth(at).map_or(0, |(at, _)| at);
        let broken = format!("{}{}{}", &sql[..at], random.of(PIECES), &sql[at..]);
        if let Some((names, native, count)) = rewritten(&broken)
            && !names.is_empty()
            && let Ok(judge) = db.prepare(&native)
        {
            broken_and_taken += 1;
            // The one form that is left to the session, which compares the counts before it runs anything.
            let is_left = broken.contains(":::");
            assert!(is_left || judge.parameter_count() == count, "{broken:?} became {native:?}");
        }
    }
    println!("scanner: of {cases} texts SQLite takes {taken}, and {broken_and_taken} with parameters when broken");
    assert!(taken > cases / 2 && broken_and_taken > cases / 20, "{taken} and {broken_and_taken} of {cases}");
}

#[tokio::test]
async fn a_placeholder_that_the_scanner_does_not_see_is_refused() {
    let db = connect("sqlite::memory:").await.unwrap();
    for sql in ["SELECT :a, :::b", "SELECT :a WHERE 1 = :::a"] {
        let error = db.rows_with(sql, params! { a: 1 }).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Parameters, Effect::NotSent), "{sql}: {error}");
    }
}
