//! What the driver tells the `log` crate, which applications may print: no value of a parameter and no password.

mod support;

use std::sync::Mutex;

use databases_core::{ErrorKind, list, params};
use support::{connect, exec, run, url};

struct Captured;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl log::Log for Captured {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.lock().unwrap().push(format!("{}: {}", record.target(), record.args()));
    }

    fn flush(&self) {}
}

#[tokio::test]
async fn the_drivers_log_holds_no_value() {
    let Some(url) = url() else { return };
    log::set_logger(&Captured).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let c = connect(&url).await;
    exec(&*c, "CREATE TEMP TABLE t (id int PRIMARY KEY, text text UNIQUE)").await;
    let insert = "INSERT INTO t VALUES (:id, :text)";
    run(&*c, insert, params! { id: 731_337, text: "canary7f3" }).await.unwrap();
    let error = run(&*c, insert, params! { id: 731_337, text: "canary7f3" }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UniqueViolation);
    let select = "SELECT * FROM t WHERE text IN (:texts) OR text = :text";
    run(&*c, select, params! { texts: list(["canary7f3"]), text: "canary7f3" }).await.unwrap();
    let mut once = support::request(&*c, "SELECT :text", params! { text: "canary7f3" });
    once.prepared = false;
    c.run(once, &mut support::Rows::default()).await.unwrap();
    c.close().await;
    log::set_max_level(log::LevelFilter::Off);
    let lines = LINES.lock().unwrap().join("\n");
    assert!(lines.contains("tokio_postgres") && lines.contains("INSERT INTO t"), "nothing was logged: {lines}");
    for secret in ["canary7f3", "731337"] {
        assert!(!lines.contains(secret), "{lines}");
    }
}
