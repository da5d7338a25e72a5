//! Text and parameters that were found to match, before a connection is waited for.

use std::sync::Arc;

use crate::backend::Request;
use crate::error::Result;
use crate::executor::Call;
use crate::params::Matched;
use crate::pool::Inner;
use crate::run::Place;
use crate::sql::{Dialect, Template};

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
