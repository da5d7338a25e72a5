//! Arrays, ranges and records as parameters.

mod support;

use databases_core::types::{Date, Range, Timestamp};
use databases_core::{Array, ErrorKind, Params, Value, params};
use support::{connect, exec, one, run};

#[tokio::test]
async fn arrays_and_ranges_come_back_with_the_type_of_their_items() {
    let url = server!();
    let c = connect(&url).await;
    let day: Date = "2024-02-29".parse().unwrap();
    let moment: Timestamp = "2024-02-29 01:02:03Z".parse().unwrap();
    // Twice: prepared now, and from the cache.
    for _ in 0..2 {
        let nested = vec![vec![Some(1_i64), None], vec![Some(3), Some(4)]];
        let found: Vec<Vec<Option<i64>>> = one(&*c, "SELECT :v", params! { v: nested.clone() }).await.unwrap();
        assert_eq!(found, nested);
        let texts = vec![vec![vec!["a".to_owned(), "\"".to_owned()]]];
        assert_eq!(one::<Vec<Vec<Vec<String>>>>(&*c, "SELECT :v", params! { v: texts.clone() }).await.unwrap(), texts);
        for range in [Range::Empty, (1..5).into(), (..).into(), (5..).into(), (..5).into()] {
            assert_eq!(one::<Range<i32>>(&*c, "SELECT :v", params! { v: range }).await.unwrap(), range);
        }
        let ranges = vec![Range::from(1_i64..5), Range::Empty];
        assert_eq!(one::<Vec<Range<i64>>>(&*c, "SELECT :v", params! { v: ranges.clone() }).await.unwrap(), ranges);
        let days = Range::from(day..);
        assert_eq!(one::<Range<Date>>(&*c, "SELECT :v", params! { v: days }).await.unwrap(), days);
        let moments = Range::from(..=moment);
        assert_eq!(one::<Range<Timestamp>>(&*c, "SELECT :v", params! { v: moments }).await.unwrap(), moments);
        for (value, ty) in [
            (
                Value::Array(Box::new(Array::range((Value::Int(1), true), (Value::Null, false), Default::default()))),
                "int8range",
            ),
            (value(vec![vec![1_i16]]), "smallint[]"),
            (value(Range::from(day..)), "daterange"),
            (value(vec![Range::from(1..2)]), "int4range[]"),
        ] {
            assert_eq!(one::<String>(&*c, "SELECT pg_typeof(:v)::text", params! { v: value }).await.unwrap(), ty);
        }
    }
}

fn value(value: impl databases_core::IntoValue) -> Value {
    value.into_value()
}

#[tokio::test]
async fn arrays_ranges_and_records_go_into_columns_of_their_type() {
    let url = server!();
    let c = connect(&url).await;
    c.run_script(
        "CREATE TYPE pg_temp.pair AS (n int, t text);
         CREATE TYPE pg_temp.host AS (ip inet, n int);
         CREATE TEMP TABLE t (id serial, r int4range, m int8multirange, rs daterange[], p pg_temp.pair, ps pg_temp.pair[],
            a int2[], ips inet[], h pg_temp.host, b box[]);",
    )
    .await
    .unwrap();
    let record = |fields: Vec<Value>| Value::Array(Box::new(Array::record(fields)));
    let pair = || record(vec![Value::Int(1), Value::Text("x".into())]);
    for (column, value, expected) in [
        ("r", value(Range::from(1..=5)), "[1,6)"),
        ("r", value("[2,3]"), "[2,4)"),
        ("m", value(vec![Range::from(1_i64..3), Range::from(5..7)]), "{[1,3),[5,7)}"),
        ("m", value("{[1,2)}"), "{[1,2)}"),
        ("rs", value(vec![Some(Range::<Date>::Empty), None]), "{empty,NULL}"),
        ("rs", value(vec!["[2024-01-01,2024-01-02)"]), "{\"[2024-01-01,2024-01-02)\"}"),
        ("p", pair(), "(1,x)"),
        ("p", value("(2,)"), "(2,)"),
        ("ps", value(vec![pair(), Value::Null]), "{\"(1,x)\",NULL}"),
        ("a", value(vec![vec![1_i64, 2], vec![3, 4]]), "{{1,2},{3,4}}"),
        (
            "a",
            Value::Array(Box::new(Array::new(vec![Value::Int(1)], Default::default()).with_lower_bounds(&[0]))),
            "[0:0]={1}",
        ),
        ("a", value(Vec::<Vec<i64>>::new()), "{}"),
        ("ips", value(vec![Some("::1"), None]), "{::1,NULL}"),
        ("ips", value(vec![std::net::IpAddr::from([1, 2, 3, 4])]), "{1.2.3.4}"),
        ("h", value("(::1,5)"), "(::1,5)"),
        ("b", value(vec!["(1,1),(0,0)", "(2,2),(1,1)"]), "{(1,1),(0,0);(2,2),(1,1)}"),
    ] {
        let sql = format!("INSERT INTO t ({column}) VALUES (:v) RETURNING {column}::text");
        let found = one::<String>(&*c, &sql, params! { v: value.clone() }).await;
        assert_eq!(found.unwrap_or_else(|error| panic!("{column}: {error:?}")), expected, "{column}");
    }
    // The server must be told the type of a parameter that may be NULL, and compares no arrays or ranges of two types.
    for (column, ty, value) in [
        ("r", "int4range", value(Range::from(1..6))),
        ("rs", "daterange[]", value(vec![Some(Range::<Date>::Empty), None])),
        ("a", "int2[]", value(vec![vec![1_i16, 2], vec![3, 4]])),
    ] {
        let sql = format!("SELECT count(*) FROM t WHERE (:v IS NULL OR {column} = :v)");
        let cast = format!("SELECT count(*) FROM t WHERE (CAST(:v AS {ty}) IS NULL OR {column} = :v)");
        for _ in 0..2 {
            assert_eq!(one::<i64>(&*c, &sql, params! { v: value.clone() }).await.unwrap(), 1, "{column}");
            assert_eq!(one::<i64>(&*c, &cast, params! { v: value.clone() }).await.unwrap(), 1, "{column}");
            for sql in [&sql, &cast] {
                assert_eq!(one::<i64>(&*c, sql, params! { v: None::<Vec<i64>> }).await.unwrap(), 16, "{column}");
            }
        }
    }
    let contained = params! { v: Range::from(..100), ids: vec![1_i64, 2] };
    let sql = "SELECT count(*) FROM t WHERE r <@ :v AND id = ANY(:ids)";
    assert_eq!(one::<i64>(&*c, sql, contained).await.unwrap(), 2);

    for (column, value, says) in [
        ("r", value(Range::from(1..1_i64 << 40)), "upper bound of a range does not fit exactly in int4range"),
        ("r", value(vec![1]), "an array cannot be bound as int4range"),
        ("a", value(vec![vec![1], vec![70_000]]), "item 1, item 0 of an array does not fit exactly in int2[]"),
        ("a", value(vec![vec![1], vec![]]), "the arrays in an array bound as int2[] must be of one length"),
        // The server has one empty array, of no dimension, and would give back that.
        ("a", value(vec![Vec::<i32>::new(), vec![]]), "an array of empty arrays cannot be bound as int2[]"),
        ("a", value(vec![vec![Vec::<i32>::new()]]), "an array of empty arrays cannot be bound as int2[]"),
        ("p", record(vec![Value::Int(1)]), "a record of 1 fields cannot be bound as pair, which has 2"),
        ("p", record(vec![Value::Bool(true), Value::Null]), "field 0 of a record cannot be bound in pair"),
    ] {
        let error = run(&*c, &format!("INSERT INTO t ({column}) VALUES (:v)"), params! { v: value }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encode, "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
    }
    // Nothing is sent for an error of ours.
    assert_eq!(one::<i64>(&*c, "SELECT count(*) FROM t", Params::new()).await.unwrap(), 16);
    exec(&*c, "DROP TABLE t").await;
}
