//! Every value that is bound comes back through SQLite itself, as the type that it was.

use std::sync::Arc;

use databases_core::types::{Date, DateTime, Decimal, Interval, JsonText, Time, Uuid};
use databases_core::{Column, Columns, Error, FromValue, IntoValue, Result, RowBatch};
use proptest::prelude::*;
use rusqlite::Connection;

use crate::batch::Batch;
use crate::options::Decimals;
use crate::types::to_sqlite;

const CASES: u32 = 100_000;

/// Binds a value, steps, and reads the cell.
struct Echo {
    connection: Connection,
    columns: Arc<Columns>,
    decimals: Decimals,
}

impl Echo {
    fn new(decimals: Decimals) -> Self {
        let connection = Connection::open_in_memory().expect("a database in memory");
        let columns = Arc::new(Columns::new(vec![Column::new("v", "")]));
        Self { connection, columns, decimals }
    }

    fn echo<T: IntoValue + FromValue>(&self, value: T) -> Result<T> {
        let value = value.into_value();
        let bound = to_sqlite(&value, self.decimals, 1)?;
        let fault = |fault: rusqlite::Error| Error::new(databases_core::ErrorKind::Internal, fault.to_string());
        let mut statement = self.connection.prepare_cached("SELECT ?1").map_err(fault)?;
        let mut rows = statement.query([bound]).map_err(fault)?;
        let row = rows.next().map_err(fault)?.expect("one row");
        let mut batch = Batch::new(self.columns.clone());
        batch.push(row)?;
        batch.cell(0, 0).and_then(T::from_value)
    }

    fn gives_back<T: IntoValue + FromValue + Clone + PartialEq>(&self, value: &T) -> bool {
        self.echo(value.clone()).is_ok_and(|back| back == *value)
    }
}

/// Runs `property` on many values of `strategy` and one connection.
fn check<S: Strategy>(decimals: Decimals, strategy: S, property: impl Fn(&Echo, S::Value) -> bool) {
    let echo = Echo::new(decimals);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) };
    let outcome = proptest::test_runner::TestRunner::new(config).run(&strategy, |value| {
        prop_assert!(property(&echo, value));
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

fn days() -> impl Strategy<Value = Date> {
    let [first, last] = [(1, 1, 1), (9999, 12, 31)].map(|(y, m, d)| Date::from_ymd(y, m, d).unwrap().days().unwrap());
    (first..=last).prop_map(|days| Date::from_days(days).unwrap())
}

fn times() -> impl Strategy<Value = Time> {
    (0..=86_399_999_999_i64).prop_map(|micros| Time::from_micros(micros).unwrap())
}

#[test]
fn integers_and_bools_come_back() {
    check(Decimals::Number, any::<(i64, u64, bool)>(), |db, (int, uint, truth)| {
        // What is beyond SQLite's integers is refused.
        let unsigned = if uint > i64::MAX as u64 { db.echo(uint).is_err() } else { db.gives_back(&uint) };
        unsigned && db.gives_back(&int) && db.gives_back(&truth)
    });
}

#[test]
fn floats_come_back_and_nan_is_refused() {
    check(Decimals::Number, any::<(u64, f32)>(), |db, (bits, single)| {
        let double = f64::from_bits(bits);
        let doubles = if double.is_nan() { db.echo(double).is_err() } else { db.gives_back(&double) };
        doubles && (single.is_nan() || db.gives_back(&single))
    });
}

#[test]
fn decimals_of_15_digits_come_back_as_numbers_and_longer_ones_are_exact_or_refused() {
    let digits = (-999_999_999_999_999_i64..=999_999_999_999_999, any::<i64>(), 0..=18_usize);
    check(Decimals::Number, digits, |db, (short, long, scale)| {
        let scaled = |digits: i64| -> Decimal { format!("{digits}e-{scale}").parse().unwrap() };
        db.gives_back(&scaled(short)) && db.echo(scaled(long)).map_or(true, |back| back == scaled(long))
    });
}

#[test]
fn decimals_of_any_length_come_back_as_text() {
    check(Decimals::Text, (any::<i128>(), any::<u64>(), 0..=40_usize), |db, (whole, fraction, scale)| {
        let decimal: Decimal = format!("{whole}.{fraction:0scale$}").parse().unwrap();
        db.echo(decimal.clone()).is_ok_and(|back| back.as_str() == decimal.as_str())
    });
}

#[test]
fn dates_times_and_instants_come_back() {
    check(Decimals::Number, (days(), times()), |db, (date, time)| {
        let both = DateTime::new(date, time).unwrap();
        db.gives_back(&date) && db.gives_back(&time) && db.gives_back(&both) && db.gives_back(&both.assume_utc())
    });
}

#[test]
fn dates_outside_of_the_years_are_refused() {
    check(Decimals::Number, -2_440_588_i32..=4_000_000, |db, days| {
        let date = Date::from_days(days).unwrap();
        let inside = date.ymd().is_some_and(|(year, ..)| (1..=9999).contains(&year));
        db.echo(date).is_ok() == inside
    });
}

#[test]
fn intervals_come_back() {
    check(Decimals::Number, any::<(i32, i32, i64)>(), |db, (months, days, micros)| {
        let interval = Interval::new(months, days, micros);
        !interval.is_finite() || db.gives_back(&interval)
    });
}

#[test]
fn texts_bytes_and_uuids_come_back() {
    check(Decimals::Number, (any::<u128>(), 0..=16_usize), |db, (random, len)| {
        let uuid = random.to_be_bytes();
        let bytes = uuid[..len].to_vec();
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        db.gives_back(&Uuid::from_bytes(uuid))
            && db.gives_back(&bytes)
            && db.gives_back(&JsonText::new(text.clone()))
            && db.gives_back(&text)
    });
}
