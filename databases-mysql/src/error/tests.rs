use super::*;

fn error(code: u16, message: &str) -> Error {
    statement(mysql_async::Error::Server(ServerError { code, message: message.to_owned(), state: "HY000".to_owned() }))
}

#[test]
fn duplicates_name_the_key_and_never_the_value() {
    // MySQL 8 and 9 put the table before the key; MariaDB and MySQL 5.7 do not.
    let eight = error(1062, "Duplicate entry 'secret for key 'x'' for key 'users.email'");
    assert_eq!(eight.kind(), ErrorKind::UniqueViolation);
    assert_eq!((eight.constraint(), eight.table()), (Some("email"), Some("users")));
    assert_eq!(eight.to_string(), "duplicate entry for key `users.email`");
    assert!(!format!("{eight:?}").contains("secret"));
    assert!(eight.detail().unwrap().contains("secret"));
    let maria = error(1062, "Duplicate entry 'a-b' for key 'PRIMARY'");
    assert_eq!((maria.constraint(), maria.table(), maria.code()), (Some("PRIMARY"), None, Some("1062")));
}

#[test]
fn the_statement_helps_to_read_a_message() {
    let target = Target { schema: Some("app".into()), table: "a.b".into() };
    let about = |is_mariadb, code, message: &str| {
        let server = ServerError { code, message: message.to_owned(), state: "HY000".to_owned() };
        statement_about(server.into(), About { is_mariadb, target: Some(&target) })
    };
    let names = |error: &Error| (error.table().map(str::to_owned), error.constraint().map(str::to_owned));
    let named = |table: Option<&str>, name: Option<&str>| (table.map(str::to_owned), name.map(str::to_owned));
    let eight = about(false, 1062, "Duplicate entry '1' for key 'a.b.c.d'");
    assert_eq!(names(&eight), named(Some("a.b"), Some("c.d")));
    let of_trigger = about(false, 1062, "Duplicate entry '1' for key 'log.c.d'");
    assert_eq!(names(&of_trigger), named(Some("log"), Some("c.d")));
    let five = about(false, 1062, "Duplicate entry '1' for key 'c'");
    assert_eq!(names(&five), named(None, Some("c")));
    let maria = about(true, 1062, "Duplicate entry '1' for key 'a.b.c'");
    assert_eq!(names(&maria), named(None, Some("a.b.c")));
    for (code, message) in [(1048, "Column 'n' cannot be null"), (1364, "Field 'n' doesn't have a default value")] {
        let error = about(true, code, message);
        assert_eq!((names(&error), error.columns()), (named(Some("a.b"), None), &["n".to_owned()][..]));
    }
    let check = about(false, 3819, "Check constraint 'small' is violated.");
    assert_eq!(names(&check), named(Some("a.b"), Some("small")));
}

#[test]
fn foreign_keys_name_table_constraint_and_columns() {
    let message = "Cannot add or update a child row: a foreign key constraint fails (`app`.`child`, CONSTRAINT \
                   `child``s_fk` FOREIGN KEY (`a`, `b`) REFERENCES `parent` (`x`, `y`) ON DELETE CASCADE)";
    let error = error(1452, message);
    assert_eq!(error.kind(), ErrorKind::ForeignKeyViolation);
    assert_eq!((error.table(), error.constraint()), (Some("child"), Some("child`s_fk")));
    assert_eq!(error.columns(), ["a", "b"]);
}

#[test]
fn checks_and_missing_values_are_told_apart() {
    let eight = error(3819, "Check constraint 'positive' is violated.");
    assert_eq!((eight.kind(), eight.constraint()), (ErrorKind::CheckViolation, Some("positive")));
    let maria = error(4025, "CONSTRAINT `positive` failed for `app`.`t`");
    assert_eq!((maria.constraint(), maria.table()), (Some("positive"), Some("t")));
    let column = error(4025, "CONSTRAINT `t.n` failed for `app`.`t`");
    assert_eq!((column.constraint(), column.table()), (Some("n"), Some("t")));
    assert_eq!(column.columns(), ["n"]);
    let dotted = error(4025, "CONSTRAINT `a.b` failed for `app`.`t`");
    assert_eq!((dotted.constraint(), dotted.columns()), (Some("a.b"), &[][..]));
    let null = error(1048, "Column 'n' cannot be null");
    assert_eq!((null.kind(), null.columns()), (ErrorKind::NotNullViolation, &["n".to_owned()][..]));
    let missing = error(1364, "Field 'n' doesn't have a default value");
    assert_eq!((missing.kind(), missing.columns()), (ErrorKind::NotNullViolation, &["n".to_owned()][..]));
}

#[test]
fn values_that_do_not_fit_name_the_column_and_not_the_value() {
    for (code, message) in [
        (1366, "Incorrect integer value: 'secret' for column `app`.`t`.`n` at row 1"),
        (1366, "Incorrect integer value: 'secret for column 'x' for column 'n' at row 1"),
        (1264, "Out of range value for column 'n' at row 1"),
        (1406, "Data too long for column 'n' at row 17"),
        (1292, "Incorrect datetime value: 'secret' for column `app`.`t`.`n` at row 1"),
    ] {
        let error = error(code, message);
        assert_eq!((error.kind(), error.columns()), (ErrorKind::Database, &["n".to_owned()][..]), "{message}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
    let unknown = error(1305, "FUNCTION app.nope does not exist");
    assert_eq!(unknown.to_string(), "no such function `app.nope`");
    let other = error(9999, "something with 'secret'");
    assert_eq!(other.to_string(), "the server refused the statement (error 9999, SQLSTATE HY000)");
}

#[test]
fn the_detail_does_not_repeat_what_the_message_says() {
    let message = "You have an error in your SQL syntax; check the manual that corresponds to your MariaDB server \
                   version for the right syntax to use near 'SELECTED * FROM t' at line 1";
    let syntax = error(1064, message);
    assert_eq!((&*syntax.to_string(), syntax.detail()), (message, None));
    let long = error(1064, &"x".repeat(10_000));
    assert!(long.to_string().len() < 1_000 && long.detail().is_some_and(|detail| detail.len() == 10_000));
}

#[test]
fn names_of_tables_and_columns_are_read() {
    let table = error(1146, "Table 'app.nope' doesn't exist");
    assert_eq!((table.kind(), table.table()), (ErrorKind::UndefinedTable, Some("nope")));
    let column = error(1054, "Unknown column 't.nope' in 'field list'");
    assert_eq!((column.kind(), column.columns()), (ErrorKind::UndefinedColumn, &["nope".to_owned()][..]));
    assert!(error(1213, "Deadlock found").is_retryable());
    assert!(error(1927, "Connection was killed").is_disconnected());
}

#[test]
fn a_login_that_is_refused_is_authentication_and_a_grant_is_permission() {
    let server =
        |code| mysql_async::Error::Server(ServerError { code, message: "Access denied".into(), state: "28000".into() });
    assert_eq!(connect(server(1045), "h:1").kind(), ErrorKind::Authentication);
    let denied = connect(server(1044), "h:1");
    assert_eq!((denied.kind(), denied.effect()), (ErrorKind::PermissionDenied, Effect::NotSent));
    assert!(denied.to_string().contains("no right on the database"), "{denied}");
    assert!(denied.hint().is_some_and(|hint| hint.contains("the login itself worked")), "{denied:?}");
    assert_eq!(connect(server(1040), "h:1").kind(), ErrorKind::Connect);
    assert_eq!(statement(server(1044)).kind(), ErrorKind::PermissionDenied);
    assert_eq!(statement(server(1142)).kind(), ErrorKind::PermissionDenied);
}
#[test]
fn only_a_write_that_failed_is_unsent() {
    use std::io::ErrorKind as Io;
    let io = |kind: Io| mysql_async::Error::from(std::io::Error::from(kind));
    assert!(is_unsent(&io(Io::BrokenPipe)));
    for kind in [Io::UnexpectedEof, Io::ConnectionReset, Io::TimedOut] {
        assert!(!is_unsent(&io(kind)), "{kind}");
    }
    let refused = connect(io(Io::ConnectionRefused), "db.example:3306");
    assert_eq!(refused.to_string(), "the server cannot be reached at db.example:3306");
    assert_eq!((refused.kind(), refused.effect()), (ErrorKind::Connect, Effect::NotSent));
}
