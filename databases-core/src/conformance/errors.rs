//! Errors: the same kind everywhere, with names, and never with a value.

use futures_util::StreamExt as _;

use super::{Fixture, fails};
use crate::database::Pool;
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::executor::Executor;
use crate::params;
use crate::sql::DialectKind;
use crate::value::Value;

/// What no error may print.
const CANARY: &str = "canary7f3";

/// Asserts that nothing that is printed of `error`, and of what lies below it, holds the canary.
#[track_caller]
fn prints_no_value(error: &Error) {
    let mut texts = vec![format!("{error}"), format!("{error:?}"), format!("{error:#?}")];
    let mut below = std::error::Error::source(error);
    while let Some(source) = below {
        texts.extend([format!("{source}"), format!("{source:?}"), format!("{source:#?}")]);
        below = source.source();
    }
    says_everything_once(error);
    for text in texts {
        assert!(!text.contains(CANARY) && !text.contains("731337"), "prints a value: {text}");
    }
}

/// Asserts that no layer of `error` repeats what another says.
#[track_caller]
fn says_everything_once(error: &Error) {
    let mut layers = vec![error.to_string()];
    let mut below = std::error::Error::source(error);
    while let Some(source) = below {
        layers.push(source.to_string());
        below = source.source();
    }
    for (index, layer) in layers.iter().enumerate() {
        assert!(!layer.is_empty(), "an empty layer: {layers:?}");
        let repeats = |other: &String| other.contains(&**layer);
        assert!(!layers.iter().enumerate().any(|(at, other)| at != index && repeats(other)), "repeats: {layers:#?}");
    }
}

/// A parent and a child with every kind of constraint; gives their names.
async fn constrained(f: &Fixture, db: &Pool) -> Result<(String, String)> {
    let (parent, child) = (f.table("parent"), f.table("child"));
    let (i64, short) = (f.types.i64, f.types.short_text);
    db.execute(format!("CREATE TABLE {parent} (id {i64} PRIMARY KEY)"), ()).await?;
    db.execute(
        format!(
            "CREATE TABLE {child} (id {i64} PRIMARY KEY, name {short} NOT NULL, n {i64}, parent {i64}, \
             CONSTRAINT {child}_name UNIQUE (name), CONSTRAINT {child}_n CHECK (n < 1000), \
             CONSTRAINT {child}_parent FOREIGN KEY (parent) REFERENCES {parent} (id))"
        ),
        (),
    )
    .await?;
    Ok((parent, child))
}

fn columns(error: &Error) -> Vec<&str> {
    error.columns().iter().map(String::as_str).collect()
}

pub async fn a_value_that_cannot_be_bound_is_named_as_in_the_text(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    // No server has a number for it: PostgreSQL's type of the parameter says so, elsewhere there is no NaN.
    let odd =
        || if f.kind() == DialectKind::Postgres { Value::Text(CANARY.to_owned()) } else { Value::Float(f64::NAN) };
    let row = |id: Value| params! { body: "a", id };
    let named = |error: Error, name: &str| {
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Encode, Effect::NotSent), "{error:?}");
        assert!(error.to_string().starts_with(&format!("parameter `{name}`: ")), "{error}");
        prints_no_value(&error);
        error
    };
    let insert = format!("INSERT INTO {t} (body, id) VALUES (:body, :id)");
    named(db.execute(&insert, row(odd())).await.expect_err("no number"), "id");
    let many = db.execute_many(&insert, [row(Value::Int(1)), row(odd())]).await;
    assert_eq!(named(many.expect_err("no number"), "id").batch_index(), Some(1));
    let select = format!("SELECT body FROM {t} WHERE body = :body AND id = :id");
    let conn = db.acquire().await?;
    named(conn.fetch_all::<(String,)>(&select, row(odd())).await.expect_err("no number"), "id");
    let mut stream = conn.iterate::<(String,)>(&select, row(odd()));
    named(stream.next().await.expect("an item").expect_err("no number"), "id");
    drop(stream);
    if f.kind() != DialectKind::Postgres {
        let select = format!("SELECT body FROM {t} WHERE body <> :body AND id IN (:ids)");
        let ids = crate::list([Value::Int(1), odd()]);
        named(conn.fetch_all::<(String,)>(&select, params! { body: "a", ids }).await.expect_err("no number"), "ids");
    }
    drop(conn);
    assert_eq!(db.fetch_val::<i64>(format!("SELECT count(*) FROM {t}"), ()).await?, 0);
    Ok(())
}

pub async fn a_unique_violation_names_its_constraint(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let (_, t) = constrained(f, &db).await?;
    let insert = format!("INSERT INTO {t} (id, name) VALUES (:id, :name)");
    db.execute(&insert, params! { id: 1, name: CANARY }).await?;
    let error = fails(db.execute(&insert, params! { id: 2, name: CANARY }).await, ErrorKind::UniqueViolation);
    prints_no_value(&error);
    assert!(error.code().is_some());
    let named = format!("{t}_name");
    match f.kind() {
        DialectKind::Postgres => {
            assert_eq!((error.constraint(), error.table()), (Some(&*named), Some(&*t)));
            assert_eq!(columns(&error), ["name"]);
        }
        DialectKind::MySql => assert_eq!(error.constraint(), Some(&*named)),
        // SQLite says the columns and not the name.
        DialectKind::Sqlite => assert_eq!((error.table(), columns(&error)), (Some(&*t), vec!["name"])),
    }
    let error = fails(db.execute(&insert, params! { id: 1, name: "other" }).await, ErrorKind::UniqueViolation);
    assert_eq!(error.constraint(), f.pick(Some(&*format!("{t}_pkey")), Some("PRIMARY"), None));
    Ok(())
}

pub async fn a_not_null_violation_names_its_column(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let (_, t) = constrained(f, &db).await?;
    let insert = format!("INSERT INTO {t} (id, name) VALUES (:id, :name)");
    let error =
        fails(db.execute(&insert, params! { id: 731_337, name: None::<&str> }).await, ErrorKind::NotNullViolation);
    prints_no_value(&error);
    assert_eq!(columns(&error), ["name"]);
    assert_eq!(error.table(), f.pick(Some(&*t), None, Some(&*t)).or(error.table()));
    // A column that is left out has no value either.
    let error = fails(
        db.execute(format!("INSERT INTO {t} (id) VALUES (:id)"), params! { id: 731_337 }).await,
        ErrorKind::NotNullViolation,
    );
    prints_no_value(&error);
    assert_eq!(columns(&error), ["name"]);
    Ok(())
}

pub async fn a_check_violation_names_its_constraint(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let (_, t) = constrained(f, &db).await?;
    let insert = format!("INSERT INTO {t} (id, name, n) VALUES (1, :name, :n)");
    let error = fails(db.execute(insert, params! { name: CANARY, n: 731_337 }).await, ErrorKind::CheckViolation);
    prints_no_value(&error);
    assert_eq!(error.constraint(), Some(&*format!("{t}_n")));
    Ok(())
}

pub async fn a_foreign_key_violation_names_its_constraint(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let (parent, t) = constrained(f, &db).await?;
    let insert = format!("INSERT INTO {t} (id, name, parent) VALUES (1, :name, :parent)");
    let error =
        fails(db.execute(&insert, params! { name: CANARY, parent: 731_337 }).await, ErrorKind::ForeignKeyViolation);
    prints_no_value(&error);
    // SQLite does not say which one.
    let named = format!("{t}_parent");
    assert_eq!(error.constraint(), f.pick(Some(&*named), Some(&*named), None));
    db.execute(format!("INSERT INTO {parent} (id) VALUES (731337)"), ()).await?;
    db.execute(&insert, params! { name: CANARY, parent: 731_337 }).await?;
    let delete = db.execute(format!("DELETE FROM {parent} WHERE id = :id"), params! { id: 731_337 }).await;
    prints_no_value(&fails(delete, ErrorKind::ForeignKeyViolation));
    Ok(())
}

pub async fn a_syntax_error_is_one(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    for sql in ["SELEC 1", "SELECT FROM WHERE", "INSERT INTO", "SELECT (1"] {
        // `SELECT FROM` and the like mean something on some server; these do nowhere.
        let error = fails(db.execute(sql, ()).await, ErrorKind::Syntax);
        assert!(error.code().is_some(), "{error:?}");
        assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await?, 1);
    }
    let error = fails(db.execute("SELEC :a", params! { a: CANARY }).await, ErrorKind::Syntax);
    prints_no_value(&error);
    Ok(())
}

pub async fn undefined_names_have_kinds_of_their_own(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let missing = format!("{t}_missing");
    let v = || params! { v: CANARY };
    for (sql, kind) in [
        (format!("SELECT * FROM {missing} WHERE body = :v"), ErrorKind::UndefinedTable),
        (format!("INSERT INTO {missing} (body) VALUES (:v)"), ErrorKind::UndefinedTable),
        (format!("SELECT no_such_column FROM {t} WHERE body = :v"), ErrorKind::UndefinedColumn),
        (format!("UPDATE {t} SET no_such_column = :v"), ErrorKind::UndefinedColumn),
        (format!("INSERT INTO {t} (no_such_column) VALUES (:v)"), ErrorKind::UndefinedColumn),
        (format!("SELECT no_such_function(id) FROM {t} WHERE body = :v"), ErrorKind::UndefinedFunction),
    ] {
        let error = fails(db.execute(&sql, v()).await, kind);
        prints_no_value(&error);
        assert!(error.code().is_some(), "{error:?}");
    }
    fails(db.execute(format!("DROP TABLE {missing}"), ()).await, ErrorKind::UndefinedTable);
    Ok(())
}

pub async fn simple_undefined_tables_and_columns_are_told(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    fails(db.fetch_all::<crate::Row>(format!("SELECT * FROM {t}_missing"), ()).await, ErrorKind::UndefinedTable);
    fails(db.fetch_all::<crate::Row>(format!("SELECT no_such_column FROM {t}"), ()).await, ErrorKind::UndefinedColumn);
    fails(db.execute("SELEC 1", ()).await, ErrorKind::Syntax);
    assert_eq!(db.fetch_val::<i64>("SELECT :n", params! { n: 1 }).await?, 1);
    Ok(())
}

pub async fn errors_that_repeat_values_keep_them_out_of_sight(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (1, 'x')"), ()).await?;
    let sql = f.pick(
        format!("SELECT CAST(CAST(:v AS text) AS bigint) FROM {t}"),
        format!("INSERT INTO {t} (id, body) VALUES (:v, 'x')"),
        format!("SELECT json(:v) FROM {t}"),
    );
    let error = db.fetch_all::<crate::Row>(sql, params! { v: CANARY }).await.expect_err("not a number, not JSON");
    prints_no_value(&error);
    // A cell that does not fit is not printed either.
    db.execute(format!("UPDATE {t} SET body = :v"), params! { v: CANARY }).await?;
    prints_no_value(&fails(db.fetch_val::<i64>(format!("SELECT body FROM {t}"), ()).await, ErrorKind::Decode));
    prints_no_value(&fails(
        db.fetch_val::<crate::types::Date>(format!("SELECT body FROM {t}"), ()).await,
        ErrorKind::Decode,
    ));
    prints_no_value(&fails(db.execute("SELECT :a", params! { b: CANARY }).await, ErrorKind::Parameters));
    Ok(())
}

pub async fn no_error_that_values_provoke_prints_them(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let (_, t) = constrained(f, &db).await?;
    let long = || format!("{CANARY}{}", "x".repeat(10_000));
    let insert = format!("INSERT INTO {t} (id, name, n) VALUES (:id, :name, :n)");
    db.execute(&insert, params! { id: 1, name: CANARY, n: 1 }).await?;
    let mut seen = Vec::new();
    let mut provoked = |result: Result<crate::ExecResult>| {
        if let Err(error) = result {
            prints_no_value(&error);
            seen.push(error.kind());
        }
    };
    // Not every server refuses each of them.
    provoked(db.execute(&insert, params! { id: 2, name: CANARY, n: 1 }).await);
    provoked(db.execute(&insert, params! { id: 2, name: format!("{CANARY}2"), n: 731_337 }).await);
    provoked(db.execute(&insert, params! { id: 2, name: long(), n: 1 }).await);
    provoked(db.execute(&insert, params! { id: CANARY, name: "a", n: 1 }).await);
    provoked(db.execute(&insert, params! { id: 3, name: vec![0xff_u8, 0xfe], n: CANARY }).await);
    provoked(db.execute(&insert, params! { id: u64::MAX, name: CANARY, n: 1 }).await);
    provoked(db.execute(&insert, params! { id: 4, name: format!("{CANARY}\0"), n: 1 }).await);
    provoked(db.execute(format!("{insert} {insert}"), params! { id: 5, name: CANARY, n: 1 }).await);
    provoked(db.execute(format!("{insert} :name"), params! { id: 5, name: CANARY, n: 1 }).await);
    provoked(db.execute(format!("SELECT {t}_no_function(:v)"), params! { v: CANARY }).await);
    provoked(db.execute("SELECT :v + CAST(:w AS DATE)", params! { v: CANARY, w: CANARY }).await);
    provoked(db.execute("SELECT 1 WHERE 1 IN (:v, 5", params! { v: crate::list([CANARY]) }).await);
    provoked(db.execute("SELECT :v", params! { v: crate::list([CANARY]), w: CANARY }).await);
    let rows = [(6, CANARY), (7, CANARY)].map(|(id, name)| params! { id, name, n: 731_337 });
    prints_no_value(&db.execute_many(&insert, rows).await.expect_err("a value twice, or out of its range"));
    for kind in [ErrorKind::UniqueViolation, ErrorKind::CheckViolation, ErrorKind::Syntax, ErrorKind::Parameters] {
        assert!(seen.contains(&kind), "{kind:?} was not provoked: {seen:?}");
    }
    let params = params! { v: CANARY };
    let value = Value::Text(CANARY.to_owned());
    let row: crate::Row = db.fetch_one(format!("SELECT name FROM {t}"), ()).await?;
    let printed = format!("{params:?} {value:?} {:?} {row:?} {:?} {db:?}", value.as_ref(), row.get_ref(0)?);
    assert!(!printed.contains(CANARY), "{printed}");
    Ok(())
}

pub async fn division_by_zero_is_an_error_or_null(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (0, 'x')"), ()).await?;
    let divided = db.fetch_val::<Option<f64>>(format!("SELECT 1 / id FROM {t}"), ()).await;
    if f.kind() == DialectKind::Postgres {
        assert_eq!(fails(divided, ErrorKind::Database).code(), Some("22012"));
    } else {
        assert_eq!(divided?, None);
    }
    Ok(())
}

pub async fn a_wrong_password_and_url_are_told_without_the_password(f: &Fixture) -> Result<()> {
    if f.url().username().is_none() {
        f.not_claimed("logins");
        return Ok(());
    }
    let db = f.pool_url(|url| Ok(url.with_username("nobody_of_this_name")?.with_password(CANARY)?))?;
    assert!(!format!("{db:?}").contains(CANARY));
    match db.connect().await {
        Ok(()) => println!("the server lets anybody in"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Authentication, "{error:?}");
            prints_no_value(&error);
        }
    }
    Ok(())
}

pub async fn an_unknown_option_of_the_url_is_an_error_that_names_it(f: &Fixture) -> Result<()> {
    let wrong = f.pool_url(|url| Ok(url.with_option("max_conections", "5")?));
    let error = fails(wrong, ErrorKind::Url);
    let said = error.to_string();
    assert!(said.contains("max_conections"), "{said}");
    fails(f.pool_url(|url| Ok(url.with_option("acquire_timeout", "soon")?)), ErrorKind::Url);
    Ok(())
}

pub async fn a_mistake_is_shown_in_the_text_that_was_given(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    // The native text is shorter than the given one before the mistake.
    let sql = "SELECT :a_long_name,\n  :a_long_name + nonsense_column";
    let error = fails(db.fetch_all::<(i64, i64)>(sql, params! { a_long_name: 1 }).await, ErrorKind::UndefinedColumn);
    let shown = "--> SQL 2:18\n  |    :a_long_name + nonsense_column\n  |                   ^^^^^^^^^^^^^^^";
    match f.kind() {
        // The server gives no position.
        DialectKind::MySql => assert_eq!(error.line_col(), None, "{error}"),
        DialectKind::Postgres | DialectKind::Sqlite => {
            assert_eq!(error.line_col(), Some((2, 18)), "{error}");
            assert!(error.to_string().contains(shown), "{error}");
        }
    }
    // A syntax error has a place everywhere: MySQL quotes what it stumbled over.
    let error = fails(db.execute("SELECT :a +\n 1 FORM nowhere x y", params! { a: 1 }).await, ErrorKind::Syntax);
    assert_eq!(error.line_col().map(|(line, _)| line), Some(2), "{error}");
    // Our own scanner knows the place everywhere.
    let error = fails(db.execute("SELECT 1,\n :b", ()).await, ErrorKind::Parameters);
    assert_eq!(error.line_col(), Some((2, 2)));
    Ok(())
}

pub async fn a_mistake_behind_or_in_a_list_is_shown_at_its_name(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let ids = || crate::list([1, 2, 3]);
    for place in ["IN (:ids)", "IN (0, :ids)", "NOT IN :ids"] {
        let sql = format!("SELECT id FROM {t}\n WHERE id {place} AND\n nonsense_column = 1");
        let error = fails(db.execute(sql, params! { ids: ids() }).await, ErrorKind::UndefinedColumn);
        assert_eq!(error.line_col(), f.pick(Some((3, 2)), None, Some((3, 2))), "{error}");
        let sql = format!("SELECT id FROM {t}\n WHERE id {place} AND\n id FORM nowhere x y");
        let error = fails(db.execute(sql, params! { ids: ids() }).await, ErrorKind::Syntax);
        assert_eq!(error.line_col().map(|(line, _)| line), Some(3), "{error}");
    }
    Ok(())
}
