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
async fn control_characters_forge_no_line_of_a_log() -> databases::Result<()> {
    const FORGED: &str = "\nforged\rforged\u{1b}[31mforged\u{7}";
    const ENCODED: &str = "%0Aforged%0Dforged%1B[31mforged%07";
    let (captured, guard) = capture();
    let folder = std::env::temp_dir().join(format!("databases_telemetry_{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    let db = Database::connect(format!("sqlite:///{}/{ENCODED}", folder.display())).await?;
    db.execute(format!("CREATE TABLE \"t{FORGED}\" (a)"), ()).await?;
    db.execute(format!("INSERT INTO \"t{FORGED}\" VALUES ('{FORGED}') -- {FORGED}"), ()).await.unwrap_err();
    db.execute_script(&format!("SELECT 1; /* {FORGED} */ SELECT 2")).await?;
    db.transaction(async |tx| tx.fetch_val::<i64>(format!("SELECT 1 AS \"{FORGED}\""), ()).await).await?;
    db.close().await?;
    let gone = format!("sqlite:///{}/{ENCODED}/gone?mode=ro&acquire_timeout=1", folder.display());
    Database::connect(gone).await.unwrap_err();
    std::fs::remove_dir_all(&folder).expect("it is ours");
    drop(guard);
    let text = captured.text();
    let kinds = ["CREATE", "script", "SELECT 1 AS", "transaction", "could be opened", "opened a SQLite database"];
    for part in kinds {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    assert!(text.matches("forged").count() > 20, "{text}");
    for line in text.lines() {
        assert!(!line.starts_with("forged") && !line.contains(|c: char| c.is_control()), "{line:?}");
    }
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
