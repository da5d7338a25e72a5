//! What a session is doing, for those who do not hold it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use databases_core::backend::Status;
use databases_core::sql::Dialect;
use mysql_async::consts::StatusFlags;

/// What is known of the session without waiting for it.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    in_flight: AtomicUsize,
    broken: AtomicBool,
    in_transaction: AtomicBool,
    autocommit: AtomicBool,
    no_backslash_escapes: AtomicBool,
    ansi_quotes: AtomicBool,
    strict: AtomicBool,
}

impl Shared {
    pub(crate) fn status(&self) -> Status {
        if self.is_broken() {
            Status::Broken
        } else if self.in_flight.load(Ordering::Acquire) > 0 {
            Status::Busy
        } else if self.in_transaction() {
            Status::InTransaction
        } else {
            Status::Idle
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        Dialect::MYSQL
            .with_no_backslash_escapes(self.no_backslash_escapes.load(Ordering::Acquire))
            .with_ansi_quotes(self.ansi_quotes.load(Ordering::Acquire))
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    pub(crate) fn break_off(&self) {
        self.broken.store(true, Ordering::Release);
    }

    pub(crate) fn in_transaction(&self) -> bool {
        self.in_transaction.load(Ordering::Acquire)
    }

    /// Whether autocommit is on.
    pub(crate) fn commits_by_itself(&self) -> bool {
        self.autocommit.load(Ordering::Acquire)
    }

    pub(crate) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn observe(&self, flags: StatusFlags) {
        self.in_transaction.store(flags.contains(StatusFlags::SERVER_STATUS_IN_TRANS), Ordering::Release);
        self.autocommit.store(flags.contains(StatusFlags::SERVER_STATUS_AUTOCOMMIT), Ordering::Release);
        let plain = flags.contains(StatusFlags::SERVER_STATUS_NO_BACKSLASH_ESCAPES);
        self.no_backslash_escapes.store(plain, Ordering::Release);
    }

    /// Whether a value that does not fit its column is an error.
    pub(crate) fn is_strict(&self) -> bool {
        self.strict.load(Ordering::Acquire)
    }

    pub(crate) fn set_mode(&self, mode: &str) {
        let has = |name: &str| mode.split(',').any(|word| word.eq_ignore_ascii_case(name));
        self.no_backslash_escapes.store(has("NO_BACKSLASH_ESCAPES"), Ordering::Release);
        self.ansi_quotes.store(has("ANSI_QUOTES"), Ordering::Release);
        let strict = ["STRICT_TRANS_TABLES", "STRICT_ALL_TABLES"].into_iter().any(has);
        self.strict.store(strict, Ordering::Release);
    }
}
