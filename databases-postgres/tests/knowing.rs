//! Types that are told to a connection: codecs by name, and types that are looked up beforehand.

mod support;

use std::collections::BTreeMap;

use databases_core::backend::BackendConnection;
use databases_core::{
    Array, Error, ErrorKind, Params, Result, TypeCodec, TypeOptions, Value, ValueKind, ValueRef, params,
};
use support::{connect, connect_knowing, exec, one, request, run};

/// `point` as an array of its two coordinates: `point_send` in the server's `geo_ops.c`.
#[derive(Debug)]
struct Point;

impl TypeCodec for Point {
    fn decode<'a>(&self, bytes: &'a [u8]) -> Result<ValueRef<'a>> {
        if bytes.len() != 16 {
            return Err(Error::new(ErrorKind::Decode, "this is no point"));
        }
        let items = bytes.chunks_exact(8).map(|chunk| Value::Float(f64::from_be_bytes(chunk.try_into().unwrap())));
        Ok(ValueRef::Array(Box::new(Array::new(items.collect(), ValueKind::Float))))
    }

    fn encode(&self, value: &Value) -> Result<Vec<u8>> {
        match value {
            Value::Array(array) => match array.items() {
                [Value::Float(x), Value::Float(y)] => Ok([x.to_be_bytes(), y.to_be_bytes()].concat()),
                _ => Err(Error::new(ErrorKind::Encode, "a point has two coordinates")),
            },
            _ => Err(Error::new(ErrorKind::Encode, "only an array is a point")),
        }
    }
}

/// The binary form of any type, as bytes.
#[derive(Debug)]
struct Raw;

impl TypeCodec for Raw {
    fn decode<'a>(&self, bytes: &'a [u8]) -> Result<ValueRef<'a>> {
        Ok(ValueRef::Bytes(bytes))
    }

    fn encode(&self, value: &Value) -> Result<Vec<u8>> {
        match value {
            Value::Bytes(bytes) => Ok(bytes.clone()),
            _ => Err(Error::new(ErrorKind::Encode, "only bytes can be bound")),
        }
    }
}

/// Creates the extension; `false` after a message if the server has no files of it.
async fn extension(c: &dyn BackendConnection, name: &str) -> bool {
    let sql = "SELECT count(*) FROM pg_available_extensions WHERE name = :name";
    let found = one::<i64>(c, sql, params! { name }).await.unwrap() > 0;
    if found {
        exec(c, &format!("CREATE EXTENSION IF NOT EXISTS {name}")).await;
    } else {
        eprintln!("left out: this server has no extension {name}");
    }
    found
}

#[tokio::test]
async fn a_codec_reads_and_writes_the_type_of_its_name() {
    let url = server!();
    let mut types = TypeOptions::default();
    types.codecs.insert("point", Point);
    let c = connect_knowing(&url, types).await.unwrap();
    let point = || vec![1.5, -2.0];
    exec(&*c, "CREATE TEMP TABLE t (id int, p point, ps point[])").await;
    let insert = "INSERT INTO t VALUES (:id, :p, :ps)";
    run(&*c, insert, params! { id: 1, p: point(), ps: vec![Some(point()), None] }).await.unwrap();
    // The text goes to the server as it is, in arrays too.
    run(&*c, insert, params! { id: 2, p: "(7,7)", ps: vec!["(8,8)", "(9,9)"] }).await.unwrap();
    run(&*c, insert, params! { id: 3, p: None::<Vec<f64>>, ps: "{\"(1,1)\"}" }).await.unwrap();
    type Found = (Option<Vec<f64>>, Vec<Option<Vec<f64>>>);
    let (_, rows) = run(&*c, "SELECT p, ps FROM t ORDER BY id", Params::new()).await.unwrap();
    let found: Vec<Found> = rows.iter().map(|row| (row.get(0).unwrap(), row.get(1).unwrap())).collect();
    assert_eq!(
        found,
        [
            (Some(point()), vec![Some(point()), None]),
            (Some(vec![7.0, 7.0]), vec![Some(vec![8.0, 8.0]), Some(vec![9.0, 9.0])]),
            (None, vec![Some(vec![1.0, 1.0])]),
        ]
    );

    let error = run(&*c, "SELECT :v::point", params! { v: 1 }).await.unwrap_err();
    assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::Encode, "parameter $1: only an array is a point"));
    let error = run(&*c, "SELECT :v::point[]", params! { v: vec![vec![1.0]] }).await.unwrap_err();
    assert_eq!(error.to_string(), "parameter $1: item 0 of an array: a point has two coordinates");
    let error = one::<Vec<String>>(&*c, "SELECT '(1,2)'::point AS place", Params::new()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Decode && error.to_string().contains("place"), "{error}");
}

#[tokio::test]
async fn a_codec_of_a_type_of_the_users_is_used_in_arrays_and_composites() {
    let url = server!();
    let mut types = TypeOptions::default();
    types.codecs.insert("pgb_raw", Raw);
    let c = connect_knowing(&url, types).await.unwrap();
    c.run_script(
        "CREATE TYPE pg_temp.pgb_raw AS ENUM ('sad', 'ok');
         CREATE TYPE pg_temp.pgb_raw_row AS (raw pgb_raw, n int)",
    )
    .await
    .unwrap();
    let sql = "SELECT :v::pg_temp.pgb_raw, :vs::pg_temp.pgb_raw[], :r::pg_temp.pgb_raw_row";
    let ok = || Value::Bytes(b"ok".to_vec());
    let r = Value::Array(Box::new(Array::record(vec![ok(), Value::Int(1)])));
    let vs = vec![Value::Bytes(b"sad".to_vec()), Value::Null];
    let (_, rows) = run(&*c, sql, params! { v: ok(), vs: vs.clone(), r: r.clone() }).await.unwrap();
    assert!(rows[0].get::<Value>(0).unwrap() == ok());
    assert_eq!(rows[0].get::<Vec<Option<Vec<u8>>>>(1).unwrap(), [Some(b"sad".to_vec()), None]);
    assert!(rows[0].get::<Value>(2).unwrap() == r);
}

#[tokio::test]
async fn types_of_extensions_are_known_or_text() {
    let url = server!();
    let c = connect(&url).await;
    if extension(&*c, "hstore").await {
        let map = BTreeMap::from([("a".to_owned(), Some("1 \"x\"".to_owned())), ("b".to_owned(), None)]);
        let found: BTreeMap<String, Option<String>> =
            one(&*c, "SELECT :v::hstore || ''", params! { v: map.clone() }).await.unwrap();
        assert_eq!(found, map);
        assert_eq!(one::<String>(&*c, "SELECT :v::hstore -> 'b'", params! { v: "b=>2" }).await.unwrap(), "2");
        let maps: Vec<BTreeMap<String, String>> =
            one(&*c, "SELECT ARRAY['x=>1'::hstore, '']", Params::new()).await.unwrap();
        assert_eq!((maps.len(), maps[0]["x"].as_str()), (2, "1"));
        let error = run(&*c, "SELECT :v::hstore", params! { v: vec![1] }).await.unwrap_err();
        assert!(error.to_string().contains("item 0 of an array cannot be bound in hstore"), "{error}");
    }
    if extension(&*c, "citext").await {
        let (_, rows) = run(&*c, "SELECT :v::citext = 'ABC', 'Abc'::citext, ARRAY['x'::citext]", params! { v: "abc" })
            .await
            .unwrap();
        assert!(rows[0].get::<bool>(0).unwrap());
        assert_eq!(rows[0].get::<String>(1).unwrap(), "Abc");
        assert_eq!(rows[0].get::<Vec<String>>(2).unwrap(), ["x"]);
    }
    if extension(&*c, "cube").await {
        let text: Vec<String> = one(&*c, "SELECT ARRAY['(1.5, -2)'::cube]", Params::new()).await.unwrap();
        assert_eq!(text, ["(1.5, -2)"]);
        assert_eq!(one::<String>(&*c, "SELECT :v::cube", params! { v: "1,2" }).await.unwrap(), "(1, 2)");
        let mut types = TypeOptions::default();
        types.codecs.insert("cube", Raw);
        let c = connect_knowing(&url, types).await.unwrap();
        let bytes: Vec<u8> = one(&*c, "SELECT '(1.5)'::cube", Params::new()).await.unwrap();
        assert_eq!(bytes, [&[0x80, 0, 0, 1][..], &1.5_f64.to_be_bytes()].concat());
        let text: String = one(&*c, "SELECT :v::cube::text", params! { v: bytes }).await.unwrap();
        assert_eq!(text, "(1.5)");
    }
    if extension(&*c, "ltree").await {
        let (_, rows) =
            run(&*c, "SELECT :v::ltree, ARRAY['a'::ltree], 'a.*'::lquery", params! { v: "a.b" }).await.unwrap();
        assert_eq!(rows[0].get::<String>(0).unwrap(), "a.b");
        assert_eq!(rows[0].get::<Vec<String>>(1).unwrap(), ["a"]);
        assert_eq!(rows[0].get::<String>(2).unwrap(), "a.*");
    }
}

/// How often the driver has asked the server for a type.
async fn look_ups(c: &dyn BackendConnection) -> i64 {
    let sql = "SELECT coalesce(sum(generic_plans + custom_plans), 0)::int8 FROM pg_prepared_statements \
               WHERE statement LIKE '%rngsubtype%' AND NOT from_sql AND statement NOT LIKE '%pg_prepared_statements%'";
    one(c, sql, Params::new()).await.unwrap()
}

#[tokio::test]
async fn a_type_is_looked_up_once_and_never_while_rows_wait() {
    let url = server!();
    let c = connect(&url).await;
    c.run_script(
        "DROP TYPE IF EXISTS pgb_looked_up, pgb_looked_up_row CASCADE;
         CREATE TYPE pgb_looked_up AS ENUM ('sad', 'ok');
         CREATE TYPE pgb_looked_up_row AS (m pgb_looked_up, n int)",
    )
    .await
    .unwrap();
    let sql = "SELECT 'ok'::pgb_looked_up AS m, ROW('sad', n)::pgb_looked_up_row AS r FROM generate_series(1, 5000) n";
    // Each way to run a statement, first on a connection that knows nothing: the rows must not wait for the types.
    for (prepared, stream) in [(true, false), (false, false), (true, true), (false, true)] {
        let c = connect(&url).await;
        assert_eq!(look_ups(&*c).await, 0);
        for again in [false, true] {
            let mut request = request(&*c, sql, Params::new());
            request.prepared = prepared;
            let mut count = 0;
            if stream {
                let mut rows = c.open_stream(request).await.unwrap();
                while let Some(batch) = rows.next().await.unwrap() {
                    count += batch.len();
                }
            } else {
                let mut rows = support::Rows::default();
                c.run(request, &mut rows).await.unwrap();
                count = rows.rows.len();
                let row: (String, i32) = rows.rows[4].get("r").unwrap();
                assert_eq!(row, ("sad".to_owned(), 5));
            }
            assert_eq!((count, look_ups(&*c).await), (5000, 2), "{prepared} {stream} {again}");
        }
        // Also behind a reset.
        assert!(c.reset().await.unwrap());
        run(&*c, sql, Params::new()).await.unwrap();
        assert_eq!(look_ups(&*c).await, 2);
    }

    let mut types = TypeOptions::default();
    types.preload = ["pgb_looked_up_row", "public.pgb_looked_up", "\"pgb_looked_up\"[]"].map(str::to_owned).to_vec();
    let c = connect_knowing(&url, types).await.unwrap();
    assert_eq!(look_ups(&*c).await, 3);
    run(&*c, sql, Params::new()).await.unwrap();
    let sql = "SELECT :m::pgb_looked_up, :ms::pgb_looked_up[], :r::pgb_looked_up_row";
    let r = Value::Array(Box::new(Array::record(vec![Value::Text("ok".into()), Value::Int(1)])));
    let (_, rows) = run(&*c, sql, params! { m: "ok", ms: vec!["ok", "sad"], r: r.clone() }).await.unwrap();
    assert_eq!(rows[0].get::<Vec<String>>(1).unwrap(), ["ok", "sad"]);
    assert!(rows[0].get::<Value>(2).unwrap() == r);
    assert_eq!(look_ups(&*c).await, 3);

    for (name, kind, says) in [
        ("no_such_type", ErrorKind::Database, "preload_types: type \"no_such_type\" does not exist"),
        ("int4; DROP TABLE t", ErrorKind::Url, "preload_types: \"int4; DROP TABLE t\" is no name of a type"),
    ] {
        let mut types = TypeOptions::default();
        types.preload = vec!["pgb_looked_up".to_owned(), name.to_owned()];
        let error = connect_knowing(&url, types).await.map(drop).unwrap_err();
        assert_eq!((error.kind(), &*error.to_string()), (kind, says));
    }
    exec(&*c, "DROP TYPE pgb_looked_up, pgb_looked_up_row CASCADE").await;
}

#[tokio::test]
async fn a_composite_type_that_is_changed_is_read_as_it_is_now() {
    let url = server!();
    let (c, other) = (connect(&url).await, connect(&url).await);
    exec(&*c, "DROP TYPE IF EXISTS pgb_changing CASCADE").await;
    exec(&*c, "CREATE TYPE pgb_changing AS (a int, b text)").await;
    let read = "SELECT ROW(1, 'x')::pgb_changing";
    assert_eq!(one::<(i32, String)>(&*c, read, Params::new()).await.unwrap(), (1, "x".to_owned()));
    exec(&*other, "ALTER TYPE pgb_changing ADD ATTRIBUTE c bool, ALTER ATTRIBUTE a TYPE text").await;
    let read = "SELECT ROW('1', 'x', true)::pgb_changing";
    let found: (String, String, bool) = one(&*c, read, Params::new()).await.unwrap();
    assert_eq!(found, ("1".to_owned(), "x".to_owned(), true));
    exec(&*c, "DROP TYPE pgb_changing").await;
}
