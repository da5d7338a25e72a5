//! What the crate said about each transfer, and whether the database agrees.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use databases::{Database, Effect, Error, ErrorKind, Executor as _, Result};
use futures_util::TryStreamExt as _;

use crate::transfers::{Mishap, Transfer};

/// The accounts, the first of which are in everybody's hands.
pub(crate) const ACCOUNTS: i64 = 100;
/// What each holds in the beginning.
pub(crate) const BALANCE: i64 = 1_000_000;
/// Room for the orders of one group: the distance between the ids of two transfers.
pub(crate) const GROUP: i64 = 4;

/// How often a transfer must be in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Once,
    Never,
    /// Not at all, or once.
    Maybe,
}

impl Verdict {
    /// What an error says of a transfer whose end was under way.
    pub(crate) fn of(effect: Effect) -> Self {
        match effect {
            Effect::NotSent | Effect::RolledBack => Self::Never,
            Effect::Applied => Self::Once,
            _ => Self::Maybe,
        }
    }
}

struct Entry {
    orders: i64,
    verdict: Verdict,
    form: &'static str,
    how: &'static str,
    error: Option<(ErrorKind, Effect)>,
}

#[derive(Default)]
struct Pages {
    entries: BTreeMap<i64, Entry>,
    errors: BTreeMap<String, u64>,
    mishaps: BTreeMap<&'static str, u64>,
    faults: BTreeMap<&'static str, u64>,
    /// What the last snapshot was like that was not right: each is told of once.
    last_snapshot: Option<(i64, i64)>,
    last_fault: Option<(&'static str, Instant)>,
    wrongs: Vec<String>,
    more_wrongs: u64,
}

/// The book that the bank keeps beside its database.
#[derive(Default)]
pub(crate) struct Book {
    pages: Mutex<Pages>,
    done: AtomicU64,
    snapshots: AtomicU64,
}

impl Book {
    fn open(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what became of a transfer.
    pub(crate) fn enter(&self, transfer: &Transfer, verdict: Verdict, error: Option<&Error>) {
        if verdict == Verdict::Once {
            self.done.fetch_add(1, Relaxed);
        }
        let (form, how) = (transfer.form.name(), transfer.mishap.name());
        let known = error.map(|error| (error.kind(), error.effect()));
        let entry = Entry { orders: transfer.orders, verdict, form, how, error: known };
        self.open().entries.insert(transfer.id, entry);
        if let Some(error) = error {
            self.error(form, error);
        }
    }

    /// Notes a transfer that another process has begun, and notes it again if that said that it was done.
    pub(crate) fn enter_reported(&self, id: i64, orders: i64, verdict: Verdict) {
        let entry = Entry { orders, verdict, form: "another process's", how: "killed", error: None };
        self.open().entries.insert(id, entry);
    }

    /// Notes an error; one that no fault can explain is wrong.
    pub(crate) fn error(&self, form: &str, error: &Error) {
        use ErrorKind::*;
        *self.open().errors.entry(format!("{:?} {:?}", error.kind(), error.effect())).or_default() += 1;
        let explained = matches!(
            error.kind(),
            Disconnected
                | CommitOutcomeUnknown
                | Deadlock
                | SerializationFailure
                | LockTimeout
                | StatementTimeout
                | Cancelled
                | Connect
                | ConnectTimeout
                | PoolTimeout
                | TransactionEnded
                | TransactionFailed
        );
        if !explained {
            self.wrong(format!("{form}: no fault explains {error:?}"));
        }
    }

    pub(crate) fn mishap(&self, mishap: &Mishap) {
        *self.open().mishaps.entry(mishap.name()).or_default() += 1;
    }

    /// Notes that a fault begins.
    pub(crate) fn fault(&self, name: &'static str) {
        let mut pages = self.open();
        *pages.faults.entry(name).or_default() += 1;
        pages.last_fault = Some((name, Instant::now()));
    }

    /// Notes what must not be.
    pub(crate) fn wrong(&self, mut what: String) {
        let mut pages = self.open();
        if let Some((fault, when)) = pages.last_fault {
            let _ = write!(what, " ({:?} after the begin of: {fault})", when.elapsed());
        }
        if pages.wrongs.len() < 20 {
            eprintln!("WRONG: {what}");
            pages.wrongs.push(what);
        } else {
            pages.more_wrongs += 1;
        }
    }

    pub(crate) fn expect(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong(what());
        }
    }

    /// Compares the balances of one moment with what there must be.
    pub(crate) fn snapshot(&self, place: &str, balances: &[i64]) {
        self.snapshots.fetch_add(1, Relaxed);
        let (count, sum) = (balances.len() as i64, balances.iter().sum::<i64>());
        let right = (count, sum) == (ACCOUNTS, ACCOUNTS * BALANCE);
        if !right && self.open().last_snapshot.replace((count, sum)) != Some((count, sum)) {
            self.wrong(format!("a snapshot {place} has {count} accounts with {sum} in all"));
        }
    }

    /// How many transfers are known to be done.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Relaxed)
    }

    /// Faults and drops so far.
    pub(crate) fn struck(&self) -> u64 {
        let pages = self.open();
        pages.faults.values().sum::<u64>() + pages.mishaps.values().sum::<u64>()
    }

    /// Compares the ledger and the balances with the book, in a database that nobody uses any more.
    pub(crate) async fn audit(&self, db: &Database) -> Result<()> {
        let mut found: BTreeMap<i64, u64> = BTreeMap::new();
        let mut balances: BTreeMap<i64, i64> = (1..=ACCOUNTS).map(|id| (id, BALANCE)).collect();
        let mut ledger = db.iterate::<(i64, i64, i64, i64)>("SELECT transfer, source, target, amount FROM ledger", ());
        while let Some((transfer, source, target, amount)) = ledger.try_next().await? {
            *found.entry(transfer).or_default() += 1;
            *balances.entry(source).or_default() -= amount;
            *balances.entry(target).or_default() += amount;
        }
        drop(ledger);
        let now: Vec<(i64, i64)> = db.fetch_all("SELECT id, balance FROM accounts ORDER BY id", ()).await?;
        self.snapshot("at the end", &now.iter().map(|(_, balance)| *balance).collect::<Vec<_>>());
        for (id, balance) in now {
            let booked = balances[&id];
            self.expect(balance == booked, || format!("account {id} holds {balance}; by the ledger it is {booked}"));
        }
        let entries = std::mem::take(&mut self.open().entries);
        for (id, entry) in &entries {
            let Entry { verdict, form, how, error, .. } = entry;
            let counts: Vec<u64> = (*id..id + entry.orders).map(|id| found.remove(&id).unwrap_or(0)).collect();
            let right = match verdict {
                Verdict::Once => counts.iter().all(|count| *count == 1),
                Verdict::Never => counts.iter().all(|count| *count == 0),
                Verdict::Maybe => counts[0] <= 1 && counts.iter().all(|count| *count == counts[0]),
            };
            self.expect(right, || {
                format!("transfer {id} ({form}, {how}, {error:?}) is in the ledger {counts:?} times; by the book {verdict:?}")
            });
        }
        self.expect(found.is_empty(), || format!("{} transfers in the ledger that nobody made", found.len()));
        self.open().entries = entries;
        Ok(())
    }

    /// How many transfers have come out so.
    pub(crate) fn count(&self, verdict: Verdict) -> usize {
        self.open().entries.values().filter(|entry| entry.verdict == verdict).count()
    }

    /// All in words.
    pub(crate) fn report(&self) -> String {
        let [done, not, unknown] = [Verdict::Once, Verdict::Never, Verdict::Maybe].map(|verdict| self.count(verdict));
        let snapshots = self.snapshots.load(Relaxed);
        let mut text = format!("transfers: {done} done, {not} not done, {unknown} unknown; {snapshots} snapshots\n");
        let pages = self.open();
        let mut forms: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
        for entry in pages.entries.values() {
            forms.entry(entry.form).or_default()[entry.verdict as usize] += 1;
        }
        let _ = writeln!(text, "done, not done and unknown by form: {forms:?}");
        let _ = writeln!(text, "faults: {:?}\nmishaps: {:?}\nerrors: {:?}", pages.faults, pages.mishaps, pages.errors);
        text
    }

    /// Fails if anything was wrong.
    pub(crate) fn close(&self) {
        let pages = self.open();
        let wrongs = &pages.wrongs;
        assert!(wrongs.is_empty(), "{} wrong:\n{}", wrongs.len() as u64 + pages.more_wrongs, wrongs.join("\n"));
    }
}
