//! A date and a time of day without a zone. It never becomes an instant by itself: that takes `assume_utc`.

use std::{fmt, str::FromStr};

use super::{
    Date, ParseTypeError, Time, Timestamp,
    calendar::{DAYS_TO_2000, MICROS_PER_DAY, MICROS_PER_SECOND},
    cursor::Cursor,
    date::{DateFields, parse_infinity, write_date, write_era, write_infinity},
};

const EXPECTED: ParseTypeError = ParseTypeError::new(
    "a date and time without an offset like 2024-12-31 23:59:59.999999, 0044-03-15 10:00:00 BC or infinity",
);

/// Seconds from 1970-01-01 to 2000-01-01.
const SECONDS_TO_2000: i64 = DAYS_TO_2000 * 86_400;

/// A date and time of day without a zone (`timestamp`, `DATETIME`), or one of the two infinities of PostgreSQL.
///
/// In microseconds, from 4714-11-24 00:00:00 BC to 294276-12-31 23:59:59.999999: PostgreSQL's whole range. Its last 29
/// years do not fit 64 bits of microseconds since 1970, so it counts from 2000 as PostgreSQL does.
///
/// # Text
///
/// `Display` writes what PostgreSQL reads and writes: `2024-01-02 03:04:05.5`, `0044-03-15 10:00:00 BC`, `infinity`.
/// `{:#}` writes ISO 8601: `2024-01-02T03:04:05.5`, `-0043-03-15T10:00:00`. `FromStr` reads both, with or without
/// seconds; 24:00 is the start of the next day; digits finer than a microsecond are cut off. A text with an offset is
/// an error, since it is an instant: parse it as [`Timestamp`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateTime {
    /// Microseconds from 2000-01-01T00:00:00; the extremes of `i64` are the infinities.
    micros: i64,
}

impl DateTime {
    /// Later than every date and time.
    pub const INFINITY: Self = Self { micros: i64::MAX };
    /// Earlier than every date and time.
    pub const NEG_INFINITY: Self = Self { micros: i64::MIN };
    /// The first finite value, 4714-11-24 00:00:00 BC.
    pub const MIN: Self = Self { micros: -211_813_488_000_000_000 };
    /// The last finite value, 294276-12-31 23:59:59.999999.
    pub const MAX: Self = Self { micros: 9_223_371_331_199_999_999 };

    /// Joins a date and a time of day; `None` for an infinite date or one past the range.
    ///
    /// 24:00 is the next day's start.
    #[must_use]
    pub fn new(date: Date, time: Time) -> Option<Self> {
        let days = i64::from(date.days()?) - DAYS_TO_2000;
        Self::finite(days.checked_mul(MICROS_PER_DAY)?.checked_add(time.micros())?)
    }

    const fn finite(micros: i64) -> Option<Self> {
        if micros < Self::MIN.micros || micros > Self::MAX.micros {
            return None;
        }
        Some(Self { micros })
    }

    /// Makes a value from microseconds since 2000-01-01T00:00:00; `i64::MAX` and `i64::MIN` are the infinities.
    ///
    /// This is PostgreSQL's binary form. `None` for what is in neither range.
    #[must_use]
    pub const fn from_micros_since_2000(micros: i64) -> Option<Self> {
        match micros {
            i64::MAX => Some(Self::INFINITY),
            i64::MIN => Some(Self::NEG_INFINITY),
            _ => Self::finite(micros),
        }
    }

    /// Returns the microseconds since 2000-01-01T00:00:00; `i64::MAX` and `i64::MIN` for the infinities.
    #[must_use]
    pub const fn micros_since_2000(self) -> i64 {
        self.micros
    }

    /// Makes a value from microseconds since 1970-01-01T00:00:00; `None` before [`DateTime::MIN`].
    #[must_use]
    pub const fn from_unix_micros(micros: i64) -> Option<Self> {
        match micros.checked_sub(SECONDS_TO_2000 * MICROS_PER_SECOND) {
            Some(micros) => Self::finite(micros),
            None => None,
        }
    }

    /// Returns the microseconds since 1970-01-01T00:00:00.
    ///
    /// `None` for an infinity, and for the years from 294247 on, whose count does not fit: [`DateTime::unix_seconds`]
    /// has them.
    #[must_use]
    pub const fn unix_micros(self) -> Option<i64> {
        if !self.is_finite() {
            return None;
        }
        self.micros.checked_add(SECONDS_TO_2000 * MICROS_PER_SECOND)
    }

    /// Makes a value from whole seconds since 1970-01-01T00:00:00 and the microseconds after them, below 1,000,000.
    #[must_use]
    pub const fn from_unix_seconds(seconds: i64, micros: u32) -> Option<Self> {
        if micros > 999_999 {
            return None;
        }
        let Some(seconds) = seconds.checked_sub(SECONDS_TO_2000) else {
            return None;
        };
        let Some(whole) = seconds.checked_mul(MICROS_PER_SECOND) else {
            return None;
        };
        match whole.checked_add(micros as i64) {
            Some(micros) => Self::finite(micros),
            None => None,
        }
    }

    /// Returns whole seconds since 1970-01-01T00:00:00 and the microseconds after them; `None` only for an infinity.
    #[must_use]
    pub const fn unix_seconds(self) -> Option<(i64, u32)> {
        if !self.is_finite() {
            return None;
        }
        let seconds = self.micros.div_euclid(MICROS_PER_SECOND) + SECONDS_TO_2000;
        #[expect(clippy::cast_possible_truncation, reason = "microseconds below a second")]
        let micros = self.micros.rem_euclid(MICROS_PER_SECOND) as u32;
        Some((seconds, micros))
    }

    /// Returns the date; an infinity's is [`Date::INFINITY`] or [`Date::NEG_INFINITY`].
    #[must_use]
    pub fn date(self) -> Date {
        let days = self.micros.div_euclid(MICROS_PER_DAY) + DAYS_TO_2000;
        let day = i32::try_from(days).ok().and_then(Date::from_days);
        match self {
            Self::INFINITY => Date::INFINITY,
            Self::NEG_INFINITY => Date::NEG_INFINITY,
            _ => day.expect("the range of finite values lies within the range of dates"),
        }
    }

    /// Returns the time of day; `None` for an infinity.
    #[must_use]
    pub const fn time(self) -> Option<Time> {
        if !self.is_finite() {
            return None;
        }
        Time::from_micros(self.micros.rem_euclid(MICROS_PER_DAY))
    }

    /// Tells whether this is a date and time and not an infinity.
    #[must_use]
    pub const fn is_finite(self) -> bool {
        self.micros != i64::MIN && self.micros != i64::MAX
    }

    /// Returns the instant at which clocks set to UTC show this; infinities stay infinities.
    #[must_use]
    pub const fn assume_utc(self) -> Timestamp {
        Timestamp::from_utc(self)
    }

    /// Reads a text up to its end, with an offset from UTC if `zoned` says so, and returns the value in UTC.
    pub(super) fn parse(text: &str, zoned: bool) -> Option<Self> {
        if let Some(negative) = parse_infinity(text) {
            return Some(if negative { Self::NEG_INFINITY } else { Self::INFINITY });
        }
        let mut text = Cursor::new(text);
        let date = DateFields::parse(&mut text)?;
        if !text.eat(" ") && !text.eat("T") {
            return None;
        }
        let time = Time::parse(&mut text)?;
        let offset_seconds = if zoned { parse_offset(&mut text)? } else { 0 };
        let days = i64::from(date.finish(&mut text)?.days()?) - DAYS_TO_2000;
        // Only the instant must be in range: the first instants have texts whose local date is a day early, or late.
        let local = days.checked_mul(MICROS_PER_DAY)?.checked_add(time.micros())?;
        Self::finite(local.checked_sub(offset_seconds * MICROS_PER_SECOND)?)
    }

    /// Writes this with `offset` after the time of day.
    pub(super) fn write(self, f: &mut fmt::Formatter<'_>, offset: &str) -> fmt::Result {
        match (self.date().ymd(), self.time()) {
            (Some(ymd), Some(time)) => {
                write_date(f, ymd)?;
                f.write_str(if f.alternate() { "T" } else { " " })?;
                write!(f, "{time}{offset}")?;
                write_era(f, ymd)
            }
            _ => write_infinity(f, self == Self::NEG_INFINITY),
        }
    }
}

/// Takes `Z`, `+HH`, `+HHMM`, `+HH:MM` or `+HH:MM:SS`, with a space before it or not, in seconds; 0 if there is none.
fn parse_offset(text: &mut Cursor<'_>) -> Option<i64> {
    let mut ahead = *text;
    ahead.eat(" ");
    if ahead.eat("Z") {
        *text = ahead;
        return Some(0);
    }
    let Some(negative) = ahead.sign() else {
        return Some(0);
    };
    let hour = ahead.two_digits()?;
    let (mut minute, mut second) = (0, 0);
    if ahead.eat(":") {
        minute = ahead.two_digits()?;
        if ahead.eat(":") {
            second = ahead.two_digits()?;
        }
    } else if let Some(short) = ahead.two_digits() {
        minute = short;
    }
    *text = ahead;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    Some(if negative { -seconds } else { seconds })
}

impl FromStr for DateTime {
    type Err = ParseTypeError;

    fn from_str(text: &str) -> Result<Self, ParseTypeError> {
        Self::parse(text, false).ok_or(EXPECTED)
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "")
    }
}

impl fmt::Debug for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DateTime({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_read_and_written_in_one_form() {
        for (text, shown, iso) in [
            ("2024-01-02 03:04", "2024-01-02 03:04:00", "2024-01-02T03:04:00"),
            ("2024-01-02T03:04:05.5", "2024-01-02 03:04:05.5", "2024-01-02T03:04:05.5"),
            ("2024-01-02t03:04:05.500", "2024-01-02 03:04:05.5", "2024-01-02T03:04:05.5"),
            ("1969-12-31 23:59:59.9999999", "1969-12-31 23:59:59.999999", "1969-12-31T23:59:59.999999"),
            ("2024-02-28 24:00", "2024-02-29 00:00:00", "2024-02-29T00:00:00"),
            ("0044-03-15 10:00 BC", "0044-03-15 10:00:00 BC", "-0043-03-15T10:00:00"),
            ("-0043-03-15 10:00", "0044-03-15 10:00:00 BC", "-0043-03-15T10:00:00"),
            ("12345-01-01 00:00", "12345-01-01 00:00:00", "+12345-01-01T00:00:00"),
            ("infinity", "infinity", "infinity"),
            ("-Infinity", "-infinity", "-infinity"),
        ] {
            let value: DateTime = text.parse().expect(text);
            assert_eq!(value.to_string(), shown);
            assert_eq!(format!("{value:#}"), iso);
            assert_eq!((shown.parse(), iso.parse()), (Ok(value), Ok(value)));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "2024-01-02",
            "2024-01-02 ",
            "2024-01-02  03:04",
            "2024-01-02 03:04:60",
            "2024-02-30 03:04",
            "0000-00-00 00:00:00",
            "2024-01-02 03:04Z",
            "2024-01-02 03:04+00:00",
            "2024-01-02 03:04 ",
            "4714-11-23 23:59:59 BC",
            "294277-01-01 00:00:00",
            "294276-12-31 24:00:00",
            "5874897-12-31 00:00:00",
        ] {
            assert_eq!(text.parse::<DateTime>(), Err(EXPECTED), "{text:?}");
        }
    }

    #[test]
    fn both_ends_of_the_range_are_postgres_ends() {
        for (value, text) in
            [(DateTime::MIN, "4714-11-24 00:00:00 BC"), (DateTime::MAX, "294276-12-31 23:59:59.999999")]
        {
            assert_eq!(value.to_string(), text);
            assert_eq!(text.parse(), Ok(value));
            assert_eq!(DateTime::from_micros_since_2000(value.micros_since_2000()), Some(value));
            let (seconds, micros) = value.unix_seconds().unwrap();
            assert_eq!(DateTime::from_unix_seconds(seconds, micros), Some(value));
        }
        assert_eq!(DateTime::from_micros_since_2000(DateTime::MIN.micros - 1), None);
        assert_eq!(DateTime::from_micros_since_2000(DateTime::MAX.micros + 1), None);
        assert_eq!(DateTime::MAX.unix_micros(), None);
        assert_eq!(DateTime::from_unix_micros(i64::MIN), None);
        let last = DateTime::from_unix_micros(i64::MAX).unwrap();
        assert_eq!(last.to_string(), "294247-01-10 04:00:54.775807");
        assert_eq!(last.unix_micros(), Some(i64::MAX));
        for (seconds, micros) in [(0, 1_000_000), (i64::MIN, 0), (i64::MAX, 0)] {
            assert_eq!(DateTime::from_unix_seconds(seconds, micros), None);
        }
    }

    #[test]
    fn infinities_are_at_both_ends_and_have_no_count() {
        assert!(DateTime::NEG_INFINITY < DateTime::MIN && DateTime::MAX < DateTime::INFINITY);
        for (value, date) in [(DateTime::INFINITY, Date::INFINITY), (DateTime::NEG_INFINITY, Date::NEG_INFINITY)] {
            assert_eq!((value.date(), value.time()), (date, None));
            assert_eq!((value.unix_micros(), value.unix_seconds()), (None, None));
            assert_eq!(DateTime::from_micros_since_2000(value.micros_since_2000()), Some(value));
            assert_eq!(DateTime::new(date, Time::MIDNIGHT), None);
        }
    }

    #[test]
    fn new_joins_and_carries_the_end_of_the_day() {
        let day = Date::from_ymd(1969, 12, 31).unwrap();
        assert_eq!(DateTime::new(day, Time::MAX), DateTime::from_unix_micros(0));
        assert_eq!(DateTime::new(day, Time::MIDNIGHT), DateTime::from_unix_micros(-MICROS_PER_DAY));
        assert_eq!(DateTime::new(Date::MAX, Time::MIDNIGHT), None);
        assert_eq!(DateTime::new(Date::MIN, Time::MIDNIGHT), Some(DateTime::MIN));
    }

    proptest! {
        #[test]
        fn text_and_parts_round_trip(micros in DateTime::MIN.micros..=DateTime::MAX.micros) {
            let value = DateTime::from_micros_since_2000(micros).unwrap();
            prop_assert_eq!(value.to_string().parse(), Ok(value));
            prop_assert_eq!(format!("{value:#}").parse(), Ok(value));
            prop_assert_eq!(DateTime::new(value.date(), value.time().unwrap()), Some(value));
            let (seconds, micros) = value.unix_seconds().unwrap();
            prop_assert_eq!(DateTime::from_unix_seconds(seconds, micros), Some(value));
            prop_assert!(value.unix_micros().is_none_or(|n| DateTime::from_unix_micros(n) == Some(value)));
        }

        #[test]
        fn no_text_panics(text in "\\PC*", near in "[-+0-9]{4,7}-[01][0-9]-[0-3][0-9][ T][0-9:. BC]{0,20}") {
            let _ = (text.parse::<DateTime>(), near.parse::<DateTime>());
        }
    }
}
