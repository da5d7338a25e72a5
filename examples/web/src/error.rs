//! From errors to answers: what the caller may know, and nothing more.

use std::error::Error as _;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use databases::ErrorKind;
use serde::Serialize;

/// Why a request was not answered as hoped.
#[derive(Debug)]
pub enum Failure {
    /// The request is wrong, in these words.
    Invalid(&'static str),
    /// There is no such note.
    NotFound,
    /// The database said no.
    Database(databases::Error),
}

impl From<databases::Error> for Failure {
    fn from(error: databases::Error) -> Self {
        Self::Database(error)
    }
}

#[derive(Serialize)]
struct Body {
    error: &'static str,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::Invalid(why) => (StatusCode::UNPROCESSABLE_ENTITY, why),
            Self::NotFound => (StatusCode::NOT_FOUND, "there is no such note"),
            Self::Database(error) => match error.kind() {
                ErrorKind::NoRows => (StatusCode::NOT_FOUND, "there is no such note"),
                ErrorKind::UniqueViolation => (StatusCode::CONFLICT, "there is a note with this text"),
                ErrorKind::PoolTimeout => (StatusCode::SERVICE_UNAVAILABLE, "the service is busy; try again later"),
                _ => {
                    // For the operator. Errors hold no parameter values and no passwords, so they may be logged.
                    eprintln!("error: {error}");
                    let mut source = error.source();
                    while let Some(error) = source {
                        eprintln!("  because: {error}");
                        source = error.source();
                    }
                    (StatusCode::INTERNAL_SERVER_ERROR, "something went wrong on our side")
                }
            },
        };
        (status, Json(Body { error })).into_response()
    }
}
