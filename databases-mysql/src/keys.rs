//! The columns of keys, which an error about a duplicate does not name.
//!
//! They are looked up in `information_schema` when the error arises, and kept for a while. What would be a guess is
//! left out, because an application shows these names to its users beside the fields of a form:
//!
//! - MariaDB names no table. The statement's is taken, but neither where it changes several nor where it has triggers,
//!   which may have made the duplicate in another table, under a key of the same name.
//! - A temporary table hides one that is kept, and `information_schema` has only the latter. Those that were made through
//!   `native` or inside a procedure are not known here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use databases_core::sql::{StatementClass, Template, Verb};
use hashlink::LruCache;
use mysql_async::Value;

use crate::tables::Tables;
use crate::text::contains;

/// The table that an INSERT, UPDATE or REPLACE changes, without quotes.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) schema: Option<String>,
    pub(crate) table: String,
}

impl Target {
    /// `None` where the text does not tell for certain.
    pub(crate) fn of(template: &Template) -> Option<Self> {
        let verb = template.verb();
        if template.statements() != 1 || !matches!(verb, Verb::Insert | Verb::Update | Verb::Replace) {
            return None;
        }
        let (sql, name) = (template.sql(), template.target_table()?);
        let behind = name.as_ptr().addr().checked_sub(sql.as_ptr().addr())? + name.len();
        if verb == Verb::Update && !is_one_table(sql.get(behind..)?) {
            return None;
        }
        let (first, rest) = part(name)?;
        let Some(rest) = rest.trim_start().strip_prefix('.') else {
            return rest.trim().is_empty().then_some(Self { schema: None, table: first });
        };
        let (table, rest) = part(rest.trim_start())?;
        rest.trim().is_empty().then_some(Self { schema: Some(first), table })
    }
}

/// A name as the text spells it, without its quotes.
pub(crate) fn unquoted(name: &str) -> String {
    part(name).map_or_else(|| name.to_owned(), |(name, _)| name)
}

/// The name at the start of `text`, and what follows it.
fn part(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|first| matches!(first, '`' | '"'));
    let Some(quote) = quote else {
        let end = text.find(|c: char| c == '.' || c.is_whitespace()).unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut rest = &text[1..];
    loop {
        let end = rest.find(quote)?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix(quote) {
            Some(more) => {
                name.push(quote);
                rest = more;
            }
            None => return (!name.is_empty()).then_some((name, rest)),
        }
    }
}

/// Whether an UPDATE whose first table is followed by `rest` changes that one only.
fn is_one_table(rest: &str) -> bool {
    for word in rest.split_whitespace() {
        if word.eq_ignore_ascii_case("set") {
            return true;
        }
        if word.contains(',') || word.to_ascii_lowercase().contains("join") {
            return false;
        }
    }
    false
}

/// How long the server may look: in a transaction nothing that it needs is locked against it, but outside of one it
/// would wait for an ALTER TABLE.
const LIMIT: Duration = Duration::from_millis(200);

/// The statement that asks for a key's columns, and its parameters.
pub(crate) struct LookUp<'a> {
    pub(crate) is_mysql: bool,
    pub(crate) schema: Option<&'a str>,
    pub(crate) table: &'a str,
    /// Whether the server said the table, so that no trigger can have meant another.
    pub(crate) table_is_said: bool,
    pub(crate) key: &'a str,
}

impl LookUp<'_> {
    /// A SELECT of `what` that takes no longer than [`LIMIT`].
    pub(crate) fn bounded(is_mysql: bool, what: &str) -> String {
        if is_mysql {
            format!("SELECT /*+ MAX_EXECUTION_TIME({}) */ {what}", LIMIT.as_millis())
        } else {
            format!("SET STATEMENT max_statement_time = {} FOR SELECT {what}", LIMIT.as_secs_f32())
        }
    }

    pub(crate) fn sql(&self) -> String {
        let no_triggers = if self.table_is_said {
            ""
        } else {
            "AND NOT EXISTS (SELECT 1 FROM information_schema.triggers WHERE event_object_schema = \
             COALESCE(?, DATABASE()) AND event_object_table = ?) "
        };
        // A LIMIT of its own, because a session may have set `sql_select_limit`.
        let what = format!(
            "column_name FROM information_schema.statistics WHERE table_schema = COALESCE(?, DATABASE()) \
             AND table_name = ? AND index_name = ? {no_triggers}ORDER BY seq_in_index LIMIT 32"
        );
        Self::bounded(self.is_mysql, &what)
    }

    pub(crate) fn params(&self) -> Vec<Value> {
        let place = [self.schema.map_or(Value::NULL, Value::from), self.table.into()];
        let mut params = place.to_vec();
        params.push(self.key.into());
        if !self.table_is_said {
            params.extend(place);
        }
        params
    }

    fn entry(&self) -> Entry {
        // A key that was found for a said table may be one that the other question leaves out.
        let key = if self.table_is_said { format!("{}.", self.key) } else { self.key.to_owned() };
        (self.schema.map(str::to_owned), self.table.to_owned(), key)
    }
}

/// Schema, table and key.
type Entry = (Option<String>, String, String);

/// How many keys are kept.
const CAPACITY: usize = 32;
/// How long, because others may change a table too.
const LIFE: Duration = Duration::from_secs(60);
/// How many bytes of statements about temporary tables are kept.
const MOST_TEMPORARY: usize = 16 * 1024;

/// What one connection knows of keys.
pub(crate) struct Keys {
    columns: LruCache<Entry, (Instant, Arc<[String]>)>,
    pub(crate) tables: Tables,
    /// Whether temporary tables may have been made that nobody told.
    untold: bool,
    /// The statements, in lower case, that spoke of temporary tables.
    temporary: String,
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self { columns: LruCache::new(CAPACITY), tables: Tables::new(), untold: false, temporary: String::new() }
    }

    /// The columns of a key; none if it was not found.
    pub(crate) fn get(&mut self, look_up: &LookUp<'_>) -> Option<Arc<[String]>> {
        let (since, columns) = self.columns.get(&look_up.entry())?;
        (since.elapsed() < LIFE).then(|| columns.clone())
    }

    pub(crate) fn insert(&mut self, look_up: &LookUp<'_>, columns: Arc<[String]>) {
        self.columns.insert(look_up.entry(), (Instant::now(), columns));
    }

    /// Whether a temporary table may stand in front of `table`.
    pub(crate) fn is_hidden(&self, table: &str) -> bool {
        self.temporary.len() > MOST_TEMPORARY || self.temporary.contains(&table.to_lowercase())
    }

    /// Whether `information_schema` certainly speaks of the table that a statement means by this name.
    pub(crate) fn is_told(&self, table: &str) -> bool {
        !self.untold && !self.is_hidden(table)
    }

    /// A statement is about to run.
    pub(crate) fn watch(&mut self, class: StatementClass, sql: &str) {
        if !matches!(class, StatementClass::Read | StatementClass::Write | StatementClass::TxControl) {
            self.watch_any(sql);
        }
    }

    /// Something is about to run that may change tables or the default database.
    pub(crate) fn watch_any(&mut self, sql: &str) {
        self.columns.clear();
        self.tables.clear();
        if self.temporary.len() <= MOST_TEMPORARY && contains(sql, b"temporary") {
            self.temporary.push_str(&sql.to_lowercase());
            self.temporary.push('\n');
        }
    }

    /// The session was in other hands.
    pub(crate) fn forget(&mut self) {
        self.columns.clear();
        self.tables.clear();
        self.untold = true;
    }

    /// The session starts afresh, without temporary tables.
    pub(crate) fn reset(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use databases_core::sql::{Dialect, scan};

    use super::*;

    fn target(sql: &str) -> Option<(Option<String>, String)> {
        Target::of(&scan(sql, Dialect::MYSQL).unwrap()).map(|target| (target.schema, target.table))
    }

    #[test]
    fn a_target_is_unquoted_and_certain() {
        for (sql, schema, table) in [
            ("INSERT INTO t VALUES (1)", None, "t"),
            ("INSERT IGNORE INTO t(a) VALUES (1)", None, "t"),
            ("REPLACE INTO `a b` VALUES (1)", None, "a b"),
            ("INSERT INTO `a``b`.`c.d` VALUES (1)", Some("a`b"), "c.d"),
            ("INSERT INTO app.t SELECT * FROM u", Some("app"), "t"),
            ("UPDATE t SET a = 1, b = 2", None, "t"),
            ("UPDATE app.t AS x SET a = 1", Some("app"), "t"),
        ] {
            assert_eq!(target(sql), Some((schema.map(str::to_owned), table.to_owned())), "{sql}");
        }
        for sql in [
            "UPDATE t, u SET t.a = 1",
            "UPDATE t JOIN u ON t.a = u.a SET u.b = 1",
            "UPDATE t x STRAIGHT_JOIN u SET u.b = 1",
            "ALTER TABLE t ADD UNIQUE (a)",
            "CREATE TABLE t (a INT UNIQUE) SELECT * FROM u",
            "CALL p()",
            "DELETE FROM t",
            "INSERT INTO t VALUES (1); INSERT INTO u VALUES (1)",
        ] {
            assert_eq!(target(sql), None, "{sql}");
        }
    }

    fn look_up<'a>(table: &'a str, key: &'a str) -> LookUp<'a> {
        LookUp { is_mysql: false, schema: None, table, table_is_said: false, key }
    }

    #[test]
    fn names_are_parameters_and_never_spliced() {
        for (is_mysql, table_is_said) in [(true, true), (true, false), (false, true), (false, false)] {
            let look_up = LookUp { is_mysql, schema: Some("s'`\""), table: "t'`\"", table_is_said, key: "k'`\"" };
            let sql = look_up.sql();
            assert!(!sql.contains(['\'', '`', '"', ':']), "{sql}");
            assert_eq!(sql.matches('?').count(), look_up.params().len());
        }
    }

    #[test]
    fn keys_are_bounded_and_forgotten_when_a_table_may_have_changed() {
        let mut keys = Keys::new();
        let columns: Arc<[String]> = Arc::new(["a".to_owned()]);
        let names: Vec<String> = (0..CAPACITY * 3).map(|n| format!("k{n}")).collect();
        for name in &names {
            keys.insert(&look_up("t", name), columns.clone());
        }
        assert_eq!(keys.columns.len(), CAPACITY);
        let last = look_up("t", &names[CAPACITY * 3 - 1]);
        for (class, sql) in [
            (StatementClass::Read, "SELECT 1"),
            (StatementClass::Write, "INSERT INTO t VALUES (1)"),
            (StatementClass::TxControl, "COMMIT"),
        ] {
            keys.watch(class, sql);
            assert!(keys.get(&last).is_some(), "{sql}");
        }
        assert!(keys.get(&look_up("u", last.key)).is_none());
        for class in [StatementClass::Ddl, StatementClass::Session, StatementClass::Unknown] {
            keys.insert(&last, columns.clone());
            keys.watch(class, "whatever");
            assert!(keys.get(&last).is_none(), "{class:?}");
        }
    }

    #[test]
    fn tables_that_may_be_hidden_are_known() {
        let mut keys = Keys::new();
        assert!(!keys.is_hidden("t"));
        keys.watch(StatementClass::Session, "CREATE temporary TABLE Words (id INT PRIMARY KEY)");
        assert!(keys.is_hidden("words") && keys.is_hidden("WORDS") && !keys.is_hidden("users"));
        keys.reset();
        assert!(!keys.is_hidden("words"));
        for _ in 0..10_000 {
            keys.watch_any("CREATE TEMPORARY TABLE x (a INT)");
        }
        assert!(keys.temporary.len() < MOST_TEMPORARY * 2 && keys.is_hidden("users"));
    }
}
