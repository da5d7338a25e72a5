//! A small notes service: an HTTP API, one page, and any of PostgreSQL, MySQL, MariaDB and SQLite behind it.
//!
//! | Request | Body | Answer |
//! |---|---|---|
//! | `GET /` | | the page, whose script is `/page.js` |
//! | `GET /api/notes` | | all notes |
//! | `POST /api/notes` | `{"text": "…"}` | 201 and the note; 409 if there is one with this text |
//! | `PATCH /api/notes/{id}` | `{"done": true}` | the note; 404 |
//! | `PUT /api/notes/done` | | `{"completed": 3, "notes": […]}`: finishes all, and says what there is then |
//! | `DELETE /api/notes/{id}` | | 204; 404 |

mod error;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::{get, patch, put};
use axum::{Json, Router};
use databases::sea_query::{ColumnDef, Table};
use databases::{Database, Executor, FromRow, Params, params};
use serde::{Deserialize, Serialize};

pub use error::Failure;

/// The longest text of a note, in characters.
pub const MAX_TEXT: usize = 200;

/// A note: a row of the table, and an object of the API.
#[derive(Debug, FromRow, Serialize)]
pub struct Note {
    id: i64,
    text: String,
    done: bool,
}

/// The body that makes a note.
#[derive(Debug, Deserialize, Params)]
pub struct NewNote {
    text: String,
}

/// The body that changes a note.
#[derive(Debug, Deserialize)]
pub struct Change {
    done: bool,
}

/// The answer of finishing all.
#[derive(Debug, Serialize)]
pub struct Completed {
    completed: u64,
    notes: Vec<Note>,
}

/// Makes the table if it is not there; the query builder spells it for the server at hand.
///
/// # Errors
///
/// What the server reports.
pub async fn create_table(db: &impl Executor) -> databases::Result<()> {
    let table = Table::create()
        .table("example_web_notes")
        .if_not_exists()
        .col(ColumnDef::new("id").big_integer().not_null().auto_increment().primary_key())
        .col(ColumnDef::new("text").string_len(MAX_TEXT as u32).not_null().unique_key())
        .col(ColumnDef::new("done").boolean().not_null().default(false))
        .take();
    db.execute(table, ()).await?;
    Ok(())
}

/// The service. A [`Database`] is cheap to clone, so it is the state as it is.
pub fn app(db: Database) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/page.js", get(script))
        .route("/api/notes", get(all).post(add))
        .route("/api/notes/done", put(complete_all))
        .route("/api/notes/{id}", patch(change).delete(remove))
        .with_state(db)
}

async fn page() -> impl IntoResponse {
    // The page shows notes as text and never as HTML; should that ever break, scripts of others still do not run. That
    // is why its own is a file of its own.
    const POLICY: &str =
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'";
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(include_str!("page.html")))
}

async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("page.js"))
}

// `&impl Executor` takes a `Database` and a `Transaction` alike.
async fn list(db: &impl Executor) -> databases::Result<Vec<Note>> {
    db.fetch_all("SELECT id, text, done FROM example_web_notes ORDER BY id", ()).await
}

async fn all(State(db): State<Database>) -> Result<Json<Vec<Note>>, Failure> {
    Ok(Json(list(&db).await?))
}

async fn add(State(db): State<Database>, Json(new): Json<NewNote>) -> Result<(StatusCode, Json<Note>), Failure> {
    if new.text.trim().is_empty() || new.text.chars().count() > MAX_TEXT {
        return Err(Failure::Invalid("the text of a note has 1 to 200 characters"));
    }
    // RETURNING is not to be had everywhere; the text is unique, so it finds the note again on every server.
    let note = db
        .transaction(async |tx| {
            tx.execute("INSERT INTO example_web_notes(text) VALUES (:text)", &new).await?;
            tx.fetch_one("SELECT id, text, done FROM example_web_notes WHERE text = :text", &new).await
        })
        .await?;
    Ok((StatusCode::CREATED, Json(note)))
}

async fn find(db: &impl Executor, id: i64) -> databases::Result<Note> {
    // No row is an error of its own kind here, which becomes 404.
    db.fetch_one("SELECT id, text, done FROM example_web_notes WHERE id = :id", params! { id }).await
}

async fn change(
    State(db): State<Database>,
    Path(id): Path<i64>,
    Json(Change { done }): Json<Change>,
) -> Result<Json<Note>, Failure> {
    db.execute("UPDATE example_web_notes SET done = :done WHERE id = :id", params! { done, id }).await?;
    Ok(Json(find(&db, id).await?))
}

async fn remove(State(db): State<Database>, Path(id): Path<i64>) -> Result<StatusCode, Failure> {
    let removed = db.execute("DELETE FROM example_web_notes WHERE id = :id", params! { id }).await?;
    match removed.rows_affected() {
        0 => Err(Failure::NotFound),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

/// Finishes what is open, and lists the notes as they are then: in one transaction, so that the two agree.
async fn complete_all(State(db): State<Database>) -> Result<Json<Completed>, Failure> {
    let completed = db
        .transaction(async |tx| {
            let update = "UPDATE example_web_notes SET done = :done WHERE done = :open";
            let changed = tx.execute(update, params! { done: true, open: false }).await?;
            Ok::<_, databases::Error>(Completed { completed: changed.rows_affected(), notes: list(tx).await? })
        })
        .await?;
    Ok(Json(completed))
}
