use databases::types::{DateTime, Decimal, JsonText};
use databases::{Executor, IntoValue, Json, Result, Row, params};
use serde_json::{Value, json};

use super::{Column, DATE, DATETIME, TIMESTAMP, connections};

#[tokio::test]
async fn rows_become_json_in_one_call() -> Result<()> {
    let at: DateTime = "2024-02-29 01:02:03.5".parse().expect("a date and time");
    for (backend, db) in connections().await? {
        let column = |column: Column| column.on(backend).expect("a type for every backend");
        let (date, datetime, timestamp) = (column(DATE), column(DATETIME), column(TIMESTAMP));
        let price = column(Column::new("numeric(10,2)", "DECIMAL(10,2)", "TEXT"));
        let raw = column(Column::new("bytea", "BLOB", "BLOB"));
        let tags = column(Column::new("jsonb", "JSON", "JSON"));
        db.execute(
            format!(
                "CREATE TEMPORARY TABLE shown (id INTEGER, name TEXT, price {price}, day {date}, made {datetime}, \
                 seen {timestamp}, raw {raw}, tags {tags})"
            ),
            (),
        )
        .await?;
        let insert = "INSERT INTO shown VALUES (:id, :name, :price, :day, :made, :seen, :raw, :tags)";
        let price = "12.50".parse::<Decimal>().expect("a decimal");
        let (day, seen, raw, tags) = (at.date(), at.assume_utc(), [0xfb_u8, 0xff], JsonText::new(r#"["a", 1]"#));
        let price = if backend == "sqlite" { price.to_string().into_value() } else { price.into_value() };
        db.execute(insert, params! { id: 1, name: "a", price, day, made: at, seen, raw, tags }).await?;
        db.execute("INSERT INTO shown (id) VALUES (2)", ()).await?;
        let rows: Vec<Row> = db.fetch_all("SELECT * FROM shown ORDER BY id", ()).await?;

        let text = serde_json::to_string(&rows).expect("every column has a form");
        assert!(text.starts_with(r#"[{"id":1,"name":"a","price":"12.50","day":"2024-02-29","made":"#), "{text}");
        let written: Value = serde_json::from_str(&text).expect("JSON");
        // What has no type of its own on a server is the text that it stores.
        let (made, seen) = match backend {
            "sqlite" => (json!("2024-02-29 01:02:03.5"), json!("2024-02-29 01:02:03.5+00:00")),
            _ => (json!("2024-02-29T01:02:03.5"), json!("2024-02-29T01:02:03.5+00:00")),
        };
        assert_eq!((&written[0]["made"], &written[0]["raw"]), (&made, &json!("+/8=")), "{backend}");
        let parsed = |value: &Value| value.as_str().and_then(|text| text.parse::<databases::types::Timestamp>().ok());
        assert_eq!(parsed(&written[0]["seen"]), parsed(&seen), "{backend}: {}", written[0]["seen"]);
        let tags = match &written[0]["tags"] {
            Value::String(text) => serde_json::from_str(text).expect("JSON in text"),
            document => document.clone(),
        };
        assert_eq!(tags, json!(["a", 1]), "{backend}");
        let has_json = match backend {
            "postgres" => true,
            // MariaDB's JSON is another name of its LONGTEXT.
            "mysql" => !db.fetch_val::<String>("SELECT version()", ()).await?.contains("MariaDB"),
            _ => false,
        };
        assert_eq!(has_json, written[0]["tags"].is_array(), "{backend}");
        assert!(written[1].as_object().expect("a map").iter().all(|(name, cell)| name == "id" || cell.is_null()));
        db.execute("DROP TABLE shown", ()).await?;

        let twice: Vec<Row> = db.fetch_all("SELECT 1 AS x, 2 AS x", ()).await?;
        let error = serde_json::to_string(&twice).expect_err("two columns of one name");
        assert_eq!(error.to_string(), "the column name `x` is ambiguous");
    }
    Ok(())
}

#[tokio::test]
async fn what_only_postgresql_has_is_written_too() -> Result<()> {
    for (_, db) in connections().await?.into_iter().filter(|(backend, _)| *backend == "postgres") {
        let row: Row = db
            .fetch_one(
                "SELECT ARRAY[1, NULL] AS list, 'NaN'::float8 AS nan, \
                 'infinity'::timestamptz AS never, interval '1 year 2 days' AS span, true AS yes",
                (),
            )
            .await?;
        let expected = json!({
            "list": [1, null],
            "nan": "NaN",
            "never": "infinity",
            "span": "P1Y2D",
            "yes": true,
        });
        assert_eq!(serde_json::to_value(&row).expect("every column has a form"), expected);
        // What only the server understands is its text.
        let row: Row = db.fetch_one("SELECT 1 AS a, point(1, 2) AS b", ()).await?;
        assert_eq!(serde_json::to_value(&row).expect("text"), json!({ "a": 1, "b": "(1,2)" }));
        let row: Row = db.fetch_one(r#"SELECT 1 AS a, '\377'::"char" AS b"#, ()).await?;
        let error = serde_json::to_string(&row).expect_err("no form");
        assert_eq!(error.to_string(), "column `b`: a value of the type `char` has no form; cast it in SQL");
    }
    Ok(())
}

#[tokio::test]
async fn structs_with_types_of_ours_go_through_serde_both_ways() {
    let text = r#"{"price":"12.50","at":"2024-02-29T01:02:03+00:00"}"#;
    let map: std::collections::BTreeMap<String, Value> = serde_json::from_str(text).expect("JSON");
    let price: Decimal = serde_json::from_value(map["price"].clone()).expect("a decimal");
    let at: databases::types::Timestamp = serde_json::from_value(map["at"].clone()).expect("a timestamp");
    let back = json!({ "price": price, "at": at, "also": Json(price.clone()) });
    assert_eq!(back, json!({ "price": "12.50", "at": "2024-02-29T01:02:03+00:00", "also": "12.50" }));
}
