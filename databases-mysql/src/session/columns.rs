//! The columns of a key whose duplicate was refused.

use std::sync::Arc;

use databases_core::Error;
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Value};

use super::Session;
use crate::error;
use crate::keys::{LookUp, Target};

impl Session {
    /// Adds the columns of the key to the error of a duplicate, and the table if only the statement says it.
    ///
    /// Whatever goes wrong with that, `error` stays what it is.
    pub(super) async fn name_columns(&mut self, error: Error, target: &Target) -> Error {
        // Without autocommit a read outside of a transaction would begin one.
        let may_read = self.shared.in_transaction() || self.shared.commits_by_itself();
        let Some(key) = error.constraint().filter(|_| may_read && !self.shared.is_broken()) else { return error };
        let table_is_said = error.table().is_some();
        let table = error.table().unwrap_or(&target.table);
        if self.keys.is_hidden(table) {
            return error;
        }
        let schema = target.schema.as_deref();
        let look_up = LookUp { is_mysql: self.is_mysql, schema, table, table_is_said, key };
        let columns = match self.keys.get(&look_up) {
            Some(columns) => columns,
            None => {
                let found = self.look_up(&look_up).await;
                // One that failed is not tried again at once either.
                self.keys.insert(&look_up, found.clone());
                found
            }
        };
        match &*columns {
            [] => error,
            columns if table_is_said => error.with_columns(columns),
            columns => error.with_columns(columns).with_table(target.table.clone()),
        }
    }

    /// Asks for the columns of a key; none if it cannot be told.
    async fn look_up(&mut self, look_up: &LookUp<'_>) -> Arc<[String]> {
        match self.ask_columns(look_up).await {
            Ok(columns) => {
                self.observe();
                columns.into()
            }
            Err(fault) => {
                self.give_up_looking(&fault).await;
                Arc::default()
            }
        }
    }

    /// A question to `information_schema` has failed, which leaves the session as it was or broken.
    pub(super) async fn give_up_looking(&mut self, fault: &mysql_async::Error) {
        tracing::debug!(code = ?error::server_code(fault), "information_schema could not be asked");
        if matches!(fault, mysql_async::Error::Server(_)) && !self.is_disconnected() {
            // The last flags may be those of the prepare.
            self.ask_state().await;
        } else {
            self.shared.break_off();
        }
    }

    async fn ask_columns(&mut self, look_up: &LookUp<'_>) -> mysql_async::Result<Vec<String>> {
        let conn = self.conn()?;
        let statement = conn.prep(look_up.sql()).await?;
        let rows = conn.exec::<mysql_async::Row, _, _>(&statement, Params::Positional(look_up.params())).await;
        if rows.is_ok() || !conn.is_disconnected() {
            conn.close(statement).await?;
        }
        // A part that is an expression has no column.
        let name = |row: &mysql_async::Row| match row.as_ref(0) {
            Some(Value::Bytes(name)) => String::from_utf8(name.clone()).ok(),
            _ => None,
        };
        Ok(rows?.iter().filter_map(name).collect())
    }
}
