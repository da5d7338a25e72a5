//! Queries put together at run time: text, identifiers and values, each pushed where it belongs.
//!
//! Values stay parameters and identifiers are quoted for the dialect at hand, so nothing that is pushed as one of the two
//! can become SQL.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use crate::error::{Effect, Error, Result};
use crate::params::IntoParams;
use crate::query::{Query, sql};
use crate::sql::{Dialect, find_loose_identifier};
use crate::value::IntoValue;

/// A name of a table, column or the like, made by [`ident`] and quoted when the query is written for its dialect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ident {
    path: Vec<String>,
}

/// A name to be quoted: one part from a string, several from an array, as in `ident(["app", "notes"])`.
///
/// A dot is a letter like any other: `ident("app.notes")` is one table with a dot in its name. The name is taken as it is
/// written, upper and lower case included.
///
/// # Errors
///
/// The query's, when it is run: [`ErrorKind::Parameters`](crate::ErrorKind::Parameters) if a part is empty, holds a NUL or
/// is longer than the server keeps (PostgreSQL 63 bytes, which it would cut off in silence; MySQL 64 letters), or if
/// the text around it makes it part of a literal or comment.
///
/// # Examples
///
/// ```
/// use databases_core::{ident, sql};
/// let column = "created at"; // from a list of what may be sorted by
/// let query = sql("SELECT * FROM ").push(ident(["app", "notes"])).push(" ORDER BY ").push(ident(column));
/// assert_eq!(query.text(), r#"SELECT * FROM "app"."notes" ORDER BY "created at""#);
/// ```
pub fn ident(path: impl Into<Ident>) -> Ident {
    path.into()
}

impl From<&str> for Ident {
    fn from(name: &str) -> Self {
        Self { path: vec![name.to_owned()] }
    }
}

impl From<String> for Ident {
    fn from(name: String) -> Self {
        Self { path: vec![name] }
    }
}

impl From<&String> for Ident {
    fn from(name: &String) -> Self {
        Self { path: vec![name.clone()] }
    }
}

impl<S: Into<String>, const N: usize> From<[S; N]> for Ident {
    fn from(path: [S; N]) -> Self {
        Self { path: path.into_iter().map(Into::into).collect() }
    }
}

impl<S: Into<String>> From<Vec<S>> for Ident {
    fn from(path: Vec<S>) -> Self {
        Self { path: path.into_iter().map(Into::into).collect() }
    }
}

/// An identifier in a query's text, where it stands in standard quotes until the dialect is known.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    span: Range<usize>,
    ident: Ident,
}

impl<'q> From<&'q str> for Query<'q> {
    fn from(text: &'q str) -> Self {
        sql(text)
    }
}

impl<'q> From<&'q String> for Query<'q> {
    fn from(text: &'q String) -> Self {
        sql(text.as_str())
    }
}

impl From<String> for Query<'_> {
    fn from(text: String) -> Self {
        sql(text)
    }
}

impl From<Ident> for Query<'_> {
    fn from(ident: Ident) -> Self {
        let mut text = String::new();
        for (index, part) in ident.path.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            // Writing to a string cannot fail.
            let _ = write!(text, "{dot}\"{}\"", part.replace('"', "\"\""));
        }
        let placed = Placed { span: 0..text.len(), ident };
        let mut query = sql(text);
        query.more().idents.push(placed);
        query
    }
}

impl Query<'_> {
    /// Appends text, an [`ident`], or another query with its identifiers and bound values.
    ///
    /// Nothing is put between the two, so text begins with the blank that it needs. The options of a query that is
    /// pushed, such as its timeout, are left aside.
    ///
    /// # Examples
    ///
    /// ```
    /// use databases_core::{ident, sql};
    /// # let (done, sort_by) = (Some(true), "created");
    /// let mut query = sql("SELECT * FROM notes WHERE true");
    /// if let Some(done) = done {
    ///     query = query.push(" AND done = :done").bind("done", done);
    /// }
    /// query = query.push(" ORDER BY ").push(ident(sort_by)).push(" LIMIT :n").bind("n", 10);
    /// assert_eq!(query.text(), r#"SELECT * FROM notes WHERE true AND done = :done ORDER BY "created" LIMIT :n"#);
    /// ```
    #[must_use]
    pub fn push<'p>(mut self, part: impl Into<Query<'p>>) -> Self {
        let part = part.into();
        let shift = self.text.len();
        self.text.to_mut().push_str(&part.text);
        if let Some(more) = part.more {
            let idents = more
                .idents
                .into_iter()
                .map(|placed| Placed { span: placed.span.start + shift..placed.span.end + shift, ident: placed.ident });
            self.more().idents.extend(idents);
            self.more().built.extend(more.built);
        }
        self
    }

    /// Appends several parts with `separator` between them; nothing if there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use databases_core::{ident, sql};
    /// let columns = ["id", "text"];
    /// let query = sql("SELECT ").push_joined(", ", columns.map(ident)).push(" FROM notes");
    /// assert_eq!(query.text(), r#"SELECT "id", "text" FROM notes"#);
    ///
    /// let filters = [sql("done = :done").bind("done", true), sql("id > :after").bind("after", 7)];
    /// let query = sql("SELECT * FROM notes WHERE ").push_joined(" AND ", filters);
    /// assert_eq!(query.text(), "SELECT * FROM notes WHERE done = :done AND id > :after");
    /// ```
    #[must_use]
    pub fn push_joined<'p, P: Into<Query<'p>>>(mut self, separator: &str, parts: impl IntoIterator<Item = P>) -> Self {
        for (index, part) in parts.into_iter().enumerate() {
            if index > 0 {
                self.text.to_mut().push_str(separator);
            }
            self = self.push(part);
        }
        self
    }

    /// Gives `:name` its value here, beside those that are given where the query is run.
    ///
    /// A name that is given in both places is an error there, as is one that the text does not use.
    #[must_use]
    pub fn bind(mut self, name: impl Into<Cow<'static, str>>, value: impl IntoValue) -> Self {
        self.more().built.push(name, value);
        self
    }

    /// Gives all of `params` their values here, as [`bind`](Self::bind) gives one.
    #[must_use]
    pub fn bind_all(mut self, params: impl IntoParams) -> Self {
        self.more().built.extend(params.into_params());
        self
    }

    /// Quotes the identifiers for `dialect`.
    pub(crate) fn quoted_for(mut self, dialect: Dialect) -> Result<Self> {
        let idents = match &mut self.more {
            Some(more) if !more.idents.is_empty() => std::mem::take(&mut more.idents),
            _ => return Ok(self),
        };
        let mut text = String::with_capacity(self.text.len());
        let mut spans = Vec::with_capacity(idents.len());
        let mut copied = 0;
        for Placed { span, ident } in idents {
            text.push_str(&self.text[copied..span.start]);
            copied = span.end;
            if ident.path.is_empty() {
                // An empty path is an empty name.
                dialect.push_identifier(&mut text, "").map_err(refused)?;
            }
            for (index, part) in ident.path.iter().enumerate() {
                if index > 0 {
                    text.push('.');
                }
                let start = text.len();
                dialect.push_identifier(&mut text, part).map_err(refused)?;
                spans.push(start..text.len());
            }
        }
        text.push_str(&self.text[copied..]);
        if let Some(error) = find_loose_identifier(&text, dialect, &spans) {
            return Err(refused(error));
        }
        self.text = Cow::Owned(text);
        Ok(self)
    }
}

fn refused(error: crate::sql::SqlError) -> Error {
    Error::from(error).with_effect(Effect::NotSent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::list;
    use crate::params;
    use crate::query::IntoQuery;

    fn text(query: Query<'_>, dialect: Dialect) -> String {
        query.into_query(dialect).unwrap().text().to_owned()
    }

    #[test]
    fn identifiers_are_quoted_for_the_dialect() {
        let query = sql("SELECT ")
            .push_joined(", ", ["a\"b", "c`d", ":e"].map(ident))
            .push(" FROM ")
            .push(ident(["app", "no.tes"]));
        let standard = r#"SELECT "a""b", "c`d", ":e" FROM "app"."no.tes""#;
        assert_eq!(query.text(), standard);
        assert_eq!(text(query.clone(), Dialect::POSTGRES), standard);
        assert_eq!(text(query.clone(), Dialect::SQLITE), standard);
        let mysql = "SELECT `a\"b`, `c``d`, `:e` FROM `app`.`no.tes`";
        assert_eq!(text(query.clone(), Dialect::MYSQL), mysql);
        assert_eq!(text(query, Dialect::MYSQL.with_ansi_quotes(true)), mysql);
    }

    #[test]
    fn identifiers_that_no_server_has_are_errors() {
        let long = "ä".repeat(32);
        for (name, dialects) in [
            ("", &[Dialect::POSTGRES, Dialect::MYSQL, Dialect::SQLITE][..]),
            ("a\0b", &[Dialect::POSTGRES, Dialect::MYSQL, Dialect::SQLITE]),
            (&long, &[Dialect::POSTGRES]),
            (&"ä".repeat(65), &[Dialect::POSTGRES, Dialect::MYSQL]),
        ] {
            for &dialect in dialects {
                let error = sql("SELECT ").push(ident(name)).into_query(dialect).unwrap_err();
                assert_eq!((error.kind(), error.effect()), (ErrorKind::Parameters, Effect::NotSent), "{error}");
            }
        }
        assert!(sql("SELECT ").push(ident(&long)).into_query(Dialect::MYSQL).is_ok());
        assert!(sql("SELECT ").push(ident("x".repeat(1_000))).into_query(Dialect::SQLITE).is_ok());
        assert!(sql("SELECT ").push(ident([""; 0])).into_query(Dialect::SQLITE).is_err());
    }

    #[test]
    fn an_identifier_in_a_literal_or_comment_is_an_error_that_points_at_it() {
        for (before, after) in [("SELECT '", "'"), ("SELECT -- ", "\n1"), ("SELECT /*", "*/ 1"), ("SELECT \"", "\"")] {
            let query = sql(before).push(ident("it's")).push(after);
            let error = query.into_query(Dialect::POSTGRES).unwrap_err();
            assert!(error.to_string().contains("stands in a literal or comment"), "{error}");
        }
        let error = sql("SELECT\n U&").push(ident("a")).into_query(Dialect::POSTGRES).unwrap_err();
        assert_eq!(error.line_col(), Some((2, 4)), "{error}");
    }

    #[test]
    fn parts_bring_their_identifiers_and_values() {
        let part = sql(" AND ").push(ident("b")).push(" = :b").bind("b", 2);
        let query = sql("SELECT * FROM ").push(ident("t")).push(" WHERE a IN (:a)").bind("a", list([1, 3])).push(part);
        let query = query.into_query(Dialect::MYSQL).unwrap();
        assert_eq!(query.text(), "SELECT * FROM `t` WHERE a IN (:a) AND `b` = :b");
        assert_eq!(query.more.unwrap().built.names().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn debug_shows_text_and_names_and_no_values() {
        let query = sql("SELECT :a, :b").bind("a", "hunter2").bind_all(params! { b: "hunter3" });
        assert_eq!(format!("{query:?}"), r#"Query { text: "SELECT :a, :b", bound: ["a", "b"], .. }"#);
    }
}
