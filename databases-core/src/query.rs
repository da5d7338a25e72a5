//! Queries: SQL text with options, or a statement of the query builder.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::compose::Placed;
use crate::error::Result;
use crate::limits::ResultLimits;
use crate::params::Params;
use crate::sql::{Dialect, LONGEST_TEXT_BYTES};

/// SQL text, ready to be run, with its options.
#[derive(Clone)]
pub struct Query<'q> {
    pub(crate) text: Cow<'q, str>,
    /// Boxed, because every query is moved about and few have any of it.
    pub(crate) more: Option<Box<More>>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) prepared: bool,
    pub(crate) allow_unused: bool,
}

/// What few queries have.
#[derive(Clone, Default)]
pub(crate) struct More {
    /// Identifiers in the text, which are quoted once the dialect is known.
    pub(crate) idents: Vec<Placed>,
    /// Values that came with the text: of [`Query::bind`], and of the query builder under reserved names.
    pub(crate) built: Params<'static>,
    pub(crate) limits: ResultLimits,
}

/// SQL text with options, for everything that takes a query; the start of a query that is [put together](Query::push).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// let query = databases_core::sql("SELECT pg_sleep(:s)").timeout(Duration::from_secs(1)).prepared(false);
/// # let _ = query;
/// ```
pub fn sql<'q>(text: impl Into<Cow<'q, str>>) -> Query<'q> {
    Query { text: text.into(), more: None, timeout: None, prepared: true, allow_unused: false }
}

impl<'q> Query<'q> {
    /// Whether the statement is kept prepared, of which this is the native text.
    pub(crate) fn keeps(&self, text: &str) -> bool {
        self.prepared && text.len() <= LONGEST_TEXT_BYTES
    }

    /// Stops the statement at the server after `timeout` on our clock; the default is `statement_timeout`.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How many rows `fetch_all` takes; more are [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded). The
    /// default is the option [`max_rows`](crate::PoolOptions::max_rows); `usize::MAX` lifts it.
    #[must_use]
    pub fn max_rows(mut self, rows: usize) -> Self {
        self.more().limits.rows = Some(rows);
        self
    }

    /// How many bytes of cells `fetch_all` takes; more are
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded). The default is the option
    /// [`max_bytes`](crate::PoolOptions::max_bytes), which says what counts; `usize::MAX` lifts it.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.more().limits.bytes = Some(bytes);
        self
    }

    /// Whether the statement is kept prepared on the connection for the next time. The default is true. One whose text, with the
    /// placeholders written out, has more than 64 KiB is never kept; those that `execute_many` makes for several rows may be.
    #[must_use]
    pub fn prepared(mut self, prepared: bool) -> Self {
        self.prepared = prepared;
        self
    }

    /// Accepts parameters that the text does not use, as with a map that several queries share.
    #[must_use]
    pub fn allow_unused(mut self) -> Self {
        self.allow_unused = true;
        self
    }

    /// The SQL text; identifiers that were pushed stand in standard quotes.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same query with text of its own.
    #[must_use]
    pub fn into_owned(self) -> Query<'static> {
        Query { text: Cow::Owned(self.text.into_owned()), ..self }
    }

    pub(crate) fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// The values that came with the text, if there are any.
    pub(crate) fn take_built(&mut self) -> Option<Params<'static>> {
        let more = self.more.as_mut().filter(|more| !more.built.is_empty())?;
        Some(std::mem::take(&mut more.built))
    }

    pub(crate) fn limits(&self) -> ResultLimits {
        self.more.as_ref().map_or_else(ResultLimits::default, |more| more.limits)
    }
}

impl fmt::Debug for Query<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound: Vec<_> = self.more.iter().flat_map(|more| more.built.names()).collect();
        f.debug_struct("Query").field("text", &self.text).field("bound", &bound).finish_non_exhaustive()
    }
}

/// What can be run: `&str`, `String`, [`sql`] with options, or a sea-query statement.
pub trait IntoQuery: Send {
    /// The query, written for `dialect`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if a built statement holds what the dialect cannot say;
    /// [`ErrorKind::Encode`](crate::ErrorKind::Encode) if it holds a value that cannot be bound;
    /// [`ErrorKind::Parameters`](crate::ErrorKind::Parameters) if an [`ident`](crate::ident) is no name.
    fn into_query<'q>(self, dialect: Dialect) -> Result<Query<'q>>
    where
        Self: 'q;
}

impl IntoQuery for &str {
    fn into_query<'q>(self, _: Dialect) -> Result<Query<'q>>
    where
        Self: 'q,
    {
        Ok(sql(self))
    }
}

impl IntoQuery for String {
    fn into_query<'q>(self, _: Dialect) -> Result<Query<'q>> {
        Ok(sql(self))
    }
}

impl IntoQuery for &String {
    fn into_query<'q>(self, _: Dialect) -> Result<Query<'q>>
    where
        Self: 'q,
    {
        Ok(sql(self.as_str()))
    }
}

impl IntoQuery for Query<'_> {
    fn into_query<'q>(self, dialect: Dialect) -> Result<Query<'q>>
    where
        Self: 'q,
    {
        self.quoted_for(dialect)
    }
}

impl IntoQuery for &Query<'_> {
    fn into_query<'q>(self, dialect: Dialect) -> Result<Query<'q>>
    where
        Self: 'q,
    {
        self.clone().quoted_for(dialect)
    }
}
