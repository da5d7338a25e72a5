//! Why a handle may no longer be used, and the errors that say so.

use crate::error::{Effect, Error, ErrorKind};

/// Why a handle may no longer be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// A statement's future was dropped.
    Abandoned,
    /// The server rolled back.
    RolledBack,
    /// The server committed.
    Committed,
}

impl Over {
    pub(super) fn error(self) -> Error {
        let message = match self {
            Self::Abandoned => {
                "a statement of this transaction was dropped before it was done; the transaction can only be rolled back"
            }
            Self::RolledBack => "the server has ended this transaction and rolled it back",
            Self::Committed => "the server has committed this transaction by itself, as MySQL does at DDL",
        };
        Error::new(ErrorKind::TransactionEnded, message)
    }
}

pub(super) fn outer_is_over() -> Error {
    Error::new(ErrorKind::TransactionEnded, "the transaction around this one is over, and this one with it")
}

pub(super) fn gone() -> Error {
    Error::new(ErrorKind::Disconnected, "the connection is closed").with_effect(Effect::NotSent)
}

pub(super) fn busy(why: &str) -> Error {
    Error::new(ErrorKind::Busy, why)
}
