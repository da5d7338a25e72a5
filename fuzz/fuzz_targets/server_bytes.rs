//! Any bytes from a server of PostgreSQL, behind a login that is whole. `cargo +nightly fuzz run server_bytes`.
//!
//! The bytes are said over loopback, a part each time that the client asks: 0xA5 ends a part. So the whole way is tried, with the
//! socket, the guard and the driver.

#![no_main]

#[path = "../../tests/support/replay.rs"]
#[allow(dead_code, reason = "what records and damages is not used")]
mod replay;

use std::sync::OnceLock;
use std::time::Duration;

use databases_core::{Executor as _, Pool, PoolConfig, Row};
use databases_postgres::Postgres;
use libfuzzer_sys::fuzz_target;
use tokio::net::TcpListener;

const LOGIN: &[u8] = b"R\0\0\0\x08\0\0\0\0S\0\0\0\x16server_version\x0017.0\0Z\0\0\0\x05I";

fn runtime() -> &'static (tokio::runtime::Runtime, TcpListener) {
    static RUNTIME: OnceLock<(tokio::runtime::Runtime, TcpListener)> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port of this machine");
        (runtime, listener)
    })
}

/// Messages that the server answers, as far as the bytes tell: good enough to keep in step.
fn asked(sent: &[u8]) -> usize {
    usize::from(!sent.is_empty()) + sent.windows(5).filter(|window| *window == b"S\0\0\0\x04").count()
}

fuzz_target!(|data: &[u8]| {
    let (runtime, listener) = runtime();
    let mut session = vec![Vec::new(), LOGIN.to_vec()];
    session.extend(data.split(|byte| *byte == 0xa5).map(<[u8]>::to_vec));
    runtime.block_on(async {
        let port = listener.local_addr().expect("it is bound").port();
        let url = format!("postgres://user@127.0.0.1:{port}/db?sslmode=disable").parse().expect("a URL");
        let config = PoolConfig::from_url(&Postgres, &url, |options| {
            options.max_connections = Some(1);
            options.statement_timeout = Some(Duration::from_secs(1));
            options.close_timeout = Duration::from_millis(100);
        });
        let pool = Pool::new(config.expect("options that are right")).expect("a pool");
        let client = async {
            let _ = pool.fetch_all::<Row>("SELECT 1", ()).await;
            pool.close_now().await;
        };
        let both = async { tokio::join!(client, replay::say(listener, &session, asked)) };
        tokio::time::timeout(Duration::from_secs(20), both).await.expect("an answer in time");
    });
});
