//! A backend that this crate does not know: given to the builder, and held to what it claims.

mod backend_memory;

use backend_memory::MemoryBackend;
use databases::{Database, ErrorKind, Executor, Result, params};

#[tokio::test]
async fn a_backend_given_to_the_builder_serves_its_scheme() -> Result<()> {
    let db = Database::builder("demo://any/notes").backend(MemoryBackend).connect().await?;
    assert_eq!((db.backend(), db.server_info().await?.product.as_str()), ("demo", "Memory"));
    db.execute("CREATE TABLE notes (id INTEGER, text TEXT)", ()).await?;
    let added = db.execute("INSERT INTO notes (id, text) VALUES (:id, :text)", params! { id: 1, text: "a" }).await?;
    assert_eq!(added.rows_affected(), 1);
    let undone: Result<()> = db
        .transaction(async |tx| {
            tx.execute("DELETE FROM notes", ()).await?;
            Err(databases::Error::new(ErrorKind::Internal, "on second thoughts"))
        })
        .await;
    assert!(undone.is_err());
    let text: String = db.fetch_val("SELECT text FROM notes WHERE id = :id", params! { id: 1 }).await?;
    assert_eq!(text, "a");
    db.close().await
}

#[tokio::test]
async fn options_of_a_given_backend_are_checked_like_any_other() {
    let connect = |url: &'static str| Database::builder(url).backend(MemoryBackend).connect();
    let error = connect("demo://any/notes?colour=red").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Url);
    assert!(error.to_string().contains("colour"), "{error}");
    let db = connect("demo://any/notes?read_only=true").await.unwrap();
    assert_eq!(db.execute("CREATE TABLE t (id INTEGER)", ()).await.unwrap_err().kind(), ErrorKind::ReadOnly);
}

#[tokio::test]
async fn without_the_backend_its_scheme_is_unknown() {
    let error = Database::connect("demo://any/notes").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Url);
    assert!(error.to_string().contains("`demo`"), "{error}");
}

mod memory {
    databases_core::conformance!(|| databases_core::conformance::Source::url(
        super::MemoryBackend,
        "demo://any/memory"
    ));
}
