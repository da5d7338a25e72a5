//! The prepared statements of one connection: an LRU by text and parameter types.

use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use databases_core::{Arg, Codecs, Error, ErrorKind, Result};
use hashlink::LruCache;
use tokio_postgres::Statement;
use tokio_postgres::types::Type;

use crate::batch::Plan;
use crate::encode::{Encoded, Param, Rows, check_intervals};
use crate::guard::GuardState;
use crate::many::TableState;
use crate::session::Session;
use crate::types::Changes;

/// A statement that the server has parsed. Dropping the last reference closes it there.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) statement: Statement,
    pub(crate) params: Box<[Param]>,
    pub(crate) plan: Arc<Plan>,
    /// Whether the server takes a parameter for text, which is also what it says when it has no better idea.
    pub(crate) has_text: bool,
    /// The types that the server was told; empty if none.
    pub(crate) types: Box<[Type]>,
    /// Whether arguments have fitted it once: then a change of the schema may be why others do not.
    pub(crate) has_fitted: AtomicBool,
    /// What is known of the table, if this is an INSERT that may be sent for many rows at once.
    pub(crate) table: TableState,
}

impl Prepared {
    /// Takes over a statement that has not been run yet, and sees to it that its rows come packed and in their formats. Without
    /// the driver's `name` of it they come as they are.
    ///
    /// # Errors
    ///
    /// `Internal` if it has no name, and a column that can only be read in text.
    pub(crate) fn new(
        statement: Statement,
        name: Option<&str>,
        types: &[Type],
        codecs: &Codecs,
        guard: &GuardState,
        changes: Changes,
    ) -> Result<Arc<Self>> {
        let params: Box<[_]> = statement.params().iter().map(|ty| Param::new(ty, codecs)).collect();
        let has_text = params.iter().any(Param::is_text);
        // The unit tests of this crate run the conformance suite on rows as they are.
        let packs =
            !cfg!(test) && !statement.columns().is_empty() && name.is_some_and(|name| guard.packed.insert(name));
        let plan = Plan::of(&statement, codecs, changes, packs);
        if plan.in_text().any(|text| text) {
            let unnamed = || Error::new(ErrorKind::Internal, "the driver's name of its statement was not seen");
            guard.formats.insert(name.ok_or_else(unnamed)?, plan.in_text());
        }
        let has_fitted = AtomicBool::new(false);
        Ok(Arc::new(Self {
            statement,
            params,
            plan,
            has_text,
            types: types.into(),
            has_fitted,
            table: TableState::default(),
        }))
    }

    /// Writes the arguments.
    ///
    /// # Errors
    ///
    /// As [`encode`].
    pub(crate) fn encode(&self, args: &[Arg], session: &Session) -> Result<Encoded> {
        encode(args, &self.params, session)
    }

    /// Writes the arguments of one more row.
    ///
    /// # Errors
    ///
    /// As [`Prepared::encode`].
    pub(crate) fn encode_row(&self, args: &[Arg], session: &Session, rows: &mut Rows) -> Result<()> {
        check_intervals(args, || session.guard.server_version())?;
        rows.push(args, &self.params)
    }
}

/// Writes the arguments of a statement with these parameters.
///
/// # Errors
///
/// As of [`Encoded::new`], and `Encode` for what the server of this session has no value for.
pub(crate) fn encode(args: &[Arg], params: &[Param], session: &Session) -> Result<Encoded> {
    check_intervals(args, || session.guard.server_version())?;
    Encoded::new(args, params)
}

/// What is known of a text with certain types.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// It is prepared.
    Ready(Arc<Prepared>),
    /// It has run once, unprepared.
    Ran,
    /// The server wants to be told more types than these.
    NeedsTypes,
    /// These types do not fit: the values must go as text.
    Refused,
}

/// A bounded LRU; a capacity of zero keeps nothing.
pub(crate) struct Statements {
    entries: Mutex<LruCache<Arc<str>, Entry>>,
    capacity: usize,
}

impl Statements {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: Mutex::new(LruCache::new_unbounded()), capacity }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Entry> {
        if self.capacity == 0 {
            return None;
        }
        self.lock().get(key).cloned()
    }

    pub(crate) fn insert(&self, key: Arc<str>, entry: Entry) {
        if self.capacity == 0 {
            return;
        }
        // Dropped behind the lock: closing a statement takes the driver's own lock.
        let mut evicted = Vec::new();
        let mut entries = self.lock();
        let old = entries.insert(key, entry);
        while entries.len() > self.capacity {
            evicted.extend(entries.remove_lru());
        }
        drop(entries);
        drop((old, evicted));
    }

    /// Forgets `sql` with whatever types.
    pub(crate) fn remove_all(&self, sql: &str) {
        let mut entries = self.lock();
        let is_of = |key: &str| key.strip_prefix(sql).is_some_and(|types| types.is_empty() || types.starts_with('\0'));
        let keys: Vec<_> = entries.iter().map(|(key, _)| key.clone()).filter(|key| is_of(key)).collect();
        let old: Vec<_> = keys.iter().map(|key| entries.remove(key)).collect();
        drop(entries);
        drop(old);
    }

    pub(crate) fn clear(&self) {
        let old = std::mem::replace(&mut *self.lock(), LruCache::new_unbounded());
        drop(old);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<Arc<str>, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key of `sql` prepared with `types`. SQL holds no NUL, so keys of different types never meet.
pub(crate) fn key(sql: &Arc<str>, types: &[Type]) -> Arc<str> {
    if types.is_empty() {
        return sql.clone();
    }
    let mut key = String::with_capacity(sql.len() + types.len() * 6);
    key.push_str(sql);
    key.push('\0');
    for ty in types {
        _ = write!(key, "{},", ty.oid());
    }
    key.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_text_goes_first() {
        let statements = Statements::new(2);
        for text in ["a", "b"] {
            statements.insert(text.into(), Entry::NeedsTypes);
        }
        assert!(statements.get("a").is_some());
        statements.insert("c".into(), Entry::Refused);
        assert!(statements.get("b").is_none());
        assert!(statements.get("a").is_some() && statements.get("c").is_some());
        statements.insert("a\0".into(), Entry::Refused);
        statements.remove_all("a");
        assert!(statements.get("a").is_none() && statements.get("a\0").is_none());
        statements.clear();
        assert!(statements.get("c").is_none());
    }

    #[test]
    fn no_capacity_keeps_nothing() {
        let statements = Statements::new(0);
        statements.insert("a".into(), Entry::NeedsTypes);
        assert!(statements.get("a").is_none());
    }

    #[test]
    fn keys_tell_types_apart() {
        let sql: Arc<str> = "SELECT $1".into();
        assert_eq!(key(&sql, &[]), sql);
        assert_ne!(key(&sql, &[Type::INT4]), key(&sql, &[Type::INT8]));
    }
}
