//! What is known of the tables that many rows are inserted into.

use std::time::{Duration, Instant};

use hashlink::LruCache;

use crate::keys::Target;

/// How many tables are kept.
const CAPACITY: usize = 32;
/// How long, because others may change a table too.
const LIFE: Duration = Duration::from_secs(60);

/// A table of InnoDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// The column with AUTO_INCREMENT, and its index.
    pub(crate) counted: Option<(String, usize)>,
}

/// The tables that one connection was told of; `None` for one that is not of InnoDB.
pub(crate) struct Tables(LruCache<Target, (Instant, Option<Table>)>);

impl Tables {
    pub(crate) fn new() -> Self {
        Self(LruCache::new(CAPACITY))
    }

    pub(crate) fn get(&mut self, target: &Target) -> Option<Option<Table>> {
        let (since, table) = self.0.get(target)?;
        (since.elapsed() < LIFE).then(|| table.clone())
    }

    pub(crate) fn insert(&mut self, target: Target, table: Option<Table>) {
        self.0.insert(target, (Instant::now(), table));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
