//! The driver's names of the statements that it prepares for us, read off the wire.
//!
//! The driver does not tell them. Its Parse does: while it prepares a text of ours it writes one with that text, and what it writes
//! beside it, to look types up, has other texts. So one prepare of ours at a time is under way on a connection.
//!
//! Parse: <https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-PARSE>.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Finds out what the driver calls a statement.
#[derive(Debug, Default)]
pub(crate) struct Naming {
    turn: tokio::sync::Mutex<()>,
    awaited: Mutex<Option<Awaited>>,
}

/// A prepare that is under way.
#[derive(Debug)]
struct Awaited {
    sql: Arc<str>,
    /// The first name that was seen with it.
    name: Option<String>,
}

impl Naming {
    /// What `prepare` gives, which prepares `sql`, and the name that the driver has given the statement.
    pub(crate) async fn of<T>(&self, sql: &Arc<str>, prepare: impl Future<Output = T>) -> (T, Option<String>) {
        let _turn = self.turn.lock().await;
        *self.awaited() = Some(Awaited { sql: sql.clone(), name: None });
        let prepared = prepare.await;
        (prepared, self.awaited().take().and_then(|awaited| awaited.name))
    }

    /// Looks at the start of a Parse that was written: the name, the text.
    pub(crate) fn parsed(&self, body: &[u8]) {
        if let Some(Awaited { sql, name: name @ None }) = &mut *self.awaited()
            && let Some(end) = body.iter().position(|&byte| byte == 0)
            && is_start_of(&body[end + 1..], sql.as_bytes())
        {
            *name = str::from_utf8(&body[..end]).ok().filter(|name| !name.is_empty()).map(str::to_owned);
        }
    }

    fn awaited(&self) -> MutexGuard<'_, Option<Awaited>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `bytes`, some of a message, begin with as much of `sql` as there is room for, and a NUL.
fn is_start_of(bytes: &[u8], sql: &[u8]) -> bool {
    match bytes.split_at_checked(sql.len()) {
        Some((text, behind)) => text == sql && behind.first().is_none_or(|&byte| byte == 0),
        None => !bytes.is_empty() && sql.starts_with(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn named(sql: &str, bodies: &[&[u8]]) -> Option<String> {
        let naming = Naming::default();
        naming.of(&sql.into(), async { bodies.iter().for_each(|body| naming.parsed(body)) }).await.1
    }

    #[tokio::test]
    async fn the_name_is_that_of_the_first_parse_of_the_text() {
        let others: &[&[u8]] = &[b"s1\0SELECT 1\0\0\0", b"s2\0SELECT 12\0\0\0", b"s3\0SELECT", b"s4\0SELECT 1"];
        assert_eq!(named("SELECT 12", others).await.as_deref(), Some("s2"));
        assert_eq!(named("SELECT 1", others).await.as_deref(), Some("s1"));
        // Of a long text only the start was kept.
        assert_eq!(named("SELECT 2", others).await.as_deref(), Some("s3"));
        assert_eq!(named("SELECTED", &[b"s1\0", b"s2", b"", b"\0SELECTED\0"]).await, None);
        Naming::default().parsed(b"s1\0SELECT 1\0\0\0");
    }
}
