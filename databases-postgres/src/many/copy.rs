//! Rows of one INSERT by COPY, where that is certainly the same.
//!
//! The server reads the bytes of a COPY as whatever its columns are now, and the driver loses its place behind a COPY that the
//! server refuses to start. So the first row goes by the INSERT itself, which locks the table, asks for the rights and finds the
//! columns, and behind it the question whether these are of the types that the rows were written in.

use std::fmt::Write as _;
use std::sync::Arc;

use databases_core::Result;
use databases_core::sql::{InsertItem, InsertRow};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::batch::text_of;
use crate::cache::Prepared;
use crate::connection::PgConnection;
use crate::copy::{BUFFER_BYTES, Copy, HEADER, TRAILER};
use crate::encode::Iter;

/// How many values a chunk has at least. COPY takes two round trips more for the first chunk and one for each behind it.
pub(super) const LEAST_VALUES: usize = 20_000;

/// The name with its schema of the table named by `$1`, if its columns `$3`, all if that is NULL, are of the types `$2`, and COPY takes them
/// as INSERT does:
///
/// - into a table of its own, not through its partitions, which are locked only when a row comes to them;
/// - with no column that INSERT takes no value for (COPY does for an identity), or that has no binary form (COPY asks for that of
///   the columns that it is not given as well);
/// - with no length or precision of a type of somebody else's, which casts to it in an INSERT and may read it otherwise in a COPY.
///
/// Without its schema the name may stand for another table by the time of a COPY.
const FITS: &str = "\
SELECT (SELECT pg_catalog.format('%I.%I', n.nspname, r.relname) FROM pg_catalog.pg_class AS r \
JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace WHERE r.oid = t.oid AND r.relkind = 'r' \
AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS y ON y.oid = a.atttypid \
WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND (y.typreceive::pg_catalog.oid = 0 \
OR (a.atttypmod >= 0 AND y.typnamespace <> 'pg_catalog'::pg_catalog.regnamespace) \
OR ((a.attidentity = 'a' OR a.attgenerated <> '') AND ($3::pg_catalog.text[] IS NULL OR a.attname = ANY ($3))))) \
AND $2::pg_catalog.oid[] = CASE WHEN $3 IS NULL THEN ARRAY(SELECT a.atttypid FROM pg_catalog.pg_attribute AS a \
WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) \
ELSE ARRAY(SELECT a.atttypid FROM ROWS FROM (pg_catalog.unnest($3)) WITH ORDINALITY AS n (name, place) \
JOIN pg_catalog.pg_attribute AS a ON a.attname = n.name WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped \
ORDER BY n.place) END) \
FROM (SELECT pg_catalog.to_regclass($1)::pg_catalog.oid AS oid) AS t";

/// The question whether rows may go by COPY.
pub(super) struct Fits {
    prepared: Arc<Prepared>,
    table: String,
    columns: Option<Vec<String>>,
    types: Vec<u32>,
}

impl Fits {
    /// `None` if `row` says more than a COPY can, or nobody can be asked.
    pub(super) async fn of(
        connection: &PgConnection,
        row: &InsertRow,
        insert: &Prepared,
        keep: bool,
    ) -> Result<Option<Self>> {
        let Some(columns) = columns(row) else { return Ok(None) };
        let types = vec![Type::TEXT, Type::OID_ARRAY, Type::TEXT_ARRAY];
        let Some(prepared) = connection.prepare_ours(&FITS.into(), types, keep).await? else { return Ok(None) };
        let types = insert.params.iter().map(|param| param.ty.oid()).collect();
        Ok(Some(Self { prepared, table: row.table().to_owned(), columns, types }))
    }

    /// Asks for the name of the table that the rows may be copied into.
    pub(super) async fn ask(&self, client: &Client) -> Result<Option<String>, tokio_postgres::Error> {
        let row = client.query_one(&self.prepared.statement, &[&self.table, &self.types, &self.columns]).await?;
        Ok(text_of(&self.prepared.plan, row))
    }
}

/// The COPY in place of an INSERT.
pub(super) struct CopyWay {
    prepared: Arc<Prepared>,
    sql: Arc<str>,
}

impl CopyWay {
    /// Into the table that was found to fit; `None` if it cannot be prepared.
    pub(super) async fn of(
        connection: &PgConnection,
        row: &InsertRow,
        table: &str,
        keep: bool,
    ) -> Result<Option<Self>> {
        let sql: Arc<str> = copy_text(row, table).into();
        let prepared = connection.prepare_ours(&sql, Vec::new(), keep).await?;
        Ok(prepared.map(|prepared| Self { prepared, sql }))
    }

    /// Copies `rows`, behind `mark` if there is one, and gives how many the server says they were.
    pub(super) async fn run(
        &self,
        connection: &PgConnection,
        mut rows: Iter<'_>,
        mark: Option<&'static str>,
    ) -> Result<u64> {
        let client = connection.client_owned().await?;
        let start = Copy::start(client, &connection.session, &self.prepared.statement, self.sql.clone(), mark);
        // In a task that always finishes, so that a caller who is dropped does not cost the connection: the COPY begins, and fails.
        let preparing = connection.session.preparing();
        let mut copy = match tokio::spawn(async move { (start.await, preparing) }).await {
            Ok((copy, _)) => copy?,
            Err(_) => return Err(connection.session.give_up("the task that began a COPY was cut off")),
        };
        match send(&mut copy, &mut rows).await {
            Ok(()) => copy.end().await,
            Err(error) => {
                drop(copy);
                connection.fence().await;
                Err(error)
            }
        }
    }
}

async fn send(copy: &mut Copy, rows: &mut Iter<'_>) -> Result<()> {
    let mut buffer = HEADER.to_vec();
    while rows.copy_next_into(&mut buffer) {
        if buffer.len() >= BUFFER_BYTES {
            let full = std::mem::replace(&mut buffer, Vec::with_capacity(BUFFER_BYTES + BUFFER_BYTES / 8));
            copy.feed(full.into()).await?;
            // As in `copy_rows`.
            tokio::task::yield_now().await;
        }
    }
    buffer.extend_from_slice(TRAILER);
    copy.feed(buffer.into()).await
}

/// The names of the columns as the server has them, if `row` names any; `None` if it cannot be said by COPY: with a value that is
/// no parameter or stands in two places, with anything behind or before the row, or a name that the server may read otherwise.
fn columns(row: &InsertRow) -> Option<Option<Vec<String>>> {
    let in_order = row.items().iter().enumerate().all(|(at, item)| *item == InsertItem::Parameter(at));
    let is_all = row.tail().chars().all(|c| c == ';' || c.is_ascii_whitespace());
    // It would stand before VALUES. A column of that name costs no more than time.
    let overrides = row.head().to_ascii_lowercase().contains("overriding");
    if !in_order || row.items().len() != row.parameters() || overrides || !is_all {
        return None;
    }
    match row.columns() {
        Some(columns) => Some(Some(columns.map(name).collect::<Option<_>>()?)),
        None => Some(None),
    }
}

/// The name that the server reads in `spelled`; `None` where that takes more than ASCII to know.
fn name(spelled: &str) -> Option<String> {
    if let Some(quoted) = spelled.strip_prefix('"') {
        return Some(quoted.strip_suffix('"')?.replace("\"\"", "\""));
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$';
    spelled.bytes().all(is_plain).then(|| spelled.to_ascii_lowercase())
}

fn copy_text(row: &InsertRow, table: &str) -> String {
    let mut text = format!("COPY {table}");
    if let Some(columns) = row.columns() {
        for (at, column) in columns.enumerate() {
            _ = write!(text, "{}{column}", if at == 0 { " (" } else { ", " });
        }
        text.push(')');
    }
    text.push_str(" FROM STDIN (FORMAT binary)");
    text
}

#[cfg(test)]
mod tests {
    use databases_core::sql::{Dialect, scan};

    use super::*;

    #[test]
    fn only_a_row_of_nothing_but_parameters_is_copied() {
        let text = |sql: &str| {
            let template = scan(sql, Dialect::POSTGRES).unwrap();
            let row = template.insert_row()?;
            columns(row).map(|columns| (copy_text(row, row.table()), columns.unwrap_or_default().join("|")))
        };
        let cases = [
            ("INSERT INTO t VALUES (:a)", "COPY t FROM STDIN (FORMAT binary)", ""),
            (
                "INSERT INTO s . \"T t\" AS x (Ab, \"C \"\"d\") VALUES (:a, :b);",
                "COPY s.\"T t\" (Ab, \"C \"\"d\") FROM STDIN (FORMAT binary)",
                "ab|C \"d",
            ),
        ];
        for (sql, wanted, names) in cases {
            assert_eq!(text(sql), Some((wanted.into(), names.into())), "{sql}");
        }
        for sql in [
            "INSERT INTO t (a, b) VALUES (:a, 1)",
            "INSERT INTO t (a, b) VALUES (:a, DEFAULT)",
            "INSERT INTO t (a, b) VALUES (:a, :a)",
            "INSERT INTO t (a) OVERRIDING SYSTEM VALUE VALUES (:a)",
            "INSERT INTO t (a) VALUES (:a) ON CONFLICT DO NOTHING",
            "INSERT INTO t (größe) VALUES (:a)",
            "INSERT INTO t (U&\"a\") VALUES (:a)",
        ] {
            assert_eq!(text(sql), None, "{sql}");
        }
    }
}
