//! Values made of values through a whole database: composites, records, ranges and maps, which PostgreSQL alone has.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::io::Write as _;
use std::ops::Bound;

use databases::types::{DateTime, Decimal, Range};
use databases::{
    Array, Connection, Database, ErrorKind, Executor, FromRow, FromValue, IntoValue, Result, Value, params,
};

/// One connection to each PostgreSQL there is.
async fn connections() -> Result<Vec<Connection>> {
    let urls = std::env::var("TEST_DATABASE_URLS").unwrap_or_default();
    let mut connections = Vec::new();
    for url in urls.split(',').map(str::trim).filter(|url| url.starts_with("postgres")) {
        connections.push(Database::connect(url).await?.acquire().await?);
    }
    if connections.is_empty() {
        say("left out: PostgreSQL (scripts/servers starts one, TEST_DATABASE_URLS names one)");
    }
    Ok(connections)
}

fn say(message: &str) {
    // Past the capture of test output: what is left out is seen without asking.
    let _ = writeln!(std::io::stderr(), "nested: {message}");
}

#[derive(Clone, Debug, PartialEq, FromValue, IntoValue)]
#[databases(composite)]
struct Money {
    amount: Option<Decimal>,
    currency: String,
}

#[derive(Clone, Debug, PartialEq, FromValue, IntoValue)]
#[databases(composite)]
struct Line {
    price: Money,
    discounts: Vec<Money>,
    valid: Range<DateTime>,
}

fn moment(text: &str) -> DateTime {
    text.parse().expect("a date and time")
}

fn money(amount: &str, currency: &str) -> Money {
    Money { amount: Some(amount.parse().expect("a decimal")), currency: currency.to_owned() }
}

fn lines() -> [Line; 2] {
    let none = Money { amount: None, currency: "(a, \"b\") \\ 🦀".to_owned() };
    let valid = Range::from(moment("2024-02-29 12:30:00.000001")..DateTime::INFINITY);
    [
        Line { price: money("12.50", "EUR"), discounts: vec![money("-1", ""), none.clone()], valid },
        Line { price: none, discounts: vec![], valid: Range::Empty },
    ]
}

async fn create_types(db: &Connection) -> Result<()> {
    db.execute("CREATE TYPE pg_temp.money_of AS (amount numeric, currency text)", ()).await?;
    db.execute("CREATE TYPE pg_temp.line AS (price pg_temp.money_of, discounts pg_temp.money_of[], valid tsrange)", ())
        .await?;
    Ok(())
}

/// Binds, stores, binds in bulk and reads back; NULL too.
async fn assert_kept<T>(db: &Connection, column: &str, values: impl IntoIterator<Item = T>) -> Result<()>
where
    T: FromValue + IntoValue + Clone + Debug + PartialEq + Sync,
{
    let values: Vec<Option<T>> = values.into_iter().map(Some).chain([None]).collect();
    db.execute(format!("CREATE TEMPORARY TABLE kept (id INTEGER, value {column})"), ()).await?;
    let insert = "INSERT INTO kept VALUES (:id, :value)";
    for (id, value) in (0_i64..).zip(&values) {
        db.execute(insert, params! { id, value }).await?;
    }
    let rows = (100_i64..).zip(&values).map(|(id, value)| params! { id, value });
    db.execute_many(insert, rows).await?;
    let read: Vec<(Option<T>,)> = db.fetch_all("SELECT value FROM kept ORDER BY id", ()).await?;
    let read: Vec<Option<T>> = read.into_iter().map(|(value,)| value).collect();
    assert_eq!(read, [values.clone(), values.clone()].concat(), "{column}");
    // What was stored is what was meant: the server finds it by the parameter.
    let count = format!("SELECT count(*) FROM kept WHERE value = CAST(:value AS {column})");
    for value in values.iter().flatten() {
        let found = db.fetch_val::<i64>(&*count, params! { value }).await?;
        assert_eq!(found, 2, "{column}: {value:?}");
    }
    db.execute("DROP TABLE kept", ()).await?;
    Ok(())
}

#[tokio::test]
async fn composite_structs_are_kept() -> Result<()> {
    for db in connections().await? {
        create_types(&db).await?;
        assert_kept(&db, "pg_temp.line", lines()).await?;
        assert_kept(&db, "pg_temp.line[]", [lines().to_vec(), vec![]]).await?;

        #[derive(Debug, PartialEq, FromRow)]
        struct Order {
            id: i64,
            line: Option<Line>,
        }
        let [line, _] = lines();
        let bound = params! { line: &line };
        let orders: Vec<Order> = db
            .fetch_all(
                "SELECT 1::int8 AS id, CAST(:line AS pg_temp.line) AS line UNION ALL SELECT 2, NULL ORDER BY id",
                bound.clone(),
            )
            .await?;
        assert_eq!(orders, [Order { id: 1, line: Some(line.clone()) }, Order { id: 2, line: None }]);
        let amount = "SELECT ((CAST(:line AS pg_temp.line)).price).amount";
        assert_eq!(db.fetch_val::<Option<Decimal>>(amount, bound).await?, line.price.amount);
        // The server takes what a composite is compared with for a record of any type, which it cannot read.
        let untyped = "SELECT CAST(ROW(1, 'EUR') AS pg_temp.money_of) = :price";
        let error = db.fetch_val::<bool>(untyped, params! { price: money("1", "EUR") }).await.expect_err("no type");
        assert_eq!(error.kind(), ErrorKind::Encode);
        assert!(error.hint().is_some_and(|hint| hint.contains("CAST(:name AS its type)")), "{error:?}");

        #[derive(Debug, FromValue)]
        #[databases(composite)]
        struct Narrow(#[allow(dead_code)] Option<i32>, #[allow(dead_code)] String);
        let wrong = "SELECT CAST(ROW('1.5', 'EUR') AS pg_temp.money_of) AS price";
        let error = db.fetch_val::<Narrow>(wrong, ()).await.expect_err("1.5 is no integer");
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert!(error.to_string().contains("`price`") && error.to_string().contains("field `0`"), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn records_without_a_type_are_tuples() -> Result<()> {
    for db in connections().await? {
        let pair: (i64, String) = db.fetch_val("SELECT ROW(7::int8, 'seven')", ()).await?;
        assert_eq!(pair, (7, "seven".to_owned()));
        let deep: (i32, Option<bool>, (Range<i32>, Vec<Decimal>)) =
            db.fetch_val("SELECT ROW(1, NULL::bool, ROW(int4range(1, 5), '{1.50}'::numeric[]))", ()).await?;
        assert_eq!(deep, (1, None, (Range::from(1..5), vec!["1.50".parse().expect("a decimal")])));
        let rows: Vec<(i64, String)> = db
            .fetch_val("SELECT array_agg(ROW(n, 'x' || n) ORDER BY n) FROM generate_series(1::int8, 2) n", ())
            .await?;
        assert_eq!(rows, [(1, "x1".to_owned()), (2, "x2".to_owned())]);
        let error =
            db.fetch_val::<(i64, String)>("SELECT ROW(7, '::1'::inet)", ()).await.expect_err("no inet in there");
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert!(error.to_string().contains("field 1 of a record without a type is of inet"), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn ranges_of_every_kind_are_kept() -> Result<()> {
    let (from, to) = (moment("2024-02-29 12:30:00.000001"), moment("2024-03-01 00:00:00"));
    let (early, late) = (DateTime::NEG_INFINITY, DateTime::INFINITY);
    for db in connections().await? {
        assert_kept(&db, "tsrange", [(from..to).into(), (from..=to).into(), (early..=late).into(), Range::Empty])
            .await?;
        assert_kept(&db, "tsrange", [Range::<DateTime>::from(..), (..to).into(), (from..).into()]).await?;
        let after = Range::Between(Bound::Excluded(from), Bound::Unbounded);
        assert_kept(&db, "tsrange[]", [vec![after, Range::Empty], vec![]]).await?;
        let stamps = [Range::from(from.assume_utc()..to.assume_utc()), Range::Empty];
        assert_kept(&db, "tstzrange", stamps).await?;
        let (first, second) = (Range::from(1..5), Range::from(7..));
        assert_kept(&db, "int4multirange", [vec![first, second], vec![], vec![(..).into()]]).await?;
        assert_kept(&db, "int4range[]", [vec![first, second, Range::Empty], vec![]]).await?;
        assert_kept(&db, "int4multirange[]", [vec![vec![first, second], vec![]]]).await?;
        // The server writes ranges of integers anew, and joins what touches.
        let closed = params! { range: Range::from(1..=4) };
        assert_eq!(db.fetch_val::<Range<i32>>("SELECT CAST(:range AS int4range)", closed).await?, first);
        let touching = params! { ranges: vec![Range::from(1..3), Range::from(3..5)] };
        let joined = "SELECT CAST(:ranges AS int4multirange)";
        assert_eq!(db.fetch_val::<Vec<Range<i32>>>(joined, touching).await?, [first]);
        let contains = params! { at: from, during: Range::from(from..to) };
        assert!(db.fetch_val::<bool>("SELECT CAST(:at AS timestamp) <@ CAST(:during AS tsrange)", contains).await?);
    }
    Ok(())
}

#[tokio::test]
async fn maps_are_kept_as_hstore() -> Result<()> {
    for db in connections().await? {
        if db.execute("CREATE EXTENSION IF NOT EXISTS hstore", ()).await.is_err() {
            say("left out: hstore, which this server was installed without");
            continue;
        }
        let text = |text: &str| Some(text.to_owned());
        let map = [("a", text("1")), ("b", None), ("", text("\"=>, 🦀"))];
        let map: HashMap<String, Option<String>> = map.map(|(key, value)| (key.to_owned(), value)).into();
        assert_kept(&db, "hstore", [map.clone(), HashMap::new()]).await?;
        let sorted: BTreeMap<String, String> = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
        assert_kept(&db, "hstore", [sorted.clone()]).await?;
        assert_kept(&db, "hstore[]", [vec![sorted, BTreeMap::new()]]).await?;
        // Where nothing says a type the server takes it for text.
        let record = Value::Array(Box::new(Array::record(vec![Value::Int(1)])));
        for value in [map.clone().into_value(), record] {
            let error = db.fetch_val::<String>("SELECT :v", params! { v: value }).await.expect_err("no type");
            assert_eq!(error.kind(), ErrorKind::Encode);
            assert!(error.hint().is_some_and(|hint| hint.contains("CAST(:name AS its type)")), "{error:?}");
        }
        let null = db.fetch_val::<HashMap<String, String>>("SELECT 'b=>NULL'::hstore AS map", ()).await;
        let error = null.expect_err("NULL is no String");
        assert!(error.to_string().contains("NULL cannot be read as String"), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn texts_of_types_that_only_the_server_knows_are_no_numbers_and_no_dates() -> Result<()> {
    for db in connections().await? {
        for (sql, text) in [
            ("SELECT '10110011'::bit(8)", "10110011"),
            ("SELECT '1'::varbit", "1"),
            ("SELECT '7'::jsonpath", "7"),
            ("SELECT '12:30:00+00'::timetz", "12:30:00+00"),
            ("SELECT '::1'::inet", "::1"),
        ] {
            assert_eq!(db.fetch_val::<String>(sql, ()).await?, text);
            for error in [
                db.fetch_val::<i32>(sql, ()).await.map(drop),
                db.fetch_val::<u64>(sql, ()).await.map(drop),
                db.fetch_val::<f64>(sql, ()).await.map(drop),
                db.fetch_val::<Decimal>(sql, ()).await.map(drop),
                db.fetch_val::<bool>(sql, ()).await.map(drop),
                db.fetch_val::<databases::types::Time>(sql, ()).await.map(drop),
            ] {
                let error = error.expect_err(text);
                assert_eq!(error.kind(), ErrorKind::Decode, "{sql}: {error}");
                assert_eq!(error.hint(), Some("ask for String, or cast it in SQL"), "{sql}");
            }
            // What was read is bound as what it was.
            let value: databases::Value = db.fetch_val(sql, ()).await?;
            let again = format!("SELECT ({}) = (:v)", sql.replacen("SELECT ", "", 1));
            if !sql.contains("jsonpath") {
                assert!(db.fetch_val::<bool>(again, params! { v: value }).await?, "{sql}");
            }
        }
        assert!(db.fetch_val::<Vec<i32>>("SELECT '{101,1}'::varbit[]", ()).await.is_err());
        let bits: Vec<String> = db.fetch_val("SELECT '{101,1}'::varbit[]", ()).await?;
        assert_eq!(bits, ["101", "1"]);
        let value: databases::Value = db.fetch_val("SELECT '{::1,NULL,10.0.0.1}'::inet[]", ()).await?;
        let same = db.fetch_val::<bool>("SELECT :v = '{::1,NULL,10.0.0.1}'::inet[]", params! { v: value }).await?;
        assert!(same);
        let hosts = "SELECT '{::1,10.0.0.1/32}'::inet[]";
        let hosts: Vec<std::net::IpAddr> = db.fetch_val(hosts, ()).await?;
        assert_eq!(hosts.iter().map(ToString::to_string).collect::<Vec<_>>(), ["::1", "10.0.0.1"]);
        db.execute("CREATE DOMAIN pg_temp.host AS inet", ()).await?;
        for sql in ["SELECT '{::1}'::pg_temp.host[]", "SELECT ARRAY['::1'::pg_temp.host]"] {
            assert_eq!(db.fetch_val::<Vec<std::net::IpAddr>>(sql, ()).await?.len(), 1);
        }
        assert!(db.fetch_val::<std::net::IpAddr>("SELECT '::1'::pg_temp.host", ()).await?.is_ipv6());
    }
    Ok(())
}

#[tokio::test]
async fn numbers_that_the_server_would_cut_off_are_refused() -> Result<()> {
    for db in connections().await? {
        for (ty, fits, beyond) in [
            ("xid8", u64::MAX, None),
            ("regclass", u64::from(u32::MAX), Some(1_u64 << 32)),
            ("regtype", u64::from(u32::MAX), Some(u64::MAX)),
        ] {
            let sql = format!("SELECT CAST(:n AS {ty})");
            assert_eq!(db.fetch_val::<u64>(&*sql, params! { n: fits }).await?, fits, "{ty}");
            let negative = db.fetch_val::<String>(&*sql, params! { n: -1 }).await;
            let beyond = match beyond {
                Some(beyond) => vec![db.fetch_val::<String>(&*sql, params! { n: beyond }).await],
                None => vec![],
            };
            for error in [negative].into_iter().chain(beyond) {
                assert_eq!(error.expect_err(ty).kind(), ErrorKind::Encode, "{ty}");
            }
        }
        for numbers in [vec![], vec![1_i64, 4_294_967_295]] {
            let vector = params! { v: &numbers };
            assert_eq!(db.fetch_val::<Vec<i64>>("SELECT CAST(:v AS oidvector)", vector).await?, numbers);
        }
        let small = params! { v: vec![-1_i16, 2] };
        assert_eq!(db.fetch_val::<Vec<i16>>("SELECT CAST(:v AS int2vector)", small).await?, [-1, 2]);
    }
    Ok(())
}

#[tokio::test]
async fn the_server_reads_its_own_forms_of_times() -> Result<()> {
    for db in connections().await? {
        db.execute("CREATE TEMPORARY TABLE times (i interval, d date, t time, ts timestamp, tz timestamptz)", ())
            .await?;
        for (column, text, stored) in [
            ("i", "1 day 2 hours", "1 day 02:00:00"),
            ("i", "P1DT2H", "1 day 02:00:00"),
            ("d", "29 Feb 2024", "2024-02-29"),
            ("d", "2024-02-29", "2024-02-29"),
            ("t", "12:30 PM", "12:30:00"),
            ("ts", "epoch", "1970-01-01 00:00:00"),
            ("tz", "2024-02-29 12:30 Europe/Rome", "2024-02-29 11:30:00+00"),
        ] {
            let sql = format!("INSERT INTO times ({column}) VALUES (:v) RETURNING {column}::text");
            assert_eq!(db.fetch_val::<String>(sql, params! { v: text }).await?, stored, "{column} {text}");
        }
        for (column, text, kind) in [
            // The server would drop the time of day, or the zone.
            ("d", "2024-02-29 12:30:00", ErrorKind::Encode),
            ("ts", "2024-02-29 12:30:00+02", ErrorKind::Encode),
            ("t", "12:30:00+02", ErrorKind::Encode),
            ("i", "hunter2", ErrorKind::Database),
            ("d", "hunter2", ErrorKind::Database),
        ] {
            let sql = format!("INSERT INTO times ({column}) VALUES (:v)");
            let error = db.execute(sql, params! { v: text }).await.expect_err(text);
            assert_eq!(error.kind(), kind, "{column} {text}: {error}");
            assert!(!error.to_string().contains(text), "{error}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_infinite_interval_is_stored_as_one_or_refused() -> Result<()> {
    use databases::types::Interval;
    for db in connections().await? {
        let has_them: bool = db.fetch_val("SELECT current_setting('server_version_num')::int >= 170000", ()).await?;
        let values = [Interval::INFINITY, Interval::NEG_INFINITY].map(IntoValue::into_value);
        for value in values.into_iter().chain([vec![Interval::INFINITY].into_value()]) {
            let cast = if matches!(value, databases::Value::Array(_)) { "interval[]" } else { "interval" };
            let sql = format!("SELECT CAST(:v AS {cast})");
            match db.fetch_val::<databases::Value>(&*sql, params! { v: value.clone() }).await {
                Ok(read) => assert!(has_them && read == value),
                Err(error) => {
                    assert_eq!((has_them, error.kind()), (false, ErrorKind::Encode), "{error}");
                    assert_eq!(error.effect(), databases::Effect::NotSent);
                }
            }
        }
        let text = db.fetch_val::<Interval>("SELECT CAST(:v AS interval)", params! { v: "infinity" }).await;
        match text {
            Ok(read) => assert!(has_them && read == Interval::INFINITY),
            Err(error) => assert_eq!((has_them, error.kind()), (false, ErrorKind::Database), "{error}"),
        }
    }
    Ok(())
}

#[cfg(feature = "serde")]
#[tokio::test]
async fn values_made_of_values_become_json() -> Result<()> {
    use serde_json::json;
    for db in connections().await? {
        create_types(&db).await?;
        let [line, _] = lines();
        let row: databases::Row = db
            .fetch_one(
                "SELECT CAST(:line AS pg_temp.line) AS line, ROW(7::int8, 'x') AS record, '{::1,10.0.0.1}'::inet[] AS hosts, \
                 '{[1,5),[7,)}'::int4multirange AS ranges, 'empty'::tsrange AS never, '101'::varbit AS bits",
                params! { line },
            )
            .await?;
        let valid = json!({ "lower": "2024-02-29T12:30:00.000001", "upper": "infinity", "bounds": "[)" });
        let expected = json!({
            "line": [["12.50", "EUR"], [["-1", ""], [null, "(a, \"b\") \\ 🦀"]], valid],
            "record": [7, "x"],
            "hosts": ["::1", "10.0.0.1"],
            "ranges": [{ "lower": 1, "upper": 5, "bounds": "[)" }, { "lower": 7, "upper": null, "bounds": "[)" }],
            "never": "empty",
            "bits": "101",
        });
        assert_eq!(serde_json::to_value(&row).expect("every column has a form"), expected);
        if db.execute("CREATE EXTENSION IF NOT EXISTS hstore", ()).await.is_ok() {
            let row: databases::Row = db.fetch_one("SELECT 'a=>1, b=>NULL'::hstore AS map", ()).await?;
            let written = serde_json::to_value(&row).expect("a form");
            assert_eq!(written, json!({ "map": { "a": "1", "b": null } }));
        }
    }
    Ok(())
}
