//! Transactions: by hand, as a closure, nested, with options and retries, and what an error does to them.
//!
//! ```text
//! cargo run --example transactions
//! cargo run --features postgres,mysql --example transactions -- mysql://user:password@localhost/database
//! ```

use std::fmt;

use databases::{Database, ErrorKind, Executor, Isolation, TransactionOptions, params};

/// An error of this program beside those of the database: all that `transaction` asks for is `From<databases::Error>`.
#[derive(Debug)]
enum TransferError {
    NotEnough { missing: i64 },
    Database(databases::Error),
}

impl From<databases::Error> for TransferError {
    fn from(error: databases::Error) -> Self {
        Self::Database(error)
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEnough { missing } => write!(f, "{missing} short"),
            Self::Database(error) => error.fmt(f),
        }
    }
}

/// Works on a `Database`, a `Connection` and a `Transaction`; here it is only right inside a transaction.
async fn transfer(db: &impl Executor, from: &str, to: &str, amount: i64) -> Result<(), TransferError> {
    let update = "UPDATE example_accounts SET balance = balance + :change WHERE name = :name";
    db.execute(update, params! { name: to, change: amount }).await?;
    db.execute(update, params! { name: from, change: -amount }).await?;
    let left = balance(db, from).await?;
    if left < 0 {
        return Err(TransferError::NotEnough { missing: -left });
    }
    Ok(())
}

async fn balance(db: &impl Executor, name: &str) -> databases::Result<i64> {
    db.fetch_val("SELECT balance FROM example_accounts WHERE name = :name", params! { name }).await
}

async fn show(db: &impl Executor, when: &str) -> databases::Result<()> {
    println!("  {when}: alice {}, bob {}", balance(db, "alice").await?, balance(db, "bob").await?);
    Ok(())
}

#[tokio::main]
async fn main() -> databases::Result<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "sqlite::memory:".to_owned());
    let db = Database::connect(url).await?;
    db.execute("DROP TABLE IF EXISTS example_accounts", ()).await?;
    db.execute("CREATE TABLE example_accounts (name VARCHAR(50) PRIMARY KEY, balance BIGINT NOT NULL)", ()).await?;
    let insert = "INSERT INTO example_accounts(name, balance) VALUES (:name, :balance)";
    let accounts = [("alice", 100i64), ("bob", 20)];
    db.execute_many(insert, accounts.map(|(name, balance)| params! { name, balance })).await?;
    show(&db, "at first").await?;

    println!("by hand: begin, then commit or rollback");
    let tx = db.begin().await?;
    tx.execute("UPDATE example_accounts SET balance = 0", ()).await?;
    show(&tx, "inside").await?;
    tx.rollback().await?;
    show(&db, "after the rollback").await?;
    {
        let tx = db.begin().await?;
        tx.execute("UPDATE example_accounts SET balance = 0", ()).await?;
        // No commit: leaving the scope, by `?` too, rolls back.
    }
    show(&db, "after a drop without commit").await?;

    println!("as a closure: Ok commits, Err rolls back");
    let (from, to) = ("alice".to_owned(), "bob".to_owned());
    db.transaction(async |tx| transfer(tx, &from, &to, 30).await).await.unwrap_or_else(|error| println!("  {error}"));
    show(&db, "30 from alice to bob").await?;
    let refused = db.transaction(async |tx| transfer(tx, &from, &to, 500).await).await;
    if let Err(error) = refused {
        println!("  500 from alice to bob: {error}");
    }
    show(&db, "nothing of it happened").await?;

    println!("nested: what may fail goes into a transaction of its own");
    let tx = db.begin().await?;
    tx.execute(insert, params! { name: "carol", balance: 5 }).await?;
    let inner = tx.begin().await?;
    let error = inner.execute(insert, params! { name: "carol", balance: 6 }).await.expect_err("the name is taken");
    println!("  a second carol: {:?}", error.kind());
    // On PostgreSQL a failed statement spoils its transaction. Only the inner one, so: away with it, and go on.
    assert_eq!(error.kind(), ErrorKind::UniqueViolation);
    inner.rollback().await?;
    tx.execute("UPDATE example_accounts SET balance = balance + 1 WHERE name = :name", params! { name: "carol" })
        .await?;
    tx.commit().await?;
    println!("  the first carol was committed with {}", balance(&db, "carol").await?);

    println!("with options: serializable, and again after a conflict with another transaction");
    // The closure may run more than once, each time as a clone in a new transaction.
    let options = TransactionOptions::new().isolation(Isolation::Serializable).retry(5);
    let names = ["alice", "bob"];
    let sum = db
        .transaction_with(options, async |tx| {
            let mut sum = 0;
            for name in names {
                sum += balance(tx, name).await?;
            }
            tx.execute(insert, params! { name: "sum", balance: sum }).await?;
            Ok::<_, databases::Error>(sum)
        })
        .await?;
    println!("  alice and bob have {sum}");

    db.execute("DROP TABLE example_accounts", ()).await?;
    db.close().await
}
