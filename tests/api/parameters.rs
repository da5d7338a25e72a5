//! Everything that may be passed as a query and as its parameters.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use databases::sea_query::{Alias, ColumnDef, Expr, ExprTrait, Query, Table};
use databases::{
    Database, ErrorKind, Executor, FromValue, IntoParams, IntoQuery, IntoValue, Params, Result, Value, ValueRef, list,
    params, sql,
};

const SUM: &str = "SELECT :a + :b";

async fn memory() -> Result<Database> {
    Database::connect("sqlite::memory:").await
}

async fn sum(db: &impl Executor, params: impl IntoParams) -> i64 {
    db.fetch_val(SUM, params).await.expect("both names are given")
}

#[derive(Clone, Params)]
struct Pair {
    a: i64,
    b: i64,
}

#[derive(Params)]
struct Borrowing<'a, T: Clone> {
    a: &'a i64,
    #[databases(rename = "b")]
    second: T,
}

#[tokio::test]
async fn every_form_of_parameters_is_taken() -> Result<()> {
    let db = memory().await?;
    assert_eq!(db.fetch_val::<i64>("SELECT 3", ()).await?, 3);

    let (a, b) = (1i64, 2i64);
    assert_eq!(sum(&db, params! { a: 1, b: 2 }).await, 3);
    assert_eq!(sum(&db, params! { a, b }).await, 3);
    assert_eq!(sum(&db, params! { a: &a, b: &b }).await, 3);
    assert_eq!(sum(&db, params! { a, b: 2, }).await, 3);
    let kept = params! { a, b };
    assert_eq!(sum(&db, &kept).await, 3);
    assert_eq!(sum(&db, kept).await, 3);
    assert_eq!(sum(&db, Params::new().with("a", 1).with(String::from("b"), 2)).await, 3);

    let pair = Pair { a, b };
    assert_eq!(sum(&db, &pair).await, 3);
    assert_eq!(sum(&db, pair).await, 3);
    let borrowing = Borrowing { a: &a, second: 2i16 };
    assert_eq!(sum(&db, &borrowing).await, 3);
    assert_eq!(sum(&db, borrowing).await, 3);

    let hash = HashMap::from([("a", 1), ("b", 2)]);
    assert_eq!(sum(&db, &hash).await, 3);
    assert_eq!(sum(&db, hash).await, 3);
    let tree = BTreeMap::from([("a".to_owned(), Some(1)), ("b".to_owned(), Some(2))]);
    assert_eq!(sum(&db, &tree).await, 3);
    assert_eq!(sum(&db, tree).await, 3);

    assert_eq!(sum(&db, vec![("a", 1), ("b", 2)]).await, 3);
    assert_eq!(sum(&db, [("a", 1), ("b", 2)]).await, 3);
    let slice: &[(&str, i64)] = &[("a", 1), ("b", 2)];
    assert_eq!(sum(&db, slice).await, 3);
    assert_eq!(sum(&db, &vec![("a", 1), ("b", 2)][..]).await, 3);
    let mixed: Vec<(String, Value)> = vec![("a".into(), Value::Int(1)), ("b".into(), Value::Float(2.0))];
    assert_eq!(db.fetch_val::<f64>(SUM, &mixed[..]).await?, 3.0);
    assert_eq!(db.fetch_val::<f64>(SUM, mixed).await?, 3.0);
    let boxed: Vec<(Box<str>, Value)> = vec![("a".into(), 1i64.into_value()), ("b".into(), 2i64.into_value())];
    assert_eq!(sum(&db, boxed).await, 3);
    Ok(())
}

#[tokio::test]
async fn params_moves_its_values_and_keeps_what_is_borrowed() -> Result<()> {
    fn always_params<'a>(params: Params<'a>) -> Params<'a> {
        params
    }
    let db = memory().await?;
    let (kept, moved, r#type) = (String::from("kept"), String::from("moved"), "raw");
    let params = always_params(params! { kept: &kept, moved, r#type });
    let (a, b, c): (String, String, String) = db.fetch_one("SELECT :kept, :moved, :type", params).await?;
    assert_eq!((a, b, c), (kept, "moved".to_owned(), "raw".to_owned()));
    let _: Params<'static> = always_params(params! {});
    Ok(())
}

#[tokio::test]
async fn missing_and_unused_names_are_errors_and_allow_unused_takes_the_second_back() -> Result<()> {
    let db = memory().await?;
    let error = db.fetch_val::<i64>(SUM, params! { a: 1 }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Parameters);
    assert!(error.to_string().contains('b'), "{error}");
    let error = db.fetch_val::<i64>(SUM, params! { a: 1, b: 2, extra: "s3cret" }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Parameters);
    assert!(error.to_string().contains("extra"), "{error}");
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    let shared = HashMap::from([("a", 1), ("b", 2), ("extra", 3)]);
    assert_eq!(db.fetch_val::<i64>(sql(SUM).allow_unused(), &shared).await?, 3);
    let twice = [("a", 1), ("b", 2), ("a", 3)];
    assert_eq!(db.fetch_val::<i64>(SUM, twice).await.unwrap_err().kind(), ErrorKind::Parameters);
    Ok(())
}

#[tokio::test]
async fn every_form_of_a_query_is_taken() -> Result<()> {
    async fn one(db: &Database, query: impl IntoQuery) -> i64 {
        db.fetch_val(query, ()).await.expect("the query gives one number")
    }
    let db = memory().await?;
    let text = String::from("SELECT 1");
    assert_eq!(one(&db, "SELECT 1").await, 1);
    assert_eq!(one(&db, &text).await, 1);
    assert_eq!(one(&db, &*text).await, 1);
    assert_eq!(one(&db, text).await, 1);
    assert_eq!(one(&db, sql("SELECT 1").timeout(Duration::from_secs(5)).prepared(false).allow_unused()).await, 1);
    let kept = sql(String::from("SELECT 1"));
    assert_eq!(one(&db, &kept).await, 1);
    assert_eq!(one(&db, kept).await, 1);

    let mut select = Query::select();
    select.expr(Expr::val(1));
    assert_eq!(one(&db, &select).await, 1);
    assert_eq!(one(&db, &mut select).await, 1);
    assert_eq!(one(&db, select).await, 1);
    // A builder's chain is `&mut`, and may be passed as it is.
    assert_eq!(one(&db, Query::select().expr(Expr::val(1))).await, 1);
    Ok(())
}

#[tokio::test]
async fn built_statements_run_and_take_names_of_ours_beside_their_own_values() -> Result<()> {
    let db = memory().await?;
    let mut table = Table::create();
    table
        .table("t")
        .col(ColumnDef::new("id").big_integer().not_null().auto_increment().primary_key())
        .col(ColumnDef::new(Alias::new("name")).text());
    db.execute(&table, ()).await?;
    let mut insert = Query::insert();
    insert.into_table("t").columns(["name"]).values_panic(["a".into()]).values_panic([Expr::cust(":name")]);
    let done = db.execute(&mut insert, params! { name: "b" }).await?;
    assert_eq!((done.rows_affected(), done.last_insert_id()), (2, None));
    let mut update = Query::update();
    update.table("t").value("name", "c").and_where(Expr::cust("name = :old")).and_where(Expr::col("id").lt(10));
    assert_eq!(db.execute(update, params! { old: "b" }).await?.rows_affected(), 1);
    let select = Query::select().column("name").from("t").and_where(Expr::cust("id IN (:ids)")).take();
    let names: Vec<(String,)> = db.fetch_all(&select, params! { ids: list([1, 2]) }).await?;
    assert_eq!(names, [("a".to_owned(),), ("c".to_owned(),)]);
    let mut delete = Query::delete();
    delete.from_table("t");
    assert_eq!(db.execute(delete, ()).await?.rows_affected(), 2);
    db.execute(Table::drop().table("t").take(), ()).await?;
    Ok(())
}

#[tokio::test]
async fn lists_expand() -> Result<()> {
    let db = memory().await?;
    let within = "SELECT 2 IN (:items)";
    assert!(db.fetch_val::<bool>(within, params! { items: list([1, 2]) }).await?);
    assert!(!db.fetch_val::<bool>(within, params! { items: list(Vec::<i64>::new()) }).await?);
    assert!(db.fetch_val::<bool>(within, params! { items: list((1..5).filter(|n| n % 2 == 0)) }).await?);
    let pairs = params! { pairs: list([(1, "a"), (2, "b")]) };
    assert!(db.fetch_val::<bool>("SELECT (2, 'b') IN (:pairs)", pairs).await?);
    Ok(())
}

#[tokio::test]
async fn execute_many_takes_every_form_and_pulls_rows_as_it_goes() -> Result<()> {
    let db = memory().await?;
    db.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b INTEGER)", ()).await?;
    let insert = "INSERT INTO t(a, b) VALUES (:a, :b)";
    assert_eq!(db.execute_many(insert, (1..=3).map(|a| Pair { a, b: 0 })).await?, 3);
    let pairs = vec![Pair { a: 4, b: 0 }, Pair { a: 5, b: 0 }];
    assert_eq!(db.execute_many(insert, &pairs).await?, 2);
    assert_eq!(db.execute_many(insert, [[("a", 6), ("b", 0)], [("a", 7), ("b", 0)]]).await?, 2);
    assert_eq!(db.execute_many(insert, Vec::<Pair>::new()).await?, 0);
    assert_eq!(db.execute_many(sql(insert).prepared(false), vec![params! { a: 8, b: 0 }]).await?, 1);
    // All or none, and the error says which row it was.
    let error = db.execute_many(insert, [9, 10, 1].map(|a| params! { a, b: 0 })).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UniqueViolation);
    assert_eq!(db.fetch_val::<i64>("SELECT max(a) FROM t", ()).await?, 8);
    Ok(())
}

#[tokio::test]
async fn execute_script_runs_statements_and_says_which_one_failed() -> Result<()> {
    let db = memory().await?;
    db.execute_script("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2);").await?;
    assert_eq!(db.fetch_val::<i64>("SELECT sum(a) FROM t", ()).await?, 3);
    let error = db.execute_script("INSERT INTO t VALUES (3); INSERT INTO nowhere VALUES (4)").await.unwrap_err();
    assert_eq!((error.kind(), error.batch_index()), (ErrorKind::UndefinedTable, Some(1)));
    let error = db.execute("SELECT 1; SELECT 2", ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Parameters);
    assert!(error.hint().is_some_and(|hint| hint.contains("execute_script")), "{error:?}");
    Ok(())
}

/// A type of the user's own, in both directions.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Celsius(f64);

impl IntoValue for Celsius {
    fn into_value(self) -> Value {
        self.0.into_value()
    }
}

impl FromValue for Celsius {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        f64::from_value(value).map(Self)
    }
}

#[tokio::test]
async fn types_of_ones_own_are_values() -> Result<()> {
    let db = memory().await?;
    let back: Celsius = db.fetch_val("SELECT :t", params! { t: Celsius(21.5) }).await?;
    assert_eq!(back, Celsius(21.5));
    let none: Option<Celsius> = db.fetch_val("SELECT :t", params! { t: None::<Celsius> }).await?;
    assert_eq!(none, None);
    Ok(())
}
