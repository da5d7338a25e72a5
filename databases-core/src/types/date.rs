//! A calendar date, with PostgreSQL's range and its two infinities.

use std::{fmt, str::FromStr};

use super::{ParseTypeError, calendar, cursor::Cursor};

const EXPECTED: ParseTypeError =
    ParseTypeError::new("a date like 2024-12-31, 0044-03-15 BC or infinity, from 4714-11-24 BC to 5874897-12-31");

/// A day of the proleptic Gregorian calendar, or one of the two infinities of PostgreSQL.
///
/// Years are astronomical: 1 is 1 AD, 0 is 1 BC, -43 is 44 BC.
///
/// # Text
///
/// `Display` writes what PostgreSQL reads and writes: `2024-12-31`, `12345-01-01`, `0044-03-15 BC`, `infinity`,
/// `-infinity`. `{:#}` writes ISO 8601 instead, where a year outside 0000 to 9999 has a sign: `+12345-01-01`,
/// `-0043-03-15`. `FromStr` reads both. MySQL and the functions of SQLite know only the years 0000 to 9999.
///
/// # Examples
///
/// ```
/// use databases_core::types::Date;
///
/// let date = Date::from_ymd(2024, 2, 29).expect("2024 is a leap year");
/// assert_eq!(date.to_string(), "2024-02-29");
/// assert!(date < Date::INFINITY);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// Days from 1970-01-01; the extremes of `i32` are the infinities.
    days: i32,
}

impl Date {
    /// Later than every date.
    pub const INFINITY: Self = Self { days: i32::MAX };
    /// Earlier than every date.
    pub const NEG_INFINITY: Self = Self { days: i32::MIN };
    /// The first finite date, 4714-11-24 BC (day 0 of the Julian period, in PostgreSQL's words 4713 BC).
    pub const MIN: Self = Self { days: -2_440_588 };
    /// The last finite date, 5874897-12-31.
    pub const MAX: Self = Self { days: 2_145_042_905 };

    /// Makes a date from astronomical year, month and day; `None` if there is no such day or it is out of range.
    #[must_use]
    pub fn from_ymd(year: i32, month: u8, day: u8) -> Option<Self> {
        let days = calendar::days_from_civil(i64::from(year), month, day)?;
        Self::from_days(i32::try_from(days).ok()?)
    }

    /// Makes a date from days since 1970-01-01; `None` outside [`Date::MIN`] to [`Date::MAX`].
    #[must_use]
    pub const fn from_days(days: i32) -> Option<Self> {
        if days < Self::MIN.days || days > Self::MAX.days {
            return None;
        }
        Some(Self { days })
    }

    /// Returns the days since 1970-01-01; `None` for an infinity.
    #[must_use]
    pub const fn days(self) -> Option<i32> {
        if self.is_finite() { Some(self.days) } else { None }
    }

    /// Returns astronomical year, month and day; `None` for an infinity.
    #[must_use]
    pub fn ymd(self) -> Option<(i32, u8, u8)> {
        let (year, month, day) = calendar::civil_from_days(i64::from(self.days()?));
        Some((i32::try_from(year).ok()?, month, day))
    }

    /// Tells whether this is a day and not an infinity.
    #[must_use]
    pub const fn is_finite(self) -> bool {
        self.days != i32::MIN && self.days != i32::MAX
    }
}

/// A date as it stands in a text. What its year means is known only after the text's end, where ` BC` may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct DateFields {
    sign: Option<bool>,
    year: u32,
    month: u8,
    day: u8,
}

impl DateFields {
    /// Takes `[+-]YYYY-MM-DD`.
    pub(super) fn parse(text: &mut Cursor<'_>) -> Option<Self> {
        let sign = text.sign();
        let digits = text.digits();
        if !(4..=7).contains(&digits.len()) {
            return None;
        }
        let year = digits.iter().fold(0, |n, b| n * 10 + u32::from(b - b'0'));
        if !text.eat("-") {
            return None;
        }
        let month = text.two_digits()?;
        if !text.eat("-") {
            return None;
        }
        Some(Self { sign, year, month, day: text.two_digits()? })
    }

    /// Takes the era and the end of the text, and makes the date.
    pub(super) fn finish(self, text: &mut Cursor<'_>) -> Option<Date> {
        let bc = text.eat(" BC");
        if !text.is_empty() {
            return None;
        }
        let year = i32::try_from(self.year).ok()?;
        let year = match (bc, self.sign, year) {
            (true, Some(_), _) | (true, None, 0) | (false, Some(true), 0) => return None,
            (true, None, year) => 1 - year,
            (false, Some(true), year) => -year,
            (false, _, year) => year,
        };
        Date::from_ymd(year, self.month, self.day)
    }
}

/// Reads an infinity; true stands for the negative one.
pub(super) fn parse_infinity(text: &str) -> Option<bool> {
    let mut text = Cursor::new(text);
    let negative = text.sign().unwrap_or(false);
    (text.eat("infinity") && text.is_empty()).then_some(negative)
}

/// Writes a finite date without its era.
pub(super) fn write_date(f: &mut fmt::Formatter<'_>, (year, month, day): (i32, u8, u8)) -> fmt::Result {
    if !f.alternate() {
        let year = if year > 0 { year } else { 1 - year };
        write!(f, "{year:04}")?;
    } else if (0..=9999).contains(&year) {
        write!(f, "{year:04}")?;
    } else {
        write!(f, "{year:+05}")?;
    }
    write!(f, "-{month:02}-{day:02}")
}

/// Writes the era, which ends a text.
pub(super) fn write_era(f: &mut fmt::Formatter<'_>, (year, ..): (i32, u8, u8)) -> fmt::Result {
    if year > 0 || f.alternate() { Ok(()) } else { f.write_str(" BC") }
}

/// Writes an infinity.
pub(super) fn write_infinity(f: &mut fmt::Formatter<'_>, negative: bool) -> fmt::Result {
    f.write_str(if negative { "-infinity" } else { "infinity" })
}

impl FromStr for Date {
    type Err = ParseTypeError;

    fn from_str(text: &str) -> Result<Self, ParseTypeError> {
        if let Some(negative) = parse_infinity(text) {
            return Ok(if negative { Self::NEG_INFINITY } else { Self::INFINITY });
        }
        let mut text = Cursor::new(text);
        DateFields::parse(&mut text).and_then(|date| date.finish(&mut text)).ok_or(EXPECTED)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ymd() {
            Some(ymd) => {
                write_date(f, ymd)?;
                write_era(f, ymd)
            }
            None => write_infinity(f, *self == Self::NEG_INFINITY),
        }
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Date({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_and_fields_agree() {
        for (text, iso, ymd) in [
            ("2024-02-29", "2024-02-29", (2024, 2, 29)),
            ("0001-01-01", "0001-01-01", (1, 1, 1)),
            ("0001-12-31 BC", "0000-12-31", (0, 12, 31)),
            ("0044-03-15 BC", "-0043-03-15", (-43, 3, 15)),
            ("4714-11-24 BC", "-4713-11-24", (-4713, 11, 24)),
            ("9999-12-31", "9999-12-31", (9999, 12, 31)),
            ("12345-01-01", "+12345-01-01", (12_345, 1, 1)),
            ("5874897-12-31", "+5874897-12-31", (5_874_897, 12, 31)),
        ] {
            let date = Date::from_ymd(ymd.0, ymd.1, ymd.2).expect(text);
            assert_eq!(date.to_string(), text);
            assert_eq!(format!("{date:#}"), iso);
            assert_eq!(text.parse(), Ok(date));
            assert_eq!(iso.parse(), Ok(date));
            assert_eq!(date.ymd(), Some(ymd));
        }
        assert_eq!(Date::from_ymd(-4713, 11, 24), Some(Date::MIN));
        assert_eq!(Date::from_ymd(5_874_897, 12, 31), Some(Date::MAX));
        assert_eq!("+2024-01-02".parse(), Ok(Date::from_ymd(2024, 1, 2).unwrap()));
        assert_eq!("0000-01-01".parse(), Ok(Date::from_ymd(0, 1, 1).unwrap()));
    }

    #[test]
    fn infinities_are_at_both_ends_and_have_no_fields() {
        assert!(Date::NEG_INFINITY < Date::MIN && Date::MAX < Date::INFINITY);
        for (date, text) in [(Date::INFINITY, "infinity"), (Date::NEG_INFINITY, "-infinity")] {
            assert_eq!((date.ymd(), date.days(), date.is_finite()), (None, None, false));
            assert_eq!(date.to_string(), text);
            assert_eq!(text.parse(), Ok(date));
        }
        assert_eq!("Infinity".parse(), Ok(Date::INFINITY));
        for days in [i32::MIN, i32::MAX, -2_440_589, 2_145_042_906] {
            assert_eq!(Date::from_days(days), None);
        }
    }

    #[test]
    fn other_texts_are_refused_without_an_echo() {
        for text in [
            "",
            "2024",
            "2024-1-2",
            "24-01-02",
            "2024-02-30",
            "2023-02-29",
            "0000-00-00",
            "2024-00-01",
            "2024-13-01",
            "2024-01-02 ",
            " 2024-01-02",
            "2024-01-02x",
            "2024-01-02 BC ",
            "-0044-03-15 BC",
            "+0044-03-15 BC",
            "0000-01-01 BC",
            "-0000-01-01",
            "4714-11-23 BC",
            "5874898-01-01",
            "99999999-01-01",
            "2024/01/02",
            "２０24-01-02",
            "inf",
            "--infinity",
        ] {
            assert_eq!(text.parse::<Date>(), Err(EXPECTED), "{text:?}");
        }
        assert!(EXPECTED.to_string().starts_with("expected a date like 2024-12-31"));
    }

    proptest! {
        #[test]
        fn text_round_trip(days in -2_440_588_i32..=2_145_042_905) {
            let date = Date::from_days(days).unwrap();
            prop_assert_eq!(date.to_string().parse(), Ok(date));
            prop_assert_eq!(format!("{date:#}").parse(), Ok(date));
            let (year, month, day) = date.ymd().unwrap();
            prop_assert_eq!(Date::from_ymd(year, month, day), Some(date));
        }

        #[test]
        fn no_text_panics(text in "\\PC*", near in "[-+0-9BC: TZ.infty]{0,30}") {
            let _ = (text.parse::<Date>(), near.parse::<Date>());
        }
    }
}
