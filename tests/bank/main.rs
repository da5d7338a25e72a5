//! A bank: 64 tasks send money back and forth over 8 connections while servers die, networks break and futures are
//! dropped.
//!
//! Every transfer has an id of its own, which it writes into a ledger, and takes one of the ways that the API offers.
//! What the crate says of each is noted: one that is done must be in the ledger once; one that was never sent or was
//! rolled back never; one of which nobody knows at most once. The balances always add up.
//!
//! 20 seconds for each backend; `DATABASES_SOAK_SECONDS` says otherwise, and `DATABASES_BANK_SEED` repeats the choices
//! of a run, as far as chance on the other side allows.

mod book;
mod children;
#[path = "../support/proxy.rs"]
mod proxy;
mod random;
#[path = "../support/server.rs"]
mod server;
mod transfers;
mod trouble;
#[path = "../support/usage.rs"]
mod usage;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use book::{ACCOUNTS, BALANCE, Book, GROUP, Verdict};
use children::Child;
use databases::{Connection, Database, DatabaseBuilder, Executor as _, PoolStatus, Result, Status, params};
use random::Random;
use server::Server;
use transfers::{Mishap, OnPurpose, Progress, Transfer, echo, look_in};
use trouble::{Neighbours, Site, Trouble};
use usage::{Usage, within};

const TASKS: usize = 64;
const CONNECTIONS: usize = 8;
/// How long everything is left in peace, for the rate that the rest is compared with.
const CALM: Duration = Duration::from_secs(3);
/// Longer than anything may take.
const HANG: Duration = Duration::from_secs(60);

/// One bank at a time: it takes all there is of the machine.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // The harness starts the next test's thread behind the last one's end: not to be counted as ours.
    std::thread::sleep(Duration::from_millis(300));
    turn
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Postgres,
    MariaDb,
    Sqlite,
}

#[test]
fn postgres_keeps_its_books_whatever_breaks() {
    served(Kind::Postgres, "postgres");
}

#[test]
fn mariadb_keeps_its_books_whatever_breaks() {
    served(Kind::MariaDb, "mysql");
}

#[test]
fn sqlite_keeps_its_books_whatever_its_neighbours_do() {
    let _turn = turn();
    let folder = Folder::new();
    let builder = Database::builder(folder.url()).option("busy_timeout", "300ms");
    run(Kind::Sqlite, builder, &mut Neighbours { file: folder.file() });
}

#[test]
fn sqlite_keeps_what_a_killed_process_has_acknowledged() {
    let _turn = turn();
    let folder = Folder::new();
    let mut random = Random::new(seed());
    let kills = if soak().is_some() { 500 } else { 30 };
    let book = Book::default();
    let runtime = runtime();
    runtime.block_on(async {
        let db = Database::connect(folder.url()).await.expect("a file can be made");
        Kind::Sqlite.found(&db).await.expect("an empty database");
        db.close().await.expect("nobody uses it");
    });
    for round in 0..kills {
        let mut child = Child::start_from("teller", &folder.file(), 1_000_000 * (round + 1));
        child.expect_line("ready");
        std::thread::sleep(random.millis(2..150));
        child.kill();
        for line in child.rest() {
            let mut words = line.split(' ');
            let verdict = match words.next() {
                Some("made") => Verdict::Maybe,
                Some("done") => Verdict::Once,
                _ => continue,
            };
            // The last line may have been cut off.
            let numbers: Vec<i64> = words.map_while(|word| word.parse().ok()).collect();
            let [id, orders @ (1 | 3)] = numbers[..] else { continue };
            book.enter_reported(id, orders, verdict);
        }
        let audit = runtime.block_on(async {
            let db = Database::connect(folder.url()).await?;
            let checked: Vec<(String,)> = db.fetch_all("PRAGMA integrity_check", ()).await?;
            book.expect(checked == [("ok".to_owned(),)], || format!("integrity_check: {checked:?}"));
            book.audit(&db).await?;
            db.close().await
        });
        audit.expect("what a killed process leaves can be opened and read");
        book.close();
    }
    println!("sqlite: {kills} kills\n{}", book.report());
    assert!(book.count(Verdict::Once) > kills as usize, "the killed processes did next to nothing");
}

/// A process of its own for the tests above.
#[test]
#[ignore = "not a test: what the other tests run in processes of their own"]
fn child() {
    children::child();
}

fn served(kind: Kind, backend: &str) {
    let _turn = turn();
    if !Server::is_wanted(backend) {
        return;
    }
    let mut site = Site::start(kind);
    let builder = Database::builder(site.url());
    let builder = if kind == Kind::Postgres { builder.option("application_name", "bank") } else { builder };
    run(kind, builder, &mut site);
}

fn run(kind: Kind, builder: DatabaseBuilder, trouble: &mut dyn Trouble) {
    let seed = seed();
    let chaos = Duration::from_secs(soak().unwrap_or(20));
    println!("{kind:?}: seed {seed}, {chaos:?}");
    panics_on_purpose_are_silent();
    let before = Usage::now();
    let runtime = runtime();
    let builder = builder
        .max_connections(CONNECTIONS)
        // So that statements are given up and connections grow old while much is going on.
        .statement_cache_size(8)
        .max_lifetime(Duration::from_secs(6))
        .acquire_timeout(Duration::from_secs(10))
        .connect_timeout(Duration::from_secs(3))
        .close_timeout(Duration::from_secs(2));
    let bank = Arc::new(Bank {
        db: builder.connect_lazy().expect("right options"),
        kind,
        book: Book::default(),
        next: AtomicI64::new(GROUP),
        calm: AtomicBool::new(true),
        closing: AtomicBool::new(false),
    });

    runtime.block_on(kind.found(&bank.db)).expect("an empty database");
    let mut random = Random::new(seed);
    let clients: Vec<_> = (0..TASKS).map(|_| runtime.spawn(bank.clone().client(Random::new(random.next())))).collect();
    std::thread::sleep(CALM / 3);
    let (calm_begins, done_before) = (Instant::now(), bank.book.done());
    std::thread::sleep(CALM - CALM / 3);
    let calm_rate = (bank.book.done() - done_before) as f64 / calm_begins.elapsed().as_secs_f64();

    let (began, done_before) = (Instant::now(), bank.book.done());
    bank.calm.store(false, Relaxed);
    while began.elapsed() < chaos {
        let mut faults = trouble.faults();
        random.shuffle(&mut faults);
        for fault in faults {
            // In a short run all of them have their turn.
            let pause = if chaos < Duration::from_secs(60) { 200..1200 } else { 1000..5000 };
            std::thread::sleep(random.millis(pause));
            if began.elapsed() < chaos {
                bank.book.fault(fault);
                trouble.strike(fault, &mut random);
            }
        }
    }
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let rate = (bank.book.done() - done_before) as f64 / (minutes * 60.0);
    let struck = bank.book.struck() as f64 / minutes;
    bank.closing.store(true, Relaxed);
    runtime.block_on(async {
        for client in clients {
            let joined = tokio::time::timeout(HANG + HANG, client).await;
            joined.expect("no client hangs").expect("no client panics");
        }
    });
    bank.calm.store(true, Relaxed);

    runtime.block_on(bank.clone().clean_transfers(&mut random));
    let sessions = settled(trouble, &bank);
    trouble.leave();
    runtime.block_on(bank.book.audit(&bank.db)).expect("the books can be read");
    let status = bank.db.pool_status();
    println!("{kind:?}: {calm_rate:.0} transfers/s in peace, {rate:.0} with {struck:.0} faults and drops a minute");
    println!("{}{status:?}, {sessions}", bank.book.report());
    runtime.block_on(bank.db.close()).expect("nobody uses the pool");
    let tasks = within(Duration::from_secs(3), || runtime.metrics().num_alive_tasks(), |tasks| *tasks == 0);
    assert_eq!(tasks, 0, "tasks are left");
    bank.book.close();
    drop(bank);
    runtime.shutdown_timeout(Duration::from_secs(1));
    let usage = within(Duration::from_secs(3), Usage::now, |usage| usage.is_within(&before));
    println!("before: {before:?}, after: {usage:?}");
    assert!(usage.is_within(&before), "leaked: {before:?} before, {usage:?} after");
    assert!(struck >= 100.0, "only {struck:.0} faults and drops a minute");
    assert!(rate >= calm_rate / 10.0, "{rate:.0} transfers/s of {calm_rate:.0} in peace");
}

struct Bank {
    db: Database,
    kind: Kind,
    book: Book,
    /// The id of the next transfer.
    next: AtomicI64,
    /// No mishaps.
    calm: AtomicBool,
    closing: AtomicBool,
}

impl Bank {
    async fn client(self: Arc<Self>, mut random: Random) {
        while !self.closing.load(Relaxed) {
            self.transfer(&mut random).await;
            let looked = match random.below(24) {
                0 => look_in(&self.db, "in autocommit", &self.book, usize::MAX).await,
                1 => look_in(&self.db, "in autocommit", &self.book, 1 + random.below(20)).await,
                2..6 => echo(&self.db, &self.book, random.next() as i64 >> 8).await,
                _ => Ok(()),
            };
            if let Err(error) = looked {
                self.book.error("a read", &error);
                // As if a person were to try again.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }

    /// Makes one transfer and notes what came of it.
    async fn transfer(self: &Arc<Self>, random: &mut Random) -> bool {
        let mishap = if self.calm.load(Relaxed) { Mishap::None } else { Mishap::random(random) };
        let transfer = Transfer::random(self.next.fetch_add(GROUP, Relaxed), random, mishap);
        let progress = Arc::new(Progress::default());
        let work = {
            let (bank, transfer, progress) = (self.clone(), transfer.clone(), progress.clone());
            async move { transfer.make(&bank.db, bank.kind, &bank.book, &progress).await }
        };
        if let Ok(outcome) = tokio::time::timeout(HANG, self.with_mishap(&transfer.mishap, work)).await {
            let verdict = match &outcome {
                Some(Ok(())) => Verdict::Once,
                Some(Err(error)) if progress.is_ending() => Verdict::of(error.effect()),
                None if progress.is_ending() => Verdict::Maybe,
                _ => Verdict::Never,
            };
            self.book.enter(&transfer, verdict, outcome.as_ref().and_then(|done| done.as_ref().err()));
            return verdict == Verdict::Once;
        }
        self.book.wrong(format!("{transfer:?} hangs; {:?}", self.db.pool_status()));
        self.book.enter(&transfer, Verdict::Maybe, None);
        false
    }

    /// `None` if the work was dropped.
    async fn with_mishap(
        &self,
        mishap: &Mishap,
        work: impl Future<Output = Result<()>> + Send + 'static,
    ) -> Option<Result<()>> {
        let joined = match mishap {
            Mishap::None | Mishap::Timeout(_) => return Some(work.await),
            Mishap::Drop(after) => {
                let done = tokio::time::timeout(*after, work).await.ok();
                if done.is_none() {
                    self.book.mishap(mishap);
                }
                return done;
            }
            Mishap::Polls(left) => {
                let done = Polls::new(*left, work).await;
                if done.is_none() {
                    self.book.mishap(mishap);
                }
                return done;
            }
            Mishap::Abort(after) => {
                let task = tokio::spawn(work);
                tokio::time::sleep(*after).await;
                task.abort();
                task.await
            }
            Mishap::Panic => tokio::spawn(work).await,
        };
        let lost = match joined {
            Ok(done) => return Some(done),
            Err(lost) => lost,
        };
        self.book.mishap(mishap);
        if !lost.is_cancelled() && !lost.into_panic().is::<OnPurpose>() {
            self.book.wrong("a transfer panicked by itself: see above".into());
        }
        None
    }

    /// With all trouble over, transfers work one after the other.
    async fn clean_transfers(self: Arc<Self>, random: &mut Random) {
        let clients = (0..CONNECTIONS).map(|_| {
            let (bank, mut random) = (self.clone(), Random::new(random.next()));
            tokio::spawn(async move {
                for _ in 0..125 {
                    // Deadlocks and conflicts go on, and are answered by another try.
                    let mut tries = 0;
                    while !bank.transfer(&mut random).await {
                        tries += 1;
                        bank.book.expect(tries < 20, || "a transfer fails although all trouble is over".into());
                    }
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.expect("no client panics");
        }
    }
}

/// Drops a future after so many polls.
struct Polls<F> {
    left: usize,
    work: Pin<Box<F>>,
}

impl<F> Polls<F> {
    fn new(left: usize, work: F) -> Self {
        Self { left, work: Box::pin(work) }
    }
}

impl<F: Future> Future for Polls<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        match self.work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Kind {
    /// Makes the tables. An order is booked by the database itself.
    async fn found(self, db: &Database) -> Result<()> {
        let book =
            "UPDATE accounts SET balance = balance + CASE id WHEN NEW.source THEN -NEW.amount ELSE NEW.amount END
                        WHERE id IN (NEW.source, NEW.target);
                    INSERT INTO ledger (transfer, source, target, amount)
                        VALUES (NEW.transfer, NEW.source, NEW.target, NEW.amount);";
        let entry =
            "(transfer BIGINT NOT NULL, source BIGINT NOT NULL, target BIGINT NOT NULL, amount BIGINT NOT NULL)";
        db.execute("CREATE TABLE accounts (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL)", ()).await?;
        // Nothing here refuses a transfer that is made twice: that is to be seen.
        db.execute(format!("CREATE TABLE ledger {entry}"), ()).await?;
        db.execute(format!("CREATE TABLE orders {entry}"), ()).await?;
        let trigger = "CREATE TRIGGER book_order AFTER INSERT ON orders FOR EACH ROW";
        if self == Self::Postgres {
            let body = format!("BEGIN {book} RETURN NULL; END");
            db.execute(format!("CREATE FUNCTION book_order() RETURNS trigger LANGUAGE plpgsql AS $${body}$$"), ())
                .await?;
            db.execute(format!("{trigger} EXECUTE FUNCTION book_order()"), ()).await?;
        } else {
            db.execute(format!("{trigger} BEGIN {book} END"), ()).await?;
        }
        let accounts = (1..=ACCOUNTS).map(|id| params! { id, balance: BALANCE });
        db.execute_many("INSERT INTO accounts (id, balance) VALUES (:id, :balance)", accounts).await?;
        Ok(())
    }

    /// Leaves something in a session that its next borrower must not find; looks whether somebody else did.
    async fn dirt(self, conn: &Connection, book: &Book) -> Result<()> {
        book.expect(conn.status() == Status::Idle, || format!("an acquired connection is {:?}", conn.status()));
        let (look, soil) = match self {
            Self::Postgres => ("SELECT current_setting('work_mem') = '4MB'", "SET work_mem = '8MB'"),
            Self::MariaDb => ("SELECT @bank IS NULL", "SET @bank = 'soil'"),
            Self::Sqlite => ("SELECT count(*) = 0 FROM temp.sqlite_schema", "CREATE TEMP TABLE soil (n)"),
        };
        let clean: bool = conn.fetch_val(look, ()).await?;
        book.expect(clean, || format!("`{look}` is false on a connection just acquired"));
        conn.execute(soil, ()).await?;
        Ok(())
    }
}

/// Checks that nothing is under way any more, here and at the server.
fn settled(trouble: &mut dyn Trouble, bank: &Bank) -> String {
    // Together, since a connection may grow old at any moment.
    let look = || {
        let before = bank.db.pool_status();
        let sessions = trouble.sessions();
        (before, sessions, bank.db.pool_status())
    };
    let wanted = |(before, sessions, after): &(PoolStatus, Option<(usize, usize)>, PoolStatus)| {
        let quiet = before == after && after.idle == after.size && after.size <= CONNECTIONS && after.waiting == 0;
        quiet && sessions.is_none_or(|found| found == (after.size, 0))
    };
    let (pool, found, _) = within(Duration::from_secs(5), look, |seen| wanted(seen));
    let settled = wanted(&(pool, found, pool));
    bank.book.expect(settled, || {
        format!("nobody uses the pool, and it is {pool:?}, with {found:?} sessions at the server and in a transaction")
    });
    format!("{found:?} sessions at the server and in a transaction")
}

/// A folder for a SQLite file.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let mut random = Random::new(seed() ^ u64::from(std::process::id()));
        let path = std::env::temp_dir().join(format!("databases_bank_{:016x}", random.next()));
        std::fs::create_dir_all(&path).expect("the temporary folder can be written");
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("bank.db")
    }

    fn url(&self) -> String {
        format!("sqlite:///{}", self.file().display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    built.expect("a runtime can be started")
}

/// How long a long run lasts; none in a short one.
fn soak() -> Option<u64> {
    let seconds = std::env::var("DATABASES_SOAK_SECONDS").ok()?;
    Some(seconds.parse().expect("DATABASES_SOAK_SECONDS is a whole number"))
}

fn seed() -> u64 {
    let given = std::env::var("DATABASES_BANK_SEED").ok();
    let given = given.map(|seed| seed.parse().expect("DATABASES_BANK_SEED is a whole number"));
    given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |now| now.subsec_nanos().into())
    })
}

fn panics_on_purpose_are_silent() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.payload().is::<OnPurpose>() {
                hook(panic);
            }
        }));
    });
}
