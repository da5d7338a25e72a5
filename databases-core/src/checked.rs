//! Text and parameters that were found to match, before a connection is waited for.

use std::sync::Arc;

use crate::backend::Request;
use crate::error::Result;
use crate::executor::Call;
use crate::params::Arg;
use crate::pool::Inner;
use crate::run::Place;
use crate::sql::{self, Dialect, Template};
use crate::value::{Value, ValueKind};

/// A call whose text and parameters were found to match.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) template: Arc<Template>,
    matched: Matched,
}

/// A request that did not run after all.
impl From<Request> for Checked {
    fn from(request: Request) -> Self {
        Self { template: request.template, matched: Matched::Arranged(request.sql, request.args) }
    }
}

/// Finds mistakes in text and parameters before a connection is waited for.
pub(crate) fn check(inner: &Inner, dialect: Dialect, place: Place, call: &mut Call<'_>) -> Result<Checked> {
    if let Some(checked) = call.checked.take() {
        return Ok(*checked);
    }
    let template = inner.template(&call.query, dialect, place)?;
    let matched = call.params.check(&template, call.query.allow_unused)?;
    Ok(Checked { template, matched })
}

impl Checked {
    /// The request for a session of `dialect`; checked again if that reads literals otherwise than was thought.
    pub(crate) fn request(self, inner: &Inner, dialect: Dialect, place: Place, mut call: Call<'_>) -> Result<Request> {
        let checked = if self.template.dialect() == dialect { self } else { check(inner, dialect, place, &mut call)? };
        Ok(checked.arranged(&mut call))
    }

    /// Whether the statement is kept prepared.
    pub(crate) fn is_kept(&self, call: &Call<'_>) -> bool {
        call.query.keeps(self.matched.text())
    }

    /// The request, with the values of `call`.
    pub(crate) fn arranged(self, call: &mut Call<'_>) -> Request {
        let (sql, args) = std::mem::take(&mut call.params).arrange(self.matched);
        let mut request = Request::new(sql, args, self.template);
        request.prepared = call.query.keeps(&request.sql);
        request.wants_rows = call.wants_rows;
        request
    }
}

/// How parameters and a text fit together.
#[derive(Debug)]
pub(crate) enum Matched {
    /// The native text and the arguments, taken out of the parameters already.
    Arranged(Arc<str>, Vec<Arg>),
    /// Each value is an argument, in the order given; the native text.
    InOrder(Arc<str>),
    /// As the rewriter says.
    Bound(sql::Bound),
}

impl Matched {
    /// The native text.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Arranged(sql, _) | Self::InOrder(sql) | Self::Bound(sql::Bound { sql, .. }) => sql,
        }
    }
}

/// The argument that a rewriter means by a part of a value.
pub(crate) fn item_of(whole: &Arg, path: sql::ArgPath) -> Arg {
    let items = |value: &Value, index: usize| match value {
        Value::Array(array) => (array.items[index].clone(), array.element),
        _ => unreachable!("the rewriter paths into arrays only"),
    };
    let (value, element) = match path {
        sql::ArgPath::Whole => return whole.clone(),
        sql::ArgPath::Item(index) => items(&whole.value, index),
        sql::ArgPath::TupleItem(index, inner) => items(&items(&whole.value, index).0, inner),
    };
    let kind = if element == ValueKind::Any { value.kind() } else { element };
    Arg { value, kind }
}
