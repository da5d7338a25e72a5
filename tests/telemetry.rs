//! Spans carry OpenTelemetry's names for databases and never a value or a password.

use std::io;
use std::sync::{Arc, Mutex};

use databases::{Database, ErrorKind, Executor, params};
use tracing::subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Everything that is traced, as text.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Captured {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Captured {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn capture() -> (Captured, subscriber::DefaultGuard) {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::NEW | FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(captured.clone())
        .finish();
    (captured, subscriber::set_default(subscriber))
}

#[tokio::test]
async fn spans_have_the_names_of_opentelemetry_and_no_values() -> databases::Result<()> {
    let (captured, guard) = capture();
    let db = Database::builder("sqlite::memory:").connect().await?;
    db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT UNIQUE)", ()).await?;
    let insert = "INSERT INTO notes(text) VALUES (:text)";
    db.execute(insert, params! { text: "canary-value" }).await?;
    let again = db.execute(insert, params! { text: "canary-value" }).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::UniqueViolation);
    db.transaction(async |tx| tx.execute(insert, params! { text: "canary-in-transaction" }).await).await?;
    drop(guard);
    let text = captured.text();
    for part in [
        "connect",
        "acquire",
        "transaction",
        "statement",
        "db.system.name=\"sqlite\"",
        "db.operation.name=INSERT",
        "db.collection.name=\"notes\"",
        "db.query.text=\"INSERT INTO notes(text) VALUES (:text)\"",
        "error.type=UniqueViolation",
        "db.response.status_code=\"2067\"",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    assert!(!text.contains("canary"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_password_is_in_no_span_event_or_error() {
    let (captured, guard) = capture();
    let urls = [
        "sqlite:///no/such/folder/x.db?mode=ro",
        #[cfg(feature = "postgres")]
        "postgres://user:canary-password@127.0.0.1:1/db?acquire_timeout=1",
        #[cfg(feature = "mysql")]
        "mysql://user:canary-password@127.0.0.1:1/db?acquire_timeout=1",
    ];
    for url in urls {
        let builder = Database::builder(url);
        let mut texts = vec![format!("{builder:?}"), format!("{builder:#?}")];
        let mut error: &dyn std::error::Error = &builder.connect().await.unwrap_err();
        texts.push(format!("{error:#?}"));
        loop {
            texts.push(format!("{error} {error:?}"));
            match error.source() {
                Some(source) => error = source,
                None => break,
            }
        }
        for text in texts {
            assert!(!text.contains("canary"), "{text}");
        }
    }
    drop(guard);
    assert!(!captured.text().contains("canary"), "{}", captured.text());
}
