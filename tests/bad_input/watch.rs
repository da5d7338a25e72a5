//! Keeps everything that is traced or logged at the finest level, from all threads.

use std::io;
use std::sync::{Mutex, Once, PoisonError};

use crate::SECRET;

static TRACED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

#[derive(Clone, Copy)]
struct Keep;

impl io::Write for Keep {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut traced = TRACED.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked through in pieces, so that hours of traces need no memory. A piece begins with the end of the last one.
        if traced.len() > 1 << 20 {
            look_through(&traced);
            let end = traced.len() - SECRET.len();
            traced.drain(..end);
        }
        traced.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the drivers log goes where the spans go.
struct Logged;

impl log::Log for Logged {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let _ = io::Write::write(&mut Keep, format!("{} {}\n", record.target(), record.args()).as_bytes());
    }

    fn flush(&self) {}
}

/// Starts to keep, once.
pub(crate) fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(|| Keep)
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("nobody else sets one");
        log::set_logger(&Logged).expect("nobody else sets one");
        log::set_max_level(log::LevelFilter::Trace);
    });
}

/// Looks for the secret in what was kept so far.
pub(crate) fn assert_no_secret() {
    let traced = TRACED.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(!traced.is_empty(), "something is traced");
    look_through(&traced);
}

fn look_through(traced: &[u8]) {
    let found = traced.windows(SECRET.len()).position(|window| window == SECRET.as_bytes());
    if let Some(at) = found {
        let around = &traced[at.saturating_sub(300)..(at + 100).min(traced.len())];
        panic!("a secret is traced: {}", String::from_utf8_lossy(around));
    }
}
