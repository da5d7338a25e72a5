//! Section 5: kinds, their order, places, messages and hints.

use super::super::{Dialect, SqlErrorKind, SqlErrorKind::*, scan};
use super::Val::{self, Items, List, One, Seq};
use super::{ALL, MY, PG, SL, fails};

/// A text, its values, and what to expect of the error.
type Case<'a, T> = (Dialect, &'a str, &'a [(&'a str, Val)], T);

#[test]
fn errors_come_in_their_order() {
    let ragged = Items(vec![super::super::ItemShape::Tuple(0)]);
    let few = PG.with_max_parameters(1);
    let cases: [Case<SqlErrorKind>; 9] = [
        (MY, "'\0", &[], NulByte),
        (MY, "/*! :a */ ? '", &[], Unterminated),
        (MY, "? /*! :a */", &[], ExecutableComment),
        (MY, "? :a", &[("b", One)], Mixed),
        (MY, ":a = :l", &[("b", One), ("l", List(1))], Missing),
        (MY, "= :l", &[("b", One), ("l", List(1))], Unused),
        (MY, "(:e) = :l", &[("e", List(0)), ("l", Seq(1))], ArrayValue),
        (MY, "(:r) (:e)", &[("e", List(0)), ("r", ragged.clone())], EmptyList),
        (few, "(:l) (:r)", &[("l", List(5)), ("r", ragged)], RaggedList),
    ];
    for (dialect, sql, values, kind) in cases {
        assert_eq!(fails(sql, dialect, values).kind(), kind, "{sql:?}");
    }
}

#[test]
fn native_placeholders_and_values_do_not_mix() {
    assert_eq!(fails("SELECT $1", PG, &[("a", One)]).kind(), Mixed);
    assert_eq!(fails("SELECT ?", MY, &[("a", One)]).message(), "native placeholder `?` beside values given by name");
}

#[test]
fn display_shows_the_line_and_a_caret() {
    let sql = "SELECT *\nFROM users u\nWHERE u.name = :nmae AND u.id = :id";
    let error = fails(sql, PG, &[("name", One)]);
    assert_eq!(
        error.to_string(),
        "no value for parameter `nmae` (and 1 more: `id`)\n --> SQL 3:16\n  |  WHERE u.name = :nmae AND u.id = :id\n  |                 ^^^^^\n  \
         hint: a value named `name` was given"
    );
    assert_eq!(error.names(), ["nmae", "id"]);
    assert_eq!((error.at(), error.line_col()), (Some(37), Some((3, 16))));
    assert_eq!(size_of_val(&error), size_of::<usize>());
}

#[test]
fn long_lines_are_cut_around_the_place() {
    let sql = format!("SELECT {} :x {}", "é".repeat(300), "b".repeat(300));
    let shown = fails(&sql, PG, &[]).to_string();
    assert!(shown.lines().all(|line| line.chars().count() < 140), "{shown}");
    let lines: Vec<&str> = shown.lines().collect();
    let caret = lines[3].chars().position(|letter| letter == '^').unwrap_or_default();
    assert_eq!(lines[2].chars().nth(caret), Some(':'), "{shown}");
}

#[test]
fn columns_count_characters_and_odd_letters_are_escaped() {
    let error = fails("'é→'\r\n\t, :a\u{a0}b", PG, &[("a", One)]);
    assert_eq!(error.line_col(), Some((2, 4)));
    assert_eq!(error.names(), ["a\u{a0}b"]);
    assert!(error.message().contains("`a\\u{a0}b`"), "{error}");
    assert!(!error.to_string().contains(['\u{a0}', '\r', '\t']), "{error}");
    let error = fails("SELECT 1", PG, &[("a\n\u{202e}", One)]);
    assert!(error.message().contains("`a\\u{a}\\u{202e}`"), "{error}");
}

#[test]
fn hints_say_what_to_do() {
    let cases: [Case<&str>; 27] = [
        (PG, "'\0'", &[], "bind it as a value"),
        (PG, ":Name", &[("name", One)], "a value named `name` was given"),
        (PG, ":nmae", &[("name", One)], "a value named `name` was given"),
        (PG, ":user", &[("users", One)], "a value named `users` was given"),
        (PG, ":usxr", &[("user", One)], "a value named `user` was given"),
        (PG, "a[:x]", &[("y", One)], "a slice bound? write `\\:`"),
        (PG, ":x", &[], "no values were given"),
        (PG, "':nn' ':n'", &[("n", One)], "inside a string literal at 1:8"),
        (PG, "-- :n", &[("n", One)], "in a comment at 1:4"),
        (PG, "\":n\"", &[("n", One)], "inside a quoted identifier at 1:2"),
        (PG, "DO $$ :n $$", &[("n", One)], "in a dollar-quoted body at 1:7: DO takes no parameters"),
        (PG, "LIMIT:n", &[("n", One)], "directly behind the word LIMIT: put a space"),
        (PG, "(1):n", &[("n", One)], "directly behind an operand"),
        (PG, "x::n", &[("n", One)], "`::n` is a cast"),
        (PG, "x \\:n", &[("n", One)], "the backslash"),
        (PG, ":nn", &[("n", One), ("nn", One)], "allow_unused"),
        (PG, ":a $1", &[("a", One)], "use :names only"),
        (SL, "LIMIT:n", &[("n", One)], "directly behind the word LIMIT"),
        (MY, "'a\\' :x", &[], "write `\\\\`"),
        (PG, "/* /* */", &[], "comments nest"),
        (MY, "/*! :x */", &[], "move it out of `/*! */`"),
        (MY, "= :l", &[("l", Seq(1))], "`IN (:l)`"),
        (PG, "= :l", &[("l", List(1))], "`= ANY(:l)`"),
        (PG, "a = b IN (:l)", &[("l", List(0))], "put `.. IN (:l)` in parentheses"),
        (PG, "b NOT /**/ IN (:l)", &[("l", List(0))], "move the comment"),
        (PG, "f(:l)", &[("l", List(70_000))], "= ANY(:ids)"),
        (SL, "f(:l)", &[("l", List(70_000))], "json_each"),
    ];
    for (dialect, sql, values, wanted) in cases {
        let error = fails(sql, dialect, values);
        assert!(error.hint().is_some_and(|hint| hint.contains(wanted)), "{sql:?}: {error}");
    }
}

#[test]
fn unused_names_are_sorted_and_missing_ones_in_order() {
    for dialect in ALL {
        let error = fails(":z", dialect, &[("z", One), ("y", One), ("b", One), ("y", One)]);
        assert_eq!((error.kind(), error.at()), (Unused, None));
        assert_eq!(error.names(), ["b", "y"]);
        let error = fails(":z :y :z :a", dialect, &[("y", One)]);
        assert_eq!((error.kind(), error.at()), (Missing, Some(0)));
        assert_eq!(error.names(), ["z", "a"]);
    }
}

#[test]
fn a_name_given_twice_is_used() {
    assert!(super::bind(":a", PG, &[("a", One), ("a", One)]).is_ok());
}

#[test]
fn scan_raises_only_what_needs_no_values() {
    for sql in ["/*! :a */", ":a ?", ":a"] {
        assert!(scan(sql, MY).is_ok(), "{sql}");
    }
}
