//! Steps of a transaction. What became of them is read from the wire.

use databases_core::backend::{Status, TransactionCommand};
use databases_core::sql::Dialect;
use databases_core::{Effect, Error, ErrorKind, Isolation, Result, TransactionOptions};

use crate::connection::{PgConnection, was_sent};

impl PgConnection {
    /// Takes a step of a transaction.
    pub(crate) async fn step(&self, command: TransactionCommand) -> Result<()> {
        match command {
            TransactionCommand::Begin(options) => self.begin(&options),
            TransactionCommand::Commit => self.commit().await,
            TransactionCommand::Rollback => {
                self.session.opening.forget();
                match self.session.status() {
                    Status::Idle => Ok(()),
                    _ => self.simple("ROLLBACK").await,
                }
            }
            TransactionCommand::Savepoint(number) => self.simple(&format!("SAVEPOINT {}", savepoint(number)?)).await,
            TransactionCommand::Release(number) => {
                self.simple(&format!("RELEASE SAVEPOINT {}", savepoint(number)?)).await
            }
            TransactionCommand::RollbackTo(number) => {
                self.simple(&format!("ROLLBACK TO SAVEPOINT {}", savepoint(number)?)).await
            }
        }
    }

    /// Nothing is sent: BEGIN goes with the first statement.
    fn begin(&self, options: &TransactionOptions) -> Result<()> {
        let sql = begin_sql(options)?;
        // The server would only warn, and the caller would not own what it commits.
        if matches!(self.session.status(), Status::InTransaction | Status::Failed) {
            return Err(Error::new(ErrorKind::Busy, "a transaction is already open on this connection"));
        }
        if self.session.guard.is_closed() {
            return Err(self.session.gone());
        }
        self.session.opening.keep_back(sql);
        Ok(())
    }

    async fn commit(&self) -> Result<()> {
        if self.session.status() == Status::Idle {
            return Err(Error::new(ErrorKind::TransactionEnded, "there is no transaction to commit"));
        }
        // Nothing was done in it, and the server never heard of it.
        if self.session.opening.forget() {
            return Ok(());
        }
        let (_, rollbacks) = self.session.guard.endings();
        match self.simple("COMMIT").await {
            // The driver calls both success; only the tag tells them apart.
            Ok(()) if self.session.guard.endings().1 != rollbacks => Err(Error::new(
                ErrorKind::TransactionFailed,
                "the server rolled back instead: an earlier statement of the transaction had failed",
            )
            .with_effect(Effect::RolledBack)),
            Ok(()) => Ok(()),
            Err(error) if error.is_disconnected() && was_sent(&error) => {
                Err(error.with_kind(ErrorKind::CommitOutcomeUnknown).with_effect(Effect::Unknown))
            }
            Err(error) => Err(error),
        }
    }
}

fn savepoint(number: u64) -> Result<String> {
    let mut quoted = String::new();
    Dialect::POSTGRES.push_identifier(&mut quoted, &TransactionCommand::savepoint_name(number))?;
    Ok(quoted)
}

fn begin_sql(options: &TransactionOptions) -> Result<String> {
    let unsupported = |message: &str| Err(Error::new(ErrorKind::Unsupported, message));
    if options.get_lock_mode().is_some() {
        return unsupported("PostgreSQL has no immediate or deferred transactions");
    }
    let serializable = options.get_isolation() == Some(Isolation::Serializable);
    if options.is_deferrable() && !(serializable && options.is_read_only()) {
        return unsupported("only a serializable read-only transaction can be deferrable");
    }
    let mut sql = String::from("BEGIN");
    if let Some(isolation) = options.get_isolation() {
        sql.push_str(" ISOLATION LEVEL ");
        sql.push_str(isolation.as_sql());
    }
    if options.is_read_only() {
        sql.push_str(" READ ONLY");
    }
    if options.is_deferrable() {
        sql.push_str(" DEFERRABLE");
    }
    Ok(sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begin_says_what_was_asked_for() {
        let sql = |options| begin_sql(&options).map_err(|error| error.kind());
        let options = TransactionOptions::new;
        assert_eq!(sql(options()).unwrap(), "BEGIN");
        let all = options().isolation(Isolation::Serializable).read_only(true).deferrable(true);
        assert_eq!(sql(all).unwrap(), "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE");
        assert_eq!(sql(options().deferrable(true)), Err(ErrorKind::Unsupported));
        assert_eq!(sql(options().immediate()), Err(ErrorKind::Unsupported));
    }
}
