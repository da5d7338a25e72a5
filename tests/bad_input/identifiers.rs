//! Identifiers that are given as data: quoted whatever they are, or refused.

use databases::{Executor, Row, ident, sql};

use crate::{Trial, backend_of, open, places, table};

fn names() -> Vec<String> {
    let mut names: Vec<String> = [
        "",
        " ",
        "\0",
        "a\0b",
        "a b",
        "\"",
        "\"\"",
        "`",
        "``",
        "'",
        "[a]",
        "]",
        "a.b",
        "a;b",
        "a--",
        "a/*",
        "\\",
        "\\\"",
        "a\nb",
        "a\r\nb",
        "\t",
        "select",
        "SELECT",
        "user",
        "1",
        "1e5",
        "$1",
        "?",
        ":a",
        "::text",
        "@x",
        "#x",
        "*",
        "null",
        "x\" UNION SELECT 1 --",
        "x` UNION SELECT 1 -- ",
        "x\"; DROP TABLE y; --",
        "x`; DROP TABLE y; -- ",
        "É",
        "é",
        "e\u{301}",
        "\u{200b}",
        "\u{202e}x",
        "\u{feff}x",
        "\u{1F511}",
        "\u{10ffff}",
        "_databases_sp_1",
        "_databases_0",
        "pg_catalog",
        "sqlite_master",
        "ſ",
        "İ",
    ]
    .map(str::to_owned)
    .into();
    names.extend([63, 64, 65, 127, 128, 1000, 100_000].map(|n| "n".repeat(n)));
    names.extend([31, 32, 64].map(|n| "é".repeat(n)));
    names.push("\"".repeat(10_000));
    names.push("`".repeat(10_000));
    names
}

#[tokio::test]
async fn identifiers_are_quoted_or_refused() {
    let mut trial = Trial::new("identifiers");
    for place in places() {
        let backend = backend_of(&place);
        let db = open(&place).await;
        let t = table("names");
        db.execute(format!("CREATE TABLE {t} (id INTEGER)"), ()).await.unwrap();
        for name in names() {
            let column = sql("SELECT ").push(ident(&*name)).push(format!(" FROM {t}"));
            trial.on(&db, backend, &name, db.fetch_all::<Row>(column, ())).await;
            let from = sql("SELECT * FROM ").push(ident(&*name));
            trial.on(&db, backend, &name, db.fetch_all::<Row>(from, ())).await;
            let path = sql("SELECT * FROM ").push(ident([&*name, &*name]));
            trial.on(&db, backend, &name, db.fetch_all::<Row>(path, ())).await;
            let alias = sql("SELECT 1 AS ").push(ident(&*name));
            trial
                .on(&db, backend, &name, async {
                    let row: Row = db.fetch_one(alias, ()).await?;
                    // What was accepted is the name, to the letter.
                    assert_eq!(row.columns().get(0).map(|column| column.name().trim_end()), Some(name.trim_end()));
                    Ok(())
                })
                .await;
            // A transaction with a savepoint, whose name is ours, next to it.
            trial
                .on(&db, backend, &name, async {
                    let tx = db.begin().await?;
                    let inner = tx.begin().await?;
                    let outcome = inner.fetch_all::<Row>(sql("SELECT ").push(ident(&*name)), ()).await;
                    inner.rollback().await?;
                    tx.rollback().await?;
                    outcome.map(drop)
                })
                .await;
        }
        assert_eq!(db.fetch_val::<i64>(format!("SELECT count(*) FROM {t}"), ()).await.unwrap(), 0, "it is still there");
        db.execute(format!("DROP TABLE {t}"), ()).await.unwrap();
        db.close().await.unwrap();
    }
    trial.report(200);
}
