//! Transactions where users have them: in spawned tasks, in handlers, nested, with captures, behind traits.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use databases::sqlite::rusqlite;
use databases::{
    Connection, Database, Error, ErrorKind, Executor, Isolation, RawExecutor, Result, Transaction, TransactionOptions,
    params,
};

use crate::{count, notes};

async fn add(db: &impl Executor, text: &str) -> Result<u64> {
    let done = db.execute("INSERT INTO notes(text) VALUES (:text)", params! { text }).await?;
    Ok(done.rows_affected())
}

async fn add_unsized<E: Executor + ?Sized>(db: &E, text: String) -> Result<u64> {
    let done = db.execute("INSERT INTO notes(text) VALUES (:text)", params! { text }).await?;
    Ok(done.rows_affected())
}

async fn add_dyn(db: &dyn RawExecutor, text: &str) -> Result<u64> {
    let done = db.execute("INSERT INTO notes(text) VALUES (:text)", params! { text }).await?;
    let all: Vec<(Option<String>,)> = db.fetch_all("SELECT text FROM notes", ()).await?;
    assert!(all.iter().any(|(found,)| found.as_deref() == Some(text)));
    Ok(done.rows_affected())
}

#[tokio::test]
async fn database_connection_and_transaction_are_executors_static_and_dynamic() -> Result<()> {
    let db = notes().await?;
    add(&db, "a").await?;
    add_dyn(&db, "b").await?;
    add_unsized(&db, "c".to_owned()).await?;
    {
        let conn = db.acquire().await?;
        add(&conn, "d").await?;
        add_dyn(&conn, "e").await?;
        let tx = conn.begin().await?;
        add(&tx, "f").await?;
        add_dyn(&tx, "g").await?;
        let inner = tx.begin().await?;
        add(&inner, "h").await?;
        inner.commit().await?;
        tx.commit().await?;
    }
    add_unsized::<dyn RawExecutor>(&db, "k".to_owned()).await?;
    let boxed: Box<dyn RawExecutor> = Box::new(db.clone());
    add_dyn(&*boxed, "i").await?;
    let shared: Arc<dyn RawExecutor> = Arc::new(db.clone());
    add_dyn(&*shared, "j").await?;
    assert_eq!(count(&db).await?, 11);
    Ok(())
}

#[tokio::test]
async fn a_transaction_runs_inside_a_spawned_task() -> Result<()> {
    let db = notes().await?;
    let moved = String::from("moved");
    let shared = Arc::new(String::from("shared"));
    let task = tokio::spawn({
        let (db, shared) = (db.clone(), shared.clone());
        async move {
            let local = String::from("local");
            db.transaction(async |tx| {
                add(tx, &moved).await?;
                add_dyn(tx, &shared).await?;
                add_unsized(tx, local.clone()).await?;
                tx.transaction(async |inner| {
                    add(inner, &local).await?;
                    add_dyn(inner, &moved).await
                })
                .await
            })
            .await
        }
    });
    assert_eq!(task.await.expect("the task does not panic")?, 1);
    assert_eq!(count(&db).await?, 5);
    Ok(())
}

#[tokio::test]
async fn a_transaction_with_options_runs_inside_a_spawned_task() -> Result<()> {
    let db = notes().await?;
    let attempts = Arc::new(AtomicU32::new(0));
    let task = tokio::spawn({
        let (db, attempts) = (db.clone(), attempts.clone());
        async move {
            let texts = vec!["a".to_owned(), "b".to_owned()];
            let options = TransactionOptions::new().isolation(Isolation::Serializable).retry(3);
            db.transaction_with(options, async |tx| {
                attempts.fetch_add(1, Ordering::Relaxed);
                for text in &texts {
                    add(tx, text).await?;
                    add_dyn(tx, text).await?;
                }
                tx.execute_many("INSERT INTO notes(text) VALUES (:text)", texts.iter().map(|text| params! { text }))
                    .await
            })
            .await
        }
    });
    assert_eq!(task.await.expect("the task does not panic")?, 2);
    assert_eq!(attempts.load(Ordering::Relaxed), 1);
    assert_eq!(count(&db).await?, 6);
    Ok(())
}

#[tokio::test]
async fn a_transaction_on_a_connection_runs_inside_a_spawned_task() -> Result<()> {
    let db = notes().await?;
    let conn = db.acquire().await?;
    let conn = tokio::spawn(async move {
        conn.transaction(async |tx| add(tx, "a").await).await?;
        conn.transaction_with(TransactionOptions::new().retry(1), async |tx| add_dyn(tx, "b").await).await?;
        Ok::<Connection, Error>(conn)
    })
    .await
    .expect("the task does not panic")?;
    let tx = conn.begin_with(TransactionOptions::new().immediate()).await?;
    let tx: Transaction = tokio::spawn(async move {
        add(&tx, "c").await?;
        tx.transaction_with(TransactionOptions::new(), async |inner| add(inner, "d").await).await?;
        Ok::<_, Error>(tx)
    })
    .await
    .expect("the task does not panic")?;
    tx.commit().await?;
    drop(conn);
    assert_eq!(count(&db).await?, 4);
    Ok(())
}

#[tokio::test]
async fn captured_references_moved_values_and_mutable_state_work() -> Result<()> {
    let db = notes().await?;
    let (borrowed, moved) = (String::from("borrowed"), String::from("moved"));
    let slice: &[&str] = &["x", "y"];
    let mut seen = Vec::new();
    db.transaction(async |tx| {
        add(tx, &borrowed).await?;
        for text in slice {
            seen.push(add(tx, text).await?);
        }
        Ok::<_, Error>(())
    })
    .await?;
    assert_eq!(seen, [1, 1]);
    let text = db
        .transaction(async move |tx| {
            add(tx, &moved).await?;
            Ok::<_, Error>(moved)
        })
        .await?;
    assert_eq!((text, borrowed.as_str()), ("moved".to_owned(), "borrowed"));
    assert_eq!(count(&db).await?, 4);
    Ok(())
}

#[tokio::test]
async fn a_closure_that_takes_references_out_of_a_map_works_in_a_spawned_task() -> Result<()> {
    let db = notes().await?;
    let spawned = db.clone();
    tokio::spawn(async move {
        let map = BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]);
        let texts: Vec<&str> = map.keys().map(String::as_str).collect();
        spawned
            .transaction(async |tx| {
                for (text, id) in &map {
                    tx.execute("INSERT INTO notes(id, text) VALUES (:id, :text)", params! { id, text }).await?;
                }
                let rows = texts.iter().map(|text| params! { text: *text });
                tx.execute_many("INSERT INTO notes(text) VALUES (:text)", rows).await
            })
            .await
    })
    .await
    .expect("the task does not panic")?;
    assert_eq!(count(&db).await?, 4);
    Ok(())
}

#[derive(Debug)]
enum AppError {
    Refused,
    Database(Error),
}

impl From<Error> for AppError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for AppError {}

#[tokio::test]
async fn an_error_of_the_users_own_rolls_back_and_comes_out_as_it_is() -> Result<()> {
    let db = notes().await?;
    let outcome = db
        .transaction(async |tx| {
            add(tx, "a").await?;
            Err::<(), _>(AppError::Refused)
        })
        .await;
    assert!(matches!(outcome, Err(AppError::Refused)));
    let outcome: Result<u64, AppError> =
        db.transaction(async |tx| Ok(tx.execute("no sql", ()).await?.rows_affected())).await;
    assert!(matches!(outcome, Err(AppError::Database(error)) if error.kind() == ErrorKind::Syntax));
    let outcome: Result<(), Box<dyn std::error::Error + Send + Sync>> = db
        .transaction(async |tx| {
            add(tx, "b").await?;
            Err("refused")?
        })
        .await;
    assert_eq!(outcome.expect_err("the closure failed").to_string(), "refused");
    assert_eq!(count(&db).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_nested_closure_that_fails_undoes_itself_only() -> Result<()> {
    let db = notes().await?;
    db.transaction(async |tx| {
        add(tx, "outer").await?;
        let inner: Result<(), AppError> = tx
            .transaction(async |inner| {
                add(inner, "inner").await?;
                let innermost = inner.transaction(async |innermost| add(innermost, "innermost").await).await;
                assert!(innermost.is_ok());
                Err(AppError::Refused)
            })
            .await;
        assert!(matches!(inner, Err(AppError::Refused)));
        add(tx, "after").await
    })
    .await?;
    let texts: Vec<(String,)> = db.fetch_all("SELECT text FROM notes ORDER BY id", ()).await?;
    assert_eq!(texts.into_iter().map(|(text,)| text).collect::<Vec<_>>(), ["outer", "after"]);
    Ok(())
}

#[tokio::test]
async fn a_panic_in_the_closure_rolls_back() -> Result<()> {
    let db = notes().await?;
    let spawned = db.clone();
    let task = tokio::spawn(async move {
        spawned
            .transaction(async |tx| {
                add(tx, "a").await?;
                if count(tx).await? == 1 {
                    panic!("on purpose");
                }
                Ok::<_, Error>(())
            })
            .await
    });
    assert!(task.await.expect_err("the task panics").is_panic());
    assert_eq!(count(&db).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_handle_with_an_open_child_or_stream_is_busy() -> Result<()> {
    let db = notes().await?;
    let tx = db.begin().await?;
    let inner = tx.begin().await?;
    assert_eq!(add(&tx, "a").await.unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(tx.begin().await.unwrap_err().kind(), ErrorKind::Busy);
    add(&inner, "b").await?;
    drop(inner);
    // The dropped child is rolled back before the next statement of its parent.
    assert_eq!(count(&tx).await?, 0);
    add(&tx, "c").await?;
    let inner = tx.begin().await?;
    assert_eq!(tx.commit().await.unwrap_err().kind(), ErrorKind::Busy);
    drop(inner);
    assert_eq!(count(&db).await?, 0);
    Ok(())
}

#[tokio::test]
async fn statements_of_one_transaction_may_be_joined() -> Result<()> {
    let db = notes().await?;
    let tx = db.begin().await?;
    let (a, b, n) = tokio::join!(add(&tx, "a"), add(&tx, "b"), tx.fetch_val::<i64>("SELECT 7", ()));
    assert_eq!((a?, b?, n?), (1, 1, 7));
    tx.commit().await?;
    assert_eq!(count(&db).await?, 2);
    Ok(())
}

#[tokio::test]
async fn options_that_sqlite_cannot_keep_are_errors() -> Result<()> {
    let db = notes().await?;
    let deferrable = TransactionOptions::new().deferrable(true);
    let outcome = db.transaction_with(deferrable, async |tx| add(tx, "a").await).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unsupported);
    let tx = db.begin_with(TransactionOptions::new().read_only(true)).await?;
    assert_eq!(add(&tx, "a").await.unwrap_err().kind(), ErrorKind::ReadOnly);
    tx.rollback().await?;
    let tx = db.begin_with(TransactionOptions::new().deferred()).await?;
    add(&tx, "a").await?;
    let nested = tx.begin_with(TransactionOptions::new().read_only(true)).await;
    assert_eq!(nested.unwrap_err().kind(), ErrorKind::Unsupported);
    tx.commit().await?;
    assert_eq!(count(&db).await?, 1);
    Ok(())
}

#[tokio::test]
async fn transaction_control_as_text_is_refused_with_the_right_methods() -> Result<()> {
    let db = notes().await?;
    for sql in ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s"] {
        let tx = db.begin().await?;
        let error = tx.execute(sql, ()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{sql}");
        for method in ["begin()", "commit()", "rollback()"] {
            assert!(error.to_string().contains(method), "{error}");
        }
        tx.rollback().await?;
        assert_eq!(db.execute(sql, ()).await.unwrap_err().kind(), ErrorKind::Unsupported, "{sql}");
    }
    Ok(())
}

/// A file of its own for tests that need two connections; gone when this is dropped.
struct File(std::path::PathBuf);

impl File {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("databases-api-{name}-{}.db", std::process::id())))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", self.0.display()));
        }
    }
}

#[tokio::test]
async fn a_conflict_runs_a_clone_of_the_closure_again_whatever_its_error_type() -> Result<()> {
    let file = File::new("retry");
    let db = Database::connect(format!("sqlite:{}?busy_timeout=5ms", file.0.display())).await?;
    db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, done BOOLEAN)", ()).await?;
    // Another program that writes: it has the lock until the closure's third attempt.
    let other = Arc::new(Mutex::new(rusqlite::Connection::open(&file.0).expect("the file is a database")));
    other.lock().expect("no panic").execute_batch("BEGIN IMMEDIATE").expect("nobody writes yet");
    let attempts = Arc::new(AtomicU32::new(0));
    let run = async |retries: u32| {
        let (db, other, attempts, text) = (db.clone(), other.clone(), attempts.clone(), String::from("a"));
        attempts.store(0, Ordering::Relaxed);
        let task = tokio::spawn(async move {
            let options = TransactionOptions::new().deferred().retry(retries);
            db.transaction_with(options, async move |tx| {
                if attempts.fetch_add(1, Ordering::Relaxed) == 2 {
                    other.lock().expect("no panic").execute_batch("ROLLBACK").expect("it is open");
                }
                add(tx, &text).await.map_err(|_| AppError::Refused)
            })
            .await
        });
        task.await.expect("the task does not panic")
    };
    assert!(matches!(run(1).await, Err(AppError::Refused)));
    assert_eq!(attempts.load(Ordering::Relaxed), 2);
    assert!(matches!(run(5).await, Ok(1)));
    assert_eq!(attempts.load(Ordering::Relaxed), 3);
    assert_eq!(count(&db).await?, 1);
    db.close().await
}

#[tokio::test]
async fn an_error_that_is_no_conflict_is_not_retried_and_begin_with_ignores_retry() -> Result<()> {
    let db = notes().await?;
    let mut attempts = 0;
    let attempts_of = Arc::new(AtomicU32::new(0));
    for fails_in_sql in [false, true] {
        attempts_of.store(0, Ordering::Relaxed);
        let outcome: Result<(), AppError> = db
            .transaction_with(TransactionOptions::new().retry(5), async |tx| {
                attempts_of.fetch_add(1, Ordering::Relaxed);
                if fails_in_sql {
                    tx.execute("INSERT INTO nowhere VALUES (1)", ()).await?;
                }
                Err(AppError::Refused)
            })
            .await;
        assert!(outcome.is_err());
        attempts += attempts_of.load(Ordering::Relaxed);
    }
    assert_eq!(attempts, 2);
    db.begin_with(TransactionOptions::new().retry(5)).await?.commit().await
}

// An axum handler must be `Send` and `'static`: this is where a closure with too narrow a lifetime does not compile.
async fn handle(State(db): State<Database>, Path(text): Path<String>, body: String) -> (StatusCode, String) {
    let lines: Vec<&str> = body.lines().collect();
    let outcome: Result<i64, AppError> = db
        .transaction(async |tx| {
            add(tx, &text).await?;
            for line in &lines {
                if line.is_empty() {
                    return Err(AppError::Refused);
                }
                tx.transaction(async |inner| add_dyn(inner, line).await).await?;
            }
            Ok(count(tx).await?)
        })
        .await;
    match outcome {
        Ok(count) => (StatusCode::OK, count.to_string()),
        Err(AppError::Refused) => (StatusCode::BAD_REQUEST, "refused".to_owned()),
        Err(AppError::Database(_)) => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
    }
}

async fn handle_with(State(db): State<Database>, Path(text): Path<String>) -> Result<String, StatusCode> {
    let options = TransactionOptions::new().retry(2);
    let added = db.transaction_with(options, async |tx| add(tx, &text).await).await;
    added.map(|n| n.to_string()).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

#[tokio::test]
async fn transactions_run_in_axum_handlers() -> Result<()> {
    let db = notes().await?;
    let app = Router::new()
        .route("/notes/{text}", post(handle))
        .route("/with/{text}", post(handle_with))
        .with_state(db.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
    let address = listener.local_addr().expect("the listener is bound");
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let post = async |path: &str, body: &str| {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address)?;
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            std::io::Result::Ok(answer)
        });
        let answer = answer.await.expect("the client does not panic").expect("the server answers in UTF-8");
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        (status, body)
    };
    assert_eq!(post("/notes/a", "b\nc").await, ("200".to_owned(), "3".to_owned()));
    assert_eq!(post("/notes/d", "e\n\nf").await, ("400".to_owned(), "refused".to_owned()));
    assert_eq!(post("/with/g", "").await, ("200".to_owned(), "1".to_owned()));
    assert_eq!(count(&db).await?, 4);
    server.abort();
    Ok(())
}
