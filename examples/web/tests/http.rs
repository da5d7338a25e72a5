//! The service as its callers see it: real HTTP on a loopback port, on SQLite and on each URL of `TEST_DATABASE_URLS`.

use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use databases::{Database, DatabaseBuilder, Executor};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// The tests share a table on each server, so they take turns.
static TURN: Mutex<()> = Mutex::const_new(());

struct Service {
    db: Database,
    address: SocketAddr,
    server: JoinHandle<std::io::Result<()>>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The answer is an error of `status` that says something and gives nothing away.
    #[track_caller]
    fn is_error(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.body);
        for internal in ["example_web", "SELECT", "INSERT", "sql", "password", "UNIQUE"] {
            assert!(!self.body.contains(internal), "{}", self.body);
        }
        assert!(!self.body.is_empty());
    }
}

impl Service {
    async fn start(builder: DatabaseBuilder) -> Self {
        let db = builder.connect().await.expect("the database is there");
        db.execute("DROP TABLE IF EXISTS example_web_notes", ()).await.expect("the table can be dropped");
        web::create_table(&db).await.expect("the table can be made");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback port is free");
        let address = listener.local_addr().expect("the listener is bound");
        let app = web::app(db.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        Self { db, address, server }
    }

    async fn stop(self) {
        self.server.abort();
        self.db.execute("DROP TABLE IF EXISTS example_web_notes", ()).await.expect("the table can be dropped");
        self.db.close().await.expect("nobody uses the database");
    }

    /// A request with a JSON body, if any.
    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let body = body.map(|body| body.to_string());
        let kind = body.as_ref().map_or("", |_| "content-type: application/json\r\n");
        self.send(method, path, kind, &body.unwrap_or_default()).await
    }

    /// HTTP/1.1 as far as this takes it: one request to a connection, the answer up to its end.
    async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let (host, length) = (self.address, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
        );
        let mut stream = TcpStream::connect(host).await.expect("the service listens");
        stream.write_all(request.as_bytes()).await.expect("the service reads");
        let mut answer = String::new();
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_string(&mut answer));
        read.await.expect("the service answers in time").expect("the answer is UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head ends with an empty line");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    async fn add(&self, text: &str) -> i64 {
        let made = self.ask("POST", "/api/notes", Some(json!({ "text": text }))).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.json()["id"].as_i64().expect("an id is a number")
    }
}

/// Runs `test` on SQLite in memory, on a SQLite file, and on each server there is, one after the other.
async fn on_each(adjust: impl Fn(DatabaseBuilder) -> DatabaseBuilder, test: impl AsyncFn(&Service)) {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let _turn = TURN.lock().await;
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let file = env::temp_dir().join(format!("databases-web-{}-{number}.db", std::process::id()));
    let mut urls = vec!["sqlite::memory:".to_owned(), format!("sqlite:{}", file.display())];
    match env::var("TEST_DATABASE_URLS") {
        Ok(servers) => urls.extend(servers.split(',').map(|url| url.trim().to_owned()).filter(|url| !url.is_empty())),
        Err(_) => eprintln!("left out PostgreSQL and MySQL: TEST_DATABASE_URLS is not set"),
    }
    for url in urls {
        let service = Service::start(adjust(Database::builder(url))).await;
        eprintln!("on {}", service.db.url());
        test(&service).await;
        service.stop().await;
    }
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", file.display()));
    }
}

fn as_it_is(builder: DatabaseBuilder) -> DatabaseBuilder {
    builder
}

#[tokio::test]
async fn a_note_is_made_listed_changed_and_deleted() {
    on_each(as_it_is, async |service| {
        assert_eq!(service.ask("GET", "/api/notes", None).await.json(), json!([]));
        let made = service.ask("POST", "/api/notes", Some(json!({ "text": "buy milk" }))).await;
        assert_eq!(made.status, 201);
        assert!(made.head.contains("content-type: application/json"), "{}", made.head);
        let id = made.json()["id"].as_i64().expect("an id is a number");
        assert_eq!(made.json(), json!({ "id": id, "text": "buy milk", "done": false }));

        let path = format!("/api/notes/{id}");
        let changed = service.ask("PATCH", &path, Some(json!({ "done": true }))).await;
        assert_eq!((changed.status, changed.json()["done"].clone()), (200, json!(true)));
        // The same again is no error: it is the row that counts, and not whether it changed.
        assert_eq!(service.ask("PATCH", &path, Some(json!({ "done": true }))).await.status, 200);
        let all = service.ask("GET", "/api/notes", None).await;
        assert_eq!((all.status, all.json()), (200, json!([{ "id": id, "text": "buy milk", "done": true }])));

        assert_eq!(service.ask("DELETE", &path, None).await.status, 204);
        service.ask("DELETE", &path, None).await.is_error(404);
        assert_eq!(service.ask("GET", "/api/notes", None).await.json(), json!([]));
    })
    .await;
}

#[tokio::test]
async fn wrong_requests_have_a_status_and_a_reason_each() {
    on_each(as_it_is, async |service| {
        service.add("once").await;
        let twice = service.ask("POST", "/api/notes", Some(json!({ "text": "once" }))).await;
        twice.is_error(409);
        assert_eq!(twice.json(), json!({ "error": "there is a note with this text" }));
        let unknown = service.ask("PATCH", "/api/notes/987654321", Some(json!({ "done": true }))).await;
        unknown.is_error(404);
        assert_eq!(unknown.json(), json!({ "error": "there is no such note" }));
        for text in ["", "  ", &"x".repeat(web::MAX_TEXT + 1)] {
            service.ask("POST", "/api/notes", Some(json!({ "text": text }))).await.is_error(422);
        }
        service.add(&"ü".repeat(web::MAX_TEXT)).await;
        service.ask("POST", "/api/notes", Some(json!({ "title": "a" }))).await.is_error(422);
        service.send("POST", "/api/notes", "content-type: application/json\r\n", "{").await.is_error(400);
        // Without this type a page of somebody else's could post a form here.
        service.send("POST", "/api/notes", "content-type: text/plain\r\n", r#"{"text":"a"}"#).await.is_error(415);
        service.ask("DELETE", "/api/notes/one", None).await.is_error(400);
        assert_eq!(service.ask("GET", "/nowhere", None).await.status, 404);
        assert_eq!(service.ask("PUT", "/api/notes", None).await.status, 405);
        assert_eq!(service.ask("GET", "/api/notes", None).await.json().as_array().map(Vec::len), Some(2));
    })
    .await;
}

#[tokio::test]
async fn all_notes_are_finished_in_one_transaction() {
    on_each(as_it_is, async |service| {
        let nothing = service.ask("PUT", "/api/notes/done", None).await;
        assert_eq!((nothing.status, nothing.json()), (200, json!({ "completed": 0, "notes": [] })));
        let first = service.add("a").await;
        service.add("b").await;
        service.add("c").await;
        service.ask("PATCH", &format!("/api/notes/{first}"), Some(json!({ "done": true }))).await;
        let done = service.ask("PUT", "/api/notes/done", None).await.json();
        assert_eq!(done["completed"], json!(2));
        let notes = done["notes"].as_array().expect("the notes are a list");
        assert!(notes.len() == 3 && notes.iter().all(|note| note["done"] == json!(true)), "{done}");
        assert_eq!(service.ask("GET", "/api/notes", None).await.json(), done["notes"]);
    })
    .await;
}

#[tokio::test]
async fn any_text_comes_back_as_it_was_and_the_page_runs_no_script_of_it() {
    on_each(as_it_is, async |service| {
        let texts = ["<script>alert(1)</script>", "'; DROP TABLE example_web_notes; --", ":id ? $1 \\ \" %", "日本 🦀"];
        for text in texts {
            service.add(text).await;
        }
        let all = service.ask("GET", "/api/notes", None).await.json();
        let read: Vec<_> = all.as_array().expect("a list").iter().map(|note| note["text"].clone()).collect();
        assert_eq!(read, texts);

        let page = service.ask("GET", "/", None).await;
        assert_eq!(page.status, 200);
        assert!(page.head.contains("content-type: text/html"), "{}", page.head);
        assert!(page.head.contains("script-src 'self'"), "{}", page.head);
        assert!(page.body.starts_with("<!doctype html>") && page.body.contains("/page.js"));
        let script = service.ask("GET", "/page.js", None).await;
        assert!(script.head.contains("content-type: text/javascript"), "{}", script.head);
        for danger in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!script.body.contains(danger) && !page.body.contains(danger), "{danger}");
        }
    })
    .await;
}

#[tokio::test]
async fn of_many_that_want_the_same_text_one_gets_it() {
    on_each(as_it_is, async |service| {
        let ask = || service.ask("POST", "/api/notes", Some(json!({ "text": "contested" })));
        let answers = tokio::join!(ask(), ask(), ask(), ask(), ask(), ask(), ask(), ask());
        let answers = [answers.0, answers.1, answers.2, answers.3, answers.4, answers.5, answers.6, answers.7];
        let made = answers.iter().filter(|answer| answer.status == 201).count();
        let refused = answers.iter().filter(|answer| answer.status == 409).count();
        assert_eq!((made, refused), (1, 7));
    })
    .await;
}

#[tokio::test]
async fn a_busy_pool_is_503_and_then_well_again() {
    let narrow = |builder: DatabaseBuilder| builder.max_connections(1).acquire_timeout(Duration::from_secs(1));
    on_each(narrow, async |service| {
        let held = service.db.acquire().await.expect("the connection is free");
        let busy = service.ask("GET", "/api/notes", None).await;
        busy.is_error(503);
        assert_eq!(busy.json(), json!({ "error": "the service is busy; try again later" }));
        service.ask("PUT", "/api/notes/done", None).await.is_error(503);
        drop(held);
        assert_eq!(service.ask("GET", "/api/notes", None).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn any_other_error_is_500_and_keeps_its_reasons_to_itself() {
    on_each(as_it_is, async |service| {
        service.db.execute("DROP TABLE example_web_notes", ()).await.expect("the table is there");
        for (method, path) in [("GET", "/api/notes"), ("PUT", "/api/notes/done"), ("DELETE", "/api/notes/1")] {
            let answer = service.ask(method, path, None).await;
            answer.is_error(500);
            assert_eq!(answer.json(), json!({ "error": "something went wrong on our side" }));
        }
    })
    .await;
}
