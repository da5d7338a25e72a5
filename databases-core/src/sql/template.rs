//! One scanned text, made once and then bound many times.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::bind;
use super::blocks::Blocks;
use super::class::{StatementClass, Verb};
use super::classify::{Classifier, Summary};
use super::dialect::{Dialect, DialectKind};
use super::error::{SqlError, SqlErrorKind};
use super::hint;
use super::insert::InsertRow;
use super::keyword::Kw;
use super::lexer::{Kind, Lexer, Token, Unterminated, is_word_byte};
use super::pace::Pace;
use super::slots::{Before, Sig, Slot, Slots};
use super::values::{Bound, Values};

/// One scanned text: made once per dialect and text by [`scan`], then bound many times.
///
/// It holds the finished native text for scalar values, and for lists alone after IN on PostgreSQL once they were seen.
/// Only a list that is expanded builds a text.
pub struct Template {
    pub(super) sql: Arc<str>,
    pub(super) dialect: Dialect,
    /// The text when every value is one argument. The same allocation as `sql` if nothing changes.
    pub(super) native: Arc<str>,
    /// The text when every slot that can take `= ANY` takes it.
    pub(super) arrays: OnceLock<Arc<str>>,
    /// Where each name stands first.
    pub(super) names: Box<[Range<usize>]>,
    /// Names that were found to be these: those of the first call with [`params!`](crate::params).
    called_with: OnceLock<&'static [&'static str]>,
    pub(super) slots: Vec<Slot>,
    /// Offsets of the backslashes that are dropped (E1).
    pub(super) escapes: Box<[usize]>,
    /// Where a native placeholder stands.
    pub(super) native_placeholder: Option<(usize, usize)>,
    /// The first slot inside an executable comment.
    pub(super) executable: Option<usize>,
    /// Read when it is first asked for.
    insert_row: OnceLock<Option<InsertRow>>,
    summary: Summary,
    pace: Pace,
}

/// Scans `sql` for parameters and statements. Looks at no values.
///
/// # Errors
///
/// [`SqlErrorKind::NulByte`] and [`SqlErrorKind::Unterminated`]. What depends on values is raised by [`Template::bind`],
/// in the documented order.
///
/// # Examples
///
/// ```
/// # use databases_core::sql::{scan, Dialect, StatementClass, Verb};
/// let template = scan("WITH t AS (SELECT 1) DELETE FROM users WHERE id = :id", Dialect::POSTGRES)?;
/// assert_eq!(template.verb(), Verb::Delete);
/// assert_eq!(template.class(), StatementClass::Write);
/// assert_eq!(template.target_table(), Some("users"));
/// assert!(template.names().eq(["id"]));
/// # Ok::<(), databases_core::sql::SqlError>(())
/// ```
pub fn scan(sql: &str, dialect: Dialect) -> Result<Template, SqlError> {
    check_nul(sql)?;
    let mut scanner = Scanner::new(sql, dialect);
    match scanner.run() {
        Ok(()) => Ok(scanner.finish()),
        Err(open) => Err(hint::unterminated(sql, dialect, open)),
    }
}

/// Where the server's own placeholders (`$1`, `?`) stand in `sql`, in order.
///
/// # Errors
///
/// As [`scan`].
pub fn native_placeholders(sql: &str, dialect: Dialect) -> Result<Vec<Range<usize>>, SqlError> {
    check_nul(sql)?;
    let mut lexer = Lexer::new(sql, dialect);
    let mut found = Vec::new();
    loop {
        match lexer.next() {
            Ok(Some(token)) if token.kind == Kind::Native => found.push(token.start..token.end),
            Ok(Some(_)) => {}
            Ok(None) => return Ok(found),
            Err(open) => return Err(hint::unterminated(sql, dialect, open)),
        }
    }
}

/// X1, before anything else.
pub(super) fn check_nul(sql: &str) -> Result<(), SqlError> {
    if !sql.as_bytes().contains(&0) {
        return Ok(());
    }
    let at = sql.find('\0').unwrap_or_default();
    let message = format!("SQL text holds a NUL at byte {at}");
    Err(SqlError::new(SqlErrorKind::NulByte, message).at_span(sql, at, at + 1).hinted("bind it as a value".to_owned()))
}

impl Template {
    /// The text as it was given.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The dialect it was scanned in.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The native text, if it takes scalar values in the order of [`Template::names`] as they are: nothing else is to be
    /// checked or arranged then.
    pub(crate) fn in_order(&self) -> Option<&Arc<str>> {
        let repeats = self.dialect.kind() == DialectKind::MySql && self.slots.len() != self.names.len();
        let checks = self.executable.is_some() || (self.native_placeholder.is_some() && !self.names.is_empty());
        let fits = self.names.len() <= self.dialect.max_parameters();
        (fits && !repeats && !checks).then_some(&self.native)
    }

    /// What running it can change. Several statements of different classes are [`StatementClass::Unknown`], or
    /// [`StatementClass::TxControl`] if one of them is.
    pub fn class(&self) -> StatementClass {
        self.summary.class
    }

    /// The main verb of the first statement.
    pub fn verb(&self) -> Verb {
        self.summary.verb
    }

    /// How many statements there are; empty ones do not count.
    pub fn statements(&self) -> usize {
        self.summary.statements
    }

    /// Whether it is a `SELECT … FOR UPDATE`, `FOR SHARE` or the like, or `LOCK IN SHARE MODE`.
    pub fn is_locking_read(&self) -> bool {
        self.summary.locking_read
    }

    /// Whether an INSERT, UPDATE, DELETE, MERGE or REPLACE has a RETURNING clause.
    pub fn has_returning(&self) -> bool {
        self.summary.returning
    }

    /// The table that an INSERT, UPDATE, DELETE, MERGE or REPLACE changes or a SELECT reads first, in its raw spelling.
    /// A guess from the text, for tracing only.
    pub fn target_table(&self) -> Option<&str> {
        self.sql.get(self.summary.table.clone()?)
    }

    pub(crate) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// The parameters' names, each once, by first appearance.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.names.iter().map(|name| &self.sql[name.clone()])
    }

    /// Whether `names` are the parameters' names, in this order. Those that were compared once are known by their address.
    #[inline]
    pub(crate) fn has_names(&self, names: &'static [&'static str]) -> bool {
        self.called_with.get().is_some_and(|known| std::ptr::eq(*known, names)) || self.compare_names(names)
    }

    fn compare_names(&self, names: &'static [&'static str]) -> bool {
        let are = names.len() == self.names.len() && self.names().eq(names.iter().copied());
        if are {
            let _ = self.called_with.set(names);
        }
        are
    }

    pub(super) fn name(&self, index: usize) -> &str {
        &self.sql[self.names[index].clone()]
    }

    /// The INSERT of one row of plain values that this is, if every parameter is one value; `None` for anything else,
    /// and always on SQLite.
    ///
    /// # Examples
    ///
    /// ```
    /// # use databases_core::sql::{scan, Dialect};
    /// let template = scan("INSERT INTO t (a, b) VALUES (:a, :b) ON CONFLICT DO NOTHING", Dialect::POSTGRES)?;
    /// let row = template.insert_row().unwrap();
    /// assert_eq!(row.repeated(2), "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4) ON CONFLICT DO NOTHING");
    /// # Ok::<(), databases_core::sql::SqlError>(())
    /// ```
    pub fn insert_row(&self) -> Option<&InsertRow> {
        let read = || {
            let one = self.statements() == 1 && matches!(self.verb(), Verb::Insert | Verb::Replace);
            if one { InsertRow::of(&self.native, self.dialect) } else { None }
        };
        self.insert_row.get_or_init(read).as_ref()
    }

    /// Matches the names with `values` and says what to send. Values without a `:name` are an error unless `allow_unused`.
    ///
    /// A value is looked up by its name. If two have the same name, the one that [`Values::find`] gives is bound.
    ///
    /// # Errors
    ///
    /// Every kind but [`SqlErrorKind::NulByte`], [`SqlErrorKind::Unterminated`] and [`SqlErrorKind::Identifier`], in the
    /// order of the kinds.
    pub fn bind<V: Values + ?Sized>(&self, values: &V, allow_unused: bool) -> Result<Bound, SqlError> {
        bind::bind(self, values, allow_unused)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template")
            .field("dialect", &self.dialect.kind())
            .field("sql", &self.sql)
            .field("native", &self.native)
            .field("names", &self.names().collect::<Vec<_>>())
            .field("class", &self.summary.class)
            .finish_non_exhaustive()
    }
}

/// One pass over a text.
struct Scanner<'a> {
    sql: &'a str,
    dialect: Dialect,
    lexer: Lexer<'a>,
    names: Names<'a>,
    slots: Slots,
    blocks: Blocks,
    classifier: Classifier,
    /// Whether the statement has a token.
    started: bool,
    /// Whether a word that is no keyword, a literal or a dot changes nothing here: most tokens are such, and need not be looked into.
    calm: bool,
    escapes: Vec<usize>,
    native_placeholder: Option<(usize, usize)>,
    executable: Option<usize>,
}

/// The last tokens of a text.
///
/// Each is written where it stays: a copy of what has just been written in parts has to wait for them, which took more
/// than a third of the time of a scan.
pub(super) struct Recent {
    tokens: [Sig; 3],
    /// Which of them is the oldest.
    oldest: usize,
}

impl Recent {
    pub(super) fn new() -> Self {
        Self { tokens: [Sig::NONE; 3], oldest: 0 }
    }

    /// The token with its keyword, and the two before it.
    #[inline(always)]
    pub(super) fn take(&mut self, sql: &[u8], token: Token) -> (&Sig, Before<'_>) {
        let [a, b, c] = &mut self.tokens;
        let (now, earlier, last) = match self.oldest {
            0 => (a, b, c),
            1 => (b, c, a),
            _ => (c, a, b),
        };
        let before = Before { earlier, last };
        self.oldest = if self.oldest == 2 { 0 } else { self.oldest + 1 };
        *now = significant(sql, token, before);
        (now, before)
    }
}

/// The token with its keyword: a word behind a dot or `@` is a name.
#[inline(always)]
fn significant(sql: &[u8], token: Token, before: Before<'_>) -> Sig {
    let Token { kind, start, end } = token;
    let kw = if kind == Kind::Word && !is_name_only(sql, start, before) { Kw::of(&sql[start..end]) } else { Kw::None };
    Sig { kind, kw, start, end }
}

#[inline]
fn is_name_only(sql: &[u8], start: usize, before: Before<'_>) -> bool {
    let Before { earlier, last } = before;
    match last.kind {
        // `1.` is a number, whatever follows.
        Kind::Punct(b'.') => {
            !(earlier.kind == Kind::Word && earlier.end == last.start && sql[earlier.start].is_ascii_digit())
        }
        Kind::Punct(b'@') => last.end == start,
        _ => false,
    }
}

impl<'a> Scanner<'a> {
    fn new(sql: &'a str, dialect: Dialect) -> Self {
        let kind = dialect.kind();
        Self {
            sql,
            dialect,
            lexer: Lexer::new(sql, dialect),
            names: Names::default(),
            slots: Slots::new(kind),
            blocks: Blocks::new(kind),
            classifier: Classifier::new(kind),
            started: false,
            calm: false,
            escapes: Vec::new(),
            native_placeholder: None,
            executable: None,
        }
    }

    fn run(&mut self) -> Result<(), Unterminated> {
        let bytes = self.sql.as_bytes();
        let mut recent = Recent::new();
        while let Some(token) = self.lexer.next()? {
            if matches!(token.kind, Kind::Comment | Kind::ExecOpen | Kind::ExecClose) {
                continue;
            }
            let (token, before) = recent.take(bytes, token);
            if !self.is_dull(token) {
                self.feed(bytes, token, before);
            }
        }
        self.slots.finish();
        if self.started {
            self.classifier.end_statement(self.sql.as_bytes());
        }
        Ok(())
    }

    /// Whether a token changes nothing: most are names, dots and literals in the middle of a statement.
    #[inline]
    fn is_dull(&self, token: &Sig) -> bool {
        self.calm
            && match token.kind {
                Kind::Word => token.kw == Kw::None,
                Kind::Ident | Kind::Str | Kind::Punct(b'.') => true,
                _ => false,
            }
    }

    #[inline]
    fn feed(&mut self, bytes: &[u8], token: &Sig, before: Before<'_>) {
        self.slots.feed(bytes, token, before);
        match token.kind {
            Kind::Param => self.param(token, before),
            Kind::Native => self.native(token.start, token.end),
            Kind::Escape => self.escape(token),
            _ => {}
        }
        if self.blocks.feed(token, before) {
            if std::mem::take(&mut self.started) {
                self.classifier.end_statement(bytes);
            }
        } else {
            self.started = true;
            self.classifier.feed(bytes, token, before);
        }
        self.calm = self.slots.is_calm() && self.blocks.is_calm() && self.classifier.is_calm();
    }

    fn param(&mut self, token: &Sig, before: Before<'_>) {
        let index = self.names.index(self.sql, token.start + 1..token.end, &self.slots.found);
        if self.lexer.in_exec() && self.executable.is_none() {
            self.executable = Some(self.slots.found.len());
        }
        self.slots.param(token, index, before);
    }

    fn native(&mut self, start: usize, end: usize) {
        self.native_placeholder.get_or_insert((start, end));
    }

    /// E1. On SQLite the colon that is left can make a placeholder of its own (N1).
    fn escape(&mut self, token: &Sig) {
        self.escapes.push(token.start);
        let bytes = self.sql.as_bytes();
        let behind_colon = token.start > 0 && bytes[token.start - 1] == b':';
        let word = bytes[token.end..].iter().take_while(|&&byte| is_word_byte(byte)).count();
        if self.dialect.kind() == DialectKind::Sqlite && word > 0 && !behind_colon {
            self.native(token.start + 1, token.end + word);
        }
    }

    fn finish(self) -> Template {
        let sql: Arc<str> = self.sql.into();
        let mut template = Template {
            native: Arc::clone(&sql),
            sql,
            dialect: self.dialect,
            arrays: OnceLock::new(),
            names: self.names.places(&self.slots.found),
            called_with: OnceLock::new(),
            slots: self.slots.found,
            escapes: self.escapes.into(),
            native_placeholder: self.native_placeholder,
            executable: self.executable,
            insert_row: OnceLock::new(),
            summary: self.classifier.summary(),
            pace: Pace::default(),
        };
        if !template.slots.is_empty() || !template.escapes.is_empty() {
            template.native = bind::spell_plain(&template, false);
        }
        template
    }
}

/// Numbers the distinct names, by first appearance.
#[derive(Default)]
struct Names<'a> {
    count: usize,
    /// Only for texts with many slots, where a search would take quadratic time.
    map: HashMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    const SEARCHED: usize = 16;

    /// The index of the name in `range`; `found` are the slots before it.
    fn index(&mut self, sql: &'a str, range: Range<usize>, found: &[Slot]) -> usize {
        let (next, name) = (self.count, &sql[range]);
        let mut known = found.iter().map(|slot| (&sql[slot.name_range()], slot.name));
        let index = if found.len() < Self::SEARCHED {
            known.find(|(known, _)| *known == name).map_or(next, |(_, index)| index)
        } else {
            if found.len() == Self::SEARCHED {
                self.map.extend(known);
            }
            *self.map.entry(name).or_insert(next)
        };
        if index == next {
            self.count += 1;
        }
        index
    }

    /// Where each name stands first.
    fn places(&self, found: &[Slot]) -> Box<[Range<usize>]> {
        let mut places = Vec::with_capacity(self.count);
        for slot in found {
            if slot.name == places.len() {
                places.push(slot.name_range());
            }
        }
        places.into()
    }
}
