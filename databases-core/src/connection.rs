//! A connection of one's own.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::backend::{BackendConnection, NativeConnection, ServerInfo, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::options::TransactionOptions;
use crate::pool::{Inner, Slot};
use crate::session::{Handle, Session};
use crate::sql::StatementClass;
use crate::transaction::{Transaction, run_closure, run_closure_with};

/// A connection taken out of the pool; it goes back when it is dropped.
///
/// What it was told (`SET`, temporary tables, a transaction opened as text) is undone before anyone else has it.
pub struct Connection {
    pub(crate) handle: Handle,
}

impl Connection {
    pub(crate) fn new(slot: Slot) -> Self {
        Self { handle: Handle::base(Session::new(slot)) }
    }

    /// For `after_connect`: the connection does not belong to the pool yet.
    pub(crate) fn for_hook(inner: Arc<Inner>, conn: Arc<dyn BackendConnection>) -> Self {
        Self { handle: Handle::base(Session::over(inner, conn, None)) }
    }

    /// Opens a transaction. Until it ends, every other call on this handle is [`ErrorKind::Busy`].
    ///
    /// # Errors
    ///
    /// What the server reports; [`ErrorKind::Busy`] while a stream is open.
    ///
    /// # Cancel safety
    ///
    /// A transaction that a dropped future has opened is rolled back before the next statement.
    pub async fn begin(&self) -> Result<Transaction> {
        self.begin_with(TransactionOptions::new()).await
    }

    /// Opens a transaction with options; see [`Connection::begin`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] for an option that the backend cannot keep.
    pub async fn begin_with(&self, options: TransactionOptions) -> Result<Transaction> {
        Ok(Transaction::new(self.handle.begin(&options).await?))
    }

    /// Runs `f` in a transaction: commits on `Ok`, rolls back on `Err` and on a panic.
    ///
    /// # Errors
    ///
    /// The closure's, or of BEGIN and COMMIT.
    pub async fn transaction<T, E, F>(&self, f: F) -> Result<T, E>
    where
        E: From<Error>,
        F: AsyncFnOnce(&Transaction) -> Result<T, E>,
    {
        run_closure(self.begin().await?, f).await
    }

    /// Runs `f` in a transaction with options, and with [`TransactionOptions::retry`] again after a conflict.
    ///
    /// # Errors
    ///
    /// The closure's of the last attempt, or of BEGIN and COMMIT.
    pub async fn transaction_with<T, E, F>(&self, options: TransactionOptions, f: F) -> Result<T, E>
    where
        E: From<Error>,
        F: AsyncFnOnce(&Transaction) -> Result<T, E> + Clone,
    {
        let begin = |options| -> BoxFuture<'_, _> { Box::pin(self.begin_with(options)) };
        run_closure_with(begin, options, f).await
    }

    /// What the server is.
    ///
    /// # Errors
    ///
    /// What the server reports.
    pub async fn server_info(&self) -> Result<ServerInfo> {
        let in_flight = self.handle.enter().await?;
        let info = self.handle.session.conn.server_info().await;
        self.handle.leave(in_flight, StatementClass::Read, info)
    }

    /// What the session is doing, as last seen on the wire. No I/O.
    #[must_use]
    pub fn status(&self) -> Status {
        self.handle.session.conn.status()
    }

    /// Lends the driver's own connection, of the type that the backend documents, once no statement is under way.
    ///
    /// The session counts as changed afterwards: it is reset or discarded when this connection is dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] naming the right type if it is not `T`; [`ErrorKind::Busy`] while a stream or
    /// transaction is open.
    pub async fn native<T: Any>(&mut self) -> Result<Native<'_, T>> {
        let in_flight = self.handle.enter().await?;
        let conn = &self.handle.session.conn;
        let lent = conn.native().await;
        let lent = self.handle.leave(in_flight, StatementClass::Session, lent)?;
        if !lent.as_any().is::<T>() {
            let message = format!(
                "the driver's connection is a `{}`, not a `{}`",
                conn.native_type(),
                std::any::type_name::<T>()
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        self.handle.session.mark_dirty();
        Ok(Native { lent, native: PhantomData })
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// The driver's own connection, lent by [`Connection::native`].
pub struct Native<'c, T> {
    lent: Box<dyn NativeConnection + 'c>,
    // `fn() -> T` keeps it Send whatever `T` is; the trait object says whether it is.
    native: PhantomData<fn() -> T>,
}

impl<T: Any> Deref for Native<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.lent.as_any().downcast_ref().expect("the type was checked when it was lent")
    }
}

impl<T: Any> DerefMut for Native<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.lent.as_any_mut().downcast_mut().expect("the type was checked when it was lent")
    }
}

impl<T> fmt::Debug for Native<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Native").finish_non_exhaustive()
    }
}
