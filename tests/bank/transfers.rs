//! The forms that a transfer can take, and the mishaps that can befall it.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use databases::{Database, ErrorKind, Executor, Isolation, Query, Result, TransactionOptions, params, sql};
use futures_util::TryStreamExt as _;

use crate::book::{ACCOUNTS, Book};
use crate::random::Random;
use crate::{Kind, Polls};

/// Which part of the API a transfer goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Begin,
    Closure,
    Retried,
    Savepoint,
    Many,
    Joined,
    AfterStream,
    ByText,
    Script,
    Order,
    OrderReturning,
    Orders,
    Mistaken,
    PartDropped,
}

impl Form {
    pub(crate) const ALL: [Self; 14] = [
        Self::Begin,
        Self::Closure,
        Self::Retried,
        Self::Savepoint,
        Self::Many,
        Self::Joined,
        Self::AfterStream,
        Self::ByText,
        Self::Script,
        Self::Order,
        Self::OrderReturning,
        Self::Orders,
        Self::Mistaken,
        Self::PartDropped,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Closure => "transaction",
            Self::Retried => "transaction_with(retry)",
            Self::Savepoint => "savepoints",
            Self::Many => "execute_many in a transaction",
            Self::Joined => "join in a transaction",
            Self::AfterStream => "after a stream",
            Self::ByText => "acquire and COMMIT as text",
            Self::Script => "execute_script",
            Self::Order => "autocommit",
            Self::OrderReturning => "autocommit RETURNING",
            Self::Orders => "autocommit execute_many",
            Self::Mistaken => "after a failed statement",
            Self::PartDropped => "after a dropped statement",
        }
    }
}

/// What befalls a transfer on our side.
#[derive(Clone, Debug)]
pub(crate) enum Mishap {
    None,
    /// Its future is dropped after some time.
    Drop(Duration),
    /// Its future is dropped after so many polls.
    Polls(usize),
    /// The task it runs in is aborted.
    Abort(Duration),
    /// It panics before its end.
    Panic,
    /// Each of its statements has a timeout.
    Timeout(Duration),
}

impl Mishap {
    pub(crate) fn random(random: &mut Random) -> Self {
        match random.below(100) {
            0..8 => Self::Drop(random.micros(0..6000)),
            8..20 => Self::Polls(random.below(24)),
            20..25 => Self::Abort(random.micros(0..4000)),
            25..27 => Self::Panic,
            27..33 => Self::Timeout(random.millis(1..8)),
            _ => Self::None,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::None => "no mishap",
            Self::Drop(_) => "dropped by time",
            Self::Polls(_) => "dropped by polls",
            Self::Abort(_) => "task aborted",
            Self::Panic => "panic",
            Self::Timeout(_) => "statement timeout",
        }
    }
}

/// What a panic on purpose carries.
pub(crate) struct OnPurpose;

/// Money on its way from one account to another, or three such orders in a group.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub(crate) id: i64,
    pub(crate) orders: i64,
    pub(crate) form: Form,
    pub(crate) mishap: Mishap,
    source: i64,
    target: i64,
    amount: i64,
    random: Random,
}

/// How far a transfer has come.
#[derive(Default)]
pub(crate) struct Progress(AtomicBool);

impl Progress {
    /// From here on it may be done without our knowing.
    fn ending(&self) {
        self.0.store(true, SeqCst);
    }

    fn begun_again(&self) {
        self.0.store(false, SeqCst);
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.0.load(SeqCst)
    }
}

impl Transfer {
    /// Somebody's transfer.
    pub(crate) fn random(id: i64, random: &mut Random, mishap: Mishap) -> Self {
        let form = Form::ALL[random.below(Form::ALL.len())];
        // A third of them meets at few accounts.
        let accounts = if random.percent(33) { 4 } else { ACCOUNTS as usize };
        let source = random.below(accounts);
        let target = (source + 1 + random.below(accounts - 1)) % accounts;
        Self {
            id,
            orders: if form == Form::Orders { 3 } else { 1 },
            form,
            mishap,
            source: source as i64 + 1,
            target: target as i64 + 1,
            amount: random.below(50) as i64 + 1,
            random: Random::new(random.next()),
        }
    }

    fn query(&self, text: &'static str) -> Query<'static> {
        let query = sql(text);
        match self.mishap {
            Mishap::Timeout(limit) => query.timeout(limit),
            _ if self.id % 64 == 0 => query.prepared(false),
            _ => query,
        }
    }

    /// What is booked on which account: mostly in the order of their ids, else in any, which leads to deadlocks.
    fn legs(&self) -> [(i64, i64); 2] {
        let legs = [(self.source, -self.amount), (self.target, self.amount)];
        let ordered = self.source < self.target;
        if ordered || self.id / 4 % 5 == 0 { legs } else { [legs[1], legs[0]] }
    }

    /// A moment in which much can happen; a panic, if this is the transfer's mishap.
    async fn stumble(&mut self) {
        if matches!(self.mishap, Mishap::Panic) && self.random.percent(40) {
            std::panic::panic_any(OnPurpose);
        }
        match self.random.below(10) {
            0 => tokio::time::sleep(self.random.micros(0..2000)).await,
            1..4 => tokio::task::yield_now().await,
            _ => {}
        }
    }

    async fn book_leg(&self, tx: &impl Executor, book: &Book, (id, delta): (i64, i64)) -> Result<()> {
        let update = self.query("UPDATE accounts SET balance = balance + :delta WHERE id = :id");
        let booked = tx.execute(update, params! { delta, id }).await?.rows_affected();
        book.expect(booked == 1, || format!("{}: {booked} rows affected by the update of one", self.form.name()));
        Ok(())
    }

    async fn write_ledger(&self, tx: &impl Executor, book: &Book) -> Result<()> {
        let Self { id, source, target, amount, .. } = *self;
        let insert =
            self.query("INSERT INTO ledger (transfer, source, target, amount) VALUES (:id, :source, :target, :amount)");
        let written = tx.execute(insert, params! { id, source, target, amount }).await?.rows_affected();
        book.expect(written == 1, || format!("{}: {written} rows affected by an insert of one", self.form.name()));
        Ok(())
    }

    /// The transfer's statements.
    async fn pay(&mut self, tx: &impl Executor, book: &Book) -> Result<()> {
        for leg in self.legs() {
            self.book_leg(tx, book, leg).await?;
            self.stumble().await;
        }
        self.write_ledger(tx, book).await?;
        self.stumble().await;
        Ok(())
    }

    /// Makes the transfer.
    pub(crate) async fn make(mut self, db: &Database, kind: Kind, book: &Book, progress: &Progress) -> Result<()> {
        match self.form {
            Form::Begin => {
                let tx = db.begin().await?;
                self.pay(&tx, book).await?;
                progress.ending();
                tx.commit().await
            }
            Form::Closure => {
                db.transaction(async |tx| {
                    self.pay(tx, book).await?;
                    progress.ending();
                    Ok(())
                })
                .await
            }
            Form::Retried => {
                let options = TransactionOptions::new().retry(5);
                let options = match kind {
                    Kind::Sqlite => options.deferred(),
                    _ => options.isolation(Isolation::Serializable),
                };
                let this = self.clone();
                db.transaction_with(options, async |tx| {
                    progress.begun_again();
                    let source = this.source;
                    let _: i64 = tx
                        .fetch_val(this.query("SELECT balance FROM accounts WHERE id = :source"), params! { source })
                        .await?;
                    this.clone().pay(tx, book).await?;
                    progress.ending();
                    Ok(())
                })
                .await
            }
            Form::Savepoint => {
                let tx = db.begin().await?;
                let vain = tx.begin().await?;
                self.book_leg(&vain, book, (self.target, 7)).await?;
                self.stumble().await;
                if self.id % 3 == 0 {
                    vain.rollback().await?;
                } else {
                    drop(vain);
                }
                let inner = tx.begin().await?;
                self.pay(&inner, book).await?;
                inner.commit().await?;
                self.stumble().await;
                progress.ending();
                tx.commit().await
            }
            Form::Many => {
                let tx = db.begin().await?;
                let legs = self.legs().map(|(id, delta)| params! { id, delta });
                let update = self.query("UPDATE accounts SET balance = balance + :delta WHERE id = :id");
                let booked = tx.execute_many(update, legs).await?;
                book.expect(booked == 2, || format!("execute_many of two updates affected {booked} rows"));
                self.stumble().await;
                self.write_ledger(&tx, book).await?;
                progress.ending();
                tx.commit().await
            }
            Form::Joined => {
                let tx = db.begin().await?;
                let [first, second] = self.legs();
                // A timeout is for the first alone: what it does to the transaction is not the others' wish.
                let others = Self { mishap: Mishap::None, ..self.clone() };
                let (first, second, ledger) = tokio::join!(
                    self.book_leg(&tx, book, first),
                    others.book_leg(&tx, book, second),
                    others.write_ledger(&tx, book)
                );
                first.and(second).and(ledger)?;
                self.stumble().await;
                progress.ending();
                tx.commit().await
            }
            Form::AfterStream => {
                let tx = db.begin().await?;
                look_in(&tx, "in a transaction", book, if self.id % 8 == 0 { 5 } else { usize::MAX }).await?;
                self.stumble().await;
                self.pay(&tx, book).await?;
                progress.ending();
                tx.commit().await
            }
            Form::ByText => {
                let conn = db.acquire().await?;
                kind.dirt(&conn, book).await?;
                conn.execute(if kind == Kind::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" }, ()).await?;
                self.pay(&conn, book).await?;
                progress.ending();
                conn.execute("COMMIT", ()).await.map(drop)
            }
            Form::Script => {
                let Self { id, amount, .. } = self;
                let [(a, x), (b, y)] = self.legs();
                let begin = if kind == Kind::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" };
                let script = format!(
                    "{begin};
                     UPDATE accounts SET balance = balance + {x} WHERE id = {a};
                     UPDATE accounts SET balance = balance + {y} WHERE id = {b};
                     INSERT INTO ledger (transfer, source, target, amount) VALUES ({id}, {}, {}, {amount});
                     COMMIT",
                    self.source, self.target
                );
                progress.ending();
                db.execute_script(&script).await
            }
            Form::Order => {
                progress.ending();
                let Self { id, source, target, amount, .. } = self;
                let insert =
                    "INSERT INTO orders (transfer, source, target, amount) VALUES (:id, :source, :target, :amount)";
                let written = db.execute(self.query(insert), params! { id, source, target, amount }).await?;
                book.expect(written.rows_affected() == 1, || format!("an insert of one row: {written:?}"));
                Ok(())
            }
            Form::OrderReturning => {
                progress.ending();
                let Self { id, source, target, amount, .. } = self;
                let insert = "INSERT INTO orders (transfer, source, target, amount) \
                              VALUES (:id, :source, :target, :amount) RETURNING transfer";
                let returned = db.fetch_val::<i64>(self.query(insert), params! { id, source, target, amount }).await?;
                book.expect(returned == id, || format!("the insert of {id} returned {returned}"));
                Ok(())
            }
            Form::Mistaken => {
                let tx = db.begin().await?;
                // Where that fails the whole transaction, all the rest must fail.
                let again = self.query("INSERT INTO accounts (id, balance) VALUES (1, 1)");
                let error = tx.execute(again, ()).await.expect_err("the account is there");
                if error.kind() != ErrorKind::UniqueViolation {
                    return Err(error);
                }
                self.stumble().await;
                let paid = self.pay(&tx, book).await;
                if kind != Kind::Postgres {
                    paid?;
                }
                progress.ending();
                tx.commit().await
            }
            Form::PartDropped => {
                let tx = db.begin().await?;
                self.pay(&tx, book).await?;
                let left = self.random.below(6);
                let extra = Polls::new(left, self.book_leg(&tx, book, (self.source, 7))).await;
                if let Some(done) = extra {
                    done?;
                    self.book_leg(&tx, book, (self.source, -7)).await?;
                }
                progress.ending();
                tx.commit().await
            }
            Form::Orders => {
                let Self { source, target, amount, .. } = self;
                let orders = (self.id..self.id + self.orders).map(|id| params! { id, source, target, amount });
                let insert =
                    "INSERT INTO orders (transfer, source, target, amount) VALUES (:id, :source, :target, :amount)";
                progress.ending();
                let written = db.execute_many(self.query(insert), orders).await?;
                book.expect(written == 3, || format!("execute_many of 3 rows wrote {written}"));
                Ok(())
            }
        }
    }
}

/// Reads all balances, or the first few, as a stream.
pub(crate) async fn look_in(db: &impl Executor, place: &str, book: &Book, most: usize) -> Result<()> {
    let mut balances = Vec::new();
    let mut rows = db.iterate::<(i64, i64)>("SELECT id, balance FROM accounts", ());
    while let Some((_, balance)) = rows.try_next().await? {
        balances.push(balance);
        if balances.len() >= most {
            return Ok(());
        }
    }
    book.snapshot(place, &balances);
    Ok(())
}

/// Asks something that only its own answer fits.
pub(crate) async fn echo(db: &impl Executor, book: &Book, number: i64) -> Result<()> {
    let answer: i64 = db.fetch_val("SELECT :number", params! { number }).await?;
    book.expect(answer == number, || format!("{number} was asked for and {answer} was the answer"));
    Ok(())
}
