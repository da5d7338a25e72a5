//! Rows as structs, tuples and values; what each fetch does with none, one or more of them.

use std::time::Instant;

use databases::{
    Database, ErrorKind, Executor, FromRow, FromValue, RawExecutor, Result, Row, RowStream, ValueRef, params,
};
use futures_util::{StreamExt, TryStreamExt};

use crate::notes;

async fn filled() -> Result<Database> {
    let db = notes().await?;
    let rows = [(Some("a"), true), (Some("b"), false), (None, false)];
    db.execute_many(
        "INSERT INTO notes(text, done) VALUES (:text, :done)",
        rows.map(|(text, done)| params! { text, done }),
    )
    .await?;
    Ok(db)
}

#[derive(Debug, PartialEq, FromRow)]
struct Renamed<T> {
    #[databases(rename = "id")]
    number: T,
    r#type: Option<String>,
}

#[derive(Debug, FromRow)]
struct Wrong {
    #[expect(dead_code, reason = "never read: there is no such column")]
    title: String,
}

#[derive(Debug, FromRow)]
struct Strict {
    #[expect(dead_code, reason = "never read: the cell is NULL")]
    text: String,
}

#[tokio::test]
async fn derived_structs_may_be_generic_renamed_and_optional() -> Result<()> {
    let db = filled().await?;
    let query = "SELECT text AS type, id, done FROM notes ORDER BY id";
    let rows: Vec<Renamed<i64>> = db.fetch_all(query, ()).await?;
    let types: Vec<_> = rows.iter().map(|row| (row.number, row.r#type.as_deref())).collect();
    assert_eq!(types, [(1, Some("a")), (2, Some("b")), (3, None)]);
    let row: Renamed<Option<i16>> = db.fetch_one(query, ()).await?;
    assert_eq!(row, Renamed { number: Some(1), r#type: Some("a".to_owned()) });
    let row = Renamed::<u64>::from_row(&db.fetch_one::<Row>(query, ()).await?)?;
    assert_eq!(row.number, 1);
    Ok(())
}

#[tokio::test]
async fn an_error_of_a_row_names_the_column_and_never_the_value() -> Result<()> {
    let db = filled().await?;
    let error = db.fetch_all::<Wrong>("SELECT * FROM notes", ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert_eq!(error.to_string(), "no column `title`; there are `id`, `text`, `done`");
    let error = db.fetch_all::<Strict>("SELECT * FROM notes", ()).await.unwrap_err();
    assert_eq!(error.to_string(), "column `text` (TEXT): NULL cannot be read as String");
    assert_eq!(error.hint(), Some("ask for Option<String>"));
    let error = db.fetch_val::<i64>("SELECT 's3cret' AS word", ()).await.unwrap_err();
    assert_eq!(error.to_string(), "column `word`: this text does not have the form of i64");
    let error = db.fetch_one::<(i64, i64)>("SELECT 1 AS only", ()).await.unwrap_err();
    assert_eq!(error.to_string(), "no column at index 1; the row has 1, counted from 0");
    Ok(())
}

#[tokio::test]
async fn tuples_go_to_sixteen() -> Result<()> {
    type Sixteen = (i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, String);
    let db = Database::connect("sqlite::memory:").await?;
    let row: Sixteen = db.fetch_one("SELECT 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 'last'", ()).await?;
    assert_eq!((row.0, row.14, &*row.15), (1, 15, "last"));
    let (only,): (i64,) = db.fetch_one("SELECT 1, 2", ()).await?;
    assert_eq!(only, 1);
    Ok(())
}

#[tokio::test]
async fn the_fetches_differ_in_what_no_row_and_null_mean() -> Result<()> {
    let db = filled().await?;
    let (some, null, none) = ("SELECT text FROM notes WHERE id = 1", "SELECT NULL AS text", "SELECT 1 WHERE 1 = 0");

    assert_eq!(db.fetch_all::<(String,)>(some, ()).await?.len(), 1);
    assert!(db.fetch_all::<(String,)>(none, ()).await?.is_empty());

    assert_eq!(db.fetch_one::<(String,)>(some, ()).await?.0, "a");
    assert_eq!(db.fetch_one::<(String,)>(none, ()).await.unwrap_err().kind(), ErrorKind::NoRows);
    let (first,): (i64,) = db.fetch_one("SELECT id FROM notes ORDER BY id", ()).await?;
    assert_eq!(first, 1);

    assert_eq!(db.fetch_optional::<(String,)>(some, ()).await?, Some(("a".to_owned(),)));
    assert_eq!(db.fetch_optional::<(String,)>(none, ()).await?, None);

    assert_eq!(db.fetch_val::<String>(some, ()).await?, "a");
    assert_eq!(db.fetch_val::<Option<String>>(null, ()).await?, None);
    let error = db.fetch_val::<String>(null, ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(error.to_string().contains("`text`"), "{error}");
    assert_eq!(db.fetch_val::<i64>(none, ()).await.unwrap_err().kind(), ErrorKind::NoRows);

    assert_eq!(db.fetch_optional_val::<String>(some, ()).await?, Some("a".to_owned()));
    assert_eq!(db.fetch_optional_val::<i64>(none, ()).await?, None);
    // None only when there is no row: a NULL needs an Option of its own.
    assert_eq!(db.fetch_optional_val::<Option<String>>(null, ()).await?, Some(None));
    assert_eq!(db.fetch_optional_val::<String>(null, ()).await.unwrap_err().kind(), ErrorKind::Decode);
    Ok(())
}

#[tokio::test]
async fn a_write_with_returning_is_done_though_only_one_row_is_read() -> Result<()> {
    let db = notes().await?;
    let insert = "INSERT INTO notes(text) VALUES ('a'), ('b'), ('c') RETURNING id";
    assert_eq!(db.fetch_val::<i64>(insert, ()).await?, 1);
    assert_eq!(crate::count(&db).await?, 3);
    assert_eq!(db.execute(insert, ()).await?.rows_affected(), 3);
    Ok(())
}

#[tokio::test]
async fn cells_are_read_by_name_by_index_borrowed_and_raw() -> Result<()> {
    let db = filled().await?;
    let row: Row = db.fetch_one("SELECT id, text, text AS Text, id AS x, id AS x FROM notes", ()).await?;
    assert_eq!((row.len(), row.is_empty()), (5, false));
    assert_eq!(row.get::<i64>(0)?, 1);
    assert_eq!(row.get::<String>("text")?, "a");
    assert_eq!(row.get::<i64>(String::from("ID"))?, 1);
    assert!(matches!(row.get_ref("text")?, ValueRef::Text("a")));
    assert!(matches!(row.get_ref(0)?, ValueRef::Int(1)));
    assert_eq!(row.get_raw("text")?, Some(&b"a"[..]));
    assert_eq!(row.get::<i64>("x").unwrap_err().to_string(), "the column name `x` is ambiguous");
    assert_eq!(row.get::<i64>(3)?, 1);
    assert_eq!(row.get::<i64>(5).unwrap_err().kind(), ErrorKind::Decode);
    let names: Vec<_> = row.columns().iter().map(|column| column.name().to_owned()).collect();
    assert_eq!(names, ["id", "text", "Text", "x", "x"]);
    assert_eq!(String::from_value(row.get_ref(1)?)?, "a");
    Ok(())
}

#[tokio::test]
async fn a_stream_gives_rows_one_by_one_and_frees_its_connection() -> Result<()> {
    let db = filled().await?;
    let mut stream = {
        // Query and parameters are taken over before `iterate` returns.
        let (query, least) = (String::from("SELECT id, text FROM notes WHERE id >= :least ORDER BY id"), 2);
        db.iterate::<(i64, Option<String>)>(&query, params! { least: &least })
    };
    assert_eq!(stream.next().await.transpose()?, Some((2, Some("b".to_owned()))));
    assert_eq!(stream.try_next().await?, Some((3, None)));
    assert_eq!(stream.try_next().await?, None);
    assert_eq!(stream.try_next().await?, None);
    let all: Vec<Row> = db.iterate("SELECT * FROM notes", ()).try_collect().await?;
    assert_eq!(all.len(), 3);
    // Dropped before its end, it gives the only connection back.
    let mut early = db.iterate::<Renamed<i64>>("SELECT id, text AS type FROM notes", ());
    assert!(early.try_next().await?.is_some());
    drop(early);
    assert_eq!(crate::count(&db).await?, 3);
    let mut failed = db.iterate::<Row>("SELECT :a", ());
    assert_eq!(failed.try_next().await.unwrap_err().kind(), ErrorKind::Parameters);
    assert!(failed.try_next().await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_function_may_return_a_stream_over_the_executor_it_was_given() -> Result<()> {
    fn open<'e>(db: &'e impl Executor, least: &str) -> RowStream<'e, (i64,)> {
        let query = format!("SELECT id FROM notes WHERE id >= {least} AND done = :done");
        db.iterate(&query, params! { done: false })
    }
    fn open_dyn<'e>(db: &'e dyn RawExecutor) -> RowStream<'e, Row> {
        db.iterate("SELECT * FROM notes", ())
    }
    let db = filled().await?;
    assert_eq!(open(&db, "3").try_collect::<Vec<_>>().await?, [(3,)]);
    assert_eq!(open_dyn(&db).try_collect::<Vec<_>>().await?.len(), 3);
    Ok(())
}

#[tokio::test]
async fn an_open_stream_makes_its_handle_busy_until_it_is_dropped() -> Result<()> {
    let db = filled().await?;
    let tx = db.begin().await?;
    let mut stream = tx.iterate::<(i64,)>("SELECT id FROM notes ORDER BY id", ());
    assert_eq!(stream.try_next().await?, Some((1,)));
    assert_eq!(crate::count(&tx).await.unwrap_err().kind(), ErrorKind::Busy);
    drop(stream);
    assert_eq!(crate::count(&tx).await?, 3);
    tx.commit().await?;
    Ok(())
}

#[tokio::test]
async fn a_stream_moves_into_a_task_with_its_transaction() -> Result<()> {
    let db = filled().await?;
    let sum = tokio::spawn(async move {
        let tx = db.begin().await?;
        let mut sum = 0;
        {
            let mut rows = tx.iterate::<(i64,)>("SELECT id FROM notes", ());
            while let Some((id,)) = rows.try_next().await? {
                sum += id;
                tokio::task::yield_now().await;
            }
        }
        tx.execute("DELETE FROM notes", ()).await?;
        tx.commit().await?;
        Ok::<_, databases::Error>(sum)
    });
    assert_eq!(sum.await.expect("the task does not panic")?, 6);
    Ok(())
}

#[tokio::test]
async fn rows_of_a_slow_statement_are_not_held_back() -> Result<()> {
    let db = Database::connect("sqlite::memory:").await?;
    let slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 40)
                SELECT (WITH RECURSIVE m(j) AS (SELECT i UNION ALL SELECT j + 1 FROM m LIMIT 100000) SELECT count(*) FROM m)
                FROM n";
    let began = Instant::now();
    let mut rows = db.iterate::<(i64,)>(slow, ());
    let mut came = Vec::new();
    while let Some(row) = rows.try_next().await? {
        assert_eq!(row, (100_000,));
        came.push(began.elapsed());
    }
    assert_eq!(came.len(), 40);
    assert!(came[0] * 4 < came[39] && came[19] * 5 < came[39] * 4, "{came:?}");
    Ok(())
}
