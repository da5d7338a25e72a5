//! What must hold behind every drop.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::{Bench, STATEMENTS};
use crate::backend::Status;
use crate::conformance::Fixture;
use crate::conformance::transactions::ids;
use crate::connection::Connection;
use crate::database::Pool;
use crate::error::Result;
use crate::executor::Executor;
use crate::options::TransactionOptions;
use crate::params;
use crate::sql::DialectKind;

/// How soon the pool must be as if nothing had been. Below every timeout of ours, so that what only a timeout has cleaned
/// up is seen.
pub(super) const SOON: Duration = Duration::from_secs(4);
/// Statements that the driver itself keeps, to look types up.
const DRIVERS_OWN: i64 = 4;

/// The settings of a session, in one text.
pub(super) async fn settings(f: &Fixture, db: &(impl Executor + ?Sized)) -> Result<String> {
    let ask = f.pick(
        "SELECT concat_ws(', ', current_user, current_setting('TimeZone'), current_setting('search_path'), \
         current_setting('work_mem'), current_setting('statement_timeout'), current_setting('client_encoding'), \
         current_setting('default_transaction_isolation'), current_setting('default_transaction_read_only'))",
        "SELECT CONCAT_WS(', ', @@autocommit, @@sql_mode, @@time_zone, @@character_set_client, @@foreign_key_checks)",
        "SELECT query_only || ', ' || foreign_keys || ', ' || synchronous \
         FROM pragma_query_only, pragma_foreign_keys, pragma_synchronous",
    );
    db.fetch_val::<String>(ask, ()).await
}

impl Bench<'_> {
    /// Seven of the eight checks: (a) a connection is there soon, (b) it answers what is asked, (c) it is outside of any
    /// transaction and has the settings of a fresh one, (d) at the server nothing of ours runs, waits or holds a lock, (e) no
    /// more statements are prepared than are kept, (g) nothing is in use and there is one connection at the most, (h) no
    /// socket is left open. The eighth is [`Bench::check_data`].
    pub(super) async fn check(&self, db: &Pool, place: &str) -> Result<()> {
        let (conn, started) = (timeout(SOON, db.acquire()).await, Instant::now());
        let conn = conn.unwrap_or_else(|_| panic!("{place}: (a) no connection within {SOON:?}"))?;
        assert_eq!(conn.status(), Status::Idle, "{place}: (c) in a transaction");
        for n in 1..=20 {
            assert_eq!(conn.fetch_val::<i64>("SELECT :n", params! { n }).await?, n, "{place}: (b) another's answer");
        }
        assert!(started.elapsed() < SOON, "{place}: (b) the connection is slow");
        assert_eq!(settings(self.f, &conn).await?, self.settings, "{place}: (c) settings are changed");
        if let Some(count) = prepared_statements(self.f.kind(), &conn).await? {
            let kept = STATEMENTS as i64 + DRIVERS_OWN;
            assert!(count <= kept, "{place}: (e) {count} statements are prepared");
        }
        drop(conn);
        eventually(&format!("{place}: (g) the pool is at rest"), async || {
            let status = db.status();
            let rests = status.size <= 1 && status.idle == status.size && status.waiting == 0 && status.in_use == 0;
            Ok(if rests { Ok(()) } else { Err(format!("{status:?}")) })
        })
        .await?;
        self.check_outside(place).await
    }

    /// (f): the table holds one of `images`.
    pub(super) async fn check_data(&self, images: &[&[i64]], place: &str) -> Result<()> {
        let found = ids(self.observer.as_ref().unwrap_or(&self.db), &self.table).await?;
        assert!(images.iter().any(|image| **image == found), "{place}: (f) {found:?} is none of {images:?}");
        Ok(())
    }

    /// What can be seen from outside: (d) and (h).
    pub(super) async fn check_outside(&self, place: &str) -> Result<()> {
        let Some(observer) = &self.observer else { return Ok(()) };
        let Some(proxy) = &self.proxy else {
            // Whoever holds a lock on the file is in the way of this.
            let lock = observer.begin_with(TransactionOptions::new().immediate());
            return timeout(SOON, lock).await.unwrap_or_else(|_| panic!("{place}: (d) locked"))?.rollback().await;
        };
        eventually(&format!("{place}: (d) nothing of ours is left at the server"), async || {
            let (busy, open) = at_server(self.f.kind(), observer, &proxy.ports()).await?;
            let rests = busy == 0 && open <= 1 && proxy.connections() <= 1;
            let found = || format!("{busy} at work, {open} sessions, {} sockets", proxy.connections());
            Ok(if rests { Ok(()) } else { Err(found()) })
        })
        .await?;
        proxy.forget_closed();
        Ok(())
    }
}

/// How many sessions from `ports` work, wait, are in a transaction or hold locks, and how many there are.
pub(in crate::conformance) async fn at_server(kind: DialectKind, observer: &Pool, ports: &[u16]) -> Result<(i64, i64)> {
    if ports.is_empty() {
        return Ok((0, 0));
    }
    let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>();
    let ask = match kind {
        DialectKind::Postgres => {
            let ports = ports.join(", ");
            format!(
                "WITH ours AS (SELECT pid, state FROM pg_stat_activity WHERE client_port IN ({ports})) \
                 SELECT (SELECT count(*) FROM ours WHERE state IS DISTINCT FROM 'idle') \
                      + (SELECT count(*) FROM pg_locks JOIN ours USING (pid)), (SELECT count(*) FROM ours)"
            )
        }
        _ => {
            let ports = ports.join("', '");
            let ours = format!("SUBSTRING_INDEX(p.host, ':', -1) IN ('{ports}')");
            format!(
                "SELECT (SELECT count(*) FROM information_schema.processlist p WHERE {ours} AND p.command <> 'Sleep') \
                      + (SELECT count(*) FROM information_schema.innodb_trx t \
                         JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id WHERE {ours}), \
                        (SELECT count(*) FROM information_schema.processlist p WHERE {ours})"
            )
        }
    };
    // Written anew for each set of ports, so not worth keeping.
    observer.fetch_one::<(i64, i64)>(crate::query::sql(ask).prepared(false), ()).await
}

/// How many statements the session has prepared at the server; on SQLite the driver's cache bounds them.
async fn prepared_statements(kind: DialectKind, conn: &Connection) -> Result<Option<i64>> {
    match kind {
        DialectKind::Postgres => conn.fetch_val("SELECT count(*) FROM pg_prepared_statements", ()).await.map(Some),
        // Neither of MySQL's own tables has these counters where the performance schema is off; this has.
        DialectKind::MySql => {
            let ask = "SHOW SESSION STATUS WHERE Variable_name IN ('Com_stmt_prepare', 'Com_stmt_close')";
            let counters: Vec<(String, String)> = conn.fetch_all(ask, ()).await?;
            let of = |name: &str| {
                let found = counters.iter().find(|(counter, _)| counter == name);
                found.and_then(|(_, count)| count.parse::<i64>().ok()).expect("the server counts them")
            };
            Ok(Some(of("Com_stmt_prepare") - of("Com_stmt_close")))
        }
        DialectKind::Sqlite => Ok(None),
    }
}

/// Asks until the answer is that all is well; panics with the last complaint.
pub(in crate::conformance) async fn eventually(
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<std::result::Result<(), String>>,
) -> Result<()> {
    let started = Instant::now();
    loop {
        let Err(complaint) = ask().await? else { return Ok(()) };
        assert!(started.elapsed() < SOON, "{what}: {complaint}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
