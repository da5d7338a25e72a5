//! Which INSERTs may be sent for many rows at once, and what their text is then.

use super::super::{Dialect, InsertItem, SqlError, scan};
use super::{MY, PG, SL};

fn repeated(sql: &str, dialect: Dialect, rows: usize) -> Option<String> {
    scan(sql, dialect).unwrap().insert_row().map(|row| row.repeated(rows))
}

#[test]
fn rows_are_repeated() {
    for (sql, native) in [
        ("INSERT INTO t VALUES (:a)", "INSERT INTO t VALUES ($1), ($2), ($3)"),
        (
            "insert into \"T t\".u as x (a, b) values (:a, 'x''(') -- :c",
            "insert into \"T t\".u as x (a, b) values ($1, 'x''('), ($2, 'x''('), ($3, 'x''(') -- :c",
        ),
        (
            "INSERT INTO t(a, b, c) OVERRIDING SYSTEM VALUE VALUES(:a, :b, :a);",
            "INSERT INTO t(a, b, c) OVERRIDING SYSTEM VALUE VALUES($1, $2, $1), ($3, $4, $3), ($5, $6, $5);",
        ),
        (
            "INSERT INTO t VALUES (/* :x */ :a, -1.5e3, NULL, DEFAULT, true) ON CONFLICT (a) WHERE (b > 0) DO NOTHING",
            "INSERT INTO t VALUES (/* :x */ $1, -1.5e3, NULL, DEFAULT, true), (/* :x */ $2, -1.5e3, NULL, DEFAULT, true), \
             (/* :x */ $3, -1.5e3, NULL, DEFAULT, true) ON CONFLICT (a) WHERE (b > 0) DO NOTHING",
        ),
    ] {
        assert_eq!(repeated(sql, PG, 3).as_deref(), Some(native));
    }
    for (sql, native) in [
        ("INSERT t VALUE (:a, :b, :a)", "INSERT t VALUE (?, ?, ?), (?, ?, ?)"),
        ("REPLACE INTO `a b`.t (x) VALUES (:a) # end", "REPLACE INTO `a b`.t (x) VALUES (?), (?) # end"),
        (
            "INSERT INTO t (a, b) VALUES (:a, \"x\") AS n ON DUPLICATE KEY UPDATE b = n.b, a = COALESCE(t.a, VALUES(a) + 1)",
            "INSERT INTO t (a, b) VALUES (?, \"x\"), (?, \"x\") AS n ON DUPLICATE KEY UPDATE b = n.b, a = COALESCE(t.a, VALUES(a) + 1)",
        ),
    ] {
        assert_eq!(repeated(sql, MY, 2).as_deref(), Some(native));
    }
}

#[test]
fn one_row_is_the_text_itself() {
    for dialect in [PG, MY] {
        let template = scan("INSERT INTO t (a) VALUES (:a) -- end", dialect).unwrap();
        let row = template.insert_row().unwrap();
        assert_eq!(row.repeated(1), **row.sql());
        assert_eq!(format!("{}VALUES {}", row.head(), row.tail()), "INSERT INTO t (a) VALUES  -- end");
    }
}

#[test]
fn the_parts_of_a_row_are_told() -> Result<(), SqlError> {
    let template = scan("INSERT INTO \"S\" . t (a, \"B\", c) VALUES (:x, 1, :y)", PG)?;
    let row = template.insert_row().unwrap();
    assert_eq!((row.table(), row.parameters()), ("\"S\".t", 2));
    assert_eq!(row.columns().unwrap().collect::<Vec<_>>(), ["a", "\"B\"", "c"]);
    assert_eq!(row.items(), [InsertItem::Parameter(0), InsertItem::Literal, InsertItem::Parameter(1)]);
    assert!(scan("INSERT INTO t VALUES (:x)", PG)?.insert_row().unwrap().columns().is_none());
    Ok(())
}

#[test]
fn upserts_that_look_at_the_two_rows_only_are_taken() {
    for sql in [
        "INSERT INTO t VALUES (:a) ON CONFLICT DO NOTHING",
        "INSERT INTO t VALUES (:a) ON CONFLICT ON CONSTRAINT k DO NOTHING",
        "INSERT INTO t AS o (a, b) VALUES (:a, :b) ON CONFLICT (a) DO UPDATE SET b = EXCLUDED.b, c = o.c + 1 WHERE o.b <> 'x'",
        "INSERT INTO t VALUES (:a) ON CONFLICT (a) DO UPDATE SET (b, c) = (EXCLUDED.b, greatest(t.c, EXCLUDED.c))",
    ] {
        assert!(repeated(sql, PG, 2).is_some(), "{sql}");
    }
}

#[test]
fn anything_else_is_not() {
    for sql in [
        "INSERT INTO t VALUES (now(), :a)",
        "INSERT INTO t VALUES (:a + 1)",
        "INSERT INTO t VALUES (:a::jsonb)",
        "INSERT INTO t VALUES ((:a))",
        "INSERT INTO t VALUES (ARRAY[:a])",
        "INSERT INTO t VALUES ((SELECT :a))",
        "INSERT INTO t VALUES (b, :a)",
        "INSERT INTO t VALUES (:a), (:b)",
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t DEFAULT VALUES",
        "INSERT INTO t (a[1]) VALUES (:a)",
        "INSERT INTO t (a.b) VALUES (:a)",
        "INSERT INTO t SELECT :a",
        "INSERT INTO t SELECT * FROM (VALUES (:a)) AS v",
        "WITH x AS (SELECT 1) INSERT INTO t VALUES (:a)",
        "INSERT INTO t VALUES (:a) RETURNING a",
        "INSERT INTO t VALUES (:a) ON CONFLICT DO NOTHING RETURNING f(a)",
        "INSERT INTO t VALUES (:a) ON CONFLICT (a) DO UPDATE SET b = :b",
        "INSERT INTO t VALUES (:a) ON CONFLICT (a) DO UPDATE SET b = f(EXCLUDED.b)",
        "INSERT INTO t VALUES (:a) ON CONFLICT (a) DO UPDATE SET b = \"f\"(EXCLUDED.b)",
        "INSERT INTO t VALUES (:a) ON CONFLICT (a) DO UPDATE SET b = (SELECT max(b) FROM t)",
        "INSERT INTO t VALUES (:a) ON CONFLICT (a) DO UPDATE SET b = EXCLUDED.b::text",
        "UPDATE t SET a = :a",
        "REPLACE INTO t VALUES (:a)",
    ] {
        assert_eq!(repeated(sql, PG, 2), None, "{sql}");
    }
    for sql in [
        "INSERT IGNORE INTO t VALUES (:a)",
        "INSERT DELAYED INTO t VALUES (:a)",
        "INSERT INTO t PARTITION (p) (a) VALUES (:a)",
        "INSERT INTO t SET a = :a",
        "INSERT INTO t () VALUES ()",
        "INSERT INTO t VALUES (:a) /*! ON DUPLICATE KEY UPDATE a = 1 */",
        "INSERT INTO t VALUES (:a) ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id)",
        "INSERT INTO t VALUES (:a) ON DUPLICATE KEY UPDATE n = @n := @n + 1",
        "INSERT INTO t VALUES (:a) ON DUPLICATE KEY UPDATE n = @n",
        "INSERT INTO t VALUES (:a) ON DUPLICATE KEY UPDATE n = :n",
        "INSERT INTO t VALUES (:a) RETURNING a",
        "INSERT INTO t VALUES (NOW(6), :a)",
    ] {
        assert_eq!(repeated(sql, MY, 2), None, "{sql}");
    }
    assert_eq!(repeated("INSERT INTO t VALUES (:a)", SL, 2), None);
}
