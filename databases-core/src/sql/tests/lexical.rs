//! Sections 2, 3 and 8: what is a parameter, and what the servers take for text.

use super::super::{Dialect, DialectKind, SqlError, SqlErrorKind, scan};
use super::{ALL, MY, PG, SL, scalars};

fn check(cases: &[(&str, Dialect, &str, &str)]) -> Result<(), SqlError> {
    for &(rule, dialect, sql, wanted) in cases {
        assert_eq!(scalars(sql, dialect)?, wanted, "{rule}, {:?}", dialect.kind());
    }
    Ok(())
}

/// The texts in which nothing is a parameter.
fn untouched(cases: &[(&str, Dialect, &str)]) -> Result<(), SqlError> {
    for &(rule, dialect, sql) in cases {
        assert_eq!(scalars(sql, dialect)?, sql, "{rule}, {:?}", dialect.kind());
    }
    Ok(())
}

#[test]
fn names_and_what_may_stand_before_them() -> Result<(), SqlError> {
    for dialect in ALL {
        for (rule, sql, wanted) in [
            ("P1", ":a", "$1"),
            ("P1", "=:a+:b", "=$1+$2"),
            ("P1", "(:a,:b)", "($1,$2)"),
            ("P1", "-:a", "-$1"),
            ("P1", "x\n:a", "x\n$1"),
            ("P1", "/* c */:a", "/* c */$1"),
            ("P2", ":_x9", "$1"),
            ("P2", ":имя_é", "$1"),
            ("P2", ":a-b", "$1-b"),
            ("P2", ":a.b", "$1.b"),
        ] {
            let wanted = match dialect.kind() {
                DialectKind::Postgres => wanted.to_owned(),
                DialectKind::MySql => wanted.replace("$1", "?").replace("$2", "?"),
                DialectKind::Sqlite => wanted.replace('$', "?"),
            };
            assert_eq!(scalars(sql, dialect)?, wanted, "{rule}: {sql}");
        }
        untouched(&[
            ("P3", dialect, "x := 1"),
            ("P3", dialect, ": a"),
            ("P3", dialect, "x[1 :2]"),
            ("P3", dialect, ":'v'"),
            ("P3", dialect, ":{x}"),
            ("P3", dialect, ":"),
            ("P4", dialect, "1 ::int"),
            ("P4", dialect, ":::x"),
            ("P5", dialect, "rd:LOOP"),
            ("P5", dialect, "f(x):hi"),
            ("P5", dialect, "'k':col"),
            ("P5", dialect, "\"k\":col"),
            ("P5", dialect, "é:hi"),
            ("E1", dialect, "\\ \\x"),
            ("W", dialect, "a$b$ v$session"),
        ])?;
    }
    Ok(())
}

#[test]
fn postgres_literals() -> Result<(), SqlError> {
    let off = PG.with_standard_conforming_strings(false);
    check(&[
        ("W", PG, "SELECT a$b$, :x, c$b$", "SELECT a$b$, $1, c$b$"),
        ("W", PG, "rate'..' :x", "rate'..' $1"),
        ("Q1", PG, r"'\' :x", r"'\' $1"),
        ("Q1", PG, "'it''s' :x", "'it''s' $1"),
        ("Q2", PG, r"E'\'' :x", r"E'\'' $1"),
        ("Q2", PG, r"e'\\' :x", r"e'\\' $1"),
        ("Q2 the whole word", PG, r"name'C:\' :x", r"name'C:\' $1"),
        ("Q2 the whole word", PG, r"type'\' :x", r"type'\' $1"),
        ("Q2 glued", PG, r"E '\' :x", r"E '\' $1"),
        ("Q2 off", off, r"'\'' :x", r"'\'' $1"),
        ("Q2 off", off, r"B'\' :x", r"B'\' $1"),
        ("Q2 off", off, r"x'\' :x", r"x'\' $1"),
        ("Q3", PG, "E'a'\n'\\' :x' :y", "E'a'\n'\\' :x' $1"),
        ("Q3 comment", PG, "E'a' -- it's\n '\\' :x' :y", "E'a' -- it's\n '\\' :x' $1"),
        ("Q3 comments", PG, "E'a'\n-- it's\n--\n'\\' :x' :y", "E'a'\n-- it's\n--\n'\\' :x' $1"),
        ("Q3 no newline", PG, "E'a' '\\' :x", "E'a' '\\' $1"),
        ("Q3 block comment", PG, "E'a'/*\n*/\n'\\' :x", "E'a'/*\n*/\n'\\' $1"),
        ("Q3 plain", PG, "'a'\n'\\' :x", "'a'\n'\\' $1"),
        ("Q3 off", off, "B'1'\n'\\' :x", "B'1'\n'\\' $1"),
        ("Q4", PG, "\"a\"\"b:c\\\" :x", "\"a\"\"b:c\\\" $1"),
        ("Q5", PG, "$$ ' :a $x $$ :x", "$$ ' :a $x $$ $1"),
        ("Q5", PG, "$t$ $T$ $tt$ x$t$ :x", "$t$ $T$ $tt$ x$t$ $1"),
        ("Q5 ends inside a word", PG, "$b$x$b$ :x", "$b$x$b$ $1"),
        ("Q5 non-ASCII tag", PG, "$é$ :a $é$ :x", "$é$ :a $é$ $1"),
        ("Q5 unequal start", PG, "$a$ $$a$ :x", "$a$ $$a$ $1"),
        ("Q7", PG, "a ` :x", "a ` $1"),
        ("Q8", PG, "a[:x]", "a[$1]"),
        ("slices", PG, "a[:p:hi], a[lo:hi], a[\\:p]", "a[$1:hi], a[lo:hi], a[:p]"),
        ("slices", PG, "a[f(x):hi] = :x", "a[f(x):hi] = $1"),
        ("N1 is an operator", PG, "x ? :k AND x ?| :l AND x @? :m", "x ? $1 AND x ?| $2 AND x @? $3"),
        ("C4 is an operator", PG, "1 # :x", "1 # $1"),
        ("no-break space", PG, "a\u{a0}:x + :y", "a\u{a0}:x + $1"),
    ])
}

#[test]
fn mysql_literals() -> Result<(), SqlError> {
    let nbe = MY.with_no_backslash_escapes(true);
    let ansi = MY.with_ansi_quotes(true);
    check(&[
        ("W", MY, "$a':x' :y", "$a':x' ?"),
        ("Q1", nbe, r"'\' :x", r"'\' ?"),
        ("Q6", MY, r"'\' :x' :y", r"'\' :x' ?"),
        ("Q6", MY, r#""\" :x" :y"#, r#""\" :x" ?"#),
        ("Q6", MY, r#""a""b" :y"#, r#""a""b" ?"#),
        ("Q6", nbe, r#""\" :x"#, r#""\" ?"#),
        ("Q4", ansi, r#""\" :x, '\'' "#, r#""\" ?, '\'' "#),
        ("Q7", MY, r"`a``b:c\` :x", r"`a``b:c\` ?"),
        ("Q5 is a word", MY, "$$ :x $$", "$$ ? $$"),
        ("Q8", MY, "[:x", "[?"),
        ("user variables", MY, "SET @a := :x, @b = @'c:d', @@e.f = :y", "SET @a := ?, @b = @'c:d', @@e.f = ?"),
    ])
}

#[test]
fn sqlite_literals() -> Result<(), SqlError> {
    check(&[
        ("Q1", SL, r"'\' , :x", r"'\' , ?1"),
        ("Q4", SL, "\"a\"\"b:c\" , :x", "\"a\"\"b:c\" , ?1"),
        ("Q7", SL, "`a``b:c` , :x", "`a``b:c` , ?1"),
        ("Q8", SL, "[a''b:c[] , :x", "[a''b:c[] , ?1"),
        ("Q2 is no prefix", SL, r"e'\' , :x", r"e'\' , ?1"),
        ("B3", SL, ":x(1)", "?1(1)"),
        ("B3", SL, ":x::int", "?1::int"),
    ])
}

#[test]
fn comments() -> Result<(), SqlError> {
    check(&[
        ("C1", PG, "--:a\n:x", "--:a\n$1"),
        ("C1", PG, "--:a\r:x", "--:a\r$1"),
        ("C1", SL, "--:a\r:b\n:x", "--:a\r:b\n?1"),
        ("C1 in an operator", PG, "1+--:a\n:x", "1+--:a\n$1"),
        ("C2", PG, "/* /* :a */ :b */ :x", "/* /* :a */ :b */ $1"),
        ("C2 in an operator", PG, "1+/*:a*/:x", "1+/*:a*/$1"),
        ("C2", SL, "/* /* :a */ :x", "/* /* :a */ ?1"),
        ("C2", MY, "/* /* :a */ :x", "/* /* :a */ ?"),
        ("C2", SL, "/*/ :a */ :x", "/*/ :a */ ?1"),
        ("C3", MY, "5--:x", "5--?"),
        ("C3", MY, "5 --\t:a", "5 --\t:a"),
        ("C3", MY, "5 --\u{1}:a", "5 --\u{1}:a"),
        ("C3", MY, "5 --\u{7f}:a", "5 --\u{7f}:a"),
        ("C3", MY, "5 -- :a\r:b\n:x", "5 -- :a\r:b\n?"),
        ("C3", MY, ":x --", "? --"),
        ("C4", MY, "# it's :a\n:x#:b", "# it's :a\n?#:b"),
        ("C5", MY, "/*! a ':b' /* :c */ d */ :x", "/*! a ':b' /* :c */ d */ ?"),
        ("C5", MY, "/*!50000 '*/' */ :x", "/*!50000 '*/' */ ?"),
        ("C5", MY, "/*M!100000 `*/` */ :x", "/*M!100000 `*/` */ ?"),
        ("C5", MY, "/*+ :a */ :x", "/*+ :a */ ?"),
        ("C5 is plain", PG, "/*! :a */ :x", "/*! :a */ $1"),
        ("C6", SL, ":x /* :a", "?1 /* :a"),
        ("C6", SL, ":x /* :a *", "?1 /* :a *"),
    ])
}

#[test]
fn open_literals_are_found_where_they_open() {
    for (dialect, sql, at) in [
        (PG, "a 'b", 2),
        (PG, "a E'b\\'", 3),
        (PG, "a E'b'\n'c", 3),
        (PG, "'a' \"b", 4),
        (PG, "a $x$ $y$", 2),
        (PG, "a $$", 2),
        (PG, "/* a /* b */", 0),
        (PG, "a /*", 2),
        (MY, "a `b", 2),
        (MY, "a \"b'", 2),
        (MY, "a 'b\\", 2),
        (MY, "a /* b", 2),
        (MY, "a /*! b", 2),
        (MY, "a /*! 'b */", 6),
        (SL, "a [b", 2),
        (SL, "é 'b''", 3),
    ] {
        let error = scan(sql, dialect).map_err(|error| (error.kind(), error.at()));
        assert_eq!(error.err(), Some((SqlErrorKind::Unterminated, Some(at))), "{sql}");
    }
}

#[test]
fn native_placeholders_go_as_they_are_without_names() -> Result<(), SqlError> {
    untouched(&[
        ("N1", PG, "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql RETURN $1"),
        ("N1", MY, "SELECT ?"),
        ("N1", SL, "SELECT ?, ?2, @a, $b, #c, :1, x:d"),
        ("labels", MY, "CREATE PROCEDURE p() a:BEGIN LEAVE a; END"),
    ])
}

#[test]
fn native_placeholders_beside_names_are_found() {
    for (dialect, sql, at) in [
        (PG, "$1 :a", 0),
        (PG, ":a $22", 3),
        (MY, ":a 'x?' ?", 8),
        (MY, ":a /*! ? */", 7),
        (SL, ":a ?", 3),
        (SL, ":a ?12", 3),
        (SL, ":a @b", 3),
        (SL, ":a $b", 3),
        (SL, ":a #b", 3),
        (SL, ":a :1", 3),
        (SL, ":a LIMIT:b", 8),
        (SL, ":a \\:b", 4),
        (SL, ":a:b", 2),
    ] {
        let error = scalars(sql, dialect).map_err(|error| (error.kind(), error.at()));
        assert_eq!(error.err(), Some((SqlErrorKind::Mixed, Some(at))), "{sql}");
    }
    for (dialect, sql) in [(PG, ":a ? a$1 $x"), (MY, ":a $1 @v"), (SL, ":a [?] @ $ :: #")] {
        assert!(scalars(sql, dialect).is_ok(), "{sql}");
    }
}

#[test]
fn numbers_and_repeats() -> Result<(), SqlError> {
    check(&[
        ("B1", PG, ":b :a :b", "$1 $2 $1"),
        ("B2", MY, ":b :a :b", "? ? ?"),
        ("B3", SL, ":b :a :b", "?1 ?2 ?1"),
        ("B1", PG, ":A :a", "$1 $2"),
        ("B4", PG, "\\:a", ":a"),
        ("B4", MY, "a\\:b \\::c", "a:b ::c"),
        ("E1", PG, "'\\:a' /* \\:b */ :x", "'\\:a' /* \\:b */ $1"),
        ("E1", PG, "\\\\:a :x", "\\:a $1"),
    ])
}
