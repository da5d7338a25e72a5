//! Section 4: lists.

use super::super::ItemShape::{Nested, Scalar, Tuple};
use super::super::{Dialect, SqlError, SqlErrorKind};
use super::Val::{Items, List, NoTuples, One, Seq};
use super::{MY, PG, SL, Val, bind, fails};

/// Binds `:l`, and `:s` as a scalar where it occurs.
fn with_list(sql: &str, dialect: Dialect, list: &Val) -> Result<(String, String), SqlError> {
    let both = [("l", list.clone()), ("s", One)];
    bind(sql, dialect, if sql.contains(":s") { &both } else { &both[..1] })
}

fn check(cases: &[(&str, Dialect, &str, Val, &str, &str)]) -> Result<(), SqlError> {
    for (rule, dialect, sql, list, wanted, args) in cases {
        let found = with_list(sql, *dialect, list)?;
        assert_eq!((&*found.0, &*found.1), (*wanted, *args), "{rule}, {:?}: {sql}", dialect.kind());
    }
    Ok(())
}

fn pairs() -> Val {
    Items(vec![Tuple(2), Tuple(2)])
}

#[test]
fn lists_expand() -> Result<(), SqlError> {
    check(&[
        ("L1", PG, "f(:s, :l, :s)", List(2), "f($1, $2, $3, $1)", "s l[0] l[1]"),
        ("L1 repeated", PG, "f(0, :l, :l)", List(2), "f(0, $1, $2, $1, $2)", "l[0] l[1]"),
        ("L1 repeated", SL, "f(0, :l, :l)", List(2), "f(0, ?1, ?2, ?1, ?2)", "l[0] l[1]"),
        ("L1 repeated", MY, "f(:l, :s, :l)", List(2), "f(?, ?, ?, ?, ?)", "l[0] l[1] s l[0] l[1]"),
        ("L2", MY, "x IN :l", List(2), "x IN (?, ?)", "l[0] l[1]"),
        ("L2", MY, "x IN (:l)", List(2), "x IN (?, ?)", "l[0] l[1]"),
        ("L2", PG, "VALUES :l", List(2), "VALUES ($1, $2)", "l[0] l[1]"),
        ("L2", PG, "VALUES (:l)", List(2), "VALUES ($1, $2)", "l[0] l[1]"),
        ("L3", SL, "x IN :l", pairs(), "x IN ((?1, ?2), (?3, ?4))", "l[0][0] l[0][1] l[1][0] l[1][1]"),
        ("L3", PG, "x IN (:l)", pairs(), "x IN (($1, $2), ($3, $4))", "l[0][0] l[0][1] l[1][0] l[1][1]"),
        ("L3", SL, "VALUES :l", pairs(), "VALUES (?1, ?2), (?3, ?4)", "l[0][0] l[0][1] l[1][0] l[1][1]"),
        ("L4 bracket", PG, "ARRAY[:l]", List(2), "ARRAY[$1, $2]", "l[0] l[1]"),
        ("L4 comment", PG, "f( /* = */ :l)", List(1), "f( /* = */ $1)", "l[0]"),
        ("escapes between", PG, "\\:a f(:l) \\:b", List(2), ":a f($1, $2) :b", "l[0] l[1]"),
    ])
}

#[test]
fn plain_sequences_are_lists_in_one_place_only() -> Result<(), SqlError> {
    check(&[
        ("L0", PG, "x = ANY(:l)", Seq(2), "x = ANY($1)", "l"),
        ("L0", PG, "SET tags = :l", Seq(2), "SET tags = $1", "l"),
        ("L0", PG, "VALUES (:l)", Seq(2), "VALUES ($1)", "l"),
        ("L0", PG, "x IN (0, :l)", Seq(2), "x IN (0, $1)", "l"),
        ("L0", PG, "VALUES :l", Seq(2), "VALUES ($1, $2)", "l[0] l[1]"),
        ("L0", PG, "x IN :l", Seq(2), "x = ANY ($1)", "l"),
        ("L0", SL, "x NOT IN (:l)", Seq(2), "x NOT IN (?1, ?2)", "l[0] l[1]"),
        ("L0", MY, "VALUES :l", Seq(1), "VALUES (?)", "l[0]"),
        ("one number for arrays", PG, "x IN (:l) AND x = ANY(:l)", Seq(2), "x = ANY ($1) AND x = ANY($1)", "l"),
    ])?;
    for dialect in [MY, SL] {
        for sql in ["x = :l", "VALUES (:l)", "x IN (0, :l)", "f(:l)"] {
            assert_eq!(fails(sql, dialect, &[("l", Seq(0))]).kind(), SqlErrorKind::ArrayValue, "{sql}");
        }
    }
    Ok(())
}

#[test]
fn postgres_takes_an_array_after_in() -> Result<(), SqlError> {
    check(&[
        ("L7", PG, "id IN (:l)", List(2), "id = ANY ($1)", "l"),
        ("L7", PG, "id NOT IN :l", List(2), "id <> ALL ($1)", "l"),
        ("L7", PG, "(a)in( :l )", List(2), "(a)= ANY( $1 )", "l"),
        ("L7 white space", PG, "id not \n in\t(:l)", List(2), "id <> ALL\t($1)", "l"),
        ("L7 comment behind", PG, "id NOT IN /* c */ (:l)", List(2), "id <> ALL /* c */ ($1)", "l"),
        ("L7 bare behind a comment", PG, "id IN/**/:l", List(2), "id = ANY/**/($1)", "l"),
        ("L7 comment between", PG, "id NOT -- c\n IN (:l)", List(2), "id NOT -- c\n IN ($1, $2)", "l[0] l[1]"),
        ("L7 both", PG, "id IN (:l) OR age IN (0, :l)", List(2), "id = ANY ($1) OR age IN (0, $2, $3)", "l l[0] l[1]"),
        ("L8 comments", PG, "x IN ( /* c */ :l -- d\n )", List(1), "x = ANY ( /* c */ $1 -- d\n )", "l"),
        ("L8", PG, "IN (0, :l)", List(1), "IN (0, $1)", "l[0]"),
        ("L8", PG, "IN (:l::int)", List(2), "IN ($1, $2::int)", "l[0] l[1]"),
        ("L8", PG, "IN ((:l))", List(2), "IN (($1, $2))", "l[0] l[1]"),
        ("L8 behind a dot", PG, "util.in(:l)", List(1), "util.in($1)", "l[0]"),
        ("L8 behind a dot", PG, "util . in (:l)", List(1), "util . in ($1)", "l[0]"),
        ("L8 quoted", PG, "\"in\"(:l)", List(1), "\"in\"($1)", "l[0]"),
        ("a number's dot", PG, "1.IN (:l)", List(1), "1.= ANY ($1)", "l"),
        ("a name behind a dot", PG, "t.not IN (:l)", List(1), "t.not = ANY ($1)", "l"),
        ("scalars", PG, "x IN (:s) AND y IN (:l)", List(1), "x IN ($1) AND y = ANY ($2)", "s l"),
    ])
}

#[test]
fn a_comparison_to_the_left_expands() -> Result<(), SqlError> {
    for sql in [
        "SELECT a = id IN (:l)",
        "SELECT a <> id IN (:l)",
        "SELECT a != id IN (:l)",
        "SELECT a <= id IN (:l)",
        "SELECT a >= -id IN (:l)",
        "SELECT a < id IN (:l)",
        "SELECT a =-1 IN (:l)",
        "SELECT a = (SELECT 1, 2) IN (:l)",
        "SELECT a = f(b AND c) IN (:l)",
        "SELECT a = CASE WHEN b THEN c END IN (:l)",
        "SELECT a = b[1] IN (:l)",
        "UPDATE t SET a = id IN (:l)",
    ] {
        assert_eq!(with_list(sql, PG, &List(1))?.0, sql.replace(":l", "$1"), "L9: {sql}");
    }
    for sql in [
        "SELECT a = 1 AND id IN (:l)",
        "SELECT a = 1 OR id IN (:l)",
        "SELECT a = 1, id IN (:l)",
        "SELECT a = (id IN (:l))",
        "SELECT a = 1 FROM t WHERE id IN (:l)",
        "SELECT 1 FROM t JOIN u ON id IN (:l)",
        "SELECT CASE WHEN a = 1 THEN id IN (:l) ELSE false END",
        "SELECT a = CASE WHEN id IN (:l) THEN 1 END",
        "SELECT a = b[id IN (:l)]",
        "SELECT a ->> id IN (:l)",
        "SELECT a @> id IN (:l)",
        "SELECT a << id IN (:l)",
        "SELECT f(a := id IN (:l))",
        "SELECT f(a => id IN (:l))",
        "SELECT a WHERE b = 1 GROUP BY id IN (:l)",
        "SELECT a = 1; SELECT id IN (:l)",
        "SELECT '=' || id IN (:l)",
    ] {
        assert_eq!(with_list(sql, PG, &List(1))?.0, sql.replace("IN (:l)", "= ANY ($1)"), "L9: {sql}");
    }
    Ok(())
}

#[test]
fn empty_lists() -> Result<(), SqlError> {
    check(&[
        ("L5", PG, "x IN (:l)", List(0), "x = ANY ($1)", "l"),
        ("L5", PG, "x NOT IN :l", Seq(0), "x <> ALL ($1)", "l"),
        ("L5", MY, "x IN :l", List(0), "x IN (SELECT NULL FROM DUAL WHERE FALSE)", ""),
        ("L5", MY, "x NOT IN (:l)", Seq(0), "x NOT IN (SELECT NULL FROM DUAL WHERE FALSE)", ""),
        ("L5", SL, "x IN (:l)", List(0), "x IN ()", ""),
        ("L5", SL, "x NOT IN :l", NoTuples, "x NOT IN ()", ""),
        ("L5 and others", SL, "x IN (:l) AND :s", List(0), "x IN () AND ?1", "s"),
        ("L5 repeated", SL, "x IN (:l) AND y IN (:l)", List(0), "x IN () AND y IN ()", ""),
    ])?;
    for (dialect, sql, list) in [
        (PG, "VALUES :l", List(0)),
        (PG, "f(:l)", List(0)),
        (PG, "x IN (0, :l)", List(0)),
        (PG, "a = x IN (:l)", List(0)),
        (PG, "x NOT /**/ IN (:l)", List(0)),
        (PG, "x IN (:l)", NoTuples),
        (MY, "x IN (:l)", NoTuples),
        (MY, "x IN (0, :l)", List(0)),
        (SL, "x IN (0, :l)", List(0)),
        (SL, "VALUES :l", Seq(0)),
    ] {
        assert_eq!(fails(sql, dialect, &[("l", list)]).kind(), SqlErrorKind::EmptyList, "{sql}");
    }
    Ok(())
}

#[test]
fn lists_out_of_place_and_out_of_shape() {
    for dialect in [PG, MY, SL] {
        for sql in ["x = :l", ":l", "x IN (a + :l)", "LIMIT :l", "x LIKE /* ( */ :l", "t.in :l"] {
            assert_eq!(fails(sql, dialect, &[("l", List(2))]).kind(), SqlErrorKind::ListPosition, "L4: {sql}");
        }
        for items in [
            vec![Tuple(2), Tuple(3)],
            vec![Tuple(0)],
            vec![Nested],
            vec![Scalar, Tuple(1)],
            vec![Tuple(1), Scalar],
            vec![Scalar, Nested],
        ] {
            for sql in ["x IN (:l)", "VALUES :l", "f(0, :l)"] {
                let error = fails(sql, dialect, &[("l", Items(items.clone()))]);
                assert_eq!(error.kind(), SqlErrorKind::RaggedList, "L6: {sql} {items:?}");
            }
        }
    }
}

#[test]
fn the_limit_counts_arguments() -> Result<(), SqlError> {
    let few = SL.with_max_parameters(4);
    assert_eq!(bind("x IN (:l)", few, &[("l", List(4))])?.1.split(' ').count(), 4);
    assert_eq!(fails("x IN (:l)", few, &[("l", List(5))]).kind(), SqlErrorKind::TooMany);
    assert_eq!(fails("x IN (:l) AND :s", few, &[("l", List(4)), ("s", One)]).kind(), SqlErrorKind::TooMany);
    assert!(bind("x IN (:l) AND y IN (:l)", few, &[("l", List(4))]).is_ok(), "numbers are reused");
    let few = MY.with_max_parameters(4);
    assert_eq!(fails("x IN (:l) AND y IN (:l)", few, &[("l", List(3))]).kind(), SqlErrorKind::TooMany);
    assert_eq!(fails(":a :a :a :a :a", few, &[("a", One)]).kind(), SqlErrorKind::TooMany);
    assert_eq!(bind("x IN (:l)", PG, &[("l", List(1_000_000))])?.1, "l", "one array");
    assert_eq!(fails("f(:l)", PG, &[("l", List(65_536))]).kind(), SqlErrorKind::TooMany);
    assert_eq!(bind("f(:l)", PG, &[("l", List(65_535))])?.1.split(' ').count(), 65_535);
    Ok(())
}
