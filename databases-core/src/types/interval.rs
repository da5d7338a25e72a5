//! A span of time as PostgreSQL keeps it. It never folds months into days or days into hours.

use std::{fmt, str::FromStr};

use super::{
    ParseTypeError,
    calendar::MICROS_PER_SECOND,
    cursor::{Cursor, Fraction},
    date::{parse_infinity, write_infinity},
};

const EXPECTED: ParseTypeError =
    ParseTypeError::new("an ISO 8601 duration like P1Y2M3DT4H5M6.5S, 1 year 2 mons 3 days 04:05:06.5 or infinity");

/// A span of months, days and microseconds, each with its own sign.
///
/// Equality compares the fields: 30 days are not a month and 24 hours are not a day, though PostgreSQL's `=` says so.
/// For the same reason there is no order. MySQL's `TIME`, up to 838:59:59 and negative, is one with microseconds only.
///
/// # Text
///
/// `Display` writes an ISO 8601 duration, with signs per part as PostgreSQL does: `P1Y2M3DT4H5M6.5S`, `P-1M1DT-0.5S`,
/// `PT0S`. `FromStr` reads that, weeks (`P2W`) and a sign before the `P`, which turns all parts around. It also reads
/// what servers put into a text column: `1 year 2 mons -3 days +04:05:06.5` of PostgreSQL and `-838:59:59.000000` of
/// MySQL. Only seconds may have a fraction; digits finer than a microsecond are cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interval {
    /// Calendar months; a year is 12 of them.
    pub months: i32,
    /// Calendar days; a week is 7 of them.
    pub days: i32,
    /// Microseconds; an hour is 3,600,000,000 of them.
    pub micros: i64,
}

impl Interval {
    /// PostgreSQL's `infinity` (from version 17 on): all fields at their greatest.
    pub const INFINITY: Self = Self { months: i32::MAX, days: i32::MAX, micros: i64::MAX };
    /// PostgreSQL's `-infinity` (from version 17 on): all fields at their least.
    pub const NEG_INFINITY: Self = Self { months: i32::MIN, days: i32::MIN, micros: i64::MIN };

    /// Makes an interval of its fields.
    #[must_use]
    pub const fn new(months: i32, days: i32, micros: i64) -> Self {
        Self { months, days, micros }
    }

    /// Tells whether this is a span of time and not an infinity.
    #[must_use]
    pub fn is_finite(self) -> bool {
        self != Self::INFINITY && self != Self::NEG_INFINITY
    }

    fn parse_iso(text: &str) -> Option<Self> {
        let mut text = Cursor::new(text);
        let negative = text.sign().unwrap_or(false);
        if !text.eat("P") {
            return None;
        }
        // No sum overflows: there are few parts, and each is a u64 times a small number.
        let (mut months, mut days, mut micros) = (0_i128, 0_i128, 0_i128);
        let mut units: &[u8] = b"YMWD";
        let (mut in_time, mut parts_here) = (false, 0);
        while !text.is_empty() {
            if !in_time && text.eat("T") {
                (in_time, units, parts_here) = (true, b"HMS", 0);
                continue;
            }
            let part = Part::parse(&mut text, negative)?;
            // Each unit at most once and in this order.
            units = &units[units.iter().position(|&unit| unit == part.unit)? + 1..];
            parts_here += 1;
            match (in_time, part.unit) {
                (false, b'Y') => months += part.whole()? * 12,
                (false, b'M') => months += part.whole()?,
                (false, b'W') => days += part.whole()? * 7,
                (false, _) => days += part.whole()?,
                (true, b'H') => micros += part.whole()? * 3600 * i128::from(MICROS_PER_SECOND),
                (true, b'M') => micros += part.whole()? * 60 * i128::from(MICROS_PER_SECOND),
                (true, _) => micros += part.micros(),
            }
        }
        if parts_here == 0 {
            return None;
        }
        Self::of_sums(months, days, micros)
    }

    /// `1 year 2 mons -3 days +04:05:06.5`, in which any part may be missing.
    fn parse_written(text: &str) -> Option<Self> {
        let mut text = Cursor::new(text);
        let (mut months, mut days) = (0_i128, 0_i128);
        let mut units: &[(&str, i128)] = &[("year", 12), ("mon", 1), ("day", 1)];
        let mut behind_minus = false;
        loop {
            let sign = text.sign();
            // Whether that minus counts for this part too is a matter of the session's IntervalStyle.
            if behind_minus && sign.is_none() {
                return None;
            }
            behind_minus = sign == Some(true);
            let factor = if behind_minus { -1 } else { 1 };
            let number = i128::from(text.number()?);
            if text.eat(":") {
                return Self::of_sums(months, days, factor * clock_micros(number, &mut text)?);
            }
            if !text.eat(" ") {
                return None;
            }
            let index = units.iter().position(|(unit, _)| text.eat(unit))?;
            let sum = if units[index].0 == "day" { &mut days } else { &mut months };
            *sum += factor * number * units[index].1;
            units = &units[index + 1..];
            text.eat("s");
            if text.is_empty() {
                return Self::of_sums(months, days, 0);
            }
            if !text.eat(" ") {
                return None;
            }
        }
    }

    fn of_sums(months: i128, days: i128, micros: i128) -> Option<Self> {
        Some(Self { months: months.try_into().ok()?, days: days.try_into().ok()?, micros: micros.try_into().ok()? })
    }
}

/// The microseconds of `hours` and of the `MM:SS[.ffffff]` that are left.
fn clock_micros(hours: i128, text: &mut Cursor<'_>) -> Option<i128> {
    let minutes = text.two_digits().filter(|minutes| *minutes < 60)?;
    let seconds = if text.eat(":") { text.two_digits().filter(|seconds| *seconds < 60)? } else { return None };
    let fraction = if text.eat(".") { text.fraction_micros()? } else { 0 };
    let whole = (hours * 60 + i128::from(minutes)) * 60 + i128::from(seconds);
    text.is_empty().then(|| whole * i128::from(MICROS_PER_SECOND) + i128::from(fraction))
}

/// A number and its unit.
struct Part {
    negative: bool,
    number: u64,
    fraction: Option<u32>,
    unit: u8,
}

impl Part {
    fn parse(text: &mut Cursor<'_>, turned: bool) -> Option<Self> {
        let negative = text.sign().unwrap_or(false) != turned;
        let number = text.number()?;
        let fraction = if text.eat(".") { Some(text.fraction_micros()?) } else { None };
        Some(Self { negative, number, fraction, unit: text.next()?.to_ascii_uppercase() })
    }

    fn signed(&self, magnitude: i128) -> i128 {
        if self.negative { -magnitude } else { magnitude }
    }

    /// The number, if it has no fraction.
    fn whole(&self) -> Option<i128> {
        self.fraction.is_none().then(|| self.signed(i128::from(self.number)))
    }

    /// The number as seconds.
    fn micros(&self) -> i128 {
        let fraction = i128::from(self.fraction.unwrap_or(0));
        self.signed(i128::from(self.number) * i128::from(MICROS_PER_SECOND) + fraction)
    }
}

impl FromStr for Interval {
    type Err = ParseTypeError;

    fn from_str(text: &str) -> Result<Self, ParseTypeError> {
        match parse_infinity(text) {
            Some(true) => Ok(Self::NEG_INFINITY),
            Some(false) => Ok(Self::INFINITY),
            None => Self::parse_iso(text).or_else(|| Self::parse_written(text)).ok_or(EXPECTED),
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_finite() {
            return write_infinity(f, *self == Self::NEG_INFINITY);
        }
        if *self == Self::default() {
            return f.write_str("PT0S");
        }
        f.write_str("P")?;
        for (count, unit) in [(self.months / 12, 'Y'), (self.months % 12, 'M'), (self.days, 'D')] {
            if count != 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        if self.micros == 0 {
            return Ok(());
        }
        f.write_str("T")?;
        let sign = if self.micros < 0 { "-" } else { "" };
        let micros = self.micros.unsigned_abs();
        let (seconds, fraction) = (micros / 1_000_000, (micros % 1_000_000) as u32);
        for (count, unit) in [(seconds / 3600, 'H'), (seconds / 60 % 60, 'M')] {
            if count != 0 {
                write!(f, "{sign}{count}{unit}")?;
            }
        }
        if seconds % 60 != 0 || fraction != 0 {
            write!(f, "{sign}{}{}S", seconds % 60, Fraction(fraction))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_read_and_written_in_one_form() {
        for (text, shown, interval) in [
            ("P1Y2M3DT4H5M6.5S", "P1Y2M3DT4H5M6.5S", Interval::new(14, 3, 14_706_500_000)),
            ("PT0S", "PT0S", Interval::default()),
            ("P0D", "PT0S", Interval::default()),
            ("P14M", "P1Y2M", Interval::new(14, 0, 0)),
            ("P-1M1DT-0.5S", "P-1M1DT-0.5S", Interval::new(-1, 1, -500_000)),
            ("-P1M-1DT0.5S", "P-1M1DT-0.5S", Interval::new(-1, 1, -500_000)),
            ("+P+1D", "P1D", Interval::new(0, 1, 0)),
            ("p2wt1h", "P14DT1H", Interval::new(0, 14, 3_600_000_000)),
            ("P1W1D", "P8D", Interval::new(0, 8, 0)),
            ("PT24H", "PT24H", Interval::new(0, 0, 86_400_000_000)),
            ("PT-838H-59M-59S", "PT-838H-59M-59S", Interval::new(0, 0, -3_020_399_000_000)),
            ("PT0.0000019S", "PT0.000001S", Interval::new(0, 0, 1)),
            ("P-178956970Y-8M", "P-178956970Y-8M", Interval::new(i32::MIN, 0, 0)),
            ("P-2147483648D", "P-2147483648D", Interval::new(0, i32::MIN, 0)),
            ("PT-9223372036854.775808S", "PT-2562047788H-54.775808S", Interval::new(0, 0, i64::MIN)),
            // As PostgreSQL writes them into a text column, and MySQL a TIME.
            ("1 year 2 mons -3 days +04:05:06.5", "P1Y2M-3DT4H5M6.5S", Interval::new(14, -3, 14_706_500_000)),
            ("-1 years -2 mons +3 days -04:05:06", "P-1Y-2M3DT-4H-5M-6S", Interval::new(-14, 3, -14_706_000_000)),
            ("-1 mons +1 day 02:00:00", "P-1M1DT2H", Interval::new(-1, 1, 7_200_000_000)),
            ("1 day", "P1D", Interval::new(0, 1, 0)),
            ("00:00:00", "PT0S", Interval::default()),
            ("-00:00:00.000001", "PT-0.000001S", Interval::new(0, 0, -1)),
            ("838:59:59.000000", "PT838H59M59S", Interval::new(0, 0, 3_020_399_000_000)),
            ("-2562047788:00:54.775808", "PT-2562047788H-54.775808S", Interval::new(0, 0, i64::MIN)),
            ("infinity", "infinity", Interval::INFINITY),
            ("-infinity", "-infinity", Interval::NEG_INFINITY),
        ] {
            assert_eq!(text.parse(), Ok(interval), "{text}");
            assert_eq!(interval.to_string(), shown);
            assert_eq!(shown.parse(), Ok(interval));
        }
    }

    #[test]
    fn months_days_and_hours_stay_apart() {
        assert_ne!(Interval::new(1, 0, 0), Interval::new(0, 30, 0));
        assert_ne!(Interval::new(0, 1, 0), Interval::new(0, 0, 86_400_000_000));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "P",
            "PT",
            "P1DT",
            "1D",
            "P1",
            "PD",
            "P1M1Y",
            "P1D1D",
            "P1H",
            "PT1D",
            "PTT1S",
            "PT1ST1S",
            "P1.5D",
            "P1.0Y",
            "PT1.5H",
            "PT1.S",
            "PT.5S",
            "PT1,5S",
            "P--1D",
            "--P1D",
            "P1D ",
            "P178956971Y",
            "P2147483648D",
            "P99999999999999999999D",
            "PT9223372036854.775808S",
            "PT18446744073709551615H",
            "-1 day 02:00:00",
            "-1 years 2 mons",
            "1 day 2 hours",
            "1 day 1 year",
            "1 day 1 day",
            "1 day ",
            "1  day",
            "1day",
            "1 dayss",
            "1.5 days",
            "1 month",
            "1 week",
            "1 days ago",
            "04:05",
            "04:05:60",
            "04:60:00",
            "04:05:06 1 day",
            "04:5:06",
            "--04:05:06",
            "04:-05:06",
            "2562047788:00:54.775808",
            "178956971 years",
        ] {
            assert_eq!(text.parse::<Interval>(), Err(EXPECTED), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trip(months: i32, days: i32, micros: i64) {
            for interval in [
                Interval { months, days, micros },
                Interval::new(months % 30, days % 10, micros % 100_000_000_000),
                Interval::new(0, 0, micros),
            ] {
                prop_assert_eq!(interval.to_string().parse(), Ok(interval));
            }
        }

        #[test]
        fn no_text_panics(
            text in "\\PC*",
            near in "[-+]?P[-+0-9.YMWDTHS]{0,30}",
            clock in "([-+]?[0-9]{0,20}( (year|mon|day)s? ?|[:.]))*[0-9.]{0,9}",
        ) {
            let _ = (text.parse::<Interval>(), near.parse::<Interval>(), clock.parse::<Interval>());
        }
    }
}
