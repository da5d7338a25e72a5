//! Where scripts are cut.

use super::super::{Dialect, SqlError, SqlErrorKind, StatementClass, scan, split_script};
use super::{ALL, MY, PG, SL};

fn parts(sql: &str, dialect: Dialect) -> Result<Vec<&str>, SqlError> {
    Ok(split_script(sql, dialect)?.into_iter().map(|statement| statement.sql).collect())
}

#[test]
fn statements_end_at_semicolons_outside_literals() -> Result<(), SqlError> {
    for dialect in ALL {
        for (sql, wanted) in [
            ("", &[][..]),
            (" ;; ; -- x ;\n /* ; */ ;", &[]),
            ("a", &["a"]),
            ("a;b", &["a", "b"]),
            (" a ; b ;", &["a", "b"]),
            ("a ';' b; \"c;d\"", &["a ';' b", "\"c;d\""]),
            ("a -- b;\n c; d /* ; */", &["a -- b;\n c", "d"]),
            ("/* head */ a; -- tail", &["a"]),
            ("BEGIN; a; COMMIT; END; b", &["BEGIN", "a", "COMMIT", "END", "b"]),
            ("SELECT CASE WHEN a THEN b END; c", &["SELECT CASE WHEN a THEN b END", "c"]),
            ("é; ü", &["é", "ü"]),
        ] {
            assert_eq!(parts(sql, dialect)?, wanted, "{:?}: {sql}", dialect.kind());
            assert_eq!(scan(sql, dialect)?.statements(), wanted.len(), "{sql}");
        }
    }
    let statements = split_script("  SELECT 1;\nDELETE FROM t", PG)?;
    let found: Vec<_> = statements.iter().map(|statement| (statement.offset, statement.class)).collect();
    assert_eq!(found, [(2, StatementClass::Read), (12, StatementClass::Write)]);
    assert_eq!(
        split_script("a; 'b", PG).map_err(|error| (error.kind(), error.at())),
        Err((SqlErrorKind::Unterminated, Some(3)))
    );
    assert_eq!(split_script("a\0", PG).map_err(|error| error.kind()), Err(SqlErrorKind::NulByte));
    Ok(())
}

/// Each body is one statement, and what follows it is another.
fn whole(dialect: Dialect, bodies: &[&str]) -> Result<(), SqlError> {
    for body in bodies {
        let script = format!("SELECT 1; {body}; SELECT 2;");
        assert_eq!(parts(&script, dialect)?, ["SELECT 1", body, "SELECT 2"], "{:?}", dialect.kind());
    }
    Ok(())
}

#[test]
fn sqlite_triggers_stay_whole() -> Result<(), SqlError> {
    whole(
        SL,
        &[
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END",
            "CREATE TEMP TRIGGER IF NOT EXISTS t AFTER UPDATE OF b ON a WHEN new.x BEGIN UPDATE a SET b = CASE WHEN 1 THEN 2 END; DELETE FROM c; END",
            "EXPLAIN CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT 2; END",
            "CREATE TRIGGER \"begin\" AFTER INSERT ON a BEGIN SELECT ';END;'; /* ; END; */ SELECT 2; END",
            "CREATE TRIGGER begin AFTER INSERT ON a BEGIN SELECT end FROM b; SELECT 2; END",
            "CREATE TABLE trigger_log (a)",
        ],
    )
}

#[test]
fn mysql_bodies_stay_whole() -> Result<(), SqlError> {
    whole(
        MY,
        &[
            "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END",
            "CREATE DEFINER=`r`@`%` PROCEDURE p(a INT) main:BEGIN IF a THEN LEAVE main; ELSEIF b THEN SELECT 1; ELSE SELECT IF(a, 1, 2); END IF; END",
            "CREATE PROCEDURE p() BEGIN IF a THEN SELECT 1; ELSE IF b THEN SELECT 2; END IF; END IF; END",
            "CREATE PROCEDURE p() BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; END; START TRANSACTION; COMMIT; END",
            "CREATE PROCEDURE p() BEGIN DECLARE c CURSOR FOR SELECT 1; l: LOOP FETCH c INTO x; LEAVE l; END LOOP l; CLOSE c; END",
            "CREATE PROCEDURE p() BEGIN WHILE a < 1 DO SET a = REPEAT('x', 2); END WHILE; REPEAT SET b = 1; UNTIL b END REPEAT; END",
            "CREATE PROCEDURE p() BEGIN CASE a WHEN 1 THEN SELECT 1; ELSE BEGIN END; END CASE; SELECT CASE a WHEN 1 THEN IF(b, 1, 2) ELSE 3 END; END",
            "CREATE PROCEDURE p() BEGIN SELECT CASE WHEN a THEN CASE b WHEN 1 THEN 2 END ELSE IF(x, 1, 2) END; SELECT 2; END",
            "CREATE PROCEDURE IF NOT EXISTS p() BEGIN SELECT 1; END",
            "CREATE PROCEDURE p() IF a THEN SELECT 1; SELECT 2; END IF",
            "CREATE FUNCTION f(a INT) RETURNS INT DETERMINISTIC BEGIN RETURN a; END",
            "CREATE FUNCTION f(a INT) RETURNS INT DETERMINISTIC RETURN IF(a, 1, 2)",
            "CREATE OR REPLACE TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN SET NEW.b = 1; SET NEW.c = 2; END",
            "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.b = 1",
            "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW IF NEW.b THEN SET NEW.c = 1; END IF",
            "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO BEGIN DELETE FROM a; DELETE FROM b; END",
            "ALTER EVENT e DO BEGIN DELETE FROM a; DELETE FROM b; END",
            "/*!50003 CREATE*/ /*!50017 DEFINER=`r`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN SET NEW.b = 1; SET NEW.c = 2; END */",
            "BEGIN NOT ATOMIC SELECT 1; SELECT 2; END",
            "FOR i IN 1..2 DO SELECT i; SELECT 2; END FOR",
            "CREATE PROCEDURE p() BEGIN XA BEGIN 'x'; XA END 'x'; SELECT 2; END",
            "CREATE TABLE event (begin INT)",
        ],
    )
}

#[test]
fn postgres_bodies_stay_whole() -> Result<(), SqlError> {
    whole(
        PG,
        &[
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a THEN b END; END",
            "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC SELECT 1 AS end; INSERT INTO t VALUES (1); END",
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END; $$",
            "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b)",
            "CREATE FUNCTION f() RETURNS int RETURN 1",
        ],
    )
}
