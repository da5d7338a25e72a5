//! The id of the row that a statement inserted.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use databases_core::sql::{Template, Verb};
use rusqlite::Connection;
use rusqlite::hooks::Action;

use crate::error::unquoted;

/// Which rows the running statement inserted into its own table. Only tables with a rowid call the hook.
#[derive(Default)]
pub(crate) struct Inserts {
    watching: AtomicBool,
    table: Mutex<Table>,
    count: AtomicU64,
    first: AtomicI64,
    last: AtomicI64,
}

/// The table of the last statement that was watched: most follow one of the same.
#[derive(Default)]
struct Table {
    /// As its text spells it.
    spelled: String,
    name: String,
}

impl Inserts {
    /// The update hook.
    pub(crate) fn saw(&self, action: Action, table: &str, rowid: i64) {
        // All of this is on one thread; the atomics only make that plain to the compiler.
        if !self.watching.load(Ordering::Relaxed) || action != Action::SQLITE_INSERT {
            return;
        }
        if !self.table().name.eq_ignore_ascii_case(table) {
            return;
        }
        if self.count.fetch_add(1, Ordering::Relaxed) == 0 {
            self.first.store(rowid, Ordering::Relaxed);
        }
        self.last.store(rowid, Ordering::Relaxed);
    }

    pub(crate) fn watch(&self, template: &Template) {
        let table = match template.verb() {
            Verb::Insert | Verb::Replace => template.target_table(),
            _ => None,
        };
        if let Some(table) = table {
            let mut kept = self.table();
            if kept.spelled != table {
                *kept = Table { spelled: table.to_owned(), name: unquoted(table) };
            }
            drop(kept);
            self.count.store(0, Ordering::Relaxed);
        }
        self.watching.store(table.is_some(), Ordering::Relaxed);
    }

    /// The id of the one row, if this statement inserted one row and that row has an id.
    ///
    /// `last_insert_rowid` alone keeps an earlier statement's id where a statement inserts nothing, updates by ON CONFLICT,
    /// or inserts into a table WITHOUT ROWID. A trigger's inserts are undone in it, but they call the hook: so both must
    /// agree.
    pub(crate) fn id(&self, connection: &Connection, changes: u64) -> Option<i64> {
        let seen = self.watching.load(Ordering::Relaxed) && self.count.load(Ordering::Relaxed) > 0;
        if !seen || changes != 1 {
            return None;
        }
        let id = connection.last_insert_rowid();
        (id == self.first.load(Ordering::Relaxed) || id == self.last.load(Ordering::Relaxed)).then_some(id)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stop(&self) {
        self.watching.store(false, Ordering::Relaxed);
    }
}
