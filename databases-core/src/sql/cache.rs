//! Templates by dialect and text, bounded in number and in bytes.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashlink::linked_hash_map::RawEntryMut;
use hashlink::{DefaultHashBuilder, LinkedHashMap};

use super::dialect::Dialect;
use super::error::SqlError;
use super::template::{Template, scan};

/// Texts longer than this are scanned on every call, and not kept prepared: they are dumps and bulk inserts, and would push
/// everything else out.
pub(crate) const LONGEST_TEXT_BYTES: usize = 64 * 1024;

/// Scanned texts, the least recently used going first.
///
/// Bounded by entries and by total text bytes, so texts with values spliced in cannot fill memory. A hit allocates nothing.
pub struct TemplateCache {
    max_entries: usize,
    max_bytes: usize,
    hasher: DefaultHashBuilder,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The key is the template's own dialect and text; the front is the next to go.
    map: LinkedHashMap<Key, (), DefaultHashBuilder>,
    bytes: usize,
}

/// A template that is found by what it was scanned from.
struct Key(Arc<Template>);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.dialect == other.0.dialect && self.0.sql == other.0.sql
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_parts(self.0.dialect, &self.0.sql, state);
    }
}

fn hash_parts<H: Hasher>(dialect: Dialect, sql: &str, state: &mut H) {
    // One dialect per pool is the rule: the family tells enough, and the rest is compared.
    dialect.kind().hash(state);
    state.write(sql.as_bytes());
}

impl Default for TemplateCache {
    fn default() -> Self {
        Self::new()
    }
}

impl TemplateCache {
    /// 1024 entries and 4 MiB of text.
    pub fn new() -> Self {
        Self::with_limits(1024, 4 * 1024 * 1024)
    }

    /// At most `max_entries` texts and `max_bytes` of text together.
    pub fn with_limits(max_entries: usize, max_bytes: usize) -> Self {
        let hasher = DefaultHashBuilder::default();
        let state = State { map: LinkedHashMap::with_hasher(hasher.clone()), bytes: 0 };
        Self { max_entries, max_bytes, hasher, state: Mutex::new(state) }
    }

    /// The template of `sql`, scanned now if it is not kept. Errors are not kept.
    ///
    /// # Errors
    ///
    /// As [`scan`].
    pub fn get_or_scan(&self, sql: &str, dialect: Dialect) -> Result<Arc<Template>, SqlError> {
        if sql.len() > LONGEST_TEXT_BYTES {
            return scan(sql, dialect).map(Arc::new);
        }
        let is_it = |key: &Key| key.0.dialect == dialect && *key.0.sql == *sql;
        let mut state = self.lock();
        // The text of the last call is often that of this one: nothing is to be hashed or moved then.
        if let Some((last, ())) = state.map.back().filter(|(last, ())| is_it(last)) {
            return Ok(Arc::clone(&last.0));
        }
        let mut hasher = self.hasher.build_hasher();
        hash_parts(dialect, sql, &mut hasher);
        if let RawEntryMut::Occupied(mut entry) = state.map.raw_entry_mut().from_hash(hasher.finish(), is_it) {
            entry.to_back();
            return Ok(Arc::clone(&entry.key().0));
        }
        drop(state);
        // Scanned without the lock: two threads may both do it, and both results are good.
        let template = Arc::new(scan(sql, dialect)?);
        let mut state = self.lock();
        if state.map.insert(Key(Arc::clone(&template)), ()).is_none() {
            state.bytes += sql.len();
        }
        while state.map.len() > self.max_entries || state.bytes > self.max_bytes {
            let Some((oldest, ())) = state.map.pop_front() else { break };
            state.bytes = state.bytes.saturating_sub(oldest.0.sql.len());
        }
        drop(state);
        Ok(template)
    }

    /// How many texts are kept.
    pub fn len(&self) -> usize {
        self.lock().map.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets every text.
    pub fn clear(&self) {
        let mut state = self.lock();
        state.map.clear();
        state.bytes = 0;
    }

    /// No code of ours panics while it holds the lock, and a half-done change would only miscount bytes.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TemplateCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("TemplateCache")
            .field("entries", &state.map.len())
            .field("bytes", &state.bytes)
            .finish_non_exhaustive()
    }
}
